"""Jobs that take a while, and what has happened in them."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from aioflask import ServerSentEvent

KEPT = 100
SECONDS = 0.1  # that a step takes


class Job:
    """One job: its events, numbered from 0, and who waits for the next."""

    def __init__(self, number: int, steps: int) -> None:
        self.number = number
        self.steps = steps
        self.events: list[ServerSentEvent] = []
        self.is_done = False
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._lock = threading.Lock()

    def run(self, is_wanted: Callable[[], bool]) -> None:
        """Do the work; it blocks, so it runs on a thread."""
        for step in range(1, self.steps + 1):
            if not is_wanted():
                self._add("stopped", {"step": step - 1, "steps": self.steps}, is_last=True)
                return
            time.sleep(SECONDS)
            self._add("progress", {"step": step, "steps": self.steps})
        self._add("done", {"result": f"{self.steps} steps"}, is_last=True)

    def _add(self, kind: str, data: object, is_last: bool = False) -> None:
        with self._lock:
            number = str(len(self.events))
            self.events.append(ServerSentEvent(data, event=kind, id=number))
            self.is_done = is_last
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    async def follow(self, position: int) -> AsyncIterator[ServerSentEvent]:
        """The events from a position on, the last of which ends the job."""
        waiter = asyncio.get_running_loop(), asyncio.Event()
        self._waiting.add(waiter)
        try:
            while True:
                waiter[1].clear()
                while position < len(self.events):
                    yield self.events[position]
                    position += 1
                if self.is_done and position == len(self.events):
                    return
                await waiter[1].wait()
        finally:
            with self._lock:
                self._waiting.discard(waiter)


class Jobs:
    """The last jobs, by their numbers."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._numbers = itertools.count(1)

    def add(self, steps: int) -> Job:
        """A new job; the oldest that is done is forgotten beyond 100."""
        job = Job(next(self._numbers), steps)
        self._jobs[job.number] = job
        done = [number for number, each in self._jobs.items() if each.is_done]
        for number in done[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[number]
        return job

    def get(self, number: int) -> Job | None:
        """The job of this number, if it is still known."""
        return self._jobs.get(number)
