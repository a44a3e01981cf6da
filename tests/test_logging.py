"""An application has a logger that works before anybody configures logging."""

from __future__ import annotations

import logging
import sys
import typing as t
from io import StringIO

import pytest

from aioflask import Flask, request
from aioflask.logging import default_handler, has_level_handler, wsgi_errors_stream

NAME = "aioflask-logging-test"


@pytest.fixture(autouse=True)
def unconfigured_logging(pytestconfig: pytest.Config) -> t.Iterator[None]:
    """Take away the root's handlers, pytest's own included, and restore them."""
    plugin = pytestconfig.pluginmanager.unregister(name="logging-plugin")
    handlers, level = logging.root.handlers[:], logging.root.level
    logging.root.handlers = []
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logger = logging.getLogger(NAME)
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    if plugin is not None:
        pytestconfig.pluginmanager.register(plugin, "logging-plugin")


@pytest.fixture
def app() -> Flask:
    return Flask(NAME, root_path=".")


def test_the_logger_has_the_applications_name_and_a_handler(app: Flask) -> None:
    assert app.logger.name == NAME
    assert app.logger.level == logging.NOTSET
    assert app.logger.handlers == [default_handler]


def test_debug_mode_lowers_the_level(app: Flask) -> None:
    app.debug = True
    assert app.logger.level == logging.DEBUG
    assert app.logger.handlers == [default_handler]


def test_a_level_that_is_set_stays_in_debug_mode(app: Flask) -> None:
    logging.getLogger(NAME).setLevel(logging.ERROR)
    app.debug = True
    assert app.logger.level == logging.ERROR


def test_a_configured_root_is_left_to_do_it(app: Flask) -> None:
    logging.root.addHandler(logging.StreamHandler())
    assert app.logger.level == logging.NOTSET
    assert not app.logger.handlers


def test_a_handler_counts_if_its_level_and_the_propagation_let_it() -> None:
    logger = logging.getLogger(f"{NAME}.child")
    assert not has_level_handler(logger)
    handler = logging.StreamHandler()
    logging.root.addHandler(handler)
    assert has_level_handler(logger)
    logger.propagate = False
    assert not has_level_handler(logger)
    logger.propagate = True
    handler.setLevel(logging.ERROR)
    assert not has_level_handler(logger)


def test_messages_go_to_the_errors_stream_of_a_request_that_has_one(app: Flask) -> None:
    @app.get("/")
    def index() -> str:
        app.logger.error("said in a view")
        return ""

    stream = StringIO()
    app.test_client().get("/", errors_stream=stream)
    assert "ERROR in test_logging: said in a view" in stream.getvalue()
    assert wsgi_errors_stream._get_current_object() is sys.stderr
    with app.test_request_context(errors_stream=stream):
        assert wsgi_errors_stream._get_current_object() is stream


@pytest.mark.anyio
async def test_a_request_from_asgi_logs_to_stderr_without_making_an_environ(app: Flask) -> None:
    seen: list[t.Any] = []

    @app.get("/")
    async def index() -> str:
        seen.append(wsgi_errors_stream._get_current_object() is sys.stderr)
        seen.append("environ" in vars(request._get_current_object()))  # type: ignore[attr-defined]
        return ""

    async with app.async_client() as client:
        await client.get("/")
    assert seen == [True, False]


def test_an_unhandled_exception_is_logged_with_its_traceback(app: Flask) -> None:
    @app.get("/")
    def index() -> str:
        raise ValueError("test")

    stream = StringIO()
    response = app.test_client().get("/", errors_stream=stream)
    assert response.status_code == 500
    assert "Exception on / [GET]" in stream.getvalue()
    assert "ValueError: test" in stream.getvalue()
