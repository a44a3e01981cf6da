"""What views depend on: functions and generators of either colour, called once per request."""

from __future__ import annotations

import contextlib
import inspect
import typing as t
from collections.abc import Callable, Collection, Iterator
from functools import partial

from aioflask import walk
from aioflask.concurrency import needs_thread, on_loop

from .problems import Fault, Faults
from .readers import Reader, reader_for
from .signature import Parameter, SignatureError, bare, name_of, own, parameters

if t.TYPE_CHECKING:
    from aioflask.app import Flask
    from aioflask.ctx import AppContext

_KEY = "aioflask.dependencies"
FAILED: t.Any = object()
"""In place of a value whose own parameters are wrong."""


@contextlib.contextmanager
def override(
    app: Flask, dependency: Callable[..., t.Any], replacement: Callable[..., t.Any]
) -> Iterator[None]:
    """Have the app call ``replacement`` wherever views depend on ``dependency``, for tests. ::

        with override(app, get_session, lambda: FakeSession()):
            client.get("/items")

    It is bound as a dependency is: it may have parameters of its own, and be a generator.
    """
    found = app.extensions.setdefault(_KEY, {})
    before = found.get(dependency)
    found[dependency] = replacement
    try:
        yield
    finally:
        found.pop(dependency)
        if before is not None:
            found[dependency] = before


class Needs:
    """The bound parameters of a callable: what is read, and what is depended on."""

    def __init__(
        self, func: Callable[..., t.Any], path: Collection[str], above: Collection[t.Any] = ()
    ) -> None:
        self.func = func
        self.readers: list[Reader] = []
        self.dependencies: list[tuple[str, Dependency, bool]] = []
        for parameter in parameters(func, path):
            if parameter.source == "depends":
                called = _called(func, parameter)
                if called in above:
                    raise SignatureError(f"{name_of(called)} depends on itself.")
                needs = Dependency(called, path, {*above, called})
                self.dependencies.append((parameter.name, needs, parameter.marker.use_cache))
            else:
                self.readers.append(self._reader(parameter))

    def _reader(self, parameter: Parameter) -> Reader:
        try:
            return reader_for(parameter)
        except (TypeError, ValueError, RuntimeError) as error:
            raise SignatureError(
                f"The parameter {parameter.name!r} of {name_of(self.func)}: {error}"
            ) from error

    def everything(self) -> Iterator[Reader]:
        """The readers of the callable and of all that it depends on."""
        yield from self.readers
        for _, needs, _ in self.dependencies:
            yield from needs.everything()

    def all_dependencies(self) -> Iterator[Dependency]:
        """All that it depends on, the innermost first."""
        for _, needs, _ in self.dependencies:
            yield from needs.all_dependencies()
            yield needs

    def read(self, request: t.Any, values: dict[str, t.Any], faults: list[Fault]) -> None:
        """Put the values into ``values``, and what is wrong into ``faults``."""
        for reader in self.readers:
            if reader.name in values and reader.source != "path":
                continue  # A URL value preprocessor has put it there.
            try:
                values[reader.name] = reader.read(request)
            except Faults as error:
                faults += (Fault(reader.source, place, why) for place, why in error.found)


def _called(func: t.Any, parameter: Parameter) -> t.Any:
    called = parameter.marker.dependency
    if called is None:
        called = bare(parameter.hint)
    if not callable(called):
        raise SignatureError(
            f"The parameter {parameter.name!r} of {name_of(func)} depends on {called!r}, which"
            f" cannot be called. Give a function: {parameter.name}: Annotated[..., Depends(func)]"
        )
    return called


class Dependency(Needs):
    """A callable whose value others are given."""

    def __init__(
        self, func: Callable[..., t.Any], path: Collection[str], above: Collection[t.Any]
    ) -> None:
        super().__init__(func, path, above)
        self.path: Collection[str] = path
        code = own(func)
        bound = {reader.name for reader in self.readers}
        names = inspect.signature(code, follow_wrapped=False).parameters
        self.variables: set[str] = (names.keys() & set(path)) - bound
        """What it takes of the rule's variables, which a view is given by the walk."""
        self.is_generator: bool = inspect.isgeneratorfunction(code)
        self.is_async_generator: bool = inspect.isasyncgenfunction(code)

    async def begin(self, run: Run, values: dict[str, t.Any]) -> t.Any:
        """Call it with its own values, and note what is to be done at the end."""
        if self.variables:
            given = run.ctx._request.view_args.items()
            values.update((name, value) for name, value in given if name in self.variables)
        call = partial(self.func, **values)
        if self.is_async_generator:
            source = call()
            value = await walk.call(run.ctx, _first, source)
            run.exits.append(partial(_last, source))
        elif self.is_generator:
            source = call()
            value = await walk.call(run.ctx, _next, source)
            run.exits.append(partial(_end, source))
        else:
            if not needs_thread(self.func):  # `nonblocking` marks the function, not a partial.
                call._aioflask_nonblocking = True  # type: ignore[attr-defined]
            value = await walk.call(run.ctx, call)
        return value


class Run:
    """The dependencies of one request: their values, and how they end."""

    def __init__(self, ctx: AppContext) -> None:
        self.ctx = ctx
        self.values: dict[t.Any, t.Any] = {}
        self.exits: list[Callable[..., t.Any]] = []
        self.faults: list[Fault] = []
        self.overrides: dict[t.Any, Callable[..., t.Any]] = ctx.app.extensions.get(_KEY, {})

    async def gather(self, needs: Needs, values: dict[str, t.Any]) -> bool:
        """Put into ``values`` what a callable needs; False if something is wrong."""
        count = len(self.faults)
        whole = True
        for name, dependency, use_cache in needs.dependencies:
            values[name] = await self._value(dependency, use_cache)
            whole = whole and values[name] is not FAILED
        needs.read(self.ctx._request, values, self.faults)
        return whole and len(self.faults) == count

    async def _value(self, dependency: Dependency, use_cache: bool) -> t.Any:
        key = dependency.func
        if use_cache and key in self.values:
            return self.values[key]
        chosen = dependency
        if (replacement := self.overrides.get(key)) is not None:
            chosen = Dependency(replacement, dependency.path, {replacement})
        values: dict[str, t.Any] = {}
        value = await chosen.begin(self, values) if await self.gather(chosen, values) else FAILED
        self.values[key] = value
        return value

    async def end(self, error: BaseException | None) -> None:
        """Go on after the ``yield`` of each generator, the last one first."""
        failed: list[BaseException] = []
        for leave in reversed(self.exits):
            await walk._also(failed, walk.call, self.ctx, leave, error)
        self.exits.clear()
        walk._raise_all(failed)

    async def end_after(self, error: BaseException) -> None:
        """The same after an error of the view's, which may be a cancellation: this is none."""
        if self.exits and not isinstance(error, Exception) and on_loop():
            from anyio import CancelScope

            with CancelScope(shield=True):
                await self.end(error)
        else:
            await self.end(error)

    def end_with_request(self) -> None:
        """The same when the request ends: the response is a stream, which may need them."""
        self.ctx._dependencies = self
        self.ctx._request._leaves_something = True


# --- generators -----------------------------------------------------------------------------------


def _next(source: t.Any) -> t.Any:
    try:
        return next(source)
    except StopIteration:
        raise _no_yield(source) from None


async def _first(source: t.Any) -> t.Any:
    try:
        return await anext(source)
    except StopAsyncIteration:
        raise _no_yield(source) from None


def _no_yield(source: t.Any) -> RuntimeError:
    return RuntimeError(
        f"The dependency {source.__qualname__}() ended without a yield, so there is no value to"
        " give. Let it yield one, or raise: abort(403)"
    )


def _end(source: t.Any, error: BaseException | None) -> None:
    try:
        if error is None:
            next(source)
        else:
            source.throw(error)
    except StopIteration:
        return
    except BaseException as raised:
        if raised is not error:
            raise
        return
    source.close()
    raise _second_yield(source)


async def _last(source: t.Any, error: BaseException | None) -> None:
    try:
        if error is None:
            await anext(source)
        else:
            await source.athrow(error)
    except StopAsyncIteration:
        return
    except BaseException as raised:
        if raised is not error:
            raise
        return
    await source.aclose()
    raise _second_yield(source)


def _second_yield(source: t.Any) -> RuntimeError:
    return RuntimeError(
        f"The dependency {source.__qualname__}() yielded a second time. What follows its one yield"
        " is run at the end of the request, and gives nothing."
    )
