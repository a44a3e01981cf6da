"""Mistakes of the developer: each is told what was done, what happened, and what to write."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import anyio
import pytest

from aioflask import (
    Blueprint,
    Flask,
    Response,
    after_this_request,
    copy_current_request_context,
    current_app,
    flash,
    g,
    make_response,
    message_flashed,
    render_template_string,
    request,
    session,
    signals,
    stream_with_context,
    template_rendered,
    url_for,
)
from aioflask.concurrency import async_to_sync, background_loop
from tests.flow.doors import Flow, few_doors


@pytest.fixture
def app() -> Flask:
    app = Flask("mistakes_test", static_folder=None)
    app.testing = True
    return app


def says(error: BaseException, *words: str) -> None:
    text = str(error)
    for word in words:
        assert word in text, f"{word!r} is missing in:\n{text}"


# --- what a view returns -----------------------------------------------------------------------


async def load() -> str:
    return "loaded"


@few_doors
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, ["returned None", "'view'", "without a return statement", "return ''"]),
        (lambda: 3, ["returned 3, of type int", "'view'", "string, dict, list"]),
        (lambda: {1, 2}, ["of type set", "'view'"]),
        (lambda: ("a", 1, 2, 3), ["a tuple of 4", "(body, status, headers)"]),
        (lambda: load(), ["never awaited", "right: async def view(): return await load()"]),
        (lambda: Response(load()), ["load() was called but never awaited", "await load(...)"]),  # type: ignore[arg-type]
        (lambda: make_response(load()), ["never awaited"]),
        (lambda: (load(), 201), ["never awaited"]),
    ],
)
def test_a_view_returns_what_is_no_response(flow: Flow, make: Any, words: list[str]) -> None:
    flow.app.testing = True
    flow.returning(make)
    with pytest.raises(TypeError) as caught:
        flow.get()
    says(caught.value, *words)


def test_the_view_is_named(flow: Flow) -> None:
    flow.app.testing = True

    def forgets() -> str:  # type: ignore[empty-body]
        pass

    flow.app.add_url_rule("/", "ends", forgets)
    with pytest.raises(TypeError) as caught:
        flow.get()
    says(caught.value, "'ends'", "forgets")


def test_an_after_hook_that_returns_nothing(flow: Flow) -> None:
    flow.app.testing = True

    def forgets(response: Response) -> Any:
        pass

    flow.app.after_request(flow.paint(forgets))
    flow.returning(lambda: "ok")
    with pytest.raises(TypeError) as caught:
        flow.get()
    says(caught.value, "forgets", "after_request", "return response")


# --- set-up ------------------------------------------------------------------------------------


def test_an_endpoint_with_two_views(app: Flask) -> None:
    app.add_url_rule("/one", "page", lambda: "one")
    with pytest.raises(AssertionError) as caught:
        app.add_url_rule("/two", "page", lambda: "two")
    says(caught.value, "'/two'", "'page'", "already has the view", __file__, "endpoint=")


def test_a_decorator_without_wraps(app: Flask) -> None:
    def careless(view: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            return view(*args)

        return wrapper

    app.get("/one")(careless(lambda: "one"))
    with pytest.raises(AssertionError) as caught:
        app.get("/two")(careless(lambda: "two"))
    says(caught.value, "'wrapper'", "functools.wraps")


SET_UP: list[Callable[[Any], Any]] = [
    lambda app: app.add_url_rule("/new", "new", lambda: ""),
    lambda app: app.get("/new")(lambda: ""),
    lambda app: app.before_request(lambda: None),
    lambda app: app.after_request(lambda response: response),
    lambda app: app.teardown_request(lambda error: None),
    lambda app: app.errorhandler(404)(lambda error: ""),
    lambda app: app.context_processor(dict),
    lambda app: app.url_defaults(lambda endpoint, values: None),
    lambda app: app.url_value_preprocessor(lambda endpoint, values: None),
    lambda app: app.register_blueprint(Blueprint("late", __name__)),
    lambda app: app.teardown_appcontext(lambda error: None),
    lambda app: app.template_filter("late")(str),
]


@pytest.mark.parametrize("set_up", SET_UP)
def test_set_up_after_the_first_request(app: Flask, set_up: Callable[[Any], Any]) -> None:
    app.add_url_rule("/", "view", lambda: "ok")
    app.test_client().get("/")
    with pytest.raises(AssertionError) as caught:
        set_up(app)
    says(
        caught.value, "after its first request", "'mistakes_test'", "before the application serves"
    )


@pytest.mark.parametrize("set_up", SET_UP[:-2])
def test_set_up_of_a_blueprint_after_its_registration(
    app: Flask, set_up: Callable[[Any], Any]
) -> None:
    pages = Blueprint("pages", __name__)
    app.register_blueprint(pages)
    with pytest.raises(AssertionError) as caught:
        set_up(pages)
    says(caught.value, "'pages'", "after it was registered", "Register the blueprint last")


def test_methods_that_are_no_list(app: Flask) -> None:
    with pytest.raises(TypeError) as caught:
        app.add_url_rule("/", "view", lambda: "", methods="post")
    says(caught.value, "methods='post'", "methods=['POST']")


@pytest.mark.parametrize("signal", [template_rendered, message_flashed, signals.appcontext_pushed])
def test_an_async_receiver_of_a_signal_that_is_sent_in_a_plain_call(signal: Any) -> None:
    async def receive(sender: Any, **values: Any) -> None: ...

    for receiver in (receive, functools.partial(receive)):
        with pytest.raises(TypeError) as caught:
            signal.connect(receiver)
        says(caught.value, "'async def'", repr(signal.name), "Connect a plain function", "def ")


# --- outside of a context ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda: request.path,
        lambda: request.method == "GET",
        lambda: session["a"],
        lambda: session.get("a"),
        lambda: session.update(a=1),
    ],
)
def test_the_request_outside_of_a_request(app: Flask, use: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError) as caught:
        use()
    says(caught.value, "outside of request context", "with app.test_request_context(")
    says(caught.value, "copy_current_request_context")
    with app.app_context(), pytest.raises(RuntimeError) as caught:
        use()
    says(caught.value, "outside of request context")


@pytest.mark.parametrize("use", [lambda: current_app.name, lambda: g.a, lambda: setattr(g, "a", 1)])
def test_the_app_outside_of_its_context(use: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError) as caught:
        use()
    says(caught.value, "outside of application context", "with app.app_context():")


@pytest.mark.parametrize(
    "use",
    [
        lambda: after_this_request(lambda response: response),
        lambda: copy_current_request_context(lambda: None),
        lambda: flash("text"),
        lambda: list(stream_with_context(iter("ab"))),
    ],
)
def test_a_function_for_requests_outside_of_one(app: Flask, use: Callable[[], Any]) -> None:
    with app.app_context(), pytest.raises(RuntimeError) as caught:
        use()
    says(caught.value, "request")


def test_a_url_outside_of_a_request(app: Flask) -> None:
    app.add_url_rule("/", "view", lambda: "")
    with app.app_context(), pytest.raises(RuntimeError) as caught:
        url_for("view")
    says(caught.value, "'view'", "SERVER_NAME")


def test_an_attribute_of_g_that_nobody_set(app: Flask) -> None:
    with app.app_context(), pytest.raises(AttributeError) as caught:
        g.usr  # noqa: B018
    says(caught.value, "'usr'", "g.get('usr')")


def test_contexts_left_in_the_wrong_order(app: Flask) -> None:
    def leave_the_outer_one_first() -> None:
        outer, inner = app.test_request_context("/outer"), app.test_request_context("/inner")
        outer.push()
        inner.push()
        outer.pop(None)

    with pytest.raises(AssertionError) as caught:
        copy_context().run(leave_the_outer_one_first)
    says(caught.value, "wrong order", "/inner", "Leave the inner one first")


def test_a_context_left_twice(app: Flask) -> None:
    ctx = app.app_context()
    ctx.push()
    ctx.pop(None)
    with pytest.raises(RuntimeError) as caught:
        ctx.pop(None)
    says(caught.value, "popped more often than it was pushed")


# --- the two sides -----------------------------------------------------------------------------

TOO_EARLY: dict[str, Callable[[], Any]] = {
    "get_json": lambda: request.get_json(),
    "json": lambda: request.json,
    "form": lambda: request.form,
    "files": lambda: request.files,
    "data": lambda: request.data,
    "get_data": lambda: request.get_data(),
    "values": lambda: request.values,
    "stream": lambda: request.stream.read(),
}


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("use", TOO_EARLY)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_body_asked_for_too_early_on_the_loop(
    portals: Any, loop: str, use: str, kind: str
) -> None:
    """In an `async def` before hook; the error shows the line to write."""
    flow = Flow(loop, "async", portals)
    if use in ("get_json", "json"):
        kind = "application/json"

    async def hook() -> None:
        with pytest.raises(RuntimeError) as caught:
            TOO_EARLY[use]()
        says(caught.value, "before it was read", "await request.load_body()")

    flow.app.before_request(hook)
    flow.app.add_url_rule("/", "view", flow.paint(lambda: "ok"), methods=["POST"])
    assert flow.post(data=b"a=1", content_type=kind).text == "ok"


@pytest.mark.anyio
async def test_waiting_for_the_loop_on_the_loop() -> None:
    async def load() -> None: ...

    with pytest.raises(RuntimeError) as caught:
        async_to_sync(load)()
    says(caught.value, "load()", "event loop's thread", "await load(...)")


def test_the_background_loop_asked_to_wait_for_itself() -> None:
    async def inner() -> None: ...

    async def outer() -> None:
        background_loop().run(inner())

    with pytest.raises(RuntimeError) as caught:
        background_loop().run(outer())
    says(caught.value, "wait for itself", "Await it instead")


def test_an_async_context_processor_in_a_plain_render_on_the_loop(flow: Flow) -> None:
    flow.app.testing = True

    async def user() -> dict[str, str]:
        return {}

    async def view() -> str:
        return render_template_string("text")

    flow.app.context_processor(user)
    flow.app.add_url_rule("/", "view", view)
    with pytest.raises(RuntimeError) as caught:
        flow.get()
    says(caught.value, "user", "render_template_string_async")


@pytest.mark.anyio
async def test_with_on_the_loop_and_an_async_teardown(app: Flask) -> None:
    async def close_database(error: BaseException | None) -> None: ...

    app.teardown_appcontext(close_database)
    with pytest.raises(RuntimeError) as caught:  # noqa: SIM117
        with app.app_context():
            pass
    says(caught.value, "close_database()", "'async def'", "Write 'async with' there")


@pytest.mark.anyio
async def test_the_wsgi_face_on_the_loop(app: Flask) -> None:
    with pytest.raises(RuntimeError) as caught:
        app({"REQUEST_METHOD": "GET"}, lambda *args: None)
    says(caught.value, "await app(scope, receive, send)", "app.async_client()")


def test_an_async_only_decorator_around_a_plain_function_is_seen(flow: Flow) -> None:
    """The colour is the wrapper's: a plain decorator around an `async def` view hands it on."""

    def login_required(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return current_app.ensure_sync(view)(*args, **kwargs)

        return wrapper

    async def view() -> str:
        await anyio.sleep(0)
        return request.path

    flow.app.add_url_rule("/", "view", login_required(view))
    assert flow.get().text == "/"


# --- debug mode's own --------------------------------------------------------------------------


def test_a_missing_form_key_is_named_in_debug(flow: Flow) -> None:
    flow.app.debug, flow.app.config["PROPAGATE_EXCEPTIONS"] = True, False
    flow.app.config["TRAP_BAD_REQUEST_ERRORS"] = False
    flow.route("/", methods=["POST"])(lambda: request.form["wanted"])
    answer = flow.post(data={"a": "1"})
    assert answer.status == 400 and "wanted" in answer.text
    flow.app.debug = False
    assert "wanted" not in flow.post(data={"a": "1"}).text


def test_a_form_without_enctype_is_explained_in_debug(flow: Flow) -> None:
    flow.app.debug = True
    flow.route("/", methods=["POST"])(lambda: request.files["photo"])
    with pytest.raises(KeyError) as caught:
        flow.post(data={"photo": "me.png"})
    says(caught.value, "'photo'", 'enctype="multipart/form-data"', "'me.png'")
