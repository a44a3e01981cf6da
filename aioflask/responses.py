"""What a view returned, made into a response.

Source: https://flask.palletsprojects.com/en/stable/api/#flask.Flask.make_response
"""

from __future__ import annotations

import inspect
import io
import sys
import typing as t
from collections.abc import AsyncIterable, Iterator
from operator import attrgetter

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.local import LocalProxy
from werkzeug.wrappers import Response as BaseResponse
from werkzeug.wsgi import FileWrapper

from . import signals
from .concurrency import iscoroutinefunction
from .headers import content_type_of
from .wrappers import Response

if t.TYPE_CHECKING:
    from .app import Flask
    from .ctx import AppContext

_new: t.Any = object.__new__

AT_ONCE = 1 << 20
"""Bytes of a file that are read and sent as a whole; what is larger is streamed."""


def make_plainly(app: Flask, plan: t.Any, rv: t.Any) -> Response | None:
    """The response of a view's value, if it is one of those that most views return.

    PERF: what `walk.finalize_request` makes of these, without asking what else they might be.
    """
    kind: t.Any = type(rv)
    if (
        not plan.ends_plainly
        or app.response_class is not Response
        or _defaults(Response) != ("text/html", 200)
        or (signals._in_use and plan.finished.receivers)
    ):
        return None
    if kind is str or kind is bytes:
        body, content_type = rv.encode() if kind is str else rv, _HTML
    elif kind is dict or kind is list:
        provider = app.json
        if not plan.plain_json:
            return provider.response(rv)
        body, content_type = provider.dump_bytes(rv), content_type_of(provider.mimetype)
    elif isinstance(rv, HTTPException):
        return _known_page(rv, Response)
    else:
        return rv if kind is Response else None
    made: Response = _new(Response)  # PERF: half the price of a call of the class.
    made._plain, made._type = body, content_type
    made._headers, made._status_code = None, 200  # PERF: cheaper to find than on the class.
    return made


_defaults = attrgetter("default_mimetype", "default_status")


def make_response(ctx: AppContext, rv: t.Any) -> Response:
    """Make a response of what a view returned.

    Source: https://flask.palletsprojects.com/en/stable/api/#flask.Flask.make_response

    :raises TypeError: for None and for what is nothing of the kinds that Flask knows.
    """
    app = ctx.app
    response_class: t.Any = app.response_class
    kind = type(rv)
    if kind is str or kind is bytes:
        return response_class(rv)  # type: ignore[no-any-return]
    if kind is dict or kind is list:
        return app.json.response(rv)
    status = headers = None
    if isinstance(rv, tuple):
        rv, status, headers = split(ctx, rv)
    if rv is None:
        raise TypeError(
            f"{_view_name(ctx)} returned None: it ended without a return statement, or returned"
            " None. The view function did not return a valid response. Return a string, a dict, a"
            " list, a tuple, a Response or a generator; for an empty response, return ''."
        )
    if isinstance(rv, HTTPException) and type(rv).__call__ is HTTPException.__call__:
        rv = _of_exception(ctx, rv, response_class)
    if not isinstance(rv, BaseResponse):
        rv, status, headers = _convert(ctx, rv, status, headers)
    elif not isinstance(rv, response_class):
        rv = response_class.force_type(rv)
    if status is not None:
        if isinstance(status, (str, bytes, bytearray)):
            rv.status = status
        else:
            rv.status_code = status
    if headers:
        rv.headers.update(headers)
    return rv  # type: ignore[no-any-return]


def _known_page(error: HTTPException, response_class: t.Any) -> Response | None:
    is_usual = vars(error) == _UNTOLD and response_class.__init__ is Response.__init__
    page = _page(type(error)) if is_usual else None
    return None if page is None else response_class(page, error.code, content_type=_HTML)


def _of_exception(ctx: AppContext, error: HTTPException, response_class: t.Any) -> t.Any:
    if (page := _known_page(error, response_class)) is not None:
        return page
    # PERF: as a WSGI application, which it is too, it would need an environ and a stream.
    ours = type(error).__module__.startswith("werkzeug.")
    return error.get_response(None if ours or not ctx.has_request else ctx.request.environ)


_UNTOLD = {"response": None}
"""What an HTTP exception has that was raised without a word of its own."""
_HTML = "text/html; charset=utf-8"
_pages: dict[tuple[type[HTTPException], str | None], bytes] = {}


def _page(kind: type[HTTPException]) -> bytes | None:
    """The page of one of Werkzeug's exceptions, None if it is not the same for each."""
    # PERF: made once, since Werkzeug formats and escapes its texts each time.
    page = _pages.get((kind, kind.description))
    if page is None and kind.__module__ == "werkzeug.exceptions" and (
        all(getattr(kind, name) is getattr(HTTPException, name) for name in _MAKERS)
    ):  # fmt: skip
        page = _pages[kind, kind.description] = kind().get_body().encode()
    return page


_MAKERS = ("__init__", "get_body", "get_headers", "get_description", "get_response", "name")


def split(ctx: AppContext, rv: tuple[t.Any, ...]) -> tuple[t.Any, t.Any, t.Any]:
    """The body, status and headers of a returned tuple."""
    if len(rv) == 3:
        return rv
    if len(rv) == 2:
        if isinstance(rv[1], (Headers, dict, tuple, list)):
            return rv[0], None, rv[1]
        return rv[0], rv[1], None
    raise TypeError(
        f"{_view_name(ctx)} returned a tuple of {len(rv)}. The view function did not return a"
        " valid response tuple. The tuple must have the form (body, status, headers), (body,"
        " status), or (body, headers)."
    )


def _convert(
    ctx: AppContext, rv: t.Any, status: t.Any, headers: t.Any
) -> tuple[Response, t.Any, t.Any]:
    """A response of a body that is none yet, with what is left of status and headers to set."""
    app = ctx.app
    response_class: t.Any = app.response_class
    if issubclass(type(rv), LocalProxy):  # It has every method of a stream, whatever it stands for.
        rv = rv._get_current_object()
    if isinstance(rv, (str, bytes, bytearray, Iterator, AsyncIterable)):
        # Given along, so that the constructor does not set what would be replaced at once.
        return response_class(rv, status=status, headers=headers), None, None
    if isinstance(rv, (dict, list)):
        return app.json.response(rv), status, headers
    if inspect.isawaitable(rv):
        if inspect.iscoroutine(rv):
            rv.close()
        raise TypeError(
            f"{_view_name(ctx)} returned {type(rv).__name__!r}: something was called that has to"
            " be awaited, and was never awaited.\n"
            "    wrong: def view(): return load()\n"
            "    right: async def view(): return await load()"
        )
    if callable(rv):
        return _from_callable(ctx, rv), status, headers
    raise TypeError(
        f"{_view_name(ctx)} returned {rv!r}, of type {type(rv).__name__}. The view function did"
        " not return a valid response. The return type must be a string, dict, list, tuple with"
        " headers or status, Response instance, generator, async generator, WSGI or ASGI callable,"
        f" but it was a {type(rv).__name__}."
    )


def _from_callable(ctx: AppContext, app: t.Any) -> Response:
    """A response of an ASGI or a WSGI application that a view returned."""
    response_class: t.Any = ctx.app.response_class
    if iscoroutinefunction(app):
        from .asgibody import ASGIBody

        return t.cast("Response", response_class(ASGIBody(app)))
    try:
        return t.cast("Response", response_class.force_type(app, ctx.request.environ))
    except TypeError as error:
        raise TypeError(
            f"{error}\n{_view_name(ctx)} returned {app!r}. The view function did not return a"
            " valid response. The return type must be a string, dict, list, tuple with headers or"
            f" status, Response instance, or WSGI callable, but it was a {type(app).__name__}."
        ).with_traceback(sys.exc_info()[2]) from None


def calls_wsgi(rv: t.Any) -> bool:
    """Whether a response is made of a view's value by calling a WSGI application, which blocks."""
    body = rv[0] if isinstance(rv, tuple) and rv else rv
    known = isinstance(body, (str, bytes, BaseResponse, HTTPException))
    return callable(body) and not known and not iscoroutinefunction(body)


def take_file(ctx: AppContext, response: Response) -> None:
    """Read a small file on the thread that opened it, which no other thread then has to visit.

    PERF: two hops and a buffer between two threads cost more than the reading.
    """
    body: t.Any = response.response
    if (
        type(body) is not FileWrapper
        or type(body.file) not in (io.BufferedReader, io.BytesIO)
        or not (response._lazy_send and type(response).close is BaseResponse.close)
        or vars(response).get("_on_close")  # Called when it is sent.
    ):
        return
    length: int | None = response.content_length
    if length is None or length > AT_ONCE:
        return
    is_sent = ctx._request.method != "HEAD" and response.status_code != 304
    try:
        response._plain = body.file.read(length) if is_sent else b""
    finally:
        body.close()
    response._iterable = None


def as_ours(ctx: AppContext, response: t.Any) -> Response:
    """The response itself, or ours made of Werkzeug's, which a hook or an override may give.

    :raises TypeError: for what is no response.
    """
    if isinstance(response, Response):
        return response
    if not isinstance(response, BaseResponse):
        raise TypeError(
            f"A hook or a method of the app that has to return a response returned {response!r}, of"
            f" type {type(response).__name__}. Make one of it: 'return make_response(...)'."
        )
    return t.cast("Response", Response.force_type(response, ctx.request.environ))


def _view_name(ctx: AppContext) -> str:
    if not ctx.has_request:
        return "The call of make_response()"
    request = ctx.request
    view = ctx.app.view_functions.get(request.endpoint)  # type: ignore[arg-type]
    name = getattr(view, "__qualname__", None) or repr(view)
    return f"The view function for {request.endpoint!r} ({name})"
