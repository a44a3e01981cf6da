"""``Request`` and ``Response``: Werkzeug's classes on ASGI, built from what is touched.

A request is made from an ASGI scope, and its headers, URL parts and environ exist once somebody
asks for them. A response with a plain body has no ``Headers`` object until somebody touches them.
Follows https://flask.palletsprojects.com/en/stable/api/#incoming-request-data.
"""

from __future__ import annotations

import io
import types
import typing as t
import weakref
from functools import lru_cache
from http import HTTPStatus
from itertools import chain
from operator import attrgetter

from werkzeug.datastructures import EnvironHeaders, Headers, ImmutableMultiDict, MultiDict
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.sansio.http import parse_cookie
from werkzeug.wrappers import Request as _WerkzeugRequest
from werkzeug.wrappers import Response as _WerkzeugResponse

from . import body as bodies
from . import headers as fields
from . import json
from .concurrency import hop, on_loop
from .globals import _cv_app, current_app
from .headers import known_field
from .json.provider import JSONProvider
from .lazy import lazy
from .wakeups import Event

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import FileStorage
    from werkzeug.routing import Rule

    from .ctx import AppContext
    from .multipart import MultipartParser, Parts

Scope = t.MutableMapping[str, t.Any]
Chunk = str | bytes


class State(types.SimpleNamespace):
    """Values that the app's lifespan keeps for requests, as attributes."""

    def __init__(self, values: t.Mapping[str, t.Any]) -> None:
        super().__init__(**values)

    def __getattr__(self, name: str) -> t.Any:
        raise AttributeError(
            f"request.state has no {name!r}. A while_serving function gives it:"
            f" yield {{{name!r}: ...}}. It runs where a server does, and in a test inside of"
            " 'async with app.async_client() as client'."
        )


_SAYS_WHETHER_IT_HAS_A_BODY = frozenset({"1.0", "1.1"})
_NO_BODY = bodies.Body(None, b"0")
_new: t.Any = object.__new__
_WAY = "form_data_parser_class shallow __class__.mimetype __class__.make_form_data_parser"
_used = attrgetter(*_WAY.split())
_AS_IT_WAS = (
    FormDataParser, False, _WerkzeugRequest.mimetype, _WerkzeugRequest.make_form_data_parser
)  # fmt: skip
"""What Werkzeug parses a form with, and a subclass may replace."""


class Request(_WerkzeugRequest):
    """An HTTP request, as Flask's: the ``request`` proxy gives the current one.

    Werkzeug's constructor takes a WSGI environ; :meth:`from_scope` is the ASGI door's. What reads
    the body (:attr:`form`, :attr:`files`, :attr:`data`, :attr:`json`, :meth:`get_json`,
    :meth:`get_data`) is a plain call: the body was read right before an ``async def`` view, and
    is read on demand in plain code.
    """

    json_module: t.Any = json
    url_rule: Rule | None = None
    """The rule that matched, or None."""
    view_args: dict[str, t.Any] | None = None
    """The converted variables of the URL, or None if nothing matched."""
    routing_exception: HTTPException | None = None
    """The exception that the view's place takes if no rule matched: a 404, 405 or a redirect."""

    method: str = "GET"
    """The method, in capitals."""
    query_string: bytes = b""
    """What stands behind the question mark, as it was sent."""
    is_websocket: bool = False
    """Whether it is a WebSocket's handshake; see `aioflask.WebSocket`."""
    scope: Scope | None = None
    """The ASGI scope, or None for a request that came by WSGI."""
    _scope: Scope
    _body: bodies.Body
    _raw: dict[bytes, bytes]
    """The header fields by their names in lower case, as ASGI has them; for looking into."""
    _tells_once = True
    """Whether those are all: no field came twice."""
    _receive: t.Any = None
    _arrived: MultipartParser | None = None
    """The form that was parsed while it arrived, if it was too large to be kept."""
    _leaves_something = False
    """Whether files or an environ have to be let go at the request's end."""
    _input: t.Any = None
    """What ``wsgi.input`` of the environ was; whoever puts another there, reads through that."""
    _limits: dict[str, int | None] | None = None
    _json: tuple[t.Any, t.Any] = (Ellipsis, Ellipsis)
    """What the body is as JSON, for who wants an error and for who does not."""

    def __init__(
        self, environ: WSGIEnvironment, populate_request: bool = True, shallow: bool = False
    ) -> None:
        super().__init__(environ, populate_request, shallow)
        self._input = environ.get("wsgi.input")
        from .environ import headers_of

        self._raw, self._body = dict(headers_of(environ)), bodies.EnvironBody(self)

    @classmethod
    def from_scope(cls, scope: Scope, receive: t.Any = None) -> t.Self:
        """Make a request from an ASGI HTTP scope and ``receive``, reading nothing yet.

        Source: https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
        """
        if cls is Request or cls.__init__ is Request.__init__:
            self: t.Self = _new(cls) if cls is Request else cls.__new__(cls)
            self.method = scope["method"].upper()
        else:  # COMPAT: a class with a constructor of its own expects Werkzeug's argument.
            from .environ import LazyInput, environ_of

            environ = environ_of(scope)
            body = environ["wsgi.input"] = LazyInput()
            self = cls(environ)
            self._input, body.find = body, weakref.ref(self)
        self.scope = self._scope = scope
        # PERF: one pass in C answers every question about a header that the walk has.
        headers = scope["headers"]
        raw = self._raw = dict(headers)
        self._tells_once = len(raw) == len(headers)
        self._receive = receive
        self.query_string = scope.get("query_string", b"")
        # A test client may want to keep the context.
        self._leaves_something = "aioflask.environ" in scope
        if (
            b"content-length" in raw
            or b"transfer-encoding" in raw
            or (scope.get("http_version", "1.1") not in _SAYS_WHETHER_IT_HAS_A_BODY)
        ):
            self._body = _new(bodies.Body)
            self._body.begin(receive, raw.get(b"content-length"))
        else:
            self._body = _NO_BODY
        return self

    # --- what Werkzeug's constructor sets, from the scope

    @lazy
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return str(self._scope.get("scheme", "http"))

    @lazy
    def server(self) -> tuple[str, int | None] | None:
        """``(host, port)`` of the server, ``(path, None)`` for a socket, or None."""
        server = self._scope.get("server")
        return tuple(server) if server else None

    @lazy
    def root_path(self) -> str:
        """The prefix that the app is mounted at, without a slash at its end."""
        return str(self._scope.get("root_path", "")).rstrip("/")

    @lazy
    def path(self) -> str:
        """The decoded path below :attr:`root_path`; it begins with a slash."""
        path, root = self._scope["path"], self.root_path
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :]
        return "/" + str(path).lstrip("/")

    @lazy
    def headers(self) -> Headers:
        """The header fields; one that was sent twice is joined, as WSGI servers do."""
        pairs = fields.readable(self._raw, self._scope["headers"])
        if len(self._raw) == len(pairs):
            return fields.RequestHeaders(pairs)
        joined: dict[bytes, bytes] = {}  # RFC 9110, 5.3, and RFC 9113, 8.2.3
        for name, value in pairs:
            between = b"; " if name == b"cookie" else b","
            joined[name] = joined[name] + between + value if name in joined else value
        return fields.RequestHeaders(joined.items())

    @lazy
    def remote_addr(self) -> str | None:
        """The client's address, or None if the server does not say."""
        client = self._scope.get("client")
        return str(client[0]) if client else None

    @lazy
    def environ(self) -> WSGIEnvironment:
        """A WSGI environ of this request (PEP 3333), made at its first use; changes stay."""
        from .environ import LazyInput, environ_of

        scope = self._scope
        self._leaves_something = True
        environ: WSGIEnvironment = environ_of(scope)
        environ["wsgi.input"] = self._input = LazyInput(self)
        environ["werkzeug.request"] = self
        # COMPAT: from now on a change of the environ is one of the headers.
        self.headers = EnvironHeaders(environ)
        return environ

    @lazy
    def args(self) -> MultiDict[str, str]:
        """What the query string says; see `fields_of` for invalid input."""
        text = self.query_string.decode("utf-8", "replace")
        return bodies.fields_of(self.parameter_storage_class, text)  # type: ignore[no-any-return]

    @lazy
    def cookies(self) -> ImmutableMultiDict[str, str]:
        """The cookies by their names."""
        if "environ" not in self.__dict__ and self._tells_once:
            text = self._raw.get(b"cookie", b"").decode("latin-1")
        else:
            text = ";".join(self.headers.getlist("Cookie"))
        pairs: t.Any = parse_cookie(text, cls=list)  # type: ignore[arg-type]
        return bodies.multidict(self.dict_storage_class, pairs)  # type: ignore[no-any-return]

    shallow = False

    @lazy
    def state(self) -> State:
        """What the app's lifespan keeps for requests: ``yield {"pool": pool}`` of a
        `Flask.while_serving` generator is ``request.state.pool``.

        Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
        """
        found = None if self.scope is None else self.scope.get("state")
        if found is None:  # A server that keeps none.
            found = current_app._state
        return State(found)

    # --- limits

    max_content_length: int | None = bodies.limits[0]
    max_body_memory: int | None = bodies.limits[1]
    max_form_memory_size: int | None = bodies.limits[2]
    max_form_parts: int | None = bodies.limits[3]  # type: ignore[assignment]

    # --- routing

    @property
    def endpoint(self) -> str | None:
        """The endpoint that matched, or None."""
        return None if self.url_rule is None else self.url_rule.endpoint

    @property
    def blueprint(self) -> str | None:
        """The registered name of the view's blueprint, or None."""
        endpoint = self.endpoint
        return endpoint.rpartition(".")[0] if endpoint is not None and "." in endpoint else None

    @property
    def blueprints(self) -> list[str]:
        """The names of the view's blueprint and of those around it, the innermost first."""
        names: list[str] = []
        name = self.blueprint
        while name:
            names.append(name)
            name = name.rpartition(".")[0]
        return names

    # --- the body

    @property
    def is_streamed(self) -> bool:
        """Whether the route has ``stream_body=True``, so that nothing is read ahead of the view."""
        return getattr(self.url_rule, "stream_body", False)

    def stream_parts(self) -> Parts:
        """The parts of a multipart body, one by one as they arrive; nothing goes to a disk. ::

            async for part in request.stream_parts():  # In plain code: for part in ...
                async for data in part: ...

        The route has ``stream_body=True``.

        :raises RuntimeError: if it has not, and the body was read ahead.
        """
        from .multipart import Parts

        if not self.is_streamed and (self._body.received or self._body.loaded is not None):
            raise RuntimeError(
                "request.stream_parts() comes too late: the body was read before the view. Have"
                " the view read it, with @app.post(..., stream_body=True)."
            )
        return Parts(self)

    @lazy
    def disconnected(self) -> Event:
        """Set when the client goes before its answer is there, if the route has
        ``on_disconnect="notify"`` or ``"cancel"``; else never.
        """
        return Event()

    @lazy
    def stream(self) -> t.Any:
        """The body as a binary file, for plain code; what was parsed as a form is empty here.

        On the event loop, in a view with ``stream_body=True``, an
        :class:`~aioflask.body.ArrivingBody`, to be read with ``async for``.

        :raises RuntimeError: on the event loop's thread before the body was loaded.
        """
        own = self.__dict__
        if "form" in own or "_cached_data" in own:  # Which was read from it.
            return io.BytesIO()
        if self.is_streamed and on_loop():
            return bodies.ArrivingBody(self)
        if self.shallow or self._reads_through_another():
            self._body.open_for(self)
            return _WerkzeugRequest.stream.fget(self)  # type: ignore[attr-defined]
        return self._file

    def _reads_through_another(self) -> bool:
        """Whether somebody has put another ``wsgi.input`` into the environ, around ours."""
        environ = self.__dict__.get("environ")
        return environ is not None and environ.get("wsgi.input") is not self._input

    @lazy
    def _file(self) -> t.IO[bytes]:
        """The body as it came; what the environ's ``wsgi.input`` reads as well."""
        body = self._body
        body.check_size(self)
        if body.loaded is not None:
            return io.BytesIO(b"" if "_cached_data" in self.__dict__ else body.loaded)
        if self._arrived is not None:
            raise RuntimeError(
                f"The raw body was asked for, but it was a form of {body.received:,} bytes"
                " that was parsed while it arrived, with its files on disk. Use request.form and"
                " request.files. A plain view ('def') can read it raw, with request.get_data() or"
                " request.stream before the form."
            )
        if body.complete and not body.unread:
            return io.BytesIO()
        return bodies.open_for_plain_code(self)

    @property
    def want_form_data_parsed(self) -> bool:
        """Whether the request says what its body is."""
        return bool(self.content_type)

    def load_body(self) -> t.Coroutine[t.Any, t.Any, object]:
        """Read the body, so that the plain calls that use it find it; to be awaited.

        Needed only in hooks and error handlers on the event loop, before the view: a view has its
        body. May be called again. A large multipart form is parsed while it arrives.

        :raises BodyTooLarge: a 413, beyond one of the limits.
        :raises ClientDisconnected: a 400, if the client went before it had sent everything.
        """
        body = self._body
        is_form = bodies.form_type(self._raw.get(b"content-type", b"")) == bodies.MULTIPART
        if is_form or body.complete or body.find is not None or self.scope is None:
            return self._load_body()
        return body.read(self)  # PERF: a coroutine less for all that is no multipart form.

    async def _load_body(self) -> None:
        body = self._body
        if body.complete or body.find is not None:
            return
        if self.is_streamed or self._form_type() != bodies.MULTIPART:
            await body.read(self)
        else:
            body.check_size(self)
            pieces = await body.read_pieces(self, bodies.IN_MEMORY)
            if max(body.length or 0, body.received) <= bodies.IN_MEMORY:
                body.loaded = b"".join(pieces)
            else:
                from .multipart import parse_arriving

                self._arrived = await parse_arriving(self, body, pieces)
                self._leaves_something = True
        if self.scope is None:  # The server's input has been read to its end.
            if not self._reads_through_another():
                from .environ import LazyInput

                self.environ["wsgi.input"] = LazyInput(self)
            self._input = self.environ["wsgi.input"]

    def _form_type(self) -> str:
        """The type of a form that we parse; "" for others, and if Werkzeug's way was replaced."""
        own = self.__dict__
        if _used(self) != _AS_IT_WAS or ("environ" in own and self._reads_through_another()):
            return ""
        if "headers" in own or self.scope is None or not self._tells_once:
            return bodies.form_type(self.mimetype.encode("latin-1", "replace"))
        return bodies.form_type(self._raw.get(b"content-type", b""))

    @lazy
    def form(self) -> ImmutableMultiDict[str, str]:
        """The fields of a form, urlencoded or multipart; empty for another body."""
        self._load_form_data()
        return self.__dict__["form"]  # type: ignore[no-any-return]

    @lazy
    def files(self) -> ImmutableMultiDict[str, FileStorage]:
        """The files of a multipart form, by the names of their fields."""
        self._load_form_data()
        own = self.__dict__
        if "files" not in own:  # A form that is urlencoded has none.
            own["files"] = bodies.multidict(self.parameter_storage_class, [])
            self._explain_enctype()
        return own["files"]  # type: ignore[no-any-return]

    def _explain_enctype(self) -> None:
        """In debug mode, have a file that is missed say that the form's enctype is wrong."""
        if (ctx := _cv_app.get(None)) and ctx.app.debug and not self.files:
            from .debughelpers import attach_enctype_error_multidict

            if self.mimetype != "multipart/form-data":
                attach_enctype_error_multidict(self)

    def _load_form_data(self) -> None:
        own, body, data = self.__dict__, self._body, None
        if "form" in own:
            return
        kind = self._form_type()
        if kind and _OPENED.isdisjoint(own):
            if not body.complete and not on_loop():
                body.wait(self.load_body)
            data = body.loaded
            if data is None or self._limits is not None:
                body.check_size(self)
        elif kind:
            data = own.get("_cached_data")
        if kind == bodies.URLENCODED and data is not None:
            bodies.check_pairs(self, data)
            text = data.decode("utf-8", "replace")
            own["form"] = bodies.fields_of(self.parameter_storage_class, text)
        elif kind and (data is not None or self._arrived is not None):
            from .multipart import parse_loaded

            parser = self._arrived or parse_loaded(self, data or b"")
            own["form"] = bodies.multidict(self.parameter_storage_class, parser.form)
            own["files"] = bodies.multidict(self.parameter_storage_class, parser.files)
            self._leaves_something = self._leaves_something or bool(parser.files)
        else:
            super()._load_form_data()
            self._leaves_something = self._leaves_something or bool(self.files)
            self._explain_enctype()

    def close(self) -> None:
        """Close the uploaded files."""
        super().close()
        if self._arrived is not None:
            self._arrived.close()

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> t.Any:
        """The body as JSON (RFC 8259); see https://flask.palletsprojects.com/en/stable/api/.

        A body is decoded strictly: UTF-8, no ``NaN``. ``force`` ignores the content type,
        ``silent`` gives None for a body that is not JSON.

        :raises BadRequest: 400 for a malformed body.
        :raises UnsupportedMediaType: 415 for another content type.
        """
        cached = self._json
        if cache and cached[silent] is not Ellipsis:
            return cached[silent]
        # PERF: an object that was asked for its `__dict__` is slower ever after (CPython 3.11).
        kind, reads, data = self._raw.get(b"content-type"), _reads_with(self), self._body.loaded
        own = self.__dict__
        if not (force or kind == b"application/json" or self.is_json):
            return None if silent else self.on_json_loading_failed(None)
        try:
            if cache and data is not None and reads == _OURS and _READS.isdisjoint(own):
                # PERF: what is here already takes no file, from which Werkzeug would read it.
                own["_cached_data"] = data
            elif self.json_module is not json:
                return super().get_json(force=force, silent=silent, cache=cache)
            else:
                data = self.get_data(cache=cache)
            ctx = _cv_app.get(None)
            provider: t.Any = json if ctx is None else ctx.app.json
            ours = isinstance(provider, JSONProvider)
            value = provider.load_body(data) if ours else provider.loads(data)
        except ValueError as error:
            value = None if silent else self.on_json_loading_failed(error)
            cached = (cached[0], value) if silent else (value, cached[1])
        else:
            cached = (value, value)
        if cache:
            self._json = cached
        return value

    def on_json_loading_failed(self, e: ValueError | None) -> t.Any:
        """Answer a body that is not JSON; ``e`` is None if the content type is not.

        :raises BadRequest: a 400, which in debug says what is wrong with it.
        :raises UnsupportedMediaType: a 415.
        """
        try:
            return super().on_json_loading_failed(e)
        except BadRequest as ebr:
            if current_app and current_app.debug:
                raise
            raise BadRequest() from ebr


_OPENED = frozenset({"_cached_data", "_file", "stream"})
_READS = _OPENED | {"environ", "form"}
_reads_with = attrgetter("json_module", "shallow", "__class__.get_data", "_limits")
_OURS = json, False, _WerkzeugRequest.get_data, None


# --- the response ---------------------------------------------------------------------------------


_BODILESS = frozenset({204, 304})
_CHANGED_ON_THE_WAY = frozenset({"location", "content-location"})


class Response(_WerkzeugResponse):
    """An HTTP response, as Flask's: what a view returns is made into one.

    A ``str`` or ``bytes`` body goes out in one message. An iterable or an async iterable streams.
    See https://flask.palletsprojects.com/en/stable/api/#response-objects.
    """

    default_mimetype: str | None = "text/html"
    json_module = json
    autocorrect_location_header = False

    _plain: bytes | None = None
    """The body, while nobody has asked for it as :attr:`response`, or for what closes it."""
    _headers: Headers | None = None
    _iterable: t.Any = None
    _around: t.Any = None
    """What is done while a stream of events is sent; see `sse`."""
    _type = "text/html; charset=utf-8"
    _status_code = 200
    direct_passthrough = False
    _lazy_init = True
    _lazy_send = True

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        super().__init_subclass__(**kwargs)
        # What a subclass replaces must be called, so it takes Werkzeug's way.
        cls._lazy_send = all(
            getattr(cls, name) is getattr(Response, name)
            for name in ("get_wsgi_headers", "get_app_iter", "get_wsgi_response", "__call__")
        )
        cls._lazy_init = (
            cls._lazy_send
            and cls.set_data is Response.set_data
            and cls._clean_status is Response._clean_status
        )

    def __init__(
        self, response: Chunk | t.Iterable[Chunk] | t.AsyncIterable[Chunk] | None = None,
        status: int | str | HTTPStatus | None = None,
        headers: t.Mapping[str, str | t.Iterable[str]] | t.Iterable[tuple[str, str]] | None = None,
        mimetype: str | None = None, content_type: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:  # fmt: skip
        kind: t.Any = type(response)
        if (
            (kind is str or kind is bytes or hasattr(kind, "__anext__"))
            and headers is None
            and (status is None or type(status) is int)
            and not direct_passthrough
            and self._lazy_init
        ):
            if kind is str or kind is bytes:
                self._plain = response.encode() if kind is str else response  # type: ignore[assignment, union-attr]
            else:
                self.response = response
            if status is None:
                status = self.default_status
            if status != 200:  # PERF: the class says what most responses have.
                if type(status) is int:
                    self._status_code = status
                else:  # The class has words of its own: "201 Here It Is".
                    self.status = status
            if mimetype is None:
                mimetype = self.default_mimetype or ""
            if content_type is not None:
                self._type = content_type
            elif mimetype != "text/html":
                self._type = fields.content_type_of(mimetype)
        else:
            if kind is types.CoroutineType:
                response.close()  # type: ignore[union-attr]
                from .debughelpers import never_awaited

                raise TypeError(never_awaited(response))
            super().__init__(response, status, headers, mimetype, content_type, direct_passthrough)  # type: ignore[arg-type]

    def _set_headers(self, headers: Headers) -> None:
        self._headers = headers

    headers: Headers = t.cast(Headers, property(fields.headers_of, _set_headers))

    @property
    def response(self) -> t.Any:
        """The body: a list of ``bytes``, or an iterable that streams."""
        if self._plain is not None:
            self.response = [self._plain]
        return self._iterable

    @response.setter
    def response(self, value: t.Any) -> None:
        if self._plain is not None:
            self.headers  # noqa: B018 - which say its length
            self._plain = None
        self._iterable = value

    @lazy
    def _on_close(self) -> list[t.Callable[[], t.Any]]:
        self.response  # noqa: B018 - so that it is closed
        return []

    @classmethod
    def force_type(cls, response: t.Any, environ: t.Any = None) -> t.Any:
        """Make a response of this class of another one's, or of a WSGI application."""
        made = super().force_type(response, environ)
        own = vars(made)  # Werkzeug's has these two on the instance.
        for name in own.keys() & {"headers", "response"}:
            setattr(made, name, own.pop(name))
        if not cls._lazy_send:
            made.response  # noqa: B018 - which is sent as the class says
        return made

    @lazy
    def _status(self) -> str:
        code = self._status_code
        return f"{code} {HTTP_STATUS_CODES.get(code, 'UNKNOWN').upper()}"

    @property
    def max_cookie_size(self) -> int:  # type: ignore[override]
        """Bytes of a cookie above which there is a warning: ``MAX_COOKIE_SIZE``; 0 for never."""
        ctx = _cv_app.get(None)
        if ctx is not None:
            return t.cast(int, ctx.app.config["MAX_COOKIE_SIZE"])
        return super().max_cookie_size

    if not t.TYPE_CHECKING:  # It has the type of Werkzeug's.
        set_cookie = fields.checked(_WerkzeugResponse.set_cookie)

    def _process_range_request(self, environ: t.Any, length: t.Any, accept: t.Any) -> bool:
        """As Werkzeug's, which refuses a suffix longer than the file (RFC 9110, 14.1.2)."""
        return super()._process_range_request(fields.long_suffix(environ, length), length, accept)

    # --- sending

    def _messages(self, ctx: AppContext) -> tuple[t.Any, t.Any] | None:
        """What is sent by ASGI of a response that is here as a whole; None if it takes more.

        Source: https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event
        """
        code, body = self._status_code, self._plain
        if body is None or (code != 200 and not 200 <= code < 600):
            return None
        if self._headers is None and self._type and (code == 200 or code not in _BODILESS):
            pairs = [known_field(self._type)[1], known_field(len(body))[1]]
            if not self.automatically_set_content_length:
                pairs.pop()
        elif self.autocorrect_location_header:
            return None
        else:
            pairs = self._encode_headers(len(body))
        if ctx._request.method == "HEAD" or (code != 200 and code in _BODILESS):
            body = b""
        start = {"type": "http.response.start", "status": code, "headers": pairs}
        return start, {"type": "http.response.body", "body": body}

    def _encode_headers(self, length: int | None) -> list[tuple[bytes, bytes]]:
        """The header fields for the server; ``length`` is the body's if it is known."""
        code = self._status_code
        made: t.Any = self._headers
        if made is None and length is None and self._type and code not in _BODILESS:
            return [known_field(self._type)[1]]  # PERF: a stream's, as `_messages`.
        those = (self.headers if made is None else made)._list
        if code in _BODILESS:
            those, length = self.get_wsgi_headers({}), None
        pairs: t.Any = [*map(fields.sendable.get, those)]
        if not all(pairs):
            for i, (name, value) in enumerate(those):
                if pairs[i] is None:
                    if name.lower() in _CHANGED_ON_THE_WAY:
                        value = self.get_wsgi_headers({})[name]  # Werkzeug makes a URI of an IRI.
                    pairs[i] = fields.send_field(name, value)
        if length is not None and self.automatically_set_content_length:
            size = known_field(length)[1]
            if size not in pairs and all(key != size[0] for key, _ in pairs):
                pairs.append(size)
        return pairs  # type: ignore[no-any-return]

    async def send_asgi(self, ctx: AppContext, send: t.Any) -> None:
        """Send, and close, whatever it is made of: a list, a stream of either colour, or ASGI."""
        body: t.Any = self.response
        if getattr(body, "is_asgi", False):
            await body.send(self, ctx, send)
            await hop(ctx, self.close)
            return
        if self._lazy_send and not self.autocorrect_location_header:
            length = None
            if isinstance(body, (list, tuple)) and not self.direct_passthrough:
                whole, body = b"".join(self.iter_encoded()), None
                length = len(whole)
            pairs = self._encode_headers(length)
            close = self.close
        else:
            body, close, pairs = self._call_as_wsgi(ctx)
        code = self._status_code
        if not 200 <= code < 600:
            await self._close(ctx)
            raise fields.UnsendableResponse(_UNSENDABLE.format(self.status))
        start = {"type": "http.response.start", "status": code, "headers": pairs}
        if ctx._request.method == "HEAD" or code in _BODILESS:
            body, whole = None, b""
        if body is not None:
            await _streams().send_stream(ctx, self, body, close, start, send)
            return
        try:
            await send(start)
            await send({"type": "http.response.body", "body": whole})
        finally:
            await self._close(ctx)

    def _call_as_wsgi(self, ctx: AppContext) -> tuple[t.Any, t.Any, list[tuple[bytes, bytes]]]:
        """COMPAT: what a subclass makes of an environ is asked for as under WSGI."""
        pairs: list[tuple[bytes, bytes]] = []
        written: list[bytes] = []

        def start_response(status: str, those: t.Any, exc_info: t.Any = None) -> t.Any:
            self.status = status
            pairs[:] = fields.encoded(those)
            return written.append

        token = _cv_app.set(ctx)  # It may use the request, though its teardown has run.
        try:
            body: t.Any = self(ctx.request.environ, start_response)
        finally:
            _cv_app.reset(token)
        if hasattr(self.response, "__aiter__"):
            return self.response, self.close, pairs
        # A file that is passed through would leave what `call_on_close` was given uncalled.
        close = self.close if body is self.response else getattr(body, "close", self.close)
        return chain(written, body) if written else body, close, pairs

    async def _close(self, ctx: AppContext, closed: t.Any = None) -> None:
        """Close a response that no thread has closed; what it calls may block."""
        body = self.response
        if body is not closed and hasattr(body, "aclose"):
            await body.aclose()
        if self.__dict__.get("_on_close") or hasattr(body, "close"):
            await hop(ctx, self.close)


@lru_cache
def _streams() -> t.Any:
    # PERF: an import costs half a us, also where it has been done.
    from . import streams

    return streams


_UNSENDABLE = (
    "The response has the status {!r}, which cannot be sent as a final one: it must be a number"
    " from 200 to 599, as in 'return body, 201'."
)
