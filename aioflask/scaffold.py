"""What an application and a blueprint have in common: routes, hooks, error handlers, folders.

Everything here is set-up. It fills the registries that a request reads later, which have Flask's
names and shapes: https://flask.palletsprojects.com/en/stable/api/#flask.Flask.view_functions
"""

from __future__ import annotations

import os
import sys
import typing as t
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from importlib.util import find_spec
from inspect import isasyncgenfunction, isgeneratorfunction
from pathlib import PurePath

from jinja2 import BaseLoader, FileSystemLoader
from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.utils import cached_property

from . import typing as ft
from .globals import current_app
from .helpers import get_root_path, send_from_directory

if t.TYPE_CHECKING:
    from .cli import AppGroup
    from .wrappers import Response

# Stands for "not given" where None means something.
_sentinel: t.Any = object()

T = t.TypeVar("T")
F = t.TypeVar("F", bound=Callable[..., t.Any])
T_route = t.TypeVar("T_route", bound=ft.RouteCallable)
T_before_request = t.TypeVar("T_before_request", bound=ft.BeforeRequestCallable)
T_after_request = t.TypeVar("T_after_request", bound=ft.AnyAfterRequestCallable)
T_after_websocket = t.TypeVar("T_after_websocket", bound=ft.AfterWebSocketCallable)
T_teardown = t.TypeVar("T_teardown", bound=ft.TeardownCallable)
T_test = t.TypeVar("T_test", bound=ft.TemplateTestCallable)
T_error_handler = t.TypeVar("T_error_handler", bound=ft.ErrorHandlerCallable)
T_url_defaults = t.TypeVar("T_url_defaults", bound=ft.URLDefaultCallable)
T_url_value_preprocessor = t.TypeVar(
    "T_url_value_preprocessor", bound=ft.URLValuePreprocessorCallable
)
T_template_context_processor = t.TypeVar(
    "T_template_context_processor", bound=ft.TemplateContextProcessorCallable
)
# Registries are keyed by scope: a blueprint's dotted name, or None for the object itself.
Hooks = dict[str | None, list[T]]
ErrorHandlers = dict[int | None, dict[type[Exception], ft.ErrorHandlerCallable]]


def setupmethod(f: F) -> F:
    """Mark a method as set-up: it is refused once requests (or registrations) have begun.

    The check is ``self._check_setup_finished(name)``; afterwards cached plans are dropped.
    """

    @wraps(f)
    def checked(self: Scaffold, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self._check_setup_finished(f.__name__)
        rv = f(self, *args, **kwargs)
        self._forget_plans()
        return rv

    return t.cast(F, checked)


def named_decorator(add: Callable[..., None], name: t.Any) -> t.Any:
    """Make a registering decorator that works as ``@deco``, ``@deco()`` and ``@deco("name")``."""
    if callable(name):
        add(name)
        return name

    def decorator(f: F) -> F:
        add(f, name=name)
        return f

    return decorator


class Scaffold:
    """The part of the API that `Flask` and `Blueprint` share.

    ``import_name`` is usually ``__name__``; it locates ``root_path``, which the folders for static
    files and templates are relative to.
    """

    name: str
    import_name: str
    root_path: str
    template_folder: str | os.PathLike[str] | None
    on_disconnect: t.Literal["finish", "cancel", "notify"] | None = None
    """What a view's request does when its client goes; a route's own option wins."""
    _static_folder: str | None = None
    _static_url_path: str | None = None
    _cli: AppGroup | None = None

    def __init__(
        self, import_name: str, static_folder: str | os.PathLike[str] | None = None,
        static_url_path: str | None = None, template_folder: str | os.PathLike[str] | None = None,
        root_path: str | None = None,
    ) -> None:  # fmt: skip
        self.import_name = import_name
        self.static_folder = static_folder
        self.static_url_path = static_url_path
        self.template_folder = template_folder
        self.root_path = get_root_path(import_name) if root_path is None else root_path

        self.view_functions: dict[str, ft.RouteCallable] = {}
        self.error_handler_spec: dict[str | None, ErrorHandlers] = defaultdict(
            lambda: defaultdict(dict)
        )
        self.before_request_funcs: Hooks[ft.BeforeRequestCallable] = defaultdict(list)
        self.after_request_funcs: Hooks[ft.AfterRequestCallable[t.Any]] = defaultdict(list)
        self.teardown_request_funcs: Hooks[ft.TeardownCallable] = defaultdict(list)
        self.before_websocket_funcs: Hooks[ft.BeforeRequestCallable] = defaultdict(list)
        self.after_websocket_funcs: Hooks[ft.AfterWebSocketCallable] = defaultdict(list)
        self.teardown_websocket_funcs: Hooks[ft.TeardownCallable] = defaultdict(list)
        self.template_context_processors: Hooks[ft.TemplateContextProcessorCallable] = defaultdict(
            list
        )
        self.url_value_preprocessors: Hooks[ft.URLValuePreprocessorCallable] = defaultdict(list)
        self.url_default_functions: Hooks[ft.URLDefaultCallable] = defaultdict(list)
        self._serving: list[tuple[str, Callable[..., t.Any]]] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def _check_setup_finished(self, f_name: str) -> None:
        raise NotImplementedError

    def _forget_plans(self) -> None:
        """Drop whatever was worked out from the registries; an application overrides this."""

    @property
    def cli(self) -> AppGroup:
        """The click group for this object's commands, made (and click loaded) on first touch."""
        if self._cli is None:
            from .cli import AppGroup

            self._cli = AppGroup(name=self.name)
        return self._cli

    @cli.setter
    def cli(self, value: AppGroup) -> None:
        self._cli = value

    # -- folders and files ---------------------------------------------------------------------

    @property
    def static_folder(self) -> str | None:
        """The absolute path of the folder with static files, or None."""
        if self._static_folder is None:
            return None
        return os.path.join(self.root_path, self._static_folder)

    @static_folder.setter
    def static_folder(self, value: str | os.PathLike[str] | None) -> None:
        self._static_folder = None if value is None else os.fspath(value).rstrip("/\\")

    @property
    def has_static_folder(self) -> bool:
        """Whether a static folder is set; it need not exist."""
        return self._static_folder is not None

    @property
    def static_url_path(self) -> str | None:
        """The URL prefix of the static route, by default the static folder's own name."""
        if self._static_url_path is not None:
            return self._static_url_path
        folder = self.static_folder
        return None if folder is None else f"/{os.path.basename(folder)}".rstrip("/")

    @static_url_path.setter
    def static_url_path(self, value: str | None) -> None:
        self._static_url_path = None if value is None else value.rstrip("/")

    @cached_property
    def jinja_loader(self) -> BaseLoader | None:
        """The Jinja loader for ``template_folder``, or None without one."""
        if self.template_folder is None:
            return None
        return FileSystemLoader(os.path.join(self.root_path, self.template_folder))

    def get_send_file_max_age(self, filename: str | None) -> int | None:
        """Return for how many seconds a file may be cached; None asks for conditional requests.

        The default is ``SEND_FILE_MAX_AGE_DEFAULT``; override it to decide by file name.
        """
        value: timedelta | int | None = current_app.config["SEND_FILE_MAX_AGE_DEFAULT"]
        return int(value.total_seconds()) if isinstance(value, timedelta) else value

    def send_static_file(self, filename: str) -> Response:
        """Serve one file of ``static_folder``; the view of the static route."""
        folder = self.static_folder
        if folder is None:
            raise RuntimeError(
                f"{self!r} was asked for the static file {filename!r}, but has no static folder."
                " Set 'static_folder', in the constructor or as an attribute."
            )
        # send_file would ask the application; a blueprint may have an answer of its own.
        max_age = self.get_send_file_max_age(filename)
        return send_from_directory(folder, filename, max_age=max_age)

    def open_resource(
        self, resource: str, mode: str = "rb", encoding: str | None = "utf-8"
    ) -> t.IO[t.Any]:
        """Open a file below ``root_path`` for reading, in mode ``"rb"``, ``"r"`` or ``"rt"``."""
        if mode not in {"r", "rt", "rb"}:
            raise ValueError(
                f"open_resource({resource!r}, {mode!r}): a resource can be opened only for reading,"
                " with the mode 'r', 'rt' or 'rb'. Files that change belong into the instance"
                " folder: app.open_instance_resource()."
            )
        path = os.path.join(self.root_path, resource)
        return open(path, mode) if mode == "rb" else open(path, mode, encoding=encoding)

    # -- routes --------------------------------------------------------------------------------

    def _method_route(
        self, method: str, rule: str, options: dict[str, t.Any]
    ) -> Callable[[T_route], T_route]:
        if "methods" in options:
            raise TypeError(
                f"@{method.lower()}({rule!r}) already names its method and takes no 'methods'."
                f" Write @route({rule!r}, methods={options['methods']!r}) instead."
            )
        return self.route(rule, methods=[method], **options)

    @setupmethod
    def get(self, rule: str, **options: t.Any) -> Callable[[T_route], T_route]:
        """Register a view for GET (and HEAD): `route` with ``methods=["GET"]``."""
        return self._method_route("GET", rule, options)

    @setupmethod
    def post(self, rule: str, **options: t.Any) -> Callable[[T_route], T_route]:
        """Register a view for POST: `route` with ``methods=["POST"]``."""
        return self._method_route("POST", rule, options)

    @setupmethod
    def put(self, rule: str, **options: t.Any) -> Callable[[T_route], T_route]:
        """Register a view for PUT: `route` with ``methods=["PUT"]``."""
        return self._method_route("PUT", rule, options)

    @setupmethod
    def delete(self, rule: str, **options: t.Any) -> Callable[[T_route], T_route]:
        """Register a view for DELETE: `route` with ``methods=["DELETE"]``."""
        return self._method_route("DELETE", rule, options)

    @setupmethod
    def patch(self, rule: str, **options: t.Any) -> Callable[[T_route], T_route]:
        """Register a view for PATCH: `route` with ``methods=["PATCH"]``."""
        return self._method_route("PATCH", rule, options)

    @setupmethod
    def route(self, rule: str, **options: t.Any) -> Callable[[T_route], T_route]:
        """Register the decorated view, ``def`` or ``async def``, for a URL rule.

        Options are those of `add_url_rule`. Without ``endpoint`` the function's name is used,
        without ``methods`` only GET (with HEAD and OPTIONS).
        https://flask.palletsprojects.com/en/stable/api/#url-route-registrations
        """

        def decorator(f: T_route) -> T_route:
            self.add_url_rule(rule, view_func=f, **options)
            return f

        return decorator

    @setupmethod
    def websocket(self, rule: str, **options: t.Any) -> Callable[[F], F]:
        """Register the decorated view, ``def`` or ``async def``, for WebSockets at a URL rule. ::

            @app.websocket("/echo")
            async def echo():
                async for message in websocket:
                    await websocket.send(message)

        Options are those of `add_url_rule`. The view accepts with `WebSocket.accept`, or by its
        first message; what it returns or raises before that is the HTTP response that refuses.
        """

        def decorator(f: F) -> F:
            self.add_url_rule(rule, view_func=f, websocket=True, **options)
            return f

        return decorator

    @setupmethod
    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None, **options: t.Any,
    ) -> None:  # fmt: skip
        """Register a URL rule; see `Flask.add_url_rule`."""
        raise NotImplementedError

    @setupmethod
    def endpoint(self, endpoint: str) -> Callable[[F], F]:
        """Register the decorated view for an endpoint whose rule was added without a view."""

        def decorator(f: F) -> F:
            self.view_functions[endpoint] = f
            return f

        return decorator

    # -- hooks ---------------------------------------------------------------------------------

    @setupmethod
    def before_request(self, f: T_before_request) -> T_before_request:
        """Call ``f()`` before each request; what it returns, unless None, is the response."""
        self.before_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def after_request(self, f: T_after_request) -> T_after_request:
        """Call ``f(response)`` after each request; it must return a response."""
        self.after_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def teardown_request(self, f: T_teardown) -> T_teardown:
        """Call ``f(exc)`` when the request's context ends, with the unhandled exception or None."""
        self.teardown_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def before_websocket(self, f: T_before_request) -> T_before_request:
        """Call ``f()`` before each WebSocket's view; what it returns, unless None, refuses it."""
        self.before_websocket_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def after_websocket(self, f: T_after_websocket) -> T_after_websocket:
        """Call ``f(response)`` after each WebSocket's view, and return the response.

        It is the response that refuses the WebSocket, or None where it was accepted.
        """
        self.after_websocket_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def teardown_websocket(self, f: T_teardown) -> T_teardown:
        """Call ``f(exc)`` when a WebSocket's context ends, with the exception or None."""
        self.teardown_websocket_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def context_processor(self, f: T_template_context_processor) -> T_template_context_processor:
        """Call ``f()`` before a template is rendered; the dict it returns joins the context."""
        self.template_context_processors.setdefault(None, []).append(f)
        return f

    @setupmethod
    def url_value_preprocessor(self, f: T_url_value_preprocessor) -> T_url_value_preprocessor:
        """Call ``f(endpoint, values)`` before the before-hooks; it may change ``values``."""
        self.url_value_preprocessors.setdefault(None, []).append(f)
        return f

    @setupmethod
    def url_defaults(self, f: T_url_defaults) -> T_url_defaults:
        """Call ``f(endpoint, values)`` whenever a URL is built; it may add to ``values``."""
        self.url_default_functions.setdefault(None, []).append(f)
        return f

    # -- the server's start and end ------------------------------------------------------------

    @setupmethod
    def before_serving(self, f: F) -> F:
        """Call ``f()`` when the server starts, before the first request.

        All of these functions, the blueprints' too, run in the order of their registration, in one
        app context, and are undone in reverse. ContextVars that they set are seen in requests.
        """
        self._serving.append(("before", f))
        return f

    @setupmethod
    def after_serving(self, f: F) -> F:
        """Call ``f()`` when the server ends, after the last request; the last one first."""
        self._serving.append(("after", f))
        return f

    @setupmethod
    def while_serving(self, f: F) -> F:
        """Run a generator, plain or async, to its ``yield`` at the start and on at the end. ::

            @app.while_serving
            async def lifespan():
                async with connect() as pool:
                    yield {"pool": pool}  # request.state.pool

        Raises TypeError for a function without a ``yield``.
        """
        if not (isgeneratorfunction(f) or isasyncgenfunction(f)):
            raise TypeError(
                f"while_serving({getattr(f, '__name__', f)}): that is no generator function. It has"
                " one 'yield', where the app serves; functions without one are before_serving and"
                " after_serving."
            )
        self._serving.append(("while", f))
        return f

    @setupmethod
    def errorhandler(
        self, code_or_exception: type[Exception] | int
    ) -> Callable[[T_error_handler], T_error_handler]:
        """Register the decorated ``f(error)`` for an HTTP status code or an exception class."""

        def decorator(f: T_error_handler) -> T_error_handler:
            self.register_error_handler(code_or_exception, f)
            return f

        return decorator

    @setupmethod
    def register_error_handler(
        self, code_or_exception: type[Exception] | int, f: ft.ErrorHandlerCallable
    ) -> None:
        """Register ``f(error)`` for an HTTP status code or an exception class.

        Raises ValueError for an unknown code or a class that is no exception, TypeError for an
        instance.
        """
        exc_class, code = self._get_exc_class_and_code(code_or_exception)
        self.error_handler_spec[None][code][exc_class] = f

    @staticmethod
    def _get_exc_class_and_code(
        exc_class_or_code: type[Exception] | int,
    ) -> tuple[type[Exception], int | None]:
        """Return the class to handle and, for HTTP exceptions, the status code."""
        known: t.Any = exc_class_or_code
        if isinstance(known, int):
            if known not in default_exceptions:
                raise ValueError(
                    f"An error handler was registered for {known}, which is no HTTP error code that"
                    " Werkzeug has an exception for. Use a subclass of HTTPException with that code"
                    " instead."
                )
            known = default_exceptions[known]
        if isinstance(known, Exception):
            raise TypeError(
                f"{known!r} is an instance, not a class. Register the error handler for its class,"
                f" {type(known).__name__}, or for an HTTP error code."
            )
        if not issubclass(known, Exception):
            raise ValueError(
                f"'{known.__name__}' is not a subclass of Exception. An error handler is registered"
                " for an exception class or an HTTP error code."
            )
        return known, known.code if issubclass(known, HTTPException) else None


def _endpoint_from_view_func(view_func: ft.RouteCallable | None) -> str:
    """Return the endpoint of a view that was registered without one: the function's name."""
    assert view_func is not None, (
        "A URL rule was added with neither 'endpoint' nor 'view_func'. Pass one of them."
    )
    name: str | None = getattr(view_func, "__name__", None)
    if name is None:
        raise AttributeError(
            f"{view_func!r} has no __name__ to derive the endpoint from. Pass 'endpoint'."
        )
    return name


def _find_package_path(import_name: str) -> str:
    """Return the folder that a package or module is imported from, else the working directory."""
    try:
        root = find_spec(import_name.partition(".")[0])
    except (ImportError, ValueError):  # ValueError: an invalid name, or `__main__`
        root = None
    if root is None:
        return os.getcwd()
    places = root.submodule_search_locations
    if not places:
        return os.path.dirname(root.origin or "")
    if root.origin is not None and root.origin != "namespace":
        return os.path.dirname(os.path.dirname(root.origin))
    # A namespace package lives in several places; take the one that holds the sub-package.
    spec = find_spec(import_name)
    place = next(iter(places))
    if spec is not None and spec.submodule_search_locations:
        inner = PurePath(os.path.commonpath(list(spec.submodule_search_locations)))
        place = next((p for p in places if inner.is_relative_to(p)), place)
    return os.path.dirname(place)


def find_package(import_name: str) -> tuple[str | None, str]:
    """Return the prefix that a package is installed under, or None, and its import folder.

    The prefix holds ``lib``, ``bin`` and so on: ``sys.prefix``, or what is above a
    ``site-packages``. https://flask.palletsprojects.com/en/stable/config/#instance-folders
    """
    path = _find_package_path(import_name)
    prefix = os.path.abspath(sys.prefix)
    if PurePath(path).is_relative_to(prefix):
        return prefix, path
    parent, folder = os.path.split(path)
    if folder.lower() != "site-packages":
        return None, path
    above, lib = os.path.split(parent)
    if lib.lower() == "lib":  # <prefix>/Lib/site-packages, as on Windows
        return above, path
    if os.path.basename(above).lower() == "lib":  # <prefix>/lib/python3.x/site-packages
        return os.path.dirname(above), path
    return parent, path


def take_options(rule: str, options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Take out of a rule's options those that Werkzeug's `Rule` does not know."""
    way = options.pop("on_disconnect", None)
    if way is not None and way not in ("finish", "cancel", "notify"):
        raise ValueError(
            f"The rule {rule!r} was given on_disconnect={way!r}. It is 'finish' (the view runs to"
            " its end, as in Flask), 'cancel' or 'notify'."
        )
    return {"on_disconnect": way, "stream_body": bool(options.pop("stream_body", False))}


def refuse_second_view(rule: str, endpoint: str, view_func: t.Any, old: t.Any) -> None:
    """Raise AssertionError if an endpoint has another view than the one that it is given."""
    if old is not None and old != view_func:
        raise AssertionError(
            f"The rule {rule!r} gives the endpoint {endpoint!r} the view {_where(view_func)},"
            f" but that endpoint already has the view {_where(old)}.\n"
            "Rename one function, or pass endpoint='another_name' to one of the rules. If both"
            " come from one decorator, it lacks functools.wraps."
        )


def _where(view_func: ft.RouteCallable) -> str:
    """Name a function so that it can be found: its qualified name, file and line."""
    name = f"{view_func.__module__}.{getattr(view_func, '__qualname__', view_func)}"
    code = getattr(view_func, "__code__", None)
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"
