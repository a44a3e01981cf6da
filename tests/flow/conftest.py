"""Whole requests run on both event loops, by both doors, for views of both colours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.flow.doors import ALL, FEW, Flow


@pytest.fixture(params=["asyncio", "trio"], scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def portals() -> Iterator[dict[str, BlockingPortal]]:
    """An event loop of each kind, in a thread of its own."""
    with ExitStack() as stack:
        yield {
            loop: stack.enter_context(start_blocking_portal(loop)) for loop in ("asyncio", "trio")
        }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "flow" in metafunc.fixturenames:
        few = getattr(metafunc.function, "few_doors", False)
        metafunc.parametrize("flow", FEW if few else ALL, indirect=True, ids="-".join)


@pytest.fixture
def flow(request: pytest.FixtureRequest, portals: dict[str, BlockingPortal]) -> Flow:
    """An app for a test of whole requests: each runs for all doors and both colours of view."""
    door, colour = request.param
    return Flow(door, colour, portals)
