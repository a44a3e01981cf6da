"""Exceptions: which handler takes them, and what becomes of them wherever they are raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import werkzeug.exceptions
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound

from tests.data.flask_flows.scene import (
    HOOKS,
    KINDS,
    Broken,
    Leaves,
    Scene,
    VeryBroken,
    aborting,
    app_hooks,
    doing,
    failing_view,
    once,
    raising,
    scenario,
    told,
)

# --- errors: which handler ---------------------------------------------------------------------


@scenario()
def handlers_of_the_app_by_code_and_class(scene: Scene) -> None:
    for keys in (
        [404],
        [NotFound],
        [HTTPException],
        [HTTPException, 404],
        [Exception],
        [Exception, HTTPException],
        [Broken],
        [Broken, VeryBroken, Exception],
        [LookupError],
        [500],
        [InternalServerError, Broken],
        [500, Exception],
    ):
        app = scene.make()
        for key in keys:
            scene.catch(app, key, getattr(key, "__name__", str(key)))
        failing_view(scene, app)
        for kind in ("404", "403", "500", *KINDS):
            scene.ask(f"/{kind}")


@scenario()
def handlers_of_blueprints_come_before_the_apps(scene: Scene) -> None:
    for on_app, on_parent, on_child in (
        ([Broken], [Broken], [Broken]),
        ([Broken], [Broken], []),
        ([Broken], [], []),
        ([VeryBroken], [Broken], []),
        ([404], [], [HTTPException]),
        ([404], [404], [HTTPException]),
        ([HTTPException], [], [Exception]),
        ([500], [403], [404]),
        ([], [500], [403]),
    ):
        family = scene.family()
        for owner, name, keys in zip(
            family, ("app", "parent", "child"), (on_app, on_parent, on_child), strict=True
        ):
            for key in keys:
                scene.catch(owner, key, f"{name} {getattr(key, '__name__', key)}")
        failing_view(scene, family[2])
        scene.join(*family)
        for kind in ("404", "403", "VeryBroken"):
            scene.ask(f"/parent/{kind}")
    scene.ask("/parent/a/b")


@scenario()
def an_app_errorhandler_of_a_blueprint(scene: Scene) -> None:
    app, pages = scene.make(), scene.blueprint("pages", url_prefix="/pages")
    for key in (404, 500, Broken):
        name = getattr(key, "__name__", str(key))
        pages.app_errorhandler(key)(scene.hook(scene.noting("errorhandler", f"app {name}", told)))
    pages.errorhandler(404)(scene.hook(scene.noting("errorhandler", "pages 404", told)))
    failing_view(scene, pages)
    failing_view(scene, app)
    app.register_blueprint(pages)
    for path in ("/pages/404", "/pages/a/b", "/404", "/a/b/c", "/VeryBroken", "/pages/KeyError"):
        scene.ask(path)


# --- errors: where they are raised -------------------------------------------------------------

PLACES = (*HOOKS[:3], "view", "errorhandler", "after_this_request")


def failing_in(scene: Scene, place: str, fail: Callable[..., Any]) -> Any:
    """An app with all hooks, of which one fails at its first turn."""
    app = app_hooks(scene)
    if place in HOOKS:
        scene.add(app, place, "fails", fail)

    def view() -> str:
        if place == "after_this_request":
            later = scene.noting("after_request", "once", fail)
            scene.flask.after_this_request(scene.hook(later))
        if place == "view":
            fail()
        if place == "errorhandler":
            raise KeyError
        return "ok"

    if place == "errorhandler":
        scene.catch(app, KeyError, "KeyError", lambda error: fail())
    scene.route(app, "/", then=view)
    return app


def _every_place(
    scene: Scene, error: Any, set_up: Callable[[Any], None] = lambda app: None
) -> None:
    for place in PLACES:
        when = once()

        def fail(*given: Any, place: str = place, when: Any = when) -> None:
            if when():
                if isinstance(error, int):
                    scene.flask.abort(error, f"in {place}")
                raise error(f"in {place}")

        scene.write(f"--- fails in {place}")
        set_up(failing_in(scene, place, fail))
        scene.ask()


@scenario()
def exceptions_that_nobody_handles(scene: Scene) -> None:
    _every_place(scene, Broken)


@scenario()
def exceptions_with_a_handler(scene: Scene) -> None:
    _every_place(scene, Broken, lambda app: scene.catch(app, Broken, "Broken"))


@scenario()
def exceptions_with_a_500_handler(scene: Scene) -> None:
    _every_place(scene, Broken, lambda app: scene.catch(app, 500, "500"))


@scenario()
def exceptions_that_propagate(scene: Scene) -> None:
    _every_place(scene, Broken, lambda app: app.config.update(PROPAGATE_EXCEPTIONS=True))


@scenario()
def exceptions_while_testing(scene: Scene) -> None:
    _every_place(scene, Broken, lambda app: setattr(app, "testing", True))


@scenario()
def exceptions_in_debug_mode(scene: Scene) -> None:
    _every_place(scene, Broken, lambda app: setattr(app, "debug", True))


@scenario()
def exceptions_while_testing_that_do_not_propagate(scene: Scene) -> None:
    options = {"TESTING": True, "PROPAGATE_EXCEPTIONS": False}
    _every_place(scene, Broken, lambda app: app.config.update(options))


@scenario()
def abort_everywhere(scene: Scene) -> None:
    _every_place(scene, 409)


@scenario()
def abort_everywhere_with_a_handler(scene: Scene) -> None:
    _every_place(scene, 409, lambda app: scene.catch(app, 409, "409"))


@scenario()
def abort_everywhere_with_a_handler_of_http_exceptions(scene: Scene) -> None:
    _every_place(scene, 409, lambda app: scene.catch(app, HTTPException, "HTTP", lambda e: e))


@scenario()
def what_sys_exc_info_says(scene: Scene) -> None:
    """Of an exception that nobody handles, of one that a handler takes, and of a 404."""
    scene.sees_handled = True
    app = app_hooks(scene)
    scene.listen()
    scene.catch(app, KeyError, "KeyError")
    scene.catch(app, 500, "500")

    def view(kind: str) -> None:
        scene.flask.after_this_request(scene.hook(scene.noting("after_this_request", "")))
        raise KINDS[kind]()

    scene.route(app, "/<kind>", then=view)
    for path in ("/Broken", "/KeyError", "/no/where"):
        scene.ask(path)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    scene.ask("/Broken")


@scenario()
def base_exceptions_are_for_teardown_alone(scene: Scene) -> None:
    def set_up(app: Any) -> None:
        scene.catch(app, Exception, "never")
        scene.catch(app, 500, "never")

    _every_place(scene, Leaves, set_up)


@scenario()
def after_hooks_that_always_fail(scene: Scene) -> None:
    """The 500 of the first failure is finished with the second one logged."""
    app = app_hooks(scene)
    scene.add(app, "after_request", "fails", raising(Broken("in after")))
    scene.catch(app, 500, "500")
    scene.route(app, "/")
    scene.ask()


@scenario()
def a_teardown_function_raises(scene: Scene) -> None:
    for kind in ("teardown_request", "teardown_appcontext"):
        for config in ({}, {"PROPAGATE_EXCEPTIONS": True}):
            scene.write(f"--- fails in {kind} with {config}")
            app = scene.make()
            app.config.update(config)
            for name in ("1", "2"):
                scene.add(app, "teardown_appcontext", name)
                scene.add(app, "teardown_request", name)
            scene.add(app, kind, "fails", raising(Broken(f"in {kind}")))
            scene.add(app, kind, "3")
            scene.route(app, "/")
            scene.ask()


@scenario()
def a_teardown_function_aborts(scene: Scene) -> None:
    """Nobody handles that: the response is made."""
    app = scene.make()
    scene.add(app, "teardown_request", "aborts", aborting(scene, 409))
    scene.catch(app, 409, "never")
    scene.route(app, "/")
    scene.ask()


@scenario()
def a_teardown_function_raises_after_the_view_has(scene: Scene) -> None:
    app = scene.make()
    scene.add(app, "teardown_appcontext", "1")
    scene.add(app, "teardown_request", "1")
    scene.add(app, "teardown_request", "fails", raising(Broken("in teardown")))
    scene.route(app, "/", then=raising(Broken("in the view")))
    scene.ask()


@scenario()
def a_500_handler_that_raises(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.catch(app, 500, "500", raising(VeryBroken("in the handler")))
    scene.route(app, "/", then=raising(Broken("in the view")))
    scene.ask()


@scenario()
def a_handler_that_aborts(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.catch(app, Broken, "Broken", aborting(scene, 403))
    scene.catch(app, 403, "never")
    scene.route(app, "/", then=raising(Broken("in the view")))
    scene.ask()


@scenario()
def a_handler_that_raises_what_it_was_given(scene: Scene) -> None:
    def again(error: Exception) -> None:
        raise error

    app = app_hooks(scene)
    scene.catch(app, Broken, "Broken", again)
    scene.catch(app, 404, "404", again)
    scene.route(app, "/", then=raising(Broken("in the view")))
    scene.ask("/")
    scene.ask("/nowhere")


@scenario()
def a_handler_may_return_what_a_view_may(scene: Scene) -> None:
    def as_json(error: Any) -> Any:
        headers = {"X-Handled": "yes"}
        return {"code": error.code, "text": error.description}, error.code, headers

    app = app_hooks(scene)
    scene.catch(app, HTTPException, "HTTP", as_json)
    scene.route(app, "/", then=lambda: scene.flask.abort(429, "slowly"))
    scene.ask("/")
    scene.ask("/nowhere")
    scene.ask("/", "DELETE")


@scenario()
def a_handler_returns_none(scene: Scene) -> None:
    app = app_hooks(scene)
    app.register_error_handler(404, scene.hook(lambda error: scene.note("errorhandler")))
    scene.ask("/nowhere")


@scenario()
def the_original_exception_of_a_500(scene: Scene) -> None:
    app = app_hooks(scene)
    original = lambda error: (repr(error.original_exception), 500)  # noqa: E731
    scene.catch(app, InternalServerError, "500", original)
    scene.route(app, "/raises", "raises", raising(Broken("in the view")))
    scene.route(app, "/aborts", "aborts", aborting(scene, 500))
    scene.ask("/raises")
    scene.ask("/aborts")


@scenario()
def routing_errors_and_handlers(scene: Scene) -> None:
    """A redirect is no error for a handler; 404 and 405 are."""
    app = app_hooks(scene)
    scene.catch(app, HTTPException, "HTTP", lambda error: error)
    scene.route(app, "/slash/", methods=["GET", "POST"])
    scene.ask("/slash")
    scene.ask("/slash", "POST", data={"a": "b"})
    scene.ask("/slash//x")
    scene.ask("/slash/", "PUT")
    scene.ask("/nowhere")


@scenario()
def a_redirect_of_a_rule(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.route(app, "/old", "old", redirect_to="new", methods=["GET", "POST"])
    scene.ask("/old")
    scene.ask("/old", "POST", data={"a": "b"})
    app.debug = True
    scene.ask("/old", "POST", data={"a": "b"})


@scenario()
def abort_with_a_response(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.catch(app, HTTPException, "never")
    scene.route(app, "/", then=lambda: scene.flask.abort(scene.flask.Response("as it is", 202)))
    scene.ask()


@scenario()
def http_exceptions_as_return_values(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.catch(app, HTTPException, "never")
    scene.route(app, "/", then=lambda: werkzeug.exceptions.ImATeapot("short"))
    scene.ask()


@scenario()
def traps_for_http_exceptions(scene: Scene) -> None:
    def bad() -> str:
        return str(scene.flask.request.args["nothing"])

    for options in (
        {},
        {"TRAP_HTTP_EXCEPTIONS": True},
        {"TRAP_BAD_REQUEST_ERRORS": True},
        {"TRAP_BAD_REQUEST_ERRORS": False, "DEBUG": True},
        {"DEBUG": True},
        {"TRAP_HTTP_EXCEPTIONS": True, "TESTING": True},
        {"TRAP_BAD_REQUEST_ERRORS": True, "TESTING": True},
    ):
        for handled in (False, True):
            scene.write(f"--- {options} handled={handled}")
            app = scene.make()
            app.config.update(options)
            if handled:
                scene.catch(app, HTTPException, "HTTP", lambda error: (error, 400))
            scene.route(app, "/bad", "bad", bad)
            scene.route(app, "/400", "400", aborting(scene, 400))
            scene.route(app, "/403", "403", aborting(scene, 403))
            for path in ("/bad", "/400", "/403", "/404"):
                scene.ask(path)


@scenario()
def errors_that_teardown_ignores(scene: Scene) -> None:
    app = app_hooks(scene)
    app.should_ignore_error = doing(lambda error: scene.write("should_ignore_error"), True)
    scene.route(app, "/", then=raising(Broken("in the view")))
    scene.ask("/")
    scene.ask("/nowhere")


@scenario()
def views_that_return_no_response(scene: Scene) -> None:
    values: dict[str, Any] = {"none": None, "number": 7, "empty": (), "long": ("", 200, {}, 4)}
    app = app_hooks(scene)
    app.add_url_rule("/<kind>", "view", scene.view(lambda kind: values[kind]))
    for kind in values:
        scene.ask(f"/{kind}")
