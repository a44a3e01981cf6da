"""What views call: responses, URLs, flashed messages, files, streams that keep their context.

Follows https://flask.palletsprojects.com/en/stable/api/#useful-functions-and-classes.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import typing as t
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from datetime import datetime
from functools import cache, update_wrapper

import werkzeug.utils
from werkzeug.exceptions import NotFound
from werkzeug.exceptions import abort as _wz_abort
from werkzeug.wrappers import Response as BaseResponse

from .globals import _cv_app, _request_context, current_app, request, request_ctx, session
from .signals import message_flashed
from .wakeups import GRACE

if t.TYPE_CHECKING:
    from .ctx import AppContext
    from .wrappers import Response

P = t.ParamSpec("P")


def get_debug_flag() -> bool:
    """Whether ``FLASK_DEBUG`` asks for debug mode: set, and none of 0, false, no."""
    value = os.environ.get("FLASK_DEBUG", "")
    return bool(value) and value.lower() not in {"0", "false", "no"}


def get_load_dotenv(default: bool = True) -> bool:
    """Whether .env files are loaded: not if ``FLASK_SKIP_DOTENV`` says so; unset, ``default``."""
    value = os.environ.get("FLASK_SKIP_DOTENV")
    return value.lower() in {"0", "false", "no"} if value else default


# --- streams -----------------------------------------------------------------------------------


class ContextStream:
    """A stream whose every step runs in the context that it was made in.

    Its end (exhausted, failed or closed) closes the source. Whoever has such a stream to send asks
    :meth:`keep` before tearing the context down; a kept stream does it at its end, where it ran,
    and has to be closed even if it never began.
    """

    def __init__(self, ctx: AppContext, source: t.Any) -> None:
        self.ctx = ctx
        self.source = source
        self.started: bool = False
        self.done: bool = False
        self.pops: bool = False

    def keep(self, ctx: AppContext) -> bool:
        """Take over the teardown of ``ctx``; False if that is not the stream's own context."""
        kept = ctx is self.ctx and not self.done
        self.pops = self.pops or kept
        return kept

    def _begin(self) -> None:
        self.started = True
        # COMPAT: begun after its context has ended, a stream pushes it again, as in Flask 3.1, and
        # tears down what it opened itself. Begun within it, somebody else is going to pop it.
        self.pops = self.pops or _cv_app.get(None) is not self.ctx

    def _finish(self) -> bool:
        """Note the end; tell whether the context is to be pushed and popped at it."""
        pops, self.pops, self.done = self.pops, False, True
        return pops


class _PlainStream(ContextStream, Iterator[t.Any]):
    def __next__(self) -> t.Any:
        if self.done:
            raise StopIteration
        if not self.started:
            self._begin()
        # PERF: 0.1 us a step. A push that lasts from the first step to the end would show in the
        # consumer's own context, and could not be undone if the end comes in another one.
        token = _cv_app.set(self.ctx)
        try:
            try:
                return next(self.source)
            finally:
                _cv_app.reset(token)
        except BaseException as error:
            self._end(None if isinstance(error, StopIteration) else error)
            raise

    def close(self) -> None:
        """End the stream early; teardown functions get a GeneratorExit if it had begun."""
        if not self.done:
            if self.started:
                self._begin()  # Its `finally` needs the context too, which may have ended by now.
            self._end(GeneratorExit() if self.started else None)

    def _end(self, error: BaseException | None) -> None:
        pops = self._finish()
        if pops:
            self.ctx.push()
        try:
            # A generator is closed already, a WSGI iterable is not.
            if hasattr(self.source, "close"):
                self.source.close()
        finally:
            if pops:
                self.ctx.pop(error)


class _AsyncStream(ContextStream, AsyncIterator[t.Any]):
    async def __anext__(self) -> t.Any:
        if self.done:
            raise StopAsyncIteration
        if not self.started:
            self._begin()
        token = _cv_app.set(self.ctx)
        try:
            try:
                return await anext(self.source)
            finally:
                _cv_app.reset(token)
        except StopAsyncIteration:
            await self._end(None)
            raise
        except Exception as error:
            await self._end(error)
            raise
        except BaseException as error:  # Cancelled, which the teardown must not be.
            from anyio import move_on_after

            with move_on_after(GRACE, shield=True):
                await self._end(error)
            raise

    async def aclose(self) -> None:
        """As the plain stream's ``close()``."""
        if not self.done:
            if self.started:
                self._begin()
            await self._end(GeneratorExit() if self.started else None)

    async def _end(self, error: BaseException | None) -> None:
        pops = self._finish()
        if pops:
            await self.ctx.__aenter__()
        try:
            if hasattr(self.source, "aclose"):
                await self.source.aclose()
        finally:
            if pops:
                trace = error.__traceback__ if error is not None else None
                await self.ctx.__aexit__(type(error) if error is not None else None, error, trace)


@t.overload
def stream_with_context(generator_or_function: Iterator[t.AnyStr]) -> Iterator[t.AnyStr]: ...
@t.overload
def stream_with_context(
    generator_or_function: AsyncIterator[t.AnyStr],
) -> AsyncIterator[t.AnyStr]: ...
@t.overload
def stream_with_context(
    generator_or_function: Callable[P, Iterator[t.AnyStr]],
) -> Callable[P, Iterator[t.AnyStr]]: ...
@t.overload
def stream_with_context(
    generator_or_function: Callable[P, AsyncIterator[t.AnyStr]],
) -> Callable[P, AsyncIterator[t.AnyStr]]: ...
def stream_with_context(generator_or_function: t.Any) -> t.Any:
    """Keep the request active while a stream is sent: around a generator, or over a function. ::

        @stream_with_context
        async def rows():
            async for row in g.db.execute(request.args["q"]):
                yield row.text

        return rows()

    Generators of either colour. Teardown functions run when the stream ends. RuntimeError outside
    a request. https://flask.palletsprojects.com/en/stable/api/#flask.stream_with_context
    """
    source = generator_or_function
    stream: type[_PlainStream | _AsyncStream]
    if isinstance(source, AsyncIterable):
        stream, source = _AsyncStream, aiter(source)
    elif isinstance(source, Iterable):
        stream, source = _PlainStream, iter(source)
    elif callable(source):

        def made(*args: t.Any, **kwargs: t.Any) -> t.Any:
            return stream_with_context(generator_or_function(*args, **kwargs))

        return update_wrapper(made, generator_or_function)
    else:
        raise TypeError(
            "stream_with_context() takes a generator, or a function that makes one, but was given"
            f" {source!r}. Await a coroutine first, and give its result."
        )
    ctx = _request_context()
    if ctx is None:
        if hasattr(source, "close"):
            source.close()
        raise RuntimeError(
            "'stream_with_context' can only be used when a request context is active, such as in a"
            " view function: there is no request here that it could keep. Call it in the view."
        )
    return stream(ctx, source)


# --- responses, URLs, errors -------------------------------------------------------------------


def make_response(*args: t.Any) -> Response:
    """Make a response of what a view could return: ``make_response(body, status, headers)``.

    TypeError for anything else. https://flask.palletsprojects.com/en/stable/api/#flask.make_response
    """
    if not args:
        return current_app.response_class()
    return current_app.make_response(args[0] if len(args) == 1 else args)


def url_for(
    endpoint: str, *, _anchor: str | None = None, _method: str | None = None,
    _scheme: str | None = None, _external: bool | None = None, **values: t.Any,
) -> str:  # fmt: skip
    """The URL of an endpoint with these values; see :meth:`aioflask.Flask.url_for`.

    A leading dot stands for the current blueprint; values that the rule has no place for go into
    the query string. Outside a request the URL is external.
    """
    return current_app.url_for(
        endpoint, _anchor=_anchor, _method=_method, _scheme=_scheme, _external=_external, **values
    )


def redirect(
    location: str, code: int = 302, Response: type[BaseResponse] | None = None
) -> BaseResponse:
    """A response that sends the client to another URL: ``app.redirect``'s if an app is active.

    ``Response`` is the class to use where no app is. RFC 9110, section 15.4.
    """
    ctx = _cv_app.get(None)
    if ctx is not None:
        return ctx.app.redirect(location, code=code)
    return werkzeug.utils.redirect(location, code=code, Response=Response)


def abort(code: int | BaseResponse, *args: t.Any, **kwargs: t.Any) -> t.NoReturn:
    """End the request by raising the HTTPException of a status, or one around a response.

    LookupError for a code that ``app.aborter`` does not know. RFC 9110, section 15.
    """
    ctx = _cv_app.get(None)
    if ctx is not None:
        ctx.app.aborter(code, *args, **kwargs)
    _wz_abort(code, *args, **kwargs)


def get_template_attribute(template_name: str, attribute: str) -> t.Any:
    """A macro or variable of a template; TemplateNotFound or AttributeError if it is not there."""
    return getattr(current_app.jinja_env.get_template(template_name).module, attribute)


# --- flashed messages --------------------------------------------------------------------------


def flash(message: str, category: str = "message") -> None:
    """Keep a message in the session for :func:`get_flashed_messages` of this or the next request.

    Usual categories: message, info, warning, error.
    """
    # The list is assigned again because a session may notice nothing but assignments.
    flashes = session.get("_flashes", [])
    flashes.append((category, message))
    session["_flashes"] = flashes
    if message_flashed.receivers:
        app = request_ctx.app
        message_flashed.send(
            app, _async_wrapper=app.ensure_sync, message=message, category=category
        )


def get_flashed_messages(
    with_categories: bool = False, category_filter: Iterable[str] = ()
) -> list[str] | list[tuple[str, str]]:
    """Take the flashed messages out of the session; a request that asks again gets the same.

    ``with_categories`` gives pairs of category and message, ``category_filter`` those of these
    categories alone. https://flask.palletsprojects.com/en/stable/api/#flask.get_flashed_messages
    """
    flashes = request_ctx.flashes
    if flashes is None:
        flashes = session.pop("_flashes") if "_flashes" in session else []
        request_ctx.flashes = flashes
    if category_filter:
        flashes = [pair for pair in flashes if pair[0] in category_filter]
    return flashes if with_categories else [message for _, message in flashes]


# --- files -------------------------------------------------------------------------------------


def _prepare_send_file_kwargs(**kwargs: t.Any) -> dict[str, t.Any]:
    app = current_app
    if kwargs.get("max_age") is None:
        kwargs["max_age"] = app.get_send_file_max_age
    return kwargs | {
        "environ": request.environ,
        "use_x_sendfile": app.config["USE_X_SENDFILE"],
        "response_class": app.response_class,
        "_root_path": app.root_path,
    }


def send_file(
    path_or_file: os.PathLike[t.AnyStr] | str | t.IO[bytes], mimetype: str | None = None,
    as_attachment: bool = False, download_name: str | None = None, conditional: bool = True,
    etag: bool | str = True, last_modified: datetime | int | float | None = None,
    max_age: int | Callable[[str | None], int | None] | None = None,
) -> Response:  # fmt: skip
    """A response with a file: a path (relative to the app's folder) or a binary file object.

    Ranges and If-None-Match are answered if ``conditional``. A path that a client gave goes through
    :func:`send_from_directory` instead. ValueError for a text file, TypeError where neither a name
    nor a type is known. https://flask.palletsprojects.com/en/stable/api/#flask.send_file
    """
    return werkzeug.utils.send_file(  # type: ignore[return-value]
        **_prepare_send_file_kwargs(
            path_or_file=path_or_file, mimetype=mimetype, as_attachment=as_attachment,
            download_name=download_name, conditional=conditional, etag=etag,
            last_modified=last_modified, max_age=max_age,
        )
    )  # fmt: skip


# A segment that is empty, or goes nowhere or up: "a.txt/", "./a.txt", "a/../b".
_NO_FILE = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")


def send_from_directory(
    directory: os.PathLike[str] | str, path: os.PathLike[str] | str, **kwargs: t.Any
) -> Response:
    """A response with the file at ``path`` below ``directory``; whatever is not there is a 404.

    ``path`` may come from the client, ``directory`` may not. Further arguments are
    :func:`send_file`'s.
    """
    if _NO_FILE.search(os.fspath(path)):
        raise NotFound
    try:
        return werkzeug.utils.send_from_directory(  # type: ignore[return-value]
            directory, path, **_prepare_send_file_kwargs(**kwargs)
        )
    except UnicodeEncodeError:  # Half of a surrogate pair.
        raise NotFound from None


# --- names -------------------------------------------------------------------------------------


def get_root_path(import_name: str) -> str:
    """The folder of a module or package, found without importing it where that is possible.

    The working directory for what has no file (an interactive session); RuntimeError for a
    namespace package.
    """
    path: str | None = getattr(sys.modules.get(import_name), "__file__", None)
    if path is not None:
        return os.path.dirname(os.path.abspath(path))
    try:
        spec = importlib.util.find_spec(import_name)
    except (ImportError, ValueError):  # ValueError: __main__, which has no spec.
        spec = None
    if spec is None or spec.loader is None:
        return os.getcwd()
    if hasattr(spec.loader, "get_filename"):
        path = spec.loader.get_filename(import_name)
    else:
        path = getattr(importlib.import_module(import_name), "__file__", None)
    if path is None:
        raise RuntimeError(
            f"No root path can be found for {import_name!r}: it is a namespace package, or its"
            " loader names no file. Say where the files are: Flask(name, root_path=...)."
        )
    return os.path.dirname(os.path.abspath(path))


@cache
def _split_blueprint_path(name: str) -> list[str]:
    """``"a.b.c"`` is ``["a.b.c", "a.b", "a"]``. The list is shared: do not change it."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
