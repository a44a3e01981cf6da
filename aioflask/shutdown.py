"""The server's end, told before it waits for its connections.

A server says ``lifespan.shutdown`` only when its last connection is closed, which an open stream
would never be. So the signal that ends the server is noticed here, too.
"""

from __future__ import annotations

import signal
import threading
import typing as t

from .wakeups import home_here

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ShutdownEvent:
    """Whether the server is about to end; as `asyncio.Event`, on every loop and in every thread."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: set[tuple[t.Any, t.Any]] = set()

    def is_set(self) -> bool:
        """Whether the end has begun."""
        return self._is_set

    async def wait(self) -> None:
        """Wait for the end; on asyncio or trio."""
        if self._is_set:
            return
        home = home_here()
        entry = home, home.waiter(cancellable=True)
        self._waiting.add(entry)
        try:
            if not self._is_set:
                await entry[1]
        finally:
            self._waiting.discard(entry)

    def set(self) -> None:
        """Wake everyone who waits; from any thread, or from a signal's handler."""
        self._is_set = True
        for home, waiter in list(self._waiting):
            home.post(waiter, None)

    def clear(self) -> None:
        """Begin anew, as a server's start does."""
        self._is_set = False


def on_signals(call: t.Callable[[], None]) -> t.Callable[[], None]:
    """Have ``call`` called by SIGINT and SIGTERM before the server's own handlers; return the undo.

    A server that serves from another thread than the process's first is asked by other means, and
    one that has no handler of its own ends at once: then nothing is changed.
    """
    replaced: list[tuple[signal.Signals, t.Any, t.Any]] = []
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    for number in _SIGNALS:
        before = signal.getsignal(number)
        if callable(before):
            handler = _first(call, before)
            signal.signal(number, handler)
            replaced.append((number, handler, before))

    def undo() -> None:
        for number, handler, before in replaced:
            if signal.getsignal(number) is handler:  # Else the server has put its own back.
                signal.signal(number, before)

    return undo


def _first(call: t.Callable[[], None], then: t.Any) -> t.Callable[[int, t.Any], None]:
    def handler(number: int, frame: t.Any) -> None:
        call()
        then(number, frame)

    return handler
