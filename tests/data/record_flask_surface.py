"""Record Flask's public surface into flask_surface.json, which tests/test_surface.py holds us to.

Run it with a Python that has Flask installed: `python tests/data/record_flask_surface.py`.
The test describes aioflask with the same functions, so what is compared was written down alike.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

Surface = dict[str, Any]
"""``modules``: names; ``classes``: attributes; ``calls``: signatures; ``values``: constants;
``config``: the default configuration; ``options``: those of the commands."""

# Attributes that exist on an instance alone.
INSTANCES: dict[str, Callable[[Any], Any]] = {
    "app:Flask": lambda flask: flask.Flask("name"),
    "blueprints:Blueprint": lambda flask: flask.Blueprint("name", "name"),
    "ctx:AppContext": lambda flask: flask.Flask("name").app_context(),
    "ctx:RequestContext": lambda flask: flask.Flask("name").test_request_context(),
    "cli:ScriptInfo": lambda flask: flask.cli.ScriptInfo(),
}
COMMANDS = ("run_command", "shell_command", "routes_command", "cli")
CONSTANTS = (str, bytes, int, tuple, frozenset, set, list, timedelta, type(None))
_absent = object()


def defined_names(module: ModuleType) -> list[str]:
    """Names a module makes or, written `import x as x`, re-exports; no plain import, no TypeVar."""
    found: set[str] = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(alias.name for alias in node.names if alias.asname == alias.name)
    things = ((name, getattr(module, name, None)) for name in found)
    return sorted(
        name for name, thing in things if name[0] != "_" and not isinstance(thing, TypeVar)
    )


def attributes(thing: Any) -> list[str]:
    """Public attributes; those that only click gives belong to whichever click is installed."""
    bases = (thing if inspect.isclass(thing) else type(thing)).__mro__
    clicks = {name for base in bases if base.__module__.startswith("click") for name in vars(base)}
    ours = {
        name
        for base in bases
        if base.__module__.startswith(("flask", "aioflask"))
        for name in vars(base)
    }
    return sorted(name for name in set(dir(thing)) - (clicks - ours) if not name.startswith("_"))


def value(thing: Any) -> str:
    """A constant or a default, written so that two frameworks' can be compared."""
    if isinstance(thing, (set, frozenset)):
        return f"{{{', '.join(sorted(map(value, thing)))}}}"
    if isinstance(thing, (list, tuple)):
        return f"{type(thing).__name__}({', '.join(map(value, thing))})"
    if isinstance(thing, type):
        return thing.__qualname__
    return repr(thing) if isinstance(thing, CONSTANTS) else "<object>"


def signature(thing: Any) -> str | None:
    """Parameters and defaults of what can be called, without annotations; None if it has none."""
    try:
        made = inspect.signature(thing)
    except (TypeError, ValueError):
        return None
    shown: list[str] = []
    for parameter in made.parameters.values():
        text = str(
            parameter.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty)
        )
        if parameter.default is not inspect.Parameter.empty:
            text += f"={value(parameter.default)}"
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in "".join(shown):
            shown.append("*")
        shown.append(text)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            shown = [each for each in shown if each != "/"] + ["/"]
    return f"({', '.join(shown)})"


def described(thing: Any) -> tuple[str, str] | None:
    """What a name stands for: ``("calls", signature)``, ``("values", value)``, or None."""
    if isinstance(thing, (classmethod, staticmethod)):
        thing = thing.__func__
    if inspect.isroutine(thing) or inspect.isclass(thing):
        made = signature(thing)
        return None if made is None else ("calls", made)
    return ("values", value(thing)) if isinstance(thing, CONSTANTS) else None


def own_things(flask: Any, surface: Surface) -> Iterator[tuple[str, Any]]:
    """Each recorded name of a module or a class that ``flask`` has, with what it is there."""
    for module, names in surface["modules"].items():
        home = importlib.import_module(f"{flask.__name__}.{module}".rstrip("."))
        for name in names:
            if hasattr(home, name):
                yield f"{module}:{name}", getattr(home, name)
    for key, names in surface["classes"].items():
        module, _, name = key.partition(":")
        cls = getattr(importlib.import_module(f"{flask.__name__}.{module}"), name)
        for each in names:
            thing = inspect.getattr_static(cls, each, _absent)
            if thing is not _absent:
                yield f"{key}.{each}", thing


def options_of(command: Any) -> dict[str, str]:
    """The options of a click command: their spellings and defaults."""
    # Without a default some versions of click have None here, others a marker of their own.
    unset = value(object())
    return {
        " ".join([*each.opts, *each.secondary_opts]): value(each.default).replace("None", unset)
        for each in command.params
    }


def describe(flask: Any, surface: Surface) -> None:
    """Add to a surface that has ``modules`` and ``classes`` what these names are in ``flask``."""
    surface |= {"calls": {}, "values": {}}
    for key, thing in own_things(flask, surface):
        if (found := described(thing)) is not None:
            surface[found[0]][key] = found[1]
    config = flask.Flask.default_config
    surface["config"] = {name: value(each) for name, each in sorted(config.items())}
    cli = importlib.import_module(f"{flask.__name__}.cli")
    surface["options"] = {name: options_of(getattr(cli, name)) for name in COMMANDS}


def main() -> None:
    flask: Any = importlib.import_module("flask")
    importlib.import_module("flask.cli")
    modules = {"": defined_names(flask)}
    classes: dict[str, list[str]] = {}
    for info in pkgutil.walk_packages(flask.__path__, "flask."):
        if info.name == "flask.__main__" or info.name.startswith("flask.sansio"):
            continue  # their classes' attributes are recorded through Flask and Blueprint
        module = importlib.import_module(info.name)
        short = info.name.removeprefix("flask.")
        modules[short] = defined_names(module)
        for name in modules[short]:
            cls = getattr(module, name, None)
            if inspect.isclass(cls) and cls.__module__ == info.name:
                classes[f"{short}:{name}"] = attributes(cls)
    for key, make in INSTANCES.items():
        classes[key] = attributes(make(flask))
    surface: Surface = {
        "flask": importlib.metadata.version("flask"),
        "modules": dict(sorted(modules.items())),
        "classes": dict(sorted(classes.items())),
    }
    describe(flask, surface)
    path = Path(__file__).with_name("flask_surface.json")
    path.write_text(json.dumps(surface, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
