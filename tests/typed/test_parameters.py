"""Path, query, header, cookie, form and file parameters, in both colours."""

from __future__ import annotations

import datetime
import enum
import io
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NewType

import pytest
from werkzeug.datastructures import FileStorage

from aioflask import Blueprint, Flask
from aioflask.testing import FlaskClient
from aioflask.typed import Cookie, File, Form, Header, Path, Query
from aioflask.views import MethodView
from tests.typed.models import views


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


Number = NewType("Number", int)


@dataclass
class Filters:
    q: str
    tags: list[str] = field(default_factory=list)
    limit: int = 20


@dataclass
class Agent:
    user_agent: str
    x_trace: int = 0


@dataclass
class Person:
    name: str
    age: int


KINDS: list[Any] = [
    Cookie, File, Form, Header, Path, Query, FileStorage, Decimal, Size, Filters, Agent, Person
]  # fmt: skip
NAMES: dict[str, Any] = {each.__name__: each for each in KINDS}
NAMES |= {"datetime": datetime, "uuid": uuid, "Literal": Literal, "Number": Number}

SOURCE = """
@app.get("/query")
def query(q: str, limit: Annotated[int, Query(ge=1, le=100)] = 20, tags: list[str] = [],
          done: bool = False, score: float | None = None):
    return {"q": q, "limit": limit, "tags": tags, "done": done, "score": score}

@app.get("/kinds")
def kinds(day: datetime.date, id: uuid.UUID, size: Size = Size.SMALL, price: Decimal = Decimal(0),
          order: Literal["up", "down"] = "up", number: Number = 0,
          when: datetime.datetime | None = None, numbers: set[int] = set()):
    assert type(day) is datetime.date and type(id) is uuid.UUID and type(price) is Decimal
    return {"size": size.name, "order": order, "number": number, "numbers": sorted(numbers)}

@app.get("/alias")
def alias(first: Annotated[str, Query(alias="from")], word: Annotated[str, Query(pattern="^[a-z]+$",
          min_length=2, max_length=4)] = "ab"):
    return {"first": first, "word": word}

@app.get("/model")
def model(filters: Annotated[Filters, Query()]):
    return {"q": filters.q, "tags": filters.tags, "limit": filters.limit}

@app.get("/head")
def head(user_agent: Annotated[str, Header()], x_many: Annotated[list[int], Header()] = [],
         token: Annotated[str, Header(alias="X-Token")] = ""):
    return {"agent": user_agent, "many": x_many, "token": token}

@app.get("/agent")
def agent(agent: Annotated[Agent, Header()]):
    return {"agent": agent.user_agent, "trace": agent.x_trace}

@app.get("/cookie")
def cookie(visits: Annotated[int, Cookie()] = 0):
    return {"visits": visits}

@app.get("/items/<int:id>")
def path(id: Annotated[int, Path(le=99)]):
    return {"id": id}

@app.get("/words/<word>")
def word(word: Annotated[datetime.date, Path()]):
    return {"year": word.year}

@app.post("/form")
def form(name: Annotated[str, Form()], age: Annotated[int, Form(ge=0)] = 1,
         hobbies: Annotated[list[str], Form()] = []):
    return {"name": name, "age": age, "hobbies": hobbies}

@app.post("/person")
def person(person: Annotated[Person, Form()]):
    return {"name": person.name, "age": person.age}

@app.post("/file")
def one_file(file: FileStorage, title: Annotated[str, Form()] = "none"):
    return {"name": file.filename, "size": len(file.read()), "title": title}

@app.post("/files")
def files(files: list[FileStorage], raw: Annotated[bytes | None, File()] = None):
    return {"names": [file.filename for file in files], "raw": raw and raw.decode()}

@app.get("/")
@app.get("/page/<int:page>")
def pages(page: int = 1):
    return {"page": page}

@app.get("/default", defaults={"kind": "all"})
@app.get("/default/<kind>")
def with_default(kind: str):
    return {"kind": kind}
"""


@pytest.fixture(params=["plain", "async"])
def client(request: pytest.FixtureRequest) -> FlaskClient:
    app = Flask("parameters", static_folder=None)
    views(request.param, SOURCE, app=app, **NAMES)
    return app.test_client()


GOOD: list[tuple[str, dict[str, Any]]] = [
    ("/query?q=a", {"q": "a", "limit": 20, "tags": [], "done": False, "score": None}),
    ("/query?q=%C3%A9&limit=100&tags=x&tags=y&done=true&score=1.5",
     {"q": "é", "limit": 100, "tags": ["x", "y"], "done": True, "score": 1.5}),
    ("/query?q=", {"q": "", "limit": 20, "tags": [], "done": False, "score": None}),
    ("/query?q=a&unknown=1", {"q": "a", "limit": 20, "tags": [], "done": False, "score": None}),
    ("/kinds?day=2026-11-29&id=12345678-1234-5678-1234-567812345678&size=l&price=1.10&order=down"
     "&number=7&when=2026-11-29T10:00:00Z&numbers=2&numbers=1",
     {"size": "LARGE", "order": "down", "number": 7, "numbers": [1, 2]}),
    ("/alias?from=x&word=abc", {"first": "x", "word": "abc"}),
    ("/model?q=x&tags=a&limit=3", {"q": "x", "tags": ["a"], "limit": 3}),
    ("/items/99", {"id": 99}), ("/words/2026-11-29", {"year": 2026}),
    ("/", {"page": 1}), ("/page/3", {"page": 3}), ("/?page=5", {"page": 1}),
    ("/default", {"kind": "all"}), ("/default/x", {"kind": "x"}),
    ("/default?kind=y", {"kind": "all"}),
]  # fmt: skip


@pytest.mark.parametrize(("url", "expected"), GOOD, ids=lambda value: str(value)[:40])
def test_values_are_of_their_types(client: FlaskClient, url: str, expected: Any) -> None:
    response = client.get(url)
    assert (response.status_code, response.get_json()) == (200, expected)


BAD: list[tuple[str, set[tuple[str, str]]]] = [
    ("/query", {("query", "#/q")}),
    ("/query?limit=0", {("query", "#/q"), ("query", "#/limit")}),
    ("/query?q=a&limit=101", {("query", "#/limit")}),
    ("/query?q=a&limit=x", {("query", "#/limit")}),
    ("/query?q=a&limit=", {("query", "#/limit")}), ("/query?q=a&limit=1.5", {("query", "#/limit")}),
    ("/query?q=a&limit=%D9%A3", {("query", "#/limit")}),
    ("/query?q=a&limit=" + "9" * 5000, {("query", "#/limit")}),
    ("/query?q=a&limit=1&limit=2", {("query", "#/limit")}), ("/query?q=a&q=b", {("query", "#/q")}),
    ("/query?q=a&score=nan", {("query", "#/score")}),
    ("/query?q=a&score=-Infinity", {("query", "#/score")}),
    ("/query?q=a&score=1e999", {("query", "#/score")}),
    ("/query?q=a&done=maybe", {("query", "#/done")}),
    ("/query?q=%ff", {("query", "#/q")}), ("/query?q=a&tags=%ed%a0%80", {("query", "#/tags")}),
    ("/kinds?day=x&id=1&size=xl&price=NaN&order=left&number=a&when=1e9&numbers=1&numbers=b",
     {("query", f"#/{name}") for name in "day id size price order number numbers/1".split()}),
    ("/alias?first=x", {("query", "#/from")}), ("/alias?from=x&word=A", {("query", "#/word")}),
    ("/alias?from=x&word=abcde", {("query", "#/word")}),
    ("/model?tags=a", {("query", "#/q")}), ("/model?q=a&limit=x", {("query", "#/limit")}),
    ("/model?q=a&q=b", {("query", "#/q")}),
    ("/items/100", {("path", "#/id")}), ("/words/soon", {("path", "#/word")}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "expected"), BAD, ids=lambda value: str(value)[:40].partition("{")[0]
)
def test_what_is_wrong_is_told_with_its_place(client: FlaskClient, url: str, expected: Any) -> None:
    response = client.get(url)
    assert response.status_code == 422
    errors = response.get_json(force=True)["errors"]
    found = {(error["in"], error["pointer"]) for error in errors}
    if "/when" in str(errors):  # pydantic takes a number for a date, msgspec does not.
        found.discard(("query", "#/when"))
    assert found == expected


def test_a_default_is_not_shared_between_requests() -> None:
    app = Flask("defaults", static_folder=None)

    @app.get("/")
    def view(tags: list[str] = []) -> list[str]:  # noqa: B006 - as people write it
        tags.append("x")
        return tags

    client = app.test_client()
    assert [client.get("/").get_json() for _ in range(2)] == [["x"], ["x"]]


def test_headers_and_cookies(client: FlaskClient) -> None:
    response = client.get("/head", headers=[("User-Agent", "me"), ("X-Many", "1"), ("X-Many", "2")])
    assert response.get_json() == {"agent": "me", "many": [1, 2], "token": ""}
    response = client.get("/head", headers={"User-Agent": "me", "X-Token": "t"})
    assert response.get_json()["token"] == "t"
    response = client.get("/agent", headers={"User-Agent": "me", "X-Trace": "7"})
    assert response.get_json() == {"agent": "me", "trace": 7}
    response = client.get("/agent", headers={"User-Agent": "me", "X-Trace": "x"})
    assert response.get_json(force=True)["errors"][0]["in"] == "header"
    client.set_cookie("visits", "3")
    assert client.get("/cookie").get_json() == {"visits": 3}
    client.set_cookie("visits", "x")
    assert client.get("/cookie").get_json(force=True)["errors"][0]["pointer"] == "#/visits"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_forms(client: FlaskClient, kind: str) -> None:
    data = {"name": "Ada", "age": "36", "hobbies": ["a", "b"]}
    response = client.post("/form", data=data, content_type=kind)
    assert response.get_json() == {"name": "Ada", "age": 36, "hobbies": ["a", "b"]}
    response = client.post("/person", data={"name": "Ada", "age": "36"}, content_type=kind)
    assert response.get_json() == {"name": "Ada", "age": 36}
    response = client.post("/form", data={"age": "-1"}, content_type=kind)
    errors = response.get_json(force=True)["errors"]
    assert {error["pointer"] for error in errors} == {"#/name", "#/age"}
    assert {error["in"] for error in errors} == {"form"}
    assert client.post("/person", data={"name": "Ada"}, content_type=kind).status_code == 422


def test_forms_of_another_kind(client: FlaskClient) -> None:
    response = client.post("/form", json={"name": "Ada"})
    assert response.status_code == 415
    assert "form-urlencoded" in response.get_json(force=True)["detail"]
    assert client.post("/form").status_code == 422
    assert client.post("/form", data=b"x", content_type="multipart/form-data").status_code == 400


def test_files(client: FlaskClient) -> None:
    def file(name: str = "a.txt") -> Any:
        return io.BytesIO(b"content"), name

    response = client.post("/file", data={"file": file(), "title": "A"})
    assert response.get_json() == {"name": "a.txt", "size": 7, "title": "A"}
    response = client.post("/files", data={"files": [file(), file("b.txt")], "raw": file()})
    assert response.get_json() == {"names": ["a.txt", "b.txt"], "raw": "content"}
    for data in ({"title": "A"}, {"file": [file(), file()]}, {"file": "text"}, {"file": file("")}):
        response = client.post("/file", data=data, content_type="multipart/form-data")
        assert response.status_code == 422
        error = response.get_json(force=True)["errors"][0]
        assert (error["in"], error["pointer"]) == ("file", "#/file")


def test_a_large_file(client: FlaskClient) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="big.bin"\r\n\r\n'
    body = head + bytes(2_000_000) + b"\r\n--x--\r\n"
    response = client.post("/file", data=body, content_type="multipart/form-data; boundary=x")
    assert response.get_json()["size"] == 2_000_000


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_methods_of_a_class(colour: str) -> None:
    source = """
class Items(MethodView):
    def get(self, id: int, q: str = "-"):
        return {"id": id, "q": q}

    def post(self, id: int, data: dict[str, int], loud: bool = False) -> Answer:
        return {"name": f"{id} {sum(data.values())} {loud}", "age": "x" if loud else 1}

app.add_url_rule("/items/<int:id>", view_func=Items.as_view("items"))
"""
    app = Flask("methods", static_folder=None)
    views(colour, source, app=app, MethodView=MethodView, Answer=Person)
    client = app.test_client()
    assert client.get("/items/3?q=x").get_json() == {"id": 3, "q": "x"}
    response = client.post("/items/3", json={"a": 1, "b": 2})
    assert response.get_json() == {"name": "3 3 False", "age": 1}
    assert client.post("/items/3", json={"a": "x"}).status_code == 422
    assert client.post("/items/3?loud=1", json={"a": 1}).status_code == 500


def test_a_class_with_methods_of_both_colours() -> None:
    app = Flask("mixed", static_folder=None)

    class Mixed(MethodView):
        def get(self, q: int) -> dict[str, int]:
            return {"q": q}

        async def post(self, data: Person) -> Person:
            return data

    app.add_url_rule("/", view_func=Mixed.as_view("mixed"))
    client = app.test_client()
    assert client.get("/?q=3").get_json() == {"q": 3}
    assert client.get("/?q=x").status_code == 422
    assert client.post("/", json={"name": "Ada", "age": 3}).get_json() == {"name": "Ada", "age": 3}
    assert client.post("/", json={"name": "Ada"}).status_code == 422


def test_blueprints_with_a_variable_in_their_prefix() -> None:
    app, blueprint = Flask("prefix", static_folder=None), Blueprint("shop", "shop")

    @blueprint.get("/items")
    async def items(shop: str, limit: int = 5) -> dict[str, Any]:
        return {"shop": shop, "limit": limit}

    app.register_blueprint(blueprint, url_prefix="/<shop>")
    client = app.test_client()
    assert client.get("/tea/items?limit=2&shop=other").get_json() == {"shop": "tea", "limit": 2}


def test_under_wsgi() -> None:
    from werkzeug.test import Client

    app = Flask("wsgi", static_folder=None)
    views("async", SOURCE, app=app, **NAMES)
    client = Client(app.wsgi_app)
    assert client.get("/query?q=a&limit=3").get_json()["limit"] == 3
    assert client.get("/query?limit=x").status_code == 422
    assert client.post("/form", data={"name": "Ada"}).get_json()["name"] == "Ada"


def test_a_nonblocking_view() -> None:
    from aioflask import nonblocking

    app = Flask("quick", static_folder=None)

    @app.post("/")
    @nonblocking
    def view(data: Person, q: int = 1) -> Person:
        return Person(data.name, data.age + q)

    client = app.test_client()
    assert client.post("/?q=2", json={"name": "Ada", "age": 1}).get_json()["age"] == 3
    assert client.post("/", json={"name": "Ada"}).status_code == 422


def test_error_handlers_reshape_what_is_wrong() -> None:
    from aioflask.typed import RequestValidationError

    app, blueprint = Flask("handlers", static_folder=None), Blueprint("b", "b", url_prefix="/b")

    @app.errorhandler(RequestValidationError)
    def wrong(error: RequestValidationError) -> tuple[dict[str, Any], int]:
        return {"wrong": [str(fault) for fault in error.errors]}, 400

    @blueprint.errorhandler(422)
    async def wrong_here(error: RequestValidationError) -> tuple[str, int]:
        return f"{len(error.errors)} here", 418

    for scaffold in (app, blueprint):
        scaffold.get("/")(_numbers)
    app.register_blueprint(blueprint)
    client = app.test_client()
    response = client.get("/?a=x")
    assert response.status_code == 400
    assert [text.partition(":")[0] for text in response.get_json()["wrong"]] == [
        "query a",
        "query b",
    ]
    response = client.get("/b/")
    assert (response.status_code, response.text) == (418, "2 here")


def _numbers(a: int, b: int) -> dict[str, int]:
    return {"sum": a + b}
