"""The context: what belongs to one request, command or ``app_context()`` block.

There is one class, :class:`AppContext`, with a request or without, and one context variable that
holds the active one. Follows https://flask.palletsprojects.com/en/stable/appcontext/.
"""

from __future__ import annotations

import sys
import typing as t
from contextvars import Context, Token
from functools import wraps

from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect, WebsocketMismatch

from . import typing as ft
from .concurrency import complete, iscoroutinefunction, on_loop
from .globals import _cv_app, _request_context
from .signals import appcontext_popped, appcontext_pushed
from .urls import without_host

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.routing import MapAdapter

    from .app import Flask
    from .concurrency import Lane
    from .sessions import SessionMixin
    from .websockets import WebSocket
    from .wrappers import Request

P = t.ParamSpec("P")
T = t.TypeVar("T")
T_after_request = t.TypeVar("T_after_request", bound=ft.AnyAfterRequestCallable)

_sentinel: t.Any = object()
_new: t.Any = object.__new__


class _AppCtxGlobals:
    """The namespace behind ``g``: attributes of your choice, for as long as the context lives."""

    def __getattr__(self, name: str) -> t.Any:
        raise AttributeError(
            f"g has no attribute {name!r} in this request. Set it first, in a before_request"
            f" function for example, or read it with g.get({name!r})."
        )

    if t.TYPE_CHECKING:

        def __setattr__(self, name: str, value: t.Any) -> None: ...
        def __delattr__(self, name: str) -> None: ...

    def get(self, name: str, default: t.Any = None) -> t.Any:
        """The attribute's value, or ``default``."""
        return self.__dict__.get(name, default)

    def pop(self, name: str, default: t.Any = _sentinel) -> t.Any:
        """Remove an attribute and return its value; KeyError if it and a default are missing."""
        if default is _sentinel:
            return self.__dict__.pop(name)
        return self.__dict__.pop(name, default)

    def setdefault(self, name: str, default: t.Any = None) -> t.Any:
        """The attribute's value, which becomes ``default`` if there was none."""
        return self.__dict__.setdefault(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def __iter__(self) -> t.Iterator[str]:
        return iter(self.__dict__)

    def __repr__(self) -> str:
        ctx = _cv_app.get(None)
        if ctx is not None:
            return f"<flask.g of {ctx.app.name!r}>"  # COMPAT: Flask's own words.
        return object.__repr__(self)


def _old_value(token: Token[AppContext]) -> AppContext | None:
    return None if token.old_value is Token.MISSING else token.old_value


class AppContext:
    """The data of one request, or of one ``app_context()`` block.

    Made by :meth:`Flask.app_context` and :meth:`Flask.test_request_context`, and by the app for
    each request. Works with ``with`` and ``async with``; the latter awaits ``async def`` teardown
    functions.
    """

    # PERF: what most requests never set stands here, and costs them nothing (0.3 us in __init__).
    app: Flask
    plan: t.Any = None
    flashes: list[tuple[str, str]] | None = None
    _g: _AppCtxGlobals | None = None
    _session_if_open: SessionMixin | None = None
    _url_adapter: MapAdapter | None = _sentinel
    _after_request_functions: list[t.Any] | None = None
    _tokens: tuple[Token[AppContext], ...] | None = None
    _outer: AppContext | None = None
    """The context of the same app below this one, whose ``g`` this one uses."""
    _around: AppContext | None = None
    """The context with a request that this one, without any, was pushed in."""
    _beneath: t.Any = _sentinel
    """What was active below this one, if it was left before the one above it."""
    _context: Context | None = None
    """The request's own contextvars.Context, if its steps run on both sides."""
    _own_context = False
    """Whether the steps on the loop run in :attr:`_context`."""
    _lane: Lane | None = None
    _loop: t.Any = None
    """The asyncio loop or trio token that serves the request, for threads of the user's."""
    _thread: int | None = None
    """The thread of that loop, while the request is handled.

    PERF: who runs there is on the loop; to ask asyncio for it costs a system call (Python 3.11).
    """
    _websocket: WebSocket | None = None
    _handling: BaseException | None = None
    """The exception that nobody handled, while it is being answered."""
    _inline = False
    """Whether this context is popped by a plain call on the loop's thread."""
    _ending = False
    """Whether the request is being torn down, which no cancellation stops."""
    _dependencies: t.Any = None
    """What the values of a typed view's dependencies came from, and ends with them."""
    _hand_over: t.Any = None
    """What is called with the response before the teardown, behind a WSGI server."""

    def __init__(
        self, app: Flask, *, request: Request | None = None, session: SessionMixin | None = None
    ) -> None:
        self.app = app
        self._request: t.Any = request
        if session is not None:
            self._session_if_open = session

    def __repr__(self) -> str:
        of = f"of {self.app.name!r}"
        if self._request is None:
            return f"<{type(self).__name__} {of}>"
        return f"<{type(self).__name__} {self.request.url!r} [{self.request.method}] {of}>"

    # --- what belongs to it

    @property
    def g(self) -> _AppCtxGlobals:
        """The namespace behind the ``g`` proxy, made at its first use."""
        if self._g is None:
            outer = self._outer
            self._g = self.app.app_ctx_globals_class() if outer is None else outer.g
        return self._g

    @g.setter
    def g(self, value: _AppCtxGlobals) -> None:
        self._g = value

    @property
    def _below(self) -> AppContext | None:
        """What was active before this context was pushed."""
        return _old_value(self._tokens[-1]) if self._tokens else None

    @property
    def has_request(self) -> bool:
        """Whether this context handles a request."""
        return self._request is not None

    @property
    def request(self) -> Request:
        """The request; RuntimeError if there is none."""
        if self._request is None:
            raise RuntimeError("There is no request in this context: it was made without one.")
        return self._request  # type: ignore[no-any-return]

    @property
    def url_adapter(self) -> MapAdapter | None:
        """What matches and builds URLs here; made at its first use."""
        if self._url_adapter is _sentinel:
            self._url_adapter = self.app.create_url_adapter(self._request)
        return self._url_adapter

    @url_adapter.setter
    def url_adapter(self, value: MapAdapter | None) -> None:
        self._url_adapter = value

    @property
    def session(self) -> SessionMixin:
        """The session, opened at its first use and marked as accessed (``Vary: Cookie``)."""
        session = self._session
        session.accessed = True
        return session

    @property
    def _session(self) -> SessionMixin:
        """The session, opened at its first use, but not marked as accessed."""
        if self._session_if_open is None:
            interface, request = self.app.session_interface, self._request
            if request is None:
                request = self.request  # Raises.
            lazy = self.plan is not None and self.plan.lazy_session
            if not lazy and iscoroutinefunction(interface.open_session):
                raise RuntimeError(
                    f"The session was used before {type(interface).__name__}.open_session() was"
                    " awaited, which happens after the URL is matched. A URL converter cannot"
                    " use a session that is opened by an 'async def' function."
                )
            session: t.Any = interface.open_session(self.app, request)
            if session is None:
                session = interface.make_null_session(self.app)
            self._session_if_open = session
        return self._session_if_open

    @_session.setter
    def _session(self, value: SessionMixin | None) -> None:
        self._session_if_open = value

    def copy(self) -> AppContext:
        """A context with the same request and session and a ``g`` of its own, for another task."""
        # Opened now, so that what either of them writes is in both.
        session = self._session if self.app._has_default_session else self._session_if_open
        copy = AppContext(self.app, request=self._request, session=session)
        copy._loop = self._loop
        return copy

    # --- matching

    def match_request(self) -> None:
        """Match the URL: sets the request's ``url_rule`` and ``view_args``, or what went wrong."""
        request = self.request
        try:
            adapter = self.url_adapter
            if adapter is not None:
                # None: an environ tells by its Upgrade field, as in Flask.
                kind = None if request.scope is None else request.is_websocket
                found: t.Any = adapter.match(return_rule=True, websocket=kind)
                request.url_rule, request.view_args = found
        except HTTPException as error:
            if isinstance(error, WebsocketMismatch):
                from .debughelpers import explain_mismatch

                error.description = explain_mismatch(request)
            elif isinstance(error, RequestRedirect):
                error.new_url = without_host(t.cast("MapAdapter", adapter), error.new_url)
            request.routing_exception = error

    # --- being active

    def push(self) -> None:
        """Make this the active context, and match its request if that was not done yet."""
        self._step(self._push())

    def _step(self, coro: t.Coroutine[t.Any, t.Any, None]) -> None:
        """Run a coroutine to its end, which on the loop must not have to wait."""
        if not on_loop():
            complete(coro)
            return
        self._inline = True
        try:
            coro.send(None)
        except StopIteration:
            pass
        finally:
            self._inline = False

    async def _push(self) -> None:
        token = self._activate()
        self._tokens = (*(self._tokens or ()), token)
        if len(self._tokens) > 1:
            return
        try:
            if appcontext_pushed.receivers and self._outer is None:
                appcontext_pushed.send(self.app)
            if self._request is not None:
                await self._match_once()
        except BaseException:
            self._tokens = self._tokens[:-1]
            self._deactivate(token)
            raise

    async def _match_once(self) -> None:
        request, app = self.request, self.app
        if not app._has_default_session and self._session_if_open is None:
            from . import walk

            interface = app.session_interface
            session = await walk.call(self, interface.open_session, app, request)
            self._session = interface.make_null_session(app) if session is None else session
        if request.url_rule is None and request.routing_exception is None:
            self.match_request()

    def _activate(self) -> Token[AppContext]:
        """Set the context variable. A context of the same app below lends its ``g``."""
        outer = _cv_app.get(None)
        if self._request is None:
            self._around = _request_context()
        elif (
            outer is not None
            and outer is not self
            # One that had a `g` of its own keeps it when it is pushed again.
            and (self._tokens is None or self._outer is not None)
        ):
            self._outer = outer if outer.app is self.app else None
        return _cv_app.set(self)

    def pop(self, exc: BaseException | None = _sentinel) -> None:
        """Leave this context; at the last time its teardown functions run, every one of them.

        :raises RuntimeError: on the event loop if a teardown function is an ``async def`` one.
        """
        if exc is _sentinel:
            exc = sys.exc_info()[1]
        self._step(self._pop(exc))

    async def _pop(self, exc: BaseException | None) -> None:
        from . import walk

        tokens = self._tokens
        if not tokens:
            raise RuntimeError(f"{self!r} was popped more often than it was pushed.")
        try:
            if len(tokens) == 1:
                await walk.teardown(self, exc)
        finally:
            active, token = _cv_app.get(None), tokens[-1]
            tokens = self._tokens = tokens[:-1]
            # A test client keeps a request active that was made inside of this context.
            kept = self._request is None and active is not None and active._outer is self
            if kept:
                self._beneath = _old_value(token)
            else:
                self._deactivate(token)
            if not tokens:
                self.leave_lane()
            if not tokens and self._outer is None and appcontext_popped.receivers:
                appcontext_popped.send(self.app)
            if not tokens and self._outer is not None:
                self._outer = self._g = self._tokens = None  # What was lent goes back.
            if active is not self and not kept:
                raise AssertionError(
                    f"The contexts were popped in the wrong order: {active!r} is active, and"
                    f" {self!r} was popped. Leave the inner one first."
                )

    def _leave_context(self) -> None:
        """Have what streams in the request's own context not see the request by chance."""
        if self._context is not None:
            outer: t.Any = self._outer
            self._context.run(_cv_app.set, outer)
            if self._ending:  # A stream, which may be long, holds up no plain function.
                self.leave_lane()

    def leave_lane(self) -> None:
        """Give the thread back that ran plain functions for this context, if there was one."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.requests -= 1

    def _deactivate(self, token: Token[AppContext]) -> None:
        below = _old_value(token)
        if below is not None and below._beneath is not _sentinel:
            _cv_app.set(below._beneath)
            return
        try:
            _cv_app.reset(token)
        except ValueError:  # Pushed in another contextvars.Context than this one.
            _cv_app.set(t.cast("AppContext", below))

    def __enter__(self) -> t.Self:
        self.push()
        return self

    def __exit__(self, kind: t.Any, error: BaseException | None, traceback: t.Any) -> None:
        self.pop(error)

    async def __aenter__(self) -> t.Self:
        await self._push()
        return self

    async def __aexit__(self, kind: t.Any, error: BaseException | None, traceback: t.Any) -> None:
        await self._pop(error)


def _context_of(app: Flask, request: Request) -> AppContext:
    """``AppContext(app, request=request)``. PERF: to call the class takes three times as long."""
    ctx: AppContext = _new(AppContext)
    ctx.app, ctx._request = app, request
    ctx._lane = ctx._session_if_open = ctx._after_request_functions = None
    return ctx


class RequestContext(AppContext):
    """Flask 3.1's name and constructor for a context with a request.

    ``environ`` is a WSGI environ (PEP 3333), of which the request is made unless one is given.
    """

    def __init__(
        self, app: Flask, environ: WSGIEnvironment, request: Request | None = None,
        session: SessionMixin | None = None,
    ) -> None:  # fmt: skip
        if request is None:
            request = app.request_class(environ)
        super().__init__(app, request=request, session=session)


def has_request_context() -> bool:
    """Whether a request is being handled here, so that ``request`` and ``session`` work."""
    return _request_context() is not None


def has_websocket_context() -> bool:
    """Whether a WebSocket is being served here, so that ``websocket`` works."""
    return bool((ctx := _request_context()) and ctx.request.is_websocket)


def has_app_context() -> bool:
    """Whether an app is active here, so that ``current_app`` and ``g`` work."""
    return _cv_app.get(None) is not None


def after_this_request(f: T_after_request) -> T_after_request:
    """Call a function with the response of the current request; it returns the one to send.

    :raises RuntimeError: outside of a request.
    """
    ctx = _request_context()
    if ctx is None:
        raise RuntimeError(
            "'after_this_request' was used outside of a request, so there is no response that the"
            " function could be given. Use it in a view or in a function that a view calls."
        )
    if ctx._after_request_functions is None:
        ctx._after_request_functions = []
    ctx._after_request_functions.append(f)
    return f


def copy_current_request_context(f: t.Callable[P, T]) -> t.Callable[P, T]:
    """Let a function see the current request when it runs later, in a task or a thread.

    The function may be plain or ``async def``; what is returned has its colour.

    :raises RuntimeError: outside of a request.
    """
    ctx = _request_context()
    if ctx is None:
        raise RuntimeError(
            "'copy_current_request_context' was used outside of a request, so there is none to"
            " copy. Use it in a view or in a function that a view calls."
        )
    original = ctx

    if iscoroutinefunction(f):

        @wraps(f)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> t.Any:
            async with original.copy():
                return await t.cast("t.Callable[P, t.Awaitable[T]]", f)(*args, **kwargs)

        return t.cast("t.Callable[P, T]", call_async)

    @wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with original.copy():
            return f(*args, **kwargs)

    return call
