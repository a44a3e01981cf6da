"""Checked usage: configuration, and the signals that an application sends."""

from __future__ import annotations

import json
import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

from jinja2 import Template

from aioflask import (
    Config,
    Flask,
    Response,
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    before_render_template,
    got_request_exception,
    message_flashed,
    request_finished,
    request_started,
    request_tearing_down,
    template_rendered,
)
from aioflask.config import ConfigAttribute

app = Flask(
    __name__,
    static_url_path="/files",
    static_folder=Path("files"),
    template_folder=None,
    instance_relative_config=True,
    subdomain_matching=True,
)


class Defaults:
    SHOP = "open"


# -- configuration ---------------------------------------------------------------------------------


def configuration() -> None:
    assert_type(app.config, Config)
    app.config["SHOP"] = "open"
    assert_type(app.config["SHOP"], Any)
    assert_type(app.config.get("SHOP"), Any | None)
    assert_type(app.config.get("SHOP", "closed"), Any)
    app.config.update(TESTING=True, SECRET_KEY="dev")
    app.config.update({"TESTING": True})
    app.config.setdefault("SHOP", "open")
    app.config |= {"SHOP": "closed"}
    assert_type("SHOP" in app.config, bool)
    assert_type(app.config.root_path, str | os.PathLike[str])


def loaders() -> None:
    app.config.from_object("shop.defaults")
    app.config.from_object(Defaults)
    app.config.from_object(Defaults())
    assert_type(app.config.from_pyfile("shop.cfg", silent=True), bool)
    assert_type(app.config.from_pyfile(Path("shop.cfg")), bool)
    assert_type(app.config.from_envvar("SHOP_SETTINGS", silent=True), bool)
    assert_type(app.config.from_file("shop.json", load=json.load), bool)
    assert_type(app.config.from_file("shop.toml", load=tomllib.load, text=False), bool)
    assert_type(app.config.from_mapping({"SHOP": "open"}), bool)
    assert_type(app.config.from_mapping(SHOP="open", TESTING=True), bool)
    assert_type(app.config.from_prefixed_env(), bool)
    assert_type(app.config.from_prefixed_env("SHOP", loads=json.loads), bool)
    assert_type(app.config.get_namespace("MAIL_", lowercase=False), dict[str, Any])


def attributes() -> None:
    assert_type(app.testing, bool)
    assert_type(app.debug, bool)
    assert_type(app.secret_key, str | bytes | None)
    assert_type(app.permanent_session_lifetime, timedelta)
    assert_type(Flask.testing, ConfigAttribute[bool])
    app.testing = True
    app.debug = False
    app.secret_key = b"dev"
    app.secret_key = "dev"
    app.permanent_session_lifetime = timedelta(days=1)
    app.permanent_session_lifetime = 60
    app.static_folder = Path("files")
    app.static_url_path = "/other"
    app.jinja_options["trim_blocks"] = True
    app.extensions["shop"] = object()
    assert_type(app.static_folder, str | None)
    assert_type(app.has_static_folder, bool)
    assert_type(app.import_name, str)
    assert_type(app.name, str)


# -- signals ---------------------------------------------------------------------------------------


@request_started.connect
def started(sender: Flask, **values: Any) -> None:
    sender.logger.debug("started")


@request_started.connect_via(app)
async def started_async(sender: Flask, **values: Any) -> None:
    sender.logger.debug("started")


@request_finished.connect
async def finished(sender: Flask, response: Response, **values: Any) -> None:
    sender.logger.debug("finished with %s", response.status)


def on_exception(sender: Flask, exception: Exception, **values: Any) -> None:
    sender.logger.debug("failed with %r", exception)


def on_template(sender: Flask, template: Template, context: dict[str, Any], **values: Any) -> None:
    sender.logger.debug("%s was rendered", template.name)


def on_message(sender: Flask, message: str, category: str, **values: Any) -> None:
    sender.logger.debug("%s: %s", category, message)


def on_any(sender: Flask, **values: Any) -> None:
    sender.logger.debug("happened")


got_request_exception.connect(on_exception, app)
template_rendered.connect(on_template, sender=app)
before_render_template.connect(on_template, app, weak=False)
message_flashed.connect(on_message)
for signal in (
    request_tearing_down,
    appcontext_pushed,
    appcontext_popped,
    appcontext_tearing_down,
):
    signal.connect(on_any, app)
    signal.disconnect(on_any, app)


def temporarily() -> None:
    with template_rendered.connected_to(on_template, app):
        pass
    assert_type(template_rendered.name, str)
    started(app)


async def temporarily_async() -> None:
    await finished(app, response=Response())
