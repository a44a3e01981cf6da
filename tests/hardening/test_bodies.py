"""Bodies: limits that count bytes, JSON, forms and multipart, whatever comes in."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hardening.door import Door

COLOURS = pytest.mark.parametrize("colour", ["plain", "async"])
JSON = [(b"content-type", b"application/json")]
URLENCODED = [(b"content-type", b"application/x-www-form-urlencoded")]
MULTIPART = [(b"content-type", b"multipart/form-data; boundary=b")]


def part(head: bytes, data: bytes = b"x") -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\n" + data + b"\r\n"


FIELD = b'Content-Disposition: form-data; name="a"'
FILE = b'Content-Disposition: form-data; name="f"; filename="f.bin"'
END = b"--b--\r\n"


# --- limits ----------------------------------------------------------------------------------------

KINDS: dict[str, Any] = {
    "raw": ("raw", [(b"content-type", b"application/octet-stream")], lambda n: b"x" * n),
    "json": ("json", JSON, lambda n: b'"' + b"x" * (n - 2) + b'"'),
    "form": ("form", URLENCODED, lambda n: b"a=" + b"x" * (n - 2)),
    "multipart": (
        "form", MULTIPART, lambda n: part(FIELD, b"x" * (n - len(part(FIELD, b"") + END))) + END,
    ),
    "file": (
        "form", MULTIPART, lambda n: part(FILE, b"x" * (n - len(part(FILE, b"") + END))) + END,
    ),
}  # fmt: skip


@COLOURS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [200, 70_000])
def test_exactly_the_limit_passes_and_a_byte_more_is_a_413(
    door: Door, colour: str, kind: str, announced: bool, size: int
) -> None:
    view, headers, make = KINDS[kind]
    door.app.config["MAX_CONTENT_LENGTH"] = size
    for over in (0, 1, 1000):
        body: Any = make(size + over)
        assert len(body) == size + over
        if not announced:
            body = [body[at : at + 7000] for at in range(0, len(body), 7000)]
        answer = door.ask(f"/{colour}/{view}", "POST", headers, body)
        assert answer.status == (413 if over else 200), answer.body
        if over:
            assert "MAX_CONTENT_LENGTH" in answer.text


@COLOURS
def test_an_announced_length_is_refused_at_once(door: Door, colour: str) -> None:
    """So without asking for the body, which is what makes a server send 100 Continue."""
    door.app.config["MAX_CONTENT_LENGTH"] = 10
    headers = [(b"content-length", b"11"), (b"expect", b"100-continue")]
    for view in ("raw", "json", "form"):
        answer = door.ask(f"/{colour}/{view}", "POST", [*headers, *JSON], b"", cut_off=True)
        assert answer.status in (413, 415), answer.body


@COLOURS
def test_zeros_in_front_of_a_length_are_none_of_it(door: Door, colour: str) -> None:
    headers = [(b"content-length", b"0" * 30 + b"4")]
    answer = door.ask(f"/{colour}/raw", "POST", headers, b"body")
    assert json.loads(answer.body) == {"bytes": 4}


@COLOURS
@pytest.mark.parametrize(("view", "headers"), [("raw", []), ("json", JSON), ("form", URLENCODED),
                                               ("form", MULTIPART)])  # fmt: skip
def test_a_body_cut_short_is_no_answer_of_half_of_it(
    door: Door, colour: str, view: str, headers: Any
) -> None:
    for pieces in ([], [b"{"], [b'{"a":', b"1}"], [b"a=1"]):
        answer = door.ask(f"/{colour}/{view}", "POST", headers, pieces, cut_off=True)
        assert answer.status == 400


@COLOURS
@pytest.mark.parametrize(("view", "headers"), [("raw", []), ("json", JSON), ("form", URLENCODED)])
def test_a_body_shorter_than_its_length_is_one_cut_short(
    door: Door, colour: str, view: str, headers: Any
) -> None:
    for pieces in ([], [b"{}"], [b"a", b"=1"]):
        length = [(b"content-length", b"%d" % (sum(map(len, pieces)) + 1))]
        answer = door.ask(f"/{colour}/{view}", "POST", [*headers, *length], pieces)
        assert answer.status == 400


@COLOURS
@pytest.mark.parametrize(
    "value", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip", b"identity", b"x"]
)
def test_content_encoding_is_never_inflated(door: Door, colour: str, value: bytes) -> None:
    import gzip

    body = gzip.compress(bytes(1_000_000))
    headers = [(b"content-encoding", value)]
    answer = door.ask(f"/{colour}/raw", "POST", headers, body)
    assert json.loads(answer.body) == {"bytes": len(body)}


def test_a_body_of_one_byte_pieces_is_joined_in_linear_time(door: Door) -> None:
    def cost(pieces: int) -> float:
        return min(door.ask("/async/raw", "POST", [], [b"x"] * pieces).seconds for _ in range(3))

    assert cost(160_000) < 24 * cost(20_000)  # Linear is 8, quadratic 64.


# --- JSON ------------------------------------------------------------------------------------------

BAD_JSON = [
    b"", b" ", b"[", b"{", b'{"a"', b"nul", b"NaN", b"-NaN", b"Infinity", b"-Infinity", b'{"a":NaN}',
    b"[1,]", b"{,}", b"{'a':1}", b"01", b"1.", b".5", b"+1", b"0x1", b"1e", b"1e999", b"-1e999",
    b"9" * 5000, b'"', b'"\x00"', b'"\n"', b'"\\x"', b'"\\u12"', b'"\\ud800"', b'"\\udc00\\ud800"', b"\xff",
    b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xc0\xaf"', b"[" * 100_000,
    b'{"a":' * 100_000, b"[" * 5000 + b"]" * 5000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b"1 2",
    b"{}{}", b"\x00", b'{"a":1}\x00', "[1]".encode("utf-16"), "[1]".encode("utf-32"), b"--1", b"tru e",
    b"[1]//x", b"/**/1", b"\xa0{}", b'{"a" 1}', b"[1 2]", b'{1:2}', b"\xef\xbb\xbf", b"\x0c{}",
]  # fmt: skip


@COLOURS
@pytest.mark.parametrize("body", BAD_JSON, ids=lambda body: repr(body[:20]))
def test_json_that_is_none_is_a_400(door: Door, colour: str, body: bytes) -> None:
    answer = door.ask(f"/{colour}/json", "POST", JSON, body)
    assert answer.status == 400
    assert answer.seconds < 1


@COLOURS
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"application/json", 200), (b"APPLICATION/JSON", 200), (b"application/json; charset=utf-16", 200),
        (b"application/json;charset=nope", 200), (b"application/problem+json", 200),
        (b"application/vnd.api+json; v=1", 200), (b"text/plain", 415), (b"text/json", 415), (b"", 415),
        (b"application/x-www-form-urlencoded", 415), (b"multipart/form-data; boundary=b", 415),
        (b"application/jsonp", 415), (b"application/xml", 415), (b"application/json, text/plain", 415),
        (b"json", 415), (b"text/plain; application/json", 415),
    ],
)  # fmt: skip
def test_json_wants_its_content_type(door: Door, colour: str, kind: bytes, status: int) -> None:
    answer = door.ask(f"/{colour}/json", "POST", [(b"content-type", kind)], b'{"a":"\xc3\xa9"}')
    assert answer.status == status
    if status == 200:
        assert json.loads(answer.body) == {"got": {"a": "é"}}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)  # fmt: skip


@given(values)
def test_json_comes_and_goes_whole(made: Door, value: Any) -> None:
    for colour in ("plain", "async"):
        body = json.dumps(value, ensure_ascii=len(str(value)) % 2 == 0).encode()
        assert json.loads(made.ask(f"/{colour}/json", "POST", JSON, body).body) == {"got": value}


@given(
    st.binary(max_size=80)
    | st.text(alphabet='{}[]":,0123456789.eE+-truefalsn\\u', max_size=60).map(str.encode)
)
def test_any_json_is_an_answer(made: Door, body: bytes) -> None:
    answer = made.ask("/async/json", "POST", JSON, body)
    assert answer.status in (200, 400)
    try:
        strict = json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError, RecursionError):
        strict = ValueError
    if answer.status == 200:
        assert strict is not ValueError


# --- urlencoded forms --------------------------------------------------------------------------------


@COLOURS
def test_urlencoded_forms_have_their_limits(door: Door, colour: str) -> None:
    def ask(body: Any) -> int:
        return door.ask(f"/{colour}/form", "POST", URLENCODED, body).status

    door.app.config.update(MAX_FORM_MEMORY_SIZE=1000, MAX_FORM_PARTS=10)
    assert ask(b"a=" + b"x" * 998) == 200
    assert ask(b"a=" + b"x" * 999) == 413
    assert ask([b"a=" + b"x" * 500, b"x" * 498]) == 200
    assert ask([b"a=" + b"x" * 500, b"x" * 499]) == 413
    assert ask(b"&".join([b"a=1"] * 10)) == 200
    assert ask(b"&".join([b"a=1"] * 11)) == 413
    assert ask(b"&" * 900) == 200
    door.app.config.update(MAX_FORM_MEMORY_SIZE=None, MAX_FORM_PARTS=None)
    assert ask(b"a=1&" * 5000) == 200


@COLOURS
@pytest.mark.parametrize("setting", ["MAX_FORM_MEMORY_SIZE", "MAX_FORM_PARTS"])
def test_a_limit_names_its_setting(door: Door, colour: str, setting: str) -> None:
    door.app.config[setting] = 3
    for headers, body in (
        (URLENCODED, b"a=1&b=2&c=3&d=4&e=5"),
        (MULTIPART, b"".join(part(FIELD, b"xxxx") for _ in range(5)) + END),
    ):
        answer = door.ask(f"/{colour}/form", "POST", headers, body)
        assert answer.status == 413
        assert setting in answer.text


@COLOURS
@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"a=1&b=2", {"a": ["1"], "b": ["2"]}), (b"a=1;b=2", {"a": ["1;b=2"]}), (b"a", {"a": [""]}),
        (b"a=%zz&b=%", {"a": ["%zz"], "b": ["%"]}), (b"=1", {"": ["1"]}), (b"a=b=c", {"a": ["b=c"]}),
        (b"&&a=1&&", {"a": ["1"]}), (b"a+b=c+d", {"a b": ["c d"]}), (b"a=%00", {"a": ["\x00"]}),
        (b"a=%C3%A9", {"a": ["é"]}), (b"", {}), (b"a=1&a=2", {"a": ["1", "2"]}), (b"a=%u0041", {"a": ["%u0041"]}),
    ],
)  # fmt: skip
def test_urlencoded_forms(door: Door, colour: str, body: bytes, form: Any) -> None:
    answer = door.ask(f"/{colour}/form", "POST", URLENCODED, body)
    assert json.loads(answer.body)["form"] == form


@given(st.binary(max_size=80))
def test_any_urlencoded_form_is_an_answer(made: Door, body: bytes) -> None:
    assert made.ask("/async/form", "POST", URLENCODED, body).status == 200
    assert made.ask(query=body).status == 200


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.text(st.characters(exclude_categories=["Cs"])),
        ),
        max_size=6,
    )
)
def test_urlencoded_forms_come_whole(made: Door, pairs: list[tuple[str, str]]) -> None:
    body = "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs).encode()
    form: dict[str, list[str]] = {}
    for key, value in pairs:
        form.setdefault(key, []).append(value)
    got = json.loads(made.ask("/async/form", "POST", URLENCODED, body).body)["form"]
    form.pop("", None) if got.get("") is None else None
    assert got == form


# --- multipart -----------------------------------------------------------------------------------------


@COLOURS
def test_multipart_forms_have_their_limits(door: Door, colour: str) -> None:
    def ask(body: Any) -> int:
        return door.ask(f"/{colour}/form", "POST", MULTIPART, body).status

    door.app.config.update(MAX_FORM_MEMORY_SIZE=1000, MAX_FORM_PARTS=10)
    assert ask(part(FIELD, b"x" * 1000) + END) == 200
    assert ask(part(FIELD, b"x" * 1001) + END) == 413
    assert ask(part(FIELD, b"x" * 600) * 2 + END) == 413
    assert ask(part(FILE, b"x" * 100_000) + END) == 200
    assert ask(part(FIELD) * 10 + END) == 200
    assert ask(part(FIELD) * 11 + END) == 413
    assert ask(part(FILE) * 11 + END) == 413
    assert ask(part(FIELD) * 6 + part(FILE) * 5 + END) == 413


@COLOURS
@pytest.mark.parametrize("where", ["before", "after"])
def test_what_is_outside_of_the_parts_is_not_held_in_memory(
    door: Door, colour: str, where: str
) -> None:
    door.app.config["MAX_BODY_MEMORY"] = None
    junk = [bytes(1_000_000)] * 40
    body = [*junk, part(FIELD) + END] if where == "before" else [part(FIELD) + END, *junk]
    tracemalloc.start()
    try:
        answer = door.ask(f"/{colour}/form", "POST", MULTIPART, iter(body))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status == (400 if where == "before" else 200)
    assert peak < 10_000_000


@COLOURS
def test_a_parts_head_is_bounded(door: Door, colour: str) -> None:
    def ask(head: bytes) -> int:
        return door.ask(f"/{colour}/form", "POST", MULTIPART, part(head) + END).status

    assert ask(FIELD + b"\r\nX: " + b"y" * 15_000) == 200
    assert ask(FIELD + b"\r\nX: " + b"y" * 17_000) in (400, 413, 431)
    assert ask(FIELD + b"\r\nX: y" * 60) == 200
    assert ask(FIELD + b"\r\nX: y" * 70) in (400, 413, 431)
    assert ask(b'Content-Disposition: form-data; name="' + b"a" * 17_000 + b'"') in (400, 413, 431)
    body = b"--b\r\n" + b"X: y" * 100_000
    assert door.ask(f"/{colour}/form", "POST", MULTIPART, body).status in (400, 413, 431)


BAD_MULTIPART: list[tuple[bytes, bytes]] = [
    (b"multipart/form-data", part(FIELD) + END), (b"multipart/form-data; boundary=", part(FIELD) + END),
    (b"multipart/form-data; boundary=" + b"x" * 5000, b"x"),
    (b"multipart/form-data; boundary=" + b"x" * 257, (part(FIELD) + END).replace(b"--b", b"--" + b"x" * 257)),
    (b"multipart/form-data; boundary=b", b"x"), (b"multipart/form-data; boundary=b", part(FIELD)),
    (b"multipart/form-data; boundary=b", part(b"X: y") + END),
    (b"multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--"), (b"multipart/form-data; boundary=b", b"--c--"),
    (b"multipart/form-data; boundary=b", part(b": x") + END),
    (b"multipart/form-data; boundary=\xff", b"--\xff\r\n"), (b'multipart/form-data; boundary="', b"x"),
]  # fmt: skip


@COLOURS
@pytest.mark.parametrize(("kind", "body"), BAD_MULTIPART)
def test_multipart_that_is_none_is_a_400(door: Door, colour: str, kind: bytes, body: bytes) -> None:
    answer = door.ask(f"/{colour}/form", "POST", [(b"content-type", kind)], body)
    assert answer.status == 400, answer.body


LENIENT: list[bytes] = [
    FIELD + b"\r\nContent-Type: text/plain; charset=nope", FIELD + b"\r\nContent-Type: \xff",
    FIELD + b"\r\nContent-Transfer-Encoding: base64", FIELD + b"; name*=utf-8''z",
    b"Content-Disposition: form-data; name*=utf-8''z; name=\"a\"", FIELD + b"; filename*0*=x''%zz; filename*=utf-16''%ff",
    b'Content-Disposition: form-data; name="a"; x*=', FIELD + b"; x*0*=; x*1=; x*99999999999=y", FIELD + b'; x="',
    b'content-disposition: FORM-DATA; NAME="a"', FIELD + b"\r\nX:", FIELD + b"\r\n y", FIELD + b"; name=\"a\"",
]  # fmt: skip


@COLOURS
@pytest.mark.parametrize("head", LENIENT)
def test_charsets_and_parameters_that_are_broken_never_raise(
    door: Door, colour: str, head: bytes
) -> None:
    answer = door.ask(f"/{colour}/form", "POST", MULTIPART, part(head) + END)
    assert answer.status in (200, 400)
    if answer.status == 200:
        got = json.loads(answer.body)
        assert "z" not in got["form"]
        assert set(got["form"]) | set(got["files"]) <= {"a", ""}


@COLOURS
@pytest.mark.parametrize(
    "unit",
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n-",
        b"\r\n--",
        b"\r\n--b",
        b"\r\n--bb",
        b"--b",
        b"-",
        b"\r\r\n",
        b"\r\n\r\n",
    ],
)
@pytest.mark.parametrize("where", ["field", "file", "preamble", "epilogue"])
def test_runs_of_almost_boundaries_take_linear_time(
    door: Door, colour: str, unit: bytes, where: str
) -> None:
    door.app.config["MAX_FORM_MEMORY_SIZE"] = None
    door.app.config["MAX_FORM_PARTS"] = 10**9
    run = unit * (600_000 // len(unit))
    body = {
        "field": part(FIELD, run) + END, "file": part(FILE, run) + END, "preamble": run + b"\r\n" + part(FIELD) + END,
        "epilogue": part(FIELD) + END + run,
    }[where]  # fmt: skip
    answer = door.ask(f"/{colour}/form", "POST", MULTIPART, body)
    assert answer.status in (200, 400, 413)
    assert answer.seconds < 5


@COLOURS
@pytest.mark.parametrize("size", [256, 30_000])
@pytest.mark.parametrize("ends", [(b"x", b""), (b"", b"x")], ids=["x-", "-x"])
@pytest.mark.parametrize("unit", [b"-", b"-a-bc"])
@pytest.mark.parametrize("head", [b"", FILE], ids=["preamble", "file"])
def test_a_long_boundary_that_repeats_itself_takes_no_time(
    door: Door, colour: str, unit: bytes, ends: tuple[bytes, bytes], size: int, head: bytes
) -> None:
    boundary = (unit * ((size - 1) // len(unit))).join(ends)
    mark = b"--" + boundary
    body = mark + b"\r\n" + head + b"\r\n\r\n" if head else b""
    body += unit * (600_000 // len(unit)) + b"\r\n" + mark + b"--\r\n"
    kind = b"multipart/form-data; boundary=" + boundary
    answer = door.ask(f"/{colour}/form", "POST", [(b"content-type", kind)], body)
    assert answer.status in (200, 400, 413)
    assert answer.seconds < 1


@pytest.mark.parametrize("unit", [b"\r\n--b", b"--b", b"\r\n"], ids=repr)
def test_a_long_run_of_boundaries_that_arrives_in_pieces_takes_linear_time(
    door: Door, unit: bytes
) -> None:
    run = unit * (6_000_000 // len(unit))
    body = part(FILE, b"data" + run) + END
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    answer = door.ask("/async/form", "POST", MULTIPART, pieces)
    assert answer.status in (200, 400, 413)
    assert answer.seconds < 5


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(1, 20))
def test_any_multipart_body_is_an_answer(made: Door, head: bytes, data: bytes, size: int) -> None:
    for body in (
        part(head, data) + END,
        part(FIELD, data) + END,
        head,
        part(FIELD + b"; " + head) + END,
    ):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        for kind in ("plain", "async"):
            assert made.ask(f"/{kind}/form", "POST", MULTIPART, pieces).status in (200, 400, 413)


@given(st.binary(max_size=200).filter(lambda data: b"\r\n--b" not in data), st.integers(1, 40))
def test_what_was_sent_arrives_however_it_is_cut(made: Door, data: bytes, size: int) -> None:
    body = part(FILE, data) + part(FIELD, b"y") + END
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    got = json.loads(made.ask("/async/form", "POST", MULTIPART, pieces).body)
    assert got == {"form": {"a": ["y"]}, "files": {"f": len(data)}}
