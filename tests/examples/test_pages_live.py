"""The chat and the live example in a real browser, served by `aioflask run`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chromium import Page, chromium
from tests.live import Server

pytestmark = pytest.mark.system


@contextmanager
def served(folder: Path, example: str) -> Iterator[str]:
    server = Server(folder, "-m", "aioflask", "--app", f"examples.{example}", "run", "--port", "0")
    try:
        scheme, port = server.address
        yield f"{scheme}://127.0.0.1:{port}/"
        assert "Traceback" not in server.output, server.output
    finally:
        server.stop()


def join(page: Page, url: str, name: str, room: str = "kitchen") -> None:
    page.open(url)
    page.fill("[name=name]", name)
    page.fill("[name=room]", room)
    page.click("#join button")


def screenshot(page: Page, path: Path) -> None:
    data = base64.b64decode(page._call("Page.captureScreenshot")["data"])
    path.write_bytes(data)
    assert data.startswith(b"\x89PNG") and len(data) > 4000  # something is on it


def test_two_people_chat(tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir()
    with (
        served(tmp_path, "chat") as url,
        chromium(tmp_path / "ann") as ann,
        chromium(tmp_path / "bob") as bob,
    ):
        join(ann, url, "Ann")
        ann.until("document.querySelector('#members').textContent == 'Here: Ann'")
        join(bob, url, "Ann")
        bob.until("document.querySelector('#status').textContent.includes('Is the name taken?')")
        join(bob, url, "Bob")
        ann.until("document.querySelector('#members').textContent == 'Here: Ann, Bob'")
        ann.fill("#text", "<b>Hello</b> Bob!")
        ann.click("#say button")
        for page in (ann, bob):
            page.until("document.querySelectorAll('#messages li').length == 1")
            assert "<b>Hello</b> Bob!" in page.text("#messages li")
        bob.fill("#text", "Hello Ann!")
        bob.click("#say button")
        ann.until("document.querySelectorAll('#messages li').length == 2")
        assert ann.value("document.querySelectorAll('#messages .mine').length") == 1
        screenshot(ann, tmp_path / "chat.png")
        assert not ann.errors and not bob.errors


def test_a_chat_connects_again_when_the_server_is_back(tmp_path: Path) -> None:
    command = ("-m", "aioflask", "--app", "examples.chat", "run", "--port")
    server = Server(tmp_path, *command, "0")
    (tmp_path / "browser").mkdir()
    with chromium(tmp_path / "browser") as page:
        try:
            _, port = server.address
            join(page, f"http://127.0.0.1:{port}/", "Ann")
            page.until("document.querySelector('#members').textContent == 'Here: Ann'")
        finally:
            server.stop()
        page.until("document.querySelector('#room').hidden")
        server = Server(tmp_path, *command, str(port))
        try:
            page.until("!document.querySelector('#room').hidden")
        finally:
            server.stop()


def test_a_job_shows_its_progress_and_survives_a_reload(tmp_path: Path) -> None:
    (tmp_path / "browser").mkdir()
    with served(tmp_path, "live") as url, chromium(tmp_path / "browser") as page:
        page.open(url)
        page.fill("[name=steps]", "80")
        page.click("#start button")
        page.until("document.querySelector('#bar').value >= 5")
        screenshot(page, tmp_path / "live.png")
        page.open(url + "#again")
        page.value("location.reload()")
        page.until("document.querySelector('#bar')?.value >= 10")
        page.until("document.querySelector('#status')?.textContent == 'Done: 80 steps.'")
        assert page.value("document.querySelector('#bar').value") == 80
        assert not page.errors
