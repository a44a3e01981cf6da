"""Background tasks: what goes on after the response, apart from the request that started it."""

from __future__ import annotations

import typing as t
from contextvars import Context, copy_context
from functools import partial

from werkzeug.exceptions import ServiceUnavailable

from . import concurrency
from .aside import until
from .ctx import AppContext
from .globals import _cv_app
from .signals import got_background_exception
from .wakeups import Interruptible, here, home_here

if t.TYPE_CHECKING:
    from .app import Flask


class TooManyTasks(ServiceUnavailable):
    """503 with Retry-After: ``MAX_BACKGROUND_TASKS`` are running."""

    def __init__(self) -> None:
        super().__init__("The server is busy. Please try again in a moment.", retry_after=1)


class Task:
    """One call of a background task's function."""

    def __init__(
        self, app: Flask, func: t.Callable[..., t.Any], args: t.Any, kwargs: t.Any
    ) -> None:
        self.app = app
        self.func = func
        self.is_plain: bool = concurrency.needs_thread(func)
        self.call: partial[t.Any] = partial(func, *args, **kwargs)
        self.loop: t.Any = None
        self.block: Interruptible | None = None

    def __repr__(self) -> str:
        return f"{getattr(self.func, '__qualname__', repr(self.func))}()"

    def start(self) -> None:
        """Start it on the loop of the request, else the running one, else the background loop."""
        ctx = _cv_app.get(None)
        if concurrency.on_loop():
            home: t.Any = home_here()
        else:
            home = ctx and ctx._loop and concurrency._home_of(ctx._loop)
            home = home or concurrency.background_loop().home
        context = copy_context()
        context.run(_cv_app.set, t.cast(AppContext, None))  # The request's is not the task's.
        self.loop = home.loop
        self.app._tasks.add(self)
        home.spawn(self._run, context)

    async def _run(self) -> None:
        try:
            self.block = Interruptible()
            async with self.block:
                await self._call()
        except Exception as error:
            self._report(error)
        finally:
            self.app._tasks.discard(self)

    async def _call(self) -> None:
        if self.is_plain:
            work = partial(self._call_in, copy_context())
            await concurrency.on_worker(concurrency.pool_of(self.app, "task"), work)
            return
        async with self.app.app_context() as ctx:
            ctx._loop = here()
            rv = self.call()
            if concurrency.iscoroutinefunction(self.func):
                await rv

    def _call_in(self, context: Context, job: t.Any) -> None:
        def work() -> None:
            with self.app.app_context() as ctx:
                ctx._loop = self.loop
                self.call()

        context.run(work)

    def _report(self, error: Exception) -> None:
        self.app.logger.error("Exception in the background task %r", self, exc_info=error)
        got_background_exception.send(self.app, exception=error, task=self.func)


def start(app: Flask, func: t.Any, args: t.Any, kwargs: t.Any) -> None:
    """Start a background task of an app; see `Flask.add_background_task`."""
    if not callable(func):
        wrong = getattr(func, "__name__", None) or repr(func)
        if hasattr(func, "close"):
            func.close()  # A coroutine, which would warn that nobody awaited it.
        raise TypeError(
            f"add_background_task({wrong}): that is not a function but what calling one gave.\n"
            "    wrong: app.add_background_task(send_mail(address))\n"
            "    right: app.add_background_task(send_mail, address)"
        )
    limit = app.config["MAX_BACKGROUND_TASKS"]
    if limit is not None and len(app._tasks) >= limit:
        app.logger.warning(
            "%d background tasks are running, the limit of MAX_BACKGROUND_TASKS: %r was refused.",
            limit,
            getattr(func, "__qualname__", func),
        )
        raise TooManyTasks
    Task(app, func, args, kwargs).start()


async def wait_for_all(app: Flask) -> None:
    """Wait until the tasks on this loop are done; then cancel those that are ``async def``."""

    def left() -> list[Task]:
        return [task for task in list(app._tasks) if task.loop is loop]

    loop, grace = here(), app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"]
    await until(lambda: not left(), grace)
    for task in left():
        app.logger.warning(
            "The background task %r was still running %s s after the end had begun, the time of"
            " BACKGROUND_TASK_SHUTDOWN_TIMEOUT, and is cancelled%s.",
            task, grace, " (a plain function cannot be: it runs on)" if task.is_plain else "",
        )  # fmt: skip
        if task.block is not None and not task.is_plain:
            task.block.interrupt()
    await until(lambda: all(task.is_plain for task in left()), 1)
