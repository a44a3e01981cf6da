"""Clients that go before their answer is there, on asyncio and trio: views and streams."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from aioflask import Blueprint, Flask, Response, request, stream_with_context
from aioflask.testing import AsyncClient, cut_off, leave_after

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app() -> Flask:
    return Flask("disconnects_test", static_folder=None)


async def ask_and_leave(client: AsyncClient, path: str, **kwargs: Any) -> None:
    with anyio.move_on_after(0.05):
        await client.request("POST" if kwargs else "GET", path, **kwargs)
        raise AssertionError("the answer came before the client had gone")


async def eventually(values: list[Any], *expected: Any) -> None:
    with anyio.move_on_after(5):
        while len(values) < len(expected):
            await anyio.sleep(0.005)
    assert values == list(expected)


def watching(app: Flask, calls: list[Any]) -> None:
    @app.teardown_request
    async def tear_down(error: BaseException | None) -> None:
        await anyio.sleep(0)
        calls.append("torn down" if error is None else "torn down with an error")


async def test_a_view_runs_to_its_end_by_default_and_costs_nothing(app: Flask) -> None:
    calls: list[Any] = []
    watching(app, calls)

    @app.get("/")
    async def index() -> str:
        await anyio.sleep(0.1)
        calls.append("finished")
        return "answer"

    door = app.asgi_app

    async def told(scope: Any, receive: Any, send: Any) -> None:
        async def asked() -> Any:
            calls.append("asked whether the client is there")
            return await receive()

        await door(scope, asked if scope["type"] == "http" else receive, send)

    app.asgi_app = told  # type: ignore[method-assign]

    async with app.async_client() as client:
        await ask_and_leave(client, "/")
        await eventually(calls, "finished", "torn down")


@pytest.mark.parametrize("where", ["route", "blueprint", "app", "nested", "hooks"])
async def test_cancel_breaks_off_what_the_view_awaits(app: Flask, where: str) -> None:
    calls: list[Any] = []
    watching(app, calls)
    blueprint, outer = Blueprint("b", "t"), Blueprint("outer", "t")

    async def index() -> str:
        try:
            await anyio.sleep(20)
        finally:
            calls.append("cancelled")
        return "never"

    if where in ("route", "hooks"):
        app.add_url_rule("/", view_func=index, on_disconnect="cancel")
    elif where == "app":
        app.on_disconnect = "cancel"
        app.add_url_rule("/", view_func=index)
    else:
        blueprint.add_url_rule("/", view_func=index)
        (blueprint if where == "blueprint" else outer).on_disconnect = "cancel"
        outer.register_blueprint(blueprint)
        app.register_blueprint(outer)
    if where == "hooks":
        app.before_request(lambda: None)

    async with app.async_client() as client:
        start = time.monotonic()
        await ask_and_leave(client, "/")
        await eventually(calls, "cancelled", "torn down with an error")
        assert time.monotonic() - start < 5


async def test_a_route_says_no_where_its_blueprint_says_cancel(app: Flask) -> None:
    calls: list[Any] = []
    app.on_disconnect = "cancel"

    @app.get("/", on_disconnect="finish")
    async def index() -> str:
        await anyio.sleep(0.1)
        calls.append("finished")
        return ""

    async with app.async_client() as client:
        await ask_and_leave(client, "/")
        await eventually(calls, "finished")


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_finally_gets_the_time_that_it_needs(
    app: Flask, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioflask.wakeups.GRACE", 0.3)
    calls: list[Any] = []

    @app.get("/<float:seconds>", on_disconnect="cancel")
    async def index(seconds: float) -> str:
        try:
            await anyio.sleep(20)
        finally:
            try:
                await anyio.sleep(seconds)
                calls.append("cleaned up")
            except BaseException:
                calls.append("took too long")
                raise
        return ""

    async with app.async_client() as client:
        await ask_and_leave(client, "/0.1")
        await eventually(calls, "cleaned up")
        await ask_and_leave(client, "/20.0")
        await eventually(calls, "cleaned up", "took too long")


@pytest.mark.parametrize("colour", ["def", "async"])
async def test_notify_sets_an_event_that_both_colours_can_ask(app: Flask, colour: str) -> None:
    calls: list[Any] = []

    async def asynchronous() -> str:
        await request.disconnected.wait()
        calls.append(request.disconnected.is_set())
        return ""

    def plain() -> str:
        end = time.monotonic() + 5
        while not request.disconnected.is_set() and time.monotonic() < end:
            time.sleep(0.005)
        calls.append(request.disconnected.is_set())
        return ""

    view = plain if colour == "def" else asynchronous
    app.add_url_rule("/", "view", view, on_disconnect="notify")
    async with app.async_client() as client:
        await ask_and_leave(client, "/")
        await eventually(calls, True)


async def test_a_body_is_read_before_the_watch_begins(app: Flask) -> None:
    calls: list[Any] = []

    @app.post("/", on_disconnect="cancel")
    async def index() -> str:
        try:
            assert request.get_json() == {"a": 1}
            await anyio.sleep(20)
        finally:
            calls.append("cancelled")
        return ""

    @app.post("/answer", on_disconnect="cancel")
    async def answer() -> Any:
        return request.get_json()

    async with app.async_client() as client:
        assert (await client.post("/answer", json={"b": 2})).json() == {"b": 2}
        await ask_and_leave(client, "/", json={"a": 1})
        await eventually(calls, "cancelled")
        cut = cut_off(b"x" * 100, after=50)
        bad = await client.post("/", content=cut, headers={"Content-Length": "100"})
        assert bad.status_code == 400


async def test_an_unknown_way_is_refused(app: Flask) -> None:
    with pytest.raises(ValueError, match=r"on_disconnect='stop'\. It is 'finish'"):
        app.add_url_rule("/", "x", lambda: "", on_disconnect="stop")


async def test_an_unknown_way_of_a_blueprint_is_told(app: Flask) -> None:
    app.testing = True
    blueprint = Blueprint("b", "t")
    blueprint.on_disconnect = "stop"  # type: ignore[assignment]
    blueprint.add_url_rule("/", "index", lambda: "")
    app.register_blueprint(blueprint)
    with pytest.raises(ValueError, match=r"<Blueprint 'b'> has on_disconnect='stop'"):
        await app.async_client().get("/")


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_context", [False, True])
async def test_an_idle_generator_is_closed_when_its_client_goes(
    app: Flask, with_context: bool
) -> None:
    calls: list[Any] = []
    watching(app, calls)

    @app.get("/")
    async def index() -> Any:
        async def events() -> AsyncIterator[str]:
            try:
                yield "first"
                await anyio.sleep(20)  # Nothing to send that would fail.
            finally:
                calls.append("closed")

        return stream_with_context(events()) if with_context else events()

    async with app.async_client() as client:
        async with client.stream("GET", "/") as response:
            assert await leave_after(response, 5) == b"first"
        order = ["closed", "torn down with an error"] if with_context else ["torn down", "closed"]
        await eventually(calls, *order)
        assert not app._open


@pytest.mark.parametrize("end", ["ends", "raises", "cancelled"])
@pytest.mark.parametrize("pauses", [[], [0], [2], [0, 1, 2, 3]], ids=str)
async def test_a_stream_may_wait_anywhere_and_clean_up(
    app: Flask, pauses: list[int], end: str
) -> None:
    """Until it first waits it is stepped without what breaks it off."""
    calls: list[Any] = []
    sent: list[Any] = []

    @app.get("/")
    async def index() -> Any:
        async def chunks() -> AsyncIterator[str]:
            try:
                for number in range(4):
                    if number in pauses:
                        await anyio.sleep(0.01)
                    yield f"{number}"
                    if number in pauses:
                        await anyio.sleep(0)
                if end == "raises":
                    raise LookupError("the database has gone")
                if end == "cancelled":
                    await anyio.sleep(20)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.01)
                    calls.append(anyio.get_current_task().id == task)
                    await anyio.sleep(0)

        return chunks()

    async def receive() -> Any:
        await anyio.sleep(20)

    async def send(message: Any) -> None:
        sent.append(dict(message))
        message.clear()  # It is the server's own.

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    error = pytest.raises(LookupError) if end == "raises" else contextlib.nullcontext()
    task = anyio.get_current_task().id
    with anyio.move_on_after(0.1) as scope_of_the_task, error:
        await app(scope, receive, send)
    assert scope_of_the_task.cancelled_caught is (end == "cancelled")
    assert b"".join(message.get("body", b"") for message in sent) == b"0123"
    assert all(message["more_body"] for message in sent[1:-1])
    assert sent[-1]["more_body"] is (end != "ends")
    assert calls == [True] and not app._open


async def test_a_plain_generator_is_closed_at_its_next_chunk(app: Flask) -> None:
    calls: list[Any] = []

    @app.get("/")
    def index() -> Any:
        def rows() -> Iterator[str]:
            try:
                while True:
                    yield "row"
                    time.sleep(0.01)
            finally:
                calls.append(threading.current_thread().name.startswith("aioflask-stream"))

        return rows()

    async with app.async_client() as client:
        async with client.stream("GET", "/") as response:
            await leave_after(response, 9)
        await eventually(calls, True)


async def test_a_reader_that_never_reads_holds_the_stream_back(app: Flask) -> None:
    made: list[int] = []
    closed: list[Any] = []

    @app.get("/")
    async def index() -> Any:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                while True:
                    made.append(1)
                    yield b"x" * 65_536
            finally:
                closed.append("closed")

        return chunks()

    async with app.async_client() as client:
        async with client.stream("GET", "/"):
            await anyio.sleep(0.1)
            assert len(made) < 20
        await eventually(closed, "closed")


async def test_open_streams_hold_no_thread_of_plain_hooks(app: Flask) -> None:
    app.config.update(WORKER_THREADS=1, WORKER_QUEUE=1)
    threads: list[str] = []

    @app.before_request
    def before() -> None:
        threads.append(threading.current_thread().name)

    @app.get("/")
    async def index() -> Any:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await anyio.sleep(20)

        return chunks()

    async with app.async_client() as client, contextlib.AsyncExitStack() as stack:
        for _ in range(6):
            response = await stack.enter_async_context(client.stream("GET", "/"))
            assert response.status_code == 200
    assert len(threads) == 6 and len(set(threads)) == 1


async def test_a_server_that_repeats_the_bodys_end_does_not_keep_the_loop_busy(app: Flask) -> None:
    asked: list[int] = []
    sent: list[Any] = []

    @app.get("/")
    async def index() -> Any:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await anyio.sleep(0.2)
            yield b"last"

        return chunks()

    async def receive() -> Any:
        asked.append(1)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert [message.get("body") for message in sent[1:]] == [b"first", b"last", b""]
    assert len(asked) == 2


async def test_an_error_in_the_middle_leaves_the_response_incomplete(app: Flask) -> None:
    calls: list[Any] = []
    messages: list[Any] = []

    @app.get("/")
    async def index() -> Any:
        async def rows() -> AsyncIterator[str]:
            try:
                yield "row"
                raise LookupError("the database has gone")
            finally:
                calls.append("closed")

        return rows()

    async def receive() -> Any:
        await anyio.sleep(20)

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    with pytest.raises(LookupError):
        await app(scope, receive, send)
    assert messages[-1]["body"] == b"row" and messages[-1]["more_body"]
    assert calls == ["closed"]


async def test_what_fails_at_a_streams_end_does_not_hide_why_it_ended(app: Flask) -> None:
    @app.get("/")
    async def index() -> Any:
        async def rows() -> AsyncIterator[str]:
            yield "row"
            raise LookupError("the database has gone")

        def close() -> None:
            raise RuntimeError("and cannot be closed")

        response = Response(rows())
        response.call_on_close(close)
        return response

    async def send(message: Any) -> None:
        await anyio.sleep(0)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    with pytest.raises(RuntimeError, match="and cannot be closed") as failure:
        await app(scope, anyio.sleep_forever, send)
    assert str(failure.value.__context__) == "the database has gone"


async def test_a_stream_that_does_not_look_is_broken_off_at_the_end(app: Flask) -> None:
    app.config["STREAM_SHUTDOWN_TIMEOUT"] = 0.1
    calls: list[Any] = []
    messages: list[Any] = []

    @app.get("/<kind>")
    async def index(kind: str) -> Any:
        async def endless() -> AsyncIterator[str]:
            try:
                while True:
                    yield "tick"
                    await anyio.sleep(0.01 if kind == "busy" else 20)
            finally:
                calls.append("closed")

        async def short() -> AsyncIterator[str]:
            yield "first"
            await app.shutdown_event.wait()
            yield "last"

        return short() if kind == "short" else endless()

    async def receive() -> Any:
        await anyio.sleep(20)

    async def ask(kind: str) -> None:
        async def send(message: Any) -> None:
            messages.append((kind, message))

        scope = {"type": "http", "method": "GET", "path": f"/{kind}", "headers": []}
        await app({**scope, "query_string": b""}, receive, send)

    async with anyio.create_task_group() as tasks, app.async_client():
        for kind in ("busy", "idle", "short"):
            tasks.start_soon(ask, kind)
        await anyio.sleep(0.05)
    assert calls == ["closed"] * 2
    last = dict(messages)
    assert last["busy"]["more_body"] and last["idle"]["more_body"]
    assert not last["short"].get("more_body")
