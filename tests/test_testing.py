"""The plain test client, the environ builder, the command runner, and the WSGI face they meet."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import click
import pytest
from werkzeug.test import EnvironBuilder as WerkzeugBuilder
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request as WerkzeugRequest

import aioflask
from aioflask import Flask, concurrency, g, request, session
from aioflask.environ import scope_from_environ
from aioflask.globals import _cv_app
from aioflask.testing import EnvironBuilder, FlaskClient, FlaskCliRunner, use_mode
from aioflask.wsgi import AsyncBody

Message = dict[str, Any]
Door = Callable[[Message, Any, Any], Any]


@pytest.fixture
def app() -> Flask:
    app = Flask("testing_app")
    app.config.update(TESTING=True, SECRET_KEY="a secret")
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(params=["", "wsgi"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both doors of the app."""
    before = concurrency.mode
    use_mode(request.param)
    yield request.param
    use_mode(before)


def behind(door: Door) -> FlaskClient:
    """A client of an app whose ASGI door is `door` itself."""
    app = Flask("door")
    app.asgi_app = door  # type: ignore[assignment]
    return app.test_client()


async def start(send: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def body(send: Any, data: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


# --- use_mode ----------------------------------------------------------------------------------


def test_use_mode_sets_the_mode_of_the_process() -> None:
    before = concurrency.mode
    try:
        use_mode("hop")
        assert concurrency.mode == "hop"
        use_mode("")
        assert concurrency.mode == ""
    finally:
        use_mode(before)


def test_use_mode_suggests_the_mode_that_was_meant() -> None:
    with pytest.raises(ValueError, match="Did you mean 'wsgi'"):
        use_mode("wgsi")
    with pytest.raises(ValueError, match="The modes are 'wsgi', 'loop', 'hop'"):
        use_mode("zzz")


# --- EnvironBuilder ----------------------------------------------------------------------------


def test_builder_takes_its_base_url_from_the_configuration(app: Flask) -> None:
    app.config.update(
        SERVER_NAME="example.com:1234", APPLICATION_ROOT="/foo", PREFERRED_URL_SCHEME="https"
    )
    builder = EnvironBuilder(app, "/bar?x=1", subdomain="www")
    environ = builder.get_environ()
    assert builder.base_url == "https://www.example.com:1234/foo/"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/foo", "/bar")
    assert environ["QUERY_STRING"] == "x=1"


def test_builder_takes_a_whole_url_for_the_path(app: Flask) -> None:
    builder = EnvironBuilder(app, "https://other.example/path?x=1")
    assert (builder.url_scheme, builder.host, builder.path) == ("https", "other.example", "/path")


def test_builder_refuses_a_base_url_with_one_of_its_parts(app: Flask) -> None:
    with pytest.raises(AssertionError, match="base_url was given together"):
        EnvironBuilder(app, base_url="http://a/", subdomain="b")


def test_builder_writes_json_as_the_app_does(app: Flask) -> None:
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    assert EnvironBuilder(app, json="€").input_stream.read() == '"€"'.encode()  # type: ignore[union-attr]


# --- the request -------------------------------------------------------------------------------


def test_scope_has_what_a_server_would_give(app: Flask) -> None:
    environ = EnvironBuilder(
        app,
        "/ä b%2Fc?q=%C3%A4",
        base_url="https://example.com:444/root",
        method="PUT",
        data=b"1234",
        content_type="text/plain",
        headers={"X-Some-Thing": "ü"},
        environ_base={"REMOTE_ADDR": "1.2.3.4", "REMOTE_PORT": "55"},
    ).get_environ()
    scope = scope_from_environ(environ)
    assert scope["aioflask.environ"] is environ
    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "PUT", "https")
    assert (scope["root_path"], scope["path"]) == ("/root", "/root/ä b/c")
    assert scope["raw_path"].endswith(b"/%C3%A4%20b%2Fc")
    assert scope["query_string"] == b"q=%C3%A4"
    assert (scope["client"], scope["server"]) == (("1.2.3.4", 55), ("example.com", 444))
    headers = dict(scope["headers"])
    assert headers[b"host"] == b"example.com:444" and headers[b"x-some-thing"] == b"\xfc"
    assert (headers[b"content-length"], headers[b"content-type"]) == (b"4", b"text/plain")


@pytest.mark.parametrize(
    ("protocol", "version"),
    [("HTTP/1.1", "1.1"), ("HTTP/1.0", "1.0"), ("HTTP/2", "2"), ("HTTP/2.0", "2")],
)
def test_scope_has_the_http_version(app: Flask, protocol: str, version: str) -> None:
    environ = EnvironBuilder(app).get_environ()
    assert scope_from_environ({**environ, "SERVER_PROTOCOL": protocol})["http_version"] == version


def test_body_comes_in_pieces_of_64_kib() -> None:
    sizes = []

    async def door(scope: Message, receive: Any, send: Any) -> None:
        while (message := await receive())["more_body"]:
            sizes.append(len(message["body"]))
        await start(send)
        await body(send, b"", more=False)

    behind(door).post("/", data=b"x" * 150_000)
    assert sizes == [65_536, 65_536, 18_928]


@pytest.mark.parametrize("data", [b"", b"abc"])
@pytest.mark.parametrize("colour", ["def", "async def"])
def test_a_body_shorter_than_its_content_length_is_a_client_that_has_gone(
    app: Flask, client: FlaskClient, mode: str, data: bytes, colour: str
) -> None:
    async def view_async() -> bytes:
        return request.get_data()

    def view() -> bytes:
        return request.get_data()

    app.add_url_rule("/", "view", view if colour == "def" else view_async, methods=["POST"])
    for length, status in ((5, 400), (len(data), 200)):
        answer = client.post("/", data=data, environ_overrides={"CONTENT_LENGTH": str(length)})
        assert answer.status_code == status
    assert answer.data == data


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_the_environs_input_is_the_body(
    app: Flask, client: FlaskClient, mode: str, colour: str
) -> None:
    async def view_async() -> Any:
        return request.environ["wsgi.input"].read(4)

    def view() -> Any:
        return request.environ["wsgi.input"].read(4)

    app.add_url_rule("/", "view", view if colour == "def" else view_async, methods=["POST"])
    assert client.post("/", data=b"body").data == b"body"


def test_a_stream_that_blocks_does_not_hold_up_the_loop(app: Flask, client: FlaskClient) -> None:
    pieces = [b"a", b"b", b""]

    class Slow(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert not concurrency.on_loop()
            return pieces.pop(0)

    app.add_url_rule("/", view_func=lambda: request.get_data(), methods=["POST"])
    environ = EnvironBuilder(app, method="POST", headers={"Transfer-Encoding": "chunked"})
    given = environ.get_environ() | {"wsgi.input": Slow(), "wsgi.input_terminated": True}
    assert client.open(WerkzeugRequest(given)).data == b"ab"


def test_open_takes_a_builder_an_environ_or_a_request(
    app: Flask, client: FlaskClient, mode: str
) -> None:
    app.add_url_rule("/here", view_func=lambda: f"{request.remote_addr} {request.method}")
    builder = EnvironBuilder(app, "/here")
    assert client.open(builder).text == "127.0.0.1 GET"
    assert client.open(WerkzeugBuilder("/here")).text == "127.0.0.1 GET"
    client.environ_base["REMOTE_ADDR"] = "127.0.0.2"
    assert client.open(builder.get_environ()).text == "127.0.0.2 GET"
    assert client.open(WerkzeugRequest(builder.get_environ())).text == "127.0.0.2 GET"
    assert client.open("/here", method="GET").text == "127.0.0.2 GET"


def test_json_form_files_and_query_arrive(app: Flask, client: FlaskClient, mode: str) -> None:
    @app.post("/")
    def index() -> dict[str, Any]:
        return {
            "json": request.get_json(silent=True),
            "form": request.form,
            "args": request.args,
            "files": {name: file.read().decode() for name, file in request.files.items()},
        }

    nothing: dict[str, Any] = {"json": None, "form": {}, "args": {}, "files": {}}
    assert client.post("/?a=1", json={"x": [1]}).json == nothing | {
        "json": {"x": [1]},
        "args": {"a": "1"},
    }
    data = {"b": "ä", "f": (io.BytesIO(b"file"), "name.txt")}
    assert client.post("/", data=data).json == nothing | {
        "form": {"b": "ä"},
        "files": {"f": "file"},
    }


def test_a_large_file_arrives_from_disk(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/", view_func=lambda: str(len(request.files["f"].read())), methods=["POST"])
    response = client.post("/", data={"f": (io.BytesIO(b"x" * 2_000_000), "f")})
    assert response.text == "2000000"
    response.close()


def test_redirects_are_followed_with_cookies(app: Flask, client: FlaskClient, mode: str) -> None:
    @app.get("/")
    def first() -> Any:
        response = aioflask.redirect("/second")
        response.set_cookie("seen", "yes")
        return response

    app.add_url_rule("/second", view_func=lambda: request.cookies["seen"])
    response = client.get("/", follow_redirects=True)
    assert response.text == "yes" and [r.status_code for r in response.history] == [302]
    cookie = client.get_cookie("seen")
    assert cookie is not None and cookie.value == "yes"


def test_the_app_sees_what_the_test_has_pushed(app: Flask, client: FlaskClient, mode: str) -> None:
    var: ContextVar[str] = ContextVar("var", default="nothing")
    app.add_url_rule("/", view_func=lambda: f"{g.get('value')} {var.get()}")
    token = var.set("set")
    with app.app_context():
        setattr(g, "value", "pushed")  # noqa: B010
        assert client.get("/").text == "pushed set"
    var.reset(token)


# --- the response ------------------------------------------------------------------------------


def test_status_has_its_reason(app: Flask, client: FlaskClient, mode: str) -> None:
    app.add_url_rule("/", view_func=lambda: ("", 201))
    assert client.get("/").status == "201 CREATED"
    assert client.get("/nowhere").status == "404 NOT FOUND"


def test_header_names_have_their_usual_capitals(app: Flask, client: FlaskClient, mode: str) -> None:
    names = "Content-Type ETag WWW-Authenticate X-Request-ID X-My-Own Set-Cookie".split()

    @app.get("/")
    def view() -> Any:
        return "", [(name, "value") for name in names]

    headers = dict(client.get("/").headers)
    assert headers.keys() >= {*names, "Content-Length"}


def test_a_body_that_is_no_bytes_is_an_error() -> None:
    async def door(scope: Message, receive: Any, send: Any) -> None:
        await start(send)
        await send({"type": "http.response.body", "body": 3})

    with pytest.raises(TypeError, match="type int"):
        behind(door).get("/")


def test_an_exception_reaches_the_test_with_its_traceback(
    app: Flask, client: FlaskClient, mode: str
) -> None:
    @app.get("/")
    def index() -> str:
        raise LookupError("from the view")

    with pytest.raises(LookupError, match="from the view") as caught:
        client.get("/")
    assert "index" in [entry.name for entry in caught.traceback]


def test_pytest_fail_in_a_view_fails_the_test(app: Flask, client: FlaskClient) -> None:
    @app.get("/")
    async def index() -> str:
        pytest.fail("inside")

    with pytest.raises(pytest.fail.Exception, match="inside"):
        client.get("/")


def test_without_propagation_an_exception_is_a_500(
    app: Flask, client: FlaskClient, mode: str
) -> None:
    app.testing = False
    app.logger.disabled = True
    app.add_url_rule("/", view_func=lambda: str(1 / 0))
    assert client.get("/").status_code == 500


def test_an_app_that_sends_no_response_is_an_error() -> None:
    async def silent(scope: Message, receive: Any, send: Any) -> None:
        pass

    with pytest.raises(RuntimeError, match="before it had sent a whole response"):
        behind(silent).get("/")

    async def twice(scope: Message, receive: Any, send: Any) -> None:
        await start(send)
        await start(send)

    with pytest.raises(RuntimeError, match=r"'http.response.start' out of its turn"):
        behind(twice).get("/")


def test_an_error_after_the_response_has_begun_comes_with_the_rest_of_it() -> None:
    async def door(scope: Message, receive: Any, send: Any) -> None:
        await start(send)
        await body(send, b"one")
        raise LookupError("half way")

    response = behind(door).get("/")
    pieces = iter(response.response)
    assert next(pieces) == b"one"
    with pytest.raises(LookupError, match="half way"):
        next(pieces)


def endless(seen: list[Any]) -> Door:
    async def door(scope: Message, receive: Any, send: Any) -> None:
        await start(send)
        number = 0
        try:
            while True:
                await body(send, b"%d" % number)
                number += 1
        finally:
            seen.append(number)

    return door


def test_an_endless_response_is_read_piece_by_piece_and_closed() -> None:
    seen: list[int] = []
    response = behind(endless(seen)).get("/")
    pieces = iter(response.response)
    assert [next(pieces) for _ in range(100)] == [b"%d" % number for number in range(100)]
    assert not seen
    response.close()
    assert len(seen) == 1 and seen[0] <= 100 + 2 * 16  # it was held back


def test_a_response_that_is_dropped_disconnects() -> None:
    seen: list[int] = []
    response = behind(endless(seen)).get("/")
    del response
    deadline = time.monotonic() + 5
    while not seen and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert seen


def test_closing_early_is_a_disconnect_for_the_app() -> None:
    seen: list[Any] = []

    async def door(scope: Message, receive: Any, send: Any) -> None:
        await start(send)
        await body(send, b"x")
        while (message := await receive())["type"] != "http.disconnect":
            pass
        seen.append(message)
        with pytest.raises(OSError, match="disconnected"):
            await body(send, b"y")

    behind(door).get("/").close()
    assert seen == [{"type": "http.disconnect"}]


def test_an_app_that_ignores_a_disconnect_is_cancelled() -> None:
    seen = []

    async def door(scope: Message, receive: Any, send: Any) -> None:
        await start(send)
        await body(send, b"x")
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cancelled")

    behind(door).get("/").close()
    assert seen == ["cancelled"]


def test_after_the_response_receive_says_disconnect() -> None:
    seen = []

    async def door(scope: Message, receive: Any, send: Any) -> None:
        assert (await receive()) == {"type": "http.request", "body": b"", "more_body": False}
        await start(send)
        await body(send, b"", more=False)
        seen.append(await receive())

    behind(door).get("/")
    assert seen == [{"type": "http.disconnect"}]


def test_a_streamed_response_of_either_colour(app: Flask, client: FlaskClient, mode: str) -> None:
    closed = []

    @app.get("/plain")
    def plain() -> Iterator[str]:
        try:
            yield from map(str, range(100))
        finally:
            closed.append("plain")

    @app.get("/async")
    async def asynchronous() -> Any:
        async def stream() -> AsyncIterator[str]:
            try:
                for number in range(100):
                    await asyncio.sleep(0)
                    yield str(number)
            finally:
                closed.append("async")

        return stream()

    text = "".join(map(str, range(100)))
    app.add_url_rule("/sync", view_func=lambda: plain())
    assert client.get("/sync").text == text and client.get("/async", buffered=True).text == text
    response = client.get("/async")
    assert next(iter(response.response)) == b"0"
    response.close()
    assert closed == ["plain", "async", "async"]


def test_a_stream_with_context_keeps_it_to_its_end(
    app: Flask, client: FlaskClient, mode: str
) -> None:
    torn_down = []
    app.teardown_request(lambda error: torn_down.append(request.path))

    @app.get("/plain")
    def plain() -> Any:
        return aioflask.stream_with_context(str(request.path) for _ in range(2))

    @app.get("/async")
    async def asynchronous() -> Any:
        async def stream() -> AsyncIterator[str]:
            yield request.path
            yield request.path

        return aioflask.stream_with_context(stream())

    for path in ["/plain", "/async"]:
        assert client.get(path).text == path * 2
        assert torn_down == [path]
        torn_down.clear()
    client.get("/async").close()
    assert torn_down == ["/async"]


# --- contexts and sessions ---------------------------------------------------------------------


def test_a_with_block_keeps_the_context(app: Flask, client: FlaskClient, mode: str) -> None:
    torn_down = []

    @app.get("/<name>")
    def index(name: str) -> str:
        session["name"] = name
        setattr(g, "who", name)  # noqa: B010
        return name

    @app.get("/async/<name>")
    async def asynchronous(name: str) -> str:
        session["name"] = name
        setattr(g, "who", name)  # noqa: B010
        return name

    app.teardown_request(lambda error: torn_down.append(request.path))
    with client:
        for path in ["/one", "/async/two"]:
            client.get(path)
            assert request.path == path
            assert g.who == session["name"] == path.rpartition("/")[2]
    assert _cv_app.get(None) is None
    assert torn_down == ["/one", "/one", "/async/two", "/async/two"]  # COMPAT: as in Flask


def test_a_body_that_no_view_read_can_be_read_afterwards(
    app: Flask, client: FlaskClient, mode: str
) -> None:
    app.add_url_rule("/", view_func=lambda: "", methods=["POST"])
    with client:
        client.post("/", data={"a": "1"})
        assert request.form.to_dict() == {"a": "1"}


def test_with_blocks_of_one_client_do_not_nest(client: FlaskClient) -> None:
    with client, pytest.raises(RuntimeError, match="Cannot nest client invocations"):
        client.__enter__()
    with client:
        pass


def test_a_request_that_failed_leaves_no_context_behind(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/boom", view_func=lambda: str(1 / 0))
    app.add_url_rule("/", "index", lambda: "")
    with client:
        with pytest.raises(ZeroDivisionError):
            client.get("/boom")
        client.get("/")
        assert request.path == "/"


def test_session_transaction(app: Flask, client: FlaskClient, mode: str) -> None:
    app.add_url_rule("/", view_func=lambda: str(session["value"]))
    with client.session_transaction() as stored:
        assert not stored
        stored["value"] = [1]
    assert client.get("/").text == "[1]"
    with client.session_transaction() as stored:
        assert stored["value"] == [1]


def test_session_transaction_with_an_async_interface(
    app: Flask, client: FlaskClient, mode: str
) -> None:
    class Interface(aioflask.sessions.SecureCookieSessionInterface):
        async def open_session(self, *args: Any) -> Any:  # type: ignore[override]
            await asyncio.sleep(0)
            return super().open_session(*args)

        async def save_session(self, *args: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            super().save_session(*args)

    app.session_interface = Interface()
    app.add_url_rule("/", view_func=lambda: str(session["value"]))
    with client.session_transaction() as stored:
        stored["value"] = 1
    assert client.get("/").text == "1"


def test_session_transaction_says_what_it_needs(app: Flask) -> None:
    with (
        pytest.raises(TypeError, match="Cookies are disabled"),
        app.test_client(use_cookies=False).session_transaction(),
    ):
        pass
    app.secret_key = None
    with (
        pytest.raises(RuntimeError, match="Session backend did not open a session"),
        app.test_client().session_transaction(),
    ):
        pass


# --- the WSGI face -----------------------------------------------------------------------------


def test_a_replaced_wsgi_app_is_the_way_in(app: Flask, client: FlaskClient) -> None:
    inner = app.wsgi_app
    seen = []

    def middleware(environ: Any, start_response: Any) -> Any:
        seen.append(environ["PATH_INFO"])
        environ["wrapped"] = "yes"
        return inner(environ, start_response)

    app.wsgi_app = middleware  # type: ignore[method-assign]
    app.add_url_rule("/", view_func=lambda: request.environ["wrapped"])
    assert client.get("/").text == "yes" and seen == ["/"]


def test_a_plain_request_stays_on_its_wsgi_thread(app: Flask) -> None:
    threads = []
    app.before_request(lambda: threads.append(threading.get_ident()))
    app.teardown_request(lambda error: threads.append(threading.get_ident()))

    @app.get("/")
    def index() -> str:
        threads.append(threading.get_ident())
        return "plain"

    chunks, status, _ = run_wsgi_app(app, EnvironBuilder(app).get_environ())
    assert (b"".join(chunks), status) == (b"plain", "200 OK")
    assert threads == [threading.get_ident()] * 3


def test_an_async_view_behind_wsgi_reads_its_body(app: Flask) -> None:
    @app.post("/")
    async def index() -> Any:
        await asyncio.sleep(0)
        return {"got": request.get_json()}

    environ = EnvironBuilder(app, method="POST", json=[1]).get_environ()
    chunks, _, _ = run_wsgi_app(app, environ, buffered=True)
    assert b"".join(chunks).replace(b" ", b"").strip() == b'{"got":[1]}'


async def call_as_wsgi(app: Any) -> None:
    app.wsgi_app(EnvironBuilder(app).get_environ(), lambda *args: None)


def test_a_wsgi_call_on_a_loops_thread_is_refused(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="right: await app"):
        asyncio.run(call_as_wsgi(app))


def test_an_async_body_is_pulled_by_one_task_that_is_held_back() -> None:
    seen: list[Any] = []

    async def source() -> AsyncIterator[str]:
        tasks = {asyncio.current_task()}
        try:
            for number in range(1_000):
                seen.append(number)
                yield str(number)
                tasks.add(asyncio.current_task())
        finally:
            seen.append(len(tasks))

    whole = AsyncBody(source())
    assert list(whole) == [b"%d" % number for number in range(1_000)] and seen[-1] == 1
    seen.clear()
    part = AsyncBody(source())
    assert next(part) == b"0"
    part.close()
    assert len(seen) <= 16 + 2 and seen[-1] == 1
    AsyncBody(source()).close()


def test_an_async_body_raises_what_its_source_raises() -> None:
    async def source() -> AsyncIterator[str]:
        yield "1"
        raise LookupError("from the source")

    pieces = AsyncBody(source())
    assert next(pieces) == b"1"
    with pytest.raises(LookupError, match="from the source"):
        next(pieces)


# --- commands ----------------------------------------------------------------------------------


def test_cli_runner_runs_commands_of_the_app(app: Flask) -> None:
    @app.cli.command("hello")
    def hello() -> None:
        click.echo(f"Hello from {aioflask.current_app.name}")

    runner = app.test_cli_runner()
    assert isinstance(runner, FlaskCliRunner)
    assert runner.invoke(args=["hello"]).output == "Hello from testing_app\n"
    assert runner.invoke(hello).output == "Hello from testing_app\n"
