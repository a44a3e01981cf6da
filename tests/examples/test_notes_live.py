"""The notes over a socket: every flow against each server, in a process of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import httpx
import pytest

from tests.examples.notes_flows import (
    FLOWS,
    PASSWORD,
    SERVERS,
    Flow,
    a_body_that_grows_too_large_is_refused,
    a_body_that_is_too_large_is_refused,
    add,
    live_server,
    log_in,
)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def url(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_server(tmp_path_factory.mktemp("notes"), server) as url:
        yield url


# Servers that close a connection whose request they have not read to its end, instead of reading
# on as uvicorn and waitress do: the system then resets it. They do so whatever they serve, Flask
# included. The answer has been sent and is there for a client that reads on a broken connection;
# asyncio's streams throw it away.
RESETTING = {"hypercorn", "granian", "gunicorn-sync", "gunicorn-gthread"}
REFUSED_EARLY = {a_body_that_is_too_large_is_refused, a_body_that_grows_too_large_is_refused}


class Blocking(httpx.AsyncBaseTransport):
    """Sends a request from a thread, whose plain socket gives what came before a reset."""

    def __init__(self) -> None:
        self.transport = httpx.HTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return await anyio.to_thread.run_sync(self.send, request)

    def send(self, request: httpx.Request) -> httpx.Response:
        answer = self.transport.handle_request(request)
        answer.stream = httpx.ByteStream(answer.read())
        return answer

    async def aclose(self) -> None:
        self.transport.close()


@pytest.mark.anyio
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
async def test_flow(server: str, url: str, flow: Flow) -> None:
    transport = Blocking() if server in RESETTING and flow in REFUSED_EARLY else None
    async with httpx.AsyncClient(base_url=url, timeout=20, transport=transport) as client:
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


DIFFERENT = {
    # Granian makes an empty Host where there is none, which is no trusted one.
    ("granian", b"GET /api/notes HTTP/1.0\r\n\r\n"): 400,
}
"""What a server itself makes of a case, whatever it serves: the status to expect instead."""


@pytest.mark.parametrize(("sent", "status"), RAW)
def test_whatever_is_sent_gets_an_answer_that_fits(
    server: str, url: str, sent: bytes, status: int
) -> None:
    status = DIFFERENT.get((server, sent), status)
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
async def test_the_notes_outlive_the_server(server: str, tmp_path: Path) -> None:
    with live_server(tmp_path, server) as url:
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            await log_in(client)
            note = await add(client, title="kept")
            cookies = client.cookies
    with live_server(tmp_path, server) as url:
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            assert (await client.get(note["url"])).json() == note
            client.cookies.set("session", cookies["session"])
            assert (await client.get("/api/session")).json() == {"user": "admin"}
