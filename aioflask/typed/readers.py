"""How the value of one parameter is found in a request, and made one of its type."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import FileStorage

from aioflask.globals import _active_request
from aioflask.json.provider import DefaultJSONProvider

from .problems import Faults, WrongMediaType
from .signature import Parameter, options
from .validators import Validator, is_array, validator_of

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
REQUIRED = "This parameter is required"


class Reader:
    """Reads one parameter; the subclasses know from where."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter: Parameter = parameter
        self.name: str = parameter.name
        self.key: str = parameter.key
        self.source: str = parameter.source
        self.default: t.Any = parameter.default
        self.is_required: bool = parameter.is_required
        self.validator: Validator | None = None

    def read(self, request: t.Any) -> t.Any:
        """The value; `Faults` if it is wrong or missing."""
        raise NotImplementedError

    def absent(self) -> t.Any:
        """The value where the request has none."""
        if self.is_required:
            raise Faults([((self.key,), REQUIRED)])
        default = self.default
        return default.copy() if isinstance(default, (list, dict, set)) else default

    def placed(self, convert: Callable[[t.Any], t.Any], value: t.Any) -> t.Any:
        """The converted value; faults are placed below the parameter's name."""
        try:
            return convert(value)
        except Faults as error:
            raise Faults(((self.key, *place), reason) for place, reason in error.found) from None


class _Typed(Reader):
    """Reads what has to be of a type."""

    validator: Validator

    def __init__(self, parameter: Parameter) -> None:
        super().__init__(parameter)
        self.validator = validator_of(parameter)


class PathReader(_Typed):
    """A variable of the rule, as its converter gave it; texts are converted further."""

    def read(self, request: t.Any) -> t.Any:
        values = request.view_args
        if self.name not in values:  # A rule without it.
            return self.absent()
        value = values[self.name]
        convert = self.validator.from_strings if type(value) is str else self.validator.from_python
        return self.placed(convert, value)


def _query(request: t.Any) -> t.Any:
    raw = request.query_string
    if raw.find(b"%") >= 0 or not raw.isascii():
        check_encoding(raw)
    return request.args


def _form(request: t.Any) -> t.Any:
    if request.mimetype not in FORMS and (request.content_length or request.mimetype):
        raise WrongMediaType(" or ".join(FORMS))
    return request.form


def check_encoding(raw: bytes) -> None:
    """Refuse escapes that are no UTF-8, which would become other characters silently."""
    for pair in raw.split(b"&"):
        try:
            unquote_to_bytes(pair).decode()
        except UnicodeDecodeError:
            name = unquote_to_bytes(pair.partition(b"=")[0]).decode("utf-8", "replace")
            raise Faults([((name,), "The query string is not UTF-8 here")]) from None


VALUES: dict[str, Callable[[t.Any], t.Any]] = {
    "query": _query,
    "form": _form,
    "header": lambda request: request.headers,
    "cookie": lambda request: request.cookies,
}


class ValueReader(_Typed):
    """One text of a name, or all of them."""

    def __init__(self, parameter: Parameter) -> None:
        super().__init__(parameter)
        self.values: t.Any = VALUES[parameter.source]
        self.is_list: bool = parameter.is_list
        self.convert: t.Any = self.validator.from_strings

    def read(self, request: t.Any) -> t.Any:
        found = self.values(request).getlist(self.key)
        if not found:
            return self.absent()
        if self.source == "header" and self.is_list:  # Proxies join fields: RFC 9110, 5.3.
            found = [each.strip() for value in found for each in value.split(",")]
        if self.is_list:
            return self.placed(self.convert, found)
        if len(found) > 1:
            raise Faults([((self.key,), f"It is given {len(found)} times, and takes one value")])
        return self.placed(self.convert, found[0])


class WholeReader(_Typed):
    """A model whose fields are the names of a query, a form, the header fields or the cookies."""

    def __init__(self, parameter: Parameter) -> None:
        super().__init__(parameter)
        self.values: t.Any = VALUES[parameter.source]
        self.fields: dict[str, bool] = {
            name: is_array(schema) for name, schema in self.validator.properties().items()
        }

    def read(self, request: t.Any) -> t.Any:
        values = self.values(request)
        if self.source in ("header", "cookie"):  # There are many that are none of the view's.
            names = {name: name.replace("_", "-") if self.source == "header" else name
                     for name in self.fields}  # fmt: skip
        else:
            names = {name: name for name in values}
        given: dict[str, t.Any] = {}
        faults = []
        for name, key in names.items():
            found = values.getlist(key)
            if self.fields.get(name):
                given.update({name: found} if found else {})
            elif len(found) > 1:
                faults.append(((name,), f"It is given {len(found)} times, and takes one value"))
            elif found:
                given[name] = found[0]
        if faults:
            raise Faults(faults)
        if not given and not self.is_required:
            return self.default
        return self.validator.from_strings(given)


class BodyReader(_Typed):
    """The JSON body."""

    def read(self, request: t.Any) -> t.Any:
        kind = request._raw.get(b"content-type")
        if kind != b"application/json" and not request.is_json:
            sent = kind or request.content_length or self.is_required or request.get_data()
            if not sent:
                return self.default
            raise WrongMediaType("application/json")
        app = _active_request().app
        if type(app.json) is not DefaultJSONProvider:  # Somebody reads JSON their own way.
            return self.validator.from_python(request.get_json())
        return self.validator.from_json(request.get_data())


class FileReader(Reader):
    """One file of a multipart form, or all of a name, as they are or as bytes."""

    def __init__(self, parameter: Parameter) -> None:
        super().__init__(parameter)
        kinds = options(parameter.hint)
        if parameter.is_list:
            kinds = options(t.get_args(kinds[0])[0])
        self.as_bytes: bool = FileStorage not in kinds

    def read(self, request: t.Any) -> t.Any:
        _form(request)
        # A browser sends an empty file for a field that nobody filled in.
        found = [file for file in request.files.getlist(self.key) if file.filename]
        if not found:
            return self.absent()
        if len(found) > 1 and not self.parameter.is_list:
            raise Faults([((self.key,), f"There are {len(found)} files, and it takes one")])
        values = [file.read() for file in found] if self.as_bytes else found
        if self.parameter.is_list:
            kind = t.get_origin(options(self.parameter.hint)[0])
            return kind(values) if kind in (tuple, set, frozenset) else values
        return values[0]


def reader_for(parameter: Parameter) -> Reader:
    """What reads the parameter."""
    if parameter.source == "path":
        return PathReader(parameter)
    if parameter.source == "body":
        return BodyReader(parameter)
    if parameter.source == "file":
        return FileReader(parameter)
    return WholeReader(parameter) if parameter.is_whole else ValueReader(parameter)
