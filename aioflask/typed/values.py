"""The types of what views return, for type checkers."""

from __future__ import annotations

import typing as t
from collections.abc import AsyncIterable, Iterator

from aioflask.typing import HeadersValue, ResponseReturnValue


class _Dataclass(t.Protocol):
    __dataclass_fields__: t.ClassVar[dict[str, t.Any]]


class _Attrs(t.Protocol):
    __attrs_attrs__: t.ClassVar[t.Any]


class _Struct(t.Protocol):
    __struct_fields__: t.ClassVar[tuple[str, ...]]


class _Pydantic(t.Protocol):
    __pydantic_complete__: t.ClassVar[bool]


#: A model, which becomes JSON if the view's return annotation names its class.
ModelValue = _Dataclass | _Attrs | _Struct | _Pydantic
#: What a view may return beside it if its return annotation says so (see :doc:`/reference/typed`).
TypedValue = (
    ModelValue
    | None
    | tuple[ModelValue | None, int]
    | tuple[ModelValue, HeadersValue]
    | tuple[ModelValue, int, HeadersValue]
    | Iterator[ModelValue]
    | AsyncIterable[ModelValue]
)
#: What a view may return, typed or not.
ViewValue = ResponseReturnValue | TypedValue
