"""Templates: where they are found, what they see, and how each colour renders them."""

from __future__ import annotations

import contextlib
import traceback
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import DictLoader, Template, TemplateNotFound

import aioflask
from aioflask.templating import DispatchingJinjaLoader, Environment

TEMPLATES = {
    "hello.html": "Hello {{ name }}{{ mark }}",
    "escaped.html": "{{ text }}|{{ text|safe }}",
    "plain.txt": "{{ text }}",
    "standard.html": "{{ request.args.q }} {{ g.user }} {{ config.DEBUG }} {{ session.s }}",
    "macro.html": "{% macro greet(name) %}Hello {{ name }}!{% endmacro %}{% set answer = 42 %}",
    "pieces.html": "{% for n in range(3) %}{{ n }}{{ request.args.q }}{% endfor %}",
}


@pytest.fixture
def app() -> aioflask.Flask:
    app = aioflask.Flask(__name__)
    app.secret_key = "secret"
    app.jinja_loader = DictLoader(TEMPLATES)
    return app


@contextlib.contextmanager
def recorded(app: aioflask.Flask, *signals: t.Any) -> Iterator[list[tuple[str, t.Any, t.Any]]]:
    """The names, templates and contexts that these signals were sent with."""
    sent: list[tuple[str, t.Any, t.Any]] = []
    with contextlib.ExitStack() as stack:
        for signal in signals:

            def receive(sender: t.Any, name: str = signal.name, **values: t.Any) -> None:
                sent.append((name, values["template"], values["context"]))

            stack.enter_context(signal.connected_to(receive, app))
            stack.callback(str, receive)  # The signal holds its receivers weakly.
        yield sent


def test_given_variables_win_over_context_processors(app: aioflask.Flask) -> None:
    @app.context_processor
    def processor() -> dict[str, t.Any]:
        return {"name": "processor", "mark": "!"}

    with app.app_context():
        assert aioflask.render_template("hello.html", name="Ada") == "Hello Ada!"
        assert aioflask.render_template("hello.html") == "Hello processor!"
        assert aioflask.render_template_string("{{ config }}", config=42) == "42"


def test_standard_variables(app: aioflask.Flask) -> None:
    with app.test_request_context("/?q=x"):
        aioflask.g.user = "Ada"
        aioflask.session["s"] = "y"
        assert aioflask.render_template("standard.html") == "x Ada False y"
    with app.app_context():
        aioflask.g.user = "Ada"
        source = "{{ g.user }} {{ config.DEBUG }} {{ url_for is callable }}"
        assert aioflask.render_template_string(source) == "Ada False True"


def test_a_template_that_reads_the_session_varies_on_the_cookie(app: aioflask.Flask) -> None:
    @app.get("/<name>")
    def view(name: str) -> str:
        return aioflask.render_template_string({"read": "{{ session.s }}", "not": ""}[name])

    client = app.test_client()
    assert client.get("/read").headers["Vary"] == "Cookie"
    assert "Vary" not in client.get("/not").headers


def test_html_and_strings_are_escaped_text_is_not(app: aioflask.Flask) -> None:
    with app.app_context():
        assert aioflask.render_template("escaped.html", text="<b>") == "&lt;b&gt;|<b>"
        assert aioflask.render_template("plain.txt", text="<b>") == "<b>"
        assert aioflask.render_template_string("{{ text }}", text="<b>") == "&lt;b&gt;"


def test_first_template_that_exists_is_taken(app: aioflask.Flask) -> None:
    with app.app_context():
        assert aioflask.render_template(["missing.html", "plain.txt"], text="x") == "x"
        with pytest.raises(TemplateNotFound):
            aioflask.render_template(["missing.html", "gone.html"])


def test_template_objects_are_rendered_too(app: aioflask.Flask) -> None:
    with app.app_context():
        template = app.jinja_env.get_template("plain.txt")
        assert aioflask.render_template(template, text="x") == "x"


def test_context_processors_of_the_requests_blueprints_run_outermost_first(
    app: aioflask.Flask,
) -> None:
    outer, inner = aioflask.Blueprint("outer", __name__), aioflask.Blueprint("inner", __name__)
    other = aioflask.Blueprint("other", __name__)

    @app.context_processor
    def of_app() -> dict[str, str]:
        return {"a": "app", "b": "app", "c": "app"}

    @outer.context_processor
    def of_outer() -> dict[str, str]:
        return {"b": "outer", "c": "outer"}

    @inner.context_processor
    def of_inner() -> dict[str, str]:
        return {"c": "inner"}

    @other.context_processor
    def of_other() -> dict[str, str]:
        return {"a": "other"}

    @inner.get("/")
    def view() -> str:
        return aioflask.render_template_string("{{ a }} {{ b }} {{ c }}")

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.register_blueprint(other)
    assert app.test_client().get("/").text == "app outer inner"


def test_signals_carry_template_and_context(app: aioflask.Flask) -> None:
    signals = (aioflask.before_render_template, aioflask.template_rendered)
    with app.app_context(), recorded(app, *signals) as sent:
        aioflask.render_template("hello.html", name="Ada")
    assert [(name, template.name, context["name"]) for name, template, context in sent] == [
        ("before-render-template", "hello.html", "Ada"),
        ("template-rendered", "hello.html", "Ada"),
    ]


def test_stream_keeps_the_request_and_signals_at_its_end(app: aioflask.Flask) -> None:
    @app.get("/<kind>")
    def view(kind: str) -> Iterator[str]:
        if kind == "name":
            return aioflask.stream_template("pieces.html")
        return aioflask.stream_template_string(
            "{% for n in 'ab' %}{{ n }}{{ request.args.q }}{% endfor %}"
        )

    with recorded(app, aioflask.template_rendered) as sent:
        assert app.test_client().get("/name?q=x").text == "0x1x2x"
        assert app.test_client().get("/string?q=x").text == "axbx"
    assert [template.name for _, template, _ in sent] == ["pieces.html", None]


def test_stream_outside_a_request(app: aioflask.Flask) -> None:
    with app.app_context(), recorded(app, aioflask.template_rendered) as sent:
        stream = aioflask.stream_template("hello.html", name="Ada")
        assert not sent
        assert "".join(stream) == "Hello Ada"
        assert len(sent) == 1


def test_macros_and_variables_are_attributes(app: aioflask.Flask) -> None:
    with app.app_context():
        assert aioflask.get_template_attribute("macro.html", "greet")("Ada") == "Hello Ada!"
        assert aioflask.get_template_attribute("macro.html", "answer") == 42
        with pytest.raises(AttributeError):
            aioflask.get_template_attribute("macro.html", "missing")


def test_what_is_given_wins_over_a_templates_globals_and_these_over_the_environments(
    app: aioflask.Flask,
) -> None:
    app.jinja_env.globals.update(a="env", b="env", c="env")
    with app.app_context():
        template = app.jinja_env.from_string("{{ a }} {{ b }} {{ c }}", {"b": "own", "c": "own"})
        assert aioflask.render_template(template, c="given") == "env own given"
        app.jinja_env.globals["a"] = "changed"
        assert aioflask.render_template(template) == "changed own own"


def test_a_template_of_another_class_is_rendered_its_way(app: aioflask.Flask) -> None:
    class Loud(Template):
        def render(self, *args: t.Any, **kwargs: t.Any) -> str:
            return super().render(*args, **kwargs).upper()

    app.jinja_env.template_class = Loud
    with app.app_context():
        assert aioflask.render_template_string("a {{ b }}", b="c") == "A C"


def test_the_traceback_of_a_template_shows_its_line(app: aioflask.Flask) -> None:
    with app.app_context(), pytest.raises(ZeroDivisionError) as raised:
        aioflask.render_template_string("one\ntwo {{ 1 / 0 }}")
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == ("<template>", 2)


def test_rendering_without_an_application_says_so() -> None:
    with pytest.raises(RuntimeError, match="application context"):
        aioflask.render_template_string("x")


@pytest.fixture
def folders(tmp_path: Path) -> aioflask.Flask:
    """An app with a template folder, and two blueprints with theirs."""
    files = {
        "app/templates/a.html": "app",
        "first/templates/a.html": "first",
        "first/templates/b.html": "first",
        "second/templates/b.html": "second",
        "second/templates/c.html": "second",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    app = aioflask.Flask("folders", root_path=str(tmp_path / "app"))
    for name in ("first", "second"):
        root = str(tmp_path / name)
        app.register_blueprint(
            aioflask.Blueprint(name, "folders", template_folder="templates", root_path=root)
        )
    return app


def test_the_apps_folder_comes_before_the_blueprints(folders: aioflask.Flask) -> None:
    with folders.app_context():
        found = [aioflask.render_template(name) for name in ("a.html", "b.html", "c.html")]
    assert found == ["app", "first", "second"]
    assert sorted(folders.jinja_env.list_templates()) == ["a.html", "b.html", "c.html"]


class BlueprintFirst(DispatchingJinjaLoader):
    """Looks first where the request says."""

    def _iter_loaders(self, template: str) -> t.Any:
        for owner, loader in super()._iter_loaders(template):
            if owner.name == aioflask.request.args["owner"]:
                yield owner, loader
        yield from super()._iter_loaders(template)


@pytest.mark.parametrize("explained", [False, True])
@pytest.mark.parametrize("path", ["/plain", "/async"])
def test_a_loader_of_ones_own_may_choose_the_order(
    folders: aioflask.Flask, explained: bool, path: str
) -> None:
    folders.config["EXPLAIN_TEMPLATE_LOADING"] = explained
    folders.jinja_env.loader = BlueprintFirst(folders)
    folders.jinja_env.cache = None
    folders.add_url_rule("/plain", "plain", lambda: aioflask.render_template("b.html"))

    @folders.get("/async")
    async def view() -> str:
        return aioflask.render_template("b.html")

    client = folders.test_client()
    owners = ("first", "second", "app")
    found = [client.get(path, query_string={"owner": owner}).text for owner in owners]
    assert found == ["first", "second", "first"]
    assert sorted(folders.jinja_env.list_templates()) == ["a.html", "b.html", "c.html"]


@pytest.mark.parametrize("name", ["_get_source_fast", "_get_source_explained"])
def test_a_loader_of_ones_own_may_replace_either_way(folders: aioflask.Flask, name: str) -> None:
    def get_source(self: t.Any, environment: t.Any, template: str) -> t.Any:
        return f"{template} by {name}", None, None

    folders.config["EXPLAIN_TEMPLATE_LOADING"] = name == "_get_source_explained"
    own = type("Own", (DispatchingJinjaLoader,), {name: get_source})
    folders.jinja_env.loader = own(folders)
    with folders.app_context():
        assert aioflask.render_template("x.txt") == f"x.txt by {name}"


def test_template_loading_is_explained_when_asked(
    folders: aioflask.Flask, caplog: pytest.LogCaptureFixture
) -> None:
    folders.config["EXPLAIN_TEMPLATE_LOADING"] = True
    with folders.app_context(), caplog.at_level("INFO", "folders"):
        assert aioflask.render_template("b.html") == "first"
        with pytest.raises(TemplateNotFound):
            aioflask.render_template("missing.html")
    both, missing = (record.getMessage() for record in caplog.records)
    assert "1: trying loader of application 'folders'" in both
    assert "2: trying loader of blueprint 'first'" in both
    assert "3: trying loader of blueprint 'second'" in both
    assert "the template could not be found" in missing


def test_environment_and_loader_can_be_replaced() -> None:
    class OwnEnvironment(Environment):
        pass

    class OwnFlask(aioflask.Flask):
        jinja_environment = OwnEnvironment

        def create_global_jinja_loader(self) -> t.Any:
            return DictLoader({"x": "own"})

    app = OwnFlask(__name__)
    assert isinstance(app.jinja_env, OwnEnvironment)
    assert app.jinja_env.app is app
    with app.app_context():
        assert aioflask.render_template("x") == "own"
    loader = DictLoader({"y": "given"})
    assert Environment(app, loader=loader).get_template("y").render() == "given"
    assert isinstance(Environment(aioflask.Flask(__name__)).loader, DispatchingJinjaLoader)


def test_overridden_update_template_context_is_called() -> None:
    class OwnFlask(aioflask.Flask):
        def update_template_context(self, context: dict[str, t.Any]) -> None:
            super().update_template_context(context)
            context["own"] = "replaced"

    with OwnFlask(__name__).app_context():
        assert aioflask.render_template_string("{{ own }}") == "replaced"


def test_coroutine_context_processor_of_a_plain_view_is_awaited(app: aioflask.Flask) -> None:
    @app.context_processor
    async def processor() -> dict[str, t.Any]:
        return {"mark": "!"}

    @app.get("/")
    def view() -> str:
        return aioflask.render_template("hello.html", name="Ada")

    assert app.test_client().get("/").text == "Hello Ada!"


# --- ours alone --------------------------------------------------------------------------------


def coloured(app: aioflask.Flask, render: t.Callable[[], t.Any]) -> str:
    """What an ``async def`` view gets from ``render``, awaited if it is to be."""

    @app.get("/")
    async def view() -> t.Any:
        result = render()
        return await result if hasattr(result, "__await__") else result

    app.testing = True
    return app.test_client().get("/?q=x").text


def test_async_view_renders_with_a_plain_call(app: aioflask.Flask) -> None:
    assert coloured(app, lambda: aioflask.render_template("plain.txt", text="x")) == "x"


def test_async_view_streams_with_a_plain_call(app: aioflask.Flask) -> None:
    assert coloured(app, lambda: aioflask.stream_template("pieces.html")) == "0x1x2x"


def test_async_render_awaits_context_processors(app: aioflask.Flask) -> None:
    @app.context_processor
    async def processor() -> dict[str, t.Any]:
        return {"mark": "!", "name": "processor"}

    with recorded(app, aioflask.before_render_template, aioflask.template_rendered) as sent:
        text = coloured(app, lambda: aioflask.render_template_async("hello.html", name="Ada"))
    assert text == "Hello Ada!"
    assert len(sent) == 2


def test_async_render_of_a_string(app: aioflask.Flask) -> None:
    assert coloured(app, lambda: aioflask.render_template_string_async("{{ x }}", x="<")) == "&lt;"


def test_async_render_respects_an_override() -> None:
    class OwnFlask(aioflask.Flask):
        def update_template_context(self, context: dict[str, t.Any]) -> None:
            super().update_template_context(context)
            context["own"] = "replaced"

    app = OwnFlask(__name__)

    @app.context_processor
    async def processor() -> dict[str, t.Any]:
        return {"mark": "!"}

    source = "{{ own }}{{ mark }}"
    assert coloured(app, lambda: aioflask.render_template_string_async(source)) == "replaced!"


@pytest.mark.parametrize("name", ["render_template", "stream_template"])
def test_async_context_processor_in_a_plain_call_on_the_loop_names_the_await(
    app: aioflask.Flask, name: str
) -> None:
    @app.context_processor
    async def current_user() -> dict[str, t.Any]:
        return {}

    with pytest.raises(RuntimeError) as caught:
        coloured(app, lambda: getattr(aioflask, name)("plain.txt"))
    assert "current_user() is `async def`" in str(caught.value)
    assert "return await render_template_async(name, ...)" in str(caught.value)


@pytest.fixture
def async_app(app: aioflask.Flask) -> aioflask.Flask:
    """An app whose Jinja environment awaits, with a filter that has to be."""
    app.jinja_options = {"enable_async": True}

    @app.template_filter("slow")
    async def slow(text: str) -> str:
        return text.upper()

    return app


SLOW = "{{ 'x'|slow }}{{ request.args.q }}"


def test_async_environment_in_a_plain_view(async_app: aioflask.Flask) -> None:
    @async_app.get("/plain")
    def plain() -> str:
        return aioflask.render_template_string(SLOW)

    @async_app.get("/stream")
    def stream() -> Iterator[str]:
        return aioflask.stream_template_string(SLOW)

    assert async_app.test_client().get("/plain?q=y").text == "Xy"
    assert async_app.test_client().get("/stream?q=y").text == "Xy"


def test_async_environment_in_an_async_view(async_app: aioflask.Flask) -> None:
    assert coloured(async_app, lambda: aioflask.render_template_string_async(SLOW)) == "Xx"


def test_async_environment_streams_in_an_async_view(async_app: aioflask.Flask) -> None:
    assert coloured(async_app, lambda: aioflask.stream_template_string(SLOW)) == "Xx"


def test_async_environment_in_a_plain_call_on_the_loop_names_the_await(
    async_app: aioflask.Flask,
) -> None:
    with pytest.raises(RuntimeError, match="enable_async=True") as caught:
        coloured(async_app, lambda: aioflask.render_template_string(SLOW))
    assert "await render_template_async(name, ...)" in str(caught.value)
