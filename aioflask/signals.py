"""The signals an application sends, named as in Flask, on blinker.

Source: https://flask.palletsprojects.com/en/stable/api/#signals. The walk sends the request's own
signals and awaits ``async def`` receivers; the others are sent inside plain calls such as
``render_template()``, which cannot await, and refuse such receivers when they connect.
"""

from __future__ import annotations

import inspect
import typing as t

from blinker import ANY, NamedSignal, Namespace

F = t.TypeVar("F", bound=t.Callable[..., t.Any])


_in_use: bool = False
"""Whether any of the walk's signals ever had a receiver. PERF: one look instead of seven."""


class WalkSignal(NamedSignal):
    """A signal that the walk sends, to receivers of either colour."""

    def connect(self, receiver: F, sender: t.Any = ANY, weak: bool = True) -> F:
        """Call ``receiver(sender, **values)`` at each send."""
        global _in_use
        _in_use = True
        return super().connect(receiver, sender, weak)


class PlainSignal(WalkSignal):
    """A signal whose receivers are plain functions, because a plain call sends it."""

    def connect(self, receiver: F, sender: t.Any = ANY, weak: bool = True) -> F:
        """Call ``receiver(sender, **values)`` at each send; TypeError if it is ``async def``."""
        called = receiver if inspect.isroutine(receiver) else getattr(receiver, "__call__", None)  # noqa: B004
        if inspect.iscoroutinefunction(receiver) or inspect.iscoroutinefunction(called):
            name = getattr(receiver, "__qualname__", repr(receiver))
            raise TypeError(
                f"{name} is 'async def' and was connected to the signal {self.name!r}. This signal"
                " is sent inside a plain call, which cannot await it. Connect a plain function:"
                f"\n\n    def {getattr(receiver, '__name__', 'receiver')}(sender, **values): ..."
            )
        return super().connect(receiver, sender, weak)


_signals = Namespace()


def _new(kind: type[WalkSignal], name: str) -> NamedSignal:
    _signals[name] = signal = kind(name)
    return signal


# Sent by the walk: receivers may be `def` or `async def`.
request_started: NamedSignal = _new(WalkSignal, "request-started")
"""A request's context is active and its hooks have not run yet."""
request_finished: NamedSignal = _new(WalkSignal, "request-finished")
"""The response is made and about to be sent. Value: response."""
request_tearing_down: NamedSignal = _new(WalkSignal, "request-tearing-down")
"""A request ends, whether or not it failed. Value: exc, or None."""
got_request_exception: NamedSignal = _new(WalkSignal, "got-request-exception")
"""No handler took an exception of a request. Value: exception."""
websocket_started: NamedSignal = _new(WalkSignal, "websocket-started")
"""A WebSocket's context is active and its hooks have not run yet."""
websocket_finished: NamedSignal = _new(WalkSignal, "websocket-finished")
"""A WebSocket has ended. Value: response, which refused it, or None."""
websocket_tearing_down: NamedSignal = _new(WalkSignal, "websocket-tearing-down")
"""A WebSocket's context ends. Value: exc, or None."""
websocket_received: NamedSignal = _new(WalkSignal, "websocket-received")
"""A message has come. Value: message, a str or bytes."""
websocket_sent: NamedSignal = _new(WalkSignal, "websocket-sent")
"""A message was sent. Value: message, a str or bytes."""
got_websocket_exception: NamedSignal = _new(WalkSignal, "got-websocket-exception")
"""No handler took an exception of a WebSocket. Value: exception."""
appcontext_tearing_down: NamedSignal = _new(WalkSignal, "appcontext-tearing-down")
"""An application context ends. Value: exc, or None."""

# Sent inside plain calls: receivers are `def`.
template_rendered: NamedSignal = _new(PlainSignal, "template-rendered")
"""Values: template and context, after rendering."""
before_render_template: NamedSignal = _new(PlainSignal, "before-render-template")
"""Values: template and context, which may still be changed."""
appcontext_pushed: NamedSignal = _new(PlainSignal, "appcontext-pushed")
"""An application context has become active."""
appcontext_popped: NamedSignal = _new(PlainSignal, "appcontext-popped")
"""An application context is no longer active."""
message_flashed: NamedSignal = _new(PlainSignal, "message-flashed")
"""Values: message and category, given to flash()."""
got_background_exception: NamedSignal = _new(PlainSignal, "got-background-exception")
"""A background task failed. Values: exception, and task, its function."""
