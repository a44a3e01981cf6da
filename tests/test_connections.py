"""What is left of connections that broke off, and of a server that was told to end; live."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioflask import Flask, Response
from tests.connections import BAD_FRAMES, OPEN, open_and_drop, send_bad_frame
from tests.live import Server
from tests.test_budgets import scope_of

NUMBERS = {"ws": 40, "events": 20, "upload": 10}
SERVERS = {
    "uvicorn": "uvicorn tests.connections:app --port {port}",
    "uvicorn-h11-wsproto": "uvicorn tests.connections:app --http h11 --ws wsproto --port {port}",
    "aioflask": "aioflask --app tests.connections run --port {port}",
    # Its own patience, 3 s, is short for a busy machine.
    "hypercorn": (
        "hypercorn --workers 0 --graceful-timeout 10 asgi:tests.connections:app"
        " --bind 127.0.0.1:{port}"
    ),
    "hypercorn-trio": (
        "hypercorn --workers 0 --graceful-timeout 10 --worker-class trio"
        " asgi:tests.connections:app --bind 127.0.0.1:{port}"
    ),
    "granian": "granian --interface asgi tests.connections:app --port {port}",
}


class Served:
    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        command = SERVERS[name]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.folder = folder
        self.server = Server(folder, "-m", *command.format(port=self.port).split())

    def get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.server.until(lambda: self.get("/state"))[1]
        return state

    def rest(self) -> None:
        """Wait until its main thread has not run between two looks at its time on a processor."""
        spent: list[str] = []

        def check() -> bool:
            file = Path(f"/proc/{self.server.process.pid}/schedstat")
            spent.append(file.read_text().split()[0])
            return spent[-1:] == spent[-2:-1]

        self.server.until(check)

    def quiet(self) -> dict[str, Any]:
        """The state once it has stopped to change: connections close a moment after their end."""
        last: list[dict[str, Any]] = []

        def check() -> bool:
            last.append({k: v for k, v in self.get("/state")[1].items() if k != "memory"})
            return last[-1]["open"] == 0 and last[-3:] == [last[-1]] * 3

        self.server.until(check)
        return last[-1]

    def settled(self, counts: dict[str, int], like: dict[str, Any]) -> dict[str, Any]:
        """The state once these counts are reached, and tasks and files are as they were."""
        found: dict[str, Any] = {}

        def check() -> bool:
            found.update(self.get("/state")[1])
            same = all(found[key] <= like[key] for key in ("tasks", "threads", "files", "open"))
            return same and found["counts"] == counts

        try:
            self.server.until(check)
        except AssertionError as error:
            raise AssertionError(f"{found}\nin place of {counts}\n{like}") from error
        return found


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path, request.param)
    try:
        yield served
    finally:
        served.server.stop()


def expected(numbers: dict[str, int]) -> dict[str, int]:
    ends = ("started", "ended", "torn down")
    return {f"{kind} {end}": number for kind, number in numbers.items() for end in ends}


def test_nothing_is_left_of_connections_that_broke_off(served: Served) -> None:
    served.state()  # It is there.
    # The first ones start what stays: threads, a connection's first import.
    for kind in NUMBERS:
        asyncio.run(open_and_drop(served.port, kind, 1))
    once = expected(dict.fromkeys(NUMBERS, 1))
    served.server.until(lambda: served.get("/state")[1]["counts"] == once)
    before = served.quiet()
    for kind, number in NUMBERS.items():
        asyncio.run(open_and_drop(served.port, kind, number))
    served.settled(expected({kind: number + 1 for kind, number in NUMBERS.items()}), before)
    assert "Traceback" not in served.server.output, served.server.output


def test_bad_frames_end_their_websocket_and_nothing_else(served: Served) -> None:
    served.state()
    asyncio.run(open_and_drop(served.port, "ws", 1))
    served.server.until(lambda: served.get("/state")[1]["counts"] == expected({"ws": 1}))
    before = served.quiet()
    for frame in BAD_FRAMES.values():
        asyncio.run(send_bad_frame(served.port, frame))
    served.settled(expected({"ws": 1 + len(BAD_FRAMES)}), before)
    # What servers log of it is theirs: uvicorn does, with a traceback, for text that is no UTF-8.
    assert "Exception in ASGI" not in served.server.output, served.server.output


async def hold(port: int, numbers: dict[str, int], opened: threading.Event) -> dict[str, bytes]:
    """Keep connections open until the server ends them, and tell how the last of each ended."""
    ends: dict[str, bytes] = {}
    held = [
        (kind, await OPEN[kind](port)) for kind, number in numbers.items() for _ in range(number)
    ]
    opened.set()
    for kind, (reader, writer) in held:
        ends[kind] = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    return ends


def test_a_server_that_is_told_to_end_does_with_streams_and_websockets_open(
    served: Served,
) -> None:
    served.server.until(lambda: served.get("/state"))
    numbers, opened = {"ws": 50, "events": 50}, threading.Event()
    if served.name == "granian":  # 2.8.9 panics in its own thread now and then, with WebSockets.
        del numbers["ws"]
    ends: dict[str, bytes] = {}
    thread = threading.Thread(
        target=lambda: ends.update(asyncio.run(hold(served.port, numbers, opened)))
    )
    thread.start()
    assert opened.wait(20)
    served.server.until(lambda: served.get("/state")[1]["open"] == sum(numbers.values()))
    # Trio raises Ctrl+C in the task that runs just now, and hypercorn drops all connections then.
    served.rest()
    start = time.monotonic()
    served.server.stop()
    seconds = time.monotonic() - start
    thread.join(20)
    assert seconds < 5, f"{seconds} s\n{served.server.output}"
    # Granian's worker writes it, which is not the process that was waited for.
    counts = json.loads(served.server.until((served.folder / "counts.json").read_text))
    assert counts == expected(numbers)
    assert ends["events"].endswith(b"0\r\n\r\n")  # A whole response, in chunks.
    if "ws" in numbers:
        assert ends["ws"][:1] == b"\x88"  # A close frame.
    assert "Traceback" not in served.server.output, served.server.output


def test_a_stream_needs_no_task() -> None:
    """A server may step its coroutines itself, as Granian does."""
    app, sent = Flask(__name__), list[Any]()

    @app.get("/")
    async def chunks() -> Response:
        async def generate() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        return Response(generate())

    async def receive() -> Any:
        raise AssertionError("the body of a request without one was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        coro = app(scope_of("/", []), receive, send)

        def step() -> None:
            assert asyncio.current_task() is None
            with pytest.raises(StopIteration):
                coro.send(None)
            ended.set()

        loop.call_soon(step)
        await asyncio.wait_for(ended.wait(), 5)

    asyncio.run(main())
    assert [message.get("body") for message in sent] == [None, b"one", b"two", b""]
