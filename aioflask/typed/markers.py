"""What an annotation says beside its type: where a value comes from, and what must hold for it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker:
    """Where a parameter comes from; its subclasses are used. ::

        limit: Annotated[int, Query(ge=1, le=100)] = 20

    ``alias`` is the name in the request, if that is not the parameter's own. ``gt``, ``ge``,
    ``lt``, ``le`` and ``multiple_of`` bound numbers, ``min_length``, ``max_length`` and ``pattern``
    (a regular expression, looked for anywhere) texts and lists. The others go into the OpenAPI
    document.
    """

    source: t.ClassVar[str] = ""

    alias: str | None = None
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    title: str | None = None
    description: str | None = None
    examples: t.Sequence[t.Any] | None = None
    deprecated: bool = False

    @property
    def constraints(self) -> dict[str, t.Any]:
        """Those that are set."""
        found = ((name, getattr(self, name)) for name in CONSTRAINTS)
        return {name: value for name, value in found if value is not None}


class Query(Marker):
    """From the query string. A whole model takes its fields from there."""

    source = "query"


class Path(Marker):
    """A variable of the rule, which the rule's converter has converted, checked further."""

    source = "path"


class Header(Marker):
    """From a header field; ``user_agent`` is ``User-Agent``. A whole model takes its fields."""

    source = "header"


class Cookie(Marker):
    """From a cookie."""

    source = "cookie"


class Form(Marker):
    """From a form, urlencoded or multipart. A whole model takes its fields from there."""

    source = "form"


class File(Marker):
    """An uploaded file, as `werkzeug.datastructures.FileStorage` or as ``bytes``."""

    source = "file"


class Body(Marker):
    """The JSON body; models, lists and dicts are without being marked."""

    source = "body"


@dataclass(frozen=True, slots=True)
class Depends:
    """What a function gives, called once per request for everything that depends on it. ::

        async def get_session():
            async with Session() as session:
                yield session

        @app.get("/items")
        async def items(session: Annotated[Session, Depends(get_session)]): ...

    ``dependency`` is a function or a generator function, plain or ``async def``, a class, or an
    object that can be called; None is the annotation's own class. Its parameters are bound as a
    view's are. What follows the ``yield`` of a generator runs when the view's value has become a
    response, or the stream that it returned has ended, in reverse order. An exception of the view
    is raised at the ``yield``, and error handlers see what is raised after it.
    ``use_cache=False`` calls it anew for this parameter.
    """

    dependency: t.Callable[..., t.Any] | None = None
    use_cache: bool = True
