"""An ASGI application as a WSGI one (PEP 3333), for servers that speak nothing else. ::

    application = ASGIApp(asgi_app)

The application runs on the event loop of a thread that all requests of the process share. The
server's thread reads the request's body and waits for the response, piece by piece.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import typing as t
from collections.abc import Iterable, Iterator
from contextvars import copy_context
from wsgiref.util import is_hop_by_hop

from werkzeug.http import HTTP_STATUS_CODES

from .concurrency import LoopThread, background_loop, on_loop
from .environ import scope_from_environ
from .exchange import ClientDisconnected, Lifespan
from .headers import usual_name
from .wakeups import Queue

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .typing import ASGIApplication, Message, Scope

_logger = logging.getLogger("aioflask.wsgi")

_PIECE = 65_536
_AHEAD = 16
"""How many pieces of a response may wait for a WSGI server that is slower."""

NO_WEBSOCKETS = (
    "This is a WebSocket's handshake, but a WSGI server answers it, and WSGI (PEP 3333) has no"
    " WebSockets. Serve the application with an ASGI server: uvicorn module:app"
)


def asks_for_websocket(environ: WSGIEnvironment) -> bool:
    """Whether a request is the handshake of a WebSocket (RFC 6455, 4.1)."""
    return str(environ.get("HTTP_UPGRADE", "")).lower() == "websocket"


class ASGIApp:
    """A WSGI application that runs ``asgi_app`` on the process's background loop.

    The loop is started by the first request, so after a server has forked. The application's
    lifespan starts with it and ends at exit; a start-up that fails is raised, and tried again by
    the next request. A client that goes is told as ``http.disconnect``; what still runs ``grace``
    seconds later is cancelled. What runs on after a whole response is left alone.

    Sources: PEP 3333, https://asgi.readthedocs.io/en/latest/specs/www.html

    :raises TypeError: if ``asgi_app`` cannot be called.
    """

    def __init__(self, asgi_app: ASGIApplication, *, grace: float = 5.0) -> None:
        if not callable(asgi_app):
            raise TypeError(
                f"ASGIApp({asgi_app!r}): that is no ASGI application, which is something to be"
                " called with scope, receive and send."
            )
        self.asgi_app: ASGIApplication = asgi_app
        self.grace: float = grace
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._lifespan: Lifespan | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"ASGIApp({self.asgi_app!r})"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request of a WSGI server, and return the body.

        :raises RuntimeError: on an event loop's own thread, or when the start-up has failed.
        """
        if on_loop():
            raise RuntimeError(
                f"{self!r} was called as a WSGI application on an event loop's thread, which would"
                " be blocked until the response is there. There, await the ASGI application itself."
            )
        if asks_for_websocket(environ):
            headers = [("Content-Type", "text/plain; charset=utf-8")]
            start_response("501 Not Implemented", headers)
            return [NO_WEBSOCKETS.encode()]
        loop = background_loop()
        if self._loop is not loop:
            self._start(loop)
        scope = scope_from_environ(environ)
        lifespan = t.cast(Lifespan, self._lifespan)
        if lifespan.accepted:
            scope["state"] = lifespan.state.copy()
        return _Call(self, loop, scope, environ).begin(start_response)

    def _start(self, loop: LoopThread) -> None:
        """Run the lifespan's start-up, on a loop that is new to us."""
        with self._lock:
            if self._loop is loop:
                return
            lifespan = loop.run(self._begin_lifespan())
            atexit.register(self._end_lifespan, loop, lifespan)
            self._lifespan, self._loop = lifespan, loop

    async def _begin_lifespan(self) -> Lifespan:
        lifespan = Lifespan(self.asgi_app)
        task = asyncio.create_task(lifespan.run())
        self._tasks.add(task)  # The loop holds tasks weakly.
        task.add_done_callback(self._tasks.discard)
        await lifespan.start()
        return lifespan

    @staticmethod
    def _end_lifespan(loop: LoopThread, lifespan: Lifespan) -> None:
        # In a child that was forked later the loop's thread does not exist.
        if loop.thread.is_alive():
            loop.run(lifespan.stop())


class _Ended:
    """What the loop puts into the queue when the application has returned or raised."""


_ENDED = _Ended()


class _Call(Iterator[bytes]):
    """One request, between the server's thread and the application's task."""

    def __init__(
        self, app: ASGIApp, loop: LoopThread, scope: Scope, environ: WSGIEnvironment
    ) -> None:
        self._app, self._home = app, loop.home
        self._scope = scope
        self._input = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH") or ""
        self._left: float = int(length) if length.isdecimal() else 0
        """Bytes of the body that the thread has not read; infinite up to the input's end."""
        if not length and environ.get("wsgi.input_terminated"):
            self._left = float("inf")
        self._queue: t.Any = Queue()
        """For the thread: pieces of the response, and waiters of those who want the body."""
        self._start: Message | None = None
        self._sent = self._taken = 0
        self._first: bytes | None = None
        self._complete = self._gone = self._closed = False
        self._ended = self._saw_end = self._read_all = False
        self._error: BaseException | None = None
        self._task: asyncio.Task[t.Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._room: t.Any = None
        """What a sender that is too far ahead waits for."""
        self._waiting: set[t.Any] = set()
        """Waiters on the loop: for room, for a piece of the body, for the client's going."""

    # --- on the server's thread

    def begin(self, start_response: StartResponse) -> Iterable[bytes]:
        """Start the application, and wait for the beginning of its response."""
        self._home.spawn(self._run, copy_context())
        try:
            first = self._next_piece()
            if first is None and not self._complete:
                self._raise()
            self._call_start_response(start_response)
        except BaseException:
            self.close()
            raise
        if self._complete and self._sent == self._taken:
            self.close()
            return [first] if first else []
        self._first = first
        return self

    def _call_start_response(self, start_response: StartResponse) -> None:
        start = t.cast("Message", self._start)
        code = start["status"]
        fields = []
        for name, value in start.get("headers", ()):
            written = usual_name(name)
            if not is_hop_by_hop(written):
                fields.append((written, value.decode("latin-1")))
        start_response(f"{code} {HTTP_STATUS_CODES.get(code, 'Unknown')}", fields)

    def __next__(self) -> bytes:
        piece, self._first = self._first, None
        if piece is None:
            piece = None if self._closed else self._next_piece()
        if piece is None:
            if not (self._complete or self._closed):
                self._raise()
            raise StopIteration
        return piece

    def _next_piece(self) -> bytes | None:
        """The next piece that is not empty; None at the end. Reads the body for who waits."""
        while not (self._complete and self._sent == self._taken):
            item = self._queue.get()
            if item is _ENDED:
                self._saw_end = True
                return None
            if not isinstance(item, bytes):
                self._home.post(item, self._read())
                continue
            self._taken += 1
            if self._sent - self._taken <= _AHEAD // 2:
                self._wake_sender()
            if item:
                return item
        return None

    def _wake_sender(self) -> None:
        waiter = self._room
        if waiter is not None:
            self._home.post(waiter, None)

    def _read(self) -> tuple[bytes, BaseException | None]:
        try:
            return self._input.read(int(min(self._left, _PIECE))), None
        except BaseException as error:
            return b"", error

    def _raise(self) -> t.NoReturn:
        error, self._error = self._error, None
        raise error or RuntimeError(
            f"{self._app.asgi_app!r} returned before it had sent a whole response."
        )

    def close(self) -> None:
        """Tell the application that the client has gone, unless its response was complete."""
        if self._closed:
            return
        self._closed = True
        # The loop puts nothing into the queue after these; else it has to be told first.
        if self._complete or self._saw_end:
            self._queue.close()
        else:
            self._home.loop.call_soon_threadsafe(self._disconnect)

    # --- on the loop

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        try:
            await self._app.asgi_app(self._scope, self._receive, self._send)
        except BaseException as error:
            self._error = error
            if self._complete and isinstance(error, Exception):
                _logger.exception("%r failed after its response was complete", self._app.asgi_app)
            elif self._gone and not isinstance(error, (ClientDisconnected, asyncio.CancelledError)):
                _logger.exception("%r failed after its client had gone", self._app.asgi_app)
            if not isinstance(error, Exception):
                raise
        finally:
            self._ended = True
            if self._timer is not None:
                self._timer.cancel()
            if not (self._complete or (self._closed and self._gone)):
                self._queue.put(_ENDED)

    def _disconnect(self) -> None:
        self._gone = True
        self._queue.close()
        self._wake_all()
        if not (self._complete or self._ended) and self._task is not None:
            self._timer = self._home.loop.call_later(self._app.grace, self._task.cancel)

    def _wake_all(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result((b"", None))

    async def _wait(self, waiter: t.Any) -> t.Any:
        self._waiting.add(waiter)
        try:
            return await waiter
        finally:
            self._waiting.discard(waiter)

    async def _receive(self) -> Message:
        if self._gone or self._complete:
            return {"type": "http.disconnect"}
        if not self._read_all:
            return await self._receive_piece()
        await self._wait(self._home.waiter(cancellable=True))
        return {"type": "http.disconnect"}

    async def _receive_piece(self) -> Message:
        if not self._left:
            self._read_all = True
            return {"type": "http.request", "body": b"", "more_body": False}
        waiter = self._home.waiter(cancellable=True)
        self._queue.put(waiter)
        piece, error = await self._wait(waiter)
        if self._gone:
            return {"type": "http.disconnect"}
        if error is not None or (not piece and self._left != float("inf")):
            # The body was cut short, or cannot be read: the client has gone.
            self._gone = True
            return {"type": "http.disconnect"}
        self._left -= len(piece)
        self._read_all = not piece or not self._left
        return {"type": "http.request", "body": piece, "more_body": not self._read_all}

    async def _send(self, message: Message) -> None:
        if self._gone and self._closed:
            raise ClientDisconnected("The client has disconnected.")
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind == "http.response.body" and self._start is not None and not self._complete:
            await self._send_piece(message)
        else:
            raise RuntimeError(f"The app sent {kind!r} out of its turn, or it is no ASGI message.")

    async def _send_piece(self, message: Message) -> None:
        piece = bytes(message.get("body", b""))
        self._sent += 1
        if not message.get("more_body", False):
            self._complete = True
            self._wake_all()
        if not (self._closed and self._gone):
            self._queue.put(piece)
        while self._sent - self._taken >= _AHEAD and not (self._complete or self._gone):
            self._room = self._home.waiter(cancellable=True)
            if self._sent - self._taken >= _AHEAD:
                await self._wait(self._room)
