"""The bridge between plain functions and the event loop.

Three pieces. A :class:`Pool` of worker threads belongs to an app and a loop. A :class:`Job` is one
stay of a request on a thread; while it lasts the thread may ask the waiting task to await
something for it (a :class:`Crossing`). :class:`InContext` runs a coroutine in a chosen
:class:`contextvars.Context` within the current task, so that every step of a request, on
whichever side, sees the same context variables (PEP 567).

The rule that makes it safe: a ``Context`` can be entered by one thread at a time, so whoever runs
a step of a request leaves its context before the other side starts.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import functools
import inspect
import os
import sys
import threading
import typing as t
import weakref
from asyncio import _get_running_loop
from collections import deque
from contextvars import Context, ContextVar, copy_context
from types import FunctionType

from werkzeug.exceptions import ServiceUnavailable

from .globals import _cv_app
from .wakeups import AsyncioHome, Queue, TrioHome, here, home_here

if t.TYPE_CHECKING:
    from .app import Flask
    from .ctx import AppContext

P = t.ParamSpec("P")
T = t.TypeVar("T")
F = t.TypeVar("F", bound=t.Callable[..., t.Any])

mode = ""
"""Chosen by tests through :func:`aioflask.testing.use_mode`: "", "wsgi", "loop" or "hop"."""


# --- colours ---------------------------------------------------------------------------------


def iscoroutinefunction(func: t.Any) -> bool:
    """Whether calling ``func`` gives a coroutine: also for partials, methods and callables.

    A plain decorator around an ``async def`` function is a plain function: ``__wrapped__`` is not
    followed, since the wrapper may block.
    """
    if type(func) is FunctionType and not func.__dict__:  # PERF: nobody can have marked it.
        return bool(func.__code__.co_flags & inspect.CO_COROUTINE)
    if inspect.iscoroutinefunction(func):
        return True
    while isinstance(func, functools.partial):
        func = func.func
    if inspect.isroutine(func) or isinstance(func, type):
        return inspect.iscoroutinefunction(func)
    return inspect.iscoroutinefunction(getattr(type(func), "__call__", None))  # noqa: B004


def nonblocking(func: F) -> F:
    """Mark a plain function as quick, so that it is called on the event loop itself.

    It then costs no thread, and everything else waits while it runs: no file, no database, no
    network, no sleeping in it. ::

        @app.before_request
        @nonblocking
        def check_token(): ...
    """
    func._aioflask_nonblocking = True  # type: ignore[attr-defined]
    return func


def needs_thread(func: t.Any) -> bool:
    """Whether ``func`` is plain and must be kept off the event loop."""
    if mode == "loop" or iscoroutinefunction(func):
        return False
    return not getattr(func, "_aioflask_nonblocking", False)


def on_loop() -> bool:
    """Whether this thread runs an event loop right now, asyncio's or trio's."""
    if _get_running_loop() is not None:
        return True
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_run()


# --- one stay on a thread ----------------------------------------------------------------------


class Crossing:
    """What a coroutine yields on a thread in order to have something awaited on the loop."""

    __slots__ = ("args", "context", "func")

    def __init__(self, func: t.Callable[..., t.Any], *args: t.Any) -> None:
        self.func: t.Callable[..., t.Any] = func
        self.args: tuple[t.Any, ...] = args
        self.context: Context | None = None

    def __await__(self) -> t.Generator[Crossing, t.Any, t.Any]:
        return (yield self)


_waiting: ContextVar[Job | None] = ContextVar("aioflask.waiting", default=None)
"""The job whose thread waits for what runs in this context."""


class _Thread(threading.local):
    job: Job | None = None
    spare: list[t.Any] | None = None
    """Queues for answers that no crossing of this thread is using."""


_thread = _Thread()


class Job:
    """One stay on a worker thread: ``work(job)`` runs there, a task awaits :meth:`outcome`."""

    __slots__ = ("error", "home", "load", "replies", "value", "waiter", "waiting", "work")

    def __init__(self, home: t.Any, work: t.Callable[[Job], t.Any]) -> None:
        self.home: t.Any = home
        self.work: t.Any = work
        self.waiter: t.Any = home.waiter()
        self.replies: t.Any = None
        self.value: t.Any = None
        self.error: BaseException | None = None
        self.waiting: bool = False
        self.load: _Load | None = None

    def run(self) -> None:
        """Do the work; called by the thread."""
        outer, _thread.job = _thread.job, self
        try:
            # A request that was cancelled while it queued is not begun any more.
            if self.load is None or not getattr(self.waiter, "cancel_requested", False):
                self.value = self.work(self)
        except BaseException as error:
            self.error = error
        finally:
            _thread.job, self.work = outer, None  # It may hold this job.
        if self.load is not None:
            self.load.leave()
        self.home.post(self.waiter, None)

    def cross(self, crossing: Crossing) -> t.Any:
        """Have the loop await something and return its value; called by the thread.

        Meanwhile the thread does what the request asks to be run in a thread, so that a pool of
        one thread cannot wait for itself.
        """
        spare = _thread.spare
        if spare is None:
            spare = _thread.spare = []
        replies = self.replies = spare.pop() if spare else Queue()
        self.ask(crossing)
        while isinstance(reply := replies.get(), Job):
            reply.run()
        spare.append(replies)
        value, error = reply
        if error is not None:
            try:
                raise error
            finally:
                del error, reply  # The traceback holds this frame.
        return value

    def ask(self, crossing: Crossing) -> None:
        """Tell the waiting task what to await; called by the thread."""
        if not self.home.post(self.waiter, crossing):
            raise asyncio.CancelledError("The event loop of this request is closed.")

    async def outcome(self) -> t.Any:
        """The value of the work, or its exception; awaited on the loop."""
        waiter = self.waiter
        crossing = await waiter
        cancelled = waiter.cancel_requested
        while crossing is not None:
            cancelled = await self._serve(crossing, cancelled) or cancelled
            waiter = self.waiter
            crossing = await waiter
            cancelled = cancelled or waiter.cancel_requested
        if cancelled:
            await self.home.raise_cancelled()
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # Its traceback holds this frame.
        return self.value

    async def _serve(self, crossing: Crossing, cancelled: bool) -> bool:
        """Await what the thread asked for and hand it the outcome; tell whether to stop."""
        self.waiter = self.home.waiter()
        replies = self.replies
        context = t.cast(Context, crossing.context)
        ctx = context.get(_cv_app)
        ending = ctx is not None and ctx._ending
        if cancelled and not ending:
            replies.put((None, asyncio.CancelledError()))
            return True
        outer = context.get(_waiting)
        context.run(_waiting.set, self)
        self.waiting = True
        reply: tuple[t.Any, BaseException | None] = (None, None)
        try:
            awaitable = InContext(context, crossing.func, *crossing.args)
            reply = (await (_shielded(awaitable) if ending else awaitable), None)
        except BaseException as error:
            reply = (None, error)
            if isinstance(error, GeneratorExit):
                raise
            return isinstance(error, asyncio.CancelledError)
        finally:
            self.waiting = False
            context.run(_waiting.set, outer)
            replies.put(reply)
            del reply  # Its traceback holds this frame.
        return False

    def submit(self, job: Job) -> None:
        """Have the thread do another job while it waits; as `Pool.submit`."""
        self.replies.put(job)


async def _shielded(awaitable: t.Awaitable[T]) -> T:
    from anyio import CancelScope

    with CancelScope(shield=True):
        value = await awaitable
    return value


def step_in(context: Context, coro: t.Coroutine[t.Any, t.Any, T], job: t.Any) -> T:
    """Run a coroutine to its end on this thread, in ``context``, left for every crossing."""
    step, value = coro.send, None
    while True:
        try:
            crossing = context.run(step, value)
        except StopIteration as stop:
            return t.cast(T, stop.value)
        finally:
            value = None  # An exception's traceback holds this frame.
        crossing.context = context
        try:
            step, value = coro.send, job.cross(crossing)
        except BaseException as error:
            step, value = coro.throw, error


# --- one context on the loop -------------------------------------------------------------------


def _raising(error: BaseException, func: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
    """Call a function while an exception is being handled, for ``sys.exc_info()`` and logging."""
    traceback = error.__traceback__
    try:
        raise error
    except BaseException:
        error.__traceback__ = traceback
        return func(*args)


class Hop:
    """What a coroutine in a context of its own yields to have a plain function run on a lane."""

    __slots__ = ("args", "ctx", "func")

    def __init__(self, ctx: AppContext, func: t.Callable[..., t.Any], args: t.Any) -> None:
        self.ctx: AppContext = ctx
        self.func: t.Callable[..., t.Any] = func
        self.args: t.Any = args

    def __await__(self) -> t.Generator[Hop, t.Any, t.Any]:
        return (yield self)


class InContext:
    """Await ``func(*args)`` in ``context``, within the current task."""

    __slots__ = ("args", "context", "func")

    def __init__(self, context: Context, func: t.Callable[..., t.Any], *args: t.Any) -> None:
        self.context: Context = context
        self.func: t.Callable[..., t.Any] = func
        self.args: tuple[t.Any, ...] = args

    def __await__(self) -> t.Generator[t.Any, t.Any, t.Any]:
        run = self.context.run
        awaitable = run(self.func, *self.args)
        coro = awaitable if inspect.iscoroutine(awaitable) else _await(awaitable)
        step, value = coro.send, None
        while True:
            try:
                asked = run(step, value)
            except StopIteration as stop:
                return stop.value
            try:
                if type(asked) is Hop:
                    work = functools.partial(run, asked.func, *asked.args)
                    value = yield from _on_lane(asked.ctx, work).__await__()
                else:
                    value = yield asked
                step = coro.send
            except BaseException as error:
                step, value = coro.throw, error


async def _await(awaitable: t.Awaitable[T]) -> T:
    return await awaitable


def _bring_back(context: Context) -> None:
    """Take over what was changed in a copy of the current context."""
    for var, value in context.items():
        if var.get(_missing) is not value:
            var.set(value)


_missing = object()


async def hop(ctx: AppContext, func: t.Callable[..., T], *args: t.Any) -> T:
    """Run a plain function of an async request on the request's lane."""
    if ctx._handling is not None:
        func, args = _raising, (ctx._handling, func, *args)
    if ctx._own_context:
        return t.cast(T, await Hop(ctx, func, args))
    context = copy_context()
    try:
        return t.cast(T, await _on_lane(ctx, functools.partial(context.run, func, *args)))
    finally:
        _bring_back(context)


async def _on_lane(ctx: AppContext, work: t.Callable[[], t.Any]) -> t.Any:
    if ctx._lane is None:
        ctx._lane = pool_of(ctx.app).lane()
    job = Job(ctx._lane.home, lambda job: work())
    ctx._lane.queue.put(job)
    return await job.outcome()


# --- the pool ----------------------------------------------------------------------------------


class PoolFull(ServiceUnavailable):
    """503 with Retry-After (RFC 9110, 15.6.4): all workers are busy and the queue is full."""

    def __init__(self) -> None:
        super().__init__("The server is busy. Please try again in a moment.", retry_after=1)


class StreamsFull(PoolFull):
    """503: no thread for one more plain stream, of which nothing has been sent."""


def _work(queue: t.Any, last_one_out: t.Callable[[], bool]) -> None:
    # Knows the queue alone, so that a pool that nobody uses any more can be collected.
    while (job := queue.get()) is not None:
        job.run()
        del job
    for spare in _thread.spare or ():
        spare.close()
    if last_one_out():
        queue.close()


_left: deque[tuple[t.Any, list[threading.Thread]]] = deque()
"""Queue and threads of pools that have been collected."""


def _end_threads_left() -> None:
    # Not in the collection itself, which a thread that ends meanwhile disturbs: greenlet 3.5 frees
    # the thread's state then, and the interpreter crashes.
    while _left:
        queue, threads = _left.popleft()
        for _ in threads:
            queue.put(None)
        if not threads:
            queue.close()


class _Load:
    """How many jobs a pool has, counted from both sides."""

    def __init__(self) -> None:
        self.active: int = 0
        self.lock: threading.Lock = threading.Lock()

    def enter(self, limit: int) -> int:
        """Count one more, unless there are ``limit`` already, and return the number, else 0."""
        with self.lock:
            if self.active >= limit:
                return 0
            self.active += 1
            return self.active

    def leave(self) -> bool:
        """Count one less, and tell whether that was the last."""
        with self.lock:
            self.active -= 1
            return not self.active


class _Workers:
    """Threads that share a queue, started when they are needed."""

    def __init__(self, name: str, home: t.Any) -> None:
        self.name = name
        self.home = home
        self.queue: t.Any = Queue()
        self.threads: list[threading.Thread] = []
        self.working: _Load = _Load()
        weakref.finalize(self, _left.append, (self.queue, self.threads)).atexit = False

    def start_thread(self) -> None:
        name = f"{self.name}-{len(self.threads)}"
        args = (self.queue, self.working.leave)
        thread = threading.Thread(target=_work, args=args, name=name, daemon=True)
        self.working.enter(sys.maxsize)
        self.threads.append(thread)
        thread.start()


class Lane(_Workers):
    """One thread that runs the plain functions of async requests, and never a view."""

    def __init__(self, home: t.Any) -> None:
        super().__init__("aioflask-lane", home)
        self.requests = 0
        self.start_thread()


class Pool(_Workers):
    """The worker threads of an app on one loop: at most ``size`` busy, ``queue_size`` waiting.

    ``busy`` and ``queued`` are gauges. Every method belongs to the loop's thread.
    """

    def __init__(self, size: int, queue_size: int, purpose: str = "worker") -> None:
        _end_threads_left()
        super().__init__(f"aioflask-{purpose}", home_here())
        self.purpose = purpose
        self.size: int = max(1, size)
        self.queue_size: int = max(0, queue_size)
        self.load: _Load = _Load()
        self.lanes: list[Lane] = []

    @property
    def busy(self) -> int:
        """How many threads are working."""
        return min(self.load.active, self.size)

    @property
    def queued(self) -> int:
        """How many jobs wait for a thread."""
        return max(0, self.load.active - self.size)

    def submit(self, job: Job) -> None:
        """Queue a job; :class:`PoolFull` if the queue is full, before anything has happened."""
        active = self.load.enter(self.size + self.queue_size)
        if not active:
            raise PoolFull
        job.load = self.load
        if active > len(self.threads) and len(self.threads) < self.size:
            self.start_thread()
        self.queue.put(job)

    def lane(self) -> Lane:
        """The lane for one more request: an idle one, a new one, or the least busy."""
        lane = min(self.lanes, key=lambda lane: lane.requests, default=None)
        if lane is None or (lane.requests and len(self.lanes) < self.size):
            lane = Lane(self.home)
            self.lanes.append(lane)
        elif sum(lane.requests for lane in self.lanes) >= self.size + self.queue_size:
            raise PoolFull
        lane.requests += 1
        return lane


def pool_in(pools: list[Pool], size: int, queue_size: int, purpose: str = "worker") -> Pool:
    """The pool of the running loop among ``pools``, made if there is none; others may be ended."""
    loop = _get_running_loop() or here()
    for pool in pools:
        if pool.home.loop is loop and pool.purpose == purpose:
            return pool
    pools[:] = [pool for pool in pools if not pool.home.is_closed]
    pool = Pool(size, queue_size, purpose)
    pools.append(pool)
    return pool


def pool_of(app: Flask, purpose: str = "worker") -> Pool:
    """The app's pool on the running loop: ``"worker"`` for views, ``"stream"`` for streams."""
    config = app.config
    return pool_in(app._pools, config["WORKER_THREADS"], config["WORKER_QUEUE"], purpose)


def worker_for(app: Flask | None) -> t.Any:
    """What takes a plain job: the thread that waits for what runs here, else the app's pool."""
    job = _waiting.get()
    if job is not None and job.waiting and job.replies is not None:
        return job
    if app is None:
        return None
    config = app.config
    return pool_in(app._pools, config["WORKER_THREADS"], config["WORKER_QUEUE"])


async def on_worker(worker: Pool | Job, work: t.Callable[[Job], T]) -> T:
    """Run ``work(job)`` there, and return its value; `PoolFull` as `Pool.submit`."""
    job = Job(worker.home, work)
    worker.submit(job)
    return await job.outcome()  # type: ignore[no-any-return]


async def run_sync(func: t.Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a plain, blocking function in a worker thread and return its value.

    For ``async def`` code that must call something that waits (a database driver, a file). The
    function sees the current context, ``request`` and ``g`` included. Outside of an app's
    context anyio's threads are used. ::

        rows = await run_sync(connection.execute, "SELECT ...")

    :raises PoolFull: a 503, when all of the app's threads are busy and its queue is full.
    """
    context = copy_context()
    ctx = _cv_app.get(None)
    call = functools.partial(context.run, func, *args, **kwargs)
    try:
        worker = worker_for(None if ctx is None else ctx.app)
        if worker is None:
            import anyio.to_thread

            return await anyio.to_thread.run_sync(t.cast("t.Callable[[], T]", call))
        return await on_worker(worker, lambda job: call())
    finally:
        _bring_back(context)


# --- plain code that needs the loop --------------------------------------------------------------


def _wait_for(crossing: Crossing) -> t.Any:
    """Have something awaited on the loop while this thread waits; for plain code."""
    context = crossing.context = copy_context()
    job = _thread.job
    try:
        if job is not None:
            return job.cross(crossing)
        ctx = _cv_app.get(None)
        call = _call(crossing.func, crossing.args)
        home = _home_of(ctx._loop) if ctx is not None and ctx._loop is not None else None
        if home is None:
            return background_loop().run(call, context)
        return _start(home, call, context).result()
    finally:
        _bring_back(context)


def _home_of(loop: t.Any) -> AsyncioHome | TrioHome | None:
    """How to reach a loop from a thread, if it still runs."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return AsyncioHome(loop) if loop.is_running() else None
    home = TrioHome(loop)
    return None if home.is_closed else home


async def _call(func: t.Callable[..., t.Any], args: t.Iterable[t.Any]) -> t.Any:
    return await func(*args)


def _start(home: t.Any, coro: t.Awaitable[T], context: Context) -> concurrent.futures.Future[T]:
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    home.spawn(functools.partial(_settle, future, coro), context)
    return future


async def _settle(future: concurrent.futures.Future[T], coro: t.Awaitable[T]) -> None:
    """Hand the outcome of a coroutine to a thread that waits for it."""
    try:
        future.set_result(await coro)
    except BaseException as error:
        future.set_exception(error)
        # The thread raises it. Only what the loop itself has to see goes on here.
        if not isinstance(error, (Exception, BaseExceptionGroup, KeyboardInterrupt, SystemExit)):
            raise
    finally:
        del future  # The traceback holds this frame.


def async_to_sync(func: t.Callable[P, t.Awaitable[T]]) -> t.Callable[P, T]:
    """Make a plain function of an ``async def`` one: it blocks this thread until it has run.

    It runs on the loop that serves the request, else on a background loop of the process.
    Changes to context variables come back.

    :raises RuntimeError: when called on an event loop's own thread, which would wait for itself.
    """

    @functools.wraps(func)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        name = getattr(func, "__name__", repr(func))
        if on_loop():
            raise RuntimeError(
                f"{name}() was called through async_to_sync on the event loop's thread, where it"
                f" would wait for itself for ever. In an 'async def' function write"
                f" 'await {name}(...)' instead."
            )
        return t.cast(T, _wait_for(Crossing(functools.partial(func, *args, **kwargs))))

    return call


def complete(coro: t.Coroutine[t.Any, t.Any, T]) -> t.Any:
    """On a loop's thread the coroutine itself, to be awaited; elsewhere its value."""
    return coro if on_loop() else step_in(t.cast(Context, _Here), coro, _Here)


class _Here:
    """What `step_in` needs of a context and of a job where it is called."""

    run: t.Any = staticmethod(lambda step, value: step(value))
    cross: t.Any = staticmethod(_wait_for)


# --- the loop of a process that has none --------------------------------------------------------


class LoopThread:
    """An event loop in a daemon thread: for the sync test client, WSGI servers and scripts."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.home: AsyncioHome = AsyncioHome(self.loop)
        self.thread: threading.Thread = threading.Thread(
            target=self._main, name="aioflask-loop", daemon=True
        )
        self.thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def start(
        self, coro: t.Coroutine[t.Any, t.Any, T], context: Context | None = None
    ) -> concurrent.futures.Future[T]:
        """Start a coroutine as a task, in ``context``, and return a future of its outcome."""
        if threading.current_thread() is self.thread:
            coro.close()
            raise RuntimeError(
                "The background loop was asked to wait for itself: plain code that runs on the"
                " event loop called something that waits for the loop. Await it instead."
            )
        return _start(self.home, coro, context or copy_context())

    def run(self, coro: t.Coroutine[t.Any, t.Any, T], context: Context | None = None) -> T:
        """Run a coroutine to its end and return its value, while this thread waits.

        :raises RuntimeError: on the background loop's own thread.
        """
        return self.start(coro, context).result()

    def serve(self, func: t.Callable[..., t.Awaitable[t.Any]], *args: t.Any) -> t.Any:
        """Await ``func(*args)`` as :meth:`run` does; this thread does its plain work meanwhile.

        A thread that runs a loop itself only waits.
        """
        if on_loop():
            return self.run(_call(func, args), copy_context())
        crossing = Crossing(func, *args)
        crossing.context = copy_context()
        job, outer = Job(self.home, t.cast(t.Any, None)), _thread.job
        self.home.spawn(job.outcome, copy_context())
        _thread.job = job
        try:
            return job.cross(crossing)
        finally:
            _thread.job = outer
            self.home.post(job.waiter, None)

    def stop(self) -> None:
        """Cancel what is running, and end the thread."""
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)


_background: LoopThread | None = None
_background_lock = threading.Lock()


def background_loop() -> LoopThread:
    """The process's background loop, started at the first call; stopped at exit."""
    global _background
    with _background_lock:
        if _background is None or not _background.thread.is_alive():
            _background = LoopThread()
            atexit.register(_background.stop)
        return _background


def _after_fork() -> None:
    global _background, _background_lock
    _background, _background_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
