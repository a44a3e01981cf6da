"""Hypothesis strategies for whole requests: methods, targets, headers, bodies and how they are cut."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.hardening.test_bodies import END, FIELD, FILE, part
from tests.hardening.test_urls_and_files import NONSENSE, PARSED

VIEWS = (
    "echo", "json", "form", "raw", "go", "read", "conditional", "remember", "stream", "give_up", "file",
)  # fmt: skip
PATHS = [f"/{colour}/{view}" for colour in ("plain", "async") for view in VIEWS]
PATHS += ["/folder", "/folder/", "/folder/a", "/static/a.txt", "/static/sub", "/int/7", "/float/1.5",
          "/text/a", "/path/a/b", "/methods", "/nowhere", "/", ""]  # fmt: skip

text = st.text(max_size=12)
small = st.binary(max_size=40)

paths = st.one_of(
    st.sampled_from(PATHS),
    st.tuples(st.sampled_from(PATHS), text).map("".join),
    text,
)
names = st.sampled_from(
    [*PARSED, b"x-a", b"x_user", b"host", b"transfer-encoding"]
) | st.from_regex(rb"[a-z0-9-]{1,12}", fullmatch=True)
fields = st.lists(st.tuples(names, st.sampled_from(NONSENSE) | small), max_size=5)
kinds = st.sampled_from([
    b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=b",
    b"multipart/form-data", b"text/plain", b"", b"application/octet-stream", b"\xff",
])  # fmt: skip
bodies = st.one_of(
    st.just(b""), small, st.binary(max_size=2000),
    st.lists(st.builds(part, st.sampled_from([FIELD, FILE]) | small, small), max_size=4).map(
        lambda parts: b"".join(parts) + END
    ),
    st.lists(st.tuples(small, small), max_size=5).map(lambda pairs: b"&".join(b"=".join(each) for each in pairs)),
    st.sampled_from([b'{"a": [1, 2.5, null, "x"]}', b"[" * 2000, b'"\\ud800"', b"NaN"]),
)  # fmt: skip


@st.composite
def requests(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `Door.send`."""
    headers = draw(fields)
    if draw(st.booleans()):
        headers.append((b"content-type", draw(kinds)))
    body: Any = draw(bodies)
    if draw(st.booleans()):
        size = draw(st.integers(1, 50))
        body = [body[at : at + size] for at in range(0, len(body), size)]
    method = draw(st.sampled_from(["GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "FOO", "\xff"]))
    options = {
        "query": draw(small),
        "host": draw(st.sampled_from([b"example.org", b"example.org:80", None, b""]) | small),
        "version": draw(st.sampled_from(["1.1", "1.1", "1.0", "2", "3"])),
        "cut_off": draw(st.sampled_from([False, False, False, True])),
    }
    return (draw(paths), method, headers, body), options
