"""What views call: functions for later, streams, templates, responses, files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import werkzeug.exceptions
from werkzeug.exceptions import HTTPException

from tests.data.flask_flows.scene import (
    HOOKS,
    Broken,
    Scene,
    Steps,
    app_hooks,
    described_kind,
    doing,
    raising,
    scenario,
)

# --- after this request ------------------------------------------------------------------------


@scenario()
def after_this_request_everywhere(scene: Scene) -> None:
    app = app_hooks(scene)

    def later(name: str) -> Callable[..., None]:
        def register(*given: Any) -> None:
            function = scene.noting("after_this_request", name)
            scene.flask.after_this_request(scene.hook(function))

        return register

    def view() -> str:
        later("view 1")()
        later("view 2")()
        raise Broken

    scene.add(app, "url_value_preprocessor", "", later("url values"))
    scene.add(app, "before_request", "", later("before"))
    scene.add(app, "after_request", "", later("too late"))
    scene.catch(app, Broken, "", doing(later("handler"), "handled"))
    scene.route(app, "/", then=view)

    def register_in_turn() -> str:
        first = scene.noting("after_this_request", "first", later("registered by the first"))
        scene.flask.after_this_request(scene.hook(first))
        return "ok"

    scene.route(app, "/nested", "nested", register_in_turn)
    scene.ask("/")
    scene.ask("/nested")


@scenario()
def after_this_request_changes_the_response(scene: Scene) -> None:
    app = app_hooks(scene)

    def replace(response: Any) -> Any:
        return scene.flask.make_response(response.get_data() + b"!", 201)

    def view() -> str:
        for number in "12":
            function = scene.noting("after_this_request", number, replace)
            scene.flask.after_this_request(scene.hook(function))
        return "view"

    scene.route(app, "/", then=view)
    scene.ask()


@scenario(doors=False)
def helpers_outside_of_a_request(scene: Scene) -> None:
    flask, app = scene.flask, scene.make()
    calls: dict[str, Callable[[], Any]] = {
        "after_this_request": lambda: flask.after_this_request(lambda response: response),
        "copy_current_request_context": lambda: flask.copy_current_request_context(print),
        "stream_with_context": lambda: flask.stream_with_context(iter(())),
        "url_for": lambda: flask.url_for("view"),
        "session": lambda: flask.session["x"],
        "request": lambda: flask.request.path,
        "g": lambda: flask.g.x,
        "current_app": lambda: flask.current_app.name,
        "make_response": lambda: flask.make_response("x").status,
        "jsonify": lambda: flask.jsonify(1).status,
        "redirect": lambda: flask.redirect("/").location,
        "abort": lambda: flask.abort(404),
        "flash": lambda: flask.flash("x"),
        "render_template_string": lambda: flask.render_template_string("x"),
        "send_file": lambda: flask.send_file(io.BytesIO(b""), "text/plain").status,
        "dispatch_request": lambda: app.dispatch_request(),
        "process_response": lambda: app.process_response(flask.Response()),
        "make_response of the app": lambda: app.make_response("x").status,
        "ensure_sync": lambda: app.ensure_sync(lambda: "x")(),
    }

    def call_all() -> None:
        for name, call in calls.items():
            try:
                scene.note(name, value=call())
            except Exception as error:
                scene.note(name, error=described_kind(error))

    call_all()
    with app.app_context():
        call_all()


# --- streams and templates ---------------------------------------------------------------------


def pieces_of(scene: Scene, *, fails: bool = False) -> Callable[[], Iterator[str]]:
    def pieces() -> Iterator[str]:
        try:
            scene.note("first piece")
            yield "one "
            scene.note("second piece")
            if fails:
                raise Broken("in the stream")
            yield "two"
        finally:
            scene.note("the generator ends")

    return pieces


@scenario()
def a_stream_without_context(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen("request_finished", "appcontext_popped")
    scene.route(app, "/", then=lambda: scene.stream(pieces_of(scene))())
    scene.ask()


@scenario()
def a_stream_with_context(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen("request_finished", "appcontext_popped")
    stream = scene.stream(pieces_of(scene))

    def view() -> Any:
        scene.flask.g.held = 1
        return scene.flask.stream_with_context(stream())

    scene.route(app, "/", then=view)
    scene.ask()


@scenario()
def a_stream_with_context_as_a_decorator(scene: Scene) -> None:
    app = app_hooks(scene)

    def view() -> Any:
        made = scene.flask.stream_with_context(scene.stream(pieces_of(scene)))
        return made(), 201, {"X-Streams": "yes"}

    scene.route(app, "/", then=view)
    scene.ask()
    scene.ask("/", "HEAD")


@scenario()
def a_stream_with_context_in_a_response(scene: Scene) -> None:
    app = app_hooks(scene)
    stream = scene.stream(pieces_of(scene))

    def view() -> Any:
        made = scene.flask.stream_with_context(stream())
        response = scene.flask.Response(made, mimetype="text/plain")
        response.call_on_close(lambda: scene.note("the response is closed"))
        return response

    scene.route(app, "/", then=view)
    scene.ask()


@scenario()
def a_stream_that_fails(scene: Scene) -> None:
    for wrapped in (False, True):
        app = app_hooks(scene)
        stream = scene.stream(pieces_of(scene, fails=True))

        def view(wrapped: bool = wrapped, stream: Any = stream) -> Any:
            return scene.flask.stream_with_context(stream()) if wrapped else stream()

        scene.catch(app, Broken, "never")
        scene.route(app, "/", then=view)
        scene.ask()


@scenario(doors=False)
def a_stream_that_is_closed_early(scene: Scene) -> None:
    def endless() -> Iterator[str]:
        try:
            while True:
                yield "more"
        finally:
            scene.note("the generator ends")

    stream = scene.stream(endless)
    for wrapped in (False, True):
        app = app_hooks(scene)

        def view(wrapped: bool = wrapped) -> Any:
            return scene.flask.stream_with_context(stream()) if wrapped else stream()

        scene.route(app, "/", then=view)
        response = app.test_client().get("/")
        scene.write("first piece", text=next(response.iter_encoded()).decode()[:4])
        response.close()
        scene.write("closed")


@scenario()
def a_stream_whose_session_is_read(scene: Scene) -> None:
    app = app_hooks(scene)

    def pieces() -> Iterator[str]:
        yield str(scene.flask.session["user"])
        scene.flask.session["user"] = "too late"

    stream = scene.stream(pieces)

    def view() -> Any:
        scene.flask.session["user"] = "ann"
        return scene.flask.stream_with_context(stream())

    scene.route(app, "/", then=view)
    scene.ask()
    scene.ask()


def templates(scene: Scene) -> Any:
    """An app and two blueprints that fill templates, and note when they are asked to."""
    app, _, child = family = scene.family()
    for kind in HOOKS[1:]:
        scene.add(app, kind)
    for owner, name in zip(family, ("app", "parent", "child"), strict=True):
        filling = {"who": name, name: name}
        scene.add(owner, "context_processor", name, lambda filling=filling: filling)
    scene.add(child, "app_context_processor", "of child", lambda: {"who": "app of child", "a": 1})
    scene.listen()
    return family


@scenario()
def context_processors_and_their_order(scene: Scene) -> None:
    family = templates(scene)

    def page() -> Steps:
        rendered = yield scene.render(
            "{{ who }} {{ app }} {{ parent }} {{ child }} {{ own }}", own=1
        )
        return rendered

    for owner, rule in zip(family, ("/page", "/page", "/child/page"), strict=True):
        scene.route(owner, rule, "page", page)
    scene.join(*family)
    for path in ("/page", "/parent/page", "/parent/child/page"):
        scene.ask(path)


@scenario()
def templates_see_what_flask_gives_them(scene: Scene) -> None:
    app = app_hooks(scene)
    source = (
        "{{ request.path }} {{ g.x }} {{ session.user }} {{ config.TESTING }}"
        " {{ url_for('view', q=1) }} {{ get_flashed_messages(true) }} {{ '<' }}"
    )

    def page() -> Steps:
        scene.flask.g.x = "g"
        scene.flask.session["user"] = "ann"
        scene.flask.flash("hello", "info")
        rendered = yield scene.render(source)
        return rendered

    scene.route(app, "/", then=page)
    scene.ask()


@scenario()
def filters_tests_and_globals_of_templates(scene: Scene) -> None:
    app, pages = scene.make(), scene.blueprint("pages", url_prefix="/pages")

    def named(name: str, value: Any) -> Callable[..., Any]:
        def function(*given: Any) -> Any:
            scene.note(name, given=list(given))
            return value

        function.__name__ = name
        return function

    app.template_filter("shout")(named("app_filter", "FILTERED"))
    app.template_filter()(named("bare_filter", "BARE"))
    app.template_test("great")(named("app_test", True))
    app.template_global("tool")(named("app_global", "GLOBAL"))
    pages.app_template_filter("louder")(named("pages_filter", "LOUDER"))
    pages.app_template_test("small")(named("pages_test", False))
    pages.app_template_global()(named("pages_global", "PAGES"))
    app.add_template_filter(named("added_filter", "ADDED"), "added")
    app.register_blueprint(pages)
    source = (
        "{{ 1|shout }} {{ 2|bare_filter }} {{ 3 is great }} {{ tool(4) }} {{ 5|louder }}"
        " {{ 6 is small }} {{ pages_global() }} {{ 7|added }}"
    )

    def page() -> Steps:
        rendered = yield scene.render(source)
        return rendered

    scene.route(app, "/", then=page)
    scene.ask()


@scenario()
def template_files_of_app_and_blueprint(scene: Scene) -> None:
    """Of two templates of one name the app's is taken."""
    app, pages = (
        scene.make(),
        scene.blueprint("pages", template_folder="inner", url_prefix="/pages"),
    )
    scene.add(app, "context_processor", "app", lambda: {"who": "app"})
    scene.add(pages, "context_processor", "pages", lambda: {"who": "pages"})
    scene.listen("before_render_template", "template_rendered")

    def page(name: str) -> Steps:
        rendered = yield scene.render(f"{{% include {name!r} %}}", own="own")
        return rendered

    def attribute() -> str:
        return str(scene.flask.get_template_attribute("page.html", "hello")("macro"))

    scene.route(app, "/<name>", then=page)
    scene.route(app, "/a/macro", "macro", attribute)
    scene.route(pages, "/<name>", then=page)
    app.register_blueprint(pages)
    for path in ("/page.html", "/only_inner.html", "/pages/page.html", "/a/macro", "/nothing"):
        scene.ask(path)


@scenario()
def a_template_that_fails(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen("before_render_template", "template_rendered", "got_request_exception")
    app.template_global("fail")(raising(Broken("in the template")))

    def page() -> Steps:
        rendered = yield scene.render("{{ fail() }}")
        return rendered

    scene.route(app, "/", then=page)
    scene.ask()


@scenario()
def a_template_in_an_error_handler(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.add(app, "context_processor", "app", lambda: {"who": "app"})

    def page(error: Any) -> Steps:
        scene.note("errorhandler")
        rendered = yield scene.render("{{ who }} {{ error.code }}", error=error)
        return rendered, error.code

    app.register_error_handler(HTTPException, scene.hook(page))
    scene.ask("/nowhere")


@scenario()
def streamed_templates(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen("before_render_template", "template_rendered")

    def mark(name: str) -> str:
        scene.note(f"mark {name}")
        return name

    app.template_global()(mark)
    app.context_processor(scene.noting("context_processor", "app", lambda: {"who": "app"}))
    source = "{{ mark('a') }} {{ who }} {{ request.path }} {{ mark('b') }}"
    stream = lambda: scene.flask.stream_template_string(source)  # noqa: E731
    scene.route(app, "/string", "string", stream)
    scene.route(app, "/file", "file", lambda: scene.flask.stream_template("page.html", own="own"))
    scene.ask("/string")
    scene.ask("/file")


# --- the body of a request ---------------------------------------------------------------------


@scenario()
def bodies_read_in_hooks_view_and_handler(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)

    def read(name: str) -> None:
        request = flask.request
        files = {key: file.filename for key, file in request.files.items()}
        text = request.get_data(as_text=True)[:2]
        values = [dict(request.form), files, text, request.get_json(silent=True)]
        scene.write(name, read=values)

    def reading(name: str, value: Any = None) -> Any:
        def hook(*given: Any) -> Steps:
            yield scene.load_body()
            read(name)
            return given[0] if name == "after" else value

        return scene.hook(hook)

    def view() -> Any:
        scene.note("view")
        read("in the view")  # For a view it is there.
        raise Broken

    app.before_request(reading("before"))
    app.after_request(reading("after"))
    app.teardown_request(reading("teardown"))
    app.register_error_handler(Broken, reading("handler", "handled"))
    app.add_url_rule("/", "view", scene.view(view), methods=["POST"])
    scene.ask("/", "POST", data={"a": "1"})
    scene.ask("/", "POST", json={"a": 1})
    scene.ask("/", "POST", data={"b": "2", "file": (io.BytesIO(b"text"), "name.txt")})
    scene.ask("/", "POST", data=b"")
    scene.ask("/nowhere", "POST", data={"a": "1"})


@scenario()
def bodies_read_by_the_view_alone(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)
    reads: dict[str, Callable[[], Any]] = {
        "json": lambda: flask.request.get_json(),
        "forced": lambda: flask.request.get_json(force=True),
        "property": lambda: flask.request.json,
        "form": lambda: flask.request.form["a"],
        "files": lambda: flask.request.files["a"].filename,
        "values": lambda: flask.request.values.to_dict(),
        "data": lambda: flask.request.data,
        "header": lambda: flask.request.headers["X-Missing"],
        "cookie": lambda: flask.request.cookies["missing"],
    }

    def view(kind: str) -> Any:
        value = reads[kind]()
        return value if isinstance(value, bytes) else flask.jsonify(value)

    scene.route(app, "/<kind>", then=view, methods=["POST"])
    for kind in reads:
        scene.ask(f"/{kind}?q=1", "POST", data={"a": "form"})
        scene.ask(f"/{kind}", "POST", json={"a": ["json"]})
        scene.ask(f"/{kind}", "POST", data=b"{not json", content_type="application/json")


@scenario()
def bodies_that_are_too_large(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)
    app.config["MAX_CONTENT_LENGTH"] = 10
    scene.route(app, "/read", "read", lambda: flask.request.get_data(), methods=["POST"])
    scene.route(app, "/form", "form", lambda: flask.request.form, methods=["POST"])
    scene.catch(app, 413, "413")
    for path in ("/read", "/form", "/nowhere"):
        scene.ask(path, "POST", data=b"a" * 11)
    scene.ask("/read", "POST", data=b"a" * 10)


# --- responses ---------------------------------------------------------------------------------


@scenario()
def make_response_in_view_and_hooks(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)

    def change(response: Any) -> Any:
        made = flask.make_response((response.get_data(), 203, [("X-Made", "after")]))
        made.set_cookie("crumb", "1")
        return made

    makes: dict[str, Callable[[], Any]] = {
        "nothing": lambda: flask.make_response(),
        "text": lambda: flask.make_response("text"),
        "three": lambda: flask.make_response("text", 202, {"X-Three": "3"}),
        "pair": lambda: flask.make_response(("text", {"X-Pair": "2"})),
        "status": lambda: flask.make_response("text", "299 Odd"),
        "dict": lambda: flask.make_response({"b": 1, "a": [None, True]}),
        "list": lambda: flask.make_response([1, 2]),
        "bytes": lambda: flask.make_response(b"bytes"),
        "response": lambda: flask.make_response(flask.Response("r"), 201),
        "wsgi": lambda: flask.make_response(werkzeug.exceptions.Gone()),
        "generator": lambda: flask.make_response(piece for piece in ("a", "b")),
    }
    scene.add(app, "after_request", "makes", change)
    scene.route(app, "/<kind>", then=lambda kind: makes[kind]())
    for kind in makes:
        scene.ask(f"/{kind}")


@scenario()
def return_values_of_views(scene: Scene) -> None:
    app = app_hooks(scene)
    returns: dict[str, Any] = {
        "text": "text",
        "bytes": b"bytes",
        "array": bytearray(b"array"),
        "dict": {"b": 1, "a": "é"},
        "list": [1, {"x": None}],
        "status": ("text", 201),
        "words": ("text", "201 WITH WORDS"),
        "headers": ("text", {"X-A": "b"}),
        "pairs": ("text", [("X-A", "1"), ("X-A", "2")]),
        "three": ({"a": 1}, 202, {"Content-Type": "application/problem+json"}),
        "nothing": ("", 204),
        "error": werkzeug.exceptions.Conflict("conflict"),
        "response": werkzeug.Response("not of Flask's class", 203),
    }
    scene.route(app, "/<kind>", then=lambda kind: returns[kind])
    for kind in returns:
        scene.ask(f"/{kind}")


@scenario()
def json_redirect_and_abort(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)
    views: dict[str, Callable[[], Any]] = {
        "jsonify": lambda: flask.jsonify(b=1, a=[1, 2]),
        "list": lambda: flask.jsonify(1, 2),
        "one": lambda: flask.jsonify("one"),
        "none": lambda: flask.jsonify(None),
        "redirect": lambda: flask.redirect(flask.url_for("view", kind="one")),
        "permanent": lambda: flask.redirect("https://example.org/ä?b=c d", 308),
        "401": lambda: flask.abort(401, "who?"),
        "413": lambda: flask.abort(413),
        "retry": lambda: flask.abort(429, retry_after=7),
        "unknown": lambda: flask.abort(799),
    }
    scene.route(app, "/<kind>", then=lambda kind: views[kind]())
    for kind in views:
        scene.ask(f"/{kind}")


@scenario()
def files_and_parts_of_them(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)
    text = "text/plain"
    views: dict[str, Callable[[], Any]] = {
        "path": lambda: flask.send_file("note.txt"),
        "file": lambda: flask.send_file(io.BytesIO(b"in memory"), text, download_name="m.txt"),
        "attached": lambda: flask.send_file("note.txt", as_attachment=True, download_name="ä.txt"),
        "aged": lambda: flask.send_file("note.txt", max_age=60, etag=False),
        "there": lambda: flask.send_from_directory(scene.folder, "note.txt"),
        "gone": lambda: flask.send_from_directory(scene.folder, "gone.txt"),
        "outside": lambda: flask.send_from_directory(scene.folder / "static", "../note.txt"),
        "unnamed": lambda: flask.send_file(io.BytesIO(b"")),
    }
    scene.route(app, "/<kind>", then=lambda kind: views[kind]())
    for kind in views:
        scene.ask(f"/{kind}")
    for headers in (
        {"Range": "bytes=2-4"},
        {"Range": "bytes=20-"},
        {"If-Modified-Since": "Sun, 13 Sep 2020 12:26:40 GMT"},
        {"If-Modified-Since": "Sun, 13 Sep 2020 12:26:39 GMT"},
    ):
        scene.ask("/path", headers=headers)
    scene.ask("/path", "HEAD")


@scenario()
def flashed_messages(scene: Scene) -> None:
    flask, app = scene.flask, scene.make()
    scene.listen("message_flashed")

    def show(name: str) -> None:
        scene.note(name, messages=flask.get_flashed_messages(with_categories=True))

    def view() -> str:
        show("before flashing")
        flask.flash("one")
        flask.flash("two", "error")
        return "ok"

    def read() -> Any:
        show("first")
        show("again")
        errors = flask.get_flashed_messages(category_filter=["error"])
        return flask.jsonify(errors, flask.get_flashed_messages())

    app.before_request(scene.hook(lambda: flask.flash("hook") if flask.request.args else None))
    scene.route(app, "/flash", "flash", view)
    scene.route(app, "/read", "read", read)
    for path in ("/read", "/flash", "/flash", "/read", "/read", "/read?hook=1", "/flash", "/read"):
        scene.ask(path)


@scenario()
def automatic_options_and_head(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.route(app, "/get", "get")
    scene.route(app, "/post", "post", methods=["POST"])
    scene.route(app, "/none", "none", provide_automatic_options=False)
    scene.route(app, "/own", "own", lambda: ("own", {"X-Own": "1"}), methods=["GET", "OPTIONS"])
    scene.route(app, "/off", "off", provide_automatic_options=True, methods=["PUT"])
    scene.route(app, "/get", "delete", methods=["DELETE"])
    for path in ("/get", "/post", "/none", "/own", "/off", "/nowhere"):
        for method in ("OPTIONS", "HEAD", "DELETE"):
            scene.ask(path, method)


@scenario()
def options_switched_off(scene: Scene) -> None:
    app = scene.make()
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    scene.route(app, "/")
    scene.route(app, "/on", "on", provide_automatic_options=True)
    scene.ask("/", "OPTIONS")
    scene.ask("/on", "OPTIONS")


@scenario()
def own_classes_of_request_and_response(scene: Scene) -> None:
    flask = scene.flask

    class OwnRequest(flask.Request):  # type: ignore[misc, name-defined]
        @property
        def shouted(self) -> str:
            return str(self.path.upper())

    class OwnResponse(flask.Response):  # type: ignore[misc, name-defined]
        default_mimetype = "text/x-own"
        default_status = 203

    app = app_hooks(scene)
    app.request_class, app.response_class = OwnRequest, OwnResponse
    scene.route(app, "/path", then=lambda: flask.request.shouted)
    scene.route(app, "/other", "other", lambda: flask.Response("other", 200))
    scene.ask("/path")
    scene.ask("/other")
    scene.ask("/nowhere")
