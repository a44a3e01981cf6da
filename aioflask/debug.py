"""The debugger in the browser, for an app that is served by ASGI while it is developed.

Its pages, its console and its PIN are Werkzeug's:
https://werkzeug.palletsprojects.com/en/stable/debug/. What is here takes an exception that left the
app to them, and lets the console see the request that failed.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable
from types import TracebackType

import anyio.to_thread
import werkzeug.debug
from werkzeug.test import run_wsgi_app

from .environ import build_environ

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .ctx import AppContext
    from .typing import ASGIApplication, Message, Receive, Scope, Send

_ERROR, _CONTEXTS = "aioflask.error", "aioflask.contexts"
_PRESERVE = "werkzeug.debug.preserve_context"

# The frames of ours that a page shows: those whose names a user of Flask knows.
_SHOWN = {"asgi_app", "full_dispatch_request", "dispatch_request"}


def _tidied(tb: TracebackType | None) -> TracebackType | None:
    """A traceback that has of the way through aioflask only its stations, and each of them once."""
    entries, shown, kept = [], set(_SHOWN), None
    while tb is not None:
        entries.append(tb)
        tb = tb.tb_next
    for entry in reversed(entries):
        frame, name = entry.tb_frame, entry.tb_frame.f_code.co_name
        if frame.f_globals.get("__name__", "").startswith("aioflask."):
            if name not in shown:
                continue
            shown.remove(name)
        kept = TracebackType(kept, frame, entry.tb_lasti, entry.tb_lineno)
    return kept


def _fail_again(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    __traceback_hide__ = True  # Werkzeug leaves such a frame out of its page.
    for ctx in environ.get(_CONTEXTS, ()):
        if _PRESERVE in environ:
            environ[_PRESERVE](ctx)
    if _ERROR in environ:
        raise environ[_ERROR]
    start_response("404 NOT FOUND", [])
    return []


class Debugger:
    """An ASGI application around another one, which answers its exceptions with the debugger.

    ``evalex`` lets whoever knows the PIN run code in the frames of the traceback. Whoever can
    reach that can do on this machine what the server can: never serve it to others.
    """

    def __init__(self, app: ASGIApplication, evalex: bool = True) -> None:
        self.app = app
        self.pages: werkzeug.debug.DebuggedApplication = werkzeug.debug.DebuggedApplication(
            _fail_again, evalex=evalex
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on; answer what fails, and what the debugger's own pages ask."""
        __traceback_hide__ = True
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if b"__debugger__=yes" in scope["query_string"] or (
            self.pages.evalex and scope["path"] == self.pages.console_path
        ):
            await self._answer(build_environ(scope), send)
            return
        started, contexts = False, t.cast("list[AppContext]", [])
        scope = {**scope, "aioflask.keep_context": contexts.append}

        async def send_on(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        except Exception as error:
            if started:  # Too late for a page: the server logs it and breaks the response off.
                raise
            error.__traceback__ = _tidied(error.__traceback__)
            environ = build_environ(scope)
            environ[_ERROR], environ[_CONTEXTS] = error, contexts
            await self._answer(environ, send)

    async def _answer(self, environ: WSGIEnvironment, send: Send) -> None:
        """Let Werkzeug answer, on a thread: its console runs whatever the developer types."""
        body, status, headers = await anyio.to_thread.run_sync(
            run_wsgi_app, self.pages, environ, True
        )
        pairs = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers]
        start = {"type": "http.response.start", "status": int(status[:3]), "headers": pairs}
        await send(start)
        await send({"type": "http.response.body", "body": b"".join(body)})
