"""Server-sent events: an ``EventSource`` of a browser, and what a view returns for it.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re
import time
import typing as t
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from inspect import isawaitable

import anyio

from .aside import Aside
from .globals import _active_request
from .helpers import ContextStream, stream_with_context
from .wakeups import Interruptible
from .wrappers import Response

_LINE_END = re.compile(r"\r\n|\r|\n")
_PING: dict[str, t.Any] = {"type": "http.response.body", "body": b": ping\n\n", "more_body": True}

Source = AsyncIterable[t.Any] | Iterable[t.Any]
"""Events of either colour: each a `ServerSentEvent`, a text, or a value that becomes JSON."""


@dataclass(slots=True)
class ServerSentEvent:
    """One event of a stream.

    ``data`` is a text, of any number of lines, or a value that becomes JSON; ``event`` its type,
    "message" if there is none; ``id`` what the browser gives as ``Last-Event-ID`` when it connects
    again; ``retry`` how many milliseconds it waits before that; ``comment`` is ignored by browsers.
    """

    data: t.Any = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None

    def encode(self, dumps: t.Callable[[t.Any], str]) -> bytes:
        """The event as it is sent, with ``dumps`` for values that are no text.

        :raises ValueError: for a line break in ``event``, a line break or NUL in ``id``, or a
            ``retry`` that is no whole number.
        """
        lines = []
        if self.comment is not None:
            lines += [f": {line}" for line in _LINE_END.split(self.comment)]
        if self.event is not None:
            lines.append(f"event: {_checked('event', self.event)}")
        if self.id is not None:
            lines.append(f"id: {_checked('id', str(self.id))}")
        if self.retry is not None:
            lines.append(f"retry: {_milliseconds(self.retry)}")
        if self.data is not None:
            text = self.data if isinstance(self.data, str) else dumps(self.data)
            lines += [f"data: {line}" for line in _LINE_END.split(text)]
        return "\n".join([*lines, "", ""]).encode("utf-8", "replace")


def _checked(field: str, value: str) -> str:
    if _LINE_END.search(value) or (field == "id" and "\0" in value):
        raise ValueError(
            f"ServerSentEvent({field}={value!r}): a line break would end the field there, and a NUL"
            " in an id make browsers ignore it. Take them out; data may have several lines."
        )
    return value


def _milliseconds(value: t.Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"retry={value!r}: it is a whole number of milliseconds.")
    return value


class EventSourceResponse(Response):
    """A response that sends events while they happen. ::

        @app.get("/events")
        async def events():
            async def numbers():
                for number in range(3):
                    yield ServerSentEvent({"number": number}, id=str(number))
            return EventSourceResponse(numbers())

    ``source`` is a generator, or another iterable, of either colour. Each item is a
    `ServerSentEvent`, a text, which is the data of one, or any other value, which is sent as JSON.
    ``replay(last_event_id)``, of either colour, gives the events that a browser has missed, when
    it connects again and says which was its last. After ``ping`` seconds without an event a comment
    is sent, so that proxies keep the connection; None sends none. ``retry`` says how many
    milliseconds browsers wait before they connect again. When the server ends, the response does.
    """

    default_mimetype: str | None = "text/event-stream"

    def __init__(
        self, source: Source, *, replay: t.Callable[[str], t.Any] | None = None,
        ping: float | None = 15.0, retry: int | None = None, status: int | str | None = None,
        headers: t.Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        is_async = isinstance(source, AsyncIterable)
        if not is_async and (not isinstance(source, Iterable) or isinstance(source, (str, bytes))):
            raise TypeError(
                f"EventSourceResponse({source!r}): a source is a generator of events, or another"
                " iterable. A generator function is called: EventSourceResponse(events())"
            )
        ctx = _active_request()
        dumps = ctx.app.json.dumps
        missed = None
        last = ctx.request.headers.get("Last-Event-ID")
        if replay is not None and last:
            missed = replay(_as_text(last))
        first = b"" if retry is None else b"retry: %d\n\n" % _milliseconds(retry)
        make = _encoded_async if is_async else _encoded
        body: t.Any = make(t.cast(t.Any, source), missed, first, dumps)
        if isinstance(source, ContextStream):
            body = stream_with_context(body)
        super().__init__(body, status, t.cast(t.Any, headers))
        self.headers.setdefault("Cache-Control", "no-cache")
        self.headers.setdefault("X-Accel-Buffering", "no")  # nginx would hold events back.
        self._around = _Around(ping)


def _as_text(value: str) -> str:
    """A field's value as the browser meant it: its bytes are UTF-8."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


def _encode(item: t.Any, dumps: t.Callable[[t.Any], str]) -> bytes:
    event = item if isinstance(item, ServerSentEvent) else ServerSentEvent(item)
    return event.encode(dumps)


async def _encoded_async(
    source: AsyncIterable[t.Any], missed: t.Any, first: bytes, dumps: t.Callable[[t.Any], str]
) -> t.AsyncIterator[bytes]:
    try:
        if first:
            yield first
        if isawaitable(missed):
            missed = await missed
        if isinstance(missed, AsyncIterable):
            async for item in missed:
                yield _encode(item, dumps)
        else:
            for item in missed or ():
                yield _encode(item, dumps)
        async for item in source:
            yield _encode(item, dumps)
    finally:
        for each in (missed, source):
            if hasattr(each, "aclose"):
                await each.aclose()


def _encoded(
    source: Iterable[t.Any], missed: t.Any, first: bytes, dumps: t.Callable[[t.Any], str]
) -> t.Iterator[bytes]:
    try:
        if first:
            yield first
        for item in missed or ():
            yield _encode(item, dumps)
        for item in source:
            yield _encode(item, dumps)
    finally:
        for each in (missed, source):
            if hasattr(each, "close"):
                each.close()


class _EventBlock(Interruptible):
    """The sending of events, which may end at any of them."""

    __slots__ = ()

    async def go_away(self) -> None:
        """End the response as if there were no more events."""
        self.interrupt()


class _Around:
    """What is done while events are sent: pings."""

    def __init__(self, ping: float | None) -> None:
        self.ping = ping
        self._send: t.Any = None
        self._last = 0.0
        self._aside: Aside | None = None

    def begin(self, send: t.Any) -> tuple[t.Any, Interruptible]:
        """What to send by, and the block to do it in."""
        self._send, self._last = send, time.monotonic()
        return send if self.ping is None else self.send, _EventBlock()

    async def send(self, message: dict[str, t.Any]) -> None:
        """Send, and note when."""
        self._last = time.monotonic()
        await self._send(message)
        if self._aside is None:  # It was the head.
            self._aside = Aside(self._beat)

    async def _beat(self) -> None:
        ping = t.cast(float, self.ping)
        while True:
            wait = self._last + ping - time.monotonic()
            if wait > 0:
                await anyio.sleep(wait)
                continue
            self._last = time.monotonic()
            try:
                await self._send(_PING)
            except OSError:  # The client has gone, which the next event notices, too.
                return

    def end(self) -> None:
        """Ping no more."""
        if self._aside is not None:
            self._aside.stop()
