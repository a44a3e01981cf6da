"""The same of BlackSheep, with pydantic's models; it checks no bounds of a query."""

from __future__ import annotations

from typing import Any

from bench_typed.aioflask_pydantic import Order, order
from blacksheep import Application, FromJSON, FromQuery, get, json, post

app = Application()


@post("/orders")
async def create(data: FromJSON[Order]) -> Any:
    return json({"id": data.value.id, "lines": len(data.value.lines)})


@get("/search")
async def search(q: FromQuery[str], limit: FromQuery[int], exact: FromQuery[bool]) -> Any:
    return json({"q": q.value, "limit": limit.value, "exact": exact.value})


@get("/order")
async def show() -> Order:
    return order
