"""Flask's extensions, unmodified, in small apps under a live uvicorn, fifty clients at once.

The apps import `flask`, as their authors would write them; the variable AIOFLASK_AS_FLASK is all
that is told. `scripts/extensions` runs the same for longer, and prints figures.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import Server

FOLDER = Path(__file__).parent
CLIENTS = 50
COLOURS = ("", "/async")

User = Callable[[httpx.AsyncClient, int, int, int], Awaitable[int]]
"""What one of the clients does: with its number, so often, in which round; returns the requests."""


@contextmanager
def served(tmp_path: Path, app: str, *commands: str) -> Iterator[Server]:
    """An app of this folder under uvicorn, after commands of its own."""
    path = tmp_path / f"{app}.sqlite"
    database = str(path) if app == "api" else f"sqlite:///{path}"
    environ = {"DATABASE": database, "AIOFLASK_AS_FLASK": "1"}
    for command in commands:
        made = Server(FOLDER, "-m", "aioflask", "--app", app, *command.split(), **environ)
        assert made.ends() == 0, made.output
        made.stop()
    options = ("--port", "0", "--log-level", "info", "--no-access-log")
    server = Server(FOLDER, "-m", "uvicorn", f"{app}:app", *options, **environ)
    try:
        _ = server.address
        yield server
    except BaseException:
        print(server.output[-20_000:])  # Shown by pytest if the test fails.
        raise
    finally:
        server.stop()


def drive(server: Server, user: User, turns: int, number: int = 0) -> tuple[int, float]:
    """Have fifty users at once do what they do; returns how many requests, and seconds."""
    _, port = server.address

    async def main() -> int:
        async def one(client_number: int) -> int:
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base, timeout=60) as client:
                return await user(client, client_number, turns, number)

        return sum(await asyncio.gather(*(one(each) for each in range(CLIENTS))))

    start = time.monotonic()
    return asyncio.run(main()), time.monotonic() - start


def state(server: Server) -> dict[str, Any]:
    _, port = server.address
    found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/state").json()
    return found


# --- SQLAlchemy and Login -------------------------------------------------------------------------


async def shop(client: httpx.AsyncClient, number: int, turns: int, of_round: int) -> int:
    """Sign in, order, look at it, in either colour, with failures between."""
    name, sent = f"user{number}", 0
    for turn in range(turns):
        colour = COLOURS[(number + turn) % 2]
        found = await client.get(f"{colour}/me")
        assert found.status_code in (302, 401) or turn, found.text
        data = {"name": name, **({"remember": "on"} if number % 3 == 0 else {})}
        found = await client.post(f"{colour}/sign-in", data=data)
        assert (found.status_code, found.text) == (200, name)
        found = await client.get(f"{COLOURS[turn % 2]}/me")
        assert found.json() == {"name": name, "fresh": True}
        found = await client.post(f"{colour}/orders", json={"what": f"tea {number}"})
        order = found.json()
        assert (order["what"], order["by"]) == (f"tea {number}", name)
        found = await client.post(f"{colour}/fail")
        assert found.status_code == 500
        found = await client.get(f"{COLOURS[(number + turn + 1) % 2]}/orders/{order['id']}")
        assert found.json() == {"what": f"tea {number}", "by": name}
        found = await client.get(f"{colour}/orders/1000000")
        assert found.status_code == 404
        sent += 7
        if number % 3 == 0:  # Remembered: a browser that was closed has no session any more.
            client.cookies.delete("session")
            found = await client.get(f"{colour}/me")
            assert found.json() == {"name": name, "fresh": False}
            sent += 1
    found = await client.post("/sign-out")
    found = await client.get("/async/me")
    assert found.status_code in (302, 401)
    return sent + 2


def test_models_and_logins(tmp_path: Path) -> None:
    with served(tmp_path, "shop", "fill") as server:
        drive(server, shop, 4)
        after = state(server)
        # `/state` itself has begun, has a session and holds a connection.
        assert after["begun"] == after["ended"] + 1
        assert after["orders"] == CLIENTS * 4
        assert (after["sessions"], after["lost"]) == (0, 0)
        assert (after["open sessions"], after["checked out"]) == (1, 1)
        assert after["pool"] <= 15
        assert server.output.count("RuntimeError: after the flush") == CLIENTS * 4
        errors = re.findall(r"^(\w+(?:\.\w+)*(?:Error|Exception))\b", server.output, re.MULTILINE)
        assert Counter(errors) == {"RuntimeError": CLIENTS * 4}
        assert "never retrieved" not in server.output


# --- WTF ------------------------------------------------------------------------------------------


async def forms(client: httpx.AsyncClient, number: int, turns: int, of_round: int) -> int:
    sent = 0
    for turn in range(turns):
        path = ("/plain", "/async")[(number + turn) % 2]
        page = await client.get(path)
        token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page.text)
        assert token is not None
        data = bytes([number]) * (70_000 if turn % 3 else 10)
        files = {"picture": (f"{number}.txt", data)}
        fields = {"title": f"note {number}", "csrf_token": token[1]}
        found = await client.post(path, data=fields, files=files)
        assert found.json() == {
            "title": f"note {number}",
            "file": f"{number}.txt",
            "bytes": len(data),
            "sum": sum(data) % 256,
            "user": f"note {number}",
        }
        found = await client.post(path, data={**fields, "csrf_token": "wrong"}, files=files)
        assert found.status_code == 400
        assert "refused" in found.json()
        found = await client.post("/raw", data={"title": "no token"})
        assert found.json() == {"refused": "The CSRF token is missing."}
        found = await client.post(path, data=fields, files={"picture": ("x.exe", b"x")})
        assert "File does not have an approved extension" in found.text
        sent += 5
    return sent


def test_forms_with_a_token_and_a_file(tmp_path: Path) -> None:
    with served(tmp_path, "forms") as server:
        drive(server, forms, 6)
        after = state(server)
        assert after["begun"] == after["ended"] + 1
        assert "Traceback" not in server.output


# --- RESTful and RESTX ----------------------------------------------------------------------------


async def api(client: httpx.AsyncClient, number: int, turns: int, of_round: int) -> int:
    sent = 0
    for turn in range(turns):
        kind = ("/restful", "/restx")[(number + turn) % 2]
        name = f"thing {number} {turn}"
        found = await client.post(f"{kind}/things", json={"name": name})
        assert found.status_code == 201
        made = found.json()
        assert made["name"] == name
        assert (await client.get(f"{kind}/things/{made['id']}")).json() == made
        found = await client.get(f"{kind}/things/{made['id'] + 1_000_000}")
        assert found.status_code == 404
        assert "no thing" in found.json()["message"]
        found = await client.post(f"{kind}/things", json={"nothing": 1})
        assert found.status_code == 400
        found = await client.delete(f"{kind}/things/1")
        assert found.status_code == 405
        found = await client.post(f"/async/{number}")
        assert found.json()["name"] == str(number)
        sent += 6
    assert (await client.get("/restx/things/fails")).status_code == 409
    assert (await client.get("/restful/fails")).status_code == 500
    return sent + 2


def test_resources(tmp_path: Path) -> None:
    with served(tmp_path, "api") as server:
        drive(server, api, 5)
        after = state(server)
        assert after["begun"] == after["ended"] > CLIENTS * 10
        assert server.output.count("Traceback") == server.output.count("KeyError: 'restful'")
        _, port = server.address
        document = httpx.get(f"http://127.0.0.1:{port}/restx/swagger.json").json()
        assert set(document["paths"]) == {"/things", "/things/{number}", "/things/fails"}


# --- Security -------------------------------------------------------------------------------------


async def members(client: httpx.AsyncClient, number: int, turns: int, of_round: int) -> int:
    email, password = f"user{number}.{of_round}@example.com", f"secret of {number}"
    fields = {"email": email, "password": password, "password_confirm": password}
    found = await client.post("/register", data=fields)
    assert found.status_code == 302, found.text
    await client.post("/logout")
    found = await client.get("/me", headers={"Accept": "application/json"})
    assert found.status_code == 401
    login = {"email": email, "password": password}
    for _ in range(turns):
        found = await client.post("/login", data={**login, "password": "wrong password"})
        assert found.status_code == 200, found.text
        found = await client.get("/me", headers={"Accept": "application/json"})
        assert found.status_code == 401
        found = await client.post("/login", data=login)
        assert found.status_code == 302, found.text
        for colour in COLOURS:
            assert (await client.get(f"{colour}/me")).json() == {"email": email}
        found = await client.get("/admin", headers={"Accept": "application/json"})
        assert found.status_code == 403
        await client.post("/logout")
        found = await client.post("/login?include_auth_token", json=login)
        token = found.json()["response"]["user"]["authentication_token"]
        client.cookies.clear()
        for colour in COLOURS:
            found = await client.get(f"{colour}/me", headers={"Authentication-Token": token})
            assert found.json() == {"email": email}
    return 3 + turns * 10


def test_registration_and_login(tmp_path: Path) -> None:
    with served(tmp_path, "members", "fill") as server:
        drive(server, members, 2)
        after = state(server)
        assert after == {"users": CLIENTS + 1, "checked out": 0}
        assert "Traceback" not in server.output


# --- Migrate --------------------------------------------------------------------------------------

MODELS = """\
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.sqlite"
db = SQLAlchemy(app)
Migrate(app, db)

class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    what = db.Column(db.String(40))
"""


@pytest.mark.parametrize("command", ["aioflask --as-flask", "flask", "aioflask"])
def test_from_an_empty_folder_to_two_revisions(tmp_path: Path, command: str) -> None:
    """By the option, by the variable for Flask's own command, and by a line in the app."""
    program, *options = command.split()
    variable = "1" if program == "flask" else ""
    line = "import aioflask.as_flask\n" if command == "aioflask" else ""
    bin_folder = Path(sys.executable).parent

    def db(*args: str) -> str:
        done = subprocess.run(
            [str(bin_folder / program), "--app", "models", *options, "db", *args],
            cwd=tmp_path,
            env={"PATH": str(bin_folder), "AIOFLASK_AS_FLASK": variable},
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    (tmp_path / "models.py").write_text(line + MODELS)
    db("init")
    assert "Detected added table" in db("migrate", "-m", "orders")
    db("upgrade")
    (tmp_path / "models.py").write_text(line + MODELS + "    paid = db.Column(db.Boolean)\n")
    assert "Detected added column" in db("migrate", "-m", "paid")
    assert "paid" in db("upgrade")
    assert db("current").count("(head)") == 1
    assert db("history").count("->") == 2
    db("downgrade")
    assert "(head)" not in db("current")
    assert len(list((tmp_path / "migrations/versions").glob("*.py"))) == 2
