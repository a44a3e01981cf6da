"""Test clients, an environ builder and a CLI runner that know the app.

:class:`FlaskClient` is plain code with Flask's API, :class:`AsyncClient` runs the app on the test's
own loop. Both enter through the ASGI door, as a server does.
Follows https://flask.palletsprojects.com/en/stable/testing/
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import importlib.metadata
import io
import typing as t
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from urllib.parse import urlsplit

import werkzeug.test
from click.testing import CliRunner, Result
from werkzeug.datastructures import Headers
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.wrappers import Request as BaseRequest
from werkzeug.wsgi import get_current_url

from . import calls, concurrency
from .app import Flask
from .cli import ScriptInfo
from .environ import scope_from_environ
from .headers import usual_name

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.test import TestResponse

    from .async_client import ASGITransport as ASGITransport
    from .async_client import AsyncClient as AsyncClient
    from .exchange import Exchange
    from .faults import chunked as chunked
    from .faults import cut_off as cut_off
    from .faults import leave_after as leave_after
    from .faults import slow as slow
    from .sessions import SessionMixin
    from .sse_client import EventSource as EventSource
    from .sse_client import ReceivedEvent as ReceivedEvent
    from .typing import ASGIApplication
    from .websocket_client import WebSocketClosed as WebSocketClosed
    from .websocket_client import WebSocketRefused as WebSocketRefused
    from .websocket_client import WebSocketSession as WebSocketSession

_LATER = {
    "async_client": ("ASGITransport", "AsyncClient"),
    "websocket_client": ("WebSocketClosed", "WebSocketRefused", "WebSocketSession"),
    "sse_client": ("EventSource", "ReceivedEvent"),
    "faults": ("chunked", "cut_off", "leave_after", "slow"),
}
_MODES = ("", "wsgi", "loop", "hop")


def use_mode(name: str) -> None:
    """Choose how the requests of a test run are handled; no configuration of an app reaches it.

    ``""`` is production's way; ``"wsgi"`` sends the sync client through the WSGI face; ``"loop"``
    calls every plain function on the event loop; ``"hop"`` has every one cross to a worker.

    :raises ValueError: for another name.
    """
    if name not in _MODES:
        close = difflib.get_close_matches(name, _MODES[1:], 1, 0.4)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"use_mode({name!r}): there is no such mode.{hint}"
            " The modes are 'wsgi', 'loop', 'hop', and '' for none of them."
        )
    concurrency.mode = name


class EnvironBuilder(werkzeug.test.EnvironBuilder):
    """Werkzeug's builder of test environs, with the app's configuration for defaults.

    Without ``base_url`` it is made of PREFERRED_URL_SCHEME, SERVER_NAME and APPLICATION_ROOT;
    ``subdomain`` and ``url_scheme`` change a part of that. All other arguments are Werkzeug's.
    Source: https://flask.palletsprojects.com/en/stable/api/#flask.testing.EnvironBuilder

    :raises AssertionError: when ``base_url`` is given together with one of its parts.
    """

    def __init__(
        self, app: Flask, path: str = "/", base_url: str | None = None,
        subdomain: str | None = None, url_scheme: str | None = None, *args: t.Any, **kwargs: t.Any,
    ) -> None:  # fmt: skip
        # COMPAT: Flask raises an AssertionError.
        if base_url is not None and (subdomain or url_scheme):
            raise AssertionError(
                "base_url was given together with subdomain or url_scheme, which are parts of it."
                " Give the whole URL as base_url, or only the parts."
            )
        if base_url is None:
            url = urlsplit(path)
            host = app.config.get("SERVER_NAME") or "localhost"
            host = url.netloc or (f"{subdomain}.{host}" if subdomain else host)
            scheme = url.scheme or url_scheme or app.config["PREFERRED_URL_SCHEME"]
            base_url = f"{scheme}://{host}/{app.config['APPLICATION_ROOT'].lstrip('/')}"
            path = f"{url.path}?{url.query}" if url.query else url.path
        self.app = app
        super().__init__(path, base_url, *args, **kwargs)

    def json_dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        """Write JSON as the app does."""
        return self.app.json.dumps(obj, **kwargs)


# --- the plain client --------------------------------------------------------------------------

_running: set[asyncio.Task[None]] = set()
"""The apps' tasks, which an event loop alone would not keep alive."""


async def _start(app: ASGIApplication, environ: WSGIEnvironment) -> Exchange:
    # The app may write into its environ; the next request of a redirect gets a clean one.
    from .exchange import Exchange

    exchange = Exchange(app, scope_from_environ(environ.copy()), _request_body(environ))
    task = asyncio.create_task(exchange.run())
    _running.add(task)
    task.add_done_callback(_running.discard)
    await exchange.begin()
    return exchange


class _Body(t.Iterator[bytes]):
    """A response's pieces, read as they come; closing it early disconnects from the app."""

    def __init__(self, exchange: Exchange, loop: concurrency.LoopThread) -> None:
        self._exchange, self._loop = exchange, loop
        self._pieces: deque[bytes] = deque()

    def __next__(self) -> bytes:
        if not self._pieces:
            # PERF: the loop is done with what is done; asking it costs 0.1 ms.
            exchange = self._exchange
            self._pieces.extend(
                exchange.take() if exchange.done else self._loop.run(exchange.more())
            )
        if not self._pieces:
            self._exchange.raise_error()
            raise StopIteration
        return self._pieces.popleft()

    def close(self) -> None:
        if not self._exchange.done:
            self._loop.run(self._exchange.close())
            self._exchange.raise_error()

    def __del__(self) -> None:
        # A response that was dropped unread must not leave its app waiting. The loop may be gone.
        if not self._exchange.done:
            with contextlib.suppress(RuntimeError):
                self._loop.loop.call_soon_threadsafe(self._exchange.disconnect)


async def _request_body(environ: WSGIEnvironment) -> t.AsyncGenerator[bytes, None]:
    """What a server would pass on of ``wsgi.input``: Content-Length bytes, or a marked stream."""
    stream: t.IO[bytes] = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH") or ""
    left: float = int(length) if length.isdecimal() else 0
    if not length and (environ.get("wsgi.input_terminated") or "HTTP_TRANSFER_ENCODING" in environ):
        left = float("inf")
    plain = isinstance(stream, io.BufferedIOBase)  # Memory or a file; all else may wait.
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        thread = None if plain else stack.enter_context(ThreadPoolExecutor(1, "aioflask-body"))
        while left > 0:
            wanted = int(min(left, 65_536))
            if thread is None:
                piece = stream.read(wanted)
            else:
                piece = await loop.run_in_executor(thread, stream.read, wanted)
            if not piece:
                if length:
                    from .exchange import BodyCutOff

                    raise BodyCutOff
                return
            left -= len(piece)
            yield piece


class FlaskClient(werkzeug.test.Client):
    """The test client of ``app.test_client()``: Werkzeug's, with the app's contexts and session.

    Requests enter through the app's ASGI door, unless ``app.wsgi_app`` was replaced: then they go
    that way. In a ``with client:`` block the context of the last request stays, for assertions on
    ``request``, ``session`` and ``g``. Called from an event loop's thread it blocks that loop.
    Source: https://flask.palletsprojects.com/en/stable/api/#flask.testing.FlaskClient
    """

    application: Flask

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self.preserve_context: bool = False
        self._new_contexts: list[t.ContextManager[t.Any]] = []
        self._context_stack = contextlib.ExitStack()
        self.environ_base: dict[str, t.Any] = {
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_USER_AGENT": f"Werkzeug/{importlib.metadata.version('werkzeug')}",
        }

    @contextlib.contextmanager
    def session_transaction(self, *args: t.Any, **kwargs: t.Any) -> t.Iterator[SessionMixin]:
        """Change the session that the next request will see. ::

            with client.session_transaction() as session:
                session["user_id"] = 1

        Takes the arguments of ``app.test_request_context()``, for interfaces that look at them.

        :raises TypeError: for a client without cookies.
        :raises RuntimeError: when the app has no session to open.
        """
        if self._cookies is None:
            raise TypeError(
                "Cookies are disabled. A session needs them: app.test_client(use_cookies=True)."
            )
        app = self.application
        interface: t.Any = app.session_interface
        ctx = app.test_request_context(*args, **kwargs)
        self._add_cookies_to_wsgi(ctx.request.environ)
        # A session for push() to find, which need not open one of its own then.
        ctx._session = interface.make_null_session(app)
        with ctx:
            session = _off_loop(interface.open_session)(app, ctx.request)
        if session is None:
            from .exchange import NO_SESSION

            raise RuntimeError(NO_SESSION)
        ctx._session = session
        yield session
        if interface.is_null_session(session):
            return
        response = app.response_class()
        with ctx:
            _off_loop(interface.save_session)(app, session, response)
        self._update_cookies_from_response(
            ctx.request.host.partition(":")[0],
            ctx.request.path,
            response.headers.getlist("Set-Cookie"),
        )

    def open(
        self, *args: t.Any, buffered: bool = False, follow_redirects: bool = False, **kwargs: t.Any
    ) -> TestResponse:
        """Make a request: of :class:`EnvironBuilder`'s arguments, a builder, environ or request."""
        request = self._request_from_builder_args(args, kwargs)
        # A block keeps the context of its last request alone.
        self._context_stack.close()
        try:
            response = super().open(request, buffered=buffered, follow_redirects=follow_redirects)
            response.json_module = self.application.json  # type: ignore[assignment]
            if not args or isinstance(args[0], str):  # A large body lies in a file of our own.
                response.call_on_close(request.input_stream.close)
            for context in self._new_contexts:
                self._context_stack.enter_context(context)
        finally:
            self._new_contexts.clear()
        return response

    def run_wsgi_app(
        self, environ: WSGIEnvironment, buffered: bool = False
    ) -> tuple[t.Iterable[bytes], str, Headers]:
        """Send one request through the door that the app has; returns body, status, headers."""
        calls.look(self.application)
        if self.application._wraps_wsgi or concurrency.mode == "wsgi":
            return super().run_wsgi_app(environ, buffered=buffered)
        self._add_cookies_to_wsgi(environ)
        loop = concurrency.background_loop()
        door = t.cast("ASGIApplication", self.application)
        # In a copy of the test's context, so that the app sees what the test has pushed. A plain
        # view runs on the test's own thread, as in Flask: what hangs on threads (a database in
        # memory, a debugger's prompt) is there.
        exchange = loop.serve(_start, door, environ)
        exchange.raise_error()
        headers = Headers([(usual_name(n), v.decode("latin-1")) for n, v in exchange.headers])
        url = urlsplit(get_current_url(environ))
        self._update_cookies_from_response(
            url.hostname or "localhost", url.path, headers.getlist("Set-Cookie")
        )
        status = t.cast(int, exchange.status)
        body = _Body(exchange, loop)
        reason = HTTP_STATUS_CODES.get(status, "Unknown").upper()
        return list(body) if buffered else body, f"{status} {reason}", headers

    def _request_from_builder_args(
        self, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]
    ) -> BaseRequest:
        given = args[0] if args else None
        if isinstance(given, werkzeug.test.EnvironBuilder):
            builder = copy(given)
            builder.environ_base = self._copy_environ(builder.environ_base or {})
            return builder.get_request()
        if isinstance(given, BaseRequest):
            return BaseRequest(self._copy_environ(given.environ))
        if isinstance(given, dict):
            builder = EnvironBuilder.from_environ(
                given, app=self.application, environ_base=self._copy_environ({})
            )
            return builder.get_request()
        kwargs["environ_base"] = self._copy_environ(kwargs.get("environ_base") or {})
        builder = EnvironBuilder(self.application, *args, **kwargs)
        try:
            return builder.get_request()
        finally:
            builder.close()

    def _copy_environ(self, other: t.Mapping[str, t.Any]) -> WSGIEnvironment:
        environ = {**self.environ_base, **other}
        if self.preserve_context:
            environ["werkzeug.debug.preserve_context"] = self._new_contexts.append
        return environ

    def __enter__(self) -> t.Self:
        if self.preserve_context:
            raise RuntimeError(
                "Cannot nest client invocations: this client's 'with' block was entered twice."
                " Use a second client for the inner block: app.test_client()."
            )
        self.preserve_context = True
        return self

    def __exit__(self, *exc_info: t.Any) -> None:
        self.preserve_context = False
        self._context_stack.close()


def _off_loop(method: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    if concurrency.iscoroutinefunction(method):
        return concurrency.async_to_sync(method)
    return method


class FlaskCliRunner(CliRunner):
    """Runs the commands of an app in tests; made by ``app.test_cli_runner()``.

    Source: https://flask.palletsprojects.com/en/stable/api/#flask.testing.FlaskCliRunner
    """

    def __init__(self, app: Flask, **kwargs: t.Any) -> None:
        self.app = app
        super().__init__(**kwargs)

    def invoke(  # type: ignore[override]
        self, cli: t.Any = None, args: t.Any = None, **kwargs: t.Any
    ) -> Result:
        """Run a command, by default of ``app.cli``, with the app for its ``obj``."""
        if "obj" not in kwargs:
            kwargs["obj"] = ScriptInfo(create_app=lambda: self.app)
        return super().invoke(self.app.cli if cli is None else cli, args, **kwargs)


def __getattr__(name: str) -> t.Any:
    # Need httpx, and anyio: see exchange.
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f"aioflask.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
