"""Views as classes, and methods of the app that a subclass replaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.data.flask_flows.scene import (
    Broken,
    Scene,
    Steps,
    app_hooks,
    described_kind,
    failing_view,
    scenario,
)

# --- views as classes --------------------------------------------------------------------------


@scenario()
def views_as_classes(scene: Scene) -> None:
    views, app = scene.part("views"), app_hooks(scene)

    def dispatch(self: Any, name: str) -> Any:
        scene.note("dispatch_request", made=self.made, count=self.count)
        self.count += 1
        return f"{self.made} {name} {self.count}"

    def init(self: Any, made: str) -> None:
        scene.note("__init__" if scene.flask.has_app_context() else "__init__ outside")
        self.made, self.count = made, 0

    for every in (True, False):
        members = {
            "__init__": init,
            "dispatch_request": scene.view(dispatch),
            "init_every_request": every,
            "methods": ["GET", "PUT"],
        }
        kind: Any = type("Own", (views.View,), members)
        app.add_url_rule(f"/{every}/<name>", view_func=kind.as_view(f"view{every}", "made"))
    for method in ("GET", "PUT", "POST", "OPTIONS"):
        scene.ask("/True/ann", method)
        scene.ask("/False/ann", method)


@scenario()
def decorators_of_views_as_classes(scene: Scene) -> None:
    views, app = scene.part("views"), app_hooks(scene)

    def decorator(name: str) -> Callable[[Any], Any]:
        def decorate(view: Any) -> Any:
            def decorated(**values: Any) -> Steps:
                scene.note(f"{name} begins")
                rv = yield view(**values)
                scene.note(f"{name} ends")
                return f"{name}({rv})"

            return scene.view_here(decorated)

        return decorate

    def dispatch(self: Any) -> str:
        scene.note("dispatch_request")
        return "view"

    class Own(views.View):  # type: ignore[misc, name-defined]
        decorators = (decorator("inner"), decorator("outer"))
        dispatch_request = scene.view(dispatch)

    app.add_url_rule("/", view_func=Own.as_view("own"))
    scene.ask()


@scenario()
def views_with_a_method_for_each_method(scene: Scene) -> None:
    views, app = scene.part("views"), app_hooks(scene)

    def method(name: str) -> Any:
        def answer(self: Any, number: int) -> Any:
            scene.note(name, kind=type(self).__name__)
            return f"{name} {number}"

        return scene.view(answer)

    class Api(views.MethodView):  # type: ignore[misc, name-defined]
        get, post = method("get"), method("post")

    class More(Api):
        delete, head = method("delete"), method("head")

    app.add_url_rule("/api/<int:number>", view_func=Api.as_view("api"))
    app.add_url_rule("/more/<int:number>", view_func=More.as_view("more"))
    for path in ("/api/1", "/more/2", "/api/x"):
        for verb in ("GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT"):
            scene.ask(path, verb)


# --- methods of the app that a subclass replaces -----------------------------------------------

WALK = """
full_dispatch_request preprocess_request dispatch_request handle_user_exception
handle_http_exception handle_exception finalize_request process_response make_response
do_teardown_request do_teardown_appcontext
""".split()
PLAIN = """
raise_routing_exception make_default_options_response log_exception
should_ignore_error trap_http_exception inject_url_defaults url_for redirect handle_url_build_error
update_template_context
""".split()
"""Methods that stay plain: what calls them is plain."""


def replacing(scene: Scene, names: list[str]) -> Any:
    """A subclass of Flask that notes when these methods begin, and how they end."""

    def replacement(name: str) -> Any:
        def method(self: Any, *given: Any, **values: Any) -> Steps:
            scene.note(f"{name} begins")
            try:
                rv = yield getattr(super(Own, self), name)(*given, **values)
            except Exception as error:
                scene.note(f"{name} raises", error=described_kind(error))
                raise
            scene.note(f"{name} ends")
            return rv

        return scene.hook_here(method) if name in WALK else scene.paint(method, "def")

    Own: Any = type("Own", (scene.flask.Flask,), {name: replacement(name) for name in names})
    return Own


def _replaced(scene: Scene, names: list[str]) -> None:
    app = app_hooks(scene, kind=replacing(scene, names))
    scene.catch(app, KeyError, "KeyError")
    scene.catch(app, 403, "403")
    failing_view(scene, app)
    scene.route(app, "/ok/slash/", then=lambda: scene.flask.url_for("view"))
    scene.route(app, "/ok/redirect", "redirect", lambda: scene.flask.redirect("/"))


def _ask_all(scene: Scene) -> None:
    for path in ("/ok/slash/", "/ok/redirect", "/ok/slash", "/no/where"):
        scene.ask(path)
    scene.ask("/ok/slash/", "OPTIONS")
    for kind in ("403", "KeyError", "Broken"):
        scene.ask(f"/{kind}")


@scenario()
def methods_of_the_walk_replaced(scene: Scene) -> None:
    _replaced(scene, WALK)
    _ask_all(scene)


@scenario()
def other_methods_replaced(scene: Scene) -> None:
    _replaced(scene, PLAIN)
    _ask_all(scene)


@scenario()
def one_method_replaced_at_a_time(scene: Scene) -> None:
    for name in WALK:
        scene.write(f"--- {name}")
        _replaced(scene, [name])
        for path in ("/ok/slash/", "/403", "/Broken"):
            scene.ask(path)


@scenario()
def create_url_adapter_replaced(scene: Scene) -> None:
    class Own(scene.flask.Flask):  # type: ignore[misc, name-defined]
        def create_url_adapter(self, request: Any) -> Any:
            scene.note("create_url_adapter", request=request is not None)
            return super().create_url_adapter(request)

    app = scene.make(Own)
    scene.add(app, "before_request")
    scene.route(app, "/", then=lambda: scene.flask.url_for("view", _external=True))
    scene.ask()
    scene.ask("/nowhere")


@scenario()
def methods_that_change_what_they_pass_on(scene: Scene) -> None:
    flask = scene.flask

    def dispatch_request(self: Any) -> Steps:
        rv = yield flask.Flask.dispatch_request(self)
        return rv.upper() if isinstance(rv, str) else rv

    def preprocess_request(self: Any) -> Steps:
        flask.g.early = True
        rv = yield flask.Flask.preprocess_request(self)
        return rv or (flask.request.args.get("answer"))

    def handle_user_exception(self: Any, error: Exception) -> Steps:
        if isinstance(error, Broken):
            return "broken", 502
        rv = yield flask.Flask.handle_user_exception(self, error)
        return rv

    def make_response(self: Any, rv: Any) -> Steps:
        if isinstance(rv, set):
            rv = sorted(rv)
        response = yield flask.Flask.make_response(self, rv)
        response.headers["X-Made"] = "yes"
        return response

    def process_response(self: Any, response: Any) -> Steps:
        response = yield flask.Flask.process_response(self, response)
        response.headers["X-Processed"] = "yes"
        return response

    methods = (dispatch_request, preprocess_request, handle_user_exception)
    functions: dict[str, Any] = {
        function.__name__: scene.hook_here(function)
        for function in (*methods, make_response, process_response)
    }
    app = app_hooks(scene, kind=type("Own", (flask.Flask,), functions))
    failing_view(scene, app)
    scene.route(app, "/ok/text", "text", lambda: "text")
    scene.route(app, "/ok/set", "set", lambda: {3, 1, 2})
    for path in (
        "/ok/text",
        "/ok/set",
        "/ok/text?answer=early",
        "/Broken",
        "/KeyError",
        "/403",
        "/",
    ):
        scene.ask(path)


@scenario()
def methods_replaced_on_the_instance(scene: Scene) -> None:
    app = app_hooks(scene)
    kind = type(app)

    def process_response(response: Any) -> Steps:
        scene.note("process_response begins")
        response = yield kind.process_response(app, response)
        scene.note("process_response ends")
        return response

    def handle_exception(error: Exception) -> Steps:
        scene.note("handle_exception begins")
        response = yield kind.handle_exception(app, error)
        scene.note("handle_exception ends")
        return response

    app.process_response = scene.hook_here(process_response)
    app.handle_exception = scene.hook_here(handle_exception)
    failing_view(scene, app)
    scene.route(app, "/ok/text", "text", lambda: "text")
    for path in ("/ok/text", "/Broken", "/403"):
        scene.ask(path)
