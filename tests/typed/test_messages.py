"""WebSockets: typed messages, and handshakes with typed parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from aioflask import Flask, websocket
from aioflask.typed import Depends, Header, MessageValidationError
from aioflask.websocket_client import WebSocketClosed
from tests.typed.models import MODELS

pytestmark = pytest.mark.anyio


@dataclass
class Move:
    x: int
    y: int = 0


@pytest.fixture
def app() -> Flask:
    app = Flask("messages", static_folder=None)
    app.config["TESTING"] = True

    @app.websocket("/async")
    async def moves() -> None:
        async for move in websocket.typed(Move):
            await websocket.send_json({"sum": move.x + move.y})

    @app.websocket("/plain")
    def plain_moves() -> None:
        for move in websocket.typed(Move):
            websocket.send_json({"sum": move.x + move.y})

    @app.websocket("/patient")
    async def patient() -> None:
        messages = websocket.typed(Move)
        while True:
            try:
                async for move in messages:
                    await websocket.send_json({"sum": move.x + move.y})
                return
            except MessageValidationError as error:
                await websocket.send_json([str(fault) for fault in error.errors])

    @app.websocket("/room/<name>")
    async def room(
        name: str, limit: int, user: Annotated[str, Depends(_user)], tags: tuple[str, ...] = ()
    ) -> None:
        await websocket.send_json([name, limit, user, tags])

    return app


def _user(x_user: Annotated[str, Header()] = "nobody") -> str:
    return x_user


@pytest.mark.parametrize("path", ["/async", "/plain"])
async def test_messages_are_values(app: Flask, path: str) -> None:
    async with app.async_client() as client, client.websocket(path) as ws:
        await ws.send('{"x": 1, "y": 2}')
        assert await ws.receive_json() == {"sum": 3}
        await ws.send(b'{"x": 5}')
        assert await ws.receive_json() == {"sum": 5}


@pytest.mark.parametrize("path", ["/async", "/plain"])
@pytest.mark.parametrize(
    "message", ["{", "", "[]", '{"x": "a"}', '{"y": 1}', '{"x": NaN}', b"\xff", '"\\ud800"']
)
async def test_what_does_not_fit_closes_with_1007(app: Flask, path: str, message: Any) -> None:
    async with app.async_client() as client, client.websocket(path) as ws:
        await ws.send(message)
        with pytest.raises(WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.code == 1007
        assert caught.value.reason.startswith("message")


async def test_a_view_may_go_on_after_one_that_does_not_fit(app: Flask) -> None:
    async with app.async_client() as client, client.websocket("/patient") as ws:
        await ws.send('{"x": "a", "y": "b"}')
        first = await ws.receive_json()
        assert [text.partition(":")[0] for text in first] == ["message x", "message y"]
        await ws.send('{"x": 1}')
        assert await ws.receive_json() == {"sum": 1}


async def test_the_handshake_is_bound_and_refused(app: Flask) -> None:
    async with app.async_client() as client:
        headers = {"X-User": "ada"}
        async with client.websocket("/room/tea?limit=3&tags=a", headers=headers) as ws:
            assert await ws.receive_json() == ["tea", 3, "ada", ["a"]]
        with pytest.raises(Exception, match="422"):
            async with client.websocket("/room/tea?limit=x"):
                pass


@pytest.mark.parametrize("name", MODELS)
async def test_models_of_every_kind(name: str) -> None:
    app = Flask("models", static_folder=None)

    @app.websocket("/")
    async def view() -> None:
        async for item in websocket.typed(MODELS[name]):
            await websocket.send(type(item).__name__)

    async with app.async_client() as client, client.websocket("/") as ws:
        await ws.send('{"name": "cup", "price": 1}')
        assert await ws.receive() in (MODELS[name].__name__, "dict")
