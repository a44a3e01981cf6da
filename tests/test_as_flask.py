"""`import aioflask.as_flask`, in an interpreter of its own: there is no way back."""

from __future__ import annotations

import os
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
