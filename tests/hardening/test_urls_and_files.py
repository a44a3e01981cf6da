"""Hosts, paths, redirects, files and ranges, as RFC 9110, 9112 and 3986 have them."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioflask import request
from tests.hardening.door import Door

FILE = bytes(range(250)) * 4


# --- hosts ---------------------------------------------------------------------------------------

BAD_HOSTS = [
    b"a b", b"a/b", b"a@b", b"a#b", b"a?b", b"a\\b", b"a:b:c", b"a:99999", b"a:-1", b"a:+1", b"a:1x",
    b"[::1", b"::1", b"[::1]x", b"[::g]", b"\xff", b"a\x00b", b"a\tb", b"<a>", b'"a"', b"a^b",
    b"a{b}", b"a|b", b"a`b", b"a\x7f", b"a%", b"a%zz", b"user:pass@a", b"http://a", b"a:80:80",
]  # fmt: skip
GOOD_HOSTS = [
    b"example.org", b"EXAMPLE.org", b"example.org.", b"example.org:80", b"example.org:", b"127.0.0.1",
    b"127.0.0.1:65535", b"[::1]", b"[::1]:80", b"[fe80::1]", b"a_b.example", b"xn--mnchen-3ya.de",
]  # fmt: skip


@pytest.mark.parametrize("colour", ["plain", "async"])
@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_that_rfc_3986_forbids_is_a_400(door: Door, colour: str, host: bytes) -> None:
    assert door.ask(f"/{colour}/echo", host=host).status == 400
    assert door.ask("/static/a.txt", host=host).status == 400
    assert door.ask("/nowhere", host=host).status == 400


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_a_good_host_is_taken(door: Door, host: bytes) -> None:
    assert door.ask(host=host).status == 200


def test_http_1_1_without_a_host_and_two_hosts_are_a_400(door: Door) -> None:
    assert door.ask(host=None).status == 400
    assert door.ask(host=None, version="1.0").status == 200
    assert door.ask(host=b"").status == 200
    for more in (b"example.org", b"evil.example", b""):
        assert door.ask(headers=[(b"host", more)]).status == 400
        assert door.ask("/plain/echo", version="1.0", headers=[(b"host", more)]).status == 400


def test_trusted_hosts_hold_for_views_errors_and_files(door: Door) -> None:
    door.app.config["TRUSTED_HOSTS"] = ["example.org", ".example.net"]
    for host in (b"example.org", b"example.org:81", b"a.example.net"):
        assert door.ask(host=host).status == 200
    for host in (
        b"evil.example",
        b"example.org.evil",
        b"evilexample.net",
        b"example.org@evil",
        b"",
    ):
        for path in ("/async/echo", "/plain/echo", "/static/a.txt", "/nowhere"):
            assert door.ask(path, host=host).status == 400, (host, path)


@given(st.binary(max_size=30))
def test_any_host_is_taken_or_refused(made: Door, host: bytes) -> None:
    answer = made.ask(host=host)
    assert answer.status in (200, 400)
    if answer.status == 200:  # What is in a URL of ours is what came, and nothing ends it early.
        assert not set(host) & set(b'/\\?#@ \t\r\n<>"')


def test_the_url_is_built_of_its_parts(door: Door) -> None:
    answer = door.ask("/async/echo", query=b"a=//evil.example/")
    assert '"url":"http://example.org/async/echo?a=//evil.example/"' in answer.text
    answer = door.ask("//evil.example/async/echo")
    assert answer.status in (404, 308)


@pytest.mark.parametrize(
    "name", [b"forwarded", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for",
             b"x-forwarded-prefix", b"x-forwarded-port", b"x-forwarded-server", b"x-real-ip",
             b"x-original-url", b"x-rewrite-url", b"x-http-method-override"],
)  # fmt: skip
def test_what_a_proxy_would_say_means_nothing(door: Door, name: bytes) -> None:
    plain = door.ask(query=b"a=1").text
    for value in (b"evil.example", b"https", b"for=1.2.3.4;host=evil.example", b"/evil", b"DELETE"):
        assert door.ask(query=b"a=1", headers=[(name, value)]).text == plain


# --- redirects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/folder", b"/folder/"),
        ("/folder/a", b"/folder/a/"),
        ("/folder/\\evil.example", b"/folder/%5Cevil.example/"),
        ("/folder/a b", b"/folder/a%20b/"),
        ("/folder/é", b"/folder/%C3%A9/"),
        ("//folder", b"/folder/"),
        ("///folder", b"/folder/"),
        ("//folder/a", b"/folder/a/"),
        ("/folder//a", b"/folder/a"),
    ],
)
def test_slash_redirects_are_relative(door: Door, path: str, to: bytes) -> None:
    answer = door.ask(path)
    assert answer.status == 308
    location = answer.one(b"location")
    assert location is not None
    assert location in (to, to.removesuffix(b"/") + b"/")


def test_a_redirect_keeps_the_query(door: Door) -> None:
    assert door.ask("/folder", query=b"a=1&b=%2F").one(b"location") == b"/folder/?a=1&b=%2F"
    answer = door.ask("/folder", query=b"a=\r\nX: y\x00\x7f")
    assert answer.one(b"location") == b"/folder/?a=%0D%0AX:%20y%00%7F"
    for byte in range(256):
        assert door.ask("/folder", query=bytes([byte])).status == 308


@given(st.text(alphabet="/\\a.:@%\t\r\n é;?#", max_size=12))
def test_no_redirect_leaves_the_host(made: Door, text: str) -> None:
    for path in (f"/{text}", f"/folder/{text}", f"/{text}/folder"):
        answer = made.ask(path)
        location = answer.one(b"location")
        if location is not None:
            assert location.startswith(b"/")
            assert not location.startswith((b"//", b"/\\"))
            assert not set(location) & set(b"\\\r\n\t ")


# --- converters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["\u0661", "\uff11", "1\u0661", "+1", "-1", "1_0", "0x1", " 1", "1 ", "1\n", "1\r", "",
             "1.0", "1e3", "\u00b2", "9" * 5000, "1" * 100_000, "\x001", "1/", "1\u2028"],
)  # fmt: skip
def test_int_takes_ascii_digits_only(door: Door, text: str) -> None:
    assert door.ask(f"/int/{text}").status == 404


def test_int_takes_what_python_reads(door: Door) -> None:
    for text in ("0", "007", "9" * 4000):
        answer = door.ask(f"/int/{text}")
        assert (answer.status, answer.text) == (200, str(int(text)))
    assert sys.get_int_max_str_digits() >= 4000


@pytest.mark.parametrize(
    "text", ["\u0661.0", "1.\u0660", "1", "1.", ".1", "1e3", "nan", "inf", "1.0\n", "+1.0", "1_0.0",
             "-1.0"],
)  # fmt: skip
def test_float_takes_ascii_digits_only(door: Door, text: str) -> None:
    assert door.ask(f"/float/{text}").status == 404


def test_a_huge_float_is_an_answer(door: Door) -> None:
    assert door.ask("/float/" + "9" * 5000 + ".0").status in (200, 404)


@pytest.mark.parametrize("path", ["/text/a", "/async/echo", "/static/a.txt", "/methods"])
def test_a_trailing_newline_matches_nothing_fixed(door: Door, path: str) -> None:
    for tail in ("\n", "\r", "\r\n"):
        answer = door.ask(path + tail)
        if path == "/text/a":  # A text may have one; it is a part of it.
            assert answer.status in (200, 404)
        else:
            assert answer.status == 404, tail


@given(st.text(max_size=40))
def test_any_path_is_an_answer(made: Door, path: str) -> None:
    for prefix in ("", "/", "/int/", "/float/", "/text/", "/path/", "/folder/", "/static/"):
        assert made.ask(prefix + path).status in (200, 308, 404, 405)


# --- files ---------------------------------------------------------------------------------------------

NO_FILES = [
    "", "/", ".", "..", "../hardening", "../../etc/passwd", "/etc/passwd", "//etc/passwd", "..\\a.txt",
    "sub\\x.txt", "C:\\a.txt", "C:/a.txt", "a.txt\x00", "\x00", "a.txt\x00.png", "a.txt/", "a.txt/.",
    "a.txt/..", "a.txt/b", "sub", "sub/", "sub/x.txt/", "a.txt\n", "a.txt ", "CON", "NUL", "aux.txt",
    "COM1", "a" * 300, "a" * 5000, "/".join(["a"] * 2500), "..%2fa.txt", "%2e%2e/a.txt", "~", "a.txt:x",
    "a.txt::$DATA", "\udc80", "\ud800", "sub/../../a", "....//a.txt", "\u2025/a.txt", "a.txt;x", ".\x00.",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_file_is_the_same_404(door: Door, name: str) -> None:
    answer = door.ask(f"/static/{name}")
    if answer.status == 308:  # Slashes that are merged, to a place that is no file either.
        assert (answer.one(b"location") or b"").startswith(b"/static/")
        return
    assert answer.status == 404
    assert answer.body == door.ask("/static/nothing").body
    assert answer.all(b"etag") == answer.all(b"last-modified") == []


def test_a_file_is_a_file(door: Door) -> None:
    answer = door.ask("/static/a.txt")
    assert (answer.status, answer.body) == (200, FILE)
    assert door.ask("/static/sub/x.txt").text == "x"
    assert door.ask("/static/a.txt", method="HEAD").one(b"content-length") == b"1000"


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        (b"bytes=0-4", 0, 4), (b"bytes=5-", 5, 999), (b"bytes=-5", 995, 999), (b"bytes=0-", 0, 999),
        (b"bytes=999-", 999, 999), (b"bytes=0-0", 0, 0), (b"bytes=0-99999", 0, 999),
        (b"bytes=-5000", 0, 999), (b"bytes=990-1000", 990, 999), (b"bytes=0-999", 0, 999),
        (b"bytes=-1000", 0, 999), (b"bytes=-999", 1, 999),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/static/a.txt", "/plain/file", "/async/file"])
def test_ranges(door: Door, path: str, value: bytes, first: int, last: int) -> None:
    answer = door.ask(path, headers=[(b"range", value)])
    assert answer.body == FILE[first : last + 1]
    if answer.status == 206:
        assert answer.one(b"content-range") == f"bytes {first}-{last}/1000".encode()
    else:
        assert (answer.status, first, last) == (200, 0, 999)


BAD_RANGES = [
    b"bytes=5000-", b"bytes=1000-", b"bytes=-0", b"bytes=4-2", b"bytes=a-b", b"bytes=", b"bytes", b"=0-1",
    b"bytes=--5", b"bytes=-", b"bytes=0", b"bytes=0-1-2", b"bytes=+0-1", b"bytes=0x0-1", b"bytes=1.0-2",
    b"bytes=0-0,1-1", b"bytes=0-5,3-8", b"bytes=\xb2-5", b"bytes=\xd9\xa1-2", b"bytes=1_0-20",
    b"bytes=" + b"0-1," * 3000 + b"0-1", b"bytes=" + b"9" * 5000 + b"-", b"bytes=0-" + b"9" * 5000,
    b"bytes=-" + b"9" * 5000, b"items=0-1", b"none", b"bytes=0-1;q=1", b"bytes=," * 50, b"bytes=0-\x00",
    b"bytes = 0-1", b"\xff" * 100,
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_RANGES)
@pytest.mark.parametrize("path", ["/static/a.txt", "/plain/file", "/async/file"])
def test_bad_ranges_are_answered_whole_or_416(door: Door, path: str, value: bytes) -> None:
    answer = door.ask(path, headers=[(b"range", value)])
    if answer.status == 416:
        assert answer.one(b"content-range") == b"bytes */1000"
    elif answer.status == 206:
        assert len(answer.body) <= len(FILE)
        assert answer.body in FILE
    else:
        assert (answer.status, answer.body) == (200, FILE)
    assert answer.seconds < 1


@given(st.text(alphabet="0123456789-, bytes=\u0661", max_size=30))
def test_any_range_gives_a_part_of_the_file(made: Door, text: str) -> None:
    value = text.encode("latin-1", "replace")
    for prefix in (b"", b"bytes="):
        answer = made.ask("/async/file", headers=[(b"range", prefix + value)])
        assert answer.status in (200, 206, 416)
        if answer.status != 416:
            assert answer.body in FILE
            assert len(answer.body) <= len(FILE)


# --- headers that are parsed ---------------------------------------------------------------------------

PARSED = [
    b"if-modified-since", b"if-unmodified-since", b"date", b"if-match", b"if-none-match", b"if-range",
    b"range", b"accept", b"accept-language", b"accept-charset", b"accept-encoding", b"authorization",
    b"content-type", b"cache-control", b"content-length", b"max-forwards", b"referer", b"origin",
    b"user-agent", b"access-control-request-headers", b"pragma", b"cookie", b"x-forwarded-for",
    b"expect", b"te", b"connection", b"content-encoding", b"upgrade",
]  # fmt: skip
NONSENSE = [
    b"", b"x", b"0", b"0" * 400, b"9" * 5000, b"Mon, 01 Jan " + b"9" * 400 + b" 00:00:00 GMT",
    b"Mon, 99 Foo 2026 99:99:99 GMT", b"Mon, 01 Jan 0000 00:00:00 +9999", b"-1", b'"' * 5000,
    b"W/" * 5000, b'W/"' * 3000, b"," * 20_000, b",;" * 10_000, b"a/b;q=" + b"9" * 5000, b"a/b;q=nan",
    b"a/b;q=-1", b"*/*;q=1e999", b"en;q=0.\xb2", b"Basic", b"Basic =", b"Basic " + b"=" * 5000,
    b"Basic \xff\xff", b"Basic " + b"/" * 5001, b"Basic Og==", b"Basic dXNlcg==", b"Basic /////w==",
    b'Digest a="', b'Digest ' + b'a="' * 3000, b"Digest " + b"a=b," * 10_000, b"Bearer " + b"x" * 5000,
    b"Bearer", b"text/html;" + b"a=b;" * 10_000, b"text/html; charset=nope", b"text/html; a*0*=x''%zz",
    b'multipart/form-data; boundary="' + b"\\" * 10_000, b"a/b; x=\"" + b"\\\"" * 5000, b"/", b";", b"=",
    b"max-age=" + b"9" * 5000, b"max-age=\xb2", b"no-cache," * 5000, b"a=" * 10_000, b'a="' + b"\\" * 20_000,
    b'a="' + b'\\"' * 10_000, b";" * 20_000, b"=;" * 10_000, b"%" * 5000, b"%ff" * 2000, b"\xff" * 5000,
    b"\x01\x02", b"gzip;q=\x00", b"1, 2, 3", b"1.2.3.4, " * 2000, b"Digest username*=utf-8''%ff",
]  # fmt: skip


@pytest.mark.parametrize("colour", ["plain", "async"])
@pytest.mark.parametrize("name", PARSED)
def test_nonsense_in_a_header_is_ignored_or_a_4xx(door: Door, name: bytes, colour: str) -> None:
    slow: list[Any] = []
    for value in NONSENSE:
        for path in ("read", "conditional", "file"):
            answer = door.ask(f"/{colour}/{path}", headers=[(name, value)])
            assert answer.status < 500
            if answer.seconds > 3:
                slow.append((value[:40], answer.seconds))
    assert not slow


@given(st.sampled_from(PARSED), st.binary(max_size=60))
def test_any_header_is_an_answer(made: Door, name: bytes, value: bytes) -> None:
    for path in ("/async/read", "/async/conditional"):
        assert made.ask(path, headers=[(name, value)]).status < 500


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "FOO", "get", "\xff"]
)
def test_methods_are_an_answer_and_405_tells_which(door: Door, method: str) -> None:
    for path in ("/async/echo", "/plain/echo", "/methods", "/static/a.txt", "/int/1"):
        answer = door.ask(path, method=method)
        if answer.status == 405:
            assert answer.one(b"allow")
        answer = door.ask(path, method="OPTIONS")
        assert answer.status == 200
        assert b"OPTIONS" in (answer.one(b"allow") or b"")


def test_class_based_views_have_methods_of_http_alone(door: Door) -> None:
    assert door.ask("/methods").text == "got"
    assert door.ask("/methods", method="POST").text == "posted"
    for method in (
        "SECRET",
        "secret",
        "DISPATCH_REQUEST",
        "__CLASS__",
        "AS_VIEW",
        "INIT_EVERY_REQUEST",
    ):
        assert door.ask("/methods", method=method).status == 405


def test_head_has_no_body_and_the_same_headers(door: Door) -> None:
    for path in (
        "/async/echo",
        "/plain/echo",
        "/static/a.txt",
        "/plain/stream",
        "/nowhere",
        "/folder",
    ):
        got, head = door.ask(path), door.ask(path, method="HEAD")
        assert got.status == head.status
        assert head.body == b""
        changing = {b"date"}
        assert [pair for pair in got.headers if pair[0].lower() not in changing] == [
            pair for pair in head.headers if pair[0].lower() not in changing
        ]


def test_an_underscore_is_no_dash(door: Door) -> None:
    assert '"user":null' in door.ask(headers=[(b"x_user", b"evil")]).text
    both = [(b"x-user", b"good"), (b"x_user", b"evil")]
    for pairs in (both, both[::-1]):
        for path in ("/async/echo", "/plain/echo"):
            assert '"user":"good"' in door.ask(path, headers=pairs).text


def test_the_environ_has_no_underscored_header() -> None:
    door = Door()

    @door.app.after_request
    def look(response: Any) -> Any:
        if request.path == "/plain/echo":
            response.headers["X-Seen"] = request.environ.get("HTTP_X_USER", "nothing")
        return response

    try:
        pairs = [(b"x-user", b"good"), (b"x_user", b"evil")]
        assert door.ask("/plain/echo", headers=pairs).one(b"x-seen") == b"good"
        assert door.ask("/plain/echo", headers=pairs[1:]).one(b"x-seen") == b"nothing"
    finally:
        shutil.rmtree(door.folder)
