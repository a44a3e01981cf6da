"""Requests whose client may go before the answer is there: ``on_disconnect`` of a route.

"finish", the default, watches nobody: the view runs to its end. "notify" sets
``request.disconnected``, and "cancel" cancels what the view awaits; its teardown runs all the same.
"""

from __future__ import annotations

import typing as t

from .streams import Watch
from .wakeups import Interruptible
from .walk import cross

if t.TYPE_CHECKING:
    from .ctx import AppContext
    from .wrappers import Response


def way_of(ctx: AppContext) -> str:
    """What is done when the client of a request goes: by its route, its blueprints or the app."""
    app, request = ctx.app, ctx.request
    scopes = [app.blueprints[name] for name in request.blueprints if name in app.blueprints]
    for each in (request.url_rule, *scopes, app):
        way: str | None = getattr(each, "on_disconnect", None)
        if way is not None:
            if way not in ("finish", "cancel", "notify"):
                raise ValueError(
                    f"{each!r} has on_disconnect={way!r}. It is 'finish', 'cancel' or 'notify'."
                )
            return way
    return "finish"


async def watched(ctx: AppContext) -> Response | Nobody:
    """Take a request through while its client is watched, once its body has been read."""
    way, request = way_of(ctx), ctx.request
    if way == "finish":
        return await cross(ctx, is_watched=True)
    block = Interruptible()

    def tell() -> None:
        request.disconnected.set()
        if way == "cancel":
            block.interrupt()

    watch = Watch(request._receive, tell)
    if request._body.complete:
        watch.start()
    else:
        request._body.watch = watch
    try:
        async with block:
            return await cross(ctx, is_watched=True)
    finally:
        watch.stop()
    return Nobody()


class Nobody:
    """What stands in a response's place when nobody is there to get one."""

    _messages: t.Any = staticmethod(lambda ctx: None)

    async def send_asgi(self, ctx: AppContext, send: t.Any) -> None:
        """Send nothing."""
