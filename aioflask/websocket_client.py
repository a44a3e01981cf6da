"""WebSockets of the async test client: ``client.websocket(url)``.

It stands on the server's side of the ASGI door, on the test's own loop.
Source: https://asgi.readthedocs.io/en/latest/specs/www.html#websocket
"""

from __future__ import annotations

import json
import typing as t
from collections import deque

import anyio
import httpx

from .exchange import ClientDisconnected, Exchange

if t.TYPE_CHECKING:
    from .async_client import ASGITransport, AsyncClient
    from .typing import ASGIApplication, Message, Scope


class WebSocketClosed(ConnectionError):
    """The app has closed the WebSocket, with ``code`` and ``reason`` (RFC 6455, 7.4)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code: int = code
        self.reason: str = reason
        super().__init__(f"The app has closed the WebSocket with {code}{reason and f': {reason}'}.")


class WebSocketRefused(ConnectionError):
    """The app has refused the handshake, with ``response``, an :class:`httpx.Response`."""

    def __init__(self, response: httpx.Response) -> None:
        self.response: httpx.Response = response
        text = response.text[:200]
        super().__init__(f"The app has refused the WebSocket with {response.status_code}: {text}")


async def _no_body() -> t.AsyncGenerator[bytes, None]:
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


class _WebSocketExchange(Exchange):
    """One WebSocket; its answer, if it is refused, is the parent's."""

    def __init__(self, app: ASGIApplication, scope: Scope, raise_app_exceptions: bool) -> None:
        self.no_body = _no_body()
        super().__init__(app, scope, self.no_body, raise_app_exceptions)
        self.to_app: deque[Message] = deque([{"type": "websocket.connect"}])
        self.messages: deque[str | bytes] = deque()
        self.subprotocol: str | None = None
        self.accepted: bool = False
        self.code: int = 1006
        self.reason: str = ""

    async def begin(self) -> None:
        """Wait until it is accepted or refused."""
        await self._wait_for(lambda: self.done or self.accepted)

    async def next_message(self) -> str | bytes | None:
        """The next message of the app; None when there is none any more."""
        await self._wait_for(lambda: self.done or self.complete or bool(self.messages))
        message = self.messages.popleft() if self.messages else None
        self._tell()
        return message

    def put(self, message: Message) -> None:
        """Send a message to the app."""
        self.to_app.append(message)
        if message["type"] == "websocket.disconnect":
            self.disconnected = True
        self._tell()

    async def _receive(self) -> Message:
        await self._wait_for(lambda: bool(self.to_app) or self.complete or self.disconnected)
        if self.to_app:
            message = self.to_app.popleft()
            if message["type"] == "websocket.disconnect":
                self.to_app.append(message)  # Whoever asks again is told again.
            return message
        return {"type": "websocket.disconnect", "code": self.code, "reason": self.reason}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind.startswith("websocket.http."):
            await super()._send({**message, "type": kind.removeprefix("websocket.")})
        elif self.disconnected:
            raise ClientDisconnected("The client has disconnected.")
        elif kind == "websocket.accept" and not self.accepted and not self.complete:
            self.accepted, self.subprotocol = True, message.get("subprotocol")
            self.headers = [(bytes(k), bytes(v)) for k, v in message.get("headers") or ()]
        elif kind == "websocket.close" and not self.complete:
            self.complete = True
            self.code, self.reason = message.get("code") or 1000, message.get("reason") or ""
            if not self.accepted:
                self.status = 403
        elif kind == "websocket.send" and self.accepted and not self.complete:
            text = message.get("text")
            self.messages.append(message["bytes"] if text is None else text)
            self._tell()
            await self._wait_for(
                lambda: len(self.messages) < self.ahead or self.disconnected or self.complete
            )
        else:
            raise RuntimeError(f"The app sent {kind!r} out of its turn, or it is no ASGI message.")
        self._tell()


class WebSocketSession:
    """A WebSocket of a test; made by :meth:`AsyncClient.websocket`. ::

        async with client.websocket("/chat") as websocket:
            await websocket.send("hello")
            assert await websocket.receive() == "hello"

    Entering raises `WebSocketRefused` if the app refuses it. Leaving closes it with 1000, waits
    for the app's end, and raises what the app has raised. The app is held back when it is 16
    messages ahead.
    """

    def __init__(
        self, client: AsyncClient, transport: ASGITransport, request: httpx.Request,
        offer: list[str],
    ) -> None:  # fmt: skip
        scope = transport._scope(request)
        del scope["method"]
        scope.update(
            type="websocket",
            scheme="wss" if request.url.scheme in ("https", "wss") else "ws",
            subprotocols=offer,
            extensions={"websocket.http.response": {}},
        )
        self._client, self._transport, self._request = client, transport, request
        self._exchange = _WebSocketExchange(transport.app, scope, transport.raise_app_exceptions)

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app has chosen, or None."""
        return self._exchange.subprotocol

    @property
    def headers(self) -> httpx.Headers:
        """The header fields that the app has accepted with."""
        return httpx.Headers(self._exchange.headers)

    async def __aenter__(self) -> t.Self:
        if self._transport._tasks is None:
            raise RuntimeError(
                "client.websocket() needs a place where the app runs meanwhile. Use the client in"
                " a block: async with app.async_client() as client: ..."
            )
        exchange = self._exchange
        self._transport._tasks.start_soon(self._transport._run, exchange, exchange.no_body)
        try:
            await exchange.begin()
        except anyio.get_cancelled_exc_class():
            self.drop()
            raise
        response = httpx.Response(
            exchange.status or 101,
            headers=exchange.headers,
            request=self._request,
            content=None if exchange.accepted else b"".join(exchange.take()),
        )
        self._client.cookies.extract_cookies(response)
        if not exchange.accepted:
            exchange.raise_error()
            raise WebSocketRefused(response)
        return self

    async def __aexit__(self, kind: t.Any, error: BaseException | None, traceback: t.Any) -> None:
        if not (self._exchange.complete or self._exchange.disconnected):
            self._exchange.put({"type": "websocket.disconnect", "code": 1000, "reason": ""})
        with anyio.CancelScope(shield=True):  # The app is told, whatever ends the test.
            await self._exchange.close()
        if error is None or isinstance(error, WebSocketClosed):
            self._exchange.raise_error()

    async def receive(self) -> str | bytes:
        """The next message, a ``str`` or ``bytes``.

        :raises WebSocketClosed: when the app has closed the WebSocket.
        """
        message = await self._exchange.next_message()
        if message is None:
            self._exchange.raise_error()
            raise WebSocketClosed(self._exchange.code, self._exchange.reason)
        return message

    async def receive_json(self) -> t.Any:
        """The next message as JSON."""
        return json.loads(await self.receive())

    async def send(self, message: str | bytes) -> None:
        """Send a ``str`` or ``bytes``.

        :raises WebSocketClosed: when the app has closed the WebSocket.
        """
        exchange = self._exchange
        if exchange.complete or exchange.disconnected or exchange.done:
            exchange.raise_error()
            raise WebSocketClosed(exchange.code, exchange.reason)
        key = "text" if isinstance(message, str) else "bytes"
        exchange.put({"type": "websocket.receive", key: message})

    async def send_json(self, value: t.Any) -> None:
        """Send a value as JSON."""
        await self.send(json.dumps(value))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, and wait for the app's end."""
        if not (self._exchange.complete or self._exchange.disconnected):
            self._exchange.put({"type": "websocket.disconnect", "code": code, "reason": reason})
        await self._exchange.close()

    def drop(self) -> None:
        """Go without a word, as a machine whose network is gone; the app is told 1006."""
        if not self._exchange.disconnected:
            self._exchange.put({"type": "websocket.disconnect", "code": 1006, "reason": ""})

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None
