"""Hooks of app, blueprint and nested blueprint: their order, their colours, and where they run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from aioflask import Blueprint, Flask, Response, g, render_template_string, request, url_for
from aioflask.concurrency import nonblocking, on_loop
from aioflask.templating import render_template_string_async
from tests.flow.doors import COLOURS, Flow, cycle

# "def async" alternates, so that each hook of a kind crosses to the other side.
HOOKS = ["def", "async", "def async", "async def"]
Paint = Callable[[Any], Any]


def recorder(log: list[str], name: str, paint: Paint, give_back: int | None = None) -> Any:
    """A hook that notes its name, and returns one of its arguments if it is to."""

    def hook(*args: Any) -> Any:
        log.append(name)
        return None if give_back is None else args[give_back]

    return paint(hook)


def add_hooks(scaffold: Any, name: str, log: list[str], paint: Paint) -> None:
    for number in (1, 2):
        tag = f"{name}{number}"
        plain = recorder(log, f"values {tag}", paint)
        scaffold.url_value_preprocessor(plain)
        scaffold.before_request(recorder(log, f"before {tag}", paint))
        scaffold.after_request(recorder(log, f"after {tag}", paint, give_back=0))
        scaffold.teardown_request(recorder(log, f"teardown {tag}", paint))


def family(flow: Flow, log: list[str], paint: Paint) -> None:
    """An app with a blueprint in a blueprint, all with hooks, and a blueprint beside them."""
    app = flow.app
    parent, child = Blueprint("parent", __name__), Blueprint("child", __name__)
    other = Blueprint("other", __name__)
    for scaffold, name in ((app, "app"), (parent, "parent"), (child, "child"), (other, "other")):
        add_hooks(scaffold, name, log, paint)
    app.teardown_appcontext(recorder(log, "context 1", paint))
    app.teardown_appcontext(recorder(log, "context 2", paint))
    parent.before_app_request(recorder(log, "before parent-app", paint))
    parent.after_app_request(recorder(log, "after parent-app", paint, give_back=0))
    parent.teardown_app_request(recorder(log, "teardown parent-app", paint))
    parent.app_url_value_preprocessor(recorder(log, "values parent-app", paint))
    child.add_url_rule("/child", "view", recorder_view(flow, log))
    parent.register_blueprint(child)
    app.register_blueprint(parent)
    app.register_blueprint(other)
    app.add_url_rule("/", "view", recorder_view(flow, log))


def recorder_view(flow: Flow, log: list[str]) -> Any:
    def view() -> str:
        log.append("view")
        return "ok"

    return flow.paint(view)


ORDER_OF_CHILD = """
values app1, values app2, values parent-app, values parent1, values parent2,
values child1, values child2,
before app1, before app2, before parent-app, before parent1, before parent2,
before child1, before child2,
view,
after child2, after child1, after parent2, after parent1, after parent-app, after app2, after app1,
teardown child2, teardown child1, teardown parent2, teardown parent1,
teardown parent-app, teardown app2, teardown app1,
context 2, context 1
"""
ORDER_OF_APP = """
values app1, values app2, values parent-app, before app1, before app2, before parent-app, view,
after parent-app, after app2, after app1, teardown parent-app, teardown app2, teardown app1,
context 2, context 1
"""
ORDER_OF_404 = ORDER_OF_APP.replace(" view,", "")


def steps(text: str) -> list[str]:
    return [step.strip() for step in text.split(",")]


@pytest.mark.parametrize("hooks", HOOKS)
@pytest.mark.parametrize(
    ("path", "order"),
    [("/child", ORDER_OF_CHILD), ("/", ORDER_OF_APP), ("/nowhere", ORDER_OF_404)],
)
def test_hooks_run_in_flasks_order(flow: Flow, hooks: str, path: str, order: str) -> None:
    log: list[str] = []
    family(flow, log, cycle(hooks))
    flow.get(path)
    assert log == steps(order)


@pytest.mark.parametrize("hooks", HOOKS)
@pytest.mark.parametrize("method", ["OPTIONS", "PUT"])
def test_hooks_run_where_the_app_answers_by_itself(flow: Flow, hooks: str, method: str) -> None:
    log: list[str] = []
    family(flow, log, cycle(hooks))
    answer = flow.request("/", method)
    assert answer.status == (200 if method == "OPTIONS" else 405)
    assert log == steps(ORDER_OF_404)


@pytest.mark.parametrize("hooks", HOOKS)
def test_a_before_hook_that_returns_a_value_answers(flow: Flow, hooks: str) -> None:
    log: list[str] = []
    paint = cycle(hooks)
    flow.app.before_request(recorder(log, "before 1", paint))

    def answer() -> tuple[str, int]:
        log.append("before 2")
        return "from the hook", 202

    flow.app.before_request(paint(answer))
    flow.app.before_request(recorder(log, "before 3", paint))
    flow.app.after_request(recorder(log, "after", paint, give_back=0))
    flow.app.teardown_request(recorder(log, "teardown", paint))
    flow.app.add_url_rule("/", "view", recorder_view(flow, log))
    got = flow.get()
    assert (got.status, got.text) == (202, "from the hook")
    assert log == ["before 1", "before 2", "after", "teardown"]


@pytest.mark.parametrize("empty", ["", {}, []])
def test_only_none_lets_a_before_hook_pass(flow: Flow, empty: Any) -> None:
    flow.app.before_request(flow.paint(lambda: empty))
    flow.returning(lambda: "view")
    assert "view" not in flow.get().text


@pytest.mark.parametrize("hooks", HOOKS)
def test_after_hooks_change_and_replace_the_response(flow: Flow, hooks: str) -> None:
    paint = cycle(hooks)

    def replace(response: Response) -> Response:
        return Response(response.get_data(as_text=True) + "!", 201, {"X-Seen": "a"})

    def change(response: Response) -> Response:
        response.headers["X-Seen"] += "b"
        response.status_code += 1
        return response

    flow.app.after_request(paint(change))
    flow.app.after_request(paint(replace))
    flow.returning(lambda: "view")
    answer = flow.get()
    assert (answer.status, answer.text, answer.headers["X-Seen"]) == (202, "view!", "ab")
    assert answer.headers["Content-Length"] == "5"


@pytest.mark.parametrize("hooks", HOOKS)
def test_every_teardown_runs_though_all_of_them_fail(flow: Flow, hooks: str) -> None:
    log: list[str] = []
    paint = cycle(hooks)

    def failing(name: str) -> Any:
        def teardown(error: BaseException | None) -> None:
            log.append(name)
            raise LookupError(name)

        return paint(teardown)

    for name in ("one", "two", "three"):
        flow.app.teardown_request(failing(name))
    flow.app.teardown_appcontext(failing("context"))
    flow.returning(lambda: "ok")
    with pytest.raises(BaseExceptionGroup) as caught:
        flow.get()
    assert log == ["three", "two", "one", "context"]
    _, rest = caught.value.split(LookupError)
    assert rest is None


@pytest.mark.parametrize("hooks", COLOURS)
def test_url_values_are_moved_to_g_and_back_into_urls(flow: Flow, hooks: str) -> None:
    """Flask's pattern for a language code in the URL of a blueprint."""
    pages = Blueprint("pages", __name__, url_prefix="/<lang>")

    def pull(endpoint: str | None, values: dict[str, Any] | None) -> None:
        assert endpoint == "pages.about" and values is not None
        g.lang = values.pop("lang")

    pages.url_value_preprocessor(flow.paint(pull, hooks))

    @pages.url_defaults
    def push(endpoint: str, values: dict[str, Any]) -> None:
        values.setdefault("lang", g.lang)

    def about(page: int) -> str:
        return f"{g.lang} {page} {url_for('.about', page=2)} {url_for('.about', page=3, lang='fr')}"

    pages.add_url_rule("/about/<int:page>", "about", flow.paint(about))
    flow.app.register_blueprint(pages)
    assert flow.get("/de/about/1").text == "de 1 /de/about/2 /fr/about/3"


def test_url_defaults_of_app_and_blueprints_apply_from_the_outside_in(flow: Flow) -> None:
    parent, child = Blueprint("parent", __name__), Blueprint("child", __name__)
    for scaffold, name in ((flow.app, "app"), (parent, "parent"), (child, "child")):

        def add(endpoint: str, values: dict[str, Any], name: str = name) -> None:
            values["by"] = values.get("by", "") + f"-{name}"

        scaffold.url_defaults(add)
    child.add_url_rule("/", "view", flow.paint(lambda: url_for(".view") + url_for("top")))
    parent.register_blueprint(child)
    flow.app.register_blueprint(parent)
    flow.app.add_url_rule("/top", "top", lambda: "")
    assert flow.get().text == "/?by=-app-parent-child/top?by=-app"


def test_context_processors_of_app_and_blueprint_fill_templates(flow: Flow) -> None:
    pages = Blueprint("pages", __name__)
    flow.app.context_processor(lambda: {"who": "app", "by": "app"})
    pages.context_processor(lambda: {"by": "blueprint"})
    page = flow.paint(lambda: render_template_string("{{ who }} {{ by }} {{ own }}", own=1))
    pages.add_url_rule("/page", "page", page)
    flow.app.add_url_rule("/", "index", page)
    flow.app.register_blueprint(pages)
    assert flow.get("/page").text == "app blueprint 1"
    assert flow.get("/").text == "app app 1"


def test_an_async_context_processor_is_awaited(flow: Flow) -> None:
    """`render_template_string` waits in a plain view; in an `async def` one its sibling does."""

    async def user() -> dict[str, str]:
        return {"who": f"async {request.path}"}

    flow.app.context_processor(user)

    async def page() -> str:
        return await render_template_string_async("{{ who }}")

    plain = flow.colour == "def"
    flow.app.add_url_rule(
        "/", "v", (lambda: render_template_string("{{ who }}")) if plain else page
    )
    assert flow.get().text == "async /"


# --- where they run ----------------------------------------------------------------------------


def place(log: dict[str, Any], name: str, give_back: bool = False) -> Any:
    def hook(*args: Any) -> Any:
        log[name] = (on_loop(), threading.get_ident())
        return args[0] if give_back else ("ok" if name == "view" else None)

    return hook


@pytest.mark.parametrize("hooks", COLOURS)
def test_functions_run_on_the_side_of_their_colour(flow: Flow, hooks: str) -> None:
    """All plain functions of one request run on one thread, never the loop's."""
    log: dict[str, Any] = {}
    app = flow.app
    app.before_request(flow.paint(place(log, "before"), hooks))
    app.after_request(flow.paint(place(log, "after", give_back=True), hooks))
    app.teardown_request(flow.paint(place(log, "teardown"), hooks))
    app.teardown_appcontext(flow.paint(place(log, "context"), hooks))
    app.add_url_rule("/", "view", flow.paint(place(log, "view")))
    assert flow.get().text == "ok"
    colours = dict.fromkeys(("before", "after", "teardown", "context"), hooks)
    colours["view"] = flow.colour
    assert {name: on_loop for name, (on_loop, _) in log.items()} == {
        name: colour == "async" for name, colour in colours.items()
    }
    for side in (True, False):
        assert len({ident for where, ident in log.values() if where is side}) <= 1


def test_a_nonblocking_hook_runs_where_its_view_runs(flow: Flow) -> None:
    log: dict[str, Any] = {}
    flow.app.before_request(nonblocking(place(log, "before")))
    flow.app.add_url_rule("/", "view", flow.paint(place(log, "view")))
    flow.get()
    if flow.loop is not None:
        assert log["before"] == log["view"]
    else:  # A WSGI request stays on its thread.
        assert log["before"] == (False, threading.get_ident())


# --- what they share ---------------------------------------------------------------------------

trace: ContextVar[str] = ContextVar("trace", default="outside")


@pytest.mark.parametrize("hooks", HOOKS)
def test_g_and_context_variables_hold_through_all_hooks(flow: Flow, hooks: str) -> None:
    """What tracing libraries do: set in a before hook, reset by token in a teardown."""
    seen: list[str] = []
    paint = cycle(hooks)

    def before_1() -> None:
        g.token = trace.set("in the request")

    def before_2() -> None:
        g.inner = trace.set(trace.get() + ", deeper")

    def after(response: Response) -> Response:
        seen.append(trace.get())
        trace.reset(g.inner)
        return response

    def teardown(error: BaseException | None) -> None:
        seen.append(trace.get())
        trace.reset(g.token)
        seen.append(trace.get())

    flow.app.before_request(paint(before_1))
    flow.app.before_request(paint(before_2))
    flow.app.after_request(paint(after))
    flow.app.teardown_request(paint(teardown))
    flow.returning(trace.get)
    assert flow.get().text == "in the request, deeper"
    assert seen == ["in the request, deeper", "in the request", "outside"]
    assert trace.get() == "outside"


# --- other than registered at first ------------------------------------------------------------


@pytest.mark.parametrize("hooks", COLOURS)
def test_a_registry_that_was_edited_by_hand_is_obeyed(flow: Flow, hooks: str) -> None:
    log: list[str] = []
    app = flow.app
    app.add_url_rule("/", "view", recorder_view(flow, log))
    app.before_request(recorder(log, "first", lambda hook: hook))
    flow.get()
    app.before_request_funcs[None].insert(0, flow.paint(lambda: log.append("second"), hooks))
    flow.get()
    app.before_request_funcs[None].clear()
    app.view_functions["view"] = flow.paint(lambda: "replaced", hooks)
    assert flow.get().text == "replaced"
    assert log == ["first", "view", "second", "first", "view"]


def test_methods_of_the_app_can_be_replaced(flow: Flow) -> None:
    """A plain override hops to a thread, where super() gives it a value."""
    log: list[str] = []

    class Own(Flask):
        def preprocess_request(self) -> Any:
            log.append("preprocess")
            return super().preprocess_request()

        def dispatch_request(self) -> Any:
            log.append("dispatch")
            value = super().dispatch_request()
            return value if not isinstance(value, str) else value.upper()

        def process_response(self, response: Any) -> Any:
            response.headers["X-Own"] = "yes"
            return super().process_response(response)

        def do_teardown_request(self, *args: Any) -> Any:
            log.append("teardown")
            return super().do_teardown_request(*args)

    flow.app = Own("own", static_folder=None)
    flow.app.config["WORKER_THREADS"] = flow.threads
    flow.app.before_request(lambda: log.append("before"))
    flow.returning(lambda: "shout")
    answer = flow.get()
    assert (answer.text, answer.headers["X-Own"]) == ("SHOUT", "yes")
    assert log == ["preprocess", "before", "dispatch", "teardown"]


@pytest.mark.parametrize("on_instance", [False, True])
def test_methods_replaced_by_async_ones_are_awaited(flow: Flow, on_instance: bool) -> None:
    app: Any = flow.app

    async def process_response(response: Response) -> Response:
        response.headers["X-Own"] = "async"
        return response

    class Own(Flask):
        async def process_response(self, response: Any) -> Any:
            return await process_response(response)

    if on_instance:
        app.process_response = process_response
    else:
        app.__class__ = Own
        app._forget_plans()
    flow.returning(lambda: "ok")
    assert flow.get().headers["X-Own"] == "async"
