"""The server's end, told before it waits for its connections.

A server says ``lifespan.shutdown`` only when its last connection is closed, which an open stream
would never be. So the signal that ends the server is noticed here, too.
"""

from __future__ import annotations

import signal
import threading
import typing as t

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
