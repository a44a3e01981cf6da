"""The bridge between plain functions and the event loop: pool, lanes, crossings, streams."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import threading
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
import werkzeug.test

from aioflask import (
    Flask,
    concurrency,
    current_app,
    g,
    nonblocking,
    request,
    run_sync,
    stream_with_context,
)
from aioflask.concurrency import (
    LoopThread,
    PoolFull,
    async_to_sync,
    background_loop,
    complete,
    iscoroutinefunction,
    pool_of,
)
from aioflask.ctx import copy_current_request_context
from aioflask.streams import BUFFER

pytestmark = pytest.mark.anyio
variable: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.fixture(params=["asyncio", "trio"], scope="module")
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


asyncio_only = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)


@pytest.fixture
def app() -> Flask:
    app = Flask("concurrency", static_folder=None)
    app.config.update(WORKER_THREADS=2, WORKER_QUEUE=10, SECRET_KEY="not a secret")
    return app


@pytest.fixture
def app_of_one(app: Flask) -> Flask:
    app.config["WORKER_THREADS"] = 1
    return app


class Exchange:
    """One request by the ASGI door, from a client that may be slow and may be cancelled."""

    def __init__(
        self, app: Flask, path: str = "/", method: str = "GET", slow: bool = False
    ) -> None:
        self.app, self.path, self.method = app, path, method
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.begun, self.ready = anyio.Event(), anyio.Event()
        if not slow:
            self.ready.set()
        self.scope = anyio.CancelScope()
        self.task: asyncio.Task[Any] | None = None

    async def run(self) -> Exchange:
        """Send the request, and return when the app does or has been cancelled."""
        path = self.path.encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": path,
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        with self.scope:
            await self.app(scope, self._receive, self._send)
        return self

    async def run_as_task(self) -> None:
        """As :meth:`run`, in an asyncio task, to be cancelled once and not again."""
        self.task = asyncio.create_task(self.run())
        with pytest.raises(asyncio.CancelledError):
            await self.task

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()
        else:
            self.scope.cancel()

    @property
    def text(self) -> str:
        return b"".join(self.pieces).decode()

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        await anyio.sleep(0)
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        self.pieces.append(message["body"])
        self.begun.set()
        await self.ready.wait()


async def ask(app: Flask, path: str = "/", method: str = "GET") -> Exchange:
    return await Exchange(app, path, method).run()


async def until(check: Callable[[], Any]) -> None:
    """Wait for something that a thread is about to do."""
    with anyio.fail_after(5):
        while not check():
            await anyio.sleep(0.001)


async def cancelled_when(app: Flask, way: str, check: Callable[[], Any], path: str = "/") -> None:
    """Send a request, cancel it as soon as ``check()`` holds, and see it end."""
    exchange = Exchange(app, path)
    async with anyio.create_task_group() as group:
        group.start_soon(exchange.run if way == "scope" else exchange.run_as_task)
        await until(check)
        exchange.cancel()


@pytest.fixture(params=["scope", "task"])
def way(request: pytest.FixtureRequest, anyio_backend: str) -> str:
    """How a request is cancelled: once, as asyncio does, or again and again, as trio does."""
    if request.param == "task" and anyio_backend == "trio":
        return "scope"
    return str(request.param)


def thread_name() -> str:
    return threading.current_thread().name


# --- colours -----------------------------------------------------------------------------------


def test_the_colour_of_any_callable_is_known() -> None:
    class Both:
        async def method(self) -> None: ...

        async def __call__(self) -> None: ...

        def plain(self) -> None: ...

    async def function(a: int = 0) -> None: ...

    def wrapper() -> None: ...

    wrapper.__wrapped__ = function  # type: ignore[attr-defined]
    coloured = [function, partial(function, 1), partial(partial(function), 1), Both().method]
    assert all(iscoroutinefunction(each) for each in [*coloured, Both(), partial(Both())])
    assert not any(iscoroutinefunction(each) for each in [wrapper, Both, Both().plain, print, 1])


async def test_a_plain_view_runs_on_a_worker_and_an_async_one_on_the_loop(app: Flask) -> None:
    @app.get("/plain")
    def plain() -> str:
        return thread_name()

    @app.get("/async")
    async def on_the_loop() -> str:
        return thread_name()

    @app.get("/nonblocking")
    @nonblocking
    def quick() -> str:
        return thread_name()

    assert (await ask(app, "/plain")).text.startswith("aioflask-worker")
    assert (await ask(app, "/async")).text == thread_name()
    assert (await ask(app, "/nonblocking")).text == thread_name()


async def test_all_plain_steps_of_a_plain_request_share_one_thread(app: Flask) -> None:
    names: list[str] = []

    def note(*args: Any) -> None:
        names.append(thread_name())

    app.before_request(note)
    app.teardown_request(note)
    app.teardown_appcontext(note)

    @app.after_request
    def after(response: Any) -> Any:
        note()
        return response

    @app.get("/")
    def view() -> str:
        note()
        raise LookupError

    @app.errorhandler(LookupError)
    def handler(error: LookupError) -> str:
        note()
        return "handled"

    assert (await ask(app)).text == "handled"
    assert len(names) == 6 and set(names) == {"aioflask-worker-0"}


# --- the pool ----------------------------------------------------------------------------------


class Doors:
    """Views that wait until they are let out, and who is in there."""

    def __init__(self, app: Flask) -> None:
        self.open = threading.Event()
        self.inside: list[str] = []
        app.add_url_rule("/wait", "wait", self.wait)

    def wait(self) -> str:
        self.inside.append(thread_name())
        assert self.open.wait(10)
        return "out"


async def test_threads_and_queue_are_bounded_and_gauged(app: Flask) -> None:
    app.config["WORKER_QUEUE"] = 3
    doors = Doors(app)
    exchanges = [Exchange(app, "/wait") for _ in range(5)]
    pool = pool_of(app)
    assert (pool.busy, pool.queued) == (0, 0)
    async with anyio.create_task_group() as group:
        for exchange in exchanges:
            group.start_soon(exchange.run)
        await until(lambda: len(doors.inside) == 2 and pool.queued == 3)
        assert (pool.busy, pool.queued) == (2, 3)
        full = await ask(app, "/wait")
        doors.open.set()
    assert full.status == 503 and full.headers[b"retry-after"] == b"1"
    assert [exchange.text for exchange in exchanges] == ["out"] * 5
    assert set(doors.inside) == {"aioflask-worker-0", "aioflask-worker-1"}
    await until(lambda: pool.busy == pool.queued == 0)


@pytest.mark.parametrize("colour", ["plain", "async", "nonblocking"])
async def test_a_full_pool_is_answered_through_the_errorhandler(app: Flask, colour: str) -> None:
    app.config.update(WORKER_THREADS=1, WORKER_QUEUE=0)
    doors = Doors(app)

    def handler(error: PoolFull) -> tuple[dict[str, Any], int]:
        return {"busy": request.path, "in": error.retry_after}, 503

    async def async_handler(error: PoolFull) -> tuple[dict[str, Any], int]:
        return handler(error)

    if colour == "nonblocking":
        nonblocking(handler)
    app.register_error_handler(503, async_handler if colour == "async" else handler)
    async with anyio.create_task_group() as group:
        group.start_soon(ask, app, "/wait")
        await until(lambda: doors.inside)
        full = await ask(app, "/wait")
        doors.open.set()
    assert full.status == 503
    assert full.text == '{"busy":"/wait","in":1}\n'


async def test_a_full_pool_says_so_in_the_log(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    app.config.update(WORKER_THREADS=1, WORKER_QUEUE=0)
    doors = Doors(app)
    async with anyio.create_task_group() as group:
        group.start_soon(ask, app, "/wait")
        await until(lambda: doors.inside)
        await ask(app, "/wait")
        doors.open.set()
    assert "All 1 worker threads are busy" in caplog.text
    assert "WORKER_THREADS" in caplog.text


async def test_the_loop_is_free_while_every_worker_is_busy(app_of_one: Flask) -> None:
    doors = Doors(app_of_one)
    app_of_one.before_request(lambda: None)

    @app_of_one.get("/async")
    async def view() -> str:
        return "here"

    async with anyio.create_task_group() as group:
        group.start_soon(ask, app_of_one, "/wait")
        await until(lambda: doors.inside)
        assert (await ask(app_of_one, "/async")).text == "here"
        doors.open.set()


def threads_of(prefix: str, since: set[threading.Thread]) -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t not in since and t.name.startswith(prefix)]


def end_of(threads: list[threading.Thread]) -> bool:
    gc.collect()
    for thread in threads:
        thread.join(5)
    return not any(thread.is_alive() for thread in threads)


def serve_once(app: Flask, backend: str) -> None:
    async def main() -> None:
        assert (await ask(app)).text == "here"

    anyio.run(main, backend=backend)


def app_with_every_thread() -> Flask:
    app = Flask("threads", static_folder=None)

    @app.get("/")
    def view() -> Iterator[str]:
        yield "here"

    return app


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_threads_end_with_their_app(backend: str) -> None:
    before = set(threading.enumerate())
    app = app_with_every_thread()
    serve_once(app, backend)
    threads = threads_of("aioflask-", before)
    assert {thread.name for thread in threads} == {"aioflask-worker-0", "aioflask-stream-0"}
    del app
    gc.collect()
    serve_once(app_with_every_thread(), backend)  # Its first pool ends what was left.
    assert end_of(threads)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_threads_of_a_loop_that_has_ended_go_when_another_one_serves(backend: str) -> None:
    before = set(threading.enumerate())
    app = app_with_every_thread()
    serve_once(app, backend)
    first = threads_of("aioflask-", before)
    serve_once(app, backend)
    assert end_of(first)
    assert len(threads_of("aioflask-", before)) == len(first) == 2


async def test_a_signal_does_not_end_a_worker(app_of_one: Flask) -> None:
    app_of_one.add_url_rule("/", "name", thread_name)
    before = set(threading.enumerate())
    assert (await ask(app_of_one)).text == "aioflask-worker-0"
    [worker] = threads_of("aioflask-worker", before)
    assert worker.ident is not None
    previous = signal.signal(signal.SIGUSR1, lambda *args: None)
    try:
        signal.pthread_kill(worker.ident, signal.SIGUSR1)
        await anyio.sleep(0.02)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert worker.is_alive()
    assert (await ask(app_of_one)).text == "aioflask-worker-0"


# --- run_sync ----------------------------------------------------------------------------------


async def test_run_sync_runs_on_a_worker_with_the_request(app: Flask) -> None:
    def blocking(word: str, *, end: str) -> str:
        g.seen = thread_name()
        variable.set("from the worker")
        return request.path + word + end

    @app.get("/path")
    async def view() -> list[str]:
        variable.set("from the view")
        value = await run_sync(blocking, "!", end="?")
        return [value, g.seen, variable.get()]

    async with app.async_client() as client:
        value, name, back = (await client.get("/path")).json()
    assert value == "/path!?"
    assert name.startswith("aioflask-worker")
    assert back == "from the worker"


async def test_run_sync_works_without_an_app() -> None:
    def blocking() -> tuple[str, str]:
        seen = variable.get()
        variable.set("from the thread")
        return seen, thread_name()

    variable.set("before")
    seen, name = await run_sync(blocking)
    assert seen == "before" and name != thread_name()
    assert variable.get() == "from the thread"


async def test_run_sync_raises_what_the_function_raises(app: Flask) -> None:
    def blocking() -> None:
        variable.set("set, then failed")
        raise LookupError("from the thread")

    async with app.app_context():
        with pytest.raises(LookupError, match="from the thread") as caught:
            await run_sync(blocking)
    assert "blocking" in [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert variable.get() == "set, then failed"


async def test_run_sync_on_a_full_pool_is_a_503(app: Flask) -> None:
    app.config.update(WORKER_THREADS=1, WORKER_QUEUE=0)
    doors = Doors(app)

    @app.get("/async")
    async def view() -> str:
        return await run_sync(thread_name)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, app, "/wait")
        await until(lambda: doors.inside)
        full = await ask(app, "/async")
        doors.open.set()
    assert full.status == 503 and full.headers[b"retry-after"] == b"1"


async def test_run_sync_calls_go_side_by_side(app: Flask) -> None:
    barrier = threading.Barrier(2)

    async with app.app_context(), anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(run_sync, barrier.wait, 5)


# --- context variables -------------------------------------------------------------------------


def hooks_that_set_and_reset(app: Flask, colour: str, seen: list[str]) -> None:
    def before() -> None:
        g.token = variable.set("set in the hook")

    def teardown(exc: BaseException | None) -> None:
        seen.append(variable.get())
        variable.reset(g.token)  # Refused in any other Context.

    async def async_before() -> None:
        before()
        await anyio.sleep(0)

    async def async_teardown(exc: BaseException | None) -> None:
        await anyio.sleep(0)
        teardown(exc)

    app.before_request(async_before if colour == "async" else before)
    app.teardown_request(async_teardown if colour == "async" else teardown)


@pytest.mark.parametrize("hooks", ["plain", "async"])
@pytest.mark.parametrize("view", ["plain", "async"])
async def test_a_context_variable_and_its_token_hold_in_every_step(
    app: Flask, hooks: str, view: str
) -> None:
    seen: list[str] = []
    hooks_that_set_and_reset(app, hooks, seen)

    def plain_view() -> str:
        found = variable.get()
        variable.set("set in the view")
        return found

    async def async_view() -> str:
        await anyio.sleep(0)
        return plain_view()

    app.add_url_rule("/", "view", async_view if view == "async" else plain_view)
    assert (await ask(app)).text == "set in the hook"
    assert seen == ["set in the view"]
    assert variable.get() == "unset"


async def test_changes_of_ensure_sync_and_run_sync_come_back(app: Flask) -> None:
    seen: list[str] = []

    def innermost() -> None:
        seen.append(variable.get())
        variable.set("innermost")

    async def inner() -> None:
        seen.append(variable.get())
        variable.set("inner")
        await run_sync(innermost)
        seen.append(variable.get())
        variable.set("inner again")

    @app.get("/")
    def view() -> str:
        variable.set("view")
        app.ensure_sync(inner)()
        return variable.get()

    assert (await ask(app)).text == "inner again"
    assert seen == ["view", "inner", "innermost"]


async def test_requests_side_by_side_do_not_see_each_others_variables(app: Flask) -> None:
    seen: list[str] = []
    hooks_that_set_and_reset(app, "plain", [])

    @app.get("/<name>")
    async def view(name: str) -> str:
        seen.append(variable.get())
        variable.set(name)
        await anyio.sleep(0.01)
        return variable.get()

    exchanges = [Exchange(app, f"/{number}") for number in range(10)]
    async with anyio.create_task_group() as group:
        for exchange in exchanges:
            group.start_soon(exchange.run)
    assert [exchange.text for exchange in exchanges] == [str(number) for number in range(10)]
    assert seen == ["set in the hook"] * 10


# --- tracebacks --------------------------------------------------------------------------------


async def test_the_traceback_of_a_plain_view_is_whole(app: Flask) -> None:
    def fails() -> None:
        raise LookupError("deep down")

    async def awaited_in_between() -> None:
        await anyio.sleep(0)
        await run_sync(fails)

    @app.get("/")
    def the_view() -> str:
        app.ensure_sync(awaited_in_between)()
        return "not reached"

    app.testing = True
    with pytest.raises(LookupError, match="deep down") as caught:
        await ask(app)
    frames = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    ours = [name for name in frames if name in ("the_view", "awaited_in_between", "fails")]
    assert ours == ["the_view", "awaited_in_between", "fails"]
    assert frames.index("asgi_app") < frames.index("the_view")


async def test_the_traceback_of_a_plain_hook_of_an_async_view_is_whole(app: Flask) -> None:
    async def fails() -> None:
        await anyio.sleep(0)
        raise LookupError("deep down")

    @app.before_request
    def the_hook() -> None:
        app.ensure_sync(fails)()

    @app.get("/")
    async def view() -> str:
        return "not reached"

    app.testing = True
    with pytest.raises(LookupError, match="deep down") as caught:
        await ask(app)
    frames = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert [name for name in frames if name in ("asgi_app", "the_hook", "fails")] == [
        "asgi_app",
        "the_hook",
        "fails",
    ]


# --- cancellation ------------------------------------------------------------------------------


def teardowns(app: Flask) -> list[str]:
    """Teardown functions of both colours, in an order that changes sides; what has run."""
    ran: list[str] = []

    @app.teardown_appcontext
    async def last(exc: BaseException | None) -> None:
        await anyio.sleep(0)
        ran.append("async, of the app")

    @app.teardown_appcontext
    def third(exc: BaseException | None) -> None:
        ran.append("plain, of the app")

    @app.teardown_request
    async def second(exc: BaseException | None) -> None:
        await anyio.sleep(0)
        ran.append("async")

    @app.teardown_request
    def first(exc: BaseException | None) -> None:
        ran.append("plain")

    return ran


ALL_FOUR = ["plain", "async", "plain, of the app", "async, of the app"]


async def is_free(app: Flask) -> bool:
    """Whether every worker takes requests again."""
    await until(lambda: pool_of(app).busy == 0)
    app._got_first_request = False
    app.add_url_rule("/free", "free", lambda: "free")
    answers = [await ask(app, "/free") for _ in range(3)]
    return all(answer.text == "free" for answer in answers)


async def test_a_plain_view_that_is_cancelled_finishes_and_tears_down(
    app_of_one: Flask, way: str
) -> None:
    ran, events = teardowns(app_of_one), list[str]()

    @app_of_one.get("/")
    def view() -> str:
        events.append("begun")
        time.sleep(0.1)
        events.append("done")
        return ""

    await cancelled_when(app_of_one, way, lambda: events)
    assert events == ["begun", "done"]
    assert ran == ALL_FOUR
    assert await is_free(app_of_one)


async def test_a_plain_view_that_waits_for_the_loop_is_woken_by_its_cancellation(
    app_of_one: Flask, way: str
) -> None:
    ran, events = teardowns(app_of_one), list[str]()

    async def for_ever() -> None:
        events.append("waits")
        await anyio.sleep_forever()

    @app_of_one.get("/")
    def view() -> str:
        try:
            app_of_one.ensure_sync(for_ever)()
        finally:
            events.append(thread_name())
        return "not reached"

    await cancelled_when(app_of_one, way, lambda: events)
    assert events == ["waits", "aioflask-worker-0"]
    assert ran == ALL_FOUR
    assert await is_free(app_of_one)


async def test_an_async_view_that_is_cancelled_tears_down(app_of_one: Flask, way: str) -> None:
    ran, events = teardowns(app_of_one), list[str]()

    @app_of_one.get("/")
    async def view() -> str:
        events.append("waits")
        await anyio.sleep_forever()
        return "not reached"

    await cancelled_when(app_of_one, way, lambda: events)
    assert ran == ALL_FOUR
    assert await is_free(app_of_one)


async def test_an_async_view_without_plain_functions_tears_down_when_cancelled(
    app: Flask, way: str
) -> None:
    events: list[str] = []

    @app.teardown_request
    async def teardown(exc: BaseException | None) -> None:
        await anyio.sleep(0)
        events.append("torn down")

    @app.get("/")
    async def view() -> str:
        events.append("waits")
        await anyio.sleep_forever()
        return "not reached"

    await cancelled_when(app, way, lambda: events)
    assert events == ["waits", "torn down"]


async def test_a_cancellation_during_a_plain_hook_waits_for_it_and_tears_down(
    app_of_one: Flask, way: str
) -> None:
    ran, events = teardowns(app_of_one), list[str]()

    @app_of_one.before_request
    def slow() -> None:
        events.append("begun")
        time.sleep(0.1)
        events.append("done")

    @app_of_one.get("/")
    async def view() -> str:
        await anyio.sleep(0)  # Where trio tells.
        events.append("view")
        return ""

    await cancelled_when(app_of_one, way, lambda: events)
    assert events == ["begun", "done"]
    assert ran == ALL_FOUR


async def test_a_cancellation_during_teardown_loses_none_of_it(app_of_one: Flask, way: str) -> None:
    ran, events = teardowns(app_of_one), list[str]()

    @app_of_one.teardown_request
    def slow(exc: BaseException | None) -> None:
        events.append("begun")
        time.sleep(0.1)

    @app_of_one.get("/async")
    async def async_view() -> str:
        return ""

    @app_of_one.get("/plain")
    def plain_view() -> str:
        return ""

    for path in ("/async", "/plain"):
        await cancelled_when(app_of_one, way, lambda: events, path)
        assert ran == ALL_FOUR, path
        ran.clear()
        events.clear()
    assert await is_free(app_of_one)


async def test_a_request_that_is_cancelled_in_the_queue_leaves_nothing(
    app_of_one: Flask, way: str
) -> None:
    doors, views, ended = Doors(app_of_one), list[str](), list[str]()

    @app_of_one.get("/")
    def view() -> str:
        views.append("begun")
        return ""

    @app_of_one.teardown_request
    def teardown(exc: BaseException | None) -> None:
        ended.append(request.path)

    pool = pool_of(app_of_one)
    async with anyio.create_task_group() as group:
        group.start_soon(ask, app_of_one, "/wait")
        await until(lambda: doors.inside)
        exchange = Exchange(app_of_one)
        group.start_soon(exchange.run if way == "scope" else exchange.run_as_task)
        await until(lambda: pool.queued == 1)
        exchange.cancel()
        await anyio.sleep(0.01)
        doors.open.set()
    gc.collect()  # A coroutine that was never awaited would warn here.
    assert len(ended) == 1 + len(views)
    assert await is_free(app_of_one)


@asyncio_only
async def test_a_timeout_around_run_sync_waits_for_the_thread(app: Flask) -> None:
    done: list[str] = []

    def slow() -> None:
        time.sleep(0.1)
        done.append("done")

    async with app.app_context():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run_sync(slow), 0.02)
    assert done == ["done"]


def test_a_thread_whose_loop_has_gone_is_not_lost() -> None:
    app = Flask("gone", static_folder=None)
    begun, go, events = threading.Event(), threading.Event(), list[str]()

    async def never() -> None:
        events.append("not reached")

    @app.get("/")
    def view() -> str:
        begun.set()
        assert go.wait(5)
        try:
            app.ensure_sync(never)()
        except BaseException as error:
            events.append(type(error).__name__)
            raise
        return ""

    async def main() -> None:
        await ask(app)

    loop = asyncio.new_event_loop()
    task = loop.create_task(main())
    while not begun.is_set():
        loop.run_until_complete(asyncio.sleep(0.001))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()  # Without a word to the task, as a crashing server may.
    workers = [t for t in threading.enumerate() if t.name == "aioflask-worker-0"]
    go.set()
    deadline = time.monotonic() + 5
    while not events and time.monotonic() < deadline:
        time.sleep(0.01)
    assert events and events != ["not reached"]
    del task
    assert workers


# --- a pool of one -----------------------------------------------------------------------------


async def test_a_plain_view_may_wait_for_code_that_needs_a_worker(app_of_one: Flask) -> None:
    async def inner() -> str:
        return await run_sync(thread_name)

    @app_of_one.get("/")
    def view() -> str:
        return str(app_of_one.ensure_sync(inner)())

    assert (await ask(app_of_one)).text == "aioflask-worker-0"


async def test_crossings_may_nest_and_follow_one_another(app_of_one: Flask) -> None:
    names: list[str] = []

    def note() -> None:
        names.append(thread_name())

    def nested(depth: int) -> None:
        note()
        if depth:
            app_of_one.ensure_sync(crossing)(depth)

    async def crossing(depth: int) -> None:
        await run_sync(nested, depth - 1)
        await run_sync(note)
        await run_sync(nested, depth - 1)

    @app_of_one.get("/")
    def view() -> str:
        nested(3)
        return "out"

    assert (await ask(app_of_one)).text == "out"
    assert set(names) == {"aioflask-worker-0"}
    assert len(names) == 15 + 7


async def test_tasks_of_a_crossing_may_all_need_a_worker(app_of_one: Flask) -> None:
    async def one(numbers: list[int], number: int) -> None:
        await run_sync(numbers.append, number)

    async def several() -> list[int]:
        numbers: list[int] = []
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(one, numbers, number)
        return sorted(numbers)

    @app_of_one.get("/")
    def view() -> list[int]:
        return list(app_of_one.ensure_sync(several)())

    assert (await ask(app_of_one)).text == "[0,1,2,3,4]\n"


async def test_an_async_hook_of_a_plain_view_may_need_a_worker(app_of_one: Flask) -> None:
    @app_of_one.before_request
    async def before() -> None:
        g.before = await run_sync(thread_name)

    @app_of_one.get("/")
    def view() -> str:
        return str(g.before)

    exchanges = [Exchange(app_of_one) for _ in range(5)]
    async with anyio.create_task_group() as group:
        for exchange in exchanges:
            group.start_soon(exchange.run)
    assert [exchange.text for exchange in exchanges] == ["aioflask-worker-0"] * 5


async def test_a_plain_hook_of_an_async_view_may_cross_back_and_forth(app_of_one: Flask) -> None:
    async def inner() -> str:
        return await run_sync(thread_name)

    @app_of_one.before_request
    def before() -> None:
        g.before = app_of_one.ensure_sync(inner)()

    @app_of_one.get("/")
    async def view() -> str:
        return str(g.before)

    assert (await ask(app_of_one)).text.startswith("aioflask-lane")


async def test_two_workers_that_wait_at_once_serve_their_own_request(app: Flask) -> None:
    barrier = threading.Barrier(2)

    async def inner(first: bool) -> None:
        # The first one's crossing ends while the second one's is under way.
        await anyio.sleep(0.01 if first else 0.05)
        await run_sync(thread_name)

    def outer(first: bool) -> None:
        barrier.wait(5)
        app.ensure_sync(inner)(first)
        if first:
            barrier.wait(5)  # Keeps its thread until the second one has come through.
        else:
            barrier.wait(5)

    @app.get("/")
    async def view() -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(run_sync, outer, True)
            group.start_soon(run_sync, outer, False)
        return "out"

    assert (await ask(app)).text == "out"


# --- plain code that needs the loop ------------------------------------------------------------


async def test_complete_gives_an_awaitable_on_the_loop_and_a_value_elsewhere(app: Flask) -> None:
    async def coroutine() -> str:
        await anyio.sleep(0)
        return "value"

    async def crosses() -> str:
        return str(app.ensure_sync(coroutine)())

    assert await complete(coroutine()) == "value"
    async with app.app_context():
        assert await run_sync(lambda: complete(crosses())) == "value"


async def test_waiting_for_the_loop_on_its_own_thread_is_refused(app: Flask) -> None:
    async def load() -> None: ...

    with pytest.raises(RuntimeError, match=r"await load\(\.\.\.\)"):
        async_to_sync(load)()
    with pytest.raises(RuntimeError, match=r"await load\(\.\.\.\)"):
        app.async_to_sync(load)()
    assert app.ensure_sync(load) is load


async def test_a_thread_of_the_users_crosses_to_the_requests_own_loop(app: Flask) -> None:
    async def where() -> list[str]:
        return [thread_name(), request.path]

    @app.get("/async")
    async def async_view() -> list[str]:
        return await anyio.to_thread.run_sync(lambda: current_app.ensure_sync(where)())

    @app.get("/plain")
    def plain_view() -> list[list[str]]:
        found: list[list[str]] = []

        @copy_current_request_context
        def work() -> None:
            found.append(app.ensure_sync(where)())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(5)
        return found

    assert (await ask(app, "/async")).text == f'["{thread_name()}","/async"]\n'
    assert (await ask(app, "/plain")).text == f'[["{thread_name()}","/plain"]]\n'


async def test_a_thread_of_the_users_gets_values_errors_and_variables_back(app: Flask) -> None:
    async def answer(fails: bool) -> str:
        await anyio.sleep(0)
        variable.set("from the loop")
        if fails:
            raise LookupError("from the loop")
        return "value"

    def work() -> tuple[str, str, list[str]]:
        call = current_app.ensure_sync(answer)
        value = call(False)
        with pytest.raises(LookupError, match="from the loop") as caught:
            call(True)
        trace = traceback.extract_tb(caught.value.__traceback__)
        return value, variable.get(), [entry.name for entry in trace]

    @app.get("/")
    async def view() -> str:
        value, found, names = await anyio.to_thread.run_sync(work)
        assert names[0] == "work" and names[-1] == "answer"
        return f"{value}, {found}"

    app.testing = True
    assert (await ask(app)).text == "value, from the loop"


def test_plain_code_without_a_loop_uses_the_background_one() -> None:
    async def where(fails: bool = False) -> str:
        await asyncio.sleep(0)
        variable.set("came back")
        if fails:
            raise LookupError("on the loop")
        return thread_name()

    assert async_to_sync(where)() == "aioflask-loop"
    assert variable.get() == "came back"
    variable.set("unset")
    assert background_loop() is background_loop()
    with pytest.raises(LookupError, match="on the loop") as caught:
        background_loop().run(where(True))
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "where"


@pytest.mark.parametrize("error", [SystemExit(4), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_what_ends_a_program_ends_no_loop(error: BaseException) -> None:
    """It is raised where the coroutine was waited for, and the next one runs."""
    app = Flask(__name__)

    @app.get("/exit")
    async def leave() -> str:
        raise error

    @app.get("/")
    async def stay() -> str:
        return "still there"

    async def raises() -> None:
        raise error

    loop = background_loop()
    with pytest.raises(type(error)):
        async_to_sync(raises)()
    with pytest.raises(type(error)):
        werkzeug.test.run_wsgi_app(app, werkzeug.test.create_environ("/exit"))
    pieces, _, _ = werkzeug.test.run_wsgi_app(app, werkzeug.test.create_environ("/"))
    assert list(pieces) == [b"still there"]
    assert background_loop() is loop


def test_the_background_loop_does_not_wait_for_itself() -> None:
    async def inner() -> None: ...

    async def outer() -> None:
        background_loop().run(inner())

    with pytest.raises(RuntimeError, match="wait for itself"):
        background_loop().run(outer())


def test_a_background_loop_that_stops_cancels_what_runs_and_ends_its_thread() -> None:
    loop, events = LoopThread(), list[str]()

    async def for_ever() -> None:
        events.append("waits")
        try:
            await asyncio.sleep(3600)
        finally:
            events.append("cancelled")

    future = loop.start(for_ever())
    while not events:
        time.sleep(0.001)
    loop.stop()
    assert events == ["waits", "cancelled"]
    assert not loop.thread.is_alive()
    with pytest.raises(asyncio.CancelledError):
        future.result(1)


def test_the_plain_client_lends_its_thread_to_plain_views(app_of_one: Flask) -> None:
    async def inner() -> str:
        return await run_sync(thread_name)

    @app_of_one.get("/plain")
    def plain() -> str:
        return str(app_of_one.ensure_sync(inner)())

    @app_of_one.get("/async")
    async def on_the_loop() -> str:
        return thread_name()

    client = app_of_one.test_client()
    assert client.get("/plain").text == thread_name()
    assert client.get("/async").text == "aioflask-loop"


def test_what_hangs_on_the_tests_thread_is_there_in_a_plain_view(app: Flask) -> None:
    connection = sqlite3.connect(":memory:")  # Refuses every other thread than this one.
    connection.execute("CREATE TABLE note (text)")

    @app.post("/notes")
    def add() -> str:
        connection.execute("INSERT INTO note VALUES (?)", (request.get_json()["text"],))
        return "added"

    assert app.test_client().post("/notes", json={"text": "Emma"}).text == "added"
    assert connection.execute("SELECT text FROM note").fetchall() == [("Emma",)]
    connection.close()


def test_a_plain_view_may_use_the_plain_client_itself(app_of_one: Flask) -> None:
    @app_of_one.get("/outer")
    def outer() -> str:
        return "outer " + app_of_one.test_client().get("/inner").text

    @app_of_one.get("/inner")
    def inner() -> str:
        return "inner"

    assert app_of_one.test_client().get("/outer").text == "outer inner"


def test_the_plain_client_on_a_loops_thread_leaves_plain_views_to_the_workers(
    app_of_one: Flask,
) -> None:
    app_of_one.add_url_rule("/plain", view_func=thread_name)

    async def main() -> str:
        return app_of_one.test_client().get("/plain").text

    assert asyncio.run(main()) == "aioflask-worker-0"


def test_what_stops_the_waiting_thread_stops_the_plain_client(app: Flask) -> None:
    """As Ctrl+C does, which must not wait for the view."""
    go_on = threading.Event()
    done = threading.Event()

    @app.get("/slow")
    async def slow() -> str:
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        await anyio.to_thread.run_sync(go_on.wait)
        done.set()
        return "done"

    with pytest.raises(KeyboardInterrupt):
        app.test_client().get("/slow")
    assert not done.is_set()
    go_on.set()
    assert done.wait(10)


def test_a_signal_at_the_moment_of_waiting_is_not_lost(app: Flask) -> None:
    go_on, ended_by_itself = threading.Event(), threading.Event()

    def view_waits() -> None:
        if not go_on.wait(5):
            ended_by_itself.set()

    @app.get("/slow")
    async def slow() -> str:
        # While the thread of the test is about to wait, or waits already.
        threading.Timer(0, os.kill, [os.getpid(), signal.SIGINT]).start()
        await anyio.to_thread.run_sync(view_waits)
        return "done"

    for _ in range(200):
        go_on.clear()
        with pytest.raises(KeyboardInterrupt):
            app.test_client().get("/slow")
        assert not ended_by_itself.is_set()
        go_on.set()


@pytest.mark.parametrize("shared", [False, True])
async def test_a_view_that_becomes_async_needs_a_connection_that_threads_may_share(
    app: Flask, shared: bool
) -> None:
    """As docs/how-to/extensions.md says of a connection that a plain hook keeps on g."""
    app.testing = True

    @app.before_request
    def connect() -> None:
        g.db = sqlite3.connect(":memory:", check_same_thread=not shared)

    @app.teardown_request
    def close(error: BaseException | None) -> None:
        g.db.close()

    def count() -> str:
        return str(g.db.execute("SELECT 1").fetchone()[0])

    app.add_url_rule("/plain", view_func=count)

    @app.get("/async")
    async def converted() -> str:
        return await run_sync(count)

    async with app.async_client() as client:
        assert (await client.get("/plain")).text == "1"
        if shared:
            assert (await client.get("/async")).text == "1"
            return
        with pytest.raises(sqlite3.ProgrammingError, match="only be used in that same thread"):
            await client.get("/async")


# --- lanes -------------------------------------------------------------------------------------


async def test_a_connection_of_a_plain_hook_is_used_and_closed_on_one_thread(app: Flask) -> None:
    closed: list[str] = []

    @app.before_request
    def connect() -> None:
        g.db = sqlite3.connect(":memory:")  # Refuses every other thread than this one.

    @app.before_request
    async def between() -> None:
        await anyio.sleep(0.001)

    @app.before_request
    def use() -> None:
        g.answer = g.db.execute("SELECT 42").fetchone()[0]

    @app.teardown_request
    def close(exc: BaseException | None) -> None:
        g.db.close()
        closed.append(thread_name())

    @app.get("/")
    async def view() -> str:
        await anyio.sleep(0.001)
        return str(g.answer)

    app.testing = True
    app.config["WORKER_QUEUE"] = 20
    exchanges = [Exchange(app) for _ in range(20)]
    async with anyio.create_task_group() as group:
        for exchange in exchanges:
            group.start_soon(exchange.run)
    assert [exchange.text for exchange in exchanges] == ["42"] * 20
    assert set(closed) == {"aioflask-lane-0"} and len(closed) == 20
    assert len(pool_of(app).lanes) == 2  # Each has one thread, the first of its own.
    assert [lane.requests for lane in pool_of(app).lanes] == [0, 0]


async def test_too_many_requests_on_the_lanes_are_answered_with_503(app: Flask) -> None:
    app.config.update(WORKER_THREADS=1, WORKER_QUEUE=1, TESTING=True)
    entered, leave, ended = list[str](), anyio.Event(), list[str]()

    @app.before_request
    def plain() -> None:
        entered.append(thread_name())

    @app.teardown_request
    def teardown(exc: BaseException | None) -> None:
        ended.append(thread_name())

    @app.get("/")
    async def view() -> str:
        await leave.wait()
        return "out"

    exchanges = [Exchange(app) for _ in range(2)]
    async with anyio.create_task_group() as group:
        for exchange in exchanges:
            group.start_soon(exchange.run)
        await until(lambda: len(entered) == 2)
        full = await ask(app)
        leave.set()
    assert full.status == 503 and full.headers[b"retry-after"] == b"1"
    assert [exchange.text for exchange in exchanges] == ["out", "out"]
    assert len(ended) >= 2


async def test_an_app_context_gives_its_lane_back(app: Flask) -> None:
    app.config.update(WORKER_THREADS=1, WORKER_QUEUE=0)
    ended: list[str] = []

    @app.teardown_appcontext
    def teardown(exc: BaseException | None) -> None:
        ended.append(thread_name())

    for _ in range(3):
        async with app.app_context():
            pass
    assert ended == ["aioflask-lane-0"] * 3


# --- streams -----------------------------------------------------------------------------------


class Source:
    """A plain generator that tells what happens to it, and where."""

    def __init__(self, app: Flask, chunks: int = 100) -> None:
        self.made, self.chunks = 0, chunks
        self.threads: list[str] = []
        self.end: str | None = None
        app.add_url_rule("/stream", "stream", self.view)

    def view(self) -> Iterator[str]:
        return self.generate()

    def generate(self) -> Iterator[str]:
        token = variable.set("of the stream")
        try:
            for number in range(self.chunks):
                self.made += 1
                self.threads.append(thread_name())
                yield f"{number} "
            self.end = "exhausted"
        except BaseException as error:
            self.end = type(error).__name__
            raise
        finally:
            self.threads.append(thread_name())
            variable.reset(token)


async def test_a_plain_stream_is_iterated_by_one_thread(app: Flask) -> None:
    source = Source(app)
    assert (await ask(app, "/stream")).text.split() == [str(number) for number in range(100)]
    assert source.end == "exhausted"
    assert set(source.threads) == {"aioflask-stream-0"}


async def test_a_plain_stream_of_an_async_view_is_iterated_by_one_thread(app: Flask) -> None:
    source = Source(app)

    @app.get("/")
    async def view() -> Iterator[str]:
        return source.generate()

    assert (await ask(app)).text.split() == [str(number) for number in range(100)]
    assert set(source.threads) == {"aioflask-stream-0"}


async def test_a_plain_stream_does_not_run_away_from_a_slow_client(app: Flask) -> None:
    source = Source(app)
    exchange = Exchange(app, "/stream", slow=True)
    async with anyio.create_task_group() as group:
        group.start_soon(exchange.run)
        await exchange.begun.wait()
        await anyio.sleep(0.05)
        ahead = source.made - len(exchange.pieces)
        exchange.ready.set()
    assert BUFFER <= ahead <= BUFFER + 1
    assert len(exchange.text.split()) == 100


async def test_a_client_that_goes_closes_the_generator_on_its_thread(app: Flask, way: str) -> None:
    source = Source(app)
    exchange = Exchange(app, "/stream", slow=True)
    async with anyio.create_task_group() as group:
        group.start_soon(exchange.run if way == "scope" else exchange.run_as_task)
        await exchange.begun.wait()
        exchange.cancel()
    await until(lambda: source.end)
    assert source.end == "GeneratorExit"
    assert source.made < 100
    assert set(source.threads) == {"aioflask-stream-0"}
    await until(lambda: pool_of(app, "stream").busy == 0)


async def test_a_send_that_fails_closes_the_generator(app: Flask) -> None:
    source = Source(app)
    exchange = Exchange(app, "/stream")

    async def broken(message: dict[str, Any]) -> None:
        if exchange.pieces:
            raise OSError("the client is gone")
        await Exchange._send(exchange, message)

    exchange._send = broken  # type: ignore[method-assign]
    await exchange.run()  # A client that goes is no error.
    await until(lambda: source.end)
    assert source.end == "GeneratorExit"
    await until(lambda: pool_of(app, "stream").busy == 0)


async def test_head_closes_a_stream_without_iterating_it(app: Flask) -> None:
    source = Source(app)
    assert (await ask(app, "/stream", "HEAD")).text == ""
    assert source.made == 0


async def test_a_stream_that_nobody_waits_for_any_more_is_not_begun(app_of_one: Flask) -> None:
    source, first = Source(app_of_one), Exchange(app_of_one, "/stream", slow=True)
    second = Exchange(app_of_one, "/stream")
    pool = pool_of(app_of_one, "stream")
    async with anyio.create_task_group() as group:
        group.start_soon(first.run)
        await first.begun.wait()
        group.start_soon(second.run)
        await until(lambda: pool.queued == 1)
        second.cancel()
        await anyio.sleep(0.01)
        first.ready.set()
    await until(lambda: pool.busy == 0)
    assert source.made == 100


async def test_streams_leave_the_workers_to_the_views(app_of_one: Flask) -> None:
    Source(app_of_one)
    exchange = Exchange(app_of_one, "/stream", slow=True)
    app_of_one.add_url_rule("/plain", "plain", lambda: "here")
    async with anyio.create_task_group() as group:
        group.start_soon(exchange.run)
        await exchange.begun.wait()
        assert (await ask(app_of_one, "/plain")).text == "here"
        exchange.ready.set()
    assert len(exchange.text.split()) == 100


async def test_too_many_streams_are_answered_with_503(app: Flask) -> None:
    app.config.update(WORKER_THREADS=1, WORKER_QUEUE=0)
    source, exchange = Source(app), Exchange(app, "/stream", slow=True)
    closed: list[str] = []

    @app.get("/closes")
    async def view() -> Any:
        response = app.make_response(source.generate())
        response.call_on_close(lambda: closed.append("closed"))
        return response

    async with anyio.create_task_group() as group:
        group.start_soon(exchange.run)
        await exchange.begun.wait()
        full = await ask(app, "/closes")
        exchange.ready.set()
    assert full.status == 503 and full.headers[b"retry-after"] == b"1"
    assert closed == ["closed"]
    assert len(exchange.text.split()) == 100


async def test_a_generator_may_wait_for_the_loop(app_of_one: Flask) -> None:
    async def on_the_loop(number: int) -> str:
        await anyio.sleep(0)
        return await run_sync(lambda: f"{number}:{thread_name()}")

    @app_of_one.get("/")
    def view() -> Iterator[str]:
        for number in range(30):
            yield app_of_one.ensure_sync(on_the_loop)(number) + " "

    words = (await ask(app_of_one)).text.split()
    assert words == [f"{number}:aioflask-stream-0" for number in range(30)]


async def test_a_generator_that_waits_for_the_loop_is_woken_when_the_client_goes(
    app_of_one: Flask, way: str
) -> None:
    events: list[str] = []

    async def for_ever() -> None:
        events.append("waits")
        await anyio.sleep_forever()

    @app_of_one.get("/")
    def view() -> Iterator[str]:
        try:
            yield "first"
            app_of_one.ensure_sync(for_ever)()
        finally:
            events.append(thread_name())

    await cancelled_when(app_of_one, way, lambda: events)
    await until(lambda: len(events) == 2)
    assert events == ["waits", "aioflask-stream-0"]
    await until(lambda: pool_of(app_of_one, "stream").busy == 0)


async def test_a_generator_may_wait_for_the_loop_in_its_finally(app: Flask, way: str) -> None:
    events: list[str] = []

    async def clean_up() -> None:
        await anyio.sleep(0)
        events.append("cleaned up")

    @app.get("/")
    def view() -> Iterator[str]:
        try:
            while True:
                yield "again"
        finally:
            app.ensure_sync(clean_up)()

    exchange = Exchange(app, slow=True)
    async with anyio.create_task_group() as group:
        group.start_soon(exchange.run if way == "scope" else exchange.run_as_task)
        await exchange.begun.wait()
        exchange.cancel()
    await until(lambda: events)
    await until(lambda: pool_of(app, "stream").busy == 0)


async def test_a_kept_context_is_torn_down_when_the_client_goes(app: Flask, way: str) -> None:
    ran = teardowns(app)

    @app.get("/")
    def view() -> Iterator[str]:
        @stream_with_context
        def generate() -> Iterator[str]:
            while True:
                yield request.path

        return generate()

    exchange = Exchange(app, slow=True)
    async with anyio.create_task_group() as group:
        group.start_soon(exchange.run if way == "scope" else exchange.run_as_task)
        await exchange.begun.wait()
        assert ran == []
        exchange.cancel()
    await until(lambda: len(ran) == 4)
    assert ran == ALL_FOUR
    await until(lambda: pool_of(app, "stream").busy == 0)


async def test_an_error_in_the_middle_of_a_stream_is_raised_after_what_came_before(
    app: Flask,
) -> None:
    events: list[str] = []

    @app.get("/")
    def view() -> Iterator[str]:
        try:
            yield "first "
            yield "second"
            raise LookupError("in the middle")
        finally:
            events.append(thread_name())

    exchange = Exchange(app)
    with pytest.raises(LookupError, match="in the middle") as caught:
        await exchange.run()
    assert exchange.text == "first second"
    assert events == ["aioflask-stream-0"]
    assert "view" in [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    await until(lambda: pool_of(app, "stream").busy == 0)


async def test_an_async_stream_is_closed_when_the_client_goes(app: Flask, way: str) -> None:
    events: list[str] = []

    @app.get("/")
    async def view() -> AsyncIterator[str]:
        try:
            while True:
                yield "again"
        finally:
            events.append(thread_name())

    exchange = Exchange(app, slow=True)
    async with anyio.create_task_group() as group:
        group.start_soon(exchange.run if way == "scope" else exchange.run_as_task)
        await exchange.begun.wait()
        exchange.cancel()
    assert events == [thread_name()]


async def test_a_stream_without_its_context_does_not_see_the_request(app: Flask) -> None:
    seen: list[bool] = []

    def generate() -> Iterator[str]:
        seen.append(bool(request))
        yield ""

    @app.get("/plain")
    def plain() -> Iterator[str]:
        return generate()

    @app.get("/async")
    async def on_the_loop() -> Iterator[str]:
        return generate()

    for path in ("/plain", "/async"):
        await ask(app, path)
    assert seen == [False, False]


async def test_a_forked_child_that_ends_its_copy_of_a_pool_leaves_ours_alone(app: Flask) -> None:
    with app.app_context():
        first = await run_sync(thread_name)
        queue, threads = pool_of(app).queue, pool_of(app).threads
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of a fork beside threads.
        child = os.fork()
    if not child:
        for _ in threads:
            queue.put(None)
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    with app.app_context():
        assert await run_sync(thread_name) == first
    assert threads
    assert all(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("path", ["/", "/stream"])
def test_a_wsgi_thread_goes_on_while_the_loop_is_still_leaving(
    app: Flask, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The loop's thread may be slow after it has handed over what a request waits for."""
    settle, has_gone_on = concurrency._settle, threading.Event()

    async def settle_slowly(future: Any, coro: Any) -> None:
        await settle(future, coro)
        assert has_gone_on.wait(5)

    monkeypatch.setattr(concurrency, "_settle", settle_slowly)

    @app.before_request
    def enter() -> None:
        variable.set("plain")

    @app.get("/")
    async def index() -> str:
        seen = variable.get()
        variable.set("async")
        return seen

    @app.get("/stream")
    async def stream() -> Any:
        async def pieces() -> AsyncIterator[str]:
            yield "pla"
            yield "in"

        variable.set("async")
        return stream_with_context(pieces())

    @app.after_request
    def go_on(response: Any) -> Any:
        response.headers["X-Variable"] = variable.get()
        has_gone_on.set()
        return response

    answer = werkzeug.test.Client(app.wsgi_app).get(path)
    assert (answer.text, answer.headers["X-Variable"]) == ("plain", "async")
