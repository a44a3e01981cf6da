"""Checked usage: views whose return annotations are models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal, TypedDict, assert_type

import attrs
import msgspec
import pydantic

from aioflask import Flask, Response, websocket
from aioflask.typed import Depends, HTTPBearer, OpenAPI, Query, describe, override

app = Flask(__name__)
bearer = HTTPBearer()


@dataclass
class AsDataclass:
    name: str


@attrs.define
class AsAttrs:
    name: str


class AsDict(TypedDict):
    name: str


class AsStruct(msgspec.Struct):
    name: str


class AsModel(pydantic.BaseModel):
    name: str


@app.get("/dataclass")
def a_dataclass(q: str = "", limit: Annotated[int, Query(le=10)] = 3) -> AsDataclass:
    return AsDataclass(q * limit)


@app.get("/attrs")
async def an_attrs_class() -> AsAttrs:
    return AsAttrs("")


@app.get("/dict")
async def a_dict() -> AsDict:
    return {"name": ""}


@app.post("/struct")
async def a_struct(data: AsStruct) -> tuple[AsStruct, Literal[201]]:
    return data, 201


@app.post("/model")
@describe(responses=[404])
def a_model(data: AsModel, token: Annotated[str, Depends(bearer)]) -> tuple[AsModel, HTTPStatus]:
    return data, HTTPStatus.CREATED


@app.get("/models")
def models() -> list[AsModel]:
    return []


@app.get("/either")
def either() -> AsModel | AsStruct | Response | None:
    return None


@app.delete("/nothing")
async def nothing() -> None:
    pass


@app.get("/stream")
async def stream() -> AsyncIterator[AsStruct]:
    yield AsStruct("")


@app.get("/plain-stream")
def plain_stream() -> Iterator[AsDataclass]:
    yield AsDataclass("")


@app.websocket("/ws")
async def talk() -> None:
    async for message in websocket.typed(AsStruct):
        await websocket.send(message.name)


def fake() -> str:
    return "token"


with override(app, bearer, fake):
    pass
assert_type(OpenAPI(app, docs="/docs").docs, str | None)
