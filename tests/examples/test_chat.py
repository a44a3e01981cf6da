"""The chat in process: rooms, names, bad messages, members who do not read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from aioflask.testing import AsyncClient, WebSocketClosed, WebSocketRefused, WebSocketSession
from examples.chat import create_app
from examples.chat.rooms import BEHIND, Rooms

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with create_app().async_client() as client:
        yield client


def enter(client: AsyncClient, name: str, room: str = "lobby") -> WebSocketSession:
    return client.websocket(f"/rooms/{room}", params={"name": name})


async def members(ws: WebSocketSession) -> list[str]:
    message = await ws.receive_json()
    assert message["type"] == "members"
    names: list[str] = message["names"]
    return names


async def read_on(ws: WebSocketSession) -> None:
    while True:
        await ws.receive()


async def said(ws: WebSocketSession) -> tuple[str, str]:
    message = await ws.receive_json()
    assert message["type"] == "message" and message["time"].endswith("+00:00")
    return message["name"], message["text"]


async def test_the_page_is_there(client: AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200 and 'data-rooms="/rooms/"' in page.text
    for name in ("chat.js", "chat.css"):
        assert (await client.get(f"/static/{name}")).status_code == 200


async def test_what_one_says_all_of_the_room_hear_and_no_other(client: AsyncClient) -> None:
    async with enter(client, "Ann") as ann, enter(client, "Bob") as bob:
        async with enter(client, "Cy", "elsewhere") as cy:
            assert await members(ann) == ["Ann"]
            assert await members(ann) == ["Ann", "Bob"]
            assert await members(bob) == ["Ann", "Bob"]
            assert await members(cy) == ["Cy"]
            await ann.send_json({"text": " Hello, <b>Bob</b>! "})
            assert await said(ann) == await said(bob) == ("Ann", "Hello, <b>Bob</b>!")
            await cy.send_json({"text": "alone"})
            assert await said(cy) == ("Cy", "alone")
        async with enter(client, "Dan") as dan:
            assert await said(dan) == ("Ann", "Hello, <b>Bob</b>!")
            assert await members(dan) == ["Ann", "Bob", "Dan"]
        assert await members(bob) == ["Ann", "Bob", "Dan"]
        assert await members(bob) == ["Ann", "Bob"]


async def test_a_room_that_all_have_left_is_forgotten(client: AsyncClient) -> None:
    rooms: Rooms = client.app.extensions["rooms"]
    async with enter(client, "Ann") as ann:
        await members(ann)
        assert len(rooms) == 1
        ann.drop()
    assert len(rooms) == 0


@pytest.mark.parametrize(
    ("name", "room", "status"),
    [("", "lobby", 400), ("x" * 31, "lobby", 400), ("Ann", "lobby", 409), ("Bob", "r" * 31, 400)],
)
async def test_bad_names_are_refused(
    client: AsyncClient, name: str, room: str, status: int
) -> None:
    async with enter(client, "Ann"):
        with pytest.raises(WebSocketRefused, match=f"with {status}"):
            await enter(client, name, room).__aenter__()


BAD = ["{", "[]", "3", '{"text": 3}', '{"text": " "}', "{}", b"\xff", f'{{"text": "{"x" * 501}"}}']


@pytest.mark.parametrize("message", BAD)
async def test_bad_messages_close_with_a_reason(client: AsyncClient, message: Any) -> None:
    async with enter(client, "Ann") as ann, enter(client, "Bob") as bob:
        await members(ann)
        await members(ann)
        await ann.send(message)
        with pytest.raises(WebSocketClosed, match=r"A message is|A text has") as closed:
            await ann.receive()
        assert closed.value.code == 1007
        assert await members(bob) == ["Ann", "Bob"]
        assert await members(bob) == ["Bob"]


async def test_who_does_not_read_is_sent_away(client: AsyncClient) -> None:
    async with enter(client, "Ann") as ann, enter(client, "Bob") as bob:

        async def listen() -> None:
            async for _ in ann:
                pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            for _ in range(BEHIND + 60):
                await ann.send_json({"text": "x"})
                await anyio.sleep(0)
            await anyio.sleep(0.05)
            with pytest.raises(WebSocketClosed) as closed:
                await read_on(bob)
            tasks.cancel_scope.cancel()
    assert closed.value.code == 1013
