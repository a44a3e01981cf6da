"""ASGI applications as the body of a response: what a view returns of another framework's."""

from __future__ import annotations

import typing as t

from .headers import encoded

if t.TYPE_CHECKING:
    from .ctx import AppContext
    from .typing import Scope
    from .wrappers import Response


class ASGIBody:
    """An ASGI application that a view returned, and that makes the response's body."""

    is_asgi = True

    def __init__(self, app: t.Any) -> None:
        self.app = app

    async def send(self, response: Response, ctx: AppContext, send: t.Any) -> None:
        """Run it for the context's request; what hooks added to the response is sent with it."""
        request = ctx.request
        data = b"" if request._body.complete else None
        if request._body.loaded is not None:
            data = request._body.loaded
        kept = ("content-type", "content-length")
        added = encoded(field for field in response.headers if field[0].lower() not in kept)

        async def receive() -> t.Any:
            nonlocal data
            if data is None:
                return await request._receive()
            body, data = data, None
            return {"type": "http.request", "body": body, "more_body": False}

        async def send_on(message: t.Any) -> None:
            if message["type"] == "http.response.start" and added:
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self.app(request.scope, receive, send_on)

    async def collect(self, response: Response, ctx: AppContext, scope: Scope) -> None:
        """Run it to its end, for a server that is not ASGI, and fill the response."""
        ctx.request.scope, pieces = scope, list[bytes]()
        ctx.request._receive = _nothing_more

        async def send(message: t.Any) -> None:
            if message["type"] == "http.response.start":
                pairs = message.get("headers", ())
                response.status_code = message["status"]
                response.headers.clear()
                response.headers.extend(
                    (k.decode("latin-1"), v.decode("latin-1")) for k, v in pairs
                )
            else:
                pieces.append(message.get("body", b""))

        await self.send(response, ctx, send)
        response.response = [b"".join(pieces)]


async def _nothing_more() -> dict[str, t.Any]:
    return {"type": "http.disconnect"}
