"""The command line: finding the app, commands of both colours, and `aioflask run` for real."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import typing as t
import urllib.request
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from aioflask import Flask, current_app
from aioflask.cli import (
    AppGroup,
    FlaskGroup,
    NoAppException,
    ScriptInfo,
    cli,
    find_app_by_string,
    find_best_app,
    load_dotenv,
    locate_app,
    prepare_import,
    run_command,
    with_appcontext,
)
from tests.live import Server

MADE = "def create_app(name='made'):\n    return Flask(name)\n"
PAGE = "@app.get('/')\ndef page():\n    return 'hello from ' + app.name\n"


@pytest.fixture(autouse=True)
def own_process_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Commands set variables and extend the import path; each test has its own of both."""
    for name in [n for n in os.environ if n.startswith(("FLASK_", "WERKZEUG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    environ, path, modules = dict(os.environ), sys.path[:], set(sys.modules)
    yield
    for name in [n for n, m in sys.modules.items() if n not in modules and is_below(m, tmp_path)]:
        del sys.modules[name]
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environ)


def is_below(module: ModuleType, folder: Path) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(str(folder))


def write(path: Path, *parts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("from aioflask import Flask\n" + "".join(parts))


def make_module(name: str = "shop", **values: t.Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(values)
    return module


def invoke(group: click.Command, *args: str, **options: t.Any) -> t.Any:
    return CliRunner().invoke(group, args, **options)


# --- finding the app -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source", "name"),
    [
        ("one.py", "app = Flask('one')\n", "one"),
        ("one", "application = Flask('one')\n", "one"),
        ("one", "anything = Flask('one')\n", "one"),
        ("one", "shop = app_ = Flask('one')\n", "one"),
        ("one", MADE, "made"),
        ("one:create_app", MADE, "made"),
        ("one:create_app()", MADE, "made"),
        ("one:create_app('other')", MADE, "other"),
        ("one:create_app(name='other')", MADE, "other"),
        ("one.py:shop", "shop = Flask('shop')\napp = Flask('no')\n", "shop"),
        ("folder/one.py", "app = Flask('one')\n", "one"),
        ("folder.one:app", "app = Flask('one')\n", "one"),
    ],
)
def test_every_form_of_an_import_path_finds_its_app(
    tmp_path: Path, path: str, source: str, name: str
) -> None:
    file = path.partition(":")[0].removesuffix(".py").replace(".", "/") + ".py"
    write(tmp_path / file, source)
    if file.startswith("folder") and not path.startswith("folder/"):
        write(tmp_path / "folder" / "__init__.py")
    assert ScriptInfo(path).load_app().name == name


@pytest.mark.parametrize("file", ["wsgi.py", "app.py"])
def test_an_app_in_the_current_directory_needs_no_name(tmp_path: Path, file: str) -> None:
    write(tmp_path / file, "app = Flask('found')\n")
    assert ScriptInfo().load_app().name == "found"


def test_without_any_app_the_message_names_the_three_ways(tmp_path: Path) -> None:
    with pytest.raises(NoAppException) as caught:
        ScriptInfo().load_app()
    text = str(caught.value)
    assert all(word in text for word in ("--app", "FLASK_APP", "wsgi.py", "app.py", str(tmp_path)))


def test_two_apps_without_a_usual_name_are_listed() -> None:
    module = make_module(one=Flask("a"), two=Flask("b"))
    with pytest.raises(NoAppException, match="'shop:one' or 'shop:two'"):
        find_best_app(module)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("ap", "Did you mean 'shop:app'"),
        ("app.sub", "neither a name nor a call"),
        ("app(", "neither a name nor a call"),
        ("app.make()", "simple name"),
        ("make(other)", "literal values"),
        ("make(1, 2)", r"defined as 'make\(one\)'"),
        ("nothing", "forget to return"),
        ("later", "plain 'def'"),
        ("number", "of type 'int'"),
    ],
)
def test_a_wrong_name_says_what_to_write(name: str, advice: str) -> None:
    def make(one: int) -> Flask:
        return Flask("made")

    def nothing() -> None: ...

    async def later() -> Flask:
        return Flask("late")

    module = make_module(app=Flask("a"), make=make, nothing=nothing, later=later, number=1)
    with pytest.raises(NoAppException, match=advice):
        find_app_by_string(module, name)


def test_an_app_of_flask_itself_is_recognised() -> None:
    other = type("Flask", (), {"__module__": "flask.app"})
    with pytest.raises(NoAppException, match="change 'from flask import"):
        find_best_app(make_module(app=other()))


def test_an_error_inside_a_factory_stays_what_it_is() -> None:
    def create_app() -> Flask:
        raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        find_best_app(make_module(create_app=create_app))


def test_a_missing_module_and_a_missing_import_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "broken.py", "import not_installed_anywhere\n")
    sys.path.insert(0, str(tmp_path))
    assert locate_app("nowhere", None, raise_if_not_found=False) is None
    with pytest.raises(NoAppException, match="no such module"):
        locate_app("nowhere", None)
    with pytest.raises(NoAppException, match="No module named 'not_installed_anywhere'"):
        locate_app("broken", None, raise_if_not_found=False)


def test_prepare_import_finds_the_outermost_package(tmp_path: Path) -> None:
    write(tmp_path / "outer" / "__init__.py")
    write(tmp_path / "outer" / "inner" / "__init__.py")
    assert prepare_import("outer/inner/__init__.py") == "outer.inner"
    assert sys.path[0] == str(tmp_path.resolve())


def test_debug_comes_from_the_option_or_the_environment(tmp_path: Path) -> None:
    write(
        tmp_path / "app.py",
        "app = Flask('a')\n@app.cli.command()\ndef show(): print(app.debug)\n",
    )
    assert invoke(cli, "show").output == "False\n"
    assert invoke(cli, "--debug", "show").output == "True\n"
    assert os.environ["FLASK_DEBUG"] == "1"


# --- commands --------------------------------------------------------------------------------


@pytest.fixture
def app() -> Flask:
    return Flask("shop")


def test_a_command_of_the_app_has_its_context(app: Flask) -> None:
    @app.cli.command()
    @click.argument("word")
    def plain(word: str) -> None:
        click.echo(f"{word} {current_app.name}")

    @app.cli.command("async")
    @click.argument("word")
    async def coroutine(word: str) -> None:
        await asyncio.sleep(0)
        click.echo(f"{word} {current_app.name} {click.get_current_context().info_name}")

    group = FlaskGroup(create_app=lambda: app)
    assert invoke(group, "plain", "hi").output == "hi shop\n"
    assert invoke(group, "async", "hi").output == "hi shop async\n"


def test_click_decorators_around_an_async_command_work(app: Flask) -> None:
    @click.command()
    @with_appcontext
    @click.pass_context
    async def show(ctx: click.Context) -> str:
        await asyncio.sleep(0)
        return f"{current_app.name} {ctx.info_name}"

    result = invoke(show, obj=ScriptInfo(create_app=lambda: app), standalone_mode=False)
    assert result.return_value == "shop show"


def test_an_async_command_without_the_context_runs_too() -> None:
    group = AppGroup("tools")

    @group.command(with_appcontext=False)
    async def show() -> None:
        await asyncio.sleep(0)
        click.echo(bool(current_app))

    @group.group()
    def inner() -> None: ...

    assert isinstance(inner, AppGroup)
    assert invoke(group, "show").output == "False\n"


def grouped_by(app: Flask, kind: str) -> click.Command:
    """A command line whose group `tools` is an ``async def`` function."""

    async def tools(ctx: click.Context, loud: bool) -> None:
        await asyncio.sleep(0)
        inner = click.get_current_context()
        click.echo(f"{inner.info_name} {inner.invoked_subcommand} {loud} {bool(current_app)}")

    callback = click.pass_context(click.option("--loud", is_flag=True)(tools))
    if kind == "app":
        group = app.cli.group()(callback)
    elif kind == "nested":
        group = app.cli.group("outer")(lambda: None).group("tools")(callback)
    elif kind == "AppGroup":
        group = click.group(cls=AppGroup)(callback)
        app.cli.add_command(group)
    else:
        group = click.group("tools", cls=FlaskGroup, create_app=lambda: app)(callback)

    @group.command()
    async def show() -> None:
        await asyncio.sleep(0)
        click.echo(current_app.name)

    return group if kind == "FlaskGroup" else FlaskGroup(create_app=lambda: app)


@pytest.mark.parametrize("kind", ["app", "nested", "AppGroup", "FlaskGroup"])
def test_a_group_may_be_async(app: Flask, kind: str) -> None:
    cli = grouped_by(app, kind)
    way = {"nested": ["outer", "tools"], "FlaskGroup": []}.get(kind, ["tools"])
    result = invoke(cli, *way, "--loud", "show", prog_name="tools")
    # Whether the app is there is Flask's answer, too: only a whole command line has to find it.
    assert result.output == f"tools show True {kind != 'FlaskGroup'}\nshop\n"


def test_an_async_group_may_be_a_command_of_its_own(app: Flask) -> None:
    @app.cli.group(invoke_without_command=True)
    async def tools() -> None:
        await asyncio.sleep(0)
        raise click.ClickException("not today")

    result = invoke(FlaskGroup(create_app=lambda: app), "tools")
    assert (result.exit_code, result.stderr) == (1, "Error: not today\n")


def test_an_error_in_an_async_command_comes_out_whole(app: Flask) -> None:
    @app.cli.command()
    async def fail() -> None:
        await asyncio.sleep(0)
        raise click.ClickException("not today")

    result = invoke(FlaskGroup(create_app=lambda: app), "fail")
    assert result.exit_code == 1
    assert "Error: not today" in result.output


def test_the_apps_own_runner_runs_async_commands(app: Flask) -> None:
    @app.cli.command()
    async def show() -> None:
        click.echo(current_app.name)

    assert app.test_cli_runner().invoke(args=["show"]).output == "shop\n"


def test_a_factory_that_returns_nothing_is_told_so() -> None:
    group = FlaskGroup(create_app=t.cast("Callable[..., Flask]", lambda: None))
    result = invoke(group, "routes")
    assert result.exit_code == 2
    assert "forget to return" in result.output


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a distribution that has commands for Flask and for us."""
    write(tmp_path / "plug.py", "import click\n@click.command()\ndef go(): click.echo('went')\n")
    write(
        tmp_path / "extension.py",
        "import flask, click\n@click.command()\n@flask.cli.with_appcontext\n"
        "def go(): click.echo(flask.current_app.name)\n",
    )
    metadata = tmp_path / "plug-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[flask.commands]\nfrom-flask = extension:go\nbroken-there = extension:missing\n"
        "[aioflask.commands]\nfrom-us = plug:go\nbroken = plug:missing\n"
    )
    write(tmp_path / "shop.py", "import aioflask\napp = aioflask.Flask(__name__)\n")
    write(tmp_path / "late.py", "import flask\nimport aioflask.as_flask\n")
    write(tmp_path / "placed.py", "import aioflask.as_flask, flask\napp = flask.Flask(__name__)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plugins_are_commands_and_a_broken_one_is_left_out(plugged: Path) -> None:
    assert invoke(FlaskGroup(), "from-us").stdout == "went\n"
    result = invoke(FlaskGroup(), "from-us")
    assert "'broken' (plug:missing) is left out" in result.stderr


@pytest.mark.parametrize("app", ["", "shop"])
def test_a_plugin_of_flasks_is_not_loaded_and_one_is_told_how(plugged: Path, app: str) -> None:
    group = FlaskGroup(name="aioflask")
    result = invoke(group, *(["--app", app] if app else []), "from-flask", prog_name="aioflask")
    assert result.exit_code == 2
    assert "Write 'aioflask --as-flask from-flask', set" in result.stderr
    assert "extension" not in sys.modules
    assert "from-flask" not in invoke(FlaskGroup(), "--help").output


def command(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in an interpreter of its own, where Flask is installed, too."""
    environ = {**os.environ, "PYTHONPATH": str(folder), **env}
    line = [sys.executable, "-m", "aioflask", *args]
    return subprocess.run(line, cwd=folder, env=environ, capture_output=True, text=True, timeout=50)


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["--as-flask", "--app", "shop", "from-flask"], {}),
        (["--app", "shop", "--as-flask", "from-flask"], {}),
        (["--app", "placed", "from-flask"], {}),
        (["from-flask"], {"AIOFLASK_AS_FLASK": "1", "FLASK_APP": "shop"}),
    ],
)
def test_with_us_in_flasks_place_its_plugins_are_commands(
    plugged: Path, args: list[str], env: dict[str, str]
) -> None:
    done = command(plugged, *args, **env)
    assert (done.returncode, done.stdout.strip()) == (
        0,
        args[args.index("--app") + 1] if env == {} else "shop",
    )
    assert "'broken-there' (extension:missing) is left out" in done.stderr


@pytest.mark.parametrize("args", [["--as-flask", "--app", "shop"], ["--app", "placed"]])
def test_help_lists_the_plugins_of_flask_where_we_stand_in_its_place(
    plugged: Path, args: list[str]
) -> None:
    assert "from-flask" in command(plugged, *args, "--help").stdout


def test_an_env_file_may_put_us_in_flasks_place(plugged: Path) -> None:
    (plugged / ".flaskenv").write_text("AIOFLASK_AS_FLASK=1\nFLASK_APP=shop\n")
    assert command(plugged, "from-flask").stdout == "shop\n"
    assert "from-flask" in command(plugged, "--help").stdout


def test_too_late_is_said(plugged: Path) -> None:
    done = command(plugged, "--app", "late", "routes")
    assert done.returncode == 1
    assert "Flask itself is loaded already" in done.stderr
    (plugged / "sitecustomize.py").write_text("import flask\n")
    done = command(plugged, "--as-flask", "routes")
    assert done.returncode == 2
    assert "Flask itself is loaded already" in done.stderr
    assert "Traceback" not in done.stderr


def test_version_shows_what_a_bug_report_needs() -> None:
    lines = invoke(cli, "--version").output.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["Python", "aioflask", "Werkzeug", "uvicorn"]


def complete(group: click.Group, *words: str) -> t.Any:
    """What bash gets when TAB is pressed behind these words."""
    line = {"COMP_WORDS": " ".join(["aioflask", *words]), "COMP_CWORD": str(len(words))}
    env = {"_AIOFLASK_COMPLETE": "bash_complete", **line}
    # The process ends then, so that nobody pops the app's context.
    return copy_context().run(invoke, group, prog_name="aioflask", env=env)


@pytest.mark.parametrize("words", [["r"], ["nothing", ""], ["nothing", "x"]])
@pytest.mark.parametrize("source", [None, "app = 1 / 0\n", "import not_installed_anywhere\n"])
def test_completion_without_an_app_says_nothing_beside_its_answer(
    tmp_path: Path, words: list[str], source: str | None
) -> None:
    if source is not None:
        write(tmp_path / "app.py", source)
    result = complete(FlaskGroup(), *words)
    assert result.stderr == ""
    assert result.exit_code == 0
    if words == ["r"]:
        assert result.stdout == "plain,routes\nplain,run\n"


def test_completion_knows_the_commands_of_the_app(app: Flask) -> None:
    @app.cli.command("rebuild")
    @click.option("--colour", type=click.Choice(["red", "green"]))
    def rebuild(colour: str) -> None: ...

    group = FlaskGroup(create_app=lambda: app)
    assert complete(group, "re").stdout == "plain,rebuild\n"
    assert complete(group, "rebuild", "--colour", "r").stdout == "plain,red\n"


def test_the_module_is_an_attribute_of_the_package() -> None:
    code = "import aioflask, sys; print('aioflask.cli' in sys.modules, aioflask.cli.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False aioflask.cli\n", done.stderr


def test_routes_are_a_table(app: Flask) -> None:
    app.add_url_rule("/notes/<int:id>", "note", methods=["GET", "DELETE"])
    app.add_url_rule("/all", "all", methods=["POST"])
    app.add_url_rule("/ws", "ws", websocket=True)
    group = FlaskGroup(create_app=lambda: app)
    rows = [line.split() for line in invoke(group, "routes", "-s", "rule").output.splitlines()]
    assert rows[0] == ["Endpoint", "Methods", "Rule"]
    paths = ["/all", "/notes/<int:id>", "/static/<path:filename>", "/ws"]
    assert [row[-1] for row in rows[2:]] == paths
    assert rows[-1][1] == "WebSocket"
    assert "HEAD" in invoke(group, "routes", "--all-methods").output


def test_the_shell_knows_the_app(tmp_path: Path) -> None:
    write(tmp_path / "app.py", "app = Flask('shop')\n")
    result = invoke(cli, "shell", input="print(app.name, bool(g))\n")
    assert "shop True" in result.output


def test_dotenv_files_are_read_and_the_environment_wins(tmp_path: Path) -> None:
    pytest.importorskip("dotenv")
    (tmp_path / ".flaskenv").write_text("ONE=flaskenv\nTWO=flaskenv\nTHREE=flaskenv\n")
    (tmp_path / ".env").write_text("TWO=env\nTHREE=env\n")
    (tmp_path / "more.env").write_text("THREE=more\nFOUR=more\n")
    os.environ["FOUR"] = "set"
    assert load_dotenv("more.env")
    assert [os.environ[n] for n in ("ONE", "TWO", "THREE", "FOUR")] == [
        "flaskenv",
        "env",
        "more",
        "set",
    ]
    assert not load_dotenv("nowhere.env", load_defaults=False)


def test_without_python_dotenv_a_line_says_what_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "dotenv", None)
    (tmp_path / ".env").write_text("ONE=1\n")
    assert not load_dotenv()
    assert "pip install python-dotenv" in capsys.readouterr().err
    result = invoke(cli, "--env-file", ".env", "routes")
    assert result.exit_code == 2
    assert "pip install python-dotenv" in result.output


# --- run -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        (["--cert", "cert.pem"], 'Required with a certificate file in "--cert"'),
        (["--key", "cert.pem"], 'with "--cert"'),
        (["--cert", "adhoc", "--key", "cert.pem"], "adhoc"),
        (["--without-threads"], "side by side"),
        (["--workers", "2", "--reload"], "watches one process"),
    ],
)
def test_run_refuses_options_that_do_not_go_together(
    tmp_path: Path, args: list[str], advice: str
) -> None:
    pytest.importorskip("cryptography")
    (tmp_path / "cert.pem").write_text("")
    write(tmp_path / "app.py", "app = Flask('a')\n")
    result = invoke(cli, "run", *args)
    assert result.exit_code == 2
    assert advice in " ".join(result.output.replace("│", " ").split())


def test_run_with_workers_needs_an_app_with_a_name(app: Flask) -> None:
    result = invoke(FlaskGroup(create_app=lambda: app), "run", "--workers", "2")
    assert result.exit_code == 2
    assert "aioflask --app module:factory run --workers" in " ".join(result.output.split())


def test_paths_of_an_option_are_separated_as_in_path(tmp_path: Path) -> None:
    value = os.pathsep.join(["a.txt", "b.txt"])
    context = run_command.make_context("run", ["--extra-files", value])
    assert context.params["extra_files"] == ["a.txt", "b.txt"]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., t.Any]]:
    """Run `python -m aioflask` in a process of its own, stopped at the end of the test."""
    started: list[t.Any] = []

    def serve(*args: str, **environ: str) -> t.Any:
        server = Server(tmp_path, "-m", "aioflask", *args, **environ)
        started.append(server)
        return server

    yield serve
    for server in started:
        server.stop()


@pytest.mark.parametrize(
    ("file", "args", "environ"),
    [
        ("app.py", [], {}),
        ("wsgi.py", [], {}),
        ("shop.py", ["--app", "shop"], {}),
        ("shop.py", ["--app", "shop:app"], {}),
        ("shop.py", [], {"FLASK_APP": "shop.py"}),
    ],
)
def test_run_serves_the_app(
    tmp_path: Path, serve: t.Any, file: str, args: list[str], environ: dict[str, str]
) -> None:
    write(tmp_path / file, "app = Flask('shop')\n", PAGE)
    server = serve(*args, "run", "--port", "0", **environ)
    assert server.get() == (200, "hello from shop")


def test_an_environment_variable_sets_an_option_of_run(tmp_path: Path, serve: t.Any) -> None:
    write(tmp_path / "app.py", "app = Flask('shop')\n", PAGE)
    assert serve("run", FLASK_RUN_PORT="0").get() == (200, "hello from shop")


def test_workers_serve_an_app_of_a_factory_with_arguments(tmp_path: Path, serve: t.Any) -> None:
    page = "".join("    " + line + "\n" for line in PAGE.splitlines())
    write(tmp_path / "shop.py", f"def make(name):\n    app = Flask(name)\n{page}    return app\n")
    server = serve("--app", "shop:make('made')", "run", "--port", "0", "--workers", "2")
    assert server.shows("hello") == (200, "hello from made")
    server.until(lambda: server.output.count("startup complete") >= 2)


def test_an_error_in_the_app_ends_run_at_once(tmp_path: Path, serve: t.Any) -> None:
    write(tmp_path / "app.py", "app = 1 / 0\n")
    server = serve("run", "--port", "0")
    assert server.ends() == 1
    assert "ZeroDivisionError" in server.output
    server = serve("--app", "nowhere", "run")
    assert server.ends() == 2
    assert "Could not import 'nowhere'" in server.output


def test_an_error_at_the_first_start_ends_the_reloader_too(tmp_path: Path, serve: t.Any) -> None:
    server = serve("--app", "nowhere", "run", "--debug", "--port", "0")
    assert server.ends() == 2
    assert "Could not import 'nowhere'" in server.output


def test_a_change_that_breaks_the_app_is_shown_until_the_next(tmp_path: Path, serve: t.Any) -> None:
    write(tmp_path / "app.py", "app = Flask('one')\n", PAGE)
    server = serve("run", "--debug", "--port", "0")
    assert server.shows("hello from one")
    write(tmp_path / "app.py", "app = Flask('two'\n", PAGE)
    assert server.shows("SyntaxError")[0] == 500
    write(tmp_path / "app.py", "app = Flask('three')\n", PAGE)
    assert server.shows("hello from three")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_run_does_not_believe_the_headers_of_a_proxy(
    tmp_path: Path, serve: t.Any, workers: str
) -> None:
    write(
        tmp_path / "app.py",
        "from aioflask import request\napp = Flask('shop')\n",
        "@app.get('/')\ndef page(): return f'{request.remote_addr} {request.scheme}'\n",
    )
    server = serve("run", "--port", "0", "--workers", workers)
    server.shows("127.0.0.1")
    url = "{}://127.0.0.1:{}/".format(*server.address)
    headers = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        assert response.read() == b"127.0.0.1 http"


def test_app_run_in_a_module_does_nothing_under_the_command(tmp_path: Path, serve: t.Any) -> None:
    write(tmp_path / "app.py", "app = Flask('shop')\n", PAGE, "app.run(port=1)\n")
    assert serve("run", "--port", "0").get() == (200, "hello from shop")


def test_run_says_that_the_port_is_in_use(tmp_path: Path) -> None:
    write(tmp_path / "app.py", "app = Flask('shop')\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for more in ([], ["--workers", "2"]):
            port = str(taken.getsockname()[1])
            result = invoke(cli, "run", "--port", port, *more)
            assert result.exit_code == 1
            assert "another program uses the port" in str(result.exception or result.output)
