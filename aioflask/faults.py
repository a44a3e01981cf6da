"""Clients that misbehave, for tests: bodies that come in odd pieces, slowly, or not to their end.

Bodies for the async client::

    await client.post("/upload", content=chunked(data, 1, 5, 1000))
    await client.post("/upload", content=slow(data, delay=0.1))
    await client.post("/upload", content=cut_off(data, after=500))

One that never reads is ``client.stream(...)`` whose response is not read: the application is held
back when it is 16 pieces ahead.
"""

from __future__ import annotations

import typing as t

import anyio

from .exchange import BodyCutOff, Exchange

if t.TYPE_CHECKING:
    import httpx


async def chunked(data: bytes, *sizes: int) -> t.AsyncGenerator[bytes, None]:
    """The data in pieces of these sizes in bytes, in turn; the last size goes on to the end.

    :raises ValueError: without a size, or with one below 1.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"chunked(data, {sizes}): give at least one size, of 1 byte or more.")
    start = number = 0
    while start < len(data):
        size = sizes[min(number, len(sizes) - 1)]
        yield data[start : start + size]
        start, number = start + size, number + 1


async def slow(
    data: bytes, *, delay: float = 0.05, size: int = 1024
) -> t.AsyncGenerator[bytes, None]:
    """The data in pieces of ``size`` bytes, with ``delay`` seconds before each."""
    async for piece in chunked(data, size):
        await anyio.sleep(delay)
        yield piece


async def cut_off(data: bytes, *, after: int, size: int = 65_536) -> t.AsyncGenerator[bytes, None]:
    """The first ``after`` bytes of the data, in pieces of ``size`` bytes; then the client is gone.

    What the application answers all the same is the response.
    """
    if after:
        async for piece in chunked(data[:after], size):
            yield piece
    raise BodyCutOff(f"The client has gone after {after} bytes, as cut_off() was told.")


async def leave_after(response: httpx.Response, size: int) -> bytes:
    """Read at least ``size`` bytes of a response of ``client.stream(...)``, then disconnect. ::

        async with client.stream("GET", "/log") as response:
            first = await leave_after(response, 1000)

    Returns what was read, which is less if the response ended.
    """
    exchange: Exchange = response.extensions["aioflask.exchange"]
    data = b""
    while len(data) < size and (pieces := await exchange.more()):
        data += b"".join(pieces)
    await response.aclose()
    return data
