"""The types of what views, hooks and processors take and return, as `flask.typing` names them.

Every name of https://github.com/pallets/flask `flask/typing.py` is here; a callable may be `def`
or `async def` wherever the walk can await it.
"""

from __future__ import annotations

import typing as t
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping, MutableMapping

from werkzeug.datastructures import Headers
from werkzeug.sansio.response import Response

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
else:
    # The stub module exists for type checkers only; `typing.get_type_hints` needs a real name.
    WSGIApplication = Callable[[dict[str, t.Any], Callable[..., t.Any]], t.Iterable[bytes]]

#: ASGI 3, https://asgi.readthedocs.io/en/latest/specs/main.html
Scope = MutableMapping[str, t.Any]
Message = MutableMapping[str, t.Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

#: What stands for a body: a response, text, bytes, JSON, or a stream of either colour.
ResponseValue = (
    Response
    | str
    | bytes
    | list[t.Any]
    | Mapping[str, t.Any]  # COMPAT: only a dict becomes JSON; Mapping lets a TypedDict through.
    | Iterator[str]
    | Iterator[bytes]
    | AsyncIterable[str]
    | AsyncIterable[bytes]
)

HeaderValue = str | list[str] | tuple[str, ...]
HeadersValue = Headers | Mapping[str, HeaderValue] | t.Sequence[tuple[str, HeaderValue]]

#: What a view may return: a body alone, with headers, with a status, with both, or an application.
ResponseReturnValue = (
    ResponseValue
    | tuple[ResponseValue, HeadersValue]
    | tuple[ResponseValue, int]
    | tuple[ResponseValue, int, HeadersValue]
    | WSGIApplication
    | ASGIApplication
)

#: Any response class, so that a hook may be annotated with the one it uses.
ResponseClass = t.TypeVar("ResponseClass", bound=Response)

#: The application's own registry key is None, a blueprint's is its name.
AppOrBlueprintKey = str | None

AfterRequestCallable = (
    Callable[[ResponseClass], ResponseClass] | Callable[[ResponseClass], Awaitable[ResponseClass]]
)
BeforeFirstRequestCallable = Callable[[], None] | Callable[[], Awaitable[None]]
BeforeRequestCallable = (
    Callable[[], ResponseReturnValue | None] | Callable[[], Awaitable[ResponseReturnValue | None]]
)
ShellContextProcessorCallable = Callable[[], dict[str, t.Any]]
TeardownCallable = (
    Callable[[BaseException | None], None] | Callable[[BaseException | None], Awaitable[None]]
)
TemplateContextProcessorCallable = (
    Callable[[], dict[str, t.Any]] | Callable[[], Awaitable[dict[str, t.Any]]]
)
TemplateFilterCallable = Callable[..., t.Any]
TemplateGlobalCallable = Callable[..., t.Any]
TemplateTestCallable = Callable[..., bool] | Callable[..., Awaitable[bool]]
# `url_for` is a plain call wherever it stands, so its defaults are plain too.
URLDefaultCallable = Callable[[str, dict[str, t.Any]], None]
URLValuePreprocessorCallable = (
    Callable[[str | None, dict[str, t.Any] | None], None]
    | Callable[[str | None, dict[str, t.Any] | None], Awaitable[None]]
)
#: The argument is Any: a handler may narrow it to the exception that it is registered for.
ErrorHandlerCallable = (
    Callable[[t.Any], ResponseReturnValue] | Callable[[t.Any], Awaitable[ResponseReturnValue]]
)
RouteCallable = Callable[..., ResponseReturnValue] | Callable[..., Awaitable[ResponseReturnValue]]
