"""The context by itself: what belongs to it, how it is pushed and popped, where it is seen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from aioflask import (
    Flask,
    after_this_request,
    copy_current_request_context,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    session,
    signals,
)
from aioflask.ctx import AppContext, RequestContext, _AppCtxGlobals
from aioflask.globals import _cv_app, app_ctx, request_ctx


@pytest.fixture
def app() -> Flask:
    app = Flask("ctx_test", static_folder=None)
    app.secret_key = "ctx"
    app.add_url_rule("/<int:n>", "view", lambda n: str(n))
    return app


@pytest.fixture
def ended(app: Flask) -> list[Any]:
    """The exceptions that the app's teardown functions were given, as they are called."""
    ended: list[Any] = []
    app.teardown_appcontext(ended.append)
    return ended


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    yield
    assert not has_app_context()


# -- g -----------------------------------------------------------------------------------------


def test_g_is_a_namespace_with_the_words_of_a_dict(app: Flask) -> None:
    with app.app_context():
        assert g.get("a") is None and g.get("a", 1) == 1 and "a" not in g
        g.a = 2
        assert g.setdefault("a", 3) == 2 and g.setdefault("b", 3) == 3
        assert list(g) == ["a", "b"] and "a" in g
        assert g.pop("a") == 2 and g.pop("a", None) is None
        with pytest.raises(KeyError):
            g.pop("a")
        del g.b
        with pytest.raises(AttributeError, match=r"g has no attribute 'b'.*g\.get\('b'\)"):
            _ = g.b
        assert repr(g) == "<flask.g of 'ctx_test'>"


def test_g_is_made_of_the_apps_class_at_its_first_use(app: Flask) -> None:
    made: list[Any] = []

    class Own(_AppCtxGlobals):
        def __init__(self) -> None:
            made.append(self)

    app.app_ctx_globals_class = Own
    with app.app_context() as ctx:
        assert made == []
        g.a = 1
        assert made == [ctx.g] and ctx.g.a == 1


def test_g_is_shared_with_the_context_of_the_same_app_below_and_not_with_another(
    app: Flask,
) -> None:
    other = Flask("other", static_folder=None)
    with app.app_context():
        g.a = 1
        with app.test_request_context("/1"):
            assert g.a == 1
            g.b = 2
        assert g.b == 2
        with other.test_request_context("/"):
            assert "a" not in g
        with app.app_context():
            assert "a" not in g


# -- with and without a request ----------------------------------------------------------------


@pytest.mark.usefixtures("nothing_is_left")
def test_what_is_active_where(app: Flask) -> None:
    assert (has_app_context(), has_request_context()) == (False, False)
    with app.app_context() as outer:
        assert (has_app_context(), has_request_context()) == (True, False)
        assert current_app == app
        with app.test_request_context("/1?a=b"):
            assert has_request_context() and request.args["a"] == "b"
            assert request_ctx.request.path == "/1"
            # The one that lends its `g` is Flask's app context: Flask-SQLAlchemy knows it by that.
            assert app_ctx._get_current_object() is outer  # type: ignore[attr-defined]
        assert not has_request_context()


def test_a_context_without_a_request_says_so(app: Flask) -> None:
    ctx = app.app_context()
    assert not ctx.has_request and repr(ctx) == "<AppContext of 'ctx_test'>"
    with pytest.raises(RuntimeError, match="made without one"):
        _ = ctx.request
    made = app.test_request_context("/1", method="POST")
    assert type(made) is RequestContext and AppContext in RequestContext.__mro__
    assert "http://localhost/1' [POST] of 'ctx_test'" in repr(made)


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (lambda: current_app.name, "Working outside of application context"),
        (lambda: g.a, "Working outside of application context"),
        (lambda: request.path, "Working outside of request context"),
        (lambda: session["a"], "Working outside of request context"),
    ],
)
def test_a_proxy_outside_says_what_is_missing(proxy: Any, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        proxy()


@pytest.mark.parametrize("function", [after_this_request, copy_current_request_context])
def test_functions_of_a_request_name_themselves_outside(app: Flask, function: Any) -> None:
    with app.app_context(), pytest.raises(RuntimeError, match=function.__name__):
        function(print)


# -- push and pop ------------------------------------------------------------------------------


def test_the_url_is_matched_at_the_first_push_alone(app: Flask) -> None:
    ctx = app.test_request_context("/7")
    assert ctx.request.url_rule is None
    with ctx:
        rule = ctx.request.url_rule
        assert ctx.request.endpoint == "view" and ctx.request.view_args == {"n": 7}
        with ctx:
            assert ctx.request.url_rule is rule
    with app.test_request_context("/nowhere") as ctx:
        error = ctx.request.routing_exception
        assert error is not None and error.code == 404


@pytest.mark.usefixtures("nothing_is_left")
def test_a_context_that_is_pushed_twice_is_torn_down_once(app: Flask, ended: list[Any]) -> None:
    ctx = app.app_context()
    ctx.push()
    ctx.push()
    ctx.pop()
    assert ended == [] and current_app == app
    ctx.pop()
    assert ended == [None]
    with pytest.raises(RuntimeError, match="popped more often"):
        ctx.pop()


def test_teardown_is_given_the_exception(app: Flask, ended: list[Any]) -> None:
    error = LookupError()
    with pytest.raises(LookupError), app.app_context():
        raise error
    ctx = app.app_context()
    ctx.push()
    ctx.pop(error)
    ctx.push()
    try:
        raise error
    except LookupError:
        ctx.pop()
    ctx.push()
    ctx.pop(None)
    assert ended == [error, error, error, None]


def test_a_request_leaves_the_teardown_of_the_app_to_the_context_below(
    app: Flask, ended: list[Any]
) -> None:
    of_requests: list[Any] = []
    app.teardown_request(of_requests.append)
    with app.app_context():
        with app.test_request_context("/1"):
            pass
        assert (of_requests, ended) == ([None], [])
    assert ended == [None]


@pytest.mark.usefixtures("nothing_is_left")
def test_every_teardown_function_runs_and_the_context_is_left_if_one_fails(
    app: Flask, ended: list[Any]
) -> None:
    @app.teardown_appcontext
    def fail(_: BaseException | None) -> None:
        raise LookupError("first")

    with pytest.raises(LookupError, match="first"), app.app_context():
        pass
    assert ended == [None]
    app.teardown_appcontext_funcs.append(fail)
    with pytest.raises(BaseExceptionGroup) as raised, app.app_context():
        pass
    assert [type(error) for error in raised.value.exceptions] == [LookupError] * 2


def test_contexts_that_are_popped_in_the_wrong_order_are_an_error(app: Flask) -> None:
    def pop_the_outer_one() -> None:
        outer, inner = app.app_context(), app.app_context()
        outer.push()
        inner.push()
        with pytest.raises(AssertionError, match="wrong order"):
            outer.pop()

    copy_context().run(pop_the_outer_one)


def test_a_context_may_be_popped_in_another_contextvars_context(
    app: Flask, ended: list[Any]
) -> None:
    ctx = app.app_context()

    def push_and_pop() -> None:
        copy_context().run(ctx.push)
        _cv_app.set(ctx)
        ctx.pop()
        assert not has_app_context()

    copy_context().run(push_and_pop)
    assert ended == [None]


def test_a_push_that_fails_leaves_nothing_active(app: Flask) -> None:
    def refuse(sender: Any) -> None:
        raise LookupError

    with signals.appcontext_pushed.connected_to(refuse, app), pytest.raises(LookupError):
        app.app_context().push()
    assert not has_app_context()


# -- on the event loop -------------------------------------------------------------------------


@pytest.mark.anyio
async def test_async_with_awaits_teardown_and_with_refuses_to(app: Flask) -> None:
    ended: list[Any] = []

    @app.teardown_appcontext
    async def wait(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        ended.append(error)

    async with app.app_context():
        assert current_app == app
    async with app.test_request_context("/1"):
        assert request.view_args == {"n": 1}
    assert ended == [None, None]
    refusal = r"wait\(\) is 'async def'.*'async with'"
    with pytest.raises(RuntimeError, match=refusal), app.app_context():
        pass
    assert not has_app_context()


def test_a_plain_with_in_a_thread_awaits_async_teardown(app: Flask) -> None:
    ended: list[str] = []

    @app.teardown_appcontext
    async def wait(_: BaseException | None) -> None:
        await asyncio.sleep(0)
        ended.append(threading.current_thread().name)

    with app.app_context():
        pass
    assert ended == ["aioflask-loop"]


@pytest.mark.anyio
async def test_tasks_have_contexts_of_their_own(app: Flask) -> None:
    async def work(n: int) -> int:
        async with app.test_request_context(f"/{n}"):
            g.n = n
            await asyncio.sleep(0)
            assert (request.view_args or {})["n"] == n
            return int(g.n)

    assert await asyncio.gather(*map(work, range(20))) == list(range(20))
    assert not has_app_context()


# -- copies ------------------------------------------------------------------------------------


def test_a_copied_function_sees_the_request_in_a_thread_with_a_g_of_its_own(app: Flask) -> None:
    seen: list[Any] = []
    with app.test_request_context("/5"):
        g.a = 1
        session["user"] = "ann"

        @copy_current_request_context
        def work(word: str) -> None:
            seen.append((word, request.path, session["user"], "a" in g))

        thread = threading.Thread(target=work, args=("word",))
        thread.start()
        thread.join()
        assert work.__name__ == "work" and g.a == 1
    assert seen == [("word", "/5", "ann", False)]


@pytest.mark.anyio
async def test_a_copied_coroutine_function_sees_the_request_in_a_task(app: Flask) -> None:
    @app.get("/copy")
    async def copying() -> str:
        @copy_current_request_context
        async def work() -> str:
            await asyncio.sleep(0)
            return f"{request.path} {current_app.name}"

        return await asyncio.create_task(work(), context=copy_context())

    async with app.async_client() as client:
        assert (await client.get("/copy")).text == "/copy ctx_test"


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_after_this_request_changes_the_response_of_this_one_alone(app: Flask, colour: str) -> None:
    def add(response: Any) -> Any:
        response.headers["X-After"] = request.path
        return response

    async def add_async(response: Any) -> Any:
        return add(response)

    @app.get("/after")
    def after() -> str:
        after_this_request(add if colour == "def" else add_async)
        return ""

    client = app.test_client()
    assert client.get("/after").headers["X-After"] == "/after"
    assert "X-After" not in client.get("/1").headers


# -- the session -------------------------------------------------------------------------------


def test_the_session_opens_at_its_first_use(app: Flask) -> None:
    with app.test_request_context("/1") as ctx:
        assert ctx._session_if_open is None
        inner: Any = ctx._session
        assert not inner.accessed
        assert ctx.session is inner and inner.accessed


def test_a_session_that_is_given_is_used(app: Flask) -> None:
    given: Any = app.session_interface.make_null_session(app)
    made = app.test_request_context("/1")
    ctx = RequestContext(app, made.request.environ, session=given)
    assert ctx.session is given and ctx.copy().session is given


def test_a_servers_requests_are_not_made_by_request_context() -> None:
    class Own(Flask):
        made = 0

        def request_context(self, environ: Any) -> RequestContext:
            self.made += 1
            return super().request_context(environ)

    app = Own("own", static_folder=None)
    app.add_url_rule("/", "view", lambda: "ok")
    assert app.test_client().get("/").text == "ok"
    assert app.made == 0
    with app.test_request_context("/"):
        assert app.made == 1
