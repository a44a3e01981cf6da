"""Flask's JavaScript example: its own tests, its requests over HTTP, its pages in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chromium import chromium
from tests.examples.flask_examples import FORMS, Example
from tests.flask_sdist import flask_sdist  # noqa: F401

pytestmark = pytest.mark.system

SERVERS = {
    "run": ["aioflask", "--app", "js_example", "run"],
    "uvicorn": ["uvicorn", "js_example:app"],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["", "wsgi", "loop", "hop"], ids=["asgi", "wsgi", "loop", "hop"])
def test_its_own_tests_pass(flask_sdist: Path, tmp_path: Path, form: str, mode: str) -> None:  # noqa: F811
    example = Example(flask_sdist, "javascript", form, tmp_path, mode)
    assert example.own_tests() == "8 passed"


@pytest.fixture(
    scope="module",
    params=[(form, server) for form in FORMS for server in SERVERS],
    ids=lambda param: "-".join(param),
)
def url(
    request: pytest.FixtureRequest,
    flask_sdist: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    form, server = request.param
    example = Example(flask_sdist, "javascript", form, tmp_path_factory.mktemp("javascript"))
    with example.serve(*SERVERS[server]) as url:
        yield url


@pytest.mark.parametrize("js", ["fetch", "xhr", "jquery"])
def test_a_page_for_each_way(url: str, js: str) -> None:
    # The default value has the shorter path, and the longer one leads to it.
    path = "/" if js == "fetch" else f"/{js}"
    answer = httpx.get(f"{url}/{js}", timeout=20, follow_redirects=True)
    assert answer.url == url + path
    assert [r.status_code for r in answer.history] == ([308] if js == "fetch" else [])
    assert f'<li class="active">\n    <a href="{path}">' in answer.text
    assert '"/add"' in answer.text


def test_other_pages(url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        assert client.get("/other").status_code == 404
        assert client.get("/add").status_code == 405


@pytest.mark.parametrize(
    ("a", "b", "result"), [("2", "3", 5.0), ("2.5", "-3", -0.5), ("2", "b", 2.0), ("", "", 0.0)]
)
def test_what_the_scripts_send(url: str, a: str, b: str, result: float) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        # jQuery sends the form serialized, the other two send a FormData.
        serialized = client.post("/add", data={"a": a, "b": b})
        multipart = client.post("/add", files={"a": (None, a), "b": (None, b)})
        for answer in (serialized, multipart):
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.json() == {"result": result}


def test_the_sum_in_a_browser(url: str, tmp_path: Path) -> None:
    with chromium(tmp_path) as page:
        # The third page loads jQuery from elsewhere.
        for js, a, b, result in (("", "2", "3", "5"), ("xhr", "1.25", "-3", "-1.75")):
            page.open(f"{url}/{js}")
            assert page.text("#result") == ""
            page.fill("[name=a]", a)
            page.fill("[name=b]", b)
            page.click("[type=submit]")
            page.until("document.querySelector('#result').innerText")
            assert page.text("#result") == result
            assert page.value("location.href") == f"{url}/{js}"  # no form was sent
