"""A request's body: counted while it arrives, and read only when somebody asks for it.

Everything that comes in passes :meth:`Body.read_piece`, which holds the limits, whatever
Content-Length says (RFC 9112, section 6). Plain code reads through :class:`BodyFile`, whose thread
waits for the loop; the loop reads ahead with :meth:`Body.read` or :meth:`parse_multipart`.
"""

from __future__ import annotations

import io
import typing as t
from urllib.parse import unquote

from werkzeug.datastructures import FileStorage, Headers, ImmutableMultiDict
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    NEED_DATA,
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    NeedData,
    State,
)
from werkzeug.wsgi import get_input_stream

from .concurrency import async_to_sync, on_loop, run_sync

if t.TYPE_CHECKING:
    from .wrappers import Request

T = t.TypeVar("T")

PIECE = 65536
"""Bytes that a parser is given at once: its work between two other requests stays small."""

IN_MEMORY = 500_000
"""Bytes of a multipart body that are kept as they came, and parsed when somebody asks."""

WRITE_AT_ONCE = 1 << 20
"""Bytes of uploaded files that are written by one visit to a thread."""


class BodyTooLarge(RequestEntityTooLarge):
    """413 that names the setting to change. ``limit`` is in bytes.

    Source: RFC 9110, section 15.5.14.
    """

    def __init__(self, setting: str, limit: int) -> None:
        self.setting: str = setting
        self.limit: int = limit
        super().__init__(
            f"The request's body is larger than {limit:,} bytes, which is the limit of {setting}."
        )


class Body:
    """The body of one request, read piece by piece from ASGI's ``receive``."""

    __slots__ = ("_receive", "complete", "length", "loaded", "received", "request", "unread")

    def __init__(self, request: t.Any, receive: t.Any, length: bytes | None) -> None:
        self.request: t.Any = request
        self._receive = receive
        self.unread: bytes = b""
        self.received: int = 0
        self.length: int | None = int(length) if length is not None and length.isdigit() else None
        """Bytes, as Content-Length says, or None."""
        self.complete: bool = self.length == 0
        self.loaded: bytes | None = None
        """The whole body, once it was read ahead."""

    def check_size(self) -> None:
        """Refuse what is over ``request.max_content_length``: announced, or here already."""
        size = max(self.length or 0, self.received)
        if size and (limit := self.request.max_content_length) is not None and size > limit:
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
        if self.complete:
            return b""
        limit = self.request.max_content_length
        if not self.received:
            self.check_announced(limit, "MAX_CONTENT_LENGTH")
        while not self.complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.complete = True
                raise ClientDisconnected()
            self.complete = not message.get("more_body", False)
            piece = message.get("body", b"")
            self.received += len(piece)
            if limit is not None and self.received > limit:
                self.complete = True
                raise BodyTooLarge("MAX_CONTENT_LENGTH", limit)
            if piece:
                return t.cast(bytes, piece)
        return b""

    async def read(self) -> bytes:
        """All that is left of the body.

        :raises BodyTooLarge: beyond ``MAX_BODY_MEMORY``, or ``request.max_content_length``.
        """
        if self.complete:
            return await self.read_piece()
        limit = self.request.max_body_memory
        self.check_size()
        self.check_announced(limit, "MAX_BODY_MEMORY")
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read_piece():
            pieces.append(piece)
            size += len(piece)
            if limit is not None and size > limit:
                raise BodyTooLarge("MAX_BODY_MEMORY", limit)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def wait(self, read: t.Callable[..., t.Coroutine[t.Any, t.Any, T]], *args: t.Any) -> T:
        """Read in plain code: ``read`` is awaited by the loop, while this thread waits."""
        return async_to_sync(read)(*args)

    async def read_up_to(self, size: int) -> bytes:
        """At least one byte, at most ``size``; ``b""`` at the end."""
        piece = await self.read_piece()
        if len(piece) > size:
            piece, self.unread = piece[:size], piece[size:]
        return piece


class EnvironBody(Body):
    """The body of a request that came by WSGI: the reading thread reads ``wsgi.input`` itself."""

    __slots__ = ("_input",)

    def __init__(self, request: t.Any) -> None:
        environ = request.environ
        length = environ.get("CONTENT_LENGTH") or ""
        super().__init__(request, self._read_input, length.encode("latin-1") or None)
        self._input = get_input_stream(environ)

    async def _read_input(self) -> dict[str, t.Any]:
        data = self._input.read(PIECE)
        # A server that marks its input as terminated lets a body that was cut short look whole.
        if not data and self.length is not None and self.received < self.length:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": data, "more_body": bool(data)}

    def wait(self, read: t.Callable[..., t.Coroutine[t.Any, t.Any, T]], *args: t.Any) -> T:
        """Do what only seems to await."""
        try:
            read(*args).send(None)
        except StopIteration as stop:
            return t.cast(T, stop.value)
        raise AssertionError("reading wsgi.input waited for an event loop")


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
    if not (body.complete or isinstance(body, EnvironBody)) and on_loop():
        raise RuntimeError(
            "The request's body was asked for on the event loop before it was read. It is read"
            " right before the view, after the before_request hooks. A hook or an error handler"
            " that needs it earlier awaits it first:\n\n"
            "    await request.load_body()\n"
            "    data = request.get_json()\n"
        )
    return t.cast("t.IO[bytes]", io.BufferedReader(BodyFile(body), PIECE))


# --- multipart, while it arrives ------------------------------------------------------------------


class MultipartParser:
    """Parses multipart/form-data (RFC 7578) in small pieces, with large files on disk.

    :raises BadRequest: for a body that is not multipart.
    :raises RequestEntityTooLarge: beyond a limit on parts or on the memory for fields.
    """

    def __init__(self, request: Request) -> None:
        boundary = request.mimetype_params.get("boundary", "").encode("latin-1", "replace")
        if not boundary:
            raise BadRequest("The multipart body has no boundary in its Content-Type.")
        self._request = request
        self._decoder = MultipartDecoder(
            boundary, request.max_form_memory_size, max_parts=request.max_form_parts
        )
        self._mark = b"--" + boundary
        self._whole = len(self._mark) + 4  # Two dashes, or none, and the line's end.
        self._held = b""
        self._part: Field | File | None = None
        self._field: list[bytes] = []
        self._field_size = 0
        self._writes: list[tuple[t.IO[bytes], bytes]] = []
        self.form: list[tuple[str, str]] = []
        self.files: list[tuple[str, FileStorage]] = []
        self.to_write: int = 0
        """Bytes of files that :meth:`write` has not written yet."""

    def feed(self, data: bytes) -> None:
        """Parse what has come, as far as it can be."""
        for start in range(0, len(data), PIECE):
            piece = self._held + data[start : start + PIECE]
            # Werkzeug's decoder takes the CR before a boundary for data if what follows the
            # boundary is not there yet, so an incomplete boundary waits for the next piece.
            end = len(piece)
            while (mark := piece.rfind(self._mark, 0, end)) >= 0 and end < mark + self._whole:
                end = max(0, mark - 2)
            self._held = piece[end:]
            self._decode(piece[:end])

    def finish(self) -> None:
        """Parse the rest."""
        if self._held:
            self._decode(self._held)
        if not isinstance(self._decode(None), Epilogue):
            raise BadRequest("The multipart body ends without its closing boundary.")

    def _decode(self, data: bytes | None) -> Event:
        try:
            self._decoder.receive_data(data)
            while not isinstance(event := self._next_event(), (NeedData, Epilogue)):
                if isinstance(event, Data):
                    self._take(event)
                elif isinstance(event, (Field, File)):
                    self._begin(event)
        except ValueError as error:
            raise BadRequest("The multipart body is malformed.") from error
        return event

    def _next_event(self) -> Event:
        decoder = self._decoder
        # Werkzeug before 3.1.7 takes the line break in front of a part's data for data if less
        # than a boundary's length has come of it.
        few = len(decoder.buffer) <= len(self._mark) + 4
        if few and decoder.state is State.DATA_START and not decoder.complete:
            return NEED_DATA
        return decoder.next_event()

    def _begin(self, part: Field | File) -> None:
        self._part, self._field, self._field_size = part, [], 0
        if isinstance(part, File):
            stream = self._request._get_file_stream(
                total_content_length=self._request.content_length,
                content_type=part.headers.get("content-type"),
                filename=part.filename,
                content_length=_length(part),
            )
            storage = FileStorage(stream, part.filename, part.name, headers=part.headers)
            self.files.append((part.name, storage))

    def _take(self, event: Data) -> None:
        part, data = t.cast("Field | File", self._part), event.data
        if isinstance(part, File):
            self._writes.append((self.files[-1][1].stream, data))
            self.to_write += len(data)
            return
        self._field.append(data)
        self._field_size += len(data)
        limit = self._request.max_form_memory_size
        if limit is not None and self._field_size > limit:
            raise BodyTooLarge("MAX_FORM_MEMORY_SIZE", limit)
        if not event.more_data:
            self.form.append((part.name, _text(part.headers, b"".join(self._field))))

    def write(self) -> None:
        """Write what came of the files; for those on disk this blocks."""
        writes, self._writes, self.to_write = self._writes, [], 0
        for file, data in writes:
            file.write(data)

    def rewind(self) -> None:
        """Make the files ready to be read."""
        for _, storage in self.files:
            storage.stream.seek(0)

    def close(self) -> None:
        """Close and delete the files of a body that is refused."""
        for _, storage in self.files:
            storage.close()


async def parse_arriving(request: Request, body: Body, first: list[bytes]) -> MultipartParser:
    """Parse a large multipart body while it comes, without blocking the loop."""
    parser = MultipartParser(request)
    try:
        while piece := (first.pop(0) if first else await body.read_piece()):
            parser.feed(piece)
            if parser.to_write >= WRITE_AT_ONCE:
                await _write(parser)
        parser.finish()
        await _write(parser)
        parser.rewind()
    except BaseException:
        parser.close()
        raise
    return parser


async def _write(parser: MultipartParser) -> None:
    if on_loop():
        await run_sync(parser.write)
    else:
        parser.write()


def parse_loaded(request: Request, data: bytes) -> MultipartParser:
    """Parse a multipart body that is in memory."""
    parser = MultipartParser(request)
    try:
        parser.feed(data)
        parser.finish()
        parser.write()
        parser.rewind()
    except BaseException:
        parser.close()
        raise
    return parser


def _length(part: File) -> int:
    length = part.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _text(headers: Headers, data: bytes) -> str:
    """A field's text, in its part's charset if that is one that is safe to decode."""
    charset = parse_options_header(headers.get("content-type"))[1].get("charset", "utf-8").lower()
    if charset not in {"ascii", "us-ascii", "utf-8", "iso-8859-1"}:
        charset = "utf-8"
    return data.decode(charset, "replace")


# --- forms and query strings ----------------------------------------------------------------------


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Names and values of a query string or a form, as WHATWG's URL standard has them (5.1).

    PERF: the same as `urllib.parse.parse_qsl`, at a fourth of its price. Invalid UTF-8 stays
    percent-encoded.
    """
    pairs = []
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            if "+" in part:
                name, value = name.replace("+", " "), value.replace("+", " ")
            if "%" in part:
                name = unquote(name, errors="werkzeug.url_quote")
                value = unquote(value, errors="werkzeug.url_quote")
            pairs.append((name, value))
    return pairs


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
