"""The helpers of views: streams that keep the request, responses, flashed messages, files."""

from __future__ import annotations

import io
import sys
import types
import typing as t
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from werkzeug.exceptions import Forbidden, HTTPException, NotFound, Unauthorized

import aioflask
from aioflask.helpers import (
    _split_blueprint_path,
    get_debug_flag,
    get_load_dotenv,
    get_root_path,
)


@pytest.fixture
def app(tmp_path: Path) -> aioflask.Flask:
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "hello.txt").write_text("Hello World")
    (tmp_path / "secret.txt").write_text("secret")
    app = aioflask.Flask(__name__, root_path=str(tmp_path))
    app.secret_key = "secret"
    return app


@pytest.mark.parametrize(
    ("value", "debug", "dotenv"),
    [
        (None, False, True),
        ("", False, True),
        ("0", False, True),
        ("False", False, True),
        ("NO", False, True),
        ("1", True, False),
        ("yes", True, False),
    ],
)
def test_flags_of_the_environment(
    value: str | None, debug: bool, dotenv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLASK_DEBUG", "FLASK_SKIP_DOTENV"):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert get_debug_flag() is debug
    assert get_load_dotenv() is dotenv
    assert get_load_dotenv(False) is (dotenv if value else False)


# --- streams -----------------------------------------------------------------------------------


def test_stream_sees_request_g_and_session(app: aioflask.Flask) -> None:
    @app.get("/")
    def view() -> aioflask.Response:
        aioflask.g.user = "Ada"
        aioflask.session["s"] = "y"

        def generate() -> Iterator[str]:
            yield aioflask.request.args["q"]
            yield aioflask.g.user
            yield aioflask.session["s"]

        return aioflask.Response(aioflask.stream_with_context(generate()))

    response = app.test_client().get("/?q=x")
    assert response.text == "xAday"
    assert "session=" in response.headers["Set-Cookie"]


def test_stream_as_a_decorator_keeps_name_and_arguments(app: aioflask.Flask) -> None:
    @app.get("/")
    def view() -> Iterator[str]:
        @aioflask.stream_with_context
        def generate(greeting: str, *, mark: str) -> Iterator[str]:
            yield greeting
            yield aioflask.request.args["q"] + mark

        assert generate.__name__ == "generate"
        return generate("Hello ", mark="!")

    assert app.test_client().get("/?q=Ada").text == "Hello Ada!"


class Source:
    """An iterator with a close() of its own, as WSGI knows it."""

    def __init__(self, *items: str) -> None:
        self.items = iter(items)
        self.closed = 0

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> str:
        item = next(self.items)
        if item == "fail":
            raise ValueError(item)
        return item + aioflask.request.path

    def close(self) -> None:
        self.closed += 1
        assert aioflask.request.path == "/"


def test_stream_closes_its_source_in_the_context(app: aioflask.Flask) -> None:
    source = Source("a", "b")
    app.add_url_rule("/", "view", lambda: aioflask.stream_with_context(source))
    assert app.test_client().get("/").text == "a/b/"
    assert source.closed == 1


def test_stream_of_a_list(app: aioflask.Flask) -> None:
    with app.test_request_context():
        assert list(aioflask.stream_with_context(["a", "b"])) == ["a", "b"]  # type: ignore[call-overload]


def test_stream_outside_a_request_says_so(app: aioflask.Flask) -> None:
    def generate() -> Iterator[str]:
        yield "x"

    with pytest.raises(RuntimeError, match="'stream_with_context' can only be used"):
        aioflask.stream_with_context(generate())
    with app.app_context(), pytest.raises(RuntimeError, match="request context is active"):
        aioflask.stream_with_context(generate)()


def test_stream_that_outlives_its_context_sees_it_again(app: aioflask.Flask) -> None:
    def generate() -> Iterator[str]:
        yield aioflask.request.path
        yield aioflask.g.user

    with app.test_request_context("/kept"):
        aioflask.g.user = "Ada"
        stream = aioflask.stream_with_context(generate())
    assert list(stream) == ["/kept", "Ada"]
    assert not aioflask.has_app_context()


def test_stream_that_is_used_up_in_the_view_leaves_the_context_alone(app: aioflask.Flask) -> None:
    ends: list[t.Any] = []
    app.teardown_request(ends.append)

    @app.get("/")
    def view() -> str:
        text = "".join(aioflask.stream_with_context(Source("a", "b")))
        assert ends == []
        return text

    assert app.test_client().get("/").text == "a/b/"
    assert ends == [None]


def test_stream_that_is_closed_ends_its_generator(app: aioflask.Flask) -> None:
    ends = []

    def generate() -> Iterator[str]:
        try:
            yield "x"
            yield "y"
        finally:
            ends.append(aioflask.request.path)

    with app.test_request_context("/closed"):
        stream = t.cast(t.Generator[str, None, None], aioflask.stream_with_context(generate()))
        assert next(stream) == "x"
        stream.close()
        assert ends == ["/closed"]
        assert aioflask.request.path == "/closed"
        assert list(stream) == []
        t.cast(t.Generator[str, None, None], aioflask.stream_with_context(generate())).close()
        assert ends == ["/closed"]


# --- responses, URLs, errors -------------------------------------------------------------------


def test_make_response_takes_what_a_view_returns(app: aioflask.Flask) -> None:
    with app.test_request_context():
        assert (aioflask.make_response().status_code, aioflask.make_response().data) == (200, b"")
        response = aioflask.make_response("made", 201, {"X-Made": "yes"})
        assert (response.data, response.status_code) == (b"made", 201)
        assert response.headers["X-Made"] == "yes"
        assert aioflask.make_response(response) is response
        assert aioflask.make_response(("made", 202)).status_code == 202
        assert aioflask.make_response({"a": 1}).get_json() == {"a": 1}


def test_url_for_builds_what_the_rules_say(app: aioflask.Flask) -> None:
    app.add_url_rule("/item/<int:id>", "item")
    app.add_url_rule("/post", "item", methods=["POST"])
    app.add_url_rule("/<self>", "own")
    with app.test_request_context():
        assert aioflask.url_for("item", id=1, q="a b", _anchor="x y") == "/item/1?q=a+b#x%20y"
        assert aioflask.url_for("item", _method="POST") == "/post"
        assert aioflask.url_for("own", self="2") == "/2"
        assert aioflask.url_for("item", id=1, _external=True) == "http://localhost/item/1"
        assert aioflask.url_for("item", id=1, _scheme="https") == "https://localhost/item/1"
        with pytest.raises(ValueError, match="_scheme"):
            aioflask.url_for("item", id=1, _scheme="https", _external=False)


def test_redirect_without_and_with_an_app(app: aioflask.Flask) -> None:
    response = aioflask.redirect("https://localhost/x", 307)
    assert (response.location, response.status_code) == ("https://localhost/x", 307)
    assert aioflask.redirect("/", Response=aioflask.Response).status_code == 302

    with app.app_context():
        assert isinstance(aioflask.redirect("/"), app.response_class)

        def own(location: str, code: int = 302) -> t.NoReturn:
            raise ValueError(location)

        app.redirect = own  # type: ignore[method-assign]
        with pytest.raises(ValueError, match="/there"):
            aioflask.redirect("/there")


def test_abort_raises_what_the_aborter_has(app: aioflask.Flask) -> None:
    class Unusual(HTTPException):
        code = 900

    with pytest.raises(Unauthorized):
        aioflask.abort(401)
    with pytest.raises(LookupError):
        aioflask.abort(900)
    with app.app_context():
        app.aborter.mapping[900] = Unusual
        with pytest.raises(Unusual):
            aioflask.abort(900)
        with pytest.raises(Forbidden, match="not yours"):
            aioflask.abort(403, description="not yours")
        with pytest.raises(HTTPException) as caught:
            aioflask.abort(aioflask.Response("done", 418))
        assert caught.value.get_response().status_code == 418


# --- flashed messages --------------------------------------------------------------------------


def test_flashed_messages_are_there_for_one_more_request(app: aioflask.Flask) -> None:
    @app.get("/flash")
    def flash() -> str:
        aioflask.flash("saved")
        aioflask.flash("watch out", "warning")
        return "flashed"

    @app.get("/read")
    def read() -> t.Any:
        first = aioflask.get_flashed_messages(with_categories=True)
        only = aioflask.get_flashed_messages(category_filter=["warning"])
        both = aioflask.get_flashed_messages(True, ("warning", "other"))
        return [first, aioflask.get_flashed_messages(), only, both]

    client = app.test_client()
    client.get("/flash")
    assert client.get("/read").get_json() == [
        [["message", "saved"], ["warning", "watch out"]],
        ["saved", "watch out"],
        ["watch out"],
        [["warning", "watch out"]],
    ]
    assert client.get("/read").get_json() == [[], [], [], []]


def test_flash_sends_a_signal(app: aioflask.Flask) -> None:
    seen = []

    def receive(sender: aioflask.Flask, message: str, category: str) -> None:
        seen.append((sender, message, category))

    with app.test_request_context(), aioflask.message_flashed.connected_to(receive, app):
        aioflask.flash("saved", "info")
    assert seen == [(app, "saved", "info")]


# --- files -------------------------------------------------------------------------------------


def test_send_file_names_types_and_dates_it(app: aioflask.Flask) -> None:
    @app.get("/")
    def view() -> aioflask.Response:
        return aioflask.send_file("static/hello.txt", as_attachment=True)

    client = app.test_client()
    with client.get("/") as response:
        assert response.data == b"Hello World"
        assert response.mimetype == "text/plain"
        assert response.headers["Content-Disposition"] == "attachment; filename=hello.txt"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.content_length == 11
    with client.get("/", headers={"If-None-Match": response.headers["ETag"]}) as known:
        assert known.status_code == 304
    with client.get("/", headers={"Range": "bytes=6-"}) as part:
        assert (part.status_code, part.data) == (206, b"World")


def test_send_file_takes_the_age_of_the_app(app: aioflask.Flask) -> None:
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 60
    with app.test_request_context():
        for age, expected in ((None, 60), (5, 5), (lambda path: 7, 7)):
            response = aioflask.send_file("static/hello.txt", max_age=t.cast(t.Any, age))
            assert response.cache_control.max_age == expected
            response.close()


def test_send_file_of_an_open_file(app: aioflask.Flask) -> None:
    with app.test_request_context():
        response = aioflask.send_file(io.BytesIO(b"made"), download_name="made.csv")
        assert response.mimetype == "text/csv"
        assert response.headers["Content-Disposition"] == "inline; filename=made.csv"
        with pytest.raises(TypeError, match="download_name"):
            aioflask.send_file(io.BytesIO(b"made"))
        with pytest.raises(ValueError, match="binary"):
            aioflask.send_file(t.cast(t.Any, io.StringIO("x")), download_name="x.txt")


async def messages_of(app: aioflask.Flask, **scope: t.Any) -> list[dict[str, t.Any]]:
    sent = []

    async def receive() -> t.Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, t.Any]) -> None:
        sent.append(message)

    usual = {"type": "http", "method": "GET", "path": "/", "headers": [], "http_version": "1.0"}
    await app({**usual, "asgi": {"version": "3.0"}, "scheme": "http", **scope}, receive, send)
    return sent


@pytest.mark.anyio
@pytest.mark.parametrize(("size", "pieces"), [(0, 1), (1, 1), (1 << 20, 1), ((1 << 20) + 1, 6)])
async def test_a_file_is_sent_at_once_or_if_it_is_large_in_pieces(
    app: aioflask.Flask, tmp_path: Path, size: int, pieces: int
) -> None:
    (tmp_path / "file").write_bytes(data := bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    app.add_url_rule("/", "file", lambda: aioflask.send_file(tmp_path / "file"))
    start, *bodies = await messages_of(app)
    assert dict(start["headers"])[b"content-length"] == str(size).encode()
    assert b"".join(body["body"] for body in bodies) == data
    assert len(bodies) == pieces
    start, *bodies = await messages_of(app, method="HEAD")
    assert dict(start["headers"])[b"content-length"] == str(size).encode()
    assert [body["body"] for body in bodies] == [b""]


@pytest.mark.anyio
async def test_a_file_that_is_sent_at_once_is_closed(app: aioflask.Flask, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    opened: list[t.IO[bytes]] = []
    closed: list[str] = []

    class Closing(aioflask.Response):
        def close(self) -> None:
            closed.append("subclass")
            super().close()

    @app.get("/<kind>")
    def file(kind: str) -> aioflask.Response:
        opened.append((tmp_path / "file").open("rb"))
        if kind == "subclass":
            app.response_class = Closing
        response = aioflask.send_file(opened[-1], mimetype="text/plain")
        response.content_length = 2 if kind == "cut" else 3
        if kind == "callback":
            response.call_on_close(lambda: closed.append("callback"))
        return response

    for kind in ("plain", "cut", "callback", "subclass"):
        _, *bodies = await messages_of(app, path=f"/{kind}")
        assert b"".join(body["body"] for body in bodies) == (b"ab" if kind == "cut" else b"abc")
    assert closed == ["callback", "subclass"]
    assert all(each.closed for each in opened)


@pytest.mark.anyio
async def test_a_file_that_cannot_be_read_is_a_500(app: aioflask.Flask) -> None:
    errors: list[t.Any] = []
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.teardown_request(errors.append)

    @app.get("/")
    def file() -> aioflask.Response:
        # Linux opens it, and has nothing at its address 0.
        response = aioflask.send_file("/proc/self/mem")
        response.content_length = 3
        return response

    start, _ = await messages_of(app)
    assert start["status"] == 500
    assert [type(error) for error in errors] == [OSError]


def test_send_file_leaves_the_file_to_the_server_if_told(app: aioflask.Flask) -> None:
    app.config["USE_X_SENDFILE"] = True
    with app.test_request_context():
        response = aioflask.send_file("static/hello.txt")
    assert response.headers["X-Sendfile"].endswith("static/hello.txt")


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/hostname", "missing.txt", "", ".", "a\0b"])
def test_send_from_directory_stays_inside(app: aioflask.Flask, path: str) -> None:
    with app.test_request_context(), pytest.raises((NotFound, ValueError)):
        aioflask.send_from_directory("static", path)


def test_send_from_directory(app: aioflask.Flask) -> None:
    with app.test_request_context():
        response = aioflask.send_from_directory("static", "hello.txt", mimetype="text/x-own")
        response.direct_passthrough = False
        assert (response.data, response.mimetype) == (b"Hello World", "text/x-own")
        response.close()


# --- names -------------------------------------------------------------------------------------


def test_root_path_of_a_module_that_was_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lonely_module.py").write_text("raise NotImplementedError")
    package = tmp_path / "lonely_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise NotImplementedError")
    (tmp_path / "lonely_namespace").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert get_root_path("lonely_module") == str(tmp_path)
    assert get_root_path("lonely_package") == str(package)
    assert "lonely_module" not in sys.modules
    monkeypatch.setitem(sys.modules, "lonely_namespace", import_module("lonely_namespace"))
    with pytest.raises(RuntimeError, match="No root path can be found"):
        get_root_path("lonely_namespace")


def test_root_path_of_what_has_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "typed_in", types.ModuleType("typed_in"))
    assert get_root_path("typed_in") == str(tmp_path)
    assert get_root_path("there_is_no_such_module") == str(tmp_path)
    assert get_root_path(__name__) == str(Path(__file__).parent)


def test_blueprint_path_is_split_from_the_inside() -> None:
    assert _split_blueprint_path("a") == ["a"]
    assert _split_blueprint_path("a.b.c") == ["a.b.c", "a.b", "a"]


# --- ours alone --------------------------------------------------------------------------------


async def letters(*items: str) -> AsyncIterator[str]:
    for item in items:
        yield item + aioflask.request.path


def never_torn_down(app: aioflask.Flask) -> list[str]:
    """What happens to the requests of ``app``, in order, once it happens."""
    happened: list[str] = []

    @app.teardown_request
    def request_ends(error: BaseException | None) -> None:
        happened.append(f"request {type(error).__name__}")

    @app.teardown_appcontext
    async def context_ends(error: BaseException | None) -> None:
        happened.append(f"context {type(error).__name__}")

    return happened


@pytest.mark.parametrize("view_is_async", [False, True])
@pytest.mark.parametrize("stream_is_async", [False, True])
def test_async_stream_keeps_the_context_until_its_end(
    app: aioflask.Flask, view_is_async: bool, stream_is_async: bool
) -> None:
    happened = never_torn_down(app)

    def plain() -> Iterator[str]:
        happened.append(aioflask.request.path)
        yield "x"
        happened.append(aioflask.g.user)
        yield "y"

    async def coloured() -> AsyncIterator[str]:
        for item in plain():
            yield item

    def view() -> t.Any:
        aioflask.g.user = "Ada"
        return aioflask.stream_with_context(coloured() if stream_is_async else plain())

    async def async_view() -> t.Any:
        return view()

    app.add_url_rule("/", "view", async_view if view_is_async else view)
    assert app.test_client().get("/").text == "xy"
    assert happened == ["/", "Ada", "request NoneType", "context NoneType"]


def test_async_stream_as_a_decorator(app: aioflask.Flask) -> None:
    @app.get("/")
    async def view() -> AsyncIterator[str]:
        generate = aioflask.stream_with_context(letters)
        assert generate.__name__ == "letters"
        return generate("a", "b")

    assert app.test_client().get("/").text == "a/b/"


@pytest.mark.parametrize("stream_is_async", [False, True])
def test_async_stream_that_never_begins_is_torn_down(
    app: aioflask.Flask, stream_is_async: bool
) -> None:
    happened = never_torn_down(app)
    source = Source("a")

    @app.get("/")
    async def view() -> t.Any:
        return aioflask.stream_with_context(letters("a") if stream_is_async else source)

    assert app.test_client().head("/").text == ""
    assert happened == ["request NoneType", "context NoneType"]
    assert source.closed == (0 if stream_is_async else 1)


@pytest.mark.anyio
async def test_async_stream_outlives_its_context(app: aioflask.Flask) -> None:
    async with app.test_request_context("/kept"):
        stream = aioflask.stream_with_context(letters("a", "b"))
    assert [item async for item in stream] == ["a/kept", "b/kept"]
    assert not aioflask.has_app_context()


@pytest.mark.anyio
async def test_async_stream_that_is_closed_or_fails_ends_its_source(app: aioflask.Flask) -> None:
    ends = []

    async def generate(fails: bool) -> AsyncIterator[str]:
        try:
            yield "x"
            if fails:
                raise ValueError("failed")
            yield "y"
        finally:
            ends.append(aioflask.request.path)

    async with app.test_request_context("/closed"):
        stream = t.cast(t.Any, aioflask.stream_with_context(generate(False)))
        assert await anext(stream) == "x"
        await stream.aclose()
        assert ends == ["/closed"]
        assert [item async for item in stream] == []
        stream = t.cast(t.Any, aioflask.stream_with_context(generate(True)))
        assert await anext(stream) == "x"
        with pytest.raises(ValueError, match="failed"):
            await anext(stream)
        assert ends == ["/closed", "/closed"]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert aioflask.request.path == "/closed"


def test_async_stream_of_a_coroutine_says_so(app: aioflask.Flask) -> None:
    async def rows() -> list[str]:
        return []

    coro = rows()
    with app.test_request_context(), pytest.raises(TypeError, match="Await a coroutine first"):
        aioflask.stream_with_context(coro)  # type: ignore[call-overload]
    coro.close()
