"""What is registered, replaced or edited after the first request is seen by the next one."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.exceptions import HTTPException

from aioflask import Blueprint, Flask, Response, g, request, signals
from aioflask.concurrency import nonblocking
from aioflask.plan import DOORS, ORIGINALS, REPLACEABLE, Plan, grouped
from aioflask.sessions import SecureCookieSession, SecureCookieSessionInterface

COLOURS = ("def", "async def")


def paint(function: Any, colour: str) -> Any:
    """A plain function as it is, or as an `async def` one."""

    async def painted(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return function if colour == "def" else painted


@pytest.fixture(params=COLOURS)
def app(request: pytest.FixtureRequest) -> Flask:
    """An app that has answered its first requests, with a view of each colour in turn."""
    app = Flask("plan_test", static_folder=None)
    app.secret_key = "plan"
    child = Blueprint("child", __name__, url_prefix="/child")

    def view() -> str:
        return f"view {getattr(g, 'seen', '')}".strip()

    def fail() -> str:
        raise LookupError("failed")

    app.add_url_rule("/", "view", paint(view, request.param))
    app.add_url_rule("/fail", "fail", paint(fail, request.param))
    child.add_url_rule("/", "view", paint(view, request.param))
    app.register_blueprint(child)
    assert text(app) == text(app, "/child/") == "view"
    return app


def text(app: Flask, path: str = "/") -> str:
    return app.test_client().get(path).text


def see(*_: Any) -> None:
    g.seen = "seen"


def mark(response: Response) -> Response:
    response.set_data(response.get_data(as_text=True) + " marked")
    return response


# -- registries, edited by hand ----------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("registry", "hook", "expected"),
    [
        ("before_request_funcs", see, "view seen"),
        ("url_value_preprocessors", see, "view seen"),
        ("after_request_funcs", mark, "view marked"),
    ],
)
def test_a_hook_put_into_a_registry_by_hand_is_seen(
    app: Flask, registry: str, hook: Any, expected: str, colour: str
) -> None:
    hooks = getattr(app, registry)
    hooks.setdefault(None, []).append(paint(hook, colour))
    assert text(app) == text(app, "/child/") == expected
    hooks[None].clear()
    assert text(app) == "view"
    hooks[None].append(paint(hook, colour))
    hooks[None][0] = nonblocking(lambda *args: args[0] if args and registry[0] == "a" else None)
    assert text(app) == "view"
    hooks["child"] = [paint(hook, colour)]
    assert text(app) == "view" and text(app, "/child/") == expected
    hooks["child"] = []
    assert text(app, "/child/") == "view"
    setattr(app, registry, {None: [paint(hook, colour)]})
    assert text(app) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda hooks, hook: hooks.__setitem__(None, [hook]),
        lambda hooks, hook: hooks.update({None: [hook]}),
        lambda hooks, hook: hooks.__ior__({None: [hook]}),
        lambda hooks, hook: (hooks.clear(), hooks[None].append(hook)),
        lambda hooks, hook: (hooks.pop(None), hooks.setdefault(None, []).append(hook)),
        lambda hooks, hook: (hooks.popitem(), hooks[None].append(hook)),
        lambda hooks, hook: (hooks.__delitem__(None), hooks.setdefault(None, [hook])),
        lambda hooks, hook: hooks[None].insert(0, hook),
    ],
)
def test_every_way_to_change_a_registry_is_seen(app: Flask, change: Any) -> None:
    app.before_request_funcs[None] = [nonblocking(lambda: None)]
    assert text(app) == "view"
    change(app.before_request_funcs, nonblocking(lambda: "instead"))
    assert text(app) == "instead"
    app.before_request_funcs[None].clear()
    app.view_functions["view"] = lambda: "another"
    assert text(app) == "another"


def test_a_registry_that_is_assigned_is_copied(app: Flask) -> None:
    mine: dict[str | None, list[Any]] = {None: []}
    app.before_request_funcs = mine
    mine[None] = [nonblocking(lambda: "mine")]
    assert text(app) == "view"
    app.before_request_funcs[None] = [nonblocking(lambda: "the app's")]
    assert text(app) == "the app's"


def test_copies_of_a_registry_are_the_copiers_own(app: Flask) -> None:
    hooks = app.before_request_funcs
    for copied in (hooks.copy(), copy.copy(hooks), copy.deepcopy(hooks), hooks | {}):
        copied[None].append(see)
        copied["x"].append(see)
        assert "x" not in hooks


def test_a_registry_keeps_no_dropped_application_alive() -> None:
    app = Flask(__name__)
    hooks, gone = app.before_request_funcs, weakref.ref(app)
    gc.collect()
    gc.disable()
    try:
        del app
        assert gone() is None
    finally:
        gc.enable()
    hooks["x"] = []


@pytest.mark.parametrize("colour", COLOURS)
def test_teardown_functions_put_in_by_hand_are_called(app: Flask, colour: str) -> None:
    calls: list[str] = []
    app.teardown_request_funcs.setdefault(None, []).append(
        paint(lambda e: calls.append("request"), colour)
    )
    app.teardown_appcontext_funcs.append(paint(lambda e: calls.append("context"), colour))
    text(app)
    assert calls == ["request", "context"]


@pytest.mark.parametrize("colour", COLOURS)
def test_error_handlers_put_in_by_hand_are_seen(app: Flask, colour: str) -> None:
    app.logger.disabled = True
    assert app.test_client().get("/fail").status_code == 500
    spec = app.error_handler_spec[None].setdefault(None, {})
    spec[LookupError] = paint(lambda e: f"handled {e.args[0]}", colour)
    assert text(app, "/fail") == "handled failed"
    app.error_handler_spec[None].setdefault(404, {})[HTTPException] = paint(
        lambda e: f"none {e.code}", colour
    )
    assert text(app, "/nowhere") == "none 404"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_view_that_is_replaced_is_the_one_that_is_called(app: Flask, colour: str) -> None:
    app.view_functions["view"] = paint(lambda: "replaced", colour)
    assert text(app) == "replaced"
    app.view_functions["view"] = paint(lambda: threading.current_thread().name, colour)
    assert (text(app) == threading.current_thread().name) == (colour == "def")
    app.view_functions = {"view": paint(lambda: "all replaced", colour)}
    assert text(app) == "all replaced"


def test_a_registry_that_only_looks_longer_makes_no_new_plan(app: Flask) -> None:
    plan = app._plans["view"]
    app.error_handler_spec["elsewhere"][None][KeyError] = str
    text(app)
    assert app._plans["view"] is plan
    app.before_request_funcs[None] = [nonblocking(lambda: None)]
    text(app)
    assert app._plans["view"] is not plan


@pytest.mark.parametrize("colour", COLOURS)
def test_a_signals_receivers_come_and_go(app: Flask, colour: str) -> None:
    calls: list[str] = []

    def note(sender: Any, **_: Any) -> None:
        calls.append(sender.name)

    for signal in (
        signals.request_started,
        signals.request_finished,
        signals.request_tearing_down,
        signals.appcontext_tearing_down,
    ):
        receiver = paint(note, colour)
        with signal.connected_to(receiver, app):
            text(app)
        assert calls == [app.name], signal
        text(app)
        assert calls.pop() and not calls


def test_a_session_interface_that_is_replaced_is_asked(app: Flask) -> None:
    opened: list[str] = []

    class Other(SecureCookieSessionInterface):
        def open_session(self, app: Any, request: Any) -> SecureCookieSession | None:
            opened.append(request.path)
            return super().open_session(app, request)

    app.session_interface = Other()
    text(app)
    assert opened == ["/"]
    app.session_interface = SecureCookieSessionInterface()
    text(app)
    assert opened == ["/"]


def test_a_session_interface_that_is_replaced_in_part_is_asked_for_every_request() -> None:
    app, opened = Flask("plan_test", static_folder=None), list[str]()
    app.add_url_rule("/", "view", paint(str, "async def"))
    app.session_interface = SecureCookieSessionInterface()

    def open_session(app: Any, request: Any) -> None:
        opened.append(request.path)

    app.session_interface.open_session = open_session  # type: ignore[method-assign]
    text(app)
    text(app)
    assert opened == ["/", "/"]


# -- methods, replaced -------------------------------------------------------------------------

Step = Callable[..., Any]


def around(name: str, seen: list[str], parent: Step, colour: str) -> Step:
    """A replacement that notes its name and calls what it replaced."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        return parent(*args, **kwargs)

    async def waits(*args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        value = parent(*args, **kwargs)
        return await value if hasattr(value, "__await__") else value

    return plain if colour == "def" else waits


ON_THE_WAY = (
    "full_dispatch_request preprocess_request dispatch_request finalize_request make_response"
    " process_response do_teardown_request do_teardown_appcontext".split()
)
OF_ERRORS = {
    "handle_user_exception": "/fail",
    "handle_exception": "/fail",
    "handle_http_exception": "/nowhere",
}
PATHS = dict.fromkeys(ON_THE_WAY, "/") | OF_ERRORS


def test_every_replaceable_method_is_tried_below() -> None:
    assert PATHS.keys() == REPLACEABLE == ORIGINALS.keys() - {*DOORS, "__call__"}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", PATHS)
def test_a_method_replaced_on_the_instance_is_called(app: Flask, name: str, colour: str) -> None:
    app.logger.disabled = True
    path, seen = PATHS[name], list[str]()
    before = app.test_client().get(path)
    setattr(app, name, around(name, seen, getattr(app, name), colour))
    after = app.test_client().get(path)
    assert seen == [name] and (after.status, after.data) == (before.status, before.data)
    delattr(app, name)
    app.test_client().get(path)
    assert seen == [name]


@pytest.mark.parametrize("view", COLOURS)
@pytest.mark.parametrize("colour", COLOURS)
def test_methods_replaced_on_a_class_call_super(colour: str, view: str) -> None:
    seen: list[str] = []
    bodies: dict[str, Any] = {}
    for name in PATHS:

        def method(self: Any, *args: Any, name: str = name, **kwargs: Any) -> Any:
            seen.append(name)
            return getattr(super(Own, self), name)(*args, **kwargs)

        async def async_method(self: Any, *args: Any, name: str = name, **kwargs: Any) -> Any:
            seen.append(name)
            value = getattr(super(Own, self), name)(*args, **kwargs)
            return await value if hasattr(value, "__await__") else value

        bodies[name] = method if colour == "def" else async_method
    Own = type("Own", (Flask,), bodies)
    app = Own("plan_test", static_folder=None)
    app.logger.disabled = True
    app.add_url_rule("/", "view", paint(lambda: f"view {request.path}", view))
    app.add_url_rule("/fail", "fail", paint(lambda: [][0], view))
    assert text(app) == "view /"
    assert seen == ON_THE_WAY
    seen.clear()
    assert app.test_client().get("/fail").status_code == 500
    assert {"handle_user_exception", "handle_exception"} <= set(seen)
    seen.clear()
    assert app.test_client().get("/nowhere").status_code == 404
    assert "handle_http_exception" in seen


@pytest.mark.parametrize("colour", COLOURS)
def test_a_method_replaced_on_the_class_after_the_first_request_is_seen(colour: str) -> None:
    class Own(Flask):
        pass

    app = Own("plan_test", static_folder=None)
    app.add_url_rule("/", "view", lambda: "view")
    assert text(app) == "view"
    Own.dispatch_request = paint(lambda self: "replaced", colour)  # type: ignore[method-assign]
    app._forget_plans()  # What is set on a class cannot be noticed; on an app it is.
    assert text(app) == "replaced"


# -- the plan itself ---------------------------------------------------------------------------


def test_neighbours_of_a_colour_are_one_group() -> None:
    def plain() -> None: ...
    async def waits() -> None: ...
    @nonblocking
    def quick() -> None: ...

    groups = grouped([plain, plain, quick, quick, waits, waits, plain])
    assert [(g.is_async, g.needs_thread, len(g.functions)) for g in groups] == [
        (False, True, 2),
        (False, False, 2),
        (True, False, 2),
        (False, True, 1),
    ]
    assert grouped([]) == ()


def test_a_plan_says_whether_its_requests_cross() -> None:
    app = Flask("plan_test", static_folder=None)
    app.add_url_rule("/a", "waits", paint(str, "async def"))
    app.add_url_rule("/b", "plain", lambda: "")

    def crosses(endpoint: str | None) -> bool:
        return Plan(app, endpoint, []).crosses

    assert not crosses("waits") and crosses("plain") and not crosses(None)
    app.teardown_request_funcs[None] = [print]
    assert crosses("waits") and crosses(None)
