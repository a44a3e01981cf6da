"""Flask's, Django's and Bottle's applications mounted in ours: what they do alone, they do here.

`tests/legacy.py` has the applications. Every test goes through the async client, the test client
and two servers of their own processes, uvicorn by ASGI and gunicorn by WSGI.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urljoin

import anyio
import anyio.to_thread
import httpx
import pytest
import werkzeug.test

from aioflask import Flask
from tests.legacy import LEGACY, SLOW_SECONDS, make_site
from tests.live import Server

pytestmark = pytest.mark.anyio

# Not waitress: it sends the body that Django gives with an answer to HEAD, mounted or not.
SITE = "tests.legacy:make_site"
SERVERS = {
    "uvicorn": f"uvicorn --port 0 --factory {SITE}",
    "gunicorn": f"gunicorn --threads 10 --bind 127.0.0.1:0 --no-control-socket {SITE}()",
}


class Pieces(httpx.AsyncByteStream):
    """The pieces of a response that a thread iterates over."""

    def __init__(self, response: werkzeug.test.TestResponse) -> None:
        self.response = response
        self.iterator = response.iter_encoded()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await anyio.to_thread.run_sync(next, self.iterator, b""):
            yield piece

    async def aclose(self) -> None:
        await anyio.to_thread.run_sync(self.response.close)


class Plain(httpx.AsyncBaseTransport):
    """Has the test client send each request, from a thread."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        response = await anyio.to_thread.run_sync(self.send, request)
        fields = list(response.headers)
        return httpx.Response(response.status_code, headers=fields, stream=Pieces(response))

    def send(self, request: httpx.Request) -> werkzeug.test.TestResponse:
        return self.app.test_client(use_cookies=False).open(
            request.url.raw_path.decode(),
            str(request.url.join("/")),
            method=request.method,
            headers=request.headers.multi_items(),
            data=request.content or None,
        )


@pytest.fixture(params=LEGACY)
def legacy(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def site() -> Flask:
    return make_site()


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where each server serves the site."""
    servers = {
        name: Server(tmp_path_factory.mktemp(name), "-m", *command.split())
        for name, command in SERVERS.items()
    }
    try:
        yield {name: url_of(server) for name, server in servers.items()}
    finally:
        # As service managers do: gunicorn's handler of SIGINT may wait for its own thread.
        servers["gunicorn"].process.terminate()
        servers["gunicorn"].ends()
        for server in servers.values():
            server.stop()


def url_of(server: Server) -> str:
    pattern = r"http://127\.0\.0\.1:\d+"
    url: str = server.until(lambda: re.search(pattern, server.output))[0]
    return url


@pytest.fixture(params=["async client", "test client", *SERVERS])
async def client(
    request: pytest.FixtureRequest, site: Flask, urls: dict[str, str]
) -> AsyncIterator[httpx.AsyncClient]:
    if request.param == "async client":
        client: httpx.AsyncClient = site.async_client()
    elif request.param == "test client":
        client = httpx.AsyncClient(base_url="http://localhost", transport=Plain(site))
    else:
        client = httpx.AsyncClient(base_url=urls[request.param], timeout=20)
    async with client:
        yield client


async def test_hello_with_a_query_and_a_path_of_any_letters(
    client: httpx.AsyncClient, legacy: str
) -> None:
    answer = await client.get(f"/{legacy}/hello")
    assert (answer.status_code, answer.text) == (200, "Hello, World!")
    answer = await client.get(f"/{legacy}/hello", params={"name": "Zoë & 日本"})
    assert (answer.status_code, answer.text) == (200, "Hello, Zoë & 日本!")
    answer = await client.get(f"/{legacy}/greet/Zoë & 日本%25")
    assert (answer.status_code, answer.text) == (200, "Hello, Zoë & 日本%!")


async def test_urls_that_it_builds_have_the_prefix(client: httpx.AsyncClient, legacy: str) -> None:
    answer = await client.get(f"/{legacy}/where")
    url = str(answer.url)
    assert answer.json() == {"root": f"/{legacy}", "link": f"/{legacy}/greet/%C3%A9", "url": url}


async def test_a_redirect_leads_back_into_it(client: httpx.AsyncClient, legacy: str) -> None:
    answer = await client.get(f"/{legacy}/old")
    assert answer.status_code in {302, 303}
    target = urljoin(str(answer.url), answer.headers["Location"])
    assert target == str(client.base_url.join(f"/{legacy}/hello?name=moved"))
    answer = await client.get(f"/{legacy}/old", follow_redirects=True)
    assert answer.text == "Hello, moved!"


async def test_its_session_is_in_its_cookie(client: httpx.AsyncClient, legacy: str) -> None:
    assert (await client.get(f"/{legacy}/me")).text == "nobody"
    assert (await client.get(f"/{legacy}/login?user=ann")).text == "welcome"
    assert (await client.get(f"/{legacy}/me")).text == "ann"
    client.cookies.clear()
    assert (await client.get(f"/{legacy}/me")).text == "nobody"


async def test_an_uploaded_file_arrives_byte_for_byte(
    client: httpx.AsyncClient, legacy: str
) -> None:
    data = random.Random(legacy).randbytes(3 * 2**20)
    files = {"file": ("grün.bin", data)}
    answer = await client.post(f"/{legacy}/upload", data={"note": "Zoë"}, files=files)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "note": "Zoë",
        "name": "grün.bin",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


# Django and Bottle read as many bytes as Content-Length says, and under gunicorn none, too.
@pytest.mark.parametrize("legacy", ["flask"])
async def test_a_body_of_unknown_length_arrives(client: httpx.AsyncClient, legacy: str) -> None:
    files = {"file": ("a.bin", b"x" * 100_000)}
    whole = httpx.Request("POST", "http://localhost", data={"note": "chunked"}, files=files)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(whole.read()), 5_000):
            yield whole.content[start : start + 5_000]

    fields = {"Content-Type": whole.headers["Content-Type"]}
    answer = await client.post(f"/{legacy}/upload", content=parts(), headers=fields)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["note"], answer.json()["size"]) == ("chunked", 100_000)


async def test_a_stream_is_passed_on_while_it_is_made(
    client: httpx.AsyncClient, legacy: str
) -> None:
    async with client.stream("GET", f"/{legacy}/stream") as answer:
        assert answer.status_code == 200
        assert "Content-Length" not in answer.headers
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b"first "
        assert (await client.get(f"/{legacy}/release")).text == "released"
        assert b"".join([piece async for piece in pieces]) == b"last"


async def test_what_it_has_not_is_its_own_404(client: httpx.AsyncClient, legacy: str) -> None:
    answer = await client.get(f"/{legacy}/missing")
    assert (answer.status_code, answer.text) == (404, "Nothing at /missing here.")


async def test_its_mistakes_are_its_own_500(client: httpx.AsyncClient, legacy: str) -> None:
    answer = await client.get(f"/{legacy}/error")
    assert answer.status_code == 500
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "a mistake" not in answer.text
    assert (await client.get(f"/{legacy}/hello")).status_code == 200


async def test_head_has_the_fields_and_no_body(client: httpx.AsyncClient, legacy: str) -> None:
    get, head = [await client.request(name, f"/{legacy}/hello") for name in ("GET", "HEAD")]
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Length", "Content-Type"):
        assert head.headers[name] == get.headers[name]
    missing = await client.head(f"/{legacy}/missing")
    assert (missing.status_code, missing.content) == (404, b"")


async def test_slow_requests_run_side_by_side(client: httpx.AsyncClient, legacy: str) -> None:
    start = time.monotonic()
    texts: list[str] = []

    async def get() -> None:
        texts.append((await client.get(f"/{legacy}/slow")).text)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(get)
    assert texts == ["slow"] * 10
    assert time.monotonic() - start < 5 * SLOW_SECONDS


async def test_the_apps_own_rules_and_hooks_are_beside_it(
    client: httpx.AsyncClient, legacy: str
) -> None:
    before = (await client.get("/hooked")).json()
    assert (await client.get(f"/{legacy}/hello")).text == "Hello, World!"
    assert (await client.get("/flask/hello/new")).text == "rewritten"
    assert (await client.get("/")).text == "the site"
    assert (await client.get("/missing")).status_code == 404
    after = (await client.get("/hooked")).json()
    assert after[len(before) :] == ["/flask/hello/new", "/", "/missing", "/hooked"]


def test_the_test_clients_own_cookies_serve_it_too(site: Flask, legacy: str) -> None:
    client = site.test_client()
    assert client.get(f"/{legacy}/login?user=ann").text == "welcome"
    assert client.get(f"/{legacy}/me").text == "ann"
    assert site.test_client().get(f"/{legacy}/me").text == "nobody"
