"""The async client: httpx on the app, on the test's own loop, asyncio and trio."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aioflask import Flask, request, session
from aioflask.testing import ASGITransport, AsyncClient

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app() -> Flask:
    app = Flask("async_client_app")
    app.config.update(TESTING=True, SECRET_KEY="a secret")
    return app


class Door:
    """An ASGI app of the tests' own, which notes what it has seen."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.lifespan = "accept"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
        else:
            await getattr(self, scope["path"].strip("/"))(scope, receive, send)

    async def live(self, scope: Any, receive: Any, send: Any) -> None:
        if self.lifespan == "decline":
            raise NotImplementedError("no lifespan here")
        self.seen.append((await receive())["type"])
        if self.lifespan == "fail":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        scope["state"]["started"] = True
        await send({"type": "lifespan.startup.complete"})
        self.seen.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self, send: Any, status: int = 200) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def body(self, send: Any, data: bytes, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": more})

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        sizes = []
        while (message := await receive())["more_body"]:
            sizes.append(len(message["body"]))
        await self.start(send)
        await self.body(send, repr((scope.get("state"), sizes)).encode(), more=False)

    async def endless(self, scope: Any, receive: Any, send: Any) -> None:
        await self.start(send)
        number = 0
        try:
            while True:
                await self.body(send, b"%d\n" % number)
                number += 1
        finally:
            self.seen.append(number)

    async def step(self, scope: Any, receive: Any, send: Any) -> None:
        await self.start(send)
        await self.body(send, b"one")
        self.event = anyio.Event()
        await self.event.wait()
        await self.body(send, b"two", more=False)

    async def hang(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append("hanging")
        while (await receive())["type"] != "http.disconnect":
            pass
        self.seen.append("disconnected")

    async def boom(self, scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("from the app")

    async def broken(self, scope: Any, receive: Any, send: Any) -> None:
        await self.start(send)
        await self.body(send, b"half")
        raise LookupError("half way")

    async def early(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await self.start(send, 413)
        await self.body(send, b"", more=False)


def client_of(door: Door, **options: Any) -> AsyncClient:
    return AsyncClient(door, **options)  # type: ignore[arg-type]


@pytest.fixture
def door() -> Door:
    return Door()


async def test_an_app_answers_with_json_and_cookies(app: Flask) -> None:
    @app.post("/<name>")
    async def index(name: str) -> Any:
        session["count"] = session.get("count", 0) + 1
        return {
            "name": name,
            "json": request.get_json(),
            "q": request.args["q"],
            "url": request.base_url,
            "count": session["count"],
        }

    async with app.async_client() as client:
        for count in (1, 2):
            response = await client.post("/ä", params={"q": "ö"}, json=[1])
            assert response.json() == {
                "name": "ä",
                "json": [1],
                "q": "ö",
                "url": "http://localhost/ä",
                "count": count,
            }


async def test_a_plain_view_answers_too(app: Flask) -> None:
    app.add_url_rule("/", view_func=lambda: request.host)
    async with app.async_client(base_url="https://example.com") as client:
        assert (await client.get("/")).text == "example.com"


async def test_session_transaction(app: Flask) -> None:
    app.add_url_rule("/", view_func=lambda: str(session["value"]))
    async with app.async_client() as client:
        async with client.session_transaction() as stored:
            assert not stored
            stored["value"] = [1]
        assert (await client.get("/")).text == "[1]"
        async with client.session_transaction() as stored:
            assert stored["value"] == [1]


async def test_session_transaction_needs_a_session(app: Flask) -> None:
    app.secret_key = None
    async with app.async_client() as client:
        with pytest.raises(RuntimeError, match="Session backend did not open a session"):
            async with client.session_transaction():
                pass


async def test_an_async_generator_streams_and_is_closed(app: Flask) -> None:
    closed = []

    @app.get("/")
    async def index() -> Any:
        async def numbers() -> AsyncIterator[str]:
            try:
                for number in range(1_000_000):
                    await anyio.sleep(0)
                    yield f"{number}\n"
            finally:
                closed.append(True)

        return numbers()

    async with app.async_client() as client, client.stream("GET", "/") as response:
        assert await first_bytes(response) == b"0\n"
        assert not closed
    assert closed


async def first_bytes(response: Any) -> bytes:
    pieces = response.stream.__aiter__()
    try:
        return bytes(await anext(pieces))
    finally:
        await pieces.aclose()


async def test_the_block_runs_the_lifespan_and_hands_on_its_state(door: Door) -> None:
    async with client_of(door) as client:
        assert door.seen == ["lifespan.startup"]
        assert (await client.get("/echo")).text == "({'started': True}, [])"
    assert door.seen == ["lifespan.startup", "lifespan.shutdown"]


async def test_an_app_may_decline_the_lifespan(door: Door) -> None:
    door.lifespan = "decline"
    async with client_of(door) as client:
        assert (await client.get("/echo")).text == "(None, [])"


async def test_a_startup_that_fails_is_raised(door: Door) -> None:
    door.lifespan = "fail"
    with pytest.raises(RuntimeError, match="The app's startup failed: no database"):
        async with client_of(door):
            pytest.fail("the block was entered")


async def test_the_tests_own_exception_comes_out_as_it_is(door: Door) -> None:
    async def fail_inside() -> None:
        async with client_of(door) as client:
            await client.get("/echo")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_inside()
    assert door.seen[-1] == "lifespan.shutdown"


async def test_without_a_block_a_response_is_complete_at_once(door: Door) -> None:
    client = client_of(door)
    assert (await client.get("/echo")).text == "(None, [])"
    with pytest.raises(LookupError):
        await client.get("/boom")
    await client.aclose()


async def test_a_body_comes_in_pieces_of_64_kib(door: Door) -> None:
    async with client_of(door) as client:
        response = await client.post("/echo", content=b"x" * 150_000)
        assert response.text.endswith("[65536, 65536, 18928])")


async def test_a_response_is_read_while_it_is_produced(door: Door) -> None:
    async with client_of(door) as client, client.stream("GET", "/step") as response:
        pieces = []
        async for piece in response.aiter_raw():
            pieces.append(piece)
            door.event.set()
    assert pieces == [b"one", b"two"]


async def test_an_endless_response_is_held_back_and_closed(door: Door) -> None:
    async with client_of(door) as client:
        async with client.stream("GET", "/endless") as response:
            assert (await first_bytes(response)) == b"0\n"
            await anyio.sleep(0.01)
        assert door.seen[-1] <= 2 * 16


async def test_exceptions_of_the_app_are_raised_in_the_test(door: Door) -> None:
    async with client_of(door) as client:
        with pytest.raises(LookupError, match="from the app"):
            await client.get("/boom")
        with pytest.raises(LookupError, match="half way"):
            await client.get("/broken")


async def test_exceptions_may_stay_in_the_app(door: Door) -> None:
    async with client_of(door, raise_app_exceptions=False) as client:
        assert (await client.get("/boom")).status_code == 500
        assert (await client.get("/broken")).text == "half"


async def test_giving_up_on_a_request_disconnects(door: Door) -> None:
    async with client_of(door) as client:
        with anyio.move_on_after(0.01):
            await client.get("/hang")
        await anyio.sleep(0.01)
        assert door.seen[-2:] == ["hanging", "disconnected"]


async def test_a_body_that_fails_is_raised_in_the_test(door: Door) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError("in the body")

    async with client_of(door) as client:
        with pytest.raises(ZeroDivisionError, match="in the body"):
            await client.post("/hang", content=content())


async def test_a_body_that_is_not_read_is_closed(door: Door) -> None:
    closed = []

    async def content() -> AsyncIterator[bytes]:
        try:
            for _ in range(100):
                yield b"x" * 100_000
        finally:
            closed.append(True)

    async with client_of(door) as client:
        assert (await client.post("/early", content=content())).status_code == 413


async def test_requests_run_at_the_same_time(app: Flask) -> None:
    arrived = anyio.Event()

    @app.get("/wait")
    async def wait() -> str:
        await arrived.wait()
        return "waited"

    @app.get("/set")
    async def release() -> str:
        arrived.set()
        return "set"

    async with app.async_client() as client, anyio.create_task_group() as tasks:
        answers = []

        async def get(path: str) -> None:
            answers.append((await client.get(path)).text)

        tasks.start_soon(get, "/wait")
        await anyio.sleep(0.01)
        tasks.start_soon(get, "/set")
    assert sorted(answers) == ["set", "waited"]


async def test_one_block_at_a_time(door: Door) -> None:
    transport = ASGITransport(door)
    async with transport:
        with pytest.raises(RuntimeError, match="open already"):
            await transport.__aenter__()


def test_without_httpx_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text("raise ModuleNotFoundError('no httpx', name='httpx')\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[1])!r}]\n"
        "from aioflask import Flask\n"
        "app = Flask('x'); app.add_url_rule('/', view_func=lambda: 'plain')\n"
        "assert app.test_client().get('/').text == 'plain'\n"
        "app.async_client()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert "ModuleNotFoundError" in done.stderr and "pip install httpx" in done.stderr
