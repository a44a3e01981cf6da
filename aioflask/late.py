"""Werkzeug's package without what it takes with it for no request: its server and test client.

PERF: ``import werkzeug.routing`` runs ``werkzeug/__init__.py``, which imports both. Here it is run
when somebody asks the package itself for a name.
"""

from __future__ import annotations

import importlib.util
import sys
import types
import typing as t


class _Late(types.ModuleType):
    def __getattr__(self, name: str) -> t.Any:
        below = f"{self.__name__}.{name}"
        if importlib.util.find_spec(below) is not None:  # "from . import exceptions"
            return importlib.import_module(below)
        # First of all, since what is imported asks it for more.
        self.__class__ = types.ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
        return getattr(self, name)


if "werkzeug" not in sys.modules and (_spec := importlib.util.find_spec("werkzeug")):
    _module = sys.modules["werkzeug"] = importlib.util.module_from_spec(_spec)
    _module.__class__ = _Late
