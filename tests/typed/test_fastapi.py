"""What FastAPI's tutorial does, done here; and what differs on purpose.

A test for each of the tutorial's pages, by its name: https://fastapi.tiangolo.com/tutorial/
"""

from __future__ import annotations

import datetime
import enum
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from werkzeug.datastructures import FileStorage

from aioflask import Blueprint, Flask, Response, abort, g, redirect, request
from aioflask.testing import FlaskClient
from aioflask.typed import (
    Body,
    Cookie,
    Depends,
    File,
    Form,
    Header,
    HTTPBasic,
    OAuth2Password,
    OpenAPI,
    Path,
    Query,
    RequestValidationError,
    describe,
)


class Model(enum.Enum):
    ALEXNET = "alexnet"
    RESNET = "resnet"


@dataclass
class Image:
    url: str
    name: str


@dataclass
class Item:
    name: str
    price: float
    description: str | None = None
    tags: set[str] = field(default_factory=set)
    images: list[Image] | None = None


@dataclass
class UserIn:
    username: str
    password: str


@dataclass
class UserOut:
    username: str


@dataclass
class Plane:
    size: int


@pytest.fixture
def app() -> Flask:
    return Flask("fastapi", static_folder=None)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def errors(response: Any) -> set[tuple[str, str]]:
    assert response.status_code == 422
    return {(each["in"], each["pointer"]) for each in response.get_json(force=True)["errors"]}


def test_path_parameters(app: Flask, client: FlaskClient) -> None:
    @app.get("/users/me")
    async def me() -> dict[str, Any]:
        return {"user": "me"}

    @app.get("/users/<user_id>")
    async def user(user_id: str) -> dict[str, Any]:
        return {"user": user_id}

    @app.get("/models/<model>")
    async def model(model: Annotated[Model, Path()]) -> dict[str, Any]:
        return {"model": model.name}

    @app.get("/files/<path:file_path>")
    async def file(file_path: str) -> dict[str, Any]:
        return {"path": file_path}

    assert client.get("/users/me").get_json() == {"user": "me"}
    assert client.get("/users/3").get_json() == {"user": "3"}
    assert client.get("/models/resnet").get_json() == {"model": "RESNET"}
    assert errors(client.get("/models/lenet")) == {("path", "#/model")}
    assert client.get("/files/home/a.txt").get_json() == {"path": "home/a.txt"}


def test_query_parameters(app: Flask, client: FlaskClient) -> None:
    @app.get("/items/<item_id>")
    async def item(
        item_id: str, needy: str, skip: int = 0, limit: int | None = None, short: bool = False
    ) -> dict[str, Any]:
        return {"id": item_id, "needy": needy, "skip": skip, "limit": limit, "short": short}

    found = client.get("/items/foo?needy=x&short=1&limit=3").get_json()
    assert found == {"id": "foo", "needy": "x", "skip": 0, "limit": 3, "short": True}
    assert errors(client.get("/items/foo")) == {("query", "#/needy")}


def test_request_body(app: Flask, client: FlaskClient) -> None:
    @app.put("/items/<int:item_id>")
    async def change(item_id: int, item: Item, q: str | None = None) -> dict[str, Any]:
        return {"id": item_id, "name": item.name, "q": q}

    response = client.put("/items/3?q=x", json={"name": "cup", "price": 42})
    assert response.get_json() == {"id": 3, "name": "cup", "q": "x"}


def test_query_parameters_and_string_validations(app: Flask, client: FlaskClient) -> None:
    @app.get("/")
    async def items(
        q: Annotated[str | None, Query(min_length=3, max_length=5, pattern="^fix")] = None,
        item: Annotated[list[str], Query(alias="item-query")] = ["foo", "bar"],  # noqa: B006
    ) -> dict[str, Any]:
        return {"q": q, "item": item}

    assert client.get("/").get_json() == {"q": None, "item": ["foo", "bar"]}
    assert client.get("/?q=fixed&item-query=a&item-query=b").get_json()["item"] == ["a", "b"]
    for bad in ("fi", "fixedq", "other"):
        assert errors(client.get(f"/?q={bad}")) == {("query", "#/q")}


def test_path_parameters_and_numeric_validations(app: Flask, client: FlaskClient) -> None:
    @app.get("/<int:item_id>")
    async def item(
        item_id: Annotated[int, Path(ge=1, le=1000)], size: Annotated[float, Query(gt=0, lt=10.5)]
    ) -> dict[str, Any]:
        return {"id": item_id, "size": size}

    assert client.get("/3?size=1.5").get_json() == {"id": 3, "size": 1.5}
    assert errors(client.get("/1001?size=11")) == {("path", "#/item_id"), ("query", "#/size")}


def test_query_parameter_models(app: Flask, client: FlaskClient) -> None:
    @dataclass
    class Filters:
        order: Literal["created", "updated"] = "created"
        tags: list[str] = field(default_factory=list)

    @app.get("/")
    async def items(filters: Annotated[Filters, Query()]) -> dict[str, Any]:
        return {"order": filters.order, "tags": filters.tags}

    assert client.get("/?order=updated&tags=a&tags=b").get_json()["tags"] == ["a", "b"]
    assert errors(client.get("/?order=x")) == {("query", "#/order")}


def test_body_nested_models(app: Flask, client: FlaskClient) -> None:
    @app.post("/items")
    async def create(item: Item) -> Item:
        return item

    @app.post("/images")
    async def images(images: list[Image]) -> list[Image]:
        return images

    @app.post("/weights")
    async def weights(weights: dict[int, float]) -> dict[str, Any]:
        return {"sum": sum(weights.values()), "keys": sorted(weights)}

    item = {"name": "cup", "price": 1, "tags": ["a", "a"], "images": [{"url": "u", "name": "n"}]}
    answer = client.post("/items", json=item).get_json()
    assert (answer["tags"], answer["images"]) == (["a"], item["images"])
    item["images"] = [{"url": "u"}, {"url": 3, "name": "n"}]
    found = errors(client.post("/items", json=item))
    assert found == {("body", "#/images/0/name"), ("body", "#/images/1/url")}
    assert client.post("/images", json=[{"url": "u", "name": "n"}]).status_code == 200
    assert client.post("/weights", json={"1": 1.5, "2": 2}).get_json() == {
        "sum": 3.5,
        "keys": [1, 2],
    }
    assert client.post("/weights", json={"a": 1}).status_code == 422


def test_declare_request_example_data(app: Flask, client: FlaskClient) -> None:
    @app.post("/")
    async def create(
        item: Annotated[Item, Body(examples=[{"name": "Foo", "price": 3}])],
    ) -> None: ...

    OpenAPI(app)
    body = client.get("/openapi.json").get_json()["paths"]["/"]["post"]["requestBody"]
    examples = body["content"]["application/json"]["examples"]
    assert examples == {"1": {"value": {"name": "Foo", "price": 3}}}


def test_extra_data_types(app: Flask, client: FlaskClient) -> None:
    @dataclass
    class Extra:
        id: uuid.UUID
        start: datetime.datetime
        at: datetime.time
        after: datetime.timedelta
        price: Decimal

    @app.post("/")
    async def back(extra: Extra) -> Extra:
        assert isinstance(extra.after, datetime.timedelta)
        return extra

    given = {"id": str(uuid.uuid4()), "start": "2026-11-29T10:00:00Z", "at": "10:30:00",
             "after": "PT1H", "price": "1.10"}  # fmt: skip
    assert client.post("/", json=given).get_json()["start"] == given["start"]
    wrong = dict.fromkeys(given, "x")
    assert errors(client.post("/", json=wrong)) == {("body", f"#/{key}") for key in given}


def test_cookie_and_header_parameters(app: Flask, client: FlaskClient) -> None:
    @app.get("/")
    async def items(
        ads_id: Annotated[str | None, Cookie()] = None,
        user_agent: Annotated[str | None, Header()] = None,
        x_token: Annotated[list[str] | None, Header()] = None,
    ) -> dict[str, Any]:
        return {"ads": ads_id, "agent": user_agent, "tokens": x_token}

    client.set_cookie("ads_id", "a")
    headers = [("User-Agent", "me"), ("X-Token", "foo"), ("X-Token", "bar")]
    found = client.get("/", headers=headers).get_json()
    assert found == {"ads": "a", "agent": "me", "tokens": ["foo", "bar"]}


def test_response_model(app: Flask, client: FlaskClient) -> None:
    @app.post("/user")
    async def create(user: UserIn) -> UserOut:
        return user  # type: ignore[return-value]

    @app.get("/portal")
    async def portal(teleport: bool = False) -> UserOut | Response:
        if teleport:
            return redirect("https://example.com")  # type: ignore[return-value]
        return UserOut("me")

    response = client.post("/user", json={"username": "ann", "password": "secret"})
    assert response.get_json() == {"username": "ann"}
    assert client.get("/portal").get_json() == {"username": "me"}
    assert client.get("/portal?teleport=true").status_code == 302


def test_extra_models_and_status_codes(app: Flask, client: FlaskClient) -> None:
    @app.get("/<kind>")
    async def one(kind: str) -> UserOut | Plane:
        return Plane(5) if kind == "plane" else UserOut("ann")

    @app.get("/all")
    async def every() -> list[UserOut]:
        return [UserOut("ann")]

    @app.get("/weights")
    async def weights() -> dict[str, float]:
        return {"foo": 2.3}

    @app.post("/")
    async def create(user: UserOut) -> tuple[UserOut, Literal[201]]:
        return user, 201

    assert client.get("/plane").get_json() == {"size": 5}
    assert client.get("/user").get_json() == {"username": "ann"}
    assert client.get("/all").get_json() == [{"username": "ann"}]
    assert client.get("/weights").get_json() == {"foo": 2.3}
    assert client.post("/", json={"username": "x"}).status_code == 201


def test_forms_and_files(app: Flask, client: FlaskClient) -> None:
    @app.post("/login")
    async def login(username: Annotated[str, Form()], password: Annotated[str, Form()]) -> UserOut:
        return UserOut(username)

    @app.post("/model")
    async def model(data: Annotated[UserIn, Form()]) -> UserOut:
        return UserOut(data.username)

    @app.post("/files")
    async def files(
        raw: Annotated[bytes, File()], files: list[FileStorage], token: Annotated[str, Form()]
    ) -> dict[str, Any]:
        return {"size": len(raw), "names": [file.filename for file in files], "token": token}

    form = {"username": "ann", "password": "x"}
    assert client.post("/login", data=form).get_json() == {"username": "ann"}
    assert client.post("/model", data=form).get_json() == {"username": "ann"}
    assert errors(client.post("/login", data={"username": "x"})) == {("form", "#/password")}
    data = {"raw": (io.BytesIO(b"abc"), "raw"), "files": [(io.BytesIO(b""), "a")], "token": "t"}
    assert client.post("/files", data=data).get_json() == {"size": 3, "names": ["a"], "token": "t"}


def test_handling_errors(app: Flask, client: FlaskClient) -> None:
    class Unicorn(Exception):
        pass

    @app.errorhandler(Unicorn)
    async def unicorn(error: Unicorn) -> tuple[dict[str, Any], int]:
        return {"message": f"Oops, {error}"}, 418

    @app.errorhandler(RequestValidationError)
    async def invalid(error: RequestValidationError) -> tuple[str, int]:
        return "\n".join(map(str, error.errors)), 400

    @app.get("/<name>")
    async def item(name: str, q: int = 1) -> dict[str, Any]:
        if name == "unicorn":
            raise Unicorn(name)
        return abort(404, "Item not found")

    assert client.get("/unicorn").get_json() == {"message": "Oops, unicorn"}
    assert client.get("/x").status_code == 404
    response = client.get("/x?q=x")
    assert (response.status_code, response.text[:7]) == (400, "query q")


def test_path_operation_configuration(app: Flask, client: FlaskClient) -> None:
    @app.get("/")
    @describe(tags=["items"], summary="All", deprecated=True, responses={403: "No."})
    async def items() -> list[Item]:
        """All the items, **all**."""
        return []

    OpenAPI(app)
    found = client.get("/openapi.json").get_json()["paths"]["/"]["get"]
    assert (found["tags"], found["summary"], found["deprecated"]) == (["items"], "All", True)
    assert found["responses"]["403"]["description"] == "No."


def test_body_updates(app: Flask, client: FlaskClient) -> None:
    stored = {"name": "cup", "price": 1.5}

    @app.patch("/")
    async def update(changes: dict[str, str | float]) -> Item:
        return Item(**{**stored, **changes})  # type: ignore[arg-type]

    answer = client.patch("/", json={"price": 2}).get_json()
    assert (answer["name"], answer["price"]) == ("cup", 2)


def test_dependencies(app: Flask, client: FlaskClient) -> None:
    calls: list[str] = []

    class Common:
        def __init__(self, q: str = "", skip: int = 0, limit: int = 100) -> None:
            self.q, self.skip, self.limit = q, skip, limit

    def extractor(q: str = "") -> str:
        calls.append("extractor")
        return q

    def or_cookie(
        q: Annotated[str, Depends(extractor)], last: Annotated[str, Cookie()] = ""
    ) -> str:
        return q or last

    def database() -> Iterator[str]:
        calls.append("open")
        yield "db"
        calls.append("close")

    blueprint = Blueprint("router", "router", url_prefix="/router")

    @blueprint.before_request
    def verify() -> None:
        if request.headers.get("X-Token") != "secret":
            abort(400, "X-Token header invalid")
        g.verified = True

    @blueprint.get("/items")
    async def items(
        common: Annotated[Common, Depends()],
        text: Annotated[str, Depends(or_cookie)],
        again: Annotated[str, Depends(extractor)],
        db: Annotated[str, Depends(database)],
    ) -> dict[str, Any]:
        return {"skip": common.skip, "text": text, "db": db, "verified": g.verified}

    app.register_blueprint(blueprint)
    assert client.get("/router/items").status_code == 400
    client.set_cookie("last", "old")
    found = client.get("/router/items?skip=5", headers={"X-Token": "secret"}).get_json()
    assert found == {"skip": 5, "text": "old", "db": "db", "verified": True}
    assert calls == ["extractor", "open", "close"]


def test_security(app: Flask, client: FlaskClient) -> None:
    oauth = OAuth2Password("token")

    @app.post("/token")
    async def token(
        username: Annotated[str, Form()], password: Annotated[str, Form()]
    ) -> dict[str, Any]:
        return {"access_token": username, "token_type": "bearer"}

    async def current_user(token: Annotated[str, Depends(oauth)]) -> UserOut:
        return UserOut(token) if token == "ann" else abort(401, "Invalid credentials")

    @app.get("/me")
    async def me(user: Annotated[UserOut, Depends(current_user)]) -> UserOut:
        return user

    @app.get("/basic")
    async def basic(credentials: Annotated[tuple[str, str], Depends(HTTPBasic())]) -> UserOut:
        return UserOut(credentials[0])

    assert client.get("/me").headers["WWW-Authenticate"] == "Bearer"
    token_ = client.post("/token", data={"username": "ann", "password": "x"}).get_json()[
        "access_token"
    ]
    assert client.get("/me", headers={"Authorization": f"Bearer {token_}"}).get_json() == {
        "username": "ann"
    }
    assert client.get("/me", headers={"Authorization": "Bearer x"}).status_code == 401
    assert client.get("/basic", auth=("ann", "x")).get_json() == {"username": "ann"}


# --- what differs on purpose ----------------------------------------------------------------------


def test_what_differs(app: Flask, client: FlaskClient) -> None:
    @app.post("/")
    async def create(item: Item, limit: int = 1) -> dict[str, Any]:
        return {"name": item.name, "limit": limit}

    good = b'{"name":"cup","price":1}'
    assert client.post("/", data=b"{", content_type="application/json").status_code == 400
    assert client.post("/", data=good).status_code == 415
    assert client.post("/", data=good, content_type="text/plain").status_code == 415
    response = client.post("/?limit=1&limit=2", data=good, content_type="application/json")
    assert errors(response) == {("query", "#/limit")}
    nan = b'{"name":"cup","price":NaN}'
    assert client.post("/", data=nan, content_type="application/json").status_code == 400
    response = client.post(
        "/", data=json.dumps({"name": 3, "price": 1}), content_type="application/json"
    )
    assert set(response.get_json(force=True)) == {"type", "title", "status", "detail", "errors"}
    assert "3" not in response.get_json(force=True)["errors"][0].values()
    with pytest.raises(TypeError, match="its default"):
        Flask("x").get("/")(_marker_as_default)
    with pytest.raises(TypeError, match="one body"):
        Flask("x").post("/")(_two_models)


async def _marker_as_default(limit: int = Query(ge=1)) -> None:  # type: ignore[assignment]
    pass


async def _two_models(item: Item, user: UserIn) -> None:
    pass
