"""Sphinx's configuration; build with `sphinx-build -W --keep-going docs docs/_build`."""

from __future__ import annotations

import inspect
import re
import typing as t

import aioflask.typing

if t.TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "aioflask"
author = "The aioflask authors"
copyright = f"2026, {author}"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "aioflask"

# -- the reference, made from docstrings -----------------------------------------------------------

# Single backticks in a docstring are code, and a link where the name is documented.
default_role = "py:obj"
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 120
python_use_unqualified_type_names = True
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"

# Every name of ours that is referred to has to be documented. Those of other packages are not
# looked up: a build needs no network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!aioflask\.).*"),
    (
        "py:class",
        r"aioflask\.\w+\.([A-Z]|T_\w+|_\w+|WSGIApplication)",
    ),  # and private
]

# Where the classes are documented that signatures name.
_CLASSES = {
    "aioflask": "Flask Blueprint Config Request Response",
    "aioflask.blueprints": "BlueprintSetupState",
    "aioflask.cli": "AppGroup ScriptInfo",
    "aioflask.ctx": "AppContext RequestContext",
    "aioflask.json.provider": "JSONProvider",
    "aioflask.json.tag": "JSONTag TaggedJSONSerializer",
    "aioflask.sessions": "NullSession SecureCookieSession SessionMixin",
    "aioflask.templating": "DispatchingJinjaLoader Environment",
    "aioflask.testing": "AsyncClient FlaskClient FlaskCliRunner",
    "aioflask.typing": " ".join(
        name for name, value in vars(aioflask.typing).items() if not isinstance(value, type)
    ),
}
_FULL_NAMES = {
    name: f"{module}.{name}" for module, names in _CLASSES.items() for name in names.split()
}
# Private names by what they stand for, type variables by what they are bound to.
_FULL_NAMES |= {
    "BaseEnvironment": "jinja2.Environment",
    "BaseResponse": "werkzeug.wrappers.Response",
    "_Names": "str | Template | list[str | Template]",
    "_Source": "tuple[str, str | None, Callable[[], bool] | None]",
    "F": "Callable",
    "T_route": "aioflask.typing.RouteCallable",
    "T_before_request": "aioflask.typing.BeforeRequestCallable",
    "T_after_request": "aioflask.typing.AfterRequestCallable",
    "T_teardown": "aioflask.typing.TeardownCallable",
    "T_test": "aioflask.typing.TemplateTestCallable",
    "T_shell": "aioflask.typing.ShellContextProcessorCallable",
    "T_error_handler": "aioflask.typing.ErrorHandlerCallable",
    "T_url_defaults": "aioflask.typing.URLDefaultCallable",
    "T_url_value_preprocessor": "aioflask.typing.URLValuePreprocessorCallable",
    "T_template_context_processor": "aioflask.typing.TemplateContextProcessorCallable",
}


class _Written:
    """Something whose representation is a given text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _type(annotation: t.Any) -> t.Any:
    if annotation is inspect.Parameter.empty:
        return annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(t|te|ft|cabc|templating)\.", "", text.replace('"', ""))
    return _Written(re.sub(r"(?<![.\w])_?[A-Z]\w*", lambda m: _FULL_NAMES.get(m[0], m[0]), text))


def _default(value: t.Any) -> t.Any:
    if inspect.isroutine(value):
        return _Written(f"{value.__module__}.{value.__name__}")
    shown = value is inspect.Parameter.empty or isinstance(value, str | bytes | int | tuple)
    return value if shown or value is None else _Written("...")


def show_types_as_written(
    app: Sphinx, what: str, name: str, obj: t.Any, options: t.Any, args: str | None, returns: t.Any
) -> tuple[str, str | None] | None:
    """Give signatures the types that the source names; autodoc spells out what they stand for."""
    if args is None:
        return None
    signature = inspect.signature(obj)
    parameters = [
        each.replace(annotation=_type(each.annotation), default=_default(each.default))
        for each in signature.parameters.values()
        if each.name not in ("self", "cls")
    ]
    returned = signature.return_annotation
    if what in ("class", "exception") or returned is inspect.Signature.empty:
        return str(inspect.Signature(parameters)), None
    return str(inspect.Signature(parameters)), repr(_type(returned))


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", show_types_as_written)
