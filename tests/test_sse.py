"""Server-sent events: what is sent, and what a browser makes of it; on asyncio and trio."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioflask import (
    EventSourceResponse,
    Flask,
    Response,
    ServerSentEvent,
    g,
    json,
    request,
    stream_with_context,
)
from aioflask.sse_client import EventParser
from aioflask.testing import ReceivedEvent

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["def", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app() -> Flask:
    return Flask("sse_test", static_folder=None)


def serve(app: Flask, colour: str, items: list[Any], **options: Any) -> None:
    @app.get("/")
    async def index() -> Any:
        def plain() -> Iterator[Any]:
            yield from items

        async def asynchronous() -> AsyncIterator[Any]:
            for item in items:
                await anyio.sleep(0)
                yield item

        return EventSourceResponse(plain() if colour == "def" else asynchronous(), **options)


# --- the format -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (ServerSentEvent("a"), "data: a\n\n"),
        (ServerSentEvent(""), "data: \n\n"),
        (ServerSentEvent("a\nb\r\nc\rd\n"), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
        (ServerSentEvent({"b": 1, "a": None}), 'data: {"a": null, "b": 1}\n\n'),
        (ServerSentEvent(0), "data: 0\n\n"),
        (ServerSentEvent("x", event="added", id="7"), "event: added\nid: 7\ndata: x\n\n"),
        (ServerSentEvent(id="", retry=100), "id: \nretry: 100\n\n"),
        (ServerSentEvent(comment="one\ntwo"), ": one\n: two\n\n"),
        (ServerSentEvent("\ud800\N{SNOWMAN}"), "data: ?\N{SNOWMAN}\n\n"),
    ],
)
def test_an_event_is_written_as_the_standard_has_it(event: ServerSentEvent, text: str) -> None:
    with Flask("sse_test").app_context():
        assert event.encode(json.dumps).decode() == text


@pytest.mark.parametrize(
    "event",
    [
        ServerSentEvent("x", event="a\nb"),
        ServerSentEvent("x", id="a\rb"),
        ServerSentEvent("x", id="a\0b"),
        ServerSentEvent("x", retry=-1),
        ServerSentEvent("x", retry=1.5),  # type: ignore[arg-type]
        ServerSentEvent("x", retry=True),
    ],
)
def test_what_would_break_a_field_is_refused(event: ServerSentEvent) -> None:
    with pytest.raises(ValueError, match=r"event=|id=|retry="):
        event.encode(json.dumps)


def test_the_parser_does_what_a_browser_does() -> None:
    parser = EventParser()
    stream = (
        b"\xef\xbb\xbf: a comment\nretry: 3000\nretry: 3s\nunknown: x\nid: 1\nevent: add\n"
        b"data: one\ndata:two\ndata:  three\n\n"
        b"event: lost\n\ndata\n\nid: bad\0\ndata: kept id\r\rid\ndata: no id\r\n\r\n"
        b"data: cut off\n"
    )
    events = [*parser.feed(stream), *parser.feed(b"", final=True)]
    assert events == [
        ReceivedEvent("one\ntwo\n three", "add", "1"),
        ReceivedEvent("", "message", "1"),
        ReceivedEvent("kept id", "message", "1"),
        ReceivedEvent("no id", "message", ""),
    ]
    assert (parser.retry, parser.comments) == (3000, ["a comment"])


LINES = st.text(alphabet="ab:\r\n \N{SNOWMAN}\0", max_size=12)
NAMES = st.text(alphabet="ab: \N{SNOWMAN}", max_size=5)


@given(
    events=st.lists(st.tuples(LINES, NAMES, NAMES), max_size=6),
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=8),
)
def test_what_is_sent_is_what_arrives_however_it_is_cut(
    events: list[tuple[str, str, str]], cuts: list[int]
) -> None:
    sent = b"".join(
        ServerSentEvent(data, event=event, id=number).encode(json.dumps)
        for data, event, number in events
    )
    parser, received, start, turn = EventParser(), list[ReceivedEvent](), 0, 0
    while start < len(sent):
        size = cuts[turn % len(cuts)]
        received += parser.feed(sent[start : start + size])
        start, turn = start + size, turn + 1
    received += parser.feed(b"", final=True)
    assert received == [
        ReceivedEvent(
            "\n".join(data.replace("\r\n", "\n").replace("\r", "\n").split("\n")),
            event or "message",
            number,
        )
        for data, event, number in events
    ]


# --- a response -----------------------------------------------------------------------------------


async def test_a_view_sends_events(app: Flask, colour: str) -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    items = ["text\nof two lines", {"a": 1}, [when], ServerSentEvent("x", event="typed", id="9"), 5]
    serve(app, colour, items, retry=2000, headers={"X-Mine": "yes"})
    async with app.async_client() as client, client.sse("/") as events:
        headers = events.response.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-cache", "no")
        assert headers["X-Mine"] == "yes" and "Content-Length" not in headers
        got = [event async for event in events]
        assert events.retry == 2000 and events.last_event_id == "9"
    assert [event.data for event in got] == [
        "text\nof two lines", '{"a": 1}', '["Thu, 01 Jan 2026 00:00:00 GMT"]', "x", "5",
    ]  # fmt: skip
    assert got[1].json() == {"a": 1}
    assert [(event.event, event.id) for event in got[3:]] == [("typed", "9"), ("message", "9")]


async def test_events_are_sent_while_they_happen(app: Flask) -> None:
    happened = anyio.Event()

    @app.get("/")
    async def index() -> Any:
        async def events() -> AsyncIterator[str]:
            yield "first"
            await happened.wait()
            yield "second"

        return EventSourceResponse(events())

    async with app.async_client() as client, client.sse("/") as events:
        assert (await anext(events)).data == "first"
        happened.set()
        assert (await anext(events)).data == "second"


@pytest.mark.parametrize("replay", ["def", "async", "generator", "list"])
async def test_a_browser_that_comes_again_gets_what_it_missed(app: Flask, replay: str) -> None:
    history = [ServerSentEvent(f"old {n}", id=f"{n}\N{SNOWMAN}") for n in range(5)]

    def missed(last: str) -> list[ServerSentEvent]:
        return history[int(last.removesuffix("\N{SNOWMAN}")) + 1 :]

    async def missed_async(last: str) -> list[ServerSentEvent]:
        await anyio.sleep(0)
        return missed(last)

    async def missed_one_by_one(last: str) -> AsyncIterator[ServerSentEvent]:
        for event in missed(last):
            yield event

    ways: dict[str, Any] = {
        "def": lambda last: iter(missed(last)),
        "async": missed_async,
        "generator": missed_one_by_one,
        "list": missed,
    }
    serve(app, "async", ["new"], replay=ways[replay])
    async with app.async_client() as client:
        async with client.sse("/") as events:
            assert [event.data async for event in events] == ["new"]
        # As a browser sends it: UTF-8, which httpx takes as bytes.
        raw = {"Last-Event-ID": "2\N{SNOWMAN}".encode()}
        async with client.sse("/", headers=raw) as events:
            assert [event.data async for event in events] == ["old 3", "old 4", "new"]


async def test_a_comment_is_sent_when_nothing_happens(app: Flask) -> None:
    @app.get("/<int:ping>")
    async def index(ping: int) -> Any:
        async def events() -> AsyncIterator[str]:
            await anyio.sleep(0.2)
            yield "late"

        return EventSourceResponse(events(), ping=0.05 if ping else None)

    async with app.async_client() as client:
        async with client.sse("/1") as events:
            assert (await anext(events)).data == "late"
            assert 2 <= len(events.comments) <= 4 and set(events.comments) == {"ping"}
        async with client.sse("/0") as events:
            assert [event.data async for event in events] == ["late"]
            assert not events.comments


async def test_the_generator_is_closed_when_the_client_goes(app: Flask, colour: str) -> None:
    closed: list[str] = []

    @app.get("/")
    def index() -> Any:
        def plain() -> Iterator[str]:
            try:
                while True:
                    yield "tick"
                    time.sleep(0.01)
            finally:
                closed.append("closed")

        async def asynchronous() -> AsyncIterator[str]:
            try:
                yield "tick"
                await anyio.sleep(20)
            finally:
                closed.append("closed")

        return EventSourceResponse(plain() if colour == "def" else asynchronous())

    async with app.async_client() as client:
        async with client.sse("/") as events:
            assert (await anext(events)).data == "tick"
        with anyio.fail_after(5):
            while not closed:
                await anyio.sleep(0.01)
        assert not app._open


async def test_the_response_ends_as_a_whole_when_the_server_does(app: Flask) -> None:
    closed: list[str] = []

    @app.get("/")
    async def index() -> Any:
        async def events() -> AsyncIterator[str]:
            try:
                yield "first"
                await anyio.sleep(20)
            finally:
                closed.append("closed")

        return EventSourceResponse(events())

    start = time.monotonic()
    async with app.async_client() as client, client.sse("/") as events:
        assert (await anext(events)).data == "first"
        app.shutdown_event.set()
        assert [event async for event in events] == []
        assert events._exchange.complete
    assert closed == ["closed"]
    assert time.monotonic() - start < 1


async def test_a_generator_with_context_sees_its_request(app: Flask) -> None:
    torn_down: list[Any] = []

    @app.teardown_request
    def tear_down(error: BaseException | None) -> None:
        torn_down.append(g.name)

    @app.get("/")
    async def index() -> Any:
        g.name = "of the request"

        @stream_with_context
        async def events() -> AsyncIterator[str]:
            yield request.path
            yield g.name
            assert not torn_down

        return EventSourceResponse(events())

    async with app.async_client() as client, client.sse("/") as events:
        assert [event.data async for event in events] == ["/", "of the request"]
    assert torn_down == ["of the request"]


async def test_an_app_with_a_response_class_of_its_own_keeps_the_pings(app: Flask) -> None:
    class Mine(Response):
        pass

    app.response_class = Mine

    @app.get("/")
    async def index() -> Any:
        async def events() -> AsyncIterator[str]:
            await anyio.sleep(0.1)
            yield "late"

        return EventSourceResponse(events(), ping=0.02)

    async with app.async_client() as client, client.sse("/") as events:
        assert [event.data async for event in events] == ["late"]
        assert "ping" in events.comments


async def test_a_head_request_gets_the_head_alone(app: Flask) -> None:
    serve(app, "async", ["x"])
    async with app.async_client() as client:
        answer = await client.head("/")
    assert answer.status_code == 200 and answer.content == b""


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_it_works_by_the_plain_client_and_behind_wsgi(
    app: Flask, colour: str, anyio_backend: str
) -> None:
    serve(app, colour, ["x", {"a": 1}])

    def ask() -> list[bytes]:
        environ = app.test_request_context("/").request.environ
        by_wsgi = b"".join(app(environ, lambda status, headers: None))
        return [app.test_client().get("/").data, by_wsgi]

    assert await anyio.to_thread.run_sync(ask) == [b'data: x\n\ndata: {"a": 1}\n\n'] * 2


async def test_mistakes_are_told(app: Flask) -> None:
    app.testing = True
    sources: dict[str, Any] = {"function": lambda: iter("x"), "text": "x", "number": 3}

    @app.get("/<name>")
    async def index(name: str) -> Any:
        return EventSourceResponse(sources[name])

    @app.get("/plain")
    async def plain() -> str:
        return "no events"

    async with app.async_client() as client:
        for name in sources:
            with pytest.raises(TypeError, match="A generator function is called"):
                await client.get(f"/{name}")
        with pytest.raises(ValueError, match="'text/html; charset=utf-8', which is no stream"):
            await client.sse("/plain").__aenter__()
