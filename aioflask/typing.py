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

    from .typed.values import ViewValue
else:
    # The stub module exists for type checkers only; `typing.get_type_hints` needs a real name.
    WSGIApplication = Callable[[dict[str, t.Any], Callable[..., t.Any]], t.Iterable[bytes]]

#: A connection, as the server describes it: https://asgi.readthedocs.io/en/latest/specs/main.html
Scope = MutableMapping[str, t.Any]
#: One event of a connection, in either direction.
Message = MutableMapping[str, t.Any]
#: Awaited for the next message of the client.
Receive = Callable[[], Awaitable[Message]]
#: Awaited with a message for the client.
Send = Callable[[Message], Awaitable[None]]
#: An application, called for each connection.
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

#: The value of a header field, or the values of one that is sent several times.
HeaderValue = str | list[str] | tuple[str, ...]
#: Header fields, as a mapping or as pairs.
HeadersValue = Headers | Mapping[str, HeaderValue] | t.Sequence[tuple[str, HeaderValue]]

#: What a view may return: a body alone, with headers, with a status, with both, or an application.
ResponseReturnValue = (
    ResponseValue | tuple[ResponseValue, HeadersValue] | tuple[ResponseValue, int]
    | tuple[ResponseValue, int, HeadersValue] | WSGIApplication | ASGIApplication
)  # fmt: skip

#: Any response class, so that a hook may be annotated with the one it uses.
ResponseClass = t.TypeVar("ResponseClass", bound=Response)

#: The application's own registry key is None, a blueprint's is its name.
AppOrBlueprintKey = str | None

#: An after hook, ``f(response)``, which returns the response or another one.
AfterRequestCallable = (
    Callable[[ResponseClass], ResponseClass] | Callable[[ResponseClass], Awaitable[ResponseClass]]
)
#: The same for any class, which a hook may narrow; one that returns nothing is refused.
AnyAfterRequestCallable = Callable[[t.Any], Response] | Callable[[t.Any], Awaitable[Response]]
#: A WebSocket's after hook, ``f(response)``, given and returning None where it was accepted.
AfterWebSocketCallable = Callable[[t.Any], t.Any]
#: Kept for Flask's sake: nothing takes such a function any more.
BeforeFirstRequestCallable = Callable[[], None] | Callable[[], Awaitable[None]]
#: A before hook, ``f()``; what it returns, unless None, is the response.
BeforeRequestCallable = (
    Callable[[], ResponseReturnValue | None] | Callable[[], Awaitable[ResponseReturnValue | None]]
)
#: ``f()``, which returns names for the interactive shell.
ShellContextProcessorCallable = Callable[[], dict[str, t.Any]]
#: A teardown function, ``f(error)``, given the unhandled exception or None.
TeardownCallable = (
    Callable[[BaseException | None], None] | Callable[[BaseException | None], Awaitable[None]]
)
#: ``f()``, which returns variables for templates; on the loop plain calls refuse ``async def``.
TemplateContextProcessorCallable = (
    Callable[[], dict[str, t.Any]] | Callable[[], Awaitable[dict[str, t.Any]]]
)
#: A template filter, ``f(value, ...)``.
TemplateFilterCallable = Callable[..., t.Any]
#: A function that templates can call.
TemplateGlobalCallable = Callable[..., t.Any]
#: A template test, ``f(value, ...)``: what stands behind ``is``.
TemplateTestCallable = Callable[..., bool] | Callable[..., Awaitable[bool]]
#: ``f(endpoint, values)``, which may add values; plain, because ``url_for`` is plain everywhere.
URLDefaultCallable = Callable[[str, dict[str, t.Any]], None]
#: ``f(endpoint, values)``, which may change the URL's variables; None and None without a view.
URLValuePreprocessorCallable = (
    Callable[[str | None, dict[str, t.Any] | None], None]
    | Callable[[str | None, dict[str, t.Any] | None], Awaitable[None]]
)
#: An error handler, ``f(error)``; ``error`` may be narrowed to what it is registered for.
ErrorHandlerCallable = (
    Callable[[t.Any], ResponseReturnValue] | Callable[[t.Any], Awaitable[ResponseReturnValue]]
)
#: A view, called with the URL's variables as keywords.
RouteCallable = Callable[..., "ViewValue"] | Callable[..., Awaitable["ViewValue"]]
