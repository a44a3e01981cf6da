"""The ways by which a flow test's request enters the app, and the colours of its functions."""

from __future__ import annotations

import functools
import io
import itertools
import json
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import anyio
import anyio.lowlevel
import werkzeug.test
from anyio.from_thread import BlockingPortal
from werkzeug.datastructures import Headers

from aioflask import Flask
from aioflask.concurrency import background_loop
from aioflask.environ import scope_from_environ

F = TypeVar("F", bound=Callable[..., Any])

DOORS = {
    "asyncio": ("asyncio", 40),
    "asyncio-one-thread": ("asyncio", 1),
    "trio": ("trio", 40),
    "wsgi": (None, 40),
}
"""The event loop of each door, None for the WSGI face, and the size of the worker pool."""

COLOURS = ("def", "async")
ALL = [(door, colour) for door in DOORS for colour in COLOURS]
FEW = [("asyncio-one-thread", "def"), ("asyncio", "async"), ("trio", "async"), ("wsgi", "def")]
"""Both loops, both faces and both colours, for what has little to do with where it runs."""


def few_doors(test: F) -> F:
    """Let a test with many cases run by a few doors only."""
    test.few_doors = True  # type: ignore[attr-defined]
    return test


def paint(function: F, colour: str) -> F:
    """A plain function in a colour; the `async def` one really leaves and comes back."""
    if colour == "def":
        return function

    @functools.wraps(function)
    async def painted(*args: Any, **kwargs: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return function(*args, **kwargs)

    del painted.__wrapped__
    return painted  # type: ignore[return-value]


class Answer(NamedTuple):
    """What came back: alike for all doors."""

    status: int
    headers: Headers
    pieces: list[bytes]

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def text(self) -> str:
        return self.data.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Flow:
    """An app, the door to it, and the colour of its views."""

    door: str
    colour: str
    portals: dict[str, BlockingPortal]
    app: Flask = field(init=False)

    def __post_init__(self) -> None:
        self.loop, self.threads = DOORS[self.door]
        self.make_app()

    def make_app(self, **options: Any) -> Flask:
        """Begin anew with an app of other options."""
        self.app = Flask("flow_test", **{"static_folder": None, **options})
        self.app.secret_key = "flow"
        self.app.config["WORKER_THREADS"] = self.threads
        return self.app

    def paint(self, function: F, colour: str | None = None) -> F:
        """A plain function in the colour of this flow, or another."""
        return paint(function, colour or self.colour)

    def route(self, rule: str, **options: Any) -> Callable[[F], F]:
        """As `app.route`, painting the view in the colour of this flow."""

        def decorator(view: F) -> F:
            self.app.add_url_rule(rule, view_func=self.paint(view), **options)
            return view

        return decorator

    def returning(self, value: Any, rule: str = "/", **options: Any) -> None:
        """Add a view that makes its return value by calling `value()`."""
        self.app.add_url_rule(rule, "view", self.paint(lambda: value()), **options)

    def request(self, path: str = "/", method: str = "GET", **kwargs: Any) -> Answer:
        """Send a request, of the arguments of Werkzeug's `EnvironBuilder`."""
        builder = werkzeug.test.EnvironBuilder(path, method=method, **kwargs)
        try:
            environ = builder.get_environ()
            with environ["wsgi.input"] as body:
                return self.send(environ, [body.read()])
        finally:
            builder.close()

    get = request

    def post(self, path: str = "/", **kwargs: Any) -> Answer:
        """Send a POST request."""
        return self.request(path, "POST", **kwargs)

    def send(self, environ: dict[str, Any], pieces: Iterable[bytes], **scope: Any) -> Answer:
        """Send an environ whose body arrives in pieces; `scope` changes what ASGI sees."""
        if self.loop is None:
            environ["wsgi.input"] = io.BufferedReader(Pieces(pieces))
            return self._by_wsgi(environ)
        made = {**scope_from_environ(environ), **scope}
        del made["aioflask.environ"]  # A server has none.
        answer: Answer = self.run(ask, self.app, made, list(pieces))
        return answer

    def _by_wsgi(self, environ: dict[str, Any]) -> Answer:
        pieces, status, headers = werkzeug.test.run_wsgi_app(self.app, environ)
        try:
            return Answer(int(status[:3]), headers, list(pieces))
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a coroutine function on this door's loop."""
        if self.loop is None:
            return background_loop().run(function(*args))
        value, error = self.portals[self.loop].call(outcome, function, *args)
        if error is not None:
            raise error
        return value


class Pieces(io.RawIOBase):
    """A socket that a body comes from, a piece at a time."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = deque(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.pieces.popleft() if self.pieces else b""
        if len(piece) > len(buffer):
            self.pieces.appendleft(piece[len(buffer) :])
            piece = piece[: len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


async def outcome(function: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Keep an exception from ending the loop, as a BaseException would."""
    try:
        return await function(*args), None
    except anyio.get_cancelled_exc_class():
        raise
    except BaseException as error:
        return None, error


async def ask(app: Any, scope: MutableMapping[str, Any], pieces: list[bytes]) -> Answer:
    """Be an ASGI server for one request, and see that the app keeps to the protocol."""
    body = deque(
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ) or deque([{"type": "http.request", "body": b"", "more_body": True}])
    announced = dict(scope["headers"]).get(b"content-length", b"")
    # A client that sends less than it announced has gone, which the server tells.
    body[-1]["more_body"] = announced.isdigit() and int(announced) > sum(map(len, pieces))
    is_short = body[-1]["more_body"]
    status, headers, sent, ended = 0, Headers(), list[bytes](), anyio.Event()

    async def receive() -> Any:
        await anyio.lowlevel.checkpoint()
        if body:
            return body.popleft()
        if not is_short:
            await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        await anyio.lowlevel.checkpoint()
        assert not ended.is_set(), f"sent after the end: {message}"
        if message["type"] == "http.response.start":
            assert not status, "the response was started twice"
            status = message["status"]
            for name, value in message["headers"]:
                assert name == name.lower(), f"{name!r} is not in lower case"
                headers.add(name.decode("latin-1"), value.decode("latin-1"))
        else:
            assert message["type"] == "http.response.body" and status, message
            if message["body"]:
                sent.append(bytes(message["body"]))
            if not message.get("more_body", False):
                ended.set()

    await app(scope, receive, send)
    assert ended.is_set(), "the response was not ended"
    return Answer(status, headers, sent)


def cycle(colours: str) -> Callable[[F], F]:
    """Paint functions in turn: `cycle("def async")` gives every second one the other colour."""
    turn = itertools.cycle(colours.split())
    return lambda function: paint(function, next(turn))


async def items(values: Iterable[Any]) -> AsyncIterable[Any]:
    """The values as an async generator."""
    for value in values:
        await anyio.lowlevel.checkpoint()
        yield value
