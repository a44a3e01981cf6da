"""The proxies: ``request``, ``g``, ``session`` and ``current_app`` of the code that is running.

All of them read one :class:`~contextvars.ContextVar`, which holds the active
:class:`~aioflask.ctx.AppContext`. They are for users: inside the framework the context is passed
along as ``ctx``. Follows https://flask.palletsprojects.com/en/stable/api/#useful-internals.
"""

from __future__ import annotations

import typing as t
from contextvars import ContextVar
from threading import get_ident

from werkzeug.local import LocalProxy

if t.TYPE_CHECKING:
    from .app import Flask
    from .ctx import AppContext, _AppCtxGlobals
    from .sessions import SessionMixin
    from .websockets import WebSocket
    from .wrappers import Request

_no_app_msg = """\
Working outside of application context.

The code used something that belongs to an application (current_app, g, url_for, ...), but no \
application is active here. Inside a view or a command one always is. Elsewhere, make one active:

    with app.app_context():
        ...\
"""
_no_req_msg = """\
Working outside of request context.

The code used something that belongs to a request (request, session, ...), but no request is \
being handled here. Use it in a view, or in a function that a view calls. A thread or a callback \
needs copy_current_request_context(); a test makes a request active itself:

    with app.test_request_context("/path"):
        ...\
"""

_no_websocket_msg = """\
Working outside of websocket context.

The code used the websocket proxy, but no WebSocket is being served here. Use it in a view of \
@app.websocket(...), or in a function that such a view calls. Another task needs \
copy_current_websocket_context().\
"""

_cv_app: ContextVar[AppContext] = ContextVar("aioflask.ctx")
_cv_request = _cv_app  # COMPAT: Flask 3.1 has two.


def _active() -> AppContext:
    ctx = _cv_app.get(None)
    if ctx is None:
        raise RuntimeError(_no_app_msg)
    return ctx


def _outermost() -> AppContext:
    # COMPAT: where a request borrows the `g` of an `app_context()` around it, Flask's app context
    # is that one. Extensions know their database sessions by it.
    ctx = _active()
    while ctx._outer is not None:
        ctx = ctx._outer
    return ctx


def _request_context() -> AppContext | None:
    """The active context with a request; an ``app_context()`` inside of it does not hide it."""
    ctx = _cv_app.get(None)
    return ctx if ctx is None or ctx._request is not None else ctx._around


def _active_request() -> AppContext:
    ctx = _request_context()
    if ctx is None:
        raise RuntimeError(_no_req_msg)
    return ctx


def _active_websocket() -> t.Any:
    ctx = _request_context()
    if ctx is None or not ctx.request.is_websocket:
        raise RuntimeError(_no_websocket_msg)
    return ctx.request


# PERF: LocalProxy looks every attribute up in itself first, in vain, which raises an exception, and
# then through a chain of descriptors. The most used operations are spelled out below, for less
# than half the price; all others, and the names that are its own, stay LocalProxy's.


class _Proxy(LocalProxy[t.Any]):
    __slots__ = ()

    def __init_subclass__(cls) -> None:
        cls.__name__ = "LocalProxy"  # COMPAT: what repr() of an unbound proxy says.
        cls.__doc__ = vars(LocalProxy)["__doc__"]  # Looks up the bound object's own.


_LOCAL = frozenset(dir(_Proxy))


class _AppProxy(_Proxy):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name in _LOCAL:
            return object.__getattribute__(self, name)
        return getattr((_cv_app.get(None) or _active()).app, name)


class _GlobalsProxy(_Proxy):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name in _LOCAL:
            return object.__getattribute__(self, name)
        ctx = _cv_app.get(None) or _active()
        return getattr(ctx._g or ctx.g, name)

    def __setattr__(self, name: str, value: t.Any) -> None:
        ctx = _cv_app.get(None) or _active()
        setattr(ctx._g or ctx.g, name, value)


class _RequestProxy(_Proxy):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name in _LOCAL:
            return object.__getattribute__(self, name)
        ctx = _cv_app.get(None)
        if ctx is None or (request := ctx._request) is None:
            request = _active_request()._request
        return getattr(request, name)


class _WebSocketProxy(_Proxy):
    __slots__ = ()

    def __getattr__(self, name: str) -> t.Any:
        return getattr(_active_websocket(), name)

    def receive(self) -> t.Any:
        ctx = _cv_app.get(None)
        if ctx is not None and ctx._websocket is not None and get_ident() == ctx._thread:
            return ctx._websocket._receive_message()  # PERF: without a call of `receive` between.
        return _active_websocket().receive()

    def send(self, message: t.Any) -> t.Any:
        ctx = _cv_app.get(None)
        if ctx is not None and ctx._websocket is not None and get_ident() == ctx._thread:
            return ctx._websocket._send_message(message)
        return _active_websocket().send(message)

    def __aiter__(self) -> t.Any:
        return self.__getattr__("__aiter__")()


class _SessionProxy(_Proxy):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name in _LOCAL:
            return object.__getattribute__(self, name)
        return getattr(_open(_cv_app.get(None)), name)

    def __getitem__(self, key: str) -> t.Any:
        return _open(_cv_app.get(None))[key]

    def __setitem__(self, key: str, value: t.Any) -> None:
        _open(_cv_app.get(None))[key] = value

    def __contains__(self, key: object) -> bool:
        return key in _open(_cv_app.get(None))


def _open(ctx: AppContext | None) -> SessionMixin:
    if ctx is None or ctx._request is None:
        ctx = _active_request()
    session = ctx._session_if_open
    if session is None:
        session = ctx._session
    session.accessed = True
    return session


app_ctx: AppContext = t.cast("AppContext", LocalProxy(_outermost, unbound_message=_no_app_msg))
"""The active :class:`~aioflask.ctx.AppContext`."""

request_ctx: AppContext = t.cast(
    "AppContext", LocalProxy(_active_request, unbound_message=_no_req_msg)
)
"""The active :class:`~aioflask.ctx.AppContext`, which must be handling a request."""

current_app: Flask = t.cast("Flask", _AppProxy(lambda: _active().app))
"""The application that handles the current request, command or ``app_context()``."""

g: _AppCtxGlobals = t.cast("_AppCtxGlobals", _GlobalsProxy(lambda: _active().g))
"""A namespace for the current request's, command's or ``app_context()``'s own data."""

request: Request = t.cast("Request", _RequestProxy(lambda: _active_request().request))
"""The current :class:`~aioflask.Request`."""

websocket: WebSocket = t.cast("WebSocket", _WebSocketProxy(_active_websocket))
"""The current :class:`~aioflask.WebSocket`."""

session: SessionMixin = t.cast("SessionMixin", _SessionProxy(lambda: _active_request().session))
"""The current user's session, a dict signed into a cookie. Reading it adds ``Vary: Cookie``."""
