"""Where the server matters: what a live uvicorn and the app make of bytes, together."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import SECONDS, Server

SERVERS = {"httptools": ("--http", "httptools"), "h11": ("--http", "h11")}


class Live:
    """A server in a process of its own, and raw connections to it."""

    def __init__(self, folder: Path, name: str) -> None:
        options = ("--port", "0", "--no-access-log", *SERVERS[name])
        temporary = folder / "tmp"
        temporary.mkdir()
        self.temporary = temporary
        self.server = Server(
            folder, "-m", "uvicorn", "tests.hardening.soak:app", *options, TMPDIR=str(temporary)
        )
        self.port = self.server.address[1]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), SECONDS)

    def send(self, data: bytes, *more: bytes, half_close: bool = False) -> bytes:
        """All that comes back until the server closes, or says nothing more for a second."""
        with self.connect() as connection:
            connection.sendall(data)
            for piece in more:
                time.sleep(0.05)
                connection.sendall(piece)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            connection.settimeout(1.0)
            answer = b""
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return answer

    def ask(self, path: str, *fields: bytes, body: bytes = b"", method: bytes = b"POST") -> bytes:
        head = [
            method + f" /hard/{path} HTTP/1.1".encode(),
            b"Host: a",
            b"Connection: close",
            *fields,
        ]
        return self.send(b"\r\n".join(head) + b"\r\n\r\n" + body)

    def state(self) -> Any:
        answer = self.send(b"GET /state HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def files(self) -> int:
        """Open files of the process below its folder for temporary ones, deleted ones too."""
        found = 0
        for entry in Path(f"/proc/{self.server.process.pid}/fd").iterdir():
            try:
                found += os.readlink(entry).startswith(str(self.temporary))
            except OSError:
                continue
        return found


@pytest.fixture(params=SERVERS, scope="module")
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    live = Live(tmp_path_factory.mktemp("live"), request.param)
    try:
        yield live
        output = live.server.output
        for word in ("never retrieved", "different Context", "was never awaited"):
            assert word not in output
    finally:
        live.server.stop()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@pytest.mark.parametrize("colour", ["plain", "async"])
@pytest.mark.parametrize("view", ["json", "form", "raw"])
def test_a_body_that_is_announced_too_large_is_not_asked_for(
    live: Live, colour: str, view: str
) -> None:
    fields = [
        b"Content-Length: 99999999999",
        b"Expect: 100-continue",
        b"Content-Type: application/json",
    ]
    answer = live.ask(f"{colour}/{view}", *fields)
    assert b"100 Continue" not in answer
    # A plain view that wants a form does not ask for a body of JSON; before an async one it is read.
    unread = (view, colour) == ("form", "plain")
    assert status(answer) == (200 if unread else 413), answer


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_a_body_that_is_wanted_is_asked_for(live: Live, colour: str) -> None:
    head = f"POST /hard/{colour}/raw HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode()
    head += b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    answer = live.send(head, b"body")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert answer.endswith(b'{"bytes":4}\n')


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_chunks_are_counted(live: Live, colour: str) -> None:
    size = 17 * 1024 * 1024  # More than MAX_BODY_MEMORY.
    chunk = b"%x\r\n" % 1_000_000 + bytes(1_000_000) + b"\r\n"
    with live.connect() as connection:
        connection.sendall(
            f"POST /hard/{colour}/raw HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        try:
            for _ in range(size // 1_000_000 + 2):
                connection.sendall(chunk)
        except OSError:
            pass  # It has answered and closed.
        connection.settimeout(5)
        try:
            answer = connection.recv(65536)
        except ConnectionResetError:
            return
        assert status(answer) == 413
        assert b"MAX_BODY_MEMORY" in answer or b"MAX_BODY_MEMORY" in connection.recv(65536)


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_spooled_files_are_closed_and_deleted(live: Live, colour: str) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    data = bytes(1_200_000)
    whole = head + data + b"\r\n--b--\r\n"
    field = b"Content-Type: multipart/form-data; boundary=b"
    length = b"Content-Length: %d" % len(whole)
    answer = live.ask(f"{colour}/form", field, length, body=whole)
    assert b'"files":{"f":1200000}' in answer
    for cut in (600_000, len(whole) - 4):  # The client goes.
        live.ask(f"{colour}/form", field, length, body=whole[:cut])
    broken = whole[:-8] + b"xxxxxxxx"
    assert status(live.ask(f"{colour}/form", field, length, body=broken)) == 400
    live.server.until(lambda: live.files() == 0)
    assert list(live.temporary.glob("tmp*")) == []


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_a_client_that_closed_its_half_gets_its_answer(live: Live, colour: str) -> None:
    head = f"GET /hard/{colour}/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    answer = live.send(head, half_close=True)
    assert status(answer) in (200, 0)  # httptools closes; where an answer comes, it is whole.
    if answer:
        assert answer.endswith(b"}\n")


JUNK = [
    b"GET\r\n\r\n", b"\r\n\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /hard/async/echo HTTP/1.1\r\n\r\n", b"GET /hard/async/echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /hard/async/echo HTTP/1.1\r\nHost : a\r\n\r\n", b"GET /hard/async/echo HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    b"GET  /hard/async/echo HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"POST /hard/async/raw HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /hard/async/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST /hard/async/raw HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /hard/async/raw HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\nx",
    b"POST /hard/async/raw HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nx",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /hard/async/echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("data", JUNK, ids=lambda data: repr(data[:30]))
def test_junk_is_refused_and_the_server_goes_on(live: Live, data: bytes) -> None:
    answer = live.send(data)
    assert status(answer) < 500, answer[:200]
    assert status(live.ask("async/echo", method=b"GET")) == 200


def test_targets_and_hosts_reach_the_app_as_they_are(live: Live) -> None:
    for target in (
        "/hard/async/echo?a=%00%ff",
        "/hard/text/%2e%2e",
        "/hard/path/a/%2F/b",
        "/hard/text/%C3%A9",
    ):
        head = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        assert status(live.send(head)) in (200, 404)
    head = b"GET /hard/async/echo HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n"
    assert status(live.send(head)) == 400


def test_async_requests_go_on_while_all_threads_are_busy(tmp_path: Path) -> None:
    """And what clients that have left had queued is not begun."""
    (tmp_path / "busy.py").write_text(
        "import threading, time\n"
        "from aioflask import Flask\n"
        "app = Flask(__name__)\n"
        "app.config.update(WORKER_THREADS=2, WORKER_QUEUE=20)\n"
        "begun = []\n"
        "@app.get('/slow/<name>')\n"
        "def slow(name):\n"
        "    begun.append(name); time.sleep(1.0); return name\n"
        "@app.get('/quick')\n"
        "async def quick():\n"
        "    return begun\n"
    )
    server = Server(tmp_path, "-m", "uvicorn", "busy:app", "--port", "0")
    try:
        _, port = server.address
        connections = []
        for number in range(6):
            connection = socket.create_connection(("127.0.0.1", port), 10)
            connection.sendall(f"GET /slow/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            connections.append(connection)
            time.sleep(0.02)
        start = time.monotonic()
        assert json.loads(server.get("/quick")[1]) == ["0", "1"]
        assert time.monotonic() - start < 0.8
        for connection in connections[2:4]:
            connection.close()
        answer = b""
        while not answer.endswith(b"\r\n\r\n5"):
            answer += connections[5].recv(65536)
        assert status(connections[0].recv(65536)) == 200
        for connection in connections:
            connection.close()
        begun = json.loads(server.get("/quick")[1])
        assert begun[:2] == ["0", "1"] and {"4", "5"} <= set(begun)
    finally:
        server.stop()
