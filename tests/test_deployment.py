"""The pages on deployment, and the one on moving from Flask, do what they say.

Each page is walked from top to bottom. A block under a line such as "`shop.py`:" is a file and is
written. In a `console` block a line that begins with `$` is a command, and what follows it is what
it prints. A command that serves goes on until the next one, or the page's end; then SIGTERM has to
end it cleanly. `curl` asks it. Port 8000, and 80, stand for free ones, and folders such as /etc and
/run are in the test's own.
"""

from __future__ import annotations

import configparser
import http.client
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from werkzeug.serving import make_ssl_devcert

ROOT = Path(__file__).parents[1]
HOW_TO = ROOT / "docs/how-to"
SECONDS = 20.0
BIN = Path(sys.executable).parent
SERVERS = ["uvicorn", "gunicorn", "hypercorn", "granian", "waitress-serve"]
MOVED = re.compile(r"(?<![\w.])/(?=(?:etc|run|srv)/)")


# --- pages -------------------------------------------------------------------------------------


class File(NamedTuple):
    name: str
    text: str


class Command(NamedTuple):
    line: str
    prints: str


STEP = re.compile(
    r"(?:^`(?P<name>[^`\n]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


def steps(page: str) -> Iterator[File | Command]:
    """What a page of docs/how-to has to be written and run, in its order."""
    for match in STEP.finditer((HOW_TO / page).read_text("utf-8")):
        if match["name"]:
            yield File(match["name"], match["text"])
        elif match["kind"] == "console":
            for part in re.split(r"^\$ ", match["text"], flags=re.MULTILINE)[1:]:
                line, _, prints = part.partition("\n")
                yield Command(line, prints)


def files(page: str) -> dict[str, str]:
    """The files of a page, as they are at its end."""
    return {step.name: step.text for step in steps(page) if isinstance(step, File)}


def table(page: str, title: str) -> list[list[str]]:
    """The rows of the table under the line that begins with `title`, without their back quotes."""
    lines = iter((HOW_TO / page).read_text("utf-8").splitlines())
    next(line for line in lines if line.startswith(title))
    next(lines)
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")])
    assert rows
    return rows


SHOP = files("deployment/index.md")["shop.py"]


# --- programs ----------------------------------------------------------------------------------


def program(name: str) -> str:
    """The path of a program; those of Python packages are beside this interpreter."""
    if name == "python":
        return sys.executable
    found = BIN / name if (BIN / name).exists() else shutil.which(name)
    assert found, f"These tests need {name}: pip install -e '.[dev]', or apt-get install {name}"
    return str(found)


def environ(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLASK_", "WERKZEUG_"))}
    path = f"{BIN}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


def connect(address: Address) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address, SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(SECONDS)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    text: str


def ask(
    address: Address, path: str = "/", headers: dict[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request, and all of its answer."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", None if isinstance(address, str) else address[1]
    )
    connection.sock = connect(address)
    try:
        connection.request("POST" if body else "GET", path, body or None, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())
    finally:
        connection.close()


class Server:
    """A command that serves, in a process group of its own, with what it prints."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        address: Address,
        *,
        fd: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.command, self.address = command, address
        if fd is not None:
            command = ["bash", "-c", f'exec "$@" 3<&{fd}', "bash", *command]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            # gunicorn keeps a socket there.
            env=environ(HOME=str(folder), **(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            pass_fds=[] if fd is None else [fd],
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            self.lines.extend(stdout)

    @property
    def output(self) -> str:
        return f"$ {shlex.join(self.command)}\n" + "".join(self.lines)

    def until(self, check: Callable[[], Any]) -> Any:
        """Ask again and again until the answer is true, or fail with what was printed."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the server ended:\n{self.output}"
            try:
                if answer := check():
                    return answer
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)
        raise AssertionError(f"gave up waiting; the server printed:\n{self.output}")

    def listens(self) -> bool:
        connect(self.address).close()
        return True

    def ends(self) -> int:
        """Send SIGTERM, as systemd and containers do, and wait; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def ends_cleanly(self) -> None:
        """End it; it has to go by itself, with all of its processes, and complain of nothing."""
        try:
            status = self.ends()
            # multiprocessing's own helper hears of the end last.
            end, left = time.monotonic() + 5, True
            while left and time.monotonic() < end:
                time.sleep(0.01)
                left = self.has_processes()
        finally:
            self.gone()
        assert status in (0, -signal.SIGTERM), self.output
        assert not left, f"processes of it are left:\n{self.output}"
        assert "Traceback" not in self.output, self.output

    def has_processes(self) -> bool:
        """Whether one of its group is left; one that only waits to be reaped does not count."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, group, *_ = stat.read_text().rpartition(")")[2].split()
            except OSError:  # It ended this moment.
                continue
            if int(group) == self.process.pid and state not in "ZX":
                return True
        return False

    def gone(self) -> None:
        """Make sure that nothing of it is left."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._reader.join(SECONDS)


@contextmanager
def serving(
    line: str,
    folder: Path,
    address: Address,
    *,
    fd: int | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[Server]:
    """A server while it answers, ended cleanly afterwards."""
    name, *words = shlex.split(line)
    server = Server([program(name), *words], folder, address, fd=fd, env=env)
    try:
        server.until(server.listens)
        yield server
        if server.process.returncode is None:
            server.ends_cleanly()
    finally:
        server.gone()


# --- walking a page ----------------------------------------------------------------------------


class Walk:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.folder = folder / "home"
        self.ports = {"8000": free_port(), "80": free_port()}
        self.server: Server | None = None
        for name in ("home", "run/shop", "srv/shop", "etc/nginx"):
            (folder / name).mkdir(parents=True)

    def fit(self, text: str) -> str:
        """A page's text with ports and folders of ours."""
        text = text.replace("8000", str(self.ports["8000"]))
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.ports['80']};")
        return MOVED.sub(f"{self.root}/", text)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / self.fit(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.fit(text), "utf-8")
        return path

    def do(self, step: File | Command) -> None:
        if isinstance(step, File):
            self.write(*step)
            return
        line = self.fit(step.line)
        words = shlex.split(line)
        if words[0] in SERVERS or words == ["python", "serve.py"]:
            self.serve(line)
        elif words[0] == "curl":
            self.curl(words[1:], self.fit(step.prints))
        elif words[:2] == ["pip", "install"]:
            installed(words[2:])
        else:
            self.run(line, step.prints)

    def serve(self, line: str) -> None:
        self.stop()
        uds = self.root / "run/shop/shop.sock"
        own = str(uds) in line
        address: Address = str(uds) if own else ("127.0.0.1", self.ports["8000"])
        name, *words = shlex.split(line)
        self.server = Server([program(name), *words], self.folder, address)
        self.server.until(self.server.listens)

    def curl(self, words: list[str], prints: str) -> None:
        headers: dict[str, str] = {}
        while words[0] == "-H":
            name, _, value = words[1].partition(": ")
            headers[name] = value
            words = words[2:]
        (url,) = words
        found = re.fullmatch(r"http://127\.0\.0\.1(:\d+)?(/.*)", url)
        assert found, url
        port = int(found[1][1:]) if found[1] else self.ports["80"]
        assert self.server is not None
        # nginx takes a moment until it goes by its new configuration.
        seen: list[str] = []

        def as_printed() -> bool:
            seen[:] = [ask(("127.0.0.1", port), found[2], headers).text]
            return seen == [prints] or bool(found[1])

        self.server.until(as_printed)
        assert seen == [prints], self.server.output

    def run(self, line: str, prints: str) -> str:
        """Run a command to its end; what it wrote to its error stream."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=environ(),
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        assert not prints or done.stdout == prints, f"$ {line}\n{done.stdout}{done.stderr}"
        return done.stderr

    def stop(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.ends_cleanly()


@contextmanager
def walk(folder: Path) -> Iterator[Walk]:
    walker = Walk(folder)
    try:
        yield walker
        walker.stop()
    finally:
        if walker.server is not None:
            walker.server.gone()


def installed(requirements: list[str]) -> None:
    """What a page has installed by pip is there; nothing is fetched while tests run."""
    for requirement in requirements:
        name = requirement.partition("[")[0]
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.fail(f"This test needs {name}: pip install -e '.[test]'", pytrace=False)


PYTHON_PAGES = [
    "deployment/index.md",
    "deployment/uvicorn.md",
    "deployment/gunicorn-uvicorn.md",
    "deployment/hypercorn.md",
    "deployment/granian.md",
    "deployment/gunicorn.md",
    "deployment/waitress.md",
    "moving-from-flask.md",
    "extensions.md",
]


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_what_a_page_says_can_be_done(page: str, tmp_path: Path) -> None:
    with walk(tmp_path) as walker:
        if page.startswith("deployment/"):
            walker.write("shop.py", SHOP)
        for step in steps(page):
            walker.do(step)


OPTIONS = {
    "uvicorn": "uvicorn",
    "gunicorn-uvicorn": "gunicorn",
    "hypercorn": "hypercorn",
    "granian": "granian",
    "gunicorn": "gunicorn",
    "waitress": "waitress-serve",
}


@pytest.mark.parametrize("page", OPTIONS)
def test_servers_have_the_options_of_their_tables(page: str) -> None:
    """A table's option is one of the server, and a default in digits the one it shows."""
    command = [program(OPTIONS[page]), "--help"]
    text = subprocess.run(command, env=environ(COLUMNS="200"), capture_output=True, text=True)
    rows = table(f"deployment/{page}.md", "| option |")
    for options, *_ in rows:
        for option in options.split(", "):
            assert re.search(rf"{option}\b", text.stdout), option


def test_every_page_is_tested() -> None:
    pages = {page.removesuffix(".md").partition("/")[2] for page in PYTHON_PAGES} - {""}
    found = {page.stem for page in (HOW_TO / "deployment").glob("*.md")}
    assert found == pages | {"nginx", "container", "systemd"}


# --- the end of a process ----------------------------------------------------------------------

ENDS = table("deployment/index.md", "| command | running requests")
LEAVES = """
import atexit, os, pathlib

@app.after_request
async def tell(response):
    response.headers["X-Process"] = str(os.getpid())
    return response

atexit.register(lambda: pathlib.Path(f"left-{os.getpid()}").touch())
"""


def test_servers_end_as_the_table_says(tmp_path: Path) -> None:
    """All at once, since each of them waits most of the time."""
    with ThreadPoolExecutor(len(ENDS)) as pool:
        folders = [tmp_path / str(number) for number in range(len(ENDS))]
        for done in [
            pool.submit(end, row, folder) for row, folder in zip(ENDS, folders, strict=True)
        ]:
            done.result()


def end(row: list[str], folder: Path) -> None:
    command, patience, _, status, handlers = row
    walker = Walk(folder)
    slow = SHOP.replace("sleep(0.5)", "sleep(1)").replace("sleep(0.25)", "sleep(0.4)")
    walker.write("shop.py", slow + LEAVES)
    walker.write("serve.py", files("deployment/waitress.md")["serve.py"])
    address, line = ("127.0.0.1", walker.ports["8000"]), walker.fit(command.partition(", of")[0])
    name, *words = shlex.split(line)
    port = (
        []
        if name == "python" or "--listen" in line
        else {
            "uvicorn": ["--port", str(address[1])],
            "granian": ["--port", str(address[1])],
        }.get(name, ["--bind", f"127.0.0.1:{address[1]}"])
    )
    server = Server([program(name), *words, *port], walker.folder, address)
    try:
        process = server.until(lambda: ask(address).headers["X-Process"])
        with ThreadPoolExecutor(2) as pool:
            plain, stream = (
                pool.submit(ask, address, "/report"),
                pool.submit(ask, address, "/ticks"),
            )
            time.sleep(0.5)
            found = server.ends()
            if patience == "nothing":
                assert plain.exception() and stream.exception()
            else:
                assert (plain.result().text, stream.result().text) == ("done\n", "0\n1\n2\n")
        assert found == (-signal.SIGTERM if status == "SIGTERM" else int(status)), server.output
        left = (walker.folder / f"left-{process}").exists()
        assert left == (handlers == "yes"), server.output
    finally:
        server.gone()


LIMITED = [
    "uvicorn shop:app --port 8000 --timeout-graceful-shutdown 1",
    "gunicorn shop:app -b 127.0.0.1:8000 -k uvicorn_worker.UvicornWorker --graceful-timeout 1",
    "hypercorn asgi:shop:app --bind 127.0.0.1:8000 --graceful-timeout 1",
    "granian --interface asgi shop:app --port 8000 --workers-kill-timeout 1",
]


def test_what_is_late_is_let_go(tmp_path: Path) -> None:
    """A limit of one second ends a request of nine, and the server."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(late, line, tmp_path / line.split()[0]) for line in LIMITED]:
            done.result()


def late(line: str, folder: Path) -> None:
    walker = Walk(folder)
    walker.write("shop.py", SHOP.replace("sleep(0.25)", "sleep(3)"))
    address = ("127.0.0.1", walker.ports["8000"])
    name, *words = shlex.split(walker.fit(line))
    server = Server([program(name), *words], walker.folder, address)
    try:
        server.until(lambda: ask(address, "/health"))
        with ThreadPoolExecutor(1) as pool:
            stream = pool.submit(ask, address, "/ticks")
            time.sleep(0.3)
            start = time.monotonic()
            server.ends()
            assert time.monotonic() - start < 5, server.output
            assert stream.exception(), server.output
    finally:
        server.gone()


@pytest.mark.system
@pytest.mark.parametrize(
    "line",
    [
        "uvicorn shop:app --workers 2 --port 8000",
        "gunicorn shop:app -k uvicorn_worker.UvicornWorker --workers 2 --bind 127.0.0.1:8000",
    ],
)
def test_sighup_takes_new_code_and_answers_everybody(line: str, tmp_path: Path) -> None:
    def ask_as_a_proxy() -> str:
        try:
            return ask(address, "/health").text
        except ConnectionError:  # The process it had reached was ending. nginx asks the next one.
            return ask(address, "/health").text

    walker = Walk(tmp_path)
    shop = walker.write("shop.py", SHOP)
    address = ("127.0.0.1", walker.ports["8000"])
    with serving(walker.fit(line), walker.folder, address) as server:
        server.until(lambda: ask(address, "/health").text == "ok\n")
        shop.write_text(SHOP.replace('"ok', '"new'))
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 5
        seen = [ask_as_a_proxy()]
        while time.monotonic() < end:
            seen.append(ask_as_a_proxy())
        assert set(seen) == {"ok\n", "new\n"} and set(seen[-50:]) == {"new\n"}


@pytest.mark.system
def test_gunicorn_replaces_a_process_whose_loop_is_stuck(tmp_path: Path) -> None:
    walker = Walk(tmp_path)
    stuck = SHOP.replace('return "ok\\n"', 'time.sleep(30 if request.args else 0); return "ok\\n"')
    assert stuck != SHOP
    walker.write("shop.py", stuck)
    line = "gunicorn shop:app -k uvicorn_worker.UvicornWorker --timeout 1 --bind 127.0.0.1:8000"
    address = ("127.0.0.1", walker.ports["8000"])
    name, *words = shlex.split(walker.fit(line))
    server = Server([program(name), *words], walker.folder, address)
    try:
        server.until(lambda: ask(address, "/health").text == "ok\n")
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(address, "/health?stuck")
        server.until(lambda: ask(address, "/health").text == "ok\n")
        server.ends()
        assert "WORKER TIMEOUT" in server.output
    finally:
        server.gone()


# --- nginx -------------------------------------------------------------------------------------

NGINX = """
daemon off;
pid {root}/nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 100; }}
http {{
    access_log off;
    gzip on;
    types {{ text/css css; }}
    {temporary}
    include {root}/etc/nginx/conf.d/*.conf;
}}
"""
UVICORN = next(step.line for step in steps("deployment/nginx.md") if isinstance(step, Command))
KINDS = "client_body proxy fastcgi uwsgi scgi"


class NginxWalk(Walk):
    """A walk with an nginx that reads its configuration from the walker's own /etc."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.nginx: Server | None = None
        self.http = ("127.0.0.1", self.ports["80"])
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in KINDS.split())
        # Its workers have to reach what belongs to whoever runs the tests.
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(root=folder, user=user, temporary=temporary)
        (folder / "etc/nginx/nginx.conf").write_text(text)
        (folder / "srv/shop/static").mkdir()
        (folder / "srv/shop/static/style.css").write_text("body {}\n")

    def run(self, line: str, prints: str) -> str:
        assert line.startswith("nginx ")
        options = ["-p", str(self.root), "-c", str(self.root / "etc/nginx/nginx.conf")]
        if line == "nginx -s reload" and self.nginx is None:
            self.nginx = Server([program("nginx"), *options], self.root, self.http)
            self.nginx.until(self.nginx.listens)
            return ""
        name, *words = shlex.split(line)
        return super().run(shlex.join([program(name), *options, *words]), prints)

    def page(self, **replaced: str) -> None:
        """Do what the page says up to its first reload, with changes to its texts."""
        self.write("shop.py", SHOP)
        for step in steps("deployment/nginx.md"):
            parts = list(step)
            for old, new in replaced.items():
                parts = [part.replace(old, new) for part in parts]
            self.do(type(step)(*parts))
            if step[0] == "nginx -s reload":
                return


@contextmanager
def with_nginx(folder: Path) -> Iterator[NginxWalk]:
    walker = NginxWalk(folder)
    try:
        yield walker
        walker.stop()
        if walker.nginx is not None:
            assert walker.nginx.ends() == 0
    finally:
        for server in (walker.server, walker.nginx):
            if server is not None:
                server.gone()


@pytest.mark.system
def test_nginx_in_front(tmp_path: Path) -> None:
    with with_nginx(tmp_path) as walker:
        walker.write("shop.py", SHOP)
        for step in steps("deployment/nginx.md"):
            walker.do(step)


@pytest.mark.system
def test_nginx_serves_files_and_limits_bodies(tmp_path: Path) -> None:
    with with_nginx(tmp_path) as walker:
        walker.page()
        style = ask(walker.http, "/static/style.css")
        assert (style.text, style.headers["Content-Type"]) == ("body {}\n", "text/css")
        assert ask(walker.http, "/upload", body=b"x" * 10**7).text == '{"bytes":10000000}\n'
        assert ask(walker.http, "/upload", body=b"x" * (10 * 2**20 + 1)).status == 413
        walker.stop()
        assert ask(walker.http).status == 502


@pytest.mark.system
def test_nginx_does_tls(tmp_path: Path) -> None:
    certificate, key = make_ssl_devcert(str(tmp_path / "own"), host="localhost")
    with with_nginx(tmp_path) as walker:
        secure = f"listen 127.0.0.1:{walker.ports['80']} ssl;"
        secure += f" ssl_certificate {certificate}; ssl_certificate_key {key};"
        walker.page(**{"listen 80;": secure})
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(*walker.http, timeout=SECONDS, context=context)
        connection.request("GET", "/", headers={"Host": "shop.example"})
        told = json.load(connection.getresponse())
        connection.close()
    assert told == {"client": "127.0.0.1", "url": "https://shop.example/"}


@pytest.mark.system
@pytest.mark.parametrize("header", [', {"X-Accel-Buffering": "no"}', ""], ids=["told", "untold"])
def test_nginx_passes_a_stream_on_if_it_is_told_so(tmp_path: Path, header: str) -> None:
    with with_nginx(tmp_path) as walker:
        walker.page()
        assert SHOP.count(', {"X-Accel-Buffering": "no"}') == 1
        walker.write("shop.py", SHOP.replace(', {"X-Accel-Buffering": "no"}', header))
        walker.serve(walker.fit(UVICORN))
        start = time.monotonic()
        with connect(walker.http) as connection:
            connection.sendall(b"GET /ticks HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
            assert b"Content-Encoding: gzip" in connection.recv(10_000)
            first = time.monotonic() - start
        assert (first < 0.4) == bool(header), first


ECHO = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    text = (await receive())["text"]
    await send({"type": "websocket.send", "text": f"{scope['path']} {scope['client'][0]} {text}"})
    await receive()
"""


@pytest.mark.system
def test_nginx_lets_websockets_through(tmp_path: Path) -> None:
    with with_nginx(tmp_path) as walker:
        walker.write("echo.py", ECHO)
        walker.page(**{"uvicorn shop:app": "uvicorn --lifespan off echo:app"})
        with connect(walker.http) as connection:
            connection.sendall(
                b"GET /ws HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            seen = b""
            while b"\r\n\r\n" not in seen:
                seen += connection.recv(10_000)
            assert b" 101 " in seen.partition(b"\r\n")[0]
            connection.sendall(b"\x81\x82\0\0\0\0hi")  # a text, masked with zeros
            assert connection.recv(100)[2:] == b"/ws 127.0.0.1 hi"


SOCKETS = dict(table("deployment/nginx.md", "| server | its socket"))
WITH_SOCKET = {
    "uvicorn": "uvicorn {} shop:app",
    "gunicorn": "gunicorn {} shop:app",
    "hypercorn": "hypercorn {} asgi:shop:app",
    "granian": "granian --interface asgi {} shop:app",
    "waitress": "waitress-serve {} shop:app",
}


@pytest.mark.system
@pytest.mark.parametrize("server", SOCKETS)
def test_other_servers_listen_on_a_socket_for_nginx(server: str, tmp_path: Path) -> None:
    with with_nginx(tmp_path) as walker:
        line = WITH_SOCKET[server].format(SOCKETS[server])
        walker.page(**{UVICORN: line})
        path = tmp_path / "run/shop/shop.sock"
        assert path.stat().st_mode & 0o006 == 0o006, oct(path.stat().st_mode)
        assert ask(walker.http, "/health").text == "ok\n"


# --- systemd -----------------------------------------------------------------------------------

UNIT = "/etc/systemd/system/shop.service"


class Unit(configparser.RawConfigParser):
    """A unit's file, as far as ours have it."""

    def __init__(self, text: str) -> None:
        super().__init__(strict=False, interpolation=None)
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read_string(text)


class Machine(Walk):
    """A walk on a machine where systemd does not run: units are checked, and their lines run."""

    NOT_HERE = ("systemctl", "journalctl", "useradd")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        program("systemd-analyze")
        (folder / "srv/shop/.venv").symlink_to(sys.prefix, target_is_directory=True)
        (folder / "srv/shop/shop.py").write_text(SHOP)

    def run(self, line: str, prints: str) -> str:
        if line.split()[0] in self.NOT_HERE:
            return ""
        errors = super().run(line, prints)
        # It tells a mistake in a unit, and is content all the same.
        assert "shop" not in errors, errors
        return errors

    def unit(self, *names: str) -> Unit:
        texts = [self.fit(files("deployment/systemd.md")[name]) for name in names]
        return Unit("\n".join(texts))

    def environ(self, unit: Unit) -> dict[str, str]:
        """Environment and EnvironmentFile of a unit."""
        words = shlex.split(unit["Service"]["Environment"])
        words += shlex.split(Path(unit["Service"]["EnvironmentFile"]).read_text())
        return dict(word.split("=", 1) for word in words)


@pytest.mark.system
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for step in steps("deployment/systemd.md"):
        machine.do(step)


def exposure(unit: Path) -> float:
    command = [program("systemd-analyze"), "security", "--offline=true", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    found = re.search(r"exposure level for .*?: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.system
def test_the_units_hardening_is_what_the_page_says(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    text = files("deployment/systemd.md")[UNIT]
    assert exposure(machine.write(UNIT, text)) < 3
    bare = re.sub(r"(?s)NoNewPrivileges.*?(?=\[Install)", "", text)
    assert bare != text
    assert exposure(machine.write(UNIT, bare)) > 9


@pytest.mark.system
def test_the_service_starts_and_ends(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for name, text in files("deployment/systemd.md").items():
        machine.write(name, text)
    unit = machine.unit(UNIT)
    service = unit["Service"]
    assert (
        service["TimeoutStopSec"] == "30"
        and "--timeout-graceful-shutdown 25" in service["ExecStart"]
    )
    address = str(tmp_path / "run/shop/shop.sock")
    folder = Path(service["WorkingDirectory"])
    with serving(service["ExecStart"], folder, address, env=machine.environ(unit)):
        told = ask(address, headers={"X-Forwarded-For": "203.0.113.7", "Host": "shop.example"})
        assert told.text == '{"client":"203.0.113.7","url":"http://shop.example/"}\n'


@pytest.mark.system
def test_requests_wait_in_a_socket_that_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for name, text in files("deployment/systemd.md").items():
        machine.write(name, text)
    unit = machine.unit(UNIT, "/etc/systemd/system/shop.service.d/socket.conf")
    address = machine.unit("/etc/systemd/system/shop.socket")["Socket"]["ListenStream"]
    line, folder = unit["Service"]["ExecStart"], Path(unit["Service"]["WorkingDirectory"])
    assert "--fd 3" in line
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(address)
        listener.listen(100)
        with serving(line, folder, address, fd=listener.fileno(), env=machine.environ(unit)):
            assert ask(address, "/health").text == "ok\n"
        waiting = pool.submit(ask, address, "/health")
        time.sleep(0.2)
        assert not waiting.done()
        with serving(line, folder, address, fd=listener.fileno(), env=machine.environ(unit)):
            assert waiting.result().text == "ok\n"


# --- a container -------------------------------------------------------------------------------


class Image:
    """A Dockerfile's lines, done in a folder in place of an image."""

    def __init__(self, context: Path, root: Path) -> None:
        self.context, self.root = context, root
        self.folder = root
        self.env: dict[str, str] = {"PYTHONPATH": ""}
        self.command: list[str] = []
        self.check: list[str] = []
        self.user = "root"

    def build(self, text: str) -> None:
        for line in filter(None, text.splitlines()):
            word, _, rest = line.partition(" ")
            getattr(self, f"do_{word.lower()}")(rest)

    def do_from(self, image: str) -> None:
        assert re.fullmatch(r"python:3\.1\d-slim", image)
        subprocess.run([sys.executable, "-m", "venv", self.root / "venv"], check=True, timeout=50)
        self.env["PATH"] = f"{self.root / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"

    def do_env(self, rest: str) -> None:
        self.env |= dict(word.split("=", 1) for word in shlex.split(rest))

    def do_workdir(self, path: str) -> None:
        self.folder = self.root / path.lstrip("/")
        self.folder.mkdir(parents=True)

    def do_copy(self, rest: str) -> None:
        source, target = rest.split()
        if (self.context / source).is_dir():
            shutil.copytree(self.context / source, self.folder / target)
        else:
            shutil.copy(self.context / source, self.folder / target)

    def do_run(self, line: str) -> None:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def do_user(self, user: str) -> None:
        self.user = user

    def do_expose(self, port: str) -> None:
        assert port.isdigit()

    def do_healthcheck(self, rest: str) -> None:
        self.check = json.loads(rest.partition(" CMD ")[2])

    def do_cmd(self, rest: str) -> None:
        self.command = json.loads(rest)

    def healthy(self) -> bool:
        command = [str(self.root / "venv/bin" / self.check[0]), *self.check[1:]]
        done = subprocess.run(command, env=self.env, capture_output=True, timeout=20)
        return done.returncode == 0


@pytest.fixture
def context(tmp_path: Path) -> Walk:
    """The folder from which an image is built, with a wheel of this checkout."""
    walker = Walk(tmp_path)
    walker.write("shop.py", SHOP)
    walker.write("Dockerfile", files("deployment/container.md")["Dockerfile"])
    (line,) = [step[0] for step in steps("deployment/container.md") if step[0].startswith("pip ")]
    walker.run(line.replace("/path/to/aioflask", str(ROOT)), "")
    assert list((walker.folder / "wheels").glob("aioflask-*.whl"))
    return walker


@pytest.mark.system
@pytest.mark.timeout(900)
def test_the_lines_of_the_dockerfile_work(context: Walk) -> None:
    image = Image(context.folder, context.root / "image")
    image.build((context.folder / "Dockerfile").read_text())
    user, _, group = image.user.partition(":")
    assert int(user) > 0 and int(group) > 0
    name, *words = image.command
    assert words[1:3] == ["--host", "0.0.0.0"]
    words[2] = "127.0.0.1"
    line = shlex.join([str(image.root / "venv/bin" / name), *words])
    before = set(image.folder.rglob("*"))
    address = ("127.0.0.1", context.ports["8000"])
    assert not image.healthy()
    with serving(line, image.folder, address, env=image.env) as server:
        context.server = server
        for step in steps("deployment/container.md"):
            if step[0].startswith("curl"):
                context.do(step)
        assert image.healthy()
    assert not image.healthy()
    assert set(image.folder.rglob("*")) == before, "The app's folder was written to."
    if docker_runs():
        built_and_run(context)


def docker_runs() -> bool:
    docker = shutil.which("docker")
    return (
        bool(docker) and not subprocess.run([str(docker), "info"], capture_output=True).returncode
    )


def built_and_run(context: Walk) -> None:
    """The page's own commands, where there is a daemon to take them."""
    lines = [step[0] for step in steps("deployment/container.md") if step[0].startswith("docker ")]
    build, run = [context.fit(line) for line in lines]
    subprocess.run(shlex.split(build), cwd=context.folder, check=True, timeout=600)
    address = ("127.0.0.1", context.ports["8000"])
    with serving(run, context.folder, address, env={"FLASK_SECRET_KEY": "secret"}) as server:
        server.until(lambda: ask(address, "/health").text == "ok\n")
