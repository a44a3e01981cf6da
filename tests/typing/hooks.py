"""Checked usage: hooks, error handlers and template functions, in both colours."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, assert_type

from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError, NotFound
from werkzeug.wrappers import Response as WerkzeugResponse

from aioflask import (
    Blueprint,
    Flask,
    Response,
    after_this_request,
    copy_current_request_context,
    g,
    jsonify,
    request,
    session,
)
from aioflask.blueprints import BlueprintSetupState
from aioflask.templating import Environment
from aioflask.typing import ResponseReturnValue

app = Flask(__name__)
shop = Blueprint("shop", __name__)
nested = Blueprint("nested", __name__, url_prefix="/nested")


class CustomResponse(Response):
    pass


class OutOfStock(Exception):
    def __init__(self, item: str) -> None:
        super().__init__(item)
        self.item = item


class SoldOut(OutOfStock):
    pass


# -- before, after, teardown -----------------------------------------------------------------------


@app.before_request
@shop.before_request
@shop.before_app_request
def before() -> None:
    g.user = session.get("user")


@app.before_request
@shop.before_request
@shop.before_app_request
async def before_async() -> None:
    await request.load_body()


@app.before_request
@shop.before_request
def before_may_answer() -> ResponseReturnValue | None:
    if request.args.get("closed"):
        return {"closed": True}, 503
    return None


@app.before_request
@shop.before_request
async def before_may_answer_async() -> Response | None:
    return Response("closed", 503) if request.args.get("closed") else None


@app.before_request
def before_may_answer_text() -> str | tuple[str, int] | None:
    return None


@app.after_request
@shop.after_request
@shop.after_app_request
def after(response: Response) -> Response:
    response.headers["X-One"] = "1"
    return response


@app.after_request
@shop.after_request
@shop.after_app_request
async def after_async(response: Response) -> Response:
    response.headers["X-Two"] = "2"
    return response


@app.after_request
def after_with_werkzeugs_class(response: WerkzeugResponse) -> WerkzeugResponse:
    return response


@app.after_request
async def after_with_own_class(response: CustomResponse) -> CustomResponse:
    return response


@app.teardown_request
@app.teardown_appcontext
@shop.teardown_request
@shop.teardown_app_request
def teardown(exc: BaseException | None) -> None:
    g.pop("user", None)


@app.teardown_request
@app.teardown_appcontext
@shop.teardown_request
@shop.teardown_app_request
async def teardown_async(exc: BaseException | None = None) -> None:
    g.pop("user", None)


# -- URLs ------------------------------------------------------------------------------------------


@app.url_value_preprocessor
@shop.url_value_preprocessor
@shop.app_url_value_preprocessor
def take_language(endpoint: str | None, values: dict[str, Any] | None) -> None:
    g.language = (values or {}).pop("language", "en")


@app.url_value_preprocessor
@shop.url_value_preprocessor
@shop.app_url_value_preprocessor
async def take_language_async(endpoint: str | None, values: dict[str, Any] | None) -> None:
    g.language = (values or {}).pop("language", "en")


@app.url_defaults
@shop.url_defaults
@shop.app_url_defaults
def add_language(endpoint: str, values: dict[str, Any]) -> None:
    values.setdefault("language", g.language)


def answer_build_error(error: Exception, endpoint: str, values: dict[str, Any]) -> str | None:
    return f"/lost/{endpoint}" if values else None


app.url_build_error_handlers.append(answer_build_error)

# -- templates -------------------------------------------------------------------------------------


@app.context_processor
@shop.context_processor
@shop.app_context_processor
def variables() -> dict[str, Any]:
    return {"user": g.user}


@app.context_processor
@shop.context_processor
@shop.app_context_processor
async def variables_async() -> dict[str, Any]:
    return {"user": g.user}


@app.template_filter
@shop.app_template_filter
def half(value: float) -> float:
    return value / 2


@app.template_filter()
@shop.app_template_filter()
def third(value: float) -> float:
    return value / 3


@app.template_filter("fourth")
@shop.app_template_filter(name="fourth")
def quarter(value: float) -> float:
    return value / 4


@app.template_filter
async def fetched(value: str) -> str:
    return value


@app.template_test
@shop.app_template_test
def even(value: int) -> bool:
    return value % 2 == 0


@app.template_test()
@shop.app_template_test()
def odd(value: int) -> bool:
    return value % 2 == 1


@app.template_test("negative")
@shop.app_template_test(name="negative")
def below_zero(value: int) -> bool:
    return value < 0


@app.template_test
async def known(value: str) -> bool:
    return bool(value)


@app.template_global
@shop.app_template_global
def double(value: int) -> int:
    return 2 * value


@app.template_global()
@shop.app_template_global()
def triple(value: int) -> int:
    return 3 * value


@app.template_global("fourfold")
@shop.app_template_global(name="fourfold")
def quadruple(value: int) -> int:
    return 4 * value


@app.template_global
async def price(item: str) -> int:
    return len(item)


app.add_template_filter(half, "halved")
app.add_template_test(even, "divisible")
app.add_template_global(double, name="doubled")
shop.add_app_template_filter(half, "halved")
shop.add_app_template_test(even, "divisible")
shop.add_app_template_global(double, "doubled")
assert_type(app.jinja_env, Environment)

# -- errors ----------------------------------------------------------------------------------------


@app.errorhandler(404)
@shop.errorhandler(404)
@shop.app_errorhandler(404)
def not_found(error: NotFound) -> tuple[str, int]:
    return f"{error.description}", 404


@app.errorhandler(404)
@shop.errorhandler(404)
@shop.app_errorhandler(404)
async def not_found_async(error: NotFound) -> tuple[dict[str, str | None], int]:
    return {"error": error.description}, 404


@app.errorhandler(HTTPStatus.BAD_REQUEST)
@app.errorhandler(BadRequest)
@app.errorhandler(400)
def bad_request(error: BadRequest) -> ResponseReturnValue:
    return error.get_response()


@app.errorhandler(HTTPException)
async def any_http_error(error: HTTPException) -> ResponseReturnValue:
    return jsonify(error=error.name), error.code or 500


@app.errorhandler(HTTPException)
def passed_on(error: HTTPException) -> HTTPException:
    return error


@app.errorhandler(500)
def unhandled(error: InternalServerError) -> str:
    return str(error.original_exception)


@app.errorhandler(Exception)
async def everything(error: Exception) -> tuple[str, int]:
    return str(error), 500


@app.errorhandler(OutOfStock)
@shop.errorhandler(OutOfStock)
@shop.app_errorhandler(OutOfStock)
def out_of_stock(error: OutOfStock) -> tuple[dict[str, str], int]:
    return {"item": error.item}, 409


@app.errorhandler(OutOfStock)
@shop.errorhandler(OutOfStock)
@shop.app_errorhandler(OutOfStock)
async def out_of_stock_async(error: OutOfStock) -> tuple[dict[str, str], int]:
    return {"item": error.item}, 409


# A handler may be given less than it takes, and one may serve several.
@app.errorhandler(SoldOut)
def of_its_base(error: OutOfStock) -> str:
    return error.item


@app.errorhandler(SoldOut)
@app.errorhandler(403)
async def of_several(error: SoldOut | HTTPException) -> str:
    return str(error)


app.register_error_handler(405, lambda error: (str(error), 405))
app.register_error_handler(SoldOut, out_of_stock_async)
shop.register_error_handler(NotFound, not_found)

# -- within a request ------------------------------------------------------------------------------


@app.get("/")
def index() -> str:
    @after_this_request
    def add(response: Response) -> Response:
        response.headers["X-Late"] = "1"
        return response

    @after_this_request
    async def add_async(response: Response) -> Response:
        return add(response)

    @copy_current_request_context
    def later(times: int) -> str:
        return request.path * times

    @copy_current_request_context
    async def later_async(times: int) -> str:
        return request.path * times

    async def types() -> None:
        assert_type(add(response=Response()), Response)
        assert_type(await add_async(response=Response()), Response)
        assert_type(later(times=2), str)
        assert_type(await later_async(times=2), str)

    callables: list[Callable[..., Any]] = [later, types]
    return str(len(callables))


# -- blueprints ------------------------------------------------------------------------------------


@shop.record
def recorded(state: BlueprintSetupState) -> None:
    assert_type(state.app, Flask)
    assert_type(state.url_prefix, str | None)
    state.add_url_rule("/recorded", "recorded", lambda: "recorded")


shop.record_once(lambda state: state.app.config.setdefault("SHOP", "open"))
shop.register_blueprint(nested, url_prefix="/below")
app.register_blueprint(shop, url_prefix="/shop", subdomain=None, url_defaults={"language": "en"})
assert_type(list(app.iter_blueprints()), list[Blueprint])
assert_type(app.blueprints, dict[str, Blueprint])


def decorators_keep_the_type() -> None:
    assert_type(before_may_answer_text(), str | tuple[str, int] | None)
    assert_type(after(response=Response()), Response)
    teardown(None)
    take_language(endpoint=None, values=None)
    add_language(endpoint="index", values={})
    assert_type(variables(), dict[str, Any])
    assert_type(half(value=1), float)
    assert_type(third(value=1), float)
    assert_type(quarter(value=1), float)
    assert_type(even(value=1), bool)
    assert_type(odd(value=1), bool)
    assert_type(below_zero(value=1), bool)
    assert_type(double(value=1), int)
    assert_type(triple(value=1), int)
    assert_type(quadruple(value=1), int)
    assert_type(not_found(error=NotFound()), tuple[str, int])
    assert_type(out_of_stock(error=SoldOut("tea")), tuple[dict[str, str], int])


async def async_decorators_keep_the_type() -> None:
    await before_async()
    await teardown_async()
    assert_type(await before_may_answer_async(), Response | None)
    assert_type(await after_async(response=Response()), Response)
    assert_type(await variables_async(), dict[str, Any])
    assert_type(await fetched(value=""), str)
    assert_type(await known(value=""), bool)
    assert_type(await price(item="tea"), int)
    assert_type(await out_of_stock_async(error=SoldOut("tea")), tuple[dict[str, str], int])
