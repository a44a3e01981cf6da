"""The application's logger.

Source: https://flask.palletsprojects.com/en/stable/logging/.
"""

from __future__ import annotations

import logging
import sys
import typing as t

from werkzeug.local import LocalProxy

from .globals import _cv_app

if t.TYPE_CHECKING:
    from .app import Flask


def _find_errors_stream() -> t.TextIO:
    ctx = _cv_app.get(None)
    if ctx is not None and ctx.has_request:
        # PERF: `request.environ` would make an environ for a request that came by ASGI.
        request = ctx.request
        environ = vars(request).get("environ")
        if environ is None:
            environ = (getattr(request, "scope", None) or {}).get("aioflask.environ")
        if environ is not None and "wsgi.errors" in environ:
            return t.cast(t.TextIO, environ["wsgi.errors"])
    return sys.stderr


wsgi_errors_stream: LocalProxy[t.TextIO] = LocalProxy(_find_errors_stream)
"""The stream for error messages: ``wsgi.errors`` of a request that has an environ, else stderr.

``ext://aioflask.logging.wsgi_errors_stream`` names it in a logging configuration.
"""


def has_level_handler(logger: logging.Logger) -> bool:
    """Tell whether a handler of ``logger``, or of one it propagates to, takes its level."""
    level = logger.getEffectiveLevel()
    current: logging.Logger | None = logger
    while current is not None:
        if any(handler.level <= level for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return False


default_handler: logging.StreamHandler[t.TextIO] = logging.StreamHandler(
    t.cast(t.TextIO, wsgi_errors_stream)
)
"""Writes to :data:`wsgi_errors_stream`, for loggers that nobody has configured."""
default_handler.setFormatter(
    logging.Formatter("[%(asctime)s] %(levelname)s in %(module)s: %(message)s")
)


def create_logger(app: Flask) -> logging.Logger:
    """Return the logger of the application's name: level DEBUG in debug mode unless it is set.

    It gets :data:`default_handler` if no handler takes its messages.
    """
    logger = logging.getLogger(app.name)
    if app.debug and not logger.level:
        logger.setLevel(logging.DEBUG)
    if not has_level_handler(logger):
        logger.addHandler(default_handler)
    return logger
