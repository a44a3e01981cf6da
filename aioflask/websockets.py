"""WebSockets: the door by which they come in, and what a view does with one.

No queue and no task stands between the view and the server: a message is awaited from the server
when the view asks for it. Sources: RFC 6455,
https://asgi.readthedocs.io/en/latest/specs/www.html#websocket
"""

from __future__ import annotations

import sys
import typing as t
from contextvars import copy_context
from threading import get_ident

from werkzeug.exceptions import Forbidden, HTTPException

from . import concurrency, walk
from .aside import Aside
from .concurrency import Crossing, _wait_for, on_loop
from .ctx import AppContext, _context_of, copy_current_request_context
from .globals import _active_websocket, _cv_app
from .headers import encoded
from .helpers import make_response
from .plan import OF_A_REQUEST, Plan
from .responses import as_ours
from .routing import WEBSOCKET
from .wakeups import Interruptible, here, home_here
from .wrappers import _NO_BODY, Request

# isort: off
from .signals import (
    got_websocket_exception, websocket_finished, websocket_received, websocket_sent,
    websocket_started, websocket_tearing_down,
)  # fmt: skip
# isort: on

if t.TYPE_CHECKING:
    from blinker import NamedSignal

    from .app import Flask
    from .typing import Message, Receive, Scope, Send
    from .wrappers import Response

P = t.ParamSpec("P")
T = t.TypeVar("T")

_CONNECTING, _OPEN, _CLOSED, _GONE = range(4)
_LONGEST_REASON = 123  # bytes, RFC 6455, 5.5


class WebSocketDisconnect(ConnectionError):
    """The other side has gone. It ends a view as if that had returned.

    ``code`` and ``reason`` are what it gave (RFC 6455, 7.4); 1006 if it just went.
    """

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        self.code: int = code
        self.reason: str = reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        return f"The WebSocket was closed with {self.code}{self.reason and f' ({self.reason})'}."


class BadMessage(ValueError):
    """A message that the view cannot use. Not caught, it closes the WebSocket with ``code``."""

    def __init__(self, text: str, code: int = 1007) -> None:
        self.code: int = code
        super().__init__(text)


class WebSocket(Request):
    """A WebSocket; the ``websocket`` proxy gives the current one.

    Its handshake is a request: ``headers``, ``args``, ``cookies``, ``path`` and the like are those
    of `Request`. Methods are awaited on the event loop; in plain code they are plain calls.
    """

    is_websocket = True
    _state = _CONNECTING
    _app: t.Any
    _ctx: t.Any
    """The context, until it ends: the two would keep each other alive."""
    _send: t.Any
    _next: t.Any
    """What the next message is awaited from."""
    _early: _Early | None = None
    _sent_in_a_row = 0
    _is_silent = False
    """Whether the server does not tell, when something is sent, that the other side has gone."""
    close_code: int | None = None
    """What it was closed with, by either side; None while it is open."""
    close_reason: str = ""
    _small: int = sys.maxsize
    """A length that no message of which is over the limit."""

    @classmethod
    def from_scope(cls, scope: Scope, receive: t.Any = None) -> t.Self:
        """Make one from an ASGI WebSocket scope; see `Request.from_scope`."""
        if cls.__init__ is not Request.__init__:
            return super().from_scope({**scope, "method": "GET"}, receive)
        self = cls.__new__(cls)  # PERF: a handshake has neither a body nor a method to look for.
        self.scope = self._scope = scope
        self._raw = dict(scope["headers"])
        self._tells_once = len(self._raw) == len(scope["headers"])
        self.query_string = scope.get("query_string", b"")
        self._receive, self._body = receive, _NO_BODY
        return self

    # --- the handshake

    @property
    def requested_subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, the one it likes best first."""
        return list(self._scope.get("subprotocols") or ())

    @property
    def is_open(self) -> bool:
        """Whether it is accepted and neither side is known to have closed it."""
        return self._state == _OPEN

    def accept(
        self, subprotocol: str | None = None, headers: t.Mapping[str, str] | None = None
    ) -> t.Any:
        """Accept it, with one of the subprotocols that it offers, and further header fields.

        A session that was changed is saved now. Raises RuntimeError if it is accepted or closed
        already, ValueError for a subprotocol that the client has not offered.
        """
        return self._await(self._accept, subprotocol, headers)

    async def _accept(
        self, subprotocol: str | None = None, headers: t.Mapping[str, str] | None = None
    ) -> None:
        if self._state != _CONNECTING:
            raise RuntimeError(
                "websocket.accept() was called on a WebSocket that is accepted or closed already."
                " Accept once, before the first message; receive() and send() do it by themselves."
            )
        if subprotocol is not None and subprotocol not in self.requested_subprotocols:
            raise ValueError(
                f"websocket.accept({subprotocol!r}): the client offers"
                f" {self.requested_subprotocols or 'no subprotocols'}, and closes the WebSocket if"
                " it is given another one (RFC 6455, 4.1)."
            )
        pairs = encoded(dict(headers).items()) if headers else []
        ctx: AppContext = self._ctx
        session, interface = ctx._session_if_open, ctx.app.session_interface
        if session is not None and not interface.is_null_session(session):
            response = ctx.app.response_class()
            await walk.call(ctx, interface.save_session, ctx.app, session, response)
            cookies = response.headers.getlist("Set-Cookie")
            pairs += [(b"set-cookie", cookie.encode()) for cookie in cookies]
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": pairs})
        self._state = _OPEN

    # --- messages

    def receive(self) -> t.Any:
        """The next message, a ``str`` or ``bytes``; accepts first if that was not done yet.

        Raises `WebSocketDisconnect` when the other side has gone, `BadMessage` for a message of
        more than ``MAX_WEBSOCKET_MESSAGE`` bytes.
        """
        if on_loop():
            return self._receive_message()
        return _wait_for(Crossing(self._receive_message))

    def send(self, message: str | bytes) -> t.Any:
        """Send a ``str`` or ``bytes``; accepts first if that was not done yet.

        It waits while the other side does not read. Raises `WebSocketDisconnect` when that has
        gone, RuntimeError after `close`.
        """
        if on_loop():
            return self._send_message(message)
        return _wait_for(Crossing(self._send_message, message))

    def receive_json(self) -> t.Any:
        """The next message as JSON; `BadMessage` if it is none."""
        return self._await(self._receive_json)

    async def _receive_json(self) -> t.Any:
        data = await self._receive_message()
        try:
            return self._app.json.loads(data)
        except ValueError as error:
            raise BadMessage("The message is not JSON.") from error

    def typed(self, hint: t.Any) -> t.Any:
        """The messages as values of a type; `MessageValidationError` for one that does not fit. ::

            async for move in websocket.typed(Move):
                ...

        A plain ``for`` in plain code. Not caught, the error closes the WebSocket with 1007.
        """
        from .typed.messages import TypedMessages

        return TypedMessages(self, hint)

    def send_json(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Send as JSON what `jsonify` takes: one value, several for a list, keywords for a dict."""
        if args and kwargs:
            raise TypeError("send_json() takes values or keywords, not both.")
        value = kwargs if not args else args[0] if len(args) == 1 else args
        return self.send(self._app.json.dumps(value))

    def close(self, code: int = 1000, reason: str = "") -> t.Any:
        """Close it, with a code of RFC 6455, 7.4 or from 3000 to 4999; before `accept`, refuse it.

        Closing it again does nothing. Raises ValueError for another code, or for a reason of more
        than 123 bytes.
        """
        if not ((1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999):
            raise ValueError(
                f"websocket.close({code}): a code is 1000 (done), 1001, 1003, 1007 to 1014, or a"
                " number of your own from 3000 to 4999 (RFC 6455, 7.4)."
            )
        if len(reason.encode()) > _LONGEST_REASON:
            raise ValueError(
                f"websocket.close(reason=...): {len(reason.encode())} bytes are too many. A reason"
                f" has at most {_LONGEST_REASON} bytes of UTF-8 (RFC 6455, 5.5)."
            )
        return self._await(self._close, code, reason)

    async def _close(self, code: int, reason: str = "") -> None:
        if self._state in (_CLOSED, _GONE):
            return
        self._state, self.close_code, self.close_reason = _CLOSED, code, reason
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except (OSError, RuntimeError):  # The other side was faster.
            self._state = _GONE

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self._receive_message()
        except WebSocketDisconnect:
            raise StopAsyncIteration from None

    def __iter__(self) -> t.Iterator[str | bytes]:
        if on_loop():
            raise RuntimeError(
                "A WebSocket was iterated with 'for' on the event loop, which cannot wait there."
                " Write 'async for message in websocket'."
            )
        return self._messages()

    def _messages(self) -> t.Iterator[str | bytes]:
        while True:
            try:
                yield self.receive()
            except WebSocketDisconnect:
                return

    # --- within

    def _await(self, func: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
        return func(*args) if on_loop() else _wait_for(Crossing(func, *args))

    async def _receive_message(self) -> str | bytes:
        if self._state != _OPEN:
            await self._ready("receive")
        # PERF: what an object holds is found sooner than called by its name.
        receive = self._next
        if self._is_silent and self._early is None:
            self._sent_in_a_row, receive = 0, self._receive
        message = await receive()
        if message["type"] != "websocket.receive":
            raise self._gone(message)
        data: str | bytes | None = message.get("text")
        if data is None:
            data = t.cast(bytes, message["bytes"])
        if len(data) > self._small:
            self._check_size(data)
        if websocket_received.receivers:
            await walk._send(self._ctx, websocket_received, message=data)
        return data

    async def _send_message(self, data: str | bytes) -> None:
        if self._state != _OPEN:
            await self._ready("send")
        if type(data) is str:
            message: Message = {"type": "websocket.send", "text": data}
        elif isinstance(data, (bytes, bytearray, memoryview)):
            message = {"type": "websocket.send", "bytes": bytes(data)}
        else:
            message = {"type": "websocket.send", "text": _text(data)}
        self._sent_in_a_row += 1
        if self._is_silent and self._sent_in_a_row > 2:
            self._listen()
        send = self._send
        try:
            await send(message)
        except (OSError, RuntimeError) as error:
            raise self._gone({}) from error
        if websocket_sent.receivers:
            await walk._send(self._ctx, websocket_sent, message=data)

    def _ready(self, call: str) -> t.Awaitable[None]:
        """Accept before the first message; after the last raise what has happened."""
        if self._state == _CONNECTING:
            return self._accept()
        if self._state == _CLOSED and call == "send":
            raise RuntimeError(
                "websocket.send() was called after websocket.close(), when nobody gets the message"
                " any more. Send it before, or ask websocket.is_open."
            )
        raise WebSocketDisconnect(self.close_code or 1006, self.close_reason)

    def _gone(self, message: Message) -> WebSocketDisconnect:
        if self._state != _CLOSED:
            self.close_code = message.get("code") or 1006
            self.close_reason = message.get("reason") or ""
        self._state = _GONE
        return WebSocketDisconnect(self.close_code or 1006, self.close_reason)

    def _check_size(self, data: str | bytes) -> None:
        limit = self._app.config["MAX_WEBSOCKET_MESSAGE"]
        size = len(data.encode() if isinstance(data, str) else data)
        if size > limit:
            raise BadMessage(
                f"The message has {size:,} bytes, more than the {limit:,} of"
                " MAX_WEBSOCKET_MESSAGE.",
                1009,
            )

    def _listen(self) -> None:
        """On a server that stays silent, have somebody listen for a view that only sends."""
        if self._early is None:
            self._early = _Early(self._receive)
        elif (message := self._early.message) and message["type"] == "websocket.disconnect":
            raise self._gone(message)

    async def _receive_on_silent_server(self) -> Message:
        self._sent_in_a_row = 0
        if self._early is None:
            return t.cast("Message", await self._receive())
        early, self._early = self._early, None
        try:
            return t.cast("Message", await early.take())
        except BaseException:
            self._early = early
            raise


class _Early:
    """One message that is received before the view asks for it."""

    def __init__(self, receive: Receive) -> None:
        self.message: t.Any = None
        self._receive = receive
        self._home = home_here()
        self._waiter: t.Any = None
        self._aside = Aside(self._wait)

    async def _wait(self) -> None:
        try:
            self.message = await self._receive()
        except Exception:
            self.message = {"type": "websocket.disconnect"}
        if self._waiter is not None:
            self._home.post(self._waiter, None)

    async def take(self) -> t.Any:
        """The message, waited for."""
        if self.message is None:
            self._waiter = self._home.waiter(cancellable=True)
            await self._waiter
        return self.message

    def stop(self) -> None:
        """Listen no longer."""
        self._aside.stop()


def _text(data: t.Any) -> str:
    if isinstance(data, str):  # A Markup, for example.
        return str(data)
    raise TypeError(
        f"websocket.send({data!r}): a message is str or bytes, not {type(data).__name__}."
        " send_json() sends a value as JSON."
    )


def copy_current_websocket_context(f: t.Callable[P, T]) -> t.Callable[P, T]:
    """Let a function see the current WebSocket when it runs later, in a task or a thread.

    The function may be plain or ``async def``; what is returned has its colour.

    :raises RuntimeError: outside of a WebSocket.
    """
    _active_websocket()
    return copy_current_request_context(f)


# --- the door -------------------------------------------------------------------------------------


class WebSocketPlan(Plan):
    """What the WebSockets of one endpoint need."""

    __slots__ = ()

    method: t.ClassVar[str] = WEBSOCKET
    registry_names: t.ClassVar[tuple[str, str, str]] = (
        "before_websocket_funcs",
        "after_websocket_funcs",
        "teardown_websocket_funcs",
    )
    # The others of Flask's methods are a request's, which has a response in any case.
    replaceable: t.ClassVar[frozenset[str]] = frozenset(
        "make_response handle_user_exception handle_http_exception do_teardown_appcontext".split()
    )
    signals: t.ClassVar[tuple[NamedSignal, ...]] = (
        *OF_A_REQUEST, websocket_started, websocket_finished, websocket_tearing_down,
        got_websocket_exception,
    )  # fmt: skip
    finished: t.ClassVar[NamedSignal] = websocket_finished
    failed: t.ClassVar[NamedSignal] = got_websocket_exception
    tearing_down: t.ClassVar[NamedSignal] = websocket_tearing_down


class _Block(Interruptible):
    """The stay of a WebSocket in the app, which the server's end closes."""

    __slots__ = ("websocket",)
    websocket: WebSocket

    async def go_away(self) -> None:
        """Tell the other side that the server goes away (RFC 6455, 7.4.1)."""
        await self.websocket._close(1001, "The server ends.")


async def serve(app: Flask, scope: Scope, receive: Receive, send: Send) -> None:
    """Handle one WebSocket of an ASGI server, from its handshake to its end."""
    for var, value in app._served:
        var.set(value)
    message = await receive()
    if message["type"] != "websocket.connect":
        return  # It went before it had come.
    websocket = _websocket_of(app, scope, receive, send)
    ctx = websocket._ctx = _context_of(app, websocket)
    ctx._websocket = websocket
    token = _cv_app.set(ctx)
    ctx._tokens = (token,)
    ctx._thread = get_ident()
    loop, thread = app._home  # PERF: as in `Flask.asgi_app`.
    ctx._loop = loop if thread == ctx._thread and loop.is_running() else here()
    block = _Block(ctx._loop)
    block.websocket = websocket
    try:
        plan: t.Any = walk.match(ctx, scope, WebSocketPlan)
        if not plan.is_mount:
            app._open.add(block)
            async with block:
                await (_cross(ctx) if plan.mixes else converse(ctx))
    finally:
        app._open.discard(block)
        if websocket._early is not None:
            websocket._early.stop()
        if websocket._state == _OPEN:  # A task of the view's may live on, and wants to send.
            websocket._state = _GONE
        ctx._tokens = ()
        _cv_app.reset(token)
        websocket._ctx = websocket._next = ctx._lane = ctx._websocket = ctx._thread = None
    if plan.is_mount:  # Out of this app's context, which is not the other's.
        below = plan.scope_below(scope, scope.get("root_path", ""), scope["path"])
        await plan.app(below, _again(message, receive), send)


def _websocket_of(app: Flask, scope: Scope, receive: Receive, send: Send) -> WebSocket:
    kind = app.websocket_class or WebSocket
    websocket = kind.from_scope(scope, receive)
    websocket._app, websocket._send, websocket._early = app, send, None
    limit = app.config["MAX_WEBSOCKET_MESSAGE"]
    if limit is not None:
        websocket._small = limit // 4  # A character has at most 4 bytes.
    version = scope.get("asgi", {}).get("spec_version", "2.0")
    websocket._is_silent = version < "2.4"
    websocket._next = websocket._receive_on_silent_server if websocket._is_silent else receive
    return websocket


def _again(message: Message, receive: Receive) -> Receive:
    """A ``receive`` that gives a message first that was taken already."""
    first: Message | None = message

    async def receive_again() -> Message:
        nonlocal first
        taken, first = first, None
        return await receive() if taken is None else taken

    return receive_again


async def _cross(ctx: AppContext) -> None:
    """As `walk.cross`: a plain view on a thread of its own limit, plain hooks on a lane."""
    app, context = ctx.app, copy_context()
    ctx._context = context
    try:
        if ctx.plan.on_thread:
            pool = concurrency.pool_in(app._pools, app.config["WEBSOCKET_THREADS"], 0, "websocket")
            job = concurrency.Job(
                pool.home, lambda job: concurrency.step_in(context, converse(ctx), job)
            )
            pool.submit(job)
            await job.outcome()
            return
        lane = ctx._lane = concurrency.pool_of(app).lane()
        lane.requests -= 1  # It would count as busy for as long as the WebSocket is open.
    except concurrency.PoolFull as error:
        app.logger.warning(
            "All threads are busy: the WebSocket %r was refused with 503. Raise WEBSOCKET_THREADS,"
            " or make its view 'async def'.",
            ctx.request.path,
        )
        await _refuse(ctx, as_ours(ctx, make_response(error)))
        return
    ctx._own_context = True
    await concurrency.InContext(context, converse, ctx)


async def converse(ctx: AppContext) -> None:
    """The life of a WebSocket: hooks, the view, what it is refused or closed with, teardown."""
    failure: BaseException | None = None
    try:
        await _dispatch(ctx)
    except BaseException as error:
        failure = error
    try:
        if isinstance(failure, Exception):
            await walk._raising_async(failure, _fail, ctx, failure)
        elif failure is not None:
            raise failure
    finally:
        if failure is None and not (ctx.plan.tears_down or ctx._request._leaves_something):
            pass
        elif failure is None or isinstance(failure, Exception) or not on_loop():
            await walk.end(ctx, failure)
        else:  # It was cancelled. Its teardown must not be.
            from anyio import CancelScope

            with CancelScope(shield=True):
                await walk.end(ctx, failure)
        failure = None  # Its traceback holds this frame.


async def _dispatch(ctx: AppContext) -> None:
    app, plan, websocket = ctx.app, ctx.plan, ctx._request
    if plan.begins:
        await walk.begin(ctx)
    if websocket_started.receivers or not app._got_first_request:
        await walk._start(ctx, websocket_started)
    rv = None
    try:
        check_origin(ctx)
        if plan.before or plan.preprocessors:
            rv = await walk.preprocess_request(ctx)
        if rv is None:
            if (
                plan.awaits_view
                and get_ident() == ctx._thread
                and websocket.routing_exception is None
                and not (plan.prepares and walk._another_view(ctx))
            ):  # PERF: as in `walk.full_dispatch_request`.
                rv = await plan.calls(**websocket.view_args)
            else:
                rv = await walk.dispatch_request(ctx)
    except WebSocketDisconnect:
        pass
    except Exception as error:
        if websocket._state != _CONNECTING:
            raise
        rv = await walk._step(ctx, walk.handle_user_exception, error)
        rv = walk.answered(ctx, error, rv)
    if rv is not None or websocket._state != _GONE or plan.after or websocket_finished.receivers:
        await _finish(ctx, rv)


async def _finish(ctx: AppContext, rv: t.Any) -> None:
    """Refuse with what the view returned before it accepted, or close."""
    websocket = ctx._request
    if websocket._state == _CONNECTING:
        response = await walk.finalize_request(ctx, Forbidden() if rv is None else rv)
        await walk._await_on_loop(ctx, _refuse, ctx, response)
        return
    if rv is not None:
        raise TypeError(
            f"A WebSocket's view, {ctx.request.endpoint!r}, returned {rv!r} after it had accepted."
            " What it returns is the HTTP response that refuses, so return it before accept(). A"
            " message is sent: await websocket.send(...)"
        )
    for group in ctx.plan.after:
        for func in group.functions:
            await walk.call(ctx, func, None)
    if websocket._state == _OPEN:
        await walk._await_on_loop(ctx, websocket._close, 1000)
    if websocket_finished.receivers:
        await walk._send(ctx, websocket_finished, response=None)


async def _fail(ctx: AppContext, error: Exception) -> None:
    """Answer what nobody handled: with a response, or by closing with a code that says what."""
    websocket = ctx._request
    ctx._handling = error
    try:
        if websocket._state == _CONNECTING:
            response = await walk.handle_exception(ctx, error)
            await walk._await_on_loop(ctx, _refuse, ctx, response)
            return
        if isinstance(error, BadMessage):
            await walk._await_on_loop(ctx, websocket._close, error.code, _reason(str(error)))
            return
        if isinstance(error, HTTPException) and (error.code or 500) < 500:
            await walk._await_on_loop(ctx, websocket._close, 1008, _reason(error.name))
            return
        await walk._await_on_loop(ctx, websocket._close, 1011)
        await walk.report_exception(ctx, error)
    finally:
        ctx._handling = None


def _reason(text: str) -> str:
    return text.encode()[:_LONGEST_REASON].decode("utf-8", "ignore")


async def _refuse(ctx: AppContext, response: Response) -> None:
    """Answer the handshake with an HTTP response, or with 403 where the server knows no other.

    Source: https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response
    """
    websocket: WebSocket = t.cast(WebSocket, ctx.request)
    websocket._state = _CLOSED
    if "websocket.http.response" not in (websocket._scope.get("extensions") or ()):
        await response._close(ctx)
        await websocket._send({"type": "websocket.close", "code": 1000})
        return

    async def send(message: Message) -> None:
        await websocket._send({**message, "type": f"websocket.{message['type']}"})

    await response.send_asgi(ctx, send)


def check_origin(ctx: AppContext) -> None:
    """Refuse a browser's page of another site, whose WebSockets carry this site's cookies.

    ``WEBSOCKET_ORIGINS`` lists the origins that may; None is the app's own. A client that sends
    no Origin is no browser. Source: RFC 6455, 10.2.

    :raises Forbidden: a 403.
    """
    request = ctx._request
    raw = request._raw.get(b"origin")
    if raw is None:
        return
    origin = raw.decode("latin-1").lower()
    allowed = ctx.app.config["WEBSOCKET_ORIGINS"]
    if allowed is None:
        host = request._raw.get(b"host", b"").decode("latin-1").lower()
        scheme, _, netloc = origin.partition("://")
        port = ":443" if scheme == "https" else ":80"
        is_allowed = netloc.removesuffix(port) == host.removesuffix(port)
    else:
        listed = [allowed] if isinstance(allowed, str) else allowed
        is_allowed = "*" in listed or origin in [each.lower().rstrip("/") for each in listed]
    if not is_allowed:
        ctx.app.logger.warning(
            "A WebSocket of a page of %r was refused. WEBSOCKET_ORIGINS lists the origins that may"
            " connect: ['https://example.com'], or ['*'] for all.",
            origin,
        )
        raise Forbidden("Pages of this origin may not open a WebSocket here.")
