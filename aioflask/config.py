"""The configuration of an application: a dict with loaders.

Source: https://flask.palletsprojects.com/en/stable/api/#configuration.
"""

from __future__ import annotations

import errno
import json
import os
import types
import typing as t
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from werkzeug.datastructures import ImmutableDict
from werkzeug.utils import import_string

if t.TYPE_CHECKING:
    import typing_extensions as te

    from .app import Flask

T = t.TypeVar("T")

# fmt: off
DEFAULTS: Mapping[str, t.Any] = ImmutableDict({
    "DEBUG": None, "TESTING": False, "PROPAGATE_EXCEPTIONS": None,
    "SECRET_KEY": None, "SECRET_KEY_FALLBACKS": None,
    "SERVER_NAME": None, "APPLICATION_ROOT": "/", "PREFERRED_URL_SCHEME": "http",
    "TRUSTED_HOSTS": None, "PROVIDE_AUTOMATIC_OPTIONS": True,
    "SESSION_COOKIE_NAME": "session", "SESSION_COOKIE_DOMAIN": None,
    "SESSION_COOKIE_PATH": None, "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_PARTITIONED": False,
    "SESSION_COOKIE_SAMESITE": None, "SESSION_REFRESH_EACH_REQUEST": True,
    "PERMANENT_SESSION_LIFETIME": timedelta(days=31), "MAX_COOKIE_SIZE": 4093,
    "MAX_CONTENT_LENGTH": None, "MAX_FORM_MEMORY_SIZE": 500_000, "MAX_FORM_PARTS": 1_000,
    "SEND_FILE_MAX_AGE_DEFAULT": None, "USE_X_SENDFILE": False,
    "TRAP_BAD_REQUEST_ERRORS": None, "TRAP_HTTP_EXCEPTIONS": False,
    "EXPLAIN_TEMPLATE_LOADING": False, "TEMPLATES_AUTO_RELOAD": None,
    # Ours: threads for plain functions, how many calls may wait for one before the answer
    # is 503, and the bytes of one body that may be held in memory.
    "WORKER_THREADS": 40, "WORKER_QUEUE": 1_000, "MAX_BODY_MEMORY": 16 * 1024 * 1024,
    # What a start-up, an end, open streams and background tasks may take then, in seconds.
    "STARTUP_TIMEOUT": 60, "SHUTDOWN_TIMEOUT": 10, "STREAM_SHUTDOWN_TIMEOUT": 2,
    "BACKGROUND_TASK_SHUTDOWN_TIMEOUT": 5, "MAX_BACKGROUND_TASKS": 1_000,
    # Pages that may open a WebSocket (None: the app's own), bytes of a message, plain views.
    "WEBSOCKET_ORIGINS": None, "MAX_WEBSOCKET_MESSAGE": 1024 * 1024, "WEBSOCKET_THREADS": 100,
    # Whether views are bound to the types of their annotations.
    "TYPED_VIEWS": True,
})
"""The settings of an application to which nothing was configured."""
# fmt: on


class ConfigAttribute(t.Generic[T]):
    """An attribute of the application that reads and writes one key of its configuration.

    ``get_converter`` is applied to the value whenever it is read.
    """

    def __init__(self, name: str, get_converter: Callable[[t.Any], T] | None = None) -> None:
        self.__name__ = name
        self.get_converter = get_converter

    @t.overload
    def __get__(self, obj: None, owner: type[Flask] | None = None) -> te.Self: ...

    @t.overload
    def __get__(self, obj: Flask, owner: type[Flask] | None = None) -> T: ...

    def __get__(self, obj: Flask | None, owner: type[Flask] | None = None) -> T | te.Self:
        if obj is None:
            return self
        value = obj.config[self.__name__]
        return value if self.get_converter is None else self.get_converter(value)

    def __set__(self, obj: Flask, value: t.Any) -> None:
        obj.config[self.__name__] = value


class Config(dict[str, t.Any]):
    """A dict of settings that fills itself from files, objects and the environment.

    File names are taken relative to ``root_path``, which in an application is its own. Except for
    :meth:`from_prefixed_env`, the loaders take names in capitals only::

        app.config.from_object("shop.defaults")
        app.config.from_file("shop.toml", load=tomllib.load, text=False, silent=True)
        app.config.from_prefixed_env()
    """

    def __init__(
        self, root_path: str | os.PathLike[str], defaults: dict[str, t.Any] | None = None
    ) -> None:
        super().__init__(defaults or {})
        self.root_path = root_path

    def from_envvar(self, variable_name: str, silent: bool = False) -> bool:
        """Load the Python file whose path is in an environment variable.

        Returns whether it was loaded. Raises RuntimeError if the variable is not set and OSError
        if the file cannot be read; ``silent`` makes False of a variable or file that is missing.
        """
        path = os.environ.get(variable_name)
        if path:
            return self.from_pyfile(path, silent=silent)
        if silent:
            return False
        raise RuntimeError(
            f"The environment variable {variable_name!r} is not set, so there is no configuration"
            f" to load. Set it to a file's path (export {variable_name}=/path/to/config.py), or"
            " pass silent=True to do without."
        )

    def from_prefixed_env(
        self, prefix: str = "FLASK", *, loads: Callable[[str], t.Any] = json.loads
    ) -> bool:
        """Load every environment variable that starts with the prefix and an underscore.

        Each value goes through ``loads`` and stays a string where that fails. A double underscore
        steps into a dict, which is made if need be: ``FLASK_MAIL__PORT=25`` is
        ``config["MAIL"]["PORT"] = 25``. Variables are taken in sorted order. Returns True. Raises
        TypeError if a step leads into something that is not a dict.
        """
        prefix = f"{prefix}_"
        for variable in sorted(os.environ):
            if not variable.startswith(prefix):
                continue
            value: t.Any = os.environ[variable]
            with suppress(Exception):  # Whatever `loads` raises means: not in its format.
                value = loads(value)
            self._set_nested(variable, variable.removeprefix(prefix).split("__"), value)
        return True

    def _set_nested(self, variable: str, steps: list[str], value: t.Any) -> None:
        target: t.Any = self
        for step in steps[:-1]:
            # COMPAT: in just these steps, which a subclass may have methods of its own for.
            if step not in target:
                target[step] = {}
            target = target[step]
            if isinstance(target, list) or not hasattr(target, "__setitem__"):
                raise TypeError(
                    f"The environment variable {variable!r} sets a key inside {step!r}, which is"
                    f" not a dict but {target!r}. Rename one of the two variables."
                )
        target[steps[-1]] = value

    def from_pyfile(self, filename: str | os.PathLike[str], silent: bool = False) -> bool:
        """Run a Python file and take the names in capitals that it defines.

        Returns whether it was loaded. Raises OSError if it cannot be read; ``silent`` makes False
        of a file that is missing.
        """
        path = os.path.join(self.root_path, filename)
        module = types.ModuleType("config")
        module.__file__ = path
        try:
            with open(path, "rb") as file:
                source = file.read()
        except OSError as e:
            return _missing(e, silent, errno.ENOENT, errno.EISDIR, errno.ENOTDIR)
        exec(compile(source, path, "exec"), module.__dict__)
        self.from_object(module)
        return True

    def from_object(self, obj: object | str) -> None:
        """Take the attributes in capitals of an object, or of what an import name stands for.

        Usually a module or a class; a class with properties is instantiated first. For a dict use
        :meth:`from_mapping`: its keys are not attributes.
        """
        if isinstance(obj, str):
            obj = import_string(obj)
        for key in dir(obj):
            if key.isupper():
                self[key] = getattr(obj, key)

    def from_file(
        self, filename: str | os.PathLike[str],
        load: Callable[[t.IO[t.Any]], Mapping[str, t.Any]], silent: bool = False,
        text: bool = True,
    ) -> bool:  # fmt: skip
        """Take the keys in capitals of the mapping that ``load(file)`` returns.

        ``text=False`` opens the file in binary mode, as ``tomllib.load`` wants it. Returns whether
        it was loaded. Raises OSError if it cannot be read; ``silent`` makes False of a file that
        is missing.
        """
        path = os.path.join(self.root_path, filename)
        try:
            with open(path, "r" if text else "rb") as file:
                values = load(file)
        except OSError as e:
            return _missing(e, silent, errno.ENOENT, errno.EISDIR)
        return self.from_mapping(values)

    def from_mapping(self, mapping: Mapping[str, t.Any] | None = None, **kwargs: t.Any) -> bool:
        """Take the keys in capitals of a mapping, or of pairs, and of keywords; returns True."""
        values: dict[str, t.Any] = {}
        if mapping is not None:
            values.update(mapping)
        values.update(kwargs)
        for key, value in values.items():
            if key.isupper():
                self[key] = value
        return True

    def get_namespace(
        self, namespace: str, lowercase: bool = True, trim_namespace: bool = True
    ) -> dict[str, t.Any]:
        """Return the settings whose names start with ``namespace``, ready to be keywords.

        The names come in lower case and without the namespace unless told otherwise::

            app.config["MAIL_PORT"] = 25
            app.config.get_namespace("MAIL_")  # {"port": 25}
        """
        start = len(namespace) if trim_namespace else 0
        return {
            key[start:].lower() if lowercase else key[start:]: value
            for key, value in self.items()
            if key.startswith(namespace)
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {super().__repr__()}>"


def _missing(error: OSError, silent: bool, *codes: int) -> bool:
    """Answer False for a missing file that may be missing; else raise with what was tried."""
    if silent and error.errno in codes:
        return False
    error.strerror = f"Unable to load configuration file ({error.strerror})"
    raise error
