"""The debugger in the browser: what fails is shown, and its console sees the failed request."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from aioflask import Flask
from aioflask.debug import Debugger
from tests.flow.doors import ask
from tests.live import SECONDS, Server

APP = """
from aioflask import Flask, g, request

app = Flask(__name__)


@app.before_request
def remember():
    g.user = "Ann"


@app.get("/plain/<int:number>")
def plain(number):
    raise ValueError(f"plain <{number}>")


@app.get("/async/<int:number>")
async def asynchronous(number):
    raise LookupError(f"async <{number}>")


@app.get("/late")
async def late():
    async def pieces():
        yield "begun"
        raise ValueError("in the middle")

    return pieces()


@app.get("/")
async def index():
    return "fine"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("debugged")
    (folder / "app.py").write_text(APP)
    command = ("-m", "aioflask", "run", "--debug", "--no-reload", "--port", "0")
    running = Server(folder, *command, WERKZEUG_DEBUG_PIN="123-456-789")
    yield running
    running.stop()


def request(server: Server, path: str, **headers: str) -> tuple[http.client.HTTPResponse, str]:
    _, port = server.address
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def ask_page(server: Server, cookie: str = "", **values: object) -> tuple[str, str]:
    """What the debugger's own pages answer, and the cookie that they set."""
    query = urlencode({"__debugger__": "yes", **values})
    response, text = request(server, f"/?{query}", **({"Cookie": cookie} if cookie else {}))
    return text, (response.getheader("Set-Cookie") or "").partition(";")[0]


def secret_and_frame(page: str) -> tuple[str, str]:
    """The page's secret, and the number of the frame of the view."""
    secret = re.search(r'SECRET = "(\w+)"', page)
    frames = re.findall(r'id="frame-(\d+)"', page)
    assert secret is not None
    return secret[1], frames[-1]


@pytest.mark.parametrize(
    ("path", "title"),
    [("/plain/1", "ValueError: plain &lt;1&gt;"), ("/async/2", "LookupError: async &lt;2&gt;")],
)
def test_an_exception_is_answered_with_its_traceback(server: Server, path: str, title: str) -> None:
    response, page = request(server, path)
    assert response.status == 500
    assert response.getheader("Content-Type") == "text/html; charset=utf-8"
    assert title in page
    assert "Werkzeug Debugger" in page
    # An `async def` view is awaited by `full_dispatch_request` itself.
    steps = ["dispatch_request", "plain"] if path.startswith("/plain") else ["asynchronous"]
    functions = re.findall(r'<code class="function">(\w+)</code>', page)
    assert functions == ["asgi_app", "full_dispatch_request", *steps]
    server.until(lambda: f"{title.partition(':')[0]}: " in server.output)


@pytest.mark.parametrize("path", ["/plain/1", "/async/2"])
def test_the_console_sees_the_request_that_failed(server: Server, path: str) -> None:
    secret, frame = secret_and_frame(request(server, path)[1])
    code = {"cmd": "print(number, request.path, g.user)", "s": secret, "frm": frame}
    import_them = code | {"cmd": "from aioflask import g, request"}
    wrong, no_cookie = ask_page(server, cmd="pinauth", pin="999-999-999", s=secret)
    assert ("false" in wrong, no_cookie) == (True, "")
    assert path not in ask_page(server, **code)[0]  # Not without the PIN.
    answer, cookie = ask_page(server, cmd="pinauth", pin="123-456-789", s=secret)
    assert '"auth": true' in answer
    ask_page(server, cookie, **import_them)
    assert f"{path[-1]} {path} Ann" in ask_page(server, cookie, **code)[0]


def test_its_own_files_and_console_are_served(server: Server) -> None:
    response, script = request(server, "/?__debugger__=yes&cmd=resource&f=debugger.js")
    assert (response.status, "function" in script) == (200, True)
    assert "Interactive Console" in request(server, "/console")[1]


def test_a_host_of_others_gets_no_console(server: Server) -> None:
    _, page = request(server, "/async/2", Host="example.org")
    assert "EVALEX = false" in page


def test_what_does_not_fail_passes(server: Server) -> None:
    response, text = request(server, "/")
    assert (response.status, text) == (200, "fine")
    assert request(server, "/nowhere")[0].status == 404


def test_an_exception_after_the_start_breaks_the_response_off(server: Server) -> None:
    with pytest.raises(http.client.IncompleteRead):
        request(server, "/late")
    assert request(server, "/")[1] == "fine"


@pytest.mark.parametrize("options", [(), ("--debug", "--no-debugger")])
def test_without_it_the_answer_tells_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "app.py").write_text(APP)
    running = Server(tmp_path, "-m", "aioflask", "run", *options, "--no-reload", "--port", "0")
    try:
        status, page = running.get("/plain/1")
        assert status == 500
        assert "plain &lt;1&gt;" not in page
        assert running.get("/console")[0] == 404
    finally:
        running.stop()


@pytest.mark.anyio
async def test_evalex_off_shows_the_traceback_alone() -> None:
    app = Flask(__name__)
    app.debug = True

    @app.get("/")
    async def view() -> str:
        raise ValueError("shown")

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    answer = await ask(Debugger(app, evalex=False), scope, [])
    assert (answer.status, "ValueError: shown" in answer.text) == (500, True)
    assert "EVALEX = false" in answer.text
    scope["path"] = "/console"
    assert (await ask(Debugger(app, evalex=False), scope, [])).status == 404
