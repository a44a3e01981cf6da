"""The WSGI face of an app (PEP 3333): ``app(environ, start_response)`` and ``app.wsgi_app``.

A request that enters here is handled on the server's own thread, which waits while something
``async def`` runs on the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import typing as t
from collections import deque
from collections.abc import AsyncIterable, Iterable, Iterator

from werkzeug import exceptions

from . import concurrency, walk
from .asgiapp import NO_WEBSOCKETS, ASGIApp, asks_for_websocket
from .asgibody import ASGIBody
from .environ import decoded, scope_from_environ
from .headers import UnsendableResponse, encoded
from .mounts import Mount
from .responses import as_ours, make_response
from .streams import as_bytes
from .wsgiapp import WSGIApp

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .app import Flask
    from .ctx import AppContext
    from .wrappers import Response

_END: t.Any = object()
_AHEAD = 16
"""How many pieces of an async stream may wait for a WSGI server that is slower."""


# --- the face ----------------------------------------------------------------------------------


def wsgi_app(
    app: Flask, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Handle one request of a WSGI server, and return the body.

    Functions that are torn down with the request have run when this returns; the body's own
    iterator has not. Source: https://flask.palletsprojects.com/en/stable/api/#flask.Flask.wsgi_app

    :raises RuntimeError: when called on an event loop's own thread.
    """
    if concurrency.on_loop():
        raise RuntimeError(
            "The app was called as a WSGI application on an event loop's thread, which would be"
            " blocked until the response is there. There it is an ASGI application:\n"
            "    wrong: app(environ, start_response)\n"
            "    right: await app(scope, receive, send), or app.async_client() in a test"
        )
    if app._wraps_asgi and "asgi.scope" not in environ:
        from . import doors

        return doors.through_asgi(app, environ, start_response)
    if app._serving and not app._got_first_request:
        app.logger.warning(
            "A WSGI server does not say when it starts and ends, so the before_serving,"
            " while_serving and after_serving functions do not run. An ASGI server does: uvicorn"
        )
    # A thread of ours, if a middleware around the app runs under an ASGI server.
    job = concurrency._thread.job
    ctx = app.request_context(environ)
    ctx.request._leaves_something = True
    context = ctx._context = contextvars.copy_context()
    answer = _Answer(ctx, environ, start_response)
    ctx._hand_over = answer.start
    mount = concurrency.step_in(context, _walk(ctx), job or _Caller())
    ctx._hand_over = None
    return answer.finish() if mount is None else _call_mounted(mount, ctx, start_response)


class _Answer:
    """COMPAT: ``start_response`` is called before the teardown, where the request is active.

    Tools that wrap it look at the request, and end what they measure in the teardown.
    """

    _response: Response
    _body: t.Any
    _iterable: Iterable[bytes]

    def __init__(
        self, ctx: AppContext, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self._ctx, self._environ, self._start_response = ctx, environ, start_response

    def start(self, response: Response) -> None:
        """Give the head to the server; called where the request is active."""
        ctx = self._ctx
        try:
            encoded(response.headers)
        except UnsendableResponse as error:
            concurrency.complete(walk.report_exception(ctx, error))
            response = as_ours(ctx, make_response(ctx, exceptions.InternalServerError()))
        source = response.response
        context = t.cast(contextvars.Context, ctx._context)
        if isinstance(source, AsyncIterable):
            of_ours = concurrency._thread.job is not None
            body: t.Any = CrossedBody(source, context) if of_ours else AsyncBody(source, context)
        elif isinstance(source, ASGIBody):
            scope = scope_from_environ(self._environ)
            ctx.request._body.wait(ctx.request.load_body)
            concurrency.async_to_sync(source.collect)(response, ctx, scope)
            body = source = response.response
        elif response.is_sequence or response.direct_passthrough:
            body = source
        else:
            body = PlainBody(source, context)
        self._response, self._body = response, body
        response.response = body
        self._iterable = response(self._environ, self._start_response)
        response.response = source  # The teardown asks whether it is a stream of this context.

    def finish(self) -> Iterable[bytes]:
        """The body for the server, which closes it; called after the teardown."""
        self._response.response = self._body
        return self._iterable


async def _walk(ctx: AppContext) -> Mount | None:
    """Take the request through; or tell whose it is."""
    token = ctx._activate()
    ctx._tokens = (token,)
    try:
        request = ctx.request
        path = request.environ.get("PATH_INFO", "")
        # Only the map knows what becomes of a path that is empty.
        below = request.environ.get("SCRIPT_NAME") or not path
        scope = {"headers": request._raw, "root_path": below, "path": decoded(path)}
        plan = walk.match(ctx, scope)
        if isinstance(plan, Mount):
            return plan
        # A rule that matches may serve it: Flask-Sock does, on a server that lends its socket.
        if request.routing_exception is not None and asks_for_websocket(request.environ):
            request.routing_exception = exceptions.NotImplemented(NO_WEBSOCKETS)
        await walk.respond(ctx)
        return None
    finally:
        ctx._tokens = ctx._tokens[1:]
        ctx._deactivate(token)


def _call_mounted(mount: Mount, ctx: AppContext, start_response: StartResponse) -> Iterable[bytes]:
    """Hand a request over, with the prefix moved into SCRIPT_NAME."""
    if mount.wsgi_app is None:
        app: t.Any = mount.app
        if isinstance(app, WSGIApp):
            mount.wsgi_app = app.wsgi_app
        else:
            mount.wsgi_app = app if hasattr(app, "wsgi_app") else ASGIApp(app)
    environ = ctx.request.environ.copy()
    prefix = mount.prefix.encode().decode("latin-1")
    environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)
    environ.pop("werkzeug.request", None)
    return t.cast("Iterable[bytes]", mount.wsgi_app(environ, start_response))


class _Caller:
    """What `step_in` needs of a job, for a thread that is not one of ours."""

    def cross(self, crossing: concurrency.Crossing) -> t.Any:
        # A task that had this context for its own would leave it only after its last step, which
        # wakes this thread: the thread could not enter it yet.
        context = t.cast(contextvars.Context, crossing.context)
        call = concurrency.InContext(context, crossing.func, *crossing.args)
        return concurrency.background_loop().run(concurrency._await(call))


class PlainBody(Iterator[bytes]):
    """The pieces of a plain iterable, made in the context of their request."""

    def __init__(self, source: Iterable[t.Any], context: contextvars.Context) -> None:
        self._source, self._context = source, context
        self._iterator: Iterator[t.Any] | None = None

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = self._context.run(iter, self._source)
        return as_bytes(self._context.run(next, self._iterator))

    def close(self) -> None:
        """Close the source, in the same context."""
        if hasattr(self._source, "close"):
            self._context.run(self._source.close)


class CrossedBody(Iterator[bytes]):
    """The pieces of an async iterable for a thread of ours, each awaited by the request's task."""

    def __init__(self, source: AsyncIterable[t.Any], context: contextvars.Context) -> None:
        self._iterator, self._context = aiter(source), context

    def __next__(self) -> bytes:
        piece = self._cross(anext, self._iterator, _END)
        if piece is _END:
            raise StopIteration
        return as_bytes(piece)

    def close(self) -> None:
        """Close the source where it stands."""
        if hasattr(self._iterator, "aclose"):
            self._cross(self._iterator.aclose)

    def _cross(self, func: t.Any, *args: t.Any) -> t.Any:
        return concurrency.step_in(
            self._context, _awaited(func, *args), concurrency._thread.job or _Caller()
        )


async def _awaited(func: t.Any, *args: t.Any) -> t.Any:
    return await concurrency.Crossing(func, *args)


class AsyncBody(Iterator[bytes]):
    """The pieces of an async iterable, for a thread: one task on the loop pulls them.

    The task is one and the same from the first piece to the last, so that ``async with`` blocks
    and context variables around a ``yield`` hold. It stays at most 16 pieces ahead.
    """

    def __init__(
        self, source: AsyncIterable[t.Any], context: contextvars.Context | None = None
    ) -> None:
        self._source = source
        self._context = context or contextvars.copy_context()
        self._pieces: deque[t.Any] = deque()
        self._changed = threading.Condition()
        self._started = self._ended = self._closing = False
        self._error: BaseException | None = None
        self._task: asyncio.Task[t.Any] | None = None
        self._room: asyncio.Event | None = None

    def __next__(self) -> bytes:
        if not self._started:
            self._started = True
            concurrency.background_loop().start(self._pull(), self._context)
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._ended)
        if self._pieces:
            piece = self._pieces.popleft()
            if len(self._pieces) == _AHEAD - 1 and self._room is not None:
                concurrency.background_loop().loop.call_soon_threadsafe(self._room.set)
            return as_bytes(piece)
        try:
            raise self._error or StopIteration
        finally:
            self._error = None  # Its traceback holds this frame.

    def close(self) -> None:
        """Close the source where it stands, and wait for its ``finally`` blocks."""
        self._closing = True
        if not self._started:
            self._started = self._ended = True
            if hasattr(self._source, "aclose"):
                concurrency.background_loop().run(self._source.aclose(), self._context)
        elif not self._ended:
            call_soon = concurrency.background_loop().loop.call_soon_threadsafe
            with self._changed:
                if self._room is not None:
                    call_soon(self._room.set)
                # A source that is about to end does so in peace; one that waits is cancelled.
                if not self._changed.wait_for(lambda: self._ended, 1):
                    call_soon(self._cancel)
                    self._changed.wait_for(lambda: self._ended)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _pull(self) -> None:
        self._task, self._room = asyncio.current_task(), asyncio.Event()
        try:
            source = aiter(self._source)
            try:
                while not self._closing and (piece := await anext(source, _END)) is not _END:
                    await self._put(piece)
            finally:
                if hasattr(source, "aclose"):
                    await source.aclose()
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    async def _put(self, piece: t.Any) -> None:
        room = t.cast(asyncio.Event, self._room)
        with self._changed:
            self._pieces.append(piece)
            self._changed.notify_all()
        while len(self._pieces) >= _AHEAD and not self._closing:
            await room.wait()
            room.clear()
