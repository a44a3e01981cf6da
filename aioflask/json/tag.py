"""Tagged JSON: tuples, bytes, markup, UUIDs and datetimes survive the round trip in a session.

A value that JSON has no type for becomes an object of one key, its tag: ``{" t": [1, 2]}`` is a
tuple. The wire format is Flask's: https://flask.palletsprojects.com/en/stable/api/#module-flask.json.tag.
A type of one's own takes a :class:`JSONTag`, registered before a tag that would also take it::

    app.session_interface.serializer.register(TagOrderedDict, index=0)
"""

from __future__ import annotations

import json
import typing as t
from base64 import b64decode, b64encode
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from markupsafe import Markup
from werkzeug.http import http_date, parse_date

from aioflask.globals import _cv_app
from aioflask.json import dumps, loads
from aioflask.json.provider import DefaultJSONProvider, _dump_fast


class JSONTag:
    """How one type is written and read; subclass it and register it with a serializer."""

    __slots__ = ("serializer",)

    key: str = ""
    """The tag. An empty one writes the value without a tag, after tagging what is inside."""

    def __init__(self, serializer: TaggedJSONSerializer) -> None:
        self.serializer: TaggedJSONSerializer = serializer

    def check(self, value: t.Any) -> bool:
        """Tell whether this tag writes ``value``."""
        raise NotImplementedError

    def to_json(self, value: t.Any) -> t.Any:
        """Turn ``value`` into something of JSON's types, without the tag."""
        raise NotImplementedError

    def to_python(self, value: t.Any) -> t.Any:
        """Turn what :meth:`to_json` gave back into the value."""
        raise NotImplementedError

    def tag(self, value: t.Any) -> t.Any:
        """Turn ``value`` into an object of one key, the tag."""
        return {self.key: self.to_json(value)}


class _OfType(JSONTag):
    """A tag for the instances of one type, by default a sequence."""

    type: t.ClassVar[t.Any]

    def check(self, value: t.Any) -> bool:
        return isinstance(value, self.type)

    def to_json(self, value: t.Any) -> t.Any:
        return [self.serializer.tag(item) for item in value]


class TagDict(JSONTag):
    """A dict of one key that looks like a tag: the key gets two underscores."""

    key = " di"

    def check(self, value: t.Any) -> bool:
        tags = self.serializer.tags
        return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in tags

    def to_json(self, value: t.Any) -> t.Any:
        return {f"{key}__": self.serializer.tag(inner) for key, inner in value.items()}

    def to_python(self, value: t.Any) -> t.Any:
        return {key[:-2]: inner for key, inner in value.items()}


class PassDict(_OfType):
    """Any other dict: its values are tagged, its keys can only be strings."""

    type = dict

    def to_json(self, value: t.Any) -> t.Any:
        return {key: self.serializer.tag(inner) for key, inner in value.items()}

    tag = to_json


class TagTuple(_OfType):
    """A tuple, as a list."""

    key = " t"
    type = tuple

    def to_python(self, value: t.Any) -> t.Any:
        return tuple(value)


class PassList(_OfType):
    """A list: its items are tagged."""

    type = list

    def tag(self, value: t.Any) -> t.Any:
        return [self.serializer.tag(item) for item in value]


class TagBytes(_OfType):
    """Bytes, in base64."""

    key = " b"
    type = bytes

    def to_json(self, value: t.Any) -> t.Any:
        return b64encode(value).decode("ascii")

    def to_python(self, value: t.Any) -> t.Any:
        return b64decode(value)


class TagMarkup(JSONTag):
    """Whatever has an ``__html__`` method; it comes back as :class:`~markupsafe.Markup`."""

    key = " m"

    def check(self, value: t.Any) -> bool:
        return callable(getattr(value, "__html__", None))

    def to_json(self, value: t.Any) -> t.Any:
        return str(value.__html__())

    def to_python(self, value: t.Any) -> t.Any:
        return Markup(value)


class TagUUID(_OfType):
    """A UUID, in hexadecimal."""

    key = " u"
    type = UUID

    def to_json(self, value: t.Any) -> t.Any:
        return value.hex

    def to_python(self, value: t.Any) -> t.Any:
        return UUID(value)


class TagDateTime(_OfType):
    """A datetime, as an HTTP date: in UTC and to the second."""

    key = " d"
    type = datetime

    def to_json(self, value: t.Any) -> t.Any:
        return http_date(value)

    def to_python(self, value: t.Any) -> t.Any:
        return parse_date(value)


# PERF: no tag above takes these types, so asking all eight of them can be skipped.
_UNTAGGED = frozenset((str, int, float, bool, type(None)))
_scan_json: t.Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class TaggedJSONSerializer:
    """Write and read values through tags; the session signs the text that comes out."""

    __slots__ = ("_stock", "order", "tags")

    default_tags: t.ClassVar[list[type[JSONTag]]] = [
        TagDict, PassDict, TagTuple, PassList, TagBytes, TagMarkup, TagUUID, TagDateTime
    ]  # fmt: skip
    """The tags that a new serializer knows, in the order in which they are asked."""

    def __init__(self) -> None:
        self.tags: dict[str, JSONTag] = {}
        self.order: list[JSONTag] = []
        # How many tags `order` has, or -1 once one of them, or what asks them, is not from here.
        self._stock = 0 if _methods_of(type(self)) == _OUR_METHODS else -1
        for tag_class in self.default_tags:
            self.register(tag_class)

    def register(
        self, tag_class: type[JSONTag], force: bool = False, index: int | None = None
    ) -> None:
        """Add a tag at ``index`` of the order, or at its end.

        Raises KeyError if its key is taken, unless ``force`` replaces the owner.
        """
        tag = tag_class(self)
        if tag.key:
            if tag.key in self.tags and not force:
                raise KeyError(
                    f"Tag {tag.key!r} is already registered."
                    f" Give {tag_class.__name__} another key, or replace it with force=True."
                )
            self.tags[tag.key] = tag
        self.order.insert(len(self.order) if index is None else index, tag)
        stock = self._stock >= 0 and tag_class.__module__ == __name__
        self._stock = len(self.order) if stock else -1

    def tag(self, value: t.Any) -> t.Any:
        """Turn ``value`` into something of JSON's types, tagged where it needs to be."""
        if type(value) in _UNTAGGED and self._stock == len(self.order):
            return value
        for tag in self.order:
            if tag.check(value):
                return tag.tag(value)
        return value

    def untag(self, value: dict[str, t.Any]) -> t.Any:
        """Turn an object whose only key is a tag back into its value; return others as they are."""
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key in self.tags:
                return self.tags[key].to_python(inner)
        return value

    def _untag_scan(self, value: t.Any) -> t.Any:
        if isinstance(value, dict):
            return self.untag({key: self._untag_scan(inner) for key, inner in value.items()})
        if isinstance(value, list):
            return [self._untag_scan(item) for item in value]
        return value

    def _needs_tags(self, value: t.Any) -> bool:
        todo = [value]
        for item in todo:  # grows while it is walked; holds no cycle, orjson has been through it
            kind = type(item)
            if kind in _UNTAGGED:
                continue
            if kind is dict:
                if len(item) == 1 and next(iter(item)) in self.tags:
                    return True
                todo.extend(item.values())
            elif kind is list:
                todo.extend(item)
            else:
                return True
        return False

    def dumps(self, value: t.Any) -> str:
        """Write ``value`` as compact tagged JSON."""
        ctx = _cv_app.get(None)
        if ctx is not None and self._stock == len(self.order):
            provider: t.Any = ctx.app.json
            # PERF: tagging copies the value in 3 calls for each item, and the standard library's
            # encoder is built anew each time (8 us in all); what needs no tags takes 1 us.
            if (
                type(provider) is DefaultJSONProvider
                and provider.ensure_ascii is True
                and provider.sort_keys is True
                and "dumps" not in provider.__dict__
                and (text := _dump_fast(value)) is not None
                and not self._needs_tags(value)
            ):
                return text[:-1].decode()
        return dumps(self.tag(value), separators=(",", ":"))

    def loads(self, value: str) -> t.Any:
        """Read tagged JSON; ValueError if it is not JSON."""
        # PERF: every tag from here starts with a space; a text without such a string has none.
        stock = self._stock == len(self.order)
        if not stock or '" ' in value or '"\\u0020' in value:
            return self._untag_scan(loads(value))
        ctx = _cv_app.get(None)
        provider = None if ctx is None else ctx.app.json
        if type(provider) is DefaultJSONProvider and "loads" not in provider.__dict__:
            # PERF: the standard library's scanner without its five wrappers (1 us). What the
            # scanner does not take in whole (space around it, an error) goes through them.
            try:
                found, end = _scan_json(value, 0)
            except StopIteration:
                return loads(value)
            if end == len(value):
                return found
        return loads(value)


_methods_of = attrgetter("tag", "untag", "_untag_scan")
_OUR_METHODS = _methods_of(TaggedJSONSerializer)
