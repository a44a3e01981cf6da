"""What turns JSON and texts into a type's values and back: msgspec, or pydantic.

Each library keeps its own ways: what a type accepts, what its errors say, what its JSON schema is.
pydantic takes what is made of its models; msgspec takes its structs, and where it is installed
everything else.
"""

from __future__ import annotations

import math
import typing as t
from collections.abc import Iterator
from decimal import Decimal
from importlib.util import find_spec

from .problems import Faults, MalformedBody
from .signature import Parameter, Unresolved, bare, is_model, is_pydantic

# PERF: one pass of bytes.translate makes a substring search of the question for numbers too large.
_NUMBERS = bytes(48 if 48 <= i <= 57 else 101 if i in b"eE" else 32 for i in range(256))
_NO_NUMBER = "Expected a finite number"

Schemas = tuple[list[dict[str, t.Any]], dict[str, t.Any]]
"""JSON schemas of types, and the components that they refer to."""


def is_unusual(raw: bytes) -> bool:
    """Whether a JSON text may have a number that is none, or only as an infinity; false alarms."""
    lower = raw.lower()
    if lower.find(b"nan") >= 0 or lower.find(b"inf") >= 0:
        return True
    # The largest float has 309 digits: fewer than 200 and an exponent of two are within it.
    numbers = raw.translate(_NUMBERS, b"+")
    return numbers.find(b"e000") >= 0 or numbers.find(b"0" * 200) >= 0


class Validator:
    """One type, to and from JSON. The libraries' own are subclasses."""

    takes_infinities: t.ClassVar[bool] = True
    """Whether the library makes floats of "NaN", Infinity and 1e999 in JSON."""

    def __init__(self, hint: t.Any) -> None:
        self.hint = hint
        schemas, components = self.schemas([(self, "validation")], "#/{}")
        self.schema: dict[str, t.Any] = schemas[0]
        """Its JSON schema (2020-12), as a request has it."""
        self.components: dict[str, t.Any] = components
        written = str((schemas, components))
        self._has_numbers: bool = "'number'" in written or "'decimal'" in written
        self._checks_json: bool = "'decimal'" in written or (
            self.takes_infinities and self._has_numbers
        )

    def from_json(self, raw: bytes) -> t.Any:
        """The value of a JSON text.

        :raises MalformedBody: a 400, for what is no JSON.
        :raises Faults: for what is not of the type.
        """
        raise NotImplementedError

    def from_python(self, value: t.Any) -> t.Any:
        """The value of what JSON was parsed to; `Faults` for what is not of the type."""
        raise NotImplementedError

    def from_strings(self, value: t.Any) -> t.Any:
        """The value of a text, a list of texts, or a dict of these; `Faults` as above."""
        raise NotImplementedError

    def to_json(self, value: t.Any) -> bytes:
        """The JSON of a value of the type, or of what has its attributes, and no more than that.

        :raises Faults: for what is not of the type.
        """
        raise NotImplementedError

    def built_in(self, value: t.Any) -> t.Any:
        """The value as dicts, lists and scalars."""
        raise NotImplementedError

    @classmethod
    def schemas(cls, pairs: list[tuple[t.Any, str]], reference: str) -> Schemas:
        """JSON schemas of several validators; ``reference`` has ``{}`` for a component's name.

        Each has its mode, "validation" or "serialization".
        """
        raise NotImplementedError

    def properties(self) -> dict[str, dict[str, t.Any]]:
        """The schemas of a model's fields."""
        schema = self.schema
        if "$ref" in schema:
            schema = self.components[schema["$ref"].removeprefix("#/")]
        found: dict[str, dict[str, t.Any]] = schema.get("properties", {})
        return found

    def _checked(self, value: t.Any, raw: bytes | None = None) -> t.Any:
        """The value, if its numbers are some: JSON has no NaN, and no infinity (RFC 8259, 6)."""
        checks = self._has_numbers if raw is None else self._checks_json and is_unusual(raw)
        if checks:
            found = [*_not_finite(self.built_in(value), ())]
            if found:
                raise Faults((place, _NO_NUMBER) for place in found)
        return value


def _not_finite(value: t.Any, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, (*place, key))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, item in enumerate(value):
            yield from _not_finite(item, (*place, index))
    elif isinstance(value, float | Decimal) and not math.isfinite(value):
        yield place


def decode(raw: bytes) -> None:
    """Look at the encoding, which parsers do not where they skip; RFC 8259, 8.1 wants UTF-8.

    :raises MalformedBody: a 400.
    """
    if not raw:
        raise MalformedBody("It is empty")
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise MalformedBody(f"It is not UTF-8 (byte {error.start})") from None


# --- which of the two -----------------------------------------------------------------------------


def _parts(hint: t.Any, seen: set[int]) -> Iterator[t.Any]:
    """The type, and those of its arguments and fields."""
    yield from getattr(hint, "__metadata__", ())
    hint = bare(hint)
    if id(hint) in seen:
        return
    seen.add(id(hint))
    yield hint
    for argument in t.get_args(hint):
        yield from _parts(argument, seen)
    if is_model(hint) and not is_pydantic(hint) and not hasattr(hint, "__struct_fields__"):
        try:
            fields = t.get_type_hints(t.get_origin(hint) or hint, include_extras=True)
        except NameError as error:
            raise Unresolved(f"{hint.__qualname__}: {error}.") from error
        for field in fields.values():
            yield from _parts(field, seen)


def wants(hint: t.Any) -> str:
    """Which library a type needs: "pydantic", "msgspec", or "" for either.

    :raises TypeError: if it is made of models of both.
    """
    libraries = set()
    for part in _parts(hint, set()):
        kind = part if isinstance(part, type) else type(part)
        module = kind.__module__.partition(".")[0]
        if is_pydantic(part) or module in {"pydantic", "annotated_types"}:
            libraries.add("pydantic")
        elif hasattr(part, "__struct_fields__") or module == "msgspec":
            libraries.add("msgspec")
    if len(libraries) > 1:
        raise TypeError(
            f"{hint!r} is made of pydantic's models and of msgspec's structs, and neither library"
            " reads the other's. Use one kind in it."
        )
    return libraries.pop() if libraries else ""


def validator_for(hint: t.Any, constraints: dict[str, t.Any] | None = None) -> Validator:
    """What validates a type, with the constraints of a marker.

    :raises TypeError: for a type that the library cannot read.
    :raises RuntimeError: if the library is missing.
    """
    library = wants(hint) or ("msgspec" if find_spec("msgspec") else "pydantic")
    if not find_spec(library):
        extra = "typed" if library == "msgspec" else "pydantic"
        raise RuntimeError(
            f"Views with annotated parameters need msgspec or pydantic, and {library} is not"
            f" installed: pip install 'aioflask[{extra}]'"
        )
    if library == "pydantic":
        from .by_pydantic import PydanticValidator

        return PydanticValidator(hint, constraints or {})
    from .by_msgspec import MsgspecValidator

    return MsgspecValidator(hint, constraints or {})


def validator_of(parameter: Parameter) -> Validator:
    """What validates a parameter's values."""
    return validator_for(parameter.hint, parameter.marker.constraints)


def is_array(schema: dict[str, t.Any]) -> bool:
    """Whether a JSON schema is that of an array, or of one or null."""
    found = [schema, *schema.get("anyOf", ())]
    return any(each.get("type") == "array" for each in found)
