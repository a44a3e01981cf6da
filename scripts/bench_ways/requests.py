"""The requests of the rows that ask for more than a view, and what makes an answer right."""

from __future__ import annotations

from typing import NamedTuple


class Way(NamedTuple):
    app: str
    """Which of a module's applications it is for."""
    path: str
    answer: bytes = b"Hello, Ada!"
    at_once: int = 1
    """How many requests are under way at the same time."""
    has_session: bool = False
    """Whether a cookie of /login goes with it."""
    is_wsgi: bool = False


WAYS = {
    "3 plain hooks, teardown; async view": Way("hooks", "/async"),
    "3 plain hooks, teardown; plain view": Way("hooks", "/plain"),
    "trusted hosts, session read; async view": Way("hosts", "/async", has_session=True),
    "trusted hosts, session read; plain view": Way("hosts", "/plain", has_session=True),
    "500 at once; async view": Way("bare", "/async", at_once=500),
    "500 at once; plain view": Way("bare", "/plain", at_once=500),
    "WSGI": Way("bare", "/plain", is_wsgi=True),
}
