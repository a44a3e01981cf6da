"""Finding the application that a command is meant for.

The forms are Flask's: a module, a file, ``module:name``, ``module:factory("argument")``, or nothing
at all and a ``wsgi.py`` or ``app.py`` in the current directory. Whatever goes wrong on the way ends
in :class:`NoAppException`, whose text says what to write instead.

https://flask.palletsprojects.com/en/stable/cli/#application-discovery
"""

from __future__ import annotations

import ast
import difflib
import inspect
import os
import re
import sys
import traceback
import typing as t
from types import ModuleType

import click

from .app import Flask

_FACTORIES = ("create_app", "make_app")


class NoAppException(click.UsageError):
    """No application could be found or loaded. The message says why and what to do."""


def find_best_app(module: ModuleType) -> Flask:
    """The application of a module whose name was not given.

    Taken are, in this order: ``app``, ``application``, the only instance of
    :class:`~aioflask.Flask` in the module, what ``create_app()`` or ``make_app()`` returns.
    Raises :class:`NoAppException` if there is none or more than one.
    """
    for name in ("app", "application"):
        candidate = getattr(module, name, None)
        if isinstance(candidate, Flask):
            return candidate

    found = {name: value for name, value in vars(module).items() if isinstance(value, Flask)}
    # One application under two names is one application.
    if len({id(app) for app in found.values()}) == 1:
        return next(iter(found.values()))
    if found:
        names = " or ".join(f"'{module.__name__}:{name}'" for name in found)
        raise NoAppException(
            f"Module '{module.__name__}' holds {len(found)} applications and none of them is"
            f" called 'app' or 'application'. Say which one you mean: {names}."
        )

    for name in _FACTORIES:
        factory = getattr(module, name, None)
        if inspect.isfunction(factory):
            app = _call_factory(factory, f"{module.__name__}:{name}")
            if isinstance(app, Flask):
                return app

    raise NoAppException(
        f"No application was found in module '{module.__name__}': neither an aioflask.Flask"
        " object nor a function 'create_app' or 'make_app' that returns one. If it has another"
        f" name, use '{module.__name__}:name'.{_foreign_hint(module)}"
    )


def find_app_by_string(module: ModuleType, app_name: str) -> Flask:
    """The application that ``app_name`` stands for in ``module``.

    ``app_name`` is a name, or a call whose arguments are literals: ``create_app("test", debug=1)``.
    Raises :class:`NoAppException` if it is neither, or gives no :class:`~aioflask.Flask`.
    """
    name, args, kwargs = _parse_name(app_name)
    where = f"{module.__name__}:{app_name.strip()}"
    try:
        value = getattr(module, name)
    except AttributeError as error:
        raise NoAppException(
            f"Module '{module.__name__}' has no attribute {name!r}, which '{where}' asks for."
            f"{_did_you_mean(name, module)}"
        ) from error
    # Only functions are called: an app object is callable too, and is no factory.
    app = _call_factory(value, where, *args, **kwargs) if inspect.isfunction(value) else value
    if isinstance(app, Flask):
        return app
    raise NoAppException(
        f"'{where}' gave an object of type '{type(app).__name__}' and not an aioflask.Flask"
        f" application.{_factory_hint(app, where)}{_foreign_hint(module)}"
    )


def _parse_name(app_name: str) -> tuple[str, list[t.Any], dict[str, t.Any]]:
    """Split ``name`` or ``name(literals)`` into the name and its arguments."""
    try:
        expression = ast.parse(app_name.strip(), mode="eval").body
    except SyntaxError:
        expression = None
    if isinstance(expression, ast.Name):
        return expression.id, [], {}
    if not isinstance(expression, ast.Call):
        raise NoAppException(
            f"{app_name!r} is neither a name nor a call. Write 'module:app' or"
            " 'module:create_app(\"argument\")'."
        )
    if not isinstance(expression.func, ast.Name):
        raise NoAppException(
            f"The function in {app_name!r} must be given by a simple name of the module."
        )
    try:
        args = [ast.literal_eval(argument) for argument in expression.args]
        kwargs = {k.arg: ast.literal_eval(k.value) for k in expression.keywords if k.arg}
    except ValueError:
        raise NoAppException(
            f"The arguments in {app_name!r} must be literal values (strings, numbers, lists,"
            " True, None ...); names and expressions are not looked up here."
        ) from None
    return expression.func.id, args, kwargs


def _call_factory(
    factory: t.Callable[..., t.Any], where: str, *args: t.Any, **kwargs: t.Any
) -> t.Any:
    """Call an application factory; an exception from inside of it comes out as it is."""
    try:
        return factory(*args, **kwargs)
    except TypeError as error:
        if not _called_with_wrong_args(factory):
            raise
        bare = where.partition("(")[0]
        empty = inspect.Parameter.empty
        signature = inspect.signature(factory)
        parameters = [p.replace(annotation=empty) for p in signature.parameters.values()]
        given = f"{bare.rpartition(':')[2]}{inspect.Signature(parameters)}"
        raise NoAppException(
            f"The factory '{where}' could not be called with the arguments given: it is"
            f" defined as '{given}'. Pass them in the call: '{bare}(...)'."
        ) from error


def _called_with_wrong_args(factory: t.Callable[..., t.Any]) -> bool:
    """Whether the TypeError being handled comes from the call itself, not from the body."""
    code = getattr(factory, "__code__", None)
    tb = sys.exc_info()[2]
    return all(frame.f_code is not code for frame, _ in traceback.walk_tb(tb))


def _did_you_mean(name: str, module: ModuleType) -> str:
    close = difflib.get_close_matches(name, [n for n in vars(module) if not n.startswith("_")], 1)
    return f" Did you mean '{module.__name__}:{close[0]}'?" if close else ""


def _factory_hint(value: t.Any, where: str) -> str:
    if inspect.iscoroutine(value):
        value.close()  # Nobody will await it, and this message says so better than a warning.
        return f" '{where}' is an 'async def' function; a factory must be a plain 'def'."
    return " Did the factory forget to return the app?" if value is None else ""


def _foreign_hint(module: ModuleType) -> str:
    """Recognise an application of Flask itself, the one mistake everybody makes once."""
    for name, value in vars(module).items():
        if any(c.__name__ == "Flask" and c.__module__ == "flask.app" for c in type(value).__mro__):
            return (
                f" '{name}' is an application of Flask: change 'from flask import ...' to"
                " 'from aioflask import ...'."
            )
    return ""


def prepare_import(path: str) -> str:
    """Turn a file name or dotted module into a module name, and make it importable.

    The folder above the outermost package goes to the front of ``sys.path``.
    """
    path = os.path.realpath(path)
    stem, extension = os.path.splitext(path)
    if extension == ".py":
        path = stem
    if os.path.basename(path) == "__init__":
        path = os.path.dirname(path)

    names: list[str] = []
    while True:
        path, name = os.path.split(path)
        names.insert(0, name)
        if not os.path.exists(os.path.join(path, "__init__.py")):
            break
    if sys.path[0] != path:
        sys.path.insert(0, path)
    return ".".join(names)


@t.overload
def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: t.Literal[True] = True
) -> Flask: ...


@t.overload
def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: t.Literal[False] = ...
) -> Flask | None: ...


def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: bool = True
) -> Flask | None:
    """Import a module and give its application, by name or by :func:`find_best_app`.

    Raises :class:`NoAppException`; with ``raise_if_not_found=False`` a module that does not exist
    gives None. A module that exists and fails on an import of its own is always an error.
    """
    try:
        __import__(module_name)
    except ImportError as error:
        # A traceback of one frame never left this function: the module itself is missing.
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise NoAppException(
                f"Module {module_name!r} was found, but importing it raised:"
                f"\n\n{traceback.format_exc()}"
            ) from None
        if not raise_if_not_found:
            return None
        raise NoAppException(
            f"Could not import {module_name!r}: there is no such module in"
            f" '{sys.path[0] or os.getcwd()}' or on the import path. Give a module or a file:"
            " --app package.module, --app folder/file.py."
        ) from None
    module = sys.modules[module_name]
    return find_best_app(module) if app_name is None else find_app_by_string(module, app_name)


def split_app_path(app_path: str) -> tuple[str, str | None]:
    """Split ``module:name`` at its colon; the colon of a Windows drive is none."""
    path, *name = re.split(r":(?![\\/])", app_path, maxsplit=1)
    return path, name[0] if name else None
