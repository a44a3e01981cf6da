"""Types by msgspec: structs, dataclasses, attrs classes, TypedDicts, scalars and containers.

Source: https://jcristharif.com/msgspec/
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal

import msgspec

from .problems import MOST, Faults, MalformedBody
from .signature import bare, is_model, items_of, keys_of, options
from .validators import Schemas, Validator, decode

_AT = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_MISSING_FIELD = "This field is required"

Found = tuple[tuple[str | int, ...], str]


class _Field(t.NamedTuple):
    name: str
    hint: t.Any
    is_required: bool


class MsgspecValidator(Validator):
    """One type, by msgspec. JSON is strict; texts are converted."""

    takes_infinities = False

    def __init__(self, hint: t.Any, constraints: dict[str, t.Any]) -> None:
        if constraints:
            # A constraint of a union is one of each of its types.
            meta = msgspec.Meta(**constraints)
            kinds: list[t.Any] = [t.Annotated[each, meta] for each in options(hint)]
            if type(None) in t.get_args(bare(hint)):
                kinds.append(type(None))
            hint = t.Union[tuple(kinds)]  # noqa: UP007 - made of a tuple
        self.decoder: t.Any = msgspec.json.Decoder(hint)
        self.encoder: t.Any = msgspec.json.Encoder()
        super().__init__(hint)

    def from_json(self, raw: bytes) -> t.Any:
        decode(raw)
        try:
            value = self.decoder.decode(raw)
        except msgspec.ValidationError:
            try:
                return self.from_python(self._parsed(raw))
            except RecursionError as error:
                raise MalformedBody(str(error)) from None
        except (ValueError, RecursionError) as error:
            raise MalformedBody(str(error)) from None
        return self._checked(value, raw) if self._checks_json else value

    @staticmethod
    def _parsed(raw: bytes) -> t.Any:
        try:
            return msgspec.json.decode(raw)
        except (ValueError, RecursionError) as error:
            raise MalformedBody(str(error)) from None

    def from_python(self, value: t.Any) -> t.Any:
        # JSON knows one kind of numbers, so that 3.0 is an integer (JSON Schema, 6.1.1).
        return self._checked(self._convert(_with_integers(value), strict=True))

    def from_strings(self, value: t.Any) -> t.Any:
        return self._checked(self._convert(value, strict=False))

    def _convert(self, value: t.Any, **options: t.Any) -> t.Any:
        try:
            return msgspec.convert(value, self.hint, **options)
        except msgspec.ValidationError as error:
            raise self._faults(value, error, **options) from None

    def to_json(self, value: t.Any) -> bytes:
        try:
            # What it encodes to, decoded as the type: that is what fits, and no more than that.
            value = self.decoder.decode(self.encoder.encode(value))
        except (TypeError, ValueError, RecursionError):
            value = self._convert(value, strict=True, from_attributes=True)
            try:
                value = self.decoder.decode(self.encoder.encode(value))
            except msgspec.ValidationError as error:
                raise self._faults(msgspec.to_builtins(value), error) from None
            except (TypeError, ValueError, RecursionError) as error:
                raise Faults([((), f"{error}")]) from None
        written: bytes = self.encoder.encode(value)
        return written

    def built_in(self, value: t.Any) -> t.Any:
        return msgspec.to_builtins(value, builtin_types=(Decimal,))

    @classmethod
    def schemas(cls, pairs: list[tuple[t.Any, str]], reference: str) -> Schemas:
        hints = [each.hint for each, _ in pairs]
        found, components = msgspec.json.schema_components(
            hints, ref_template=reference.replace("{}", "{name}")
        )
        return list(found), components

    def _faults(self, value: t.Any, error: Exception, **options: t.Any) -> Faults:
        """All that is wrong, of which msgspec told the first: field by field, item by item."""
        found: list[Found] = []
        for each in _look(value, self.hint, options, ()):
            found.append(each)
            if len(found) > MOST:
                break
        return Faults(found or [_place(error, ())])


def _with_integers(value: t.Any) -> t.Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _with_integers(item) for key, item in value.items()}
    return [*map(_with_integers, value)] if isinstance(value, list) else value


def _place(error: Exception, place: tuple[str | int, ...]) -> Found:
    text = str(error)
    at = _AT.search(text)
    steps = _STEP.finditer(at[1]) if at else ()
    inner = tuple(int(step[2]) if step[2] else step[1] for step in steps)
    return (*place, *inner), text[: at.start()] if at else text


def _look(
    value: t.Any, hint: t.Any, options_: dict[str, t.Any], place: tuple[str | int, ...]
) -> Iterator[Found]:
    """Walk a value beside its type, and give each innermost part that does not fit."""
    try:
        msgspec.convert(value, hint, **options_)
        return
    except msgspec.ValidationError as error:
        own = _place(error, place)
    kinds = options(hint)
    models = [kind for kind in kinds if is_model(kind)]
    count = 0
    if isinstance(value, dict) and len(models) == 1:
        inner = _look_at_fields(value, models[0], options_, place)
    elif isinstance(value, dict) and len(kinds) == 1 and len(t.get_args(kinds[0])) == 2:
        kind = t.get_args(kinds[0])[1]
        pairs = value.items()
        inner = (each for key, item in pairs for each in _look(item, kind, options_, (*place, key)))
    elif isinstance(value, list) and (kind := items_of(hint)) is not None:
        items = enumerate(value)
        inner = (each for key, item in items for each in _look(item, kind, options_, (*place, key)))
    else:
        inner = iter(())
    for each in inner:
        count += 1
        yield each
    if not count:
        yield own


def _look_at_fields(
    value: dict[str, t.Any], kind: t.Any, options_: dict[str, t.Any], place: tuple[str | int, ...]
) -> Iterator[Found]:
    known = _fields(kind)
    for field in known:
        if field.name in value:
            yield from _look(value[field.name], field.hint, options_, (*place, field.name))
        elif field.is_required:
            yield (*place, field.name), _MISSING_FIELD
    config = getattr(kind, "__struct_config__", None)
    if config is not None and config.forbid_unknown_fields:
        names = {field.name for field in known} | {config.tag_field}
        for name in value.keys() - names:
            yield (*place, name), "There is no such field"


def _fields(kind: t.Any) -> list[_Field]:
    """A model's fields, by their names in JSON."""
    origin = t.get_origin(kind) or kind
    if hasattr(origin, "__struct_fields__"):
        found = msgspec.structs.fields(kind)
        return [_Field(each.encode_name, each.type, each.required) for each in found]
    if t.is_typeddict(origin):
        return [_Field(name, *each) for name, each in keys_of(origin).items()]
    hints = t.get_type_hints(origin, include_extras=True)
    if is_dataclass(origin):
        required = {
            each.name
            for each in fields(origin)
            if each.default is MISSING and each.default_factory is MISSING
        }
        hints = {each.name: hints[each.name] for each in fields(origin)}
    else:
        attributes = origin.__attrs_attrs__
        required = {each.name for each in attributes if repr(each.default) == "NOTHING"}
        hints = {each.name: hints[each.name] for each in attributes}
    return [_Field(name, hint, name in required) for name, hint in hints.items()]
