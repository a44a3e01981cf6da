"""JSON bodies: what every kind of model takes, and how every fault is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aioflask import Flask
from aioflask.testing import FlaskClient
from tests.typed.models import CLOSED, MODELS, field, views

SOURCE = """
@app.post("/items")
def create(data: Item):
    return {"name": field(data, "name"), "price": field(data, "price")}

@app.post("/list")
def create_list(data: list[Item]):
    return {"count": len(data)}

@app.post("/optional")
def optional(data: Item | None = None):
    return {"given": data is not None}

@app.post("/back")
def back(data: Item) -> Item:
    return data
"""
COLOURS = pytest.mark.parametrize("colour", ["plain", "async"])


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param]


@pytest.fixture(params=["plain", "async"])
def client(request: pytest.FixtureRequest, model: Any) -> FlaskClient:
    app = Flask("bodies", static_folder=None)
    views(request.param, SOURCE, app=app, Item=model, field=field)
    return app.test_client()


def pointers(response: Any) -> set[str]:
    assert response.mimetype == "application/problem+json"
    problem = response.get_json(force=True)
    assert problem["status"] == response.status_code
    assert all(error["in"] == "body" and error["detail"] for error in problem["errors"])
    return {error["pointer"] for error in problem["errors"]}


def test_a_model_is_the_body(client: FlaskClient) -> None:
    response = client.post("/items", json={"name": "cup", "price": 2.5})
    assert response.get_json() == {"name": "cup", "price": 2.5}


def test_its_own_json_comes_back(client: FlaskClient) -> None:
    item = {"name": "cup", "price": 2.5, "parts": [{"width": 1, "label": "é"}], "count": 3}
    response = client.post("/back", json=item)
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    assert response.get_json() == item


def test_three_faults_are_three_errors(client: FlaskClient) -> None:
    response = client.post(
        "/items", json={"price": "much", "parts": [{"width": 1}, {"width": "w"}]}
    )
    assert response.status_code == 422
    assert pointers(response) == {"#/name", "#/price", "#/parts/1/width"}
    assert "3 faults" in response.get_json(force=True)["detail"]


def test_values_are_not_told_back(client: FlaskClient) -> None:
    response = client.post("/items", json={"name": ["secret"], "price": "secret"})
    assert response.status_code == 422
    assert "secret" not in response.text


def test_a_list_of_models_is_a_body(client: FlaskClient) -> None:
    item = {"name": "cup", "price": 1}
    assert client.post("/list", json=[item, item]).get_json() == {"count": 2}
    response = client.post("/list", json=[item, {"name": "cup"}, 3])
    assert pointers(response) == {"#/1/price", "#/2"}


def test_a_body_with_a_default_may_be_left_out(client: FlaskClient) -> None:
    assert client.post("/optional").get_json() == {"given": False}
    assert client.post("/optional", json={"name": "cup", "price": 1}).get_json() == {"given": True}
    assert client.post("/optional", json={"name": "cup"}).status_code == 422
    assert client.post("/optional", data="x", content_type="text/plain").status_code == 415


def test_many_faults_are_listed_to_a_bound(client: FlaskClient) -> None:
    response = client.post("/list", json=[{"name": 1}] * 5_000)
    assert response.status_code == 422
    assert len(response.get_json(force=True)["errors"]) == 100


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded",
                                  "multipart/form-data; boundary=x", "text/json"])  # fmt: skip
def test_json_comes_with_its_media_type(client: FlaskClient, kind: str) -> None:
    response = client.post("/items", data=b'{"name":"cup","price":1}', content_type=kind)
    assert response.status_code == 415
    assert "application/json" in response.get_json(force=True)["detail"]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=latin-1",
                                  "application/vnd.api+json", "APPLICATION/JSON"])  # fmt: skip
def test_kinds_of_json(client: FlaskClient, kind: str) -> None:
    body = '{"name":"café","price":1}'.encode()
    response = client.post("/items", data=body, content_type=kind)
    assert response.get_json()["name"] == "café"


MALFORMED = [
    b"", b" ", b"{", b'{"name"', b"nul", b"[1,]", b'{"name":"cup","price":1}x', b"\xef\xbb\xbf{}",
    b'{"name":"cup","price":1,"more":"\xff"}', b'{"name":"cup","price":1,"more":"\xed\xa0\x80"}',
    b'{"name":"cup","price":NaN}', b'{"name":"cup","price":Infinity}', b'{"name":"\xff","price":1}',
    b'{"name":"cup","price":1,"more":NaN}', b'{"name":"cup","price":-Infinity}', b"\x00",
    b'{"name":"cup","price":1,"more":' + b"[" * 100_000, '{"name":"c"}'.encode("utf-16"),
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:30]))
def test_what_is_no_json_is_a_400(client: FlaskClient, body: bytes) -> None:
    response = client.post("/items", data=body, content_type="application/json")
    assert response.status_code == 400
    assert pointers(response) == {"#"}


def test_an_integer_may_be_written_as_3_0(client: FlaskClient) -> None:
    body = '{"name":"x","price":1e0,"count":3.0,"parts":[{"width":2.0}]}'
    response = client.post("/back", data=body, content_type="application/json")
    assert response.get_json()["count"] == 3
    assert response.get_json()["parts"][0]["width"] == 2
    assert b"3.0" not in response.data


WRONG: list[tuple[Any, set[str]]] = [
    ([], {"#"}), (3, {"#"}), ("text", {"#"}), (None, {"#"}), (True, {"#"}),
    ({}, {"#/name", "#/price"}), ({"name": None, "price": 1}, {"#/name"}),
    ({"name": {}, "price": []}, {"#/name", "#/price"}), ({"name": "x", "price": {}}, {"#/price"}),
    ({"name": "x", "price": 1, "parts": {}}, {"#/parts"}),
    ({"name": "x", "price": 1, "parts": [1, []]}, {"#/parts/0", "#/parts/1"}),
    ({"name": "x", "price": 1, "count": 1.5}, {"#/count"}),
    ({"name": "x", "price": 1, "parts": [{"width": 1, "label": 2}]}, {"#/parts/0/label"}),
    ({"name": "x", "price": 1, "parts": [{}]}, {"#/parts/0/width"}),
    ({"name": "x", "price": "NaN"}, {"#/price"}), ({"name": "x", "price": "-inf"}, {"#/price"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "places"), WRONG, ids=repr)
def test_wrong_types_are_422_with_their_places(
    client: FlaskClient, body: Any, places: set[str]
) -> None:
    response = client.post("/items", data=json.dumps(body), content_type="application/json")
    assert response.status_code == 422
    assert pointers(response) == places


@pytest.mark.parametrize(
    "text",
    ["1e999", "-1E+999", "9" * 250 + "e60", "9" * 400, "9" * 5_000],
    ids=["1e999", "-1E+999", "250e60", "400", "5000"],
)
def test_numbers_that_no_float_holds(client: FlaskClient, text: str) -> None:
    body = f'{{"name":"x","price":{text}}}'
    response = client.post("/items", data=body, content_type="application/json")
    assert response.status_code in (400, 422)
    assert pointers(response) <= {"#", "#/price"}


@pytest.mark.parametrize("depth", [100, 150, 300, 400, 600, 900, 960, 990, 2_000, 100_000])
def test_depth_is_bounded(client: FlaskClient, depth: int) -> None:
    body = b'{"name":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    response = client.post("/items", data=body, content_type="application/json")
    assert response.status_code in (400, 422)


@pytest.mark.parametrize("closed", CLOSED)
@COLOURS
def test_a_field_that_a_closed_model_does_not_have(closed: Any, colour: str) -> None:
    app = Flask("closed", static_folder=None)
    source = '\n@app.post("/")\ndef view(data: Item):\n    return "taken"\n'
    views(colour, source, app=app, Item=closed)
    response = app.test_client().post("/", json={"name": 1, "extra": 2, "more": 3})
    assert response.status_code == 422
    assert pointers(response) == {"#/name", "#/extra", "#/more"}


def test_the_limits_of_bodies_hold(client: FlaskClient) -> None:
    client.application.config["MAX_CONTENT_LENGTH"] = 50
    response = client.post("/items", json={"name": "x" * 100, "price": 1})
    assert response.status_code == 413


def test_a_json_provider_of_ones_own_reads_the_body(client: FlaskClient) -> None:
    from aioflask.json.provider import DefaultJSONProvider

    class Swapping(DefaultJSONProvider):
        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            found = json.loads(s, **kwargs)
            return {**found, "name": found["name"].upper()}

    client.application.json = Swapping(client.application)
    response = client.post("/items", json={"name": "cup", "price": 1})
    assert response.get_json()["name"] == "CUP"
    assert client.post("/items", data="{", content_type="application/json").status_code == 400
