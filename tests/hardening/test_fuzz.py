"""Whole requests and the parsers that are ours, with what nobody would send.

A short run; `scripts/fuzz` is the long one.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import ImmutableMultiDict

from aioflask.body import fields_of
from aioflask.sse_client import EventParser
from tests.hardening.door import Door
from tests.hardening.requests import requests

SLOW = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whole_requests(made: Door, backend: str) -> None:
    """No 5xx, nothing out of the app, one start and one end, teardown as often as a start."""

    @SLOW
    @given(requests())
    def run(request: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        args, options = request
        # A view's own redirect to what is no URL, and an abort() with any code, are its mistakes.
        is_mistake = args[0].endswith(("/go", "/give_up"))
        made.ask(*args, **options, backend=backend, fails=is_mistake)
        assert made.begun == made.ended

    run()


@SLOW
@given(st.text(max_size=100))
def test_fields(text: str) -> None:
    values = fields_of(ImmutableMultiDict, text).listvalues()
    assert sum(map(len, values)) == len([piece for piece in text.split("&") if piece])


@SLOW
@given(st.text(alphabet="data:id revnt\r\n\ufeff \0é", max_size=80), st.integers(1, 20))
def test_events_are_the_same_however_they_are_cut(text: str, size: int) -> None:
    data = text.encode()

    def events(size: int) -> list[Any]:
        parser = EventParser()
        found = [
            each for at in range(0, len(data), size) for each in parser.feed(data[at : at + size])
        ]
        return [*found, *parser.feed(b"", True)]

    assert events(size) == events(len(data) or 1)
