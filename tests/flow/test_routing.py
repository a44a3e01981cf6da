"""Whole requests to URLs of every kind: converters, slashes, defaults, redirects, hosts."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from werkzeug.routing import BaseConverter, Rule, ValidationError
from werkzeug.test import create_environ

from aioflask import Blueprint, abort, jsonify, request, url_for
from tests.flow.doors import Answer, Flow, few_doors

UUID = "12345678-1234-5678-1234-567812345678"


def location(answer: Answer) -> str:
    return answer.headers["Location"].removeprefix("http://localhost")


# --- converters --------------------------------------------------------------------------------


@few_doors
@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ("/<x>", "/a%20b", "'a b'"),
        ("/<x>", "/%C3%A9", "'\u00e9'"),
        ("/<x>", "/a/b", None),
        ("/<x>", "/", None),
        ("/<string:x>", "/1", "'1'"),
        ("/<string(length=2):x>", "/ab", "'ab'"),
        ("/<string(length=2):x>", "/abc", None),
        ("/<string(minlength=2, maxlength=3):x>", "/a", None),
        ("/<int:x>", "/007", "7"),
        ("/<int:x>", "/-7", None),
        ("/<int:x>", "/7.5", None),
        ("/<int:x>", "/\u0663", None),
        ("/<int(signed=True):x>", "/-7", "-7"),
        ("/<int(fixed_digits=3):x>", "/007", "7"),
        ("/<int(fixed_digits=3):x>", "/7", None),
        ("/<int(min=5, max=9):x>", "/4", None),
        ("/<int(min=5, max=9):x>", "/9", "9"),
        ("/<float:x>", "/7.5", "7.5"),
        ("/<float:x>", "/7", None),
        ("/<float(signed=True):x>", "/-7.5", "-7.5"),
        ("/<path:x>", "/a/b/c.d", "'a/b/c.d'"),
        ("/<path:x>", "/a//b", "'a//b'"),
        ("/<any(one, two):x>", "/two", "'two'"),
        ("/<any(one, two):x>", "/three", None),
        ("/<uuid:x>", f"/{UUID}", f"UUID('{UUID}')"),
        ("/<uuid:x>", "/1234", None),
        ("/a/<x>/b/<int:y>", "/a/q/b/3", "'q', 3"),
        ("/a/<path:x>/b/<int:y>", "/a/q/r/b/3", "'q/r', 3"),
        ("/<x>.<y>", "/file.txt", "'file', 'txt'"),
        ("/v<int:x>", "/v3", "3"),
        ("/v<int:x>/end", "/v3/end", "3"),
    ],
)
def test_converters(flow: Flow, rule: str, path: str, expected: str | None) -> None:
    def view(**values: Any) -> str:
        return ", ".join(map(repr, values.values()))

    flow.app.add_url_rule(rule, "view", flow.paint(view))
    answer = flow.get(path)
    assert (answer.status, answer.text) == (200, expected) if expected else answer.status == 404


class Lists(BaseConverter):
    """`a+b` as a list, in both directions."""

    def to_python(self, value: str) -> list[str]:
        if "bad" in value:
            raise ValidationError
        if "gone" in value:
            abort(410)
        if "broken" in value:
            raise LookupError(value)
        return value.split("+")

    def to_url(self, value: list[str]) -> str:
        return "+".join(value)


def test_a_converter_of_ones_own(flow: Flow) -> None:
    flow.app.url_map.converters["list"] = Lists

    def view(names: list[str]) -> Any:
        return jsonify(names, url_for("view", names=["x", "y"]))

    flow.route("/<list:names>")(view)
    assert flow.get("/a+b").json == [["a", "b"], "/x+y"]
    assert flow.get("/bad").status == 404
    assert flow.get("/gone").status == 410
    assert flow.get("/broken").status == 500


def test_a_converter_can_use_the_context(flow: Flow) -> None:
    class Own(BaseConverter):
        def to_python(self, value: str) -> str:
            return value + str(request.args["q"])

    flow.app.url_map.converters["own"] = Own
    flow.route("/<own:x>")(lambda x: x)
    assert flow.get("/a?q=b").text == "ab"


# --- slashes, defaults, redirects ---------------------------------------------------------------


@few_doors
@pytest.mark.parametrize(
    ("rule", "options", "path", "expected"),
    [
        ("/dir/", {}, "/dir", 308),
        ("/dir/", {}, "/dir/", 200),
        ("/leaf", {}, "/leaf/", 404),
        ("/dir/", {"strict_slashes": False}, "/dir", 200),
        ("/leaf", {"strict_slashes": False}, "/leaf/", 200),
        ("/dir/<x>/", {}, "/dir/a", 308),
        ("/a/b", {}, "/a//b", 308),
        ("/a/b", {}, "//a/b", 200),
        ("/a/b", {"merge_slashes": False}, "/a//b", 404),
    ],
)
def test_slashes(flow: Flow, rule: str, options: Any, path: str, expected: int) -> None:
    flow.route(rule, **options)(lambda x="": "here")
    answer = flow.get("http://localhost" + path + "?q=1")
    assert answer.status == expected
    if expected == 308:
        assert location(answer).endswith("?q=1")
        assert flow.get(location(answer)).text == "here"


@few_doors
@pytest.mark.parametrize(
    ("setting", "path", "status"),
    [("strict_slashes", "/dir", 200), ("merge_slashes", "/a//b", 404)],
)
def test_slashes_of_the_whole_map(flow: Flow, setting: str, path: str, status: int) -> None:
    setattr(flow.app.url_map, setting, False)
    flow.route("/dir/")(lambda: "dir")
    flow.app.add_url_rule("/a/b", "b", lambda: "b")
    assert flow.get(path).status == status


def test_a_redirect_keeps_method_and_body(flow: Flow) -> None:
    flow.route("/dir/", methods=["POST"])(lambda: request.get_data())
    answer = flow.post("/dir", data=b"body")
    assert (answer.status, location(answer)) == (308, "/dir/")


def test_defaults_redirect_to_the_shorter_url(flow: Flow) -> None:
    view = flow.paint(
        lambda page: f"{page!r} {url_for('pages', page=1)} {url_for('pages', page=2)}"
    )
    flow.app.add_url_rule("/pages/", "pages", view, defaults={"page": 1})
    flow.app.add_url_rule("/pages/<int:page>", "pages", view)
    assert flow.get("/pages/").text == "1 /pages/ /pages/2"
    assert flow.get("/pages/2").text == "2 /pages/ /pages/2"
    answer = flow.get("/pages/1")
    assert (answer.status, location(answer)) == (308, "/pages/")


@few_doors
@few_doors
def test_redirect_to_and_alias(flow: Flow) -> None:
    flow.route("/new/<int:n>", endpoint="new")(lambda n: str(n))
    flow.app.add_url_rule("/old/<int:n>", "old", lambda n: "", redirect_to="new/<n>")
    flow.app.add_url_rule("/also/<int:n>", "new", alias=True)
    for path in ("/old/3", "/also/3"):
        answer = flow.get(path)
        assert (answer.status, location(answer)) == (308, "/new/3")


def test_the_more_specific_rule_wins_whatever_the_order(flow: Flow) -> None:
    for rule in ("/<path:x>", "/<x>", "/<int:x>", "/static", "/<x>/edit", "/<int:x>/edit"):
        flow.app.add_url_rule(rule, rule, flow.paint(lambda x=None: str(request.endpoint)))
    for path, rule in {
        "/static": "/static",
        "/12": "/<int:x>",
        "/word": "/<x>",
        "/a/b": "/<path:x>",
        "/12/edit": "/<int:x>/edit",
        "/static/edit": "/<x>/edit",
        "/static/other": "/<path:x>",
    }.items():
        assert flow.get(path).text == rule


# --- methods -----------------------------------------------------------------------------------


@few_doors
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_shortcuts_register_one_method(flow: Flow, method: str) -> None:
    getattr(flow.app, method.lower())("/")(flow.paint(lambda: request.method))
    assert flow.request("/", method).text == method
    others = {"GET", "POST", "PUT", "PATCH", "DELETE"} - {method}
    assert {flow.request("/", other).status for other in others} == {405}


@few_doors
@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/", "GET HEAD OPTIONS"),
        ("/both", "DELETE GET HEAD OPTIONS POST"),
        ("/post", "OPTIONS POST"),
    ],
)
def test_options_and_405_name_the_methods_there_are(flow: Flow, path: str, methods: str) -> None:
    flow.route("/")(lambda: "get")
    flow.app.add_url_rule("/both", "a", lambda: "", methods=["GET", "DELETE"])
    flow.app.add_url_rule("/both", "b", lambda: "", methods=["POST"])
    flow.app.add_url_rule("/post", "c", lambda: "", methods=["POST"])
    options, refused = flow.request(path, "OPTIONS"), flow.request(path, "PUT")
    assert (options.status, options.data, refused.status) == (200, b"", 405)
    for answer in (options, refused):
        assert sorted(answer.headers["Allow"].split(", ")) == methods.split()


def test_a_view_may_answer_options_and_head_itself(flow: Flow) -> None:
    flow.route("/", methods=["OPTIONS", "HEAD"])(lambda: ("", 204, {"X-Method": request.method}))
    for method in ("OPTIONS", "HEAD"):
        answer = flow.request("/", method)
        assert (answer.status, answer.headers["X-Method"]) == (204, method)
    assert flow.get("/").status == 405


@few_doors
@pytest.mark.parametrize("by", ["argument", "attribute", "config"])
def test_automatic_options_can_be_turned_off(flow: Flow, by: str) -> None:
    view: Any = flow.paint(lambda: "ok")
    options: dict[str, Any] = {}
    if by == "argument":
        options["provide_automatic_options"] = False
    elif by == "attribute":
        view.provide_automatic_options = False
    else:
        flow.app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    flow.app.add_url_rule("/", "view", view, **options)
    assert flow.request("/", "OPTIONS").status == 405


def test_different_views_for_the_methods_of_one_url(flow: Flow) -> None:
    """Also of different colours."""
    flow.app.get("/")(flow.paint(lambda: "got", "def"))
    flow.app.post("/", endpoint="made")(flow.paint(lambda: "made", "async"))
    assert (flow.get().text, flow.post().text) == ("got", "made")


# --- hosts and subdomains ----------------------------------------------------------------------


def test_hosts_are_matched_if_the_app_says_so(flow: Flow) -> None:
    app = flow.make_app(host_matching=True)
    app.add_url_rule("/", "api", flow.paint(lambda: "api"), host="api.example.org")
    app.add_url_rule("/", "user", flow.paint(lambda name: name), host="<name>.users.org:8080")
    assert flow.get(base_url="http://api.example.org/").text == "api"
    assert flow.get(base_url="http://ann.users.org:8080/").text == "ann"
    assert flow.get(base_url="http://example.org/").status == 404


def test_subdomains_are_matched_if_the_app_says_so(flow: Flow) -> None:
    app = flow.make_app(subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.org"
    admin = Blueprint("admin", __name__, subdomain="admin")
    admin.add_url_rule("/", "index", flow.paint(lambda: url_for("user", name="bob")))
    app.register_blueprint(admin)
    app.add_url_rule("/", "index", flow.paint(lambda: "index"))
    app.add_url_rule("/", "user", flow.paint(lambda name: name), subdomain="<name>")
    assert flow.get(base_url="http://example.org/").text == "index"
    assert flow.get(base_url="http://admin.example.org/").text == "http://bob.example.org/"
    assert flow.get(base_url="http://ann.example.org/").text == "ann"


def test_without_matching_every_host_is_served(flow: Flow) -> None:
    flow.app.config["SERVER_NAME"] = "example.org"
    flow.route("/", endpoint="index")(lambda: url_for("index", _external=True))
    assert flow.get(base_url="http://other.net/").text == "http://example.org/"


@few_doors
@pytest.mark.parametrize(("host", "status"), [("a.org", 200), ("x.b.org", 200), ("c.org", 400)])
def test_trusted_hosts(flow: Flow, host: str, status: int) -> None:
    flow.app.config["TRUSTED_HOSTS"] = ["a.org", ".b.org"]
    flow.route("/")(lambda: request.host)
    assert flow.get(base_url=f"http://{host}/").status == status


@few_doors
def test_trusted_hosts_that_change_between_requests_are_asked_anew(flow: Flow) -> None:
    hosts = ["a.org", ".b.org"]
    flow.app.config["TRUSTED_HOSTS"] = hosts
    flow.route("/")(lambda: f"{request.host} {request.trusted_hosts}")

    def statuses() -> list[int]:
        urls = [f"http://{host}/" for host in ("a.org", "x.b.org", "c.org")]
        return [flow.get(base_url=url).status for url in (*urls, *urls)]

    assert statuses() == [200, 200, 400] * 2
    assert flow.get(base_url="http://a.org/").text == "a.org ['a.org', '.b.org']"
    hosts[0] = "c.org"
    assert statuses() == [400, 200, 200] * 2
    flow.app.config["TRUSTED_HOSTS"] = ("a.org",)
    assert statuses() == [200, 400, 400] * 2
    nothing: Any
    for nothing in ([], None):  # As in Flask, an empty list is none.
        flow.app.config["TRUSTED_HOSTS"] = nothing
        assert statuses() == [200, 200, 200] * 2


@few_doors
def test_a_path_without_its_first_slash_is_taken_for_one_with_it(flow: Flow) -> None:
    """No server sends it, tests do: ``client.post("login")``."""
    flow.route("/login", methods=["GET", "POST"])(lambda: request.path)
    flow.route("/<int:n>", endpoint="number")(lambda n: str(n))
    environ = create_environ("/")
    for path, text in (("login", "/login"), ("7", "7")):
        environ["PATH_INFO"] = path
        assert flow.send(environ.copy(), []).text == text


# --- blueprints, prefixes, rules added otherwise -----------------------------------------------


def test_prefixes_of_nested_blueprints_add_up(flow: Flow) -> None:
    parent = Blueprint("parent", __name__, url_prefix="/parent")
    child = Blueprint("child", __name__, url_prefix="/child")
    child.add_url_rule("/<int:n>", "view", flow.paint(lambda n: f"{n} {request.endpoint}"))
    child.add_url_rule("/urls", "urls", flow.paint(lambda: url_for(".view", n=1)))
    parent.register_blueprint(child)
    flow.app.register_blueprint(parent)
    flow.app.register_blueprint(parent, name="again", url_prefix="/again")
    assert flow.get("/parent/child/1").text == "1 parent.child.view"
    assert flow.get("/again/child/1").text == "1 again.child.view"
    assert flow.get("/again/child/urls").text == "/again/child/1"


def test_a_rule_added_to_the_map_by_hand_works(flow: Flow) -> None:
    flow.app.url_map.add(Rule("/hand/<uuid:x>", endpoint="hand"))
    flow.app.view_functions["hand"] = flow.paint(lambda x: str(isinstance(x, uuid.UUID)))
    assert flow.get(f"/hand/{UUID}").text == "True"


def test_endpoint_registers_a_view_for_a_rule(flow: Flow) -> None:
    flow.app.add_url_rule("/", endpoint="named")
    flow.app.endpoint("named")(flow.paint(lambda: "named"))
    assert flow.get().text == "named"


def test_a_404_in_a_mounted_app_and_its_urls(flow: Flow) -> None:
    flow.route("/in", endpoint="inside")(lambda: url_for("inside", _external=True))
    assert flow.get("/in", base_url="http://h/mount").text == "http://h/mount/in"
    assert flow.get("/out", base_url="http://h/mount").status == 404
