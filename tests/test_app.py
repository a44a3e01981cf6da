"""The application object: its configuration, its rules, its URLs, and what teaches at set-up."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.exceptions import BadRequest, BadRequestKeyError, NotFound
from werkzeug.routing import BuildError, RequestRedirect

import aioflask


@pytest.fixture
def app() -> aioflask.Flask:
    app = aioflask.Flask("app_test", static_folder=None)
    app.testing = True
    return app


def index() -> str:
    return "index"


# -- configuration and folders -----------------------------------------------------------------


def test_the_default_configuration_is_flasks_and_keys_of_ours(app: aioflask.Flask) -> None:
    app = aioflask.Flask("app_test")
    assert app.config["PERMANENT_SESSION_LIFETIME"] == timedelta(days=31)
    assert app.config["MAX_CONTENT_LENGTH"] is None
    assert app.config["MAX_FORM_MEMORY_SIZE"] == 500_000
    assert app.config["WORKER_THREADS"] == 40
    assert app.config["WORKER_QUEUE"] == 1_000
    assert app.config["MAX_BODY_MEMORY"] == 16 * 1024 * 1024
    assert app.config["STARTUP_TIMEOUT"] == 60
    assert app.config["WEBSOCKET_THREADS"] == 100
    assert app.config["TYPED_VIEWS"] is True
    assert len(app.config) == 41


def test_attributes_are_views_of_the_configuration(app: aioflask.Flask) -> None:
    app.secret_key = "s"
    app.testing = False
    app.config["PERMANENT_SESSION_LIFETIME"] = 60
    assert app.config["SECRET_KEY"] == "s"
    assert app.config["TESTING"] is False
    assert app.permanent_session_lifetime == timedelta(minutes=1)


@pytest.mark.parametrize("value", ["60", "1.5", "0.25"])
def test_the_lifetime_of_sessions_is_any_number_of_seconds(
    app: aioflask.Flask, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    app.config["PERMANENT_SESSION_LIFETIME"] = float(value)
    assert app.permanent_session_lifetime == timedelta(seconds=float(value))
    monkeypatch.setenv("FLASK_PERMANENT_SESSION_LIFETIME", value)
    app.config.from_prefixed_env()
    assert app.permanent_session_lifetime == timedelta(seconds=float(value))
    app.permanent_session_lifetime = timedelta(days=1)
    assert app.permanent_session_lifetime == timedelta(days=1)


def test_debug_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = aioflask.Flask("app_test")
    assert app.debug
    app.debug = False
    assert app.config["DEBUG"] is False


@pytest.mark.parametrize("early", [True, False])
def test_debug_reloads_templates_unless_configured(app: aioflask.Flask, early: bool) -> None:
    if early:
        assert not app.jinja_env.auto_reload
    app.debug = True
    assert app.jinja_env.auto_reload


def test_instance_folder_and_configuration_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "settings.cfg").write_text("KEY = 'value'\n", "utf-8")
    app = aioflask.Flask("app_test", instance_path=str(tmp_path), instance_relative_config=True)
    assert app.config.from_pyfile("settings.cfg")
    assert app.config["KEY"] == "value"
    with app.open_instance_resource("notes.txt", "w") as file:
        file.write("é")
    with app.open_instance_resource("notes.txt") as file:
        assert file.read() == "é".encode()


def test_a_relative_instance_path_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be absolute"):
        aioflask.Flask("app_test", instance_path="instance")


def test_instance_folder_of_an_uninstalled_module_is_beside_it() -> None:
    assert aioflask.Flask("app_test").instance_path == os.path.join(os.getcwd(), "instance")


def test_name_of_a_program_is_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/srv/shop.py", raising=False)
    assert aioflask.Flask("__main__").name == "shop"
    assert repr(aioflask.Flask("app_test")) == "<Flask 'app_test'>"


def test_a_dropped_application_is_collected() -> None:
    gc.collect()
    gc.disable()
    try:
        dropped = weakref.ref(aioflask.Flask("app_test"))
        assert dropped() is None
    finally:
        gc.enable()


# -- rules -------------------------------------------------------------------------------------


def allowed(app: aioflask.Flask, path: str = "/") -> set[str]:
    return set(app.test_client().options(path).allow)


def test_head_follows_get_and_options_is_answered(app: aioflask.Flask) -> None:
    app.add_url_rule("/", view_func=index)
    assert allowed(app) == {"GET", "HEAD", "OPTIONS"}
    assert app.test_client().head("/").status_code == 200


@pytest.mark.parametrize("how", ["argument", "attribute", "configuration"])
def test_automatic_options_can_be_switched_off(app: aioflask.Flask, how: str) -> None:
    def view() -> str:
        return "view"

    if how == "attribute":
        view.provide_automatic_options = False  # type: ignore[attr-defined]
    if how == "configuration":
        app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.add_url_rule("/", None, view, False if how == "argument" else None)
    assert app.test_client().options("/").status_code == 405


def test_a_view_that_names_options_answers_them_itself(app: aioflask.Flask) -> None:
    app.add_url_rule("/", view_func=index, methods=["get", "options"])
    assert app.test_client().options("/").text == "index"


def test_methods_and_required_methods_of_a_view(app: aioflask.Flask) -> None:
    def view() -> str:
        return "view"

    view.methods = ["PUT"]  # type: ignore[attr-defined]
    view.required_methods = ["DELETE"]  # type: ignore[attr-defined]
    app.add_url_rule("/", view_func=view)
    assert allowed(app) == {"PUT", "DELETE", "OPTIONS"}


def test_methods_as_a_string_are_refused(app: aioflask.Flask) -> None:
    with pytest.raises(TypeError, match=r"list of strings: methods=\['POST'\]"):
        app.add_url_rule("/", view_func=index, methods="post")


def test_a_second_view_for_an_endpoint_is_refused_with_both_names(app: aioflask.Flask) -> None:
    def other() -> str:
        return "other"

    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/again", view_func=index)
    with pytest.raises(AssertionError) as caught:
        app.add_url_rule("/other", "index", other)
    text = str(caught.value)
    assert "'/other'" in text
    assert "<locals>.other (" in text
    assert ".index (" in text
    assert "endpoint='another_name'" in text
    assert not any(rule.rule == "/other" for rule in app.url_map.iter_rules())


def test_a_static_host_goes_with_host_matching() -> None:
    with pytest.raises(AssertionError, match=r"static_host=None.*host_matching=True"):
        aioflask.Flask("app_test", host_matching=True)
    with pytest.raises(AssertionError, match="static_host='h'"):
        aioflask.Flask("app_test", static_host="h")
    aioflask.Flask("app_test", host_matching=True, static_folder=None)


def test_static_files_are_served_below_their_url(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.css").write_text("a {}", "utf-8")
    app = aioflask.Flask("app_test", root_path=str(tmp_path))
    with app.test_client().get("/static/a.css") as response:
        assert response.get_data() == b"a {}"
    assert app.test_client().get("/static/b.css").status_code == 404
    with app.test_request_context():
        assert app.url_for("static", filename="a.css") == "/static/a.css"


def test_set_up_after_the_first_request_is_refused(app: aioflask.Flask) -> None:
    app.add_url_rule("/", view_func=index)
    app.test_client().get("/")
    with pytest.raises(AssertionError, match=r"setup method 'before_request'.*first\s+request"):
        app.before_request(lambda: None)
    with pytest.raises(AssertionError, match="create_app"):
        app.register_blueprint(aioflask.Blueprint("late", "app_test"))


# -- templates ---------------------------------------------------------------------------------


def test_filters_tests_and_globals_with_and_without_parentheses(app: aioflask.Flask) -> None:
    @app.template_filter
    def shout(text: str) -> str:
        return text.upper()

    @app.template_filter("whisper")
    def lower(text: str) -> str:
        return text.lower()

    @app.template_test
    def loud(text: str) -> bool:
        return text.isupper()

    @app.template_global()
    def twice(text: str) -> str:
        return text * 2

    template = "{{ twice('a') | shout }} {{ 'B' | whisper }} {{ 'A' is loud }}"
    app.add_url_rule("/", "page", lambda: aioflask.render_template_string(template))
    assert app.test_client().get("/").text == "AA b True"
    assert (shout("x"), lower("X"), loud("X"), twice("x")) == ("X", "x", True, "xx")


@pytest.mark.parametrize(
    ("name", "escapes"), [(None, True), ("a.html", True), ("a.svg", True), ("a.txt", False)]
)
def test_html_and_its_like_are_escaped(
    app: aioflask.Flask, name: str | None, escapes: bool
) -> None:
    assert app.select_jinja_autoescape(name) is escapes


def test_given_values_win_over_context_processors(app: aioflask.Flask) -> None:
    app.context_processor(lambda: {"a": "processor", "b": "processor"})
    context: dict[str, Any] = {"a": "given"}
    with app.test_request_context():
        app.update_template_context(context)
        assert (context["a"], context["b"]) == ("given", "processor")
        assert context["request"].path == "/"


def test_the_shell_has_app_g_and_what_processors_give(app: aioflask.Flask) -> None:
    app.shell_context_processor(lambda: {"db": 1})
    names = app.make_shell_context()
    assert names["app"] is app
    assert names["g"] is aioflask.g
    assert names["db"] == 1


# -- URLs --------------------------------------------------------------------------------------


@pytest.fixture
def in_request(app: aioflask.Flask) -> Iterator[aioflask.Flask]:
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/u/<name>", "user", index)
    with app.test_request_context("/", base_url="http://shop.example/"):
        yield app


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"name": "a b"}, "/u/a%20b"),
        ({"name": "x", "q": [1, 2]}, "/u/x?q=1&q=2"),
        ({"name": "x", "_anchor": "to ž"}, "/u/x#to%20%C5%BE"),
        ({"name": "x", "_external": True}, "http://shop.example/u/x"),
        ({"name": "x", "_scheme": "https"}, "https://shop.example/u/x"),
    ],
)
def test_url_for_in_a_request(in_request: aioflask.Flask, values: dict[str, Any], url: str) -> None:
    assert in_request.url_for("user", **values) == url


def test_a_relative_endpoint_outside_a_blueprint_is_the_applications(
    in_request: aioflask.Flask,
) -> None:
    assert in_request.url_for(".index") == "/"


def test_a_scheme_needs_an_external_url(in_request: aioflask.Flask) -> None:
    with pytest.raises(ValueError, match="'_external' must be True"):
        in_request.url_for("index", _scheme="https", _external=False)


def test_url_for_outside_a_request_needs_server_name(app: aioflask.Flask) -> None:
    app.add_url_rule("/", view_func=index)
    with pytest.raises(RuntimeError, match=r"'index'.*SERVER_NAME"):
        app.url_for("index")
    app.config.update(SERVER_NAME="shop.example", APPLICATION_ROOT="/s")
    app.config["PREFERRED_URL_SCHEME"] = "https"
    assert app.url_for("index") == "https://shop.example/s/"
    with app.app_context():
        assert app.url_for("index", _external=False) == "/s/"


def test_url_build_error_handlers_are_asked_in_turn(in_request: aioflask.Flask) -> None:
    with pytest.raises(BuildError, match="nowhere"):
        in_request.url_for("nowhere")
    seen: list[dict[str, Any]] = []

    def silent(error: Exception, endpoint: str, values: dict[str, Any]) -> None:
        seen.append(values)

    def fails(error: Exception, endpoint: str, values: dict[str, Any]) -> str:
        raise error

    in_request.url_build_error_handlers += [
        silent,  # type: ignore[list-item, unused-ignore]
        fails,
        lambda error, endpoint, values: f"/help/{endpoint}",
    ]
    assert in_request.url_for("nowhere", a=1) == "/help/nowhere"
    assert seen == [{"a": 1, "_anchor": None, "_method": None, "_scheme": None, "_external": False}]


def test_url_defaults_come_from_the_app_then_from_outer_to_inner_blueprints(
    app: aioflask.Flask,
) -> None:
    for scope in (None, "a", "a.b", "x"):
        app.url_default_functions[scope].append(
            lambda endpoint, values, scope=scope: values.setdefault("order", []).append(scope)  # type: ignore[misc]
        )
    values: dict[str, Any] = {}
    app.inject_url_defaults("a.b.view", values)
    assert values == {"order": [None, "a", "a.b"]}


def test_hosts_that_are_not_trusted_are_refused(app: aioflask.Flask) -> None:
    app.config["TRUSTED_HOSTS"] = [".shop.example"]
    app.add_url_rule("/", view_func=index)
    client = app.test_client()
    assert client.get("/", base_url="http://www.shop.example").status_code == 200
    assert client.get("/", base_url="http://evil.example").status_code == 400


def test_subdomains_and_hosts_choose_the_view() -> None:
    app = aioflask.Flask("app_test", static_folder=None, subdomain_matching=True)
    app.config["SERVER_NAME"] = "shop.example"
    app.add_url_rule("/", "main", lambda: "main")
    app.add_url_rule("/", "sub", lambda: "sub", subdomain="api")
    client = app.test_client()
    assert client.get("/", base_url="http://shop.example").text == "main"
    assert client.get("/", base_url="http://api.shop.example").text == "sub"

    app = aioflask.Flask("app_test", static_folder=None, host_matching=True)
    app.add_url_rule("/", "one", lambda: "one", host="one.example")
    app.add_url_rule("/", "two", lambda: "two", host="two.example")
    client = app.test_client()
    assert client.get("/", base_url="http://two.example").text == "two"
    assert client.get("/", base_url="http://three.example").status_code == 404


def test_a_redirect_that_loses_a_body_is_an_error_in_debug_mode(
    app: aioflask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.add_url_rule("/form/", view_func=index, methods=["GET", "POST"])
    client = app.test_client()
    monkeypatch.setattr(RequestRedirect, "code", 301)
    assert client.post("/form").status_code == 301
    app.debug = True
    assert client.get("/form").status_code == 301
    with pytest.raises(AssertionError, match="http://localhost/form/"):
        client.post("/form")


# -- errors and responses ----------------------------------------------------------------------


def test_an_error_handler_is_found_by_code_before_class_and_blueprint_before_app(
    app: aioflask.Flask,
) -> None:
    spec = app.error_handler_spec
    spec["part"][None][Exception] = by_part = lambda e: "part"
    spec[None][404][NotFound] = by_code = lambda e: "code"
    assert app._find_error_handler(NotFound(), ["part"]) is by_code
    assert app._find_error_handler(KeyError(), ["part"]) is by_part
    assert app._find_error_handler(KeyError(), []) is None
    assert "other" not in spec


@pytest.mark.parametrize(
    ("config", "trapped"),
    [
        ({}, set()),
        ({"DEBUG": True}, {"key"}),
        ({"TRAP_BAD_REQUEST_ERRORS": True}, {"key", "bad"}),
        ({"TRAP_BAD_REQUEST_ERRORS": False, "DEBUG": True}, set()),
        ({"TRAP_HTTP_EXCEPTIONS": True}, {"key", "bad", "none"}),
    ],
)
def test_http_exceptions_are_trapped_as_configured(
    app: aioflask.Flask, config: dict[str, bool], trapped: set[str]
) -> None:
    app.config.update(config)
    errors = {"key": BadRequestKeyError(), "bad": BadRequest(), "none": NotFound()}
    assert {name for name, e in errors.items() if app.trap_http_exception(e)} == trapped


def test_redirect_and_make_response_use_the_response_class(app: aioflask.Flask) -> None:
    class Mine(aioflask.Response):
        pass

    app.response_class = Mine
    response = app.redirect("/there", 303)
    assert type(response) is Mine
    assert (response.status_code, response.location) == (303, "/there")
    made = app.make_response(("text", 201, {"X-A": "1"}))
    assert type(made) is Mine
    assert (made.status_code, made.get_data(), made.headers["X-A"]) == (201, b"text", "1")


def test_abort_goes_through_the_applications_aborter(app: aioflask.Flask) -> None:
    class Teapot(BadRequest):
        code = 499

    app.aborter.mapping[499] = Teapot
    with app.app_context(), pytest.raises(Teapot):
        aioflask.abort(499)


# -- colours and replacements ------------------------------------------------------------------


def test_ensure_sync_returns_plain_functions_and_waits_for_async_ones(
    app: aioflask.Flask,
) -> None:
    async def double(n: int) -> int:
        return 2 * n

    assert app.ensure_sync(index) is index
    assert app.ensure_sync(double)(21) == 42


def test_ensure_sync_on_an_event_loop_returns_the_function(app: aioflask.Flask) -> None:
    async def double(n: int) -> int:
        return 2 * n

    @app.route("/")
    async def view() -> list[object]:
        same = aioflask.current_app.ensure_sync(double)
        return [same is double, await same(2)]

    assert app.test_client().get("/").json == [True, 4]


def test_a_method_may_be_replaced_on_the_instance_and_put_back(
    app: aioflask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.add_url_rule("/", view_func=index)
    client = app.test_client()
    assert client.get("/").text == "index"
    with monkeypatch.context() as patch:
        patch.setattr(app, "dispatch_request", lambda: "replaced")
        assert client.get("/").text == "replaced"
    assert client.get("/").text == "index"


def test_the_pipeline_says_where_it_can_be_called(app: aioflask.Flask) -> None:
    for name in ("full_dispatch_request", "dispatch_request", "preprocess_request"):
        with pytest.raises(RuntimeError, match="request context"):
            getattr(app, name)()


def test_full_dispatch_request_gives_a_response_in_plain_code(app: aioflask.Flask) -> None:
    app.add_url_rule("/", view_func=index)
    with app.test_request_context("/"):
        assert app.full_dispatch_request().get_data() == b"index"
        assert app.dispatch_request() == "index"


# -- the package -------------------------------------------------------------------------------


def test_the_package_has_a_version_and_asks_what_was_meant() -> None:
    # An interpreter of its own: where as_flask was imported, the version is Flask's.
    code = "import aioflask; print(aioflask.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == vars(aioflask)["__getattr__"]("__version__")
    with pytest.raises(AttributeError, match="no attribute 'Flaskk'") as caught:
        aioflask.Flaskk  # type: ignore[attr-defined]  # noqa: B018
    assert caught.value.obj is aioflask


def test_every_exported_name_exists() -> None:
    assert len(set(aioflask.__all__)) == len(aioflask.__all__)
    assert all(hasattr(aioflask, name) for name in aioflask.__all__)
