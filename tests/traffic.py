"""An app of every kind of view, and clients that notice when requests get mixed up.

`tests/test_load.py` drives it in its own process, `scripts/load` through a live server.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aioflask import (
    Blueprint,
    Flask,
    g,
    nonblocking,
    request,
    run_sync,
    session,
    stream_with_context,
)

PATHS = ("/plain", "/async", "/crossing", "/worker", "/hooked/async", "/hooked/plain", "/stream")

Answer = tuple[int, dict[str, str], bytes]
Get = Callable[[str, dict[str, str]], Awaitable[Answer]]


def wait() -> float:
    """How long this request takes, which lets others in between."""
    return float(request.args.get("wait", "0.001"))


def begin() -> None:
    """What the request says on its arrival; compared with what it says after the wait."""
    g.id = request.args["id"]
    session["count"] = session.get("count", 0) + 1
    session.setdefault("user", request.headers["X-User"])


def findings() -> dict[str, Any]:
    """Whose request, g and session this is."""
    return {
        "query": request.args["id"],
        "header": request.headers["X-Id"],
        "g": g.id,
        "user": session["user"],
        "count": session["count"],
    }


def add_views(app: Flask) -> None:
    """Views of either colour, that stay on their side or cross."""

    async def on_the_loop() -> dict[str, Any]:
        await asyncio.sleep(wait())
        return findings()

    def in_a_thread() -> dict[str, Any]:
        time.sleep(wait())
        return findings()

    @app.get("/plain")
    def plain() -> dict[str, Any]:
        return in_a_thread()

    @app.get("/async")
    async def async_() -> dict[str, Any]:
        return await on_the_loop()

    @app.get("/crossing")
    def crossing() -> dict[str, Any]:
        found: dict[str, Any] = app.ensure_sync(on_the_loop)()
        return found

    @app.get("/worker")
    async def worker() -> dict[str, Any]:
        return await run_sync(in_a_thread)

    @app.get("/stream")
    def stream() -> Iterator[str]:
        @stream_with_context
        def generate() -> Iterator[str]:
            yield " "
            yield json.dumps(app.ensure_sync(on_the_loop)())

        return generate()

    hooked = Blueprint("hooked", __name__, url_prefix="/hooked")

    @hooked.before_request
    def remember() -> None:
        g.thread = threading.get_ident()

    @hooked.teardown_request
    def check(exc: BaseException | None) -> None:
        assert g.thread == threading.get_ident()

    hooked.add_url_rule("/async", view_func=async_)
    hooked.add_url_rule("/plain", view_func=plain)
    app.register_blueprint(hooked)


def make_app() -> Flask:
    """The app; `/state` tells how its process is doing."""
    app = Flask(__name__, static_folder=None)
    app.config["SECRET_KEY"] = "not a secret"

    @app.before_request
    @nonblocking
    def first() -> None:
        if request.path != "/state":
            begin()

    @app.get("/state")
    async def state() -> dict[str, int]:
        gc.collect()
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return {
            "memory": pages * os.sysconf("SC_PAGE_SIZE"),
            "threads": threading.active_count(),
            "tasks": len(asyncio.all_tasks()),
            "files": len(os.listdir("/proc/self/fd")),
        }

    add_views(app)
    return app


class User:
    """Somebody with a session, who sends one request after the other and reads the answers."""

    def __init__(self, number: int, mistakes: list[str], served: Counter[str]) -> None:
        self.name = f"user-{number}"
        self.number, self.count = number, 0
        self.cookie = ""
        self.mistakes, self.served = mistakes, served

    async def ask(self, get: Get, path: str = "", wait: str = "0.001") -> None:
        """Send one request, by default to the next path in turn, and check its answer."""
        self.count += 1
        path = path or PATHS[(self.number + self.count) % len(PATHS)]
        own = f"{self.name}-{self.count}"
        headers = {"X-Id": own, "X-User": self.name}
        if self.cookie:
            headers["Cookie"] = self.cookie
        status, answer, body = await get(f"{path}?id={own}&wait={wait}", headers)
        expected = {"query": own, "header": own, "g": own, "user": self.name, "count": self.count}
        if status != 200 or json.loads(body) != expected:
            self.mistakes.append(f"{path}: {status} {body!r}, but expected {expected}")
        self.cookie = answer.get("set-cookie", self.cookie).partition(";")[0]
        self.served[path] += 1
