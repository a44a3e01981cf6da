"""docs/explanation/walk.md tells the truth: real requests take the steps that it lists, in order.

A step is an item of a numbered list that begins with a function's name and, in brackets, the side
that it runs on: "3. `walk.match` (loop)". Names are relative to `aioflask`; `view`,
`before_request`, `after_request` and `teardown_request` are the app's own functions, below. What
is watched is every function that the page names anywhere, and every public coroutine function of
`walk`, so that a new step cannot be left out.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from aioflask import Flask, Response, request, walk
from aioflask.typing import Message

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "walk.md"
TEXT = PAGE.read_text("utf-8")
STEP = re.compile(r"^\d+\. `([\w.]+)` \((loop|worker|lane)\)", re.MULTILINE)
OWN = ("view", "before_request", "after_request", "teardown_request")

Step = tuple[str, str]


def steps(heading: str) -> list[Step]:
    """The steps below one heading of the page."""
    (section,) = re.findall(
        rf"^## {re.escape(heading)}$\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL
    )
    return STEP.findall(section)


def code_of(name: str) -> CodeType:
    """The code of a function by its dotted name, as `wrappers.Request.load_body`."""
    module, *path = name.split(".")
    found: Any = importlib.import_module(f"aioflask.{module}")
    for part in path:
        found = inspect.getattr_static(found, part)
    found = getattr(found, "__func__", found)  # a classmethod's
    code: CodeType = inspect.unwrap(found).__code__
    return code


def watched() -> dict[CodeType, str]:
    named = {name for name, _ in STEP.findall(TEXT)}
    names = {f"walk.{name}" for name, each in vars(walk).items() if is_step(name, each)}
    return {code_of(name): name for name in names | named.difference(OWN)}


def is_step(name: str, each: object) -> bool:
    ours = inspect.iscoroutinefunction(each) and each.__module__ == walk.__name__
    return ours and not name.startswith("_")


class Watch:
    """Notes which functions start, on which side, in the order in which they do."""

    def __init__(self) -> None:
        self.names = watched()
        self.taken: list[Step] = []
        self.frames: set[FrameType] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        name = self.names.get(code)
        if code.co_filename == __file__ and code.co_name in OWN:
            name = code.co_name
        # A coroutine that goes on is announced as a call, too.
        if event == "call" and name is not None and frame not in self.frames:
            self.frames.add(frame)
            self.taken.append((name, side()))

    async def request(self, app: Flask, method: str, path: str) -> int:
        """Send a request by ASGI, watched on this thread and on those that it starts."""
        body = b'{"title": "Emma"}' if method == "POST" else b""
        messages: list[Message] = [{"type": "http.request", "body": body}]
        status = []

        async def receive() -> Message:
            return messages.pop()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        if body:
            headers.append((b"content-length", b"%d" % len(body)))
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "headers": headers,
        }
        threads, here = threading.getprofile(), sys.getprofile()
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            await app(scope, receive, send)
        finally:
            sys.setprofile(here)
            threading.setprofile(threads)
        return int(status[0])


def side() -> str:
    name = threading.current_thread().name
    return next(
        (each for each in ("worker", "lane") if name.startswith(f"aioflask-{each}")), "loop"
    )


class Plain:
    """The app's own functions, plain ones."""

    @staticmethod
    def view() -> Any:
        return request.get_json() if request.method == "POST" else "Hello"

    @staticmethod
    def before_request() -> None:
        pass

    @staticmethod
    def after_request(response: Response) -> Response:
        return response

    @staticmethod
    def teardown_request(error: BaseException | None) -> None:
        pass


class Async:
    """The same functions as coroutine functions."""

    @staticmethod
    async def view() -> Any:
        return request.get_json() if request.method == "POST" else "Hello"

    @staticmethod
    async def before_request() -> None:
        pass

    @staticmethod
    async def after_request(response: Response) -> Response:
        return response

    @staticmethod
    async def teardown_request(error: BaseException | None) -> None:
        pass


async def view() -> Any:
    raise LookupError("a bug of the app")


def make_app(view: Any, hooks: Any = None, names: Sequence[str] = OWN[1:]) -> Flask:
    app = Flask(__name__)
    app.post("/notes")(view)
    app.get("/hello")(view)
    for name in names if hooks else ():
        getattr(app, name)(getattr(hooks, name))
    return app


HELLO, NOTE, NOWHERE = ("GET", "/hello"), ("POST", "/notes"), ("GET", "/nowhere")
REQUESTS: dict[str, tuple[Callable[[], Flask], tuple[str, str], int]] = {
    "An async view": (partial(make_app, Async.view, Async), NOTE, 200),
    "Nothing but an async view": (partial(make_app, Async.view), HELLO, 200),
    "A plain view": (partial(make_app, Plain.view, Plain), NOTE, 200),
    "An async view with plain hooks": (partial(make_app, Async.view, Plain), NOTE, 200),
    "A plain view with an async hook": (
        partial(make_app, Plain.view, Async, ["before_request"]),
        HELLO,
        200,
    ),
    "No view: a 404": (partial(make_app, Async.view), NOWHERE, 404),
    "An exception that nobody handles": (partial(make_app, view), HELLO, 500),
}


@pytest.mark.anyio
@pytest.mark.parametrize("heading", REQUESTS)
async def test_a_request_takes_the_steps_of_the_page(
    heading: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, (method, path), status = REQUESTS[heading]
    watch = Watch()
    with caplog.at_level(logging.CRITICAL + 1):
        await Watch().request(make(), method, path)  # From now on the host is a known one.
        assert await watch.request(make(), method, path) == status
    assert watch.taken == steps(heading)


def test_every_list_of_the_page_is_followed() -> None:
    headings = re.split(r"^## (.*)$", TEXT, flags=re.MULTILINE)[1::2]
    assert [each for each in headings if steps(each)] == list(REQUESTS)


def test_every_function_that_the_page_mentions_exists() -> None:
    modules = "app|body|concurrency|ctx|helpers|plan|streams|walk|wrappers"
    mentioned = set(re.findall(rf"`((?:{modules})\.\w[\w.]*)`", TEXT))
    assert len(mentioned) > 20
    for name in mentioned:
        module, *path = name.split(".")
        found: Any = importlib.import_module(f"aioflask.{module}")
        for part in path:
            found = inspect.getattr_static(found, part)
