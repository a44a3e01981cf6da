"""``import aioflask.as_flask`` puts aioflask in Flask's place, so that extensions run unmodified.

From then on ``flask`` and every ``flask.x`` are the very modules ``aioflask`` and ``aioflask.x``,
in this process and in the Python processes that it starts (:data:`VARIABLE` tells them). Import it
first: before any extension, and before anything that imports Flask. ``aioflask --as-flask``,
``AIOFLASK_AS_FLASK=1`` before any command, and ``pytest -p aioflask.as_flask`` do the same.

(PYTEST_DONT_REWRITE, because the plugin may be loaded already, and pytest would warn of it.)
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import types
import typing as t
from collections.abc import Iterable
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec

import aioflask

FLASK_VERSION = "3.1.3"
"""The release of Flask whose behaviour is followed; its own version where Flask is installed."""

VARIABLE = "AIOFLASK_AS_FLASK"
"""The environment variable that makes every Python process start with this import.

It is read by ``aioflask_as_flask.pth``, installed beside the package, when an interpreter starts.
Source: https://docs.python.org/3/library/site.html
"""

# COMPAT: `flask.sansio` is the one package of Flask's that has no folder here.
_SANSIO = {f"flask.sansio.{name}": f"aioflask.{name}" for name in ("app", "blueprints", "scaffold")}


def _ours(name: str) -> str:
    """The module of ours that answers for one of Flask's."""
    return _SANSIO.get(name) or f"aioflask{name.removeprefix('flask')}"


class _Alias(MetaPathFinder, InspectLoader):
    """Finds ``flask.x`` and loads it by handing out ``aioflask.x``.

    Without it the import system would run our files a second time, as modules and classes of
    their own. Source: https://docs.python.org/3/reference/import.html#the-meta-path
    """

    def find_spec(self, fullname: str, path: t.Any, target: t.Any = None) -> ModuleSpec | None:
        if fullname == "flask.sansio":
            return ModuleSpec(fullname, self, is_package=True)
        if not fullname.startswith("flask.") or _ours(fullname).startswith("aioflask.sansio"):
            return None
        found = importlib.util.find_spec(_ours(fullname))
        if found is None:
            return None
        package = found.submodule_search_locations is not None
        return ModuleSpec(fullname, self, origin=found.origin, is_package=package)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        if spec.name == "flask.sansio":
            module = types.ModuleType("aioflask.sansio", "Flask's names for floor 3 of the house.")
            module.__path__ = []
        else:
            module = importlib.import_module(_ours(spec.name))
        # The import system is about to overwrite this.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        alias = t.cast(ModuleSpec, module.__spec__)
        module.__spec__ = alias.loader_state or alias

    # `python -m flask` asks the loader for these.

    def get_code(self, fullname: str) -> types.CodeType | None:
        return self._loader(fullname).get_code(_ours(fullname))

    def get_source(self, fullname: str) -> str | None:
        return self._loader(fullname).get_source(_ours(fullname))

    def is_package(self, fullname: str) -> bool:
        return self._loader(fullname).is_package(_ours(fullname))

    def _loader(self, fullname: str) -> InspectLoader:
        spec = importlib.util.find_spec(_ours(fullname))
        if spec is None or not isinstance(spec.loader, InspectLoader):
            raise ImportError(f"aioflask has nothing that answers for {fullname}.", name=fullname)
        return spec.loader


class _Distribution(importlib.metadata.Distribution):
    """What extensions may ask about the distribution "flask": its version."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: Flask\nVersion: {FLASK_VERSION}\n"

    def locate_file(self, path: str | os.PathLike[str]) -> t.Any:
        raise FileNotFoundError(f"Flask is not installed, aioflask stands in for it: no {path}.")


class _Metadata(importlib.metadata.DistributionFinder):
    """Answers ``importlib.metadata.version("flask")`` where nobody else does: the last to ask."""

    def find_spec(self, *args: t.Any) -> None:
        return None

    def find_distributions(self, context: t.Any = None) -> Iterable[_Distribution]:
        return [_Distribution()] if str(getattr(context, "name", "")).lower() == "flask" else []


def _take_over() -> None:
    present = sys.modules.get("flask")
    if present is not None and present is not aioflask:
        raise RuntimeError(
            f"Flask itself is loaded already ({getattr(present, '__file__', None)}), and whoever"
            " imported it keeps it. Import aioflask.as_flask first:\n"
            "    import aioflask.as_flask\n    import flask  # and the extensions\n"
            f"If something imports Flask before the first line of yours is run, set {VARIABLE}=1."
        )
    os.environ[VARIABLE] = "1"
    sys.modules["flask"] = aioflask
    sys.meta_path.insert(0, _Alias())
    sys.meta_path.append(_Metadata())
    # COMPAT: extensions compare it with Flask's releases.
    vars(aioflask)["__version__"] = importlib.metadata.version("flask")
    # COMPAT: these are attributes of Flask without an import of their own.
    for name in ("flask.sansio", *_SANSIO):
        importlib.import_module(name)
    vars(aioflask.app)["App"] = aioflask.Flask  # What Flask has without WSGI, a class of its own.


_take_over()
