"""The REST service under /api, in `async def` views on SQLAlchemy."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer
from werkzeug.exceptions import BadRequest, NotFound, PreconditionFailed, PreconditionRequired

from aioflask import Blueprint, Response, jsonify, request, run_sync, send_file, url_for
from aioflask.typing import ResponseReturnValue

from .auth import current_user, require_login
from .checks import check, line, several, text
from .errors import CHANGED
from .models import File, Note, now, open_db
from .search import find, matching

api = Blueprint("api", __name__, url_prefix="/api")
NOTE = {"title": line(200), "body": text(100_000), "tags": several(line(40), most=20)}


@api.before_request
async def members_write() -> None:
    """Everybody reads, members write; a stranger is refused before a byte of the body is read."""
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        require_login()


@api.get("/notes")
async def list_notes() -> ResponseReturnValue:
    async with open_db() as db:
        page = await find(db, matching())
    following = dict[str, Any](request.args, page=page.next)
    return {
        "notes": [as_json(note) for note in page.notes],
        "total": page.total,
        "page": page.number,
        "per_page": page.size,
        "next": url_for(".list_notes", **following) if page.next else None,
    }


@api.post("/notes")
async def create_note() -> ResponseReturnValue:
    fields = check(request.get_json(), NOTE, required={"title"})
    async with open_db() as db:
        note = Note(author=await current_user(db), tags=[])
        change(note, fields)
        db.add(note)
        await db.commit()
    return answer(note), 201, {"Location": url_for(".read_note", note_id=note.id)}


@api.get("/notes/<id:note_id>")
async def read_note(note_id: int) -> ResponseReturnValue:
    async with open_db() as db:
        note = await get_note(db, note_id)
    return answer(note).make_conditional(request)


@api.put("/notes/<id:note_id>")
@api.patch("/notes/<id:note_id>")
async def change_note(note_id: int) -> ResponseReturnValue:
    """PUT replaces the note, PATCH the fields that it names; both need the ETag they change."""
    if "If-Match" not in request.headers:
        raise PreconditionRequired("Send the note's ETag as If-Match.")
    if request.method == "PUT":
        fields = {"body": "", "tags": []} | check(request.get_json(), NOTE, required={"title"})
    else:
        fields = check(request.get_json(), NOTE)
    async with open_db() as db:
        note = await get_note(db, note_id)
        check_match(note)
        change(note, fields)
        await db.commit()
    return answer(note)


@api.delete("/notes/<id:note_id>")
async def delete_note(note_id: int) -> ResponseReturnValue:
    async with open_db() as db:
        note = await get_note(db, note_id)
        check_match(note)
        await db.delete(note)
        await db.commit()
    return "", 204


@api.get("/notes/<id:note_id>/files")
async def list_files(note_id: int) -> ResponseReturnValue:
    async with open_db() as db:
        await get_note(db, note_id)
        files = await db.scalars(select(File).filter_by(note_id=note_id).order_by(File.id))
    return [file_as_json(file) for file in files]


@api.post("/notes/<id:note_id>/files")
async def attach_file(note_id: int) -> ResponseReturnValue:
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        raise BadRequest("Send a multipart form with the file in its field 'file'.")
    data = await run_sync(upload.read)  # a big one lies on the disk
    async with open_db() as db:
        await get_note(db, note_id)
        file = File(
            note_id=note_id,
            name=upload.filename,
            mimetype=upload.mimetype or "application/octet-stream",
            size=len(data),
            data=data,
        )
        db.add(file)
        await db.commit()
    return file_as_json(file), 201, {"Location": file_url(file)}


@api.get("/notes/<id:note_id>/files/<id:file_id>")
async def download_file(note_id: int, file_id: int) -> ResponseReturnValue:
    """Send the file as a download: a member's HTML must not run as a page of ours."""
    async with open_db() as db:
        query = select(File).filter_by(id=file_id, note_id=note_id).options(undefer(File.data))
        file = await db.scalar(query)
    if file is None:
        raise NotFound("There is no such file.")
    return send_file(
        io.BytesIO(file.data), file.mimetype, as_attachment=True, download_name=file.name
    )


@api.get("/notes.csv")
async def export_notes() -> ResponseReturnValue:
    """Stream the notes that the search matches, a hundred at a time, however many there are."""
    headers = {"Content-Disposition": "attachment; filename=notes.csv"}
    return Response(csv_rows(open_db(), matching()), mimetype="text/csv", headers=headers)


async def csv_rows(db: AsyncSession, query: Select[Note]) -> AsyncIterator[str]:
    """The notes as CSV. Closes its database session also when the client goes halfway."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "title", "author", "tags", "created", "changed", "body"])
    async with db:
        notes = await db.stream_scalars(query.execution_options(yield_per=100))
        async for part in notes.partitions():
            for note in part:
                tags = " ".join(tag.name for tag in note.tags)
                row = [note.title, note.author.name, tags, note.created, note.changed, note.body]
                writer.writerow([note.id, *map(no_formula, row)])
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def no_formula(cell: str) -> str:
    """Keep a spreadsheet from running a cell (OWASP, "CSV Injection")."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


async def get_note(db: AsyncSession, note_id: int) -> Note:
    note = await db.get(Note, note_id)
    if note is None:
        raise NotFound(f"There is no note {note_id}.")
    return note


def check_match(note: Note) -> None:
    """Raise 412 if the request names an ETag and the note has another one by now."""
    if "If-Match" in request.headers and not request.if_match.contains(str(note.version)):
        raise PreconditionFailed(CHANGED)


def change(note: Note, fields: dict[str, Any]) -> None:
    """Set the fields. `changed` is always among them, so that the version grows with each."""
    note.changed = now()
    note.title = fields.get("title", note.title)
    note.body = fields.get("body", note.body)
    if "tags" in fields:
        note.set_tags(fields["tags"])


def answer(note: Note) -> Response:
    """The note as a JSON response with its version as ETag."""
    response = jsonify(as_json(note))
    response.set_etag(str(note.version))
    return response


def as_json(note: Note) -> dict[str, Any]:
    return {
        "id": note.id,
        "title": note.title,
        "body": note.body,
        "tags": [tag.name for tag in note.tags],
        "author": note.author.name,
        "created": note.created,
        "changed": note.changed,
        "url": url_for("api.read_note", note_id=note.id),
    }


def file_as_json(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "mimetype": file.mimetype,
        "size": file.size,
        "url": file_url(file),
    }


def file_url(file: File) -> str:
    return url_for("api.download_file", note_id=file.note_id, file_id=file.id)
