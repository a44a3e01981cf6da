"""A request's body: counted while it arrives, and read only when somebody asks for it.

Everything that comes in is counted by ``Body._take``, which holds the limits, whatever
Content-Length says (RFC 9112, section 6). Plain code reads through :class:`BodyFile`, whose thread
waits for the loop; the loop reads ahead with :meth:`Body.read`, or leaves it all to the view,
through :class:`ArrivingBody`.
"""

from __future__ import annotations

import io
import typing as t
import weakref
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wrappers import Request
from werkzeug.wsgi import get_input_stream

from . import concurrency
from .globals import _cv_app

T = t.TypeVar("T")

PIECE = 65536
"""Bytes that are read at once from a WSGI server's input, and by plain code."""

IN_MEMORY = 1 << 21
"""Bytes of a multipart body that are kept as they came, and parsed when somebody asks."""


class BodyTooLarge(RequestEntityTooLarge):
    """413 that names the setting to change. ``limit`` is in bytes.

    Source: RFC 9110, section 15.5.14.
    """

    def __init__(self, setting: str, limit: int) -> None:
        self.setting: str = setting
        self.limit: int = limit
        more = "has more parts than" if setting == "MAX_FORM_PARTS" else "is larger in bytes than"
        super().__init__(f"The request's body {more} {limit:,}, which is the limit of {setting}.")


class Limit:
    """A limit of a request's body: the request's own, or the configuration's of the same name."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name: str = name
        self.setting: str = name.upper()

    def __get__(self, request: t.Any, owner: type) -> int | None:
        if request is None:
            return self  # type: ignore[return-value]
        # COMPAT: None is no limit of one's own, so the configuration's holds.
        own = request._limits
        if own is not None and own.get(self.name) is not None:
            return own[self.name]  # type: ignore[no-any-return]
        ctx: t.Any = _cv_app.get(None)
        if ctx is None:
            return getattr(Request, self.name, None)
        return ctx.app.config[self.setting]  # type: ignore[no-any-return]

    def __set__(self, request: t.Any, value: int | None) -> None:
        request._limits = {**(request._limits or {}), self.name: value}


class Body:
    """The body of one request, read piece by piece from ASGI's ``receive``."""

    __slots__ = tuple("_find _receive complete for_view length loaded received unread".split())

    def __init__(self, request: t.Any, receive: t.Any, length: bytes | None) -> None:
        self._find: t.Any = request if request is None else weakref.ref(request)
        self._receive = receive
        self.unread: bytes = b""
        self.received: int = 0
        self.length: int | None = None
        """Bytes, as Content-Length says, or None."""
        if length is not None and length.isdigit():
            # Python refuses to read thousands of digits; with twenty a number is over every limit.
            self.length = int(length if len(length) < 20 else length.lstrip(b"0")[:20] or b"0")
        self.complete: bool = self.length == 0
        self.loaded: bytes | None = None
        """The whole body, once it was read ahead."""
        self.for_view: bool = False
        """Whether a plain view has begun, around which there may be an ``async def`` one."""

    @property
    def request(self) -> t.Any:
        """The request, which has this body. Whoever reads when it is over finds nobody there.

        :raises ClientDisconnected: then.
        """
        if (request := self._find()) is None:
            raise ClientDisconnected()
        return request

    def check_size(self, request: t.Any) -> None:
        """Refuse what is over ``request.max_content_length``: announced, or here already."""
        fits = self.loaded is not None and request._limits is None  # PERF: since it was read.
        size = 0 if fits else max(self.length or 0, self.received)
        if size and (limit := request.max_content_length) is not None and size > limit:
            raise BodyTooLarge("MAX_CONTENT_LENGTH", limit)

    def check_announced(self, limit: int | None, setting: str) -> None:
        """Refuse by Content-Length, before the client has sent anything."""
        if limit is not None and self.length is not None and self.length > limit:
            raise BodyTooLarge(setting, limit)

    async def read_piece(self) -> bytes:
        """The next bytes, as the server gives them; ``b""`` at the end.

        :raises BodyTooLarge: on the first byte over ``request.max_content_length``.
        :raises ClientDisconnected: if the client went before it had sent everything.
        """
        if self.unread:
            piece, self.unread = self.unread, b""
            return piece
        limit = None if self.complete else self.request.max_content_length
        if not self.received:
            self.check_announced(limit, "MAX_CONTENT_LENGTH")
        while not self.complete:
            if piece := self._take(await self._receive(), limit):
                return piece
        return b""

    def _take(self, message: t.Any, limit: int | None) -> bytes:
        """The bytes that one message brings, counted."""
        if message["type"] == "http.disconnect":
            self.complete = True
            raise ClientDisconnected()
        if not message.get("more_body", False):
            self.complete = True
            self._receive = None
            if (watch := self.request._watch) is not None:
                watch.start()
        piece: bytes = message.get("body", b"")
        self.received += len(piece)
        if limit is not None and self.received > limit:
            self.complete = True
            raise BodyTooLarge("MAX_CONTENT_LENGTH", limit)
        # A server that marks its input as terminated lets a body cut short look whole.
        if self.complete and self.received < (self.length or 0):
            raise ClientDisconnected()
        return piece

    async def read(self) -> bytes:
        """All that is left of the body.

        :raises BodyTooLarge: beyond ``MAX_BODY_MEMORY``, or ``request.max_content_length``.
        """
        data, self.unread = self.unread, b""
        if self.complete:
            return data
        request = self.request
        limit, of_memory = request.max_content_length, request.max_body_memory
        self.check_announced(limit, "MAX_CONTENT_LENGTH")
        self.check_announced(of_memory, "MAX_BODY_MEMORY")
        pieces, size = [data], len(data)
        while not self.complete:
            data = self._take(await self._receive(), limit)
            pieces.append(data)
            size += len(data)
            if of_memory is not None and size > of_memory:
                raise BodyTooLarge("MAX_BODY_MEMORY", of_memory)
        return data if size == len(data) else b"".join(pieces)  # type: ignore[unreachable]

    async def read_pieces(self, at_most: int) -> list[bytes]:
        """What comes, or its beginning if that is, or is said to be, more than so many bytes."""
        pieces, limit = [], self.request.max_content_length
        while not self.complete and max(self.received, self.length or 0) <= at_most:
            if piece := self._take(await self._receive(), limit):
                pieces.append(piece)
        return pieces

    def wait(self, read: t.Callable[..., t.Coroutine[t.Any, t.Any, T]], *args: t.Any) -> T:
        """Read in plain code: ``read`` is awaited by the loop, while this thread waits."""
        if not (isinstance(self, EnvironBody) or concurrency.mode == "loop"):
            return concurrency.async_to_sync(read)(*args)
        try:  # It only seems to await: the input is read here, or what a test sends is there.
            read(*args).send(None)
        except StopIteration as stop:
            return t.cast(T, stop.value)
        raise AssertionError("reading a body that is there waited for an event loop")

    async def read_up_to(self, size: int) -> bytes:
        """At least one byte, at most ``size``; ``b""`` at the end."""
        piece = await self.read_piece()
        if len(piece) > size:
            piece, self.unread = piece[:size], piece[size:]
        return piece


class EnvironBody(Body):
    """The body of a request that came by WSGI: the reading thread reads ``wsgi.input`` itself."""

    __slots__ = ()

    def __init__(self, request: t.Any) -> None:
        length = request.environ.get("CONTENT_LENGTH") or ""
        super().__init__(request, None, length.encode("latin-1") or None)
        find, stream = self._find, None

        async def receive() -> dict[str, t.Any]:
            nonlocal stream
            if stream is None:  # Somebody may have put another there.
                stream = get_input_stream(find().environ)
            data = stream.read(PIECE)
            return {"type": "http.request", "body": data, "more_body": bool(data)}

        self._receive = receive


class BodyFile(io.RawIOBase):
    """The body as a binary file for plain code; each read waits for the event loop."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: t.Any) -> int:
        """Fill a buffer with what is there, and return how many bytes that is."""
        piece = self._body.wait(self._body.read_up_to, len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        """All that is left, within the limits."""
        return self._body.wait(self._body.read)


def open_for_plain_code(body: Body) -> t.IO[bytes]:
    """A buffered file over the body.

    :raises RuntimeError: on the event loop's thread, where a read cannot wait.
    """
    is_here = body.complete or isinstance(body, EnvironBody) or concurrency.mode == "loop"
    if not is_here and concurrency.on_loop():
        raise RuntimeError(
            "The request's body was asked for on the event loop before it was read. It is read"
            " right before the view, after the before_request hooks. A hook or an error handler"
            " that needs it earlier awaits it first:\n\n"
            "    await request.load_body()\n"
            "    data = request.get_json()\n"
        )
    return t.cast("t.IO[bytes]", io.BufferedReader(BodyFile(body), PIECE))


class ArrivingBody:
    """The body as an async iterator over its pieces, bytes of any length."""

    def __init__(self, body: Body) -> None:
        self._body = body
        if body.loaded is not None:  # By a hook, or for a WSGI server.
            body.unread = body.loaded

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._body.read_piece()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, at least one; ``b""`` at the end. All that is left if it is -1.

        :raises BodyTooLarge: a 413, beyond ``MAX_CONTENT_LENGTH``; for all, ``MAX_BODY_MEMORY``.
        :raises ClientDisconnected: a 400, if the client goes before it has sent everything.
        """
        return await (self._body.read() if size < 0 else self._body.read_up_to(size))


# --- forms and query strings ----------------------------------------------------------------------


def check_pairs(request: t.Any, data: bytes) -> None:
    """Refuse an urlencoded form that is over a limit, before it is decoded."""
    limit = request.max_form_memory_size
    if limit is not None and len(data) > limit:
        raise BodyTooLarge("MAX_FORM_MEMORY_SIZE", limit)
    limit = request.max_form_parts
    if limit is not None and data.count(b"&") >= limit and sum(map(bool, data.split(b"&"))) > limit:
        raise BodyTooLarge("MAX_FORM_PARTS", limit)


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Names and values of a query string or a form, as WHATWG's URL standard has them (5.1).

    PERF: the same as `urllib.parse.parse_qsl`, at a fourth of its price. Invalid UTF-8 stays
    percent-encoded.
    """
    pairs = [part.partition("=") for part in text.replace("+", " ").split("&") if part]
    if "%" not in text:
        return [(name, value) for name, _, value in pairs]
    return [
        (_unquoted(name) if "%" in name else name, _unquoted(value) if "%" in value else value)
        for name, _, value in pairs
    ]


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "werkzeug.url_quote")


def multidict(kind: type[t.Any], pairs: list[tuple[str, t.Any]]) -> t.Any:
    """A multidict of these pairs."""
    if kind is not ImmutableMultiDict:
        return kind(pairs)
    # PERF: a MultiDict is a dict of lists, and its constructor takes 1.5 us to find out of what.
    lists: dict[str, list[t.Any]] = {}
    for name, value in pairs:
        if name in lists:
            lists[name].append(value)
        else:
            lists[name] = [value]
    made: t.Any = ImmutableMultiDict.__new__(ImmutableMultiDict)
    dict.update(made, lists)
    return made
