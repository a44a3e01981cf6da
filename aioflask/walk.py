"""The steps of a request, from its context to its response; `Flask.asgi_app` calls them.

Each is written once, as a coroutine function that takes the context. On the event loop it is
awaited. On a thread the same coroutine is stepped to its end, and yields a `Crossing` where
something must be awaited: see `concurrency`. Order and names are Flask's:
https://flask.palletsprojects.com/en/stable/lifecycle/.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import typing as t
from contextvars import copy_context
from functools import partial
from threading import get_ident

from werkzeug import exceptions
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RoutingException

from . import concurrency, signals
from .concurrency import PoolFull, hop, iscoroutinefunction, needs_thread, on_loop
from .globals import _cv_app, _request_context
from .headers import UnsendableResponse
from .helpers import ContextStream
from .plan import ORIGINALS, REPLACEABLE, Group, Plan, grouped, plan_for, replaced_methods
from .responses import as_ours, calls_wsgi, make_plainly, make_response, take_file
from .signals import appcontext_popped, appcontext_pushed, appcontext_tearing_down, request_started
from .wrappers import Request, Response

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from blinker import NamedSignal

    from .app import Flask
    from .ctx import AppContext

__all__ = ["ORIGINALS", "REPLACEABLE"]

Func = t.Callable[..., t.Any]

# RFC 3986, 3.2.2, with an optional port. Hosts that were valid are remembered, a bounded number.
_host = re.compile(
    r"(\[[0-9a-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9a-f]{2})+)(?::(\d{0,5}))?", re.I | re.A
)
_valid_hosts: set[bytes] = {b""}


# --- calling functions of either colour -----------------------------------------------------------


async def call(ctx: AppContext, func: Func, /, *args: t.Any) -> t.Any:
    """Call one function where its colour wants it, and return its value."""
    if iscoroutinefunction(func):
        return await _await_on_loop(ctx, func, *args)
    if not needs_thread(func) or ctx._inline or not _here(ctx):
        return func(*args)
    return await hop(ctx, func, *args)


def _here(ctx: AppContext) -> bool:
    """Whether this thread runs an event loop, which mostly is the one that serves the request."""
    return get_ident() == ctx._thread or on_loop()


async def _await_on_loop(ctx: AppContext, func: Func, *args: t.Any) -> t.Any:
    if not _here(ctx):
        if ctx._handling is not None:
            return await concurrency.Crossing(_raising_async, ctx._handling, func, *args)
        return await concurrency.Crossing(func, *args)
    if ctx._inline:
        name = getattr(func, "__name__", repr(func))
        raise RuntimeError(
            f"A context was entered or left with 'with' on the event loop, which cannot wait, but"
            f" {name}() is 'async def' and has to be awaited. Write 'async with' there."
        )
    return await func(*args)


async def _replacement(ctx: AppContext, name: str, *args: t.Any) -> t.Any:
    """Call a method that a subclass or an extension put in place of ours."""
    rv = await call(ctx, getattr(ctx.app, name), *args)
    if inspect.isawaitable(rv):  # A plain method that returns what super() gave it on the loop.
        return await rv
    return rv


def _step(ctx: AppContext, step: Func, *args: t.Any) -> t.Any:
    """The coroutine of a step, or of the method that a subclass put in its place."""
    replaced = replaced_methods(ctx.app) if ctx.plan is None else ctx.plan.replaced
    if step.__name__ in replaced:
        return _replacement(ctx, step.__name__, *args)
    return step(ctx, *args)


def _on_this_side(ctx: AppContext, group: Group) -> bool:
    return not group.is_async and (not group.needs_thread or ctx._inline or not _here(ctx))


async def _send(ctx: AppContext, signal: NamedSignal, **values: t.Any) -> None:
    for receiver in () if signal.is_muted else signal.receivers_for(ctx.app):
        await call(ctx, partial(receiver, ctx.app, **values))


async def _raising_async(error: BaseException, func: Func, *args: t.Any) -> t.Any:
    traceback = error.__traceback__
    try:
        raise error
    except BaseException:
        error.__traceback__ = traceback
        return await func(*args)


async def _handle(
    ctx: AppContext, handler: Func, error: Exception, raised: Exception | None = None
) -> t.Any:
    raised = raised or error
    if iscoroutinefunction(handler):
        return await _await_on_loop(ctx, partial(_raising_async, raised, handler), error)
    if not needs_thread(handler):
        return handler(error)
    return await call(ctx, partial(concurrency._raising, raised, handler), error)


# --- before the dispatch --------------------------------------------------------------------------


def match(ctx: AppContext, scope: t.Any, kind: type[Plan] = Plan) -> Plan:
    """Match the URL of a connection by ASGI; return its endpoint's plan, or its mount."""
    app, request = ctx.app, ctx._request
    trusted, raw = app.config["TRUSTED_HOSTS"], request._raw
    if (
        raw.get(b"host") in (_valid_hosts if not trusted else _let_in(app, trusted))
        and request._tells_once  # No second Host.
        and app._matches_by_path
        and not scope.get("root_path")
        and request.trusted_hosts is None
    ):
        if trusted is not None:
            request.trusted_hosts = trusted
        url_map: t.Any = app.url_map
        router = url_map._router or url_map.router
        found = router.match(request.method if kind is Plan else kind.method, scope["path"])
        if found is not None:
            request.url_rule, request.view_args = found
        elif router.misses(scope["path"]):
            request.routing_exception = exceptions.NotFound()
        else:
            match_by_map(ctx)
    else:
        match_by_map(ctx)
    if app._mounts and (mount := app._mounts[0].find(ctx)) is not None:
        ctx.plan = mount
        return t.cast(Plan, mount)
    rule = request.url_rule
    plan = app._plans.get(None if rule is None else rule.endpoint) if kind is Plan else None
    if plan is None or plan.lists != plan.lists_then or signals._in_use:
        plan = plan_for(app, request, kind)
    ctx.plan = plan
    return plan


def _let_in(app: Flask, trusted: t.Iterable[str]) -> set[bytes]:
    """The hosts that ``TRUSTED_HOSTS``, as it is now, has let in; a bounded number."""
    known = app._hosts
    if known[0] != [*trusted] or len(known[1]) >= 256:
        known = app._hosts = [*trusted], set()
    return known[1]


def _plain_host(environ: WSGIEnvironment) -> str:
    # COMPAT: an environ may hold an internationalized name as one reads it (RFC 5890).
    host: str = environ["HTTP_HOST"]
    try:
        return host.encode("idna").decode() if max(host) > "\xff" else host
    except UnicodeError:
        return ""


def match_by_map(ctx: AppContext) -> None:
    """Match by Werkzeug's map, after a look at the host; what fails takes the view's place."""
    request = ctx._request
    host = request._raw.get(b"host", b"")
    try:
        if (scope := request.scope) and scope.get("http_version", "1.1") != "2":
            hosts = [name for name, _ in scope["headers"]].count(b"host")
            if hosts > 1 or (not hosts and scope.get("http_version") == "1.1"):
                raise exceptions.SecurityError(
                    "A request of HTTP/1.1 has one Host header (RFC 9112, 3.2)."
                )
        if host and host not in _valid_hosts:
            text = host.decode("latin-1") if request.scope else _plain_host(request.environ)
            valid = _host.fullmatch(text)
            if valid is None or int(valid[2] or 0) > 65_535:
                raise exceptions.SecurityError(f"The Host {text!r} is not a valid host name.")
            if len(_valid_hosts) >= 256:  # Somebody invents them; the app's own comes back.
                _valid_hosts.clear()
            _valid_hosts.add(host)
        ctx.match_request()
        trusted = ctx.app.config["TRUSTED_HOSTS"]
        if host and trusted and not isinstance(request.routing_exception, exceptions.SecurityError):
            _let_in(ctx.app, trusted).add(host)
    except Exception as error:  # Also a converter's own.
        request.routing_exception = error


def _planned(ctx: AppContext) -> Plan:
    """The plan of a context that came in by another door than ASGI's."""
    plan = ctx.plan = plan_for(ctx.app, ctx.request)
    return plan


async def begin(ctx: AppContext) -> None:
    """Tell that the context is active, and open a session that is not ours to open late."""
    if ctx._outer is None and appcontext_pushed.receivers:
        await _send(ctx, appcontext_pushed)
    if not ctx.plan.lazy_session and ctx._session_if_open is None:
        app, interface = ctx.app, ctx.app.session_interface
        session = await call(ctx, interface.open_session, app, ctx.request)
        ctx._session = interface.make_null_session(app) if session is None else session


async def _start(ctx: AppContext, started: NamedSignal) -> None:
    ctx.app._got_first_request = True
    await _send(ctx, started)


# --- the dispatch ---------------------------------------------------------------------------------


async def full_dispatch_request(ctx: AppContext, is_here: bool = False) -> Response:
    """Run hooks, view and error handlers, and return the response.

    ``is_here`` says that the loop that serves the request awaits it.
    """
    app = ctx.app
    plan: Plan = ctx.plan or _planned(ctx)
    request, is_here = ctx._request, is_here or get_ident() == ctx._thread
    try:
        if request_started.receivers or not app._got_first_request:
            await _start(ctx, request_started)
        rv: t.Any = None
        if not plan.prepares:
            pass
        elif is_here and plan.awaits_before is not None:
            for func in plan.awaits_before:  # PERF: as `preprocess_request`.
                rv = await func() if rv is None else rv
        else:
            step = preprocess_request
            rv = await (_step(ctx, step) if plan.replaced else step(ctx))
        if rv is None:
            body = request._body
            if (
                not (body.complete or plan.view is None or (plan.streams and request.is_streamed))
                and (is_here or on_loop())
            ):  # fmt: skip
                await request.load_body()
            if (
                plan.awaits_view
                and is_here
                and request.routing_exception is None
                and request.method != "OPTIONS"
                and (
                    not plan.prepares or app.view_functions[request.url_rule.endpoint] is plan.view
                )
            ):  # PERF: all that `dispatch_request` would do, without a coroutine more.
                rv = await plan.calls(**request.view_args)  # type: ignore[misc]
            else:
                step = dispatch_request
                rv = await (_step(ctx, step) if plan.replaced else step(ctx))
    except Exception as error:
        rv = answered(ctx, error, await _step(ctx, handle_user_exception, error))
    response: t.Any = make_plainly(app, plan, rv)
    hooks = plan.awaits_after
    if response is None or ctx._after_request_functions or hooks is None or (hooks and not is_here):
        is_made = response is not None
        last = process_response(ctx, response) if is_made else _step(ctx, finalize_request, rv)
        return as_ours(ctx, await last)
    for func in hooks:  # PERF: as `process_response`.
        rv = await func(response)
        response = as_ours(ctx, rv) if rv is not None else _no_response(func)
    if ctx._session_if_open is not None or b"cookie" in request._raw:
        _save_session(ctx, response)
    return response  # type: ignore[no-any-return]


async def preprocess_request(ctx: AppContext) -> t.Any:
    """Run the URL value preprocessors and the before hooks, until one gives a value."""
    plan = ctx.plan or _planned(ctx)
    for group in plan.preprocessors:
        for func in group.functions:
            await call(ctx, func, ctx.request.endpoint, ctx.request.view_args)
    for group in plan.before:
        if group.is_async:
            for func in group.functions:
                rv = await _await_on_loop(ctx, func)
                if rv is not None:
                    return rv
        elif _on_this_side(ctx, group):
            rv = _until_value(group)
        else:
            rv = await hop(ctx, _until_value, group)
        if rv is not None:
            return rv
    return None


def _until_value(group: Group) -> t.Any:
    for func in group.functions:
        rv = func()
        if rv is not None:
            return rv
    return None


async def dispatch_request(ctx: AppContext) -> t.Any:
    """Call the view that the URL matched, or answer in its place, and return the value."""
    app, request = ctx.app, ctx._request
    if request.routing_exception is not None:
        app.raise_routing_exception(request)
    rule = request.url_rule
    if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
        return app.make_default_options_response()
    args: dict[str, t.Any] = request.view_args or {}
    plan = ctx.plan or _planned(ctx)
    view: t.Any = plan.view
    if view is None:
        view = app.view_functions[rule.endpoint]
    elif plan.prepares and (chosen := _another_view(ctx)):
        return await call(ctx, partial(chosen, **args))
    view = plan.calls or view
    if plan.view_is_async and _here(ctx):
        return await view(**args)
    request._body.for_view = True
    if plan.view_is_async:
        read_for_loop()
        return await concurrency.Crossing(partial(view, **args))
    if plan.view_needs_thread:
        if plan.on_thread or not on_loop():
            return view(**args)
        return await hop(ctx, partial(view, **args))
    rv = view(**args)
    if inspect.isawaitable(rv) and on_loop():  # A nonblocking view may hand on an awaitable.
        return await rv
    return rv


def _another_view(ctx: AppContext) -> Func | None:
    """The view that a hook has chosen in place of the endpoint's."""
    chosen: Func = ctx.app.view_functions[ctx._request.url_rule.endpoint]
    return None if chosen is ctx.plan.view else chosen


def read_for_loop() -> None:
    """Read the body on this thread, before an ``async def`` view asks for it on the loop.

    A decorator around such a view (a login) is a plain view, which reads nothing ahead.
    """
    request: t.Any = (ctx := _request_context()) and ctx._request
    if request and request._body.for_view and not (request._body.complete or request.is_streamed):
        request._body.wait(request.load_body)


# --- errors ---------------------------------------------------------------------------------------


async def handle_user_exception(ctx: AppContext, e: Exception) -> t.Any:
    """The value of the handler that is registered for an exception, which else is raised."""
    app = ctx.app
    if isinstance(e, exceptions.BadRequestKeyError) and (
        app.debug or app.config["TRAP_BAD_REQUEST_ERRORS"]
    ):
        e.show_exception = True
    if isinstance(e, HTTPException) and not app.trap_http_exception(e):
        return await _step(ctx, handle_http_exception, e)
    handler = app._find_error_handler(e, ctx.request.blueprints)
    if handler is None:
        try:
            raise e
        finally:
            del e  # Its traceback holds this frame.
    return await _handle(ctx, handler, e)


def answered(ctx: AppContext, error: Exception, rv: t.Any) -> t.Any:
    """What an exception is answered with. Its frames, which hold it and the request, are let go."""
    if error is rv or error is ctx._request.routing_exception:
        error.__traceback__ = None
        if error.__suppress_context__:
            error.__context__ = None
    return rv


async def handle_http_exception(ctx: AppContext, e: HTTPException) -> t.Any:
    """The value of the handler for an HTTP exception, which else is the response itself."""
    if e.code is None or isinstance(e, RoutingException):
        return e
    handler = ctx.app._find_error_handler(e, ctx.request.blueprints)
    if handler is None:
        return e
    return await _handle(ctx, handler, e)


async def handle_exception(ctx: AppContext, e: Exception) -> Response:
    """Log what nobody handled, and make a 500 of it; or raise it where errors propagate."""
    app = ctx.app
    await report_exception(ctx, e)
    rv: t.Any = exceptions.InternalServerError(original_exception=e)
    handler = app._find_error_handler(rv, ctx.request.blueprints)
    if handler is not None:
        rv = await _handle(ctx, handler, rv, e)
    return t.cast(Response, await _step(ctx, finalize_request, rv, True))


async def report_exception(ctx: AppContext, e: Exception) -> None:
    """Signal and log what nobody handled; or raise it where errors propagate."""
    app = ctx.app
    failed = (ctx.plan or _planned(ctx)).failed
    if failed.receivers:
        await _send(ctx, failed, exception=e)
    propagate = app.config["PROPAGATE_EXCEPTIONS"]
    if propagate is None:
        propagate = app.testing or app.debug
    if propagate:
        raise e
    app.log_exception((type(e), e, e.__traceback__))


# --- the response ---------------------------------------------------------------------------------


async def finalize_request(
    ctx: AppContext, rv: t.Any, from_error_handler: bool = False
) -> Response:
    """Make the response of a view's value, and run what comes after the view."""
    plan = ctx.plan or _planned(ctx)
    replaced = plan.replaced
    if replaced and "make_response" in replaced:
        response: t.Any = await _replacement(ctx, "make_response", rv)
    else:
        has_to_hop = calls_wsgi(rv) and on_loop()
        response = await hop(ctx, make_response, ctx, rv) if has_to_hop else make_response(ctx, rv)
    try:
        if replaced and "process_response" in replaced:
            response = await _replacement(ctx, "process_response", response)
        elif plan.after or ctx._after_request_functions or (
            ctx._session_if_open is not None or b"cookie" in ctx._request._raw
        ):  # fmt: skip
            response = await process_response(ctx, response)
        if plan.finished.receivers:
            await _send(ctx, plan.finished, response=response)
    except Exception:
        if not from_error_handler:
            raise
        ctx.app.logger.exception(
            "An after_request function or the session failed while an error was being answered"
        )
    return response if isinstance(response, Response) else as_ours(ctx, response)


async def process_response(ctx: AppContext, response: Response) -> Response:
    """Run the after hooks, save the session, and return the response to send."""
    plan = ctx.plan or _planned(ctx)
    for func in ctx._after_request_functions or ():
        rv = await call(ctx, func, response)
        response = rv if rv is not None else _no_response(func)
    for group in plan.after:
        if group.is_async:
            for func in group.functions:
                rv = await _await_on_loop(ctx, func, response)
                response = rv if rv is not None else _no_response(func)
        elif _on_this_side(ctx, group):
            response = _pass_through(group, response)
        else:
            response = await hop(ctx, _pass_through, group, response)
    if plan.lazy_session:
        _save_session(ctx, response)
    else:
        app, interface = ctx.app, ctx.app.session_interface
        session = ctx._session_if_open  # None if it could not be opened.
        if session is not None and not interface.is_null_session(session):
            await call(ctx, interface.save_session, app, session, response)
    return response


def _save_session(ctx: AppContext, response: Response) -> None:
    if ctx._session_if_open is not None or (
        (cookies := ctx._request._raw.get(b"cookie"))
        # One of them may be the session's, and want a refresh.
        and ctx.app.config["SESSION_REFRESH_EACH_REQUEST"]
        and ctx.app.config["SESSION_COOKIE_NAME"].encode() in cookies
    ):
        app, interface = ctx.app, ctx.app.session_interface
        session = ctx._session_if_open or ctx._session
        if not interface.is_null_session(session):
            interface.save_session(app, session, response)


def _pass_through(group: Group, response: Response) -> Response:
    for func in group.functions:
        rv = func(response)
        response = rv if rv is not None else _no_response(func)
    return response


def _no_response(func: Func) -> t.NoReturn:
    name = getattr(func, "__qualname__", repr(func))
    raise TypeError(
        f"The after_request function {name}() returned None, so there is no response to send."
        " It must return a response: write 'return response' at its end."
    )


# --- the end --------------------------------------------------------------------------------------


async def teardown(ctx: AppContext, exc: BaseException | None) -> None:
    """Run every teardown function of a context, even where one of them fails."""
    errors: list[BaseException] = []
    if ctx._dependencies is not None:
        await _also(errors, ctx._dependencies.end, exc)
    if ctx.has_request:
        await _also(errors, _step, ctx, do_teardown_request, exc)
    if ctx._outer is None:
        await _also(errors, _step, ctx, do_teardown_appcontext, exc)
    if ctx._request is not None:
        _close(ctx._request)
    _raise_all(errors)


def _close(request: t.Any) -> None:
    own = request.__dict__
    # A WebSocket's `close()` is another one, and it has no files.
    replaced = type(request).close is not Request.close and not request.is_websocket
    if "files" in own or request._arrived is not None or replaced:
        request.close()
    if "environ" in own:
        own["environ"]["werkzeug.request"] = None  # COMPAT: else the two keep each other alive.


async def _also(errors: list[BaseException], func: Func, *args: t.Any) -> None:
    """Await one more step of a teardown, whatever came of those before it."""
    try:
        if errors and on_loop() and not all(isinstance(error, Exception) for error in errors):
            from anyio import CancelScope

            with CancelScope(shield=True):  # One of them was cancelled; these must not be.
                await func(*args)
        else:
            await func(*args)
    except BaseException as error:
        errors.append(error)


def _raise_all(errors: list[BaseException]) -> None:
    for error in errors:
        if len(errors) == 1 or not isinstance(error, Exception):  # A cancellation is one.
            raise error
    if errors:
        raise BaseExceptionGroup("Several teardown functions failed.", errors)


async def do_teardown_request(ctx: AppContext, exc: BaseException | None) -> None:
    """Run the request's teardown functions, the innermost blueprint's first."""
    plan = ctx.plan or _planned(ctx)
    await _tear_down(ctx, plan.teardown_request, plan.tearing_down, exc)


async def do_teardown_appcontext(ctx: AppContext, exc: BaseException | None) -> None:
    """Run the functions that `Flask.teardown_appcontext` registered, the last one first."""
    if ctx.plan is not None:
        groups = ctx.plan.teardown_appcontext
    else:
        groups = grouped(ctx.app.teardown_appcontext_funcs[::-1])
    await _tear_down(ctx, groups, appcontext_tearing_down, exc)


async def _tear_down(
    ctx: AppContext, groups: tuple[Group, ...], signal: NamedSignal, exc: BaseException | None
) -> None:
    errors: list[BaseException] = []
    for group in groups:
        if group.is_async:
            for func in group.functions:
                await _also(errors, _await_on_loop, ctx, func, exc)
        elif _on_this_side(ctx, group):
            _call_every(group, exc, errors)
        else:
            await _also(errors, hop, ctx, _call_every, group, exc, errors)
    if signal.receivers:
        await _also(errors, partial(_send, ctx, signal, exc=exc))
    _raise_all(errors)


def _call_every(group: Group, exc: BaseException | None, errors: list[BaseException]) -> None:
    for func in group.functions:
        try:
            func(exc)
        except BaseException as error:
            errors.append(error)


# --- the ways through -----------------------------------------------------------------------------


async def respond(ctx: AppContext) -> Response:
    """Take a request whose URL is matched to its response, teardown included."""
    plan = ctx.plan
    failure: BaseException | None = None
    try:
        if plan.begins:
            await begin(ctx)
        step = full_dispatch_request
        response = as_ours(ctx, await (_step(ctx, step) if plan.replaced else step(ctx)))
        if response._plain is None and ctx._hand_over is None and not on_loop():
            take_file(ctx, response)
    except BaseException as error:
        failure = error
    if failure is not None:  # Not in the handler above, so that teardown sees no exception.
        answer = await fail(ctx, failure)
        failure = None  # Its traceback holds this frame.
        return answer
    try:
        if ctx._hand_over is not None:
            ctx._hand_over(response)
    finally:
        if plan.tears_down or response._plain is None or ctx._request._leaves_something:
            await end(ctx, None, response)
    return response


async def _answer(ctx: AppContext, error: Exception) -> Response:
    return as_ours(ctx, await _step(ctx, handle_exception, error))


async def fail(ctx: AppContext, error: BaseException) -> Response:
    """Answer an exception that nobody handled, and tear down; what propagates is raised."""
    app = ctx.app
    try:
        if not isinstance(error, Exception):
            raise error
        ctx._handling = error
        response: Response = await _raising_async(error, _answer, ctx, error)
        ctx._handling = None
        if ctx._hand_over is not None:
            ctx._hand_over(response)
        return response
    finally:
        exc = None if app.should_ignore_error(error) else error
        if ctx._request.scope and (keep := ctx._request.scope.get("aioflask.keep_context")):
            keep(ctx)  # For the debugger's console.
        if isinstance(error, Exception) or not on_loop():
            await end(ctx, exc)
        else:  # It was cancelled. Its teardown must not be.
            from anyio import CancelScope

            with CancelScope(shield=True):
                await end(ctx, exc)
        ctx._handling = None


async def end(ctx: AppContext, exc: BaseException | None, response: Response | None = None) -> None:
    """Leave a request's context. A test client, or a stream of the response, may keep it."""
    request = ctx._request
    environ = request.environ if request.scope is None else request.scope.get("aioflask.environ")
    if environ is not None and (preserve := environ.get("werkzeug.debug.preserve_context")):
        with contextlib.suppress(HTTPException):  # Whoever keeps the context may read the body.
            if request.scope is not None:
                await _await_on_loop(ctx, request.load_body)
        preserve(ctx)
    if response is not None and response._plain is None:
        body = response.response
        if isinstance(body, ContextStream) and body.keep(ctx):
            return
    ctx._ending = True
    await teardown(ctx, exc)
    if ctx._outer is None and appcontext_popped.receivers:
        token = _cv_app.set(t.cast("AppContext", ctx._below))
        try:
            await _send(ctx, appcontext_popped)
        finally:
            _cv_app.reset(token)


async def cross(ctx: AppContext, is_watched: bool = False) -> Response:
    """Take a request that has plain functions through: on a thread, or on the loop with hops."""
    if ctx.plan.is_mount:
        return t.cast(Response, ctx.plan)
    if ctx.plan.watches and not is_watched:
        from .disconnects import watched

        return t.cast(Response, await watched(ctx))
    if not ctx.plan.mixes:
        return await respond(ctx)
    context = ctx._context = copy_context()
    if ctx.plan.on_thread:
        coro = respond(ctx)
        try:
            worker = concurrency.worker_for(ctx.app)
            job = concurrency.Job(worker.home, partial(concurrency.step_in, context, coro))
            worker.submit(job)
            return await job.outcome()  # type: ignore[no-any-return]
        except BaseException as error:
            if inspect.getcoroutinestate(coro) != inspect.CORO_CREATED:
                raise
            coro.close()  # It was refused, or cancelled before a thread took it.
            if isinstance(error, PoolFull):
                return await _refuse(ctx, error)
            raise
    try:
        ctx._lane = concurrency.pool_of(ctx.app).lane()
    except PoolFull as error:
        return await _refuse(ctx, error)
    ctx._own_context = True
    try:
        return t.cast("Response", await concurrency.InContext(context, respond, ctx))
    finally:
        ctx._own_context = False


async def answer_instead(ctx: AppContext, error: PoolFull | UnsendableResponse) -> Response:
    """Answer in place of a stream that found no thread, or of what HTTP cannot carry.

    Nothing of it was sent yet; its request is torn down already.
    """
    token = ctx._activate()
    try:
        if isinstance(error, PoolFull):
            return await _refuse(ctx, error)
        await report_exception(ctx, error)
        return as_ours(ctx, make_response(ctx, exceptions.InternalServerError()))
    finally:
        ctx._deactivate(token)


async def _refuse(ctx: AppContext, error: PoolFull) -> Response:
    """Answer 503 on the loop, since no thread is free to do more."""
    ctx.app.logger.warning(
        "All %d worker threads are busy and %d requests wait for one: %r was answered with 503."
        " Raise WORKER_THREADS or WORKER_QUEUE, or make slow views 'async def'.",
        ctx.app.config["WORKER_THREADS"], ctx.app.config["WORKER_QUEUE"], ctx.request.path,
    )  # fmt: skip
    try:
        return as_ours(ctx, make_response(ctx, await handle_http_exception(ctx, error)))
    except PoolFull:
        return as_ours(ctx, make_response(ctx, error))
