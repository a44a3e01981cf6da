"""Figures about the notes, in plain `def` views on `sqlite3`.

Such a request runs on one worker thread from its first hook to its last, so a connection kept on
`g` stays on the thread that opened it, as `sqlite3` demands.
"""

from __future__ import annotations

import sqlite3

from aioflask import Blueprint, current_app, g
from aioflask.typing import ResponseReturnValue

stats = Blueprint("stats", __name__, url_prefix="/stats")


def get_db() -> sqlite3.Connection:
    """The request's connection, opened when first asked for."""
    if "stats_db" not in g:
        g.stats_db = sqlite3.connect(current_app.config["DATABASE"])
        g.stats_db.row_factory = sqlite3.Row
    db: sqlite3.Connection = g.stats_db
    return db


@stats.teardown_request
def close_db(error: BaseException | None) -> None:
    if "stats_db" in g:
        g.pop("stats_db").close()


@stats.get("/")
def totals() -> ResponseReturnValue:
    """How much there is of everything."""
    row = get_db().execute(
        """
        SELECT (SELECT count(*) FROM notes) AS notes,
               (SELECT count(DISTINCT name) FROM tags) AS tags,
               (SELECT count(*) FROM files) AS files,
               (SELECT coalesce(sum(size), 0) FROM files) AS bytes,
               (SELECT max(changed) FROM notes) AS changed
        """
    )
    return dict(row.fetchone())


@stats.get("/tags")
def tags() -> ResponseReturnValue:
    """The tags, the most used first."""
    rows = get_db().execute(
        "SELECT name, count(*) AS notes FROM tags GROUP BY name ORDER BY notes DESC, name"
    )
    return [dict(row) for row in rows]
