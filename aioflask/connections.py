"""Where a server's connection goes that is not simply an HTTP request to the app."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .app import Flask
    from .typing import Receive, Scope, Send


async def connect(app: Flask, scope: Scope, receive: Receive, send: Send) -> None:
    """Take a connection to its door: a wrapped ``wsgi_app``, the lifespan, a WebSocket's.

    :raises ValueError: for a protocol that ASGI does not know.
    """
    kind = scope["type"]
    if kind == "http":
        from . import doors

        await doors.through_wsgi(app, scope, receive, send)
    elif kind == "lifespan":
        from . import lifespan

        await lifespan.serve(app, scope, receive, send)
    elif kind == "websocket":
        serve = _doors.get("websocket") or _open_websocket_door()
        await serve(app, scope, receive, send)
    else:
        raise ValueError(f"{app!r} was called with an ASGI scope of type {kind!r}.")


_doors: dict[str, t.Any] = {}


def _open_websocket_door() -> t.Any:
    # PERF: an import costs half a us, also where it has been done.
    from .websockets import serve

    _doors["websocket"] = serve
    return serve


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
