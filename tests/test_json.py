"""JSON has Flask's bytes, whichever library wrote them, and request bodies are read strictly."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import http
import io
import json
import math
import sys
import typing as t
import uuid
from collections import OrderedDict, defaultdict, namedtuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.datastructures import MultiDict
from werkzeug.http import http_date

import aioflask
from aioflask import Flask
from aioflask.json import provider as provider_module
from aioflask.json.provider import DefaultJSONProvider, JSONProvider

Point = namedtuple("Point", "x y")
APP = Flask(__name__)
JSON = DefaultJSONProvider(APP)


class Text(str):
    pass


class Count(int):
    pass


class Ratio(float):
    pass


class Rows(list[t.Any]):
    def __iter__(self) -> t.Iterator[t.Any]:
        yield "first"
        yield from super().__iter__()


class Colour(enum.Enum):
    RED = "red"
    NONE = None
    NAN = math.nan


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Note:
    title: str
    at: t.Any = None


class Widget:
    def __html__(self) -> str:
        return "<b>é</b>"


def as_flask_writes(obj: t.Any) -> bytes:
    """What Flask's provider gives `json.dumps`, and what `response()` puts behind it."""
    text = json.dumps(
        obj, default=JSON.default, ensure_ascii=True, sort_keys=True, separators=(",", ":")
    )
    return f"{text}\n".encode()


def outcome(call: t.Callable[[t.Any], t.Any], value: t.Any) -> t.Any:
    try:
        return repr(call(value))
    except Exception as e:
        return type(e)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.floats(-1e-3, 1e-3),
    st.floats(1e14, 1e18),
    st.text(),
    st.text('\x00\x1f"\\/\x7f\x80 aeé0123456789e+-.,]}\n\ud800\U0001f600', max_size=8),
    st.sampled_from(["null", "5e10,", "1e5", "0.00001"]),
    st.text(max_size=5).map(Text),
    st.text(max_size=5).map(Markup),
    st.integers().map(Count),
    st.floats().map(Ratio),
    st.datetimes(),
    st.datetimes(timezones=st.just(datetime.UTC)),
    st.datetimes(
        min_value=datetime.datetime(2, 1, 1),
        max_value=datetime.datetime(9998, 1, 1),
        timezones=st.just(datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
    ),
    st.dates(),
    st.times(),
    st.uuids(),
    st.decimals(),
    st.binary(max_size=3),
    st.sampled_from([Widget(), Level.LOW, http.HTTPStatus.OK, *Colour]),
    st.builds(Note, st.text(max_size=3), st.floats() | st.datetimes()),
)
KEYS = st.text(max_size=4) | st.text("aé\ud800\U0001f600\uffff", max_size=2)
ODD_KEYS = st.one_of(KEYS, st.integers(), st.none(), st.text(max_size=2).map(Text), st.floats())


def nest(inner: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    objects = st.dictionaries(KEYS, inner, max_size=4)
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(Rows),
        st.builds(Point, inner, inner),
        objects,
        objects.map(OrderedDict),
        objects.map(lambda items: defaultdict(list, items)),
        st.dictionaries(KEYS, st.lists(inner, min_size=1, max_size=2), max_size=3).map(MultiDict),
        st.dictionaries(ODD_KEYS, inner, max_size=2),
    )


@settings(max_examples=1500, deadline=None)
@given(st.recursive(LEAVES, nest, max_leaves=12))
def test_bodies_are_what_the_standard_library_writes(obj: t.Any) -> None:
    assert outcome(JSON.dump_bytes, obj) == outcome(as_flask_writes, obj)


@given(st.lists(st.floats(), min_size=1))
def test_floats_of_every_magnitude_are_written_as_python_writes_them(numbers: list[float]) -> None:
    assert JSON.dump_bytes(numbers) == as_flask_writes(numbers)


NOTHING_OR_NAN = st.none() | st.just(math.nan) | st.just("null") | st.floats()


@given(
    st.dictionaries(KEYS, NOTHING_OR_NAN | st.lists(NOTHING_OR_NAN)) | st.lists(NOTHING_OR_NAN),
    st.sampled_from([0, 40]),
)
def test_a_null_is_not_taken_for_a_nan(obj: t.Any, more: int) -> None:
    obj = obj | dict.fromkeys(map(str, range(more))) if type(obj) is dict else [None] * more + obj
    assert outcome(JSON.dump_bytes, obj) == outcome(as_flask_writes, obj)


PLAIN = [
    {"message": "Hello, World!"},
    [{"id": i, "name": f"n{i}", "ratio": i / 8, "none": None, "yes": True} for i in range(9)],
    {"at": datetime.datetime(2026, 1, 2, 3, 4, 5), "id": uuid.UUID(int=5), "d": decimal.Decimal(1)},
    [uuid.UUID("12345e67-9e12-4e34-8e56-7e891e234e56"), Markup("<b>"), Point(1, 2), Level.LOW],
]


@pytest.mark.skipif(provider_module.orjson is None, reason="orjson is not installed")
@pytest.mark.parametrize("obj", PLAIN)
def test_ordinary_data_takes_the_fast_way(obj: t.Any) -> None:
    assert provider_module._dump_fast(obj) == as_flask_writes(obj)


@pytest.mark.parametrize("obj", PLAIN)
def test_without_orjson_the_bytes_are_the_same(obj: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written = JSON.dump_bytes(obj)
    monkeypatch.setattr(provider_module, "orjson", None)
    assert JSON.dump_bytes(obj) == written
    assert JSON.load_body(written) == json.loads(written)


def test_a_dict_with_items_of_its_own_is_written_by_them() -> None:
    assert JSON.dump_bytes(MultiDict([("a", "1"), ("a", "2")])) == b'{"a":"1"}\n'


def test_dates_are_http_dates_in_gmt() -> None:
    east = datetime.timezone(datetime.timedelta(hours=9))
    for value in (
        datetime.date(1975, 1, 5),
        datetime.datetime(973, 3, 11, 6, 30, 45, 99),
        datetime.datetime(2017, 12, 31, 23, 34, 56, tzinfo=datetime.UTC),
        datetime.datetime(2017, 1, 1, 2, 34, 56, tzinfo=east),
    ):
        assert JSON.dumps(value) == json.dumps(http_date(value))


def test_other_types_are_written_as_flask_writes_them() -> None:
    some_id = uuid.UUID(bytes=b"\xde\xad\xbe\xef" * 4)
    assert JSON.dumps(some_id) == f'"{some_id}"'
    assert JSON.dumps(decimal.Decimal("0.003")) == '"0.003"'
    assert JSON.dumps(Note("a")) == '{"at": null, "title": "a"}'
    assert JSON.dumps(Widget()) == '"<b>\\u00e9</b>"'


def test_an_enum_member_is_written_by_its_value() -> None:
    assert JSON.dump_bytes([Colour.RED, "é"]) == b'["red","\\u00e9"]\n'
    assert JSON.dump_bytes([Colour.RED, "e"]) == b'["red","e"]\n'


def test_an_unknown_type_is_named_with_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"type set is not JSON serializable.*app\.json\.default"):
        JSON.dump_bytes({"tags": {1}})
    with pytest.raises(TypeError, match="type type is not JSON serializable"):
        JSON.dumps(Note)


def test_settings_of_the_provider_are_followed() -> None:
    json_ = DefaultJSONProvider(APP)
    json_.ensure_ascii = False
    assert json_.dump_bytes({"b": 1, "a": "é"}) == '{"a":"é","b":1}\n'.encode()
    json_.sort_keys = False
    assert json_.dump_bytes({"b": 1, "a": "é"}) == '{"b":1,"a":"é"}\n'.encode()
    json_.default = lambda o: "?"
    assert json_.dump_bytes([{1}]) == b'["?"]\n'


def test_settings_of_the_class_are_followed_also_later(monkeypatch: pytest.MonkeyPatch) -> None:
    json_ = DefaultJSONProvider(APP)
    assert json_.dump_bytes({"b": 1, "a": 2}) == b'{"a":2,"b":1}\n'
    monkeypatch.setattr(DefaultJSONProvider, "sort_keys", False)
    assert json_.dump_bytes({"b": 1, "a": 2}) == b'{"b":1,"a":2}\n'
    monkeypatch.setattr(DefaultJSONProvider, "dumps", lambda self, obj, **kwargs: "[]")
    monkeypatch.setattr(DefaultJSONProvider, "loads", lambda self, data, **kwargs: "own")
    assert json_.dump_bytes(1) == b"[]\n" and json_.load_body(b"1") == "own"


def test_responses_are_compact_unless_in_debug_mode() -> None:
    app = Flask(__name__)
    assert app.json.dump_bytes({"b": [1], "a": []}) == b'{"a":[],"b":[1]}\n'
    app.debug = True
    assert app.json.dump_bytes({"b": [1]}) == b'{\n  "b": [\n    1\n  ]\n}\n'
    assert isinstance(app.json, DefaultJSONProvider)
    app.json.compact = True
    assert app.json.dump_bytes({"b": [1]}) == b'{"b":[1]}\n'


def test_an_overridden_dumps_writes_the_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shouting(DefaultJSONProvider):
        def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
            return super().dumps(obj, **kwargs).upper()

    assert Shouting(APP).dump_bytes(["a"]) == b'["A"]\n'
    json_ = DefaultJSONProvider(APP)
    monkeypatch.setattr(json_, "dumps", lambda obj, **kwargs: "[]")
    assert json_.dump_bytes(["a"]) == b"[]\n"


def test_a_provider_for_another_library_needs_dumps_and_loads_only() -> None:
    class Repr(JSONProvider):
        def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
            return repr(obj)

        def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
            return s

    json_ = Repr(APP)
    assert json_.dump_bytes("é") == "'é'".encode()
    assert json_.load_body(b"x") == b"x"
    response = json_.response(1, 2)
    assert (response.data, response.mimetype) == (b"(1, 2)", "application/json")
    with pytest.raises(NotImplementedError, match="must define dumps"):
        JSONProvider(APP).dumps(1)
    with pytest.raises(NotImplementedError, match="must define loads"):
        JSONProvider(APP).loads("1")


class OfBytes(JSONProvider):
    """What everybody writes for a library whose `dumps` gives bytes."""

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> t.Any:
        return json.dumps(obj, separators=(",", ":")).encode()

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return json.loads(s)


def answering(response_class: type[aioflask.Response] = aioflask.Response) -> Flask:
    app = Flask(__name__)
    app.response_class = response_class

    @app.post("/dict")
    def plain() -> t.Any:
        return {"got": aioflask.request.get_json()}

    @app.post("/jsonify")
    async def jsonified() -> t.Any:
        return aioflask.jsonify(got=aioflask.request.get_json())

    @app.post("/with-status")
    async def with_status() -> t.Any:
        return {"got": aioflask.request.get_json()}, 201

    return app


VIEWS = [("/dict", 200), ("/jsonify", 200), ("/with-status", 201)]


@pytest.mark.parametrize(("path", "status"), VIEWS)
def test_a_provider_whose_dumps_gives_bytes_answers(path: str, status: int) -> None:
    app = answering()
    app.json = OfBytes(app)
    response = app.test_client().post(path, json={"a": "é"})
    assert (response.status_code, response.mimetype) == (status, "application/json")
    assert response.data == b'{"got":{"a":"\\u00e9"}}'
    with app.app_context():
        file = io.BytesIO()
        aioflask.json.dump([1], t.cast(t.Any, file))
    assert file.getvalue() == b"[1]"


@pytest.mark.parametrize("provider_class", [DefaultJSONProvider, OfBytes])
@pytest.mark.parametrize(("path", "status"), VIEWS)
def test_a_response_class_of_ones_own_is_given_text(
    path: str, status: int, provider_class: type[JSONProvider]
) -> None:
    bodies = []

    class Own(aioflask.Response):
        def __init__(self, response: t.Any = None, *args: t.Any, **kwargs: t.Any) -> None:
            bodies.append(response)
            super().__init__(response, *args, **kwargs)

    app = answering(Own)
    app.json = provider_class(app)
    response = app.test_client().post(path, json={"a": "é"})
    assert (response.status_code, response.get_json()) == (status, {"got": {"a": "é"}})
    assert bodies[0] == response.text


# --- request bodies --------------------------------------------------------------------------


def strictly(data: bytes) -> t.Any:
    """RFC 8259 with the standard library: the reference that `load_body` is held against."""

    def finite(text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise ValueError(text)
        return number

    value = json.loads(data.decode("utf-8"), parse_constant=finite, parse_float=finite)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def load_outcome(call: t.Callable[[bytes], t.Any], data: bytes) -> t.Any:
    try:
        return repr(call(data))
    except ValueError:
        return ValueError


@settings(max_examples=500, deadline=None)
@given(
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**80), 2**80),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(),
        ),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=15,
    ),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_every_valid_body_is_read_as_the_standard_library_reads_it(
    value: t.Any, ascii_only: bool, indent: int | None
) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert repr(JSON.load_body(data)) == repr(json.loads(data))


NUMBERS = ["0", "1", "-0", "12345678901234567890", "9223372036854775808", "1e400", "1.5e-7", "12."]
WORDS = ["NaN", "Infinity", "-Infinity", "true", "null", '"a"', "-9223372036854775809"]
ESCAPES = ["\\", "\\u", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\u0000", "\\n", "\\x", "\\/"]
MARKS = [*"{}[],:\"-+.eE' \n\x00\x0c\x7f", "é", "\ufeff", "\u2028"]
PIECES = st.sampled_from([*NUMBERS, *WORDS, *ESCAPES, *MARKS])


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(PIECES, max_size=9).map("".join), st.sampled_from(["{}", "[{}]", '"{}"', '["{}",1]'])
)
def test_broken_bodies_are_refused_where_the_standard_library_refuses(
    text: str, around: str
) -> None:
    data = around.replace("{}", text).encode()
    unmarked = data.removeprefix(b"\xef\xbb\xbf")
    assert load_outcome(JSON.load_body, data) == load_outcome(strictly, unmarked)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"malformed",
        b"[NaN]",
        b"[-Infinity]",
        b"[1e999]",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'["\\ud800"]',
        b'{"\\udfff": 1}',
        '["utf-16"]'.encode("utf-16"),
        '["utf-32"]'.encode("utf-32"),
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"1" * 5_000,
    ],
    ids=lambda data: repr(data[:20]),
)
@pytest.mark.parametrize("orjson", [True, False])
@pytest.mark.parametrize("long_number", [True, False])
def test_a_bad_body_is_a_value_error(
    data: bytes, orjson: bool, long_number: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not orjson:
        monkeypatch.setattr(provider_module, "orjson", None)
    if long_number:  # takes the other way
        data = b'{"n":12345678901234567890,"x":' + data + b"}"
    with pytest.raises(ValueError):  # noqa: PT011
        JSON.load_body(data)


def test_integers_of_any_size_stay_integers() -> None:
    for number in (2**63, 2**64, -(2**63) - 1, 10**30, 10**18, -0):
        value = JSON.load_body(b'{"n": %d}' % number)["n"]
        assert (value, type(value)) == (number, int)


def test_a_byte_order_mark_is_skipped() -> None:
    assert JSON.load_body(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_an_overridden_loads_reads_the_bodies() -> None:
    class Hooked(DefaultJSONProvider):
        def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
            return super().loads(s, object_hook=lambda o: sorted(o), **kwargs)

    json_ = Hooked(APP)
    assert json_.load_body(b'{"b": 1, "a": NaN}') == ["a", "b"]
    with pytest.raises(ValueError, match="nested too deeply"):
        json_.load_body(b"[" * sys.getrecursionlimit() * 100)


# --- aioflask.json ---------------------------------------------------------------------------


def test_the_module_asks_the_active_application() -> None:
    app = Flask(__name__)
    assert isinstance(app.json, DefaultJSONProvider)
    app.json.ensure_ascii = False
    assert aioflask.json.dumps({"b": "é", "a": 1}) == '{"b": "\\u00e9", "a": 1}'
    with app.app_context():
        assert aioflask.json.dumps({"b": "é", "a": 1}) == '{"a": 1, "b": "é"}'
        assert aioflask.json.dumps([1], separators=(",", ";")) == "[1]"
        assert aioflask.json.loads(b"[NaN]", parse_constant=str) == ["NaN"]


@pytest.mark.parametrize("with_app", [True, False])
def test_the_module_writes_to_files_and_reads_from_them(with_app: bool) -> None:
    def round_trip() -> None:
        file = io.StringIO()
        aioflask.json.dump({"id": uuid.UUID(int=1)}, file)
        file.seek(0)
        assert aioflask.json.load(file) == {"id": str(uuid.UUID(int=1))}
        assert aioflask.json.load(io.BytesIO(b'{"a": 1}')) == aioflask.json.loads('{"a": 1}')

    if not with_app:
        return round_trip()
    with APP.app_context():
        round_trip()


def test_jsonify_takes_a_value_several_or_keywords() -> None:
    with APP.app_context():
        for response, body in (
            (aioflask.jsonify(), b"null\n"),
            (aioflask.jsonify(None), b"null\n"),
            (aioflask.jsonify([1]), b"[1]\n"),
            (aioflask.jsonify(1, "b"), b'[1,"b"]\n'),
            (aioflask.jsonify(b=1, a=2), b'{"a":2,"b":1}\n'),
        ):
            assert (response.data, response.mimetype) == (body, "application/json")
        with pytest.raises(TypeError, match="either args or kwargs"):
            aioflask.jsonify(1, a=2)


def test_the_content_type_of_responses_can_be_set() -> None:
    app = Flask(__name__)
    assert isinstance(app.json, DefaultJSONProvider)
    app.json.mimetype = "application/problem+json"
    with app.app_context():
        assert aioflask.jsonify(a=1).content_type == "application/problem+json"


@pytest.mark.parametrize("debug", [True, False])
def test_a_malformed_body_is_a_400_that_says_why_in_debug_mode(debug: bool) -> None:
    app = Flask(__name__)
    app.debug = debug
    app.config["TRAP_BAD_REQUEST_ERRORS"] = False

    @app.post("/")
    def index() -> t.Any:
        return aioflask.request.get_json()

    response = app.test_client().post("/", data=b"{", content_type="application/json")
    assert response.status_code == 400
    assert (b"Failed to decode JSON object" in response.data) is debug


def test_a_provider_of_ones_own_reads_and_writes_in_views() -> None:
    class Money:
        def __init__(self, amount: int) -> None:
            self.amount = amount

    class Provider(DefaultJSONProvider):
        def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
            kwargs.setdefault("object_hook", lambda o: Money(o["money"]) if "money" in o else o)
            return super().loads(s, **kwargs)

    app = Flask(__name__)
    app.json = Provider(app)
    app.json.default = lambda o: f"<{o.amount}>"

    @app.post("/")
    async def index() -> t.Any:
        return {"x": aioflask.request.get_json()["x"]}

    response = app.test_client().post("/", json={"x": {"money": 42}})
    assert response.data == b'{"x":"<42>"}\n'
