"""Flask's whole public surface is here, with its signatures and defaults.

data/flask_surface.json was recorded from Flask. What differs has a row in the first table of
docs/explanation/from-flask.md, which says why; a row that nothing needs fails, too.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import aioflask
from tests.data.record_flask_surface import INSTANCES, describe

TESTS = Path(__file__).parent
FLASK: dict[str, Any] = json.loads((TESTS / "data" / "flask_surface.json").read_text("utf-8"))
PAGE = (TESTS.parent / "docs" / "explanation" / "from-flask.md").read_text("utf-8")
ROW = re.compile(r"^\| `aioflask\.(\S+?)` \| `(.*?)` \| `(.*?)` \| (.+?) \|$", re.MULTILINE)
DIFFERENCES = {name: (theirs, ours) for name, theirs, ours, _ in ROW.findall(PAGE)}
"""By dotted name: Flask's signature or value, and ours."""

importlib.import_module("aioflask.cli")
OURS: dict[str, Any] = {"modules": FLASK["modules"], "classes": FLASK["classes"]}
describe(aioflask, OURS)

PLACES = [*FLASK["modules"], *FLASK["classes"]]
DESCRIBED = {**FLASK["calls"], **FLASK["values"]}


def dotted(key: str) -> str:
    """`app:Flask.run` is `app.Flask.run`, and `:url_for` is `url_for`."""
    return key.replace(":", ".").lstrip(".")


def is_in(key: str, place: str) -> bool:
    """Whether a recorded name belongs to a module, or to a class of one."""
    if ":" in place:
        return key.startswith(place + ".")
    return key.startswith(place + ":") and "." not in key.partition(":")[2]


def different(key: str) -> tuple[str, str] | None:
    """Flask's description of a name and ours, where they differ."""
    theirs = DESCRIBED[key]
    ours = OURS["calls"].get(key) or OURS["values"].get(key)
    if ours == theirs or (ours is None and key in FLASK["values"]):
        return None  # A value that is a property here is compared by what it gives: elsewhere.
    return theirs, ours


@pytest.mark.parametrize("module", FLASK["modules"])
def test_each_module_has_flasks_names(module: str) -> None:
    ours = importlib.import_module(f"aioflask.{module}".rstrip("."))
    assert [name for name in FLASK["modules"][module] if not hasattr(ours, name)] == []


@pytest.mark.parametrize("key", FLASK["classes"])
def test_each_class_has_flasks_attributes(key: str) -> None:
    module, _, name = key.partition(":")
    cls = getattr(importlib.import_module(f"aioflask.{module}"), name)
    have = {*dir(cls), *(dir(INSTANCES[key](aioflask)) if key in INSTANCES else ())}
    assert set(FLASK["classes"][key]) - have == set()


@pytest.mark.parametrize("place", PLACES)
def test_signatures_and_values_are_flasks(place: str) -> None:
    keys = [key for key in DESCRIBED if is_in(key, place)]
    found = {dotted(key): pair for key in keys if (pair := different(key)) is not None}
    documented = {name: DIFFERENCES[name] for name in map(dotted, keys) if name in DIFFERENCES}
    assert found == documented


def test_every_documented_difference_is_one_of_a_public_name() -> None:
    assert DIFFERENCES.keys() <= set(map(dotted, DESCRIBED))


def test_the_default_configuration_is_flasks_and_settings_more() -> None:
    ours = OURS["config"]
    assert {name: ours.get(name) for name in FLASK["config"]} == FLASK["config"]
    added = ours.keys() - FLASK["config"].keys()
    assert added == set(
        "WORKER_THREADS WORKER_QUEUE MAX_BODY_MEMORY STARTUP_TIMEOUT SHUTDOWN_TIMEOUT"
        " STREAM_SHUTDOWN_TIMEOUT BACKGROUND_TASK_SHUTDOWN_TIMEOUT MAX_BACKGROUND_TASKS"
        " TYPED_VIEWS WEBSOCKET_ORIGINS MAX_WEBSOCKET_MESSAGE WEBSOCKET_THREADS".split()
    )


@pytest.mark.parametrize("command", FLASK["options"])
def test_commands_have_flasks_options(command: str) -> None:
    ours, theirs = OURS["options"][command], FLASK["options"][command]
    assert {name: ours.get(name) for name in theirs} == theirs
    added = {"run_command": {"--workers -w", "--as-flask"}, "cli": {"--as-flask"}}
    assert ours.keys() - theirs.keys() == added.get(command, set())


def test_public_methods_that_flask_has_plain_are_plain() -> None:
    """What must be awaited on a loop's thread returns an awaitable there; none is `async def`."""
    for key in FLASK["calls"]:
        module, _, name = key.partition(":")
        thing: Any = importlib.import_module(f"aioflask.{module}".rstrip("."))
        for part in name.split("."):
            thing = inspect.getattr_static(thing, part)
        assert not inspect.iscoroutinefunction(getattr(thing, "__func__", thing)), key


def test_every_test_that_the_page_names_exists() -> None:
    sources = [path.read_text("utf-8") for path in TESTS.rglob("test_*.py")]
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    missing = {name for name in named if not any(f"def {name}(" in text for text in sources)}
    assert named and not missing


def test_every_difference_names_its_test() -> None:
    part = PAGE.partition("## What differs")[2].partition("### Messages")[0]
    entries = [entry for entry in part.split("\n\n") if entry.startswith("**")]
    assert len(entries) > 20
    assert [entry[:60] for entry in entries if not re.search(r"`test_\w+`\s*$", entry)] == []
