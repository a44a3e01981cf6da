"""What clients send that is wrong: the 4xx that fits, through `errorhandler`, and never a 500."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.exceptions import HTTPException
from werkzeug.test import create_environ

from aioflask import Request, jsonify, request, session
from tests.flow.doors import Answer, Flow, few_doors

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"
PART = b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n'


@pytest.fixture
def strict(flow: Flow) -> Flow:
    """An app that answers all HTTP errors in JSON, by a handler of the other colour."""

    def answer(error: HTTPException) -> Any:
        return jsonify(code=error.code, name=error.name), error.code

    other = "def" if flow.colour == "async" else "async"
    flow.app.register_error_handler(HTTPException, flow.paint(answer, other))
    return flow


def send(flow: Flow, body: list[bytes], content_type: str | None, **environ: Any) -> Answer:
    made = create_environ("/", method="POST")
    made["CONTENT_LENGTH"] = str(sum(map(len, body)))
    if content_type is not None:
        made["CONTENT_TYPE"] = content_type
    made.update(environ)
    return flow.send({key: value for key, value in made.items() if value is not None}, body)


def refused(answer: Answer, code: int) -> None:
    assert (answer.status, answer.headers["Content-Type"]) == (code, JSON), answer
    assert answer.json["code"] == code


# --- JSON --------------------------------------------------------------------------------------


@few_doors
@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b'{"a": 1,}', JSON, 400),
        (b"{'a': 1}", JSON, 400),
        (b'"\xff"', JSON, 400),
        (b"\xff\xfe[\x001\x00]\x00", JSON, 400),
        (b"NaN", JSON, 400),
        (b"[Infinity]", JSON, 400),
        (b"[1] [2]", JSON, 400),
        (b'"\x00"', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"[" * 100_000 + b"]" * 100_000, JSON, 400),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON, 400),
        (b"1" * 100_000, JSON, 400),
        (b"{}", None, 415),
        (b"{}", "text/plain", 415),
        (b"{}", "application/jsonish", 415),
        (b"{}", "nonsense", 415),
        (b"{}", FORM, 415),
    ],
    ids=lambda value: repr(value[:16]) if isinstance(value, bytes) else None,
)
def test_json(strict: Flow, body: bytes, kind: str | None, code: int) -> None:
    strict.route("/", methods=["POST"])(lambda: jsonify(request.get_json()))
    refused(send(strict, [body[i : i + 65_536] for i in range(0, len(body), 65_536)], kind), code)


@few_doors
def test_deep_json_that_is_silent_is_none(flow: Flow) -> None:
    flow.route("/", methods=["POST"])(lambda: jsonify(request.get_json(silent=True)))
    assert send(flow, [b"[" * 100_000 + b"]" * 100_000], JSON).json is None


@few_doors
@pytest.mark.parametrize("body", [b"{", b"[" * 100_000 + b"]" * 100_000, b"NaN"])
def test_a_request_class_of_ones_own_answers_bad_json(flow: Flow, body: bytes) -> None:
    class Own(Request):
        def on_json_loading_failed(self, e: ValueError | None) -> Any:
            return {"own": isinstance(e, ValueError)}

    flow.app.request_class = Own
    flow.route("/", methods=["POST"])(lambda: request.get_json())
    assert send(flow, [body], JSON).json == {"own": True}


@few_doors
@pytest.mark.parametrize(("debug", "told"), [(True, True), (False, False)])
def test_what_is_wrong_is_told_in_debug_alone(flow: Flow, debug: bool, told: bool) -> None:
    flow.app.debug = debug
    flow.route("/", methods=["POST"])(lambda: jsonify(request.get_json()))
    answer = send(flow, [b"{"], JSON)
    assert answer.status == 400
    assert ("Failed to decode JSON" in answer.text) is told


# --- forms -------------------------------------------------------------------------------------


@few_doors
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", PART + b"1\r\n--XX--\r\n"),
        (MULTIPART, b""),
        (MULTIPART, b"nothing of the kind"),
        (MULTIPART, PART + b"1\r\n--XX"),
        (MULTIPART, PART + b"1"),
        (MULTIPART, b"--XX\r\nContent-Type: text/plain\r\n\r\n1\r\n--XX--\r\n"),
        (MULTIPART, b"--XX\r\n\xff\xff: x\r\n\r\n1\r\n--XX--\r\n"),
        (MULTIPART, b"--XX\r\n" + b"x" * 1_000),
        (FORM, b"a=%FF%FE&%"),
        (FORM, b"\xff\xff=\xff"),
        (FORM, b"&" * 10_000),
        (FORM, b"a=1&" * 50_000),
    ],
    ids=lambda value: repr(value[:24]),
)
@pytest.mark.parametrize("big", [False, True], ids=["", "big"])
def test_malformed_forms_are_empty_or_refused(
    strict: Flow, kind: str, body: bytes, big: bool
) -> None:
    """A big body is parsed while it arrives, and breaks in the midst of it."""
    if big and kind.startswith("multi"):
        upload = PART.replace(b'"a"', b'"f"; filename="f"') + b"x" * 2_600_000 + b"\r\n"
        body = upload + body
    strict.route("/", methods=["POST"])(
        lambda: jsonify(form=len(request.form), files=len(request.files))
    )
    pieces = [body[i : i + 65_536] for i in range(0, len(body), 65_536)]
    answer = send(strict, pieces, kind)
    assert answer.status in (200, 400, 413), answer
    if answer.status == 200:
        assert set(answer.json) == {"form", "files"}
    else:
        refused(answer, answer.status)


@few_doors
@pytest.mark.parametrize(
    "read",
    [
        lambda: request.form["b"],
        lambda: request.args["b"],
        lambda: request.files["b"],
        lambda: request.cookies["b"],
        lambda: request.values["b"],
    ],
)
def test_a_missing_key_is_a_400(strict: Flow, read: Any) -> None:
    strict.route("/", methods=["POST"])(lambda: str(read()))
    refused(send(strict, [b"a=1"], FORM), 400)


@few_doors
def test_a_key_error_of_the_view_stays_a_500(strict: Flow) -> None:
    strict.route("/", methods=["POST"])(lambda: str({"a": 1}["b"]))
    refused(send(strict, [b"a=1"], FORM), 500)


# --- sizes -------------------------------------------------------------------------------------


@few_doors
@pytest.mark.parametrize("read", ["json", "data", "form"])
@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
def test_too_large_a_body_is_a_413(strict: Flow, read: str, announced: bool) -> None:
    strict.app.config["MAX_CONTENT_LENGTH"] = 100_000
    strict.route("/", methods=["POST"])(lambda: jsonify(len(getattr(request, read))))
    environ: dict[str, Any] = {}
    if not announced:
        environ = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}
        environ["wsgi.input_terminated"] = True
    kind = {"json": JSON, "data": "text/plain", "form": MULTIPART}[read]
    body = PART + b"x" * 60_000 if read == "form" else b'"' + b"x" * 60_000
    refused(send(strict, [body, b"x" * 60_000], kind, **environ), 413)


@few_doors
@pytest.mark.parametrize("length", ["-1", "ten", "1e3", "", "0x10", "9" * 40])
def test_a_wrong_content_length_is_no_500(strict: Flow, length: str) -> None:
    """A server refuses most of these; what comes through must not break."""
    strict.app.config["MAX_CONTENT_LENGTH"] = 1_000
    strict.route("/", methods=["POST"])(lambda: jsonify(len(request.get_data())))
    answer = send(strict, [b"body"], "text/plain", CONTENT_LENGTH=length)
    assert answer.status in (200, 400, 413), answer


@few_doors
@pytest.mark.parametrize("kind", ["text/plain", JSON, FORM, MULTIPART])
def test_a_client_that_leaves_in_the_midst_of_its_body_is_a_400(strict: Flow, kind: str) -> None:
    strict.route("/", methods=["POST"])(lambda: jsonify(len(request.get_data()), request.form))
    refused(send(strict, [b"x" * 10], kind, CONTENT_LENGTH="1000"), 400)


# --- the head ----------------------------------------------------------------------------------


@few_doors
@pytest.mark.parametrize("method", ["BREW", "get", "TRACE", "CONNECT", "M-SEARCH", "X" * 1_000])
def test_an_unknown_method_is_a_405(strict: Flow, method: str) -> None:
    strict.route("/")(lambda: "ok")
    environ = create_environ("/")
    environ["REQUEST_METHOD"] = method
    answer = strict.send(environ, [])
    if method == "get":  # COMPAT: Werkzeug's request has its method in capitals.
        assert answer.text == "ok"
    else:
        refused(answer, 405)


@few_doors
@pytest.mark.parametrize(
    "host",
    [
        "a b",
        "a/b",
        "a?b",
        "<script>",
        "a@b",
        "[::1",
        "a:b",
        "a:80:80",
        "h\u00e9",
        "a#b",
        "\\",
        "a:65536",
    ],
)
@pytest.mark.parametrize("trusted", [None, ["localhost"]])
def test_a_bad_host_is_a_400(strict: Flow, host: str, trusted: list[str] | None) -> None:
    strict.app.config["TRUSTED_HOSTS"] = trusted
    strict.route("/")(lambda: request.url)
    environ = create_environ("/")
    environ["HTTP_HOST"] = host
    refused(strict.send(environ, []), 400)


@few_doors
def test_a_host_that_is_not_trusted_is_a_400(strict: Flow) -> None:
    strict.app.config["TRUSTED_HOSTS"] = ["example.org"]
    strict.route("/")(lambda: "ok")
    refused(strict.get(base_url="http://other.org/"), 400)
    assert strict.get(base_url="http://example.org/").text == "ok"


@few_doors
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COOKIE", "=;;;a=\u00ff;b"),
        ("COOKIE", "session=" + "x" * 5_000),
        ("COOKIE", 'session="unfinished'),
        ("AUTHORIZATION", "Basic !!!"),
        ("AUTHORIZATION", "Digest"),
        ("AUTHORIZATION", "\u00ff"),
        ("ACCEPT", ";;q=x,,/"),
        ("ACCEPT_LANGUAGE", "de;q=nan"),
        ("IF_NONE_MATCH", '"unfinished'),
        ("IF_MODIFIED_SINCE", "yesterday"),
        ("RANGE", "bytes=9-1"),
        ("RANGE", "pages=a-b"),
        ("CACHE_CONTROL", "max-age=x"),
        ("CONTENT_ENCODING", "nonsense"),
        ("X_FORWARDED_FOR", "\x00"),
    ],
)
def test_headers_that_make_no_sense_break_nothing(strict: Flow, name: str, value: str) -> None:
    def view() -> Any:
        return [
            len(request.cookies),
            str(request.authorization),
            str(request.accept_mimetypes),
            str(request.accept_languages),
            str(request.if_none_match),
            str(request.if_modified_since),
            str(request.range),
            str(request.cache_control),
            len(session),
        ]

    strict.route("/")(view)
    environ = create_environ("/")
    environ[f"HTTP_{name}"] = value
    assert strict.send(environ, []).status == 200


@few_doors
@pytest.mark.parametrize(
    "path", ["/%FF", "/%00", "/%2e%2e/x", "/%0d%0aX: 1", "//", "/" + "x/" * 2_000, "/\ud83d\ude00"]
)
def test_paths_that_make_no_sense_are_404_or_a_value(strict: Flow, path: str) -> None:
    from urllib.parse import unquote_to_bytes

    strict.app.add_url_rule("/<name>", "view", strict.paint(lambda name: name.encode()))
    environ = create_environ("/")
    raw = path.encode("utf-16", "surrogatepass").decode("utf-16")
    environ["PATH_INFO"] = unquote_to_bytes(raw).decode("latin-1")
    assert strict.send(environ, []).status in (200, 404, 308)


@few_doors
@pytest.mark.parametrize("query", ["%FF=%FE", "&&&", "a=%zz", "=", "a" * 10_000, "a=\u00ff"])
def test_queries_that_make_no_sense_are_read_as_far_as_they_go(flow: Flow, query: str) -> None:
    flow.route("/")(lambda: jsonify(len(request.args), request.url[:5]))
    environ = create_environ("/")
    environ["QUERY_STRING"] = query
    answer = flow.send(environ, [])
    assert answer.status == 200 and answer.json[1] == "http:"


@few_doors
@pytest.mark.parametrize("path", ["/", "/nowhere", "/page/x"])
def test_an_error_handler_may_read_the_bad_body(flow: Flow, path: str) -> None:
    """Also where no view matched: a plain handler reads it, an async one loads it first."""

    def plain(error: HTTPException) -> Any:
        return request.get_data(), error.code

    async def loop(error: HTTPException) -> Any:
        await request.load_body()
        return request.get_data(), error.code

    flow.app.register_error_handler(HTTPException, plain if flow.colour == "def" else loop)
    flow.route("/", methods=["POST"])(lambda: request.get_json())
    flow.app.add_url_rule("/page/<int:n>", "page", lambda n: "")
    answer = flow.post(path, data=b"{bad", content_type=JSON)
    assert (answer.status, answer.text) == (400 if path == "/" else 404, "{bad")
