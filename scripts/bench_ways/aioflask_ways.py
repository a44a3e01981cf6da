"""Hooks, hosts, sessions and a bare application, in Flask's way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aioflask


def applications(flask: Any) -> dict[str, Any]:
    """The applications by what they have; ``flask`` is aioflask, or a module with its API."""
    bare, hooks, hosts = (flask.Flask(__name__) for _ in range(3))
    hosts.config.update(TRUSTED_HOSTS=["127.0.0.1"], SECRET_KEY="a secret of a fair length")

    @hooks.before_request
    def first() -> None:
        flask.g.notes = ["first"]

    @hooks.before_request
    def second() -> None:
        flask.g.notes.append("second")

    @hooks.before_request
    def third() -> None:
        flask.g.notes.append("third")

    @hooks.teardown_request
    def forget(error: BaseException | None) -> None:
        assert len(flask.g.pop("notes")) == 3

    @hosts.get("/login")
    async def login() -> str:
        flask.session["name"] = "Ada"
        return ""

    add_views(bare, lambda: "Ada", waits=True)
    add_views(hooks, lambda: "Ada")
    add_views(hosts, lambda: flask.session["name"])
    return {"bare": bare, "hooks": hooks, "hosts": hosts}


def add_views(app: Any, name: Callable[[], str], waits: bool = False) -> None:
    @app.get("/plain")
    def plain() -> str:
        return f"Hello, {name()}!"

    @app.get("/async")
    async def view() -> str:
        if waits:
            await asyncio.sleep(0)
        return f"Hello, {name()}!"


apps = applications(aioflask)
