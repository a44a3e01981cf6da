"""Doors that somebody has wrapped: ``app.wsgi_app = Middleware(app.wsgi_app)``, or ``asgi_app``.

A request that came by the other kind of server goes through them all the same: by an adapter to
the wrapped door, and inside of the middleware back into the app.
"""

from __future__ import annotations

import typing as t

from .asgiapp import ASGIApp
from .calls import taken_from
from .wsgiapp import WSGIApp

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .app import Flask
    from .typing import Receive, Scope, Send


async def through_wsgi(app: Flask, scope: Scope, receive: Receive, send: Send) -> None:
    """Take a request of an ASGI server through ``app.wsgi_app``, on a worker thread."""
    adapter = app.__dict__.get("_wsgi_adapter")
    if adapter is None:
        calls = taken_from(type(app))
        door: t.Any = calls[0] if calls else app.wsgi_app
        app.logger.warning(
            "%s was replaced (by %s), so under an ASGI server each request goes through it on a"
            " worker thread. What wraps ASGI costs no thread:"
            " app.asgi_app = Middleware(app.asgi_app)",
            "Flask.__call__" if calls else "app.wsgi_app",
            getattr(door, "__qualname__", type(door).__qualname__),
        )
        config = app.config
        adapter = app.__dict__["_wsgi_adapter"] = WSGIApp(
            app, threads=config["WORKER_THREADS"], queue=config["WORKER_QUEUE"]
        )
    await adapter(scope, receive, send)


def through_asgi(
    app: Flask, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Take a request of a WSGI server through ``app.asgi_app``, on the background loop."""
    adapter = app.__dict__.get("_asgi_adapter")
    if adapter is None:

        async def door(scope: Scope, receive: Receive, send: Send) -> None:
            await app.asgi_app(scope, receive, send)

        adapter = app.__dict__["_asgi_adapter"] = ASGIApp(door)
    return t.cast("Iterable[bytes]", adapter(environ, start_response))
