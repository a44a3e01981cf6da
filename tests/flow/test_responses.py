"""Responses of every kind of value, streams of both colours, and how each of them ends."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any

import anyio
import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import create_environ
from werkzeug.wrappers import Response as WerkzeugResponse

from aioflask import Flask, Response, g, jsonify, make_response, request, stream_with_context
from aioflask.concurrency import on_loop
from aioflask.environ import scope_from_environ
from tests.flow.doors import COLOURS, Flow, few_doors, items, outcome, paint

HTML = "text/html; charset=utf-8"
JSON = "application/json"


# --- kinds of values ---------------------------------------------------------------------------


@few_doors
@pytest.mark.parametrize(
    ("make", "status", "kind", "body"),
    [
        (lambda: "t\u00e9xt", 200, HTML, "t\u00e9xt".encode()),
        (lambda: "", 200, HTML, b""),
        (lambda: b"\x00\xff", 200, HTML, b"\x00\xff"),
        (lambda: bytearray(b"array"), 200, HTML, b"array"),
        (lambda: {"b": 1, "a": [None]}, 200, JSON, b'{"a":[null],"b":1}\n'),
        (lambda: [1, "\u00e9"], 200, JSON, b'[1,"\\u00e9"]\n'),
        (lambda: jsonify(a=1), 200, JSON, b'{"a":1}\n'),
        (lambda: ("made", 201), 201, HTML, b"made"),
        (lambda: ("made", HTTPStatus.CREATED), 201, HTML, b"made"),
        (lambda: ("made", "201 Made It"), 201, HTML, b"made"),
        (lambda: ("text", {"Content-Type": "text/plain"}), 200, "text/plain", b"text"),
        (lambda: ("text", [("Content-Type", "text/plain")]), 200, "text/plain", b"text"),
        (lambda: ("text", Headers({"Content-Type": "a/b"})), 200, "a/b", b"text"),
        (lambda: ("text", 202, {"Content-Type": "a/b"}), 202, "a/b", b"text"),
        (lambda: ("", 202, [("Content-Type", "a/b")]), 202, "a/b", b""),
        (lambda: ({"a": 1}, 202), 202, JSON, b'{"a":1}\n'),
        (lambda: ([], 202, {"Content-Type": "a/b"}), 202, "a/b", b"[]\n"),
        (
            lambda: Response("own", 203, mimetype="text/plain"),
            203,
            "text/plain; charset=utf-8",
            b"own",
        ),
        (lambda: (Response("own", 203), 204 + 1), 205, HTML, b"own"),
        (lambda: (Response("own"), {"Content-Type": "a/b"}), 200, "a/b", b"own"),
        (lambda: WerkzeugResponse("foreign"), 200, "text/plain; charset=utf-8", b"foreign"),
        (lambda: Response(["a", b"b", "c"]), 200, HTML, b"abc"),
        (lambda: Response(("a", b"b")), 200, HTML, b"ab"),
        (lambda: Response(None, 200), 200, HTML, b""),
        (lambda: (c for c in "gen"), 200, HTML, b"gen"),
        (lambda: iter([b"i", b"t"]), 200, HTML, b"it"),
        (lambda: items(["as", b"yn", "c"]), 200, HTML, b"async"),
        (lambda: (items("ab"), 202, {"Content-Type": "a/b"}), 202, "a/b", b"ab"),
        (lambda: (iter("ab"), 202), 202, HTML, b"ab"),
        (lambda: Response(items("ab"), mimetype="a/b"), 200, "a/b", b"ab"),
        (lambda: make_response(("made", 201, {"Content-Type": "a/b"})), 201, "a/b", b"made"),
        (lambda: make_response(iter("ab")), 200, HTML, b"ab"),
    ],
)
def test_a_view_may_return(flow: Flow, make: Any, status: int, kind: str, body: bytes) -> None:
    flow.returning(make)
    answer = flow.get()
    assert (answer.status, answer.headers["Content-Type"], answer.data) == (status, kind, body)
    assert len(answer.headers.getlist("Content-Type")) == 1
    assert len(answer.headers.getlist("Content-Length")) <= 1
    if "Content-Length" in answer.headers:
        assert int(answer.headers["Content-Length"]) == len(body)


@few_doors
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "returned None"),
        ((None, 200), "returned None"),
        ((), "tuple of 0"),
        (("a", 1, {}, 2), "tuple of 4"),
        (3, "was a int"),
        (True, "was a bool"),
        (object(), "was a object"),
    ],
)
def test_what_is_no_response_is_the_views_fault(flow: Flow, value: Any, message: str) -> None:
    flow.app.testing = True
    flow.returning(lambda: value)
    with pytest.raises(TypeError, match=message) as caught:
        flow.get()
    assert "The view function" in str(caught.value) and "'view'" in str(caught.value)


def wsgi_callable(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("202 Accepted", [("Content-Type", "a/b"), ("X-Path", environ["PATH_INFO"])])
    return [b"from ", b"wsgi"]


async def asgi_callable(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    headers = [(b"content-type", b"a/b"), (b"x-path", scope["path"].encode())]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": b"from ", "more_body": True})
    await send({"type": "http.response.body", "body": message["body"] or b"asgi"})


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_view_may_return_another_app(flow: Flow, kind: str, method: str) -> None:
    def after(response: Response) -> Response:
        response.headers["X-After"] = "yes"
        return response

    flow.app.after_request(after)
    called: Any = wsgi_callable if kind == "wsgi" else asgi_callable
    flow.returning(lambda: called, "/there", methods=[method])
    answer = flow.request("/there", method, data=b"posted" if method == "POST" else None)
    assert (answer.status, answer.headers["Content-Type"]) == (202, "a/b")
    assert (answer.headers["X-Path"], answer.headers["X-After"]) == ("/there", "yes")
    posted = kind == "asgi" and method == "POST"
    assert answer.text == ("from posted" if posted else f"from {kind}")


# --- HEAD, 204, 304 ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda: "body", lambda: iter(["bo", "dy"]), lambda: items(["body"])]
)
def test_head_sends_the_headers_of_get_and_no_body(flow: Flow, make: Any) -> None:
    flow.returning(make)
    got, head = flow.get(), flow.request("/", "HEAD")
    assert got.data == b"body" and head.data == b""
    assert sorted(head.headers) == sorted(got.headers)


@few_doors
@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize(
    "make", [lambda: "", lambda: "lost", lambda: iter(["lost"]), lambda: items(["lost"])]
)
def test_some_statuses_have_no_body_and_no_length(flow: Flow, make: Any, status: int) -> None:
    flow.returning(lambda: (make(), status))
    answer = flow.get()
    assert (answer.status, answer.data) == (status, b"")
    assert "Content-Length" not in answer.headers


@few_doors
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"If-None-Match": '"v1"'}, 304),
        ({"If-None-Match": 'W/"v1"'}, 304),
        ({"If-None-Match": '"v2"'}, 200),
        ({"If-Match": '"v1"'}, 200),
        ({"If-Match": '"v2"'}, 412),
        ({"Range": "bytes=0-1"}, 206),
        ({"Range": "bytes=90-"}, 416),
    ],
)
def test_conditional_responses(flow: Flow, headers: dict[str, str], status: int) -> None:
    def view() -> WerkzeugResponse:
        response = Response("content")
        response.set_etag("v1")
        return response.make_conditional(request, accept_ranges=True, complete_length=7)

    flow.route("/")(view)
    answer = flow.get(headers=headers)
    assert answer.status == status
    if status == 206:
        assert (answer.data, answer.headers["Content-Range"]) == (b"co", "bytes 0-1/7")
    elif status == 304:
        assert (answer.data, answer.headers["ETag"]) == (b"", '"v1"')


# --- headers -----------------------------------------------------------------------------------


def test_headers_and_cookies_arrive_as_they_were_set(flow: Flow) -> None:
    def view() -> Response:
        response = make_response("ok")
        response.headers.add("X-Many", "1")
        response.headers.add("X-Many", "2")
        response.headers["X-Latin"] = "\u00e9"
        response.set_cookie("a", "1", httponly=True)
        response.set_cookie("b", "2")
        response.vary.add("Accept")
        response.cache_control.max_age = 3
        return response

    flow.route("/")(view)
    headers = flow.get().headers
    assert headers.getlist("X-Many") == ["1", "2"]
    assert headers["X-Latin"] == "\u00e9"
    assert headers.getlist("Set-Cookie") == ["a=1; HttpOnly; Path=/", "b=2; Path=/"]
    assert (headers["Vary"], headers["Cache-Control"]) == ("Accept", "max-age=3")


def test_changing_a_body_changes_its_length(flow: Flow) -> None:
    def after(response: Response) -> Response:
        response.set_data(response.get_data() + b" and more")
        return response

    flow.app.after_request(flow.paint(after))
    flow.returning(lambda: "some")
    answer = flow.get()
    assert (answer.text, answer.headers["Content-Length"]) == ("some and more", "13")


@few_doors
@pytest.mark.parametrize(
    ("location", "sent"), [("/there", "/there"), ("/\u00e9 x", "/%C3%A9%20x"), ("//h/", "//h/")]
)
def test_locations_are_uris(flow: Flow, location: str, sent: str) -> None:
    flow.returning(lambda: ("", 201, {"Location": location}))
    assert flow.get().headers["Location"] == sent


def test_a_response_class_of_ones_own_is_used_for_all(flow: Flow) -> None:
    class Own(Response):
        default_mimetype = "text/plain"

        def get_wsgi_headers(self, environ: Any) -> Headers:
            headers = super().get_wsgi_headers(environ)
            headers["X-Path"] = environ["PATH_INFO"]
            return headers

    flow.app.response_class = Own
    flow.returning(lambda: "own", "/a")
    answer = flow.get("/a")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Path"] == "/a"
    missing = flow.get("/b")
    assert (missing.status, missing.headers["X-Path"]) == (404, "/b")


# --- streams -----------------------------------------------------------------------------------


def test_a_stream_is_sent_piece_by_piece(flow: Flow) -> None:
    async def made() -> AsyncIterator[str]:
        for n in range(40):
            yield f"{n};"
            await anyio.sleep(0)

    flow.returning(made)
    assert flow.get().pieces == [b"%d;" % n for n in range(40)]


def test_a_stream_that_never_waits_is_sent_in_order(flow: Flow) -> None:
    """Its pieces may come together, as ``test_streams.py`` has it."""
    flow.returning(lambda: (f"{n};" for n in range(40)))
    answer = flow.get()
    assert answer.pieces[0] == b"0;"
    assert answer.data == b"".join(b"%d;" % n for n in range(40))


def test_a_large_stream_goes_through_a_bounded_buffer(flow: Flow) -> None:
    """A plain generator may be ahead of its client by a few pieces only."""
    made: list[int] = []

    def view() -> Iterator[bytes]:
        for n in range(1_000):
            made.append(n)
            yield b"x" * 100

    flow.returning(view)
    assert len(flow.get().data) == 100_000
    assert len(made) == 1_000


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_a_stream_runs_on_the_side_of_its_colour(flow: Flow, kind: str) -> None:
    places: set[tuple[bool, int]] = set()

    def note() -> str:
        places.add((on_loop(), threading.get_ident()))
        return "x"

    def plain() -> Iterator[str]:
        try:
            for _ in range(30):
                yield note()
        finally:
            note()

    async def loop() -> AsyncIterator[str]:
        try:
            for _ in range(30):
                await anyio.sleep(0)
                yield note()
        finally:
            note()

    flow.returning(plain if kind == "generator" else loop)
    assert flow.get().text == "x" * 30
    ((where, _),) = places
    assert where is (kind == "async generator")


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_stream_with_context_keeps_the_request_until_the_end(flow: Flow, kind: str) -> None:
    log: list[str] = []
    flow.app.teardown_request(lambda error: log.append("teardown"))

    def plain() -> Iterator[str]:
        for _ in range(2):
            yield f"{request.args['q']}{g.value};"
        log.append("streamed")

    async def loop() -> AsyncIterator[str]:
        for _ in range(2):
            await anyio.sleep(0)
            yield f"{request.args['q']}{g.value};"
        log.append("streamed")

    def view() -> Any:
        g.value = 1
        log.append("view")
        return stream_with_context(plain() if kind == "generator" else loop())

    flow.route("/")(view)
    assert flow.get("/?q=a").text == "a1;a1;"
    assert log == ["view", "streamed", "teardown"]


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_without_it_teardown_comes_first(flow: Flow, kind: str) -> None:
    log: list[str] = []
    flow.app.teardown_request(flow.paint(lambda error: log.append("teardown")))

    def plain() -> Iterator[str]:
        log.append("streamed")
        yield "x"

    flow.returning(plain if kind == "generator" else lambda: items(plain()))
    assert flow.get().text == "x"
    assert log == ["teardown", "streamed"]


async def sent_by(app: Flask, sent: list[Any]) -> BaseException | None:
    """Be a server for one GET, and return what the app raises."""
    scope = scope_from_environ(create_environ())
    del scope["aioflask.environ"]

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message["type"].rpartition(".")[2])

    return (await outcome(app, scope, receive, send))[1]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["plain", "with context"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_plain_stream_that_fails_at_once_has_sent_nothing(kind: str, colour: str) -> None:
    """So the server can answer 500, as in WSGI. Teardown has run, and the rest is done too."""
    app, log = Flask("flow_test"), list[str]()
    app.teardown_request(lambda error: log.append("teardown"))

    def stream() -> Iterator[str]:
        yield dict[str, str]()["at once"]

    def view() -> Response:
        response = Response(stream_with_context(stream()) if kind == "with context" else stream())
        response.call_on_close(lambda: log.append("closed"))
        return response

    app.add_url_rule("/", view_func=paint(view, colour))
    sent: list[str] = []
    assert isinstance(await sent_by(app, sent), LookupError)
    assert sent == []
    assert sorted(log) == ["closed", "teardown"]


@pytest.mark.anyio
@pytest.mark.parametrize("colour", COLOURS)
async def test_the_head_of_an_async_stream_does_not_wait_for_its_first_piece(colour: str) -> None:
    """A client of events must know that it is connected before the first of them."""
    app, sent = Flask("flow_test"), list[str]()

    async def stream() -> AsyncIterator[str]:
        with anyio.fail_after(5):
            while not sent:
                await anyio.sleep(0.001)
        yield "event"

    app.add_url_rule("/", view_func=paint(lambda: Response(stream()), colour))
    assert await sent_by(app, sent) is None
    assert sent == ["start", "body", "body"]


@pytest.mark.parametrize(
    "make", [lambda: iter([1]), lambda: iter([None]), lambda: items([1]), lambda: [1]]
)
def test_a_piece_that_is_neither_text_nor_bytes_is_a_type_error(flow: Flow, make: Any) -> None:
    flow.returning(lambda: Response(make()))
    with pytest.raises(TypeError):
        _ = flow.get().data


@pytest.mark.parametrize("piece", ["", b"", bytearray(b"x"), memoryview(b"x")])
def test_a_piece_may_be_empty_or_any_kind_of_bytes(flow: Flow, piece: Any) -> None:
    flow.returning(lambda: Response(iter(["a", piece, "b"])))
    assert flow.get().text in ("ab", "axb")


@pytest.mark.anyio
@pytest.mark.parametrize("status", [0, 100, 199, 600, 999, "none"])
@pytest.mark.parametrize("make", [lambda: "text", lambda: iter(["a"]), lambda: {"a": 1}])
async def test_a_status_that_cannot_be_sent_is_named(
    status: Any, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Werkzeug's server sends any number; those of ASGI break the connection."""
    app, sent, closed = Flask("flow_test"), list[str](), list[int]()

    @app.get("/")
    async def view() -> Response:
        response = make_response(make(), status)
        response.call_on_close(lambda: closed.append(1))
        return response

    assert await sent_by(app, sent) is None
    assert f"the status '{'0 none' if status == 'none' else status}" in caplog.text
    assert sent == ["start", "body"] and closed == [1]
    app.testing = True
    error = await sent_by(app, sent)
    assert isinstance(error, ValueError)
    assert "cannot be sent" in str(error)


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_a_stream_that_fails_breaks_off_with_its_exception(flow: Flow, kind: str) -> None:
    closed: list[int] = []

    def plain() -> Iterator[str]:
        yield "a"
        raise LookupError("midway")

    def view() -> Response:
        response = Response(plain() if kind == "generator" else items(plain()))
        response.call_on_close(lambda: closed.append(1))
        return response

    flow.route("/")(view)
    with pytest.raises(LookupError, match="midway"):
        flow.get()
    assert closed == [1]


# --- the end -----------------------------------------------------------------------------------

BODIES: dict[str, Any] = {
    "text": lambda: "text",
    "list": lambda: ["te", "xt"],
    "generator": lambda: iter(["te", "xt"]),
    "async generator": lambda: items(["te", "xt"]),
    "callable": lambda: None,
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("status", [200, 204])
def test_call_on_close_calls_once_after_the_body(
    flow: Flow, kind: str, method: str, status: int
) -> None:
    closed: list[bool] = []

    def view() -> Response:
        made = make_response(wsgi_callable) if kind == "callable" else Response(BODIES[kind]())
        made.status_code = status
        made.call_on_close(lambda: closed.append(on_loop()))
        return made

    flow.route("/")(view)
    flow.request("/", method)
    assert closed == [False]  # Off the loop: what it calls may block.


class Closing:
    """An iterable with a `close()`, as a file or a database cursor is."""

    def __init__(self) -> None:
        self.closed = 0
        self.left = iter([b"a", b"b"])

    def __iter__(self) -> Closing:
        return self

    def __next__(self) -> bytes:
        return next(self.left)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_iterable_is_closed_once(flow: Flow, method: str) -> None:
    body = Closing()
    flow.returning(lambda: body)
    flow.request("/", method)
    assert body.closed == 1


@pytest.mark.parametrize("kind", ["generator", "async generator", "with context"])
def test_a_client_that_leaves_closes_the_stream(flow: Flow, kind: str) -> None:
    """The generator ends in its `finally` soon after, and with it what waits for its end."""
    log: list[str] = []
    over = threading.Event()
    flow.app.teardown_request(lambda error: log.append("teardown"))

    def plain() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            log.append("closed")

    async def loop() -> AsyncIterator[bytes]:
        try:
            while True:
                await anyio.sleep(0)
                yield b"x" * 1000
        finally:
            log.append("closed")

    def view() -> Response:
        body: Any = loop() if kind == "async generator" else plain()
        response = Response(stream_with_context(body) if kind == "with context" else body)

        @response.call_on_close
        def closed() -> None:
            log.append("on close")
            over.set()

        return response

    flow.route("/")(view)
    flow.run(leave_after, flow.app, 3) if flow.loop else leave_wsgi_after(flow.app, 3)
    assert over.wait(5), log
    expected = ["closed", "teardown"] if kind == "with context" else ["teardown", "closed"]
    assert [step for step in log if step != "on close"] == expected
    assert log.count("on close") == 1


async def leave_after(app: Any, pieces: int) -> None:
    """Be a server whose client goes away: `send` raises OSError from then on (ASGI 2.4)."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "localhost"}
    scope = scope_from_environ(environ)
    del scope["aioflask.environ"]
    left = pieces

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError("the client is gone")

    _, error = await outcome(app, scope, receive, send)
    assert error is None or isinstance(error, OSError), error


def leave_wsgi_after(app: Any, pieces: int) -> None:
    from werkzeug.test import create_environ

    body = app(create_environ(), lambda status, headers, exc_info=None: None)
    source = iter(body)
    for _ in range(pieces):
        next(source)
    body.close()
