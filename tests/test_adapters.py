"""`WSGIApp` and `ASGIApp`: applications of the other kind, at their own words."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any

import pytest
from werkzeug.test import Client, create_environ

from aioflask import ASGIApp, Flask, WSGIApp, request
from aioflask.environ import build_environ, environ_of, scope_from_environ

Message = MutableMapping[str, Any]


def scope_of(path: str = "/", **kwargs: Any) -> Any:
    scope = scope_from_environ(create_environ(path, **kwargs))
    del scope["aioflask.environ"]
    return scope


async def ask(app: Any, scope: Any = None, *body: bytes, cut: bool = False) -> list[Message]:
    """What an ASGI application sends for a request whose body comes in these pieces."""
    pieces, sent = list(body), list[Message]()

    async def receive() -> Message:
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces) or cut}
        if cut:
            return {"type": "http.disconnect"}
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await asyncio.wait_for(app(scope or scope_of(), receive, send), 10)
    return sent


def body_of(sent: list[Message]) -> bytes:
    assert not sent[-1].get("more_body")
    return b"".join(message["body"] for message in sent[1:])


def ignore(*args: Any) -> Any:
    """A `start_response` that nobody asks."""


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [b"Hello"]


# --- WSGI inside ASGI -----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_wsgi_application_answers() -> None:
    start, body = await ask(WSGIApp(hello))
    assert start["status"] == 200
    assert start["headers"] == [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    assert body == {"type": "http.response.body", "body": b"Hello", "more_body": False}


@pytest.mark.anyio
async def test_ten_slow_requests_run_at_once() -> None:
    def slow(environ: Any, start_response: Any) -> list[bytes]:
        time.sleep(0.2)
        return hello(environ, start_response)

    app = WSGIApp(slow)
    begun = time.monotonic()
    await asyncio.gather(*(ask(app) for _ in range(10)))
    assert time.monotonic() - begun < 0.4


@pytest.mark.anyio
async def test_a_full_queue_is_a_503() -> None:
    free = threading.Event()

    def waits(environ: Any, start_response: Any) -> list[bytes]:
        free.wait(10)
        return hello(environ, start_response)

    app = WSGIApp(waits, threads=1, queue=1)
    tasks = [asyncio.create_task(ask(app)) for _ in range(2)]
    await asyncio.sleep(0.05)
    (start, _) = await ask(app)
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"1")
    free.set()
    assert [(await task)[0]["status"] for task in tasks] == [200, 200]


state: ContextVar[str] = ContextVar("state", default="")


@pytest.mark.anyio
async def test_one_thread_and_one_context_from_start_to_close() -> None:
    seen: list[tuple[int, str]] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            for n in range(40):
                state.set(state.get() + ".")
                seen.append((threading.get_ident(), state.get()))
                yield b"%d" % n

        def close(self) -> None:
            seen.append((threading.get_ident(), state.get()))

    def app(environ: Any, start_response: Any) -> Any:
        state.set("x")
        start_response("200 OK", [])
        return Body()

    sent = await ask(WSGIApp(app))
    assert body_of(sent) == b"".join(b"%d" % n for n in range(40))
    assert len({thread for thread, _ in seen}) == 1
    assert seen[-1][1] == seen[-2][1] == "x" + "." * 40
    assert state.get() == ""


@pytest.mark.anyio
@pytest.mark.parametrize("declared", [True, False])
async def test_the_body_comes_on_demand_and_whole(declared: bool) -> None:
    pieces = [bytes([n]) * 100_000 for n in range(12)]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        stream = environ["wsgi.input"]
        got = stream.read(10) + stream.readline()[:0] + stream.read()
        start_response("200", [("X-Length", str(len(got)))])
        return [b"".join(sorted({bytes([byte]) for byte in got}))]

    scope = scope_of(method="POST")
    field = (b"content-length", b"1200000") if declared else (b"transfer-encoding", b"chunked")
    scope["headers"] = [field]

    def all_of_it(environ: Any, start_response: Any) -> list[bytes]:
        data = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [data]

    assert body_of(await ask(WSGIApp(all_of_it), scope, *pieces)) == b"".join(pieces)
    assert (await ask(WSGIApp(app), scope, *pieces))[0]["status"] == 200


@pytest.mark.anyio
async def test_a_body_cut_short_is_an_error_for_its_reader_and_a_400_of_flask() -> None:
    errors: list[BaseException] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(2):
            try:
                environ["wsgi.input"].read()
            except OSError as error:
                errors.append(error)
        return hello(environ, start_response)

    scope = scope_of(method="POST")
    scope["headers"] = [(b"content-length", b"10")]
    await ask(WSGIApp(app), scope, b"12345", cut=True)
    await ask(WSGIApp(app), scope, b"12345")
    assert len(errors) == 4

    flask = Flask(__name__)
    flask.post("/")(lambda: request.get_data())
    start, _ = await ask(WSGIApp(flask), scope, b"12345", cut=True)
    assert start["status"] == 400


@pytest.mark.anyio
@pytest.mark.parametrize("declared", [True, False])
async def test_the_limit_counts_bytes(declared: bool) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        data = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [data]

    limited = WSGIApp(app, max_content_length=10)

    async def status(data: bytes) -> int:
        scope = scope_of(method="POST")
        field = (b"content-length", b"%d" % len(data)) if declared else (b"transfer-encoding", b"")
        scope["headers"] = [field]
        return int((await ask(limited, scope, data))[0]["status"])

    assert await status(b"x" * 10) == 200
    assert await status(b"x" * 11) == 413


@pytest.mark.anyio
async def test_repeated_host_and_content_length_are_refused() -> None:
    for field in ((b"host", b"a"), (b"content-length", b"0")):
        scope = scope_of()
        scope["headers"] = [field, field]
        assert (await ask(WSGIApp(hello), scope))[0]["status"] == 400


def test_the_environ_is_exact() -> None:
    scope = scope_of("/apiv2/x?q=%FF")
    scope.update(root_path="/api", headers=[
        (b"cookie", b"a=1"), (b"x-user", b"1"), (b"x_user", b"2"), (b"cookie", b"b=2"),
        (b"x-user", b"\xff"),
    ])  # fmt: skip
    environ = build_environ(scope)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/api", "/apiv2/x")
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_X_USER"] == "1,\xff"
    scope.update(path="/api", raw_path=b"/api")
    assert build_environ(scope)["PATH_INFO"] == ""
    scope.update(path="/api/\ufffd\u00fc/x", raw_path=b"/api/%FF%C3%BC%2Fx")
    assert build_environ(scope)["PATH_INFO"] == "/\xff\xc3\xbc/x"
    scope.update(server=("/run/app.sock", None), scheme="https")
    environ = build_environ(scope)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "443")


def test_ten_thousand_repeated_fields_take_linear_time() -> None:
    scope = scope_of()
    scope["headers"] = [(b"x-much", b"y" * 200)] * 10_000
    begun = time.process_time()
    assert len(build_environ(scope)["HTTP_X_MUCH"]) == 2_009_999
    assert time.process_time() - begun < 0.5


def test_what_a_middleware_changed_in_a_scope_is_in_the_environ() -> None:
    environ = create_environ("/a", headers={"X-Gone": "1"})
    scope = scope_from_environ(environ)
    assert environ_of(scope) is environ
    changed = {**scope, "scheme": "https", "root_path": "/p", "path": "/p/a", "headers": []}
    made = environ_of(changed)
    assert made is environ
    assert (made["wsgi.url_scheme"], made["SCRIPT_NAME"], made["PATH_INFO"]) == (
        "https",
        "/p",
        "/a",
    )
    assert "HTTP_X_GONE" not in made


@pytest.mark.anyio
async def test_an_error_is_a_500_and_goes_on_to_the_server() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    def fails(environ: Any, start_response: Any) -> list[bytes]:
        raise LookupError("lost")

    with pytest.raises(LookupError):
        await WSGIApp(fails)(scope_of(), receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 500

    def fails_later(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        raise LookupError("lost")

    sent.clear()
    with pytest.raises(LookupError):
        await WSGIApp(fails_later)(scope_of(), receive, send)
    assert sent[-1]["more_body"] is True

    async def send_to_nobody(message: Message) -> None:
        raise OSError("the client has gone")

    with pytest.raises(LookupError):
        await WSGIApp(fails)(scope_of(), receive, send_to_nobody)


WRONG: list[tuple[Any, Any, str]] = [
    ("nonsense", [], "a status is text"),
    ("200 OK", [("X", "a\r\nSet-Cookie: b")], "line break"),
    ("200 OK", [("X:", "a")], "name"),
    ("200 OK", [("X", b"a")], "Both are text"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "headers", "text"), WRONG)
async def test_a_wrong_head_is_refused(status: Any, headers: Any, text: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [b""]

    with pytest.raises((TypeError, ValueError), match=f"(?i){text}"):
        await ask(WSGIApp(app))


@pytest.mark.anyio
async def test_white_space_around_a_value_is_not_sent() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Set-Cookie", " a=b; Path=/\t")])
        return [b""]

    assert (await ask(WSGIApp(app)))[0]["headers"][0] == (b"set-cookie", b"a=b; Path=/")


@pytest.mark.anyio
async def test_start_response_may_be_called_again_with_exc_info_until_bytes_are_sent() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [("X-First", "1")])
        try:
            raise LookupError("lost")
        except LookupError as error:
            info = (type(error), error, error.__traceback__)
            write = start_response("500", [("X-Second", "1")], info)
        write(b"written, ")
        yield b"yielded"
        try:
            raise KeyError("too late")
        except KeyError as error:
            start_response("500", [], (type(error), error, error.__traceback__))

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(KeyError):
        await WSGIApp(app)(scope_of(), None, send)  # type: ignore[arg-type]
    assert (sent[0]["status"], sent[0]["headers"]) == (500, [(b"x-second", b"1")])
    assert [message["body"] for message in sent[1:]] == [b"written, ", b"yielded"]


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204"), ("GET", "304")])
async def test_no_body_where_http_has_none(method: str, status: str) -> None:
    closed: list[bool] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response(status, [("Content-Length", "1")])
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    sent = await ask(WSGIApp(app), scope_of(method=method))
    assert body_of(sent) == b""
    assert closed == [True]


@pytest.mark.anyio
@pytest.mark.parametrize("spec", ["2.3", "2.4"])
async def test_an_endless_stream_ends_with_its_client(spec: str) -> None:
    closed: list[int] = []
    gone = asyncio.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                time.sleep(0.001)
                yield b"x"

        def close(self) -> None:
            closed.append(threading.get_ident())

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Endless()

    count = 0

    async def send(message: Message) -> None:
        nonlocal count
        count += 1
        if count > 20:
            gone.set()
            if spec == "2.4":
                raise OSError("gone")

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = scope_of()
    scope["asgi"] = {"version": "3.0", "spec_version": spec}
    await asyncio.wait_for(WSGIApp(app)(scope, receive, send), 5)
    assert len(closed) == 1


@pytest.mark.anyio
async def test_a_response_shorter_than_declared_is_broken_off_and_a_longer_one_cut() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", environ["QUERY_STRING"])])
        return [b"12345"]

    with pytest.raises(RuntimeError, match="5 bytes before"):
        await ask(WSGIApp(app), scope_of("/?10"))
    assert body_of(await ask(WSGIApp(app), scope_of("/?3"))) == b"123"


@pytest.mark.anyio
async def test_lifespan_is_acknowledged_and_websockets_are_refused() -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await WSGIApp(hello)({"type": "lifespan"}, receive, send)
    messages.append({"type": "websocket.connect"})
    await WSGIApp(hello)({"type": "websocket"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(TypeError, match="no WSGI application"):
        WSGIApp("app")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no ASGI application"):
        ASGIApp(None)  # type: ignore[arg-type]


# --- ASGI inside WSGI -----------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"te", b"x")]})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            await send({"type": "http.response.body", "body": b"cut off", "more_body": False})
            return
        more = message["more_body"]
        body = {"type": "http.response.body", "body": message["body"], "more_body": more}
        await send(body)


def test_an_asgi_application_answers_and_reads() -> None:
    client = Client(ASGIApp(echo))
    data = b"0123456789" * 100_000
    answer = client.post("/", data=data)
    assert (answer.status, answer.data, dict(answer.headers)) == ("200 OK", data, {})
    assert client.get("/").data == b""


def test_a_short_body_is_a_disconnect() -> None:
    environ = create_environ(method="POST", input_stream=io.BytesIO(b"12345"))
    environ["CONTENT_LENGTH"] = "10"
    assert b"".join(ASGIApp(echo)(environ, ignore)).endswith(b"cut off")


def test_ten_slow_requests_are_awaited_at_once() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await asyncio.sleep(0.2)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x"})

    app = ASGIApp(slow)
    threads = [threading.Thread(target=Client(app).get, args=("/",)) for _ in range(10)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 0.4


def test_lifespan_runs_once_and_its_state_reaches_requests() -> None:
    started: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            started.append((await receive())["type"])
            scope["state"]["word"] = "hello"
            await send({"type": "lifespan.startup.complete"})
            started.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["state"]["word"].encode()})

    client = Client(ASGIApp(app))
    assert [client.get("/").data for _ in range(3)] == [b"hello"] * 3
    assert started == ["lifespan.startup"]


def test_a_failing_start_is_told_by_the_first_request() -> None:
    tries: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            tries.append(1)
            if len(tries) == 1:
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    client = Client(ASGIApp(app))
    with pytest.raises(RuntimeError, match="no database"):
        client.get("/")
    assert client.get("/").status_code == 204


def test_close_tells_the_application_and_cancels_it_after_the_grace() -> None:
    told: list[str] = []
    done = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await receive()
        await send({"type": "http.response.start", "status": 200})
        try:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            told.append((await receive())["type"])
            try:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
            except OSError:
                told.append("OSError")
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise
        finally:
            done.set()

    body: Any = ASGIApp(app, grace=0.05)(create_environ(), ignore)
    assert next(body) == b"x"
    body.close()
    assert done.wait(5)
    assert told == ["http.disconnect", "OSError", "cancelled"]


def test_a_stream_is_held_back_by_its_reader() -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    body: Any = ASGIApp(app)(create_environ(), ignore)
    assert next(body) == b"x"
    time.sleep(0.1)
    assert sent < 30
    assert b"".join(body) == b"x" * 199


def test_what_runs_on_after_the_response_is_left_alone() -> None:
    done = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x"})
        assert (await receive())["type"] == "http.disconnect"
        await asyncio.sleep(0.2)
        done.set()

    begun = time.monotonic()
    assert Client(ASGIApp(app, grace=0)).get("/").data == b"x"
    assert time.monotonic() - begun < 0.15
    assert done.wait(5)


def test_errors_reach_the_server() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/raises":
            raise LookupError("lost")
        if scope["type"] == "http" and scope["path"] == "/later":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            raise LookupError("lost")

    wsgi = ASGIApp(app)
    with pytest.raises(LookupError):
        wsgi(create_environ("/raises"), ignore)
    with pytest.raises(RuntimeError, match="returned before"):
        wsgi(create_environ("/"), ignore)
    body = iter(wsgi(create_environ("/later"), ignore))
    assert next(body) == b"x"
    with pytest.raises(LookupError):
        next(body)


def test_a_websocket_is_refused_with_a_reason() -> None:
    answer = Client(ASGIApp(echo)).get("/", headers={"Upgrade": "websocket"})
    assert answer.status_code == 501
    assert "ASGI server" in answer.text


@pytest.mark.anyio
async def test_on_a_loop_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="await the ASGI application itself"):
        ASGIApp(echo)(create_environ(), ignore)
