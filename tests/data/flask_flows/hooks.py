"""Hooks of app, blueprint and nested blueprint, URL values, and registries edited by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter

from tests.data.flask_flows.scene import (
    APP_HOOKS,
    HOOKS,
    Broken,
    Scene,
    all_hooks,
    app_hooks,
    doing,
    scenario,
    told,
)

# --- hooks and their order ---------------------------------------------------------------------


@scenario()
def hooks_of_a_view_of_the_app(scene: Scene) -> None:
    all_hooks(scene)
    scene.ask("/")


@scenario()
def hooks_of_a_view_of_a_blueprint(scene: Scene) -> None:
    all_hooks(scene)
    scene.ask("/parent/")


@scenario()
def hooks_of_a_view_of_a_nested_blueprint(scene: Scene) -> None:
    all_hooks(scene)
    scene.ask("/parent/child")


@scenario()
def hooks_of_a_404(scene: Scene) -> None:
    all_hooks(scene)
    scene.ask("/parent/nowhere")


@scenario()
def hooks_of_a_405(scene: Scene) -> None:
    all_hooks(scene)
    scene.ask("/parent/child", "PUT")


@scenario()
def hooks_of_a_redirect_to_the_slash(scene: Scene) -> None:
    all_hooks(scene)
    scene.ask("/parent?q=1")


@scenario()
def hooks_of_automatic_options(scene: Scene) -> None:
    all_hooks(scene)
    scene.ask("/parent/child", "OPTIONS")


@scenario()
def hooks_of_automatic_head(scene: Scene) -> None:
    all_hooks(scene)
    scene.ask("/parent/child", "HEAD")


@scenario()
def hooks_of_two_requests(scene: Scene) -> None:
    """Nothing of the first one is left in the second one."""
    app = app_hooks(scene)

    def keep(n: str) -> str:
        scene.flask.g.kept = scene.flask.g.get("kept", "") + n
        return n

    scene.route(app, "/<n>", then=keep)
    scene.ask("/1")
    scene.ask("/2")


@scenario()
def hooks_of_a_blueprint_registered_twice(scene: Scene) -> None:
    app, pages = scene.make(), scene.blueprint("pages")
    for kind in HOOKS:
        scene.add(pages, kind, "pages")
    for kind in APP_HOOKS:
        scene.add(pages, kind, "of pages")
    scene.route(pages, "/view")
    app.register_blueprint(pages, url_prefix="/one")
    app.register_blueprint(pages, url_prefix="/two", name="again")
    scene.ask("/one/view")
    scene.ask("/two/view")


@scenario()
def hooks_of_a_blueprint_nested_in_two_others(scene: Scene) -> None:
    app, child = scene.make(), scene.blueprint("child")
    for kind in HOOKS:
        scene.add(child, kind, "child")
    scene.route(child, "/view")
    for name in ("one", "two"):
        outer = scene.blueprint(name, url_prefix=f"/{name}")
        for kind in HOOKS:
            scene.add(outer, kind, name)
        outer.register_blueprint(child)
        app.register_blueprint(outer)
    scene.ask("/one/view")
    scene.ask("/two/view")


@scenario()
def hooks_of_static_files(scene: Scene) -> None:
    app = app_hooks(scene, static_folder="static")
    pages = scene.blueprint("pages", static_folder="static", url_prefix="/pages")
    for kind in HOOKS:
        scene.add(pages, kind, "pages")
    app.register_blueprint(pages)
    scene.ask("/static/style.css")
    scene.ask("/pages/static/style.css")
    scene.ask("/static/nothing.css")


@scenario()
def a_before_hook_of_the_app_answers(scene: Scene) -> None:
    app, *_ = family = scene.family()
    for owner, name in zip(family, ("app", "parent", "child"), strict=True):
        for kind in HOOKS:
            scene.add(owner, kind, name)
    scene.add(app, "before_request", "answers", lambda: ("from the hook", 202, {"X-Hook": "yes"}))
    scene.add(app, "before_request", "never")
    scene.join(*family)
    scene.ask("/parent/child")


@scenario()
def a_before_hook_of_a_blueprint_answers(scene: Scene) -> None:
    _, parent, _ = family = scene.family()
    scene.add(parent, "before_request", "answers", lambda: {"from": "the hook"})
    for owner, name in zip(family, ("app", "parent", "child"), strict=True):
        for kind in HOOKS:
            scene.add(owner, kind, name)
    scene.join(*family)
    scene.ask("/parent/child")


@scenario()
def a_before_hook_answers_with_nothing_much(scene: Scene) -> None:
    nothings: list[Any] = ["", {}, [], b""]
    for empty in nothings:
        app = app_hooks(scene)
        scene.add(app, "before_request", "answers", lambda empty=empty: empty)
        scene.route(app, "/")
        scene.ask()


@scenario()
def a_before_hook_answers_a_404(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.add(app, "before_request", "answers", lambda: "instead")
    scene.ask("/nowhere")


@scenario()
def after_hooks_replace_and_change_the_response(scene: Scene) -> None:
    app = app_hooks(scene)

    def replace(response: Any) -> Any:
        text = response.get_data(as_text=True)
        return scene.flask.Response(text + "!", 201, {"X-Seen": "a"})

    def change(response: Any) -> Any:
        response.headers["X-Seen"] += "b"
        response.status_code += 1
        return response

    scene.add(app, "after_request", "changes", change)
    scene.add(app, "after_request", "replaces", replace)
    scene.route(app, "/")
    scene.ask()


@scenario()
def an_after_hook_returns_nothing(scene: Scene) -> None:
    app = app_hooks(scene)
    forgetful = scene.noting("after_request", "forgetful")
    app.after_request(scene.hook(lambda response: forgetful(response) and None))
    scene.route(app, "/")
    scene.ask()


@scenario()
def hooks_change_what_the_view_is_given(scene: Scene) -> None:
    app = scene.make()

    def change(endpoint: Any, values: Any) -> None:
        if values:
            values["number"] += 1
            scene.flask.g.lang = values.pop("lang")

    def look() -> None:
        if scene.flask.request.view_args:
            scene.flask.request.view_args["number"] += 10

    scene.add(app, "url_value_preprocessor", "", change)
    scene.add(app, "before_request", "", look)
    scene.add(app, "teardown_request")
    scene.route(app, "/<lang>/<int:number>", then=lambda number: str(number))
    scene.ask("/de/1")
    scene.ask("/nowhere")


@scenario()
def hooks_share_g_and_the_view_sees_it(scene: Scene) -> None:
    app = app_hooks(scene)

    def put(name: str) -> Callable[..., None]:
        return lambda *given: setattr(scene.flask.g, name, len(list(scene.flask.g)))

    scene.add(app, "url_value_preprocessor", "puts", put("a"))
    scene.add(app, "before_request", "puts", put("b"))
    scene.add(app, "after_request", "puts", put("d"))
    scene.add(app, "teardown_request", "puts", put("e"))
    scene.add(app, "teardown_appcontext", "puts", put("f"))

    def view() -> str:
        g = scene.flask.g
        g.c = g.pop("a") + g.setdefault("b", 7) + g.get("x", 5)
        return f"{'a' in g} {'b' in g} {sorted(g)} {g}"

    scene.route(app, "/", then=view)
    scene.ask()
    scene.ask()


@scenario(plain_in_flask=True)
def context_variables_through_all_hooks(scene: Scene) -> None:
    """What tracing libraries do: set in a hook before the view, reset by token in a later one."""
    trace: ContextVar[str] = ContextVar("trace", default="outside")
    app = scene.make()

    def tell(name: str, change: Callable[[], Any] = lambda: None) -> Callable[..., None]:
        def hook(*given: Any) -> None:
            scene.write(name, before=trace.get())
            change()
            scene.write(name, after=trace.get())

        return hook

    def put(name: str) -> Callable[[], Any]:
        return lambda: setattr(scene.flask.g, name, trace.set(f"{trace.get()} {name}"))

    def reset(name: str) -> Callable[[], Any]:
        return lambda: trace.reset(getattr(scene.flask.g, name))

    def view() -> None:
        scene.write("view", before=trace.get())
        trace.set("view")
        raise Broken

    def after(response: Any) -> Any:
        tell("after", reset("two"))()
        return response

    app.before_request(scene.hook(tell("before", put("one"))))
    app.before_request(scene.hook(tell("before", put("two"))))
    app.register_error_handler(Broken, scene.hook(doing(tell("handler"), "handled")))
    app.after_request(scene.hook(after))
    app.teardown_request(scene.hook(tell("teardown", reset("one"))))
    app.teardown_appcontext(scene.hook(tell("teardown of the context")))
    app.add_url_rule("/", "view", scene.view(view))
    scene.ask()
    scene.write("outside", holds=trace.get())


# --- URL values and URLs -----------------------------------------------------------------------


@scenario()
def url_values_move_to_g_and_back_into_urls(scene: Scene) -> None:
    app, pages = scene.make(), scene.blueprint("pages", url_prefix="/<lang>")

    def pull(endpoint: Any, values: Any) -> None:
        scene.flask.g.lang = values.pop("lang")

    def push(endpoint: str, values: Any) -> None:
        values.setdefault("lang", scene.flask.g.lang)

    def about(page: int) -> str:
        url_for = scene.flask.url_for
        return f"{page} {url_for('.view', page=2)} {url_for('.view', page=3, lang='fr')}"

    scene.add(pages, "url_value_preprocessor", "pages", pull)
    pages.url_defaults(scene.noting("url_defaults", "pages", push))
    scene.route(pages, "/about/<int:page>", then=about)
    app.register_blueprint(pages)
    scene.ask("/de/about/1")
    scene.ask("/de/about/x")


@scenario()
def url_defaults_from_the_outside_in(scene: Scene) -> None:
    _, parent, child = family = scene.family()

    def adding(name: str) -> Callable[..., None]:
        return lambda endpoint, values: values.update(by=f"{values.get('by', '')}-{name}")

    for owner, name in zip(family, ("app", "parent", "child"), strict=True):
        owner.url_defaults(scene.noting("url_defaults", name, adding(name)))
    parent.app_url_defaults(scene.noting("app_url_defaults", "of parent", adding("of-parent")))
    child.app_url_defaults(scene.noting("app_url_defaults", "of child", adding("of-child")))

    def urls() -> str:
        names = (".other", "view", "parent.view", "parent.child.view")
        return " ".join(scene.flask.url_for(name, q=1) for name in names)

    scene.route(child, "/other", "other", urls)
    scene.join(*family)
    scene.ask("/parent/other")


@scenario()
def url_for_in_every_hook(scene: Scene) -> None:
    app, _, child = family = scene.family()

    def urls(*given: Any) -> None:
        flask, found = scene.flask, []
        for name, options in (("view", {}), (".view", {}), ("view", {"_external": True})):
            try:
                found.append(flask.url_for(name, **options))
            except Exception as error:
                found.append(type(error).__name__)
        scene.write("urls", found=found)

    for kind in HOOKS:
        scene.add(child, kind, "child", urls)
    scene.add(app, "teardown_appcontext", "", urls)
    scene.catch(child, Broken, "child", doing(urls, "handled"))

    def view() -> Any:
        urls()

        later = scene.noting("after_this_request", "", urls)
        scene.flask.after_this_request(scene.hook(later))
        raise Broken

    scene.route(child, "/urls", "urls", view)
    scene.join(*family)
    scene.ask("/parent/urls")


@scenario()
def url_build_errors_go_to_their_handlers(scene: Scene) -> None:
    app = app_hooks(scene)

    def handler(error: Exception, endpoint: str, values: Any) -> Any:
        scene.note("url_build_error_handler", endpoint=endpoint, values=values)
        return "/elsewhere" if endpoint == "elsewhere" else None

    app.url_build_error_handlers.append(handler)
    scene.route(app, "/<name>", then=lambda name: scene.flask.url_for(name, q=1, _anchor="a b"))
    scene.ask("/elsewhere")
    scene.ask("/nowhere")


@scenario()
def converters_see_the_app_and_the_session(scene: Scene) -> None:
    class Seen(BaseConverter):
        def to_python(self, value: str) -> str:
            user = scene.flask.session.get("user")
            scene.write("to_python", app=scene.flask.current_app.name, user=user)
            return value.upper()

        def to_url(self, value: Any) -> str:
            scene.note("to_url")
            return str(value).lower()

    app = app_hooks(scene)
    app.url_map.converters["seen"] = Seen

    def view(word: str) -> str:
        scene.flask.session["user"] = word
        return str(scene.flask.url_for("view", word=word))

    scene.route(app, "/<seen:word>", then=view)
    scene.ask("/ann")
    scene.ask("/bob")


@scenario()
def hosts_and_subdomains(scene: Scene) -> None:
    app = scene.make(subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.org"
    pages = scene.blueprint("pages", subdomain="<user>")
    for owner, name in ((app, "app"), (pages, "pages")):
        for kind in HOOKS:
            scene.add(owner, kind, name)
    pages.url_defaults(lambda endpoint, values: values.setdefault("user", "ann"))
    scene.route(app, "/", then=lambda: scene.flask.url_for("pages.view"))
    scene.route(pages, "/", then=lambda user: f"{user} {scene.flask.url_for('view')}")
    app.register_blueprint(pages)
    for host in ("example.org", "bob.example.org", "a.b.example.org"):
        scene.ask("/", base_url=f"http://{host}")


# --- registries edited by hand -----------------------------------------------------------------


@scenario()
def registries_edited_between_requests(scene: Scene) -> None:
    app = app_hooks(scene)
    scene.route(app, "/")
    scene.ask()
    early = scene.hook(scene.noting("before_request", "inserted"))
    app.before_request_funcs[None].insert(0, early)
    app.after_request_funcs[None].append(scene.hook(scene.noting("after_request", "appended")))
    app.teardown_appcontext_funcs.clear()
    app.view_functions["view"] = scene.view(doing(lambda: scene.note("another view"), "replaced"))
    app.error_handler_spec[None][404][NotFound] = scene.hook(
        scene.noting("errorhandler", "inserted", told)
    )
    scene.ask()
    scene.ask("/nowhere")
    app.before_request_funcs.clear()
    scene.ask()
