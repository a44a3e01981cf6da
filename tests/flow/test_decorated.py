"""Plain decorators around views: what most extensions do, a login for example."""

from __future__ import annotations

import functools
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from aioflask import Flask, abort, current_app, request
from aioflask.views import MethodView
from tests.flow.doors import COLOURS, Flow, paint


def guarded(view: Callable[..., Any]) -> Callable[..., Any]:
    """As Flask's extensions write it, for views of both colours; it never looks at the body."""

    @functools.wraps(view)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        if request.headers.get("X-Pass") == "no":
            abort(403)
        return current_app.ensure_sync(view)(*args, **kwargs)

    return decorated


def show() -> Any:
    if request.mimetype == "application/json":
        return request.get_json()
    found = request.files.get("file")
    data = found.read() if found else request.form["name"].encode()
    return {"size": len(data), "name": request.form["name"], "all": request.values["name"]}


def test_an_async_view_in_a_plain_decorator_has_its_body(flow: Flow) -> None:
    flow.app.add_url_rule("/", "show", guarded(flow.paint(show)), methods=["POST"])
    assert flow.request(method="POST", json={"a": [1, 2]}).json == {"a": [1, 2]}
    answer = flow.request(method="POST", data={"name": "Emma"})
    assert answer.json == {"size": 4, "name": "Emma", "all": "Emma"}
    for size in (10, 700_000):  # The second one is parsed while it arrives.
        data = {"name": "Emma", "file": (io.BytesIO(bytes(size)), "a.txt")}
        answer = flow.request(method="POST", data=data)
        assert answer.json == {"size": size, "name": "Emma", "all": "Emma"}


def test_an_async_method_of_a_decorated_class_has_its_body(flow: Flow) -> None:
    class Notes(MethodView):
        decorators = [guarded, guarded]  # noqa: RUF012

        post = flow.paint(lambda self: show())

    flow.app.add_url_rule("/", view_func=Notes.as_view("notes"))
    assert flow.request(method="POST", json={"a": 1}).json == {"a": 1}


@pytest.mark.anyio
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_decorator_refuses_before_a_byte_is_read(colour: str) -> None:
    app = Flask("flow_test")
    app.add_url_rule("/", "show", guarded(paint(show, colour)), methods=["POST"])
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"host", b"a"),
        (b"x-pass", b"no"),
        (b"content-length", b"4"),
        (b"content-type", b"text/plain"),
    ]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/"}
    await app({**scope, "query_string": b"", "headers": headers}, receive, send)
    assert sent[0]["status"] == 403


def test_limits_hold_in_a_decorated_view(flow: Flow) -> None:
    flow.app.add_url_rule("/", "show", guarded(flow.paint(show)), methods=["POST"])
    flow.app.config["MAX_CONTENT_LENGTH"] = 20
    assert flow.request(method="POST", json={"a": "x" * 30}).status == 413
    assert flow.request(method="POST", json={"a": 1}).status == 200


def test_a_hook_that_calls_an_async_function_leaves_the_body_alone(flow: Flow) -> None:
    """Only a view waits for its body: a hook may still refuse, or change a limit."""

    async def check() -> None:
        if request.headers.get("X-Pass") == "no":
            abort(403)

    @flow.app.before_request
    def hook() -> None:
        current_app.ensure_sync(check)()
        request.max_content_length = 20

    flow.app.add_url_rule("/", "show", guarded(flow.paint(show)), methods=["POST"])
    assert flow.request(method="POST", json={"a": "x" * 30}).status == 413
    assert flow.request(method="POST", json={"a": 1}).json == {"a": 1}
    assert flow.request(method="POST", json={}, headers={"X-Pass": "no"}).status == 403


def test_a_view_that_reads_the_stream_may_call_async_functions(flow: Flow) -> None:
    async def helper() -> str:
        return "helped"

    @flow.app.post("/")
    def view() -> str:
        first = request.stream.read(3)
        helped = current_app.ensure_sync(helper)()
        return f"{first!r} {helped} {request.stream.read()!r}"

    assert flow.request(method="POST", data=b"abcdef").text == "b'abc' helped b'def'"


def test_a_streamed_body_is_left_to_the_view(flow: Flow) -> None:
    if flow.loop is None:
        return

    async def view() -> list[int]:
        stream: AsyncIterator[bytes] = request.stream
        return [len(piece) async for piece in stream]

    flow.app.add_url_rule("/", "view", guarded(view), methods=["POST"], stream_body=True)
    assert sum(flow.request(method="POST", data=bytes(100_000)).json) == 100_000
