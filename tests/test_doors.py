"""Middleware around `wsgi_app` and `asgi_app`, each under both kinds of server."""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import re
import threading
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, create_environ

from aioflask import Flask, calls, g, request, url_for
from tests.live import Server


class Prefix:
    """WSGI middleware that moves a prefix into SCRIPT_NAME."""

    def __init__(self, wsgi_app: Any) -> None:
        self.wsgi_app = wsgi_app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        assert environ["PATH_INFO"].startswith("/shop")
        environ["SCRIPT_NAME"] += "/shop"
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/shop")

        def start(status: str, headers: Any, *args: Any) -> Any:
            return start_response(status, [*headers, ("X-Through", "wsgi")], *args)

        return self.wsgi_app(environ, start)


class Secure:
    """ASGI middleware that says https."""

    def __init__(self, asgi_app: Any) -> None:
        self.asgi_app = asgi_app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "scheme": "https"}

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"x-asgi", b"yes")]
                message = {**message, "headers": headers}
            await send(message)

        await self.asgi_app(scope, receive, send_on)


def make_app() -> Flask:
    app = Flask(__name__)

    @app.before_request
    def remember() -> None:
        g.seen = request.path

    @app.get("/plain")
    def plain() -> str:
        return f"{g.seen} {url_for('plain', _external=True)}"

    @app.post("/async")
    async def view() -> str:
        await anyio.sleep(0.001)
        return f"{g.seen} {len(request.get_data())} {url_for('view', _external=True)}"

    @app.get("/stream")
    async def stream() -> AsyncIterator[str]:
        async def lines() -> AsyncIterator[str]:
            for number in range(50):
                await anyio.sleep(0)
                yield f"{number}\n"

        return lines()

    return app


LINES = "".join(f"{number}\n" for number in range(50))


def check(get: Any, post: Any, scheme: str = "http", prefix: str = "/shop") -> None:
    base = f"{scheme}://localhost{prefix}"
    assert get(f"{prefix}/plain") == f"/plain {base}/plain"
    assert post(f"{prefix}/async") == f"/async 100000 {base}/async"
    assert get(f"{prefix}/stream") == LINES


def plain_calls(client: Any, header: str) -> tuple[Any, Any]:
    def get(path: str) -> str:
        answer = client.get(path)
        assert answer.headers[header]
        return str(answer.text)

    def post(path: str) -> str:
        return str(client.post(path, data=b"x" * 100_000).text)

    return get, post


def test_wrapped_wsgi_app_under_wsgi_and_in_the_test_client() -> None:
    app = make_app()
    app.wsgi_app = Prefix(app.wsgi_app)  # type: ignore[method-assign]
    for client in (Client(app), app.test_client()):
        check(*plain_calls(client, "X-Through"))


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_wrapped_wsgi_app_under_asgi(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()
    app.wsgi_app = Prefix(app.wsgi_app)  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        async with app.async_client() as client:
            for _ in range(2):
                answer = await client.get("/shop/plain")
                assert answer.headers["X-Through"] == "wsgi"
                assert answer.text == "/plain http://localhost/shop/plain"
            answer = await client.post("/shop/async", content=b"x" * 100_000)
            assert answer.text == "/async 100000 http://localhost/shop/async"
            assert (await client.get("/shop/stream")).text == LINES
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1, said
    assert "Prefix" in said[0]
    assert "app.asgi_app = Middleware(app.asgi_app)" in said[0]


@pytest.mark.anyio
async def test_proxy_fix_under_asgi() -> None:
    app = make_app()
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/p"}
    async with app.async_client(headers=headers) as client:
        assert (await client.get("/plain")).text == "/plain https://localhost/p/plain"


def test_wrapped_asgi_app_under_wsgi_and_in_the_test_client() -> None:
    app = make_app()
    app.asgi_app = Secure(app.asgi_app)  # type: ignore[method-assign]
    for client in (Client(app), app.test_client()):
        check(*plain_calls(client, "X-Asgi"), scheme="https", prefix="")


@pytest.mark.anyio
async def test_both_wrapped_are_passed_once_each() -> None:
    app = make_app()
    app.asgi_app = Secure(app.asgi_app)  # type: ignore[method-assign]
    app.wsgi_app = Prefix(app.wsgi_app)  # type: ignore[method-assign]
    async with app.async_client() as client:
        answer = await client.get("/shop/plain")
    assert answer.text == "/plain https://localhost/shop/plain"
    assert answer.headers.get_list("X-Through") == ["wsgi"]
    assert answer.headers.get_list("X-Asgi") == ["yes"]


def test_a_class_that_somebody_patched_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app()
    inner = Flask.wsgi_app
    calls: list[str] = []

    def patched(self: Flask, environ: Any, start_response: Any) -> Any:
        calls.append(environ["PATH_INFO"])
        return inner(self, environ, start_response)

    monkeypatch.setattr(Flask, "wsgi_app", patched)
    assert app.test_client().get("/plain").status_code == 200
    assert calls == ["/plain"]


def test_a_body_cut_short_is_a_400_where_the_server_marks_its_input() -> None:
    environ = create_environ("/async", method="POST", input_stream=io.BytesIO(b"12345"))
    environ.update({"CONTENT_LENGTH": "10", "wsgi.input_terminated": True})
    status: list[str] = []
    b"".join(make_app()(environ, lambda line, *args: status.append(line)))
    assert status == ["400 BAD REQUEST"]


def test_a_task_goes_on_after_the_response() -> None:
    app, done = Flask(__name__), threading.Event()
    tasks = set[asyncio.Task[None]]()

    async def later() -> None:
        await asyncio.sleep(0.05)
        done.set()

    @app.get("/")
    async def index() -> str:
        tasks.add(asyncio.create_task(later()))
        return "begun"

    assert Client(app).get("/").text == "begun"
    assert not done.is_set()
    assert done.wait(5)


PRELOADED = """
import os, threading
from aioflask import ASGIApp, Flask

app = Flask(__name__)

@app.get("/")
async def index():
    names = [thread.name for thread in threading.enumerate()]
    return f"{os.getpid()} {names.count('aioflask-loop')}"

async def wrapped(scope, receive, send, inner=app.asgi_app):
    if scope["type"] != "lifespan":
        return await inner(scope, receive, send)
    while True:
        message = await receive()
        os.write(1, f"{message['type']} {os.getpid()}\\n".encode())  # one line, whole
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return

if "wrapped" in os.environ:
    app.asgi_app = wrapped
assert app.test_client().get("/").text == f"{os.getpid()} 1"  # The loop runs before the fork.
print("parent", os.getpid(), flush=True)
"""


@pytest.mark.parametrize("wrapped", [False, True])
def test_each_forked_process_has_a_loop_and_a_lifespan_of_its_own(
    tmp_path: Path, wrapped: bool
) -> None:
    (tmp_path / "preloaded.py").write_text(PRELOADED)
    command = "gunicorn preloaded:app --preload -w 2 --bind 127.0.0.1:0 --no-control-socket"
    environ = {"wrapped": "yes"} if wrapped else {}
    server = Server(tmp_path, "-m", *command.split(), **environ)
    try:
        port = server.until(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", server.output))[1]
        found = set[str]()

        def asked_both() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                found.add(answer.read().decode())
            return len(found) == 2

        server.until(asked_both)
        server.process.terminate()
        server.ends()
    finally:
        server.stop()
    parent = re.findall(r"parent (\d+)", server.output)
    assert {text.split()[1] for text in found} == {"1"}
    workers = {text.split()[0] for text in found}
    assert workers.isdisjoint(parent)
    for message in ("startup", "shutdown"):
        seen = re.findall(rf"lifespan\.{message} (\d+)", server.output)
        assert sorted(seen) == (sorted(workers) if wrapped else []), server.output


def test_a_websocket_under_a_wsgi_server_is_told_what_it_needs() -> None:
    client = Client(make_app())
    answer = client.get("/ws", headers={"Upgrade": "websocket"})
    assert (answer.status_code, "Serve the application with an ASGI server" in answer.text) == (
        501,
        True,
    )
    assert client.get("/plain", headers={"Upgrade": "websocket"}).status_code == 200


def test_a_tool_that_replaces_call_keeps_working(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Any = Flask.__call__
    monkeypatch.setattr(calls, "_taken", {})
    monkeypatch.setattr(Flask, "__call__", original)  # to be put back at the end
    seen: list[str] = []

    def patch(name: str) -> None:
        inner: Any = Flask.__call__

        def patched(self: Flask, environ: Any, start_response: Any) -> Any:
            seen.append(f"{name} {environ['PATH_INFO']}")
            return inner(self, environ, start_response)

        Flask.__call__ = patched  # type: ignore[method-assign, assignment]

    patch("inner")
    app = make_app()
    patch("outer")
    app.get("/late")(lambda: "late")
    assert Flask.__call__ is original
    assert inspect.iscoroutinefunction(app.__call__) or asyncio.iscoroutinefunction(app.__call__)
    client, expected = Client(app), ["outer /plain", "inner /plain"]
    for _ in range(2):
        assert client.get("/plain").status_code == 200
        assert seen == expected
        seen.clear()

    async def ask_by_asgi() -> None:
        async with app.async_client() as asgi:
            assert (await asgi.get("/plain")).status_code == 200
            assert seen == expected
            assert (await asgi.post("/async", content=b"x")).text.startswith("/async 1 ")

    asyncio.run(ask_by_asgi())


def test_a_subclass_with_a_call_of_two_arguments_answers_both_kinds() -> None:
    seen: list[str] = []

    class Own(Flask):
        def __call__(self, environ: Any, start_response: Any) -> Any:  # type: ignore[override]
            seen.append(environ["PATH_INFO"])
            return super().__call__(environ, start_response)

    app = Own(__name__)
    app.get("/")(lambda: "hello")
    assert Client(app).get("/").text == "hello"

    async def ask_by_asgi() -> None:
        async with app.async_client() as client:
            assert (await client.get("/")).text == "hello"

    asyncio.run(ask_by_asgi())
    assert seen == ["/", "/"]
