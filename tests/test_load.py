"""Many requests at once: nothing waits for what it need not, and nothing gets mixed up.

`scripts/load` does the same at length against a live server.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from aioflask import Flask
from tests.traffic import PATHS, Answer, User, make_app

pytestmark = pytest.mark.anyio


class InProcess:
    """Sends requests through the ASGI door, without a client's own cost."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    async def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        path, _, query = url.partition("?")
        fields = {"host": "localhost", **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in fields.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        start, *rest = messages
        answer = {k.decode(): v.decode() for k, v in start["headers"]}
        return start["status"], answer, b"".join(message["body"] for message in rest)


async def seconds_of_sleepers_and_slowest_poll() -> tuple[float, float]:
    """How long 100 plain views of 0.2 s take, and the slowest answer of an async one meanwhile."""
    app = Flask("sleepers", static_folder=None)

    @app.get("/sleep")
    def sleep() -> str:
        time.sleep(0.2)
        return "slept"

    @app.get("/poll")
    async def poll() -> str:
        return "here"

    door, slowest, done = InProcess(app), 0.0, False

    async def keep_polling() -> None:
        nonlocal slowest
        while not done:
            start = time.perf_counter()
            status, _, body = await door.get("/poll")
            # The pause counts: what blocks the loop delays its end.
            await asyncio.sleep(0.001)
            slowest = max(slowest, time.perf_counter() - start)
            assert (status, body) == (200, b"here")

    polls = asyncio.create_task(keep_polling())
    start = time.perf_counter()
    answers = await asyncio.gather(*(door.get("/sleep") for _ in range(100)))
    seconds = time.perf_counter() - start
    done = True
    await polls
    assert [answer[2] for answer in answers] == [b"slept"] * 100
    return seconds, slowest


async def test_views_that_sleep_share_forty_threads_and_leave_the_loop_alone() -> None:
    # Three rounds of 0.2 s at best. A busy machine, which stops every process for 0.1 s now and
    # then, gets several tries; a loop that plain views block fails them all.
    tries = []
    for _ in range(8):
        seconds, slowest = await seconds_of_sleepers_and_slowest_poll()
        tries.append((round(seconds, 3), round(slowest, 3)))
        if seconds < 0.7 and slowest < 0.05:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"took (seconds, slowest poll): {tries}")


async def test_requests_of_all_kinds_at_once_are_not_mixed_up() -> None:
    door, mistakes, served = InProcess(make_app()), list[str](), Counter[str]()
    users = [User(number, mistakes, served) for number in range(200)]

    async def visit(user: User) -> None:
        for _ in range(10):
            await user.ask(door.get)

    await asyncio.gather(*(visit(user) for user in users))
    assert not mistakes
    assert served.total() == 2_000 and set(served) == set(PATHS)
