"""Checks of what clients send: plain functions, and one error that names all that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from werkzeug.exceptions import UnprocessableEntity

Check = Callable[[Any], Any]
"""Takes a value, returns it clean, or raises ValueError saying what it must be."""

# Not text: control characters, and halves of characters, which no encoding can store.
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Invalid(UnprocessableEntity):
    """422 with what is wrong: `fields` has a sentence for each field."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {fields[name]}" for name in sorted(fields)))
        self.fields = fields


def check(
    data: object, checks: Mapping[str, Check], required: Collection[str] = ()
) -> dict[str, Any]:
    """Run a JSON object's fields through their checks; raise Invalid with all that is wrong."""
    if not isinstance(data, dict):
        raise Invalid({"body": "must be a JSON object"})
    wrong = {str(name): "is not known here" for name in data.keys() - checks.keys()}
    wrong |= dict.fromkeys(set(required) - data.keys(), "is missing")
    clean = {}
    for name in data.keys() & checks.keys():
        try:
            clean[name] = checks[name](data[name])
        except ValueError as error:
            wrong[name] = str(error)
    if wrong:
        raise Invalid(wrong)
    return clean


def text(longest: int) -> Check:
    """Text of at most so many characters, lines and all."""

    def checked(value: object) -> str:
        if not isinstance(value, str) or len(value) > longest or _NOT_TEXT.search(value):
            raise ValueError(f"must be text of at most {longest} characters")
        return value

    return checked


def line(longest: int) -> Check:
    """A line of text that is not empty; the white space around it is dropped."""

    def checked(value: object) -> str:
        clean: str = text(longest)(value).strip()
        if not clean or len(clean.splitlines()) > 1:
            raise ValueError(f"must be one line of 1 to {longest} characters")
        return clean

    return checked


def several(item: Check, most: int) -> Check:
    """A list of at most so many things, each once; the result is sorted."""

    def checked(value: object) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"must be a list of at most {most}")
        return sorted({item(one) for one in value})

    return checked


def number(most: int) -> Check:
    """A whole number from 1 on, written in digits as in a URL."""

    def checked(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", value) or not 1 <= int(value) <= most:
            raise ValueError(f"must be a number from 1 to {most}")
        return int(value)

    return checked
