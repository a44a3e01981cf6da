"""Return annotations: what they validate, filter, write, and leave alone."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Optional

import pytest

from aioflask import Flask, Response
from aioflask.testing import FlaskClient
from aioflask.typed import ResponseValidationError
from tests.typed.models import HAS, MODELS, views

ITEM = {"name": "cup", "price": 2.5, "parts": [{"width": 1, "label": "é"}], "count": 3}


@dataclass
class Problem:
    reason: str
    code: int = 1


@dataclass
class Cup:
    name: str
    litres: float = 0.2


@dataclass
class BigCup(Cup):
    secret: str = "hidden"


class Row:
    """What an ORM gives: attributes, and more of them than the model has."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values, secret="hidden")


SOURCE = """
@app.get("/dict")
def a_dict() -> Item:
    return {**ITEM, "secret": "hidden"}

@app.get("/dicts")
def dicts() -> list[Item]:
    return [ITEM, ITEM]

@app.get("/by_name")
def by_name() -> dict[str, Item]:
    return {"a": ITEM}

@app.get("/created")
def created() -> tuple[Item, int]:
    return ITEM, 201

@app.get("/literal")
def literal() -> tuple[Item, Literal[201], dict[str, str]]:
    return ITEM, 201, {"Location": "/items/1"}

@app.get("/with-status")
def with_status() -> Item:
    return ITEM, 202, {"X-More": "1"}

@app.get("/headers")
def with_headers() -> Item:
    return ITEM, {"X-More": "1"}

@app.get("/nothing")
def nothing() -> None:
    pass

@app.get("/maybe/<word>")
def maybe(word: str) -> Optional[Item]:
    return ITEM if word == "yes" else None

@app.get("/either/<word>")
def either(word: str) -> Item | Problem:
    return ITEM if word == "yes" else Problem("no")

@app.get("/either-status/<word>")
def either_status(word: str) -> tuple[Item, Literal[200]] | tuple[Problem, Literal[404]]:
    return (ITEM, 200) if word == "yes" else (Problem("no"), 404)

@app.get("/response")
def response() -> Item | Response:
    return Response("own", 203)

@app.get("/wrong")
def wrong() -> Item:
    return {"name": 1, "price": "much"}

@app.get("/wrong-type")
def wrong_type() -> Item:
    return object()

@app.get("/wrong-none")
def wrong_none() -> Item:
    return None

@app.get("/wrong-item")
def wrong_item() -> list[Item]:
    return [ITEM, {"name": "x"}]
"""


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param]


@pytest.fixture(params=["plain", "async"])
def client(request: pytest.FixtureRequest, model: Any) -> FlaskClient:
    app = Flask("answers", static_folder=None)
    views(
        request.param, SOURCE, app=app, Item=model, ITEM=ITEM, Literal=Literal, Optional=Optional,
        Problem=Problem, Response=Response,
    )  # fmt: skip
    return app.test_client()


GOOD: list[tuple[str, int, Any]] = [
    ("/dict", 200, ITEM), ("/dicts", 200, [ITEM, ITEM]), ("/by_name", 200, {"a": ITEM}),
    ("/created", 201, ITEM), ("/literal", 201, ITEM), ("/with-status", 202, ITEM),
    ("/headers", 200, ITEM), ("/maybe/yes", 200, ITEM), ("/maybe/no", 200, None),
    ("/either/yes", 200, ITEM), ("/either/no", 200, {"reason": "no", "code": 1}),
    ("/either-status/yes", 200, ITEM), ("/either-status/no", 404, {"reason": "no", "code": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("url", "status", "value"), GOOD, ids=lambda value: str(value)[:20])
def test_values_become_json(client: FlaskClient, url: str, status: int, value: Any) -> None:
    response = client.get(url)
    assert response.status_code == status
    assert response.mimetype == "application/json"
    assert json.loads(response.data) == value
    if url in ("/with-status", "/headers"):
        assert response.headers["X-More"] == "1"


def test_location_of_what_was_created(client: FlaskClient) -> None:
    assert client.get("/literal").headers["Location"] == "/items/1"


def test_nothing_is_a_204(client: FlaskClient) -> None:
    response = client.get("/nothing")
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers


def test_a_response_stays_itself(client: FlaskClient) -> None:
    response = client.get("/response")
    assert (response.status_code, response.text) == (203, "own")


@pytest.mark.parametrize("url", ["/wrong", "/wrong-type", "/wrong-none", "/wrong-item"])
def test_what_does_not_fit_is_a_500_and_a_line_in_the_log(
    client: FlaskClient, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        response = client.get(url)
    assert response.status_code == 500
    assert "much" not in response.text and "cup" not in response.text
    assert url.removeprefix("/").replace("-", "_") + "() returned what does not fit" in caplog.text
    if url == "/wrong":
        assert "return name:" in caplog.text and "return price:" in caplog.text
    if url == "/wrong-item":
        assert "return 1.price:" in caplog.text


FILTERS = """
@app.get("/subclass")
def subclass() -> Cup:
    return BigCup("big")

@app.get("/subclasses")
def subclasses() -> list[Cup]:
    return [BigCup("big"), Cup("small")]

@app.get("/row")
def row() -> Cup:
    return Row(name="row", litres=1.5)

@app.get("/rows")
def rows() -> list[Cup]:
    return [Row(name="row", litres=1.5)]
"""


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_no_more_than_the_model_has_goes_out(colour: str) -> None:
    app = Flask("filters", static_folder=None)
    kinds: list[Any] = []
    kinds.append((Cup, BigCup))
    if HAS["pydantic"]:
        import pydantic

        class Model(pydantic.BaseModel):
            name: str
            litres: float = 0.2

        class BigModel(Model):
            secret: str = "hidden"

        kinds.append((Model, lambda name: BigModel(name=name)))
    for number, (cup, big) in enumerate(kinds):
        app = Flask(f"filters{number}", static_folder=None)
        small = (lambda name: Model(name=name)) if number else Cup
        views(colour, FILTERS.replace('Cup("small")', 'small("small")'),
              app=app, Cup=cup, BigCup=big, Row=Row, small=small)  # fmt: skip
        client = app.test_client()
        assert client.get("/subclass").get_json() == {"name": "big", "litres": 0.2}
        assert client.get("/row").get_json() == {"name": "row", "litres": 1.5}
        assert client.get("/rows").get_json() == [{"name": "row", "litres": 1.5}]
        found = client.get("/subclasses").get_json()
        assert found == [{"name": "big", "litres": 0.2}, {"name": "small", "litres": 0.2}]


def test_a_field_changed_to_what_does_not_fit(model: Any) -> None:
    app = Flask("changed", static_folder=None)
    made = model(name="x", price=1.0)
    if isinstance(made, dict):
        made["price"] = "much"
    else:
        made.price = "much"
    app.get("/")(
        views("plain", "\ndef view() -> Item:\n    return made\n", Item=model, made=made)["view"]
    )
    assert app.test_client().get("/").status_code == 500


def test_statuses_of_an_enum() -> None:
    app = Flask("enum", static_folder=None)

    @app.get("/")
    def view() -> tuple[Cup, HTTPStatus]:
        return Cup("x"), HTTPStatus.ACCEPTED

    @app.get("/empty")
    def empty() -> tuple[None, int]:
        return None, 205

    client = app.test_client()
    assert client.get("/").status_code == 202
    assert client.get("/empty").status_code == 205


# --- streams --------------------------------------------------------------------------------------
STREAMS = """
{plain}
@app.get("/stream")
def stream(count: int = 3) -> {iterator}[Cup]:
    log.append("begun")
    try:
        for number in range(count):
            yield Cup(f"cup {{number}}", 1) if number < 5 else {{"name": request.path}}
    finally:
        log.append("ended")
"""


@pytest.mark.parametrize(
    ("colour", "iterator"),
    [("plain", "Iterator"), ("async", "AsyncIterator"), ("async", "AsyncGenerator")],
)
def test_streams_are_json_lines_or_events(colour: str, iterator: str) -> None:
    from aioflask import request

    app = Flask("streams", static_folder=None)
    log: list[str] = []
    source = STREAMS.format(plain="", iterator=f"t.{iterator}")
    if iterator == "AsyncGenerator":
        source = source.replace("[Cup]", "[Cup, None]")
    views(colour, source, app=app, Cup=Cup, log=log, request=request)
    client = app.test_client()
    response = client.get("/stream")
    assert response.mimetype == "application/jsonl"
    assert response.headers["Vary"] == "Accept"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert lines == [{"name": f"cup {number}", "litres": 1.0} for number in range(3)]
    assert log == ["begun", "ended"]
    response = client.get("/stream?count=6")  # The request is there until the end.
    assert json.loads(response.text.splitlines()[-1])["name"] == "/stream"
    response = client.get("/stream", headers={"Accept": "text/event-stream"})
    assert response.mimetype == "text/event-stream"
    events = [event.removeprefix("data: ") for event in response.text.strip().split("\n\n")]
    assert [json.loads(event) for event in events] == lines
    assert client.get("/stream?count=x").status_code == 422


def test_an_item_that_does_not_fit_breaks_the_stream_off() -> None:
    app = Flask("broken", static_folder=None)
    app.config["TESTING"] = True

    @app.get("/")
    async def view() -> AsyncIterator[Cup]:
        yield Cup("good")
        yield Cup(3)  # type: ignore[arg-type]

    with pytest.raises(ResponseValidationError, match="does not fit its annotation"):
        _ = app.test_client().get("/").data
