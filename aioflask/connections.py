"""Where a server's connection goes that is not simply an HTTP request to the app."""

from __future__ import annotations

import typing as t
from functools import lru_cache

if t.TYPE_CHECKING:
    from .app import Flask
    from .typing import Receive, Scope, Send


def connect(app: Flask, scope: Scope, receive: Receive, send: Send) -> t.Awaitable[None]:
    """Take a connection to its door: a WebSocket's, the lifespan, a wrapped ``wsgi_app``.

    :raises ValueError: for a protocol that ASGI does not know.
    """
    kind = scope["type"]
    if kind == "websocket":
        return _websockets().serve(app, scope, receive, send)  # type: ignore[no-any-return]
    if kind == "lifespan":
        from . import lifespan

        return lifespan.serve(app, scope, receive, send)
    if kind == "http":
        from . import doors

        return doors.through_wsgi(app, scope, receive, send)
    raise ValueError(f"{app!r} was called with an ASGI scope of type {kind!r}.")


@lru_cache
def _websockets() -> t.Any:
    # PERF: an import costs half a us, also where it has been done.
    from . import websockets

    return websockets


async def decline(app: t.Any, scope: Scope, receive: Receive, send: Send) -> None:
    """Acknowledge a lifespan and refuse a WebSocket (403), for an application that has neither.

    :raises ValueError: for a protocol that ASGI does not know.
    """
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] != "websocket":
        raise ValueError(f"{app!r} was called with an ASGI scope of type {scope['type']!r}.")
    await receive()
    await send({"type": "websocket.close", "code": 1000})
