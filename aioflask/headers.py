"""Header fields: a request's as they came, a response's that exist once somebody touches them."""

from __future__ import annotations

import re
import typing as t
from functools import lru_cache, wraps

from werkzeug.datastructures import Headers
from werkzeug.datastructures.mixins import ImmutableHeadersMixin
from werkzeug.exceptions import BadRequestKeyError
from werkzeug.utils import get_content_type

if t.TYPE_CHECKING:
    from .wrappers import Response


class RequestHeaders(ImmutableHeadersMixin, Headers):  # type: ignore[misc]
    """A request's header fields, which nobody can change; names read ``Content-Type``.

    COMPAT: like Werkzeug's view of an environ it has no places and slices, only names.
    """

    def __init__(self, pairs: t.Iterable[tuple[bytes, bytes]] = ()) -> None:
        # PERF: Headers() checks every pair for what the server has refused already (2 us).
        self._list = [(k.decode("latin-1").title(), v.decode("latin-1")) for k, v in pairs]

    def __getitem__(self, key: t.Any) -> t.Any:
        return self._get_key(key)

    def _get_key(self, key: t.Any) -> t.Any:
        if not isinstance(key, str):
            raise BadRequestKeyError(key)
        try:
            return super()._get_key(key)
        except KeyError:  # Of Werkzeug's, which would answer the client with a 400.
            raise KeyError(key) from None

    def clear(self) -> None:
        """Do nothing, as Werkzeug's."""

    def copy(self) -> t.NoReturn:
        """Refuse: a copy is made by ``Headers(request.headers)``.

        :raises TypeError: always.
        """
        raise TypeError("The headers of a request cannot be copied: Headers(request.headers) can.")

    def __or__(self, other: t.Any) -> t.NoReturn:
        self.copy()


class ResponseHeaders(Headers):
    """The header fields of a response."""

    def __init__(self, pairs: t.Iterable[tuple[str, str]] = ()) -> None:
        self._list = list(pairs)

    def __setitem__(self, key: t.Any, value: t.Any) -> None:
        # PERF: a new field, the most frequent case, at a third of Werkzeug's price.
        if type(key) is str and type(value) is str and value.isprintable():
            size = len(key)
            for name, _ in self._list:
                if len(name) == size and name.lower() == key.lower():
                    break
            else:
                self._list.append((key, value))
                return
        super().__setitem__(key, value)


_new: t.Any = object.__new__
_FRAGILE = frozenset(
    {b"authorization", b"date", b"if-modified-since", b"if-unmodified-since", b"if-range"}
)


def readable(names: t.Iterable[bytes], pairs: t.Any) -> t.Any:
    """A request's fields without those that are nonsense, and at which Werkzeug's readers fail.

    A year of 400 digits is no date (RFC 9110, 5.6.7), what is not ASCII no credentials (11.4).
    """
    if _FRAGILE.isdisjoint(names):
        return pairs
    return [
        (name, value) for name, value in pairs if name not in _FRAGILE or _makes_sense(name, value)
    ]


def _makes_sense(name: bytes, value: bytes) -> bool:
    return value.isascii() if name == b"authorization" else len(value) < 64 or b'"' in value


def long_suffix(environ: t.Any, length: int | None) -> t.Any:
    """An environ that asks for the whole file where it asks for more than that of its end."""
    asked = re.fullmatch(r"bytes=-(\d{1,18})", environ.get("HTTP_RANGE", ""), re.A)
    if asked is None or length is None or int(asked[1]) <= length:
        return environ
    return {**environ, "HTTP_RANGE": "bytes=0-"}


def headers_of(response: Response) -> Headers:
    """The header fields of a response, to be read and changed, made when they are first wanted."""
    headers = response._headers
    if headers is None:
        kind = response._type
        pairs = [("Content-Type", kind)] if kind else []
        if (body := response._plain) is not None and response.automatically_set_content_length:
            pairs.append(known_field(len(body))[0])
        headers = response._headers = _new(ResponseHeaders)
        headers._list = pairs
    return headers


F = t.TypeVar("F", bound=t.Callable[..., t.Any])

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header field's name, or a cookie's: RFC 9110, 5.6.2; RFC 6265, 4.1.1."""

_UNFIT = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class UnsendableResponse(ValueError):
    """A response that HTTP cannot carry. It is answered with a 500 in its place."""


@lru_cache(500)  # Views may pass on what a client sent.
def field_name(name: str) -> bytes:
    """A field's name as ASGI wants it, in lower case.

    :raises UnsendableResponse: for what is no name (RFC 9110, 5.1).
    """
    if not TOKEN.fullmatch(name):
        raise UnsendableResponse(
            f"The response has a header field with the name {name!r}. A name is made of letters,"
            " digits and dashes."
        )
    return name.lower().encode("latin-1")


def field_value(name: str, value: str) -> bytes:
    """A field's value as ASGI wants it.

    :raises UnsendableResponse: for control characters, and for what is not latin-1 (RFC 9110, 5.5).
    """
    if unfit := _UNFIT.search(value):
        raise UnsendableResponse(
            f"The response's header field {name}: {value!r} has the character {unfit[0]!r}, which"
            " no header can carry: one that begins a new line would begin a new header. Leave it"
            " out, or quote the value with urllib.parse.quote()."
        )
    return value.strip(" \t").encode("latin-1")


sendable: dict[tuple[str, str], tuple[bytes, bytes]] = {}
"""Fields as ASGI wants them, by how they were written: those of late that were no cookies."""


def send_field(name: str, value: str) -> tuple[bytes, bytes]:
    """A field as ASGI wants it; look into `sendable` first.

    :raises UnsendableResponse: as `field_name` and `field_value` do.
    """
    plain = value.isascii() and value.isprintable()  # PERF: most are.
    found = field_name(name), value.strip().encode() if plain else field_value(name, value)
    if found[0] != b"set-cookie" and len(value) < 200:
        if len(sendable) >= 500:
            sendable.clear()
        sendable[name, value] = found
    return found


def checked(set_cookie: F) -> F:
    """Werkzeug's ``set_cookie``, with a ValueError for a name or a domain that is none.

    Either would give the cookie attributes by accident (RFC 6265, 4.1.1).
    """

    @wraps(set_cookie)
    def check(
        response: t.Any, key: str, value: str = "", max_age: t.Any = None, expires: t.Any = None,
        path: str | None = "/", domain: str | None = None, *args: t.Any, **kwargs: t.Any,
    ) -> None:  # fmt: skip
        if not TOKEN.fullmatch(key):
            raise ValueError(
                f"set_cookie({key!r}): a cookie's name is made of letters, digits and dashes."
            )
        if domain and re.search(r"[;,\x00-\x20\x7f]", domain):
            raise ValueError(f"set_cookie({key!r}, domain={domain!r}): that is no domain.")
        set_cookie(response, key, value, max_age, expires, path, domain, *args, **kwargs)

    return t.cast(F, check)


def encoded(fields: t.Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Fields as ASGI wants them; raises what `send_field` raises."""
    return [send_field(name, value) for name, value in fields]


@lru_cache(100)
def content_type_of(mimetype: str) -> str:
    """A mimetype with its charset, as Werkzeug writes it."""
    return get_content_type(mimetype, "utf-8")


@lru_cache(500)
def known_field(of: str | int) -> tuple[tuple[str, str], tuple[bytes, bytes]]:
    """The field of a content type, or of a length in bytes: as one reads it, as ASGI wants it."""
    field = "Content-Type" if isinstance(of, str) else "Content-Length", str(of)
    return field, send_field(*field)


_UNUSUAL = {
    name.lower(): name
    for name in (
        "Accept-CH Content-DPR Content-MD5 DNT DPR ECT ETag Expect-CT NEL P3P RTT Sec-CH-UA Sec-GPC"
        " Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol"
        " Sec-WebSocket-Version SourceMap TE WWW-Authenticate X-Correlation-ID"
        " X-DNS-Prefetch-Control X-Request-ID X-RateLimit-Limit X-RateLimit-Remaining"
        " X-RateLimit-Reset X-UA-Compatible X-XSS-Protection"
    ).split()
}


def usual_name(name: bytes) -> str:
    """A field's name with the capitals that one writes it with: ``Content-Type``, ``ETag``."""
    text = name.decode("latin-1").lower()
    return _UNUSUAL.get(text) or text.title()
