"""The OpenAPI document of an app, made of its rules and the signatures of its views.

Source: https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

import inspect
import json
import re
import typing as t
from collections.abc import Callable, Iterator
from http import HTTPStatus

from werkzeug.routing import (
    AnyConverter,
    FloatConverter,
    IntegerConverter,
    Rule,
    UnicodeConverter,
    UUIDConverter,
)

from aioflask.globals import current_app
from aioflask.views import MethodView

from .answers import EVENTS, JSON, JSON_LINES, Answer, Kind
from .binding import Binding, binding_of
from .describe import Description, describe, description_of
from .readers import FORMS, Reader, WholeReader
from .security import Scheme
from .signature import MISSING, Unresolved, bare, returns
from .validators import Validator, validator_for

if t.TYPE_CHECKING:
    from aioflask.app import Flask
    from aioflask.wrappers import Response

Json = dict[str, t.Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_EXTENSION = "openapi"
_REFERENCE = "#/components/schemas/{}"
_PROBLEM = "ProblemDetails"
_PROBLEM_SCHEMA: Json = {
    "title": _PROBLEM,
    "description": "What is wrong with a request (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "pointer", "detail"],
                "properties": {
                    "in": {"type": "string"},
                    "pointer": {"type": "string", "description": "JSON Pointer (RFC 6901)"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


class OpenAPI:
    """Serves the app's OpenAPI 3.1 document, and a page to read and try it. ::

        OpenAPI(app, title="Items", version="1.0", docs="/docs")

    ``url`` is where the document is, None for nowhere; ``docs`` where Swagger UI is, None (the
    default) for nowhere: it needs ``pip install 'aioflask[swagger]'`` and loads nothing from other
    servers. ``description`` is Markdown; ``servers`` lists base URLs if there are others than the
    document's own. Without an app, `init_app` adds it to one later.

    Source: https://spec.openapis.org/oas/v3.1.1
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        title: str | None = None,
        version: str = "0.1.0",
        description: str | None = None,
        servers: t.Sequence[str] = (),
        url: str | None = "/openapi.json",
        docs: str | None = None,
    ) -> None:
        self.title: str | None = title
        self.version: str = version
        self.description: str | None = description
        self.servers: t.Sequence[str] = servers
        self.url: str | None = url
        self.docs: str | None = docs
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Add the document's route, and the page's, to an app.

        :raises ValueError: for a page without a document.
        :raises RuntimeError: if the page's files are not installed.
        """
        app.extensions[_EXTENSION] = self
        if self.docs is not None:
            from .page import add_page

            if self.url is None:
                raise ValueError(
                    f"OpenAPI(docs={self.docs!r}, url=None): the page reads the document. Give"
                    " both, or neither."
                )
            add_page(app, self)
        if self.url is not None:
            made: list[bytes] = []

            @describe(hidden=True)
            def openapi() -> Response:
                # What the document is made of does not change once requests are served.
                if not made:
                    made.append(json.dumps(self.document(current_app)).encode())
                return current_app.response_class(made[0], mimetype=JSON)

            app.add_url_rule(self.url, "openapi", openapi)

    def document(self, app: Flask) -> Json:
        """The document, as JSON would have it.

        :raises SignatureError: for a view whose signature cannot be bound.
        """
        info: Json = {"title": self.title or app.name, "version": self.version}
        if self.description:
            info["description"] = inspect.cleandoc(self.description)
        document: Json = {"openapi": "3.1.0", "info": info}
        if self.servers:
            document["servers"] = [{"url": url} for url in self.servers]
        return {**document, **Document(app).parts()}


def document_of(app: Flask) -> Json:
    """The app's document, by its `OpenAPI` if it has one."""
    found = app.extensions.get(_EXTENSION)
    return (found if isinstance(found, OpenAPI) else OpenAPI()).document(app)


def print_document() -> None:
    """Print the active app's document, for the command line."""
    import click

    click.echo(json.dumps(document_of(current_app), indent=2))


class Operation(t.NamedTuple):
    """One view behind one rule and one method."""

    rule: Rule
    method: str
    view: Callable[..., t.Any]
    """The function, or the method of a class."""
    binding: Binding
    said: Description


class Document:
    """One document while it is made: schemas are collected first, and named when all are known."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.schemas: list[tuple[Validator, str, Json]] = []
        """Types, with the mode, and the object that becomes the type's schema."""
        self.later: list[Callable[[Json], None]] = []
        """What waits for the components."""
        self.schemes: dict[str, Json] = {}
        self.taken: set[str] = set()

    def parts(self) -> Json:
        """Paths and components."""
        paths: dict[str, Json] = {}
        tags: dict[str, None] = {}
        for operation in self.operations():
            path = paths.setdefault(template(operation.rule), {})
            if operation.method not in path:
                path[operation.method] = found = self.operation(operation)
                tags.update(dict.fromkeys(found.get("tags", ())))
        schemas = self._fill_in()
        for finish in self.later:
            finish(schemas)
        components: Json = {"schemas": {_PROBLEM: _PROBLEM_SCHEMA, **schemas}}
        if self.schemes:
            components["securitySchemes"] = self.schemes
        parts: Json = {"paths": paths, "components": components}
        if tags:
            parts["tags"] = [{"name": name} for name in tags]
        return parts

    def operations(self) -> Iterator[Operation]:
        """What the app answers to by HTTP, in the order of its rules."""
        app = self.app
        for rule in app.url_map.iter_rules():
            view = app.view_functions.get(rule.endpoint)
            is_static = rule.endpoint.rpartition(".")[2] == "static"
            if view is None or rule.websocket or rule.build_only or rule.alias or is_static:
                continue
            for method in METHODS:
                if method.upper() not in (rule.methods or ()) or method in ("head", "options"):
                    continue
                function: t.Any = view
                kind = getattr(view, "view_class", None)
                if kind is not None and issubclass(kind, MethodView):
                    function = getattr(kind, method, None) or view
                said = description_of(function)
                if not (said.hidden or description_of(view).hidden):
                    binding = self._binding(rule, function)
                    yield Operation(rule, method, function, binding, said)

    def _binding(self, rule: Rule, function: t.Any) -> Binding:
        if not self.app.config["TYPED_VIEWS"]:
            return Binding(lambda: None, ())
        return binding_of(self.app, rule.endpoint, function)

    # --- one operation

    def operation(self, operation: Operation) -> Json:
        """The operation object."""
        rule, _, view, binding, said = operation
        summary, _, description = (inspect.getdoc(view) or "").partition("\n")
        readers = [*binding.needs.everything()]
        found: Json = {"operationId": self._operation_id(operation)}
        blueprint = rule.endpoint.rpartition(".")[0]
        if tags := said.tags if said.tags is not None else [blueprint] if blueprint else []:
            found["tags"] = list(tags)
        if summary := said.summary or summary:
            found["summary"] = summary
        if description := inspect.cleandoc(said.description or description):
            found["description"] = description
        if said.deprecated or hasattr(view, "__deprecated__"):
            found["deprecated"] = True
        if parameters := [*self.parameters(rule, readers)]:
            found["parameters"] = parameters
        if body := self.request_body(readers):
            found["requestBody"] = body
        found["responses"] = self.responses(operation, readers)
        required: dict[str, list[str]] = {}
        for dependency in binding.needs.all_dependencies():
            scheme: t.Any = dependency.func
            if isinstance(scheme, Scheme):
                self.schemes[scheme.name] = scheme.document()
                required[scheme.name] = []
                found["responses"].setdefault("401", _text("401"))
        if required:
            found["security"] = [required]
        return found

    def _operation_id(self, operation: Operation) -> str:
        """The endpoint, which is what Flask calls a view by; told apart where it is not enough."""
        rule, method, _, _, said = operation
        if said.operation_id:
            return said.operation_id
        name: str = rule.endpoint.replace(".", "_")
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if len(methods) > 1:
            name = f"{name}_{method}"
        if name in self.taken:
            name += "_" + re.sub(r"\W+", "_", template(rule)).strip("_")
        self.taken.add(name)
        return name

    def parameters(self, rule: Rule, readers: list[Reader]) -> Iterator[Json]:
        """The parameter objects: the rule's variables, then what the view reads."""
        marked = {each.name: each for each in readers if each.source == "path"}
        for is_variable, name in rule._trace:
            if not is_variable:
                continue
            schema = schema_of(rule._converters[name])
            reader = marked.get(name)
            if reader is not None:
                schema = self._schema(reader.validator)
            yield self._parameter(name, "path", True, schema, reader)
        seen = set()
        for reader in readers:
            if reader.source not in ("query", "header", "cookie"):
                continue
            if isinstance(reader, WholeReader):
                found = self._fields(reader)
            else:
                required = reader.is_required
                schema = self._schema(reader.validator)
                found = iter([(reader.key, required, schema, reader)])
            for name, required, schema, each in found:
                if (reader.source, name) not in seen:  # Two dependencies may read it.
                    seen.add((reader.source, name))
                    yield self._parameter(name, reader.source, required, schema, each)

    def _fields(self, reader: WholeReader) -> Iterator[tuple[str, bool, Json, Reader | None]]:
        """Each field of a model is a parameter."""
        validator = reader.validator
        whole = self._schema(validator)
        schema = validator.schema
        if "$ref" in schema:
            schema = validator.components[schema["$ref"].removeprefix("#/")]
        needed = set(schema.get("required", ())) if reader.is_required else set()
        for name in reader.fields:
            key = name.replace("_", "-") if reader.source == "header" else name
            yield key, name in needed, self._property(whole, name), None

    def _property(self, whole: Json, name: str) -> Json:
        """An object that becomes the schema of a model's field."""
        found: Json = {}

        def finish(components: Json) -> None:
            model = components[whole["$ref"].rpartition("/")[2]] if "$ref" in whole else whole
            found.update(model["properties"][name])

        self.later.append(finish)
        return found

    def _parameter(
        self, name: str, source: str, required: bool, schema: Json, reader: Reader | None
    ) -> Json:
        found: Json = {"name": name, "in": source, "required": required, "schema": schema}
        if reader is not None:
            marker = reader.parameter.marker
            if marker.description:
                found["description"] = marker.description
            if marker.deprecated:
                found["deprecated"] = True
            if marker.examples:
                found["examples"] = {
                    str(number): {"value": value} for number, value in enumerate(marker.examples, 1)
                }
            if not required and source != "path" and _is_plain(reader.default):
                default = {"default": reader.default}
                self.later.append(lambda _: schema.update(default))
        return found

    def request_body(self, readers: list[Reader]) -> Json | None:
        """The request body object; None if the view reads none."""
        for reader in readers:
            if reader.source == "body":
                content: Json = {"schema": self._schema(reader.validator)}
                marker = reader.parameter.marker
                if marker.examples:
                    content["examples"] = {
                        str(number): {"value": each}
                        for number, each in enumerate(marker.examples, 1)
                    }
                body: Json = {"required": reader.is_required, "content": {JSON: content}}
                if marker.description:
                    body["description"] = marker.description
                return body
        forms = [each for each in readers if each.source in ("form", "file")]
        if not forms:
            return None
        whole = next((each for each in forms if isinstance(each, WholeReader)), None)
        kinds = FORMS[1:] if any(each.source == "file" for each in forms) else FORMS
        schema = self._form(forms) if whole is None else self._schema(whole.validator)
        if whole is not None and len(forms) > 1:
            rest = [each for each in forms if each is not whole]
            schema = {"allOf": [schema, self._form(rest)]}
        required = any(each.is_required for each in forms)
        return {"required": required, "content": {kind: {"schema": schema} for kind in kinds}}

    def _form(self, forms: list[Reader]) -> Json:
        properties: Json = {}
        for each in forms:
            if each.source == "file":
                schema: Json = {"type": "string", "contentMediaType": "application/octet-stream"}
                if each.parameter.is_list:
                    schema = {"type": "array", "items": schema}
            else:
                schema = self._schema(each.validator)
            properties[each.key] = schema
        found: Json = {"type": "object", "properties": properties}
        if required := [each.key for each in forms if each.is_required]:
            found["required"] = required
        return found

    # --- responses

    def responses(self, operation: Operation, readers: list[Reader]) -> Json:
        """The responses object: what the view returns, what it declares, what reading may fail."""
        found: Json = {}
        for kind in self._kinds(operation):
            self._add(found, kind.status, kind)
        if not found:
            found["200"] = {"description": "OK"}
        said = dict(operation.said.responses or {})
        if readers:
            said.setdefault(422, None)
            if any(each.source == "body" for each in readers):
                said.setdefault(400, None)
            if any(each.source in ("body", "form", "file") for each in readers):
                said.setdefault(415, None)
        if any(is_variable for is_variable, _ in operation.rule._trace):
            said.setdefault(404, None)
        problems = {"422", "400", "415"} if readers else set()
        for status, what in said.items():
            found.setdefault(str(int(status)), self._declared(operation, status, what, problems))
        return dict(sorted(found.items()))

    def _kinds(self, operation: Operation) -> list[Kind]:
        answer = operation.binding.answer
        if answer is not None:
            return answer.kinds
        return _kinds_of(operation.view)

    def _add(self, found: Json, status: str, kind: Kind) -> None:
        text = "Success" if status == "2XX" else HTTPStatus(int(status)).phrase
        response = found.setdefault(status, {"description": text})
        for media, schema in self._content(kind).items():
            content = response.setdefault("content", {})
            if media in content and schema is not None and "schema" in content[media]:
                content[media] = {"schema": {"anyOf": [content[media]["schema"], schema]}}
            else:
                content[media] = {} if schema is None else {"schema": schema}

    def _content(self, kind: Kind) -> dict[str, Json | None]:
        """Media types with their schemas; none where only the view knows."""
        hint = bare(kind.hint)
        if kind.item is not None:
            item = self._schema(kind.validator, "serialization")
            return {JSON_LINES: item, EVENTS: {"type": "string"}}
        if kind.validator is not None:
            return {JSON: self._schema(kind.validator, "serialization")}
        if hint is str:
            return {"text/html": {"type": "string"}}
        if (t.get_origin(hint) or hint) is dict:
            return {JSON: {"type": "object"}}
        if (t.get_origin(hint) or hint) is list:
            return {JSON: {"type": "array"}}
        return {}

    def _declared(self, operation: Operation, status: t.Any, what: t.Any, problems: t.Any) -> Json:
        code = str(int(status))
        if what is not None and not isinstance(what, str):
            validator = validator_for(what)
            found = _text(code)
            found["content"] = {JSON: {"schema": self._schema(validator, "serialization")}}
            return found
        found = _text(code, what)
        handler = self._handler(operation.rule, int(code))
        if handler is not None:
            for kind in _kinds_of(handler):
                found.setdefault("content", {}).update(
                    {media: {} if schema is None else {"schema": schema}
                     for media, schema in self._content(kind).items()}
                )  # fmt: skip
        elif code in problems:
            schema = {"$ref": _REFERENCE.format(_PROBLEM)}
            found["content"] = {"application/problem+json": {"schema": schema}}
        else:
            found["content"] = {"text/html": {"schema": {"type": "string"}}}
        return found

    def _handler(self, rule: Rule, code: int) -> t.Any:
        """The error handler of the app or the view's blueprints for a status."""
        names = rule.endpoint.split(".")[:-1]
        scopes = [".".join(names[:end]) for end in range(len(names), 0, -1)]
        for scope in (*scopes, None):
            found = self.app.error_handler_spec.get(scope, {}).get(code)
            if found:
                return next(iter(found.values()))
        return None

    # --- schemas

    def _schema(self, validator: t.Any, mode: str = "validation") -> Json:
        """An object that becomes the type's schema when all types are known."""
        schema: Json = {}
        self.schemas.append((validator, mode, schema))
        return schema

    def _fill_in(self) -> Json:
        """Give each type its schema, and return the components that they refer to."""
        components: Json = {}
        kinds = sorted({type(each) for each, _, _ in self.schemas}, key=lambda kind: kind.__name__)
        for kind in kinds:
            mine = [each for each in self.schemas if type(each[0]) is kind]
            pairs = [(validator, mode) for validator, mode, _ in mine]
            prefix = ""
            found, more = kind.schemas(pairs, _REFERENCE)
            if more.keys() & components.keys():  # The other library has a type of that name.
                prefix = f"{kind.__name__.removesuffix('Validator')}."
                found, more = kind.schemas(pairs, _REFERENCE.replace("{}", f"{prefix}{{}}"))
            components.update({f"{prefix}{name}": schema for name, schema in more.items()})
            for (_, _, schema), own in zip(mine, found, strict=True):
                schema.update(own)
        return components


def template(rule: Rule) -> str:
    """The rule as OpenAPI writes it: ``/items/{id}``."""
    found = "".join(f"{{{name}}}" if dynamic else name for dynamic, name in rule._trace)
    path: str = found.partition("|")[2]
    return path


def schema_of(converter: t.Any) -> Json:
    """The JSON schema of what a rule's converter lets in."""
    if isinstance(converter, IntegerConverter):
        found: Json = {"type": "integer"}
        lowest = converter.min if converter.min is not None else None if converter.signed else 0
        bounds = {"minimum": lowest, "maximum": converter.max}
        return {**found, **{key: value for key, value in bounds.items() if value is not None}}
    if isinstance(converter, FloatConverter):
        return {"type": "number"} if converter.signed else {"type": "number", "minimum": 0}
    if isinstance(converter, UUIDConverter):
        return {"type": "string", "format": "uuid"}
    if isinstance(converter, AnyConverter):
        return {"type": "string", "enum": sorted(converter.items)}
    if isinstance(converter, UnicodeConverter):
        return {"type": "string", "minLength": 1}
    return {"type": "string"}


def _kinds_of(view: Callable[..., t.Any]) -> list[Kind]:
    try:
        hint = returns(view)
    except Unresolved:
        return []
    return [] if hint is MISSING else Answer(view, hint).kinds


def _text(code: str, description: str | None = None) -> Json:
    return {"description": description or HTTPStatus(int(code)).phrase}


def _is_plain(value: t.Any) -> bool:
    """Whether a default can be written as it is."""
    return value is None or isinstance(value, (str, int, float, bool, list))
