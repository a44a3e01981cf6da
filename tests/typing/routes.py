"""Checked usage: all that a view may return, `def` and `async def`, and how it is registered."""

from __future__ import annotations

import io
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, assert_type

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as WerkzeugResponse

from aioflask import (
    Blueprint,
    Flask,
    Response,
    abort,
    jsonify,
    make_response,
    redirect,
    render_template_async,
    render_template_string,
    render_template_string_async,
    send_file,
    send_from_directory,
    stream_template_string,
    stream_with_context,
    url_for,
)
from aioflask.typing import (
    ASGIApplication,
    Receive,
    ResponseReturnValue,
    RouteCallable,
    Scope,
    Send,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

app = Flask(__name__)
pages = Blueprint("pages", __name__, url_prefix="/pages")


class Status(TypedDict):
    status: str


class Note(TypedDict, total=False):
    id: int
    text: str


# -- text, bytes, JSON -----------------------------------------------------------------------------


@app.route("/text")
def text() -> str:
    return "text"


@app.route("/text-async")
async def text_async() -> str:
    return "text"


@app.get("/bytes")
def data() -> bytes:
    return b"data"


@app.get("/bytes-async")
async def data_async() -> bytes:
    return b"data"


@app.get("/dict")
def mapping() -> dict[str, Any]:
    return {"status": "ok"}


@app.get("/dict-async")
async def mapping_async() -> dict[str, int]:
    return {"status": 1}


@app.get("/list")
def listing() -> list[Any]:
    return [1, "two"]


@app.get("/list-async")
async def listing_async() -> list[dict[str, str]]:
    return [{"status": "ok"}]


@app.get("/typed-dict")
def typed_dict() -> Status:
    return {"status": "ok"}


@app.get("/typed-dict-async")
async def typed_dict_async() -> Note:
    return {"id": 1}


@app.get("/typed-dicts")
async def typed_dicts() -> list[Note]:
    return [{"id": 1}, {"text": "two"}]


@app.get("/jsonify")
def json_response() -> Response:
    return jsonify(status="ok")


@app.get("/jsonify-async")
async def json_response_async() -> Response:
    return jsonify([1, 2])


# -- with a status, with headers -------------------------------------------------------------------


@app.get("/status")
def with_status() -> tuple[str, int]:
    return "made", 201


@app.get("/status-async")
async def with_status_async() -> tuple[dict[str, Any], int]:
    return {"made": True}, 201


@app.get("/status-enum")
def with_status_enum() -> tuple[str, HTTPStatus]:
    return "made", HTTPStatus.CREATED


@app.get("/status-enum-async")
async def with_status_enum_async() -> tuple[list[int], HTTPStatus]:
    return [1], HTTPStatus.CREATED


@app.get("/status-typed-dict")
async def typed_dict_with_status() -> tuple[Status, int]:
    return {"status": "made"}, 201


@app.get("/headers-dict")
def headers_dict() -> tuple[str, dict[str, str]]:
    return "a,b", {"Content-Type": "text/csv"}


@app.get("/headers-dict-async")
async def headers_dict_async() -> tuple[bytes, dict[str, str]]:
    return b"a,b", {"Content-Type": "text/csv"}


@app.get("/headers-lists")
def headers_of_lists() -> tuple[str, dict[str, list[str]]]:
    return "twice", {"X-Tag": ["one", "two"]}


@app.get("/headers-pairs")
async def headers_pairs() -> tuple[str, list[tuple[str, str]]]:
    return "pairs", [("X-One", "1"), ("X-Two", "2")]


@app.get("/headers-object")
def headers_object() -> tuple[str, Headers]:
    return "object", Headers({"X-One": "1"})


@app.get("/headers-mapping")
async def headers_mapping() -> tuple[str, Mapping[str, str]]:
    return "mapping", {"X-One": "1"}


@app.get("/all-three")
def all_three() -> tuple[str, int, dict[str, str]]:
    return "made", 201, {"Location": "/text"}


@app.get("/all-three-async")
async def all_three_async() -> tuple[dict[str, Any], HTTPStatus, list[tuple[str, str]]]:
    return {"made": True}, HTTPStatus.CREATED, [("Location", "/text")]


@app.get("/response-with-status")
def response_with_status() -> tuple[Response, int]:
    return jsonify(made=True), 201


@app.get("/response-with-all")
async def response_with_all() -> tuple[Response, int, dict[str, str]]:
    return make_response("made"), 201, {"X-One": "1"}


# -- responses -------------------------------------------------------------------------------------


class CsvResponse(Response):
    default_mimetype = "text/csv"


@app.get("/response")
def response() -> Response:
    return Response("text", status=HTTPStatus.OK, mimetype="text/plain", headers={"X-One": "1"})


@app.get("/response-async")
async def response_async() -> Response:
    return Response(b"text", status="202 LATER", content_type="text/plain", headers=[("X", "1")])


@app.get("/response-subclass")
async def response_subclass() -> CsvResponse:
    return CsvResponse(["a,", "b"])


@app.get("/werkzeug")
def werkzeug_response() -> WerkzeugResponse:
    return WerkzeugResponse("theirs")


@app.get("/make-response")
def made() -> Response:
    answer = make_response("made", 201, {"X-One": "1"})
    assert_type(answer, Response)
    answer.headers["X-Two"] = "2"
    answer.set_cookie("name", "value", httponly=True, samesite="Lax")
    answer.status_code = 202
    answer.cache_control.no_store = True
    return answer


@app.get("/redirect")
def redirected() -> WerkzeugResponse:
    return redirect(url_for("text"))


@app.get("/redirect-async")
async def redirected_async() -> WerkzeugResponse:
    return redirect(url_for("text", _external=True), code=303)


@app.get("/file")
def file() -> Response:
    return send_file(io.BytesIO(b"data"), mimetype="text/plain", download_name="data.txt")


@app.get("/file-async")
async def file_async() -> Response:
    return send_file(Path(__file__), as_attachment=True, max_age=60)


@app.get("/directory")
def directory() -> Response:
    return send_from_directory(Path(__file__).parent, "routes.py", mimetype="text/plain")


@app.get("/abort")
def aborted() -> str:
    abort(404)


@app.get("/abort-async/<int:id>")
async def aborted_async(id: int) -> Note:
    if id > 1:
        abort(404, description="There is one note.")
    return {"id": id}


@app.get("/either/<int:id>")
def either(id: int) -> Response | str | tuple[str, int]:
    if id == 0:
        return Response("zero")
    return "one" if id == 1 else ("more", 201)


@app.get("/any-of-them")
async def any_of_them() -> ResponseReturnValue:
    return {"any": "of them"}, 200, {"X-One": "1"}


# -- templates -------------------------------------------------------------------------------------


@app.get("/template")
def template() -> str:
    return render_template_string("{{ name }}", name="Ada")


@app.get("/template-async")
async def template_async() -> str:
    return await render_template_string_async("{{ name }}", name="Ada")


@app.get("/template-file/<name>")
async def template_file(name: str) -> str:
    return await render_template_async([f"{name}.html", "any.html"], name=name)


@app.get("/template-stream")
def template_stream() -> Iterator[str]:
    return stream_template_string("{{ name }}", name="Ada")


@app.get("/template-stream-async")
async def template_stream_async() -> Iterator[str]:
    return stream_template_string("{{ name }}", name="Ada")


# -- streams ---------------------------------------------------------------------------------------


@app.get("/generator")
def generator() -> Generator[str, None, None]:
    yield "one"
    yield "two"


@app.get("/iterator")
def iterator() -> Iterator[bytes]:
    return iter([b"one", b"two"])


@app.get("/iterator-async")
async def iterator_async() -> Iterator[str]:
    return (piece for piece in ("one", "two"))


@app.get("/async-generator")
async def async_generator() -> AsyncGenerator[str, None]:
    async def pieces() -> AsyncGenerator[str, None]:
        yield "one"
        yield "two"

    return pieces()


@app.get("/async-generator-itself")
async def async_generator_itself() -> AsyncGenerator[str, None]:
    yield "one"
    yield "two"


@app.get("/async-generator-plain")
def async_generator_of_plain() -> AsyncGenerator[bytes, None]:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"one"
        yield b"two"

    return pieces()


@app.get("/async-iterator")
async def async_iterator() -> AsyncIterator[bytes]:
    @stream_with_context
    async def pieces(last: int) -> AsyncIterator[bytes]:
        for number in range(last):
            yield b"%d" % number

    return pieces(3)


@app.get("/stream-with-status")
async def stream_with_status() -> tuple[AsyncIterator[str], int, dict[str, str]]:
    async def pieces() -> AsyncIterator[str]:
        yield "one"

    return pieces(), 200, {"Content-Type": "text/event-stream"}


@app.get("/stream-response")
async def stream_response() -> Response:
    async def pieces() -> AsyncIterator[str]:
        yield "one"

    return Response(pieces(), mimetype="text/event-stream")


# -- applications ----------------------------------------------------------------------------------


def wsgi_hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


async def asgi_hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@app.get("/wsgi")
def wsgi() -> WSGIApplication:
    return wsgi_hello


@app.get("/asgi")
async def asgi() -> ASGIApplication:
    return asgi_hello


# -- ways to register ------------------------------------------------------------------------------


@app.route("/sum/<int:a>/<int:b>", methods=["GET", "POST"], defaults={"c": 0}, endpoint="sum")
@app.get("/sum/<int:a>/<int:b>/<int:c>")
async def three_numbers(a: int, b: int, c: int) -> str:
    return str(a + b + c)


@app.post("/post")
async def post() -> tuple[str, int]:
    return "made", 201


@app.put("/put")
def put() -> str:
    return "put"


@app.patch("/patch")
async def patch() -> str:
    return "patched"


@app.delete("/delete")
def delete() -> tuple[str, int]:
    return "", 204


@pages.get("/")
def index() -> str:
    return "index"


@pages.route("/<name>", methods=["GET", "PUT"])
async def page(name: str) -> dict[str, str]:
    return {"name": name}


@pages.endpoint("pages.later")
def later() -> str:
    return "later"


def view_of(name: str) -> RouteCallable:
    def view() -> str:
        return name

    return view


pages.add_url_rule("/later", endpoint="later")
app.add_url_rule("/made/one", "one", view_of("one"))
app.add_url_rule("/made/two", "two", view_func=text_async, methods=["GET"])
app.add_url_rule("/made/lambda", "lambda", lambda: "lambda", strict_slashes=False)
app.register_blueprint(pages)
app.register_blueprint(pages, name="again", url_prefix="/again")
app.endpoint("again.later")(later)


def decorators_keep_the_type() -> None:
    assert_type(text(), str)
    assert_type(typed_dict(), Status)
    assert_type(with_status_enum(), tuple[str, HTTPStatus])
    assert_type(index(), str)
    either(id=1)
    views: list[Callable[[], ResponseReturnValue]] = [text, data, mapping, generator, wsgi]
    assert views


async def async_decorators_keep_the_type() -> None:
    assert_type(await text_async(), str)
    assert_type(await page("name"), dict[str, str])
    assert_type(await three_numbers(a=1, b=2, c=3), str)
    assert_type(await async_iterator(), AsyncIterator[bytes])
