"""Contexts: `request`, `g` and `session` in tasks, threads, streams and blocks, and their end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from werkzeug.test import create_environ

import aioflask
from aioflask import (
    Flask,
    Response,
    after_this_request,
    copy_current_request_context,
    current_app,
    flash,
    g,
    get_flashed_messages,
    has_app_context,
    has_request_context,
    jsonify,
    render_template_string,
    request,
    session,
    stream_with_context,
    url_for,
)
from aioflask.concurrency import async_to_sync, run_sync
from aioflask.environ import scope_from_environ
from aioflask.sessions import SecureCookieSession, SessionInterface
from tests.flow.doors import COLOURS, Answer, Flow, ask

var: ContextVar[str] = ContextVar("var", default="unset")


@pytest.fixture
def app() -> Flask:
    app = Flask("contexts_test", static_folder=None)
    app.secret_key = "contexts"
    return app


# --- beside the request ------------------------------------------------------------------------


def test_a_thread_sees_a_copied_request(flow: Flow) -> None:
    """With the request and the session of the original, and a `g` of its own."""

    def view() -> dict[str, Any]:
        session["user"] = "ann"
        g.mine = 1

        @copy_current_request_context
        def work(extra: str) -> list[Any]:
            return [request.path, session["user"], "mine" in g, current_app.name, extra]

        with ThreadPoolExecutor(1) as threads:
            seen = threads.submit(work, "x").result()
        return {"seen": seen, "mine": g.mine}

    flow.route("/here")(view)
    got = flow.get("/here").json
    assert got == {"seen": ["/here", "ann", False, flow.app.name, "x"], "mine": 1}


def test_a_copy_outlives_its_request(flow: Flow) -> None:
    work: list[Any] = []
    torn: list[str] = []
    flow.app.teardown_request(lambda error: torn.append(request.path))

    def view() -> str:
        def path() -> str:
            return request.path

        work.append(copy_current_request_context(path))
        return "ok"

    flow.route("/first")(view)
    flow.get("/first")
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(work[0]).result() == "/first"
    assert torn == ["/first", "/first"]  # As in Flask: a copy's end is an end.


def test_a_thread_without_a_copy_sees_no_request(flow: Flow) -> None:
    def view() -> str:
        with ThreadPoolExecutor(1) as threads:
            return str(threads.submit(has_request_context).result())

    flow.route("/")(view)
    assert flow.get().text == "False"


@pytest.mark.parametrize("copied", [True, False])
def test_tasks_of_an_async_view_see_its_request(flow: Flow, copied: bool) -> None:
    """With a copy or without: as in Flask 3.1, a context inside another one shares its `g`."""

    async def view() -> dict[str, Any]:
        g.mine = 1
        seen: list[Any] = []

        async def work() -> None:
            await anyio.sleep(0)
            seen.append([request.path, g.get("mine")])

        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(copy_current_request_context(work) if copied else work)
        return {"seen": seen}

    flow.app.add_url_rule("/here", "view", view)
    assert flow.get("/here").json == {"seen": [["/here", 1]] * 2}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_copied_function_keeps_its_colour_and_name(flow: Flow, colour: str) -> None:
    def view() -> str:
        def work() -> None:
            """Its text."""

        copy = copy_current_request_context(flow.paint(work, colour))
        return f"{aioflask.concurrency.iscoroutinefunction(copy)} {copy.__name__} {copy.__doc__}"

    flow.route("/")(view)
    assert flow.get().text == f"{colour == 'async'} work Its text."


# --- across the two sides ----------------------------------------------------------------------


def test_run_sync_carries_everything_over_and_back(flow: Flow) -> None:
    async def view() -> dict[str, Any]:
        g.a, session["b"] = 1, 2
        var.set("from the loop")

        def work(extra: int, *, more: int) -> list[Any]:
            seen = [request.path, g.a, session["b"], var.get(), extra, more]
            var.set("from the thread")
            g.back = "g too"
            return seen

        loop_thread = threading.get_ident()
        seen = await run_sync(work, 3, more=4)
        assert await run_sync(threading.get_ident) != loop_thread
        return {"seen": seen, "back": [var.get(), g.back]}

    flow.app.add_url_rule("/here", "view", view)
    assert flow.get("/here").json == {
        "seen": ["/here", 1, 2, "from the loop", 3, 4],
        "back": ["from the thread", "g too"],
    }


def test_async_to_sync_carries_everything_over_and_back(flow: Flow) -> None:
    async def work(extra: int) -> list[Any]:
        await anyio.sleep(0)
        seen = [request.path, g.a, session["b"], var.get(), extra]
        var.set("from the loop")
        return seen

    def view() -> dict[str, Any]:
        g.a, session["b"] = 1, 2
        var.set("from the thread")
        seen = async_to_sync(work)(3)
        seen += current_app.ensure_sync(work)(4)[-1:]
        return {"seen": seen, "back": var.get()}

    flow.app.add_url_rule("/here", "view", view)
    assert flow.get("/here").json == {
        "seen": ["/here", 1, 2, "from the thread", 3, 4],
        "back": "from the loop",
    }


def test_crossings_nest_without_a_deadlock(flow: Flow) -> None:
    """Thread, loop, thread, loop, ...: with a pool of one thread as well."""

    async def up(depth: int) -> str:
        await anyio.sleep(0)
        return await run_sync(down, depth - 1) + "u" if depth else var.get()

    def down(depth: int) -> str:
        return async_to_sync(up)(depth - 1) + "d" if depth else var.get()

    def plain() -> str:
        var.set("x")
        return down(7)

    async def on_loop() -> str:
        var.set("x")
        return await up(7)

    flow.app.add_url_rule("/", "view", plain if flow.colour == "def" else on_loop)
    assert flow.get().text == ("xdududud" if flow.colour == "def" else "xududud" + "u")


def test_exceptions_cross_with_their_whole_traceback(flow: Flow) -> None:
    async def fails_on_loop() -> None:
        raise LookupError("there")

    def fails_on_thread() -> None:
        raise LookupError("there")

    def plain() -> str:
        with pytest.raises(LookupError, match="there") as caught:
            async_to_sync(fails_on_loop)()
        return caught.traceback[-1].name

    async def on_loop() -> str:
        with pytest.raises(LookupError, match="there") as caught:
            await run_sync(fails_on_thread)
        return caught.traceback[-1].name

    flow.app.add_url_rule("/", "view", plain if flow.colour == "def" else on_loop)
    assert flow.get().text == ("fails_on_loop" if flow.colour == "def" else "fails_on_thread")


def test_many_requests_at_once_mix_nothing_up(flow: Flow) -> None:
    """Sessions, `g`, ContextVars and arguments of 60 requests, with hooks of both colours."""

    def before() -> None:
        g.n, session["n"] = request.args["n"], request.args["n"]
        var.set(request.args["n"])

    def after(response: Response) -> Response:
        response.headers["X-N"] = f"{g.n} {session['n']} {var.get()} {request.args['n']}"
        return response

    def view(n: int) -> str:
        return f"{n} {g.n} {session['n']} {var.get()} {request.args['n']}"

    flow.app.before_request(flow.paint(before, "async"))
    flow.app.after_request(flow.paint(after, "def"))
    flow.app.add_url_rule("/<int:n>", "view", flow.paint(view))

    def seen(answer: Answer) -> tuple[str, str]:
        return answer.text, answer.headers["X-N"]

    async def all_at_once() -> dict[int, Answer]:
        answers: dict[int, Answer] = {}

        async def one(n: int) -> None:
            scope = scope_from_environ(create_environ(f"/{n}?n={n}"))
            del scope["aioflask.environ"]
            answers[n] = await ask(flow.app, scope, [])

        async with anyio.create_task_group() as tasks:
            for n in range(60):
                tasks.start_soon(one, n)
        return answers

    if flow.loop is None:
        with ThreadPoolExecutor(20) as threads:
            got = dict(enumerate(threads.map(lambda n: flow.get(f"/{n}?n={n}"), range(60))))
    else:
        got = flow.run(all_at_once)
    for n in range(60):
        assert seen(got[n]) == (f"{n} {n} {n} {n} {n}", f"{n} {n} {n} {n}")


# --- after this request ------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("where", ["view", "before", "handler"])
def test_after_this_request_runs_once_for_it(flow: Flow, colour: str, where: str) -> None:
    def mark(response: Response) -> Response:
        response.headers["X-Mark"] = response.headers.get("X-Mark", "") + "m"
        return response

    def hook() -> None:
        if request.args:
            after_this_request(flow.paint(mark, colour))
            after_this_request(flow.paint(mark, "def"))

    def view() -> str:
        if where == "view":
            hook()
        if where == "handler":
            raise LookupError
        return "ok"

    def handler(error: Exception) -> str:
        hook()
        return "ok"

    if where == "before":
        flow.app.before_request(flow.paint(hook))
    flow.app.register_error_handler(LookupError, flow.paint(handler))
    flow.route("/")(view)
    assert flow.get("/?q=1").headers["X-Mark"] == "mm"
    assert "X-Mark" not in flow.get("/").headers


# --- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("wrapped", ["function", "generator"])
def test_stream_with_context_decorates_functions_too(flow: Flow, colour: str, wrapped: str) -> None:
    def plain() -> Iterator[str]:
        yield request.path
        yield g.x

    async def loop() -> AsyncIterator[str]:
        yield request.path
        await anyio.sleep(0)
        yield g.x

    made: Any = plain if colour == "def" else loop

    def view() -> Any:
        g.x = "x"
        if wrapped == "function":
            return stream_with_context(made)()
        return stream_with_context(made())

    flow.route("/s")(view)
    assert flow.get("/s").text == "/sx"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_has_one_context_from_its_first_item_to_its_close(flow: Flow, colour: str) -> None:
    """Tokens hold: what is set before a `yield` is reset after it."""
    log: list[str] = []

    def plain() -> Iterator[str]:
        token = var.set("streaming")
        try:
            for _ in range(20):
                yield var.get()[0]
        finally:
            var.reset(token)
            log.append(var.get())

    async def loop() -> AsyncIterator[str]:
        token = var.set("streaming")
        try:
            for _ in range(20):
                await anyio.sleep(0)
                yield var.get()[0]
        finally:
            var.reset(token)
            log.append(var.get())

    def view() -> Any:
        var.set("view")
        return stream_with_context(plain() if colour == "def" else loop())

    flow.route("/")(view)
    assert flow.get().text == "s" * 20
    assert log == ["view"]


def test_a_stream_may_use_the_other_side(flow: Flow) -> None:
    """A plain generator awaits through `async_to_sync`, an async one runs in threads."""

    async def answer(n: int) -> str:
        await anyio.sleep(0)
        return f"{request.path}{n}"

    def plain() -> Iterator[str]:
        for n in range(3):
            yield async_to_sync(answer)(n)

    async def loop() -> AsyncIterator[str]:
        for n in range(3):
            yield await run_sync(lambda n=n: f"{request.path}{n}")  # type: ignore[misc]

    made: Any = plain if flow.colour == "def" else loop
    flow.route("/")(lambda: stream_with_context(made()))
    assert flow.get().text == "/0/1/2"


# --- blocks ------------------------------------------------------------------------------------


def test_a_request_in_an_app_context_shares_its_g(app: Flask) -> None:
    log: list[str] = []
    app.teardown_appcontext(lambda error: log.append("app"))
    app.teardown_request(lambda error: log.append("request"))
    with app.app_context():
        g.x = 1
        with app.test_request_context("/"):
            assert g.x == 1
            g.y = 2
        assert log == ["request"]
        assert g.y == 2
    assert log == ["request", "app"]


def test_a_context_pushed_around_a_server_lends_nothing(flow: Flow) -> None:
    """The requests of a program that pushes one when it starts are as far apart as any."""
    app, log = flow.app, list[Any]()
    app.teardown_appcontext(lambda error: log.append("end"))
    flow.route("/<user>")(lambda user: str(g.setdefault("user", user)))

    async def serve() -> list[str]:
        answers = []
        async with app.app_context():
            for path in ("/ann", "/ben"):
                scope = scope_from_environ(create_environ(path))
                del scope["aioflask.environ"]
                answers.append((await ask(app, scope, [])).text)
            assert log == ["end", "end"]
            assert "user" not in g
        return answers

    assert flow.run(serve) == ["ann", "ben"]


def test_an_app_context_inside_of_a_request_does_not_hide_it(flow: Flow) -> None:
    app, other = flow.app, Flask("other_app", static_folder=None)

    def view(name: str) -> Response:
        session["seen"] = 1
        g.x = 1
        seen = []
        for inner in (app, other):
            with inner.app_context():
                seen.append(
                    [
                        current_app.name,
                        "x" in g,
                        request.path,
                        session["seen"],
                        has_request_context(),
                    ]
                )
                session["seen"] += 1
                flash(f"in {inner.name}")
                after_this_request(lambda response: response)
                called = copy_current_request_context(lambda: request.path)()
                seen[-1] += [
                    called,
                    render_template_string("{{ request.path }} {{ session.seen }}"),
                ]
        with app.app_context():
            seen.append([url_for("view", name="x"), url_for("view", name="x", _external=True)])
        return jsonify(seen, session["seen"], get_flashed_messages(), g.x)

    app.add_url_rule("/<name>", "view", flow.paint(view))
    assert flow.get("/ann", base_url="http://example.org").json == [
        [
            ["flow_test", False, "/ann", 1, True, "/ann", "/ann 2"],
            ["other_app", False, "/ann", 2, True, "/ann", "/ann 3"],
            ["/x", "http://example.org/x"],
        ],
        3,
        ["in flow_test", "in other_app"],
        1,
    ]


def test_a_copied_function_writes_the_requests_session(flow: Flow) -> None:
    def view() -> str:
        def write() -> None:
            session["written"] = "in a copy"

        copied = copy_current_request_context(write)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(copied).result()
        return str(session["written"])

    flow.route("/")(view)
    answer = flow.get()
    assert answer.text == "in a copy"
    assert answer.headers["Set-Cookie"].startswith("session=")


def test_a_block_may_end_before_the_request_that_a_client_keeps(app: Flask) -> None:
    log: list[str] = []
    app.teardown_request(lambda error: log.append("request"))
    app.teardown_appcontext(lambda error: log.append("app"))
    app.add_url_rule("/<name>", "view", lambda name: g.setdefault("name", name))
    with app.test_client() as client:
        with app.app_context():
            client.get("/ann")
            client.get("/ben")
            assert (request.path, g.name) == ("/ben", "ann")  # One `g` for the whole block.
        assert (request.path, g.name) == ("/ben", "ann")
        log.clear()
    assert log == ["request"]
    assert not has_app_context()


def test_contexts_nest_and_come_back(app: Flask) -> None:
    other = Flask("other_app", static_folder=None)
    assert not has_app_context()
    with app.app_context():
        g.x = 1
        assert current_app.name == "contexts_test" and not has_request_context()
        with other.test_request_context("/other"):
            assert (current_app.name, request.path, "x" in g) == ("other_app", "/other", False)
            with app.test_request_context("/inner"):
                assert (current_app.name, request.path) == ("contexts_test", "/inner")
            assert request.path == "/other"
        assert current_app.name == "contexts_test" and g.x == 1
    assert not has_app_context()


def test_a_context_may_be_pushed_again(app: Flask) -> None:
    log: list[str] = []
    app.teardown_request(lambda error: log.append("down"))
    ctx = app.test_request_context("/")
    with ctx:
        with ctx:
            assert request.path == "/"
        assert log == [] and request.path == "/"
    assert log == ["down"]
    with ctx:
        pass
    assert log == ["down", "down"]


@pytest.mark.parametrize("make", ["app_context", "test_request_context"])
def test_teardown_gets_the_exception_of_the_block(app: Flask, make: str) -> None:
    log: list[Any] = []
    app.teardown_appcontext(log.append)
    error = LookupError()
    with pytest.raises(LookupError), getattr(app, make)():
        raise error
    with getattr(app, make)():
        pass
    assert log == [error, None]


def test_an_async_teardown_is_awaited_where_a_thread_leaves_the_block(app: Flask) -> None:
    log: list[str] = []

    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        log.append(g.x)

    app.teardown_appcontext(teardown)
    with app.app_context():
        g.x = "x"
    assert log == ["x"]


@pytest.mark.anyio
@pytest.mark.parametrize("make", ["app_context", "test_request_context"])
async def test_async_with_awaits_teardown_of_both_colours(app: Flask, make: str) -> None:
    log: list[Any] = []

    async def teardown(error: BaseException | None) -> None:
        await anyio.sleep(0)
        log.append([type(error), g.x])

    app.teardown_appcontext(teardown)
    app.teardown_appcontext(lambda error: log.append("plain"))
    async with getattr(app, make)():
        g.x = 1

    async def fail() -> None:
        async with getattr(app, make)():
            g.x = 2
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert log == ["plain", [type(None), 1], "plain", [LookupError, 2]]
    assert not has_app_context()


@pytest.mark.anyio
async def test_with_works_on_the_loop_for_plain_teardown(app: Flask) -> None:
    log: list[str] = []
    app.teardown_appcontext(lambda error: log.append(g.x))
    with app.test_request_context("/p"):
        g.x = request.path
    assert log == ["/p"]


@pytest.mark.anyio
async def test_contexts_of_tasks_are_apart(app: Flask) -> None:
    seen: list[Any] = []

    async def one(n: int) -> None:
        async with app.test_request_context(f"/{n}"):
            g.n = n
            for _ in range(5):
                await anyio.sleep(0)
                seen.append(request.path == f"/{n}" and g.n == n)

    async with anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(one, n)
    assert seen == [True] * 50


# --- g and session -----------------------------------------------------------------------------


def test_g_is_empty_at_each_request(flow: Flow) -> None:
    def view() -> str:
        g.count = g.get("count", 0) + 1
        return str(g.count)

    flow.route("/")(view)
    assert [flow.get().text for _ in range(3)] == ["1", "1", "1"]


def test_a_session_is_carried_by_its_cookie(flow: Flow) -> None:
    def view() -> str:
        session["count"] = session.get("count", 0) + 1
        return str(session["count"])

    flow.route("/")(view)
    first = flow.get()
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    assert first.headers["Vary"] == "Cookie"
    assert flow.get(headers={"Cookie": cookie}).text == "2"
    assert flow.get(headers={"Cookie": cookie[:-2]}).text == "1"


@pytest.mark.parametrize("hooks", COLOURS)
def test_a_session_is_the_same_in_hooks_and_view(flow: Flow, hooks: str) -> None:
    def before() -> None:
        session["log"] = ["before"]

    def after(response: Response) -> Response:
        session["log"] = [*session["log"], "after"]
        return response

    def view() -> Any:
        if request.args:
            session["log"] = [*session["log"], "view"]
        return session["log"]

    flow.app.before_request(flow.paint(before, hooks))
    flow.app.after_request(flow.paint(after, hooks))
    flow.route("/")(view)
    answer = flow.get("/?q=1")
    assert answer.json == ["before", "view"]
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    flow.app.before_request_funcs.clear()
    assert flow.get(headers={"Cookie": cookie}).json == ["before", "view", "after"]


@pytest.mark.parametrize("interface_colour", COLOURS)
def test_a_foreign_session_interface_is_opened_before_and_saved_after(
    flow: Flow, interface_colour: str
) -> None:
    log: list[str] = []

    class Plain(SessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            log.append(f"open {request.path}")
            return SecureCookieSession({"n": 1})

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            log.append(f"save {session['n']}")

    class Async(SessionInterface):
        async def open_session(self, app: Any, request: Any) -> Any:
            await anyio.sleep(0)
            return Plain.open_session(self, app, request)  # type: ignore[arg-type]

        async def save_session(self, app: Any, session: Any, response: Any) -> None:
            await anyio.sleep(0)
            Plain.save_session(self, app, session, response)  # type: ignore[arg-type]

    def view() -> str:
        session["n"] += 1
        log.append("view")
        return "ok"

    flow.app.session_interface = Plain() if interface_colour == "def" else Async()
    flow.route("/")(view)
    flow.get()
    assert log == ["open /", "view", "save 2"]


class ServerSession(SessionInterface):
    """One that asks a server, as those of databases do."""

    opened = 0

    async def open_session(self, app: Any, request: Any) -> Any:
        await anyio.sleep(0)
        self.opened += 1
        return SecureCookieSession({"user": request.path})

    async def save_session(self, app: Any, session: Any, response: Any) -> None: ...


def test_an_async_session_is_opened_for_a_request_made_by_hand(app: Flask) -> None:
    app.session_interface = interface = ServerSession()
    with app.test_request_context("/ann"):
        assert session["user"] == "/ann"
        with app.test_request_context("/ben"):
            assert session["user"] == "/ben"
    assert interface.opened == 2


@pytest.mark.anyio
async def test_an_async_session_needs_async_with_on_the_loop(app: Flask) -> None:
    app.session_interface = ServerSession()
    async with app.test_request_context("/ann"):
        assert session["user"] == "/ann"
    refusal = r"open_session\(\) is 'async def'.*'async with'"
    with pytest.raises(RuntimeError, match=refusal), app.test_request_context("/"):
        pass
    assert not has_app_context()


def test_a_session_that_could_not_be_opened_is_not_opened_again(flow: Flow) -> None:
    calls: list[str] = []

    class Broken(ServerSession):
        async def open_session(self, app: Any, request: Any) -> Any:
            calls.append("open")
            raise LookupError("no server")

        async def save_session(self, app: Any, session: Any, response: Any) -> None:
            calls.append("save")

    flow.app.session_interface = Broken()
    flow.returning(lambda: "never")
    assert flow.get().status == 500
    assert calls == ["open"]
