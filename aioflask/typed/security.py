"""Credentials as dependencies, which the OpenAPI document then names.

They find what a request brings, and refuse one that brings nothing; whether it is right is for the
function that depends on them to say. Sources: RFC 9110, 11; RFC 6750;
https://spec.openapis.org/oas/v3.1.1#security-scheme-object
"""

from __future__ import annotations

import typing as t

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from aioflask.globals import request


class Scheme:
    """A kind of credentials: called for those of the active request. The subclasses are used.

    ``name`` is the scheme's in the document. With ``required=False`` its value is None where the
    request has none; else that is a 401, with the challenge that the kind has.
    """

    _aioflask_nonblocking = True  # It looks at header fields.
    challenge: str | None = None

    def __init__(
        self, name: str | None = None, *, required: bool = True, description: str | None = None
    ) -> None:
        self.name: str = name or type(self).__name__
        self.required: bool = required
        self.description: str | None = description
        self.scopes: list[str] = []

    def document(self) -> dict[str, t.Any]:
        """The security scheme object of OpenAPI."""
        found = self._document()
        if self.description:
            found["description"] = self.description
        return found

    def _document(self) -> dict[str, t.Any]:
        raise NotImplementedError

    def _or_refuse(self, value: t.Any) -> t.Any:
        if value or not self.required:
            return value or None
        challenge = None if self.challenge is None else WWWAuthenticate(self.challenge)
        raise Unauthorized("This needs credentials, and there are none.", None, challenge)


class HTTPBearer(Scheme):
    """A token in ``Authorization: Bearer``; its value is the token. ::

        bearer = HTTPBearer()

        async def current_user(token: Annotated[str, Depends(bearer)]) -> User: ...

    ``format`` tells readers of the document what the token is, for example "JWT".
    """

    challenge: str | None = "bearer"

    def __init__(
        self, name: str | None = None, *, format: str | None = None, **options: t.Any
    ) -> None:
        super().__init__(name, **options)
        self.format: str | None = format

    def __call__(self) -> str | None:
        found = request.authorization
        token = found.token if found is not None and found.type == "bearer" else None
        return t.cast("str | None", self._or_refuse(token))

    def _document(self) -> dict[str, t.Any]:
        found = {"type": "http", "scheme": "bearer"}
        return {**found, "bearerFormat": self.format} if self.format else found


class OAuth2Password(HTTPBearer):
    """The same, with the URL where a name and a password are exchanged for a token (RFC 6749, 4.3).

    ``scopes`` maps the names of scopes to what they allow.
    """

    def __init__(
        self,
        token_url: str,
        scopes: t.Mapping[str, str] | None = None,
        name: str | None = None,
        **options: t.Any,
    ) -> None:
        super().__init__(name, **options)
        self.token_url: str = token_url
        self.offered: dict[str, str] = dict(scopes or {})

    def _document(self) -> dict[str, t.Any]:
        flow = {"tokenUrl": self.token_url, "scopes": self.offered}
        return {"type": "oauth2", "flows": {"password": flow}}


class HTTPBasic(Scheme):
    """A name and a password in ``Authorization: Basic``; its value is the pair."""

    challenge: str | None = "basic"

    def __call__(self) -> tuple[str, str] | None:
        found = request.authorization
        pair = None
        if found is not None and found.type == "basic":
            pair = found.username or "", found.password or ""
        return t.cast("tuple[str, str] | None", self._or_refuse(pair))

    def _document(self) -> dict[str, t.Any]:
        return {"type": "http", "scheme": "basic"}


class APIKey(Scheme):
    """A key in a header field, a cookie or the query; its value is the key. ::

        key = APIKey("X-API-Key")

    ``where`` is "header", "cookie" or "query".
    """

    def __init__(
        self,
        parameter: str,
        where: t.Literal["header", "cookie", "query"] = "header",
        name: str | None = None,
        **options: t.Any,
    ) -> None:
        super().__init__(name, **options)
        self.parameter: str = parameter
        self.where: str = where

    def __call__(self) -> str | None:
        places: dict[str, t.Any] = {
            "header": request.headers,
            "cookie": request.cookies,
            "query": request.args,
        }
        return t.cast("str | None", self._or_refuse(places[self.where].get(self.parameter)))

    def _document(self) -> dict[str, t.Any]:
        return {"type": "apiKey", "in": self.where, "name": self.parameter}
