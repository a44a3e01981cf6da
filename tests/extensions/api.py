"""Flask-RESTful and Flask-RESTX side by side, resources of both colours, with SQLite under them."""

# mypy: ignore-errors

from __future__ import annotations

import os
import sqlite3

import flask_restful
import flask_restx
from flask import Blueprint, Flask, g
from flask_restful import reqparse

from aioflask import run_sync

app = Flask(__name__)
counts = {"begun": 0, "ended": 0}


def connection():
    """One connection for each request, on `g`, as in Flask's tutorial."""
    if "db" not in g:
        g.db = sqlite3.connect(os.environ["DATABASE"], timeout=30)
        counts["begun"] += 1
    return g.db


@app.teardown_appcontext
def close(exc):
    found = g.pop("db", None)
    if found is not None:
        found.close()
        counts["ended"] += 1


def save(name):
    cursor = connection().execute("INSERT INTO thing (name) VALUES (?)", (name,))
    connection().commit()
    return {"id": cursor.lastrowid, "name": name}


def read(number):
    row = connection().execute("SELECT name FROM thing WHERE id = ?", (number,)).fetchone()
    return None if row is None else {"id": number, "name": row[0]}


with app.app_context():
    connection().execute("CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, name TEXT)")
    connection().execute("PRAGMA journal_mode=WAL")

# --- Flask-RESTful -------------------------------------------------------------------------------

restful = flask_restful.Api(app, prefix="/restful")
parser = reqparse.RequestParser()
parser.add_argument("name", required=True, help="A thing has a name.")


class Thing(flask_restful.Resource):
    def get(self, number):
        return read(number) or flask_restful.abort(404, message=f"no thing {number}")


class Things(flask_restful.Resource):
    def post(self):
        return save(parser.parse_args()["name"]), 201


class Fails(flask_restful.Resource):
    def get(self):
        raise KeyError("restful")


restful.add_resource(Thing, "/things/<int:number>")
restful.add_resource(Things, "/things")
restful.add_resource(Fails, "/fails")

# --- Flask-RESTX ---------------------------------------------------------------------------------

blueprint = Blueprint("restx", __name__, url_prefix="/restx")
restx = flask_restx.Api(blueprint, title="Things", version="1.0", doc="/docs")
things = restx.namespace("things", description="What there is")
model = restx.model(
    "Thing",
    {
        "id": flask_restx.fields.Integer(readonly=True),
        "name": flask_restx.fields.String(required=True, min_length=1),
    },
)


@things.route("/<int:number>")
class ThingX(flask_restx.Resource):
    @things.marshal_with(model)
    @things.response(404, "There is none")
    def get(self, number):
        """One thing"""
        return read(number) or things.abort(404, f"no thing {number}")


@things.route("")
class ThingsX(flask_restx.Resource):
    @things.expect(model, validate=True)
    @things.marshal_with(model, code=201)
    def post(self):
        """Another thing"""
        return save(restx.payload["name"]), 201


@things.route("/fails")
class FailsX(flask_restx.Resource):
    def get(self):
        raise KeyError("restx")


@restx.errorhandler(KeyError)
def failed(error):
    return {"message": f"no key {error}"}, 409


app.register_blueprint(blueprint)

# --- beside them ---------------------------------------------------------------------------------


@app.post("/async/<name>")
async def save_async(name):
    # The connection is used and closed on the thread of the request's plain functions.
    return await run_sync(save_and_close, name)


def save_and_close(name):
    try:
        return save(name)
    finally:
        close(None)


@app.get("/state")
async def state():
    return counts
