"""What goes out: headers, cookies, pages. And sessions, which come back signed or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import shutil
import time
import zlib
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from aioflask import Flask, session
from tests.hardening.door import FIELD, TOKEN, Door

COLOURS = pytest.mark.parametrize("colour", ["plain", "async"])
CONTROLS = [chr(code) for code in range(32) if code != 9] + ["\x7f"]


def query(**values: str) -> bytes:
    return "&".join(f"{key}={quote(value, safe='')}" for key, value in values.items()).encode()


# --- the choke point -----------------------------------------------------------------------------------


@COLOURS
@pytest.mark.parametrize("control", CONTROLS, ids=repr)
def test_control_characters_leave_in_no_header(door: Door, colour: str, control: str) -> None:
    """The view has made a mistake: it is a 500, and a whole answer without the header."""
    for text in (f"a{control}b", control, f"a{control}", f"{control}a"):
        for pair in ({"name": "X-A", "value": text}, {"name": f"X{text}", "value": "a"}):
            answer = door.ask(f"/{colour}/header", query=query(**pair), fails=True)
            assert answer.status in (200, 500)
        answer = door.ask(f"/{colour}/go", query=query(to=f"/{text}"), fails=True)
        assert answer.status in (302, 500)
        answer = door.ask(f"/{colour}/cookie", query=query(value=text), fails=True)
        assert answer.status in (200, 500)
        for name in ("name", "path", "domain"):
            answer = door.ask(f"/{colour}/cookie", query=query(**{name: f"x{text}"}), fails=True)
            assert answer.status in (200, 500)


@COLOURS
@pytest.mark.parametrize(
    "name", ["", " ", "X Y", "X:", "X\xe9", "X(", "é", "X\n", "=", "\u20ac", "X,Y"]
)
def test_a_header_name_is_a_token(door: Door, colour: str, name: str) -> None:
    answer = door.ask(f"/{colour}/header", query=query(name=name, value="a"), fails=True)
    assert answer.status == 500
    assert all(TOKEN.fullmatch(key) for key, _ in answer.headers)


@COLOURS
@pytest.mark.parametrize(
    "value", ["\u20ac", "\U0001f600", "\xff", "é", "\u0100", "a\u2028b", "\udc80"]
)
def test_what_is_not_latin_1_is_encoded_or_refused(door: Door, colour: str, value: str) -> None:
    for path, pair in (
        ("header", {"name": "X-A", "value": value}), ("go", {"to": f"/{value}"}),
        ("cookie", {"value": value}),
    ):  # fmt: skip
        raw = "&".join(
            f"{k}={quote(v.encode('utf-8', 'surrogatepass'), safe='')}" for k, v in pair.items()
        )
        answer = door.ask(f"/{colour}/{path}", query=raw.encode(), fails=True)
        assert answer.status in (200, 302, 500)


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_header_of_a_view_is_sent_whole_or_not_at_all(
    made: Door, name: str, value: str
) -> None:
    pair = [part.encode("utf-8", "surrogatepass") for part in (name, value)]
    raw = (
        b"name=" + quote(pair[0], safe="").encode() + b"&value=" + quote(pair[1], safe="").encode()
    )
    for kind in ("plain", "async"):
        answer = made.ask(f"/{kind}/header", query=raw, fails=True)
        assert answer.status in (200, 500)
        assert all(FIELD.fullmatch(each) for _, each in answer.headers)


# --- cookies -------------------------------------------------------------------------------------------


@COLOURS
@pytest.mark.parametrize(
    "name", ["", "a;b", "a b", "a=b", "a,b", 'a"b', "a\tb", "(a)", "é", "a;Domain=x", "\x00", "a\n"]
)
def test_a_cookies_name_is_a_token(door: Door, colour: str, name: str) -> None:
    answer = door.ask(f"/{colour}/cookie", query=query(name=name, value="v"), fails=True)
    assert answer.status == 500
    assert answer.all(b"set-cookie") == []


@COLOURS
@pytest.mark.parametrize("what", ["value", "path", "domain"])
@pytest.mark.parametrize(
    "text",
    [
        "x; Domain=evil",
        "x;y",
        ";",
        "x\r\nSet-Cookie: a=b",
        "x\x00",
        "x, y=z",
        "x\x7f",
        "x\\;y",
        '"; x="',
    ],
)
def test_a_cookie_has_no_attribute_by_accident(
    door: Door, colour: str, what: str, text: str
) -> None:
    answer = door.ask(f"/{colour}/cookie", query=query(**{what: text}), fails=True)
    assert answer.status in (200, 500)
    if answer.status == 200:
        (cookie,) = answer.all(b"set-cookie")
        names = [piece.strip().partition(b"=")[0].lower() for piece in cookie.split(b";")[1:]]
        assert set(names) <= {b"path", b"domain"} and len(names) == len(set(names))
        assert (b"domain" in names) == (what == "domain")


def test_samesite_and_max_age_are_what_they_say(door: Door) -> None:
    response: Any = door.app.response_class()
    for options in ({"samesite": "Lax; Domain=evil"}, {"samesite": "x"}):
        with pytest.raises(ValueError, match="SameSite"):
            response.set_cookie("a", "b", **options)
    with pytest.raises((ValueError, TypeError)):
        response.set_cookie("a", "b", max_age="1; Domain=evil")
    assert response.headers.getlist("Set-Cookie") == []


@COLOURS
@pytest.mark.parametrize(
    "unit", [b"a=", b'a="', b"\\", b'a="\\', b";", b"=;", b'"', b'a="\\"', b" ", b"a=1;", b"a = b ;", b",", b'="', b"\\073"],
)  # fmt: skip
def test_cookies_are_read_in_linear_time(
    door: Door, colour: str, unit: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for lead in (b"", b'a="', b"a="):
        value = lead + unit * (50_000 // len(unit))
        answer = door.ask(f"/{colour}/remember", headers=[(b"cookie", value)])
        assert answer.status == 200
        answer = door.ask(f"/{colour}/echo", headers=[(b"cookie", value)])
        assert answer.status == 200
        assert answer.seconds < 1
    assert [
        record for record in caplog.records if record.name.startswith(("aioflask", "werkzeug"))
    ] == []


@pytest.mark.parametrize(
    ("value", "cookies"),
    [
        (b"a=1; b=2", {"a": ["1"], "b": ["2"]}), (b"=x; a=1", {"a": ["1"]}), (b"x; a=1", {"x": [""], "a": ["1"]}),
        (b"=; =y;; a=1", {"a": ["1"]}), (b'a="b c"', {"a": ["b c"]}), (b"a=b=c", {"a": ["b=c"]}),
        (b"a=1; a=2", {"a": ["1", "2"]}), (b"a=\xe9", {"a": ["é"]}), (b"$Version=1; a=1", {"$Version": ["1"], "a": ["1"]}),
        (b"a=1,b=2", {"a": ["1,b=2"]}), (b" a = 1 ", {"a": ["1"]}),
    ],
)  # fmt: skip
def test_cookies(door: Door, value: bytes, cookies: Any) -> None:
    got = json.loads(door.ask(headers=[(b"cookie", value)]).body)["cookies"]
    got.pop("", None)
    assert got == cookies


@given(st.binary(max_size=80))
def test_any_cookie_is_an_answer(made: Door, value: bytes) -> None:
    assert made.ask("/async/echo", headers=[(b"cookie", value)]).status == 200
    assert made.ask("/plain/remember", headers=[(b"cookie", b"session=" + value)]).status == 200


# --- pages ---------------------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script>\"'><img src=x>"


@COLOURS
def test_pages_escape_what_came_in(door: Door, colour: str) -> None:
    for answer in (
        door.ask(f"/{colour}/go", query=query(to=f"/{SCRIPT}")),
        door.ask(f"/nowhere/{SCRIPT}"),
        door.ask(host=b"<script>"),
        door.ask(
            f"/{colour}/json", "POST", [(b"content-type", b"application/json")], SCRIPT.encode()
        ),
        door.ask(f"/folder/{SCRIPT}"),
    ):
        assert b"<script>" not in answer.body.lower()
        assert b"<img" not in answer.body.lower()


@COLOURS
def test_the_500_page_says_nothing(door: Door, colour: str) -> None:
    answer = door.ask(f"/{colour}/surprise", fails=True)
    assert answer.status == 500
    for word in (b"secret", b"KeyError", b"Traceback", b"door.py"):
        assert word not in answer.body


@COLOURS
@pytest.mark.parametrize(
    "code",
    [
        100,
        101,
        199,
        200,
        204,
        205,
        206,
        301,
        304,
        400,
        401,
        404,
        418,
        422,
        428,
        429,
        451,
        499,
        500,
        501,
        503,
        599,
        600,
        999,
        1000,
        0,
        -1,
    ],
)
def test_any_code_to_abort_with_is_a_whole_answer(door: Door, colour: str, code: int) -> None:
    answer = door.ask(f"/{colour}/give_up", query=b"code=%d" % code, fails=True)
    assert answer.status in (code, 500)


def test_error_responses_take_the_after_hooks() -> None:
    door = Door()

    @door.app.after_request
    def mark(response: Any) -> Any:
        response.headers["X-Marked"] = "yes"
        return response

    try:
        for path, options in (
            ("/nowhere", {}), ("/async/echo", {"method": "DELETE"}), ("/plain/surprise", {"fails": True}),
            ("/async/surprise", {"fails": True}), ("/async/json", {"method": "POST"}), ("/folder", {}),
            ("/async/echo", {"host": b"a b"}), ("/static/nothing", {}), ("/plain/give_up", {}),
        ):  # fmt: skip
            assert door.ask(path, **options).one(b"x-marked") == b"yes", path
    finally:
        shutil.rmtree(door.folder)


def test_the_log_escapes_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("hardening_log")

    @app.get("/<path:path>")
    async def fail(path: str) -> str:
        raise KeyError("x")

    app.test_client().get("/a%0dFAKE%20LINE%1b[31m%00%7f%0d")
    (record,) = [record for record in caplog.records if record.name == "hardening_log"]
    assert "FAKE LINE" in record.getMessage()
    assert not set(record.getMessage()) & {*map(chr, range(32)), "\x7f"}


# --- sessions --------------------------------------------------------------------------------------------


def serializer(key: str = "only for tests") -> URLSafeTimedSerializer:
    """Flask's, by its documentation: salt, derivation and digest."""
    from aioflask.json.tag import TaggedJSONSerializer

    return URLSafeTimedSerializer(
        key, salt="cookie-session", serializer=TaggedJSONSerializer(),
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha1},
    )  # fmt: skip


def signed(payload: bytes, key: str = "only for tests") -> bytes:
    """A payload of any bytes, rightly signed."""
    return serializer(key).make_signer("cookie-session").sign(payload)


@COLOURS
def test_a_session_comes_back(door: Door, colour: str) -> None:
    cookie = serializer().dumps({"count": 41}).encode()
    answer = door.ask(f"/{colour}/remember", headers=[(b"cookie", b"session=" + cookie)])
    assert json.loads(answer.body) == {"count": 42}
    made = SimpleCookie((answer.one(b"set-cookie") or b"").decode())["session"].value
    assert serializer().loads(made) == {"count": 42}


def garbage() -> list[bytes]:
    good = serializer().dumps({"count": 41}).encode()
    head, _, tail = good.partition(b".")
    bomb = zlib.compress(b'{"count":41,"x":"' + b"x" * 200_000_000 + b'"}')
    packed = b"." + base64.urlsafe_b64encode(bomb).rstrip(b"=")
    return [
        b"", b"x", b".", b"..", b"...", b"." * 50_000, b"a.b.c", b"=" * 50, good[:-1], good[1:], good + b"x",
        good.upper(), head, head + b"." + tail[:-5] + b"AAAAA", serializer("other").dumps({"count": 41}).encode(),
        signed(b""), signed(b"x"), signed(b"."), signed(b".x"), signed(b"!!!"), signed(b"bnVsbA"), signed(b"W10"),
        signed(b"MQ"), signed(b"eyJjb3VudCI6"), signed(base64.urlsafe_b64encode(b"\xff\xfe")),
        signed(base64.urlsafe_b64encode(b'{" t":1}')), signed(base64.urlsafe_b64encode(b'{"x":{" u":"zz"}}')),
        signed(base64.urlsafe_b64encode(b'{"x":{" b":"!"}}')), signed(base64.urlsafe_b64encode(b'{"x":{" d":"zz"}}')),
        signed(base64.urlsafe_b64encode(b"[" * 100_000)), signed(b"." + base64.urlsafe_b64encode(b"no zlib")),
        signed(packed), packed + b".AAAA.BBBB", b"\xff" * 100, "é".encode(), b"%00", b'"' + good,
    ]  # fmt: skip


@COLOURS
@pytest.mark.parametrize("cookie", garbage(), ids=lambda cookie: repr(cookie[:16]))
def test_anything_wrong_is_an_empty_session(door: Door, colour: str, cookie: bytes) -> None:
    answer = door.ask(f"/{colour}/remember", headers=[(b"cookie", b"session=" + cookie)])
    assert json.loads(answer.body) == {"count": 1}
    assert answer.seconds < 2


@COLOURS
def test_age_is_enforced(door: Door, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = serializer().dumps({"count": 41}).encode()
    old = [(b"cookie", b"session=" + cookie)]
    real = time.time
    lifetime = door.app.permanent_session_lifetime.total_seconds()
    for later, count in ((lifetime - 60, 42), (lifetime + 60, 1)):
        monkeypatch.setattr(time, "time", lambda later=later: real() + later)
        assert json.loads(door.ask(f"/{colour}/remember", headers=old).body) == {"count": count}
    monkeypatch.setattr(time, "time", real)


@COLOURS
def test_old_keys_verify_and_the_current_one_signs(door: Door, colour: str) -> None:
    old = [(b"cookie", b"session=" + serializer("older").dumps({"count": 41}).encode())]
    assert json.loads(door.ask(f"/{colour}/remember", headers=old).body) == {"count": 1}
    door.app.config["SECRET_KEY_FALLBACKS"] = ["old", "older"]
    answer = door.ask(f"/{colour}/remember", headers=old)
    assert json.loads(answer.body) == {"count": 42}
    made = SimpleCookie((answer.one(b"set-cookie") or b"").decode())["session"].value
    assert serializer().loads(made) == {"count": 42}


@COLOURS
@pytest.mark.parametrize(
    "use", ["get", "in", "len", "set", "delete", "nothing", "iterate", "pop", "permanent"]
)
def test_vary_says_that_the_session_was_used(colour: str, use: str) -> None:
    app = Flask("hardening_vary")
    app.secret_key = "only for tests"

    def view() -> str:
        uses: dict[str, Any] = {
            "get": lambda: session.get("a"), "in": lambda: "a" in session, "len": lambda: len(session),
            "set": lambda: session.update(b=1), "delete": lambda: session.clear(), "nothing": lambda: None,
            "iterate": lambda: list(session), "pop": lambda: session.pop("a", None),
            "permanent": lambda: session.permanent,
        }  # fmt: skip
        uses[use]()
        return "x"

    async def asynchronous() -> str:
        return view()

    app.add_url_rule("/", view_func=view if colour == "plain" else asynchronous)
    client = app.test_client()
    with client.session_transaction() as opened:
        opened["a"] = 1
    assert ("Cookie" in client.get("/").headers.get("Vary", "")) == (use != "nothing")
    with client.session_transaction() as opened:
        opened.permanent = True
    # A permanent session is refreshed with every answer, so each of them depends on the cookie.
    answer = client.get("/")
    assert "Cookie" in answer.headers.get("Vary", "") or use == "delete"


def test_a_cookie_that_browsers_would_drop_is_said(door: Door) -> None:
    app = Flask("hardening_large")
    app.secret_key = "only for tests"

    @app.get("/")
    async def large() -> str:
        session["x"] = [hashlib.sha256(bytes([number])).hexdigest() for number in range(200)]
        return "x"

    with pytest.warns(UserWarning, match="cookie is too large"):
        app.test_client().get("/")
