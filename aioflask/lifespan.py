"""What an ASGI server sends beside HTTP requests.

Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html.
"""

from __future__ import annotations

import typing as t

from . import calls

if t.TYPE_CHECKING:
    from .typing import Receive, Scope, Send


async def by_another_door(app: t.Any, scope: Scope, receive: Receive, send: Send) -> None:
    """Acknowledge the server's start and end; find whom else a connection is for.

    HTTP goes through a ``wsgi_app`` that somebody has wrapped. A WebSocket that is no mount's is
    refused, which answers it with 403.

    :raises ValueError: for a protocol that ASGI does not know.
    """
    if scope["type"] == "http":
        from . import doors

        await doors.through_wsgi(app, scope, receive, send)
        return
    if scope["type"] == "lifespan":
        if hasattr(app, "_wraps_wsgi"):
            calls.look(app)  # Tools patch classes until the server starts.
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        for mount in getattr(app, "_mounts", ()):
            if mount.holds(scope["path"].removeprefix(root := scope.get("root_path", ""))):
                await mount.app({**scope, "root_path": root + mount.prefix}, receive, send)
                return
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    raise ValueError(f"{app!r} was called with an ASGI scope of type {scope['type']!r}.")
