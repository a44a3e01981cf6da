"""Building URLs, in a request and outside.

Source: https://flask.palletsprojects.com/en/stable/api/#flask.Flask.url_for
"""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from werkzeug.routing import BuildError

from .globals import _cv_app, _request_context

if t.TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

    from .app import Flask
    from .ctx import AppContext


_CONTROLS = {code: f"%{code:02X}" for code in [*range(33), 127]}


def without_host(adapter: MapAdapter, url: str) -> str:
    """A redirect of the map, relative if it stays on the host; it never begins with ``//``."""
    own = f"{adapter.url_scheme}://{adapter.get_host(None)}/"
    url = url.translate(_CONTROLS)  # A query string comes as it was sent.
    return "/" + url[len(own) :].lstrip("/\\") if url.startswith(own) else url


_ANCHOR_SAFE = "%!#$&'()*+,/:;=?@"  # COMPAT: the characters of a fragment that Flask leaves alone


def build(
    app: Flask, endpoint: str, _anchor: str | None, _method: str | None, _scheme: str | None,
    _external: bool | None, values: dict[str, t.Any],
) -> str:  # fmt: skip
    """Build the URL of an endpoint; see `Flask.url_for`."""
    ctx = _request_context() or _cv_app.get(None)
    adapter = app.create_url_adapter(None) if ctx is None else ctx.url_adapter
    in_request = ctx is not None and ctx.has_request
    if in_request and endpoint[:1] == ".":
        blueprint = t.cast("AppContext", ctx).request.blueprint
        endpoint = endpoint[1:] if blueprint is None else f"{blueprint}{endpoint}"
    if adapter is None:
        raise RuntimeError(
            f"The URL of {endpoint!r} was to be built outside a request, where only the"
            " configuration tells the host. Set SERVER_NAME and, as needed, APPLICATION_ROOT"
            " and PREFERRED_URL_SCHEME."
        )
    if _external is None:
        _external = _scheme is not None or not in_request
    if _scheme is not None and not _external:
        raise ValueError(
            f"url_for({endpoint!r}) was given _scheme={_scheme!r} and _external=False, but only"
            " an external URL has a scheme. With '_scheme', '_external' must be True."
        )
    app.inject_url_defaults(endpoint, values)
    try:
        url = adapter.build(
            endpoint, values, method=_method, url_scheme=_scheme, force_external=_external
        )
    except BuildError as error:
        values.update(_anchor=_anchor, _method=_method, _scheme=_scheme, _external=_external)
        return app.handle_url_build_error(error, endpoint, values)
    return url if _anchor is None else f"{url}#{quote(_anchor, safe=_ANCHOR_SAFE)}"
