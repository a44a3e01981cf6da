"""Monitoring tools that patch Flask see the requests of every server, each of them once.

They patch a whole process, so each test writes a program `watched.py`, has it take some requests
through one door, and looks at what the tool has seen.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.live import Server

ROOT = Path(__file__).parents[1]

VIEWS = """
@app.get("/plain/<word>")
def plain(word):
    return step(word)

@app.get("/async/<word>")
async def in_async(word):
    return step(word)

@app.get("/plain-error")
def plain_error():
    raise ValueError("a plain mistake")

@app.get("/async-error")
async def async_error():
    raise ValueError("an async mistake")

@app.get("/plain-stream")
def plain_stream():
    yield from ("a", "b")

@app.get("/async-stream")
async def async_stream():
    for piece in ("a", "b"):
        yield piece

@app.get("/seen")
async def show():
    return seen()
"""

# In the program's own process: by the test client, by the async client and by the WSGI face.
DRIVE = """
import asyncio, json, sys
from werkzeug.test import create_environ, run_wsgi_app
from watched import app, forget, seen

def by_test_client(path):
    return app.test_client().get(path, buffered=True).status_code

def by_async_client(path):
    async def get():
        async with app.async_client(raise_app_exceptions=False) as client:
            return (await client.get(path)).status_code
    return asyncio.run(get())

def by_environ(path):
    body, status, headers = run_wsgi_app(app, create_environ(path), buffered=True)
    return int(status.split()[0])

for door in (by_async_client, by_test_client, by_environ):
    print(json.dumps([[door(path) for path in sys.argv[1:]], seen()]))
    forget()
"""

SERVERS = {
    "uvicorn": "uvicorn --port 0 watched:app",
    "waitress": "waitress --listen 127.0.0.1:0 watched:app",
}


class Outcome(NamedTuple):
    """What came back through a door, what the tool has seen, and what the program said."""

    statuses: list[int]
    seen: Any
    said: str


Visit = Callable[..., list[Outcome]]


@pytest.fixture(params=["inside", *SERVERS])
def visit(request: pytest.FixtureRequest, tmp_path: Path) -> Visit:
    """Send requests to a program's app through each door of a process."""

    def visit(program: str, *paths: str) -> list[Outcome]:
        (tmp_path / "watched.py").write_text(program)
        if request.param == "inside":
            return visit_inside(tmp_path, *paths)
        return [visit_server(tmp_path, SERVERS[request.param], *paths)]

    return visit


def visit_inside(folder: Path, *paths: str) -> list[Outcome]:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", DRIVE, *paths]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [Outcome(statuses, seen, done.stderr) for statuses, seen in answers]


def visit_server(folder: Path, command: str, *paths: str) -> Outcome:
    server = Server(folder, "-m", *command.split())
    try:
        found = server.until(lambda: re.search(r"http://127\.0\.0\.1:\d+", server.output))
        with httpx.Client(base_url=found[0], timeout=20) as client:
            statuses = [client.get(path).status_code for path in paths]
            # A tool may hear of a request's end when the client has read its answer already.
            for _ in range(20):
                seen = client.get("/seen").json()
                if len(seen) >= len(paths):
                    break
                time.sleep(0.05)
    finally:
        server.stop()
    return Outcome(statuses, seen, server.output)


# --- Sentry ------------------------------------------------------------------------------------

SENTRY = """
import aioflask.as_flask

import sentry_sdk
from flask import Flask
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.transport import Transport

events = []

class Memory(Transport):
    def capture_envelope(self, envelope):
        events.extend(item.payload.json for item in envelope.items if item.payload.json)

def init():
    sentry_sdk.init(
        dsn="http://key@127.0.0.1/1", transport=Memory, traces_sample_rate=1,
        integrations=[FlaskIntegration()],
    )

def step(word):
    sentry_sdk.set_tag("word", word)
    return word

def forget():
    events.clear()

def seen():
    return [
        {
            "type": event.get("type", "event"),
            "name": event.get("transaction"),
            "url": event["request"]["url"],
            "query": event["request"].get("query_string"),
            "errors": [each["value"] for each in event.get("exception", {}).get("values", ())],
            "word": event.get("tags", {}).get("word"),
        }
        for event in events
        if "request" in event and not event["request"]["url"].endswith("/seen")
    ]
"""
# The tool finds Flask before the app is made, before its views are, or made a subclass of.
FIRST = SENTRY + "init()\napp = Flask('watched')\n" + VIEWS
BETWEEN = SENTRY + "app = Flask('watched')\ninit()\n" + VIEWS
OF_A_SUBCLASS = SENTRY + "class Mine(Flask):\n    pass\n\ninit()\napp = Mine('watched')\n" + VIEWS


@pytest.mark.parametrize(
    "program", [FIRST, BETWEEN, OF_A_SUBCLASS], ids=["first", "between", "of a subclass"]
)
def test_sentry_sees_each_request_and_each_mistake_once(visit: Visit, program: str) -> None:
    paths = ["/plain/one?a=1", "/async/two", "/plain-error?b=2", "/async-error", "/missing"]
    paths += ["/plain-stream", "/async-stream"]
    for outcome in visit(program, *paths):
        assert outcome.statuses == [200, 200, 500, 500, 404, 200, 200], outcome.said
        errors = [event for event in outcome.seen if event["type"] == "event"]
        assert [event["errors"] for event in errors] == [["a plain mistake"], ["an async mistake"]]
        assert [event["name"] for event in errors] == ["plain_error", "async_error"]
        assert [event["query"] for event in errors] == ["b=2", ""]
        assert [path_of(event) for event in errors] == ["/plain-error", "/async-error"]
        requests = [event for event in outcome.seen if event["type"] == "transaction"]
        assert [path_of(event) for event in requests] == [path.partition("?")[0] for path in paths]
        names = [event["name"] for event in requests]
        assert names[:4] == ["plain", "in_async", "plain_error", "async_error"]
        assert names[5:] == ["plain_stream", "async_stream"]
        assert [event["word"] for event in requests[:3]] == ["one", "two", None]


def path_of(event: dict[str, Any]) -> str:
    return re.sub(r"^http://(localhost|127\.0\.0\.1(:\d+)?)", "", event["url"])


# --- OpenTelemetry -----------------------------------------------------------------------------

TRACED = """
import aioflask.as_flask

import flask
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("watched")

def forget():
    exporter.clear()

def step(word):
    with tracer.start_as_current_span(word):
        return word

def seen():
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    return [
        {
            "name": span.name,
            "kind": span.kind.name,
            "route": span.attributes.get("http.route"),
            "status": span.attributes.get("http.status_code"),
            "error": span.status.status_code.name == "ERROR",
            "parent": names.get(span.parent.span_id) if span.parent else None,
        }
        for span in spans
        if span.name != "GET /seen"
    ]
"""
ONE_APP = (
    TRACED
    + "app = flask.Flask('watched')\n"
    + VIEWS
    + "FlaskInstrumentor().instrument_app(app, tracer_provider=provider)\n"
)
ALL_APPS = (
    TRACED
    + "FlaskInstrumentor().instrument(tracer_provider=provider)\n"
    + "app = flask.Flask('watched')\n"
    + VIEWS
)


@pytest.mark.parametrize("program", [ONE_APP, ALL_APPS], ids=["one app", "all apps"])
def test_opentelemetry_has_a_span_for_each_request(visit: Visit, program: str) -> None:
    routes = {
        "/plain/one": "/plain/<word>",
        "/async/two": "/async/<word>",
        "/plain-error": "/plain-error",
        "/async-error": "/async-error",
        "/missing": None,
        "/plain-stream": "/plain-stream",
        "/async-stream": "/async-stream",
    }
    for outcome in visit(program, *routes):
        assert outcome.statuses == [200, 200, 500, 500, 404, 200, 200], outcome.said
        requests = [span for span in outcome.seen if span["kind"] == "SERVER"]
        assert [span["route"] for span in requests] == list(routes.values())
        assert [span["parent"] for span in requests] == [None] * len(routes)
        inner = [span for span in outcome.seen if span["kind"] == "INTERNAL"]
        assert [(span["name"], span["parent"]) for span in inner] == [
            ("one", "GET /plain/<word>"),
            ("two", "GET /async/<word>"),
        ]
        assert [span["error"] for span in requests] == [False, False, True, True, False] + [
            False
        ] * 2
        assert [span["status"] for span in requests] == outcome.statuses
        # What it says when a context is left elsewhere than where it was entered.
        assert "Failed to detach context" not in outcome.said
        assert "ended span" not in outcome.said


# --- wrappers of the class ---------------------------------------------------------------------

WRAPPED = """
from aioflask import Flask
import wrapt

paths = []

def step(word):
    return word

def forget():
    paths.clear()

def seen():
    return [path for path in paths if path != "/seen"]

def note(wrapped, instance, args, kwargs):
    environ, start_response = args
    paths.append(environ["PATH_INFO"])
    return wrapped(*args, **kwargs)

def patch():
    wrapt.wrap_function_wrapper(Flask, "wsgi_app", note)

def assign():
    original = Flask.wsgi_app

    def wsgi_app(self, environ, start_response):
        paths.append(environ["PATH_INFO"])
        return original(self, environ, start_response)

    Flask.wsgi_app = wsgi_app
"""


@pytest.mark.parametrize(
    ("how", "when"),
    [("patch()", "first"), ("patch()", "between"), ("patch()", "last"), ("assign()", "last")],
)
def test_a_wrapper_of_the_class_sees_each_request(visit: Visit, how: str, when: str) -> None:
    parts = ["app = Flask('watched')\n", VIEWS]
    parts.insert(["first", "between", "last"].index(when), how + "\n")
    paths = ["/plain/one", "/async/two", "/plain-error", "/async-error", "/missing"]
    paths += ["/plain-stream", "/async-stream"]
    for outcome in visit(WRAPPED + "".join(parts), *paths):
        assert outcome.statuses == [200, 200, 500, 500, 404, 200, 200], outcome.said
        assert outcome.seen == paths
