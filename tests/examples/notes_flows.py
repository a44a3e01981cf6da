"""What people do with the notes, each flow a function of an httpx client.

`test_notes.py` runs them in-process, `test_notes_live.py` over a socket. A flow names its notes
after itself, so that many of them can share one database.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse"
Flow = Callable[[httpx.AsyncClient], Awaitable[None]]


NOTES = "examples.notes:create_app"
# A flow's longest URL has 5,029 bytes, of which gunicorn's WSGI workers take 4,094 by default.
GUNICORN = f"gunicorn {NOTES}() --bind 127.0.0.1:0 --no-control-socket --limit-request-line 8190"
SERVERS = {
    "uvicorn": f"uvicorn --factory {NOTES} --host 127.0.0.1 --port 0",
    "hypercorn": f"hypercorn asgi:{NOTES}() --bind 127.0.0.1:0",
    "granian": f"granian --interface asgi --factory {NOTES} --host 127.0.0.1 --port {{port}}",
    "gunicorn-uvicorn": f"{GUNICORN} --worker-class uvicorn_worker.UvicornWorker",
    "gunicorn-sync": f"{GUNICORN} --worker-class sync",
    "gunicorn-gthread": f"{GUNICORN} --worker-class gthread --threads 8",
    # The name is for requests without a Host: by default they are for "waitress.invalid".
    "waitress": f"waitress --listen 127.0.0.1:0 --server-name localhost --call {NOTES}",
}
"""What serves the notes, as `python -m ...`: the first four by ASGI, the others by WSGI."""


@contextmanager
def live_server(folder: Path, server: str = "uvicorn") -> Iterator[str]:
    """Serve the notes from a process of its own; it must log no error and stop cleanly."""
    log = folder / f"{server}.log"
    env = os.environ | {
        "NOTES_DATABASE": str(folder / "instance" / "notes.db"),
        "NOTES_FIRST_PASSWORD": PASSWORD,
        "PYTHONUNBUFFERED": "1",
    }
    command = SERVERS[server].format(port=free_port()).split()
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield wait_for_url(process, log)
    finally:
        # On SIGINT gunicorn's uvicorn worker waits for its kill, whatever it serves.
        stop = signal.SIGTERM if "gunicorn" in command else signal.SIGINT
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the workers, too
            process.wait()
    said = log.read_text()
    assert process.returncode in {0, -signal.SIGINT}, said
    assert "Traceback" not in said, said
    assert "ERROR" not in said, said


def free_port() -> int:
    """A port for a server that does not say which one it was given for port 0."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    """The URL that the server logs, once it takes connections there."""
    end = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < end:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text()):
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(found[1])), 1):
                return found[0]
        time.sleep(0.05)
    raise AssertionError(f"The server did not start:\n{log.read_text()}")


async def log_in(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/session", json={"name": "admin", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"user": "admin"}


async def add(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/api/notes", json=fields)
    assert answer.status_code == 201, answer.text
    note: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == note["url"]
    return note


def assert_error(answer: httpx.Response, status: int) -> dict[str, Any]:
    """It is this error, in JSON."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    error: dict[str, Any] = answer.json()
    assert error["status"] == status
    assert error["error"]
    assert error["message"]
    return error


async def a_note_is_created_read_changed_and_deleted(client: httpx.AsyncClient) -> None:
    await log_in(client)
    note = await add(client, title="  Milk ", body="Two\nlitres", tags=["b", "a", "b"])
    assert note["title"] == "Milk"
    assert note["body"] == "Two\nlitres"
    assert note["tags"] == ["a", "b"]
    assert note["author"] == "admin"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", note["created"])

    read = await client.get(note["url"])
    assert read.json() == note
    etag = read.headers["ETag"]
    again = await client.get(note["url"], headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")

    changed = await client.patch(
        note["url"], json={"title": "Oat milk", "tags": ["b", "c"]}, headers={"If-Match": etag}
    )
    assert changed.status_code == 200, changed.text
    assert changed.json()["title"] == "Oat milk"
    assert changed.json()["body"] == "Two\nlitres"
    assert changed.json()["tags"] == ["b", "c"]
    assert changed.headers["ETag"] != etag
    assert (await client.get(note["url"])).json() == changed.json()

    replaced = await client.put(
        note["url"], json={"title": "Bread"}, headers={"If-Match": changed.headers["ETag"]}
    )
    assert replaced.status_code == 200, replaced.text
    assert (replaced.json()["body"], replaced.json()["tags"]) == ("", [])

    assert (await client.delete(note["url"])).status_code == 204
    assert_error(await client.get(note["url"]), 404)
    assert_error(await client.delete(note["url"]), 404)


async def a_change_of_what_somebody_else_changed_is_refused(client: httpx.AsyncClient) -> None:
    await log_in(client)
    url = (await add(client, title="contested"))["url"]
    assert_error(await client.patch(url, json={"title": "x"}), 428)
    assert_error(await client.put(url, json={"title": "x"}), 428)
    etag = (await client.get(url)).headers["ETag"]

    async def change(number: int) -> int:
        answer = await client.patch(url, json={"body": str(number)}, headers={"If-Match": etag})
        return answer.status_code

    # At once: whoever comes first wins, in the database and not in the process's memory.
    statuses = await asyncio.gather(*map(change, range(8)))
    assert sorted(statuses) == [200] + [412] * 7

    assert_error(await client.patch(url, json={"body": ""}, headers={"If-Match": etag}), 412)
    assert_error(await client.delete(url, headers={"If-Match": etag}), 412)
    answer = await client.patch(url, json={"body": "any"}, headers={"If-Match": "*"})
    assert answer.status_code == 200


async def a_deleted_notes_etag_never_comes_back(client: httpx.AsyncClient) -> None:
    await log_in(client)
    old = await add(client, title="old")
    await client.delete(old["url"])
    assert (await add(client, title="new"))["url"] != old["url"]


async def the_list_has_pages_a_filter_and_a_search(client: httpx.AsyncClient) -> None:
    await log_in(client)
    for number in range(5):
        await add(
            client, title=f"listed {number}", body="100%_sure" if number else "", tags=["listed"]
        )

    async def titles(**params: str) -> list[str]:
        answer = await client.get("/api/notes", params=params)
        assert answer.status_code == 200, answer.text
        return [note["title"] for note in answer.json()["notes"]]

    newest = [f"listed {number}" for number in (4, 3, 2, 1, 0)]
    assert await titles(tag="listed") == newest
    assert await titles(tag="listed", author="admin") == newest
    assert await titles(tag="listed", author="nobody") == []
    assert await titles(tag="listed", q="LISTED 3") == ["listed 3"]
    assert await titles(tag="listed", q="0%_S") == newest[:4]
    assert await titles(tag="listed", q="%") == newest[:4]
    assert await titles(tag="listed", page="9") == []

    walked, url = [], "/api/notes?tag=listed&per_page=2"
    while url:
        page = (await client.get(url)).json()
        walked.append([note["title"] for note in page["notes"]])
        assert (page["total"], page["per_page"]) == (5, 2)
        url = page["next"]
    assert walked == [newest[:2], newest[2:4], newest[4:]]


async def a_file_is_attached_and_downloaded(client: httpx.AsyncClient) -> None:
    await log_in(client)
    url = (await add(client, title="with files"))["url"] + "/files"
    # The second is too large to be kept in memory while it arrives.
    for name, data in (("grün <b>.html", b"<script>"), ("big.bin", os.urandom(3 * 2**20))):
        answer = await client.post(url, files={"file": (name, data)})
        assert answer.status_code == 201, answer.text
        file = answer.json()
        assert (file["name"], file["size"]) == (name, len(data))
        assert file["url"] == answer.headers["Location"]

        download = await client.get(file["url"])
        assert download.status_code == 200, download.text
        assert download.content == data
        assert download.headers["Content-Disposition"].startswith("attachment")
        assert download.headers["X-Content-Type-Options"] == "nosniff"
        part = await client.get(file["url"], headers={"Range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, data[2:6])

    listed = (await client.get(url)).json()
    assert [file["name"] for file in listed] == ["grün <b>.html", "big.bin"]
    assert_error(await client.get(f"{url}/999999"), 404)
    assert_error(await client.post(url, files={"other": b"x"}), 400)
    assert_error(await client.post(url, json={}), 400)
    assert_error(await client.post("/api/notes/999999/files", files={"file": b"x"}), 404)

    await client.delete(url.removesuffix("/files"))
    assert_error(await client.get(file["url"]), 404)


async def the_export_is_streamed_as_csv(client: httpx.AsyncClient) -> None:
    await log_in(client)
    for number in range(130):
        await add(client, title=f'=a "{number}", é', body="x\ny" * 100, tags=["exported", "b"])
    async with client.stream("GET", "/api/notes.csv", params={"tag": "exported"}) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert "Content-Length" not in answer.headers
        text = "".join([part async for part in answer.aiter_text()])
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert len(rows) == 130
    assert rows[0]["title"] == '\'=a "129", é'
    assert rows[-1]["title"] == '\'=a "0", é'
    assert rows[0]["tags"] == "b exported"
    assert rows[0]["body"] == "x\ny" * 100
    assert_error(await client.get("/api/notes.csv", params={"page": "zero"}), 422)


async def a_client_that_leaves_the_export_halfway_harms_nobody(client: httpx.AsyncClient) -> None:
    await log_in(client)
    for _ in range(20):
        await add(client, title="long", body="x" * 90_000, tags=["left"])
    async with client.stream("GET", "/api/notes.csv", params={"tag": "left"}) as answer:
        async for _ in answer.aiter_bytes(1000):
            break
    await add(client, title="written meanwhile", tags=["left"])
    assert (await client.get("/api/notes", params={"tag": "left"})).json()["total"] == 21


async def members_log_in_and_strangers_only_read(client: httpx.AsyncClient) -> None:
    stranger = assert_error(await client.post("/api/notes", json={"title": "x"}), 401)
    assert "/api/session" in stranger["message"]
    assert_error(await client.get("/api/session"), 401)
    for name, password in (("admin", "wrong"), ("nobody", PASSWORD), ("nobody", "")):
        answer = await client.post("/api/session", json={"name": name, "password": password})
        assert_error(answer, 401)
        assert "WWW-Authenticate" in answer.headers
    assert (await client.get("/api/notes")).status_code == 200

    await log_in(client)
    assert (await client.get("/api/session")).json() == {"user": "admin"}
    url = (await add(client, title="a member's"))["url"]
    assert (await client.delete("/api/session")).status_code == 204
    assert_error(await client.delete(url), 401)

    client.cookies.set("session", "eyJ1c2VyX2lkIjoxfQ.forged.forged")
    assert_error(await client.delete(url), 401)


async def the_page_shows_notes_to_people(client: httpx.AsyncClient) -> None:
    page = await client.get("/login")
    assert page.status_code == 200
    wrong = await client.post("/login", data={"name": "ad<m>in", "password": "wrong"})
    assert wrong.status_code == 401
    assert 'value="ad&lt;m&gt;in"' in wrong.text
    assert 'role="alert"' in wrong.text
    right = await client.post("/login", data={"name": "admin", "password": PASSWORD})
    assert (right.status_code, right.headers["Location"]) == (303, "/")
    cookie = right.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie

    for number in range(21):
        note = await add(client, title=f"<i>shown</i> {number}", body="a\nb", tags=["shown"])
    await client.post(note["url"] + "/files", files={"file": ("plan.txt", b"plan")})
    page = await client.get("/", params={"tag": "shown"})
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "21 notes" in page.text
    assert "&lt;i&gt;shown&lt;/i&gt; 20" in page.text
    assert "plan.txt" in page.text
    assert "Log out" in page.text
    assert page.text.count("<article") == 20
    older = await client.get("/", params={"tag": "shown", "page": 2})
    assert older.text.count("<article") == 1
    assert (await client.get("/static/notes.css")).status_code == 200

    out = await client.post("/logout")
    assert (out.status_code, out.headers["Location"]) == (303, "/")
    assert "Log in" in (await client.get("/")).text


async def the_figures_come_from_plain_views(client: httpx.AsyncClient) -> None:
    await log_in(client)
    before = (await client.get("/stats/")).json()
    url = (await add(client, title="counted", tags=["counted"]))["url"]
    await client.post(url + "/files", files={"file": ("a", b"12345")})
    after = (await client.get("/stats/")).json()
    assert after["notes"] == before["notes"] + 1
    assert after["tags"] == before["tags"] + 1
    assert after["bytes"] == before["bytes"] + 5
    answers = await asyncio.gather(*[client.get("/stats/tags") for _ in range(30)])
    assert all({"name": "counted", "notes": 1} in answer.json() for answer in answers)


async def many_read_while_some_write(client: httpx.AsyncClient) -> None:
    await log_in(client)

    async def write(number: int) -> None:
        await add(client, title=f"busy {number}", tags=["busy"])

    async def read(path: str) -> None:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text

    paths = ["/", "/api/notes", "/api/notes.csv?tag=busy", "/stats/", "/stats/tags"]
    await asyncio.gather(*map(write, range(20)), *[read(path) for path in paths * 8])
    assert (await client.get("/api/notes?tag=busy")).json()["total"] == 20


async def a_wrong_note_is_refused_with_all_that_is_wrong(client: httpx.AsyncClient) -> None:
    await log_in(client)
    wrong: list[tuple[Any, dict[str, str]]] = [
        ([], {"body": "must be a JSON object"}),
        (None, {"body": "must be a JSON object"}),
        ({}, {"title": "is missing"}),
        (
            {"title": 1, "body": [], "tags": "a", "id": 3},
            {
                "title": "must be text of at most 200 characters",
                "body": "must be text of at most 100000 characters",
                "tags": "must be a list of at most 20",
                "id": "is not known here",
            },
        ),
        ({"title": " \n"}, {"title": "must be one line of 1 to 200 characters"}),
        ({"title": "a\nb"}, {"title": "must be one line of 1 to 200 characters"}),
        ({"title": "x" * 201}, {"title": "must be text of at most 200 characters"}),
        ({"title": "nul\x00"}, {"title": "must be text of at most 200 characters"}),
        ({"title": "x", "tags": [["a"]]}, {"tags": "must be text of at most 40 characters"}),
        ({"title": "x", "tags": ["t"] * 21}, {"tags": "must be a list of at most 20"}),
    ]
    for body, fields in wrong:
        answer = await client.post(
            "/api/notes", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert assert_error(answer, 422)["fields"] == fields, body
    for query in ("page=0", "page=-1", "page=x", "page=1e9", "page=" + "9" * 5000, "per_page=101"):
        answer = await client.get(f"/api/notes?{query}")
        assert query.partition("=")[0] in assert_error(answer, 422)["fields"]
    answer = await client.post("/api/session", json={"name": {"$ne": 1}})
    assert set(assert_error(answer, 422)["fields"]) == {"name", "password"}


async def a_body_that_is_no_json_is_refused(client: httpx.AsyncClient) -> None:
    await log_in(client)
    bodies = [
        b"",
        b"{",
        b'{"title": "x"',
        b'{"title": "\xff"}',
        b'{"title": NaN}',
        b'{"title": "x"} {}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"title":' * 50_000 + b"1" + b"}" * 50_000,
        '{"title": "x"}'.encode("utf-16"),
    ]
    for body in bodies:
        answer = await client.post(
            "/api/notes", content=body, headers={"Content-Type": "application/json"}
        )
        assert_error(answer, 400)
    lone = {"content": rb'{"title": "\ud800"}', "headers": {"Content-Type": "application/json"}}
    assert (await client.post("/api/notes", **lone)).status_code in {400, 422}  # type: ignore[arg-type]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
        answer = await client.post(
            "/api/notes", content=b'{"title": "x"}', headers={"Content-Type": kind}
        )
        assert_error(answer, 415)


async def a_body_that_is_too_large_is_refused(client: httpx.AsyncClient) -> None:
    await log_in(client)
    url = (await add(client, title="small"))["url"] + "/files"
    assert_error(await client.post(url, files={"file": b"x" * (9 * 2**20)}), 413)
    large = await client.post(
        "/api/notes", content=b" " * (9 * 2**20), headers={"Content-Type": "application/json"}
    )
    assert_error(large, 413)


async def a_body_that_grows_too_large_is_refused(client: httpx.AsyncClient) -> None:
    await log_in(client)

    async def parts() -> Any:  # without a Content-Length
        for _ in range(9 * 16):
            yield b" " * 2**16

    answer = await client.post(
        "/api/notes", content=parts(), headers={"Content-Type": "application/json"}
    )
    assert_error(answer, 413)


async def what_is_not_there_is_told_in_the_clients_language(client: httpx.AsyncClient) -> None:
    huge = "9" * 5000
    for path in ("/api/nothing", "/api/notes/0", "/api/notes/x", f"/api/notes/{huge}", "/stats/x"):
        assert_error(await client.get(path), 404)
    assert_error(await client.get("/nothing", headers={"Accept": "application/json"}), 404)
    for accept in ("text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "nonsense"):
        answer = await client.get("/nothing", headers={"Accept": accept})
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<h1>Not Found</h1>" in answer.text

    for method, path in (("PROPFIND", "/api/notes"), ("DELETE", "/api/notes"), ("POST", "/stats/")):
        answer = await client.request(method, path)
        assert_error(answer, 405)
        assert "GET" in answer.headers["Allow"]


async def a_bad_host_is_refused(client: httpx.AsyncClient) -> None:
    for host in ("evil.example", "localhost.evil.example", "local_host", "127.0.0.1:99999"):
        assert_error(await client.get("/api/notes", headers={"Host": host}), 400)
        answer = await client.get("/", headers={"Host": host, "Accept": "text/html"})
        assert answer.status_code == 400
        assert "<h1>Bad Request</h1>" in answer.text


FLOWS: list[Flow] = [
    a_note_is_created_read_changed_and_deleted,
    a_change_of_what_somebody_else_changed_is_refused,
    a_deleted_notes_etag_never_comes_back,
    the_list_has_pages_a_filter_and_a_search,
    a_file_is_attached_and_downloaded,
    the_export_is_streamed_as_csv,
    a_client_that_leaves_the_export_halfway_harms_nobody,
    members_log_in_and_strangers_only_read,
    the_page_shows_notes_to_people,
    the_figures_come_from_plain_views,
    many_read_while_some_write,
    a_wrong_note_is_refused_with_all_that_is_wrong,
    a_body_that_is_no_json_is_refused,
    a_body_that_is_too_large_is_refused,
    a_body_that_grows_too_large_is_refused,
    what_is_not_there_is_told_in_the_clients_language,
    a_bad_host_is_refused,
]
