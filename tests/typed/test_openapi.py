"""The OpenAPI document: valid, complete, stable; and the page."""

from __future__ import annotations

import enum
import json
import subprocess
import sys
import uuid
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import GenericAlias
from typing import Annotated, Any, Literal

import pytest
from openapi_spec_validator import validate
from werkzeug.datastructures import FileStorage

from aioflask import Blueprint, Flask, Response
from aioflask.typed import (
    APIKey,
    Cookie,
    Depends,
    File,
    Form,
    Header,
    HTTPBasic,
    HTTPBearer,
    OAuth2Password,
    OpenAPI,
    Path,
    Query,
    describe,
)
from aioflask.views import MethodView
from tests.typed.models import HAS, MODELS


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Part:
    width: int


@dataclass
class Item:
    name: str
    parts: list[Part] = field(default_factory=list)
    size: Size = Size.SMALL


@dataclass
class Filters:
    q: str
    tags: list[str] = field(default_factory=list)
    limit: int = 20


@dataclass
class Missing:
    reason: str


bearer = HTTPBearer("token", format="JWT", description="From /login.")
key = APIKey("X-Key")


def user(token: Annotated[str, Depends(bearer)], trace: Annotated[str, Header()] = "") -> str:
    return token


def make_app() -> Flask:  # noqa: C901 - many short views
    app = Flask("shop", static_folder="static")
    api = Blueprint("api", "api", url_prefix="/api")

    @app.get("/")
    def index():  # type: ignore[no-untyped-def]
        return "plain Flask"

    @app.get("/text")
    def text() -> str:
        """Say something."""
        return "text"

    @api.get("/items")
    async def search(
        filters: Annotated[Filters, Query()],
        user: Annotated[str, Depends(user)],
        session: Annotated[str, Cookie(description="Yours.")] = "",
        old: Annotated[int | None, Query(deprecated=True, examples=[1, 2], ge=0)] = None,
    ) -> list[Item]:
        """Find items.

        All that match,
        the newest first.
        """
        return []

    @api.post("/items")
    async def create(data: Item) -> tuple[Item, Literal[201]]:
        return data, 201

    @api.get("/items/<int(min=1, max=9):id>")
    @describe(responses={409: "It is locked.", 410: Missing}, tags=["one"], summary="One item")
    async def item(id: int) -> Item:
        raise NotImplementedError

    @api.get("/items/<uuid:key>/<any(a, b):kind>/<path:rest>/<float:size>/<word>.txt")
    def much(
        key: uuid.UUID, kind: str, rest: str, size: float, word: Annotated[str, Path(max_length=3)]
    ) -> Any:
        return ""

    @api.post("/upload")
    def upload(
        files: list[FileStorage],
        raw: Annotated[bytes, File()],
        title: Annotated[str, Form(min_length=1)] = "x",
    ) -> None: ...

    @api.post("/login")
    def login(name: Annotated[str, Form()], password: Annotated[str, Form()]) -> dict[str, str]:
        return {}

    @api.get("/stream")
    async def stream() -> AsyncIterator[Item]:
        yield Item("x")

    @api.get("/either")
    def either() -> Item | Missing | Response:
        return Item("x")

    @api.get("/maybe")
    def maybe() -> Item | None:
        return None

    @api.route("/both", methods=["GET", "POST"])
    def both(q: int = 1) -> dict[str, Item]:
        return {}

    @app.get("/a/<int:page>")
    @app.get("/a")
    def pages(page: int = 1) -> dict[str, int]:
        return {"page": page}

    @app.get("/hidden")
    @describe(hidden=True)
    def hidden() -> str:
        return ""

    @app.get("/keyed")
    def keyed(
        a: Annotated[str, Depends(key)],
        b: Annotated[Any, Depends(HTTPBasic(required=False))],
        c: Annotated[str, Depends(OAuth2Password("/api/login", {"read": "Look."}))],
    ) -> str:
        return ""

    @app.get("/old")
    @describe(deprecated=True, operation_id="theOldOne", description="Do not use.")
    def old() -> str:
        return ""

    class Things(MethodView):
        def get(self, id: int) -> Item:
            """Look at a thing."""
            raise NotImplementedError

        def put(self, id: int, data: Item) -> Item:
            return data

    app.add_url_rule("/things/<int:id>", view_func=Things.as_view("thing"))

    @app.websocket("/ws")
    async def ws() -> None: ...

    @app.errorhandler(404)  # type: ignore[type-var]
    def missing(error: Exception) -> tuple[Missing, int]:
        return {"reason": "It is not here."}, 404  # type: ignore[return-value]

    app.register_blueprint(api)
    OpenAPI(app, title="Shop", version="2", description="A *shop*.", servers=["https://example.org"],
            docs="/docs")  # fmt: skip
    return app


@pytest.fixture(scope="module")
def document() -> Any:
    response = make_app().test_client().get("/openapi.json")
    assert response.mimetype == "application/json"
    return response.get_json()


def test_it_is_valid(document: Any) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert document["info"] == {"title": "Shop", "version": "2", "description": "A *shop*."}


def test_every_view_is_in_it_but_hidden_ones(document: Any) -> None:
    assert set(document["paths"]) == {
        "/", "/text", "/api/items", "/api/items/{id}", "/api/upload", "/api/login", "/api/stream",
        "/api/items/{key}/{kind}/{rest}/{size}/{word}.txt", "/api/either", "/api/maybe",
        "/api/both", "/a", "/a/{page}", "/keyed", "/old", "/things/{id}",
    }  # fmt: skip
    assert set(document["paths"]["/things/{id}"]) == {"get", "put"}
    assert document["paths"]["/"]["get"]["responses"] == {"200": {"description": "OK"}}
    text = document["paths"]["/text"]["get"]
    assert text["summary"] == "Say something."
    assert "text/html" in text["responses"]["200"]["content"]


def test_operation_ids_are_endpoints_and_unique(document: Any) -> None:
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))
    assert {"index", "api_search", "api_create", "api_both_get", "api_both_post", "theOldOne",
            "thing_get", "pages"} <= set(ids)  # fmt: skip
    assert make_app().test_client().get("/openapi.json").get_json() == document


def test_parameters(document: Any) -> None:
    search = document["paths"]["/api/items"]["get"]
    assert search["summary"] == "Find items."
    assert search["description"] == "All that match,\nthe newest first."
    assert search["tags"] == ["api"]
    found = {each["name"]: each for each in search["parameters"]}
    assert set(found) == {"q", "tags", "limit", "session", "old", "trace"}
    assert found["q"]["required"] and not found["limit"]["required"]
    assert found["tags"]["schema"]["type"] == "array"
    assert found["limit"]["schema"]["default"] == 20
    assert found["session"] == {
        "name": "session", "in": "cookie", "required": False, "description": "Yours.",
        "schema": {"type": "string", "default": ""},
    }  # fmt: skip
    assert found["old"]["deprecated"] and len(found["old"]["examples"]) == 2
    assert "0" in json.dumps(found["old"]["schema"])
    assert found["trace"]["in"] == "header"


def test_variables_of_rules(document: Any) -> None:
    (parameter,) = document["paths"]["/api/items/{id}"]["get"]["parameters"]
    assert parameter["schema"] == {"type": "integer", "minimum": 1, "maximum": 9}
    much = document["paths"]["/api/items/{key}/{kind}/{rest}/{size}/{word}.txt"]["get"]
    schemas = {each["name"]: each["schema"] for each in much["parameters"]}
    assert schemas["key"] == {"type": "string", "format": "uuid"}
    assert schemas["kind"]["enum"] == ["a", "b"]
    assert schemas["size"]["type"] == "number"
    assert schemas["word"]["maxLength"] == 3
    assert all(each["required"] for each in much["parameters"])


def test_bodies_and_responses(document: Any) -> None:
    create = document["paths"]["/api/items"]["post"]
    schema = {"$ref": "#/components/schemas/Item"}
    assert create["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": schema}},
    }
    assert create["responses"]["201"]["content"] == {"application/json": {"schema": schema}}
    assert set(create["responses"]) == {"201", "400", "415", "422"}
    problem = create["responses"]["422"]["content"]["application/problem+json"]["schema"]
    assert problem["$ref"].rpartition("/")[2] in document["components"]["schemas"]
    upload = document["paths"]["/api/upload"]["post"]
    body = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert body["required"] == ["files", "raw"]
    assert body["properties"]["files"]["type"] == "array"
    assert upload["responses"]["204"] == {"description": "No Content"}
    login = document["paths"]["/api/login"]["post"]["requestBody"]["content"]
    assert set(login) == {"application/x-www-form-urlencoded", "multipart/form-data"}
    stream = document["paths"]["/api/stream"]["get"]["responses"]["200"]["content"]
    assert set(stream) == {"application/jsonl", "text/event-stream"}
    either = document["paths"]["/api/either"]["get"]["responses"]["200"]["content"]
    assert len(either["application/json"]["schema"]["anyOf"]) == 2
    maybe = document["paths"]["/api/maybe"]["get"]["responses"]["200"]["content"]
    assert {"type": "null"} in maybe["application/json"]["schema"]["anyOf"]


def test_what_is_declared(document: Any) -> None:
    item = document["paths"]["/api/items/{id}"]["get"]
    assert (item["tags"], item["summary"]) == (["one"], "One item")
    assert item["responses"]["409"]["description"] == "It is locked."
    assert "Missing" in json.dumps(item["responses"]["410"])
    assert "Missing" in json.dumps(item["responses"]["404"])  # What its error handler returns.
    assert document["paths"]["/old"]["get"]["deprecated"] is True
    assert document["tags"] == [{"name": "api"}, {"name": "one"}]


def test_security(document: Any) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["token"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                                "description": "From /login."}  # fmt: skip
    assert schemes["APIKey"] == {"type": "apiKey", "in": "header", "name": "X-Key"}
    assert schemes["HTTPBasic"] == {"type": "http", "scheme": "basic"}
    flow = schemes["OAuth2Password"]["flows"]["password"]
    assert flow == {"tokenUrl": "/api/login", "scopes": {"read": "Look."}}
    search = document["paths"]["/api/items"]["get"]
    assert search["security"] == [{"token": []}]
    assert "401" in search["responses"]
    assert set(document["paths"]["/keyed"]["get"]["security"][0]) == {
        "APIKey",
        "HTTPBasic",
        "OAuth2Password",
    }


@pytest.mark.parametrize("name", MODELS)
def test_models_of_every_kind(name: str) -> None:
    app = Flask("models", static_folder=None)
    model = MODELS[name]

    def view(data: Any) -> Any: ...

    view.__annotations__ = {"data": model, "return": GenericAlias(list, (model,))}
    app.post("/")(view)
    OpenAPI(app)
    document = app.test_client().get("/openapi.json").get_json()
    validate(document)
    (schema,) = (
        each for key, each in document["components"]["schemas"].items() if key == model.__name__
    )
    assert schema["required"] == ["name", "price"]
    assert schema["properties"]["price"]["type"] == "number"


@pytest.mark.skipif(not all(HAS.values()), reason="this needs both libraries")
def test_models_of_one_name_in_both_libraries() -> None:
    import msgspec
    import pydantic

    one = msgspec.defstruct("Thing", [("a", int)])
    two = pydantic.create_model("Thing", b=(int, ...))
    app = Flask("both", static_folder=None)
    for path, model in (("/one", one), ("/two", two)):

        def view(data: Any) -> Any: ...

        view.__annotations__ = {"data": model}
        app.add_url_rule(path, path, view, methods=["POST"])
    OpenAPI(app)
    document = app.test_client().get("/openapi.json").get_json()
    validate(document)
    bodies = [path["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
              for path in document["paths"].values()]  # fmt: skip
    found = [document["components"]["schemas"][ref.rpartition("/")[2]] for ref in bodies]
    assert [list(each["properties"]) for each in found] == [["a"], ["b"]]


def test_an_app_without_typed_views_has_a_document() -> None:
    app = Flask("plain", static_folder=None)
    app.config["TYPED_VIEWS"] = False
    app.get("/<int:id>")(lambda id: str(id))
    OpenAPI(app, url="/api/doc.json")
    document = app.test_client().get("/api/doc.json").get_json()
    validate(document)
    assert list(document["paths"]) == ["/{id}"]


def test_the_command_prints_it(tmp_path: FilePath) -> None:
    (tmp_path / "app.py").write_text(
        "from aioflask import Flask\napp = Flask('printed')\n"
        "@app.get('/items/<int:id>')\ndef item(id: int) -> str: ...\n"
    )
    command = [sys.executable, "-m", "aioflask", "openapi"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    validate(document)
    assert document["info"]["title"] == "printed"
    assert list(document["paths"]) == ["/items/{id}"]


# --- the page -------------------------------------------------------------------------------------
def test_the_page_loads_from_here_alone() -> None:
    client = make_app().test_client()
    page = client.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "connect-src 'self' https://example.org" in policy
    assert "<script>" not in page.text and "http" not in page.text
    for name, kind in (
        ("swagger-ui.css", "text/css"),
        ("swagger-ui-bundle.js", "text/javascript"),
        ("favicon-32x32.png", "image/png"),
        ("start.js", "text/javascript"),
    ):
        assert f"/docs/{name}" in page.text
        file = client.get(f"/docs/{name}")
        assert (file.status_code, file.mimetype) == (200, kind)
        file.close()
    assert client.get("/docs/index.html").status_code == 404
    assert client.get("/docs/..%2fpage.py").status_code == 404


def test_there_is_no_page_unless_asked_for() -> None:
    app = Flask("quiet", static_folder=None)
    OpenAPI(app)
    assert app.test_client().get("/docs").status_code == 404
    with pytest.raises(ValueError, match="the page reads the document"):
        OpenAPI(Flask("x"), url=None, docs="/docs")


def test_the_title_is_escaped() -> None:
    app = Flask("escaped", static_folder=None)
    OpenAPI(app, title="<script>alert(1)</script>", docs="/docs/")
    assert "<script>alert" not in app.test_client().get("/docs").text


def test_without_the_pages_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "swagger_ui_bundle", None)
    with pytest.raises(RuntimeError, match=r"pip install 'aioflask\[swagger\]'"):
        OpenAPI(Flask("x"), docs="/docs")


# --- security -------------------------------------------------------------------------------------
def test_credentials() -> None:
    app = Flask("credentials", static_folder=None)

    @app.get("/bearer")
    async def bearer_(token: Annotated[str, Depends(bearer)]) -> dict[str, str]:
        return {"token": token}

    @app.get("/basic")
    def basic(pair: Annotated[tuple[str, str], Depends(HTTPBasic())]) -> dict[str, str]:
        return {"name": pair[0], "password": pair[1]}

    @app.get("/key")
    def key_(
        value: Annotated[str | None, Depends(APIKey("k", "query", required=False))],
    ) -> dict[str, Any]:
        return {"key": value}

    client = app.test_client()
    refused = client.get("/bearer")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert client.get("/bearer", headers={"Authorization": "Basic eDp5"}).status_code == 401
    assert client.get("/bearer", headers={"Authorization": "Bearer"}).status_code == 401
    assert client.get("/bearer", headers={"Authorization": "Bearer t"}).get_json() == {"token": "t"}
    refused = client.get("/basic")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Basic")
    assert client.get("/basic", auth=("a", "b")).get_json() == {"name": "a", "password": "b"}
    assert client.get("/key?k=1").get_json() == {"key": "1"}
    assert client.get("/key").get_json() == {"key": None}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.get("/basic", headers={"Authorization": "Basic !!!"}).status_code == 401
