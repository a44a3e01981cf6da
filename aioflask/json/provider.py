"""How an application reads and writes JSON: Flask's semantics and bytes, at orjson's speed.

Source: https://flask.palletsprojects.com/en/stable/api/#module-flask.json.provider. orjson works
only where its answer is known to be what the standard library would give; in doubt it is dropped.
"""

from __future__ import annotations

import dataclasses
import json
import marshal
import re
import typing as t
import weakref
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from uuid import UUID

from markupsafe import Markup
from werkzeug.http import http_date

if t.TYPE_CHECKING:
    from aioflask.app import Flask
    from aioflask.wrappers import Response

orjson: t.Any
try:
    import orjson
except ImportError:  # PyPy has none: the standard library does it all
    orjson = None

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_RESPONSE = "aioflask.wrappers"
_TOO_DEEP = "The JSON is nested too deeply to be read."


class JSONProvider:
    """The JSON operations of one application; a subclass for another library has dumps and loads.

    It is set as ``Flask.json_provider_class``, or an instance of it as ``app.json``.
    """

    mimetype = "application/json"
    """The content type of responses."""

    def __init__(self, app: Flask) -> None:
        self._app = t.cast("Flask", weakref.proxy(app))

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        """Write ``obj`` as JSON text; keyword arguments are the library's."""
        raise NotImplementedError(f"{type(self).__name__} must define dumps(obj, **kwargs).")

    def dump(self, obj: t.Any, fp: t.IO[str], **kwargs: t.Any) -> None:
        """Write ``obj`` as JSON to a text file."""
        fp.write(self.dumps(obj, **kwargs))

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        """Read JSON from text or UTF-8 bytes; keyword arguments are the library's."""
        raise NotImplementedError(f"{type(self).__name__} must define loads(s, **kwargs).")

    def load(self, fp: t.IO[t.AnyStr], **kwargs: t.Any) -> t.Any:
        """Read JSON from a text or binary file."""
        return self.loads(fp.read(), **kwargs)

    def dump_bytes(self, obj: t.Any) -> bytes:
        """Write ``obj`` as the body of a response, UTF-8."""
        body: t.Any = self.dumps(obj)
        # COMPAT: `dumps` of a library such as orjson gives bytes, and in Flask that works.
        return body if isinstance(body, bytes) else body.encode()

    def load_body(self, data: bytes) -> t.Any:
        """Read the body of a request; ValueError if it is not JSON or nested too deeply."""
        try:
            return self.loads(data)
        except RecursionError:
            raise ValueError(_TOO_DEEP) from None

    def _prepare_response_obj(self, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> t.Any:
        if args and kwargs:
            raise TypeError(
                "jsonify() takes either args or kwargs, and got both: jsonify(a, b) writes a list,"
                " jsonify(a=1, b=2) an object."
            )
        return args[0] if len(args) == 1 else args or kwargs or None

    def response(self, *args: t.Any, **kwargs: t.Any) -> Response:
        """Make a JSON response of one value, of several as a list, or of keywords as an object."""
        # PERF: nearly all responses are of one value, which takes no further call.
        one = len(args) == 1 and not kwargs
        obj = args[0] if one else self._prepare_response_obj(args, kwargs)
        body, response_class = self.dump_bytes(obj), self._app.response_class
        if response_class.__module__ == _RESPONSE:
            return response_class(body, mimetype=self.mimetype)
        # COMPAT: a class of one's own may look at the body, which is text in Flask.
        return response_class(body.decode(), mimetype=self.mimetype)


def _http_date(o: date) -> str:
    # PERF: http_date() takes 3 us, which is half the time of a list of rows with a date each.
    if type(o) is datetime and (o.tzinfo is None or o.tzinfo is UTC):
        iso = o.isoformat()  # 2026-11-22T10:20:30
        month = _MONTHS[o.month * 3 - 3 : o.month * 3]
        return f"{_DAYS[o.weekday()]}, {iso[8:10]} {month} {iso[:4]} {iso[11:19]} GMT"
    return http_date(o)


def _default(o: t.Any) -> t.Any:
    # Flask refuses a plain Enum. orjson writes its value, which then has to hold for all documents.
    if isinstance(o, Enum):
        return o.value
    if isinstance(o, date):
        return _http_date(o)
    if isinstance(o, (Decimal, UUID)):
        return str(o)
    if dataclasses.is_dataclass(o) and not isinstance(o, type):
        return dataclasses.asdict(o)
    if hasattr(o, "__html__"):
        return str(o.__html__())
    raise TypeError(
        f"Object of type {type(o).__name__} is not JSON serializable. Make it a dict, list, str or"
        " number first, or teach the application: app.json.default = a function of the object."
    )


class DefaultJSONProvider(JSONProvider):
    """JSON as Flask writes it, with the standard library's arguments and, where equal, orjson.

    Beyond JSON's own types: dates (as HTTP dates, RFC 9110), Decimal, UUID, dataclasses, objects
    with ``__html__``, and Enum members (by value).
    """

    default: t.Callable[[t.Any], t.Any] = staticmethod(_default)
    """Called for an object that JSON has no type for; returns one that it has, or TypeError."""
    ensure_ascii = True
    """Write non-ASCII characters as escapes."""
    sort_keys = True
    """Sort the keys of objects, which must then be of one type."""
    compact: bool | None = None
    """Leave out spaces and line breaks in responses; None: unless in debug mode."""

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        """Write ``obj`` as JSON text; keyword arguments are :func:`json.dumps`'s."""
        kwargs.setdefault("default", self.default)
        kwargs.setdefault("ensure_ascii", self.ensure_ascii)
        kwargs.setdefault("sort_keys", self.sort_keys)
        return json.dumps(obj, **kwargs)

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        """Read JSON from text or bytes; keyword arguments are :func:`json.loads`'s."""
        return json.loads(s, **kwargs)

    def dump_bytes(self, obj: t.Any) -> bytes:
        r"""Write ``obj`` as a response's body: compact outside debug mode, ending in ``\n``."""
        try:
            used = _used(self)
        except AttributeError:  # A `dumps` of the instance's own, that is no method.
            used = None
        compact = self.compact
        # PERF: what `app.debug` reads, without the call.
        if compact is False or (compact is None and self._app.config["DEBUG"]):
            return f"{self.dumps(obj, indent=2)}\n".encode()
        if used == _AS_IT_WAS and (body := _dump_fast(obj)) is not None:
            return body
        return f"{self.dumps(obj, separators=(',', ':'))}\n".encode()

    def load_body(self, data: bytes) -> t.Any:
        """Read the body of a request strictly, as RFC 8259 wants it.

        UTF-8 (a byte order mark is skipped), no NaN, no infinity, no lone surrogate; integers of
        any size stay integers. Raises ValueError for anything else and for nesting too deep. A
        subclass that overrides :meth:`loads` is asked instead.
        """
        if getattr(self.loads, "__func__", None) is not _LOADS:
            return super().load_body(data)
        # orjson makes a float of an integer beyond 64 bits, which has 19 digits or more.
        # PERF: of 19 bytes in a row every sixth is looked at three times, and that comes first.
        if orjson is None or (
            data[::6].translate(_DIGITS).rfind(b"000") >= 0
            and data.translate(_DIGITS).rfind(_LONG_NUMBER) >= 0
        ):
            return _load_strict(data)
        try:
            return orjson.loads(data)
        except ValueError:
            if not data.startswith(b"\xef\xbb\xbf"):
                raise
        return orjson.loads(data[3:])  # COMPAT: Flask skips it too.


_LOADS = DefaultJSONProvider.loads
_used = attrgetter("default", "ensure_ascii", "sort_keys", "dumps.__func__")
_AS_IT_WAS = _default, True, True, DefaultJSONProvider.dumps

# --- orjson, where it equals the standard library ---------------------------------------------

# PERF: bytes.translate makes this question a plain substring search. With bytes on its left side
# `in` first makes, for nobody, the TypeError that they are no number. Searched from behind, bytes
# are found, and missed, in a third of the time (CPython 3.11).
_DIGITS = bytes(48 if 48 <= i <= 57 else 32 for i in range(256))
_LONG_NUMBER = b"0" * 19
_DOT, _MINUS, _E, _U = b".-eu"  # PERF: one byte is found at a tenth of the price of several.
# An exponent that Python writes in another way: 1e-6 is 1e-06, and before orjson 3.11.7 1e16 is
# 1e+16. PERF: each pattern begins with letters, of which there must be one.
if orjson and orjson.dumps(1e16) == b"1e+16":
    _SIGN, _EXPONENT = _MINUS, re.compile(rb"e-(?<=[0-9]e-)[0-9][],}\n]")
else:
    _SIGN, _EXPONENT = _E, re.compile(rb"e(?<=[0-9]e)[-+]?[0-9]+[],}\n]")
_OPTIONS = orjson and (
    orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
)  # fmt: skip
_NEVER_NAN = frozenset((str, int, bool, type(None), Markup, date, datetime, Decimal, UUID))


def _dump_fast(obj: t.Any) -> bytes | None:
    """Write ``obj`` with orjson, or None where the standard library might write something else."""
    if orjson is None:
        return None
    try:
        out: bytes = orjson.dumps(obj, _plain, _OPTIONS)
    except TypeError:  # orjson's own error is one: a key, a number or a type it does not take
        return None
    if (
        not out.isascii()
        or 0x7F in out  # the standard library escapes DEL, too
        or (_DOT in out and out.rfind(b"0.0000") >= 0)  # 0.00001 is 1e-05 in Python
        or (_SIGN in out and _EXPONENT.search(out))
        or (_U in out and (last := out.rfind(b"null")) >= 0 and _may_be_of_nan(obj, out, last))
    ):
        return None
    return out


def _may_be_of_nan(obj: t.Any, out: bytes, at: int) -> bool:
    """Whether a null that orjson wrote, the last one at ``at``, might be a NaN or an infinity."""
    # PERF: three answers, each dearer than the one before. First, the outermost values, if few.
    values: t.Any = obj.values() if type(obj) is dict else obj if type(obj) is list else ()
    for value in values if len(values) < 32 else ():
        if value is None and (at := out.rfind(b"null", 0, at)) < 0:
            return False
    try:
        data = marshal.dumps(obj)
    except ValueError:  # A type of which it knows nothing.
        pass
    else:
        # The last byte of either is one of these (IEEE 754). So is that of -1, which says nothing.
        if 0x7F not in data and 0xFF not in data:
            return False
    todo = [obj]
    for item in todo:  # grows while it is walked; holds no cycle, orjson has been through it
        kind = type(item)
        if kind is dict or kind is list or kind is tuple:
            values = item.values() if kind is dict else item
            if not _NEVER_NAN.issuperset(map(type, values)):  # PERF: most are, and C tells.
                todo.extend(values)
        elif kind not in _NEVER_NAN and (kind is not float or item - item != 0.0):
            return True
    return False


def _plain(o: t.Any) -> t.Any:
    """Do for orjson what the standard library does for subclasses of JSON's types."""
    if isinstance(o, str):
        return str.__str__(o)
    if isinstance(o, int):
        return int.__int__(o)
    if isinstance(o, float):
        return float.__float__(o)
    if isinstance(o, (list, tuple)):
        return list(o)
    if isinstance(o, dict):
        # Werkzeug's MultiDict, for one, has other items than the dict underneath.
        pairs = list(o.items()) if dict.__len__(o) else []
        if len(plain := dict(pairs)) != len(pairs):
            raise TypeError("The standard library writes repeated keys; orjson cannot.")
        return plain
    return _default(o)


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise ValueError(f"{text[:40]} is not a number that JSON allows, or it is too large.")
    return number


_STRICT = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)


def _load_strict(data: bytes) -> t.Any:
    text = data.decode("utf-8-sig")
    try:
        value = _STRICT.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is a ValueError here
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return value
