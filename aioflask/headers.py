"""Header fields: a request's as they came, a response's that exist once somebody touches them."""

from __future__ import annotations

import typing as t

from werkzeug.datastructures import Headers
from werkzeug.datastructures.mixins import ImmutableHeadersMixin
from werkzeug.exceptions import BadRequestKeyError

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
        if type(key) is str and type(value) is str and "\n" not in value and "\r" not in value:
            lower = key.lower()
            for name, _ in self._list:
                if len(name) == len(key) and name.lower() == lower:
                    break
            else:
                self._list.append((key, value))
                return
        super().__setitem__(key, value)


class HeadersOnDemand:
    """The header fields of a response, to be read and changed, made when they are first wanted.

    PERF: as `lazy`, in one call.
    """

    def __get__(self, response: Response | None, owner: type) -> t.Any:
        if response is None:
            return self
        pairs = [("Content-Type", response._type)] if response._type else []
        if response._plain is not None and response.automatically_set_content_length:
            pairs.append(("Content-Length", str(len(response._plain))))
        headers = response.headers = ResponseHeaders.__new__(ResponseHeaders)
        headers._list = pairs
        return headers


field_names: dict[str, bytes] = {}
"""Names of fields as ASGI wants them, by how they were written."""


def field_name(name: str) -> bytes:
    """A field's name as ASGI wants it, in lower case; look into `field_names` first."""
    found = name.lower().encode("latin-1")
    if len(field_names) < 500:  # Views may pass on what a client sent.
        field_names[name] = found
    return found


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
