"""A request's body: counted while it arrives, and read only when somebody asks for it.

Everything that comes in passes :meth:`Body.read_piece`, which holds the limits, whatever
Content-Length says (RFC 9112, section 6). Plain code reads through :class:`BodyFile`, whose thread
waits for the loop; the loop reads ahead with :meth:`Body.read` or :meth:`parse_multipart`.
"""

from __future__ import annotations

import io
import typing as t

from werkzeug.datastructures import FileStorage, Headers
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from .concurrency import async_to_sync, on_loop, run_sync

if t.TYPE_CHECKING:
    from .wrappers import Request

PIECE = 65536
"""Bytes that a parser is given at once: its work between two other requests stays small."""

IN_MEMORY = 500_000
"""Bytes of an uploaded file, or of a multipart body, that stay in memory."""


class BodyTooLarge(RequestEntityTooLarge):
    """413 that names the setting to change. ``limit`` is in bytes.

    Source: RFC 9110, section 15.5.14.
    """

    def __init__(self, setting: str, limit: int) -> None:
        self.setting, self.limit = setting, limit
        super().__init__(
            f"The request's body is larger than {limit:,} bytes, which is the limit of {setting}."
        )


class Body:
    """The body of one request, read piece by piece from ASGI's ``receive``."""

    __slots__ = ("_receive", "complete", "length", "received", "request", "unread")

    def __init__(self, request: t.Any, receive: t.Any, length: bytes | None) -> None:
        self.request = request
        self._receive = receive
        self.unread = b""
        self.received = 0
        self.length = int(length) if length is not None and length.isdigit() else None
        """Bytes, as Content-Length says, or None."""
        self.complete = self.length == 0

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
        self.check_announced(self.request.max_content_length, "MAX_CONTENT_LENGTH")
        self.check_announced(limit, "MAX_BODY_MEMORY")
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read_piece():
            pieces.append(piece)
            size += len(piece)
            if limit is not None and size > limit:
                raise BodyTooLarge("MAX_BODY_MEMORY", limit)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_up_to(self, size: int) -> bytes:
        """At least one byte, at most ``size``; ``b""`` at the end."""
        piece = await self.read_piece()
        if len(piece) > size:
            piece, self.unread = piece[:size], piece[size:]
        return piece


class BodyFile(io.RawIOBase):
    """The body as a binary file for plain code; each read waits for the event loop."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: t.Any) -> int:
        """Fill a buffer with what is there, and return how many bytes that is."""
        piece = async_to_sync(self._body.read_up_to)(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        """All that is left, within the limits."""
        return async_to_sync(self._body.read)()


def open_for_plain_code(body: Body) -> t.IO[bytes]:
    """A buffered file over the body.

    :raises RuntimeError: on the event loop's thread, where a read cannot wait.
    """
    if not body.complete and on_loop():
        raise RuntimeError(
            "The request's body was asked for on the event loop before it was read. It is read"
            " right before the view, after the before_request hooks. A hook or an error handler"
            " that needs it earlier awaits it first:\n\n"
            "    await request.load_body()\n"
            "    data = request.get_json()\n"
        )
    return t.cast("t.IO[bytes]", io.BufferedReader(BodyFile(body), PIECE))


# --- multipart, while it arrives ------------------------------------------------------------------


class MultipartReader:
    """Parses multipart/form-data (RFC 7578) in small pieces, with files on disk when large."""

    def __init__(self, request: Request, body: Body) -> None:
        boundary = request.mimetype_params.get("boundary", "").encode("latin-1", "replace")
        if not boundary:
            raise BadRequest("The multipart body has no boundary in its Content-Type.")
        self.request, self.body = request, body
        self.decoder = MultipartDecoder(
            boundary, request.max_form_memory_size, max_parts=request.max_form_parts
        )
        self.form: list[tuple[str, str]] = []
        self.files: list[tuple[str, FileStorage]] = []
        self.part: Field | File | None = None
        self.field: list[bytes] = []
        self.field_memory = 0
        self.file: t.IO[bytes] | None = None
        self.pending: list[bytes] = []
        self.file_size = self.pending_size = 0

    async def parse(self) -> tuple[list[tuple[str, str]], list[tuple[str, FileStorage]]]:
        """The fields and the files.

        :raises BadRequest: for a body that is not multipart.
        :raises RequestEntityTooLarge: beyond a limit on parts or on the memory for fields.
        """
        try:
            while True:
                piece = await self.body.read_piece()
                if not piece:
                    await self._feed(None)
                    return self.form, self.files
                for start in range(0, len(piece), PIECE):
                    await self._feed(piece[start : start + PIECE] if len(piece) > PIECE else piece)
        except BaseException as error:
            self._discard()
            if isinstance(error, ValueError):
                raise BadRequest("The multipart body is malformed.") from error
            raise

    async def _feed(self, piece: bytes | None) -> None:
        self.decoder.receive_data(piece)
        while not isinstance(event := self.decoder.next_event(), (NeedData, Epilogue)):
            if isinstance(event, Data):
                await self._take(event)
            elif isinstance(event, (Field, File)):
                self._begin(event)
        if piece is None and not isinstance(event, Epilogue):
            raise ValueError("the closing boundary is missing")

    def _begin(self, part: Field | File) -> None:
        self.part, self.field, self.field_memory = part, [], 0
        if isinstance(part, File):
            self.file_size = 0
            self.file = self.request._get_file_stream(
                self.request.content_length,
                part.headers.get("content-type"),
                part.filename,
                _length(part.headers),
            )
            self.files.append((part.name, _storage(part, self.file)))

    async def _take(self, data: Data) -> None:
        if self.file is not None:
            self.pending.append(data.data)
            self.pending_size += len(data.data)
            if self.pending_size >= PIECE * 16 or not data.more_data:
                await self._write()
            if not data.more_data:
                self.file.seek(0)
                self.file = None
            return
        limit = self.request.max_form_memory_size
        self.field.append(data.data)
        self.field_memory += len(data.data)
        if limit is not None and self.field_memory > limit:
            raise BodyTooLarge("MAX_FORM_MEMORY_SIZE", limit)
        if not data.more_data and self.part is not None:
            self.form.append((self.part.name, _text(self.part.headers, b"".join(self.field))))

    async def _write(self) -> None:
        file = t.cast("t.IO[bytes]", self.file)
        data, self.pending, self.pending_size = b"".join(self.pending), [], 0
        self.file_size += len(data)
        # A file that is still in memory is written to at once; the disk must not stop the loop.
        if self.file_size > IN_MEMORY and not isinstance(file, io.BytesIO):
            await run_sync(file.write, data)
        else:
            file.write(data)

    def _discard(self) -> None:
        for _, storage in self.files:
            storage.close()


def _length(headers: Headers) -> int | None:
    try:
        return int(headers["content-length"])
    except (KeyError, ValueError):
        return None


def _storage(part: File, stream: t.IO[bytes]) -> FileStorage:
    return FileStorage(stream, part.filename, part.name, headers=part.headers)


def _text(headers: Headers, data: bytes) -> str:
    """A field's text, in its part's charset if that is one that is safe to decode."""
    charset = parse_options_header(headers.get("content-type"))[1].get("charset", "utf-8").lower()
    if charset not in {"ascii", "us-ascii", "utf-8", "iso-8859-1"}:
        charset = "utf-8"
    return data.decode(charset, "replace")
