"""Exceptions: whose handler takes them, what it sees, and what becomes of those nobody takes."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from typing import Any

import pytest
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    HTTPException,
    ImATeapot,
    InternalServerError,
    NotFound,
)

from aioflask import Blueprint, Response, abort, got_request_exception, jsonify, request
from tests.flow.doors import COLOURS, Flow, cycle, few_doors


class Broken(Exception):
    """What a service of the app raises."""


class VeryBroken(Broken):
    """A kind of it."""


class OutOfTea(HTTPException):
    """An HTTP exception with a code that Werkzeug does not know."""

    code = 499


def raising(error: Exception | type[Exception] | int) -> Any:
    def view() -> Any:
        if isinstance(error, int):
            abort(error)
        raise error

    return view


def named(name: str) -> Any:
    """A handler that answers with its name, the exception's, and its own status."""

    def handler(error: Exception) -> tuple[str, int]:
        return f"{name}: {type(error).__name__}", 418

    return handler


# --- which handler -----------------------------------------------------------------------------


@few_doors
@pytest.mark.parametrize("hooks", COLOURS)
@pytest.mark.parametrize(
    ("keys", "error", "expected"),
    [
        ([404], 404, "404: NotFound"),
        ([NotFound], 404, "NotFound: NotFound"),
        ([HTTPException], 404, "HTTPException: NotFound"),
        ([HTTPException, 404], 404, "404: NotFound"),
        ([Exception], 404, "Exception: NotFound"),
        ([Exception, HTTPException], 404, "HTTPException: NotFound"),
        ([Exception], Broken, "Exception: Broken"),
        ([Broken], VeryBroken, "Broken: VeryBroken"),
        ([Broken, VeryBroken, Exception], VeryBroken, "VeryBroken: VeryBroken"),
        ([LookupError], KeyError, "LookupError: KeyError"),
        ([BadRequest], 400, "BadRequest: BadRequest"),
        ([OutOfTea], OutOfTea, "OutOfTea: OutOfTea"),
        ([InternalServerError], 500, "InternalServerError: InternalServerError"),
        ([500], Broken, "500: InternalServerError"),
        ([HTTPException], Broken, "HTTPException: InternalServerError"),
        ([500, Broken], Broken, "Broken: Broken"),
        ([500, Exception], Broken, "Exception: Broken"),
    ],
)
def test_a_handler_is_found_by_code_and_class(
    flow: Flow, hooks: str, keys: list[Any], error: Any, expected: str
) -> None:
    for key in keys:
        handler = named(getattr(key, "__name__", str(key)))
        flow.app.register_error_handler(key, flow.paint(handler, hooks))
    flow.route("/")(raising(error))
    answer = flow.get()
    assert (answer.status, answer.text) == (418, expected)


@few_doors
@pytest.mark.parametrize("hooks", COLOURS)
@pytest.mark.parametrize(
    ("on_app", "on_parent", "on_child", "error", "expected"),
    [
        ([Broken], [Broken], [Broken], Broken, "child Broken"),
        ([Broken], [Broken], [], Broken, "parent Broken"),
        ([Broken], [], [], Broken, "app Broken"),
        ([VeryBroken], [Broken], [], VeryBroken, "parent Broken"),
        ([404], [], [HTTPException], 404, "app 404"),
        ([404], [404], [HTTPException], 404, "parent 404"),
        ([HTTPException], [], [Exception], 404, "child Exception"),
        ([403], [], [404], 403, "app 403"),
    ],
)
def test_the_innermost_blueprint_comes_first_and_a_code_before_a_class(
    flow: Flow,
    hooks: str,
    on_app: list[Any],
    on_parent: list[Any],
    on_child: list[Any],
    error: Any,
    expected: str,
) -> None:
    parent, child = Blueprint("parent", __name__), Blueprint("child", __name__)
    scaffolds = (("app", flow.app, on_app), ("parent", parent, on_parent))
    for name, scaffold, keys in (*scaffolds, ("child", child, on_child)):
        for key in keys:
            handler = named(f"{name} {getattr(key, '__name__', key)}")
            scaffold.register_error_handler(key, flow.paint(handler, hooks))
    child.add_url_rule("/", "view", flow.paint(raising(error)))
    parent.register_blueprint(child)
    flow.app.register_blueprint(parent)
    assert flow.get().text.partition(":")[0] == expected


@pytest.mark.parametrize("hooks", COLOURS)
def test_an_app_errorhandler_of_a_blueprint_takes_a_404_of_no_blueprint(
    flow: Flow, hooks: str
) -> None:
    pages = Blueprint("pages", __name__, url_prefix="/pages")
    pages.errorhandler(404)(flow.paint(named("pages"), hooks))
    pages.app_errorhandler(404)(flow.paint(named("app"), hooks))
    pages.add_url_rule("/here", "here", flow.paint(raising(404)))
    flow.app.register_blueprint(pages)
    assert flow.get("/pages/here").text == "pages: NotFound"
    assert flow.get("/pages/nowhere").text == "app: NotFound"


@pytest.mark.parametrize("where", ["before", "after", "view", "handler"])
@pytest.mark.parametrize("hooks", COLOURS)
def test_an_exception_is_handled_wherever_it_is_raised(flow: Flow, hooks: str, where: str) -> None:
    """What an after hook raises goes to the 500 handler alone, as in Flask."""
    app = flow.app
    app.register_error_handler(Broken, flow.paint(named("Broken"), hooks))
    app.register_error_handler(500, flow.paint(named("500"), hooks))
    if where == "before":
        app.before_request(flow.paint(raising(Broken), hooks))
    if where == "handler":
        app.register_error_handler(Forbidden, flow.paint(lambda e: raising(Broken)(), hooks))
    if where == "after":
        fails = iter([True])
        app.after_request(
            flow.paint(lambda r: raising(Broken)() if next(fails, False) else r, hooks)
        )
    flow.route("/")(raising({"view": Broken, "handler": Forbidden}.get(where, Conflict)))
    expected = "Broken: Broken" if where in ("before", "view") else "500: InternalServerError"
    assert flow.get().text == expected


# --- what a handler is and sees ----------------------------------------------------------------


@pytest.mark.parametrize("hooks", COLOURS)
def test_a_handler_may_return_whatever_a_view_may(flow: Flow, hooks: str) -> None:
    def as_json(error: HTTPException) -> Any:
        response = error.get_response()
        return jsonify(code=error.code, text=error.description), error.code, response.headers

    flow.app.register_error_handler(HTTPException, flow.paint(as_json, hooks))
    flow.route("/")(lambda: abort(429, "slowly"))
    answer = flow.get()
    assert answer.status == 429
    assert answer.json == {"code": 429, "text": "slowly"}


@pytest.mark.parametrize("hooks", COLOURS)
@pytest.mark.parametrize("source", ["view", "before", "after"])
def test_exc_info_and_traceback_are_there_in_a_handler(flow: Flow, hooks: str, source: str) -> None:
    def handler(error: Exception) -> str:
        kind, value, tb = sys.exc_info()
        original = getattr(error, "original_exception", None) or error
        names = [frame.name for frame in traceback.extract_tb(original.__traceback__)]
        assert "deep_inside" in names
        return f"{kind and kind.__name__} {value is error} {tb is not None}"

    def deep_inside(*args: Any) -> Any:
        raise Broken

    flow.app.register_error_handler(Broken, flow.paint(handler, hooks))
    if source == "before":
        flow.app.before_request(flow.paint(deep_inside))
    flow.route("/")(deep_inside)
    assert flow.get().text == "Broken True True"


def test_an_exception_keeps_its_traceback_and_grows_no_cause(flow: Flow) -> None:
    error = Broken("once")
    flow.app.testing = True
    flow.route("/")(raising(error))
    with pytest.raises(Broken) as caught:
        flow.get()
    assert caught.value is error
    assert error.__cause__ is None
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-1] == "view"
    assert "full_dispatch_request" in names


def test_the_request_is_there_in_a_handler(flow: Flow) -> None:
    flow.app.register_error_handler(404, flow.paint(lambda e: request.path + request.method))
    assert flow.post("/nowhere").text == "/nowherePOST"


def test_abort_takes_a_response(flow: Flow) -> None:
    flow.app.register_error_handler(HTTPException, named("never"))
    flow.route("/")(lambda: abort(Response("as it is", 202)))
    answer = flow.get()
    assert (answer.status, answer.text) == (202, "as it is")


def test_an_http_exception_may_be_returned(flow: Flow) -> None:
    flow.app.register_error_handler(HTTPException, named("never"))
    flow.returning(lambda: ImATeapot("short and stout"))
    answer = flow.get()
    assert answer.status == 418
    assert "short and stout" in answer.text


# --- nobody takes it ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Broken, KeyError, StopIteration, asyncio.TimeoutError])
def test_an_unhandled_exception_is_a_500_and_logged(
    flow: Flow, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    flow.route("/fails")(raising(kind("the reason")))
    answer = flow.get("/fails")
    assert answer.status == 500
    assert "the reason" not in answer.text
    (record,) = [r for r in caplog.records if r.name == flow.app.name]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "Exception on /fails [GET]"
    assert record.exc_info is not None and "the reason" in caplog.text


@pytest.mark.parametrize("hooks", COLOURS)
def test_the_500_handler_gets_the_original(flow: Flow, hooks: str) -> None:
    def handler(error: InternalServerError) -> tuple[str, int]:
        assert sys.exc_info()[1] is error.original_exception  # COMPAT: what a handler may log.
        return repr(error.original_exception), 500

    flow.app.register_error_handler(500, flow.paint(handler, hooks))
    flow.route("/")(raising(Broken("it")))
    answer = flow.get()
    assert (answer.status, answer.text) == (500, "Broken('it')")


@few_doors
@pytest.mark.parametrize(
    ("config", "propagates"),
    [
        ({}, False),
        ({"TESTING": True}, True),
        ({"DEBUG": True}, True),
        ({"PROPAGATE_EXCEPTIONS": True}, True),
        ({"TESTING": True, "PROPAGATE_EXCEPTIONS": False}, False),
    ],
)
def test_propagation_is_configured_as_in_flask(
    flow: Flow, config: dict[str, bool], propagates: bool
) -> None:
    flow.app.config.update(config)
    flow.route("/")(raising(Broken))
    if propagates:
        with pytest.raises(Broken):
            flow.get()
    else:
        assert flow.get().status == 500


@pytest.mark.parametrize("hooks", COLOURS)
def test_a_500_handler_that_fails_raises(flow: Flow, hooks: str) -> None:
    flow.app.register_error_handler(500, flow.paint(lambda e: raising(VeryBroken)(), hooks))
    flow.route("/")(raising(Broken))
    with pytest.raises(VeryBroken):
        flow.get()


@pytest.mark.parametrize("hooks", COLOURS)
def test_the_signal_tells_of_unhandled_exceptions_alone(flow: Flow, hooks: str) -> None:
    seen: list[Any] = []

    def receive(app: Any, exception: Exception) -> None:
        seen.append((app.name, exception, request.path))

    error = Broken()
    flow.route("/one")(raising(error))
    flow.app.add_url_rule("/two", "two", flow.paint(raising(404)))
    with got_request_exception.connected_to(flow.paint(receive, hooks), flow.app):
        flow.get("/one")
        flow.get("/two")
    assert seen == [(flow.app.name, error, "/one")]


@pytest.mark.parametrize("config", ["TRAP_HTTP_EXCEPTIONS", "TRAP_BAD_REQUEST_ERRORS"])
def test_trapped_http_exceptions_are_errors_of_ours(flow: Flow, config: str) -> None:
    flow.app.config[config] = flow.app.testing = True
    flow.route("/bad")(lambda: request.form["nothing"])
    flow.app.add_url_rule("/forbidden", "forbidden", flow.paint(raising(403)))
    with pytest.raises(BadRequest):
        flow.get("/bad")
    if config == "TRAP_HTTP_EXCEPTIONS":
        with pytest.raises(Forbidden):
            flow.get("/forbidden")
    else:
        assert flow.get("/forbidden").status == 403


# --- what comes after --------------------------------------------------------------------------


@pytest.mark.parametrize("hooks", ["def", "async", "def async"])
@pytest.mark.parametrize(
    ("error", "status", "teardown_gets"),
    [
        (404, 404, None),
        (Broken, 500, Broken),
        (Forbidden, 403, None),
        (ZeroDivisionError, 418, None),
    ],
)
def test_after_hooks_see_error_responses_and_teardown_what_nobody_took(
    flow: Flow, hooks: str, error: Any, status: int, teardown_gets: Any
) -> None:
    log: list[Any] = []
    paint = cycle(hooks)

    def after(response: Response) -> Response:
        log.append(response.status_code)
        response.headers["X-After"] = "yes"
        return response

    def teardown(error: BaseException | None) -> None:
        log.append(None if error is None else type(error))

    flow.app.register_error_handler(ZeroDivisionError, named("zero"))
    flow.app.after_request(paint(after))
    flow.app.teardown_request(paint(teardown))
    flow.app.teardown_appcontext(paint(teardown))
    flow.route("/")(raising(error))
    answer = flow.get()
    assert (answer.status, answer.headers["X-After"]) == (status, "yes")
    assert log == [status, teardown_gets, teardown_gets]


@pytest.mark.parametrize("hooks", COLOURS)
def test_an_after_hook_that_always_fails_leaves_the_500_as_it_is(
    flow: Flow, hooks: str, caplog: pytest.LogCaptureFixture
) -> None:
    flow.app.after_request(flow.paint(lambda response: raising(VeryBroken)(), hooks))
    flow.route("/")(raising(Broken))
    assert flow.get().status == 500
    assert any("after_request" in record.getMessage() for record in caplog.records)


def test_base_exceptions_pass_through_and_teardown_sees_them(flow: Flow) -> None:
    class Leaves(BaseException):
        pass

    log: list[Any] = []

    def view() -> None:
        raise Leaves

    flow.app.register_error_handler(Exception, named("never"))
    flow.app.teardown_request(lambda error: log.append(type(error)))
    flow.route("/")(view)
    with pytest.raises(Leaves):
        flow.get()
    assert log == [Leaves]


def test_should_ignore_error_hides_an_exception_from_teardown(flow: Flow) -> None:
    log: list[Any] = []
    app: Any = flow.app
    app.should_ignore_error = lambda error: isinstance(error, Broken)
    app.teardown_request(log.append)
    flow.route("/")(raising(Broken))
    assert flow.get().status == 500
    assert log == [None]


def test_an_exception_leaves_nothing_for_the_next_request(flow: Flow) -> None:
    flow.route("/fails")(raising(Broken))
    flow.app.add_url_rule("/", "ok", flow.paint(lambda: repr(sys.exc_info()[1])))
    for _ in range(3):
        assert flow.get("/fails").status == 500
        assert flow.get("/").text == "None"
    assert threading.active_count() < 200
