"""What a view returns, by its return annotation: validated, filtered, and made JSON."""

from __future__ import annotations

import inspect
import typing as t
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from enum import IntEnum

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as BaseResponse

from aioflask.globals import _active_request
from aioflask.helpers import stream_with_context
from aioflask.responses import split

from .problems import Fault, Faults, ResponseValidationError
from .signature import MISSING, UNIONS, SignatureError, bare, has_model, name_of, options, returns
from .validators import Validator, validator_for

JSON = "application/json"
JSON_LINES = "application/jsonl"
EVENTS = "text/event-stream"
_STREAMS = {"AsyncIterator", "AsyncIterable", "AsyncGenerator", "Iterator", "Iterable", "Generator"}


class Kind:
    """One alternative of a return annotation."""

    def __init__(self, hint: t.Any) -> None:
        self.status: str = "200"
        """As OpenAPI writes it: "201", or "2XX" where the view decides."""
        arguments = t.get_args(bare(hint))
        if t.get_origin(bare(hint)) is tuple and len(arguments) in (2, 3):
            status = _status(arguments[1])
            if status:
                hint, self.status = arguments[0], status
        self.hint: t.Any = hint
        self.is_empty: bool = bare(hint) in (None, type(None))
        if self.is_empty and self.status == "200":
            self.status = "204"
        self.item: t.Any = _item_of_stream(hint)
        self.is_model: bool = not self.is_empty and has_model(self.hint)
        self.validator: Validator | None = None
        """None for what stays plain Flask."""


def _status(hint: t.Any) -> str | None:
    """The status that the second part of a tuple stands for; None if it stands for none."""
    hint = bare(hint)
    if t.get_origin(hint) is t.Literal:
        values = t.get_args(hint)
        if not all(isinstance(value, int) for value in values):
            return None
        return str(int(values[0])) if len(values) == 1 else "2XX"
    kind = t.get_origin(hint) or hint
    if isinstance(kind, type) and issubclass(kind, (int, IntEnum)) and kind is not bool:
        return "2XX"
    return "200" if isinstance(kind, type) and issubclass(kind, (Mapping, Headers)) else None


def _item_of_stream(hint: t.Any) -> t.Any:
    origin, arguments = t.get_origin(bare(hint)), t.get_args(bare(hint))
    is_stream = getattr(origin, "__name__", "") in _STREAMS and bool(arguments)
    return arguments[0] if is_stream and has_model(arguments[0]) else None


def _alternatives(hint: t.Any) -> tuple[t.Any, ...]:
    """The parts of a union; a model or None is one, which is ``null`` in JSON."""
    if t.get_origin(bare(hint)) not in UNIONS:
        return (hint,)
    found = [each for each in t.get_args(bare(hint)) if each is not type(None)]
    if len(found) < len(t.get_args(bare(hint))):
        first = next((each for each in found if has_model(each)), found[0])
        found[found.index(first)] = t.Optional[first]  # noqa: UP045 - `first` is a value
    return tuple(found)


class Answer:
    """Makes responses of what a view returns."""

    def __init__(self, view: Callable[..., t.Any], hint: t.Any) -> None:
        self.view: str = name_of(view)
        self.hint: t.Any = hint
        self.kinds: list[Kind] = [*map(Kind, _alternatives(hint))]
        self.acts: bool = any(kind.is_model for kind in self.kinds) or (
            len(self.kinds) == 1 and self.kinds[0].is_empty
        )
        self.models: list[Kind] = []
        self.stream: Kind | None = None
        self.takes_none: bool = any(kind.is_empty for kind in self.kinds)
        self.takes_dicts: bool = False
        self.takes_texts: bool = False
        if not self.acts:
            return
        for kind in self.kinds:
            try:
                if kind.item is not None:
                    kind.validator, self.stream = validator_for(kind.item), kind
                elif kind.is_model:
                    kind.validator = validator_for(kind.hint)
                    self.models.append(kind)
            except (TypeError, ValueError, RuntimeError) as error:
                raise SignatureError(f"What {self.view} returns: {error}") from error
            if kind.validator is None:
                self.takes_dicts |= (t.get_origin(bare(kind.hint)) or bare(kind.hint)) is dict
                self.takes_texts |= bare(kind.hint) in (str, bytes)

    def response(self, rv: t.Any) -> t.Any:
        """A response of what the view returned, or what Flask makes one of.

        :raises ResponseValidationError: if it does not fit the annotation.
        """
        if isinstance(rv, BaseResponse):
            return rv
        status = headers = None
        if isinstance(rv, tuple) and not self._is_value(rv):
            rv, status, headers = split(_active_request(), rv)
            if isinstance(rv, BaseResponse):
                return (rv, status, headers) if status else (rv, headers)
        response_class: t.Any = _active_request().app.response_class
        if rv is None and self.takes_none:
            response = response_class(status=status or 204, headers=headers)
            response.headers.pop("Content-Type", None)
            return response
        if self.stream is not None and isinstance(rv, (AsyncIterable, Iterator)):
            response = self._streamed(rv, response_class)
            response.headers.update(headers or {})
            if status is not None:
                response.status = status
            return response
        if self._is_plain(rv):
            return (rv, status, headers) if status else (rv, headers or {})
        return response_class(self._json(rv), status, headers, JSON)

    def _is_plain(self, rv: t.Any) -> bool:
        if isinstance(rv, (str, bytes)):
            return self.takes_texts
        return self.takes_dicts and isinstance(rv, dict) and self._fits(rv) is None

    def _fits(self, rv: t.Any) -> bytes | None:
        try:
            return self._json(rv)
        except ResponseValidationError:
            return None

    def _is_value(self, rv: tuple[t.Any, ...]) -> bool:
        """Whether a tuple is the annotated value itself, and not Flask's body and status."""
        return any(t.get_origin(bare(kind.hint)) is tuple for kind in self.models) or (
            hasattr(rv, "_fields")
        )

    def _json(self, value: t.Any) -> bytes:
        models = self.models
        if len(models) > 1:  # One that it is an instance of comes first.
            kind = type(value)
            models = sorted(models, key=lambda each: _distance(kind, each.hint))
        faults: Faults | None = None
        for each in models:
            try:
                return each.validator.to_json(value)  # type: ignore[union-attr]
            except Faults as error:
                faults = faults or error
        found = faults.found if faults else [((), f"It is of type {type(value).__name__}")]
        raise ResponseValidationError(
            self.view, self.hint, [Fault("return", place, reason) for place, reason in found]
        )

    # --- streams

    def _streamed(self, source: t.Any, response_class: t.Any) -> t.Any:
        from aioflask.sse import EventSourceResponse

        request = _active_request().request
        is_async = isinstance(source, AsyncIterable)
        if request.accept_mimetypes.best_match([JSON_LINES, JSON, EVENTS]) == EVENTS:
            events = self._events_async(source) if is_async else self._events(source)
            response: t.Any = EventSourceResponse(stream_with_context(t.cast(t.Any, events)))
        else:
            lines = self._lines_async(source) if is_async else self._lines(source)
            response = response_class(stream_with_context(lines), mimetype=JSON_LINES)
        response.vary.add("Accept")
        return response

    def _item(self, item: t.Any) -> bytes:
        try:
            return t.cast(Validator, t.cast(Kind, self.stream).validator).to_json(item)
        except Faults as error:
            faults = [Fault("return", place, reason) for place, reason in error.found]
            if inspect.iscoroutine(item):
                item.close()
            raise ResponseValidationError(self.view, self.hint, faults) from None

    def _lines(self, source: Iterable[t.Any]) -> Iterator[bytes]:
        for item in source:
            yield self._item(item) + b"\n"

    async def _lines_async(self, source: AsyncIterable[t.Any]) -> AsyncIterator[bytes]:
        try:
            async for item in source:
                yield self._item(item) + b"\n"
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()

    def _events(self, source: Iterable[t.Any]) -> Iterator[str]:
        for item in source:
            yield self._item(item).decode()

    async def _events_async(self, source: AsyncIterable[t.Any]) -> AsyncIterator[str]:
        try:
            async for item in source:
                yield self._item(item).decode()
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()


def _distance(kind: type, hint: t.Any) -> int:
    found = kind.__mro__
    return min((found.index(each) for each in options(hint) if each in found), default=len(found))


def answer_for(view: Callable[..., t.Any]) -> Answer | None:
    """What makes responses of a view's values; None where they stay plain Flask.

    :raises Unresolved: if the annotation names what does not exist yet.
    :raises SignatureError: for a type that cannot be written.
    """
    hint = returns(view)
    if hint is MISSING:
        return None
    answer = Answer(view, hint)
    return answer if answer.acts else None
