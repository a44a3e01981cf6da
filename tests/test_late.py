"""What is imported with the package, and what only when somebody asks for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

TAKEN_WITH_IT = ("werkzeug.serving", "werkzeug.test", "http.server", "socketserver")


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_application_imports_no_development_server_and_no_typed_views() -> None:
    loaded = run("import sys, aioflask; aioflask.Flask('x'); print(*sys.modules)").split()
    assert not {*TAKEN_WITH_IT, "aioflask.typed", "click"} & {*loaded}


@pytest.mark.parametrize(
    "code",
    [
        "import werkzeug; print(werkzeug.Client.__name__)",
        "import werkzeug; print(werkzeug.test.Client.__name__)",
        "from werkzeug import Client, run_simple, Request; print(Client.__name__)",
        "from werkzeug import exceptions, test; print(test.Client.__name__)",
        "import werkzeug.test; print(werkzeug.test.Client.__name__)",
        "from werkzeug import *; print(Client.__name__)",
        "import werkzeug, inspect; inspect.getmembers(werkzeug); print(werkzeug.Client.__name__)",
    ],
)
def test_werkzeugs_package_is_whole_for_who_asks(code: str) -> None:
    assert run(f"import aioflask; {code}") == "Client"
    assert run(f"{code.replace('; print', '; import aioflask; print')}") == "Client"


def test_a_name_that_werkzeug_has_not_is_an_attribute_error() -> None:
    code = """
import aioflask, werkzeug
try:
    werkzeug.nothing
except AttributeError as error:
    print(error, type(werkzeug).__name__)
"""
    assert run(code) == "module 'werkzeug' has no attribute 'nothing' module"
