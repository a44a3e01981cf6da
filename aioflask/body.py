"""A request's body: counted while it arrives, and read only when somebody asks for it.

Everything that comes in is counted by ``Body._take``, which holds the limits, whatever
Content-Length says (RFC 9112, section 6). Plain code reads through :class:`BodyFile`, whose thread
waits for the loop; the loop reads ahead with :meth:`Body.read`, or leaves it all to the view,
through :class:`ArrivingBody`.
"""

from __future__ import annotations

import io
import string
import sys
import typing as t
import weakref
from functools import lru_cache
from operator import attrgetter, itemgetter
from urllib.parse import parse_qsl, unquote_to_bytes

from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wrappers import Request
from werkzeug.wsgi import get_input_stream

from . import concurrency
from .globals import _cv_app

T = t.TypeVar("T")

PIECE = 65536
"""Bytes that are read at once from a WSGI server's input, and by plain code."""

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_OF_ALL = "MAX_CONTENT_LENGTH"
_AS_IT_IS = "werkzeug.url_quote"
_new: t.Any = dict.__new__

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


def _limit(name: str, doc: str) -> t.Any:
    """A limit of a request's body: the request's own, or the configuration's of the same name."""

    def of(request: t.Any) -> int | None:
        # COMPAT: None is no limit of one's own, so the configuration's holds.
        own = request._limits
        if own is not None and own.get(name) is not None:
            return own[name]  # type: ignore[no-any-return]
        ctx: t.Any = _cv_app.get(None)
        return getattr(Request, name, None) if ctx is None else ctx.app.config[name.upper()]

    def set_own(request: t.Any, value: int | None) -> None:
        request._limits = {**(request._limits or {}), name: value}

    return property(of, set_own, doc=doc)


LIMITS = {
    "max_content_length": "Bytes that the body may have, then 413.",
    "max_body_memory": "Bytes of a body that may be held in memory.",
    "max_form_memory_size": "Bytes that a field of a multipart form may have.",
    "max_form_parts": "Parts that a multipart body may have.",
}
limits: tuple[t.Any, ...] = tuple(_limit(*each) for each in LIMITS.items())


def _reader_of(which: slice) -> t.Callable[[t.Any], t.Any]:
    names = [*LIMITS][which]
    own, ours, configured = attrgetter(*names), limits[which], itemgetter(*map(str.upper, names))

    def read(request: t.Any) -> t.Any:
        """Both limits, as they hold for a request."""
        ctx = _cv_app.get(None)
        if ctx is None or request._limits is not None or own(type(request)) != ours:
            return own(request)
        return configured(ctx.app.config)  # PERF: mostly it is the configuration that has them.

    return read


limits_of: t.Callable[[t.Any], t.Any] = _reader_of(slice(2))
"""Both limits of what a request's body has in memory."""
form_limits_of: t.Callable[[t.Any], t.Any] = _reader_of(slice(2, 4))
"""Both limits of a request's form."""


class Body:
    """The body of one request, read piece by piece from ASGI's ``receive``."""

    __slots__ = tuple("_receive complete find for_view length loaded received unread watch".split())
    length: int | None
    """Bytes, as Content-Length says, or None."""
    loaded: bytes | None
    """The whole body, once it was read ahead."""
    for_view: bool
    """Whether a plain view has begun, around which there may be an ``async def`` one."""
    find: t.Any
    """A weak reference to the request, once somebody has this as a file or an iterator."""
    watch: t.Any
    """What notices that the client goes, and waits for the end of the body."""

    def __init__(self, receive: t.Any, length: bytes | None) -> None:
        self.begin(receive, length)

    def begin(self, receive: t.Any, length: bytes | None) -> None:
        """Be the body of a request. PERF: to call the class takes longer."""
        self._receive = receive
        self.unread: bytes = b""
        self.received: int = 0
        self.find = self.length = self.loaded = self.watch = None
        self.complete: bool = False
        self.for_view = False
        if length is not None and length.isdigit():
            try:
                self.length = int(length)
            except ValueError:  # Python refuses to read thousands of digits.
                self.length = sys.maxsize
            self.complete = not self.length

    def open_for(self, request: t.Any) -> t.Self:
        """Be read through a file, or an iterator, of a request."""
        self.find = weakref.ref(request)
        return self

    @property
    def request(self) -> t.Any:
        """The request, which has this body. Whoever reads when it is over finds nobody there.

        :raises ClientDisconnected: then.
        """
        if (request := self.find()) is None:
            raise ClientDisconnected()
        return request

    def check_size(self, request: t.Any) -> None:
        """Refuse what is over ``request.max_content_length``: announced, or here already."""
        fits = self.loaded is not None and request._limits is None  # PERF: since it was read.
        size = 0 if fits else max(self.length or 0, self.received)
        if size and (limit := request.max_content_length) is not None and size > limit:
            raise BodyTooLarge(_OF_ALL, limit)

    async def read_piece(self, request: t.Any = None) -> bytes:
        """The next bytes, as the server gives them; ``b""`` at the end.

        :raises BodyTooLarge: on the first byte over ``request.max_content_length``.
        :raises ClientDisconnected: if the client went before it had sent everything.
        """
        if self.unread:
            piece, self.unread = self.unread, b""
            return piece
        request = self.request if request is None else request
        limit = None if self.complete else request.max_content_length
        if limit is not None and not self.received and (self.length or 0) > limit:
            raise BodyTooLarge(_OF_ALL, limit)  # By Content-Length, before anything was sent.
        while not self.complete:
            if piece := self._take(await self._receive(), limit):
                return piece
        return b""

    def _take(self, message: t.Any, limit: int | None, setting: str = _OF_ALL) -> bytes:
        """The bytes that one message brings, counted."""
        if message["type"] == "http.disconnect":
            self.complete = True
            raise ClientDisconnected()
        if not message.get("more_body", False):
            self.complete = True
            self._receive = None
            if self.watch is not None:
                self.watch.start()
        piece: bytes = message.get("body", b"")
        self.received += len(piece)
        if limit is not None and self.received > limit:
            self.complete = True
            raise BodyTooLarge(setting, limit)
        # A server that marks its input as terminated lets a body cut short look whole.
        if self.complete and self.received < (self.length or 0):
            raise ClientDisconnected()
        return piece

    async def read(self, request: t.Any = None) -> bytes:
        """All that is left of the body; kept as `loaded` if it is read ahead, for a request.

        :raises BodyTooLarge: beyond ``MAX_BODY_MEMORY``, or ``request.max_content_length``.
        """
        data, self.unread = self.unread, b""
        if self.complete:
            return data
        limit, of_memory = limits_of(self.request if request is None else request)
        setting = _OF_ALL
        if of_memory is not None:
            of_memory += self.received - len(data)  # What was read before is not in memory.
            if limit is None or of_memory < limit:
                limit, setting = of_memory, "MAX_BODY_MEMORY"
        if limit is not None and (self.length or 0) > limit:
            raise BodyTooLarge(setting, limit)
        pieces = [data] if data else []
        while not self.complete:
            pieces.append(self._take(await self._receive(), limit, setting))
        data = b"".join(pieces)  # type: ignore[unreachable]
        if request is not None:
            self.loaded = data
        return data

    async def read_pieces(self, request: t.Any, at_most: int) -> list[bytes]:
        """What comes, or its beginning if that is, or is said to be, more than so many bytes."""
        pieces, limit = [], request.max_content_length
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
        super().__init__(None, length.encode("latin-1") or None)
        find: t.Any = weakref.ref(request)
        stream = None

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


def open_for_plain_code(request: t.Any) -> t.IO[bytes]:
    """A buffered file over the body.

    :raises RuntimeError: on the event loop's thread, where a read cannot wait.
    """
    body = request._body
    is_here = body.complete or isinstance(body, EnvironBody) or concurrency.mode == "loop"
    if not is_here and concurrency.on_loop():
        raise RuntimeError(
            "The request's body was asked for on the event loop before it was read. It is read"
            " right before the view, after the before_request hooks. A hook or an error handler"
            " that needs it earlier awaits it first:\n\n"
            "    await request.load_body()\n"
            "    data = request.get_json()\n"
        )
    return t.cast("t.IO[bytes]", io.BufferedReader(BodyFile(body.open_for(request)), PIECE))


class ArrivingBody:
    """The body as an async iterator over its pieces, bytes of any length."""

    def __init__(self, request: t.Any) -> None:
        body: Body = request._body
        self._body = body.open_for(request)
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


@lru_cache(100)
def form_type(content_type: bytes) -> str:
    """The type of a form that we parse, in lower case; "" for what is none."""
    kind = content_type.decode("latin-1").partition(";")[0].strip().lower()
    return kind if kind in (URLENCODED, MULTIPART) else ""


def check_pairs(request: t.Any, data: bytes) -> None:
    """Refuse an urlencoded form that is over a limit, before it is decoded."""
    of_memory, limit = form_limits_of(request)
    if of_memory is not None and len(data) > of_memory:
        raise BodyTooLarge("MAX_FORM_MEMORY_SIZE", of_memory)
    if limit is not None and data.count(b"&") >= limit and sum(map(bool, data.split(b"&"))) > limit:
        raise BodyTooLarge("MAX_FORM_PARTS", limit)


_ASCII = {a + b: chr(int(a + b, 16)) for a in "01234567" for b in string.hexdigits}


def _unquoted(text: str) -> str:
    before, _, after = text.partition("%")
    char = _ASCII.get(after[:2])
    if char is None or after.find("%", 2) >= 0:
        return unquote_to_bytes(text).decode("utf-8", _AS_IT_IS)
    return before + char + after[2:]  # PERF: most are an address.


def fields_of(kind: type[t.Any], text: str) -> t.Any:
    """What a query string or a form says, as WHATWG's URL standard has it (5.1).

    Invalid UTF-8 stays percent-encoded.
    """
    if kind is not ImmutableMultiDict:
        return kind(parse_qsl(text, keep_blank_values=True, errors=_AS_IT_IS))
    # PERF: the same at a fourth of its price.
    lists: dict[str, list[str]] = {}
    for part in text.replace("+", " ").split("&"):
        if part:
            name, _, value = part.partition("=")
            if "%" in part:
                value = _unquoted(value)
                if "%" in name:
                    name = _unquoted(name)
            if name in lists:
                lists[name].append(value)
            else:
                lists[name] = [value]
    made: t.Any = _new(ImmutableMultiDict)
    dict.update(made, lists)
    return made


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
    made: t.Any = _new(ImmutableMultiDict)
    dict.update(made, lists)
    return made
