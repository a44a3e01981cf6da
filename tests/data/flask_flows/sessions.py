"""Sessions and signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.data.flask_flows.scene import (
    HOOKS,
    Broken,
    Scene,
    Steps,
    app_hooks,
    failing_view,
    once,
    scenario,
)

# --- sessions ----------------------------------------------------------------------------------


def watched_sessions(scene: Scene, app: Any, nothing: bool = False) -> None:
    """Have the app's session interface take notes."""
    kind = scene.part("sessions").SecureCookieSessionInterface

    def open_session(self: Any, app: Any, request: Any) -> Any:
        scene.note("open_session")
        return None if nothing else kind.open_session(self, app, request)

    def save_session(self: Any, app: Any, session: Any, response: Any) -> None:
        held = dict(session)
        flags = [
            name for name in ("new", "modified", "accessed", "permanent") if getattr(session, name)
        ]
        scene.note("save_session", session=held, flags=flags, status=response.status_code)
        kind.save_session(self, app, session, response)

    class Watched(kind):  # type: ignore[misc, valid-type]
        def is_null_session(self, obj: object) -> bool:
            null = kind.is_null_session(self, obj)
            scene.note("is_null_session", null=null)
            return bool(null)

    Watched.open_session = scene.hook_here(open_session)
    Watched.save_session = scene.hook_here(save_session)
    app.session_interface = Watched()


def session_hooks(scene: Scene, app: Any) -> None:
    """Hooks that write into the session and read what was written before."""

    def append(name: str) -> Callable[..., None]:
        def hook(*given: Any) -> None:
            session = scene.flask.session
            session["log"] = [*session.get("log", []), name]
            scene.write("session", holds=session["log"])

        return hook

    for kind in HOOKS:
        scene.add(app, kind, "writes", append(kind))

    def view() -> str:
        append("view")()
        later = scene.noting("after_this_request", "writes", append("this"))
        scene.flask.after_this_request(scene.hook(later))
        return "ok"

    scene.route(app, "/", then=view)


@scenario()
def sessions_written_in_every_hook(scene: Scene) -> None:
    app = scene.make()
    session_hooks(scene, app)
    scene.ask()
    scene.ask()
    scene.ask("/nowhere")


@scenario()
def sessions_of_an_interface_that_takes_notes(scene: Scene) -> None:
    app = app_hooks(scene)
    watched_sessions(scene, app)
    session_hooks(scene, app)
    scene.listen()
    scene.ask()
    scene.ask("/nowhere")


@scenario()
def sessions_that_nobody_touches(scene: Scene) -> None:
    app = app_hooks(scene)
    watched_sessions(scene, app)
    scene.route(app, "/")
    scene.ask()
    scene.ask("/nowhere")
    scene.ask("/", "OPTIONS")


@scenario()
def sessions_when_the_request_fails(scene: Scene) -> None:
    app = app_hooks(scene)
    watched_sessions(scene, app)
    scene.route(app, "/<kind>", then=lambda kind: fail(kind))

    def fail(kind: str) -> None:
        scene.flask.session["kind"] = kind
        if kind == "aborts":
            scene.flask.abort(403)
        raise Broken

    scene.ask("/aborts")
    scene.ask("/raises")


@scenario()
def sessions_that_cannot_be_opened(scene: Scene) -> None:
    def read(kind: str) -> str:
        session = scene.flask.session
        if kind == "write":
            session["x"] = 1
        return f"{dict(session)} {session.get('x')}"

    for nothing in (False, True):
        app = app_hooks(scene)
        if not nothing:
            app.secret_key = None
        watched_sessions(scene, app, nothing)
        scene.route(app, "/<kind>", then=read)
        scene.ask("/read")
        scene.ask("/write")


@scenario()
def sessions_that_fail_to_open_or_save(scene: Scene) -> None:
    kind = scene.part("sessions").SecureCookieSessionInterface

    def fail(self: Any, *given: Any) -> None:
        scene.note("the interface fails")
        raise Broken("in the interface")

    for method in ("open_session", "save_session"):
        Own = type("Own", (kind,), {method: scene.hook_here(fail)})
        app = app_hooks(scene)
        app.session_interface = Own()
        scene.catch(app, Broken, "never")
        scene.catch(app, 500, "500")
        scene.route(app, "/")
        scene.ask()


@scenario()
def permanent_and_deleted_sessions(scene: Scene) -> None:
    app = scene.make()

    def view(kind: str) -> str:
        session = scene.flask.session
        if kind == "set":
            session["user"], session.permanent = "ann", True
        elif kind == "nested":
            session["list"] = []
        elif kind == "append":
            session["list"].append(1)
        elif kind == "clear":
            session.clear()
        elif kind == "read":
            return str(session.get("user"))
        return "ok"

    scene.route(app, "/<kind>", then=view)
    kinds = "untouched set read untouched nested append read clear read".split()
    for kind in kinds:
        scene.ask(f"/{kind}")
    app.config["SESSION_REFRESH_EACH_REQUEST"] = False
    for kind in kinds:
        scene.ask(f"/{kind}")
    scene.cookies["session"] = "forged"
    scene.ask("/read")


@scenario(doors=False)
def session_transactions_of_the_client(scene: Scene) -> None:
    app = app_hooks(scene)
    watched_sessions(scene, app)
    scene.route(app, "/", then=lambda: str(dict(scene.flask.session)))
    client = app.test_client()
    with client.session_transaction() as session:
        scene.note("in the transaction", session=dict(session))
        session["user"] = "ann"
    scene.write("body", text=client.get("/").text)
    with client:
        scene.write("body", text=client.get("/").text)
        with client.session_transaction() as session:
            scene.note("in a transaction in a block", session=dict(session))
            session["user"] = "bob"
        scene.note("in the block", user=scene.flask.session["user"])
        scene.write("body", text=client.get("/").text)


# --- signals -----------------------------------------------------------------------------------


@scenario()
def all_signals_of_a_request(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen()

    def page() -> Steps:
        scene.flask.flash("message", "info")
        rendered = yield scene.render("{{ 1 }}", own=1)
        return rendered

    scene.route(app, "/", then=page)
    scene.ask()


@scenario()
def all_signals_of_errors(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen()
    scene.catch(app, KeyError, "KeyError")
    scene.catch(app, 500, "500")
    failing_view(scene, app)
    for kind in ("403", "KeyError", "Broken"):
        scene.ask(f"/{kind}")
    scene.ask("/no/where")
    app.config["PROPAGATE_EXCEPTIONS"] = True
    scene.ask("/Broken")


@scenario()
def signals_when_a_hook_answers(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen()
    scene.add(app, "before_request", "answers", lambda: "from the hook")
    scene.route(app, "/")
    scene.ask()


@scenario()
def receivers_that_raise(scene: Scene) -> None:
    for name in (
        "request_started",
        "request_finished",
        "got_request_exception",
        "before_render_template",
        "message_flashed",
    ):
        scene.write(f"--- {name}")
        app = app_hooks(scene)
        scene.catch(app, KeyError, "KeyError")
        when = once()

        def receive(sender: Any, when: Any = when, **values: Any) -> None:
            scene.note("the receiver")
            if when():
                raise KeyError

        def page(name: str = name) -> Steps:
            scene.flask.flash("message")
            rendered = yield scene.render("{{ 1 }}")
            if name == "got_request_exception":
                raise Broken
            return rendered

        scene.connect(name, receive)
        scene.route(app, "/", then=page)
        scene.ask()


@scenario(doors=False)
def signals_of_contexts_by_hand(scene: Scene) -> None:
    app = scene.make()
    scene.add(app, "teardown_appcontext")
    scene.add(app, "teardown_request")
    scene.listen()
    with app.app_context():
        scene.note("in the app's block")
        with app.test_request_context("/path"):
            scene.note("in the request's block")
        scene.note("in the app's block again")
    with app.test_request_context("/alone"):
        scene.note("in a request's block of its own")
