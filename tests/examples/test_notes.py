"""The notes, in-process: every flow on the async client, a walk on the plain one, the start."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from aioflask import Flask, abort
from aioflask.testing import FlaskClient
from examples.notes import create_app
from tests.examples.notes_flows import FLOWS, PASSWORD, ROOT, Flow


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    database = tmp_path / "instance" / "notes.db"
    return create_app({"DATABASE": str(database), "FIRST_PASSWORD": PASSWORD})


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def log_in(client: FlaskClient) -> None:
    answer = client.post("/api/session", json={"name": "admin", "password": PASSWORD})
    assert answer.json == {"user": "admin"}


def json_of(answer: TestResponse) -> Any:
    return answer.json


@pytest.mark.anyio
@pytest.mark.responsive
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
async def test_flow(app: Flask, flow: Flow) -> None:
    async with app.async_client() as client:
        await flow(client)


@pytest.mark.anyio
@pytest.mark.responsive
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
async def test_flow_with_a_pool_of_one_thread(tmp_path: Path, flow: Flow) -> None:
    config = {
        "FIRST_PASSWORD": PASSWORD,
        "DATABASE": str(tmp_path / "notes.db"),
        "WORKER_THREADS": 1,
    }
    async with create_app(config).async_client() as client:
        await flow(client)


def test_the_plain_client_walks_through_the_service(client: FlaskClient) -> None:
    assert client.post("/api/notes", json={"title": "x"}).status_code == 401
    log_in(client)
    created = client.post("/api/notes", json={"title": "Milk", "tags": ["shopping"]})
    assert created.status_code == 201
    url, etag = created.headers["Location"], created.headers["ETag"]
    assert client.patch(url, json={"body": "2 l"}).status_code == 428
    changed = client.patch(url, json={"body": "2 l"}, headers={"If-Match": etag})
    assert (changed.status_code, json_of(changed)["body"]) == (200, "2 l")
    assert client.patch(url, json={}, headers={"If-Match": etag}).status_code == 412

    upload = client.post(f"{url}/files", data={"file": (io.BytesIO(b"receipt"), "receipt.txt")})
    assert upload.status_code == 201
    assert client.get(upload.headers["Location"]).data == b"receipt"
    assert client.get("/api/notes.csv").text.count("\r\n") == 2
    assert client.get("/stats/tags").json == [{"name": "shopping", "notes": 1}]
    assert "Milk" in client.get("/").text
    assert client.delete(url, headers={"If-Match": changed.headers["ETag"]}).status_code == 204
    assert json_of(client.get("/stats/"))["files"] == 0


def test_an_unknown_method_is_answered_with_those_that_are_known(client: FlaskClient) -> None:
    answer = client.open("/api/notes", method="BREW")
    assert answer.status_code == 405
    assert json_of(answer)["error"] == "Method Not Allowed"
    assert set(answer.allow or ()) >= {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_user_who_is_gone_is_a_stranger(app: Flask, client: FlaskClient) -> None:
    log_in(client)
    with sqlite3.connect(app.config["DATABASE"]) as db:
        db.execute("DELETE FROM users")
    db.close()
    assert client.post("/api/notes", json={"title": "x"}).status_code == 401
    assert client.get("/api/session").status_code == 401


def test_a_stranger_is_refused_before_the_body_is_read(client: FlaskClient) -> None:
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("the body was read")

    body = Unread(b'{"title": "x"}')
    answer = client.post("/api/notes", input_stream=body, content_type="application/json")
    assert answer.status_code == 401


def test_a_fault_of_ours_stays_a_500(app: Flask) -> None:
    @app.get("/api/fault")
    async def fault() -> str:
        raise LookupError("secret detail")

    @app.get("/api/teapot")
    async def teapot() -> str:
        abort(418)

    client = app.test_client()
    answer = client.get("/api/fault")
    assert answer.status_code == 500
    assert json_of(answer)["error"] == "Internal Server Error"
    assert "secret" not in answer.text
    assert json_of(client.get("/api/teapot"))["status"] == 418


def test_the_first_start_makes_up_a_password_and_logs_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = str(tmp_path / "new" / "folder" / "notes.db")
    app = create_app({"DATABASE": database, "FIRST_USER": "ada"})
    [record] = caplog.records
    assert record.levelname == "WARNING"
    name, password = record.args  # type: ignore[misc]
    credentials = {"name": name, "password": password}
    assert app.test_client().post("/api/session", json=credentials).json == {"user": "ada"}

    assert Path(database).stat().st_mode & 0o777 == 0o600
    again = create_app({"DATABASE": database})
    assert len(caplog.records) == 1
    assert again.secret_key == app.secret_key
    assert again.test_client().post("/api/session", json=credentials).status_code == 200


def test_settings_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTES_DATABASE", str(tmp_path / "notes.db"))
    monkeypatch.setenv("NOTES_FIRST_PASSWORD", "12345")
    monkeypatch.setenv("NOTES_TRUSTED_HOSTS", '["notes.example"]')
    client = create_app().test_client()
    assert client.get("/").status_code == 400
    answer = client.post(
        "/api/session",
        json={"name": "admin", "password": "12345"},
        headers={"Host": "notes.example"},
    )
    assert answer.status_code == 200


def test_workers_that_start_at_once_make_one_database(tmp_path: Path) -> None:
    database = tmp_path / "notes.db"
    code = "from examples.notes import create_app; print(create_app().secret_key)"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"NOTES_DATABASE": str(database)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    said = [worker.communicate(timeout=30) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, said
    assert len({out for out, _ in said}) == 1
    assert sum(b"First start" in error for _, error in said) == 1
