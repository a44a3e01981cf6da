"""Checked usage: commands, and the clients and the runner that tests use."""

from __future__ import annotations

from typing import Any, assert_type

import click
import httpx
import pytest
from click.testing import Result
from werkzeug.test import TestResponse

from aioflask import Blueprint, Flask, request, session
from aioflask.cli import (
    AppGroup,
    FlaskGroup,
    ScriptInfo,
    load_dotenv,
    pass_script_info,
    with_appcontext,
)
from aioflask.sessions import SessionMixin
from aioflask.testing import (
    ASGITransport,
    AsyncClient,
    EnvironBuilder,
    FlaskClient,
    FlaskCliRunner,
)

app = Flask(__name__)
shop = Blueprint("shop", __name__, cli_group="shop")
users = AppGroup("users", help="What concerns users.")


# -- commands --------------------------------------------------------------------------------------


@app.cli.command("create")
@click.argument("name")
def create(name: str) -> None:
    """Create a user."""
    click.echo(name)


@app.cli.command()
@click.option("--count", default=1, type=int)
async def remind(count: int) -> None:
    click.echo(count)


@app.cli.command(with_appcontext=False)
def outside() -> None:
    click.echo("outside")


@shop.cli.command("open")
def open_shop() -> None:
    click.echo("open")


@users.command("delete", short_help="Delete one.")
@click.argument("name")
async def delete(name: str) -> None:
    click.echo(name)


@users.group()
def admins() -> None:
    pass


@click.command()
@with_appcontext
def elsewhere() -> None:
    click.echo("elsewhere")


@click.command()
@pass_script_info
def which(info: ScriptInfo) -> None:
    click.echo(info.load_app().name)


@app.shell_context_processor
def names() -> dict[str, Any]:
    return {"users": users}


def create_app() -> Flask:
    return app


@click.group(cls=FlaskGroup, create_app=create_app)
def cli() -> None:
    """Manage the shop."""


app.cli.add_command(users)
app.cli.add_command(elsewhere)
app.register_blueprint(shop)
group = FlaskGroup(name="shop", create_app=create_app, add_default_commands=False)


def types_of_commands() -> None:
    assert_type(app.cli, AppGroup)
    assert_type(shop.cli, AppGroup)
    assert_type(create, click.Command)
    assert_type(remind, click.Command)
    assert_type(delete, click.Command)
    assert_type(elsewhere, click.Command)
    assert_type(load_dotenv(), bool)
    assert_type(ScriptInfo(app_import_path="shop:app").load_app(), Flask)
    assert_type(names(), dict[str, Any])


# -- clients and runner ----------------------------------------------------------------------------


@pytest.fixture
def client() -> FlaskClient:
    app.config.update(TESTING=True)
    return app.test_client()


@pytest.fixture
def runner() -> FlaskCliRunner:
    return app.test_cli_runner()


def with_client(client: FlaskClient) -> None:
    answer = client.get("/", query_string={"page": 1}, headers={"X-One": "1"})
    assert_type(answer, TestResponse)
    assert_type(answer.status_code, int)
    assert_type(answer.text, str)
    assert_type(answer.get_data(), bytes)
    assert_type(answer.json, Any | None)
    assert_type(answer.headers["Location"], str)
    assert_type(answer.history, tuple[TestResponse, ...])
    client.post("/", json={"name": "Ada"}, follow_redirects=True)
    client.put("/", data={"name": "Ada"}, content_type="multipart/form-data")
    client.set_cookie("name", "value")
    assert_type(client.application, Flask)
    with client.session_transaction() as stored:
        assert_type(stored, SessionMixin)
        stored["user"] = 1
    with client:
        client.get("/")
        assert session["user"] == 1
        assert request.path == "/"
    with app.test_client(use_cookies=False) as other:
        assert_type(other, FlaskClient)
    assert_type(EnvironBuilder(app, "/", method="POST").get_environ(), dict[str, Any])


async def with_async_client() -> None:
    async with app.async_client(base_url="http://shop.test") as client:
        assert_type(client, AsyncClient)
        answer = await client.post("/", json={"name": "Ada"})
        assert_type(answer, httpx.Response)
        assert_type(answer.json(), Any)
        async with client.session_transaction() as stored:
            assert_type(stored, SessionMixin)
        async with client.stream("GET", "/") as stream:
            async for line in stream.aiter_lines():
                assert_type(line, str)
    async with httpx.AsyncClient(transport=ASGITransport(app), base_url="http://shop.test") as own:
        assert_type(own, httpx.AsyncClient)


def with_runner(runner: FlaskCliRunner) -> None:
    result = runner.invoke(args=["create", "Ada"])
    assert_type(result, Result)
    assert_type(result.output, str)
    assert_type(result.exit_code, int)
    runner.invoke(create, ["Ada"])
    runner.invoke(create, "Ada", catch_exceptions=False)
