"""Which notes a request asks for, by `q`, `tag`, `author`, `page` and `per_page`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from aioflask import request

from .checks import check, number, text
from .models import Note, Tag, User

CHECKS = {
    "q": text(200),
    "tag": text(200),
    "author": text(200),
    "page": number(1_000_000),
    "per_page": number(100),
}


@dataclass
class Page:
    """One page of a list of notes."""

    notes: Sequence[Note]
    total: int
    number: int
    size: int

    @property
    def next(self) -> int | None:
        """The number of the page after this one."""
        return self.number + 1 if self.number * self.size < self.total else None

    @property
    def previous(self) -> int | None:
        """The number of the page before this one."""
        return self.number - 1 if self.number > 1 else None


def asked() -> dict[str, str | int]:
    """The request's search, checked; parameters that mean nothing here are passed over."""
    return check({name: request.args[name] for name in CHECKS if name in request.args}, CHECKS)


def matching() -> Select[Note]:
    """The query for all notes that the request's search matches, the newest first."""
    query, wanted = select(Note).order_by(Note.id.desc()), asked()
    if q := wanted.get("q"):
        query = query.where(
            or_(Note.title.icontains(q, autoescape=True), Note.body.icontains(q, autoescape=True))
        )
    if tag := wanted.get("tag"):
        query = query.where(Note.tags.any(Tag.name == tag))
    if author := wanted.get("author"):
        query = query.where(Note.author.has(User.name == author))
    return query


async def find(db: AsyncSession, query: Select[Note]) -> Page:
    """The page of the query's notes that the request asks for."""
    wanted = asked()
    number, size = int(wanted.get("page", 1)), int(wanted.get("per_page", 20))
    total = await db.scalar(query.order_by(None).with_only_columns(func.count(Note.id)))
    notes = await db.scalars(query.limit(size).offset((number - 1) * size))
    return Page(notes.all(), total or 0, number, size)
