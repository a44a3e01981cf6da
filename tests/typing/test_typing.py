"""Type checkers agree with the files beside this one, and with Flask's own checked usage."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flask_sdist import flask_sdist  # noqa: F401

HERE = Path(__file__).parent
PYPROJECT = HERE.parent.parent / "pyproject.toml"
USAGE = sorted(path for path in HERE.glob("*.py") if path != Path(__file__))
SECONDS = 300
PYRIGHT = {
    "include": ["."],
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    # Mypy's comments are not pyright's, and a comment that nothing needs is an error to both.
    "enableTypeIgnoreComments": False,
    "reportUnnecessaryTypeIgnoreComment": "error",
}

slow = pytest.mark.timeout(2 * SECONDS)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",  # no look for a newer one
        # Pyright's --verifytypes asks the `python` it finds, whatever its --pythonpath says.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def mypy(folder: Path) -> None:
    """Check all files of a folder as strictly as this project checks itself."""
    done = run(folder, "mypy", "--config-file", str(PYPROJECT), ".")
    files = len(list(folder.glob("*.py")))
    assert done.stdout == f"Success: no issues found in {files} source files\n", (
        done.stdout + done.stderr
    )


def pyright_json(folder: Path, *options: str) -> dict[str, Any]:
    done = run(folder, "pyright", "--outputjson", *options)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def pyright(folder: Path) -> None:
    """Check all files of a folder in pyright's strict mode."""
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    answer = pyright_json(folder)
    found = [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in answer["generalDiagnostics"]
    ]
    assert not found, "\n".join(found)
    assert answer["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))


@pytest.mark.parametrize("name", [path.stem for path in USAGE if path.stem != "refused"])
def test_checked_usage_can_be_imported(name: str) -> None:
    # In a process of its own: what connects to signals would stay connected in this one.
    command = [sys.executable, "-W", "error", "-c", f"import {name}"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


def test_every_view_that_type_checkers_accept_is_answered() -> None:
    app = importlib.import_module("tests.typing.routes").app
    client = app.test_client()
    statuses = {}
    for rule in app.url_map.iter_rules():
        if not rule.arguments and "GET" in rule.methods:
            with client.get(rule.rule) as response:
                assert response.get_data() or response.status_code == 302, rule
                statuses[rule.rule] = response.status_code
    assert len(statuses) > 60
    assert {rule: code for rule, code in statuses.items() if code > 303} == {"/abort": 404}


@pytest.mark.parametrize(
    ("name", "path", "options", "status"),
    [
        ("hooks", "/", {}, 200),
        ("hooks", "/?closed=1", {}, 503),
        ("hooks", "/nowhere", {}, 404),
        ("hooks", "/shop/recorded", {}, 200),
        ("classes", "/hello/Ada", {}, 200),
        ("classes", "/hello", {}, 200),
        ("classes", "/nobody", {}, 200),
        ("classes", "/notes", {}, 200),
        ("classes", "/notes", {"method": "POST"}, 201),
        ("classes", "/notes/1", {}, 200),
        ("classes", "/counted", {}, 200),
        ("proxies", "/body", {"method": "POST", "data": {"name": "Ada", "age": "36"}}, 204),
        ("proxies", "/body-async", {"method": "POST", "json": {"name": "Ada"}}, 200),
        ("proxies", "/head/1?page=2&tag=3", {"headers": {"Accept": "*/*"}}, 200),
        ("proxies", "/session", {}, 200),
        ("proxies", "/g", {}, 200),
        ("proxies", "/app", {}, 200),
        ("helpers", "/nonblocking", {}, 200),
    ],
)
def test_what_type_checkers_accept_runs(
    name: str, path: str, options: dict[str, Any], status: int
) -> None:
    app = importlib.import_module(f"tests.typing.{name}").app
    app.testing = True
    if "data" in options:
        options = options | {"data": options["data"] | {"upload": (io.BytesIO(), "data.txt")}}
    with app.test_client().open(path, **options) as response:
        assert response.status_code == status, response.text


@pytest.mark.system
@slow
@pytest.mark.parametrize("check", [mypy, pyright])
def test_checked_usage(check: Callable[[Path], None], tmp_path: Path) -> None:
    for path in USAGE:
        shutil.copy(path, tmp_path)
    check(tmp_path)


@pytest.mark.system
@slow
@pytest.mark.parametrize("check", [mypy, pyright])
@pytest.mark.parametrize("colour", ["as it is", "async"])
def test_checked_usage_of_flask(
    check: Callable[[Path], None],
    colour: str,
    flask_sdist: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    paths = sorted(flask_sdist.glob("tests/type_check/*.py"))
    assert len(paths) == 3
    for path in paths:
        text, imports = re.subn(r"^from flask\b", "from aioflask", path.read_text(), flags=re.M)
        assert imports
        if colour == "async":
            # All but a constructor, and a generator that a view calls.
            text, plain = re.subn(
                r"^( *)def (?!__init__|show\b)", r"\1async def ", text, flags=re.M
            )
            assert plain
        (tmp_path / path.name).write_text(text)
    check(tmp_path)


@pytest.mark.system
@slow
def test_every_public_name_has_a_type_that_checkers_need_not_guess(tmp_path: Path) -> None:
    answer = pyright_json(tmp_path, "--verifytypes", "aioflask", "--ignoreexternal")
    completeness = answer["typeCompleteness"]
    guessed = [
        f"{symbol['name']}: {each['message']}"
        for symbol in completeness["symbols"]
        for each in symbol["diagnostics"]
        if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]
    ]
    assert not guessed, "\n".join(guessed)
    assert completeness["completenessScore"] == 1
    assert completeness["exportedSymbolCounts"]["withKnownType"] > 900
