"""The examples in Flask's source distribution, run on aioflask in one of two forms.

`"alias"` leaves every file as it is and has `import aioflask.as_flask` come before it;
`"imports"` replaces the name in `from flask import`, in a copy, and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aioflask
from tests.live import Server

FORMS = ["alias", "imports"]
# What every interpreter of an example runs first: its child processes are interpreters as well.
FIRST = {"alias": "import aioflask.as_flask\n", "imports": ""}
MODE = "from aioflask.testing import use_mode\nuse_mode({!r})\n"
# Found before Flask itself. Not an ImportError, which a program may expect and pass over.
BLOCK = "raise RuntimeError('Flask itself was imported')\n"
# Plugins that none of them uses take up to 5 s to load.
BARE_PYTEST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
# Python goes on after an error in that first module, with no more than this line.
NOT_FIRST = "Error in sitecustomize"


def script(name: str) -> str:
    """A command of the environment that the tests run in."""
    return str(Path(sysconfig.get_path("scripts"), name))


def rewrite(folder: Path) -> None:
    """Have every module in a folder import from aioflask what it imports from Flask."""
    lines = 0
    for file in folder.rglob("*.py"):
        text, count = re.subn(r"(?m)^(\s*)from flask\b", r"\1from aioflask", file.read_text())
        file.write_text(text)
        lines += count
    assert lines, f"nothing under {folder} imports from flask"


class Example:
    """A copy of an example in a folder of its own, and what it takes to run it there."""

    def __init__(self, sdist: Path, name: str, form: str, folder: Path, mode: str = "") -> None:
        self.folder = folder / name
        shutil.copytree(sdist / "examples" / name, self.folder)
        if form == "imports":
            rewrite(self.folder)
        site = folder / "site"
        site.mkdir()
        (site / "flask.py").write_text(BLOCK)
        (site / "sitecustomize.py").write_text(FIRST[form] + (MODE.format(mode) if mode else ""))
        # Celery's example keeps its package in src, where installing it would have Python look.
        paths = [site, Path(aioflask.__path__[0]).parent, self.folder / "src"]
        self.path = os.pathsep.join(map(str, paths))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a Python command in the example's folder to its end."""
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("FLASK_", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env={**keep, "PYTHONPATH": self.path, **BARE_PYTEST},
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert NOT_FIRST not in done.stderr, done.stderr
        return done

    def own_tests(self) -> str:
        """Run the tests that come with the example; what pytest counted, as in "24 passed"."""
        run = self.run("-m", "pytest", "-o", "pythonpath=.", "-p", "no:cacheprovider")
        found = re.search(r"=+ (.+) in [\d.]+s =+\n\Z", run.stdout)
        assert found and run.returncode == 0, run.stdout + run.stderr
        return found[1]

    @contextmanager
    def start(self, *command: str, **environ: str) -> Iterator[Server]:
        """Run a Python command until the end of the block; it must have logged no error."""
        server = Server(self.folder, *command, **{"PYTHONPATH": self.path, **environ})
        try:
            yield server
        finally:
            server.stop()
        for word in ("Traceback", "ERROR", NOT_FIRST):
            assert word not in server.output, server.output

    @contextmanager
    def serve(self, *command: str, **environ: str) -> Iterator[str]:
        """Serve the example with one of the environment's commands; the address it serves at."""
        with self.start(script(command[0]), *command[1:], "--port", "0", **environ) as server:
            scheme, port = server.address
            yield f"{scheme}://127.0.0.1:{port}"
