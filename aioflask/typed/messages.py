"""The messages of a WebSocket as values of a type."""

from __future__ import annotations

import typing as t

from aioflask.concurrency import on_loop
from aioflask.websockets import BadMessage, WebSocket, WebSocketDisconnect

from .problems import MOST, Fault, Faults, MalformedBody
from .validators import validator_for


class MessageValidationError(BadMessage):
    """A message of a WebSocket that does not fit; not caught, it closes with 1007.

    ``errors`` has a `Fault` for each thing that is wrong.
    """

    def __init__(self, errors: list[Fault]) -> None:
        self.errors: list[Fault] = errors[:MOST]
        super().__init__("; ".join(map(str, self.errors)))


class TypedMessages:
    """What `WebSocket.typed` gives: an iterator of either colour over messages.

    It goes on after a message that did not fit, if the view catches the error and asks again.
    """

    def __init__(self, websocket: WebSocket, hint: t.Any) -> None:
        self._websocket = websocket
        self._validator = validator_for(hint)

    def _value(self, message: str | bytes) -> t.Any:
        raw = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
        try:
            return self._validator.from_json(raw)
        except MalformedBody as error:
            reasons = [Fault("message", (), each.reason) for each in error.errors]
            raise MessageValidationError(reasons) from None
        except Faults as error:
            faults = [Fault("message", place, reason) for place, reason in error.found]
            raise MessageValidationError(faults) from None

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> t.Any:
        try:
            message = await self._websocket.receive()
        except WebSocketDisconnect:
            raise StopAsyncIteration from None
        return self._value(message)

    def __iter__(self) -> t.Self:
        if on_loop():
            raise RuntimeError(
                "Typed messages were iterated with 'for' on the event loop, which cannot wait"
                " there. Write 'async for message in websocket.typed(...)'."
            )
        return self

    def __next__(self) -> t.Any:
        try:
            message = self._websocket.receive()
        except WebSocketDisconnect:
            raise StopIteration from None
        return self._value(message)
