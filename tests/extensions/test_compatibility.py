"""`scripts/compatibility`, which writes the table of extensions from the conformance reports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def result(dist: str | None, passed: int, **more: Any) -> dict[str, Any]:
    return {
        "dist": dist, "target": "aioflask", "mode": "", "python": "3.11.7", "partial": False,
        "applicable": passed, "passed": passed, "excluded": 0, "failing": {}, **more,
    }  # fmt: skip


def table(tmp_path: Path, *reports: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    names = []
    for number, report in enumerate(reports):
        names.append(str(tmp_path / f"{number}.json"))
        Path(names[-1]).write_text(json.dumps(report))
    command = [sys.executable, str(ROOT / "scripts/compatibility"), *names]
    command += ["--output", str(tmp_path / "page.md")]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


def test_a_row_for_each_suite_with_its_modes(tmp_path: Path) -> None:
    done = table(
        tmp_path,
        {"flask-login": result("Flask-Login==0.6.3", 114), "smoke": result(None, 57)},
        {
            "flask": result("Flask==3.1.3", 456, excluded=34),
            "flask-login": result("Flask-Login==0.6.3", 114, mode="hop"),
            "flask-x": result(
                "Flask-X==1.0", 9, applicable=10, failing={"tests/test_x.py::test_y": "failed: z"}
            ),
            "partly": result("Partly==1", 1, partial=True),
        },
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in (tmp_path / "page.md").read_text().splitlines() if line[:3] == "| f"]
    assert rows[0].startswith("| flask | 3.1.3 | 456 of 456 | ASGI | 34 |")
    assert rows[1].startswith("| flask-login | 0.6.3 | 114 of 114 | ASGI, hopping | 0 |")
    assert rows[2].startswith("| flask-x | 1.0 | 9 of 10 | ASGI | 0 | fails: `tests/test_x.py::")
    assert len(rows) == 3
    assert "750 of 751 passed" in done.stdout
    assert "partly" not in (tmp_path / "page.md").read_text()


def test_what_was_not_measured_is_no_row(tmp_path: Path) -> None:
    done = table(tmp_path, {"flask-x": {"target": "aioflask", "unusable": "no network"}})
    assert done.returncode != 0
    assert "flask-x was not measured" in done.stderr
    done = table(tmp_path, {"flask-x": result("Flask-X==1", 1, partial=True)})
    assert "no whole run" in done.stderr
    assert not (tmp_path / "page.md").exists()


def test_the_page_has_the_most_used_extensions() -> None:
    page = (ROOT / "docs/reference/compatibility.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([\w-]+) \| [\d.]* \| ([\d,]+ of [\d,]+) \|", page, re.MULTILINE))
    for suite in (
        "flask flask-sqlalchemy flask-login flask-security flask-migrate flask-wtf flask-restful"
        " flask-restx flask-socketio smoke"
    ).split():
        passed, _, applicable = rows[suite].partition(" of ")
        assert passed == applicable, suite
