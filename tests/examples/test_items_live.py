"""The items example under uvicorn: what schemathesis finds, and its page in a browser."""

from __future__ import annotations

import base64
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chromium import chromium
from tests.live import Server

pytestmark = pytest.mark.system
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    app = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom examples.items import create_app\n"
    app += f"app = create_app({{'DATABASE': {str(tmp_path / 'items.db')!r}}})\n"
    (tmp_path / "served.py").write_text(app)
    server = Server(tmp_path, "-m", "uvicorn", "served:app", "--port", "0", "--no-access-log")
    try:
        server.until(lambda: re.search(r"running on http://127.0.0.1:(\d+)", server.output))
        yield server
    finally:
        server.stop()


def port_of(server: Server) -> int:
    found = re.search(r"running on http://127.0.0.1:(\d+)", server.output)
    assert found
    return int(found[1])


def test_schemathesis_finds_nothing(server: Server, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{port_of(server)}/openapi.json"
    command = [str(Path(sys.executable).parent / "st"), "run", url, "--no-color"]
    command += ["-H", "Authorization: Bearer let me in", "--max-examples", "30"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    summary = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert summary and summary[1] == summary[2], done.stdout[-2000:]
    assert int(summary[1]) > 100
    assert "Traceback" not in server.output


def test_a_request_is_tried_from_the_page(server: Server, tmp_path: Path) -> None:
    port = port_of(server)
    (tmp_path / "browser").mkdir()
    with chromium(tmp_path / "browser") as page:
        page._call("Log.enable")
        page.open(f"http://127.0.0.1:{port}/docs")
        page.until("document.querySelectorAll('.opblock').length === 6")
        shown = page.value("document.body.innerText")
        for text in ("Items", "Find items, by their ids' order.", "Add an item", "/items/{id}"):
            assert text in shown
        (tmp_path / "list.png").write_bytes(screenshot(page))
        page.click(".authorize")
        page.until("!!document.querySelector('.auth-container input')")
        page.value("document.querySelector('.auth-container input').focus()")
        page._call("Input.insertText", text="let me in")
        page.click(".auth-btn-wrapper .authorize")
        page.click(".auth-btn-wrapper .btn-done")
        page.click("#operations-items-items_create .opblock-summary-control")
        page.until("!!document.querySelector('.try-out button')")
        page.click(".try-out button")
        page.until("!!document.querySelector('.execute')")
        page.value("document.querySelector('.execute').scrollIntoView({block: 'center'})")
        page.click(".execute")
        page.until("!!document.querySelector('.live-responses-table .response-col_status')")
        status = page.text(".live-responses-table tbody .response-col_status")
        assert status.split()[0] == "201"
        (tmp_path / "tried.png").write_bytes(screenshot(page))
        # The content security policy lets all of it work.
        assert page.value("performance.getEntriesByType('resource').length") > 3
        assert page.errors == []
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/items/")
    assert len(json.loads(connection.getresponse().read())) == 1
    connection.close()


def screenshot(page: object) -> bytes:
    data = base64.b64decode(page._call("Page.captureScreenshot")["data"])  # type: ignore[attr-defined]
    assert data.startswith(b"\x89PNG")
    return data
