"""What a request gets wrong, and how it is told.

Source: RFC 9457, Problem Details for HTTP APIs; RFC 6901, JSON Pointer.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterable

from werkzeug.exceptions import BadRequest, HTTPException, UnprocessableEntity, UnsupportedMediaType

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MOST = 100
"""Faults that are told; a body may have a million."""


class Fault(t.NamedTuple):
    """One thing that is wrong: where, and why. Values are never in it."""

    source: str
    """"path", "query", "header", "cookie", "form", "file", "body", "message" or "return"."""
    place: tuple[str | int, ...]
    """The parameter's name (none for the body), then keys and indexes."""
    reason: str

    def __str__(self) -> str:
        where = ".".join(map(str, self.place))
        return f"{self.source}{where and ' ' + where}: {self.reason}"

    @property
    def pointer(self) -> str:
        """The place as a JSON Pointer in a URI fragment, as RFC 9457 shows it."""
        steps = (str(step).replace("~", "~0").replace("/", "~1") for step in self.place)
        return "#" + "".join(f"/{step}" for step in steps)


class Faults(Exception):
    """Raised by validators, with places that begin where the value does."""

    def __init__(self, found: Iterable[tuple[tuple[str | int, ...], str]]) -> None:
        self.found: list[tuple[tuple[str | int, ...], str]] = list(found)
        super().__init__(self.found)


class _Problem(HTTPException):
    """An error whose response is a problem document."""

    errors: list[Fault]

    def get_body(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, t.Any] | None = None
    ) -> str:
        """The document: ``title``, ``status``, ``detail``, and ``errors`` with their places."""
        problem: dict[str, t.Any] = {
            "type": "about:blank",
            "title": self.name,
            "status": self.code,
            "detail": self.description,
        }
        if self.errors:
            problem["errors"] = [
                {"in": each.source, "pointer": each.pointer, "detail": each.reason}
                for each in self.errors
            ]
        return json.dumps(problem)

    def get_headers(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, t.Any] | None = None
    ) -> list[tuple[str, str]]:
        """The media type is that of problem documents."""
        return [("Content-Type", "application/problem+json")]


class RequestValidationError(_Problem, UnprocessableEntity):
    """422: the request does not have the types that the view asks for.

    ``errors`` has a `Fault` for each thing that is wrong. An error handler for this class, of an
    app or a blueprint, may answer otherwise::

        @app.errorhandler(RequestValidationError)
        def wrong(error):
            return {"wrong": [str(fault) for fault in error.errors]}, 400
    """

    def __init__(self, errors: list[Fault]) -> None:
        errors = [*dict.fromkeys(errors)]
        self.errors: list[Fault] = errors[:MOST]
        count = "1 fault" if len(errors) == 1 else f"{len(errors)} faults"
        more = "" if len(errors) <= MOST else f", of which the first {MOST} are listed"
        super().__init__(f"The request has {count}{more}.")


class MalformedBody(_Problem, BadRequest):
    """400: the body is no JSON at all."""

    def __init__(self, reason: str) -> None:
        self.errors: list[Fault] = [Fault("body", (), reason)]
        super().__init__("The body is not valid JSON (RFC 8259).")


class WrongMediaType(_Problem, UnsupportedMediaType):
    """415: the body is not of a type that the view reads."""

    def __init__(self, wanted: str) -> None:
        self.errors: list[Fault] = []
        super().__init__(f"The body has to come with 'Content-Type: {wanted}'.")


class ResponseValidationError(ValueError):
    """What a view returned is not of the type that it says: a 500, and a line in the log.

    ``errors`` has a `Fault` for each thing that is wrong.
    """

    def __init__(self, view: str, hint: t.Any, errors: list[Fault]) -> None:
        self.errors: list[Fault] = errors[:MOST]
        lines = "".join(f"\n  {each}" for each in self.errors)
        super().__init__(
            f"{view} returned what does not fit its annotation, {hint}:{lines}\n"
            "Return a value of that type, or say '-> Response' and make the response yourself."
        )
