"""The application: a registry that is filled at set-up, and the way a request takes through it.

The steps of that way are in `walk`; the methods here are their names, kept as Flask has them, for
subclasses and extensions to call and replace.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import typing as t
import weakref
from asyncio import _get_running_loop
from collections.abc import Callable, Iterable, ValuesView
from contextvars import ContextVar
from datetime import timedelta
from threading import get_ident

from werkzeug.exceptions import Aborter, BadRequest, BadRequestKeyError, HTTPException
from werkzeug.routing import BuildError, Map, MapAdapter, RequestRedirect, Rule
from werkzeug.utils import cached_property
from werkzeug.utils import redirect as _redirect
from werkzeug.wsgi import get_host

from . import calls, connections, plan, responses, scaffold, templating, urls, walk
from . import typing as ft
from .concurrency import StreamsFull, async_to_sync, complete, iscoroutinefunction, on_loop
from .config import DEFAULTS, Config, ConfigAttribute
from .ctx import AppContext, RequestContext, _AppCtxGlobals, _context_of
from .globals import _active_request, _cv_app, g, request, session
from .headers import UnsendableResponse
from .helpers import ContextStream, get_debug_flag, get_flashed_messages
from .json.provider import DefaultJSONProvider, JSONProvider
from .logging import create_logger
from .routing import FastMap, LazyRule
from .scaffold import F, Scaffold, T_teardown, T_test, setupmethod
from .sessions import SecureCookieSessionInterface, SessionInterface
from .wakeups import Event, here
from .wrappers import Request, Response

if t.TYPE_CHECKING:
    import logging

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from werkzeug.wrappers import Response as BaseResponse

    from .blueprints import Blueprint
    from .concurrency import Pool
    from .mounts import Mount
    from .tasks import Task
    from .testing import AsyncClient, FlaskClient, FlaskCliRunner
    from .wakeups import Interruptible
    from .websockets import WebSocket

T_shell = t.TypeVar("T_shell", bound=ft.ShellContextProcessorCallable)

_activate, _deactivate = _cv_app.set, _cv_app.reset


class Flask(Scaffold):
    """An application: ASGI and WSGI, with Flask's API.

    ``import_name`` is usually ``__name__``. It locates the folders for static files and templates,
    both relative to ``root_path``, and the instance folder.
    https://flask.palletsprojects.com/en/stable/api/#flask.Flask
    """

    default_config: t.Mapping[str, t.Any] = DEFAULTS

    request_class: type[Request] = Request
    response_class: type[Response] = Response
    websocket_class: type[WebSocket] | None = None
    session_interface: SessionInterface = SecureCookieSessionInterface()
    config_class: type[Config] = Config
    json_provider_class: type[JSONProvider] = DefaultJSONProvider
    aborter_class: type[Aborter] = Aborter
    app_ctx_globals_class: type[t.Any] = _AppCtxGlobals
    jinja_environment: type[templating.Environment] = templating.Environment
    jinja_options: dict[str, t.Any] = {}  # noqa: RUF012 - applications assign their own
    url_rule_class: type[Rule] = LazyRule
    url_map_class: type[Map] = FastMap
    test_client_class: type[FlaskClient] | None = None
    test_cli_runner_class: type[FlaskCliRunner] | None = None

    testing: ConfigAttribute[bool] = ConfigAttribute("TESTING")
    secret_key: ConfigAttribute[str | bytes | None] = ConfigAttribute("SECRET_KEY")
    permanent_session_lifetime: ConfigAttribute[timedelta] = ConfigAttribute(
        "PERMANENT_SESSION_LIFETIME",
        lambda v: v if issubclass(type(v), timedelta | None) else timedelta(seconds=v),
    )

    _hosts: tuple[list[str], set[bytes]] = ([], set())
    """What ``TRUSTED_HOSTS`` were, and the Host fields that they have let in."""
    _got_first_request = _wraps_wsgi = _wraps_asgi = False
    _served: t.Sequence[tuple[ContextVar[t.Any], t.Any]] = ()
    """Context variables that the lifespan has set, for requests to see."""
    _home: tuple[t.Any, int] = (None, 0)
    """The asyncio loop that the lifespan runs on, and its thread."""

    def __init__(
        self, import_name: str, static_url_path: str | None = None,
        static_folder: str | os.PathLike[str] | None = "static", static_host: str | None = None,
        host_matching: bool = False, subdomain_matching: bool = False,
        template_folder: str | os.PathLike[str] | None = "templates",
        instance_path: str | None = None, instance_relative_config: bool = False,
        root_path: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(import_name, static_folder, static_url_path, template_folder, root_path)
        if instance_path is None:
            instance_path = self.auto_find_instance_path()
        elif not os.path.isabs(instance_path):
            raise ValueError(
                f"The instance path must be absolute, but it is {instance_path!r}. Pass"
                " os.path.abspath() of it."
            )
        self.instance_path = instance_path
        self.config: Config = self.make_config(instance_relative_config)
        self.aborter: Aborter = self.make_aborter()
        self.json: JSONProvider = self.json_provider_class(self)
        self.url_build_error_handlers: list[
            Callable[[Exception, str, dict[str, t.Any]], str | None]
        ] = []
        self.teardown_appcontext_funcs: list[ft.TeardownCallable] = []
        self.shell_context_processors: list[ft.ShellContextProcessorCallable] = []
        self.template_context_processors[None].append(templating._default_template_ctx_processor)
        self.blueprints: dict[str, Blueprint] = {}
        self.extensions: dict[str, t.Any] = {}
        self.url_map: Map = self.url_map_class(host_matching=host_matching)
        self.subdomain_matching = subdomain_matching
        self._mounts: list[Mount] = []  # the longest prefix first
        self._pools: list[Pool] = []  # the worker threads, a pool for each loop and purpose
        self._tasks: set[Task] = set()
        self._open: set[Interruptible] = set()  # streams and WebSockets
        self._state: dict[str, t.Any] = {}  # what the lifespan keeps for requests
        self.shutdown_event: Event = Event()
        if self.has_static_folder:
            self._add_static_route(static_host, host_matching)

    def _add_static_route(self, static_host: str | None, host_matching: bool) -> None:
        assert bool(static_host) == host_matching, (
            f"static_host={static_host!r} does not go with host_matching={host_matching}. Pass"
            " both, or neither, or static_folder=None."
        )
        # The view must not hold the application: a cycle would keep a dropped one alive.
        self_ref = weakref.ref(self)

        self.add_url_rule(
            f"{self.static_url_path}/<path:filename>", "static", host=static_host,
            view_func=lambda filename: t.cast(Flask, self_ref()).send_static_file(filename),
        )  # fmt: skip

    def __setattr__(self, name: str, value: t.Any) -> None:
        if name in plan.REGISTRIES:
            value = plan.Registry(getattr(value, "default_factory", None), value)
            value.app = weakref.ref(self)
        object.__setattr__(self, name, value)
        if name in plan.PLANNED:
            self._look_at_doors()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        if name in plan.PLANNED:
            self._look_at_doors()

    @property
    def _has_default_session(self) -> bool:
        return plan.has_lazy_session(self)

    def _forget_plans(self) -> None:
        # A new dict and no clear(): a plan that is being made right now lands in the old one.
        self._plans: dict[t.Any, plan.Plan] = {}

    def _look_at_doors(self) -> None:
        self._forget_plans()
        self._matches_by_path: bool = (
            type(self.__dict__.get("url_map")) is FastMap
            and not self.__dict__.get("subdomain_matching")
            and "create_url_adapter" not in self.__dict__
            and type(self).create_url_adapter is Flask.create_url_adapter
        )
        self._make_request: t.Any = self.request_class.from_scope  # PERF: 2% of a small request.
        calls.look(self)

    def _check_setup_finished(self, f_name: str) -> None:
        doors = ("__call__", *plan.DOORS)
        if self._wraps_wsgi or self._wraps_asgi or plan.replaced_methods(self, doors):
            calls.look(self)
        if self._got_first_request:
            raise AssertionError(
                f"The setup method '{f_name}' was called on the application '{self.name}' after its"
                " first request, which requests already under way would not see.\n"
                "Do all set-up (imports, decorators, register_blueprint, extensions) before the"
                " application serves: at the module's top level or in create_app()."
            )

    # -- what the application is made of -------------------------------------------------------

    @cached_property
    def name(self) -> str:
        """The import name, or the file's name where that is ``__main__``."""
        if self.import_name == "__main__":
            file = getattr(sys.modules["__main__"], "__file__", None)
            return "__main__" if file is None else os.path.splitext(os.path.basename(file))[0]
        return self.import_name

    @cached_property
    def logger(self) -> logging.Logger:
        """The logger called `name`; it gets a handler if logging is not configured."""
        return create_logger(self)

    @cached_property
    def jinja_env(self) -> templating.Environment:
        """The Jinja environment, made on first touch; `jinja_options` are read then."""
        return self.create_jinja_environment()

    @property
    def debug(self) -> bool:
        """Whether debug mode is on: the configuration's ``DEBUG``."""
        return self.config["DEBUG"]  # type: ignore[no-any-return]

    @debug.setter
    def debug(self, value: bool) -> None:
        self.config["DEBUG"] = value
        if self.config["TEMPLATES_AUTO_RELOAD"] is None and "jinja_env" in self.__dict__:
            self.jinja_env.auto_reload = value

    def make_config(self, instance_relative: bool = False) -> Config:
        """Make `config` from `default_config`, relative to the instance folder or ``root_path``."""
        root_path = self.instance_path if instance_relative else self.root_path
        return self.config_class(root_path, {**self.default_config, "DEBUG": get_debug_flag()})

    def make_aborter(self) -> Aborter:
        """Make `aborter`, which `aioflask.abort` calls."""
        return self.aborter_class()

    def auto_find_instance_path(self) -> str:
        """Return the instance folder: beside the package, or ``var`` of where it is installed."""
        prefix, package_path = scaffold.find_package(self.import_name)
        if prefix is None:
            return os.path.join(package_path, "instance")
        return os.path.join(prefix, "var", f"{self.name}-instance")

    def open_instance_resource(
        self, resource: str, mode: str = "rb", encoding: str | None = "utf-8"
    ) -> t.IO[t.Any]:
        """Open a file below `instance_path`, in any mode."""
        path = os.path.join(self.instance_path, resource)
        return open(path, mode) if "b" in mode else open(path, mode, encoding=encoding)

    # -- templates -----------------------------------------------------------------------------

    def create_jinja_environment(self) -> templating.Environment:
        """Make `jinja_env` from `jinja_options` and the configuration."""
        options = dict(self.jinja_options)
        options.setdefault("autoescape", self.select_jinja_autoescape)
        auto_reload = self.config["TEMPLATES_AUTO_RELOAD"]
        options.setdefault("auto_reload", self.debug if auto_reload is None else auto_reload)
        env = self.jinja_environment(self, **options)
        # The context has request, session and g too, but imported templates see globals alone.
        env.globals.update(
            url_for=self.url_for, get_flashed_messages=get_flashed_messages, config=self.config,
            request=request, session=session, g=g,
        )  # fmt: skip
        env.policies["json.dumps_function"] = self.json.dumps
        return env

    def create_global_jinja_loader(self) -> templating.DispatchingJinjaLoader:
        """Make the loader that asks the application's folder, then each blueprint's."""
        return templating.DispatchingJinjaLoader(self)

    def select_jinja_autoescape(self, filename: str | None) -> bool:
        """Return whether a template escapes by default: HTML, XML, SVG, and those from strings."""
        return filename is None or filename.endswith((".html", ".htm", ".xml", ".xhtml", ".svg"))

    def update_template_context(self, context: dict[str, t.Any]) -> None:
        """Add to ``context`` what context processors return; values already there win.

        Raises RuntimeError on the event loop if a processor is ``async def``.
        """
        templating._update_context(self, context)

    @t.overload
    def template_filter(self, name: F) -> F: ...
    @t.overload
    def template_filter(self, name: str | None = None) -> Callable[[F], F]: ...
    @setupmethod
    def template_filter(self, name: t.Any = None) -> t.Any:
        """Register the decorated function as a template filter, under its name or another."""
        return scaffold.named_decorator(self.add_template_filter, name)

    @setupmethod
    def add_template_filter(self, f: ft.TemplateFilterCallable, name: str | None = None) -> None:
        """Register ``f`` as a template filter, under its own name unless another is given."""
        self.jinja_env.filters[name or f.__name__] = f

    @t.overload
    def template_test(self, name: T_test) -> T_test: ...
    @t.overload
    def template_test(self, name: str | None = None) -> Callable[[T_test], T_test]: ...
    @setupmethod
    def template_test(self, name: t.Any = None) -> t.Any:
        """Register the decorated function as a template test, under its name or another."""
        return scaffold.named_decorator(self.add_template_test, name)

    @setupmethod
    def add_template_test(self, f: ft.TemplateTestCallable, name: str | None = None) -> None:
        """Register ``f`` as a template test, under its own name unless another is given."""
        self.jinja_env.tests[name or f.__name__] = f

    @t.overload
    def template_global(self, name: F) -> F: ...
    @t.overload
    def template_global(self, name: str | None = None) -> Callable[[F], F]: ...
    @setupmethod
    def template_global(self, name: t.Any = None) -> t.Any:
        """Register the decorated function for all templates, under its name or another."""
        return scaffold.named_decorator(self.add_template_global, name)

    @setupmethod
    def add_template_global(self, f: ft.TemplateGlobalCallable, name: str | None = None) -> None:
        """Register ``f`` for all templates, under its own name unless another is given."""
        self.jinja_env.globals[name or f.__name__] = f

    # -- set-up --------------------------------------------------------------------------------

    @setupmethod
    def register_blueprint(self, blueprint: Blueprint, **options: t.Any) -> None:
        """Register a blueprint; a ``url_prefix``, ``subdomain`` or ``name`` wins over its own."""
        blueprint.register(self, options)

    def iter_blueprints(self) -> ValuesView[Blueprint]:
        """Return the registered blueprints, in the order of their registration."""
        return self.blueprints.values()

    @setupmethod
    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None, **options: t.Any,
    ) -> None:  # fmt: skip
        """Register a URL rule, and its view unless `endpoint` names one later.

        ``methods`` (default GET) is a list; HEAD follows GET, and OPTIONS is answered unless
        ``provide_automatic_options`` or the configuration says no. A view's attributes ``methods``,
        ``required_methods`` and ``provide_automatic_options`` are honoured. ``stream_body`` leaves
        the body to the view; ``on_disconnect`` is ``"finish"``, ``"cancel"`` or ``"notify"``, for
        when the client goes. Further options are Werkzeug's `Rule`'s. Raises AssertionError if the
        endpoint has another view.
        https://flask.palletsprojects.com/en/stable/api/#flask.Flask.add_url_rule
        """
        if endpoint is None:
            endpoint = scaffold._endpoint_from_view_func(view_func)
        methods = options.pop("methods", None)
        if methods is None:
            methods = getattr(view_func, "methods", None) or ("GET",)
        if isinstance(methods, str):
            raise TypeError(
                f"The rule {rule!r} was given methods={methods!r}. Allowed methods are a list of"
                f" strings: methods=[{methods.upper()!r}]."
            )
        methods = {method.upper() for method in methods}
        required = {method.upper() for method in getattr(view_func, "required_methods", ())}
        automatic = provide_automatic_options
        if automatic is None:
            automatic = getattr(view_func, "provide_automatic_options", None)
        if automatic is None:
            left_out = "OPTIONS" in methods or options.get("websocket")
            automatic = not left_out and self.config["PROVIDE_AUTOMATIC_OPTIONS"]
            if automatic:
                required.add("OPTIONS")
        if view_func is not None:
            scaffold.refuse_second_view(
                rule, endpoint, view_func, self.view_functions.get(endpoint)
            )
        own = scaffold.take_options(rule, options)
        rule_obj = self.url_rule_class(
            rule, methods=methods | required, endpoint=endpoint, **options
        )
        vars(rule_obj).update(own)
        rule_obj.provide_automatic_options = bool(automatic)  # type: ignore[attr-defined]
        self.url_map.add(rule_obj)
        if view_func is not None:
            self.view_functions[endpoint] = view_func
            plan.check_types(self, rule_obj, view_func)

    @setupmethod
    def mount(self, prefix: str, app: ft.ASGIApplication, *, lifespan: bool = True) -> None:
        """Serve another ASGI application below ``prefix``; a WSGI one inside a `WSGIApp`. ::

            app.mount("/legacy", WSGIApp(legacy_app))

        What a rule below the prefix matches is not handed over. Hooks of this app do not run for
        the other. Its lifespan runs inside of this app's, unless ``lifespan`` says no. Raises
        ValueError for a wrong prefix, TypeError for what is no ASGI application.
        """
        from .mounts import add

        add(self._mounts, prefix, app, lifespan)

    @setupmethod
    def teardown_appcontext(self, f: T_teardown) -> T_teardown:
        """Call ``f(exc)`` when a context ends, with the unhandled exception or None."""
        self.teardown_appcontext_funcs.append(f)
        return f

    @setupmethod
    def shell_context_processor(self, f: T_shell) -> T_shell:
        """Call ``f()`` for the names that the interactive shell starts with."""
        self.shell_context_processors.append(f)
        return f

    def make_shell_context(self) -> dict[str, t.Any]:
        """Return the names that the interactive shell starts with."""
        names: dict[str, t.Any] = {"app": self, "g": g}
        for processor in self.shell_context_processors:
            names.update(processor())
        return names

    # -- URLs ----------------------------------------------------------------------------------

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Bind `url_map` to a request or, without one, to ``SERVER_NAME``; None if that is unset.

        Raises a `SecurityError` (400) for a Host that ``TRUSTED_HOSTS`` does not list.
        """
        server_name: str | None = self.config["SERVER_NAME"]
        if request is None:
            if server_name is None:
                return None
            return self.url_map.bind(
                server_name,
                script_name=self.config["APPLICATION_ROOT"],
                url_scheme=self.config["PREFERRED_URL_SCHEME"],
            )
        if (trusted_hosts := self.config["TRUSTED_HOSTS"]) is not None:
            request.trusted_hosts = trusted_hosts
        request.host = get_host(request.environ, request.trusted_hosts)
        subdomain = None
        if self.url_map.host_matching:
            server_name = None  # it would be matched in place of the request's own host
        elif not self.subdomain_matching:
            subdomain = self.url_map.default_subdomain or ""
        return self.url_map.bind_to_environ(
            request.environ, server_name=server_name, subdomain=subdomain
        )

    def url_for(
        self, /, endpoint: str, *, _anchor: str | None = None, _method: str | None = None,
        _scheme: str | None = None, _external: bool | None = None, **values: t.Any,
    ) -> str:  # fmt: skip
        """Build the URL of an endpoint; values that the rule does not know become the query.

        In a request ``".name"`` is relative to its blueprint, and the URL has no host unless
        ``_external`` or ``_scheme`` is given. Elsewhere it has one, from ``SERVER_NAME``. Raises
        `BuildError` unless `handle_url_build_error` has an answer.
        https://flask.palletsprojects.com/en/stable/api/#flask.Flask.url_for
        """
        return urls.build(self, endpoint, _anchor, _method, _scheme, _external, values)

    def inject_url_defaults(self, endpoint: str, values: dict[str, t.Any]) -> None:
        """Let the `url_defaults` functions of the application and the endpoint's blueprints add."""
        parts = endpoint.split(".")[:-1]
        for scope in (None, *(".".join(parts[: n + 1]) for n in range(len(parts)))):
            for func in self.url_default_functions.get(scope, ()):
                func(endpoint, values)

    def handle_url_build_error(
        self, error: BuildError, endpoint: str, values: dict[str, t.Any]
    ) -> str:
        """Return the first answer of `url_build_error_handlers`, or raise the error.

        A handler has no answer if it returns None or raises `BuildError`.
        """
        for handler in self.url_build_error_handlers:
            try:
                answer = handler(error, endpoint, values)
            except BuildError as e:
                error = e  # the latest one is raised if nobody answers
            else:
                if answer is not None:
                    return answer
        if error is sys.exc_info()[1]:
            raise  # as it is, without a second entry for this line in its traceback
        raise error

    def redirect(self, location: str, code: int = 302) -> BaseResponse:
        """Make a response that redirects to ``location``; `aioflask.redirect` calls this."""
        return _redirect(location, code=code, Response=self.response_class)

    # -- errors --------------------------------------------------------------------------------

    def _find_error_handler(
        self, e: Exception, blueprints: list[str]
    ) -> ft.ErrorHandlerCallable | None:
        """Return the handler for an exception: by code before by class, blueprints first."""
        if not self.error_handler_spec:
            return None
        exc_class, code = self._get_exc_class_and_code(type(e))
        for key in (None,) if code is None else (code, None):
            for scope in (*blueprints, None):
                handlers = self.error_handler_spec.get(scope, {}).get(key)
                if handlers:
                    for cls in exc_class.__mro__:
                        if (handler := handlers.get(t.cast(type[Exception], cls))) is not None:
                            return handler
        return None

    def trap_http_exception(self, e: Exception) -> bool:
        """Return whether an HTTP exception counts as an error of ours, by ``TRAP_...`` keys."""
        if self.config["TRAP_HTTP_EXCEPTIONS"]:
            return True
        trap_bad_request = self.config["TRAP_BAD_REQUEST_ERRORS"]
        if trap_bad_request is None:
            return self.debug and isinstance(e, BadRequestKeyError)
        return bool(trap_bad_request) and isinstance(e, BadRequest)

    def should_ignore_error(self, error: BaseException | None) -> bool:
        """Return whether teardown functions shall not see an error; override it."""
        return False

    def log_exception(self, exc_info: t.Any) -> None:
        """Log the unhandled exception of a request, a triple as `sys.exc_info` gives it."""
        # A path of the client's must not look like a line of ours.
        path, method = (repr(text)[1:-1] for text in (request.path, request.method))
        self.logger.error("Exception on %s [%s]", path, method, exc_info=exc_info)

    def raise_routing_exception(self, request: Request) -> t.NoReturn:
        """Raise the exception of a request that matched no rule.

        In debug mode a redirect that would lose the request's body becomes an error that says so.
        """
        error = t.cast(HTTPException, request.routing_exception)
        loses_body = (
            isinstance(error, RequestRedirect)
            and error.code not in {307, 308}
            and request.method not in {"GET", "HEAD", "OPTIONS"}
        )
        if self.debug and loses_body:
            from .debughelpers import FormDataRoutingRedirect

            raise FormDataRoutingRedirect(request)
        raise error

    # -- the doors -----------------------------------------------------------------------------

    def __call__(self, scope: t.Any, receive: t.Any, send: t.Any = None, /) -> t.Any:
        """Serve ASGI, called with three arguments, or WSGI, called with two."""
        if send is not None:
            return self.asgi_app(scope, receive, send)
        return calls.through(self, scope, receive)

    async def asgi_app(self, scope: ft.Scope, receive: ft.Receive, send: ft.Send) -> None:
        """Handle one connection of an ASGI server: this is the life of a request.

        Wrap it to add middleware, and so keep the app itself:
        ``app.asgi_app = Middleware(app.asgi_app)``.
        """
        if scope["type"] != "http" or (self._wraps_wsgi and "aioflask.environ" not in scope):
            await connections.connect(self, scope, receive, send)
            return
        request = self._make_request(scope, receive)
        ctx = _context_of(self, request)
        if "aioflask.inherits" in scope and (outer := _cv_app.get(None)) and outer.app is self:
            ctx._outer = outer
        token = _activate(ctx)
        ctx._tokens = (token,)
        loop, thread = self._home
        if (ident := get_ident()) != thread or not loop.is_running():
            loop = _get_running_loop() or here()  # PERF: which is a system call (Python 3.11).
        ctx._loop, ctx._thread = loop, ident
        for var, value in self._served:
            var.set(value)
        try:
            try:
                needs = walk.match(ctx, scope)
                if needs.crosses:
                    response = await walk.cross(ctx)
                    ctx._leave_context()
                else:
                    failure = None  # Answered below, where sys.exc_info() is empty.
                    try:
                        response = await walk.full_dispatch_request(ctx, True)
                    except BaseException as error:
                        failure = error
                    if failure is not None:
                        response = await walk.fail(ctx, failure)
                        failure = None  # Its traceback holds this frame.
                    elif needs.tears_down or request._leaves_something or (
                        response._plain is None and isinstance(response._iterable, ContextStream)
                    ):  # fmt: skip
                        await walk.end(ctx, None, response)
            finally:
                ctx._tokens, ctx._thread = (), None
                _deactivate(token)
            try:
                messages = response._messages(ctx)
                if messages is None:
                    await response.send_asgi(ctx, send)
                else:
                    await send(messages[0])
                    await send(messages[1])
            except (StreamsFull, UnsendableResponse) as error:
                response = await walk.answer_instead(ctx, error)
                await response.send_asgi(ctx, send)
        finally:
            if ctx._lane is not None:
                ctx.leave_lane()

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request of a WSGI server (PEP 3333), in the calling thread."""
        from .wsgi import wsgi_app

        return wsgi_app(self, environ, start_response)

    # -- the walk ------------------------------------------------------------------------------
    # Each returns a value in plain code and an awaitable on an event loop's thread. A replacement,
    # in a subclass or on the instance, is plain or async as its author likes.

    def full_dispatch_request(self) -> t.Any:
        """Handle the active request, its errors included, and return the `Response`."""
        return complete(walk.full_dispatch_request(_active_request()))

    def preprocess_request(self) -> t.Any:
        """Run URL preprocessors and before hooks; return the first value, or None."""
        return complete(walk.preprocess_request(_active_request()))

    def dispatch_request(self) -> t.Any:
        """Call the matched view, or raise what the matching raised, and return its value."""
        return complete(walk.dispatch_request(_active_request()))

    def handle_user_exception(self, e: Exception) -> t.Any:
        """Return the response value of the handler for ``e``, or raise it."""
        return complete(walk.handle_user_exception(_active_request(), e))

    def handle_http_exception(self, e: HTTPException) -> t.Any:
        """Return the response value of the handler for ``e``, or ``e`` itself."""
        return complete(walk.handle_http_exception(_active_request(), e))

    def handle_exception(self, e: Exception) -> t.Any:
        """Log an unhandled exception and return the 500, or raise it where errors propagate."""
        return complete(walk.handle_exception(_active_request(), e))

    def finalize_request(self, rv: t.Any, from_error_handler: bool = False) -> t.Any:
        """Turn a view's value into the `Response` and run what follows the view."""
        return complete(walk.finalize_request(_active_request(), rv, from_error_handler))

    def process_response(self, response: Response) -> t.Any:
        """Run the after hooks, save the session, and return the response."""
        return complete(walk.process_response(_active_request(), response))

    def do_teardown_request(self, exc: BaseException | None = scaffold._sentinel) -> t.Any:
        """Run the request's teardown functions, by default with the exception under way."""
        exc = sys.exc_info()[1] if exc is scaffold._sentinel else exc
        return complete(walk.do_teardown_request(_active_request(), exc))

    def do_teardown_appcontext(self, exc: BaseException | None = scaffold._sentinel) -> t.Any:
        """Run the context's teardown functions, by default with the exception under way."""
        exc = sys.exc_info()[1] if exc is scaffold._sentinel else exc
        return complete(walk.do_teardown_appcontext(self._own_context(), exc))

    def make_response(self, rv: ft.ResponseReturnValue) -> Response:
        """Turn what a view may return into a `Response`; TypeError if it is nothing of that.

        https://flask.palletsprojects.com/en/stable/api/#flask.Flask.make_response
        """
        return responses.make_response(self._own_context(), rv)

    def make_default_options_response(self) -> Response:
        """Make the answer to an OPTIONS request that no view handles."""
        response = self.response_class()
        adapter = _active_request().url_adapter
        response.allow.update(() if adapter is None else adapter.allowed_methods())
        return response

    def _own_context(self) -> AppContext:
        ctx = _cv_app.get(None)
        return ctx if ctx is not None and ctx.app is self else AppContext(self)

    def ensure_sync(self, func: Callable[..., t.Any]) -> Callable[..., t.Any]:
        """Return a callable for plain code: ``async def`` is run on the loop and waited for.

        On an event loop's own thread, where waiting is impossible, ``func`` itself is returned:
        await what it returns.
        """
        if iscoroutinefunction(func) and not on_loop():
            walk.read_for_loop()
            return self.async_to_sync(func)
        return func

    def async_to_sync(self, func: Callable[..., t.Any]) -> Callable[..., t.Any]:
        """Return a plain function that runs ``func`` on the request's loop and waits for it."""
        return async_to_sync(func)

    def add_background_task(
        self, func: Callable[..., t.Any], *args: t.Any, **kwargs: t.Any
    ) -> None:
        """Call ``func(*args, **kwargs)``, of either colour, apart from this request.

        It has an app context of its own, and goes on when the response is sent or its client gone.
        What it raises is logged and sent as `got_background_exception`. The server's end waits for
        it, ``BACKGROUND_TASK_SHUTDOWN_TIMEOUT`` seconds. Raises `TooManyTasks` (503) beyond
        ``MAX_BACKGROUND_TASKS``, TypeError for what cannot be called.
        """
        from . import tasks

        tasks.start(self, func, args, kwargs)

    # -- contexts, clients, servers ------------------------------------------------------------

    def app_context(self) -> AppContext:
        """Make a context without a request, for ``with`` and ``async with``."""
        return AppContext(self)

    def request_context(self, environ: WSGIEnvironment) -> RequestContext:
        """Make a context for the request that a WSGI environ describes."""
        return RequestContext(self, environ)

    def test_request_context(self, *args: t.Any, **kwargs: t.Any) -> RequestContext:
        """Make a context for an invented request; arguments are those of `EnvironBuilder`."""
        from .testing import EnvironBuilder

        builder = EnvironBuilder(self, *args, **kwargs)
        try:
            return self.request_context(builder.get_environ())
        finally:
            builder.close()

    def test_client(self, use_cookies: bool = True, **kwargs: t.Any) -> FlaskClient:
        """Make a client with Flask's plain calls; see `aioflask.testing.FlaskClient`."""
        cls = self.test_client_class
        if cls is None:
            from .testing import FlaskClient

            cls = FlaskClient
        return cls(self, self.response_class, use_cookies=use_cookies, **kwargs)

    def async_client(self, **kwargs: t.Any) -> AsyncClient:
        """Make an `httpx.AsyncClient` for this application, on the running loop."""
        from .testing import AsyncClient

        return AsyncClient(self, **kwargs)

    def test_cli_runner(self, **kwargs: t.Any) -> FlaskCliRunner:
        """Make a runner for this application's commands."""
        cls = self.test_cli_runner_class
        if cls is None:
            from .testing import FlaskCliRunner

            cls = FlaskCliRunner
        return cls(self, **kwargs)

    def run(
        self, host: str | None = None, port: int | None = None, debug: bool | None = None,
        load_dotenv: bool = True, **options: t.Any,
    ) -> None:  # fmt: skip
        """Serve on uvicorn, by default where ``SERVER_NAME`` says or on 127.0.0.1:5000.

        ``debug`` wins over ``FLASK_DEBUG``, which wins over the configuration. Options go to
        `aioflask.serving.run_app`.
        """
        from .serving import run_flask_app

        run_flask_app(self, host, port, debug, load_dotenv, **options)


# Servers ask whether calling the app gives a coroutine: then it is ASGI, which it is with three
# arguments. WSGI servers do not ask.
if sys.version_info >= (3, 12):
    inspect.markcoroutinefunction(Flask.__call__)
else:
    Flask.__call__._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]

plan.ORIGINALS.update((n, Flask.__dict__[n]) for n in (*plan.REPLACEABLE, *plan.DOORS, "__call__"))
