"""What a callable asks for: its own parameters, their types, and where each value comes from."""

from __future__ import annotations

import inspect
import sys
import types
import typing as t
from collections.abc import Callable, Collection
from dataclasses import dataclass, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

from werkzeug.datastructures import FileStorage

from .markers import Body, Depends, File, Marker, Query

MISSING: t.Any = inspect.Parameter.empty
SCALARS = (str, int, float, bool, date, time, timedelta, Decimal, UUID, Enum)
CONTAINERS = {"list", "tuple", "set", "frozenset", "dict"} | {
    *("Sequence Collection Iterable Mapping MutableMapping MutableSequence Set MutableSet".split())
}
UNIONS = (t.Union, types.UnionType)


class SignatureError(TypeError):
    """A view's signature that cannot be bound; the message has the line to write instead."""


class Unresolved(Exception):
    """An annotation names what does not exist yet."""


@dataclass(slots=True)
class Parameter:
    """One parameter that is bound from the request."""

    name: str
    source: str
    hint: t.Any
    """The type, ``Annotated`` where there is more to it than our marker."""
    default: t.Any
    marker: t.Any
    """A `Marker` or `Depends`."""
    is_list: bool = False
    is_whole: bool = False
    """Whether it is a model that takes many of a source's values."""

    @property
    def key(self) -> str:
        """What it is called in the request."""
        if self.marker.alias is not None:
            return t.cast(str, self.marker.alias)
        return self.name.replace("_", "-") if self.source == "header" else self.name

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING


# --- types ----------------------------------------------------------------------------------------


def bare(hint: t.Any) -> t.Any:
    """The type without aliases, ``NewType`` and ``Annotated``."""
    while True:
        if hasattr(hint, "__metadata__"):  # Annotated
            hint = hint.__origin__
        elif hasattr(hint, "__supertype__"):  # NewType
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif t.get_origin(hint) in (t.Required, t.NotRequired):
            hint = t.get_args(hint)[0]
        else:
            return hint


def options(hint: t.Any) -> tuple[t.Any, ...]:
    """The types of a union, without None; of others themselves."""
    hint = bare(hint)
    if t.get_origin(hint) in UNIONS:
        return tuple(each for arg in t.get_args(hint) for each in options(arg))
    return () if hint is type(None) else (hint,)


def is_scalar(hint: t.Any) -> bool:
    """Whether one text can stand for a value of the type."""
    found = options(hint)
    return bool(found) and all(
        t.get_origin(each) is t.Literal or (isinstance(each, type) and issubclass(each, SCALARS))
        for each in found
    )


def keys_of(kind: t.Any) -> dict[str, tuple[t.Any, bool]]:
    """The keys of a TypedDict: each one's type, and whether it is required."""
    found = {}
    for key, hint in t.get_type_hints(kind, include_extras=True).items():
        required = key in kind.__required_keys__
        origin = t.get_origin(hint)
        if origin in (t.Required, t.NotRequired):  # As texts, the class did not see them.
            hint, required = t.get_args(hint)[0], origin is t.Required
        found[key] = hint, required
    return found


def items_of(hint: t.Any) -> t.Any:
    """The type of a list's items; None for what is none."""
    found = options(hint)
    if len(found) != 1:
        return None
    origin, args = t.get_origin(found[0]) or found[0], t.get_args(found[0])
    name = getattr(origin, "__name__", "")
    if name not in CONTAINERS or name in {"dict", "Mapping", "MutableMapping"}:
        return None
    if name == "tuple" and len(args) == 2 and args[1] is Ellipsis:
        args = args[:1]
    return args[0] if len(args) == 1 else (str if not args else None)


def is_pydantic(kind: t.Any) -> bool:
    """Whether it is a model or a dataclass of pydantic's."""
    return isinstance(kind, type) and hasattr(kind, "__pydantic_core_schema__")


def is_model(hint: t.Any) -> bool:
    """Whether it is a class with declared fields: of msgspec, pydantic, attrs, or the library."""
    kind = t.get_origin(hint) or hint
    return isinstance(kind, type) and (
        t.is_typeddict(kind)
        or is_dataclass(kind)
        or is_pydantic(kind)
        or hasattr(kind, "__struct_fields__")
        or hasattr(kind, "__attrs_attrs__")
    )


def has_model(hint: t.Any) -> bool:
    """Whether it is a model, or a container or union of some."""
    hint = bare(hint)
    return is_model(hint) or any(map(has_model, t.get_args(hint)))


def is_body(hint: t.Any) -> bool:
    """Whether JSON stands for it: a model, or a container."""
    found = options(hint)
    return bool(found) and all(
        is_model(each) or getattr(t.get_origin(each) or each, "__name__", "") in CONTAINERS
        for each in found
    )


# --- signatures -----------------------------------------------------------------------------------


def own(func: Callable[..., t.Any]) -> t.Any:
    """The function whose code has the signature: of a class its constructor, else its call."""
    if isinstance(func, type):
        return t.cast(t.Any, func).__init__
    if inspect.isroutine(func):
        return getattr(func, "__func__", func)
    return type(func).__call__


def name_of(func: t.Any) -> str:
    """How messages call it."""
    return f"{getattr(func, '__qualname__', None) or type(func).__qualname__}()"


def annotations_of(func: t.Any) -> dict[str, t.Any]:
    """The annotations, of which some may be texts.

    :raises Unresolved: on Python 3.14 for one that names what does not exist yet.
    """
    try:
        found: dict[str, t.Any] = getattr(func, "__annotations__", {})
    except NameError as error:
        raise Unresolved(f"{name_of(func)}: {error}") from error
    return found


def resolve(func: t.Any, name: str, value: t.Any) -> t.Any:
    """One annotation's type.

    :raises Unresolved: if it names what does not exist yet.
    """
    if isinstance(value, t.ForwardRef):
        value = value.__forward_arg__
    if not isinstance(value, str):
        return value
    wrapped = inspect.unwrap(func)
    places = [getattr(each, "__globals__", {}) for each in (func, wrapped)]
    try:
        return eval(value, {**places[1], **places[0]}, _locals_of_definition(wrapped))
    except NameError as error:
        where = "its return annotation" if name == "return" else f"the parameter {name!r}"
        raise Unresolved(
            f"{where} of {name_of(func)} is annotated with {value!r}, and {error}."
        ) from error


def _locals_of_definition(func: t.Any) -> t.Any:
    """The names of the function that defines it, while that runs: models of an app factory."""
    code: t.Any = getattr(func, "__code__", None)
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name != "<module>" and code in frame.f_code.co_consts:
            return frame.f_locals
        frame = frame.f_back
    return {}


def returns(func: t.Any) -> t.Any:
    """The type that the function says it returns; `MISSING` if it says nothing."""
    func = own(func)
    found = annotations_of(func)
    return resolve(func, "return", found["return"]) if "return" in found else MISSING


def parameters(func: Callable[..., t.Any], path: Collection[str] = ()) -> list[Parameter]:
    """Those parameters that are bound from the request; ``path`` are the rule's variables.

    :raises SignatureError: for a mistake, with the line to write instead.
    :raises Unresolved: if an annotation names what does not exist yet.
    """
    function = own(func)
    annotations = annotations_of(function)
    found = list(inspect.signature(function, follow_wrapped=False).parameters.values())
    if function is not func and found and not isinstance(func, types.FunctionType):
        found = found[1:]  # self
    bound = []
    for each in found:
        if each.name not in annotations or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            if isinstance(each.default, (Marker, Depends)):
                raise _marker_as_default(func, each)
            continue
        try:
            hint = resolve(function, each.name, annotations[each.name])
        except Unresolved:
            if each.name in path:  # Imported for type checkers alone, as Flask's users may.
                continue
            raise
        if isinstance(each.default, (Marker, Depends)):
            raise _marker_as_default(func, each)
        parameter = _parameter(func, each.name, hint, each.default, path)
        if parameter is not None:
            bound.append(parameter)
    return bound


def _marker_as_default(func: t.Any, each: inspect.Parameter) -> SignatureError:
    kind = type(each.default).__name__
    return SignatureError(
        f"The parameter {each.name!r} of {name_of(func)} has {kind}(...) as its default, which it"
        " would be given. Write it into the annotation:\n"
        f"    {each.name}: Annotated[{_written(each.annotation)}, {kind}(...)]"
    )


def _written(hint: t.Any) -> str:
    if hint is MISSING:
        return "str"
    return hint if isinstance(hint, str) else getattr(hint, "__qualname__", None) or repr(hint)


def _parameter(
    func: t.Any, name: str, hint: t.Any, default: t.Any, path: Collection[str]
) -> Parameter | None:
    marker, rest = _split(func, name, hint)
    if isinstance(marker, Depends):
        if name in path:
            raise _wrong(func, name, "is a variable of the rule", f"{name}_ = Depends(...)", rest)
        return Parameter(name, "depends", rest, default, marker)
    if name in path:
        if marker is None:
            return None  # As in Flask: what the rule's converter gives.
        if marker.source != "path":
            what = f"is a variable of the rule, and marked as {type(marker).__name__}()"
            raise _wrong(func, name, what, "Path()", rest)
        return Parameter(name, "path", rest, default, marker)
    if marker is None:
        marker = _guess(func, name, rest, default)
        if marker is None:
            return None
    elif marker.source == "path":
        rule = ", ".join(sorted(path)) or "none"
        what = f"is marked as Path(), and the rule has no such variable (it has: {rule})"
        raise _wrong(func, name, what, "Query()", rest)
    parameter = Parameter(name, marker.source, rest, default, marker)
    return _shaped(func, parameter)


def _split(func: t.Any, name: str, hint: t.Any) -> tuple[t.Any, t.Any]:
    """Our marker in an annotation, and the annotation without it."""
    if not hasattr(hint, "__metadata__"):
        return None, hint
    mine: list[t.Any] = []
    rest: list[t.Any] = []
    for each in hint.__metadata__:
        if isinstance(each, type) and issubclass(each, (Marker, Depends)):
            each = each()
        (mine if isinstance(each, (Marker, Depends)) else rest).append(each)
    if len(mine) > 1:
        names = " and ".join(type(each).__name__ for each in mine)
        raise SignatureError(
            f"The parameter {name!r} of {name_of(func)} is marked as {names}. It comes from one"
            f" place: {name}: Annotated[{_written(hint.__origin__)}, {type(mine[0]).__name__}()]"
        )
    kind = t.Annotated[hint.__origin__, *rest] if rest else hint.__origin__
    return (mine[0] if mine else None), kind


def _guess(func: t.Any, name: str, hint: t.Any, default: t.Any) -> Marker | None:
    item = items_of(hint)
    if FileStorage in options(hint) or (item is not None and FileStorage in options(item)):
        return File()
    if is_scalar(hint) or (item is not None and is_scalar(item)):
        return Query()
    if is_body(hint):
        return Body()
    if default is not MISSING or bare(hint) is t.Any:
        return None  # As in Flask: the default, or what a decorator gives.
    kind = _written(bare(hint))
    raise SignatureError(
        f"The parameter {name!r} of {name_of(func)} is annotated with {kind}, which no part of a"
        " request can become. Write one of\n"
        f"    {name}: Annotated[{kind}, Depends(get_{name})]   # what a function of yours gives\n"
        f"    {name}: SomeModel   # a dataclass, TypedDict, msgspec Struct or pydantic model\n"
        "If a decorator gives it, apply the route after it: @app.get(...) stands above the others."
        " If an extension puts it in later, set app.config['TYPED_VIEWS'] = False before the"
        " routes."
    )


def _shaped(func: t.Any, parameter: Parameter) -> Parameter:
    """Whether it takes one value, all of a name, or many names; and whether it can."""
    hint, source = parameter.hint, parameter.source
    if source == "body":
        return parameter
    item = items_of(hint)
    found = options(hint)
    if source == "file":
        kinds = found if item is None else options(item)
        parameter.is_list = item is not None
        if set(kinds) <= {FileStorage, bytes} and kinds:
            return parameter
        raise _wrong(func, parameter.name, "is no file", "File()", "FileStorage")
    if item is not None and is_scalar(item):
        parameter.is_list = source != "cookie"
    elif len(found) == 1 and is_model(found[0]):
        parameter.is_whole = True
    elif not is_scalar(hint):
        if source == "form" and is_body(hint):
            what = "is a container, which a form has no way to write"
        else:
            what = f"is annotated with {_written(bare(hint))}, which no text can become"
        raise _wrong(func, parameter.name, what, "Body()", hint)
    return parameter


def _wrong(func: t.Any, name: str, what: str, marker: str, hint: t.Any) -> SignatureError:
    return SignatureError(
        f"The parameter {name!r} of {name_of(func)} {what}. Write\n"
        f"    {name}: Annotated[{_written(hint)}, {marker}]"
    )
