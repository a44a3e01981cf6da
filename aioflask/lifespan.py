"""An app's lifespan: what is done before the first request, and undone after the last.

Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html.
"""

from __future__ import annotations

import traceback
import typing as t
from asyncio import AbstractEventLoop
from contextvars import copy_context
from functools import partial
from inspect import isasyncgen, isasyncgenfunction, isgeneratorfunction
from threading import get_ident

import anyio

from . import calls, shutdown, tasks, walk
from .aside import until
from .concurrency import hop
from .ctx import AppContext
from .exchange import Lifespan
from .globals import _cv_app
from .mounts import Mount
from .wakeups import Interruptible, here, home_here

if t.TYPE_CHECKING:
    from .app import Flask
    from .typing import Receive, Scope, Send

_END: t.Any = object()


async def serve(app: Flask, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the functions of the app's lifespan, and those of what is mounted in it.

    What fails, or does not end in time, is told to the server with its traceback, and ends it.
    """
    calls.look(app)  # Tools patch classes until the server starts.
    serving = Serving(app, scope.get("state"))
    try:
        while True:
            kind = (await receive())["type"]
            failure = await (serving.start() if kind == "lifespan.startup" else serving.stop())
            if failure is not None:
                await send({"type": f"{kind}.failed", "message": failure})
                return
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    finally:
        serving.abandon()


class Serving:
    """One run of an app's lifespan, in one task: a context that is entered there is left there."""

    def __init__(self, app: Flask, state: dict[str, t.Any] | None) -> None:
        self.app = app
        self.state: dict[str, t.Any] = {} if state is None else state
        self._undo: list[tuple[str, t.Callable[[], t.Any]]] = []
        """What the end has to do, the last first, each with its name."""
        self._step = ""
        self._failure: str | None = None
        self._started, self._stopping, self._ended = anyio.Event(), anyio.Event(), anyio.Event()
        self._block: Interruptible | None = None
        self._forget_signals: t.Callable[[], None] = lambda: None

    async def start(self) -> str | None:
        """Start up; return what went wrong."""
        self.app.shutdown_event.clear()
        home_here().spawn(self._run, copy_context())
        failure = await self._within("STARTUP_TIMEOUT", self._started, "start-up")
        if failure is None:
            self._forget_signals = shutdown.on_signals(self.app.shutdown_event.set)
        return failure

    async def stop(self) -> str | None:
        """Shut down; return what went wrong."""
        self.app.shutdown_event.set()
        self._stopping.set()
        return await self._within("SHUTDOWN_TIMEOUT", self._ended, "end")

    async def _within(self, setting: str, event: t.Any, phase: str) -> str | None:
        seconds = self.app.config[setting]
        with anyio.move_on_after(seconds) as time:
            await event.wait()
        if time.cancelled_caught:
            self.abandon()
            return (
                f"The {phase} of {self.app!r} has not ended within {seconds} s, the time of"
                f" {setting}. It waits for {self._step}."
            )
        return self._failure

    def abandon(self) -> None:
        """Break off what still runs."""
        self._forget_signals()
        if self._block is not None and not self._ended.is_set():
            self._block.interrupt()

    # --- in the task

    async def _run(self) -> None:
        ctx = AppContext(self.app)
        ctx._loop = here()
        token = ctx._activate()
        try:
            # One block: a generator may open a nursery at the start, and close it at the end.
            self._block = Interruptible()
            async with self._block:
                try:
                    await self._serve(ctx)
                except Exception:
                    self._failure = traceback.format_exc()
                finally:
                    await self._undo_all(ctx)
        finally:
            _cv_app.reset(token)
            ctx.leave_lane()
            self._started.set()
            self._ended.set()

    async def _serve(self, ctx: AppContext) -> None:
        app = self.app
        await self._start_all(ctx)
        self._started.set()
        await app.shutdown_event.wait()
        await _end_connections(app)
        await self._stopping.wait()
        self._step = "background tasks"
        await tasks.wait_for_all(app)

    async def _start_all(self, ctx: AppContext) -> None:
        if "aioflask.late" in self.app.extensions:
            from .typed.binding import check_late

            check_late(self.app)
        before = dict(copy_context().items())
        self.app._state = self.state
        for kind, func in self.app._serving:
            self._step = f"{kind}_serving function {_name(func)}"
            if kind != "while" and (isgeneratorfunction(func) or isasyncgenfunction(func)):
                raise TypeError(f"The {self._step} has a yield. Register it with while_serving.")
            if kind == "after":
                self._undo.append((self._step, partial(walk.call, ctx, func)))
            elif kind == "before":
                await walk.call(ctx, func)
            else:
                await self._enter(ctx, func)
        for mount in self.app._mounts:
            if mount.has_lifespan:
                await self._start_mounted(mount)
        # PERF: compiled now, and not when the first client waits.
        getattr(self.app.url_map, "router", None)
        now = copy_context().items()
        served = [(var, v) for var, v in now if before.get(var, _END) is not v]
        self.app._served = [pair for pair in served if pair[0] is not _cv_app]
        if isinstance(ctx._loop, AbstractEventLoop):
            self.app._home = ctx._loop, get_ident()

    async def _enter(self, ctx: AppContext, func: t.Callable[..., t.Any]) -> None:
        generator = func()
        if isasyncgen(generator):

            async def step() -> t.Any:
                return await anext(generator, _END)
        else:

            async def step() -> t.Any:
                return await hop(ctx, next, generator, _END)

        async def leave() -> None:
            if await step() is not _END:
                await (generator.aclose() if hasattr(generator, "aclose") else close())
                raise RuntimeError(f"The while_serving function {_name(func)} yields twice.")

        async def close() -> None:
            await hop(ctx, generator.close)

        value = await step()
        if value is _END:
            raise RuntimeError(f"The {self._step} ended without a yield, where the app serves.")
        self._undo.append((self._step, leave))
        if isinstance(value, dict):
            self.state.update(value)
        elif value is not None:
            raise TypeError(
                f"The {self._step} yields {value!r}. It yields nothing, or a dict whose values"
                " requests find in request.state: yield {'pool': pool}"
            )

    async def _start_mounted(self, mount: Mount) -> None:
        self._step = f"the lifespan of {mount.app!r}, mounted at {mount.prefix or '/'!r}"
        run = Lifespan(mount.app)
        home_here().spawn(run.run, copy_context())
        await run.start()
        mount.state = run.state if run.accepted else None
        self._undo.append((self._step, run.stop))

    async def _undo_all(self, ctx: AppContext) -> None:
        """Run what the end has to do, all of it, whatever fails."""
        broken_off: BaseException | None = None
        self._undo.insert(0, ("teardown_appcontext functions", lambda: walk.teardown(ctx, None)))
        while self._undo:
            self._step, undo = self._undo.pop()
            try:
                await undo()
            except Exception:
                self._failure = (self._failure or "") + traceback.format_exc()
            except BaseException as error:  # It took too long; the others have their turn.
                broken_off = error
        self.app._served, self.app._home = (), (None, 0)
        if broken_off is not None:
            raise broken_off


async def _end_connections(app: Flask) -> None:
    """Have the app's streams and WebSockets end, within ``STREAM_SHUTDOWN_TIMEOUT``.

    What has not is broken off: it stays visibly incomplete, and generators are closed.
    """
    loop, seconds = here(), app.config["STREAM_SHUTDOWN_TIMEOUT"]
    here_open = [block for block in app._open if block.loop is loop]
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for block in here_open:
                tasks.start_soon(block.go_away)
            await until(lambda: app._open.isdisjoint(here_open), seconds)
    for block in app._open.intersection(here_open):
        block.interrupt()


def _name(func: t.Callable[..., t.Any]) -> str:
    return f"{getattr(func, '__qualname__', repr(func))}()"
