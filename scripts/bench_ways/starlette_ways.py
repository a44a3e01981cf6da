"""The same of Starlette, whose hooks are middleware and cannot be plain functions."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello, Ada!")


async def view(request: Request) -> PlainTextResponse:
    await asyncio.sleep(0)
    return PlainTextResponse("Hello, Ada!")


def plain_of_session(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"Hello, {request.session['name']}!")


async def view_of_session(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"Hello, {request.session['name']}!")


async def login(request: Request) -> PlainTextResponse:
    request.session["name"] = "Ada"
    return PlainTextResponse("")


apps: dict[str, Any] = {
    "bare": Starlette(routes=[Route("/plain", plain), Route("/async", view)]),
    "hosts": Starlette(
        routes=[
            Route("/plain", plain_of_session),
            Route("/async", view_of_session),
            Route("/login", login),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"]),
            Middleware(SessionMiddleware, secret_key="a secret of a fair length"),
        ],
    ),
}
