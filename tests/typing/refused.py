"""What a type checker must refuse: an `ignore` here that nothing needs any more fails its check.

Nothing in this file runs.
"""

# What a refused decorator makes of its function, and what is unknown after an error, is no finding.
# pyright: reportUntypedFunctionDecorator=false, reportUnusedExpression=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# ruff: noqa: B018

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from aioflask import (
    Blueprint,
    Flask,
    Request,
    Response,
    abort,
    after_this_request,
    copy_current_request_context,
    flash,
    g,
    redirect,
    render_template,
    render_template_async,
    render_template_string_async,
    request,
    request_started,
    run_sync,
    send_file,
    send_from_directory,
    session,
    stream_with_context,
    url_for,
)
from aioflask.concurrency import async_to_sync
from aioflask.json.provider import JSONProvider
from aioflask.sessions import SessionInterface, SessionMixin
from aioflask.views import View

app = Flask(__name__)
shop = Blueprint("shop", __name__)


class OutOfStock(Exception):
    pass


# -- views -----------------------------------------------------------------------------------------


@app.route("/")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def returns_a_number() -> int:
    return 1


@shop.route("/")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def returns_a_number_async() -> float:
    return 1.5


@app.post("/")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def returns_a_set() -> set[str]:
    return {"one"}


@app.get("/")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def status_before_body() -> tuple[int, str]:
    return 200, "body"


@app.get("/")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def status_of_text() -> tuple[str, str, dict[str, str]]:
    return "body", "200", {}


@app.get("/")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def headers_of_numbers() -> tuple[str, dict[str, int]]:
    return "body", {"X-One": 1}


@app.get("/")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def four_parts() -> tuple[str, int, dict[str, str], str]:
    return "body", 200, {}, "more"


@shop.get("/")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def stream_of_numbers() -> AsyncIterator[int]:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    return numbers()


def a_view() -> str:
    return "view"


app.route("/", view_func=a_view)(5)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
app.add_url_rule("/", view_func="a_view")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
app.route(methods=["GET"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
app.get("/", a_view)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class ReturnsNothing(View):
    def dispatch_request(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


class ReturnsNumberAsync(View):
    async def dispatch_request(self, id: int) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return id


class OneDecorator(View):
    decorators = render_template  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


app.add_url_rule("/", view_func=View)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
app.add_url_rule("/", view_func=View.as_view())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# -- hooks -----------------------------------------------------------------------------------------


@app.before_request  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def before_with_argument(request: Request) -> None:
    pass


@app.before_request  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def before_returns_number() -> int:
    return 1


@shop.before_request  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def before_returns_number_async() -> int:
    return 1


@app.after_request  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def after_returns_nothing(response: Response) -> None:
    pass


@shop.after_app_request  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def after_returns_nothing_async(response: Response) -> None:
    pass


@app.after_request  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def after_takes_nothing() -> Response:
    return Response()


@app.after_request  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def after_returns_text(response: Response) -> str:
    return ""


@app.teardown_request  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def teardown_takes_nothing() -> None:
    pass


@app.teardown_appcontext  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def teardown_takes_other(exc: int) -> None:
    pass


@app.context_processor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def processor_returns_list() -> list[str]:
    return []


@shop.context_processor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def processor_returns_nothing() -> None:
    pass


@app.url_defaults  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def url_defaults_async(endpoint: str, values: dict[str, Any]) -> None:
    pass


@app.url_value_preprocessor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def preprocessor_takes_one(endpoint: str | None) -> None:
    pass


@app.shell_context_processor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def shell_names_async() -> dict[str, Any]:
    return {}


@app.template_test  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
def test_returns_text(value: str) -> str:
    return value


@shop.app_template_test("named")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def test_returns_number(value: int) -> int:
    return value


app.template_filter(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
app.add_template_global("name")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# -- errors ----------------------------------------------------------------------------------------


@app.errorhandler(404)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def handler_returns_nothing(error: Exception) -> None:
    pass


@app.errorhandler(404)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
async def handler_returns_number(error: Exception) -> int:
    return 404


@shop.errorhandler(OutOfStock)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def handler_takes_nothing() -> str:
    return ""


@app.errorhandler("404")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def handler_of_text(error: Exception) -> str:
    return ""


@app.errorhandler(OutOfStock())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def handler_of_instance(error: OutOfStock) -> str:
    return ""


@shop.app_errorhandler(dict)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def handler_of_no_exception(error: Exception) -> str:
    return ""


app.register_error_handler(404)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
app.register_error_handler(404, "handler")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# -- what has to be awaited, and what must not be --------------------------------------------------


async def not_awaited() -> str:
    render_template_async("page.html")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    request.load_body()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    text: str = render_template_string_async("text")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    Response(render_template_string_async(text))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run_sync(a_view)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    return render_template_async("page.html")  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


async def not_awaitable() -> None:
    await render_template("page.html")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await url_for("index")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await run_sync(a_view, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    async with app.test_client():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    with app.async_client():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


def in_plain_code() -> None:
    async_to_sync(a_view)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stream_with_context("text")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    stream_with_context(run_sync(a_view))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    later: Callable[[], int] = copy_current_request_context(a_view)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    copy_current_request_context(a_view)(later)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# -- what views call -------------------------------------------------------------------------------


def a_request() -> None:
    request.args.get("page", type=int) + 1  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand]
    request.form["name"] + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    request.get_data(as_text=True).decode()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    request.method = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    request.max_content_length = "1 MB"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    request.headers.get("X-One").upper()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    request.no_such_attribute  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    session.permanent = "yes"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    session[1] = "one"  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    g.pop()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def plain_nothing(response: Response) -> None:
    pass


def answers(response: Response) -> Response:
    Response(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Response("text", 200.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Response("text", headers=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Response("text", headers={"X-One": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Response([1, 2])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    response.status_code = "200"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    response.set_cookie("name", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    response.headers = {"X-One": "1"}  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    app.make_response(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.make_response(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    after_this_request(plain_nothing)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]

    return response


def helpers() -> None:
    if g.aborts:
        abort()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    if g.aborts_with_text:
        abort("404")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    url_for()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    url_for("index", "page")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    url_for("index", _external="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    redirect("/", "302")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    flash(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send_file(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send_file("page.html", max_age="1 day")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send_from_directory("pages")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    render_template(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -- the application -------------------------------------------------------------------------------


def settings() -> None:
    app.debug = "yes"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    app.import_name = app.secret_key  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    app.config.from_pyfile(app.permanent_session_lifetime)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.config.from_file("shop.json")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    app.config.from_file("shop.json", load=json.loads)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.config.from_file(5, load=json.load)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.config.from_prefixed_env("SHOP", json.loads)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    app.config[1] = 1  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    app.static_folder = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    app.session_interface = SessionMixin  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    app.json_provider_class = dict  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    app.request_class = Response  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    app.no_such_attribute  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def parts() -> None:
    Flask()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Flask(__name__, static_folder=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Flask(__name__, no_such_option=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Blueprint("name")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    app.register_blueprint(app)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.register_blueprint("shop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    request_started.connect(5)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


class WrongStore(SessionInterface):
    def open_session(self, app: Flask, request: Request) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return 1

    async def save_session(self, app: Flask, session: SessionMixin) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


class WrongJSON(JSONProvider):
    def dumps(self, obj: Any, **kwargs: Any) -> bytes:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return b""

    def loads(self, s: int, **kwargs: Any) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return None


class WrongApp(Flask):
    request_class = Response  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    response_class = str  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    config_class = dict  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    jinja_options = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
