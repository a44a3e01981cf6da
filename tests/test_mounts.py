"""`app.mount`: other applications below a prefix, through every door."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import Client, create_environ

from aioflask import ASGIApp, Flask, WSGIApp, request, url_for


def legacy(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr((environ["SCRIPT_NAME"], environ["PATH_INFO"])).encode()]


def make_app(prefix: str = "/legacy") -> Flask:
    app = Flask(__name__, static_folder=None)
    hooked: list[str] = []
    app.before_request(lambda: hooked.append(request.path))
    app.extensions["hooked"] = hooked

    @app.get("/")
    async def index() -> str:
        return "index"

    @app.get("/legacy/new")
    def new() -> str:
        return "new"

    @app.get("/legacy/slash/")
    def slash() -> str:
        return "slash"

    @app.get("/<path:path>")
    async def page(path: str) -> str:
        return f"page {path}"

    app.mount(prefix, WSGIApp(legacy))
    return app


PATHS = [
    ("/", "index"),
    ("/legacy/new", "new"),
    ("/legacy/old", "('/legacy', '/old')"),
    ("/legacy", "('/legacy', '')"),
    ("/legacy/", "('/legacy', '/')"),
    ("/legacyv2", "page legacyv2"),
    ("/other", "page other"),
]


@pytest.mark.parametrize(("path", "text"), PATHS)
def test_the_longer_word_wins(path: str, text: str) -> None:
    app = make_app()
    assert app.test_client().get(path).text == text
    assert Client(app).get(path).text == text
    assert len(app.extensions["hooked"]) == 2 * (not text.startswith("("))


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "text"), PATHS)
async def test_the_same_by_asgi_below_a_root_path(path: str, text: str) -> None:
    async with make_app().async_client(root_path="/root") as client:
        got = (await client.get(path)).text
    assert got == text.replace("'/legacy'", "'/root/legacy'")


def test_at_the_root_it_gets_what_no_rule_matches() -> None:
    app = Flask(__name__, static_folder=None)
    app.get("/new")(lambda: "new")
    app.mount("/", WSGIApp(legacy))
    for client in (app.test_client(), Client(app)):
        assert client.get("/new").text == "new"
        assert client.get("/old").text == "('', '/old')"
        assert client.post("/new").text == "('', '/new')"


def test_redirects_of_rules_below_the_prefix_stay() -> None:
    assert make_app().test_client().get("/legacy/slash").status_code == 308


def test_a_mounted_aioflask_app_builds_its_own_urls() -> None:
    inner = Flask("inner")

    @inner.route("/where", methods=["GET", "POST"])
    async def where() -> dict[str, Any]:
        return {"url": url_for("where"), "path": request.path, "body": len(request.get_data())}

    app = Flask(__name__)
    app.mount("/inner", inner)
    for client in (app.test_client(), Client(app)):
        answer = client.post("/inner/where", data=b"x" * 100_000)
        assert answer.json == {"url": "/inner/where", "path": "/where", "body": 100_000}


def test_any_asgi_application_is_mounted_under_wsgi_too() -> None:
    async def raw(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200})
        text = f"{scope['root_path']} {scope['path']}"
        await send({"type": "http.response.body", "body": text.encode()})

    app = Flask(__name__)
    app.mount("/raw", raw)
    assert app.test_client().get("/raw/x").text == "/raw /raw/x"
    assert Client(app).get("/raw/x").text == "/raw /raw/x"
    assert b"".join(ASGIApp(app)(create_environ("/raw/x"), lambda *a: print)) == b"/raw /raw/x"


@pytest.mark.anyio
async def test_a_websocket_below_the_prefix_is_handed_over() -> None:
    scopes: list[Any] = []

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        scopes.append(message["type"])

    app = Flask(__name__)
    app.mount("/ws", raw)
    await app({"type": "websocket", "path": "/ws/a", "headers": []}, receive, send)
    await app({"type": "websocket", "path": "/other", "headers": []}, receive, send)
    assert (scopes[0]["root_path"], scopes[1]) == ("/ws", "websocket.close")


def test_mistakes_are_told() -> None:
    app = Flask(__name__)
    for prefix in ("legacy", "/<name>", "//"):
        with pytest.raises(ValueError, match="a prefix is a path"):
            app.mount(prefix, WSGIApp(legacy))
    with pytest.raises(TypeError, match="WSGIApp"):
        app.mount("/legacy", legacy)  # type: ignore[arg-type]
    app.mount("/legacy/", WSGIApp(legacy))
    with pytest.raises(ValueError, match="already"):
        app.mount("/legacy", WSGIApp(legacy))
