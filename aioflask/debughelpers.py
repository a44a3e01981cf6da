"""Messages for the developer: what happened, why, and what to write instead.

Only loaded classes and names are looked at here, so that every floor may use it. The classes are
Flask's: https://github.com/pallets/flask `flask/debughelpers.py`.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator
from urllib.parse import urljoin

from jinja2.loaders import BaseLoader
from werkzeug.routing import RequestRedirect

from .globals import _cv_app

if t.TYPE_CHECKING:
    from .app import Flask
    from .scaffold import Scaffold
    from .wrappers import Request

    Attempt = tuple[BaseLoader, Scaffold, tuple[str, str | None, Callable[[], bool] | None] | None]


class UnexpectedUnicodeError(AssertionError, UnicodeError):
    """Text stands where bytes were expected, or the other way round."""


class DebugFilesKeyError(KeyError, AssertionError):
    """In debug mode: a missing file of ``request.files``, with the likely reason."""

    def __init__(self, request: Request, key: str) -> None:
        self.msg: str = (
            f"request.files[{key!r}] does not exist: no file contents were transmitted, because"
            f" the request has the mimetype {request.mimetype!r} and not 'multipart/form-data'."
            ' Add enctype="multipart/form-data" to the <form>.'
        )
        if names := request.form.getlist(key):
            sent = ", ".join(map(repr, names))
            self.msg += (
                f"\n\nA browser sends the names of the files then. This was submitted: {sent}"
            )
        super().__init__(self.msg)

    def __str__(self) -> str:
        return self.msg  # KeyError would give the text's repr


class FormDataRoutingRedirect(AssertionError):
    """In debug mode: a redirect of the router that would make the browser drop a form's data."""

    def __init__(self, request: Request) -> None:
        error = request.routing_exception
        assert isinstance(error, RequestRedirect)
        reason, canonical = "", urljoin(request.url, error.new_url)
        if canonical.partition("?")[0] == f"{request.base_url}/":
            reason = " The URL's rule ends with a slash, and a path without it is redirected there."
        super().__init__(
            f"A {request.method} request came for {request.url!r}, and routing redirects it to the"
            f" canonical URL {canonical!r}.{reason} The browser would follow without the form's"
            " data. Send the form to the canonical URL, or redirect with status 307 or 308.\n\n"
            "This error is raised in debug mode only."
        )


def explain_mismatch(request: Request) -> str:
    """Say what is wrong where a WebSocket meets another URL, or a request a WebSocket's."""
    if request.is_websocket:
        return (
            "This URL is not a WebSocket's, and a WebSocket's handshake came for it. Send an HTTP"
            " request."
        )
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return (
            "This is a WebSocket's handshake, but the server has no library for WebSockets and"
            " takes it for an HTTP request. For uvicorn: pip install websockets"
        )
    return (
        "This URL is a WebSocket's, and a plain HTTP request came for it. Connect to it with a"
        " WebSocket client: new WebSocket('wss://...') in a browser."
    )


def attach_enctype_error_multidict(request: Request) -> None:
    """Make ``request.files[key]`` raise :class:`DebugFilesKeyError` where the form has the key."""
    base = type(request.files)

    class FilesWithReason(base):  # type: ignore[valid-type, misc]
        def __getitem__(self, key: str) -> t.Any:
            try:
                return super().__getitem__(key)
            except KeyError as e:
                if key not in request.form:
                    raise
                raise DebugFilesKeyError(request, key).with_traceback(e.__traceback__) from None

    FilesWithReason.__name__ = base.__name__
    FilesWithReason.__qualname__ = base.__qualname__
    FilesWithReason.__module__ = base.__module__
    request.files.__class__ = FilesWithReason


def explain_template_loading_attempts(app: Flask, template: str, attempts: list[Attempt]) -> None:
    """Log where a template was looked for and what was found, with ``EXPLAIN_TEMPLATE_LOADING``."""
    lines = [f"Locating template {template!r}:"]
    for number, (loader, owner, found) in enumerate(attempts, 1):
        lines.append(f"{number:5}: trying loader of {_describe_owner(app, owner)}")
        lines += [f"       {line}" for line in _describe_loader(loader)]
        answer = "no match" if found is None else f"found ({found[1] or '<string>'!r})"
        lines.append(f"       -> {answer}")

    hits = sum(found is not None for _, _, found in attempts)
    if hits == 0:
        lines.append("Error: the template could not be found.")
    elif hits > 1:
        lines.append("Warning: several loaders have this template; the first one is used.")
    ctx = _cv_app.get(None)
    blueprint = ctx.request.blueprint if ctx is not None and ctx.has_request else None
    if hits != 1 and blueprint is not None:
        lines += [
            f"  It was looked up from an endpoint that belongs to the blueprint {blueprint!r}.",
            "  Is the file in a template folder of that blueprint, or of the application?",
            "  See https://flask.palletsprojects.com/blueprints/#templates",
        ]
    app.logger.info("\n".join(lines))


def _describe_owner(app: Flask, owner: Scaffold) -> str:
    if owner is app:
        return f"application {app.import_name!r}"
    name = getattr(owner, "name", None)
    return repr(owner) if name is None else f"blueprint {name!r} ({owner.import_name})"


def _describe_loader(loader: BaseLoader) -> Iterator[str]:
    """Yield the loader's class and its settings as far as they are text, numbers or lists."""
    yield f"class: {type(loader).__module__}.{type(loader).__name__}"
    for key, value in sorted(vars(loader).items()):
        if key.startswith("_"):
            continue
        if isinstance(value, (str, int, float)):
            yield f"{key}: {value!r}"
        elif isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value):
            yield f"{key}:"
            yield from (f"  - {item}" for item in value)


def never_awaited(coro: t.Any) -> str:
    """What is wrong with a response of a coroutine."""
    name = getattr(coro, "__name__", "...")
    return (
        f"A response was made of a coroutine: {name}() was called but never awaited."
        f" Write 'await {name}(...)'."
    )
