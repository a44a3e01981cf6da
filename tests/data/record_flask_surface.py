"""Record Flask's public names into flask_surface.json, which tests/test_house.py holds us to.

Run it with a Python that has Flask installed: `python tests/data/record_flask_surface.py`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import json
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar


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
    ours = {name for base in bases if base.__module__.startswith("flask") for name in vars(base)}
    clicks = {name for base in bases if base.__module__.startswith("click") for name in vars(base)}
    return sorted(name for name in set(dir(thing)) - (clicks - ours) if not name.startswith("_"))


def main() -> None:
    flask: Any = importlib.import_module("flask")
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
    app = flask.Flask("name")
    classes["app:Flask"] = attributes(app)
    classes["blueprints:Blueprint"] = attributes(flask.Blueprint("name", "name"))
    classes["ctx:AppContext"] = attributes(app.app_context())
    classes["ctx:RequestContext"] = attributes(app.test_request_context())
    classes["cli:ScriptInfo"] = attributes(importlib.import_module("flask.cli").ScriptInfo())
    surface = {
        "flask": importlib.metadata.version("flask"),
        "modules": dict(sorted(modules.items())),
        "classes": dict(sorted(classes.items())),
    }
    path = Path(__file__).with_name("flask_surface.json")
    path.write_text(json.dumps(surface, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
