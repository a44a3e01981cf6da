"""Typed views of aioflask with pydantic's models."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from bench_typed.requests import ORDER

from aioflask import Flask
from aioflask.typed import Query


class Line(pydantic.BaseModel):
    sku: str
    count: int
    price: float


class Order(pydantic.BaseModel):
    id: int
    customer: str
    email: str
    street: str
    city: str
    postcode: str
    express: bool
    discount: float
    note: str
    lines: list[Line]


app = Flask(__name__, static_folder=None)
order = Order.model_validate(ORDER)


@app.post("/orders")
async def create(data: Order) -> dict[str, Any]:
    return {"id": data.id, "lines": len(data.lines)}


@app.get("/search")
async def search(
    q: str, limit: Annotated[int, Query(ge=1, le=100)] = 20, exact: bool = False
) -> dict[str, Any]:
    return {"q": q, "limit": limit, "exact": exact}


@app.get("/order")
async def show() -> Order:
    return order
