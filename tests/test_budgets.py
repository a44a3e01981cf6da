"""What a request may cost, in Python calls, frames, tasks and hops: counts hold on any machine.

The calls are those of the app and of the libraries under it; the event loop's own, whose turns
vary, are left out. Worker threads are counted too.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

from aioflask import Blueprint, Flask, Response, g, request, session, signals, streams
from aioflask.concurrency import nonblocking
from aioflask.signals import request_started

HELLO = 13
SESSION = 56
ASYNC_HOOKS = 24
PLAIN_HOOK = 61
PLAIN_VIEW = 39
FORM = 31
JSON_BODY = 24
STREAM = 26
ELSEWHERE = ("/asyncio/", "/anyio/", "/selectors.py", "/threading.py", "/weakref.py")


@pytest.fixture(autouse=True)
def no_signal_was_ever_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk looks for receivers from the first one on; those of other tests do not count."""
    monkeypatch.setattr(signals, "_in_use", False)


Headers = Iterable[tuple[bytes, bytes]]


class Costs:
    """What one request cost, and what came of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.tasks = 0
        self.loops_asked_for = 0

    def __getitem__(self, name: str) -> int:
        """How often a function was called, by its qualified name."""
        return Counter(self.calls)[name]

    def made(self, kind: str) -> list[str]:
        """The constructor calls of the classes whose names end like this."""
        return [call for call in self.calls if call.endswith(f"{kind}.__init__")]

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        above_the_app = code is costs_of.__code__ or code.co_name.startswith("test_")
        elsewhere = any(part in code.co_filename for part in ELSEWHERE)
        if event == "call" and not (above_the_app or elsewhere):
            self.calls.append(code.co_qualname)

    def count(self, event: str, function: Any) -> None:
        """Count the times that asyncio was asked which loop runs, each of which is a getpid()."""
        self.loops_asked_for += event == "c_call" and function is asyncio._get_running_loop


@contextmanager
def profiled(note: Callable[[FrameType, str, Any], Any]) -> Iterator[None]:
    """Profile this thread; threads that start meanwhile profile themselves from then on."""
    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


async def costs_of(
    app: Flask, path: str = "/", *, send_cookie: bool = False, kind: str = "", body: bytes = b""
) -> Costs:
    """Warm a fresh app up, and count the next request of its kind; a POST, if it has a body."""
    costs = Costs()
    loop = asyncio.get_running_loop()
    counting = False

    async def receive() -> dict[str, Any]:
        assert body, "the body of a request without one was asked for"
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        costs.sent.append(message)

    def note(frame: FrameType, event: str, arg: Any) -> None:
        if counting:
            costs.note(frame, event, arg)
            costs.count(event, arg)

    def make_task(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        costs.tasks += 1
        return asyncio.Task(coro, loop=loop, **kwargs)

    scope = scope_of(path, [])
    if body:
        length = str(len(body)).encode()
        fields = [(b"content-type", kind.encode()), (b"content-length", length)]
        scope = scope_of(path, fields) | {"method": "POST"}
    with profiled(note):
        await app(scope, receive, send)
        # The first request of a host is matched by the map; the second compiles the router.
        if send_cookie:
            scope = scope_of(path, cookies(costs.sent))
        await app(scope, receive, send)
    costs = Costs()
    loop.set_task_factory(make_task)
    try:
        with profiled(note):
            counting = True
            await app(scope | {"state": {}}, receive, send)
            counting = False
    finally:
        loop.set_task_factory(None)
    assert costs.sent[0]["status"] == 200, costs.sent
    return costs


def scope_of(path: str, headers: Headers) -> dict[str, Any]:
    usual = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"budget"), (b"accept", b"*/*")]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "root_path": "",
        "headers": [*usual, *headers],
        "state": {},
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
    }


def cookies(sent: list[dict[str, Any]]) -> Headers:
    found = [value for name, value in sent[0]["headers"] if name == b"set-cookie"]
    assert found, "the app set no cookie"
    return [(b"cookie", found[0].partition(b";")[0])]


def hello_app() -> Flask:
    app = Flask("budget")
    app.secret_key = "a secret of a fair length"

    @app.get("/")
    async def hello() -> str:
        return "Hello"

    return app


@pytest.mark.anyio
async def test_hello_world_costs_a_handful_of_calls() -> None:
    costs = await costs_of(hello_app())
    assert len(costs.calls) <= HELLO, costs.calls
    assert costs.calls[0] == "Flask.__call__" and costs.calls[-1].endswith("send")
    assert [message["type"] for message in costs.sent] == [
        "http.response.start",
        "http.response.body",
    ]


@pytest.mark.anyio
async def test_hello_world_starts_no_task_and_builds_nothing_nobody_asked_for() -> None:
    costs = await costs_of(hello_app())
    assert costs.tasks == 0
    assert costs.made("Headers") == costs.made("MapAdapter") == costs.made("Job") == []
    assert costs["build_environ"] == 0
    assert costs.loops_asked_for == 1


@pytest.mark.anyio
async def test_a_stream_that_never_waits_is_neither_watched_nor_made_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "HELD_FOR", 60.0)  # However slow this machine is.
    app = Flask("budget")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"chunk"

    @app.get("/")
    async def view() -> Response:
        return Response(chunks())

    costs = await costs_of(app)
    assert len(costs.calls) - costs["costs_of.<locals>.send"] - costs[chunks.__qualname__] <= STREAM
    assert costs.made("Interruptible") == costs.made("Client") == costs.made("Headers") == []
    assert costs.tasks == 0 and costs.loops_asked_for == 1
    assert [message.get("body") for message in costs.sent] == [None, b"chunk", b"chunk" * 19, b""]


@pytest.mark.anyio
async def test_at_most_two_frames_stand_above_a_view() -> None:
    app, names = Flask("budget"), list[str]()

    @app.get("/")
    async def view() -> str:
        frame = sys._getframe().f_back
        while frame is not None and frame.f_code is not costs_of.__code__:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        return ""

    await costs_of(app)
    assert names == 3 * ["full_dispatch_request", "asgi_app"]


@pytest.mark.anyio
async def test_a_view_runs_in_the_servers_own_task() -> None:
    app, tasks = Flask("budget"), set[Any]()

    @app.get("/")
    async def view() -> str:
        tasks.update({asyncio.current_task()}, asyncio.all_tasks())
        return ""

    before = asyncio.all_tasks()
    await costs_of(app)
    assert tasks == before


@pytest.mark.anyio
async def test_a_session_read_and_written_costs_its_budget() -> None:
    app = hello_app()

    @app.get("/session")
    async def count() -> dict[str, int]:
        session["count"] = session.get("count", 0) + 1
        return dict(session)

    costs = await costs_of(app, "/session", send_cookie=True)
    assert costs.sent[1]["body"].strip() == b'{"count":2}' and cookies(costs.sent)
    assert len(costs.calls) <= SESSION, (len(costs.calls), costs.calls)


@pytest.mark.anyio
async def test_a_form_costs_its_budget() -> None:
    app = Flask("budget")

    @app.post("/")
    async def view() -> dict[str, Any]:
        return {"name": request.form["name"], "fields": len(request.form)}

    form = b"name=Ada+Lovelace&city=London&mail=ada%40example.org"
    costs = await costs_of(app, kind="application/x-www-form-urlencoded", body=form)
    assert costs.sent[1]["body"] == b'{"fields":3,"name":"Ada Lovelace"}\n'
    assert len(costs.calls) <= FORM, (len(costs.calls), costs.calls)
    assert costs.tasks == 0 and costs.made("Headers") == []


@pytest.mark.anyio
async def test_a_body_of_json_costs_its_budget() -> None:
    app = Flask("budget")

    @app.post("/")
    async def view() -> Any:
        return request.get_json()

    costs = await costs_of(app, kind="application/json", body=b'{"name": null}')
    assert costs.sent[1]["body"] == b'{"name":null}\n'
    assert len(costs.calls) <= JSON_BODY, (len(costs.calls), costs.calls)
    assert costs.tasks == 0 and costs.made("Headers") == []


@pytest.mark.anyio
async def test_async_hooks_cost_themselves_and_no_hop() -> None:
    app = hello_app()

    @app.before_request
    async def before() -> None:
        g.hook = "before"

    @app.after_request
    async def after(response: Any) -> Any:
        response.headers["X-Hook"] = g.hook
        return response

    costs = await costs_of(app)
    assert len(costs.calls) <= ASYNC_HOOKS, (len(costs.calls), costs.calls)
    assert costs.made("Job") == [] and costs.tasks == 0
    assert costs.loops_asked_for == 1


@pytest.mark.anyio
async def test_plain_hooks_of_a_kind_under_an_async_view_are_one_hop() -> None:
    app, threads = hello_app(), set[str]()

    @app.before_request
    def before() -> None:
        threads.add(threading.current_thread().name)

    one = await costs_of(app)
    assert len(one.made("Job")) == 1 and one.tasks == 0
    assert len(one.calls) <= PLAIN_HOOK, (len(one.calls), one.calls)
    assert all(name.startswith("aioflask-lane") for name in threads)

    app = hello_app()
    app.before_request_funcs[None] = [before] * 5
    five = await costs_of(app)
    assert len(five.made("Job")) == 1
    assert len([call for call in five.calls if call.endswith(".before")]) == 5


@pytest.mark.anyio
async def test_a_plain_view_is_one_hop_and_one_match() -> None:
    app, threads = Flask("budget"), list[str]()

    @app.before_request
    def before() -> None:
        threads.append(threading.current_thread().name)

    @app.teardown_request
    def teardown(_: BaseException | None) -> None:
        threads.append(threading.current_thread().name)

    @app.get("/")
    def view() -> str:
        threads.append(threading.current_thread().name)
        return ""

    costs = await costs_of(app)
    assert len(costs.made("Job")) == 1 and costs.tasks == 0
    assert costs["Router.match"] == 1 and costs["MapAdapter.match"] == 0
    assert costs["build_environ"] == 0 and costs.made("Headers") == []
    assert len(set(threads[3:])) == 1 and threads[3].startswith("aioflask-worker")


@pytest.mark.anyio
async def test_a_plain_view_costs_its_budget() -> None:
    app = Flask("budget")
    app.add_url_rule("/", "view", lambda: "")
    costs = await costs_of(app)
    assert len(costs.calls) <= PLAIN_VIEW, (len(costs.calls), costs.calls)


@pytest.mark.anyio
async def test_a_nonblocking_view_makes_no_hop() -> None:
    app = Flask("budget")
    app.add_url_rule("/", "view", nonblocking(lambda: ""))
    costs = await costs_of(app)
    assert costs.made("Job") == [] and len(costs.calls) <= HELLO + 3


def crowd(app: Flask) -> None:
    """Everything that this app's only measured view does not use, a hundred times."""

    def nothing(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a function of another blueprint was called")

    for number in range(100):
        blueprint = Blueprint(f"b{number}", __name__, url_prefix=f"/b{number}")
        blueprint.before_request(nothing)
        blueprint.after_request(nothing)
        blueprint.teardown_request(nothing)
        blueprint.url_value_preprocessor(nothing)
        blueprint.context_processor(nothing)
        blueprint.register_error_handler(404, nothing)
        blueprint.add_url_rule("/<int:id>/<path:rest>", "view", nothing)
        app.register_blueprint(blueprint)
    app.register_error_handler(Exception, nothing)
    app.context_processor(nothing)
    app.url_defaults(nothing)


@pytest.mark.anyio
async def test_what_is_not_used_costs_nothing() -> None:
    app = hello_app()
    crowd(app)
    assert (await costs_of(app)).calls == (await costs_of(hello_app())).calls


@pytest.mark.anyio
async def test_a_cookie_that_is_not_the_sessions_opens_no_session() -> None:
    app = hello_app()

    @app.get("/set")
    async def set_cookie() -> Any:
        response = app.make_response("")
        response.set_cookie("theme", "dark")
        return response

    costs = await costs_of(app, "/set", send_cookie=True)
    assert not [call for call in costs.calls if "SessionInterface" in call]


@pytest.mark.anyio
async def test_a_listener_that_has_gone_costs_a_look_for_others() -> None:
    def listener(*_: Any, **__: Any) -> None: ...

    app = hello_app()
    with request_started.connected_to(listener, app):
        heard = await costs_of(app)
    gone = await costs_of(app)
    assert any(call.endswith("listener") for call in heard.calls)
    assert len(gone.calls) <= HELLO + 3, gone.calls


@pytest.mark.anyio
async def test_annotations_of_a_plain_view_cost_nothing() -> None:
    bare, annotated = Flask("budgets"), Flask("budgets")

    @bare.get("/items/<int:id>")
    async def item(id, page=1):  # type: ignore[no-untyped-def]
        return "an item"

    @annotated.get("/items/<int:id>")
    @annotated.get("/items/<int:id>/<int:page>")
    async def annotated_item(id: int, page: int = 1) -> str:
        return "an item"

    one, other = await costs_of(bare, "/items/3"), await costs_of(annotated, "/items/3")
    assert [call.replace("annotated_item", "item") for call in other.calls] == one.calls


TYPED = 30
"""Calls that two query parameters and a JSON answer may cost beside those of hello-world."""


@pytest.mark.anyio
async def test_a_typed_view_costs_its_budget() -> None:
    pytest.importorskip("msgspec")
    app, plain = Flask("budgets"), hello_app()

    @app.get("/")
    async def view(q: str = "", limit: int = 3) -> dict[str, _Item]:
        return {"found": _Item(q, limit)}

    typed, hello = await costs_of(app), await costs_of(plain)
    assert typed.sent[1]["body"] == b'{"found":{"name":"","count":3}}'
    assert len(typed.calls) <= len(hello.calls) + TYPED, typed.calls
    assert typed.tasks == 0


@dataclass
class _Item:
    name: str
    count: int
