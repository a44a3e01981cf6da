"""Blueprints: what they record, and what registering them does to an application."""

from __future__ import annotations

from pathlib import Path

import pytest

import aioflask
from aioflask.blueprints import BlueprintSetupState


@pytest.fixture
def app() -> aioflask.Flask:
    app = aioflask.Flask("blueprint_test", static_folder=None)
    app.testing = True
    return app


def where() -> str:
    """A view that tells which one it is."""
    return f"{aioflask.request.endpoint} {aioflask.request.path}"


def rules(app: aioflask.Flask) -> dict[str, str]:
    return {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}


@pytest.mark.parametrize("name", ["", "a.b"])
def test_a_name_is_not_empty_and_has_no_dot(name: str) -> None:
    with pytest.raises(ValueError, match="empty" if not name else "may not contain a dot"):
        aioflask.Blueprint(name, "blueprint_test")


def test_an_endpoint_or_view_name_has_no_dot() -> None:
    part = aioflask.Blueprint("part", "blueprint_test")
    with pytest.raises(ValueError, match=r"'endpoint'.*may not contain a dot"):
        part.route("/", endpoint="a.b")(where)

    def view() -> str:
        return ""

    view.__name__ = "a.b"
    with pytest.raises(ValueError, match="may not contain a dot"):
        part.add_url_rule("/", view_func=view)


@pytest.mark.parametrize(
    ("prefix", "rule", "path"),
    [
        (None, "/x", "/x"),
        ("/p", "/x", "/p/x"),
        ("/p/", "/x", "/p/x"),
        ("/p", "", "/p"),
        ("/p", "/", "/p/"),
        ("/", "/x", "/x"),
    ],
)
def test_a_prefix_stands_before_each_rule(
    app: aioflask.Flask, prefix: str | None, rule: str, path: str
) -> None:
    part = aioflask.Blueprint("part", "blueprint_test", url_prefix=prefix)
    part.add_url_rule(rule, view_func=where)
    app.register_blueprint(part)
    assert rules(app) == {"part.where": path}
    assert app.test_client().get(path).text == f"part.where {path}"


def test_options_of_the_registration_win_over_the_blueprints(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint(
        "part", "blueprint_test", url_prefix="/own", url_defaults={"a": 1, "b": 1}
    )
    part.add_url_rule("/", "view", lambda a, b, c: [a, b, c], defaults={"c": 3})
    app.register_blueprint(part, url_prefix="/given", url_defaults={"b": 2})
    assert app.test_client().get("/given/").json == [1, 2, 3]


def test_a_blueprint_may_be_registered_again_under_another_name(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint("part", "blueprint_test")
    part.add_url_rule("/", view_func=where)
    app.register_blueprint(part, url_prefix="/one")
    with pytest.raises(ValueError, match=r"'part'.*already registered for this blueprint.*name="):
        app.register_blueprint(part, url_prefix="/two")
    other = aioflask.Blueprint("part", "blueprint_test")
    with pytest.raises(ValueError, match="already registered for a different blueprint"):
        app.register_blueprint(other)
    app.register_blueprint(part, url_prefix="/two", name="again")
    client = app.test_client()
    assert client.get("/one/").text == "part.where /one/"
    assert client.get("/two/").text == "again.where /two/"
    assert list(app.iter_blueprints()) == [part, part]


def test_record_runs_each_time_and_record_once_the_first_time(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint("part", "blueprint_test")
    each: list[str] = []
    once: list[str] = []
    part.record(lambda state: each.append(state.name))
    part.record_once(lambda state: once.append(state.name))
    app.register_blueprint(part)
    app.register_blueprint(part, name="again")
    assert (each, once) == (["part", "again"], ["part"])
    aioflask.Flask("another").register_blueprint(part, name="elsewhere")
    assert once == ["part", "elsewhere"]


def test_a_subclass_may_make_its_own_setup_state(app: aioflask.Flask) -> None:
    class State(BlueprintSetupState):
        pass

    class Part(aioflask.Blueprint):
        def make_setup_state(
            self, app: aioflask.Flask, options: dict[str, object], first_registration: bool = False
        ) -> State:
            return State(self, app, options, first_registration)

    part = Part("part", "blueprint_test")
    seen: list[BlueprintSetupState] = []
    part.record(seen.append)
    app.register_blueprint(part, custom=42)
    assert type(seen[0]) is State
    assert seen[0].options == {"custom": 42}
    assert seen[0].first_registration


def test_set_up_after_the_registration_is_refused(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint("part", "blueprint_test")
    app.register_blueprint(part)
    with pytest.raises(AssertionError, match=r"setup method 'before_request'.*'part'"):
        part.before_request(lambda: None)
    with pytest.raises(AssertionError, match=r"Register the blueprint last"):
        part.add_url_rule("/", "view", where)


# -- nesting -----------------------------------------------------------------------------------


def test_names_and_prefixes_of_nested_blueprints_are_joined(app: aioflask.Flask) -> None:
    grandchild = aioflask.Blueprint("grandchild", "blueprint_test")
    child = aioflask.Blueprint("child", "blueprint_test", url_prefix="/child/")
    parent = aioflask.Blueprint("parent", "blueprint_test", url_prefix="/parent/")
    for part in (grandchild, child, parent):
        part.add_url_rule("/", view_func=where)
    child.register_blueprint(grandchild, url_prefix="/deep")
    parent.register_blueprint(child)
    app.register_blueprint(parent)
    assert rules(app) == {
        "parent.where": "/parent/",
        "parent.child.where": "/parent/child/",
        "parent.child.grandchild.where": "/parent/child/deep/",
    }
    assert list(app.blueprints) == ["parent", "parent.child", "parent.child.grandchild"]


def test_a_child_without_a_prefix_has_its_parents(app: aioflask.Flask) -> None:
    child = aioflask.Blueprint("child", "blueprint_test")
    child.add_url_rule("/x", view_func=where)
    parent = aioflask.Blueprint("parent", "blueprint_test")
    parent.register_blueprint(child)
    app.register_blueprint(parent, url_prefix="/p")
    assert rules(app) == {"parent.child.where": "/p/x"}


@pytest.mark.parametrize(
    ("outer", "inner", "joined"),
    [("api", "v1", "v1.api"), ("api", None, "api"), (None, "v1", "v1"), (None, None, "")],
)
def test_subdomains_of_nested_blueprints_are_joined(
    app: aioflask.Flask, outer: str | None, inner: str | None, joined: str
) -> None:
    child = aioflask.Blueprint("child", "blueprint_test", subdomain=inner)
    child.add_url_rule("/", view_func=where)
    parent = aioflask.Blueprint("parent", "blueprint_test", subdomain=outer)
    parent.register_blueprint(child)
    app.register_blueprint(parent)
    (rule,) = app.url_map.iter_rules()
    assert rule.subdomain == joined


def test_a_blueprint_is_not_nested_in_itself() -> None:
    part = aioflask.Blueprint("part", "blueprint_test")
    with pytest.raises(ValueError, match="on itself"):
        part.register_blueprint(part)


# -- what a registration brings ----------------------------------------------------------------


def test_hooks_of_a_blueprint_concern_its_requests_and_app_hooks_all(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint("part", "blueprint_test", url_prefix="/part")
    ran: list[str] = []
    part.before_request(lambda: ran.append("before"))
    part.before_app_request(lambda: ran.append("before app"))

    @part.after_request
    def after(response: aioflask.Response) -> aioflask.Response:
        ran.append("after")
        return response

    @part.after_app_request
    async def after_app(response: aioflask.Response) -> aioflask.Response:
        ran.append("after app")
        return response

    part.teardown_request(lambda exc: ran.append("teardown"))
    part.teardown_app_request(lambda exc: ran.append("teardown app"))
    part.add_url_rule("/", view_func=where)
    app.add_url_rule("/", view_func=where)
    app.register_blueprint(part)

    app.test_client().get("/")
    assert ran == ["before app", "after app", "teardown app"]
    ran.clear()
    app.test_client().get("/part/")
    assert ran == ["before app", "before", "after", "after app", "teardown", "teardown app"]


def test_url_values_and_defaults_of_a_blueprint(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint("part", "blueprint_test", url_prefix="/<lang>")

    @part.url_defaults
    def add_language(endpoint: str, values: dict[str, object]) -> None:
        values.setdefault("lang", aioflask.g.get("lang"))

    @part.url_value_preprocessor
    def pull_language(endpoint: str | None, values: dict[str, object] | None) -> None:
        assert values is not None
        aioflask.g.setdefault("lang", values.pop("lang"))

    @part.route("/")
    def index() -> str:
        return aioflask.url_for(".about")

    @part.route("/about")
    async def about() -> str:
        return aioflask.url_for("part.index")

    app.register_blueprint(part)
    assert app.test_client().get("/cs/").text == "/cs/about"
    assert app.test_client().get("/de/about").text == "/de/"


def test_error_handlers_of_a_blueprint_come_before_the_applications(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint("part", "blueprint_test", url_prefix="/part")
    part.errorhandler(403)(lambda error: ("part", 403))
    part.app_errorhandler(403)(lambda error: ("app", 403))

    def forbidden() -> None:
        aioflask.abort(403)

    part.add_url_rule("/", view_func=forbidden)
    app.add_url_rule("/", view_func=forbidden)
    app.register_blueprint(part)
    assert app.test_client().get("/part/").text == "part"
    assert app.test_client().get("/").text == "app"


def test_a_later_change_of_the_blueprints_handlers_does_not_reach_the_app(
    app: aioflask.Flask,
) -> None:
    part = aioflask.Blueprint("part", "blueprint_test")
    part.errorhandler(404)(lambda error: "handled")
    app.register_blueprint(part)
    part.error_handler_spec[None][404].clear()
    assert app.error_handler_spec["part"][404]


def test_endpoint_of_a_blueprint_is_the_applications(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint("part", "blueprint_test")
    part.endpoint("late")(where)
    app.add_url_rule("/", endpoint="late")
    app.register_blueprint(part)
    assert app.test_client().get("/").text == "late /"


def test_filters_tests_and_globals_with_and_without_parentheses(app: aioflask.Flask) -> None:
    part = aioflask.Blueprint("part", "blueprint_test")

    @part.app_template_filter
    def shout(text: str) -> str:
        return text.upper()

    @part.app_template_test()
    def loud(text: str) -> bool:
        return text.isupper()

    @part.app_template_global("triple")
    def three_times(text: str) -> str:
        return text * 3

    app.register_blueprint(part)
    template = "{{ triple('a') | shout }} {{ 'A' is loud }}"
    app.add_url_rule("/", "page", lambda: aioflask.render_template_string(template))
    assert app.test_client().get("/").text == "AAA True"
    assert shout("x") == "X"


def test_static_files_and_templates_of_a_blueprint(app: aioflask.Flask, tmp_path: Path) -> None:
    for folder, text in (("files", "css"), ("pages", "{{ who }}")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(text, "utf-8")
    part = aioflask.Blueprint(
        "part",
        "blueprint_test",
        static_folder="files",
        template_folder="pages",
        url_prefix="/part",
        root_path=str(tmp_path),
    )
    part.context_processor(lambda: {"who": "part"})
    part.add_url_rule("/", "page", lambda: aioflask.render_template("a.txt"))
    app.register_blueprint(part)
    client = app.test_client()
    with client.get("/part/files/a.txt") as response:
        assert response.get_data() == b"css"
    assert client.get("/part/").text == "part"
    with app.test_request_context():
        assert aioflask.url_for("part.static", filename="a.txt") == "/part/files/a.txt"


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, ["part", "hello"]),
        ({"cli_group": "own"}, ["own", "hello"]),
        ({"cli_group": None}, ["hello"]),
    ],
)
def test_commands_of_a_blueprint(
    app: aioflask.Flask, options: dict[str, str | None], command: list[str]
) -> None:
    part = aioflask.Blueprint("part", "blueprint_test")

    @part.cli.command("hello")
    def hello() -> None:
        print("hello from", aioflask.current_app.name)

    app.register_blueprint(part, **options)
    assert app.test_cli_runner().invoke(args=command).output == "hello from blueprint_test\n"
