"""Server-sent events for the async test client: ``client.sse(url)``.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import codecs
import json
import re
import typing as t

if t.TYPE_CHECKING:
    import httpx

    from .exchange import Exchange

_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\n|\r(?!$))")


class ReceivedEvent(t.NamedTuple):
    """One event as a browser has it."""

    data: str
    event: str = "message"
    id: str = ""
    """The last id that came, which may be an earlier event's."""

    def json(self) -> t.Any:
        """The data as JSON."""
        return json.loads(self.data)


class EventParser:
    """Turns the text of a stream into events, as a browser does, however it is cut."""

    def __init__(self) -> None:
        self.retry: int | None = None
        """Milliseconds that the stream has asked browsers to wait before they connect again."""
        self.comments: list[str] = []
        self.last_event_id: str = ""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._data: list[str] = []
        self._event = self._id = ""

    def feed(self, data: bytes, final: bool = False) -> t.Iterator[ReceivedEvent]:
        """The events that are complete by now; what the stream's end cuts off is none."""
        self._text += self._decoder.decode(data, final)
        if final and self._text.endswith("\r"):
            self._text += "\n"  # No LF follows: it was a line break of its own.
        position = 0
        while line := _LINE.match(self._text, position):
            position = line.end()
            if line[1]:
                self._take(line[1])
            elif (event := self._dispatch()) is not None:
                yield event
        self._text = self._text[position:]

    def _take(self, line: str) -> None:
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if colon and not field:
            self.comments.append(value)
        elif field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)

    def _dispatch(self) -> ReceivedEvent | None:
        self.last_event_id = self._id
        data, event = self._data, self._event
        self._data, self._event = [], ""
        return ReceivedEvent("\n".join(data), event or "message", self._id) if data else None


class EventSource:
    """The events of a response, to be read with ``async for``; see `AsyncClient.sse`."""

    def __init__(self, response: httpx.Response) -> None:
        self.response: httpx.Response = response
        self._exchange: Exchange = response.extensions["aioflask.exchange"]
        self._parser = EventParser()
        self._events = self._read()

    @property
    def comments(self) -> list[str]:
        """The comments that have come, pings included."""
        return self._parser.comments

    @property
    def retry(self) -> int | None:
        """Milliseconds that browsers are to wait before they connect again, or None."""
        return self._parser.retry

    @property
    def last_event_id(self) -> str:
        """What a browser would give as ``Last-Event-ID`` when it connects again."""
        return self._parser.last_event_id

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> ReceivedEvent:
        return await anext(self._events)

    async def _read(self) -> t.AsyncGenerator[ReceivedEvent, None]:
        while pieces := await self._exchange.more():
            for event in self._parser.feed(b"".join(pieces)):
                yield event
        self._exchange.raise_error()
        for event in self._parser.feed(b"", final=True):
            yield event
