"""The same of FastAPI, with pydantic's models."""

from __future__ import annotations

from typing import Annotated, Any

from bench_typed.aioflask_pydantic import Order, order
from fastapi import FastAPI, Query

app = FastAPI()


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
