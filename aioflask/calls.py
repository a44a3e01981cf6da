"""Functions of two arguments in the place of ``Flask.__call__``, and other wrapped doors.

Monitoring tools put them there, and expect that a Flask application is called as
``app(environ, start_response)`` alone. They are taken off the class, which ASGI servers call with
three arguments, and called in front of ``wsgi_app``.
"""

from __future__ import annotations

import inspect
import typing as t

from .concurrency import iscoroutinefunction
from .plan import DOORS, ORIGINALS, replaced_methods

if t.TYPE_CHECKING:
    from .app import Flask

_taken: dict[type, list[t.Any]] = {}
"""What was taken off each class, the first one innermost."""

_PASSED = "aioflask.passed"


def look(app: Flask) -> None:
    """See who has wrapped the app's doors: on the instance, or on its class."""
    kind = type(app)
    for cls in kind.__mro__:
        call = cls.__dict__.get("__call__")
        if call is not None and call is not ORIGINALS["__call__"] and _is_wsgi(call):
            _taken.setdefault(cls, []).append(call)
            if "asgi_app" in cls.__dict__:  # Flask itself
                cls.__call__ = ORIGINALS["__call__"]  # type: ignore[method-assign]
            else:
                del cls.__call__
    replaced = replaced_methods(app, DOORS)
    app._wraps_wsgi = "wsgi_app" in replaced or bool(taken_from(kind))
    app._wraps_asgi = "asgi_app" in replaced


def _is_wsgi(call: t.Any) -> bool:
    if iscoroutinefunction(call):
        return False
    try:
        inspect.signature(call).bind(None, None, None, None)
    except TypeError:
        return True
    return False


def taken_from(kind: type) -> list[t.Any]:
    """The functions in front of ``wsgi_app`` for the instances of a class, the last one first."""
    if not _taken:
        return []
    return [call for cls in kind.__mro__ for call in reversed(_taken.get(cls, ()))]


def through(app: Flask, environ: t.Any, start_response: t.Any) -> t.Iterable[bytes]:
    """Call the outermost function, and for its call of the app the next one, then ``wsgi_app``."""
    calls = taken_from(type(app))
    owner, passed = environ.get(_PASSED, (None, 0))
    if owner is not app:
        passed = 0
    if passed == len(calls):
        return app.wsgi_app(environ, start_response)
    before = environ.get(_PASSED)
    environ[_PASSED] = (app, passed + 1)
    try:
        return t.cast("t.Iterable[bytes]", calls[passed](app, environ, start_response))
    finally:
        if before is None:
            environ.pop(_PASSED, None)
        else:
            environ[_PASSED] = before
