"""What one endpoint needs, worked out once: its view, its hooks, and where each of them runs.

A plan holds colours and shapes. The registries it was made from stay the truth, since extensions
edit them by hand: a plan whose registries look otherwise now is made anew.
"""

from __future__ import annotations

import typing as t
from collections import defaultdict
from functools import wraps

from . import concurrency, signals
from .concurrency import iscoroutinefunction, needs_thread
from .json.provider import JSONProvider
from .routing import WEBSOCKET
from .sessions import SecureCookieSessionInterface

if t.TYPE_CHECKING:
    from blinker import NamedSignal
    from werkzeug.routing import Rule

    from .app import Flask
    from .wrappers import Request

REPLACEABLE = frozenset(
    "full_dispatch_request preprocess_request dispatch_request handle_user_exception"
    " handle_http_exception handle_exception finalize_request process_response make_response"
    " do_teardown_request do_teardown_appcontext".split()
)
"""Methods of the app that a subclass, or an instance, may replace. Others are bypassed."""

REGISTRIES = frozenset(
    """
    view_functions before_request_funcs after_request_funcs teardown_request_funcs
    before_websocket_funcs after_websocket_funcs teardown_websocket_funcs url_value_preprocessors
    """.split()
)
"""Attributes of an application that are a `Registry`."""

PLANNED = REGISTRIES.union(
    REPLACEABLE,
    """
    url_map blueprints error_handler_spec teardown_appcontext_funcs template_context_processors
    url_default_functions request_class response_class session_interface json config on_disconnect
    subdomain_matching create_url_adapter ensure_sync async_to_sync wsgi_app asgi_app
    """.split(),
)
"""Attributes of an application that make it forget its plans when they are set."""

DOORS = ("wsgi_app", "asgi_app")
"""Methods that people wrap with middleware."""

ORIGINALS: dict[str, t.Any] = {}
"""Those methods as `app` defines them."""

OF_A_REQUEST = (
    signals.request_tearing_down, signals.appcontext_tearing_down, signals.appcontext_popped,
    signals.request_started, signals.request_finished, signals.got_request_exception,
    signals.appcontext_pushed,
)  # fmt: skip

Func = t.Callable[..., t.Any]


class Group(t.NamedTuple):
    """Functions of one colour that follow one another."""

    is_async: bool
    needs_thread: bool
    functions: tuple[Func, ...]


Groups = tuple[Group, ...]


def grouped(functions: t.Iterable[Func]) -> Groups:
    """Put neighbours of the same colour together, so that they cross together."""
    groups: list[Group] = []
    for function in functions:
        colour = iscoroutinefunction(function), needs_thread(function)
        if groups and groups[-1][:2] == colour:
            groups[-1] = Group(*colour, (*groups[-1].functions, function))
        else:
            groups.append(Group(*colour, (function,)))
    return tuple(groups)


def awaited(groups: Groups) -> tuple[Func, ...] | None:
    """The functions of these groups if all are ``async def``, else None."""
    if not all(group.is_async for group in groups):
        return None
    return tuple(func for group in groups for func in group.functions)


# What opens, judges or saves a session. Salt, serializer and the like are asked whenever it is.
_SEES_SESSIONS = (
    "open_session save_session get_signing_serializer get_cookie_name should_set_cookie"
    " session_class make_null_session is_null_session null_session_class".split()
)


def has_lazy_session(app: Flask) -> bool:
    """Whether the session interface is ours, unchanged, so that nobody sees when it is opened."""
    interface = app.session_interface
    kind, ours = type(interface), SecureCookieSessionInterface
    return vars(interface).keys().isdisjoint(_SEES_SESSIONS) and (
        kind is ours
        or all(getattr(kind, name, None) is getattr(ours, name) for name in _SEES_SESSIONS)
    )


class Plan:
    """What the requests of one endpoint need. ``endpoint`` is None where nothing matched.

    A subclass is the plan of another kind of connection, with registries and signals of its own.
    """

    is_mount: t.ClassVar[bool] = False
    method: t.ClassVar[str] = ""
    """What the router knows its rules by, if not by the request's method."""
    registry_names: t.ClassVar[tuple[str, str, str]] = (
        "before_request_funcs", "after_request_funcs", "teardown_request_funcs",
    )  # fmt: skip
    replaceable: t.ClassVar[frozenset[str]] = REPLACEABLE
    finished: t.ClassVar[NamedSignal] = signals.request_finished
    failed: t.ClassVar[NamedSignal] = signals.got_request_exception
    tearing_down: t.ClassVar[NamedSignal] = signals.request_tearing_down
    signals: t.ClassVar[tuple[NamedSignal, ...]] = OF_A_REQUEST

    __slots__ = tuple(
        "after awaits_after awaits_before awaits_view before begins calls crosses "
        "ends_plainly lazy_session listeners lists lists_then mixes on_thread plain_json prepares "
        "preprocessors replaced streams teardown_appcontext teardown_request tears_down view "
        "view_is_async view_needs_thread watches".split()
    )

    def __init__(self, app: Flask, endpoint: str | None, blueprints: list[str]) -> None:
        outward: tuple[str | None, ...] = (*blueprints, None)
        inward = outward[::-1]
        # A registry that gets a new list makes the app forget its plans.
        hooks: list[t.Any] = [getattr(app, name) for name in self.registry_names]
        found = [r.get(scope) for r in (app.url_value_preprocessors, *hooks) for scope in outward]
        found.append(app.teardown_appcontext_funcs)
        self.lists: list[list[t.Any]] = [each for each in found if each is not None]
        self.lists_then: list[list[t.Any]] = [each.copy() for each in self.lists]
        self.listeners: list[set[t.Any]] | None = self.listening() if signals._in_use else None

        def gather(registry: t.Any, scopes: t.Any, step: int = 1) -> Groups:
            return grouped(f for scope in scopes for f in registry.get(scope, ())[::step])

        self.preprocessors: Groups = gather(app.url_value_preprocessors, inward)
        self.before: Groups = gather(hooks[0], inward)
        self.after: Groups = gather(hooks[1], outward, -1)
        self.teardown_request: Groups = gather(hooks[2], outward, -1)
        self.teardown_appcontext: Groups = grouped(app.teardown_appcontext_funcs[::-1])
        self.view: Func | None = None if endpoint is None else app.view_functions.get(endpoint)
        self.calls: Func | None = typed_view(app, endpoint, self.view, self.method == WEBSOCKET)
        self.view_is_async: bool = self.view is not None and iscoroutinefunction(self.view)
        self.view_needs_thread: bool = self.view is not None and needs_thread(self.view)
        self.replaced: frozenset[str] = replaced_methods(app, self.replaceable)
        self.prepares: bool = bool(self.before or self.preprocessors or self.replaced)
        self.awaits_view: bool = self.view_is_async and "dispatch_request" not in self.replaced
        # Hooks that are awaited without a look at what they are; None if there are others.
        is_ours = "preprocess_request" not in self.replaced and not self.preprocessors
        self.awaits_before: tuple[Func, ...] | None = awaited(self.before) if is_ours else None
        self.lazy_session: bool = has_lazy_session(app)
        self.awaits_after: tuple[Func, ...] | None = (
            awaited(self.after) if self.lazy_session else None
        )
        self.begins: bool = not self.lazy_session or bool(signals.appcontext_pushed.receivers)
        self.tears_down: bool = bool(
            self.teardown_request
            or self.teardown_appcontext
            or self.tearing_down.receivers
            or signals.appcontext_tearing_down.receivers
            or signals.appcontext_popped.receivers
            or self.replaced & {"do_teardown_request", "do_teardown_appcontext"}
        )
        ends = {"make_response", "process_response", "finalize_request"}
        self.ends_plainly: bool = self.replaced.isdisjoint(ends)
        response = getattr(getattr(app.json, "response", None), "__func__", None)
        self.plain_json: bool = response is JSONProvider.response
        self.on_thread: bool = self.view_needs_thread and concurrency.mode != "hop"
        mixes = self.on_thread or self.begins or self.replaced or self._mixes(app)
        self.mixes: bool = bool(mixes)
        self.watches: bool = self._watches(app, endpoint, blueprints)
        rules = app.url_map._rules_by_endpoint.get(endpoint, ())
        self.streams: bool = any(getattr(rule, "stream_body", False) for rule in rules)
        self.crosses: bool = self.mixes or self.watches

    @classmethod
    def listening(cls) -> list[set[t.Any]]:
        """Who listens to the signals of such a connection now."""
        return [set(signal.receivers) for signal in cls.signals]

    @staticmethod
    def _watches(app: Flask, endpoint: str | None, blueprints: list[str]) -> bool:
        """Whether a rule of the endpoint, or what it belongs to, has ``on_disconnect``."""
        if endpoint is None:
            return False
        scopes = [app, *(app.blueprints[name] for name in blueprints if name in app.blueprints)]
        rules = app.url_map._rules_by_endpoint.get(endpoint, ())
        ways = {getattr(each, "on_disconnect", None) for each in (*rules, *scopes)}
        return not ways <= {None, "finish"}

    def _mixes(self, app: Flask) -> bool:
        groups = (
            *self.preprocessors, *self.before, *self.after, *self.teardown_request,
            *self.teardown_appcontext,
        )  # fmt: skip
        interface = app.session_interface
        functions: list[Func] = [getattr(app, name) for name in self.replaced]
        if not self.lazy_session:
            functions += [interface.open_session, interface.save_session]
        for signal in self.signals:
            functions += signal.receivers_for(app)
        return (
            self.view_needs_thread
            or any(group.needs_thread for group in groups)
            or any(needs_thread(function) for function in functions)
        )


def replaced_methods(app: Flask, names: t.Iterable[str] = REPLACEABLE) -> frozenset[str]:
    """Those of ``names`` whose methods are not ours any more."""
    kind, own = type(app), vars(app)
    return frozenset(
        name for name in names if name in own or getattr(kind, name) is not ORIGINALS[name]
    )


def typed_view(app: Flask, endpoint: str | None, view: t.Any, is_websocket: bool) -> Func | None:
    """The view, or what binds it to the types of its annotations, if it has any."""
    if is_annotated(view):
        from .typed.binding import bound

        return bound(app, endpoint, view, is_websocket)
    return t.cast("Func | None", view)


def check_types(app: Flask, rule: Rule, view: t.Any) -> None:
    """Look for mistakes in the annotations of a view that is registered, if it has any."""
    if is_annotated(view) or hasattr(view, "view_class"):
        from .typed.binding import check

        check(app, rule, view)


def is_annotated(func: t.Any) -> bool:
    """Whether a function has annotations, which may mean more than they do to Flask."""
    # Python 3.14 makes them when they are asked for, and some may not exist yet.
    return bool(getattr(func, "__annotate__", None) or getattr(func, "__annotations__", None))


def plan_for(app: Flask, request: Request, kind: type[Plan] = Plan) -> Plan:
    """The plan of a request whose URL has been matched."""
    rule = request.url_rule
    endpoint: str | None = None if rule is None else rule.endpoint
    key = endpoint if kind is Plan else (kind, endpoint)
    plans = app._plans  # One that is made while a registry changes is forgotten with these.
    plan = plans.get(key)
    if (
        plan is None
        or plan.lists != plan.lists_then  # PERF: as they look now and as they did then, in C.
        or (signals._in_use and plan.listeners != plan.listening())
    ):
        plan = plans[key] = kind(app, endpoint, request.blueprints)
    return plan


class Registry(defaultdict[t.Any, t.Any]):
    """A registry of an application, which forgets its plans when a key is set or goes."""

    app: t.Callable[[], Flask | None] = staticmethod(lambda: None)
    """A weak reference: a cycle would keep a dropped application alive. A copy has none."""


def _telling(change: t.Any) -> t.Any:
    @wraps(change)
    def change_and_tell(registry: Registry, *args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return change(registry, *args, **kwargs)
        finally:
            if (app := registry.app()) is not None:
                app._plans = {}

    return change_and_tell


for _name in "__setitem__ __delitem__ __ior__ clear pop popitem setdefault update".split():
    setattr(Registry, _name, _telling(getattr(defaultdict, _name)))
