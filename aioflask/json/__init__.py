"""JSON as the current application reads and writes it.

Source: https://flask.palletsprojects.com/en/stable/api/#module-flask.json. Where no application is
active, the standard library does it with the same additional types.
"""

from __future__ import annotations

import json as _json
import typing as t

from aioflask.globals import _cv_app, current_app
from aioflask.json.provider import _default

if t.TYPE_CHECKING:
    from aioflask.wrappers import Response


def dumps(obj: t.Any, **kwargs: t.Any) -> str:
    """Write ``obj`` as JSON text with ``app.json.dumps``; keyword arguments are passed on."""
    ctx = _cv_app.get(None)
    if ctx is not None:
        text: str = ctx.app.json.dumps(obj, **kwargs)
        return text
    kwargs.setdefault("default", _default)
    return _json.dumps(obj, **kwargs)


def dump(obj: t.Any, fp: t.IO[str], **kwargs: t.Any) -> None:
    """Write ``obj`` to a text file with ``app.json.dump``; keyword arguments are passed on."""
    ctx = _cv_app.get(None)
    if ctx is not None:
        ctx.app.json.dump(obj, fp, **kwargs)
    else:
        kwargs.setdefault("default", _default)
        _json.dump(obj, fp, **kwargs)


def loads(s: str | bytes, **kwargs: t.Any) -> t.Any:
    """Read JSON from text or UTF-8 bytes with ``app.json.loads``; ValueError if it is not JSON."""
    ctx = _cv_app.get(None)
    return _json.loads(s, **kwargs) if ctx is None else ctx.app.json.loads(s, **kwargs)


def load(fp: t.IO[t.AnyStr], **kwargs: t.Any) -> t.Any:
    """Read JSON from an open file with ``app.json.load``; ValueError if it is not JSON."""
    ctx = _cv_app.get(None)
    return _json.load(fp, **kwargs) if ctx is None else ctx.app.json.load(fp, **kwargs)


def jsonify(*args: t.Any, **kwargs: t.Any) -> Response:
    """Make a JSON response of one value, of several as a list, or of keywords as an object.

    A view that returns a dict or list gets the same without it. Needs an active application
    (RuntimeError) and takes either positional or keyword arguments (TypeError). ::

        jsonify(name="Ada")  # {"name":"Ada"}
        jsonify("a", "b")  # ["a","b"]
    """
    ctx = _cv_app.get(None)
    # PERF: the proxy, which raises the error, costs five calls.
    return (current_app if ctx is None else ctx.app).json.response(*args, **kwargs)
