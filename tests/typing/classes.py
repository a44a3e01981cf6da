"""Checked usage: views as classes, and subclasses of the application and what it is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, assert_type, cast

from click.testing import Result
from werkzeug.datastructures import ImmutableDict
from werkzeug.exceptions import Aborter, HTTPException, InternalServerError
from werkzeug.routing import BaseConverter, Map, Rule

from aioflask import Blueprint, Config, Flask, Request, Response
from aioflask.cli import ScriptInfo
from aioflask.ctx import AppContext, RequestContext
from aioflask.json.provider import DefaultJSONProvider, JSONProvider
from aioflask.sessions import (
    SecureCookieSession,
    SecureCookieSessionInterface,
    SessionInterface,
    SessionMixin,
)
from aioflask.templating import Environment
from aioflask.testing import FlaskClient, FlaskCliRunner
from aioflask.typing import (
    ASGIApplication,
    Receive,
    ResponseReturnValue,
    RouteCallable,
    Scope,
    Send,
)
from aioflask.views import MethodView, View

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

app = Flask(__name__)
F = TypeVar("F", bound=Callable[..., Any])


def logged(view: F) -> F:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        app.logger.info("called")
        return view(*args, **kwargs)

    return cast(F, wrapper)


# -- views -----------------------------------------------------------------------------------------


class Hello(View):
    methods: ClassVar = ["GET", "POST"]
    decorators: ClassVar = [logged]
    init_every_request = False

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def dispatch_request(self, name: str) -> ResponseReturnValue:
        return f"{self.greeting}, {name}!"


class HelloAsync(View):
    methods = frozenset({"GET"})
    provide_automatic_options = False

    async def dispatch_request(self, *, name: str = "you") -> dict[str, str]:
        return {"hello": name}


class HelloNobody(View):
    def dispatch_request(self) -> str:
        return "Hello!"


class Notes(MethodView):
    init_every_request = False

    def get(self, id: int | None = None) -> list[Any] | dict[str, Any]:
        return [] if id is None else {"id": id}

    def post(self) -> tuple[dict[str, Any], int]:
        return {"id": 1}, 201


class NotesAsync(MethodView):
    decorators: ClassVar[list[Callable[..., Any]]] = [logged, logged]

    async def get(self, id: int) -> dict[str, Any]:
        return {"id": id}

    async def delete(self, id: int) -> tuple[str, int]:
        return "", 204


class Counted(MethodView):
    async def dispatch_request(self, **kwargs: Any) -> Response:
        return Response(str(len(kwargs)))


hello = Hello.as_view("hello", "Good morning")
assert_type(hello, RouteCallable)
app.add_url_rule("/hello/<name>", view_func=hello)
app.add_url_rule("/hello", view_func=HelloAsync.as_view("hello_async"))
app.add_url_rule("/nobody", view_func=HelloNobody.as_view("nobody"))
app.add_url_rule("/notes", view_func=Notes.as_view("notes"), strict_slashes=False)
app.add_url_rule("/notes/<int:id>", view_func=NotesAsync.as_view("note"), methods=["GET"])
app.add_url_rule("/counted", view_func=Counted.as_view(name="counted"))

# -- subclasses ------------------------------------------------------------------------------------


class OwnRequest(Request):
    list_storage_class = list
    user_id: int | None = None

    @property
    def is_mobile(self) -> bool:
        return "Mobile" in self.user_agent.string

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        return {}


class OwnResponse(Response):
    default_mimetype = "application/json"
    default_status = 200
    charset = "utf-8"
    autocorrect_location_header = True

    def __init__(self, response: str | bytes | None = None, **options: Any) -> None:
        super().__init__(response, **options)


class OwnConfig(Config):
    def from_ini(self, path: str) -> bool:
        return self.from_file(path, load=json.load)


class OwnEnvironment(Environment):
    intercepted_binops = frozenset({"//"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        return super().getattr(obj, attribute)


class OwnJSON(DefaultJSONProvider):
    sort_keys = False
    compact = True
    mimetype = "application/vnd.api+json"

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, **kwargs)


class OtherJSON(JSONProvider):
    def dumps(self, obj: Any, *, indent: int | None = None, **kwargs: Any) -> str:
        return json.dumps(obj, indent=indent, **kwargs)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return json.loads(s, **kwargs)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return super().response(*args, **kwargs)


class ListConverter(BaseConverter):
    regex = r"[^/]+"

    def to_python(self, value: str) -> list[str]:
        return value.split(",")

    def to_url(self, value: Iterable[str]) -> str:
        return ",".join(super(ListConverter, self).to_url(each) for each in value)


class OwnRule(Rule):
    pass


class OwnMap(Map):
    default_subdomain = "www"


class OwnClient(FlaskClient):
    def log_in(self, name: str) -> None:
        with self.session_transaction() as session:
            session["user"] = name


class OwnRunner(FlaskCliRunner):
    def invoke_version(self) -> Result:
        return self.invoke(args=["--version"])


class OwnApp(Flask):
    default_config = ImmutableDict({**Flask.default_config, "SHOP": "open"})
    request_class = OwnRequest
    response_class = OwnResponse
    config_class = OwnConfig
    jinja_environment = OwnEnvironment
    jinja_options = {"trim_blocks": True}  # noqa: RUF012
    json_provider_class = OwnJSON
    aborter_class = Aborter
    url_rule_class = OwnRule
    url_map_class = OwnMap
    test_client_class = OwnClient
    test_cli_runner_class = OwnRunner

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None, template_folder="pages")
        self.url_map.converters["list"] = ListConverter

    def make_config(self, instance_relative: bool = False) -> Config:
        config = super().make_config(instance_relative)
        config["SHOP"] = "closed"
        return config

    def make_response(self, rv: ResponseReturnValue | None) -> Response:
        return super().make_response("" if rv is None else rv)

    def create_jinja_environment(self) -> Environment:
        environment = super().create_jinja_environment()
        environment.trim_blocks = True
        return environment

    def select_jinja_autoescape(self, filename: str | None) -> bool:
        return True

    def get_send_file_max_age(self, filename: str | None) -> int | None:
        return 60 if filename else super().get_send_file_max_age(filename)

    def should_ignore_error(self, error: BaseException | None) -> bool:
        return isinstance(error, HTTPException)

    def log_exception(self, exc_info: Any) -> None:
        self.logger.critical("It failed.", exc_info=exc_info)

    def inject_url_defaults(self, endpoint: str, values: dict[str, Any]) -> None:
        values.setdefault("language", "en")

    def url_for(self, /, endpoint: str, **values: Any) -> str:
        return super().url_for(endpoint, **values)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return super().ensure_sync(func)

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: RouteCallable | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        super().add_url_rule(rule, endpoint, view_func, provide_automatic_options, **options)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return super().wsgi_app(environ, start_response)

    async def asgi_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().asgi_app(scope, receive, send)


class PlainSteps(Flask):
    """The walk's methods, replaced by plain functions."""

    def full_dispatch_request(self) -> Response:
        response: Response = super().full_dispatch_request()
        return response

    def preprocess_request(self) -> ResponseReturnValue | None:
        return None

    def dispatch_request(self) -> ResponseReturnValue:
        return "dispatched"

    def handle_user_exception(self, e: Exception) -> ResponseReturnValue:
        return str(e), 500

    def handle_http_exception(self, e: HTTPException) -> HTTPException | ResponseReturnValue:
        return e

    def handle_exception(self, e: Exception) -> Response:
        return self.response_class(str(InternalServerError(original_exception=e)))

    def finalize_request(self, rv: Any, from_error_handler: bool = False) -> Response:
        return self.make_response(rv)

    def process_response(self, response: Response) -> Response:
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        return None


class AsyncSteps(Flask):
    """The walk's methods, replaced by `async def` functions."""

    async def full_dispatch_request(self) -> Response:
        response: Response = await super().full_dispatch_request()
        return response

    async def preprocess_request(self) -> ResponseReturnValue | None:
        return None

    async def dispatch_request(self) -> ResponseReturnValue:
        value: ResponseReturnValue = await super().dispatch_request()
        return value

    async def handle_user_exception(self, e: Exception) -> ResponseReturnValue:
        return str(e), 500

    async def handle_exception(self, e: Exception) -> Response:
        return self.response_class(str(e), 500)

    async def process_response(self, response: Response) -> Response:
        return response

    async def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        return None


class OwnBlueprint(Blueprint):
    def register(self, app: Flask, options: dict[str, Any]) -> None:
        super().register(app, {"url_prefix": "/own", **options})


# -- sessions --------------------------------------------------------------------------------------


class ServerSession(dict[str, Any], SessionMixin):
    def __init__(self, sid: str, data: Mapping[str, Any]) -> None:
        super().__init__(data)
        self.sid = sid
        self.modified = False


class PlainStore(SessionInterface):
    pickle_based = True

    def open_session(self, app: Flask, request: Request) -> ServerSession | None:
        sid = request.cookies.get(self.get_cookie_name(app))
        return None if sid is None else ServerSession(sid, {})

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, ServerSession)
        expires = self.get_expiration_time(app, session)
        if self.should_set_cookie(app, session):
            response.set_cookie(self.get_cookie_name(app), session.sid, expires=expires)


class AsyncStore(SessionInterface):
    async def open_session(self, app: Flask, request: Request) -> SessionMixin | None:
        return ServerSession("1", {})

    async def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        response.delete_cookie(self.get_cookie_name(app), path=self.get_cookie_path(app))


class SaltedCookies(SecureCookieSessionInterface):
    salt = "own"
    key_derivation = "hmac"

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        session = super().open_session(app, request)
        assert_type(session, SecureCookieSession | None)
        return session


own = OwnApp(__name__)
own.session_interface = PlainStore()
own.session_interface = AsyncStore()
own.session_interface = SaltedCookies()
own.json = OtherJSON(own)
own.json.dumps({}, indent=2)
own.register_blueprint(OwnBlueprint("own", __name__))


def what_an_own_app_gives() -> None:
    assert_type(own.config, Config)
    assert_type(own.app_context(), AppContext)
    assert_type(own.test_request_context("/", method="POST"), RequestContext)
    assert_type(own.url_map, Map)
    assert_type(own.permanent_session_lifetime, timedelta)
    with OwnClient(own, Response) as client:
        assert_type(client, OwnClient)
    assert_type(ScriptInfo(create_app=lambda: own).load_app(), Flask)
    servers_take: list[WSGIApplication | ASGIApplication] = [own, own.wsgi_app, own.asgi_app]
    assert servers_take
