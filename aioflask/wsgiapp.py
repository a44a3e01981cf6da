"""A WSGI application (PEP 3333) as an ASGI one, for what has not moved yet. ::

    app.mount("/legacy", WSGIApp(legacy_app))

One thread takes a request from its start to ``close()``, in one context. Body and response are
passed on piece by piece, and neither side runs far ahead of the other.
"""

from __future__ import annotations

import io
import logging
import re
import typing as t
from collections.abc import Iterable
from contextlib import suppress
from contextvars import copy_context
from wsgiref.util import is_hop_by_hop

from werkzeug.exceptions import ClientDisconnected

from .body import BodyTooLarge
from .concurrency import Crossing, Pool, PoolFull, pool_in
from .connections import decline
from .environ import build_environ
from .headers import field_name
from .streams import WATCH_AFTER, Put, ThreadStream, Watch
from .wakeups import Interruptible

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .typing import Message, Receive, Scope, Send

_logger = logging.getLogger("aioflask.wsgi")

_PIECE = 65_536
_STATUS = re.compile(r"([2-5]\d\d)(?: [^\r\n\0]*)?", re.A)
_BODILESS = frozenset({204, 304})
_ONCE = (b"host", b"content-length")

Refusal = tuple[int, str]
"""A status and a text that are answered in the application's place."""


class WSGIApp:
    """An ASGI application that runs ``wsgi_app``, on at most ``threads`` threads for each loop.

    ``queue`` requests may wait for a thread; then the answer is 503 with Retry-After. A body of
    more than ``max_content_length`` bytes is answered with 413, whatever its Content-Length says.
    A WebSocket is refused. What the application raises goes on to the server, which logs it; the
    client gets a 500 if nothing was sent yet, else the response breaks off.

    Sources: PEP 3333, https://asgi.readthedocs.io/en/latest/specs/www.html

    :raises TypeError: if ``wsgi_app`` cannot be called.
    """

    def __init__(
        self, wsgi_app: WSGIApplication, *, threads: int = 40, queue: int = 1_000,
        max_content_length: int | None = None,
    ) -> None:  # fmt: skip
        if not callable(wsgi_app):
            raise TypeError(
                f"WSGIApp({wsgi_app!r}): that is no WSGI application, which is something to be"
                " called with an environ and start_response: WSGIApp(flask_app)."
            )
        self.wsgi_app: WSGIApplication = wsgi_app
        self.threads: int = threads
        self.queue: int = queue
        self.max_content_length: int | None = max_content_length
        self._pools: list[Pool] = []

    def __repr__(self) -> str:
        return f"WSGIApp({self.wsgi_app!r})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of an ASGI server."""
        if scope["type"] != "http":
            await decline(self, scope, receive, send)
            return
        body = _Body(scope, receive, self.max_content_length)
        refusal = _repeated(scope) or body.refused
        if refusal is None:
            refusal = await self._run(scope, body, receive, send)
        if refusal is not None:
            await _answer(send, *refusal)

    async def _run(self, scope: Scope, body: _Body, receive: Receive, send: Send) -> Refusal | None:
        """Take a request through; what is returned is to be answered in its place."""
        watch = Watch(receive, (block := Interruptible()).interrupt)
        pool = pool_in(self._pools, self.threads, self.queue)
        call = _Call(self.wsgi_app, scope, body)
        stream = call.stream = ThreadStream(pool.home, copy_context(), call.produce)
        try:
            pool.submit(stream)
        except PoolFull:
            _logger.warning(
                "All %d threads of %r are busy and %d requests wait for one: %r was answered with"
                " 503. Raise WSGIApp's 'threads' or 'queue'.",
                self.threads, self, self.queue, scope["path"],
            )  # fmt: skip
            return 503, "The server is busy. Please try again in a moment."
        begun = False
        try:
            async with block:
                async for message in stream:
                    if not begun and (refused := body.refused):
                        return refused  # The application has made a 500 of it, or a 400.
                    begun = True
                    try:
                        await send(message)
                    except OSError:
                        break
                    if body.complete and message.get("more_body"):
                        watch.start(WATCH_AFTER, block.loop)
        except Exception:
            if not begun and (refused := body.refused):
                return refused
            if not begun:
                with suppress(OSError):
                    await _answer(send, 500, "Internal Server Error")
            raise
        finally:
            watch.stop()
            await stream.aclose()
        if stream.error is not None and not isinstance(stream.error, ClientGone):
            raise stream.error
        return None


def _repeated(scope: Scope) -> Refusal | None:
    names = [name for name, _ in scope["headers"]]
    for name in _ONCE:
        if names.count(name) > 1:
            return 400, f"The request has more than one {name.decode().title()} header field."
    return None


async def _answer(send: t.Any, status: int, text: str) -> None:
    data = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(data)),
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


# --- the request's body --------------------------------------------------------------------------


class ClientGone(ConnectionResetError):
    """What ``write()`` raises once nobody wants the response any more."""


class BodyCutOff(ClientDisconnected, ConnectionResetError):
    """The client went before it had sent the whole body; an OSError, and a 400 for Werkzeug."""


class _Body:
    """The request's body as it arrives, with its bytes counted."""

    def __init__(self, scope: Scope, receive: Receive, limit: int | None) -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        self._receive = receive
        self._limit = limit
        self._left: int | None = int(length) if length.isdigit() else None
        self._received = 0
        self.complete: bool = self._left == 0 or (
            self._left is None
            and b"transfer-encoding" not in headers
            and scope.get("http_version", "1.1") in ("1.0", "1.1")
        )
        self.refused: Refusal | None = None
        if limit is not None and (self._left or 0) > limit:
            self._refuse(limit)

    def _refuse(self, limit: int) -> None:
        text = f"The request's body is larger than {limit:,} bytes, which is the limit."
        self.refused = 413, text

    async def read_piece(self) -> bytes:
        """The next bytes, as the server gives them; ``b""`` at the end."""
        while not self.complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BodyCutOff
            piece = message.get("body", b"")
            self._received += len(piece)
            if self._limit is not None and self._received > self._limit:
                self._refuse(self._limit)
                raise BodyTooLarge("max_content_length", self._limit)
            self.complete = not message.get("more_body", False)
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
                if self.complete and self._left:
                    raise BodyCutOff
                self.complete = self.complete or not self._left
            if piece:
                return bytes(piece)
        return b""


class _Input(io.RawIOBase):
    """``wsgi.input``: each read waits for the event loop."""

    def __init__(self, body: _Body, stream: ThreadStream) -> None:
        self._body, self._stream = body, stream
        self._unread = b""
        self._error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        piece = self._unread or self._next()
        size = len(buffer)
        piece, self._unread = piece[:size], piece[size:]
        buffer[: len(piece)] = piece
        return len(piece)

    def _next(self) -> bytes:
        if self._error is not None:  # What was cut off once stays so.
            raise self._error
        crossing = Crossing(self._body.read_piece)
        crossing.context = copy_context()
        try:
            return t.cast(bytes, self._stream.cross(crossing))
        except BaseException as error:
            self._error = error
            raise


# --- one request on its thread -------------------------------------------------------------------


class _Call:
    """One request: the application called, and what it says put into ASGI's words."""

    stream: ThreadStream

    def __init__(self, wsgi_app: WSGIApplication, scope: Scope, body: _Body) -> None:
        self._wsgi_app = wsgi_app
        self._scope = scope
        self._body = body
        self._put: Put = _nobody
        self._start: Message | None = None
        self._started = self._ended = self._bodiless = False
        self._left: int | None = None
        """Bytes of the declared Content-Length that have not been sent."""

    def produce(self, put: Put) -> None:
        """Run the application, and its ``close()``; called on the thread."""
        if not self.stream.is_wanted:
            return
        self._put = put
        environ = build_environ(self._scope)
        environ["wsgi.multiprocess"] = False
        if self._body.complete:
            environ["wsgi.input"] = io.BytesIO()
        else:
            environ["wsgi.input"] = io.BufferedReader(_Input(self._body, self.stream), _PIECE)
        iterable = self._wsgi_app(environ, self._start_response)
        try:
            self._send_all(iterable)
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()

    def _send_all(self, iterable: Iterable[bytes]) -> None:
        if isinstance(iterable, (list, tuple)) and not self._started:
            data = iterable[0] if len(iterable) == 1 else b"".join(iterable)
            self._send(data, last=True)
            return
        for data in iterable:
            # COMPAT: the head waits for the first bytes, until when start_response may be called
            # again with exc_info (PEP 3333).
            if data and not self._send(data):
                return
        if not self._ended:
            self._send(b"", last=True)

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: t.Any = None
    ) -> t.Callable[[bytes], t.Any]:
        try:
            if exc_info is not None and self._started:
                raise exc_info[1].with_traceback(exc_info[2])
            if exc_info is None and self._start is not None:
                raise RuntimeError(
                    "start_response() was called a second time without exc_info, which PEP 3333"
                    " does not allow: the first status would be lost."
                )
        finally:
            exc_info = None  # A traceback holds the frames that it goes through.
        code = _code(status)
        fields = _encode(headers)
        lengths = [int(v) for k, v in fields if k == b"content-length" and v.isdigit()]
        self._left = lengths[0] if lengths else None
        if code == 204:  # RFC 9110, 8.6
            fields = [field for field in fields if field[0] != b"content-length"]
        self._bodiless = code in _BODILESS or self._scope["method"].upper() == "HEAD"
        self._start = {"type": "http.response.start", "status": code, "headers": fields}
        return self._write

    def _write(self, data: bytes) -> None:
        if data and not self._send(data) and not self._bodiless:
            raise ClientGone("write() was called, but nobody reads the response any more.")

    def _send(self, data: bytes, last: bool = False) -> bool:
        """Hand over a piece, after the head; tell whether there is somebody who wants more."""
        start = self._start
        if start is None:
            raise RuntimeError(
                f"{self._wsgi_app!r} gave a body, or its end, without having called"
                " start_response(status, headers)."
            )
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"{self._wsgi_app!r} gave a piece of type {type(data).__name__}; a WSGI body is"
                " made of bytes (PEP 3333). Encode it: text.encode()."
            )
        if not self._started:
            if last and self._left is None and not self._bodiless:
                self._left = len(data)
                start["headers"].append((b"content-length", b"%d" % len(data)))
            self._started = True
            if not self._put(start):
                return False
            if self._bodiless:
                self._ended = self._put(_LAST)
        if self._bodiless:
            return False
        return self._send_piece(bytes(data), last)

    def _send_piece(self, data: bytes, last: bool) -> bool:
        left = self._left
        if left is not None:
            if len(data) > left:
                _logger.warning(
                    "%r sent more than its Content-Length says. The rest is cut off.",
                    self._wsgi_app,
                )
                data = data[:left]
                if self._ended:
                    return False
            left = self._left = left - len(data)
            if last and left:
                raise RuntimeError(
                    f"{self._wsgi_app!r} ended its response {left} bytes before the Content-Length"
                    " that it had declared, so the connection is broken off."
                )
            last = not left
        self._ended = last
        return self._put({"type": "http.response.body", "body": data, "more_body": not last})


_LAST: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def _nobody(message: t.Any) -> bool:
    return False


def _code(status: t.Any) -> int:
    """The number of a status line, ``"200 OK"`` or ``"200"``."""
    match = _STATUS.fullmatch(status) if isinstance(status, str) else None
    if match is None:
        raise ValueError(
            f"start_response() was given the status {status!r}. A status is text that begins with"
            " a number from 200 to 599: '200 OK'."
        )
    return int(match[1])


def _encode(headers: t.Iterable[tuple[t.Any, t.Any]]) -> list[tuple[bytes, bytes]]:
    """Header fields for ASGI, without those that belong to the connection (RFC 9110, 7.6.1)."""
    fields = []
    for name, value in headers:
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(
                f"start_response() was given the header field {name!r}: {value!r}. Both are text"
                " (PEP 3333)."
            )
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError(
                f"start_response() was given the header field {name!r} with a line break or NUL in"
                f" its value, which would end it there: {value!r}."
            )
        if not is_hop_by_hop(name):
            # Django's cookies begin with a space, which RFC 9110, 5.5, does not count as theirs.
            fields.append((field_name(name), value.strip(" \t").encode("latin-1")))
    return fields
