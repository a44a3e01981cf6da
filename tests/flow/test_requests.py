"""The request: its head, its URL, and its body in every form and size."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import tempfile
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser
from werkzeug.test import create_environ

from aioflask import Request, Response, g, jsonify, request
from tests.flow.doors import COLOURS, Answer, Flow, few_doors

JSON = "application/json"
BOUNDARY = "multipart/form-data; boundary=XX"


def seen(flow: Flow, ask: Any, *args: Any, **kwargs: Any) -> Any:
    """What a view sees of a request, through JSON."""
    flow.route("/", defaults={"rest": ""}, methods=["GET", "POST"])(lambda rest: jsonify(ask()))
    flow.app.add_url_rule("/<path:rest>", "view_rest", flow.paint(lambda rest: jsonify(ask())))
    answer = flow.request(*args, **kwargs)
    assert answer.status == 200, answer
    return answer.json


def pieces(flow: Flow, data: list[bytes], announced: bool = True, *, content_type: str) -> Answer:
    """POST a body that arrives in pieces, with its Content-Length or chunked without it."""
    environ = create_environ("/", method="POST")
    environ["CONTENT_TYPE"] = content_type
    if announced:
        environ["CONTENT_LENGTH"] = str(sum(map(len, data)))
    else:
        environ.pop("CONTENT_LENGTH", None)
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        environ["wsgi.input_terminated"] = True
    return flow.send(environ, data)


# --- the head ----------------------------------------------------------------------------------


@few_doors
@few_doors
@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda: request.args["q"], "\u00e4 &"),
        (lambda: request.args.getlist("many"), ["1", "2"]),
        (lambda: request.args.get("many", type=int), 1),
        (lambda: request.args.get("q", 7, type=int), 7),
        (lambda: request.args.to_dict(), {"q": "\u00e4 &", "many": "1", "empty": ""}),
        (lambda: request.values["q"], "\u00e4 &"),
        (lambda: request.query_string.decode(), "q=%C3%A4+%26&many=1&many=2&empty="),
        (lambda: request.method, "GET"),
        (lambda: request.path, "/a b/\u00e9"),
        (lambda: request.full_path, "/a b/\u00e9?q=%C3%A4+%26&many=1&many=2&empty="),
        (lambda: request.base_url, "https://example.org:8443/a%20b/\u00e9"),
        (lambda: request.url_root, "https://example.org:8443/"),
        (lambda: request.host_url, "https://example.org:8443/"),
        (lambda: request.root_url, "https://example.org:8443/"),
        (lambda: request.host, "example.org:8443"),
        (lambda: request.scheme, "https"),
        (lambda: request.is_secure, True),
        (lambda: request.script_root, ""),
        (lambda: request.remote_addr, "10.0.0.9"),
        (lambda: request.access_route[0], "10.0.0.9"),
        (lambda: request.headers["X-One"], "1"),
        (lambda: request.headers.get("x-one"), "1"),
        (lambda: "X-None" in request.headers, False),
        (lambda: dict(request.headers)["X-One"], "1"),
        (lambda: request.cookies.to_dict(), {"a": "1", "b": "two words"}),
        (lambda: request.user_agent.string, "Tester/1.0"),
        (lambda: request.referrer, "http://from/"),
        (lambda: request.accept_mimetypes.best_match(["text/html", "application/json"]), JSON),
        (lambda: request.accept_languages.best_match(["en", "de"]), "de"),
        (lambda: list(request.accept_encodings.values()), ["gzip", "br"]),
        (lambda: request.authorization and request.authorization.username, "user"),
        (lambda: request.if_none_match.contains("v1"), True),
        (lambda: str(request.if_modified_since), "2026-01-02 03:04:05+00:00"),
        (lambda: request.cache_control.max_age, 5),
        (lambda: request.range and request.range.ranges, [[0, 10]]),
        (lambda: request.content_length, None),
        (lambda: request.content_type, None),
        (lambda: request.mimetype, ""),
        (lambda: request.is_json, False),
        (lambda: request.endpoint, "view_rest"),
        (lambda: request.url_rule and request.url_rule.rule, "/<path:rest>"),
        (lambda: request.view_args, {"rest": "a b/\u00e9"}),
        (lambda: request.blueprint, None),
        (lambda: request.blueprints, []),
        (lambda: request.get_data(as_text=True), ""),
        (lambda: request.form.to_dict(), {}),
        (lambda: request.files.to_dict(), {}),
        (lambda: request.stream.read().decode(), ""),
        (lambda: request.get_json(silent=True), None),
        (lambda: request.environ["PATH_INFO"], "/a b/\u00c3\u00a9"),
        (lambda: request.environ["REQUEST_METHOD"], "GET"),
        (lambda: request.environ["HTTP_X_ONE"], "1"),
        (lambda: request.environ["wsgi.url_scheme"], "https"),
        (lambda: request.environ["REMOTE_ADDR"], "10.0.0.9"),
    ],
    ids=itertools.count(),
)
def test_the_head_of_a_request(flow: Flow, ask: Any, expected: Any) -> None:
    got = seen(
        flow,
        ask,
        "/a b/\u00e9?q=%C3%A4+%26&many=1&many=2&empty=",
        base_url="https://example.org:8443/",
        environ_base={"REMOTE_ADDR": "10.0.0.9"},
        headers={
            "X-One": "1",
            "Cookie": 'a=1; b="two words"',
            "User-Agent": "Tester/1.0",
            "Referer": "http://from/",
            "Accept": "text/html;q=0.5, application/json",
            "Accept-Language": "de, en;q=0.8",
            "Accept-Encoding": "gzip, br;q=0.5",
            "Authorization": "Basic dXNlcjpwYXNz",
            "If-None-Match": '"v1", "v2"',
            "If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 GMT",
            "Cache-Control": "max-age=5",
            "Range": "bytes=0-9",
        },
    )
    assert got == expected


def test_a_mounted_app_sees_its_prefix(flow: Flow) -> None:
    def ask() -> list[Any]:
        return [request.path, request.script_root, request.root_path, request.url]

    got = seen(flow, ask, "/in/side", base_url="http://h/mount")
    assert got == ["/in/side", "/mount", "/mount", "http://h/mount/in/side"]


@few_doors
@few_doors
@pytest.mark.parametrize("separate", [True, False])
def test_cookies_may_come_in_several_headers(flow: Flow, separate: bool) -> None:
    """As HTTP/2 allows (RFC 9113, 8.2.3)."""
    flow.route("/")(lambda: jsonify(request.cookies))
    environ = create_environ("/", headers={"Cookie": "a=1; b=2"})
    scope: dict[str, Any] = {}
    if separate:
        pairs = [(b"host", b"localhost"), (b"cookie", b"a=1"), (b"cookie", b"b=2")]
        scope = {"headers": pairs, "http_version": "2"}
    assert flow.send(environ, [], **scope).json == {"a": "1", "b": "2"}


def test_a_header_with_an_underscore_does_not_pose_as_another(flow: Flow) -> None:
    flow.route("/")(lambda: jsonify(request.environ.get("HTTP_X_USER")))
    environ = create_environ("/")
    answer = flow.send(environ, [], headers=[(b"host", b"localhost"), (b"x_user", b"root")])
    assert answer.json is None


# --- the body ----------------------------------------------------------------------------------

FORM = b"a=1&b=%C3%A4+%26&a=2&empty="
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART = (
    b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xc3\xa4\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nfile's\r\ntext\r\n--XX--\r\n"
)
CUTS = [(True, 1_000), (False, 7), (False, 1)]
"""Whether the length is announced, and how many bytes arrive at once."""


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@few_doors
@pytest.mark.parametrize(("announced", "size"), CUTS)
@pytest.mark.parametrize(
    ("kind", "body", "ask", "expected"),
    [
        (JSON, b'{"a": [1, "\xc3\xa4"]}', lambda: request.json, {"a": [1, "\u00e4"]}),
        (JSON, b"null", lambda: [request.get_json(), request.json], [None, None]),
        ("application/x+json", b"[1]", lambda: request.get_json(), [1]),
        ("text/plain", b"[1]", lambda: request.get_json(force=True), [1]),
        ("text/plain", b"[1]", lambda: request.get_json(silent=True), None),
        (JSON, b"[", lambda: request.get_json(silent=True), None),
        (FORM_TYPE, FORM, lambda: request.form.getlist("a"), ["1", "2"]),
        (FORM_TYPE, FORM, lambda: request.form["b"] + request.form["empty"], "\u00e4 &"),
        (FORM_TYPE, FORM, lambda: request.values.getlist("a"), ["1", "2"]),
        (FORM_TYPE, FORM, lambda: request.data.decode(), ""),
        (FORM_TYPE, FORM, lambda: request.get_data(as_text=True), FORM.decode()),
        (
            FORM_TYPE,
            FORM,
            lambda: [request.get_data(as_text=True), request.form["a"], len(request.data)],
            [FORM.decode(), "1", len(FORM)],
        ),
        (BOUNDARY, MULTIPART, lambda: request.form.getlist("a"), ["1", "\u00e4"]),
        (BOUNDARY, MULTIPART, lambda: request.files["f"].read().decode(), "file's\r\ntext"),
        (BOUNDARY, MULTIPART, lambda: request.files["f"].filename, "n.txt"),
        (BOUNDARY, MULTIPART, lambda: request.files["f"].mimetype, "text/plain"),
        (BOUNDARY, MULTIPART, lambda: len(request.get_data()), len(MULTIPART)),
        (
            BOUNDARY,
            MULTIPART,
            lambda: [len(request.get_data()), request.form["a"], request.files["f"].filename],
            [len(MULTIPART), "1", "n.txt"],
        ),
        ("text/plain", b"some text", lambda: request.data.decode(), "some text"),
        (
            "text/plain",
            b"some text",
            lambda: [request.get_data(as_text=True)] * 2,
            ["some text"] * 2,
        ),
        ("text/plain", b"some text", lambda: request.stream.read(4).decode(), "some"),
        ("text/plain", b"one\ntwo", lambda: request.stream.readlines()[1].decode(), "two"),
        ("text/plain", b"some text", lambda: request.form.to_dict(), {}),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_body_is_read_by_plain_calls(
    flow: Flow, announced: bool, size: int, kind: str, body: bytes, ask: Any, expected: Any
) -> None:
    flow.route("/", methods=["POST"])(lambda: jsonify(ask()))
    answer = pieces(flow, cut(body, size), announced, content_type=kind)
    assert (answer.status, answer.json) == (200, expected)


def test_values_joins_query_and_form_for_a_post(flow: Flow) -> None:
    got = seen(
        flow,
        lambda: request.values.to_dict(flat=False),
        "/?a=0&q=1",
        method="POST",
        data={"a": "1"},
    )
    assert got == {"a": ["0", "1"], "q": ["1"]}


@pytest.mark.parametrize("body", [b"", None])
def test_an_empty_body_is_empty(flow: Flow, body: bytes | None) -> None:
    ask = lambda: [request.get_data(as_text=True), request.form, request.stream.read().decode()]  # noqa: E731
    assert seen(flow, ask, "/", method="POST", data=body) == ["", {}, ""]


def test_a_body_that_nobody_reads_does_no_harm(flow: Flow) -> None:
    flow.route("/", methods=["POST"])(lambda: "ok")
    for data in (b"x" * 200_000, MULTIPART):
        assert pieces(flow, cut(data, 65_536), content_type=BOUNDARY).text == "ok"


def test_a_404_and_a_405_leave_the_body_alone(flow: Flow) -> None:
    flow.route("/get")(lambda: "ok")
    assert flow.post("/nowhere", data=b"x" * 1000).status == 404
    assert flow.post("/get", data=b"x" * 1000).status == 405


# --- uploads -----------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
def test_a_big_upload_is_spooled_to_disk_and_closed(flow: Flow, announced: bool) -> None:
    content = bytes(range(256)) * 8_192  # 2 MiB
    files: list[FileStorage] = []

    def view() -> Any:
        upload = request.files["f"]
        files.append(upload)
        on_disk = not isinstance(getattr(upload.stream, "_file", upload.stream), io.BytesIO)
        return jsonify(same=upload.read() == content, on_disk=on_disk, a=request.form["a"])

    flow.route("/", methods=["POST"])(view)
    head = b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nfirst\r\n--XX\r\n'
    head += b'Content-Disposition: form-data; name="f"; filename="big"\r\n\r\n'
    body = head + content + b"\r\n--XX--\r\n"
    answer = pieces(flow, cut(body, 60_000), announced, content_type=BOUNDARY)
    assert answer.json == {"same": True, "on_disk": True, "a": "first"}
    assert files[0].stream.closed


def test_an_upload_that_is_held_in_memory_is_a_file_that_may_still_go_to_disk(flow: Flow) -> None:
    content = bytes(range(256)) * 4_096  # 1 MiB

    def view() -> Any:
        upload = request.files["f"]
        in_memory = isinstance(getattr(upload.stream, "_file", None), io.BytesIO)
        same = upload.read() == content
        upload.stream.write(b"more")
        size = os.fstat(upload.stream.fileno()).st_size  # Which only a file on disk has.
        upload.stream.seek(-5, os.SEEK_END)
        return jsonify([in_memory, same, size, upload.read().decode("latin-1")])

    flow.route("/", methods=["POST"])(view)
    head = b'--XX\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    answer = pieces(flow, cut(head + content + b"\r\n--XX--\r\n", 60_000), content_type=BOUNDARY)
    assert answer.json == [True, True, len(content) + 4, "\xffmore"]


@few_doors
def test_a_piece_may_end_soon_after_a_parts_head(flow: Flow) -> None:
    flow.route("/", methods=["POST"])(
        lambda: jsonify(len(request.files["f"].read()), request.form["a"])
    )
    kind = BOUNDARY + "Y" * 30
    mark, content = b"--XX" + b"Y" * 30, b"x" * 2_600_000
    field = b'\r\nContent-Disposition: form-data; name="a"\r\n\r\nfirst\r\n' + mark
    head = b'\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    for more in range(40):
        sent = [mark + field + head + content[:more], content[more:] + b"\r\n" + mark + b"--\r\n"]
        answer = pieces(flow, sent, content_type=kind)
        assert answer.json == [2_600_000, "first"], more
    sent = [mark + head, content + b"\r\n" + mark + field[:-36] + b"\r\n" + mark + b"--\r\n"]
    assert pieces(flow, sent, content_type=kind).json == [2_600_000, "first"]


@few_doors
@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
def test_a_piece_may_end_anywhere_in_a_boundary(flow: Flow, announced: bool) -> None:
    flow.route("/", methods=["POST"])(
        lambda: jsonify([request.files["f"].read()[-9:].decode(), request.form["a"]])
    )
    content = b"x" * 2_600_000 + b"the end"
    head = b'--XX\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    inner = b'\r\n--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nfield'
    for after, closing in (
        (head + content, inner + b"\r\n--XX--\r\n"),
        (inner[2:] + b"\r\n" + head + content, b"\r\n--XX--\r\n"),
    ):
        for end in range(1, 12):
            sent = [after + closing[:end], closing[end:]]
            answer = pieces(flow, sent, announced, content_type=BOUNDARY)
            assert answer.json == ["xxthe end", "field"], (end, answer)


def test_a_boundary_may_stand_in_what_comes_before_an_incomplete_one(flow: Flow) -> None:
    """Here with the line ends of Unix, and with a closing boundary in the data."""
    flow.route("/", methods=["POST"])(lambda: jsonify(request.form))
    part = b'--XX\nContent-Disposition: form-data; name="a"\n\n'
    for data in (b"\r\n", b"1\r\n", b"\n"):
        body = part + data + b"\r\n--XX--\n--XX--\n"
        assert pieces(flow, [body], content_type=BOUNDARY).json == {"a": data.decode()}


@few_doors
@pytest.mark.parametrize("at", [65_536, 131_072])
def test_a_boundary_may_lie_anywhere_in_a_piece(flow: Flow, at: int) -> None:
    """Also where a parser that takes 64 KiB at once sees the half of it."""
    flow.route("/", methods=["POST"])(lambda: jsonify(request.files["f"].read()[-9:].decode()))
    head = b'--XX\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    for before in range(11):
        content = b"x" * (at - len(head) - before - 7) + b"the end"
        body = head + content + b"\r\n--XX--\r\n"
        assert pieces(flow, [body], content_type=BOUNDARY).json == "xxthe end", before


def test_a_stream_factory_of_ones_own_gets_the_file(flow: Flow) -> None:
    """It is asked by keywords, as Werkzeug does."""
    made: list[Any] = []
    asked: list[dict[str, Any]] = []

    class Own(Request):
        def _get_file_stream(self, **kwargs: Any) -> Any:  # type: ignore[override]
            asked.append(kwargs)
            made.append(tempfile.SpooledTemporaryFile())  # noqa: SIM115
            return made[-1]

    flow.app.request_class = Own
    flow.route("/", methods=["POST"])(lambda: request.files["f"].read())
    assert pieces(flow, [MULTIPART], content_type=BOUNDARY).data == b"file's\r\ntext"
    assert len(made) == 1 and made[0].closed
    length = len(MULTIPART)
    about = {"filename": "n.txt", "content_type": "text/plain", "content_length": 0}
    assert asked == [{"total_content_length": length, **about}]


# --- before the view ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "form", "big upload"])
def test_load_body_gives_the_body_to_an_async_hook(flow: Flow, kind: str) -> None:
    async def hook() -> None:
        for reading in (request.load_body(), request.load_body(), request.load_body()):
            await reading
        request.seen = (  # type: ignore[attr-defined]
            request.get_json()["a"] if kind == "json" else request.form["a"]
        )

    flow.app.before_request(hook)
    flow.route("/", methods=["POST"])(lambda: request.seen)  # type: ignore[attr-defined]
    if kind == "json":
        assert flow.post(json={"a": "1"}).text == "1"
    else:
        data: dict[str, Any] = {"a": "1"}
        if kind == "big upload":
            data["f"] = (io.BytesIO(b"x" * 700_000), "big")
        assert flow.post(data=data).text == "1"


def test_a_plain_hook_reads_the_body_by_plain_calls(flow: Flow) -> None:
    seen: list[Any] = []
    flow.app.before_request(lambda: seen.append(request.get_json()))

    @flow.app.after_request
    def after(response: Response) -> Response:
        seen.append(request.get_json())
        return response

    flow.route("/", methods=["POST"])(lambda: request.get_json())
    assert flow.post(json=[1]).json == [1]
    assert seen == [[1], [1]]


@pytest.mark.parametrize("hooks", COLOURS)
def test_a_hook_refuses_before_a_byte_is_read(flow: Flow, hooks: str) -> None:
    flow.app.before_request(flow.paint(lambda: ("no", 401), hooks))
    flow.route("/", methods=["POST"])(lambda: "never")
    environ = create_environ("/", method="POST", data=b"x")
    environ["CONTENT_LENGTH"] = "1000"  # more than ever comes: reading it would be a 400
    answer = flow.send(environ, [b"x"])
    assert (answer.status, answer.text) == (401, "no")


# --- the body as the environ has it ---------------------------------------------------------------


class Checksum:
    """What https://flask.palletsprojects.com/en/stable/patterns/requestchecksum/ shows."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.stream = environ["wsgi.input"]
        self.digest = hashlib.sha1()
        environ["wsgi.input"] = self

    def read(self, *args: Any) -> bytes:
        return self.note(self.stream.read(*args))

    def readline(self, *args: Any) -> bytes:
        return self.note(self.stream.readline(*args))

    def note(self, data: bytes) -> bytes:
        self.digest.update(data)
        return data


BODIES: dict[str, tuple[str, bytes, Any, Any]] = {
    "files": (BOUNDARY, MULTIPART, lambda: request.files["f"].read().decode(), "file's\r\ntext"),
    "multipart": (BOUNDARY, MULTIPART, lambda: request.form.getlist("a"), ["1", "\u00e4"]),
    "form": (FORM_TYPE, FORM, lambda: request.form["b"], "\u00e4 &"),
    "json": (JSON, b"[1]", lambda: request.get_json(), [1]),
    "data": ("text/plain", b"some text", lambda: request.data.decode(), "some text"),
    "stream": ("text/plain", b"some text", lambda: request.stream.read().decode(), "some text"),
}


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("where", ["view", *COLOURS])
def test_a_stream_around_the_environs_input_sees_all_that_is_read(
    flow: Flow, where: str, kind: str, announced: bool
) -> None:
    """It is put there by the view or, in a colour, by a hook."""
    content_type, body, read, expected = BODIES[kind]

    def wrap() -> None:
        g.checksum = Checksum(request.environ)

    if where != "view":
        flow.app.before_request(flow.paint(wrap, where))

    def view() -> Response:
        if where == "view":
            wrap()
        return jsonify(read(), g.checksum.digest.hexdigest())

    flow.route("/", methods=["POST"])(view)
    answer = pieces(flow, cut(body, 7), announced, content_type=content_type)
    assert answer.json == [expected, hashlib.sha1(body).hexdigest()]


def test_a_large_form_is_read_through_the_stream_that_a_hook_put_there(flow: Flow) -> None:
    """It is not parsed while it arrives, then; within MAX_BODY_MEMORY."""
    made: list[Checksum] = []
    flow.app.before_request(lambda: made.append(Checksum(request.environ)))
    flow.route("/", methods=["POST"])(lambda: request.files["f"].read())
    body = MULTIPART.replace(b"file's", b"x" * 2_600_000)
    answer = pieces(flow, cut(body, 65_536), content_type=BOUNDARY)
    assert answer.data == b"x" * 2_600_000 + b"\r\ntext"
    assert made[0].digest.digest() == hashlib.sha1(body).digest()


def test_the_environs_input_is_the_body(flow: Flow) -> None:
    def view() -> Response:
        body = request.environ["wsgi.input"]
        return jsonify(body.read(4).decode(), body.readline().decode(), body.read().decode())

    flow.route("/", methods=["POST"])(view)
    answer = flow.post(data=b"one, two\nthree", content_type="text/plain")
    assert answer.json == ["one,", " two\n", "three"]


def test_a_change_of_the_environ_is_one_of_the_headers(flow: Flow) -> None:
    def change() -> None:
        request.environ |= {"HTTP_X_NEW": "new", "CONTENT_TYPE": JSON, "HTTP_COOKIE": "a=1"}
        del request.environ["HTTP_X_OLD"]

    flow.app.before_request(change)
    flow.route("/", methods=["POST"])(
        lambda: [request.headers["X-New"], request.json, request.cookies["a"], *request.headers]
    )
    answer = flow.post(data="[1]", content_type="text/plain", headers={"X-Old": "old"}).json
    assert answer[:3] == ["new", [1], "1"]
    assert "X-Old" not in dict(answer[3:])


# --- forms that somebody else parses --------------------------------------------------------------


class Shouting(FormDataParser):
    """A parser of forms that makes the values loud."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        stream, form, files = super().parse(*args, **kwargs)
        return stream, self.cls({name: value.upper() for name, value in form.items()}), files


@pytest.mark.parametrize("size", [10, 2_600_000])
@pytest.mark.parametrize("by", ["class", "method"])
@pytest.mark.parametrize("kind", ["multipart", "urlencoded"])
def test_a_form_parser_of_ones_own_parses(flow: Flow, by: str, kind: str, size: int) -> None:
    class ByClass(Request):
        form_data_parser_class = Shouting

    class ByMethod(Request):
        def make_form_data_parser(self) -> FormDataParser:
            return Shouting(self._get_file_stream, cls=self.parameter_storage_class)

    flow.app.request_class = ByClass if by == "class" else ByMethod
    flow.route("/", methods=["POST"])(lambda: request.form["a"])
    data: dict[str, Any] = {"a": "loud"}
    if kind == "multipart":
        data["f"] = (io.BytesIO(b"x" * size), "f.txt")
    else:
        data["b"] = "x" * size
    assert flow.post(data=data).text == "LOUD"


# --- limits ------------------------------------------------------------------------------------

READERS = {
    "data": lambda: jsonify(len(request.get_data())),
    "json": lambda: jsonify(len(request.get_json())),
    "form": lambda: jsonify(len(request.form)),
    "stream": lambda: jsonify(len(request.stream.read())),
}


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("hooks", COLOURS)
def test_a_body_over_max_content_length_is_a_413(
    flow: Flow, reader: str, announced: bool, hooks: str
) -> None:
    flow.app.config["MAX_CONTENT_LENGTH"] = 1_000
    flow.app.register_error_handler(413, flow.paint(lambda e: ("handled", 413), hooks))
    flow.route("/", methods=["POST"])(READERS[reader])
    kind = {"json": JSON, "form": FORM_TYPE}.get(reader, "text/plain")
    answer = pieces(flow, [b"x" * 400] * 3, announced, content_type=kind)
    assert (answer.status, answer.text) == (413, "handled")
    small = pieces(flow, [b'"' + b"x" * 500, b'"'], announced, content_type=kind)
    assert small.status == 200, small


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
def test_a_view_that_reads_no_large_body_answers_as_in_flask(flow: Flow, announced: bool) -> None:
    """A plain view may leave a body alone; an `async def` one is asked after its body is read."""
    flow.app.config["MAX_CONTENT_LENGTH"] = 1_000
    flow.route("/", methods=["POST"])(lambda: "unread")
    status = pieces(flow, [b"x" * 2_000], announced, content_type="text/plain").status
    assert status == (200 if flow.colour == "def" else 413)


@pytest.mark.parametrize("hooks", COLOURS)
def test_a_hook_changes_the_limits_of_its_request(flow: Flow, hooks: str) -> None:
    def raise_limit() -> None:
        if request.args.get("big"):
            request.max_content_length = 1_000

    flow.app.config["MAX_CONTENT_LENGTH"] = 10
    flow.app.before_request(flow.paint(raise_limit, hooks))
    flow.route("/", methods=["POST"])(READERS["data"])
    assert flow.post("/", data=b"x" * 100).status == 413
    assert flow.post("/?big=1", data=b"x" * 100).json == 100


@pytest.mark.parametrize("reader", READERS)
def test_a_view_lowers_the_limit_of_its_request(flow: Flow, reader: str) -> None:
    """Also where the body has been read ahead."""

    def view() -> Response:
        request.max_content_length = int(request.args["limit"])
        return READERS[reader]()

    flow.route("/", methods=["POST"])(view)
    kind = {"json": JSON, "form": FORM_TYPE}.get(reader, "text/plain")
    body = b'"' + b"x" * 98 + b'"'
    for announced in (True, False):
        for limit, status in (("10", 413), ("100", 200)):
            environ = create_environ("/?limit=" + limit, method="POST", content_type=kind)
            environ["CONTENT_LENGTH"] = "100" if announced else ""
            if not announced:
                environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
            assert flow.send(environ, [body]).status == status, (announced, limit)


@pytest.mark.parametrize("name", ["max_content_length", "max_form_memory_size"])
def test_a_class_has_limits_of_its_own_also_from_later_on(
    flow: Flow, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(Request):
        pass

    flow.app.request_class = Own
    flow.route("/", methods=["POST"])(READERS["form"])
    assert flow.post("/", data={"a": "b" * 100}).status == 200
    monkeypatch.setattr(Own, name, 50, raising=False)
    assert flow.post("/", data={"a": "b" * 100}).status == 413
    monkeypatch.undo()
    monkeypatch.setattr(Request, name, 50)
    assert flow.post("/", data={"a": "b" * 100}).status == 413


def test_of_two_limits_the_smaller_one_is_named(flow: Flow) -> None:
    flow.route("/", methods=["POST"])(READERS["data"])
    for content, memory in ((100, 10), (10, 100)):
        flow.app.config.update(MAX_CONTENT_LENGTH=content, MAX_BODY_MEMORY=memory)
        answer = flow.post("/", data=b"x" * 200)
        assert answer.status == 413
        if flow.colour == "async" and flow.loop is not None:  # It is read ahead as a whole.
            name = "MAX_BODY_MEMORY" if memory < content else "MAX_CONTENT_LENGTH"
            assert name in answer.text, answer.text


def test_the_limit_is_lowered_after_a_large_form_was_parsed(flow: Flow) -> None:
    def view() -> Response:
        request.max_content_length = 1_000
        return READERS["form"]()

    flow.route("/", methods=["POST"])(view)
    assert flow.post(data={"f": (io.BytesIO(b"x" * 2_600_000), "f.txt")}).status == 413


def test_a_limit_of_none_is_the_configurations(flow: Flow) -> None:
    """As in Flask: to raise a limit for one request, give it a number."""

    def view() -> Response:
        request.max_content_length = request.max_form_parts = None
        request.max_form_memory_size = request.max_body_memory = None
        limits = [request.max_content_length, request.max_form_parts]
        return jsonify([*limits, request.max_form_memory_size, request.max_body_memory])

    names = ("MAX_CONTENT_LENGTH", "MAX_FORM_PARTS", "MAX_FORM_MEMORY_SIZE", "MAX_BODY_MEMORY")
    flow.app.config.update(zip(names, (1, 2, 3, 4), strict=True))
    flow.route("/")(view)
    assert flow.get().json == [1, 2, 3, 4]


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
def test_what_is_held_in_memory_has_a_cap_of_its_own(flow: Flow, announced: bool) -> None:
    flow.app.config["MAX_BODY_MEMORY"] = 1_000_000
    flow.route("/", methods=["POST"])(READERS["data"])
    answer = pieces(flow, [b"x" * 60_000] * 20, announced, content_type="text/plain")
    if flow.loop is None:  # By WSGI the body is read as Werkzeug reads it.
        assert answer.status in (200, 413)
    else:
        assert answer.status == 413
        assert "MAX_BODY_MEMORY" in answer.text


@pytest.mark.parametrize(
    ("setting", "value", "kind", "body"),
    [
        (
            "MAX_FORM_MEMORY_SIZE",
            10,
            BOUNDARY,
            MULTIPART.replace(b"\r\n1\r\n", b"\r\n12345678901\r\n"),
        ),
        ("MAX_FORM_PARTS", 2, BOUNDARY, MULTIPART),
    ],
)
def test_forms_have_limits_of_their_own(
    flow: Flow, setting: str, value: int, kind: str, body: bytes
) -> None:
    flow.route("/", methods=["POST"])(READERS["form"])
    assert pieces(flow, [body], content_type=kind).status == 200
    flow.app.config[setting] = value
    assert pieces(flow, [body], content_type=kind).status == 413


def test_the_limit_of_fields_is_for_urlencoded_forms_too(flow: Flow) -> None:
    flow.app.config["MAX_FORM_MEMORY_SIZE"] = 10
    flow.route("/", methods=["POST"])(READERS["form"])
    assert pieces(flow, [b"a=" + b"x" * 8], content_type=FORM_TYPE).json == 1
    assert pieces(flow, [b"a=" + b"x" * 9], content_type=FORM_TYPE).status == 413


def test_a_big_multipart_body_keeps_to_the_form_limits_while_it_arrives(flow: Flow) -> None:
    field = b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 200_000 + b"\r\n"
    file = field.replace(b'name="a"', b'name="f"; filename="f"')
    flow.route("/", methods=["POST"])(READERS["form"])
    body = cut(field * 2 + file * 2 + b"--XX--\r\n", 65_536)
    assert pieces(flow, body, content_type=BOUNDARY).json == 1
    flow.app.config["MAX_FORM_MEMORY_SIZE"] = 300_000
    assert pieces(flow, body, content_type=BOUNDARY).status == 413
