"""What applications and blueprints share: registering routes, hooks and handlers; folders."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.exceptions import HTTPException, NotFound

import aioflask
from aioflask.scaffold import find_package

METHODS = ["get", "post", "put", "delete", "patch"]


@pytest.fixture(params=["app", "blueprint"])
def scaffold(request: pytest.FixtureRequest) -> aioflask.Flask | aioflask.Blueprint:
    if request.param == "app":
        return aioflask.Flask("scaffold_test")
    return aioflask.Blueprint("part", "scaffold_test")


@pytest.mark.parametrize("method", METHODS)
def test_a_method_shortcut_answers_its_method_alone(method: str) -> None:
    app = aioflask.Flask("scaffold_test")

    @getattr(app, method)("/")  # type: ignore[untyped-decorator]
    def view() -> str:
        return aioflask.request.method

    client = app.test_client()
    assert client.open("/", method=method).text == method.upper()
    other = "put" if method == "post" else "post"
    assert client.open("/", method=other).status_code == 405


@pytest.mark.parametrize("method", METHODS)
def test_a_method_shortcut_refuses_methods_and_shows_route(
    scaffold: aioflask.Flask, method: str
) -> None:
    with pytest.raises(TypeError, match=r"'methods'.*route\('/', methods=\['GET'\]\)"):
        getattr(scaffold, method)("/", methods=["GET"])


def test_route_returns_the_function_and_names_the_endpoint_after_it() -> None:
    app = aioflask.Flask("scaffold_test")

    async def index() -> str:
        return "async"

    assert app.route("/")(index) is index
    assert app.view_functions["index"] is index
    assert app.test_client().get("/").text == "async"


def test_one_route_decorator_may_be_used_twice() -> None:
    app = aioflask.Flask("scaffold_test", static_folder=None)
    decorate = app.route("/", endpoint="top")
    decorate(root)
    decorate(root)
    assert [rule.endpoint for rule in app.url_map.iter_rules()] == ["top", "top"]


def root() -> str:
    return "root"


def test_a_partial_without_a_name_needs_an_endpoint(scaffold: aioflask.Flask) -> None:
    app = aioflask.Flask("scaffold_test")
    view = functools.partial(root)
    with pytest.raises(AttributeError, match=r"no __name__.*Pass 'endpoint'"):
        app.add_url_rule("/", view_func=view)
    app.add_url_rule("/", "part", view)
    assert app.test_client().get("/").text == "root"


def test_a_rule_without_view_and_endpoint_is_refused() -> None:
    with pytest.raises(AssertionError, match="neither 'endpoint' nor 'view_func'"):
        aioflask.Flask("scaffold_test").add_url_rule("/")


def test_endpoint_gives_a_rule_its_view_later() -> None:
    app = aioflask.Flask("scaffold_test")
    app.add_url_rule("/late", endpoint="late")

    @app.endpoint("late")
    def view() -> str:
        return "here"

    assert app.test_client().get("/late").text == "here"


@pytest.mark.parametrize(
    ("decorator", "registry"),
    [
        ("before_request", "before_request_funcs"),
        ("after_request", "after_request_funcs"),
        ("teardown_request", "teardown_request_funcs"),
        ("context_processor", "template_context_processors"),
        ("url_value_preprocessor", "url_value_preprocessors"),
        ("url_defaults", "url_default_functions"),
    ],
)
def test_a_hook_is_returned_and_stands_last_in_flasks_registry(
    scaffold: aioflask.Flask, decorator: str, registry: str
) -> None:
    def hook(*args: Any) -> None: ...

    assert getattr(scaffold, decorator)(hook) is hook
    assert getattr(scaffold, registry)[None][-1] is hook


@pytest.mark.parametrize(
    ("what", "code", "cls"),
    [(404, 404, NotFound), (NotFound, 404, NotFound), (HTTPException, None, HTTPException)],
)
def test_error_handlers_are_kept_by_code_and_class(
    scaffold: aioflask.Flask, what: Any, code: int | None, cls: type[Exception]
) -> None:
    def handler(error: Exception) -> str:
        return "handled"

    assert scaffold.errorhandler(what)(handler) is handler
    assert scaffold.error_handler_spec[None][code][cls] is handler


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        (999, ValueError, "999.*Use a subclass of HTTPException with that code"),
        (KeyError("k"), TypeError, r"KeyError\('k'\) is an instance, not a class.*KeyError"),
        (list, ValueError, "'list' is not a subclass of Exception"),
    ],
)
def test_what_cannot_have_an_error_handler_is_refused(
    scaffold: aioflask.Flask, what: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        scaffold.register_error_handler(what, lambda e: "")


def test_static_folder_and_url_follow_the_root_path(tmp_path: Path) -> None:
    app = aioflask.Flask("scaffold_test", static_folder="files/", root_path=str(tmp_path))
    assert app.static_folder == str(tmp_path / "files")
    assert app.static_url_path == "/files"
    assert app.has_static_folder
    app.static_url_path = "/assets/"
    assert app.static_url_path == "/assets"
    app.static_folder = None
    assert not app.has_static_folder


def test_without_a_static_folder_there_is_no_route_and_no_file(scaffold: aioflask.Flask) -> None:
    bare = aioflask.Flask("scaffold_test", static_folder=None)
    assert not list(bare.url_map.iter_rules())
    assert bare.static_folder is None
    assert bare.static_url_path is None
    with bare.app_context(), pytest.raises(RuntimeError, match="static_folder"):
        bare.send_static_file("x")


@pytest.mark.parametrize(("value", "seconds"), [(None, None), (60, 60), (timedelta(hours=1), 3600)])
def test_max_age_of_files_is_configured(
    scaffold: aioflask.Flask, value: object, seconds: int | None
) -> None:
    app = aioflask.Flask("scaffold_test")
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = value
    with app.app_context():
        assert scaffold.get_send_file_max_age("x.css") == seconds


def test_open_resource_reads_and_does_not_write(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("žluť", "utf-8")
    part = aioflask.Blueprint("part", "scaffold_test", root_path=str(tmp_path))
    with part.open_resource("a.txt", "r") as text, part.open_resource("a.txt") as raw:
        assert text.read() == "žluť"
        assert raw.read() == "žluť".encode()
    with pytest.raises(ValueError, match="reading"):
        part.open_resource("a.txt", "w")


def test_jinja_loader_is_none_without_a_folder(scaffold: aioflask.Flask) -> None:
    scaffold.template_folder = None
    assert scaffold.jinja_loader is None


def test_cli_group_is_named_and_can_be_replaced(scaffold: aioflask.Flask) -> None:
    from aioflask.cli import AppGroup

    assert scaffold.cli.name == scaffold.name
    assert scaffold.cli is scaffold.cli
    other = AppGroup("other")
    scaffold.cli = other
    assert scaffold.cli is other


def test_find_package_knows_the_prefix_of_installed_packages() -> None:
    prefix, path = find_package("werkzeug")
    assert prefix is not None
    assert path.startswith(prefix)


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def make(place: str) -> Path:
        folder = tmp_path / place
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    return make


def test_find_package_of_modules_packages_and_namespaces(
    importable: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = importable("src")
    (here / "lone_module.py").touch()
    (here / "whole_package").mkdir()
    (here / "whole_package" / "__init__.py").touch()
    there = importable("lib/python3/site-packages")
    for place in (here / "shared_ns" / "one", there / "shared_ns" / "two"):
        place.mkdir(parents=True)
        (place / "__init__.py").touch()
    assert find_package("lone_module") == (None, str(here))
    assert find_package("whole_package") == (None, str(here))
    assert find_package("shared_ns.one") == (None, str(here))
    assert find_package("shared_ns.two") == (str(there.parents[2]), str(there))
    for name in [name for name in sys.modules if name.startswith("shared_ns")]:
        monkeypatch.delitem(sys.modules, name)


def test_find_package_falls_back_to_the_working_directory() -> None:
    assert find_package("no_such_package_at_all") == (None, str(Path.cwd()))
    assert find_package("__main__")[1]
