"""Tasks beside the one that handles a connection, and waiting for them."""

from __future__ import annotations

import typing as t
from contextvars import copy_context

import anyio

from .wakeups import Interruptible, home_here


class Aside:
    """Runs ``func()`` in a task of its own, on asyncio or trio, until it ends or is stopped."""

    def __init__(self, func: t.Callable[[], t.Awaitable[None]]) -> None:
        self._func = func
        self._is_stopped = False
        self._block: Interruptible | None = None
        home_here().spawn(self._run, copy_context())

    async def _run(self) -> None:
        if not self._is_stopped:
            self._block = Interruptible()
            async with self._block:
                await self._func()

    def stop(self) -> None:
        """Break it off."""
        self._is_stopped = True
        if self._block is not None:
            self._block.interrupt()


async def until(condition: t.Callable[[], t.Any], seconds: float) -> None:
    """Wait a bounded time for something that tells nobody when it happens."""
    with anyio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110 - at a server's end a hundredth second is soon
            await anyio.sleep(0.01)
