"""What is kept because of a client has a bound, and output is whole, however odd the value."""

from __future__ import annotations

from typing import Any

import pytest

from aioflask import Flask, headers, walk
from tests.hardening.door import Door, joined


def test_no_cache_grows_with_what_clients_send(door: Door) -> None:
    app = door.app
    sizes: list[tuple[int, ...]] = []
    for turn in range(3):
        for number in range(700):
            name = f"n{turn}-{number}"
            door.ask(
                f"/text/{name}",
                headers=[(f"x-{name}".encode(), b"1"), (b"content-type", f"text/{name}".encode())],
                host=f"{name}.example".encode(),
                query=f"name=X-{name}&value={name}".encode(),
            )
            door.ask("/async/header", query=f"name=X-{name}&value={name}".encode())
            door.ask(f"/{name}", method=f"M{number}")
        sizes.append((
            len(walk._valid_hosts), len(headers.sendable), headers.field_name.cache_info().currsize,
            headers.content_type_of.cache_info().currsize,
            headers.known_field.cache_info().currsize, len(app._plans), len(app._pools),
        ))  # fmt: skip
    assert sizes[0][2:] == sizes[1][2:] == sizes[2][2:]
    assert max(size for each in sizes for size in each) <= 500
    assert door.ask().status == 200
    assert b"example.org" in walk._valid_hosts  # The app's own host is known again.


@pytest.mark.parametrize("colour", ["plain", "async"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: {"x": "\ud800"}, lambda: {"\udc00": 1}, lambda: ["\ud800\udc00"], lambda: {"x": "\x00\x7f\u2028"},
        *(lambda depth=depth: nested(depth) for depth in (100, 250, 500, 900, 950, 990, 1000, 3000, 50_000)),
        lambda: {"x": float("nan")}, lambda: {"x": float("inf")}, lambda: {"x": 10**400}, lambda: [2**63, -(2**70)],
        lambda: {1: 2, "1": 3}, lambda: {"x": object()}, lambda: {"x": {1, 2}}, lambda: {("a",): 1},
    ],
)  # fmt: skip
def test_json_goes_out_whole_or_is_a_500(colour: str, make: Any) -> None:
    app = Flask("hardening_json")
    app.logger.disabled = True
    app.add_url_rule("/", view_func=make if colour == "plain" else coroutine_of(make))
    answer = app.test_client().get("/")
    assert answer.status_code in (200, 500)
    assert answer.data
    if answer.status_code == 200:
        assert answer.data.decode().strip()[0] in "[{"
    assert app.test_client().get("/nowhere").status_code == 404


def nested(depth: int) -> Any:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return {"x": value}


def coroutine_of(make: Any) -> Any:
    async def view() -> Any:
        return make()

    return view


def test_the_door_sees_what_is_broken() -> None:
    """The checks that all of these tests stand on can fail."""
    start = {"type": "http.response.start", "status": 200, "headers": []}
    end = {"type": "http.response.body", "body": b"x"}
    assert joined([start, end]) == b"x"
    for sent in (
        [end],
        [start],
        [start, start, end],
        [start, end, end],
        [start, {**end, "more_body": True}],
    ):
        with pytest.raises(AssertionError):
            joined(sent)
