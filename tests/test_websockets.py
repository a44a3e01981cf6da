"""WebSockets in process, on asyncio and trio, with views of both colours."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

import aioflask
from aioflask import (
    BadMessage,
    Blueprint,
    Flask,
    Response,
    WebSocket,
    WebSocketDisconnect,
    abort,
    copy_current_websocket_context,
    current_app,
    g,
    has_request_context,
    has_websocket_context,
    request,
    run_sync,
    session,
    url_for,
    websocket,
)
from aioflask.testing import AsyncClient, WebSocketClosed, WebSocketRefused

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["def", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app() -> Flask:
    app = Flask("websockets_test", static_folder=None)
    app.secret_key = "only for tests"
    return app


@pytest.fixture
async def client(app: Flask) -> AsyncIterator[AsyncClient]:
    """Opened before the test's views are there: they are added by it."""
    async with app.async_client() as client:
        yield client


def echoing(app: Flask, colour: str, rule: str = "/ws") -> None:
    def plain() -> None:
        for message in websocket:
            websocket.send(message)

    async def asynchronous() -> None:
        async for message in websocket:
            await websocket.send(message)

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule(rule, "echo", view, websocket=True)


async def closed_at_once(client: AsyncClient) -> None:
    """Connect; what the app raises is raised here, at the latest on the way out."""
    async with client.websocket("/ws") as ws:
        await ws.receive()


async def eventually(condition: Callable[[], Any]) -> None:
    with anyio.fail_after(5):
        while not condition():
            await anyio.sleep(0.005)


# --- messages -------------------------------------------------------------------------------------


async def test_messages_go_both_ways(app: Flask, client: AsyncClient, colour: str) -> None:
    echoing(app, colour)
    async with client.websocket("/ws") as ws:
        for message in ("text", b"bytes", "", "\N{SNOWMAN}", "x" * 100_000):
            await ws.send(message)
            assert await ws.receive() == message


async def test_json_goes_both_ways(app: Flask, client: AsyncClient, colour: str) -> None:
    def plain() -> None:
        websocket.send_json(got=websocket.receive_json())
        websocket.send_json(1, 2)
        websocket.send_json("one")

    async def asynchronous() -> None:
        await websocket.send_json(got=await websocket.receive_json())
        await websocket.send_json(1, 2)
        await websocket.send_json("one")

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    async with client.websocket("/ws") as ws:
        await ws.send_json({"a": [1, None]})
        assert [await ws.receive_json() for _ in range(3)] == [
            {"got": {"a": [1, None]}},
            [1, 2],
            "one",
        ]
        with pytest.raises(WebSocketClosed) as closed:
            await ws.receive()
        assert (closed.value.code, closed.value.reason) == (1000, "")


async def test_a_view_sees_the_handshake_and_flasks_locals(
    app: Flask, client: AsyncClient, colour: str
) -> None:
    def answer(room: int) -> Any:
        assert has_websocket_context() and has_request_context()
        assert isinstance(websocket._get_current_object(), WebSocket)  # type: ignore[attr-defined]
        return [
            room,
            websocket.args["q"],
            websocket.headers["X-Test"],
            websocket.cookies.get("crumb"),
            websocket.path,
            websocket.scheme,
            request.endpoint,
            current_app.name,
            url_for("view", room=7),
            url_for("index", _external=True),
            websocket.requested_subprotocols,
        ]

    def plain(room: int) -> None:
        websocket.accept("b", headers={"X-Answer": "yes"})
        websocket.send_json(answer(room))

    async def asynchronous(room: int) -> None:
        await websocket.accept("b", headers={"X-Answer": "yes"})
        await websocket.send_json(answer(room))

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws/<int:room>", "view", view, websocket=True)
    app.add_url_rule("/", "index", lambda: "")
    client.cookies.set("crumb", "c")
    opened = client.websocket(
        "/ws/3", params={"q": "1"}, headers={"X-Test": "t"}, subprotocols=["a", "b"]
    )
    async with opened as ws:
        assert ws.subprotocol == "b" and ws.headers["X-Answer"] == "yes"
        assert await ws.receive_json() == [
            3, "1", "t", "c", "/ws/3", "ws", "view", "websockets_test", "ws://localhost/ws/7",
            "http://localhost/", ["a", "b"],
        ]  # fmt: skip
    assert not has_websocket_context()


async def test_a_subprotocol_that_was_not_offered_is_refused(
    app: Flask, client: AsyncClient
) -> None:
    app.testing = True

    @app.websocket("/ws")
    async def view() -> None:
        await websocket.accept("mqtt")

    with pytest.raises(ValueError, match=r"accept\('mqtt'\): the client offers no subprotocols"):
        async with client.websocket("/ws"):
            pass


async def test_the_session_is_read_and_saved_with_the_handshake(
    app: Flask, client: AsyncClient, colour: str
) -> None:
    def plain() -> None:
        session["visits"] = session.get("visits", 0) + 1
        websocket.send(str(session["visits"]))

    async def asynchronous() -> None:
        session["visits"] = session.get("visits", 0) + 1
        await websocket.send(str(session["visits"]))

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    for number in ("1", "2", "3"):
        async with client.websocket("/ws") as ws:
            assert await ws.receive() == number


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["closes", "drops", "leaves"])
async def test_a_client_that_goes_ends_the_view(
    app: Flask, client: AsyncClient, colour: str, way: str
) -> None:
    ends: list[Any] = []

    @app.teardown_websocket
    def tear_down(error: BaseException | None) -> None:
        ends.append(error)

    def plain() -> None:
        websocket.send("open")
        try:
            websocket.receive()
        except WebSocketDisconnect as error:
            ends.append((error.code, error.reason, websocket.close_code, websocket.is_open))
            raise

    async def asynchronous() -> None:
        await websocket.send("open")
        try:
            await websocket.receive()
        except WebSocketDisconnect as error:
            ends.append((error.code, error.reason, websocket.close_code, websocket.is_open))
            raise

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    async with client.websocket("/ws") as ws:
        assert await ws.receive() == "open"
        if way == "closes":
            await ws.close(3999, "bye")
        elif way == "drops":
            ws.drop()
    await eventually(lambda: len(ends) == 2)
    code, reason = {"closes": (3999, "bye"), "drops": (1006, ""), "leaves": (1000, "")}[way]
    assert ends == [(code, reason, code, False), None]
    assert not app._open


async def test_sending_to_a_client_that_has_gone_ends_the_view(
    app: Flask, client: AsyncClient, colour: str
) -> None:
    ends: list[Any] = []

    def plain() -> None:
        try:
            while True:
                websocket.send("tick")
                time.sleep(0.001)
        finally:
            ends.append(websocket.close_code)

    async def asynchronous() -> None:
        try:
            while True:
                await websocket.send("tick")
                await anyio.sleep(0.001)
        finally:
            ends.append(websocket.close_code)

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    async with client.websocket("/ws") as ws:
        assert await ws.receive() == "tick"
        ws.drop()
    await eventually(lambda: ends)


@pytest.mark.parametrize("gone", [False, True])
async def test_on_a_silent_server_a_view_that_only_sends_learns_of_it(
    app: Flask, gone: bool
) -> None:
    """Before ASGI 2.4 a ``send`` to nobody returns as if it had been sent."""
    ends: list[Any] = []

    @app.websocket("/ws")
    async def view() -> None:
        try:
            for number in range(10_000):
                await websocket.send(str(number))
                await anyio.sleep(0.001)
                if number == 20 and not gone:
                    ends.append(await websocket.receive())
                    return
        finally:
            ends.append(websocket.close_code)

    messages = [{"type": "websocket.connect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        await eventually(lambda: len(sent) > 10)
        if gone:
            return {"type": "websocket.disconnect", "code": 1001}
        return {"type": "websocket.receive", "text": "early"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/ws", "headers": [], "asgi": {"spec_version": "2.3"}}
    with anyio.fail_after(5):
        await app(scope, receive, send)
    assert ends == ([1001] if gone else ["early", None])


async def test_the_view_closes_with_a_code(app: Flask, client: AsyncClient, colour: str) -> None:
    seen: list[Any] = []

    def plain() -> None:
        websocket.accept()
        websocket.close(4001, "enough")
        websocket.close(4002)
        seen.append((websocket.is_open, websocket.close_code))
        with pytest.raises(WebSocketDisconnect):
            websocket.receive()
        with pytest.raises(RuntimeError, match=r"called after websocket.close\(\)"):
            websocket.send("late")

    async def asynchronous() -> None:
        await websocket.accept()
        await websocket.close(4001, "enough")
        await websocket.close(4002)
        seen.append((websocket.is_open, websocket.close_code))
        with pytest.raises(WebSocketDisconnect):
            await websocket.receive()
        with pytest.raises(RuntimeError, match=r"called after websocket.close\(\)"):
            await websocket.send("late")

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    async with client.websocket("/ws") as ws:
        with pytest.raises(WebSocketClosed) as closed:
            await ws.receive()
        with pytest.raises(WebSocketClosed):
            await ws.send("late")
    assert (closed.value.code, closed.value.reason) == (4001, "enough")
    assert seen == [(False, 4001)]


# --- refusing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refuse", "status", "text"),
    [
        (lambda: ("not today", 409, {"X-Why": "tired"}), 409, "not today"),
        (lambda: {"error": "json"}, 200, '{"error":"json"}'),
        (lambda: abort(401), 401, "Unauthorized"),
        (lambda: abort(418), 418, "a teapot, handled"),
        (lambda: None, 403, "Forbidden"),
        (lambda: 1 / 0, 500, "Internal Server Error"),
    ],
    ids=["tuple", "dict", "abort", "handler", "None", "error"],
)
async def test_what_a_view_returns_or_raises_before_accept_is_the_response(
    app: Flask, client: AsyncClient, colour: str, refuse: Any, status: int, text: str
) -> None:
    calls: list[Any] = []

    @app.errorhandler(418)
    def teapot(error: Any) -> Any:
        return "a teapot, handled", 418

    @app.after_websocket
    def after(response: Response | None) -> Response | None:
        assert response is not None
        calls.append(response.status_code)
        response.headers["X-After"] = "ran"
        return response

    @app.teardown_websocket
    async def tear_down(error: BaseException | None) -> None:
        calls.append(type(error))

    async def asynchronous() -> Any:
        return refuse()

    app.add_url_rule("/ws", "view", refuse if colour == "def" else asynchronous, websocket=True)
    with pytest.raises(WebSocketRefused) as refused:
        async with client.websocket("/ws"):
            pass
    response = refused.value.response
    assert (response.status_code, response.headers["X-After"]) == (status, "ran")
    assert text in response.text
    assert calls == [status, ZeroDivisionError if status == 500 else type(None)]


async def test_a_server_without_denial_responses_is_asked_for_403(app: Flask) -> None:
    sent: list[Any] = []

    @app.websocket("/ws")
    async def view() -> Any:
        return "not today", 409

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/ws", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_returning_something_after_accept_says_what_to_do(
    app: Flask, client: AsyncClient, colour: str
) -> None:
    app.testing = True

    def plain() -> Any:
        websocket.accept()
        return "a message?"

    async def asynchronous() -> Any:
        await websocket.accept()
        return "a message?"

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    with pytest.raises(TypeError, match=r"returned 'a message\?' after it had accepted"):
        await closed_at_once(client)


async def test_http_to_a_websocket_and_the_reverse_are_told(
    app: Flask, client: AsyncClient, colour: str
) -> None:
    echoing(app, colour)
    app.add_url_rule("/http", "http", lambda: "http")
    app.add_url_rule("/both", "both-http", lambda: "http")
    app.add_url_rule("/both", "both-ws", lambda: websocket.send("ws"), websocket=True)
    answer = await client.get("/ws")
    assert answer.status_code == 400
    assert "This URL is a WebSocket" in answer.text
    upgrade = await client.get("/ws", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert upgrade.status_code == 400
    assert "pip install websockets" in upgrade.text
    for path, status, text in (
        ("/http", 400, "This URL is not a WebSocket's"),
        ("/nowhere", 404, "Not Found"),
    ):
        with pytest.raises(WebSocketRefused) as refused:
            async with client.websocket(path):
                pass
        response = refused.value.response
        assert response.status_code == status and text in response.text.replace("&#39;", "'")
    assert (await client.get("/both")).text == "http"
    async with client.websocket("/both") as ws:
        assert await ws.receive() == "ws"


@pytest.mark.parametrize(
    ("allowed", "origin", "fits"),
    [
        (None, None, True),
        (None, "http://localhost", True),
        (None, "http://localhost:80", True),
        (None, "http://evil.example", False),
        (None, "http://localhost.evil.example", False),
        (None, "null", False),
        (["https://app.example"], "https://APP.example", True),
        (["https://app.example"], "http://app.example", False),
        (["https://app.example"], "http://localhost", False),
        ("https://app.example/", "https://app.example", True),
        (["*"], "http://evil.example", True),
        ([], "http://localhost", False),
    ],
)
async def test_pages_of_other_origins_are_refused(
    app: Flask, client: AsyncClient, allowed: Any, origin: str | None, fits: bool
) -> None:
    app.config["WEBSOCKET_ORIGINS"] = allowed
    echoing(app, "async")
    headers = {} if origin is None else {"Origin": origin}
    if fits:
        async with client.websocket("/ws", headers=headers) as ws:
            await ws.send("x")
        return
    with pytest.raises(WebSocketRefused, match="with 403"):
        async with client.websocket("/ws", headers=headers):
            pass


# --- hooks and signals ----------------------------------------------------------------------------


@pytest.mark.parametrize("hooks", ["def", "async"])
async def test_hooks_run_in_order_and_see_the_same_g(
    app: Flask, client: AsyncClient, colour: str, hooks: str
) -> None:
    calls: list[str] = []
    threads: set[str] = set()
    blueprint = Blueprint("part", "t", url_prefix="/part")

    def paint(function: Callable[..., Any]) -> Any:
        if hooks == "def":
            return function

        async def painted(*args: Any) -> Any:
            await anyio.sleep(0)
            return function(*args)

        return painted

    def note(name: str, value: Any = None) -> Any:
        def hook(*args: Any) -> Any:
            threads.add(threading.current_thread().name)
            g.seen = [*g.get("seen", ()), name]
            calls.append(name)
            return args[0] if args else None

        return paint(hook)

    app.before_websocket(note("before app"))
    blueprint.before_websocket(note("before part"))
    blueprint.after_websocket(note("after part"))
    app.after_websocket(note("after app"))
    blueprint.teardown_websocket(note("teardown part"))
    app.teardown_websocket(note("teardown app"))
    blueprint.before_app_websocket(note("before by part"))
    app.before_request(note("never"))

    def plain() -> None:
        websocket.send(",".join(g.seen))

    async def asynchronous() -> None:
        await websocket.send(",".join(g.seen))

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    blueprint.websocket("/ws", endpoint="view")(view)
    app.register_blueprint(blueprint)
    async with client.websocket("/part/ws") as ws:
        assert await ws.receive() == "before app,before by part,before part"
    await eventually(lambda: len(calls) == 7)
    assert calls[3:] == ["after part", "after app", "teardown part", "teardown app"]
    assert len(threads) == 1


async def test_a_before_hook_may_refuse(app: Flask, client: AsyncClient, colour: str) -> None:
    echoing(app, colour)

    @app.before_websocket
    def login() -> Any:
        return None if "token" in websocket.args else ("who are you?", 401)

    with pytest.raises(WebSocketRefused, match="with 401: who are you"):
        async with client.websocket("/ws"):
            pass
    async with client.websocket("/ws", params={"token": "1"}) as ws:
        await ws.send("x")
        assert await ws.receive() == "x"


async def test_signals_are_sent(app: Flask, client: AsyncClient, colour: str) -> None:
    calls: list[Any] = []

    def listener(name: str) -> Callable[..., Any]:
        async def listen(sender: Any, **values: Any) -> None:
            calls.append((name, *values.values()))

        return listen

    names = "started received sent finished tearing_down".split()
    listeners = {name: listener(name) for name in names}
    for name in names:
        getattr(aioflask, f"websocket_{name}").connect(listeners[name], app)
    broken = listener("exception")
    aioflask.got_websocket_exception.connect(broken, app)
    echoing(app, colour)
    app.add_url_rule("/broken", "broken", lambda: str(1 / 0), websocket=True)
    async with client.websocket("/ws") as ws:
        await ws.send("x")
        await ws.receive()
    await eventually(lambda: len(calls) == 5)
    assert calls == [
        ("started",), ("received", "x"), ("sent", "x"), ("finished", None), ("tearing_down", None),
    ]  # fmt: skip
    del calls[:]
    with pytest.raises(WebSocketRefused):
        async with client.websocket("/broken"):
            pass
    assert [call[0] for call in calls] == ["started", "exception", "finished", "tearing_down"]
    assert [str(call[1]) for call in (calls[1], calls[3])] == ["division by zero"] * 2


async def test_contexts_can_be_copied_to_a_task(app: Flask, client: AsyncClient) -> None:
    @app.websocket("/ws")
    async def view() -> None:
        await websocket.accept()

        @copy_current_websocket_context
        async def tick() -> None:
            await websocket.send(websocket.path)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
        await run_sync(websocket.send, "from a thread")

    async with client.websocket("/ws") as ws:
        assert await ws.receive() == "/ws"
        assert await ws.receive() == "from a thread"
    with pytest.raises(RuntimeError, match="Working outside of websocket context"):
        copy_current_websocket_context(lambda: None)
    with app.test_request_context("/"):
        assert not has_websocket_context()
        with pytest.raises(RuntimeError, match="Working outside of websocket context"):
            websocket.receive()


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_task_that_outlives_its_view_is_told_so(
    app: Flask, client: AsyncClient, anyio_backend: str
) -> None:
    ends: list[Any] = []
    go = asyncio.Event()

    @app.websocket("/ws")
    async def view() -> None:
        await websocket.accept()

        @copy_current_websocket_context
        async def late() -> None:
            await go.wait()
            try:
                await websocket.send_json(late=True)
            except (RuntimeError, WebSocketDisconnect) as error:
                ends.append(str(error))

        ends.append(asyncio.create_task(late()))

    async with client.websocket("/ws") as ws:
        with pytest.raises(WebSocketClosed):
            await ws.receive()
    go.set()
    await ends[0]
    assert "called after websocket.close()" in ends[1]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["x" * 101, b"x" * 101, "\N{SNOWMAN}" * 34])
async def test_a_message_over_the_limit_closes_with_1009(
    app: Flask,
    client: AsyncClient,
    colour: str,
    message: str | bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.config["MAX_WEBSOCKET_MESSAGE"] = 100
    echoing(app, colour)
    async with client.websocket("/ws") as ws:
        for fits in ("x" * 100, b"x" * 100, "\N{SNOWMAN}" * 33):
            await ws.send(fits)
            assert await ws.receive() == fits
        await ws.send(message)
        with pytest.raises(WebSocketClosed, match="MAX_WEBSOCKET_MESSAGE") as closed:
            await ws.receive()
    assert closed.value.code == 1009
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("message", ["{", "", b"\xff", "[1,]"])
async def test_a_message_that_is_not_json_closes_with_1007_unless_it_is_caught(
    app: Flask, client: AsyncClient, colour: str, message: str | bytes
) -> None:
    def plain() -> None:
        try:
            websocket.receive_json()
        except BadMessage as error:
            websocket.send(str(error))
        websocket.receive_json()

    async def asynchronous() -> None:
        try:
            await websocket.receive_json()
        except BadMessage as error:
            await websocket.send(str(error))
        await websocket.receive_json()

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    async with client.websocket("/ws") as ws:
        await ws.send(message)
        assert await ws.receive() == "The message is not JSON."
        await ws.send(message)
        with pytest.raises(WebSocketClosed) as closed:
            await ws.receive()
    assert closed.value.code == 1007


async def test_an_error_after_accept_is_logged_once_and_closes_with_1011(
    app: Flask, client: AsyncClient, colour: str, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[Any] = []

    @app.teardown_websocket
    def tear_down(error: BaseException | None) -> None:
        ends.append(type(error))

    def plain() -> None:
        websocket.accept()
        raise LookupError("lost")

    async def asynchronous() -> None:
        await websocket.accept()
        raise LookupError("lost")

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    async with client.websocket("/ws") as ws:
        with pytest.raises(WebSocketClosed) as closed:
            await ws.receive()
    assert (closed.value.code, closed.value.reason) == (1011, "")
    await eventually(lambda: ends == [LookupError])
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_an_abort_after_accept_closes_with_1008(app: Flask, client: AsyncClient) -> None:
    @app.websocket("/ws")
    async def view() -> None:
        await websocket.accept()
        abort(403)

    async with client.websocket("/ws") as ws:
        with pytest.raises(WebSocketClosed) as closed:
            await ws.receive()
    assert (closed.value.code, closed.value.reason) == (1008, "Forbidden")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: websocket.send(3), r"send\(3\): a message is str or bytes, not int"),  # type: ignore[arg-type]
        (lambda: websocket.close(1006), r"close\(1006\): a code is 1000"),
        (lambda: websocket.close(2000), r"close\(2000\): a code is 1000"),
        (lambda: websocket.close(4000, "x" * 124), "124 bytes are too many"),
        (lambda: websocket.accept(), "accepted or closed already"),
        (lambda: websocket.send_json(1, a=2), "values or keywords, not both"),
        (lambda: next(iter(websocket)), "Write 'async for message in websocket'"),
    ],
)
async def test_mistakes_are_told(app: Flask, client: AsyncClient, call: Any, message: str) -> None:
    app.testing = True

    @app.websocket("/ws")
    async def view() -> None:
        await websocket.accept()
        await call()

    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        await closed_at_once(client)


async def test_a_client_that_never_reads_holds_the_view_back(
    app: Flask, client: AsyncClient, colour: str
) -> None:
    sent: list[int] = []

    def plain() -> None:
        while True:
            websocket.send("x" * 1000)
            sent.append(1)

    async def asynchronous() -> None:
        while True:
            await websocket.send("x" * 1000)
            sent.append(1)

    view: Callable[..., Any] = plain if colour == "def" else asynchronous
    app.add_url_rule("/ws", "view", view, websocket=True)
    async with client.websocket("/ws"):
        await anyio.sleep(0.1)
        assert 10 < len(sent) < 20
    await eventually(lambda: not app._open)


async def test_there_is_a_limit_of_threads_for_plain_views(
    app: Flask, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["WEBSOCKET_THREADS"] = 2
    echoing(app, "def")
    app.add_url_rule("/plain", "plain", lambda: "a worker thread")
    async with client.websocket("/ws"), client.websocket("/ws"):
        with pytest.raises(WebSocketRefused, match="503"):
            async with client.websocket("/ws"):
                pass
        assert (await client.get("/plain")).text == "a worker thread"
    assert "WEBSOCKET_THREADS" in caplog.text
    await eventually(lambda: not app._open)
    async with client.websocket("/ws") as ws:
        await ws.send("again")
        assert await ws.receive() == "again"


# --- the server's end -----------------------------------------------------------------------------


async def test_the_servers_end_says_1001_and_breaks_off_who_does_not_listen(app: Flask) -> None:
    app.config["STREAM_SHUTDOWN_TIMEOUT"] = 0.1
    ends: list[str] = []

    @app.websocket("/listens")
    async def listens() -> None:
        try:
            async for _ in websocket:
                pass
        finally:
            ends.append("listens")

    @app.websocket("/sleeps")
    async def sleeps() -> None:
        await websocket.accept()
        try:
            await anyio.sleep(20)
        finally:
            ends.append("sleeps")

    @app.teardown_websocket
    async def tear_down(error: BaseException | None) -> None:
        await anyio.sleep(0)
        ends.append("torn down")

    async with anyio.create_task_group() as tasks:
        codes: list[int] = []

        async def connect(client: AsyncClient, path: str) -> None:
            async with client.websocket(path) as ws:
                if path == "/listens":
                    await ws.send("x")
                with pytest.raises(WebSocketClosed) as closed:
                    await ws.receive()
                codes.append(closed.value.code)

        async with app.async_client() as client:
            tasks.start_soon(connect, client, "/listens")
            tasks.start_soon(connect, client, "/sleeps")
            await eventually(lambda: len(app._open) == 2)
            await anyio.sleep(0.02)
            app.shutdown_event.set()
            await eventually(lambda: len(ends) == 4)
    assert codes == [1001, 1001]
    assert sorted(ends) == ["listens", "sleeps", "torn down", "torn down"]
