"""Waking a task from a thread, and a thread from a task, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import functools
import os
import select
import sys
import typing as t
from asyncio import _get_running_loop
from collections import deque
from contextvars import Context
from queue import SimpleQueue
from threading import get_ident, main_thread

# --- waking a task from a thread ---------------------------------------------------------------


class _Waiter(asyncio.Future[t.Any]):
    """A future whose task learns of its cancellation only when the thread has answered.

    The thread is inside the request's context until then; a task that went on earlier would
    meet it there.
    """

    cancel_requested = False

    def cancel(self, msg: t.Any = None) -> bool:
        self.cancel_requested = True
        return True


class AsyncioHome:
    """Where the threads of a pool answer: tasks of an asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.posts: deque[tuple[t.Any, t.Any]] = deque()
        self.scheduled: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether nobody can be woken there any more."""
        return self.loop.is_closed()

    def waiter(self, cancellable: bool = False) -> t.Any:
        """What a task awaits until it is posted to."""
        return self.loop.create_future() if cancellable else _Waiter(loop=self.loop)

    def post(self, waiter: t.Any, message: t.Any) -> bool:
        """Wake the task that awaits ``waiter``, from any thread; False if the loop is closed."""
        # PERF: waking a loop is a system call. Answers that come before it has woken share it.
        self.posts.append((waiter, message))
        if not self.scheduled:
            self.scheduled = True
            try:
                self.loop.call_soon_threadsafe(self.deliver)
            except RuntimeError:
                self.posts.clear()
        return not self.loop.is_closed()

    def deliver(self) -> None:
        """Wake the tasks that were posted to; called on the loop."""
        self.scheduled = False
        posts = self.posts
        while posts:
            waiter, message = posts.popleft()
            if not waiter.done():
                waiter.set_result(message)

    async def raise_cancelled(self) -> None:
        """Let the current task learn of the cancellation that was put off."""
        raise asyncio.CancelledError

    def spawn(self, start: t.Callable[[], t.Any], context: Context) -> None:
        """Start a task, from any thread."""
        tasks: set[asyncio.Task[t.Any]] = set()

        def create() -> None:
            task = self.loop.create_task(start(), context=context)
            tasks.add(task)  # The loop holds tasks weakly.
            task.add_done_callback(tasks.discard)

        self.loop.call_soon_threadsafe(create)


class _TrioWaiter:
    """As `_Waiter`, for a task of trio's."""

    cancel_requested = False

    def __init__(self, cancellable: bool) -> None:
        self.cancellable = cancellable
        self.task: t.Any = None
        self.messages: list[t.Any] = []

    def set_result(self, message: t.Any) -> None:
        self.messages.append(message)
        task, self.task = self.task, None
        if task is not None:
            sys.modules["trio"].lowlevel.reschedule(task)

    def __await__(self) -> t.Generator[t.Any, t.Any, t.Any]:
        lowlevel = sys.modules["trio"].lowlevel

        def abort(_: t.Any) -> t.Any:
            if not self.cancellable:
                self.cancel_requested = True
                return lowlevel.Abort.FAILED
            self.task = None
            return lowlevel.Abort.SUCCEEDED

        if not self.messages:
            self.task = lowlevel.current_task()
            yield from lowlevel.wait_task_rescheduled(abort).__await__()
        return self.messages[0]


class TrioHome:
    """Where the threads of a pool answer: tasks of a trio run."""

    def __init__(self, token: t.Any) -> None:
        self.loop = token

    @property
    def is_closed(self) -> bool:
        """Whether the run has ended."""
        return not self.call_soon(int)

    def waiter(self, cancellable: bool = False) -> t.Any:
        """What a task awaits until it is posted to."""
        return _TrioWaiter(cancellable)

    def post(self, waiter: t.Any, message: t.Any) -> bool:
        """Wake the task that awaits ``waiter``, from any thread; False if the run has ended."""
        return self.call_soon(waiter.set_result, message)

    def call_soon(self, func: t.Callable[..., t.Any], *args: t.Any) -> bool:
        """Call a function on the run's thread; False if the run has ended."""
        try:
            self.loop.run_sync_soon(func, *args)
        except sys.modules["trio"].RunFinishedError:
            return False
        return True

    async def raise_cancelled(self) -> None:
        """Let the current task learn of the cancellation that was put off."""
        await sys.modules["trio"].lowlevel.checkpoint_if_cancelled()

    def spawn(self, start: t.Callable[[], t.Any], context: Context) -> None:
        """Start a task, from any thread."""
        spawn = sys.modules["trio"].lowlevel.spawn_system_task
        self.call_soon(functools.partial(spawn, start, context=context))


def here() -> t.Any:
    """The running asyncio loop, or trio's token."""
    loop = _get_running_loop()
    return loop if loop is not None else sys.modules["trio"].lowlevel.current_trio_token()


def home_here() -> AsyncioHome | TrioHome:
    """How to reach the tasks of the running loop."""
    loop = _get_running_loop()
    return AsyncioHome(loop) if loop is not None else TrioHome(here())


class Event:
    """As `asyncio.Event`, but it may be set from any thread and waited for on any loop."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: set[tuple[t.Any, t.Any]] = set()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._is_set

    async def wait(self) -> None:
        """Wait until it happens; on asyncio or trio."""
        if self._is_set:
            return
        home = home_here()
        entry = home, home.waiter(cancellable=True)
        self._waiting.add(entry)
        try:
            if not self._is_set:
                await entry[1]
        finally:
            self._waiting.discard(entry)

    def set(self) -> None:
        """Wake everyone who waits; from any thread, or from a signal's handler."""
        self._is_set = True
        for home, waiter in list(self._waiting):
            home.post(waiter, None)

    def clear(self) -> None:
        """Begin anew."""
        self._is_set = False


# --- breaking off ------------------------------------------------------------------------------


GRACE = 10.0
"""Seconds that what is broken off may take to clean up, before it is broken off again."""


class Interruptible:
    """A block whose awaiting others can break off; what follows the block goes on. ::

        async with block:  # Elsewhere: block.interrupt()
            await forever()

    On asyncio a ``finally`` in the block may await, for `GRACE` seconds; on trio it has to shield
    what it awaits. PERF: a third of the price of anyio's cancel scope.
    """

    __slots__ = ("_again", "_cancels", "_scope", "_task", "interrupted", "loop")

    def __init__(self, loop: t.Any = None) -> None:
        self.interrupted: bool = False
        self._cancels = 0
        self._again: asyncio.TimerHandle | None = None
        self.loop: t.Any = loop or here()
        self._task: asyncio.Task[t.Any] | None = None
        self._scope: t.Any = None

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task(self.loop)
        if self._task is None and not isinstance(self.loop, asyncio.AbstractEventLoop):
            self._scope = sys.modules["trio"].CancelScope()
            self._scope.__enter__()

    async def go_away(self) -> None:
        """Say goodbye, where there is a way to, before the block is broken off."""

    def interrupt(self) -> None:
        """Break the block off, once; called on its loop."""
        if not self.interrupted:
            self.interrupted = True
            if self._scope is not None:
                self._scope.cancel()
            else:
                self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._cancels += 1
            self._task.cancel()
            self._again = self.loop.call_later(GRACE, self._cancel)

    async def __aexit__(self, kind: t.Any, error: BaseException | None, traceback: t.Any) -> bool:
        if self._scope is not None:
            return bool(self._scope.__exit__(type(error), error, None))
        task, self._task = self._task, None
        if self._again is not None:
            self._again.cancel()
        if task is None or not self.interrupted:
            self.interrupted = True  # From here on an interruption comes too late.
            return False
        if error is None:  # It came when the block was done; nobody else may be hit by it.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as late:
                error = late
        for _ in range(self._cancels):
            task.uncancel()
        return not task.cancelling() and isinstance(error, asyncio.CancelledError)


# --- waking a thread --------------------------------------------------------------------------


_MAIN = main_thread().ident
"""The thread that signals interrupt, Ctrl+C's among them."""


class EventQueue:
    """A queue whose threads wait in ``read`` on an eventfd (Linux).

    PERF: a hop there and back takes 9 us, against 20 with the lock of `queue.SimpleQueue`.
    """

    def __init__(self) -> None:
        self._items: deque[t.Any] = deque()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)

    def put(self, item: t.Any) -> None:
        """Add an item, and wake one thread."""
        self._items.append(item)
        os.eventfd_write(self._fd, 1)

    def get(self) -> t.Any:
        """The next item, waited for."""
        while True:
            try:
                if get_ident() == _MAIN:
                    # A signal that comes right before the wait does not interrupt it.
                    waiting = select.poll()
                    waiting.register(self._fd, select.POLLIN)
                    while not waiting.poll(100):
                        pass
                os.eventfd_read(self._fd)
                return self._items.popleft()
            except (InterruptedError, IndexError):
                # A signal, after which this call is not repeated for us as others are; or a
                # forked process, which shares the eventfd, and put something into its own copy.
                continue

    def close(self) -> None:
        """Give the file descriptor back."""
        os.close(self._fd)


class LockQueue(SimpleQueue[t.Any]):
    """The same where there is no eventfd."""

    def close(self) -> None:
        """Nothing is held."""


Queue: type[EventQueue | LockQueue] = EventQueue if hasattr(os, "eventfd") else LockQueue
