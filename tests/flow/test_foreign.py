"""What is not ours: Werkzeug's responses, WSGI applications, objects that look like a stream."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import werkzeug.exceptions
import werkzeug.wrappers
from werkzeug.datastructures import FileStorage

from aioflask import Flask, Response, request
from aioflask.concurrency import on_loop
from tests.flow.doors import COLOURS, Flow


def plain_response(*_: Any) -> werkzeug.wrappers.Response:
    return werkzeug.wrappers.Response("Werkzeug's", 202, {"X-From": "Werkzeug"})


@pytest.mark.parametrize("hooks", COLOURS)
def test_an_after_hook_may_return_werkzeugs_response(flow: Flow, hooks: str) -> None:
    flow.app.after_request(flow.paint(plain_response, hooks))
    flow.returning(lambda: "view")
    answer = flow.get()
    assert (answer.status, answer.text) == (202, "Werkzeug's")
    assert answer.headers["X-From"] == "Werkzeug"


@pytest.mark.parametrize("value", ["text", b"bytes", {"a": 1}, ["list"], ("with", 201)])
def test_the_response_class_may_be_werkzeugs(flow: Flow, value: Any) -> None:
    flow.app.response_class = werkzeug.wrappers.Response  # type: ignore[assignment]
    flow.returning(lambda: value)
    answer = flow.get()
    assert answer.status == (201 if isinstance(value, tuple) else 200)
    assert answer.data
    assert flow.get("/nowhere").status == 404


@pytest.mark.parametrize("method", ["finalize_request", "full_dispatch_request"])
def test_an_override_may_return_werkzeugs_response(flow: Flow, method: str) -> None:
    setattr(flow.app, method, plain_response)
    flow.returning(lambda: "view")
    assert flow.get().text == "Werkzeug's"


def test_handle_exception_may_return_werkzeugs_response(flow: Flow) -> None:
    flow.app.handle_exception = plain_response  # type: ignore[method-assign,assignment]
    flow.returning(lambda: 1 / 0)
    assert flow.get().text == "Werkzeug's"


@pytest.mark.parametrize("value", ["text", 5, ("text", 200)])
def test_an_after_hook_that_returns_no_response_is_a_type_error(flow: Flow, value: Any) -> None:
    flow.app.after_request(lambda response: value)
    flow.returning(lambda: "view")
    with pytest.raises(TypeError, match=r"has to return a response returned .*make_response"):
        flow.get()


# --- what looks like a stream, or is called -------------------------------------------------------


class Anything:
    """Has whatever attribute it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


@pytest.mark.parametrize(
    "make",
    [
        lambda: FileStorage(io.BytesIO(b"text")),
        lambda: SimpleNamespace(__next__=lambda: "text"),
        Anything,
        lambda: request,
    ],
    ids=["file", "namespace", "anything", "proxy"],
)
def test_what_only_looks_like_a_stream_is_no_response(flow: Flow, make: Callable[[], Any]) -> None:
    flow.app.testing = True
    flow.returning(make)
    with pytest.raises(TypeError, match="did not return a valid response"):
        flow.get()


def test_a_wsgi_application_is_called_off_the_loop(flow: Flow) -> None:
    called: list[tuple[bool, int]] = []

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        called.append((on_loop(), threading.get_ident()))
        start_response("203 NON AUTHORITATIVE", [("X-Path", environ["PATH_INFO"])])
        return [b"WSGI"]

    flow.returning(lambda: application)
    answer = flow.get()
    assert (answer.status, answer.text, answer.headers["X-Path"]) == (203, "WSGI", "/")
    assert [side for side, _ in called] == [False]


def test_an_http_exception_may_be_its_own_wsgi_application(flow: Flow) -> None:
    class Own(werkzeug.exceptions.NotFound):
        def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
            start_response("404 NOT FOUND", [("Content-Type", "text/own")])
            return [b"my own"]

    def raises() -> None:
        raise Own

    flow.returning(raises)
    answer = flow.get()
    assert (answer.status, answer.text) == (404, "my own")
    assert answer.headers["Content-Type"] == "text/own"


def test_an_async_stream_that_cannot_be_begun_is_an_error(flow: Flow) -> None:
    class Broken:
        def __aiter__(self) -> Any:
            raise ValueError("cannot be begun")

    flow.returning(Broken)
    with pytest.raises(ValueError, match="cannot be begun"):
        flow.get()


# --- what a subclass or a hook puts in place ------------------------------------------------------


def test_trusted_hosts_of_the_request_class_are_asked(flow: Flow) -> None:
    class Careful(flow.app.request_class):  # type: ignore[name-defined,misc]
        trusted_hosts = ("good.example",)

    flow.app.request_class = Careful
    flow.returning(lambda: "ok")
    assert flow.get(base_url="http://good.example").text == "ok"
    assert flow.get(base_url="http://evil.example").status == 400


@pytest.mark.parametrize("hooks", COLOURS)
@pytest.mark.parametrize("other", COLOURS)
def test_a_hook_may_choose_another_view(flow: Flow, hooks: str, other: str) -> None:
    app = flow.app
    app.add_url_rule("/other", "other", flow.paint(lambda: "other", other))
    (rule,) = app.url_map.iter_rules("other")

    def choose() -> None:
        if request.args.get("by") == "rule":
            request.url_rule = rule
        elif request.args.get("by") == "function":
            app.view_functions["view"] = app.view_functions["other"]

    app.before_request(flow.paint(choose, hooks))
    flow.returning(lambda: "view")
    assert flow.get().text == "view"
    assert flow.get("/?by=rule").text == "other"
    assert flow.get("/?by=function").text == "other"
    assert flow.get().text == "other"


def test_a_reason_of_ones_own_stays_here() -> None:
    app = Flask("reasons", static_folder=None)
    app.add_url_rule("/", "view", lambda: Response("ok", "299 Custom"))
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.status) == (299, "299 UNKNOWN")


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_a_stream_of_nothing_is_an_error(flow: Flow, colour: str) -> None:
    def plain() -> Iterator[Any]:
        yield "begun"
        yield None

    async def coloured() -> AsyncIterator[Any]:
        for piece in plain():
            yield piece

    flow.returning(lambda: plain() if colour == "plain" else coloured())
    with pytest.raises(TypeError, match="chunks are str or bytes, but this one gave None"):
        flow.get()


def test_a_response_class_may_use_the_request_for_its_headers(flow: Flow) -> None:
    class Own(Response):
        def get_wsgi_headers(self, environ: Any) -> Any:
            headers = super().get_wsgi_headers(environ)
            headers["X-Path"] = request.path
            return headers

    flow.app.response_class = Own
    flow.returning(lambda: "ok")
    assert flow.get().headers["X-Path"] == "/"
