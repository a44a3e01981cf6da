"""The notes over a socket: every flow against a uvicorn of its own process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.examples.notes_flows import FLOWS, PASSWORD, Flow, add, live_server, log_in


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_server(tmp_path_factory.mktemp("notes")) as url:
        yield url


@pytest.mark.anyio
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
async def test_flow(url: str, flow: Flow) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        await flow(client)


RAW = [
    (b"GET /api/notes HTTP/1.0\r\n\r\n", 200),  # HTTP/1.0 needs no Host
    (b"GET /api/notes HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET /api/notes HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n", 400),
    (b"GET /api/notes?q=%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    (b"GET /api/notes?q=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 422),
    (b"GET /api/%ff%2e%2e%2f%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    (b"GET /static/..%2f..%2fmodels.py HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    (b"GET /api/notes HTTP/1.1\r\nHost: localhost\r\nCookie: session=\xff=;;\r\n\r\n", 200),
    (b"GET /api/notes HTTP/1.1\r\nHost: localhost\r\nAccept: \xff;q=x,,\r\n\r\n", 200),
    (b"POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1x\r\n\r\n", 400),
    (b"OPTIONS /api/notes HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    (b"HEAD /api/notes.csv HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
]


@pytest.mark.parametrize(("sent", "status"), RAW)
def test_whatever_is_sent_gets_an_answer_that_fits(url: str, sent: bytes, status: int) -> None:
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=10) as client:
        client.sendall(sent)
        answer = client.recv(65536)
    assert answer.split(b" ", 2)[1] == str(status).encode(), answer


def test_a_multipart_body_that_breaks_off_is_refused(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        client.post("/api/session", json={"name": "admin", "password": PASSWORD})
        note = client.post("/api/notes", json={"title": "x"}).json()
        for body in (
            b"",
            b"--b",
            b"--b\r\nContent-Disposition: form-data; name=file",
            b"\xff" * 99,
        ):
            answer = client.post(
                f"{note['url']}/files",
                content=body,
                headers={"Content-Type": "multipart/form-data; boundary=b"},
            )
            assert answer.status_code == 400, (body, answer.text)


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
