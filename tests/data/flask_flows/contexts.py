"""Contexts by hand, in blocks, in views and in threads, and the test client's."""

from __future__ import annotations

from tests.data.flask_flows.scene import (
    Broken,
    Scene,
    Steps,
    app_hooks,
    failing_view,
    scenario,
)
from tests.data.flask_flows.sessions import watched_sessions

# --- contexts ----------------------------------------------------------------------------------


@scenario(plain_in_flask=True)
def an_app_context_inside_a_view(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen("appcontext_pushed", "appcontext_tearing_down", "appcontext_popped")

    def view() -> Steps:
        scene.flask.g.outer = 1
        context = scene.app.app_context()
        yield scene.enter(context)
        scene.note("inside")
        scene.flask.g.inner = 2
        yield scene.leave(context)
        scene.note("after it")
        return "ok"

    scene.route(app, "/", then=view)
    scene.ask()


@scenario(plain_in_flask=True)
def a_request_context_inside_a_view(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen("appcontext_pushed", "appcontext_tearing_down", "appcontext_popped")

    def view() -> Steps:
        scene.flask.g.outer = 1
        context = scene.app.test_request_context("/inner?q=1", method="POST")
        yield scene.enter(context)
        scene.note("inside")
        scene.flask.g.inner = 2
        yield scene.leave(context, Broken("out of the block"))
        scene.note("after it")
        return "ok"

    scene.route(app, "/", then=view)
    scene.ask()


@scenario(plain_in_flask=True)
def another_app_inside_a_view(scene: Scene) -> None:
    other = scene.flask.Flask("other", static_folder=None)
    other.teardown_appcontext(scene.hook(scene.noting("teardown_appcontext", "other")))
    other.teardown_request(scene.hook(scene.noting("teardown_request", "other")))
    app = app_hooks(scene)

    def view() -> Steps:
        scene.flask.g.outer = 1
        for context in (other.test_request_context("/other"), other.app_context()):
            yield scene.enter(context)
            scene.note("inside")
            scene.flask.g.inner = 2
            yield scene.leave(context)
            scene.note("after it")
        return "ok"

    scene.route(app, "/", then=view)
    scene.ask()


@scenario()
def copies_of_the_request_in_threads(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)

    def view() -> Steps:
        flask.g.outer, flask.session["user"] = 1, "ann"
        found: list[str] = []

        def work() -> None:
            flask.g.inner = 2
            scene.note("in the thread")
            found.append(f"{flask.request.path} {flask.session['user']}")

        yield scene.in_thread(flask.copy_current_request_context(work))
        yield scene.in_thread(lambda: scene.note("in a bare thread"))
        scene.note("after the threads")
        return found

    scene.route(app, "/here", then=view)
    scene.ask("/here")


@scenario(plain_in_flask=True)
def copies_of_the_request_in_the_view(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)

    def work() -> str:
        flask.g.inner = 2
        scene.note("in the copy")
        return str(flask.request.path)

    def view() -> Steps:
        flask.g.outer = 1
        copied = flask.copy_current_request_context(scene.hook_here(work))
        path = yield scene.app.ensure_sync(copied)()
        scene.note("after the copy")
        return path

    scene.route(app, "/here", then=view)
    scene.ask("/here")


@scenario()
def a_request_by_hand(scene: Scene) -> None:
    """The steps of a request, called one by one."""
    app = app_hooks(scene)
    watched_sessions(scene, app)
    scene.catch(app, Broken, "Broken")
    scene.catch(app, 404, "404")
    scene.add(app, "before_request", "answers", lambda: scene.flask.request.args.get("answer"))

    def view(name: str) -> str:
        scene.flask.session["name"] = name
        if name == "fails":
            raise Broken
        return name

    scene.route(app, "/<name>", then=view)

    def one(path: str) -> Steps:
        context = app.test_request_context(path)
        scene.note("made")
        yield scene.enter(context)
        scene.note("entered")
        rv = yield app.preprocess_request()
        scene.note("preprocessed", value=rv)
        try:
            rv = yield app.dispatch_request()
        except Exception as error:
            rv = yield app.handle_user_exception(error)
        response = app.make_response(rv)
        response = yield app.process_response(response)
        scene.note("processed", status=response.status_code)
        yield scene.leave(context)
        scene.note("left")

    def steps() -> Steps:
        for path in ("/ann", "/ann?answer=early", "/fails", "/no/where"):
            yield from one(path)

    scene.run(steps)


@scenario()
def a_whole_request_by_hand(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.listen()
    failing_view(scene, app, "/fails/<kind>")
    scene.route(app, "/<name>", then=lambda name: name)

    def one(path: str) -> Steps:
        context = app.test_request_context(path)
        error = None
        yield scene.enter(context)
        try:
            response = yield app.full_dispatch_request()
        except Exception as e:
            error = e
            response = yield app.handle_exception(e)
        text = response.get_data(as_text=True)
        scene.note("dispatched", status=response.status_code, text=text)
        yield scene.leave(context, error)

    def steps() -> Steps:
        for path in ("/ann", "/fails/Broken", "/fails/403", "/no/where"):
            yield from one(path)
        response = yield from finalize()
        scene.write("finalized", status=response.status_code)

    def finalize() -> Steps:
        context = app.test_request_context("/ann")
        yield scene.enter(context)
        response = yield app.finalize_request("by hand")
        yield app.do_teardown_request(None)
        scene.note("torn down once")
        yield scene.leave(context)
        return response

    scene.run(steps)


@scenario()
def a_context_that_is_entered_twice(scene: Scene) -> None:
    app = app_hooks(scene)

    def steps() -> Steps:
        for context in (app.test_request_context("/"), app.app_context()):
            yield scene.enter(context)
            scene.flask.g.x = 1
            yield scene.enter(context)
            scene.note("twice")
            yield scene.leave(context)
            scene.note("once")
            yield scene.leave(context)
            scene.note("left")
            yield scene.enter(context)
            scene.note("again")
            yield scene.leave(context, Broken("out of the block"))
            scene.note("left")

    scene.run(steps)


@scenario()
def a_request_inside_an_app_context(scene: Scene) -> None:
    app = app_hooks(scene)

    def steps() -> Steps:
        outer, inner = app.app_context(), app.test_request_context("/inner")
        yield scene.enter(outer)
        scene.flask.g.outer = 1
        yield scene.enter(inner)
        scene.note("inside")
        scene.flask.g.inner = 2
        yield scene.leave(inner)
        scene.note("after it")
        yield scene.leave(outer)
        scene.note("outside")
        yield scene.enter(inner)
        scene.note("inside, alone")
        yield scene.leave(inner)
        scene.note("outside")

    scene.run(steps)


@scenario(doors=False)
def a_client_in_a_block(scene: Scene) -> None:
    flask, app = scene.flask, app_hooks(scene)

    def view(name: str) -> str:
        flask.g.name = name
        flask.session["name"] = name
        if name == "fails":
            raise Broken
        return name

    scene.route(app, "/<name>", then=view)
    with app.test_client() as client:
        for path in ("/ann", "/bob?q=1", "/fails", "/no/where"):
            response = client.get(path)
            scene.note("in the block", status=response.status_code, user=flask.session.get("name"))
    scene.note("after the block")
    app.testing = True
    try:
        with app.test_client() as client:
            client.get("/fails")
    except Broken:
        scene.note("out of the block")


@scenario(doors=False)
def a_client_in_an_app_context(scene: Scene) -> None:
    app = app_hooks(scene)

    def view() -> str:
        scene.flask.g.inner = 2
        return "ok"

    scene.route(app, "/", then=view)
    with app.app_context():
        scene.flask.g.outer = 1
        scene.write("body", text=app.test_client().get("/").text)
        scene.note("after the request")
    scene.note("after the block")


@scenario(doors=False)
def a_client_that_follows_redirects(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.route(app, "/old", "old", lambda: scene.flask.redirect("/new"))
    scene.route(app, "/new", "new", lambda: scene.flask.session.setdefault("x", "new"))
    with app.test_client() as client:
        response = client.get("/old", follow_redirects=True)
        scene.note("in the block", text=response.text, history=len(response.history))


@scenario(doors=False)
def the_shell_context(scene: Scene) -> None:
    app = scene.make()
    app.shell_context_processor(scene.noting("shell_context_processor", "1", lambda: {"a": 1}))
    app.shell_context_processor(scene.noting("shell_context_processor", "2", lambda: {"a": 2}))
    with app.app_context():
        found = app.make_shell_context()
        scene.note("made", names=sorted(found), a=found["a"], g=found["g"] is scene.flask.g)
