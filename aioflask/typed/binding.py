"""Views bound to their annotations: compiled once per view, called in the view's place."""

from __future__ import annotations

import typing as t
from collections.abc import AsyncIterable, Callable, Collection, Iterator

from aioflask.concurrency import complete, iscoroutinefunction
from aioflask.globals import _active_request
from aioflask.helpers import ContextStream, stream_with_context

from .answers import Answer, answer_for
from .dependencies import Needs, Run
from .problems import Fault, RequestValidationError
from .signature import SignatureError, Unresolved, name_of, own

if t.TYPE_CHECKING:
    from werkzeug.routing import Rule

    from aioflask.app import Flask

View = Callable[..., t.Any]

_BINDINGS = "aioflask.bindings"
_LATE = "aioflask.late"
"""Where in an app's extensions they are: bindings by views, and views to look at later."""


class Binding:
    """How a view is called with what it asks for, and what is made of what it returns."""

    def __init__(
        self, view: View, path: Collection[str], is_websocket: bool = False, is_late: bool = True
    ) -> None:
        self.is_async: bool = iscoroutinefunction(view)
        self.needs: Needs = Needs(view, path)
        self.answer: Answer | None = None
        try:
            self.answer = None if is_websocket else answer_for(view)
        except Unresolved:
            if not is_late:
                raise
            # COMPAT: a type that is imported for type checkers alone, as Flask's users do.
        _check_bodies(view, self.needs, is_websocket)

    @property
    def acts(self) -> bool:
        """Whether there is anything to do that Flask would not."""
        return bool(self.needs.readers or self.needs.dependencies or self.answer)

    def wrap(self, view: View) -> View:
        """The view as Flask calls it: with the URL's variables alone."""
        if self.needs.dependencies:
            return self._with_dependencies(view)
        needs, answer = self.needs, self.answer

        if self.is_async:

            async def bound_async(**values: t.Any) -> t.Any:
                if needs.readers:
                    _read(needs, values)
                rv = await view(**values)
                return rv if answer is None else answer.response(rv)

            return bound_async

        def bound(**values: t.Any) -> t.Any:
            if needs.readers:
                _read(needs, values)
            rv = view(**values)
            return rv if answer is None else answer.response(rv)

        return bound

    def _with_dependencies(self, view: View) -> View:
        needs, answer, is_async = self.needs, self.answer, self.is_async

        async def run(values: dict[str, t.Any]) -> t.Any:
            run = Run(_active_request())
            try:
                if not await run.gather(needs, values):
                    raise RequestValidationError(run.faults)
                rv = view(**values)
                if is_async:
                    rv = await rv
                if answer is not None:
                    rv = answer.response(rv)
            except BaseException as error:
                await run.end_after(error)
                raise
            if isinstance(rv, (Iterator, AsyncIterable)):  # It may use what it was given.
                rv = stream_with_context(t.cast(t.Any, rv))
            if isinstance(getattr(rv, "response", rv), ContextStream):
                run.end_with_request()
            else:
                await run.end(None)
            return rv

        if is_async:

            async def bound_async(**values: t.Any) -> t.Any:
                return await run(values)

            return bound_async

        def bound(**values: t.Any) -> t.Any:
            return complete(run(values))

        return bound


def _read(needs: Needs, values: dict[str, t.Any]) -> None:
    faults: list[Fault] = []
    needs.read(_active_request()._request, values, faults)
    if faults:
        raise RequestValidationError(faults)


def _check_bodies(view: View, needs: Needs, is_websocket: bool) -> None:
    readers = [*needs.everything()]
    bodies = [each for each in readers if each.source == "body"]
    forms = [each for each in readers if each.source in ("form", "file")]
    if is_websocket and (bodies or forms):
        name = (bodies or forms)[0].name
        raise SignatureError(
            f"The parameter {name!r} of {name_of(view)} is a body, which a WebSocket's handshake"
            " does not have. Read messages instead:\n"
            "    async for message in websocket.typed(Message): ..."
        )
    if len(bodies) > 1:
        names = ", ".join(repr(each.name) for each in bodies)
        raise SignatureError(
            f"{name_of(view)} has {len(bodies)} body parameters, {names}, and a request has one"
            " body. Make them the fields of one model:\n"
            "    @dataclass\n"
            "    class Input:\n"
            + "".join(f"        {each.name}: ...\n" for each in bodies)
            + "or say where the others come from: "
            f"{bodies[1].name}: Annotated[..., Query()]"
        )
    if bodies and forms:
        raise SignatureError(
            f"{name_of(view)} wants JSON for {bodies[0].name!r} and a form for {forms[0].name!r},"
            f" and a request has one body. Write {bodies[0].name}: Annotated[..., Form()] to take"
            " both from the form."
        )


# --- which views ----------------------------------------------------------------------------------


def functions_of(view: View) -> list[View]:
    """The view itself, or the methods of a class-based one."""
    from aioflask.views import MethodView

    kind = getattr(view, "view_class", None)
    if kind is None:
        return [view]
    if not issubclass(kind, MethodView) or (
        kind.dispatch_request is not MethodView.dispatch_request
    ):
        return []
    names = sorted(method.lower() for method in kind.methods or ())
    found = (getattr(kind, name, None) for name in names)
    return [each for each in found if callable(each)]


def path_of(app: Flask, endpoint: str | None) -> frozenset[str]:
    """The variables of all rules of an endpoint, and their defaults."""
    rules = app.url_map._rules_by_endpoint.get(t.cast(str, endpoint), ())
    return frozenset(name for rule in rules for name in rule.arguments)


def binding_of(
    app: Flask, endpoint: str | None, view: View, is_websocket: bool = False, is_late: bool = True
) -> Binding:
    """The binding of a view, or of a method of a class, made once.

    Unless ``is_late``, a type that it returns may be defined further below.

    :raises SignatureError: for a mistake in its signature.
    :raises Unresolved: if an annotation names what does not exist.
    """
    made: dict[t.Any, Binding] = app.extensions.setdefault(_BINDINGS, {})
    path = path_of(app, endpoint)
    key = (own(view), path, is_websocket)
    if key not in made:
        try:
            made[key] = Binding(view, path, is_websocket, is_late)
        except NameError as error:
            raise Unresolved(f"An annotation of {name_of(view)}: {error}.") from error
    return made[key]


def check(app: Flask, rule: Rule, view: View) -> None:
    """Look at a view that is registered; what names models further below is looked at later.

    :raises SignatureError: for a mistake in its signature.
    """
    if not app.config["TYPED_VIEWS"]:
        return
    for function in functions_of(view):
        try:
            binding_of(app, rule.endpoint, function, rule.websocket, is_late=False)
        except Unresolved:
            app.extensions.setdefault(_LATE, []).append((rule, function))


def check_late(app: Flask) -> None:
    """Look at those views that could not be looked at when they were registered.

    :raises SignatureError: for a mistake, or a name that does not exist.
    """
    for rule, function in app.extensions.pop(_LATE, ()):
        try:
            binding_of(app, rule.endpoint, function, rule.websocket)
        except Unresolved as error:
            raise _unresolved(error) from None


def _unresolved(error: Unresolved) -> SignatureError:
    return SignatureError(
        f"{error} Import or define the type in the view's module, or correct its name."
    )


def bound(app: Flask, endpoint: str | None, view: View, is_websocket: bool = False) -> View:
    """What is called in a view's place: the view itself if it is plain Flask."""
    if not app.config["TYPED_VIEWS"] or hasattr(view, "view_class"):
        return view
    try:
        binding = binding_of(app, endpoint, view, is_websocket)
    except Unresolved as error:
        raise _unresolved(error) from None
    return binding.wrap(view) if binding.acts else view


def bound_method(method: View) -> View:
    """The same for a method of the `MethodView` that answers the active request."""
    ctx = _active_request()
    rule = ctx._request.url_rule
    if not ctx.app.config["TYPED_VIEWS"] or rule is None:
        return method
    try:
        binding = binding_of(ctx.app, rule.endpoint, method)
    except Unresolved as error:
        raise _unresolved(error) from None
    return binding.wrap(method) if binding.acts else method
