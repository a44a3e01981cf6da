"""Blueprints: a part of an application, written down before there is one.

A blueprint records what to do; registering it on an application does it, with a prefix for its URLs
and its name before its endpoints. https://flask.palletsprojects.com/en/stable/blueprints/
"""

from __future__ import annotations

import os
import typing as t
from collections import defaultdict
from collections.abc import Callable
from functools import update_wrapper

from . import scaffold
from . import typing as ft
from .scaffold import F, Scaffold, T_test, T_url_value_preprocessor, setupmethod
from .scaffold import T_error_handler as T_handler
from .scaffold import T_template_context_processor as T_processor

if t.TYPE_CHECKING:
    from .app import Flask

_MERGED = (
    "before_request_funcs after_request_funcs teardown_request_funcs before_websocket_funcs"
    " after_websocket_funcs teardown_websocket_funcs url_default_functions url_value_preprocessors"
    " template_context_processors".split()
)
DeferredSetupFunction = Callable[["BlueprintSetupState"], None]


class BlueprintSetupState:
    """One registration of one blueprint: what the recorded functions are called with.

    ``options`` are those of ``register_blueprint``; they win over the blueprint's own.
    """

    def __init__(
        self, blueprint: Blueprint, app: Flask, options: dict[str, t.Any], first_registration: bool
    ) -> None:
        self.app = app
        self.blueprint = blueprint
        self.options = options
        self.first_registration = first_registration
        subdomain: str | None = options.get("subdomain")
        self.subdomain: str | None = blueprint.subdomain if subdomain is None else subdomain
        url_prefix: str | None = options.get("url_prefix")
        self.url_prefix: str | None = blueprint.url_prefix if url_prefix is None else url_prefix
        self.name: str = options.get("name", blueprint.name)
        self.name_prefix: str = options.get("name_prefix", "")
        self.url_defaults: dict[str, t.Any] = {
            **blueprint.url_values_defaults,
            **dict(options.get("url_defaults") or ()),
        }

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: ft.RouteCallable | None = None,
        **options: t.Any,
    ) -> None:  # fmt: skip
        """Add a rule to the application, below the prefix and under the blueprint's name."""
        if self.url_prefix is not None:
            rule = f"{self.url_prefix.rstrip('/')}/{rule.lstrip('/')}" if rule else self.url_prefix
        options.setdefault("subdomain", self.subdomain)
        if endpoint is None:
            endpoint = scaffold._endpoint_from_view_func(view_func)
        self.app.add_url_rule(
            rule, f"{self.name_prefix}.{self.name}.{endpoint}".lstrip("."), view_func,
            defaults={**self.url_defaults, **(options.pop("defaults", None) or {})}, **options,
        )  # fmt: skip


class Blueprint(Scaffold):
    """A group of routes, hooks, error handlers, templates and files for applications to register.

    Hooks and handlers concern this blueprint's requests alone, their ``app_`` siblings every one.
    ``name`` stands before each endpoint (``"notes.index"``) and contains no dot.
    https://flask.palletsprojects.com/en/stable/api/#flask.Blueprint
    """

    _got_registered_once = False

    def __init__(
        self, name: str, import_name: str, static_folder: str | os.PathLike[str] | None = None,
        static_url_path: str | None = None, template_folder: str | os.PathLike[str] | None = None,
        url_prefix: str | None = None, subdomain: str | None = None,
        url_defaults: dict[str, t.Any] | None = None, root_path: str | None = None,
        cli_group: str | None = scaffold._sentinel,
    ) -> None:  # fmt: skip
        super().__init__(import_name, static_folder, static_url_path, template_folder, root_path)
        if not name:
            raise ValueError(f"A blueprint in {import_name!r} has an empty name. Give it one.")
        _refuse_dot("The blueprint's name", name)
        self.name = name
        self.url_prefix = url_prefix
        self.subdomain = subdomain
        self.deferred_functions: list[DeferredSetupFunction] = []
        self.url_values_defaults: dict[str, t.Any] = {} if url_defaults is None else url_defaults
        self.cli_group = cli_group
        self._blueprints: list[tuple[Blueprint, dict[str, t.Any]]] = []

    def _check_setup_finished(self, f_name: str) -> None:
        if self._got_registered_once:
            raise AssertionError(
                f"The setup method '{f_name}' was called on the blueprint '{self.name}' after it"
                " was registered on an application, which would not see the change.\n"
                "Register the blueprint last: once everything that decorates it or adds to it has"
                " been imported and has run."
            )

    # -- recording and registering -------------------------------------------------------------

    @setupmethod
    def record(self, func: DeferredSetupFunction) -> None:
        """Call ``func(state)`` each time that the blueprint is registered on an application."""
        self.deferred_functions.append(func)

    @setupmethod
    def record_once(self, func: DeferredSetupFunction) -> None:
        """Call ``func(state)`` at the blueprint's first registration on an application only."""

        def wrapper(state: BlueprintSetupState) -> None:
            if state.first_registration:
                func(state)

        self.record(update_wrapper(wrapper, func))

    def make_setup_state(
        self, app: Flask, options: dict[str, t.Any], first_registration: bool = False
    ) -> BlueprintSetupState:
        """Make the state that recorded functions are called with; override to extend it."""
        return BlueprintSetupState(self, app, options, first_registration)

    @setupmethod
    def register_blueprint(self, blueprint: Blueprint, **options: t.Any) -> None:
        """Nest a blueprint: it is registered with this one, below its prefix and its name."""
        if blueprint is self:
            raise ValueError(
                f"The blueprint '{self.name}' was registered on itself. Nest another blueprint, or"
                " register this one on the application."
            )
        self._blueprints.append((blueprint, options))

    def register(self, app: Flask, options: dict[str, t.Any]) -> None:
        """Do on ``app`` what was recorded; `Flask.register_blueprint` calls this.

        Raises ValueError if the (dotted) name is taken on that application.
        """
        own_name: str = options.get("name", self.name)
        name = f"{options.get('name_prefix', '')}.{own_name}".lstrip(".")
        if name in app.blueprints:
            holder = "this blueprint" if app.blueprints[name] is self else "a different blueprint"
            raise ValueError(
                f"A blueprint was registered as '{name}', which is already registered for {holder}."
                f" Give this registration a name of its own: register_blueprint(..., name=...)."
            )
        first = all(blueprint is not self for blueprint in app.blueprints.values())
        app.blueprints[name] = self
        self._got_registered_once = True
        state = self.make_setup_state(app, options, first)
        if self.has_static_folder:
            rule = f"{self.static_url_path}/<path:filename>"
            state.add_url_rule(rule, "static", self.send_static_file)
        self._merge_blueprint_funcs(app, name)
        if first:
            app._serving.extend(self._serving)
        for deferred in self.deferred_functions:
            deferred(state)
        self._register_commands(app, name, options.get("cli_group", self.cli_group))
        for blueprint, nested_options in self._blueprints:
            blueprint.register(app, _below(state, blueprint, nested_options, name))

    def _register_commands(self, app: Flask, name: str, group: str | None) -> None:
        # PERF: an untouched group has no commands; click is not loaded to find that out.
        if self._cli is None or not self._cli.commands:
            return
        if group is None:
            app.cli.commands.update(self._cli.commands)
            return
        self._cli.name = name if group is scaffold._sentinel else group
        app.cli.add_command(self._cli)

    def _merge_blueprint_funcs(self, app: Flask, name: str) -> None:
        def scoped(key: str | None) -> str:
            return name if key is None else f"{name}.{key}"

        for key, codes in self.error_handler_spec.items():
            copies = {code: dict(handlers) for code, handlers in codes.items()}
            app.error_handler_spec[scoped(key)] = defaultdict(dict, copies)
        app.view_functions.update(self.view_functions)
        for registry in _MERGED:
            for key, functions in getattr(self, registry).items():
                getattr(app, registry)[scoped(key)].extend(functions)

    @setupmethod
    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None, **options: t.Any,
    ) -> None:  # fmt: skip
        """Record a URL rule; see `Flask.add_url_rule`. Neither name may contain a dot."""
        _refuse_dot("'endpoint'", endpoint or "")
        _refuse_dot("The view function's name", getattr(view_func, "__name__", ""))
        options["provide_automatic_options"] = provide_automatic_options
        self.record(lambda state: state.add_url_rule(rule, endpoint, view_func, **options))

    # -- what concerns the whole application ---------------------------------------------------

    def _for_app(self, registry: str, f: F) -> F:
        self.record_once(lambda state: getattr(state.app, registry).setdefault(None, []).append(f))
        return f

    @t.overload
    def app_template_filter(self, name: F) -> F: ...
    @t.overload
    def app_template_filter(self, name: str | None = None) -> Callable[[F], F]: ...
    @setupmethod
    def app_template_filter(self, name: t.Any = None) -> t.Any:
        """Register a template filter, as `Flask.template_filter` does."""
        return scaffold.named_decorator(self.add_app_template_filter, name)

    @setupmethod
    def add_app_template_filter(
        self, f: ft.TemplateFilterCallable, name: str | None = None
    ) -> None:
        """Register ``f`` as a template filter, under its own name unless another is given."""
        self.record_once(lambda state: state.app.add_template_filter(f, name))

    @t.overload
    def app_template_test(self, name: T_test) -> T_test: ...
    @t.overload
    def app_template_test(self, name: str | None = None) -> Callable[[T_test], T_test]: ...
    @setupmethod
    def app_template_test(self, name: t.Any = None) -> t.Any:
        """Register a template test, as `Flask.template_test` does."""
        return scaffold.named_decorator(self.add_app_template_test, name)

    @setupmethod
    def add_app_template_test(self, f: ft.TemplateTestCallable, name: str | None = None) -> None:
        """Register ``f`` as a template test, under its own name unless another is given."""
        self.record_once(lambda state: state.app.add_template_test(f, name))

    @t.overload
    def app_template_global(self, name: F) -> F: ...
    @t.overload
    def app_template_global(self, name: str | None = None) -> Callable[[F], F]: ...
    @setupmethod
    def app_template_global(self, name: t.Any = None) -> t.Any:
        """Register a function for all templates, as `Flask.template_global` does."""
        return scaffold.named_decorator(self.add_app_template_global, name)

    @setupmethod
    def add_app_template_global(
        self, f: ft.TemplateGlobalCallable, name: str | None = None
    ) -> None:
        """Register ``f`` for all templates, under its own name unless another is given."""
        self.record_once(lambda state: state.app.add_template_global(f, name))

    @setupmethod
    def before_app_request(self, f: scaffold.T_before_request) -> scaffold.T_before_request:
        """Call ``f()`` before every request of the application."""
        return self._for_app("before_request_funcs", f)

    @setupmethod
    def after_app_request(self, f: scaffold.T_after_request) -> scaffold.T_after_request:
        """Call ``f(response)`` after every request of the application."""
        return self._for_app("after_request_funcs", f)

    @setupmethod
    def teardown_app_request(self, f: scaffold.T_teardown) -> scaffold.T_teardown:
        """Call ``f(exc)`` when any request's context ends."""
        return self._for_app("teardown_request_funcs", f)

    @setupmethod
    def before_app_websocket(self, f: scaffold.T_before_request) -> scaffold.T_before_request:
        """Call ``f()`` before every WebSocket of the application."""
        return self._for_app("before_websocket_funcs", f)

    @setupmethod
    def after_app_websocket(self, f: scaffold.T_after_websocket) -> scaffold.T_after_websocket:
        """Call ``f(response)`` after every WebSocket of the application."""
        return self._for_app("after_websocket_funcs", f)

    @setupmethod
    def teardown_app_websocket(self, f: scaffold.T_teardown) -> scaffold.T_teardown:
        """Call ``f(exc)`` when any WebSocket's context ends."""
        return self._for_app("teardown_websocket_funcs", f)

    @setupmethod
    def app_context_processor(self, f: T_processor) -> T_processor:
        """Call ``f()`` for the context of every template."""
        return self._for_app("template_context_processors", f)

    @setupmethod
    def app_url_value_preprocessor(self, f: T_url_value_preprocessor) -> T_url_value_preprocessor:
        """Call ``f(endpoint, values)`` before every request's hooks."""
        return self._for_app("url_value_preprocessors", f)

    @setupmethod
    def app_url_defaults(self, f: scaffold.T_url_defaults) -> scaffold.T_url_defaults:
        """Call ``f(endpoint, values)`` whenever any URL is built."""
        return self._for_app("url_default_functions", f)

    @setupmethod
    def app_errorhandler(self, code: type[Exception] | int) -> Callable[[T_handler], T_handler]:
        """Register the decorated ``f(error)`` for errors of every request."""

        def decorator(f: T_handler) -> T_handler:
            self.record_once(lambda state: state.app.register_error_handler(code, f))
            return f

        return decorator


def _refuse_dot(what: str, name: str) -> None:
    if "." in name:
        raise ValueError(
            f"{what} is {name!r}, but may not contain a dot: dots separate the names of nested"
            " blueprints from the endpoint. Use another name."
        )


def _below(
    parent: BlueprintSetupState, child: Blueprint, options: dict[str, t.Any], name: str
) -> dict[str, t.Any]:
    """Return a nested blueprint's registration options, joined to those of its parent."""
    joined = {**options, "name_prefix": name}
    subdomain = child.subdomain if options.get("subdomain") is None else options["subdomain"]
    subdomains = [part for part in (subdomain, parent.subdomain) if part is not None]
    if subdomains:
        joined["subdomain"] = ".".join(subdomains)
    prefix = child.url_prefix if options.get("url_prefix") is None else options["url_prefix"]
    if prefix is None:
        joined["url_prefix"] = parent.url_prefix
    elif parent.url_prefix is not None:
        joined["url_prefix"] = f"{parent.url_prefix.rstrip('/')}/{prefix.lstrip('/')}"
    return joined
