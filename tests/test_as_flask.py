"""`import aioflask.as_flask`, in an interpreter of its own: there is no way back."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python(*args: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run an interpreter that finds the project, and before it what is in `path`."""
    folders = [str(folder) for folder in (path, ROOT) if folder]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=50)


def run(code: str) -> None:
    done = python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr


def test_flask_and_its_modules_are_ours() -> None:
    run("""if True:
        import aioflask.as_flask
        import importlib, sys
        import aioflask, flask, flask.json.tag, flask.views as views
        from flask.globals import request_ctx
        from flask import Flask, sessions

        assert flask is aioflask and Flask is aioflask.Flask
        assert flask.json.tag is aioflask.json.tag and views is aioflask.views
        names = ["app", "blueprints", "config", "ctx", "globals", "helpers", "json", "sessions"]
        for name in names + ["json.provider", "signals", "templating", "typing", "wrappers"]:
            module = importlib.import_module("flask." + name)
            assert module is sys.modules["aioflask." + name] is sys.modules["flask." + name]
            assert module.__spec__.name == module.__name__ == "aioflask." + name
            assert module.__loader__ is module.__spec__.loader
    """)


def test_the_version_is_flasks() -> None:
    run("""if True:
        import importlib.metadata
        import aioflask
        assert aioflask.__version__ != "3.1.3"
        import aioflask.as_flask
        import flask

        assert flask.__version__ == importlib.metadata.version("flask")
        assert tuple(map(int, flask.__version__.split("."))) >= (3, 0)
    """)


def test_attributes_that_flask_has_without_another_import() -> None:
    run("""if True:
        import aioflask.as_flask
        import flask

        assert flask.sansio.app.App is flask.Flask
        assert flask.cli.with_appcontext and flask.logging.default_handler
    """)


def test_sansio_is_answered() -> None:
    run("""if True:
        import aioflask.as_flask
        import flask.sansio, flask.sansio.app, aioflask.app
        from flask import Blueprint, Flask
        from flask.sansio.app import App
        from flask.sansio.scaffold import Scaffold, setupmethod
        from flask.sansio.blueprints import BlueprintSetupState
        from flask.sansio import blueprints

        assert App is Flask and blueprints.Blueprint is Blueprint and issubclass(App, Scaffold)
        assert flask.sansio.app is aioflask.app and blueprints is aioflask.blueprints
        assert flask.sansio.__name__ == "aioflask.sansio"
    """)


def test_what_neither_has_cannot_be_imported() -> None:
    run("""if True:
        import aioflask.as_flask
        import importlib

        for name in ["flask.nothing", "flask.json.nothing", "flask.sansio.nothing"]:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                assert error.name == name
            else:
                raise AssertionError(name)
    """)


def test_python_m_flask_is_our_command(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import aioflask.as_flask\n")
    (tmp_path / "hello.py").write_text("import flask\napp = flask.Flask(__name__)\n")
    app = str(tmp_path / "hello.py")
    done = python("-m", "flask", "--app", app, "routes", path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "static" in done.stdout


def test_source_and_code_are_found_under_the_alias() -> None:
    run("""if True:
        import aioflask.as_flask
        import importlib.util, inspect, flask.views

        spec = importlib.util.find_spec("flask.__main__")
        loader = spec.loader
        assert loader.get_code(spec.name) is not None and "main" in loader.get_source(spec.name)
        assert loader.is_package("flask.json") and not loader.is_package("flask.views")
        assert "class MethodView" in inspect.getsource(flask.views)
    """)


def test_flask_itself_loaded_before_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flask.py").write_text("")
    done = python("-c", "import flask; import aioflask.as_flask", path=tmp_path)
    assert "RuntimeError: Flask itself is loaded already" in done.stderr
    assert "Import aioflask.as_flask first" in done.stderr


@pytest.mark.parametrize("installed", [True, False])
def test_a_version_is_known_also_without_the_distribution(tmp_path: Path, installed: bool) -> None:
    for folder in site.getsitepackages():
        for entry in Path(folder).iterdir():
            if not entry.name.lower().startswith("flask"):
                (tmp_path / entry.name).symlink_to(entry)
    if installed:
        info = tmp_path / "flask-3.0.99.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.99\n")
    code = (
        "import aioflask.as_flask, importlib.metadata as m;"
        "print(m.version('flask'), m.version('Flask'), m.distribution('flask').metadata['Name'],"
        " __import__('flask').__version__,"
        " sum(d.metadata['Name'] == 'Flask' for d in m.distributions()))"
    )
    done = python("-S", "-c", code, path=tmp_path)
    version = "3.0.99" if installed else "3.1.3"
    assert done.stdout.split() == [version, version, "Flask", version, str(int(installed))], (
        done.stderr
    )


def test_no_module_is_loaded_twice_and_none_of_flask_itself() -> None:
    run("""if True:
        import aioflask.as_flask
        import importlib, importlib.metadata, pkgutil, sys
        from pathlib import Path
        import aioflask

        original = Path(importlib.metadata.distribution("flask").locate_file("flask"))
        assert original.is_dir() and original.parts != Path(aioflask.__file__).parts
        ours = [m.name for m in pkgutil.walk_packages(aioflask.__path__, "aioflask.")]
        ours.remove("aioflask.__main__")
        for name in ours:
            importlib.import_module(name)
            importlib.import_module(name.removeprefix("aio"))
        assert len(ours) > 50
        files = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and (name + ".").startswith(("flask.", "aioflask.")):
                assert files.setdefault(file, module) is module, name
                assert original not in Path(file).parents
    """)


# --- without a line of code: the variable, commands, pytest ---------------------------------------


def told(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command where Flask is installed, with aioflask put in its place from outside."""
    environ = {**os.environ, "AIOFLASK_AS_FLASK": "1", **env}
    return subprocess.run(args, cwd=cwd, env=environ, capture_output=True, text=True, timeout=50)


WHO = "import flask; print(flask.Flask.__module__)"


@pytest.mark.parametrize(
    ("value", "module"),
    [("1", "aioflask.app"), ("true", "aioflask.app"), ("0", "flask.app"), ("", "flask.app")],
)
def test_the_variable_puts_us_in_flasks_place_in_any_process(
    tmp_path: Path, value: str, module: str
) -> None:
    done = told(sys.executable, "-c", WHO, cwd=tmp_path, AIOFLASK_AS_FLASK=value)
    assert (done.stdout.strip(), done.stderr) == (module, "")


def test_processes_that_are_started_from_one_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import aioflask.as_flask, multiprocessing, subprocess, sys\n"
        "def child():\n"
        "    import flask; print('spawned', flask.Flask.__module__, flush=True)\n"
        "if __name__ == '__main__':\n"
        f"    subprocess.run([sys.executable, '-c', {WHO!r}])\n"
        "    process = multiprocessing.get_context('spawn').Process(target=child)\n"
        "    process.start(); process.join()\n"
    )
    done = told(sys.executable, "app.py", cwd=tmp_path, AIOFLASK_AS_FLASK="")
    assert done.stdout.splitlines() == ["aioflask.app", "spawned aioflask.app"], done.stderr


def test_flasks_own_command_is_ours_then(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import click, flask\napp = flask.Flask(__name__)\n"
        "@app.cli.command()\nasync def who(): click.echo(type(flask.current_app.json).__module__)\n"
    )
    flask = Path(sys.executable).parent / "flask"
    assert told(str(flask), "who", cwd=tmp_path).stdout == "aioflask.json.provider\n"
    assert "flask.app" not in told(str(flask), "--version", cwd=tmp_path).stdout
    assert told(sys.executable, "-m", "flask", "who", cwd=tmp_path).stdout.startswith("aioflask")


TESTS = """\
import subprocess, sys
import flask

def test_who():
    assert flask.Flask.__module__ == "aioflask.app"

def test_who_in_a_subprocess():
    code = "import flask; print(flask.Flask.__module__)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "aioflask.app\\n"
"""


@pytest.mark.parametrize("more", [[], ["-p", "xdist", "-n", "2"]])
def test_as_a_plugin_of_pytest(tmp_path: Path, more: list[str]) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p aioflask.as_flask\n")
    (tmp_path / "conftest.py").write_text("from flask import Flask\n")
    (tmp_path / "test_one.py").write_text(TESTS)
    (tmp_path / "test_two.py").write_text(TESTS)
    command = (sys.executable, "-m", "pytest", "-q", "-W", "error", *more)
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # Others take up to 5 s to load.
    for variable in ("", "1"):
        done = told(*command, cwd=tmp_path, AIOFLASK_AS_FLASK=variable, **alone)
        assert "4 passed" in done.stdout, done.stdout + done.stderr
        assert "warning" not in done.stdout


def test_the_plugin_says_when_it_comes_too_late(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text("import flask\n")
    command = (sys.executable, "-m", "pytest", "-p", "early", "-p", "aioflask.as_flask")
    done = told(*command, cwd=tmp_path, AIOFLASK_AS_FLASK="", PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    assert "Flask itself is loaded already" in done.stderr


def test_no_extension_is_named_in_the_package() -> None:
    """What is done for one of them is done for all: nobody has to be on a list."""
    names = re.compile(
        r"flask[-_ ]?(sqlalchemy|login|security|migrate|wtf|rest(ful|x)|socketio|session|caching|"
        r"babel|mail|admin|cors|limiter|jwt|principal|debug-?toolbar|marshmallow|smorest|compress|"
        r"talisman|httpauth|bcrypt|pymongo|mongoengine|apscheduler|dance|assets|moment|bootstrap)"
        r"|sqlalchemy|alembic|wtforms|peewee|mongoengine|celery|sentry|opentelemetry|newrelic",
        re.IGNORECASE,
    )
    package = ROOT / "aioflask"
    sources = [path for path in package.rglob("*.py") if not path.name.startswith("socketio")]
    assert len(sources) > 50
    for path in sources:
        # `FLASK_DEBUG` and `FLASK_MAIL__PORT` are Flask's own variables.
        text = re.sub(r"FLASK_[A-Z_]+", "", path.read_text("utf-8"))
        assert (found := names.search(text)) is None, f"{path}: {found}"
