"""Attributes that are worked out when they are first wanted."""

from __future__ import annotations

import typing as t

T = t.TypeVar("T")


class lazy(t.Generic[T]):
    """An attribute worked out at its first use; unlike a property, later ones cost nothing."""

    def __init__(self, func: t.Callable[[t.Any], T]) -> None:
        self.func = func
        self.__doc__ = func.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    if t.TYPE_CHECKING:  # What is assigned lies on the instance, and wins.

        def __set__(self, obj: object, value: T) -> None: ...

    def __get__(self, obj: object | None, owner: type) -> T:
        if obj is None:
            return self  # type: ignore[return-value]
        value = self.func(obj)
        setattr(obj, self.name, value)
        return value
