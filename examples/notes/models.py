"""The tables, the way to them, and the first start that makes them."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, Engine, ForeignKey, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import NullPool
from werkzeug.security import generate_password_hash

from aioflask import Flask, current_app


def now() -> str:
    """The time as ISO 8601 text in UTC: SQLite has no type for it, and text sorts as time does."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Base(DeclarativeBase):
    pass


class User(Base):
    """A member of the team."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str]  # a salted hash, see werkzeug.security


class Tag(Base):
    """A word on a note."""

    __tablename__ = "tags"
    note_id: Mapped[int] = mapped_column(
        ForeignKey("notes.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True, index=True)


class File(Base):
    """A file attached to a note. Its bytes are a column that is read only when asked for."""

    __tablename__ = "files"
    id: Mapped[int] = mapped_column(primary_key=True)
    note_id: Mapped[int] = mapped_column(ForeignKey("notes.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    mimetype: Mapped[str]
    size: Mapped[int]
    data: Mapped[bytes] = mapped_column(deferred=True, deferred_raiseload=True)


class Note(Base):
    """A note. `version` counts its changes; a change made to an old version is refused."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str] = mapped_column(default="")
    created: Mapped[str] = mapped_column(default=now)
    changed: Mapped[str] = mapped_column(default=now)
    version: Mapped[int] = mapped_column()
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    author: Mapped[User] = relationship(lazy="joined", innerjoin=True)
    tags: Mapped[list[Tag]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", order_by=Tag.name
    )
    files: Mapped[list[File]] = relationship(lazy="raise", passive_deletes=True, order_by=File.id)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 (SQLAlchemy's own form)
    # A deleted note's number is never given again: neither are its ETags.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    def set_tags(self, names: list[str]) -> None:
        """Let the note have these tags and no others."""
        old = {tag.name: tag for tag in self.tags}
        self.tags = [old.get(name) or Tag(name=name) for name in names]


class Setting(Base):
    """A value that the service made for itself at its first start."""

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


def open_db() -> AsyncSession:
    """A database session of the current app: `async with open_db() as db:`."""
    maker: async_sessionmaker[AsyncSession] = current_app.extensions["notes"]
    return maker()


def init_app(app: Flask) -> None:
    """Make the database if it is not there, and the engine that the `async def` views use."""
    path = Path(app.config["DATABASE"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)  # for its owner alone: the key that signs sessions is in it
    url = URL.create("sqlite", database=str(path))
    first_start(app, create_engine(url, poolclass=NullPool))

    # Opening SQLite costs a millisecond. Keeping nothing open means that there is nothing to close
    # at shutdown and that the engine belongs to no event loop. With a database server, leave the
    # pool to SQLAlchemy.
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        poolclass=NullPool,
        connect_args={"timeout": 30},  # SQLite has one writer at a time; seconds the others wait
    )
    event.listen(engine.sync_engine, "connect", on_connect)
    app.extensions["notes"] = async_sessionmaker(engine, expire_on_commit=False)


def on_connect(connection: DBAPIConnection, record: object) -> None:
    """Let SQLite hold to foreign keys, which it does when each connection asks for it."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def first_start(app: Flask, engine: Engine) -> None:
    """Make tables, key and first user. Of several workers that start at once, one does it."""
    use_write_ahead_log(engine)
    with Session(engine) as db, db.begin():
        db.execute(text("BEGIN IMMEDIATE"))
        Base.metadata.create_all(db.connection())
        key = db.get(Setting, "SECRET_KEY")
        if key is None:
            key = Setting(name="SECRET_KEY", value=secrets.token_hex())
            db.add_all([key, first_user(app)])
        app.config["SECRET_KEY"] = app.config["SECRET_KEY"] or key.value


def use_write_ahead_log(engine: Engine) -> None:
    """Let readers go on while somebody writes: a slow download of the export stops nobody."""
    with engine.connect() as db:
        for attempt in range(100):
            try:
                db.execute(text("PRAGMA journal_mode = WAL"))
                return
            except OperationalError:  # Another worker is at it: here SQLite does not wait.
                if attempt == 99:
                    raise
                time.sleep(0.1)


def first_user(app: Flask) -> User:
    """The user that the configuration names; a password it leaves out is made up and logged."""
    name, password = app.config["FIRST_USER"], app.config["FIRST_PASSWORD"]
    if password is None:
        password = secrets.token_urlsafe(9)
        app.logger.warning("First start: log in as %s with the password %s", name, password)
    return User(name=str(name), password=generate_password_hash(str(password)))
