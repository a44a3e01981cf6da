"""What a stream sends, and when: together what comes without a wait, all of it before a wait."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from aioflask import EventSourceResponse, Flask, stream_with_context
from aioflask.concurrency import run_sync

pytestmark = pytest.mark.anyio

Send = Callable[[dict[str, Any]], Any]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["plainly", "with context"])
def with_context(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class Client:
    """Asks once, and keeps what is sent; `send` may be another one."""

    def __init__(
        self, body: Callable[[], Any], send: Send | None = None, receive: Any = anyio.sleep_forever
    ) -> None:
        self.app = Flask("streams_test")
        self.sent: list[bytes] = []
        self.ended = False
        self.other, self.receive = send, receive

        @self.app.get("/")
        async def index() -> Any:
            return body()

    async def ask(self) -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        await self.app(scope, self.receive, self.send)

    async def send(self, message: dict[str, Any]) -> None:
        if self.other is not None:
            await self.other(message)
        if message["type"] == "http.response.body":
            assert not self.ended
            self.ended = not message.get("more_body")
            self.sent.append(message["body"])
        message.clear()  # It is the server's own.

    @property
    def data(self) -> bytes:
        return b"".join(self.sent)


PIECES = [b"%4d" % number * 256 for number in range(300)]


async def test_what_comes_without_a_wait_is_sent_together(
    with_context: bool, anyio_backend_name: str
) -> None:
    async def made() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece

    client = Client(lambda: stream_with_context(made()) if with_context else made())
    await client.ask()
    assert client.data == b"".join(PIECES) and client.ended
    assert client.sent[0] == PIECES[0]  # Which nobody need wait for.
    assert max(map(len, client.sent)) <= 65_536
    if anyio_backend_name == "trio":
        assert client.sent == [*PIECES, b""]
    else:
        assert len(client.sent) < 60  # 7 and as many more as 5 ms passed meanwhile.


async def test_what_a_thread_is_ahead_is_sent_together(anyio_backend_name: str) -> None:
    async def pause(message: dict[str, Any]) -> None:
        await anyio.sleep(0.001)  # So that the thread gets ahead.

    client = Client(lambda: iter(PIECES), pause)
    await client.ask()
    assert client.data == b"".join(PIECES) and client.ended
    assert (len(client.sent) < 200) is (anyio_backend_name == "asyncio")


async def test_a_large_piece_is_sent_as_it_is() -> None:
    pieces = [bytes(65_536 + number) for number in range(5)]

    async def made() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    client = Client(made)
    await client.ask()
    assert [id(piece) for piece in client.sent[:-1]] == [id(piece) for piece in pieces]


async def nothing() -> None:
    """Wait for nobody."""


WAITS: dict[str, Callable[[], Any]] = {
    "a turn of the loop": lambda: anyio.sleep(0),
    "a moment": lambda: anyio.sleep(0.002),
    "a thread": lambda: run_sync(time.sleep, 0.001),
    "an event": lambda: anyio.Event().wait(),
    "no wait": nothing,
}


@pytest.mark.parametrize("wait", [name for name in WAITS if name not in ("an event", "no wait")])
@pytest.mark.parametrize("slow", [False, True], ids=["", "slow client"])
async def test_all_is_sent_before_a_wait(with_context: bool, wait: str, slow: bool) -> None:
    made: list[bytes] = []
    missing: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(60):
            made.append(b"%d;" % number)
            yield made[-1]
            if number % 7 == 0:
                await WAITS[wait]()
                missing.append(len(b"".join(made)) - len(client.data))

    async def pause(message: dict[str, Any]) -> None:
        await anyio.sleep(0.001)

    client = Client(
        lambda: stream_with_context(chunks()) if with_context else chunks(), pause if slow else None
    )
    await client.ask()
    assert missing == [0] * 9
    assert client.data == b"".join(made) and client.ended


async def test_a_generator_that_keeps_the_loop_is_sent_piece_by_piece() -> None:
    seen: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(4):
            yield b"%d;" % number
            seen.append(len(client.sent))
            time.sleep(0.006)  # As where a model makes the next word.

    client = Client(chunks)
    await client.ask()
    assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize("fails", ["raises", "yields a number", "is cancelled"])
@pytest.mark.parametrize("wait", ["no wait", "a turn of the loop"])
async def test_what_came_before_a_failure_is_sent(
    with_context: bool, fails: str, wait: str
) -> None:
    closed: list[str] = []

    async def chunks() -> AsyncIterator[Any]:
        try:
            yield "a"
            yield "b"
            await WAITS[wait]()
            yield "c"
            if fails == "raises":
                raise LookupError("the database has gone")
            if fails == "yields a number":
                yield 1
            await WAITS["an event"]()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.002)
            closed.append("closed")

    client = Client(lambda: stream_with_context(chunks()) if with_context else chunks())
    if fails == "is cancelled":
        with anyio.move_on_after(0.05) as scope:
            await client.ask()
        assert scope.cancelled_caught
    else:
        with pytest.raises(LookupError if fails == "raises" else TypeError):
            await client.ask()
    assert client.data == b"abc" and not client.ended
    assert closed == ["closed"] and not client.app._open


@pytest.mark.parametrize("colour", ["async", "plain"])
@pytest.mark.parametrize("wait", ["no wait", "a turn of the loop"])
async def test_a_client_that_is_gone_gets_no_more(
    with_context: bool, colour: str, wait: str
) -> None:
    closed: list[str] = []
    tries: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for _ in range(100_000):
                yield b"chunk"
                await WAITS[wait]()
        except GeneratorExit:
            closed.append("closed")
            raise

    def rows() -> Iterator[bytes]:
        try:
            for _ in range(100_000):
                yield b"chunk"
        except GeneratorExit:
            closed.append("closed")
            raise

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            tries.append(message["body"])
            if len(tries) > 3:
                raise OSError("the client has gone")

    def body() -> Any:
        made: Any = chunks() if colour == "async" else rows()
        return stream_with_context(made) if with_context else made

    client = Client(body, send)
    await client.ask()
    assert closed == ["closed"]
    assert len(client.sent) == 3 and not client.ended
    assert len(tries) < 20_000  # It is told by the first chunk that comes 5 ms later.


async def test_an_error_of_the_server_ends_a_stream() -> None:
    seen: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"chunk"
                await anyio.sleep(0)
        finally:
            seen.append("closed")

    async def send(message: dict[str, Any]) -> None:
        if message.get("body") and len(client.sent) == 2:
            raise ZeroDivisionError("a mistake of the server")

    client = Client(chunks, send)
    with pytest.raises(ZeroDivisionError):
        await client.ask()
    assert seen == ["closed"] and client.data == b"chunk" * 2


async def test_a_generator_is_not_stepped_while_its_chunks_are_sent() -> None:
    sending: list[bool] = []

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            assert not sending
            yield b"chunk" * 1_000
            assert not sending
            await anyio.sleep(0)

    async def send(message: dict[str, Any]) -> None:
        sending.append(True)
        await anyio.sleep(0.001)
        sending.pop()

    client = Client(chunks, send)
    await client.ask()
    assert client.data == b"chunk" * 30_000 and client.ended


@pytest.mark.parametrize("events", [False, True])
async def test_a_client_that_leaves_while_nothing_comes_is_no_error(events: bool) -> None:
    """A server that speaks ASGI 2.4 says it twice: here, and by an error of all that is sent."""
    closed: list[str] = []

    async def chunks() -> AsyncIterator[str]:
        try:
            yield "chunk"
            await WAITS["an event"]()
        finally:
            closed.append("closed")

    async def receive() -> dict[str, Any]:
        await anyio.sleep(0.02)
        has_left.append(True)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if has_left:
            raise OSError("the client has gone")

    has_left: list[bool] = []
    client = Client(lambda: EventSourceResponse(chunks()) if events else chunks(), send, receive)
    await client.ask()
    assert closed == ["closed"] and len(client.sent) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("size", [1, 65_536], ids=["small", "large"])
async def test_a_generator_that_never_waits_leaves_the_loop_to_others(
    size: int, with_context: bool
) -> None:
    """As uvicorn does, the server takes all without a wait, also for a client that is gone."""
    closed: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * size
        finally:
            closed.append("closed")

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        message["body"] = b""  # Nobody keeps it.

    def body() -> Any:
        return stream_with_context(chunks()) if with_context else chunks()

    client = Client(body, send, receive)
    turns = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.ask)
        while not closed:
            turns += 1
            await anyio.sleep(0)
    assert turns > 5
    assert not client.ended
