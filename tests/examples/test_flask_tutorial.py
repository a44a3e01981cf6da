"""Flask's tutorial application, the blog: its own tests, and what people do with it, live."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.examples.flask_examples import FORMS, Example, script
from tests.flask_sdist import flask_sdist  # noqa: F401

pytestmark = pytest.mark.system

SERVERS = {
    "run": ["aioflask", "--app", "flaskr", "run"],
    "run-debug": ["aioflask", "--app", "flaskr", "run", "--debug"],
    "uvicorn": ["uvicorn", "--factory", "flaskr:create_app"],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["", "wsgi", "loop", "hop"], ids=["asgi", "wsgi", "loop", "hop"])
def test_its_own_tests_pass(flask_sdist: Path, tmp_path: Path, form: str, mode: str) -> None:  # noqa: F811
    example = Example(flask_sdist, "tutorial", form, tmp_path, mode)
    assert example.own_tests() == "24 passed"


@pytest.mark.parametrize("form", FORMS)
def test_flask_itself_is_out_of_reach(flask_sdist: Path, tmp_path: Path, form: str) -> None:  # noqa: F811
    example = Example(flask_sdist, "tutorial", form, tmp_path)
    done = example.run("-c", "import flask; print(flask.__name__)")
    if form == "alias":
        assert done.stdout == "aioflask\n", done.stderr
    else:
        assert "RuntimeError: Flask itself was imported" in done.stderr


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
    """The blog with an empty database, served from a process of its own."""
    form, server = request.param
    example = Example(flask_sdist, "tutorial", form, tmp_path_factory.mktemp("blog"))
    made = example.run(script("aioflask"), "--app", "flaskr", "init-db")
    assert made.stdout == "Initialized the database.\n", made.stderr
    assert (example.folder / "instance" / "flaskr.sqlite").is_file()
    with example.serve(*SERVERS[server]) as url:
        yield url


def registered(client: httpx.Client, name: str) -> None:
    """Register somebody, and log them in."""
    account = {"username": name, "password": f"secret of {name}"}
    answer = client.post("/auth/register", data=account)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/auth/login")
    answer = client.post("/auth/login", data=account)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


def edit_link(client: httpx.Client, title: str) -> str:
    """The path of the one post with this title that whoever is logged in may edit."""
    page = client.get("/").text
    (article,) = [part for part in page.split("<article") if f"<h1>{title}</h1>" in part]
    return article.partition('class="action" href="')[2].partition('"')[0]


def test_registering_and_logging_in(url: str) -> None:
    ann = {"username": "ann", "password": "secret"}
    with httpx.Client(base_url=url, timeout=20) as client:
        page = client.get("/").text
        assert "<title>Posts - Flaskr</title>" in page
        assert "Log In</a>" in page and "Log Out</a>" not in page
        assert (
            "Username is required."
            in client.post("/auth/register", data={**ann, "username": ""}).text
        )
        assert client.post("/auth/register", data=ann).headers["Location"] == "/auth/login"
        assert "User ann is already registered." in client.post("/auth/register", data=ann).text

        assert (
            "Incorrect username." in client.post("/auth/login", data={**ann, "username": "nn"}).text
        )
        assert (
            "Incorrect password." in client.post("/auth/login", data={**ann, "password": ""}).text
        )
        answer = client.post("/auth/login", data=ann)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        assert answer.headers["Set-Cookie"].startswith("session=")
        assert answer.headers["Set-Cookie"].endswith("; HttpOnly; Path=/")
        page = client.get("/").text
        assert "<span>ann</span>" in page
        assert "Incorrect" not in page  # a message is shown once

        answer = client.get("/auth/logout")
        assert answer.headers["Location"] == "/"
        assert "session" not in client.cookies
        assert "Log In</a>" in client.get("/").text


def test_the_life_of_a_post(url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        registered(client, "ben")
        assert "<title>New Post - Flaskr</title>" in client.get("/create").text
        page = client.post("/create", data={"title": "", "body": "kept"}).text
        assert "Title is required." in page and ">kept</textarea>" in page
        answer = client.post("/create", data={"title": "Grüße", "body": "one\ntwo <3"})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        page = client.get("/").text
        assert "<h1>Grüße</h1>" in page and "by ben on 20" in page and "one\ntwo &lt;3" in page

        link = edit_link(client, "Grüße")
        assert '<title>Edit "Grüße" - Flaskr</title>' in client.get(link).text
        assert "Title is required." in client.post(link, data={"title": "", "body": ""}).text
        answer = client.post(link, data={"title": "Changed", "body": "three"})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        page = client.get("/").text
        assert "Grüße" not in page and "<h1>Changed</h1>" in page and ">three</p>" in page

        answer = client.post(link.replace("update", "delete"))
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        assert "Changed" not in client.get("/").text
        assert client.get(link).status_code == 404


def test_what_is_somebody_elses_is_left_alone(url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as owner:
        registered(owner, "cleo")
        owner.post("/create", data={"title": "Cleo's", "body": ""})
        update = edit_link(owner, "Cleo&#39;s")
        delete = update.replace("update", "delete")
        with httpx.Client(base_url=url, timeout=20) as other:
            for path in ("/create", update, delete):
                answer = other.post(path, data={"title": "x", "body": ""})
                assert (answer.status_code, answer.headers["Location"]) == (302, "/auth/login")
            registered(other, "dan")
            assert edit_link(other, "Cleo&#39;s") == ""
            assert other.get(update).status_code == 403
            assert other.post(update, data={"title": "x", "body": ""}).status_code == 403
            assert other.post(delete).status_code == 403
            answer = other.post("/999999/delete")
            assert answer.status_code == 404
            assert "Post id 999999 doesn&#39;t exist." in answer.text
        assert edit_link(owner, "Cleo&#39;s") == update


def test_what_is_no_page(url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        answer = client.get("/static/style.css")
        assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
        assert answer.text.startswith("html {")
        again = client.get("/static/style.css", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get("/hello").text == "Hello, World!"
        assert client.get("/1/delete").status_code == 405
        assert client.get("/x/update").status_code == 404


def test_many_write_at_once(url: str) -> None:
    def write(number: int) -> None:
        with httpx.Client(base_url=url, timeout=40) as client:
            registered(client, f"writer {number}")
            client.post("/create", data={"title": f"Number {number}", "body": ""})
            assert edit_link(client, f"Number {number}")
            assert f"<span>writer {number}</span>" in client.get("/").text

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    page = httpx.get(url, timeout=20).text
    assert all(f"by writer {number} on" in page for number in range(24))
