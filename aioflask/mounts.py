"""Other applications below a prefix of the app's URLs."""

from __future__ import annotations

import inspect
import typing as t

from werkzeug.exceptions import MethodNotAllowed, NotFound

from .concurrency import iscoroutinefunction

if t.TYPE_CHECKING:
    from .ctx import AppContext
    from .typing import ASGIApplication, Send


class Mount:
    """An ASGI application at ``prefix``, which is ``""`` for the root.

    It stands in a request's walk where else a plan and then a response stand.
    """

    crosses: bool = True
    is_mount: bool = True

    def __init__(self, prefix: str, app: ASGIApplication, has_lifespan: bool) -> None:
        self.prefix: str = prefix
        self.app: ASGIApplication = app
        self.has_lifespan: bool = has_lifespan
        self.state: dict[str, t.Any] | None = None
        """What its lifespan keeps for requests, while the server runs."""
        self.wsgi_app: t.Any = None
        """The same for a WSGI server, once one has asked."""

    def holds(self, path: str) -> bool:
        """Whether a path, as the app sees it, lies below the prefix."""
        return path.startswith(self.prefix + "/") or path == self.prefix

    _messages: t.Any = staticmethod(lambda ctx: None)

    async def send_asgi(self, ctx: AppContext, send: Send) -> None:
        """Hand the context's request over, with the prefix in ``root_path``."""
        request: t.Any = ctx.request
        root, scope = request.root_path, request.scope
        # A proxy may have cut the app's own prefix off the path, where ASGI wants it.
        path = root + request.path
        await self.app(self.scope_below(scope, root, path), request._receive, send)

    def scope_below(self, scope: t.Any, root: str, path: str) -> dict[str, t.Any]:
        """A connection's scope as the application is to see it, with the state of its lifespan."""
        made = {**scope, "root_path": root + self.prefix, "path": path}
        made.pop("state", None)
        return made if self.state is None else {**made, "state": self.state.copy()}

    @staticmethod
    def find(ctx: AppContext) -> Mount | None:
        """The mount that a request, whose URL was matched, belongs to.

        Rules below the prefix go first, so what they match, redirects included, stays the app's.
        """
        request = ctx.request
        error = request.routing_exception
        if error is not None and not isinstance(error, (NotFound, MethodNotAllowed)):
            return None
        path = request.path
        for mount in ctx.app._mounts:
            if mount.holds(path):
                rule = request.url_rule
                return None if rule is not None and mount.holds(rule.rule) else mount
        return None


def add(mounts: list[Mount], prefix: str, app: t.Any, has_lifespan: bool) -> None:
    """Add one to an app's, the longest prefix first; raises what `check` raises."""
    mounts.append(Mount(check(prefix, app, mounts), app, has_lifespan))
    mounts.sort(key=lambda mount: -len(mount.prefix))


def check(prefix: str, app: t.Any, mounts: list[Mount]) -> str:
    """The prefix without its last slash; raises what is wrong with it or with the application."""
    if not prefix.startswith("/") or "<" in prefix or "//" in prefix:
        raise ValueError(
            f"mount({prefix!r}, ...): a prefix is a path without variables that begins with a"
            " slash: '/legacy', or '/' for all that no rule of the app matches."
        )
    prefix = prefix.rstrip("/")
    if any(mount.prefix == prefix for mount in mounts):
        raise ValueError(f"mount({prefix or '/'!r}, ...): there is an application already.")
    if not callable(app) or (not iscoroutinefunction(app) and _takes_two(app)):
        raise TypeError(
            f"mount({prefix or '/'!r}, {app!r}): that is no ASGI application. One that speaks WSGI"
            " is mounted inside an adapter:\n"
            f"    app.mount({prefix or '/'!r}, WSGIApp(legacy_app))"
        )
    return prefix


def _takes_two(app: t.Any) -> bool:
    """Whether a callable takes an environ and start_response, and not three arguments."""
    try:
        signature = inspect.signature(app)
        signature.bind(None, None)
    except (TypeError, ValueError):
        return False
    try:
        signature.bind(None, None, None)
    except TypeError:
        return True
    return False
