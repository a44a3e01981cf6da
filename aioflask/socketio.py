"""Socket.IO in an app: Flask-SocketIO's API on python-socketio's asynchronous server.

Handlers of both colours run in a context of the app, with ``request`` and ``session``. What talks
to clients (``emit``, ``join_room``, ...) is awaited on the event loop and plainly called elsewhere.
Sources: https://flask-socketio.readthedocs.io/, https://python-socketio.readthedocs.io/
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
import time
import typing as t
from contextvars import copy_context
from functools import partial

from . import json as flask_json
from . import walk
from .concurrency import (
    PoolFull,
    async_to_sync,
    needs_thread,
    on_loop,
    on_worker,
    step_in,
    worker_for,
)
from .ctx import AppContext
from .globals import _cv_app, current_app, request, session
from .sessions import SessionMixin
from .signals import got_request_exception
from .wakeups import Interruptible
from .wrappers import Request

try:
    import engineio  # type: ignore[import-untyped]
    import socketio as library  # type: ignore[import-untyped]
    from socketio.exceptions import (  # type: ignore[import-untyped]
        ConnectionRefusedError as ConnectionRefusedError,
    )
except ImportError:
    raise ImportError(
        "aioflask.socketio needs python-socketio: pip install 'aioflask[socketio]'"
    ) from None

if t.TYPE_CHECKING:
    from .app import Flask
    from .testing import FlaskClient
    from .typing import Receive, Scope, Send

Handler = t.Callable[..., t.Any]
F = t.TypeVar("F", bound=Handler)

__all__ = [
    "ConnectionRefusedError", "Namespace", "SocketIO", "call", "close_room", "disconnect", "emit",
    "join_room", "leave_room", "rooms", "send",
]  # fmt: skip


class _ManagedSession(dict[str, t.Any], SessionMixin):
    """What ``session`` is in handlers: begun as a copy of the browser's, kept by the connection."""


def _manager(url: str, channel: str, write_only: bool) -> t.Any:
    """What tells the other processes of an emit."""
    scheme = url.partition("://")[0]
    if scheme in ("redis", "rediss", "redis+unix", "unix", "valkey", "valkeys"):
        kind = library.AsyncRedisManager
    elif scheme in ("amqp", "amqps"):
        kind = library.AsyncAioPikaManager
    else:
        raise ValueError(
            f"message_queue={url!r}: there is no asyncio client for {scheme!r} in python-socketio."
            " Use redis://, rediss:// or amqp://, or give a client_manager."
        )
    return kind(url, channel=channel, write_only=write_only)


def _fits(handler: Handler, args: tuple[t.Any, ...]) -> bool:
    try:
        inspect.signature(handler).bind(*args)
    except TypeError:
        return False
    except ValueError:  # Made in C, without a signature.
        pass
    return True


class _Engine(engineio.AsyncServer):  # type: ignore[misc]
    """Says goodbye without waiting until it was fetched: a client that misbehaves never does."""

    async def disconnect(self, sid: str | None = None) -> None:
        for each in list(self.sockets) if sid is None else [sid]:
            connection = self.sockets.pop(each, None)
            if connection is not None:
                await connection.close(wait=False, reason=self.reason.SERVER_DISCONNECT)


class _Server(library.AsyncServer):  # type: ignore[misc]
    def _engineio_server_class(self) -> type[_Engine]:
        return _Engine


class _Block(Interruptible):
    """A request of Socket.IO's transport: at the server's end a poll would go on for 45 seconds."""

    def __init__(self, engine: t.Any) -> None:
        super().__init__()
        self._engine = engine

    async def go_away(self) -> None:
        await self._engine.disconnect()
        await asyncio.sleep(0.1)  # Clients are told by what they wait for. Some have gone.
        self.interrupt()


class SocketIO:
    """The Socket.IO server of an app, served by the app's own ASGI server below ``/socket.io``. ::

        app = Flask(__name__)
        socketio = SocketIO(app)

        @socketio.on("message")
        async def message(text):
            await emit("answer", text.upper(), broadcast=True)

    ``message_queue`` (redis:// or amqp://) joins several processes, also one without an app that
    only emits; ``channel`` names their conversation. ``path`` is where the server is;
    ``manage_session=False`` has handlers share the app's own session. Everything else goes to
    `socketio.AsyncServer`. Raises ValueError for what has no meaning under ASGI.
    https://flask-socketio.readthedocs.io/en/latest/api.html
    """

    reason: t.Any = library.AsyncServer.reason

    def __init__(self, app: Flask | None = None, **kwargs: t.Any) -> None:
        self.app: Flask | None = None
        self.server: t.Any = None
        self.server_options: dict[str, t.Any] = {}
        self.handlers: list[tuple[str, Handler, str]] = []
        self.namespace_handlers: list[Namespace] = []
        self.exception_handlers: dict[str, Handler] = {}
        self.default_exception_handler: Handler | None = None
        self.manage_session: bool = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[t.Any]] = set()
        if app is not None or "message_queue" in kwargs:
            self.init_app(app, **kwargs)
        else:
            self.server_options.update(kwargs)

    def init_app(self, app: Flask | None, **kwargs: t.Any) -> None:
        """Make the server and mount it in ``app``; without an app it only emits, by the queue."""
        options = self.server_options = {**self.server_options, **kwargs}
        self.manage_session = options.pop("manage_session", self.manage_session)
        mode = options.pop("async_mode", None)
        if mode not in (None, "asgi", "threading"):
            raise ValueError(
                f"async_mode={mode!r} is for WSGI servers. Leave it out, and the monkey patching"
                " that belongs to it: the app's ASGI server serves Socket.IO, too."
            )
        queue = options.pop("message_queue", None)
        channel = options.pop("channel", "flask-socketio")
        if queue and "client_manager" not in options:
            options["client_manager"] = _manager(queue, channel, write_only=app is None)
        if app is not None and options.get("json") is flask_json:
            options["json"] = app.json
        path = options.pop("path", None) or options.pop("resource", None) or "socket.io"
        self.server = _Server(async_mode="asgi", **options)
        for message, handler, namespace in self.handlers:
            self.server.on(message, handler, namespace=namespace)
        for namespace_handler in self.namespace_handlers:
            self.server.register_namespace(namespace_handler)
        if app is not None:
            self.app = app
            app.extensions["socketio"] = self
            app.mount("/" + path.strip("/"), self._asgi_app, lifespan=False)

    # --- the server

    async def _asgi_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "python-socketio runs on asyncio alone, and this server runs the app on trio. Serve"
                " it with asyncio: uvicorn, or hypercorn without '--worker-class trio'."
            ) from None
        # The library builds the origin that it accepts of fields that anybody can send.
        headers = [pair for pair in scope["headers"] if not pair[0].startswith(b"x-forwarded-")]
        scheme = scope.get("scheme") or "http"
        scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
        headers.append((b"x-forwarded-proto", scheme.encode("latin-1")))
        made = {**scope, "headers": headers, "aioflask.headers": scope["headers"]}
        is_open = t.cast("Flask", self.app)._open
        block = _Block(self.server.eio)
        async with block:
            is_open.add(block)
            try:
                await self.server.handle_request(made, receive, send)
            finally:
                is_open.discard(block)

    def _call(self, func: Handler, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """An awaitable on an event loop's thread; elsewhere the value, from the server's loop."""
        if on_loop():
            return func(*args, **kwargs)
        if self._loop is not None and self._loop.is_running():
            coro = func(*args, **kwargs)
            return asyncio.run_coroutine_threadsafe(coro, self._loop).result()
        return async_to_sync(func)(*args, **kwargs)

    # --- handlers

    def on(self, message: str, namespace: str | None = None) -> t.Callable[[F], F]:
        """Register a handler, plain or ``async def``, of an event; ``"*"`` is of any. ::

            @socketio.on("my event", namespace="/chat")
            def handle(data): ...

        ``connect`` may take what the client gave as ``auth``, ``disconnect`` a reason. What a
        handler returns is the acknowledgement; ``connect`` refuses by False or by raising
        `ConnectionRefusedError`.
        """
        name = namespace or "/"

        def decorator(handler: F) -> F:
            async def handle(*args: t.Any) -> t.Any:
                values = list(args)
                event = values.pop(0) if message == "*" else message
                real = values.pop(0) if name == "*" else name
                sid = values.pop(0)
                if message == "*":
                    values.insert(0, event)
                return await self._handle_event(handler, message, real, sid, *values)

            if self.server is None:
                self.handlers.append((message, handle, name))
            else:
                self.server.on(message, handle, namespace=name)
            return handler

        return decorator

    def on_event(self, message: str, handler: Handler, namespace: str | None = None) -> None:
        """As `on`, without a decorator."""
        self.on(message, namespace=namespace)(handler)

    def event(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """As `on`, with the function's name for the event; with brackets or without."""
        if len(args) == 1 and not kwargs and callable(args[0]):
            return self.on(args[0].__name__)(args[0])
        return lambda handler: self.on(handler.__name__, *args, **kwargs)(handler)

    def on_namespace(self, namespace_handler: Namespace) -> None:
        """Register an instance of a class of handlers."""
        if not isinstance(namespace_handler, Namespace):
            raise ValueError(
                f"on_namespace({namespace_handler!r}): not an instance of"
                " aioflask.socketio.Namespace. Write on_namespace(MyNamespace('/chat'))."
            )
        namespace_handler.socketio = self
        if self.server is None:
            self.namespace_handlers.append(namespace_handler)
        else:
            self.server.register_namespace(namespace_handler)

    def on_error(self, namespace: str | None = None) -> t.Callable[[F], F]:
        """Register ``f(exception)`` for what handlers of a namespace raise."""

        def decorator(handler: F) -> F:
            self.exception_handlers[namespace or "/"] = handler
            return handler

        return decorator

    def on_error_default(self, handler: F) -> F:
        """Register ``f(exception)`` for what handlers raise in namespaces without one of theirs."""
        self.default_exception_handler = handler
        return handler

    async def _handle_event(
        self, handler: Handler, message: str | None, namespace: str, sid: str | None, *args: t.Any
    ) -> t.Any:
        """Run a handler in a context of the app, where its colour wants it."""
        app = t.cast("Flask", self.app)
        environ = self.server.get_environ(sid, namespace=namespace) if sid else None
        if sid and environ is None:
            return self.server.not_handled  # The client has gone.
        if message == "connect":
            args = args[1:] if _fits(handler, args[1:]) else ()  # Its environ is the request.
        elif message == "disconnect" and not _fits(handler, args):
            args = ()
        if not _fits(handler, args):
            app.logger.warning(
                "The Socket.IO event %r came with %d arguments, which do not fit %s%s.",
                message, len(args), getattr(handler, "__name__", handler),
                inspect.signature(handler),
            )  # fmt: skip
            return self.server.not_handled
        ctx = AppContext(app, request=None if environ is None else self._request(environ))
        ctx._loop = asyncio.get_running_loop()
        if ctx.has_request:
            vars(ctx.request).update(
                sid=sid, namespace=namespace, event={"message": message, "args": args}
            )
        coro = self._respond(ctx, environ, handler, message, args)
        if not needs_thread(handler):
            return await coro
        try:
            return await on_worker(worker_for(app), partial(step_in, copy_context(), coro))
        except PoolFull:
            coro.close()
            app.logger.warning("No worker thread is free for the Socket.IO event %r", message)
            if message == "connect":
                raise ConnectionRefusedError("The server is busy") from None
            return self.server.not_handled

    def _request(self, environ: dict[str, t.Any]) -> Request:
        app = t.cast("Flask", self.app)
        scope = environ.get("asgi.scope")
        if scope is None:  # Of the test client.
            return app.request_class(environ)
        return app.request_class.from_scope(
            {**scope, "type": "http", "method": "GET", "headers": scope["aioflask.headers"]}
        )

    async def _respond(
        self, ctx: AppContext, environ: t.Any, handler: Handler, message: str | None, args: t.Any
    ) -> t.Any:
        app = ctx.app
        async with ctx:
            managed = self.manage_session and environ is not None
            if managed:
                if "saved_session" not in environ:
                    environ["saved_session"] = _ManagedSession(session)
                ctx._session = environ["saved_session"]
            try:
                rv = await walk.call(ctx, handler, *args)
            except ConnectionRefusedError:
                raise
            except Exception as error:
                chosen = self._error_handler(ctx, handler)
                if chosen is not None:
                    return await walk._handle(ctx, chosen, error)
                if app.testing:
                    raise
                await walk._send(ctx, got_request_exception, exception=error)
                app.logger.exception("The handler of the Socket.IO event %r failed", message)
                if message == "connect":
                    raise ConnectionRefusedError("Internal Server Error") from None
                return self.server.not_handled
            opened = ctx._session_if_open
            if not managed and opened is not None and getattr(opened, "modified", True):
                save = app.session_interface.save_session
                await walk.call(ctx, save, app, opened, app.response_class())
            return rv

    def _error_handler(self, ctx: AppContext, handler: Handler) -> Handler | None:
        namespace = getattr(ctx._request, "namespace", "/")
        owner = getattr(handler, "__self__", None)
        own = getattr(owner, "error", None) if isinstance(owner, Namespace) else None
        return self.exception_handlers.get(namespace, self.default_exception_handler) or own

    # --- to clients

    def emit(self, event: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Send an event to all clients of ``namespace``, or to a room or client: ``to``.

        ``skip_sid`` (one or a list) leaves clients out, ``include_self=False`` the sender of the
        event being handled. ``callback`` is called with what one client acknowledges.
        """
        namespace = kwargs.pop("namespace", None) or "/"
        to = kwargs.pop("to", None) or kwargs.pop("room", None)
        kwargs.pop("room", None)
        if not kwargs.pop("include_self", True) and not kwargs.get("skip_sid"):
            kwargs["skip_sid"] = request.sid  # type: ignore[attr-defined]
        callback = kwargs.pop("callback", None)
        if callback is not None and self.app is not None:
            asked = _cv_app.get(None)
            sid = getattr(asked.request, "sid", None) if asked and asked.has_request else None
            of = asked.request.namespace if asked and sid else namespace  # type: ignore[attr-defined]
            callback = partial(self._handle_event, callback, None, of, sid)
        data = args if len(args) > 1 else args[0] if args else None
        return self._call(
            self.server.emit, event, data, namespace=namespace, to=to, callback=callback, **kwargs
        )

    def send(self, data: t.Any, json: bool = False, **kwargs: t.Any) -> t.Any:
        """Send the event ``message``, or ``json``; takes what `emit` takes."""
        return self.emit("json" if json else "message", data, **kwargs)

    def call(self, event: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Send an event to one client, ``to``, and return what it acknowledges.

        Raises `socketio.exceptions.TimeoutError` after ``timeout`` seconds, 60 by default.
        """
        kwargs["to"] = kwargs.pop("to", None) or kwargs.pop("room", None)
        data = args if len(args) > 1 else args[0] if args else None
        return self._call(self.server.call, event, data, **kwargs)

    def close_room(self, room: str, namespace: str | None = None) -> t.Any:
        """Take everybody out of a room."""
        return self._call(self.server.close_room, room, namespace)

    # --- the rest of the API

    def start_background_task(self, target: Handler, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Start a task of the server's loop, or a thread for a plain function; returns it.

        It has no context of the app, and ends with the process. `Flask.add_background_task` starts
        one that has, and that the server waits for.
        """
        if needs_thread(target):
            thread = threading.Thread(target=target, args=args, kwargs=kwargs, daemon=True)
            thread.start()
            return thread
        if on_loop():
            task = asyncio.get_running_loop().create_task(target(*args, **kwargs))
            self._tasks.add(task)  # The loop holds tasks weakly.
            task.add_done_callback(self._tasks.discard)
            return task
        if self._loop is None:
            raise RuntimeError(
                f"start_background_task({getattr(target, '__name__', target)}) needs the server's"
                " event loop, which does not run yet. Call it in a handler, or in a function that"
                " @app.before_serving registers."
            )
        return asyncio.run_coroutine_threadsafe(target(*args, **kwargs), self._loop)

    def sleep(self, seconds: float = 0) -> t.Any:
        """Wait; awaited on the event loop."""
        return asyncio.sleep(seconds) if on_loop() else time.sleep(seconds)

    def run(
        self, app: Flask, host: str | None = None, port: int | None = None, **kwargs: t.Any
    ) -> None:
        """Serve the app, as `Flask.run` does."""
        for name in ("allow_unsafe_werkzeug", "log_output"):
            kwargs.pop(name, None)
        kwargs.update(kwargs.pop("reloader_options", {}))
        app.run(host, port, **kwargs)

    def stop(self) -> None:
        """Tell the server to end, as SIGTERM does."""
        os.kill(os.getpid(), signal.SIGTERM)

    def test_client(
        self,
        app: Flask,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: t.Any = None,
        auth: t.Any = None,
        flask_test_client: FlaskClient | None = None,
    ) -> t.Any:
        """A client for plain tests, connected: a `SocketIOTestClient`."""
        from .socketio_client import SocketIOTestClient

        return SocketIOTestClient(
            app, self, namespace, query_string, headers, auth, flask_test_client
        )


if t.TYPE_CHECKING:

    class _AsyncNamespace:  # The library has no types.
        namespace: str
        server: t.Any

        def __init__(self, namespace: str | None = None) -> None: ...
else:
    _AsyncNamespace = library.AsyncNamespace


class Namespace(_AsyncNamespace):
    """A namespace whose handlers are methods, of both colours. ::

        class Chat(Namespace):
            def on_join(self, room): ...

        socketio.on_namespace(Chat("/chat"))

    A method ``error(exception)`` takes what they raise, unless an error handler does.
    """

    socketio: SocketIO

    async def trigger_event(self, event: str, *args: t.Any) -> t.Any:
        """Call the method of an event; what it raises goes to the method ``error``."""
        namespace, *rest = args if self.namespace == "*" else (self.namespace, *args)
        handler = getattr(self, f"on_{event or ''}", None)
        if handler is None:
            return self.server.not_handled
        return await self.socketio._handle_event(handler, event, namespace, *rest)

    def emit(self, event: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """As `SocketIO.emit`, to this namespace unless another is given."""
        return self.socketio.emit(event, *args, **{"namespace": self.namespace, **kwargs})

    def send(self, data: t.Any, **kwargs: t.Any) -> t.Any:
        """As `SocketIO.send`, to this namespace unless another is given."""
        return self.socketio.send(data, **{"namespace": self.namespace, **kwargs})

    def close_room(self, room: str, namespace: str | None = None) -> t.Any:
        """Take everybody out of a room of this namespace."""
        return self.socketio.close_room(room, namespace or self.namespace)


# --- in a handler --------------------------------------------------------------------------------


def _current() -> tuple[SocketIO, t.Any]:
    """The server, and the request of the event that is being handled."""
    found = current_app.extensions.get("socketio")
    if not hasattr(request, "sid") or found is None:
        raise RuntimeError(
            "This is for handlers of Socket.IO events, where request.sid is the client. Elsewhere"
            " call the method of the SocketIO object: socketio.emit(...)."
        )
    return found, request


def _addressed(kwargs: dict[str, t.Any], broadcast: bool = False) -> SocketIO:
    server, asked = _current()
    kwargs.setdefault("namespace", asked.namespace)
    kwargs["to"] = kwargs.pop("to", None) or kwargs.pop("room", None)
    if kwargs["to"] is None and not broadcast:
        kwargs["to"] = asked.sid
    return server


def emit(event: str, *args: t.Any, broadcast: bool = False, **kwargs: t.Any) -> t.Any:
    """Send an event to the sender of the one being handled, to ``to``, or to all: ``broadcast``.

    In its namespace unless ``namespace`` says another; the rest is that of `SocketIO.emit`.
    """
    return _addressed(kwargs, broadcast).emit(event, *args, **kwargs)


def send(message: t.Any, *, broadcast: bool = False, **kwargs: t.Any) -> t.Any:
    """Send the event ``message``, or with ``json=True`` ``json``, as `emit` does."""
    return _addressed(kwargs, broadcast).send(message, **kwargs)


def call(event: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
    """Send an event to the sender, or to ``to``, and return what it acknowledges."""
    return _addressed(kwargs).call(event, *args, **kwargs)


def join_room(room: str, sid: str | None = None, namespace: str | None = None) -> t.Any:
    """Put the sender, or the client ``sid``, in a room of the namespace."""
    server, asked = _current()
    enter = server.server.enter_room
    return server._call(enter, sid or asked.sid, room, namespace=namespace or asked.namespace)


def leave_room(room: str, sid: str | None = None, namespace: str | None = None) -> t.Any:
    """Take the sender, or the client ``sid``, out of a room of the namespace."""
    server, asked = _current()
    leave = server.server.leave_room
    return server._call(leave, sid or asked.sid, room, namespace=namespace or asked.namespace)


def close_room(room: str, namespace: str | None = None) -> t.Any:
    """Take everybody out of a room of the namespace."""
    server, asked = _current()
    return server.close_room(room, namespace or asked.namespace)


def rooms(sid: str | None = None, namespace: str | None = None) -> list[str]:
    """The rooms of the sender, or of the client ``sid``; one has its own. Never awaited."""
    server, asked = _current()
    found: list[str] = server.server.rooms(sid or asked.sid, namespace or asked.namespace)
    return found


def disconnect(sid: str | None = None, namespace: str | None = None) -> t.Any:
    """Send the sender, or the client ``sid``, away from the namespace."""
    server, asked = _current()
    return server._call(server.server.disconnect, sid or asked.sid, namespace or asked.namespace)
