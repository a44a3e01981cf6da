"""Multipart bodies (RFC 7578): a form that is parsed while it arrives, or its parts one by one.

Nothing here is loaded before the first multipart body comes.
"""

from __future__ import annotations

import io
import os
import re
import typing as t
from collections import deque
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from tempfile import SpooledTemporaryFile

from werkzeug.datastructures import FileStorage, Headers
from werkzeug.exceptions import BadRequest
from werkzeug.http import parse_options_header
from werkzeug.sansio import multipart as sansio
from werkzeug.wrappers import Request as _WerkzeugRequest

from .body import Body, BodyTooLarge
from .concurrency import on_loop, run_sync

if t.TYPE_CHECKING:
    from .wrappers import Request

T = t.TypeVar("T")

HEAD_SIZE, HEAD_FIELDS = 16_384, 64
"""Bytes and fields that the head of a part may have."""

WRITE_AT_ONCE, PAST_BUFFER = 1 << 21, 1 << 20
"""Bytes of uploaded files that are written by one visit to a thread; and from how many on they are
written past the file's buffer, into room that the file system is asked for."""


class PartsDecoder:
    """Multipart/form-data (RFC 7578) as Werkzeug's events, from pieces cut anywhere.

    :raises BadRequest: for a body that is not multipart, a boundary of more than 256 characters
        (RFC 2046, 5.1.1, has 70; some clients write 71 or 72), or a part with too large a head.
    :raises BodyTooLarge: beyond ``MAX_FORM_PARTS``.
    """

    def __init__(self, request: Request) -> None:
        boundary = request.mimetype_params.get("boundary", "").encode("latin-1", "replace")
        if not 0 < len(boundary) <= 256 or request.mimetype != "multipart/form-data":
            raise BadRequest("The body is no multipart with a boundary of 1 to 256 characters.")
        self._boundary = boundary
        self._parts, self._max_parts = 0, request.max_form_parts
        self._mark = b"--" + boundary
        # PERF: CPython 3.11's `rfind` takes a fourth of the time of `find`, but, unlike that, the
        # product of both lengths where data repeat the boundary's end, and that itself.
        self._repeats = self._mark.find(self._mark[-8:]) < len(self._mark) - 8
        self._whole = len(self._mark) + 4  # Two dashes, or none, and the line's end.
        self._step = max(4096, 2 * _NEAR * self._whole)  # More than is ever held back.
        self._held = b""

    @cached_property
    def _decoder(self) -> sansio.MultipartDecoder:
        return sansio.MultipartDecoder(self._boundary)  # Its limits do not name their settings.

    def decode(self, data: bytes) -> t.Iterator[sansio.Event]:
        """All of a body that is here."""
        parts = None if self._repeats else self._as_written(data)
        if parts is None:
            yield from self.feed(data)
            yield from self.finish()
            return
        for part, content in parts:
            yield self._checked(part)
            yield sansio.Data(content, more_data=False)

    def _as_written(self, data: bytes) -> list[tuple[sansio.Field | sansio.File, bytes]] | None:
        """The parts of a body that is to the letter what RFC 2046 (5.1.1) has; None of another.

        PERF: nearly all are. Werkzeug's decoder takes more, such as other line breaks, and 350 us
        for the patterns that it compiles for a boundary, of which each body has its own.
        """
        mark, at, end = self._mark, len(self._mark), len(data)
        ends: list[int] = []
        parts: list[tuple[sansio.Field | sansio.File, bytes]] = []
        while (end := data.rfind(mark, at, end)) >= 0 and len(ends) != self._max_parts:
            ends.append(end)
        if end >= 0 or not data.startswith(mark):
            return None
        for end in reversed(ends):
            head = data.find(b"\r\n\r\n", at, at + HEAD_SIZE)
            if not (data.startswith(b"\r\n", at) and 0 <= head <= end - 6):
                return None
            part = _part(data[at + 2 : head])
            if part is None or data[end - 2 : end] != b"\r\n":
                return None
            parts.append((part, data[head + 4 : end - 2]))
            at = end + len(mark)
        return parts if data[at : at + 5] in (b"--", b"--\r\n") else None

    def feed(self, data: bytes) -> t.Iterator[sansio.Event]:
        """What has come, as far as it can be decoded."""
        decoder, start = self._decoder, 0
        if held := self._held:
            self._held = b""
            is_data = decoder.state is sansio.State.DATA and not decoder.buffer
            near = held + data[: self._whole]
            if is_data and len(data) > self._whole and near.find(self._mark) < 0:
                yield sansio.Data(held, more_data=True)  # PERF: nor is the whole piece copied.
            else:
                data = held + data
        view = memoryview(data)  # PERF: a mebibyte is not copied for being passed along.
        while start < len(data):
            if decoder.state is sansio.State.DATA and decoder.buffer.find(self._mark) < 0:
                # PERF: all that lies before the next mark is data: the decoder need not search it.
                if decoder.buffer:
                    yield sansio.Data(bytes(decoder.buffer), more_data=True)
                    decoder.buffer.clear()
                is_marked = self._repeats or data.rfind(self._mark, start) >= 0
                mark = data.find(self._mark, start) if is_marked else -1
                end = (mark if mark >= 0 else len(data) - self._whole) - 2
                if end > start:
                    yield sansio.Data(view[start:end], more_data=True)  # type: ignore[arg-type]
                    start = end
                if mark < 0:
                    self._held = data[start:]
                    return
            piece = data[start : start + self._step]
            end = self._settled(piece)
            yield from self._decode(piece[:end])
            start += end
            if start + len(piece) - end == len(data):
                self._held = piece[end:]
                return

    def finish(self) -> t.Iterator[sansio.Event]:
        """The rest."""
        yield from self._decode(self._held)
        yield from self._decode(None)
        if self._decoder.state is not sansio.State.COMPLETE:
            raise BadRequest("The multipart body ends without its closing boundary.")

    def _settled(self, piece: bytes) -> int:
        """How much of a piece is sure not to begin a boundary that is not there as a whole.

        Werkzeug's decoder takes line breaks before a boundary for data if what follows is not
        there yet, so the last of them wait for the next piece.
        """
        end = len(piece)
        for _ in range(_NEAR):
            mark = piece.rfind(self._mark, 0, end)
            if mark < 0 or end >= mark + self._whole:
                break
            end = max(0, mark - 2)
        tail = max(0, end - self._whole)
        for line_break in _LINE_BREAK.finditer(piece, tail, end):
            if self._mark.startswith(piece[line_break.end() : end]):
                return line_break.start()
        return end

    def _decode(self, data: bytes | None) -> t.Iterator[sansio.Event]:
        if data is not None and self._decoder.state is sansio.State.EPILOGUE:
            return  # It is nobody's, and the decoder would keep it.
        try:
            self._decoder.receive_data(data)
            while not isinstance(event := self._next_event(), (sansio.NeedData, sansio.Epilogue)):
                yield self._checked(event) if isinstance(event, _HEADS) else event
        except ValueError as error:
            raise BadRequest("The multipart body is malformed.") from error
        if self._decoder.state in _BETWEEN and len(self._decoder.buffer) > HEAD_SIZE:
            raise BadRequest(_LARGE_HEAD)

    def _checked(self, part: sansio.Field | sansio.File) -> sansio.Field | sansio.File:
        """Hold a part against the limits, and its name against RFC 7578, 4.2."""
        self._parts += 1
        if self._max_parts is not None and self._parts > self._max_parts:
            raise BodyTooLarge("MAX_FORM_PARTS", self._max_parts)
        size = sum(len(name) + len(value) + 4 for name, value in part.headers)
        if size > HEAD_SIZE or len(part.headers) > HEAD_FIELDS:
            raise BadRequest(_LARGE_HEAD)
        if "*" in (disposition := part.headers["content-disposition"]):
            # What other readers of this body do not know must not have another name here.
            _, options = parse_options_header(_EXTENDED_NAME.sub("", disposition))
            part = replace(part, name=options.get("name", part.name))
        return part

    def _next_event(self) -> sansio.Event:
        decoder = self._decoder
        # Werkzeug before 3.1.7 takes the line break in front of a part's data for data if less
        # than a boundary's length has come of it.
        few = len(decoder.buffer) <= len(self._mark) + 4
        if few and decoder.state is sansio.State.DATA_START and not decoder.complete:
            return sansio.NEED_DATA
        return decoder.next_event()


# Where the decoder keeps what has come until it finds what it looks for.
_HEADS = (sansio.Field, sansio.File)
_BETWEEN = (sansio.State.PREAMBLE, sansio.State.PART)
_LARGE_HEAD = "What stands before the data of a part of the multipart body is too large."
_EXTENDED_NAME = re.compile(r";\s*name\*[^=;]*=[^;]*", re.IGNORECASE)
# PERF: nothing in it is quoted, and Werkzeug's reader goes from letter to letter.
_PLAIN = re.compile(r'form-data; name="([^"\\%]*)"(?:; filename="([^"\\%]*)")?')
_NEAR = 32
"""How many boundaries one upon the other are held back; real parts have heads between them."""
_LINE_BREAK = re.compile(rb"\r\n?|\n")


def _part(head: bytes) -> sansio.Field | sansio.File | None:
    """A part by its head, or None if that has anything unusual."""
    headers = Headers()
    try:
        for line in head.decode().split("\r\n"):
            if line[:1] in " \t" or "\r" in line or "\n" in line:
                return None
            field, _, value = line.partition(":")
            headers.add(field.strip(" \t"), value.strip(" \t"))
        disposition = headers["content-disposition"]
    except (UnicodeDecodeError, KeyError):
        return None
    if found := _PLAIN.fullmatch(disposition):
        name, filename = found.groups()
    else:
        _, options = parse_options_header(disposition)
        name, filename = t.cast(str, options.get("name")), options.get("filename")
    return sansio.Field(name, headers) if filename is None else sansio.File(name, filename, headers)


class MultipartParser:
    """Parses multipart/form-data in small pieces, with large files on disk; see `PartsDecoder`."""

    def __init__(self, request: Request, is_held: bool = False) -> None:
        self._request: t.Any = request
        self.decoder: PartsDecoder = PartsDecoder(request)
        replaced = type(request)._get_file_stream is not _WerkzeugRequest._get_file_stream
        self._held = is_held and not replaced
        self._part: t.Any = None
        self._field: list[bytes] = []
        self._fields_size = 0  # of all of them
        self._writes: list[tuple[t.IO[bytes], bytes]] = []
        self.form: list[tuple[str, str]] = []
        self.files: list[tuple[str, FileStorage]] = []
        self.to_write: int = 0
        """Bytes of files that :meth:`write` has not written yet."""

    def take(self, events: t.Iterator[sansio.Event]) -> None:
        """Take what the decoder gives."""
        for event in events:
            if isinstance(event, sansio.Data):
                self._take(event)
            elif isinstance(event, (sansio.Field, sansio.File)):
                self._begin(event)

    def _begin(self, part: sansio.Field | sansio.File) -> None:
        self._part, self._field = part, []
        if isinstance(part, sansio.File):
            stream = None if self._held else self._request._get_file_stream(
                total_content_length=self._request.content_length, content_length=_length(part),
                content_type=part.headers.get("content-type"), filename=part.filename,
            )  # fmt: skip
            storage = FileStorage(stream, part.filename, part.name, headers=part.headers)
            self.files.append((part.name, storage))

    def _take(self, event: sansio.Data) -> None:
        part, data = self._part, event.data
        if isinstance(part, sansio.File) and not self._held:
            self._writes.append((self.files[-1][1].stream, data))
            self.to_write += len(data)
            return
        self._field.append(data)
        if isinstance(part, sansio.File):
            if not event.more_data:
                self.files[-1][1].stream = _in_memory(b"".join(self._field))
            return
        self._fields_size += len(data)
        limit = self._request.max_form_memory_size
        if limit is not None and self._fields_size > limit:
            raise BodyTooLarge("MAX_FORM_MEMORY_SIZE", limit)
        if not event.more_data:
            self.form.append((part.name, _text(part.headers, b"".join(self._field))))

    def write(self) -> None:
        """Write what came of the files; for those on disk this blocks."""
        writes, self._writes, self.to_write = self._writes, [], 0
        for file, group in groupby(writes, itemgetter(0)):
            pieces = [data for _, data in group]
            if not _write_past(file, pieces):
                file.write(b"".join(pieces))

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
        while piece := (first.pop(0) if first else await body.read_piece(request)):
            parser.take(parser.decoder.feed(piece))
            if parser.to_write >= WRITE_AT_ONCE:
                await _write(parser)
        parser.take(parser.decoder.finish())
        await _write(parser)
        parser.rewind()
        parser._request = None  # Which keeps the parser: the two would keep each other alive.
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
    parser = MultipartParser(request, is_held=True)
    try:
        parser.take(parser.decoder.decode(data))
        parser.write()
        parser.rewind()
    except BaseException:
        parser.close()
        raise
    return parser


def _write_past(file: t.IO[bytes], pieces: list[bytes]) -> bool:
    """Write into a file on disk past its buffer; False if the file is another one.

    PERF: nothing is copied, and the file system looks for all the blocks at once. Together with
    reading and closing it takes a third less.
    """
    size = sum(map(len, pieces))
    if type(file) is not SpooledTemporaryFile or size < PAST_BUFFER or not hasattr(os, "writev"):
        return False
    file.rollover()  # It is larger than what it may keep in memory.
    file.flush()
    with suppress(OSError, AttributeError):  # Writing says so. macOS knows no such thing.
        os.posix_fallocate(file.fileno(), file.tell(), size)
    for start in range(0, len(pieces), 512):
        some = pieces[start : start + 512]
        at, written = file.tell(), os.writev(file.fileno(), some)
        file.seek(at + written)  # Of which it knows nothing.
        if written < sum(map(len, some)):  # The disk is nearly full.
            file.write(b"".join(some)[written:])
            file.flush()
    return True


def _in_memory(data: bytes) -> t.IO[bytes]:
    """A file of Werkzeug's usual kind, whose bytes are in memory anyway."""
    file = SpooledTemporaryFile(len(data) + 1, "rb+")  # noqa: SIM115
    file._file = io.BytesIO(data)  # PERF: which copies nothing.
    return t.cast("t.IO[bytes]", file)


def _length(part: sansio.File) -> int:
    length = part.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _text(headers: Headers, data: bytes) -> str:
    """A field's text, in its part's charset if that is one that is safe to decode."""
    kind = headers.get("content-type", "")
    charset = parse_options_header(kind)[1].get("charset", "utf-8").lower() if kind else "utf-8"
    if charset not in {"ascii", "us-ascii", "utf-8", "iso-8859-1"}:
        charset = "utf-8"
    return data.decode(charset, "replace")


# --- one by one -----------------------------------------------------------------------------------


class _OfBothColours(t.Generic[T]):
    """Iterated with ``async for`` on the event loop, with ``for`` in plain code."""

    _next: t.Any
    _wait: t.Any

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> T:
        item: T | None = await self._next()
        if item is None:
            raise StopAsyncIteration
        return item

    def __iter__(self) -> t.Self:
        return self

    def __next__(self) -> T:
        item: T | None = self._wait(self._next)
        if item is None:
            raise StopIteration
        return item


class Part(_OfBothColours[bytes]):
    """One field or file of a multipart body (RFC 7578), to be read before the next one.

    Its data are what iterating it gives, with ``async for`` or, in plain code, ``for``.
    """

    def __init__(self, parts: Parts, event: sansio.Field | sansio.File) -> None:
        self._parts, self._number = parts, parts._number
        self.name: str = event.name
        self.filename: str | None = event.filename if isinstance(event, sansio.File) else None
        """The name that the client gives the file, not to be trusted; None for a field."""
        self.headers: Headers = event.headers

    def __repr__(self) -> str:
        return f"<Part {self.name!r}>" if self.filename is None else f"<Part {self.filename!r}>"

    @property
    def content_type(self) -> str | None:
        """The part's own Content-Type, or None."""
        return self.headers.get("Content-Type")

    async def _next(self) -> bytes | None:
        return await self._parts._data(self)

    def _wait(self, read: t.Any, *args: t.Any) -> t.Any:
        return self._parts._wait(read, *args)

    def read(self) -> t.Any:
        """All that is left of it, as bytes: awaited on the loop, a value in plain code.

        :raises BodyTooLarge: a 413, beyond ``MAX_FORM_MEMORY_SIZE``.
        """
        return self._read() if on_loop() else self._wait(self._read)

    async def _read(self) -> bytes:
        pieces, size = [], 0
        limit = self._parts.request.max_form_memory_size
        async for data in self:
            pieces.append(data)
            size += len(data)
            if limit is not None and size > limit:
                raise BodyTooLarge("MAX_FORM_MEMORY_SIZE", limit)
        return b"".join(pieces)


class Parts(_OfBothColours[Part]):
    """The parts of a multipart body in the order in which they arrive.

    :raises BadRequest: a 400, for a body that is not multipart.
    :raises RequestEntityTooLarge: a 413, beyond ``MAX_FORM_PARTS`` or ``MAX_CONTENT_LENGTH``.
    """

    def __init__(self, request: Request) -> None:
        self.request: Request = request
        self._decoder = PartsDecoder(request)
        self._body = request._body
        if self._body.loaded is not None:  # By a hook, or for a WSGI server.
            self._body.unread = self._body.loaded
        self._events: deque[sansio.Event] = deque()
        self._finished = False
        # Of the part that is being read: its number, and whether there may be more of it. The part
        # itself has these parts, and the two would keep each other alive.
        self._number, self._has_more = 0, False

    def _wait(self, read: t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]], *args: t.Any) -> t.Any:
        if on_loop():
            raise RuntimeError(
                "The parts of a request's body were asked for with 'for' on the event loop, which"
                " cannot wait there. Write 'async for part in request.stream_parts()'."
            )
        return self._body.wait(read, *args)

    async def _event(self) -> sansio.Event | None:
        while not self._events:
            if self._finished:
                return None
            piece = await self._body.read_piece(self.request)
            self._finished = not piece
            self._events.extend(self._decoder.feed(piece) if piece else self._decoder.finish())
        return self._events.popleft()

    async def _next(self) -> Part | None:
        while self._has_more:  # What was not read of the part before is passed over.
            await self._data(None)
        while (event := await self._event()) is not None:
            if isinstance(event, (sansio.Field, sansio.File)):
                self._number, self._has_more = self._number + 1, True
                return Part(self, event)
        return None

    async def _data(self, part: Part | None) -> bytes | None:
        if part is not None and part._number != self._number:
            raise RuntimeError(
                f"{part!r} was read after the part that follows it. What has not been read of a"
                " part is gone then: read it before the loop goes on to the next."
            )
        data = b""
        while self._has_more and (event := await self._event()) is not None:
            if isinstance(event, sansio.Data):
                data, self._has_more = data + event.data, event.more_data
                # What was held back is no piece of its own. More is not put together: a whole body
                # may be here, in thousands of pieces.
                is_small = len(data) < 4096 and self._has_more and self._events
                if data and not is_small:
                    return data
        self._has_more = False
        return None
