"""Dependencies of both colours: order, cache, cleaning up, errors, overrides."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest

from aioflask import Flask, Response, abort, g, request
from aioflask.testing import FlaskClient
from aioflask.typed import Depends, Header, override
from tests.typed.models import views

SOURCE = """
def first(q: int = 1):
    log.append("first")
    try:
        yield q
    except Exception as error:
        log.append(type(error).__name__)
        raise
    finally:
        log.append("first ends")

def second(one: Annotated[int, Depends(first)], token: Annotated[str, Header()] = "none"):
    log.append("second")
    try:
        yield f"{one} {token}"
    finally:
        log.append("second ends")

def call(one: Annotated[int, Depends(first)]):
    log.append("call")
    return one + 1

class Both:
    def __init__(self, one: Annotated[int, Depends(call)], two: Annotated[str, Depends(second)]):
        self.text = f"{one} {two}"

@app.get("/")
def view(both: Annotated[Both, Depends()], one: Annotated[int, Depends(first)], fail: str = ""):
    log.append("view")
    if fail == "abort":
        abort(409)
    if fail == "raise":
        raise ValueError("of the view")
    return {"text": both.text, "one": one}

@app.get("/twice")
def twice(a: Annotated[int, Depends(call)], b: Annotated[int, Depends(call, use_cache=False)]):
    return {"sum": a + b}
"""


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture(params=["plain", "async", "plain views", "async views"])
def client(request: pytest.FixtureRequest, log: list[str]) -> FlaskClient:
    app = Flask("dependencies", static_folder=None)
    colour = request.param
    source = SOURCE
    if colour == "async":
        source = source.replace("    def __init__", "    DEF __init__")
    if colour == "plain views":  # and dependencies that are not
        for name in ("first", "second", "call"):
            source = source.replace(f"\ndef {name}", f"\nasync def {name}")
        colour = "plain"
    elif colour == "async views":
        for name in ("view", "twice"):
            source = source.replace(f"\ndef {name}", f"\nasync def {name}")
        colour = "plain"
    if colour == "async":
        source = source.replace("\ndef ", "\nasync def ").replace("DEF", "def")
        colour = "plain"

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        log.append("teardown")

    views(colour, source, app=app, log=log, Depends=Depends, Header=Header, abort=abort)
    return app.test_client()


def test_the_innermost_is_called_first_and_each_once(client: FlaskClient, log: list[str]) -> None:
    response = client.get("/?q=5", headers={"Token": "t"})
    assert response.get_json() == {"text": "6 5 t", "one": 5}
    assert log == ["first", "call", "second", "view", "second ends", "first ends", "teardown"]


def test_use_cache_false_calls_again(client: FlaskClient, log: list[str]) -> None:
    assert client.get("/twice?q=5").get_json() == {"sum": 12}
    assert log.count("call") == 2
    assert log.count("first") == 1


@pytest.mark.parametrize(("fail", "status", "error"),
                         [("abort", 409, "Conflict"), ("raise", 500, "ValueError")])  # fmt: skip
def test_errors_of_the_view_are_raised_at_the_yield(
    client: FlaskClient, log: list[str], fail: str, status: int, error: str
) -> None:
    assert client.get(f"/?fail={fail}").status_code == status
    assert log[4:] == ["second ends", error, "first ends", "teardown"]


def test_wrong_parameters_of_a_dependency_are_told_together(
    client: FlaskClient, log: list[str]
) -> None:
    response = client.get("/?q=x&fail=a&fail=b")
    assert response.status_code == 422
    errors = response.get_json(force=True)["errors"]
    assert {error["pointer"] for error in errors} == {"#/q", "#/fail"}
    assert log == ["teardown"]


def test_what_was_begun_ends_when_something_else_is_wrong(
    client: FlaskClient, log: list[str]
) -> None:
    assert client.get("/?fail=a&fail=b").status_code == 422
    assert log[-4:] == ["second ends", "RequestValidationError", "first ends", "teardown"]
    assert "view" not in log


def test_overrides_for_tests(client: FlaskClient, log: list[str]) -> None:
    app = client.application
    first = _dependency(app, "first")

    def fake(q: int = 0) -> Iterator[int]:
        log.append("fake")
        yield q * 100
        log.append("fake ends")

    with override(app, first, fake):
        assert client.get("/?q=2").get_json()["one"] == 200
        assert log == ["fake", "call", "second", "view", "second ends", "fake ends", "teardown"]
        assert client.get("/?q=x").status_code == 422
    assert client.get("/?q=2").get_json()["one"] == 2


def _dependency(app: Flask, name: str) -> Any:
    return app.view_functions["view"].__globals__[name]


# --- what may go wrong ----------------------------------------------------------------------------
@pytest.fixture
def app() -> Flask:
    return Flask("faults", static_folder=None)


def test_a_dependency_refuses(app: Flask) -> None:
    def admin(token: Annotated[str, Header()] = "") -> str:
        if token != "admin":
            abort(403)
        return token

    @app.get("/")
    async def view(_: Annotated[str, Depends(admin)], q: int) -> dict[str, int]:
        return {"q": q}

    client = app.test_client()
    assert client.get("/?q=wrong").status_code == 403  # Before what else is wrong is told.
    assert client.get("/?q=wrong", headers={"Token": "admin"}).status_code == 422
    assert client.get("/?q=1", headers={"Token": "admin"}).get_json() == {"q": 1}


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_an_error_after_the_yield_is_a_500(app: Flask, colour: str, caplog: Any) -> None:
    source = """
def broken():
    yield 1
    raise RuntimeError("commit failed")

def outer(one: Annotated[int, Depends(broken)]):
    yield one
    log.append("outer ends")

@app.get("/")
def view(one: Annotated[int, Depends(outer)]):
    return {"one": one}
"""
    log: list[str] = []
    views(colour, source, app=app, Depends=Depends, log=log)
    assert app.test_client().get("/").status_code == 500
    assert log == ["outer ends"]
    assert "commit failed" in caplog.text


def test_error_handlers_see_an_error_after_the_yield(app: Flask) -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise RuntimeError("commit failed")

    @app.errorhandler(RuntimeError)
    def explain(error: RuntimeError) -> tuple[str, int]:
        return str(error), 409

    @app.get("/")
    async def view(one: Annotated[int, Depends(broken)]) -> str:
        return "made"

    response = app.test_client().get("/")
    assert (response.status_code, response.text) == (409, "commit failed")


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_generators_that_do_not_yield_once(app: Flask, colour: str, caplog: Any) -> None:
    source = """
def none():
    if False:
        yield

def two():
    yield 1
    yield 2

@app.get("/none")
def view_none(value: Annotated[int, Depends(none)]):
    return "never"

@app.get("/two")
def view_two(value: Annotated[int, Depends(two)]):
    return "made"
"""
    views(colour, source, app=app, Depends=Depends)
    client = app.test_client()
    assert client.get("/none").status_code == 500
    assert "none() ended without a yield" in caplog.text
    assert client.get("/two").status_code == 500
    assert "two() yielded a second time" in caplog.text


def test_a_generator_may_swallow_the_error_which_is_answered_all_the_same(app: Flask) -> None:
    def quiet() -> Iterator[int]:
        try:
            yield 1
        except ValueError:
            pass

    @app.get("/")
    def view(one: Annotated[int, Depends(quiet)]) -> str:
        raise ValueError

    assert app.test_client().get("/").status_code == 500


def test_a_stream_keeps_its_dependencies(app: Flask) -> None:
    log: list[str] = []

    async def session() -> AsyncIterator[str]:
        yield "open"
        log.append("closed")

    @app.get("/")
    async def view(session: Annotated[str, Depends(session)]) -> Response:
        from aioflask import stream_with_context

        async def parts() -> AsyncIterator[str]:
            yield session
            log.append("streamed")

        return Response(stream_with_context(parts()))

    assert app.test_client().get("/").text == "open"
    assert log == ["streamed", "closed"]


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_a_generator_keeps_its_dependencies_without_being_asked_to(app: Flask, colour: str) -> None:
    log: list[str] = []
    source = """
def session():
    yield "open"
    log.append("closed")

@app.get("/")
def view(session: Annotated[str, Depends(session)]):
    yield session
    yield request.path
    log.append("streamed")
"""
    views(colour, source, app=app, Depends=Depends, log=log, request=request)
    assert app.test_client().get("/").text == "open/"
    assert log == ["streamed", "closed"]


@pytest.mark.anyio
async def test_cancelled_requests_clean_up(app: Flask) -> None:
    log: list[str] = []

    async def resource() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await anyio.sleep(0.01)
            log.append("closed")

    @app.get("/")
    async def view(one: Annotated[int, Depends(resource)]) -> str:
        log.append("waiting")
        await anyio.sleep(30)
        return "never"

    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
             "path": "/", "raw_path": b"/", "query_string": b"", "headers": [(b"host", b"a")],
             "scheme": "http", "server": ("a", 80), "client": None, "root_path": ""}  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None: ...

    with anyio.move_on_after(0.2):
        await app(scope, receive, send)
    assert log == ["waiting", "closed"]


def test_they_take_variables_of_the_rule(app: Flask) -> None:
    def find(id: int, name, q: int = 0) -> list[Any]:  # type: ignore[no-untyped-def]
        return [id, name, q]

    @app.get("/<name>/<int:id>")
    async def view(
        id: int, name: str, found: Annotated[list[Any], Depends(find)]
    ) -> dict[str, Any]:
        return {"found": found}

    @app.get("/<name>", defaults={"id": 7})
    def other(id: int, name: str, found: Annotated[list[Any], Depends(find)]) -> dict[str, Any]:
        return {"found": found}

    client = app.test_client()
    with override(app, find, lambda id, name: [name, id]):
        assert client.get("/tea/3").get_json() == {"found": ["tea", 3]}
    assert client.get("/tea/3?q=1&id=9").get_json() == {"found": [3, "tea", 1]}
    assert client.get("/tea").get_json() == {"found": [7, "tea", 0]}


def test_they_see_the_request_and_g(app: Flask) -> None:
    def from_request() -> str:
        g.seen = request.path
        return request.path

    @app.get("/here")
    async def view(path: Annotated[str, Depends(from_request)]) -> dict[str, str]:
        return {"path": path, "g": g.seen}

    assert app.test_client().get("/here").get_json() == {"path": "/here", "g": "/here"}


def test_plain_ones_of_an_async_view_are_off_the_loop_and_on_one_thread(app: Flask) -> None:
    threads: list[str] = []

    def connection() -> Iterator[int]:
        threads.append(threading.current_thread().name)
        yield 1
        threads.append(threading.current_thread().name)

    @app.get("/")
    async def view(one: Annotated[int, Depends(connection)]) -> dict[str, str]:
        return {"loop": threading.current_thread().name}

    loop = app.test_client().get("/").get_json()["loop"]
    assert len(threads) == 2
    assert threads[0] == threads[1] != loop


def test_a_transaction_is_committed_or_rolled_back(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with sqlite3.connect(path) as setup:
        setup.execute("CREATE TABLE notes (text TEXT)")
    setup.close()

    def connection() -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(path, check_same_thread=False)
        try:
            with connection:  # Commits, or rolls back for an error.
                yield connection
        finally:
            connection.close()

    @app.post("/<text>")
    def add(text: str, db: Annotated[sqlite3.Connection, Depends(connection)]) -> str:
        db.execute("INSERT INTO notes VALUES (?)", [text])
        if text == "bad":
            abort(400)
        return "added"

    @app.get("/")
    def notes(db: Annotated[sqlite3.Connection, Depends(connection)]) -> list[str]:
        return [text for (text,) in db.execute("SELECT text FROM notes")]

    client = app.test_client()
    assert client.post("/good").status_code == 200
    assert client.post("/bad").status_code == 400
    assert client.get("/").get_json() == ["good"]
