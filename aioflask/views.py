"""Views written as classes.

Source: https://flask.palletsprojects.com/en/stable/views/.
"""

from __future__ import annotations

import typing as t
from collections.abc import Awaitable, Callable, Collection

from werkzeug.exceptions import MethodNotAllowed

from . import typing as ft
from .concurrency import iscoroutinefunction, run_sync
from .globals import current_app, request
from .plan import is_annotated

http_method_funcs: frozenset[str] = frozenset(
    ("get", "post", "head", "options", "delete", "put", "trace", "patch")
)


class View:
    """A view as a class: subclass it, define ``dispatch_request`` and register ``as_view()``.

    ``dispatch_request`` may be ``def`` or ``async def``; the view function has its colour. ::

        class Hello(View):
            async def dispatch_request(self, name):
                return f"Hello, {name}!"

        app.add_url_rule("/hello/<name>", view_func=Hello.as_view("hello"))
    """

    methods: t.ClassVar[Collection[str] | None] = None
    """The HTTP methods, as for ``route()``, whose default is GET."""
    provide_automatic_options: t.ClassVar[bool | None] = None
    """Whether OPTIONS is answered automatically; None: as ``route()`` does."""
    decorators: t.ClassVar[list[Callable[..., t.Any]]] = []
    """Applied to the view function, the first one innermost.

    They are given a plain function, which on the event loop returns an awaitable: so plain
    decorators, Flask's way of writing them, work around an ``async def`` view (on a worker).
    """
    init_every_request: t.ClassVar[bool] = True
    """Make an instance for each request; False shares one, which must then keep no data of any."""

    if t.TYPE_CHECKING:  # A subclass takes the URL's variables and may be `async def`.
        dispatch_request: Callable[..., ft.ResponseReturnValue | Awaitable[ft.ResponseReturnValue]]
    else:

        def dispatch_request(self) -> ft.ResponseReturnValue:
            """Answer the request; the URL's variables come as keywords."""
            raise NotImplementedError(f"{type(self).__name__} must define dispatch_request().")

    @classmethod
    def _is_async(cls) -> bool:
        return iscoroutinefunction(cls.dispatch_request)

    @classmethod
    def as_view(cls, name: str, *class_args: t.Any, **class_kwargs: t.Any) -> ft.RouteCallable:
        """Make the view function, whose endpoint is ``name``; the rest goes to ``__init__``."""
        shared = None if cls.init_every_request else cls(*class_args, **class_kwargs)

        def dispatcher() -> Callable[..., t.Any]:
            # COMPAT: `view_class` may be replaced on the function, for tests.
            self = view.view_class(*class_args, **class_kwargs) if shared is None else shared
            return self.dispatch_request

        async def async_view(**kwargs: t.Any) -> t.Any:
            dispatch = dispatcher()
            if view.view_class is cls or view.view_class._is_async():
                return await dispatch(**kwargs)
            return await run_sync(dispatch, **kwargs)

        def plain_view(**kwargs: t.Any) -> t.Any:
            return current_app.ensure_sync(dispatcher())(**kwargs)

        view: t.Any = async_view if cls._is_async() and not cls.decorators else plain_view
        view.__name__ = name
        view.__module__ = cls.__module__
        for decorator in cls.decorators:
            view = decorator(view)
        view.view_class = cls
        view.__name__ = name
        view.__doc__ = cls.__doc__
        view.__module__ = cls.__module__
        view.methods = cls.methods
        view.provide_automatic_options = cls.provide_automatic_options
        return t.cast(ft.RouteCallable, view)


class MethodView(View):
    """A view with a method for each HTTP method that it answers, ``def`` or ``async def``.

    The view function is ``async def`` if all of them are. If only some are, it is plain: they run
    on the loop while its worker thread waits. HEAD is answered by ``get`` unless there is ``head``.
    ``methods`` is what the class and its bases define, unless it is set. ::

        class NoteAPI(MethodView):
            async def get(self, id): ...
            async def delete(self, id): ...

        app.add_url_rule("/notes/<int:id>", view_func=NoteAPI.as_view("note"))
    """

    methods: t.ClassVar[Collection[str] | None]

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        super().__init_subclass__(**kwargs)
        if "methods" not in cls.__dict__:
            methods = {m for base in cls.__bases__ for m in getattr(base, "methods", None) or ()}
            methods |= {name.upper() for name in http_method_funcs if hasattr(cls, name)}
            if methods:
                cls.methods = methods

    @classmethod
    def _is_async(cls) -> bool:
        if cls.dispatch_request is not MethodView.dispatch_request:
            return super()._is_async()
        names = http_method_funcs | {method.lower() for method in cls.methods or ()}
        handlers = [getattr(cls, name) for name in names if hasattr(cls, name)]
        return bool(handlers) and all(map(iscoroutinefunction, handlers))

    def dispatch_request(self, **kwargs: t.Any) -> t.Any:
        """Call the method for the request's HTTP method."""
        method = request.method
        name = method.lower()
        if name not in http_method_funcs:
            # Other attributes of the class are not for clients to call, whatever the rule lets in.
            rule = request.url_rule
            declared = {*(self.methods or ()), *((rule and rule.methods) or ())}
            if method not in declared:
                raise MethodNotAllowed(sorted(declared))
        handler = getattr(self, name, None)
        if handler is None and name == "head":
            handler = getattr(self, "get", None)
        if handler is None:
            raise AssertionError(
                f"Unimplemented method {method!r}: the rule accepts it, but {type(self).__name__}"
                f" has no method {name}(). Define it, or take it out of the class's `methods`."
            )
        if is_annotated(handler):
            from .typed.binding import bound_method

            handler = bound_method(handler)
        return current_app.ensure_sync(handler)(**kwargs)
