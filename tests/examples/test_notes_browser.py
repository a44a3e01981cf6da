"""The page of the notes in a real browser: what it shows, and that it fits a phone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.examples.notes_flows import add, live_server, log_in

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_server(tmp_path_factory.mktemp("notes")) as url:
        yield url


@pytest.fixture
def browser(tmp_path: Path) -> list[str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "These tests need chromium: apt-get install chromium"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    return [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", profile]


def dump(browser: list[str], url: str) -> str:
    """The document as the browser has it after loading the page."""
    run = subprocess.run([*browser, "--dump-dom", url], capture_output=True, text=True, timeout=45)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.anyio
async def test_the_page_lists_the_notes(url: str, browser: list[str], tmp_path: Path) -> None:
    assert "Nothing here yet." in dump(browser, url)
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        await log_in(client)
        await add(client, title="Shopping", body="Milk\nBread", tags=["home"])
        note = await add(client, title="<script>document.title = 'run'</script>", tags=["odd"])
        await client.post(note["url"] + "/files", files={"file": ("plan.txt", b"plan")})

    page = dump(browser, url)
    assert "<title>Notes</title>" in page
    assert "<h1>2 notes</h1>" in page
    assert ">Shopping</h2>" in page
    assert "&lt;script&gt;" in page
    assert f'href="{note["url"]}/files/1">plan.txt</a>' in page
    assert 'href="/login">Log in</a>' in page

    filtered = dump(browser, f"{url}/?tag=home")
    assert "<h1>1 note</h1>" in filtered
    assert "plan.txt" not in filtered
    assert "<h1>Not Found</h1>" in dump(browser, f"{url}/nothing")
    assert 'type="password"' in dump(browser, f"{url}/login")


@pytest.mark.parametrize("size", ["390,844", "1280,800"])
def test_the_page_is_drawn(url: str, browser: list[str], tmp_path: Path, size: str) -> None:
    picture = tmp_path / "notes.png"
    command = [*browser, f"--window-size={size}", f"--screenshot={picture}", url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=45)
    assert run.returncode == 0, run.stderr
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert f"{width},{height}" == size
    assert len(data) > 4000  # something is on it


def test_the_policy_lets_all_of_the_page_load(url: str, browser: list[str]) -> None:
    command = [*browser, "--enable-logging=stderr", "--v=0", "--dump-dom", url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=45)
    assert run.returncode == 0, run.stderr
    assert "Content Security Policy" not in run.stderr
