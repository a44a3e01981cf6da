"""Typed views with one of the two libraries, and with none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.typed.models import HAS

HERE = Path(__file__).parent
FILES = "test_answers.py test_dependencies.py test_fastapi.py"


def run(*command: str, without: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "AIOFLASK_TEST_WITHOUT": without}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # Those that are not used take 5 s to load.
    return subprocess.run(
        [sys.executable, *command], env=environ, cwd=HERE.parent.parent, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(not all(HAS.values()), reason="this takes one of the two away")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("library", ["pydantic", "msgspec"])
def test_these_tests_pass_without_one_of_them(library: str) -> None:
    # The other files do, too; these are the ones that take little time.
    files = [str(HERE / name) for name in FILES.split()]
    options = "-q -x -p no:cacheprovider -p anyio -p timeout".split()
    done = run("-m", "pytest", *options, *files, without=library)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


APP = """
import sys
sys.modules["msgspec"] = sys.modules["pydantic"] = None
from aioflask import Flask
app = Flask("none", static_folder=None)

@app.get("/<int:id>")
def plain(id: int, page=1) -> str:
    return f"{id}"

try:
    @app.get("/")
    def typed(q: int) -> str: ...
except TypeError as error:
    assert "pip install 'aioflask[" in str(error), error
    print("told")
assert app.test_client().get("/3").text == "3"
"""


def test_without_both_plain_flask_goes_on_and_types_are_refused() -> None:
    done = run("-c", APP, without="")
    assert done.stdout == "told\n", done.stderr


def test_what_is_not_used_is_not_loaded() -> None:
    code = """
import sys
from aioflask import Flask

def loaded(*names):
    print(*[name for name in sys.modules if name.startswith(names)])

app = Flask("bare", static_folder=None)
app.get("/<int:id>")(lambda id: str(id))
loaded("aioflask.typed")
@app.get("/annotated/<int:id>")
def view(id: int) -> str:
    return str(id)
loaded("msgspec", "pydantic", "aioflask.websockets", "aioflask.typed.o", "aioflask.typed.sec")
assert app.test_client().get("/annotated/3").text == "3"
"""
    done: Any = run("-c", code, without="")
    assert done.stdout == "\n\n", done.stdout + done.stderr
