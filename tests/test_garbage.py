"""A request that is over is gone: nothing of it waits for the garbage collector.

Objects that keep each other alive hold what the request holds, its body, its response, the
server's connection, until the collector comes by.
"""

from __future__ import annotations

import gc
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from aioflask import Flask, Response, abort, request, send_file, websocket
from aioflask.wrappers import Request

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n%b\r\n--b--\r\n'
FIELD = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
ON_DISK = PART % bytes(3 << 20)

EXCHANGES: dict[str, tuple[str, str | None, bytes, int]] = {
    "json": ("/json", JSON, b'{"a": 1}', 200),
    "plain json": ("/plain-json", JSON, b'{"a": 1}', 200),
    "bad json": ("/json", JSON, b"{", 400),
    "wrong type": ("/json", "text/plain", b"x", 415),
    "form": ("/form", FORM, b"a=1&b=2", 200),
    "file": ("/form", MULTIPART, PART % b"x", 200),
    "file on disk": ("/form", MULTIPART, ON_DISK, 200),
    "too many parts": ("/form", MULTIPART, FIELD * 1001 + b"--b--\r\n", 413),
    "parts": ("/parts", MULTIPART, PART % b"x", 200),
    "environ": ("/environ", JSON, b"{}", 200),
    "download": ("/download", None, b"", 200),
    "plain download": ("/plain-download", None, b"", 200),
    "stream": ("/stream", None, b"", 200),
    "plain stream": ("/plain-stream", None, b"", 200),
    "unread body": ("/unread", JSON, b"{}", 200),
    "abort": ("/abort", None, b"", 403),
    "plain abort": ("/plain-abort", None, b"", 403),
    "hook aborts": ("/hook", None, b"", 401),
    "missing": ("/nowhere", JSON, b"{}", 404),
    "wrong method": ("/get", None, b"", 405),
    "fails": ("/fails", None, b"", 500),
    "plain fails": ("/plain-fails", None, b"", 500),
}

every_exchange = pytest.mark.parametrize(
    ("path", "content_type", "body", "status", "handles"),
    [
        pytest.param(*exchange, handles, id=f"{name}, handled" if handles else name)
        for name, exchange in EXCHANGES.items()
        for handles in ([False, True] if exchange[3] >= 400 else [False])
    ],
)


async def hook() -> None:
    if request.path == "/hook":
        abort(401)


async def read_json() -> Any:
    return request.get_json()


async def form() -> Any:
    return {**request.form, **{name: file.filename for name, file in request.files.items()}}


async def parts() -> str:
    return str([await part.read() async for part in request.stream_parts()])


async def environ() -> Any:
    return request.environ["wsgi.input"].read()


async def download() -> Response:
    return send_file(__file__)


async def stream() -> Any:
    async def chunks() -> AsyncIterator[str]:
        yield "a"

    return chunks()


async def refuse() -> None:
    abort(403)


async def fail() -> None:
    raise ZeroDivisionError


async def converse(kind: str) -> Any:
    if kind == "fails-first":
        raise ZeroDivisionError
    if kind == "refused":
        abort(403)
    await websocket.send(await websocket.receive())
    if kind == "fails":
        raise ZeroDivisionError
    if kind == "gone":
        await websocket.receive()


def make_app(handles: bool) -> Flask:
    app = Flask(__name__)
    app.logger.disabled = True

    app.before_request(hook)
    for path, view in {
        "/json": read_json, "/form": form, "/environ": environ, "/download": download,
        "/stream": stream, "/abort": refuse, "/fails": fail, "/hook": fail,
        "/plain-json": lambda: request.get_json(), "/plain-download": lambda: send_file(__file__),
        "/plain-stream": lambda: iter("ab"), "/plain-abort": lambda: abort(403),
        "/plain-fails": lambda: 1 // 0,
    }.items():  # fmt: skip
        app.add_url_rule(path, path, view, methods=["POST"])
    app.add_url_rule("/get", "/get", fail)
    app.add_url_rule("/parts", "/parts", parts, methods=["POST"], stream_body=True)
    app.add_url_rule("/unread", "/unread", stream, methods=["POST"], stream_body=True)
    if handles:

        @app.errorhandler(Exception)
        def handler(error: Any) -> Any:
            return str(error), getattr(error, "code", 500)

    app.websocket("/ws/<kind>")(converse)
    return app


@contextmanager
def collecting(count: int) -> Iterator[None]:
    """Fail if what runs inside leaves requests, responses, or more than so many objects."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [each for each in gc.garbage if isinstance(each, (Request, Response))]
        assert len(gc.garbage) < count, gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def allowed(status: int) -> int:
    # What Werkzeug's matcher leaves, a function that calls itself, has nothing of a request.
    return 10 if status != 405 else 100


def scope_of(kind: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": kind, "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 50000), "root_path": "",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8000"), *headers], "state": {}, "method": "POST",
    }  # fmt: skip


@pytest.mark.anyio
@every_exchange
async def test_a_request_leaves_nothing(
    path: str, content_type: str | None, body: bytes, status: int, handles: bool
) -> None:
    app, statuses = make_app(handles), []
    headers = [(b"content-length", str(len(body)).encode())]
    if content_type:
        headers.append((b"content-type", content_type.encode()))

    async def ask() -> None:
        pieces = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return pieces.pop() if pieces else await anyio.sleep_forever()

        async def send(message: dict[str, Any]) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await app(scope_of("http", path, headers), receive, send)

    for _ in range(2):  # The host is new, and the worker threads, and much is imported.
        await ask()
    with collecting(allowed(status)):
        for _ in range(10):
            await ask()
    assert statuses == 12 * [status]


@every_exchange
def test_a_request_by_wsgi_leaves_nothing(
    path: str, content_type: str | None, body: bytes, status: int, handles: bool
) -> None:
    app, statuses = make_app(handles), []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[..., None]:
        statuses.append(int(status[:3]))
        return lambda data: None

    def ask() -> None:
        environ = {
            "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1:8000", "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(body), "wsgi.multithread": True, "wsgi.errors": io.StringIO(),
            "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": content_type or "",
        }  # fmt: skip
        pieces: Any = app(environ, start_response)
        list(pieces)
        pieces.close()

    for _ in range(2):
        ask()
    with collecting(allowed(status)):
        for _ in range(10):
            ask()
    assert statuses == 12 * [status]


@pytest.mark.anyio
async def test_the_input_of_a_request_that_is_over_says_so() -> None:
    app = Flask(__name__)
    environs: list[Any] = []

    @app.post("/")
    async def keep() -> str:
        environs.append(request.environ)
        return str(len(request.get_data()))

    async with app.async_client() as client:
        response = await client.post("/", content=b"abc")
        assert response.text == "3"
    with pytest.raises(ValueError, match=r"wsgi\.input of a request that is over"):
        environs[0]["wsgi.input"].read()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["echoes", "gone", "fails", "fails-first", "refused", "nowhere"])
async def test_a_websocket_leaves_nothing(kind: str) -> None:
    app, sent = make_app(handles=False), []
    path = f"/ws/{kind}" if kind != "nowhere" else "/nowhere"

    async def ask() -> None:
        messages = [
            {"type": "websocket.disconnect", "code": 1001},
            {"type": "websocket.receive", "text": "x"},
            {"type": "websocket.connect"},
        ]

        async def receive() -> Any:
            return messages.pop() if messages else await anyio.sleep_forever()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])

        await app(scope_of("websocket", path, []), receive, send)

    for _ in range(2):
        await ask()
    with collecting(10):
        for _ in range(10):
            await ask()
    assert len(sent) >= 12
