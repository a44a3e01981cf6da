"""Errors as the client wants them: JSON for programs, a page for people.

The handlers are plain functions that only compute; `@nonblocking` says so, and then they are called
wherever the request runs, on the event loop or on its worker thread.
"""

from __future__ import annotations

from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException, PreconditionFailed

from aioflask import Flask, Response, json, make_response, nonblocking, render_template, request

from .checks import Invalid

CHANGED = "The note is no longer the one of your If-Match: read it again."


def init_app(app: Flask) -> None:
    """Register the handlers. Whatever is no HTTPException stays the 500 that it is."""
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(StaleDataError, on_stale_data)


def wants_json() -> bool:
    """Is this a program's request: by its path, by what it sends, or by what it accepts?"""
    accepts = request.accept_mimetypes
    return (
        request.path.startswith(("/api/", "/stats/"))
        or request.is_json
        or accepts["application/json"] > accepts["text/html"]
    )


@nonblocking
def on_http_error(error: HTTPException) -> Response:
    """Keep status and headers (Allow, Retry-After, WWW-Authenticate); write the body anew."""
    response = make_response(error.get_response())
    if wants_json():
        body = {"status": error.code, "error": error.name, "message": error.description}
        fields = {"fields": error.fields} if isinstance(error, Invalid) else {}
        response.data = json.dumps(body | fields)
        response.mimetype = "application/json"
    else:
        response.data = render_template("error.html", error=error)
        response.mimetype = "text/html"
    response.vary.add("Accept")
    return response


@nonblocking
def on_stale_data(error: StaleDataError) -> Response:
    """Somebody else's change came between our reading of the row and our writing."""
    return on_http_error(PreconditionFailed(CHANGED))
