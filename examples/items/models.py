"""The table, and the sessions that reach it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import JSON, URL
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Sessions = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    pass


class ItemRow(Base):
    """An item, as the database has it."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    cents: Mapped[int]
    tags: Mapped[list[str]] = mapped_column(JSON)


@asynccontextmanager
async def open_database(path: str) -> AsyncIterator[Sessions]:
    """Make the file and its table if there are none, and give what opens sessions."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=path))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield async_sessionmaker(engine, expire_on_commit=False)
    finally:
        await engine.dispose()
