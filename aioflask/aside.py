"""A task beside the one that handles a connection."""

from __future__ import annotations

import typing as t
from contextvars import copy_context

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
            async with Interruptible() as self._block:
                await self._func()

    def stop(self) -> None:
        """Break it off."""
        self._is_stopped = True
        if self._block is not None:
            self._block.interrupt()
