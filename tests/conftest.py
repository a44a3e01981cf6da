"""What holds for every test: nothing it started or opened is left when it ends.

A test that leaves something on purpose is marked `@pytest.mark.leaky("the reason")`. A test marked
`@pytest.mark.responsive` fails if its event loop was blocked for half a second or more.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aioflask.globals import _cv_app

BLOCKED_SECONDS = 0.5
# Threads that live on by design: ours, which are reused, and trio's cache, which goes when idle.
LASTING_THREADS = ("aioflask-", "Trio thread")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio; those in flow/ on trio as well."""
    return "asyncio"


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> None:
    """Leave the tests themselves and what pytest keeps of those before out of garbage collections.

    A full one took up to 0.7 s otherwise, in which the loop of a test stood still.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let the garbage collector see everything again: Hypothesis, loaded late, asks it."""
    gc.unfreeze()


def open_files() -> set[str]:
    """The regular files this process has open; sockets announce themselves by ResourceWarnings."""
    found = set()
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            target = os.readlink(entry)
        except OSError:  # the descriptor that listed the folder
            continue
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/")):
            found.add(target)
    return found


def new_threads(before: set[threading.Thread]) -> list[str]:
    now = (thread for thread in threading.enumerate() if thread not in before)
    return [thread.name for thread in now if not thread.name.startswith(LASTING_THREADS)]


def settled(leaks: Callable[[], Any], seconds: float = 1.0) -> Any:
    """What `leaks()` still finds after a moment: threads and handles may be on their way out."""
    deadline = time.monotonic() + seconds
    while (found := leaks()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    return found


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    threads, files, context = set(threading.enumerate()), open_files(), _cv_app.get(None)
    yield
    if request.node.get_closest_marker("leaky"):
        return
    left = _cv_app.get(None)
    assert left is context, f"the test left a context pushed: {left!r}"
    assert not (names := settled(lambda: new_threads(threads))), f"threads left running: {names}"
    assert not (paths := settled(lambda: open_files() - files)), f"files left open: {paths}"


async def without_leaks(test: Coroutine[Any, Any, None]) -> None:
    """Await an async test, then look for tasks and contexts it left on its loop."""
    try:
        before = asyncio.all_tasks()
    except RuntimeError:  # no asyncio loop runs: on trio, a task cannot outlive its nursery
        return await test
    await test
    for _ in range(100):  # a cancelled task needs a few turns of the loop to end
        if not (left := asyncio.all_tasks() - before):
            break
        await asyncio.sleep(0.001)
    assert not left, f"tasks left running: {left}"
    assert _cv_app.get(None) is None, "the test left a context pushed"


async def while_responsive(test: Coroutine[Any, Any, None]) -> None:
    """Await an async test while a second task measures how late the loop wakes it."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            start = time.monotonic()
            await anyio.sleep(0.02)
            worst = max(worst, time.monotonic() - start - 0.02)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await anyio.sleep(0.001)  # the watch is under way before the test
        await test
        await anyio.sleep(0.03)  # lets the watch see a block that came last
        group.cancel_scope.cancel()
    assert worst < BLOCKED_SECONDS, f"the event loop was blocked for {worst:.2f} s"


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Put the checks above around async tests; around hypothesis's own wrapper nothing goes."""
    test = pyfuncitem.obj
    if inspect.iscoroutinefunction(test) and not hasattr(test, "hypothesis"):
        leaky = pyfuncitem.get_closest_marker("leaky")
        responsive = pyfuncitem.get_closest_marker("responsive")

        @functools.wraps(test)
        async def checked(**kwargs: Any) -> None:
            coro = test(**kwargs)
            coro = while_responsive(coro) if responsive else coro
            await (coro if leaky else without_leaks(coro))

        pyfuncitem.obj = checked
    return (yield)
