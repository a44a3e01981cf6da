"""The service: what its views take and return is what its document says."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from aioflask import Blueprint, abort, current_app, nonblocking, request, url_for
from aioflask.typed import Depends, HTTPBearer, Query, describe

from .models import ItemRow

items = Blueprint("items", __name__, url_prefix="/items")

LARGEST = 2**63 - 1  # What SQLite's integers hold.

Word = Annotated[str, Meta(min_length=1, max_length=30)]


class NewItem(msgspec.Struct, forbid_unknown_fields=True):
    """What a client says of an item."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    cents: Annotated[int, Meta(ge=0, le=100_000_000, description="The price.")]
    tags: Annotated[list[Word], Meta(max_length=10)] = []


class Item(msgspec.Struct):
    """An item."""

    id: int
    name: str
    cents: int
    tags: list[str]


@dataclass
class Problem:
    """What went wrong."""

    status: int
    reason: str


# --- what the views depend on ---------------------------------------------------------------------


async def get_session() -> AsyncIterator[AsyncSession]:
    """A session of the request's own, committed if its view succeeds, and rolled back if not."""
    async with request.state.sessions() as session, session.begin():
        yield session


bearer = HTTPBearer("token", description="The service's token, for everything that writes.")


@nonblocking
def writer(token: Annotated[str, Depends(bearer)]) -> None:
    """Somebody who may write."""
    if not hmac.compare_digest(token.encode(), current_app.config["TOKEN"].encode()):
        abort(401, "This is not the token.")


Session = Annotated[AsyncSession, Depends(get_session)]
Writer = Annotated[None, Depends(writer)]


async def find(id: int, session: Session) -> ItemRow:
    """The item that the URL names."""
    row = await session.get(ItemRow, id) if id <= LARGEST else None
    return row or abort(404, "There is no such item.")


Found = Annotated[ItemRow, Depends(find)]


# --- the views ------------------------------------------------------------------------------------


@items.get("/")
async def search(
    session: Session,
    q: Annotated[str, Query(max_length=80, description="A part of the name.")] = "",
    after: Annotated[int, Query(ge=0, le=LARGEST, description="The last id you have.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[Item]:
    """Find items, by their ids' order."""
    query = select(ItemRow).where(ItemRow.id > after).order_by(ItemRow.id).limit(limit)
    if q:
        query = query.where(ItemRow.name.contains(q, autoescape=True))
    return [*await session.scalars(query)]


@items.get("/export")
async def export(session: Session) -> AsyncIterator[Item]:
    """All items, a line each, or an event each."""
    async for row in await session.stream_scalars(select(ItemRow).order_by(ItemRow.id)):
        yield row  # type: ignore[misc]


@items.post("/")
@describe(responses={409: "Another item has the name."})
async def create(
    writer: Writer, data: NewItem, session: Session
) -> tuple[Item, Literal[201], dict[str, str]]:
    """Add an item."""
    row = ItemRow(name=data.name, cents=data.cents, tags=data.tags)
    session.add(row)
    await flush(session)
    return row, 201, {"Location": url_for("items.show", id=row.id)}  # type: ignore[return-value]


@items.get("/<int:id>")
async def show(id: int, item: Found) -> Item:
    """One item."""
    return item  # type: ignore[return-value]


@items.put("/<int:id>")
@describe(responses={409: "Another item has the name."})
async def change(id: int, writer: Writer, item: Found, data: NewItem, session: Session) -> Item:
    """Say all of an item anew."""
    item.name, item.cents, item.tags = data.name, data.cents, data.tags
    await flush(session)
    return item  # type: ignore[return-value]


@items.delete("/<int:id>")
async def remove(id: int, writer: Writer, item: Found, session: Session) -> None:
    """Take an item away."""
    await session.delete(item)


async def flush(session: AsyncSession) -> None:
    """Write what is new, so that a name that is taken is a 409."""
    try:
        await session.flush()
    except IntegrityError:
        abort(409, "Another item has this name.")
