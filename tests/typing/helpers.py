"""Checked usage: what views call, streams that keep their context, and crossing between colours."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, NoReturn, assert_never, assert_type

from markupsafe import Markup
from werkzeug.datastructures import Headers, ResponseCacheControl
from werkzeug.wrappers import Response as WerkzeugResponse

import aioflask
from aioflask import (
    Flask,
    Response,
    abort,
    current_app,
    flash,
    get_flashed_messages,
    get_template_attribute,
    json,
    jsonify,
    make_response,
    nonblocking,
    redirect,
    render_template,
    render_template_async,
    render_template_string,
    render_template_string_async,
    request,
    run_sync,
    send_file,
    send_from_directory,
    stream_template,
    stream_template_string,
    stream_with_context,
    url_for,
)
from aioflask.concurrency import async_to_sync
from aioflask.helpers import get_debug_flag, get_root_path

app = Flask(__name__)

# -- responses -------------------------------------------------------------------------------------


def responses() -> None:
    assert_type(jsonify(1, 2), Response)
    assert_type(jsonify(name="Ada"), Response)
    assert_type(make_response(), Response)
    assert_type(make_response("text", 201), Response)
    assert_type(make_response(("text", 201, {"X-One": "1"})), Response)
    assert_type(app.make_response("text"), Response)
    assert_type(app.make_response(({"made": True}, HTTPStatus.CREATED)), Response)
    assert_type(redirect("/"), WerkzeugResponse)
    assert_type(redirect("/", 308, Response=WerkzeugResponse), WerkzeugResponse)
    assert_type(app.redirect("/", code=303), WerkzeugResponse)
    assert_type(send_file("page.html"), Response)
    assert_type(send_file(Path("page.html"), etag="tag", last_modified=datetime.now()), Response)
    assert_type(send_file(io.BytesIO(), "text/plain", max_age=lambda name: 60), Response)
    assert_type(send_from_directory("pages", "page.html", as_attachment=True), Response)
    assert_type(app.send_static_file("page.css"), Response)


async def pieces() -> AsyncIterator[bytes]:
    yield b"one"


def bodies_of_responses() -> None:
    Response()
    Response("text", HTTPStatus.OK, [("X-One", "1")], "text/plain")
    Response(b"data", "200 FINE", Headers({"X-One": "1"}), content_type="text/plain")
    Response(["one", "two"], 200, {"X-One": ["1", "2"]})
    Response([b"one"], direct_passthrough=True)
    Response(line for line in ("one", "two"))
    Response(pieces())
    Response(io.BytesIO(b"data"))


def response_attributes(response: Response) -> None:
    assert_type(response.headers, Headers)
    assert_type(response.headers.get("X-One"), str | None)
    assert_type(response.status_code, int)
    assert_type(response.status, str)
    assert_type(response.get_data(), bytes)
    assert_type(response.get_data(as_text=True), str)
    assert_type(response.json, Any | None)
    assert_type(response.get_json(), Any)
    assert_type(response.mimetype, str | None)
    assert_type(response.content_type, str)
    assert_type(response.cache_control, ResponseCacheControl)
    assert_type(response.location, str)
    assert_type(response.max_cookie_size, int)
    response.status_code = HTTPStatus.CREATED
    response.status = "201 CREATED"
    response.data = "text"
    response.set_data(b"data")
    response.headers["X-One"] = "1"
    response.headers.update({"X-One": "1"})
    response.content_length = 4
    response.mimetype = "text/plain"
    response.location = "/"
    response.set_cookie("name", "value", max_age=60, secure=True, partitioned=True)
    response.delete_cookie("name", path="/")
    response.set_etag("tag", weak=True)
    response.make_conditional(request)
    response.response = [b"one", b"two"]
    response.headers = Headers()
    response.call_on_close(print)


def url_of_index() -> str:
    assert_type(url_for("index", page=1, _anchor="top", _method="GET", _scheme="https"), str)
    assert_type(app.url_for("index", _external=True), str)
    return url_for(".index")


# -- the end of a request --------------------------------------------------------------------------


def refuse(reason: str) -> NoReturn:
    abort(403, description=reason)


def only_numbers(value: int | str) -> int:
    if isinstance(value, str):
        abort(HTTPStatus.BAD_REQUEST)
    assert_type(value, int)
    return value


def everything_handled(value: bool) -> str:
    if value is True:
        return "yes"
    if value is False:
        abort(Response("no", 409))
    assert_never(value)


# -- flashed messages, templates, JSON -------------------------------------------------------------


def messages() -> None:
    flash("Saved.")
    flash("Careful.", "warning")
    flash(Markup("<b>Saved.</b>"), category="info")
    assert_type(get_flashed_messages(), list[str] | list[tuple[str, str]])
    get_flashed_messages(with_categories=True, category_filter=["info"])


def templates() -> None:
    assert_type(render_template("page.html", name="Ada"), str)
    assert_type(render_template(["page.html", "any.html"]), str)
    assert_type(render_template(app.jinja_env.get_template("page.html")), str)
    assert_type(render_template_string("{{ name }}", name="Ada"), str)
    assert_type(stream_template("page.html", name="Ada"), Iterator[str])
    assert_type(stream_template_string("{{ name }}"), Iterator[str])
    assert_type(get_template_attribute("macros.html", "hello"), Any)
    assert_type(get_template_attribute("macros.html", "hello")("Ada"), Any)


async def templates_async() -> None:
    assert_type(await render_template_async("page.html", name="Ada"), str)
    assert_type(await render_template_async(["page.html", "any.html"]), str)
    assert_type(await render_template_string_async("{{ name }}", name="Ada"), str)


def json_text(file: IO[str]) -> None:
    assert_type(json.dumps({"a": 1}, indent=2), str)
    assert_type(json.loads('{"a": 1}'), Any)
    assert_type(json.loads(b"{}"), Any)
    assert_type(json.load(file), Any)
    json.dump([1], file)
    assert_type(app.json.dumps([1]), str)
    assert_type(app.json.loads("[1]"), Any)
    assert_type(app.json.response(a=1), Response)


# -- streams ---------------------------------------------------------------------------------------


def plain_pieces() -> Iterator[str]:
    yield request.path


@stream_with_context
def counted(last: int, *, start: int = 0) -> Iterator[str]:
    yield from map(str, range(start, last))


@stream_with_context
async def counted_async(last: int, *, start: int = 0) -> AsyncIterator[bytes]:
    for number in range(start, last):
        yield b"%d" % number


def streams() -> None:
    assert_type(stream_with_context(plain_pieces()), Iterator[str])
    assert_type(stream_with_context(pieces()), AsyncIterator[bytes])
    assert_type(stream_with_context(piece for piece in (b"one", b"two")), Iterator[bytes])
    assert_type(counted(3, start=1), Iterator[str])
    assert_type(counted_async(last=3), AsyncIterator[bytes])
    assert_type(stream_with_context(plain_pieces)(), Iterator[str])
    assert_type(stream_with_context(pieces)(), AsyncIterator[bytes])


# -- crossing --------------------------------------------------------------------------------------


def query(table: str, *, limit: int = 10) -> list[str]:
    return [table] * limit


@nonblocking
@app.before_request
def quick() -> None:
    pass


@app.get("/nonblocking")
@nonblocking
def quick_view() -> str:
    return "quick"


async def fetch(url: str, timeout: float = 1.0) -> bytes:
    return url.encode()


async def crossing_from_async() -> None:
    assert_type(await run_sync(query, "notes", limit=2), list[str])
    assert_type(await run_sync(lambda: 1), int)
    quick()
    assert_type(quick_view(), str)


def crossing_from_plain() -> None:
    assert_type(async_to_sync(fetch)("/", timeout=2), bytes)
    assert_type(app.ensure_sync(fetch), Callable[..., Any])
    assert_type(app.ensure_sync(fetch)("/"), Any)
    assert_type(current_app.ensure_sync(query)("notes"), Any)
    assert_type(app.async_to_sync(fetch)("/"), Any)
    calls: list[Callable[..., Awaitable[bytes]]] = [fetch]
    assert calls


def the_rest() -> None:
    assert_type(get_debug_flag(), bool)
    assert_type(get_root_path(__name__), str)
    assert_type(aioflask.json.dumps({}), str)
