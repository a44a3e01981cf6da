"""The page that shows the notes."""

from __future__ import annotations

from sqlalchemy.orm import selectinload

from aioflask import Blueprint, Response, nonblocking, render_template
from aioflask.typing import ResponseReturnValue

from .models import Note, open_db
from .search import asked, find, matching

pages = Blueprint("pages", __name__)


@pages.get("/")
async def index() -> ResponseReturnValue:
    async with open_db() as db:
        page = await find(db, matching().options(selectinload(Note.files)))
    return render_template("notes.html", page=page, asked=asked())


@pages.after_app_request
@nonblocking
def only_our_own(response: Response) -> Response:
    """Nothing but our own files runs in a page or frames it, whatever a note's text says."""
    response.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'self'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
