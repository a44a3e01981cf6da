"""Views typed by their annotations: what they take is validated, what they return documented. ::

    @app.post("/items")
    async def create(data: Item) -> Item: ...

A view's own annotated parameters are read (`signature`), found in the request (`readers`), made
values of their types (`validators`, by msgspec or pydantic), and what it returns is made JSON
(`answers`); `binding` puts this in the view's place.
"""

from __future__ import annotations

import typing as t

from .dependencies import override
from .describe import describe
from .markers import Body, Cookie, Depends, File, Form, Header, Path, Query
from .problems import (
    Fault,
    MalformedBody,
    RequestValidationError,
    ResponseValidationError,
    WrongMediaType,
)
from .signature import SignatureError

__all__ = [
    "APIKey",
    "Body",
    "Cookie",
    "Depends",
    "Fault",
    "File",
    "Form",
    "HTTPBasic",
    "HTTPBearer",
    "Header",
    "MalformedBody",
    "MessageValidationError",
    "OAuth2Password",
    "OpenAPI",
    "Path",
    "Query",
    "RequestValidationError",
    "ResponseValidationError",
    "SignatureError",
    "WrongMediaType",
    "describe",
    "override",
]

if t.TYPE_CHECKING:
    from .messages import MessageValidationError
    from .openapi import OpenAPI
    from .security import APIKey, HTTPBasic, HTTPBearer, OAuth2Password
else:
    _LATER = {  # Only who asks for them loads what they need.
        "MessageValidationError": "messages",
        "OpenAPI": "openapi",
        "APIKey": "security",
        "HTTPBasic": "security",
        "HTTPBearer": "security",
        "OAuth2Password": "security",
    }

    def __getattr__(name: str) -> t.Any:
        if name in _LATER:
            from importlib import import_module

            return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
