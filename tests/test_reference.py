"""The reference pages have every public name, every setting and every option, and none that is not.

What a page says of a name comes from its docstring, by the autodoc directive that names it, or from
a row of a table whose head names the class: ``| of `Request` | meaning |``. Both are found here in
the text of the pages; that the directives work is the documentation build's business.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec

import click
import pytest

import aioflask
from aioflask.cli import cli
from tests.data.record_flask_surface import INSTANCES, attributes, defined_names

ROOT = Path(__file__).parent.parent
PAGES = {path.stem: path.read_text("utf-8") for path in ROOT.glob("docs/reference/*.md")}
FLASK: dict[str, Any] = json.loads((ROOT / "tests/data/flask_surface.json").read_text("utf-8"))

DIRECTIVE = re.compile(r"^ *\.\. (auto\w+|py:\w+):: ([\w.]+)((?:\n +:.*(?:\n {6,}\w.*)*)*)", re.M)
MEMBERS = re.compile(r":members: (\w+(?:,\s+\w+)*)")
TABLE = re.compile(r"^\| (.+?) \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE)

MADE: dict[str, Callable[[Any], Any]] = {
    **INSTANCES,
    "testing:FlaskClient": lambda flask: flask.Flask("name").test_client(),
}
"""Makes an instance of a class whose instances have attributes of their own."""

# Public names of these modules that are no part of the API: others of our modules use them.
INTERNAL = {
    "config": {"DEFAULTS"},
    "debughelpers": {"explain_mismatch", "never_awaited"},
    "json.provider": {"orjson"},
    "wrappers": set("Chunk RequestHeaders ResponseHeaders Scope State".split()),
}


def ours(name: str) -> Any:
    """What a name of the package stands for: `aioflask.views.View`, or `views:View`."""
    thing: Any = aioflask
    for part in re.findall(r"\w+", name.removeprefix("aioflask")):
        if isinstance(thing, ModuleType) and not hasattr(thing, part):
            importlib.import_module(f"{thing.__name__}.{part}")
        thing = getattr(thing, part)
    return thing


def code_in(cell: str) -> list[str]:
    """The names in a table's cell: of `get_data(as_text=False)` it is `get_data`."""
    return re.findall(r"`(\w+)[^`]*`", cell)


def rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each row of each table in a text, as the head's first cell and the row's cells."""
    for head, body in TABLE.findall(text):
        for line in body.splitlines():
            yield head, [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def documented(text: str) -> tuple[set[str], dict[str, set[str]]]:
    """The dotted names that pages have an entry for, and the members by the names of classes."""
    names: set[str] = set()
    members: dict[str, set[str]] = defaultdict(set)
    module = ""
    for kind, found, options in DIRECTIVE.findall(text):
        if kind == "py:currentmodule":
            module = found
            continue
        name = f"{module}.{found}" if kind == "py:data" else found
        owner, _, last = name.rpartition(".")
        names.add(name)
        # To import it would put us in Flask's place for all other tests; it has no class.
        if owner != "aioflask.as_flask" and inspect.isclass(ours(owner)):
            members[ours(owner).__name__].add(last)
        if listed := MEMBERS.search(options):
            members[last].update(re.split(r",\s+", listed[1]))
    for head, cells in rows(text):
        for cls in code_in(head):
            members[cls].update(code_in(cells[0]))
    return names, members


NAMES, CLASS_MEMBERS = documented("\n".join(PAGES.values()))


def public_names(module: str) -> set[str]:
    """Flask's names of a module, and those that are public here."""
    loaded = ours(module)
    own = set(aioflask.__all__) if not module else set(defined_names(loaded))
    own = {name for name in own if not isinstance(getattr(loaded, name), ParamSpec)}
    return (own | set(FLASK["modules"][module])) - INTERNAL.get(module, set())


def missing_names(module: str, names: set[str]) -> list[str]:
    """A name is documented under its module's name or, if it is the same thing, the package's."""
    missing = []
    for name in sorted(public_names(module)):
        same = getattr(aioflask, name, None) is getattr(ours(module), name)
        if f"aioflask.{module}.{name}" not in names and not (same and f"aioflask.{name}" in names):
            missing.append(name)
    return missing


def missing_members(key: str, members: dict[str, set[str]]) -> set[str]:
    """A member is documented with its class, or with a class that this one derives from."""
    cls = ours(key)
    public = {*FLASK["classes"][key], *attributes(cls)}
    if key in INSTANCES:
        public.update(attributes(INSTANCES[key](aioflask)))
    return public.difference(*(members.get(base.__name__, ()) for base in cls.__mro__))


@pytest.mark.parametrize("module", FLASK["modules"])
def test_every_public_name_has_an_entry(module: str) -> None:
    assert missing_names(module, NAMES) == []


@pytest.mark.parametrize("key", FLASK["classes"])
def test_every_member_of_a_class_has_an_entry(key: str) -> None:
    assert missing_members(key, CLASS_MEMBERS) == set()


def test_everything_that_has_an_entry_exists() -> None:
    for name in NAMES:
        if not name.startswith("aioflask.as_flask."):
            ours(name)  # AttributeError, if there is no such thing.
    names = sorted(name for name in NAMES if name.startswith("aioflask.as_flask."))
    code = f"import aioflask.as_flask; print({', '.join(names)})"
    assert names
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("key", FLASK["classes"])
def test_members_that_have_an_entry_exist(key: str) -> None:
    cls = ours(key)
    make = MADE.get(key)
    have = {*dir(cls), *(dir(make(aioflask)) if make else ())}
    assert CLASS_MEMBERS[cls.__name__] - have == set()


def test_a_name_that_is_taken_out_of_the_pages_is_missed() -> None:
    text = PAGES["helpers"] + PAGES["templates"]
    names, _ = documented(text.replace(".. autofunction:: aioflask.flash\n", ""))
    assert "flash" in missing_names("", names)
    assert missing_names("templating", names) == []
    text = PAGES["requests-and-responses"].replace("get_json, on_json_loading_failed", "get_json")
    _, members = documented(text.replace("`referrer`", "`origin`"))
    assert missing_members("wrappers:Request", members) == {"on_json_loading_failed", "referrer"}


def test_every_setting_is_in_the_table_with_its_default() -> None:
    shown = {}
    for head, cells in rows(PAGES["configuration"]):
        if head == "key":
            (key,) = code_in(cells[0])
            shown[key] = eval(cells[1].strip("`"), {"timedelta": timedelta})
    assert shown == dict(aioflask.Flask.default_config)


def test_every_variable_that_the_package_reads_is_in_the_table() -> None:
    read = {
        node.value
        for path in (ROOT / "aioflask").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and re.fullmatch(r"FLASK_[A-Z_]+", str(node.value))
    }
    variables = {name for head, cells in rows(PAGES["configuration"]) for name in code_in(cells[0])}
    assert read
    assert read - variables == set()


def options(command: click.Command) -> dict[frozenset[str], str]:
    """The spellings of each option, with its default if it says anything."""
    found = {}
    for each in command.params:
        assert isinstance(each, click.Option)
        default: Any = each.default
        text = "on" if default is True else default or ""
        shown = str(text) if isinstance(text, (str, int)) else ""
        found[frozenset([*each.opts, *each.secondary_opts])] = shown
    return found


COMMANDS: dict[str, click.Command] = {
    "aioflask": cli,
    **{f"aioflask {name}": command for name, command in cli.commands.items()},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_in_its_table(name: str) -> None:
    section = re.search(rf"^##+ {name}\n(.*?)(?=^#|\Z)", PAGES["command-line"], re.M | re.S)
    assert section is not None
    shown = {}
    for head, (spellings, default, _) in rows(section[1]):
        assert head == "option"
        says = default == "on" or default.startswith("`")
        spelled = frozenset(re.findall(r"`(-.*?)`", spellings))
        shown[spelled] = default.strip("`") if says else ""
    assert shown == options(COMMANDS[name])
