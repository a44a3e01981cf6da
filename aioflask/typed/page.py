"""The page that shows the OpenAPI document: Swagger UI 5, from a package that ships its files.

Source: https://github.com/swagger-api/swagger-ui/blob/master/docs/usage/installation.md
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from markupsafe import escape
from werkzeug.exceptions import NotFound

from aioflask.globals import current_app
from aioflask.helpers import send_from_directory, url_for

from .describe import describe

if t.TYPE_CHECKING:
    from aioflask.app import Flask
    from aioflask.wrappers import Response

    from .openapi import OpenAPI

FILES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets styles of elements, and draws its icons from ``data:``; it needs no more."""

_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{css}">
<link rel="icon" href="{icon}">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{script}"></script>
<script src="{start}"></script>
</body>
</html>
"""


def _folder() -> Path:
    try:
        import swagger_ui_bundle  # type: ignore[import-untyped]
    except ImportError as error:
        raise RuntimeError(
            "OpenAPI(docs=...): the page's files are in another package, which is not installed:"
            " pip install 'aioflask[swagger]'"
        ) from error
    return Path(swagger_ui_bundle.swagger_ui_path)


def add_page(app: Flask, api: OpenAPI) -> None:
    """Add the page's routes to an app.

    :raises RuntimeError: if the page's files are not installed.
    """
    folder, url = _folder(), t.cast(str, api.docs).rstrip("/")

    def answer(text: str, mimetype: str) -> Response:
        response: Response = current_app.response_class(text, mimetype=mimetype)
        connect = " ".join(["'self'", *(each for each in api.servers if "://" in each)])
        response.headers["Content-Security-Policy"] = _POLICY.format(connect=connect)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @describe(hidden=True)
    def openapi_docs() -> Response:
        names = {
            "css": "swagger-ui.css",
            "icon": "favicon-32x32.png",
            "script": "swagger-ui-bundle.js",
            "start": "start.js",
        }
        urls = {key: url_for("openapi_docs_file", name=name) for key, name in names.items()}
        title = escape(api.title or current_app.name)
        return answer(
            _HTML.format(title=title, **{k: escape(v) for k, v in urls.items()}), "text/html"
        )

    @describe(hidden=True)
    def openapi_docs_file(name: str) -> Response:
        if name == "start.js":  # A file of its own, so that the policy needs no inline script.
            settings = {"url": url_for("openapi"), "dom_id": "#swagger-ui", "deepLinking": True}
            return answer(f"SwaggerUIBundle({json.dumps(settings)});", "text/javascript")
        if name not in FILES:
            raise NotFound
        return send_from_directory(folder, name, max_age=3600)

    app.add_url_rule(f"{url}", "openapi_docs", openapi_docs)
    app.add_url_rule(f"{url}/<name>", "openapi_docs_file", openapi_docs_file)
