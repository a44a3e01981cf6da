"""The items example in process: what it does, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from aioflask.testing import AsyncClient
from examples.items import create_app

pytestmark = pytest.mark.anyio
TOKEN = {"Authorization": "Bearer let me in"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # SQLAlchemy's engine is asyncio's.


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[AsyncClient]:
    app = create_app({"DATABASE": str(tmp_path / "data" / "items.db")})
    async with app.async_client() as client:
        yield client


async def test_items_come_and_go(client: AsyncClient) -> None:
    item = {"name": "cup", "cents": 250, "tags": ["blue"]}
    made = await client.post("/items/", json=item, headers=TOKEN)
    assert made.status_code == 201
    assert made.headers["Location"] == "/items/1"
    assert made.json() == {"id": 1, **item}
    assert (await client.get("/items/1")).json() == made.json()
    changed = await client.put("/items/1", json={"name": "mug", "cents": 3}, headers=TOKEN)
    assert changed.json() == {"id": 1, "name": "mug", "cents": 3, "tags": []}
    assert (await client.delete("/items/1", headers=TOKEN)).status_code == 204
    gone = await client.get("/items/1")
    assert (gone.status_code, gone.json()["reason"]) == (404, "There is no such item.")


async def test_finding(client: AsyncClient) -> None:
    for name in ("cup", "mug", "100% cotton", "cupboard"):
        await client.post("/items/", json={"name": name, "cents": 1}, headers=TOKEN)

    async def names(query: str) -> list[str]:
        return [item["name"] for item in (await client.get(f"/items/?{query}")).json()]

    assert await names("q=cup") == ["cup", "cupboard"]
    assert await names("q=%25") == ["100% cotton"]
    assert await names("after=1&limit=2") == ["mug", "100% cotton"]
    exported = (await client.get("/items/export")).text.splitlines()
    assert [json.loads(line)["id"] for line in exported] == [1, 2, 3, 4]


async def test_a_name_that_is_taken_rolls_back(client: AsyncClient) -> None:
    item = {"name": "cup", "cents": 1}
    await client.post("/items/", json=item, headers=TOKEN)
    taken = await client.post("/items/", json=item, headers=TOKEN)
    assert (taken.status_code, taken.json()["status"]) == (409, 409)
    assert len((await client.get("/items/")).json()) == 1


async def test_writing_needs_the_token(client: AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic eDp5"}):
        for method, path in (("POST", "/items/"), ("PUT", "/items/9"), ("DELETE", "/items/9")):
            answer = await client.request(method, path, json={}, headers=headers)
            assert answer.status_code == 401
    refused = await client.post("/items/", json={})
    assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("item", "places"),
    [
        ({}, {"#/name", "#/cents"}),
        ({"name": "", "cents": -1, "tags": [""]}, {"#/name", "#/cents", "#/tags/0"}),
        ({"name": "x", "cents": 10**20}, {"#/cents"}),
        ({"name": "x", "cents": 1, "more": 1}, {"#/more"}),
        ([], {"#"}),
    ],
)
async def test_what_is_wrong_is_told(client: AsyncClient, item: object, places: set[str]) -> None:
    answer = await client.post("/items/", json=item, headers=TOKEN)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == places


async def test_ids_that_no_database_holds(client: AsyncClient) -> None:
    assert (await client.get(f"/items/{2**63}")).status_code == 404
    assert (await client.get("/items/" + "9" * 300)).status_code == 404
    assert (await client.get("/items/0")).status_code == 404


async def test_its_document(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    validate(document)
    assert set(document["paths"]) == {"/items/", "/items/export", "/items/{id}"}
    assert document["paths"]["/items/"]["post"]["security"] == [{"token": []}]
    assert (await client.get("/docs")).status_code == 200
