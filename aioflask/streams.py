"""Response bodies that are produced while they are sent, by plain and by async iterables.

A plain iterable is iterated by one thread from its first item to its ``close()``, in one context;
a bounded buffer lies between the thread and the loop, so that neither waits for every chunk.
"""

from __future__ import annotations

import asyncio
import sys
import types
import typing as t
from collections import deque
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from time import monotonic

from werkzeug.wsgi import FileWrapper

from .aside import Aside
from .concurrency import Crossing, InContext, Job, PoolFull, StreamsFull, _shielded, pool_of
from .wakeups import GRACE, Interruptible

if t.TYPE_CHECKING:
    from .ctx import AppContext
    from .wrappers import Response

BUFFER = 16
"""Chunks that a plain iterable may be ahead of the client."""

FILE_PIECE, FILES_AHEAD = 1 << 18, 2
"""Bytes that are read of a file at once, in place of 8 KiB; and how many such pieces ahead."""


TOGETHER, HELD_FOR = 1 << 16, 0.005
"""Bytes and seconds after which chunks that come without a wait are not held for the next; after so
many seconds the loop has a turn, too."""


Put = t.Callable[[t.Any], bool]
"""Hands over one chunk, and tells whether somebody still wants more."""


class ThreadStream(Job):
    """An async iterator over what ``produce(put)`` puts on a thread, in ``context``."""

    __slots__ = ("_asked", "_buffer", "_finished", "_room", "is_wanted")
    error: BaseException | None

    def __init__(
        self, home: t.Any, context: Context, produce: t.Callable[[Put], None], ahead: int = BUFFER
    ) -> None:
        super().__init__(home, lambda job: context.run(produce, self.put))
        self._buffer: deque[t.Any] = deque()
        self.waiter: t.Any = home.waiter(cancellable=True)
        # PERF: a semaphore, but in C.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(ahead):
            self._room.put(None)
        self._asked: Crossing | None = None
        self._finished = False
        self.is_wanted: bool = True
        """Whether somebody still waits for chunks."""

    # --- on the thread

    def run(self) -> None:
        """Produce; called by the thread."""
        super().run()
        self._finished = True
        self.home.post(self.waiter, None)

    def ask(self, crossing: Crossing) -> None:
        """As :meth:`Job.ask`; the consumer looks for the crossing whenever it comes by."""
        self._asked = crossing
        super().ask(crossing)

    def put(self, chunk: t.Any) -> bool:
        """Hand over a chunk when there is room; False if nobody wants it. Called by the thread."""
        if self.is_wanted:
            self._room.get()
        if not self.is_wanted:
            return False
        self._buffer.append(chunk)
        self.home.post(self.waiter, None)
        return True

    # --- on the loop

    def __aiter__(self) -> ThreadStream:
        return self

    async def __anext__(self) -> t.Any:
        while True:
            if self._buffer:
                self._room.put(None)
                return self._buffer.popleft()
            if self._finished:
                if self.error is not None:
                    try:
                        raise self.error
                    finally:
                        self.error = None  # Its traceback holds this frame.
                raise StopAsyncIteration
            await self._pause()

    async def _pause(self) -> None:
        """Wait until the thread has something, or await what it asks for."""
        waiter = self.waiter
        try:
            if not (self._buffer or self._finished or self._asked):
                await waiter
        finally:  # Also where this was cancelled: the drain that follows waits for the thread.
            # What the thread posted from here on finds the new waiter; what it did before, we see.
            self.waiter = self.home.waiter(cancellable=True)
        if self._asked is not None:
            crossing, self._asked = self._asked, None
            if await self._serve(crossing, cancelled=False) and self.is_wanted:
                raise asyncio.CancelledError

    async def aclose(self) -> None:
        """Stop the thread at its next chunk. It closes the iterable, in the iterable's context."""
        self.is_wanted = False
        self._room.put(None)
        if self._asked is not None:
            crossing, self._asked = self._asked, None
            await self._serve(crossing, cancelled=True)
        if not self._finished:
            await _shielded(self._drain())

    async def _drain(self) -> None:
        # What the iterable's `finally` asks of the loop is still done.
        while not self._finished:
            self._buffer.clear()
            await self._pause()


class Watch:
    """Waits for a connection's ``http.disconnect``, beside the task that handles the request."""

    _timer: asyncio.TimerHandle | None = None
    _aside: Aside | None = None
    _begun = False

    def __init__(self, receive: t.Any, tell: t.Callable[[], None]) -> None:
        self._receive = receive
        self._tell = tell

    def start(self, delay: float = 0.0, loop: t.Any = None) -> None:
        """Begin to wait once the body has been read, after ``delay`` seconds of ``loop``."""
        if self._begun:
            return
        self._begun = True
        if hasattr(loop, "call_later"):  # PERF: most streams end before a task is needed.
            self._timer = loop.call_later(delay, self._begin)
        else:
            self._begin(delay)

    def _begin(self, delay: float = 0.0) -> None:
        self._aside = Aside(partial(self._wait, delay))

    async def _wait(self, delay: float) -> None:
        if delay:
            await sys.modules["trio"].sleep(delay)
        # The end of a body that nobody asked for may come first. Who says it again, and does not
        # wait for the disconnect, would keep the loop busy.
        ends = 0
        while ends < 2:
            message = await self._receive()
            if message["type"] in ("http.disconnect", "websocket.disconnect"):
                return self._tell()
            ends += not message.get("more_body", False)

    def stop(self) -> None:
        """Wait no longer."""
        self._begun = True
        self._tell = _nobody  # Who was to be told holds this watch.
        if self._timer is not None:
            self._timer.cancel()
        if self._aside is not None:
            self._aside.stop()


def _nobody() -> None:
    """Who is told nothing."""


WATCH_AFTER = 0.1
"""Seconds after which a stream's client is watched: most streams have ended by then."""


class StreamInContext:
    """An async iterator of chunks, every step of which is taken in the request's own context."""

    def __init__(self, iterator: t.Any, context: Context) -> None:
        self._iterator = iterator
        self._context = context

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> t.Any:
        return await InContext(self._context, self._iterator.__anext__)

    async def aclose(self) -> None:
        """Close it."""
        if hasattr(self._iterator, "aclose"):
            await InContext(self._context, self._iterator.aclose)


def as_bytes(chunk: t.Any) -> bytes:
    """A chunk as ASGI sends it.

    :raises TypeError: for what is neither text nor bytes.
    """
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(chunk)
    raise TypeError(
        f"A stream's chunks are str or bytes, but this one gave {chunk!r}, of type"
        f" {type(chunk).__name__}. Write 'yield str(value)'."
    )


def as_chunks(ctx: AppContext, body: t.Any, close: t.Callable[[], t.Any]) -> t.Any:
    """An async iterator over a body of either colour.

    ``close`` is called at the end, on the thread, where the body is a plain iterable.

    :raises StreamsFull: a 503, when all threads for streams are busy and their queue is full.
    """
    if hasattr(body, "__aiter__"):
        iterator = body.__aiter__()
        return iterator if ctx._context is None else StreamInContext(iterator, ctx._context)
    pool = pool_of(ctx.app, "stream")

    def produce(put: Put) -> None:
        try:
            if stream.is_wanted:
                for chunk in body:
                    if not put(chunk):
                        break
        finally:
            close()

    file, ahead = getattr(body, "iterable", body), BUFFER  # What a range is of.
    if type(file) is FileWrapper and file.buffer_size == 8192:
        file.buffer_size, ahead = FILE_PIECE, FILES_AHEAD
    stream = ThreadStream(pool.home, ctx._context or copy_context(), produce, ahead)
    try:
        pool.submit(stream)
    except PoolFull:
        raise StreamsFull from None
    return stream


async def send_stream(
    ctx: AppContext, response: Response, body: t.Any, close: t.Any, start: t.Any, send: t.Any
) -> None:
    """Send what a body gives until it ends, its client goes, or the server has waited for it."""
    try:
        chunks = as_chunks(ctx, body, close)
    except StreamsFull:
        await response._close(ctx)
        raise
    is_async, around = not isinstance(chunks, ThreadStream), response._around
    send, block = (send, None) if around is None else around.begin(send)
    held: list[bytes] = []
    # PERF: most of a stream's price is its messages, so what comes without a wait is sent together;
    # and one that never waits needs nothing that could break it off. On trio the next wait would
    # begin within another, and a scope cannot be entered later.
    by_hand = around is None and hasattr(ctx._loop, "call_later")
    sending = _send_chunks(chunks, is_async, send, start, held, by_hand)
    try:
        if by_hand:
            sending = _go_on(sending, sending.send(None), held, send)
        complete = await _send_in_block(ctx, sending, around, block)
    except StopIteration as stop:  # It has not waited.
        complete = stop.value
    except Exception:
        await _end(ctx, response, chunks, is_async)
        raise
    except BaseException:  # The task was cancelled. What the generator closes must not be.
        from anyio import move_on_after

        with move_on_after(GRACE, shield=True):
            await _end(ctx, response, chunks, is_async)
        raise
    await _end(ctx, response, chunks, is_async)
    if complete:
        await _send_held([b""], send, more=False)


async def _send_in_block(
    ctx: AppContext, sending: t.Awaitable[bool], around: t.Any, block: t.Any
) -> bool:
    """Send until the client goes, or the server has waited; True if the end is to be sent.

    Since ASGI 2.4 a server tells by an `OSError` of ``send`` that the client is gone; an older one
    stays silent, and a generator that waits for its next chunk learns of it by neither. So a long
    stream is watched, once the request's body is read, and broken off when the client goes.
    Source: https://asgi.readthedocs.io/en/latest/specs/www.html#disconnected-client-send-exception
    """
    complete, is_open = around is not None, ctx.app._open  # Events may end at any of them.
    block = block or Interruptible(ctx._loop)
    watch = Watch(ctx._request._receive, block.interrupt)
    if ctx._request._body.complete:
        watch.start(WATCH_AFTER, block.loop)
    is_open.add(block)
    try:
        async with block:
            complete = await sending
    finally:
        is_open.discard(block)
        watch.stop()
        if around is not None:
            around.end()
    return complete


@types.coroutine
def _go_on(
    coro: t.Any, asked: t.Any, held: list[bytes], send: t.Any
) -> t.Generator[t.Any, t.Any, bool]:
    """Await a coroutine that was begun by hand, and send what is held whenever it waits."""
    while True:
        try:
            if held:  # If nobody is there, the next chunk, or the watch, will tell.
                yield from _send_held(held, send).__await__()
            step, value = coro.send, (yield asked)
        except BaseException as error:
            step, value = coro.throw, error
        try:
            asked = step(value)
        except StopIteration as stop:
            return t.cast(bool, stop.value)


async def _send_chunks(
    chunks: t.Any, is_async: bool, send: t.Any, start: t.Any, held: list[bytes], holds: bool
) -> bool:
    # COMPAT: as in WSGI, a generator that fails at once is a 500. An async one may wait for its
    # first event; the client must not, and is told the status now.
    first = b"" if is_async else as_bytes(await anext(chunks, b""))
    try:
        await send(start)
    except OSError:
        return False
    if first and not await _send_held([first], send):
        return False
    exact, clock, size, due = bytes, monotonic, 0, 0.0  # PERF: what is local is faster.
    try:
        async for chunk in chunks:
            if type(chunk) is not exact:
                chunk = as_bytes(chunk)
            if chunk:
                size = size + len(chunk) if held else len(chunk)
                held.append(chunk)
                now = clock()
                if now >= due or size >= TOGETHER or not holds:
                    if not await _send_held(held, send):
                        return False
                    if now >= due:
                        if due and holds:  # Others wait for the loop, and so does the watch.
                            await asyncio.sleep(0)
                        due = clock() + HELD_FOR
    except Exception:
        if held:
            await _send_held(held, send)
        raise
    return not held or await _send_held(held, send)


async def _send_held(held: list[bytes], send: t.Any, more: bool = True) -> bool:
    """Send what is held; False if nobody is there."""
    body = held[0] if len(held) == 1 else b"".join(held)
    held.clear()
    try:
        await send({"type": "http.response.body", "body": body, "more_body": more})
    except OSError:
        return False
    return True


async def _end(ctx: AppContext, response: Response, chunks: t.Any, is_async: bool) -> None:
    if hasattr(chunks, "aclose"):
        await chunks.aclose()
    if is_async:
        await response._close(ctx, chunks)
