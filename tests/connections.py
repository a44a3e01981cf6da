"""An app that counts what is left of its connections, and clients that go without a goodbye.

`tests/test_connections.py` drives a few of them against every server, `scripts/connections`
thousands against uvicorn.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import gc
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio

from aioflask import EventSourceResponse, Flask, request, websocket

PAGE = os.sysconf("SC_PAGE_SIZE")

app = Flask(__name__, static_folder=None)
app.config["MAX_CONTENT_LENGTH"] = None
counts: Counter[str] = Counter()


def tasks() -> int:
    """How many tasks the event loop has, asyncio's or trio's."""
    with contextlib.suppress(RuntimeError):
        return len(asyncio.all_tasks())
    trio: Any = sys.modules["trio"]

    def below(task: Any) -> int:
        children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        return 1 + sum(map(below, children))

    return below(trio.lowlevel.current_root_task())


def trim_memory() -> None:
    """Have glibc give free pages back, so that what is in use is what is counted."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


@app.get("/state")
async def state() -> dict[str, Any]:
    gc.collect()
    trim_memory()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "tasks": tasks(),
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "open": len(app._open),
        "memory": pages * PAGE,
        "counts": dict(counts),
    }


@app.websocket("/ws")
async def talk() -> None:
    counts["ws started"] += 1
    try:
        async for message in websocket:
            await websocket.send(message)
    finally:
        counts["ws ended"] += 1


@app.get("/events")
async def events() -> Any:
    counts["events started"] += 1

    async def ticks() -> AsyncIterator[str]:
        try:
            yield "tick"
            await anyio.sleep_forever()
        finally:
            counts["events ended"] += 1

    return EventSourceResponse(ticks())


@app.post("/upload", stream_body=True)
async def upload() -> dict[str, Any]:
    counts["upload started"] += 1
    size = 0
    try:
        async for part in request.stream_parts():
            async for data in part:
                size += len(data)
    finally:
        counts["upload ended"] += 1
    return {"size": size}


@app.teardown_websocket
async def tear_down_websocket(error: BaseException | None) -> None:
    counts["ws torn down"] += 1


@app.teardown_request
async def tear_down(error: BaseException | None) -> None:
    if request.endpoint in ("events", "upload"):
        counts[f"{request.endpoint} torn down"] += 1


@app.after_serving
async def write_down() -> None:
    with open("counts.json", "w") as file:
        json.dump(counts, file)


# --- the other side -------------------------------------------------------------------------------

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _send(port: int, *lines: str, body: bytes = b"") -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "\r\n".join([*lines, f"Host: 127.0.0.1:{port}", "", ""])
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def open_websocket(port: int) -> Connection:
    """A WebSocket, up to the end of its handshake (RFC 6455, 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    reader, writer = await _send(
        port,
        "GET /ws HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 101")
    # One frame each way, masked with zeros, so that the view is where it waits for the next.
    writer.write(b"\x81\x82\0\0\0\0hi")
    await reader.readuntil(b"hi")
    return reader, writer


async def open_events(port: int) -> Connection:
    """A stream of events, up to the first of them."""
    connection = await _send(port, "GET /events HTTP/1.1")
    await connection[0].readuntil(b"data: tick")
    return connection


async def begin_upload(port: int) -> Connection:
    """An upload of a file of 1 MiB, up to its half."""
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    return await _send(
        port,
        "POST /upload HTTP/1.1",
        "Content-Type: multipart/form-data; boundary=b",
        "Content-Length: 1048576",
        body=head + b"x" * 524_288,
    )


BAD_FRAMES = {
    "unmasked": b"\x81\x02hi",
    "no UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
    "reserved bit": b"\xf1\x82\0\0\0\0hi",
    "unknown kind": b"\x83\x80\0\0\0\0",
    "long ping": b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126,
    "continued nothing": b"\x80\x82\0\0\0\0hi",
    "half a frame": b"\x81\xfe\x01",
    "an endless length": b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0",
    "a bad close": b"\x88\x81\0\0\0\0x",
}


async def send_bad_frame(port: int, frame: bytes) -> None:
    """Send what is no frame (RFC 6455, 5.2), and go."""
    reader, writer = await open_websocket(port)
    writer.write(frame)
    with contextlib.suppress(TimeoutError, OSError):
        await asyncio.wait_for(reader.read(), 0.3)
    writer.transport.abort()


OPEN = {"ws": open_websocket, "events": open_events, "upload": begin_upload}


async def open_and_drop(port: int, kind: str, number: int, at_once: int = 500) -> None:
    """Open so many connections, and break them off without a goodbye."""
    while number > 0:
        size = min(number, at_once)
        connections = await asyncio.gather(*[OPEN[kind](port) for _ in range(size)])
        for _, writer in connections:
            writer.transport.abort()
        await asyncio.sleep(0)
        number -= size
