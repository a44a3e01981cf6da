"""The notes over a socket: every flow against a uvicorn of its own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.examples.notes_flows import FLOWS, Flow, add, live_server, log_in


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_server(tmp_path_factory.mktemp("notes")) as url:
        yield url


@pytest.mark.anyio
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
async def test_flow(url: str, flow: Flow) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        await flow(client)


@pytest.mark.anyio
async def test_the_notes_outlive_the_server(tmp_path: Path) -> None:
    with live_server(tmp_path) as url:
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            await log_in(client)
            note = await add(client, title="kept")
            cookies = client.cookies
    with live_server(tmp_path) as url:
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            assert (await client.get(note["url"])).json() == note
            client.cookies.set("session", cookies["session"])
            assert (await client.get("/api/session")).json() == {"user": "admin"}
