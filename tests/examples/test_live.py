"""The live example in process: a job, its events, and browsers that come again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from aioflask.testing import AsyncClient
from examples.live import create_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with create_app().async_client() as client:
        yield client


async def start(client: AsyncClient, steps: int) -> str:
    answer = await client.post("/jobs", json={"steps": steps})
    assert answer.status_code == 202
    location: str = answer.headers["Location"]
    assert answer.json()["events"] == location
    return location


async def test_the_page_is_there(client: AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200 and 'data-jobs="/jobs"' in page.text
    for name in ("live.js", "live.css"):
        assert (await client.get(f"/static/{name}")).status_code == 200


async def test_a_job_tells_each_of_its_steps(client: AsyncClient) -> None:
    async with client.sse(await start(client, 3)) as events:
        received = [event async for event in events]
        assert events.retry == 1000
    assert [(event.event, event.id) for event in received] == [
        ("progress", "0"), ("progress", "1"), ("progress", "2"), ("done", "3"),
    ]  # fmt: skip
    assert [event.json() for event in received[1:]] == [
        {"step": 2, "steps": 3}, {"step": 3, "steps": 3}, {"result": "3 steps"},
    ]  # fmt: skip


async def test_a_browser_that_comes_again_gets_the_rest(client: AsyncClient) -> None:
    url = await start(client, 4)
    async with client.sse(url) as events:
        first = await anext(events)
    assert first.id == "0"
    async with client.sse(url, last_event_id="0") as events:
        assert [event.id async for event in events] == ["1", "2", "3", "4"]
    async with client.sse(url, last_event_id="bad") as events:
        assert (await anext(events)).id == "0"
    assert (await client.get(url, headers={"Last-Event-ID": "4"})).status_code == 204
    assert (await client.get(url, headers={"Last-Event-ID": "9" * 5000})).status_code == 200


@pytest.mark.parametrize("body", ['{"steps": 0}', '{"steps": 1001}', '{"steps": "3"}', "[]", "{"])
async def test_bad_jobs_are_refused(client: AsyncClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await client.post("/jobs", content=body, headers=headers)).status_code == 400
    assert (await client.get("/jobs/7/events")).status_code == 404


async def test_the_end_stops_a_job_and_its_streams() -> None:
    before = time.monotonic()
    async with create_app().async_client() as client:
        url = await start(client, 1000)
        async with client.sse(url) as events:
            await anext(events)
            client.app.shutdown_event.set()
            kinds = [event.event async for event in events]
    assert set(kinds) <= {"progress", "stopped"}
    assert time.monotonic() - before < 4
