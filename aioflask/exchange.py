"""One HTTP request and its answer, on the client's side of the ASGI door, and a lifespan.

Both test clients stand on :class:`Exchange`; it works on asyncio and on trio. Apart from them
because pytest must find anyio, a plugin of its own, not yet imported when a run chooses its mode.
Follows https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import typing as t
from collections import deque

import anyio

if t.TYPE_CHECKING:
    from .typing import ASGIApplication, Message, Scope

PIECE = 65_536
"""How many bytes of a request's body go into one message."""

_AHEAD = 16
"""How many pieces of a response the app may be ahead of its reader."""

NO_SESSION = (
    "Session backend did not open a session. The default one needs a secret:"
    ' app.config["SECRET_KEY"] = "..."'
)
"""What both clients say when ``session_transaction`` finds no session."""

_GRACE = 1.0
"""How many seconds an app has to notice that its client is gone, before it is cancelled."""


class ClientDisconnected(OSError):
    """What ``send`` raises in the app once its client is gone (ASGI 2.4)."""


class BodyCutOff(EOFError):
    """A request's body ends before Content-Length: its client has gone, but not for the test."""


class Exchange:
    """One HTTP request and its answer, on the client's side of the ASGI door.

    :meth:`run` is the app's task; the other coroutines are the client's, on the same loop. The
    app is held back when it is 16 pieces ahead of its reader.
    """

    def __init__(
        self, app: ASGIApplication, scope: Scope, body: t.AsyncIterator[bytes],
        raise_app_exceptions: bool = True,
    ) -> None:  # fmt: skip
        self.app: ASGIApplication = app
        # An app that is active in the test lends its `g` to the request, which a server's must not.
        self.scope: Scope = {**scope, "aioflask.inherits": True}
        self.raise_app_exceptions = raise_app_exceptions
        self.ahead: float = _AHEAD
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: deque[bytes] = deque()
        self.error: BaseException | None = None
        self.begun: bool = False
        self.complete: bool = False
        self.disconnected: bool = False
        self.done: bool = False
        self._body, self._read, self._cut_off = body, False, False
        self._changed = anyio.Event()
        self._cancellation = anyio.CancelScope()

    async def run(self) -> None:
        """Call the app, and keep what it raises for the client."""
        try:
            with self._cancellation:
                await self.app(self.scope, self._receive, self._send)
            if not (self.complete or self.disconnected):
                raise RuntimeError("The app returned before it had sent a whole response.")
        except BaseException as error:
            # pytest.fail() in a view is a BaseException; it belongs to the test, not to the loop.
            if not (self.disconnected and isinstance(error, ClientDisconnected)):
                self.error = self.error or error
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
        finally:
            self.done = True
            self._tell()

    async def begin(self) -> None:
        """Wait until the response has begun, that is for its first body message, or its end."""
        await self._wait_for(lambda: self.done or (self.begun and not self.complete))

    async def more(self) -> list[bytes]:
        """The pieces that have come since the last call, at least one; none at the end."""
        await self._wait_for(lambda: self.done or bool(self.pieces))
        self._tell()
        return self.take()

    def take(self) -> list[bytes]:
        """The pieces that are there."""
        pieces = list(self.pieces)
        self.pieces.clear()
        return pieces

    async def close(self) -> None:
        """Disconnect from an app that is not done, and see it end; cancel it if it will not."""
        self.disconnect()
        for _ in range(2):
            with anyio.move_on_after(_GRACE):
                await self._wait_for(lambda: self.done)
            if self.done:
                break
            self._cancellation.cancel()

    def disconnect(self) -> None:
        """Go away without waiting."""
        self.disconnected = True
        self._tell()

    def raise_error(self) -> None:
        """Raise once what the app has raised; after the pieces of a response that broke off."""
        if self.done and self.raise_app_exceptions and (self.complete or not self.pieces):
            error, self.error = self.error, None
            if error is not None:
                raise error

    async def _receive(self) -> Message:
        if not (self._read or self.disconnected):
            try:
                piece = await anext(self._body, None)
            except BodyCutOff:
                self._read = self._cut_off = True
                return {"type": "http.disconnect"}
            except Exception as error:  # The body's own fault: the client breaks off and says so.
                self.error = error
                self.disconnect()
                return {"type": "http.disconnect"}
            self._read = piece is None
            return {"type": "http.request", "body": piece or b"", "more_body": not self._read}
        await self._wait_for(lambda: self.complete or self.disconnected or self._cut_off)
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.disconnected:
            raise ClientDisconnected("The client has disconnected.")
        kind = message["type"]
        if kind == "http.response.start" and self.status is None:
            self.status = message["status"]
            headers = message.get("headers", ())
            self.headers = [(bytes(name), bytes(value)) for name, value in headers]
        elif kind == "http.response.body" and self.status is not None and not self.complete:
            data = message.get("body", b"")
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"The app sent a body of type {type(data).__name__}, not bytes.")
            if data and self.scope.get("method") != "HEAD":
                self.pieces.append(bytes(data))
            self.begun, self.complete = True, not message.get("more_body", False)
            self._tell()
            if not self.complete:
                await self._wait_for(lambda: len(self.pieces) < self.ahead or self.disconnected)
        else:
            raise RuntimeError(f"The app sent {kind!r} out of its turn, or it is no ASGI message.")

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _wait_for(self, condition: t.Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()


class Lifespan:
    """The app's lifespan, on the server's side of the ASGI door.

    :meth:`run` is the app's task; the others are awaited on the same loop. Source:
    https://asgi.readthedocs.io/en/latest/specs/lifespan.html
    """

    def __init__(self, app: ASGIApplication) -> None:
        self.app: ASGIApplication = app
        self.state: dict[str, t.Any] = {}
        self.error: BaseException | None = None
        self.failure: str | None = None
        self._started, self._stopping, self._ended = anyio.Event(), anyio.Event(), anyio.Event()
        self.accepted: bool = False
        """Whether the app knows lifespans, so that requests get its :attr:`state`."""
        self._asked = False

    async def run(self) -> None:
        """Call the app, and keep what it raises."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        try:
            await self.app({**scope, "state": self.state}, self._receive, self._send)
        except Exception as error:
            # An app that knows no lifespan raises at once, before it has answered.
            self.error = error if self.accepted or self.failure is not None else None
        finally:
            self._started.set()
            self._ended.set()

    async def start(self) -> None:
        """Wait for the end of the start-up.

        :raises RuntimeError: if the app says that it failed.
        """
        await self._started.wait()
        self._raise("startup")

    async def stop(self) -> None:
        """Have the app shut down, and wait for it.

        :raises RuntimeError: if the app says that it failed.
        """
        self._stopping.set()
        await self._ended.wait()
        self._raise("shutdown")

    def _raise(self, phase: str) -> None:
        if self.failure is not None:
            raise RuntimeError(f"The app's {phase} failed: {self.failure}") from self.error
        if self.error is not None:
            raise self.error

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"].endswith(".failed"):
            self.failure = message.get("message") or "it gave no reason"
        self.accepted = True
        (self._ended if self._stopping.is_set() else self._started).set()
