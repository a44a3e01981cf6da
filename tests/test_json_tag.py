"""Tagged JSON keeps types over a round trip, in Flask's wire format."""

from __future__ import annotations

import contextlib
import typing as t
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from aioflask import Flask
from aioflask.json.tag import JSONTag, TaggedJSONSerializer

SOME_ID = UUID("12345678123456781234567812345678")
WIRE = [
    ((1, "a"), '{" t":[1,"a"]}'),
    (b"\xff", '{" b":"/w=="}'),
    (Markup("<html>"), '{" m":"<html>"}'),
    (SOME_ID, '{" u":"12345678123456781234567812345678"}'),
    (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), '{" d":"Fri, 02 Jan 2026 03:04:05 GMT"}'),
    ({" t": (1, 2)}, '{" di":{" t__":{" t":[1,2]}}}'),
    ({" t__": b"a"}, '{" t__":{" b":"YQ=="}}'),
    ({" di": " di"}, '{" di":{" di__":" di"}}'),
    ({"x": (1,), "y": 4}, '{"x":{" t":[1]},"y":4}'),
    ([(1, [b""])], '[{" t":[1,[{" b":""}]]}]'),
    ({" t": 1, "b": 2}, '{" t":1,"b":2}'),
    ({"user": 7, "at": None, "ok": True, "s": "é"}, '{"user":7,"at":null,"ok":true,"s":"\\u00e9"}'),
]


@pytest.mark.parametrize(("value", "wire"), WIRE)
def test_the_wire_format_is_flasks(value: t.Any, wire: str) -> None:
    serializer = TaggedJSONSerializer()
    assert serializer.dumps(value) == wire
    assert serializer.loads(wire) == value
    assert type(serializer.loads(wire)) is type(value)


def nest(inner: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    keys = st.text(max_size=3) | st.sampled_from([" t", " di", " b", " t__", " x"])
    return (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    )


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary()
        | st.uuids()
        | st.text().map(Markup),
        nest,
        max_leaves=10,
    )
)
def test_every_value_comes_back_as_it_went(value: t.Any) -> None:
    serializer = TaggedJSONSerializer()
    assert repr(serializer.loads(serializer.dumps(value))) == repr(value)


def test_a_key_belongs_to_one_tag() -> None:
    class TagOther(JSONTag):
        key = " d"

    serializer = TaggedJSONSerializer()
    with pytest.raises(KeyError, match=r"' d' is already registered.*force=True"):
        serializer.register(TagOther)
    serializer.register(TagOther, force=True, index=0)
    assert isinstance(serializer.tags[" d"], TagOther)
    assert isinstance(serializer.order[0], TagOther)


def test_a_tag_can_be_placed_in_the_order() -> None:
    class First(JSONTag):
        key = " 1"

    class Second(JSONTag):
        key = " 2"

    serializer = TaggedJSONSerializer()
    serializer.register(First, index=-1)
    assert isinstance(serializer.order[-2], First)
    serializer.register(Second)
    assert isinstance(serializer.order[-1], Second)


class Shouted(str):
    pass


class TagShouted(JSONTag):
    key = "loud"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, str) and value.isupper()

    def to_json(self, value: t.Any) -> t.Any:
        return value.lower()

    def to_python(self, value: t.Any) -> t.Any:
        return Shouted(value.upper())


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_tag_of_ones_own_may_take_any_type_and_key(by_hand: bool) -> None:
    serializer = TaggedJSONSerializer()
    if by_hand:
        serializer.tags["loud"] = tag = TagShouted(serializer)
        serializer.order.append(tag)
    else:
        serializer.register(TagShouted)
    written = serializer.dumps({"a": "HI", "b": ["x", ("YO",)]})
    assert written == '{"a":{"loud":"hi"},"b":["x",{" t":[{"loud":"yo"}]}]}'
    back = serializer.loads(written)
    assert back == {"a": "HI", "b": ["x", ("YO",)]}
    assert type(back["a"]) is Shouted


def test_a_subclass_may_choose_its_tags() -> None:
    class Plain(TaggedJSONSerializer):
        default_tags: t.ClassVar[list[type[JSONTag]]] = [TagShouted]

    assert Plain().dumps("HI") == '{"loud":"hi"}'
    assert Plain().loads('{" t":[1]}') == {" t": [1]}


@pytest.mark.parametrize("with_app", [True, False])
def test_a_subclass_may_tag_and_untag_by_itself(with_app: bool) -> None:
    class Own(TaggedJSONSerializer):
        def tag(self, value: t.Any) -> t.Any:
            return {"n": str(value)} if type(value) is int else super().tag(value)

        def untag(self, value: dict[str, t.Any]) -> t.Any:
            return int(value["n"]) if "n" in value else super().untag(value)

    serializer = Own()
    with Flask(__name__).app_context() if with_app else contextlib.nullcontext():
        written = serializer.dumps({"a": 1, "b": ["x", (2,)]})
        assert written == '{"a":{"n":"1"},"b":["x",{" t":[{"n":"2"}]}]}'
        assert serializer.loads(written) == {"a": 1, "b": ["x", (2,)]}
        assert serializer.dumps(1) == '{"n":"1"}'
        assert serializer.loads('{"n":"1"}') == 1


def test_a_tag_must_define_its_methods() -> None:
    tag = JSONTag(TaggedJSONSerializer())
    for method in (tag.check, tag.to_json, tag.to_python):
        with pytest.raises(NotImplementedError):
            method(None)
