"""Flask's own source distribution, for tests that run what lies in it: none of it is kept here.

Import the fixture where it is used, and mark the module, since it needs a package registry:

    from tests.flask_sdist import flask_sdist  # noqa: F401

    pytestmark = pytest.mark.system
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

VERSION = "3.1.3"
SECONDS = 50  # less than what a test has, so that pip says what was wrong


def download(folder: Path) -> Path:
    """Have pip fetch the archive into a folder; the archive."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", "flask", "--dest", str(folder), f"flask=={VERSION}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert run.returncode == 0, f"pip could not fetch Flask {VERSION}:\n{run.stderr}"
    (archive,) = folder.glob("*.tar.gz")
    return archive


def unpacked(cache: Path) -> Path:
    """Flask's source folder inside of `cache`, fetched if it is not there yet."""
    source = cache / f"flask-{VERSION}"
    if source.is_dir():
        return source
    with tempfile.TemporaryDirectory(dir=cache) as name:
        new = Path(name, "new")
        with tarfile.open(download(Path(name))) as archive:
            archive.extractall(new, filter="data")
        try:
            # In one step, so that nobody ever finds half of it.
            os.rename(new / source.name, source)
        except OSError:
            if not source.is_dir():  # nor has another run put it there meanwhile
                raise
    return source


@pytest.fixture(scope="session")
def flask_sdist(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source of Flask: `src/flask`, `tests`, `examples`. Copy it before you write."""
    cache = getattr(request.config, "cache", None)  # not there with "-p no:cacheprovider"
    return unpacked(cache.mkdir("flask-sdist") if cache else tmp_path_factory.mktemp("flask-sdist"))
