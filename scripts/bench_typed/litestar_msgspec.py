"""The same of Litestar, with msgspec's structs."""

from __future__ import annotations

from typing import Annotated, Any

from bench_typed.aioflask_msgspec import Order, order
from litestar import Litestar, get, post
from litestar.params import Parameter


@post("/orders", status_code=200)
async def create(data: Order) -> dict[str, Any]:
    return {"id": data.id, "lines": len(data.lines)}


@get("/search")
async def search(
    q: str, limit: Annotated[int, Parameter(ge=1, le=100)] = 20, exact: bool = False
) -> dict[str, Any]:
    return {"q": q, "limit": limit, "exact": exact}


@get("/order")
async def show() -> Order:
    return order


app = Litestar([create, search, show], openapi_config=None)
