"""The request: its head, its URL, and its body in every form and size."""

from __future__ import annotations

import io
import itertools
import tempfile
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import create_environ

from aioflask import Request, Response, jsonify, request
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


@few_doors
def test_a_piece_may_end_soon_after_a_parts_head(flow: Flow) -> None:
    flow.route("/", methods=["POST"])(
        lambda: jsonify(len(request.files["f"].read()), request.form["a"])
    )
    kind = BOUNDARY + "Y" * 30
    mark, content = b"--XX" + b"Y" * 30, b"x" * 600_000
    field = b'\r\nContent-Disposition: form-data; name="a"\r\n\r\nfirst\r\n' + mark
    head = b'\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    for more in range(40):
        sent = [mark + field + head + content[:more], content[more:] + b"\r\n" + mark + b"--\r\n"]
        answer = pieces(flow, sent, content_type=kind)
        assert answer.json == [600_000, "first"], more
    sent = [mark + head, content + b"\r\n" + mark + field[:-36] + b"\r\n" + mark + b"--\r\n"]
    assert pieces(flow, sent, content_type=kind).json == [600_000, "first"]


@few_doors
@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
def test_a_piece_may_end_anywhere_in_a_boundary(flow: Flow, announced: bool) -> None:
    flow.route("/", methods=["POST"])(
        lambda: jsonify([request.files["f"].read()[-9:].decode(), request.form["a"]])
    )
    content = b"x" * 600_000 + b"the end"
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
    made: list[Any] = []

    class Own(Request):
        def _get_file_stream(self, *args: Any, **kwargs: Any) -> Any:
            made.append(tempfile.SpooledTemporaryFile())  # noqa: SIM115
            return made[-1]

    flow.app.request_class = Own
    flow.route("/", methods=["POST"])(lambda: request.files["f"].read())
    assert pieces(flow, [MULTIPART], content_type=BOUNDARY).data == b"file's\r\ntext"
    assert len(made) == 1 and made[0].closed


# --- before the view ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "form", "big upload"])
def test_load_body_gives_the_body_to_an_async_hook(flow: Flow, kind: str) -> None:
    async def hook() -> None:
        await request.load_body()
        await request.load_body()
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
            request.max_content_length = None

    flow.app.config["MAX_CONTENT_LENGTH"] = 10
    flow.app.before_request(flow.paint(raise_limit, hooks))
    flow.route("/", methods=["POST"])(READERS["data"])
    assert flow.post("/", data=b"x" * 100).status == 413
    assert flow.post("/?big=1", data=b"x" * 100).json == 100


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


def test_the_limit_of_fields_is_for_multipart_alone(flow: Flow) -> None:
    """As in Flask; a form in a query's syntax is limited as a whole."""
    flow.app.config["MAX_FORM_MEMORY_SIZE"] = 10
    flow.route("/", methods=["POST"])(READERS["form"])
    assert pieces(flow, [b"a=" + b"x" * 20], content_type=FORM_TYPE).json == 1


def test_a_big_multipart_body_keeps_to_the_form_limits_while_it_arrives(flow: Flow) -> None:
    field = b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 300_000 + b"\r\n"
    flow.route("/", methods=["POST"])(READERS["form"])
    body = cut(field * 3 + b"--XX--\r\n", 65_536)
    assert pieces(flow, body, content_type=BOUNDARY).json == 1
    flow.app.config["MAX_FORM_MEMORY_SIZE"] = 200_000
    assert pieces(flow, body, content_type=BOUNDARY).status == 413
