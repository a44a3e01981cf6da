"""The async test client: httpx on the app, on the test's own loop, asyncio or trio.

``app.async_client()`` makes it; :mod:`aioflask.testing` hands on its names.
"""

from __future__ import annotations

import contextlib
import typing as t
from collections import deque
from inspect import isawaitable

import anyio

from . import calls
from .app import Flask
from .exchange import NO_SESSION, PIECE, Exchange, Lifespan

try:
    import httpx
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "The async test client stands on httpx, which is not installed. Install it:"
        " pip install httpx. (app.test_client() needs nothing more.)",
        name="httpx",
    ) from _error

from .sse_client import EventSource
from .websocket_client import WebSocketSession

if t.TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from .sessions import SessionMixin
    from .typing import ASGIApplication, Scope


async def _split(stream: t.AsyncIterable[bytes]) -> t.AsyncGenerator[bytes, None]:
    source = aiter(stream)
    try:
        async for data in source:
            for start in range(0, len(data), PIECE):
                yield data[start : start + PIECE]
    finally:
        if isinstance(source, t.AsyncGenerator):
            await source.aclose()


class _Stream(httpx.AsyncByteStream):
    """A response's pieces for httpx; closing it early disconnects from the app."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._pieces: deque[bytes] = deque()

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            self._pieces.extend(await self._exchange.more())
        if not self._pieces:
            self._exchange.raise_error()
            raise StopAsyncIteration
        return self._pieces.popleft()

    async def aclose(self) -> None:
        if not self._exchange.done:
            with anyio.CancelScope(shield=True):  # The app is told, whatever ends the test.
                await self._exchange.close()
            self._exchange.raise_error()


class ASGITransport(httpx.AsyncBaseTransport):
    """Sends httpx requests to an ASGI app on the running loop (asyncio or trio).

    Between ``__aenter__`` and ``__aexit__`` it runs the app's lifespan and hands out responses
    while they are produced; outside of them a response is complete before it is handed out.
    """

    def __init__(
        self, app: ASGIApplication, raise_app_exceptions: bool = True, root_path: str = "",
        client: tuple[str, int] = ("127.0.0.1", 123),
    ) -> None:  # fmt: skip
        self.app: ASGIApplication = app
        self.root_path: str = root_path
        self.client: tuple[str, int] = client
        self.raise_app_exceptions = raise_app_exceptions
        self._tasks: TaskGroup | None = None
        self._lifespan: Lifespan | None = None
        self._open: set[Exchange] = set()

    async def __aenter__(self) -> ASGITransport:
        if self._tasks is not None:
            raise RuntimeError("The client is open already. One 'async with' block at a time.")
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._tasks, self._lifespan = tasks, Lifespan(self.app)
        try:
            tasks.start_soon(self._lifespan.run)
            await self._lifespan.start()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *exc_info: t.Any) -> None:
        try:
            for exchange in list(self._open):
                await exchange.close()
            if self._lifespan is not None:
                await self._lifespan.stop()
        finally:
            await self._leave()

    async def _leave(self) -> None:
        # The test's own exception is not handed over: it would come back in a group.
        tasks, self._tasks, self._lifespan = self._tasks, None, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Run the app until its response has begun.

        :raises BaseException: what the app has raised, if ``raise_app_exceptions``.
        """
        body = _split(t.cast("httpx.AsyncByteStream", request.stream))
        exchange = Exchange(self.app, self._scope(request), body, self.raise_app_exceptions)
        if self._tasks is None:
            exchange.ahead = float("inf")
            await self._run(exchange, body)
        else:
            self._tasks.start_soon(self._run, exchange, body)
        try:
            await exchange.begin()
        except anyio.get_cancelled_exc_class():
            exchange.disconnect()
            raise
        exchange.raise_error()
        status = exchange.status if exchange.begun else None
        stream = _Stream(exchange)
        return httpx.Response(
            status or 500,
            headers=exchange.headers,
            stream=stream,
            extensions={"aioflask.exchange": exchange},
        )

    async def _run(self, exchange: Exchange, body: t.AsyncGenerator[bytes, None]) -> None:
        self._open.add(exchange)
        try:
            await exchange.run()
        finally:
            self._open.discard(exchange)
            with contextlib.suppress(Exception):
                await body.aclose()

    def _scope(self, request: httpx.Request) -> Scope:
        url = request.url
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1", "method": request.method, "scheme": url.scheme,
            "path": self.root_path + url.path, "query_string": url.query,
            "raw_path": self.root_path.encode() + url.raw_path.partition(b"?")[0],
            "root_path": self.root_path,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": self.client,
            "server": (url.host, url.port or (443 if url.scheme == "https" else 80)),
        }  # fmt: skip
        if self._lifespan is not None and self._lifespan.accepted:
            scope["state"] = self._lifespan.state.copy()
        return scope


class AsyncClient(httpx.AsyncClient):
    """An :class:`httpx.AsyncClient` that runs the app on the test's own loop. ::

        async with app.async_client() as client:
            response = await client.get("/notes")

    The block runs the app's lifespan, if it has one. Responses of ``client.stream(...)`` are read
    while they are produced, and closing one early disconnects from the app. Works on asyncio and
    trio. All other arguments are httpx's.

    :raises ModuleNotFoundError: when httpx is not installed.
    """

    def __init__(
        self, app: Flask, *, base_url: str = "http://localhost", raise_app_exceptions: bool = True,
        root_path: str = "", client: tuple[str, int] = ("127.0.0.1", 123), **kwargs: t.Any,
    ) -> None:  # fmt: skip
        self.app = app
        if isinstance(app, Flask):  # Any ASGI application will do.
            calls.look(app)
        if "transport" not in kwargs:
            door = t.cast("ASGIApplication", app)
            kwargs["transport"] = ASGITransport(door, raise_app_exceptions, root_path, client)
        super().__init__(base_url=base_url, **kwargs)

    def websocket(
        self, url: str, *, subprotocols: t.Iterable[str] = (),
        headers: t.Mapping[str, str] | None = None, params: t.Mapping[str, str] | None = None,
    ) -> WebSocketSession:  # fmt: skip
        """Open a WebSocket in an ``async with`` block; the client's cookies go both ways. ::

            async with client.websocket("/chat") as websocket:
                await websocket.send("hello")

        :raises TypeError: if the client was given a transport of another kind.
        """
        request = self.build_request("GET", url, headers=headers, params=params)
        return WebSocketSession(self, self._own_transport(), request, list(subprotocols))

    @contextlib.asynccontextmanager
    async def sse(
        self, url: str, *, last_event_id: str | None = None, **kwargs: t.Any
    ) -> t.AsyncIterator[EventSource]:
        """Read server-sent events; further arguments are those of ``client.stream()``. ::

            async with client.sse("/events") as events:
                async for event in events:
                    print(event.event, event.data, event.id)

        :raises ValueError: for a response that is no stream of events.
        """
        headers = httpx.Headers(kwargs.pop("headers", None))
        headers.setdefault("Accept", "text/event-stream")
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        method = kwargs.pop("method", "GET")
        async with self.stream(method, url, headers=headers, **kwargs) as response:
            kind = response.headers.get("Content-Type", "")
            if response.status_code != 200 or not kind.startswith("text/event-stream"):
                text = (await response.aread()).decode("utf-8", "replace")
                raise ValueError(
                    f"{method} {url} was answered with {response.status_code} and {kind!r}, which"
                    f" is no stream of events: {text[:200]}"
                )
            events = EventSource(response)
            async with contextlib.aclosing(events._events):
                yield events

    def _own_transport(self) -> ASGITransport:
        transport = self._transport
        if not isinstance(transport, ASGITransport):
            raise TypeError(
                "client.websocket() needs the app behind it, but the client was given the transport"
                f" {transport!r}, which knows HTTP only."
            )
        return transport

    @contextlib.asynccontextmanager
    async def session_transaction(
        self, *args: t.Any, **kwargs: t.Any
    ) -> t.AsyncIterator[SessionMixin]:
        """Change the session that the next request will see; see :class:`FlaskClient`'s.

        :raises RuntimeError: when the app has no session to open.
        """
        if len(args) < 2 and not kwargs.keys() & {"base_url", "subdomain", "url_scheme"}:
            kwargs["base_url"] = str(self.base_url)
        interface: t.Any = self.app.session_interface
        ctx = self.app.test_request_context(*args, **kwargs)
        request = httpx.Request("GET", ctx.request.url)
        self.cookies.set_cookie_header(request)
        if "Cookie" in request.headers:
            ctx.request.environ["HTTP_COOKIE"] = request.headers["Cookie"]
        ctx._session = interface.make_null_session(self.app)
        async with ctx:
            session = await _settled(interface.open_session(self.app, ctx.request))
        if session is None:
            raise RuntimeError(NO_SESSION)
        ctx._session = session
        yield session
        if interface.is_null_session(session):
            return
        response = self.app.response_class()
        async with ctx:
            await _settled(interface.save_session(self.app, session, response))
        cookies = [("Set-Cookie", value) for value in response.headers.getlist("Set-Cookie")]
        self.cookies.extract_cookies(httpx.Response(200, headers=cookies, request=request))


async def _settled(value: t.Any) -> t.Any:
    """What a method of either colour gives: its value, or what its awaitable comes to."""
    return await value if isawaitable(value) else value
