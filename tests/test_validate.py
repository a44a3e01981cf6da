"""`wsgiref.validate` between our app and whatever calls it, and between us and what we call.

It stands in the middle and fails on anything that PEP 3333 does not allow, from either side: a
header that is no text, an iterator that is not closed, a key that the environ lacks. Its warnings
are errors here, as all are.
"""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import httpx
import pytest
from werkzeug.test import TestResponse, create_environ, run_wsgi_app

from aioflask import (
    ASGIApp,
    Flask,
    Response,
    WSGIApp,
    request,
    send_file,
    session,
    stream_with_context,
)
from aioflask.async_client import ASGITransport
from tests.legacy import LEGACY

LONG = "0123456789" * 20_000


def add_plain_views(app: Flask) -> None:
    @app.get("/plain")
    def plain() -> str:
        return "plain"

    @app.get("/plain-stream")
    def plain_stream() -> Iterator[str]:
        yield from ("a", "", "b")

    @app.get("/with-context")
    def with_context() -> Iterator[str]:
        return stream_with_context(piece for piece in ("c", request.path))

    @app.post("/upload")
    def upload() -> dict[str, int]:
        return {name: len(file.read()) for name, file in request.files.items()}

    @app.post("/lines")
    def lines() -> str:
        return str([len(line) for line in request.stream])

    @app.get("/file")
    def file() -> Response:
        return send_file(io.BytesIO(LONG.encode()), mimetype="text/plain", etag=False)

    @app.get("/session")
    def in_session() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    @app.get("/plain-error")
    def plain_error() -> str:
        raise ValueError("a plain mistake")


def add_async_views(app: Flask) -> None:
    @app.get("/async")
    async def in_async() -> str:
        return "async"

    @app.get("/async-stream")
    async def async_stream() -> AsyncIterator[str]:
        for piece in ("x", "", "y"):
            yield piece

    @app.post("/json")
    async def in_json() -> Any:
        return request.get_json()

    @app.get("/nothing")
    async def nothing() -> Response:
        response = Response(status=204)
        # COMPAT: as Flask, a 204 keeps the Content-Type, which the validator allows none.
        del response.headers["Content-Type"]
        return response

    @app.get("/etag")
    async def etag() -> Response:
        response = Response("tagged")
        response.set_etag("x")
        response.make_conditional(request)
        return response

    @app.get("/async-error")
    async def async_error() -> str:
        raise ValueError("an async mistake")


def make_app() -> Flask:
    app = Flask("validated", static_folder=None)
    app.secret_key = "no secret"
    add_plain_views(app)
    add_async_views(app)
    return app


FACES: dict[str, Callable[[Flask], Any]] = {
    "app": lambda app: app,
    "app.wsgi_app": lambda app: app.wsgi_app,
    "ASGIApp": ASGIApp,
    "ASGIApp, foreign": lambda app: ASGIApp(lambda *args: app(*args)),
}


@pytest.fixture(params=FACES)
def call(request: pytest.FixtureRequest) -> Callable[..., TestResponse]:
    """Sends a request to the app through a validator, and reads the response to its end."""
    face = validator(FACES[request.param](make_app()))

    def call(path: str, method: str = "GET", **options: Any) -> TestResponse:
        environ = create_environ(path, method=method, **options)
        with environ["wsgi.input"]:
            body, status, headers = run_wsgi_app(face, environ, buffered=True)
        return TestResponse(body, status, headers, request=None)  # type: ignore[arg-type]

    return call


GET = {
    "/plain": "plain",
    "/async": "async",
    "/plain-stream": "ab",
    "/async-stream": "xy",
    "/with-context": "c/with-context",
    "/file": LONG,
    "/session": "1",
    "/etag": "tagged",
}


@pytest.mark.parametrize("path", GET)
def test_views_and_streams_of_both_colours(call: Any, path: str) -> None:
    answer = call(path)
    assert (answer.status_code, answer.text) == (200, GET[path])
    answer = call(path, "HEAD")
    assert (answer.status_code, answer.data) == (200, b"")
    answer = call(path, "OPTIONS")
    assert (answer.status_code, answer.data) == (200, b"")


def test_answers_without_a_body(call: Any) -> None:
    for method in ("GET", "HEAD"):
        answer = call("/nothing", method)
        assert (answer.status_code, answer.data) == (204, b"")
        answer = call("/etag", method, headers={"If-None-Match": '"x"'})
        assert (answer.status_code, answer.data) == (304, b"")


def test_bodies_that_are_sent(call: Any) -> None:
    files = {"small": (io.BytesIO(b"1"), "a"), "large": (io.BytesIO(b"2" * 3_000_000), "b")}
    assert call("/upload", "POST", data=files).json == {"small": 1, "large": 3_000_000}
    assert call("/json", "POST", json=[LONG]).json == [LONG]
    assert call("/lines", "POST", data=b"ab\nc\n\nd").text == "[3, 2, 1, 1]"
    assert call("/plain", "POST", data=b"not wanted").status_code == 405


def test_errors(call: Any) -> None:
    for method in ("GET", "HEAD"):
        for path, status in {"/missing": 404, "/plain-error": 500, "/async-error": 500}.items():
            assert call(path, method).status_code == status
    assert call("/json", "POST", data=b"{").status_code == 415
    assert call("/json", "POST", data=b"{", content_type="application/json").status_code == 400
    assert call("/plain", "PATCH").status_code == 405


def test_a_cookie_comes_back(call: Any) -> None:
    cookie = call("/session").headers["Set-Cookie"].partition(";")[0]
    assert call("/session", headers={"Cookie": cookie}).text == "2"


def ignoring(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
    return sys.stderr.buffer.write


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("path", ["/plain-stream", "/async-stream", "/with-context", "/file"])
def test_a_server_may_close_a_stream_before_its_end(face: str, path: str) -> None:
    app = validator(FACES[face](make_app()))
    for pieces in (0, 1):
        body = app(create_environ(path), ignoring)
        iterator = iter(body)
        for _ in range(pieces):
            assert next(iterator)
        body.close()  # type: ignore[attr-defined]


# --- we are the server -------------------------------------------------------------------------


def reading(how: Callable[[Any], Any]) -> Any:
    """An application that reads its input in one way, and answers what it got."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        got = how(environ["wsgi.input"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [got if isinstance(got, bytes) else b"".join(got)]

    return app


def writing(environ: Any, start_response: Any) -> Iterable[bytes]:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written, ")
    return [b"returned"]


def second_thoughts(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-First", "1")])
    try:
        raise ValueError("before anything was sent")
    except ValueError:
        start_response("500 Sorry", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"sorry"]


def told(environ: Any, start_response: Any) -> Iterator[bytes]:
    environ["wsgi.errors"].writelines(["told\n"])
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield environ["SCRIPT_NAME"].encode("latin-1") + b"|"
    yield environ["PATH_INFO"].encode("latin-1")


def served(app: Any, **options: Any) -> httpx.AsyncClient:
    """A client of our server, which serves an application behind a validator."""
    transport = ASGITransport(WSGIApp(validator(app)), **options)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


READINGS: dict[str, Callable[[Any], Any]] = {
    "read": lambda body: iter(lambda: body.read(50_000), b""),
    "read at once": lambda body: body.read(10_000_000),
    "readline": lambda body: iter(body.readline, b""),
    "readline of a length": lambda body: iter(lambda: body.readline(7), b""),
    "readlines": lambda body: body.readlines(),
    "iteration": lambda body: body,
}


@pytest.mark.anyio
@pytest.mark.parametrize("how", READINGS)
@pytest.mark.parametrize("known", [True, False], ids=["known length", "unknown length"])
async def test_its_input_is_read_in_every_way(how: str, known: bool) -> None:
    body = b"".join(b"%d\n" % number for number in range(50_000)) + b"end"

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 9_999):
            yield body[start : start + 9_999]

    async with served(reading(READINGS[how])) as client:
        answer = await client.post("/", content=body if known else parts())
        assert (answer.status_code, answer.content) == (200, body)
        answer = await client.get("/")
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_write_and_start_response_are_as_they_must_be(method: str) -> None:
    async with served(writing) as client:
        answer = await client.request(method, "/", content=b"unread")
        body = b"" if method == "HEAD" else b"written, returned"
        assert (answer.status_code, answer.content) == (200, body)
    async with served(second_thoughts) as client:
        answer = await client.request(method, "/")
        assert (answer.status_code, "X-First" in answer.headers) == (500, False)
        assert answer.content == (b"" if method == "HEAD" else b"sorry")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("root_path", "path", "text"),
    [
        ("", "/", "|/"),
        ("/", "/", "|/"),
        ("/legacy", "/", "/legacy|/"),
        ("/legacy/", "/x", "/legacy|/x"),
        ("/gr%C3%BCn", "/%C3%A9%20%E6%97%A5", None),
        ("", "/%FF%FE", None),
    ],
)
async def test_paths_are_as_they_must_be(root_path: str, path: str, text: str | None) -> None:
    async with served(told, root_path=root_path.rstrip("/")) as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert text is None or answer.text == text


ODD: dict[str, dict[str, Any]] = {
    "HTTP/2": {"http_version": "2", "headers": [(b"cookie", b"a=1"), (b"cookie", b"b=2")]},
    "a Unix socket": {"server": ("/run/site.sock", None), "client": None},
    "no address": {"server": None, "client": None},
    "a path of nothing": {"path": "/legacy", "root_path": "/legacy"},
    "no raw path": {"raw_path": None},
    "a query": {"query_string": b"a=%FF&b=\xe9"},
    "https": {"scheme": "https"},
    "odd fields": {
        "headers": [
            (b"content-type", b""),
            (b"content-length", b"0"),
            (b"x_under", b"1"),
            (b"x-bytes", b"\xff"),
            (b"x-bytes", b""),
        ]
    },
}


@pytest.mark.anyio
@pytest.mark.parametrize("odd", ODD)
async def test_the_environ_of_an_odd_request_is_as_it_must_be(odd: str) -> None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        **ODD[odd],
    }
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await WSGIApp(validator(told))(scope, receive, send)
    assert messages[0]["status"] == 200
    body = b"".join(message["body"] for message in messages[1:])
    assert body == (b"/legacy|" if "root_path" in ODD[odd] else b"|/")


@pytest.mark.anyio
async def test_a_stream_that_its_client_leaves_is_closed() -> None:
    closed: list[str] = []

    def endless(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            while True:
                yield b"x" * 10_000
        finally:
            closed.append("closed")

    async with served(endless) as client, client.stream("GET", "/") as answer:
        assert await anext(answer.aiter_bytes()) == b"x" * 10_000
    assert closed == ["closed"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", LEGACY)
async def test_other_frameworks_find_the_server_that_they_expect(name: str) -> None:
    legacy: Any = LEGACY[name]()
    async with served(legacy.application) as client:
        assert (await client.get("/hello?name=Zoë")).text == "Hello, Zoë!"
        assert (await client.get("/login?user=ann")).status_code == 200
        assert (await client.get("/me")).text == "ann"
        assert (await client.head("/hello")).content == b""
        assert (await client.get("/error")).status_code == 500
        files = {"file": ("a.bin", b"x" * 3_000_000)}
        answer = await client.post("/upload", data={"note": ""}, files=files)
        assert answer.json()["size"] == 3_000_000
        legacy.released.set()
        assert (await client.get("/stream")).text == "first last"


# --- both at once ------------------------------------------------------------------------------


def test_a_validator_may_stand_around_wsgi_app() -> None:
    app = make_app()
    app.wsgi_app = validator(app.wsgi_app)  # type: ignore[assignment,method-assign]
    client = app.test_client(use_cookies=False)
    # Buffered: else, as Werkzeug's, the client leaves it to close() to close the iterator.
    for path, text in GET.items():
        assert client.get(path, buffered=True).text == text
        assert client.head(path, buffered=True).data == b""
    assert client.post("/json", json=[LONG], buffered=True).json == [LONG]
    with client.post("/upload", data={"large": (io.BytesIO(b"2" * 3_000_000), "b")}) as answer:
        assert answer.json == {"large": 3_000_000}
    assert client.get("/async-error", buffered=True).status_code == 500


@pytest.mark.anyio
async def test_a_validator_may_stand_around_wsgi_app_under_asgi() -> None:
    app = make_app()
    app.wsgi_app = validator(app.wsgi_app)  # type: ignore[assignment,method-assign]
    for path, text in GET.items():
        async with app.async_client() as client:
            assert (await client.get(path)).text == text
            assert (await client.head(path)).content == b""
    async with app.async_client() as client:
        assert (await client.post("/json", json=[LONG])).json() == [LONG]
        answer = await client.post("/upload", files={"large": b"2" * 3_000_000})
        assert answer.json() == {"large": 3_000_000}
        assert (await client.get("/async-error")).status_code == 500


def test_a_validator_on_every_floor() -> None:
    inner = make_app()
    outer = Flask("outer", static_folder=None)
    outer.mount("/inner", WSGIApp(validator(ASGIApp(WSGIApp(validator(inner))))))
    face = validator(outer)
    for path, text in GET.items():
        body, status, _ = run_wsgi_app(face, create_environ("/inner" + path), buffered=True)
        assert (status, b"".join(body).decode()) == ("200 OK", text)
