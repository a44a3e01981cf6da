"""What a view's annotations cannot say about it, for the OpenAPI document."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

F = t.TypeVar("F", bound=Callable[..., t.Any])

_ATTRIBUTE = "_aioflask_description"


@dataclass(frozen=True, slots=True)
class Description:
    """What `describe` was given."""

    summary: str | None = None
    description: str | None = None
    tags: Sequence[str] | None = None
    responses: Mapping[int | str, t.Any] | None = None
    operation_id: str | None = None
    deprecated: bool = False
    hidden: bool = False


def describe(
    *,
    summary: str | None = None,
    description: str | None = None,
    tags: Sequence[str] | None = None,
    responses: Mapping[int | str, t.Any] | Sequence[int] | None = None,
    operation_id: str | None = None,
    deprecated: bool = False,
    hidden: bool = False,
) -> Callable[[F], F]:
    """Say more of a view in the OpenAPI document than its annotations and docstring do. ::

        @app.get("/items/<int:id>")
        @describe(responses={404: "There is no such item."}, tags=["shop"])
        async def item(id: int) -> Item: ...

    ``responses`` maps statuses, those of `abort` for example, to a text or a type; a list of
    statuses takes the texts of HTTP. A status with an error handler whose return annotation is a
    type has that type. ``hidden`` leaves the view out. Changes nothing else.
    """
    if responses is not None and not isinstance(responses, Mapping):
        responses = dict.fromkeys(responses)
    found = Description(summary, description, tags, responses, operation_id, deprecated, hidden)

    def set_description(view: F) -> F:
        setattr(view, _ATTRIBUTE, found)
        return view

    return set_description


def description_of(view: t.Any) -> Description:
    """What `describe` said of a view."""
    return t.cast(Description, getattr(view, _ATTRIBUTE, None) or Description())
