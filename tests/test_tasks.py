"""Background tasks, on asyncio and trio, in plain and async views, and at the server's end."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import anyio
import pytest

from aioflask import Flask, current_app, g, got_background_exception, has_request_context
from aioflask.tasks import TooManyTasks

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app() -> Flask:
    return Flask("tasks_test", static_folder=None)


@pytest.mark.parametrize("view", ["def", "async"])
@pytest.mark.parametrize("task", ["def", "async"])
async def test_a_task_goes_on_after_the_response_in_a_context_of_its_own(
    app: Flask, view: str, task: str
) -> None:
    done: list[Any] = []
    go = threading.Event()

    @app.teardown_appcontext
    def tear_down(error: BaseException | None) -> None:
        if "mine" in g:
            done.append("torn down")

    def note(value: str, *, key: str) -> None:
        g.mine = value
        done.append((current_app.name, has_request_context(), g.get("view"), value, key))

    def plain(value: str, *, key: str) -> None:
        assert go.wait(5)
        note(value, key=key)

    async def asynchronous(value: str, *, key: str) -> None:
        while not go.is_set():
            await anyio.sleep(0.005)
        note(value, key=key)

    def index() -> str:
        g.view = "its own"
        current_app.add_background_task(plain if task == "def" else asynchronous, "x", key="y")
        return "sent"

    async def index_async() -> str:
        return index()

    app.add_url_rule("/", "index", index if view == "def" else index_async)
    async with app.async_client() as client:
        assert (await client.get("/")).text == "sent"
        assert not done
        go.set()
    assert done == [("tasks_test", False, None, "x", "y"), "torn down"]
    assert not app._tasks


@pytest.mark.parametrize("task", ["def", "async"])
async def test_what_a_task_raises_is_logged_and_signalled(
    app: Flask, task: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def plain() -> None:
        raise LookupError("lost")

    async def asynchronous() -> None:
        plain()

    def listen(sender: Any, **values: Any) -> None:
        seen.append((sender, type(values["exception"]), values["task"]))

    func = plain if task == "def" else asynchronous
    with got_background_exception.connected_to(listen, app):
        async with app.async_client():
            app.add_background_task(func)
    assert seen == [(app, LookupError, func)]
    (record,) = (record for record in caplog.records if record.exc_info)
    assert f"{(task == 'def' and 'plain') or 'asynchronous'}()" in record.getMessage()


async def test_the_end_waits_a_bounded_time_and_then_cancels(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"] = 0.1
    ends: list[str] = []

    async def short() -> None:
        await anyio.sleep(0.05)
        ends.append("short")

    async def endless() -> None:
        try:
            await anyio.sleep(20)
        finally:
            ends.append("endless")

    def blocks() -> None:
        time.sleep(0.4)
        ends.append("blocks")

    start = time.monotonic()
    with caplog.at_level(logging.WARNING):
        async with app.async_client():
            for func in (short, endless, blocks):
                app.add_background_task(func)
    assert time.monotonic() - start < 3
    assert ends[:2] == ["short", "endless"]
    assert "endless() was still running 0.1 s after the end had begun" in caplog.text
    assert "a plain function cannot be: it runs on" in caplog.text
    while len(ends) < 3 or app._tasks:
        await anyio.sleep(0.01)


async def test_there_is_a_bound_beyond_which_the_answer_is_503(app: Flask) -> None:
    app.config["MAX_BACKGROUND_TASKS"] = 1

    async def wait() -> None:
        await app.shutdown_event.wait()

    @app.get("/")
    async def index() -> str:
        app.add_background_task(wait)
        return "started"

    async with app.async_client() as client:
        assert (await client.get("/")).status_code == 200
        full = await client.get("/")
        assert (full.status_code, full.headers["Retry-After"]) == (503, "1")
        with pytest.raises(TooManyTasks):
            app.add_background_task(wait)


async def test_a_coroutine_in_place_of_a_function_is_refused(app: Flask) -> None:
    async def send_mail() -> None: ...

    with pytest.raises(TypeError, match=r"right: app.add_background_task\(send_mail, address\)"):
        app.add_background_task(send_mail())  # type: ignore[arg-type]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_it_works_behind_the_plain_client_and_wsgi(app: Flask, anyio_backend: str) -> None:
    done = threading.Semaphore(0)

    async def asynchronous() -> None:
        done.release()

    @app.get("/")
    def index() -> str:
        app.add_background_task(done.release)
        app.add_background_task(asynchronous)
        return ""

    def drive() -> None:
        app.test_client().get("/")
        environ = app.test_request_context("/").request.environ
        assert list(app(environ, lambda status, headers: None)) == [b""]

    await anyio.to_thread.run_sync(drive)
    for _ in range(4):
        assert await anyio.to_thread.run_sync(done.acquire, True, 5)
