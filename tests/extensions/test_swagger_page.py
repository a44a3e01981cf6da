"""Flask-RESTX's Swagger page, and a request tried from it, in a real browser."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.chromium import chromium
from tests.extensions.test_in_use import served

pytestmark = pytest.mark.system


def test_the_swagger_page(tmp_path: Path) -> None:
    (tmp_path / "browser").mkdir()
    with served(tmp_path, "api") as server, chromium(tmp_path / "browser") as page:
        _, port = server.address
        page.open(f"http://127.0.0.1:{port}/restx/docs")
        page.until("!!document.querySelector('#operations-tag-things')")
        page.click("#operations-tag-things")
        page.until("document.querySelectorAll('.opblock').length === 3")
        shown = page.value("document.body.innerText")
        for text in ("Things", "What there is", "/things/{number}", "One thing", "Another thing"):
            assert text in shown
        page.click("#operations-things-post_things_x .opblock-summary-control")
        page.until("!!document.querySelector('.try-out button')")
        page.click(".try-out button")
        page.until("!!document.querySelector('.execute')")
        page.value("document.querySelector('.execute').scrollIntoView({block: 'center'})")
        page.click(".execute")
        page.until("!!document.querySelector('.live-responses-table .response-col_status')")
        status = page.value(
            "document.querySelector('.live-responses-table tbody .response-col_status').innerText"
        )
        assert status.split()[0] == "201"
        data = base64.b64decode(page._call("Page.captureScreenshot")["data"])
        (tmp_path / "page.png").write_bytes(data)
        assert data.startswith(b"\x89PNG")
        assert "Traceback" not in server.output
