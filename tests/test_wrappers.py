"""Our lazy request and response against Werkzeug's own, over the same input."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from copy import copy, deepcopy
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers, ImmutableMultiDict, MultiDict
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Request as TheirRequest
from werkzeug.wrappers import Response as TheirResponse

from aioflask import Flask, Request, Response, g, request
from aioflask.body import fields_of
from aioflask.concurrency import nonblocking
from aioflask.environ import build_environ, scope_from_environ

MANY = settings(max_examples=80, deadline=None)
Field = tuple[bytes, bytes]


def scope_of(headers: list[Field] | None = None, query: bytes = b"", **more: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"example.test")] if headers is None else headers,
        "server": ("127.0.0.1", 8000),
        "client": ("10.0.0.1", 1234),
    }
    return usual | more


def both(scope: dict[str, Any]) -> tuple[Request, TheirRequest]:
    environ = build_environ(scope)
    environ["wsgi.input"] = io.BytesIO()
    return Request.from_scope(scope), TheirRequest(environ)


def outcome(read: Callable[[], Any]) -> Any:
    """A value in a form that compares, or the exception's class."""
    try:
        value = read()
    except Exception as error:
        return type(error)
    return list(value.items(multi=True)) if isinstance(value, MultiDict) else value


def differences(ours: Any, theirs: Any, names: str) -> dict[str, Any]:
    found = {}
    for name in names.split():
        pair = outcome(lambda: getattr(ours, name)), outcome(lambda: getattr(theirs, name))  # noqa: B023
        if pair[0] != pair[1] and str(pair[0]) != str(pair[1]):
            found[name] = pair
    return found


# -- the query string and forms ----------------------------------------------------------------

QUERIES = st.one_of(
    st.text(st.sampled_from("ab=&+%20;é[]\x00 "), max_size=20),
    st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=5).map(
        lambda pairs: "&".join(f"{quote(k)}={quote(v)}" for k, v in pairs)
    ),
    st.lists(st.binary(max_size=4), max_size=4).map(lambda v: "&".join(map(quote, v))),
)


@MANY
@given(QUERIES)
@example("%ff=%e9&a=%")
@example("a=1&a=2&&=&b&+=%2B")
def test_fields_are_what_the_standard_library_parses(text: str) -> None:
    theirs = parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote")
    made = fields_of(ImmutableMultiDict, text)
    assert type(made) is ImmutableMultiDict and made == ImmutableMultiDict(theirs)
    assert list(made.lists()) == list(MultiDict(theirs).lists())
    assert fields_of(list, text) == theirs


@MANY
@given(QUERIES.map(str.encode))
def test_args_are_werkzeugs(query: bytes) -> None:
    ours, theirs = both(scope_of(query=query))
    assert differences(ours, theirs, "args query_string full_path url values") == {}
    assert ours.args == theirs.args and type(ours.args) is type(theirs.args)
    assert ours.args.to_dict(flat=False) == theirs.args.to_dict(flat=False)


@MANY
@given(QUERIES, st.sampled_from(["", "; charset=utf-8", ";charset=latin-1"]), st.booleans())
def test_forms_are_werkzeugs(text: str, parameters: str, upper: bool) -> None:
    kind = "application/x-www-form-urlencoded"
    body = text.encode()
    builder = EnvironBuilder("/", method="POST", input_stream=io.BytesIO(body))
    builder.content_type = (kind.upper() if upper else kind) + parameters
    environ = builder.get_environ() | {"CONTENT_LENGTH": str(len(body))}
    theirs = TheirRequest(environ)
    scope = scope_from_environ(environ)
    del scope["aioflask.environ"]
    ours = Request.from_scope(scope)
    ours._cached_data = body
    assert ours.form == theirs.form and ours.files == theirs.files
    assert type(ours.form) is type(theirs.form) and ours.data == body


def test_a_query_string_that_is_no_utf8_is_replaced_where_werkzeug_fails() -> None:
    ours, theirs = both(scope_of(query=b"a=\xff"))
    assert ours.args["a"] == "\ufffd"
    assert outcome(lambda: theirs.args) is UnicodeDecodeError


def test_the_storage_class_of_a_subclass_is_used() -> None:
    class Storage(ImmutableMultiDict[str, str]):
        pass

    class Own(Request):
        parameter_storage_class = Storage

    args = Own.from_scope(scope_of(query=b"b=1&a=2&b=3")).args
    assert type(args) is Storage and args.getlist("b") == ["1", "3"]


# -- headers, cookies, URL ---------------------------------------------------------------------

NAMES = (
    "method scheme is_secure host host_url url base_url root_url url_root path full_path root_path"
    " script_root query_string remote_addr access_route content_type content_length mimetype"
    " mimetype_params is_json accept_mimetypes accept_languages accept_encodings authorization"
    " cache_control if_match if_none_match if_modified_since if_range range referrer origin date"
    " max_forwards pragma user_agent cookies want_form_data_parsed content_encoding is_multithread"
    " access_control_request_method access_control_request_headers"
)
VALUES = {
    b"host": [b"example.test", b"example.test:8000", b"EXAMPLE.test", b"[::1]:80", b"b\xc3\xbc.de"],
    b"accept": [b"text/html;q=0.5, application/json", b"*/*", b"a/b;q=x", b""],
    b"accept-language": [b"de, en;q=0.5", b"de-CH"],
    b"accept-encoding": [b"gzip, br;q=0"],
    b"content-type": [b"text/plain", b"application/JSON; charset=utf-8", b"multipart/form-data"],
    b"content-length": [b"0", b"12", b"-1", b"many"],
    b"authorization": [b"Basic dTpw", b"Bearer t", b"Basic =", b"Digest a=b"],
    b"cookie": [b"a=1; b=2; a=3", b'a="x\\073y"; =; ;c', b"\xc3\xa9=\xc3\xa9", b"a=%20"],
    b"if-none-match": [b'"a", W/"b"', b"*"],
    b"if-modified-since": [b"Mon, 23 Nov 2026 03:00:00 GMT", b"yesterday"],
    b"if-range": [b'"a"'],
    b"range": [b"bytes=0-10", b"bytes=5"],
    b"cache-control": [b"no-cache, max-age=5"],
    b"x-forwarded-for": [b"1.2.3.4, 5.6.7.8"],
    b"user-agent": [b"Tool/1.0"],
    b"origin": [b"http://other.test"],
    b"referer": [b"/from"],
    b"date": [b"Mon, 23 Nov 2026 03:00:00 GMT"],
    b"x-1st-name": [b"\xe9", b" "],
}
FIELDS = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 5), max_size=8).map(
    lambda chosen: [(name, VALUES[name][n % len(VALUES[name])]) for name, n in chosen.items()]
)


@st.composite
def scopes(draw: st.DrawFn) -> dict[str, Any]:
    root = draw(st.sampled_from(["", "", "/mount", "/möunt"]))
    path = draw(
        st.sampled_from(["/", "/a/b", "/é ß", "/a%2Fb", "//a//b", "/mounted", "/%", "/a?b"])
    )
    return scope_of(
        draw(FIELDS),
        draw(st.sampled_from([b"", b"a=1", b"\xff", b"q=%C3%A9"])),
        path=root + path,
        raw_path=quote(root + path).encode(),
        root_path=root + draw(st.sampled_from(["", "/"])) if root else "",
        method=draw(st.sampled_from(["GET", "POST", "get", "ODD"])),
        scheme=draw(st.sampled_from(["http", "https"])),
        server=draw(
            st.sampled_from([("127.0.0.1", 8000), ("::1", 443), ("/run/sock", None), None])
        ),
        client=draw(st.sampled_from([("10.0.0.1", 1), None])),
        http_version=draw(st.sampled_from(["1.0", "1.1", "2"])),
    )


@MANY
@given(scopes())
def test_headers_cookies_and_url_are_werkzeugs(scope: dict[str, Any]) -> None:
    ours, theirs = both(scope)
    assert sorted(ours.headers) == sorted(theirs.headers)
    if scope["server"] is None or scope["server"][1] is None:
        return  # WSGI has no word for a server without a port, and guesses the host from it.
    assert differences(ours, theirs, NAMES) == {}


@MANY
@given(scopes())
def test_an_environ_and_a_scope_say_the_same(scope: dict[str, Any]) -> None:
    environ = build_environ(scope)
    again = build_environ(scope_from_environ(environ))
    for made in (environ, again):
        del made["asgi.scope"]
        assert made.pop("SERVER_NAME") and made.pop("SERVER_PORT") is not None
        made.pop("RAW_URI"), made.pop("REQUEST_URI"), made.pop("REMOTE_PORT", None)
    assert again == environ


def test_fields_sent_twice_are_joined_as_servers_of_wsgi_do() -> None:
    pairs = [(b"x-forwarded-for", b"1.1.1.1"), (b"accept", b"text/html"), (b"cookie", b"a=1")]
    more = [(b"x-forwarded-for", b"2.2.2.2"), (b"accept", b"text/css"), (b"cookie", b"b=2")]
    ours, theirs = both(scope_of(pairs + more))
    assert dict(ours.cookies) == dict(theirs.cookies) == {"a": "1", "b": "2"}
    assert differences(ours, theirs, "access_route accept_mimetypes") == {}
    assert ours.headers["X-Forwarded-For"] == theirs.headers["X-Forwarded-For"]


def test_a_field_with_an_underscore_does_not_pass_for_one_with_a_dash() -> None:
    ours, theirs = both(scope_of([(b"x_user", b"root")]))
    assert "X-User" not in ours.headers and "X-User" not in theirs.headers
    assert "HTTP_X_USER" not in ours.environ


def test_request_headers_cannot_be_changed() -> None:
    headers = Request.from_scope(scope_of()).headers
    for change in ("add", "set", "__setitem__", "setdefault"):
        with pytest.raises(TypeError):
            getattr(headers, change)("X", "y")
    headers.clear()
    assert len(headers) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda headers: headers["X-Missing"],
        lambda headers: headers["host"],
        lambda headers: headers[0],
        lambda headers: headers[0:1],
        lambda headers: headers.get(5),
        lambda headers: headers.get(5, "default"),
        lambda headers: 5 in headers,
        lambda headers: "HOST" in headers,
        lambda headers: headers.copy(),
        lambda headers: copy(headers),
        lambda headers: headers | {"X": "y"},
        lambda headers: headers.clear(),
        lambda headers: list(Headers(headers)),
    ],
)
def test_request_headers_answer_as_werkzeugs(ask: Callable[[Any], Any]) -> None:
    """A missing one is a plain KeyError, which is no 400 but the view's fault."""
    ours, theirs = both(scope_of())
    assert outcome(lambda: ask(ours.headers)) == outcome(lambda: ask(theirs.headers))


def test_build_environ_has_what_pep_3333_wants() -> None:
    environ = build_environ(
        scope_of(
            [(b"host", b"h:1"), (b"content-type", b"a/b"), (b"x-a", b"1"), (b"x-a", b"2")],
            b"a=\xff",
            path="/m/é",
            raw_path=b"/m/%C3%A9",
            root_path="/m",
            method="POST",
        )
    )
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/m",
        "PATH_INFO": "/é".encode().decode("latin-1"),
        "QUERY_STRING": "a=ÿ",
        "RAW_URI": "/m/%C3%A9?a=ÿ",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "10.0.0.1",
        "CONTENT_TYPE": "a/b",
        "HTTP_X_A": "1,2",
        "HTTP_HOST": "h:1",
        "wsgi.url_scheme": "http",
    }
    assert {key: environ[key] for key in expected} == expected
    assert "HTTP_CONTENT_TYPE" not in environ


def test_the_environ_of_a_request_is_one_and_keeps_changes() -> None:
    ours = Request.from_scope(scope_of())
    ours.environ["my.key"] = 1
    assert ours.environ["my.key"] == 1 and ours.environ["werkzeug.request"] is ours


def test_a_request_class_with_a_constructor_of_its_own_is_given_an_environ() -> None:
    class Own(Request):
        def __init__(self, environ: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(environ, *args, **kwargs)
            self.made_from = environ["PATH_INFO"]

    made = Own.from_scope(scope_of(query=b"a=1", path="/p"))
    assert made.made_from == made.path == "/p" and made.args["a"] == "1"


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_such_a_class_may_put_a_stream_of_its_own_around_the_body(colour: str) -> None:
    class Upper:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def read(self, size: int = -1) -> bytes:
            return bytes(self.stream.read(size).upper())

    class Own(Request):
        def __init__(self, environ: Any) -> None:
            environ["wsgi.input"] = Upper(environ["wsgi.input"])
            super().__init__(environ)

    app = Flask("wrappers_test")
    app.request_class = Own

    async def view_async() -> bytes:
        return request.get_data()

    app.add_url_rule(
        "/", "view", view_async if colour != "def" else lambda: request.get_data(), methods=["POST"]
    )
    assert app.test_client().post("/", data=b"text").text == "TEXT"


@pytest.mark.parametrize("read", ["form", "files", "data", "stream", "get_data"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain"])
def test_a_shallow_request_reads_no_body(read: str, kind: str) -> None:
    environ = EnvironBuilder("/", method="POST", data=b"x", content_type=kind).get_environ()
    made = [cls(environ, shallow=True) for cls in (Request, TheirRequest)]
    for each in made:
        with pytest.raises(RuntimeError, match="shallow"):
            getattr(each, read)()


# -- the response ------------------------------------------------------------------------------

BODIES = st.sampled_from(
    [None, "", "text", "é", b"", b"bytes", bytearray(b"x"), ["a", b"b"], ("a",)]
)
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(
            [None, 200, 204, 404, 299, "201", "200 FINE", "FINE", HTTPStatus.CREATED, "", -1]
        ),
        "headers": st.sampled_from(
            [
                *(None, {}, {"X-A": "1"}, [("X-A", "1"), ("X-A", "2")], {"Content-Type": "a/b"}),
                *({"X-A": ["1", "2"]}, Headers({"Location": "/é"}), {"Content-Length": "99"}),
            ]
        ),
        "mimetype": st.sampled_from([None, "text/html", "text/css", "application/json", "x"]),
        "content_type": st.sampled_from([None, "text/x; charset=latin-1"]),
        "direct_passthrough": st.booleans(),
    },
)
CHANGES: list[Callable[[Any], Any]] = [
    lambda r: None,
    lambda r: r.headers.add("X-More", "1"),
    lambda r: r.headers.__setitem__("X-A", "new"),
    lambda r: r.headers.__setitem__("content-type", "c/d"),
    lambda r: r.headers.__setitem__("X-N", 1),
    lambda r: r.headers.__setitem__("X-N", "a\nb"),
    lambda r: r.headers.update({"X-A": ["1", "2"]}),
    lambda r: r.set_cookie("a", "é b", max_age=5, samesite="Lax"),
    lambda r: r.delete_cookie("a"),
    lambda r: r.set_data("new"),
    lambda r: setattr(r, "data", b"more"),
    lambda r: setattr(r, "response", ["a", "b"]),
    lambda r: setattr(r, "status", "418 POT"),
    lambda r: setattr(r, "status_code", 500),
    lambda r: setattr(r, "mimetype", "text/css"),
    lambda r: setattr(r, "content_type", "text/css"),
    lambda r: setattr(r, "content_length", 7),
    lambda r: r.vary.add("Cookie"),
    lambda r: r.cache_control.__setattr__("max_age", 5),
    lambda r: r.add_etag(),
    lambda r: r.freeze(),
    lambda r: r.make_sequence(),
    lambda r: r.stream.write(b"streamed"),
    lambda r: r.mimetype_params.__setitem__("charset", "latin-1"),
]
SHOWN = (
    "status status_code headers data content_length content_type mimetype mimetype_params"
    " is_sequence is_streamed direct_passthrough json vary cache_control"
)


class Theirs(TheirResponse):
    """Werkzeug's class with the defaults that Flask gives it."""

    default_mimetype = "text/html"
    autocorrect_location_header = False


def everything(response: Any) -> dict[str, Any]:
    """What can be read of a response, and what a WSGI server would be given."""
    environ = EnvironBuilder("/").get_environ()
    shown = {name: str(outcome(lambda: getattr(response, name))) for name in SHOWN.split()}  # noqa: B023
    shown["wsgi"] = str(outcome(lambda: response.get_wsgi_headers(environ)))
    shown["body"] = str(outcome(lambda: b"".join(response.iter_encoded())))
    response.close()
    return shown


@MANY
@given(BODIES, ARGUMENTS, st.lists(st.sampled_from(CHANGES), max_size=3))
def test_responses_are_werkzeugs(body: Any, arguments: dict[str, Any], changes: list[Any]) -> None:
    made: list[Any] = []
    for kind in (Response, Theirs):
        own = deepcopy({"response": body, **arguments})
        response = outcome(lambda: kind(**own))  # noqa: B023
        if isinstance(response, type):  # The exception that was raised.
            made.append(response)
            continue
        raised = [outcome(lambda: change(response)) for change in changes]  # noqa: B023
        errors = [each for each in raised if isinstance(each, type)]
        made.append((errors, everything(response)))
    assert made[0] == made[1]


def test_a_plain_response_takes_a_status_of_any_kind() -> None:
    for status in (201, "201", "201 CREATED", HTTPStatus.CREATED):
        response = Response("x", status)
        assert (response.status_code, response.status) == (201, "201 CREATED")


def test_what_is_set_on_the_instance_wins_over_what_is_worked_out() -> None:
    response = Response("x")
    response.response = [b"other"]
    assert response.data == b"other"
    headers = Headers({"X": "y"})
    response.headers = headers
    assert response.headers is headers


def test_force_type_makes_ours_of_werkzeugs() -> None:
    theirs = TheirResponse("x", 201, {"X-A": "1"})
    ours = Response.force_type(theirs)
    assert type(ours) is Response and ours is theirs
    assert ours.data == b"x" and ours.status == "201 CREATED" and ours.headers["X-A"] == "1"
    same = Response("y")
    assert Response.force_type(same) is same and same.data == b"y"


def test_functions_are_called_on_close_once_each_and_in_order() -> None:
    calls: list[str] = []
    response = Response("x")
    response.call_on_close(lambda: calls.append("first"))
    response.call_on_close(lambda: calls.append("second"))
    with response:
        pass
    assert calls == ["first", "second"]


@pytest.mark.anyio
async def test_a_response_is_closed_when_it_was_sent() -> None:
    app, closed = Flask("wrappers_test"), list[str]()

    @app.get("/")
    async def view() -> Response:
        response = Response("x")
        response.call_on_close(lambda: closed.append("closed"))
        return response

    async with app.async_client() as client:
        assert (await client.get("/")).text == "x"
    assert closed == ["closed"]


# -- subclasses --------------------------------------------------------------------------------


class Shouting(Response):
    def set_data(self, value: bytes | str) -> None:
        super().set_data(value.upper())


class Stamped(Response):
    def get_wsgi_headers(self, environ: Any) -> Headers:
        headers = super().get_wsgi_headers(environ)
        headers["X-Path"] = environ["PATH_INFO"]
        return headers


class Absolute(Response):
    autocorrect_location_header = True


class Wrapping(Response):
    def get_app_iter(self, environ: Any) -> Any:
        return [b"<", *super().get_app_iter(environ), b">"]


class Called(Response):
    def __call__(self, environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            return start_response(status, [*headers, ("X-Called", "yes")], exc_info)

        return super().__call__(environ, start)


class Aware(Response):
    def get_wsgi_headers(self, environ: Any) -> Headers:
        headers = super().get_wsgi_headers(environ)
        headers["X-Seen"] = request.path + g.seen
        return headers


class Worded(Response):
    default_status = "203 Here It Is"  # type: ignore[assignment]


class Untyped(Response):
    default_mimetype = None


class Text(Response):
    default_mimetype = "text/plain"
    default_status = 203


class Unmeasured(Response):
    automatically_set_content_length = False


@pytest.mark.parametrize("colour", ["def", "async def"])
@pytest.mark.parametrize(
    ("kind", "text", "field"),
    [
        (Shouting, "HI", ("Content-Length", "2")),
        (Stamped, "hi", ("X-Path", "/p")),
        (Absolute, "hi", ("Location", "http://localhost/to")),
        (Response, "hi", ("Location", "/to")),
        (Wrapping, "<hi>", ("Content-Type", "text/html; charset=utf-8")),
        (Text, "hi", ("Content-Type", "text/plain; charset=utf-8")),
        (Unmeasured, "hi", ("Content-Length", None)),
        (Called, "hi", ("X-Called", "yes")),
        (Aware, "hi", ("X-Seen", "/p!")),
        (Worded, "hi", ("Content-Length", "2")),
        (Untyped, "hi", ("Content-Type", None)),
    ],
)
def test_what_a_subclass_replaces_is_called(
    kind: type[Response], text: str, field: tuple[str, str | None], colour: str
) -> None:
    app = Flask("wrappers_test")
    app.response_class = kind

    def view() -> Any:
        g.seen = "!"
        response = app.make_response("hi")
        if kind not in (Worded, Untyped):  # These differ in what nobody touches.
            response.headers["Location"] = "/to"
        if kind is Wrapping:
            del response.headers["Content-Length"]
        return response

    async def view_async() -> Any:
        return view()

    app.add_url_rule("/p", "p", view if colour == "def" else view_async)
    answer = app.test_client().get("/p")
    assert answer.text == text and answer.headers.get(field[0]) == field[1]
    assert answer.status_code == (203 if kind in (Text, Worded) else 200)


@pytest.mark.parametrize("kind", [Stamped, Called])
@pytest.mark.parametrize("written", [False, True])
def test_what_a_subclass_makes_of_a_stream_is_closed_once(
    kind: type[Response], written: bool
) -> None:
    app, calls = Flask("wrappers_test"), list[str]()

    class Kind(kind):  # type: ignore[misc, valid-type]
        def __call__(self, environ: Any, start_response: Any) -> Any:
            def start(*args: Any) -> Any:
                write = start_response(*args)
                if written:
                    write(b"written ")
                return write

            return super().__call__(environ, start)

    @app.get("/")
    def view() -> Response:
        response: Response = Kind(text for text in ("a", "b"))
        response.call_on_close(lambda: calls.append("closed"))
        return response

    assert app.test_client().get("/").text == ("written ab" if written else "ab")
    assert calls == ["closed"]


def test_what_a_subclass_makes_of_an_environ_leaves_an_async_stream_alone() -> None:
    app = Flask("wrappers_test")

    @app.get("/p")
    async def view() -> Response:
        async def stream() -> AsyncIterator[str]:
            yield "a"
            yield "b"

        return Stamped(stream())

    answer = app.test_client().get("/p")
    assert (answer.text, answer.headers["X-Path"]) == ("ab", "/p")


def test_a_subclass_made_by_hand_is_as_lazy_as_ours() -> None:
    assert "_headers" not in vars(Text("x")) and "_headers" in vars(Shouting("x"))


@pytest.mark.parametrize("door", ["asgi", "wsgi"])
def test_a_response_of_ours_becomes_one_of_the_apps_class_that_changes_header_fields(
    door: str,
) -> None:
    class Tagged(Response):
        def get_wsgi_headers(self, environ: Any) -> Any:
            headers = super().get_wsgi_headers(environ)
            headers["X-Tag"] = "tagged"
            return headers

    app = Flask("wrappers_test", static_folder=None)
    app.response_class = Tagged
    app.add_url_rule("/", "view", nonblocking(lambda: Response("text")))
    client = app.test_client()
    for _ in range(2):
        if door == "asgi":
            answer: Any = client.get("/")
        else:
            answer = Client(app.wsgi_app).get("/")
        assert (answer.text, answer.headers["X-Tag"]) == ("text", "tagged")


def test_a_request_class_with_a_new_of_its_own_has_it_called() -> None:
    class Numbered(Request):
        number = 0

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            made = super().__new__(cls)
            made.number = 7
            return made

    def view() -> str:
        seen: Any = request
        return str(seen.number)

    app = Flask("wrappers_test", static_folder=None)
    app.request_class = Numbered
    app.add_url_rule("/", "view", nonblocking(view))
    assert app.test_client().get("/").text == "7"
