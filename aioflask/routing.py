"""URL rules: Werkzeug's ``Map`` holds the truth, and a :class:`Router` answers the common case.

The router is compiled from the map. It looks a path up in a dict, then walks its segments as the
map would, without ever going back; whatever it cannot decide (405, redirects, hosts, a path that
needs a second try) it leaves to the map.
Source for the syntax: https://werkzeug.palletsprojects.com/en/stable/routing/.
"""

from __future__ import annotations

import gc
import re
import typing as t
from functools import lru_cache

from werkzeug.datastructures import ImmutableDict
from werkzeug.routing import BaseConverter, Map, Rule, RuleFactory
from werkzeug.routing.converters import FloatConverter, IntegerConverter
from werkzeug.routing.rules import RulePart, Weighting

Convert = t.Callable[[str], t.Any] | None
Found = tuple[Rule, tuple[tuple[str, Convert], ...]]
Match = tuple[Rule, dict[str, t.Any]]
Test = t.Callable[[str], tuple[str, ...] | None]


WEBSOCKET = "websocket"
"""What stands in a method's place for the rules of WebSockets."""


class _Node:
    """A place in the tree of segments, with the rules that end there."""

    __slots__ = ("dynamic", "rules", "static")

    def __init__(self, rules: dict[str, Found | None]) -> None:
        self.static: dict[str, _Node] = _NOTHING
        self.dynamic: tuple[tuple[Test, bool, _Node], ...] = ()
        self.rules: dict[str, Found | None] = rules


_NOTHING: dict[str, t.Any] = {}


class Router:
    """Finds the rule of a path that needs neither a redirect nor a second try."""

    def __init__(self, url_map: Map) -> None:
        url_map.update()
        self._redirecting = {
            rule.endpoint for rule in url_map.iter_rules() if rule.defaults or rule.alias
        }
        self.paths: dict[str, dict[str, Found | None]] = {}
        self.root: _Node = _Node({})
        self.below: _Node = self.root
        """What follows the path's first slash."""
        hosts = url_map._matcher._root
        top = hosts.static.get(url_map.default_subdomain or "")
        if top is not None and not url_map.host_matching:
            collects = gc.isenabled()
            gc.disable()  # PERF: it would look at all this, which stays, again and again.
            try:
                self.root = self._compile(top, [])
                self.below = self.root.static.get("", self.root)
            finally:
                if collects:
                    gc.enable()
        self._knows_all = top is not None and not (url_map.host_matching or hosts.dynamic)
        # The map takes leading slashes for one.
        self.paths = {p: rules for p, rules in self.paths.items() if not p.startswith("//")}

    def _compile(self, state: t.Any, path: list[str] | None) -> _Node:
        node = _Node(self._by_method(state.rules) if state.rules else _NOTHING)
        if path is not None and state.rules:
            self.paths["/".join(path)] = node.rules
        if state.static:
            node.static = {
                part: self._compile(after, None if path is None else [*path, part])
                for part, after in state.static.items()
            }
        for part, after in state.dynamic:
            test = _test(part)
            if test is None:
                node.dynamic += ((_ask, True, _Node(_NOTHING)),)
                break
            node.dynamic += ((test, part.final, self._compile(after, None)),)
        return node

    def _by_method(self, rules: list[Rule]) -> dict[str, Found | None]:
        """The first rule for each method; None where only the map knows what to do."""
        found: dict[str, Found | None] = {}
        for rule in rules:
            if rule.websocket:
                found.setdefault(WEBSOCKET, (rule, tuple(_converters(rule))))
                continue
            if rule.methods is None:
                return {"": None}
            special = (
                rule.redirect_to is not None or rule.alias or rule.endpoint in self._redirecting
            )
            converters = tuple(_converters(rule))
            for method in rule.methods:
                found.setdefault(method, None if special else (rule, converters))
        return found

    def match(self, method: str, path: str) -> Match | None:
        """The rule and its converted variables, or None if the map must be asked."""
        rules = self.paths.get(path)
        if rules is not None:
            found = rules.get(method)
            return None if found is None else (found[0], {})
        if path[:1] != "/" or path[:2] == "//":
            return None
        node = self.below
        values: list[str] = []
        parts = path[1:].split("/")
        for i, part in enumerate(parts):
            child = node.static.get(part)
            if child is not None:
                node = child
                continue
            # Tried in the order of the map, so the first that fits is the map's choice too.
            for test, rest, below in node.dynamic:
                groups = test("/".join(parts[i:]) if rest else part)
                if groups is not None:
                    values += groups
                    node = below
                    break
            else:
                return None
            if rest:
                break
        found = node.rules.get(method)
        return None if found is None else _convert(found, values)

    def misses(self, path: str) -> bool:
        """Whether no rule fits a path, for any method and with or without a slash at its end."""
        # The map takes a path that begins with no slash, or with two, for one that begins with one.
        is_usual = path[:1] == "/" and "//" not in path
        return self._knows_all and is_usual and _misses(self.root, path.split("/"), 0)


def _misses(node: _Node, parts: list[str], at: int) -> bool:
    # As the map: every part that fits is tried. Where a rule ends, the map says what that means.
    if at == len(parts):
        return not node.rules and "" not in node.static
    part = parts[at]
    if node.rules and not part and at + 1 == len(parts):
        return False
    child = node.static.get(part)
    if child is not None and not _misses(child, parts, at + 1):
        return False
    for test, rest, child in node.dynamic:
        groups = test("/".join(parts[at:]) if rest else part)
        if groups is not None and (rest or not _misses(child, parts, at + 1)):
            return False
    return True


def _convert(found: Found, values: list[str]) -> Match | None:
    converted: dict[str, t.Any] = {}
    try:
        for i, (name, convert) in enumerate(found[1]):
            converted[name] = values[i] if convert is None else convert(values[i])
        return found[0], converted
    except Exception:  # The map, which is asked next, raises it where it is answered.
        return None


def _ask(_: str) -> tuple[str, ...]:
    """Fits everything and leads to a node without rules, so that the map is asked."""
    return ()


def _whole(part: str) -> tuple[str] | None:
    return (part,) if part else None


def _digits(part: str) -> tuple[str] | None:
    return (part,) if part.isdecimal() and part.isascii() else None


def _test(part: t.Any) -> Test | None:
    """What gives a part's values, or None where a path does not fit; None if only the map can."""
    # PERF: the two most frequent converters, at a third of a regular expression's price.
    if not part.final:
        if part.content == r"(?P<__werkzeug_0>[^/]{1,})\Z":
            return _whole
        if part.content == r"(?P<__werkzeug_0>[0-9]+)\Z":
            return _digits
    pattern = re.compile(part.content)
    # A converter's own groups would shift the values.
    values = sum(name.startswith("__werkzeug_") for name in pattern.groupindex)
    if part.suffixed or pattern.groups != values:
        return None

    def test(text: str) -> tuple[str, ...] | None:
        match = pattern.match(text)
        return None if match is None else match.groups()

    return test


def _converters(rule: Rule) -> t.Iterator[tuple[str, Convert]]:
    return ((name, _quick(converter)) for name, converter in rule._converters.items())


def _quick(converter: BaseConverter) -> Convert:
    """What turns the text into a value; None where the text is the value."""
    kind = type(converter)
    if kind.to_python is BaseConverter.to_python:
        return None
    if kind in (ASCIIInteger, IntegerConverter) and (
        (vars(converter)["fixed_digits"], vars(converter)["min"], vars(converter)["max"])
        == (0, None, None)
    ):
        return int
    return converter.to_python


_variable = re.compile(r"<(?:([a-zA-Z_]\w*):)?([a-zA-Z_]\w*)>", re.A)


@lru_cache(4096)
def _part_of(content: str, weight: int | None) -> RulePart:
    """A segment's text, or with a ``weight`` its expression, as Werkzeug weighs them."""
    if weight is None:
        return RulePart(content, False, True, False, _weight_of(len(content)))
    return RulePart(content, False, False, False, Weighting(0, [], -1, [weight]))


@lru_cache
def _weight_of(length: int) -> Weighting:
    lengths = [(0, -length)] if length else []
    return Weighting(-len(lengths), lengths, 0, [])


def _builder(append_unknown: bool) -> t.Callable[..., tuple[str, str]]:
    def build(rule: Rule, /, **values: t.Any) -> tuple[str, str]:
        compiled = Rule._compile_builder(rule, append_unknown).__get__(rule)
        setattr(rule, "_build_unknown" if append_unknown else "_build", compiled)
        return compiled(**values)  # type: ignore[no-any-return]

    return build


_BUILDERS = _builder(False), _builder(True)


class LazyRule(Rule):
    """Werkzeug's ``Rule``, whose URL builder is compiled when a URL is built.

    PERF: compiling it takes most of the time that a rule takes to add, and few are built. What is
    parsed of a segment of the path is the same for every rule, and made once.
    """

    def _parse_rule(self, rule: str) -> t.Iterable[RulePart]:
        found: list[tuple[str, BaseConverter | None]] = []
        for segment in rule.split("/"):
            if "<" not in segment:
                found.append((segment, None))
                continue
            simple = _variable.fullmatch(segment)
            if simple is None:
                return super()._parse_rule(rule)
            converter = self.get_converter(simple[2], simple[1] or "default", (), {})
            if not converter.part_isolating:
                return super()._parse_rule(rule)
            found.append((simple[2], converter))
        return [self._part(i, *each) for i, each in enumerate(found)]

    def _part(self, i: int, text: str, converter: BaseConverter | None) -> RulePart:
        self._trace += [(False, "/")] if i else []
        if text:
            self._trace.append((converter is not None, text))
        if converter is None:
            return _part_of(text, None)
        self._converters[text] = converter
        self.arguments.add(text)
        return _part_of(rf"(?P<__werkzeug_0>{converter.regex})\Z", converter.weight)

    def compile(self) -> None:
        """As Werkzeug's, with one part for all the rules that are of no domain of their own."""
        super().compile()
        if self._parts[0] == _part_of("", None):
            self._parts[0] = _part_of("", None)

    def _compile_builder(self, append_unknown: bool = True) -> t.Callable[..., tuple[str, str]]:
        if self.defaults:  # A default that its converter refuses is told when the rule is added.
            return super()._compile_builder(append_unknown)
        return _BUILDERS[append_unknown]


class ASCIIInteger(IntegerConverter):
    """Werkzeug's ``int``, for ASCII digits alone: ``\\d`` is one of any script."""

    regex = "[0-9]+"


class ASCIIFloat(FloatConverter):
    """Werkzeug's ``float``, likewise."""

    regex = r"[0-9]+\.[0-9]+"


class FastMap(Map):
    """Werkzeug's ``Map`` with a :class:`Router`, made anew after rules were added."""

    default_converters: t.Any = ImmutableDict(
        {**Map.default_converters, "int": ASCIIInteger, "float": ASCIIFloat}
    )
    _router: Router | None = None

    def add(self, rulefactory: RuleFactory) -> None:
        """Add a rule, or what a rule factory makes."""
        super().add(rulefactory)
        self._router = None

    @property
    def router(self) -> Router:
        """The router over the rules as they are now."""
        router = self._router
        if router is None:
            router = self._router = Router(self)
        return router
