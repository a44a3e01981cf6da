"""One model in every way that it can be declared, of those whose libraries are installed."""

from __future__ import annotations

import dataclasses
import importlib.util
import typing as t
from typing import Annotated, Any

import attrs
import pytest

HAS = {name: importlib.util.find_spec(name) is not None for name in ("msgspec", "pydantic")}
needs_msgspec = pytest.mark.skipif(not HAS["msgspec"], reason="this needs msgspec")
needs_pydantic = pytest.mark.skipif(not HAS["pydantic"], reason="this needs pydantic")


@dataclasses.dataclass
class Part:
    width: int
    label: str = ""


class PartDict(t.TypedDict):
    width: int
    label: t.NotRequired[str]


@attrs.define
class AttrsPart:
    width: int
    label: str = ""


@dataclasses.dataclass
class ItemDataclass:
    name: str
    price: float
    parts: list[Part] = dataclasses.field(default_factory=list)
    count: int = 1


class ItemDict(t.TypedDict):
    name: str
    price: float
    parts: t.NotRequired[list[PartDict]]
    count: t.NotRequired[int]


@attrs.define
class ItemAttrs:
    name: str
    price: float
    parts: list[AttrsPart] = attrs.field(factory=list)
    count: int = 1


MODELS: dict[str, Any] = {"dataclass": ItemDataclass, "TypedDict": ItemDict, "attrs": ItemAttrs}

if HAS["msgspec"]:
    import msgspec

    class PartStruct(msgspec.Struct):
        width: int
        label: str = ""

    class ItemStruct(msgspec.Struct):
        name: str
        price: float
        parts: list[PartStruct] = []
        count: int = 1

    class Closed(msgspec.Struct, forbid_unknown_fields=True):
        name: str

    MODELS["Struct"] = ItemStruct

if HAS["pydantic"]:
    import pydantic
    import pydantic.dataclasses

    class PartModel(pydantic.BaseModel):
        width: int
        label: str = ""

    class ItemModel(pydantic.BaseModel):
        name: str
        price: float
        parts: list[PartModel] = []
        count: int = 1

    class ClosedModel(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        name: str

    @pydantic.dataclasses.dataclass
    class ItemPydanticDataclass:
        name: str
        price: float
        parts: list[PartModel] = dataclasses.field(default_factory=list)
        count: int = 1

    MODELS["BaseModel"] = ItemModel
    MODELS["pydantic dataclass"] = ItemPydanticDataclass

CLOSED: list[Any] = [globals()[name] for name in ("Closed", "ClosedModel") if name in globals()]


def field(value: Any, name: str) -> Any:
    """A field of a model, whatever that is."""
    return value[name] if isinstance(value, dict) else getattr(value, name)


def views(colour: str, source: str, **names: Any) -> dict[str, Any]:
    """The names that a source defines, with its ``def`` in one colour: "plain" or "async"."""
    if colour == "async":
        source = source.replace("\ndef ", "\nasync def ").replace("    def ", "    async def ")
    space: dict[str, Any] = {"Annotated": Annotated, "t": t, "__name__": "views", **names}
    exec(compile(source, f"<{colour} views>", "exec"), space)
    return space
