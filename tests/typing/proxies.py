"""Checked usage: `request`, `session`, `g` and `current_app`, and the contexts behind them."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_type

from werkzeug.datastructures import (
    FileStorage,
    Headers,
    ImmutableMultiDict,
    MultiDict,
    RequestCacheControl,
)
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, Rule
from werkzeug.user_agent import UserAgent

from aioflask import (
    Flask,
    Request,
    Response,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    session,
)
from aioflask.ctx import (
    AppContext,
    RequestContext,
    _AppCtxGlobals,  # pyright: ignore[reportPrivateUsage]
)
from aioflask.globals import app_ctx, request_ctx
from aioflask.sessions import SessionMixin
from aioflask.typing import Scope

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

app = Flask(__name__)
app.config.update(SECRET_KEY="dev", SHOP="open")


@app.post("/body")
def body() -> Response:
    assert_type(request, Request)
    assert_type(request.form, ImmutableMultiDict[str, str])
    assert_type(request.form["name"], str)
    assert_type(request.form.get("name"), str | None)
    assert_type(request.form.get("name", ""), str)
    assert_type(request.form.get("age", type=int), int | None)
    assert_type(request.form.get("age", 0, int), int)
    assert_type(request.form.getlist("tag"), list[str])
    assert_type(request.files, ImmutableMultiDict[str, FileStorage])
    assert_type(request.files["upload"], FileStorage)
    assert_type(request.files["upload"].filename, str | None)
    request.files["upload"].save(io.BytesIO())
    assert_type(request.data, bytes)
    assert_type(request.get_data(), bytes)
    assert_type(request.get_data(as_text=True), str)
    assert_type(request.get_json(force=True, silent=True, cache=False), Any)
    assert_type(request.stream, Any)  # A file, or an ArrivingBody.
    assert_type(request.content_length, int | None)
    assert_type(request.mimetype, str)
    assert_type(request.is_json, bool)
    assert_type(request.max_content_length, int | None)
    request.max_content_length = 1_000
    request.max_form_memory_size = None
    request.max_form_parts = 10
    request.max_body_memory = 1_000_000
    return Response(status=204)


@app.post("/body-async")
async def body_async() -> dict[str, Any]:
    await request.load_body()
    assert_type(request.json, Any)
    assert_type(request.get_json(), Any)
    return {"name": request.get_json()["name"]}


@app.get("/head/<int:id>")
async def head(id: int) -> str:
    assert_type(request.args, MultiDict[str, str])
    assert_type(request.args["page"], str)
    assert_type(request.args.get("page"), str | None)
    assert_type(request.args.get("page", type=int), int | None)
    assert_type(request.args.get("page", 1, type=int), int)
    assert_type(request.args.get("page", default=1, type=int), int)
    assert_type(request.args.getlist("tag", type=int), list[int])
    assert_type(request.args.to_dict(), dict[str, str])
    assert_type(request.values["page"], str)
    assert_type(request.headers, Headers)
    assert_type(request.headers["Accept"], str)
    assert_type(request.headers.get("X-One"), str | None)
    assert_type(request.headers.get("X-One", type=int), int | None)
    assert_type(request.cookies, ImmutableMultiDict[str, str])
    assert_type(request.cookies.get("name"), str | None)
    assert_type(request.method, str)
    assert_type(request.path, str)
    assert_type(request.full_path, str)
    assert_type(request.url, str)
    assert_type(request.base_url, str)
    assert_type(request.host, str)
    assert_type(request.host_url, str)
    assert_type(request.root_path, str)
    assert_type(request.root_url, str)
    assert_type(request.query_string, bytes)
    assert_type(request.scheme, str)
    assert_type(request.is_secure, bool)
    assert_type(request.server, tuple[str, int | None] | None)
    assert_type(request.remote_addr, str | None)
    assert_type(request.access_route, list[str])
    assert_type(request.user_agent, UserAgent)
    assert_type(request.cache_control, RequestCacheControl)
    assert_type(request.if_modified_since, datetime | None)
    assert_type(request.accept_mimetypes.best_match(["text/html"]), str | None)
    assert_type(request.endpoint, str | None)
    assert_type(request.blueprint, str | None)
    assert_type(request.blueprints, list[str])
    assert_type(request.url_rule, Rule | None)
    assert_type(request.view_args, dict[str, Any] | None)
    assert_type(request.routing_exception, HTTPException | None)
    assert_type(request.scope, Scope | None)
    request.remote_addr = "127.0.0.1"
    request.scheme = "https"
    environ: WSGIEnvironment = request.environ
    if request.authorization is not None:
        assert_type(request.authorization.username, str | None)
    return str(len(environ) + id)


@app.get("/session")
async def use_session() -> str:
    assert_type(session, SessionMixin)
    session["user"] = 1
    assert_type(session["user"], Any)
    assert_type(session.get("user"), Any | None)
    assert_type(session.pop("user", None), Any)
    assert_type(session.permanent, bool)
    assert_type(session.new, bool)
    session.permanent = True
    session.modified = True
    session.setdefault("list", []).append(1)
    for key in session:
        assert_type(key, str)
    if "user" in session:
        del session["user"]
    session.clear()
    return "used"


@app.get("/g")
def use_g() -> str:
    assert_type(g, _AppCtxGlobals)
    g.user = {"name": "Ada"}
    assert_type(g.get("user"), Any)
    assert_type(g.get("user", default=None), Any)
    assert_type(g.pop("user"), Any)
    assert_type(g.setdefault("count", 0), Any)
    assert_type(g.count, Any)
    g.count += 1
    del g.count
    assert_type("user" in g, bool)
    assert_type(list(g), list[str])
    return str(g)


@app.get("/app")
async def use_app() -> str:
    assert_type(current_app, Flask)
    assert_type(current_app.config["SHOP"], Any)
    assert_type(current_app.name, str)
    assert_type(current_app.debug, bool)
    assert_type(current_app.root_path, str)
    assert_type(current_app.instance_path, str)
    assert_type(current_app.static_folder, str | None)
    assert_type(current_app.extensions, dict[str, Any])
    assert_type(current_app.permanent_session_lifetime, timedelta)
    assert_type(current_app.url_for("use_app", _external=True, page=2), str)
    current_app.logger.info("%s is served", request.path)
    with current_app.open_resource("proxies.py", "r") as file:
        return str(file.read())


def is_the_app(app: Flask) -> bool:
    return app is current_app


def contexts() -> None:
    assert_type(has_app_context(), bool)
    assert_type(has_request_context(), bool)
    assert_type(app_ctx, AppContext)
    assert_type(request_ctx.request, Request)
    assert_type(request_ctx.session, SessionMixin)
    assert_type(app_ctx.url_adapter, MapAdapter | None)
    is_the_app(current_app)
    with app.app_context() as ctx:
        assert_type(ctx, AppContext)
        assert_type(ctx.g, _AppCtxGlobals)
        assert_type(ctx.app, Flask)
    with app.test_request_context("/", method="POST", json={}) as request_context:
        assert_type(request_context, RequestContext)
        assert_type(request_context.request, Request)
    pushed = app.app_context()
    pushed.push()
    pushed.pop()


async def contexts_async() -> None:
    async with app.app_context() as ctx:
        assert_type(ctx, AppContext)
    async with app.test_request_context("/") as request_context:
        assert_type(request_context, RequestContext)
