"""What is done when a server starts and ends, on asyncio and trio; and under a real uvicorn."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aioflask import Blueprint, Flask, current_app, g, request
from aioflask.concurrency import async_to_sync
from aioflask.exchange import Lifespan
from tests.live import Server

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app() -> Flask:
    return Flask("lifespan_test", static_folder=None)


async def test_functions_run_in_order_and_are_undone_in_reverse(app: Flask) -> None:
    calls: list[str] = []
    blueprint = Blueprint("part", "lifespan_test")

    @app.before_serving
    async def first() -> None:
        calls.append("first")

    @app.while_serving
    async def second() -> AsyncIterator[None]:
        calls.append("second")
        yield
        calls.append("second ends")

    @blueprint.while_serving
    def third() -> Iterator[None]:
        calls.append("third")
        yield
        calls.append("third ends")

    @blueprint.after_serving
    def fourth() -> None:
        calls.append("fourth")

    app.register_blueprint(blueprint)
    app.register_blueprint(blueprint, name="again", url_prefix="/again")

    @app.after_serving
    async def last() -> None:
        calls.append("last")

    @app.get("/")
    async def index() -> str:
        calls.append("request")
        return ""

    async with app.async_client() as client:
        await client.get("/")
    assert calls == "first,second,third,request,last,fourth,third ends,second ends".split(",")


async def test_all_of_it_runs_in_one_context_and_a_generator_on_one_thread(app: Flask) -> None:
    ends: list[Any] = []

    @app.before_serving
    def connect() -> None:
        g.name = current_app.name

    @app.while_serving
    def database() -> Iterator[dict[str, Any]]:
        connection = sqlite3.connect(":memory:")  # Refuses another thread.
        yield {"thread": threading.get_ident()}
        connection.close()
        ends.append((g.name, threading.get_ident()))

    @app.teardown_appcontext
    def tear_down(error: BaseException | None) -> None:
        ends.append(error)

    @app.get("/")
    async def index() -> Any:
        return {"thread": request.state.thread, "g": g.get("name")}

    async with app.async_client() as client:
        answer = (await client.get("/")).json()
        assert answer["g"] is None
        ends.clear()
    assert ends == [("lifespan_test", answer["thread"]), None]


async def test_a_generator_may_hold_a_task_group(app: Flask) -> None:
    ticks: list[int] = []

    @app.while_serving
    async def group() -> AsyncIterator[None]:
        async def tick() -> None:
            while True:
                ticks.append(1)
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            yield
            tasks.cancel_scope.cancel()

    async with app.async_client():
        await anyio.sleep(0.01)
    assert ticks


variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_context_variables_that_were_set_are_seen_in_requests_and_not_after(
    app: Flask,
) -> None:
    @app.before_serving
    async def set_it() -> None:
        variable.set("async")

    @app.before_serving
    def add_to_it() -> None:
        variable.set(variable.get() + " and plain")

    @app.get("/")
    async def index() -> str:
        return variable.get()

    @app.get("/plain")
    def plain() -> str:
        return variable.get()

    async with app.async_client() as client:
        assert (await client.get("/")).text == "async and plain"
        assert (await client.get("/plain")).text == "async and plain"
    async with Flask("other", static_folder=None).async_client():
        assert variable.get() == "unset"


async def test_a_start_up_that_fails_is_told_and_what_was_begun_is_undone(app: Flask) -> None:
    calls: list[str] = []

    @app.while_serving
    async def before() -> AsyncIterator[None]:
        yield
        calls.append("undone")

    @app.before_serving
    async def broken() -> None:
        raise LookupError("no database")

    @app.while_serving
    async def never() -> AsyncIterator[None]:
        calls.append("never")
        yield

    with pytest.raises(RuntimeError, match=r"(?s)startup failed.*in broken.*no database"):
        async with app.async_client():
            pass
    assert calls == ["undone"]


async def test_every_end_runs_and_the_failures_are_told(app: Flask) -> None:
    calls: list[str] = []

    @app.after_serving
    async def runs_all_the_same() -> None:
        calls.append("ran")

    @app.after_serving
    def broken() -> None:
        raise LookupError("cannot close")

    with pytest.raises(RuntimeError, match=r"(?s)shutdown failed.*cannot close"):
        async with app.async_client():
            pass
    assert calls == ["ran"]


@pytest.mark.parametrize("colour", ["def", "async"])
async def test_a_start_up_that_hangs_is_given_up(app: Flask, colour: str) -> None:
    app.config["STARTUP_TIMEOUT"] = 0.1

    async def hangs() -> None:
        await anyio.sleep(20)

    def blocks() -> None:
        time.sleep(0.5)

    app.before_serving(blocks if colour == "def" else hangs)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"0\.1 s, the time of STARTUP_TIMEOUT.*before_serving"):
        async with app.async_client():
            pass
    assert time.monotonic() - start < 5
    await anyio.sleep(0.5 if colour == "def" else 0)  # The thread ends.


async def test_an_end_that_hangs_is_given_up(app: Flask) -> None:
    app.config["SHUTDOWN_TIMEOUT"] = 0.1

    @app.after_serving
    async def hangs() -> None:
        await anyio.sleep(20)

    with pytest.raises(RuntimeError, match=r"SHUTDOWN_TIMEOUT.*after_serving function .*hangs"):
        async with app.async_client():
            pass


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ("twice", "twice.. yields twice"),
        ("nothing", "nothing.. ended without a yield"),
        ("other", r"yields 3. It yields nothing, or a dict"),
    ],
)
async def test_a_generator_that_does_something_else_says_so(
    app: Flask, generator: str, message: str
) -> None:
    async def twice() -> AsyncIterator[None]:
        yield
        yield

    async def nothing() -> AsyncIterator[None]:
        for _ in ():
            yield

    async def other() -> AsyncIterator[int]:
        yield 3

    app.while_serving({"twice": twice, "nothing": nothing, "other": other}[generator])
    with pytest.raises(RuntimeError, match=message):
        async with app.async_client():
            pass


async def test_a_generator_that_is_no_while_serving_function_says_so(app: Flask) -> None:
    @app.before_serving
    async def pool() -> AsyncIterator[None]:
        yield

    with pytest.raises(RuntimeError, match=r"has a yield. Register it with while_serving"):
        async with app.async_client():
            pass


def test_a_function_without_a_yield_is_refused(app: Flask) -> None:
    with pytest.raises(TypeError, match="no generator function"):

        @app.while_serving
        async def connect() -> None: ...


async def test_a_state_that_nobody_gave_says_where_it_comes_from(app: Flask) -> None:
    @app.get("/")
    async def index() -> Any:
        return request.state.pool

    app.testing = True
    client = app.async_client()
    with pytest.raises(AttributeError, match=r"request\.state has no 'pool'"):
        await client.get("/")


async def test_mounted_applications_get_their_lifespan_and_their_state(app: Flask) -> None:
    calls: list[Any] = []
    inner = Flask("inner", static_folder=None)

    @inner.while_serving
    async def of_inner() -> AsyncIterator[dict[str, Any]]:
        calls.append("inner starts")
        yield {"name": "inner"}
        calls.append("inner ends")

    @app.while_serving
    async def of_outer() -> AsyncIterator[dict[str, Any]]:
        calls.append("outer starts")
        yield {"name": "outer"}
        calls.append("outer ends")

    @inner.get("/")
    async def index() -> str:
        return str(request.state.name)

    async def knows_none(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] != "lifespan"

    app.mount("/inner", inner)
    app.mount("/none", knows_none)
    app.mount("/without", inner, lifespan=False)
    async with app.async_client() as client:
        assert (await client.get("/inner/")).text == "inner"
        assert calls == ["outer starts", "inner starts"]
    assert calls[2:] == ["inner ends", "outer ends"]


async def test_a_mounted_start_up_that_fails_fails_ours(app: Flask) -> None:
    inner = Flask("inner", static_folder=None)

    @inner.before_serving
    def broken() -> None:
        raise LookupError("inner's database")

    app.mount("/inner", inner)
    with pytest.raises(RuntimeError, match="inner's database"):
        async with app.async_client():
            pass


async def test_the_shutdown_event_wakes_those_who_wait(app: Flask) -> None:
    woken: list[str] = []

    async def wait(name: str) -> None:
        await app.shutdown_event.wait()
        woken.append(name)

    async with anyio.create_task_group() as tasks:
        async with app.async_client():
            assert not app.shutdown_event.is_set()
            tasks.start_soon(wait, "first")
            tasks.start_soon(wait, "second")
            with anyio.move_on_after(0.01):
                await app.shutdown_event.wait()
        assert app.shutdown_event.is_set()
    assert sorted(woken) == ["first", "second"]
    async with app.async_client():
        assert not app.shutdown_event.is_set()


def test_requests_know_the_loop_that_serves_them_also_if_it_is_not_the_lifespans(
    app: Flask,
) -> None:
    async def running_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @app.get("/")
    async def view() -> dict[str, bool]:
        # A thread of the view's own has nothing but the request to know the loop by.
        known = await asyncio.to_thread(async_to_sync(running_loop))
        return {"known": known is asyncio.get_running_loop()}

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/")).json() == {"known": True}

    async def start() -> None:
        tasks.append(asyncio.create_task(lifespan.run()))
        await lifespan.start()
        await ask()

    lifespan, tasks = Lifespan(app), list[Any]()
    with asyncio.Runner() as serving:
        serving.run(start())
        with asyncio.Runner() as another:  # On the same thread, while the first one stands still.
            another.run(ask())
        thread = threading.Thread(target=lambda: tasks.append(asyncio.run(ask())))
        thread.start()
        thread.join()
        assert tasks[1:] == [None]
        serving.run(ask())
        serving.run(lifespan.stop())
        serving.run(ask())


async def test_a_server_that_goes_without_a_word_leaves_no_task(app: Flask) -> None:
    ended: list[str] = []

    @app.while_serving
    async def group() -> AsyncIterator[None]:
        yield
        ended.append("ended")

    run = Lifespan(app)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.run)
        await run.start()
        tasks.cancel_scope.cancel()
    await anyio.sleep(0.01)
    assert ended == ["ended"]


# --- under a real server --------------------------------------------------------------------------

SERVED = """
import sys, asyncio
from pathlib import Path
from aioflask import Flask, request

app = Flask(__name__)

@app.while_serving
async def log():
    with Path("log").open("a") as file:
        yield {"file": file}
        file.write("closed ")

@app.get("/")
async def index():
    return "state" if not request.state.file.closed else "none"

@app.get("/wait")
async def wait():
    await app.shutdown_event.wait()
    await asyncio.sleep(0.2)
    return "finished"
"""


def serve(folder: Path, code: str) -> Server:
    (folder / "served.py").write_text(code)
    return Server(folder, "-m", "uvicorn", "served:app", "--port", "0")


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_under_uvicorn_requests_in_flight_finish_once_the_event_is_set(
    tmp_path: Path, anyio_backend: str
) -> None:
    server = serve(tmp_path, SERVED)
    try:
        server.until(lambda: server.get("/") == (200, "state"))
        answers: list[tuple[int, str]] = []
        thread = threading.Thread(target=lambda: answers.append(server.get("/wait")))
        thread.start()
        time.sleep(0.3)
        start = time.monotonic()
        server.stop()
        thread.join(5)
        assert answers == [(200, "finished")]
        assert time.monotonic() - start < 5
    finally:
        server.stop()
    assert (tmp_path / "log").read_text() == "closed "


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_under_uvicorn_a_failing_start_up_ends_the_server_with_its_traceback(
    tmp_path: Path, anyio_backend: str
) -> None:
    broken = "\n@app.before_serving\ndef connect():\n    raise LookupError('no database')\n"
    server = serve(tmp_path, SERVED + broken)
    try:
        assert server.ends() == 3
        assert "in connect" in server.output
        assert server.output.count("LookupError: no database") == 1
    finally:
        server.stop()
    assert (tmp_path / "log").read_text() == "closed "
