"""Types by pydantic: its models and dataclasses, and without msgspec all but its structs.

Source: https://docs.pydantic.dev/latest/concepts/type_adapter/
"""

from __future__ import annotations

import json
import sys
import typing as t
from dataclasses import fields, is_dataclass

import pydantic
from pydantic_core import PydanticSerializationError

from .problems import Faults, MalformedBody
from .signature import SCALARS, UNIONS, bare, keys_of
from .validators import Schemas, Validator, decode


class PydanticValidator(Validator):
    """One type, by pydantic, in whichever mode its models say."""

    def __init__(self, hint: t.Any, constraints: dict[str, t.Any]) -> None:
        hint = _readable(hint)
        if constraints:
            hint = t.Annotated[hint, pydantic.Field(**constraints)]
        try:
            self.adapter: pydantic.TypeAdapter[t.Any] = pydantic.TypeAdapter(hint)
            self.adapter.rebuild(raise_errors=True)
            super().__init__(hint)
        except pydantic.errors.PydanticUndefinedAnnotation as error:
            raise NameError(str(error)) from error
        except pydantic.errors.PydanticUserError as error:
            raise TypeError(str(error)) from error

    def from_json(self, raw: bytes) -> t.Any:
        decode(raw)
        # pydantic would take them; JSON has none.
        if raw.find(b"NaN") >= 0 or raw.find(b"Infinity") >= 0:
            try:
                json.loads(raw, parse_constant=_refuse)
            except (ValueError, RecursionError) as error:
                raise MalformedBody(str(error)) from None
        try:
            value = self.adapter.validate_json(raw)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            if first["type"] == "json_invalid":
                raise MalformedBody(first["msg"]) from None
            raise _faults(error) from None
        return self._checked(value, raw)

    def from_python(self, value: t.Any) -> t.Any:
        try:
            return self._checked(self.adapter.validate_python(value))
        except pydantic.ValidationError as error:
            raise _faults(error) from None

    from_strings = from_python

    def to_json(self, value: t.Any) -> bytes:
        try:
            try:
                value = self.adapter.validate_python(value, from_attributes=True)
            except pydantic.ValidationError:  # Only its models are read from attributes.
                value = self.adapter.validate_python(_as_data(value))
            return self.adapter.dump_json(value, by_alias=True, warnings="error")
        except pydantic.ValidationError as error:
            raise _faults(error) from None
        except (PydanticSerializationError, ValueError) as error:
            raise Faults([((), str(error))]) from None

    def built_in(self, value: t.Any) -> t.Any:
        return self.adapter.dump_python(value, warnings="none")

    @classmethod
    def schemas(cls, pairs: list[tuple[t.Any, t.Any]], reference: str) -> Schemas:
        inputs = [(index, mode, each.adapter) for index, (each, mode) in enumerate(pairs)]
        found, rest = pydantic.TypeAdapter.json_schemas(
            inputs, ref_template=reference.replace("{}", "{model}")
        )
        return [found[index, mode] for index, mode, _ in inputs], rest.get("$defs", {})


def _as_data(value: t.Any) -> t.Any:
    """Objects as dicts of their attributes, below lists and dicts, too."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return [*map(_as_data, value)]
    if isinstance(value, dict):
        return {key: _as_data(item) for key, item in value.items()}
    if is_dataclass(value):
        return {each.name: _as_data(getattr(value, each.name)) for each in fields(value)}
    if hasattr(value, "__dict__") and not isinstance(value, (*SCALARS, pydantic.BaseModel)):
        return {key: _as_data(item) for key, item in vars(value).items() if key[0] != "_"}
    return value


def _refuse(name: str) -> t.NoReturn:
    raise ValueError(f"{name} is no JSON")


def _faults(error: pydantic.ValidationError) -> Faults:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return Faults((each["loc"], each["msg"]) for each in found)


def _readable(hint: t.Any) -> t.Any:
    """The type with what pydantic does not read put into its words: attrs classes, and before
    Python 3.12 the standard library's TypedDict."""
    kind = bare(hint)
    arguments = t.get_args(kind)
    if arguments and t.get_origin(kind) is not t.Literal:
        changed = tuple(map(_readable, arguments))
        if changed != arguments:
            origin = t.get_origin(kind)
            return t.Union[changed] if origin in UNIONS else origin[changed]  # noqa: UP007
    if hasattr(kind, "__attrs_attrs__"):
        return _attrs(kind)
    if t.is_typeddict(kind) and sys.version_info < (3, 12) and type(kind).__module__ == "typing":
        return _typed_dict(kind.__name__, keys_of(kind))
    return hint


def _typed_dict(name: str, keys: dict[str, tuple[t.Any, bool]]) -> t.Any:
    import typing_extensions

    fields = {
        key: _readable(hint) if required else t.NotRequired[_readable(hint)]
        for key, (hint, required) in keys.items()
    }
    return typing_extensions.TypedDict(name, fields)  # type: ignore[operator]


def _attrs(kind: t.Any) -> t.Any:
    import attrs

    hints = t.get_type_hints(kind, include_extras=True)
    names = [each.name for each in attrs.fields(kind)]
    keys = {
        each.name: (hints[each.name], each.default is attrs.NOTHING) for each in attrs.fields(kind)
    }
    shape = _typed_dict(kind.__name__, keys)

    def as_dict(value: t.Any) -> t.Any:
        if isinstance(value, kind):
            return {name: getattr(value, name) for name in names}
        return value

    return t.Annotated[
        shape,
        pydantic.BeforeValidator(as_dict),
        pydantic.AfterValidator(lambda values: kind(**values)),
        pydantic.PlainSerializer(as_dict, return_type=shape),
    ]
