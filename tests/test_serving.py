"""app.run() and what stands behind it, against a real server in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import typing as t
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aioflask import Flask, reloader, serving
from tests.live import Server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a command in ``tmp_path``; it is stopped at the end of the test."""
    started: list[Server] = []

    def start(*command: str, **environ: str) -> Server:
        started.append(Server(tmp_path, *command, **environ))
        return started[-1]

    yield start
    for server in started:
        server.stop()


SCRIPT = """\
from aioflask import Flask

app = Flask(__name__)

@app.get("/")
def plain():
    return "{answer}" + app.config.get("SUFFIX", "")

if __name__ == "__main__":
    app.config["SUFFIX"] = " from main"
    app.run(port=0{options})
"""


def test_run_serves_the_app_and_says_where(start: t.Any, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(answer="hello", options=""))
    server = start("script.py")
    assert server.get() == (200, "hello from main")
    assert " * Serving aioflask app 'script'" in server.output
    assert " * Debug mode: off" in server.output
    assert " * Running on http://127.0.0.1:" in server.output


ADDRESSED = """\
from aioflask import Flask

app = Flask(__name__)
app.config["SERVER_NAME"] = {server_name!r}
app.run({host!r}, {port!r})
"""


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "port", "server_name", "where"),
    [
        (None, None, "127.0.0.2:PORT", "127.0.0.2:PORT"),
        ("127.0.0.1", None, "127.0.0.2:PORT", "127.0.0.1:PORT"),
        (None, "PORT", "127.0.0.2:8080", "127.0.0.2:PORT"),
        ("127.0.0.1", "PORT", "127.0.0.2:8080", "127.0.0.1:PORT"),
        ("127.0.0.2", "PORT", None, "127.0.0.2:PORT"),
        (None, 0, "127.0.0.2:8080", "127.0.0.2:ANY"),
        (None, None, "127.0.0.2:0", "127.0.0.2:ANY"),
    ],
)
def test_the_address_is_the_arguments_then_server_names(
    start: t.Any, tmp_path: Path, free_port: int, host: t.Any, port: t.Any, server_name: t.Any,
    where: str,
) -> None:  # fmt: skip
    port = free_port if port == "PORT" else port
    server_name = server_name and server_name.replace("PORT", str(free_port))
    (tmp_path / "script.py").write_text(
        ADDRESSED.format(host=host, port=port, server_name=server_name)
    )
    server = start("script.py")
    pattern = re.escape(where).replace("PORT", str(free_port)).replace("ANY", r"[1-9]\d+")
    found = server.until(lambda: re.search(rf"Running on http://({pattern}) ", server.output))
    name, _, number = found[1].partition(":")
    with socket.create_connection((name, int(number)), timeout=5):
        pass


@pytest.mark.parametrize(
    ("argument", "environ", "config", "debug"),
    [
        (None, None, False, "off"),
        (None, None, True, "on"),
        (None, "0", True, "off"),
        (None, "1", False, "on"),
        (True, "0", False, "on"),
        (False, "1", True, "off"),
    ],
)
def test_debug_is_the_arguments_then_the_environments_then_the_configurations(
    start: t.Any,
    tmp_path: Path,
    argument: bool | None,
    environ: str | None,
    config: bool,
    debug: str,
) -> None:
    text = SCRIPT.format(answer="", options=f", debug={argument}, use_reloader=False")
    text = text.replace('"" + app.config.get("SUFFIX", "")', "str(app.debug)")
    text = text.replace('["SUFFIX"] = " from main"', f'["DEBUG"] = {config}')
    (tmp_path / "script.py").write_text(text)
    server = start("script.py", **({} if environ is None else {"FLASK_DEBUG": environ}))
    assert server.get() == (200, str(debug == "on"))
    assert f" * Debug mode: {debug}" in server.output


@pytest.mark.parametrize("debug", [True, False])
def test_run_reads_templates_again_in_debug_alone(
    start: t.Any, tmp_path: Path, debug: bool
) -> None:
    text = SCRIPT.format(answer="", options=f", debug={debug}, use_reloader=False")
    text = "from aioflask import render_template\n" + text
    text = text.replace('"" + app.config.get("SUFFIX", "")', 'render_template("page.txt")')
    (tmp_path / "script.py").write_text(text)
    page = tmp_path / "templates" / "page.txt"
    page.parent.mkdir()
    page.write_text("before")
    os.utime(page, (1, 1))
    server = start("script.py")
    assert server.get() == (200, "before")
    page.write_text("after")
    assert server.get() == (200, "after" if debug else "before")


def test_debug_runs_the_same_script_again_after_a_change(start: t.Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(answer="one", options=", debug=True"))
    server = start("script.py")
    # What only the __main__ block does is there too.
    assert server.shows("one") == (200, "one from main")
    script.write_text(SCRIPT.format(answer="two", options=", debug=True"))
    assert server.shows("two") == (200, "two from main")
    assert server.output.count("Serving aioflask app") == 1
    assert "script.py. Starting again." in server.output


def test_stopping_the_supervisor_stops_its_child(start: t.Any, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(answer="one", options=", debug=True"))
    server = start("script.py")
    server.shows("one")
    server.process.terminate()
    assert server.ends() == 0
    with pytest.raises(ConnectionRefusedError):
        server.get()


def test_a_file_named_in_extra_files_is_watched(start: t.Any, tmp_path: Path) -> None:
    options = ", debug=True, extra_files=['settings.toml']"
    text = SCRIPT.format(answer="X", options=options).replace('"X"', "START")
    (tmp_path / "settings.toml").write_text("one")
    (tmp_path / "script.py").write_text("START = open('settings.toml').read()\n" + text)
    server = start("script.py")
    server.shows("one")
    (tmp_path / "settings.toml").write_text("two")
    server.shows("two")


def test_files_below_a_folder_named_in_extra_files_are_watched(
    start: t.Any, tmp_path: Path
) -> None:
    options = ", debug=True, extra_files=['settings/']"
    text = SCRIPT.format(answer="X", options=options).replace('"X"', "START")
    settings = tmp_path / "settings" / "deep" / "a.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("one")
    (tmp_path / "script.py").write_text("START = open('settings/deep/a.toml').read()\n" + text)
    server = start("script.py")
    server.shows("one")
    settings.write_text("two")
    server.shows("two")


AT_ITS_START = """\
import sys
sys.path.insert(0, FOLDER)
import value
"""
IN_A_VIEW = """\
import importlib.util, sys

class Value:
    def __getattr__(self, name):
        spec = importlib.util.spec_from_file_location("value", FOLDER + "/value.py")
        sys.modules["value"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, name)

value = Value()
"""


@pytest.mark.parametrize("how", [AT_ITS_START, IN_A_VIEW], ids=["at its start", "in a view"])
def test_a_module_that_only_the_app_can_find_is_watched(
    start: t.Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, how: str
) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / "value.py"
    file.write_text("X = 'one'\n")
    text = SCRIPT.format(answer="X", options="").replace('"X"', "value.X")
    (tmp_path / "script.py").write_text(f"FOLDER = {str(file.parent)!r}\n{how}{text}")
    server = start("-m", "aioflask", "--app", "script", "run", "--debug", "--port", "0")
    server.shows("one")

    def save(text: str) -> None:
        starts = server.output.count("Starting again")
        file.write_text(text)

        # Again and again, as the supervisor is told of new modules after a moment.
        def noticed() -> t.Any:
            os.utime(file)
            return server.output.count("Starting again") > starts

        server.until(noticed)

    save("X = 'two of them'\n")
    server.shows("two of them")
    assert f"{file}. Starting again." in server.output
    save("X = 'three' +\n")
    server.shows("SyntaxError")
    save("X = 'four of them'\n")  # One that could not be loaded is still watched.
    server.shows("four of them")


def test_without_a_script_it_serves_without_the_reloader(tmp_path: Path) -> None:
    text = SCRIPT.format(answer="hello", options=", debug=True")
    server = Server(tmp_path, "-", stdin=text)
    try:
        server.shows("hello")
    finally:
        server.stop()
    assert " * No reloader: this Python was not started with a script." in server.output


def test_a_script_that_fails_at_first_ends_the_supervisor(start: t.Any, tmp_path: Path) -> None:
    text = SCRIPT.format(answer="hello", options=", debug=True")
    stop = "    if __import__('os').environ.get('WERKZEUG_RUN_MAIN'): raise SystemExit(7)\n"
    (tmp_path / "script.py").write_text(text.replace("    app.run", stop + "    app.run"))
    assert start("script.py").ends() == 7


def test_https_with_a_certificate_made_up_now(start: t.Any, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    (tmp_path / "script.py").write_text(
        SCRIPT.format(answer="safe", options=", ssl_context='adhoc'")
    )
    server = start("script.py")
    assert server.address[0] == "https"
    assert server.get() == (200, "safe from main")


def test_https_with_an_ssl_context(start: t.Any, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from werkzeug.serving import make_ssl_devcert

    make_ssl_devcert(str(tmp_path / "own"), host="localhost")
    head = "import ssl\nctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
    head += "ctx.load_cert_chain('own.crt', 'own.key')\n"
    text = SCRIPT.format(answer="safe", options=", ssl_context=ctx")
    (tmp_path / "script.py").write_text(head + text)
    assert start("script.py").get() == (200, "safe from main")


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"127.0.0.1:{port}: another program.*--port 5001"):
            serving.run_app(Flask(__name__), "127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "advice"),
    [
        ("127.0.0.1", 70000, "from 0"),
        ("192.0.2.1", 0, "an address of this machine"),
    ],
)
def test_an_address_that_cannot_be_used_is_said(host: str, port: int, advice: str) -> None:
    with pytest.raises(SystemExit, match=advice):
        serving.run_app(Flask(__name__), host, port)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"threaded": False}, "side by side"),
        ({"processes": 4}, "aioflask run --workers"),
        ({"workers": 4}, "aioflask run --workers"),
        ({"request_handler": object}, "asgi_app"),
        ({"static_files": {"/": "x"}}, "static_folder"),
    ],
)
def test_an_option_of_werkzeugs_server_is_refused_with_advice(
    options: dict[str, t.Any], advice: str
) -> None:
    with pytest.raises(ValueError, match=advice):
        serving.run_app(Flask(__name__), "127.0.0.1", 0, **options)


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(TypeError, match=r"'acces_log'\. Did you mean 'access_log'"):
        serving.run_app(Flask(__name__), "127.0.0.1", 0, acces_log=False)
    with pytest.raises(TypeError, match=r"'reload'\. Use 'use_reloader'"):
        serving.run_app(Flask(__name__), "127.0.0.1", 0, reload=True)


FAILING = """\
from aioflask import Flask

app = Flask(__name__)

@app.get("/")
def plain():
    raise LookupError("a bug")

@app.get("/async")
async def coroutine():
    raise LookupError("a bug")

@app.get("/setting")
def setting():
    return str(app.config["PROPAGATE_EXCEPTIONS"])

if __name__ == "__main__":
    app.run(port=0{options})
    print("afterwards", app.config["PROPAGATE_EXCEPTIONS"])
"""


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", ["/", "/async"])
def test_errors_can_be_left_to_a_debugger_from_outside(
    start: t.Any, tmp_path: Path, debug: bool, path: str
) -> None:
    options = f", debug={debug}, use_reloader=False, passthrough_errors=True"
    (tmp_path / "script.py").write_text(FAILING.format(options=options))
    server = start("script.py")
    assert server.get(path) == (500, "Internal Server Error")  # The server's own words.
    assert server.get("/setting") == (200, "True")
    # The server saw it, and the app did not answer it.
    assert "Exception in ASGI application" in server.output
    assert "LookupError: a bug" in server.output
    server.process.send_signal(signal.SIGINT)
    assert server.ends() == 0
    assert "afterwards None" in server.output


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ("", "127.0.0.1 http"),
        (", passthrough_errors=False", "127.0.0.1 http"),
        (", proxy_headers=True", "6.6.6.6 https"),
    ],
)
def test_headers_of_a_proxy_are_believed_when_asked(
    start: t.Any, tmp_path: Path, options: str, seen: str
) -> None:
    text = "from aioflask import request\n" + SCRIPT.format(answer="", options=options)
    shown = 'request.remote_addr + " " + request.scheme'
    text = text.replace('"" + app.config.get("SUFFIX", "")', shown)
    (tmp_path / "script.py").write_text(text)
    headers = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
    url = "{}://127.0.0.1:{}/".format(*start("script.py").address)
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        assert response.read().decode() == seen


@pytest.mark.anyio
async def test_run_on_a_running_loop_says_how_to_serve_there() -> None:
    with pytest.raises(RuntimeError, match=r"await uvicorn.Server\(uvicorn.Config\(app\)\)"):
        serving.run_app(Flask(__name__), "127.0.0.1", 0)


def test_the_reloader_watches_sources_and_leaves_out_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = ["app.py", "package/views.py", "elsewhere/library.py", "more/a.toml", "more/b/c"]
    unseen = ["env/lib/x.py", "node_modules/x.py", ".tox/x.py", "__pycache__/x.py", "made.py"]
    for name in [*seen, *unseen, "env/pyvenv.cfg", "settings.toml", "notes.txt", "more/.git/x"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path[1:], str(tmp_path / "elsewhere")])
    extra = str(tmp_path / "settings.toml")
    files = [extra, str(tmp_path / "gone.toml"), str(tmp_path / "more")]
    times = reloader._times(files, ["*/made.py"])
    below = {name for name in times if name.startswith(str(tmp_path))}
    assert below == {extra, *(str(tmp_path / name) for name in seen)}
    assert not [name for name in times if "site-packages" in name]


def test_requests_wait_while_the_server_starts_again(start: t.Any, tmp_path: Path) -> None:
    text = SCRIPT.format(answer="one", options=", debug=True")
    (tmp_path / "script.py").write_text(text)
    server = start("script.py")
    server.shows("one")
    (tmp_path / "script.py").write_text("import time\ntime.sleep(1)\n" + text)
    server.until(lambda: "Starting again" in server.output)
    assert server.get() == (200, "one from main")
