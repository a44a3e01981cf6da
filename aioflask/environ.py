"""A request in two languages: a WSGI environ (PEP 3333) of an ASGI scope, and the other way."""

from __future__ import annotations

import io
import sys
import typing as t
import weakref
from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes, urlsplit

from .headers import readable

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .typing import Scope
    from .wrappers import Request


class LazyInput(io.RawIOBase):
    """``wsgi.input`` of an environ made from a scope: the request's body, once it is read."""

    def __init__(self, request: Request | None = None) -> None:
        self.find: t.Any = request if request is None else weakref.ref(request)
        """Weak: the request has the environ, and the two would keep each other alive."""

    @property
    def _file(self) -> t.IO[bytes]:
        request = self.find()
        if request is None:
            raise ValueError(
                "wsgi.input of a request that is over was read. Read it before the response is"
                " sent, or keep the request."
            )
        return t.cast("t.IO[bytes]", request._file)

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read from the request's body."""
        return self._file.read(size)

    def readline(self, size: int | None = -1) -> bytes:
        """Read a line of the request's body."""
        return self._file.readline(-1 if size is None else size)

    def readinto(self, buffer: t.Any) -> int:
        """Fill a buffer from the request's body, and return how many bytes that is."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


# --- an environ of a scope ---------------------------------------------------------------------


def build_environ(scope: Scope) -> WSGIEnvironment:
    """A WSGI environ (PEP 3333) of an ASGI HTTP scope, with ``RAW_URI`` as gunicorn sets it.

    The scope stays in it as ``environ["asgi.scope"]``; ``wsgi.input`` is the caller's to add.
    """
    root = scope.get("root_path", "").rstrip("/")
    host, port = scope.get("server") or ("localhost", None)
    if port is None:  # A socket's path is no name of a server, and PEP 3333 wants both.
        host, port = "localhost", 443 if scope.get("scheme") == "https" else 80
    raw_path = scope.get("raw_path") or quote(scope["path"], errors="surrogateescape").encode()
    query = scope.get("query_string", b"").decode("latin-1")
    uri = raw_path.decode("latin-1") + ("?" + query if query else "")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.get("method", "GET").upper(),
        "SCRIPT_NAME": root.encode("utf-8", "surrogateescape").decode("latin-1"),
        "PATH_INFO": _path_info(scope, root), "QUERY_STRING": query,
        "RAW_URI": uri, "REQUEST_URI": uri, "SERVER_NAME": host, "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "wsgi.version": (1, 0), "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": True,
        "wsgi.run_once": False, "wsgi.input_terminated": True, "asgi.scope": scope,
    }  # fmt: skip
    if client := scope.get("client"):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    _add_headers(environ, scope["headers"])
    return environ


def _path_info(scope: Scope, root: str) -> str:
    """The path below ``root``, its bytes tunnelled through latin-1."""
    path, raw = scope["path"], scope.get("raw_path") or b""
    data = path.encode("utf-8", "surrogateescape")
    if "\ufffd" in path and b"%" in raw:
        # The server could not decode it. The bytes that came are there, unless a middleware has
        # put another path in its place.
        came = unquote_to_bytes(raw)
        if came.decode("utf-8", "replace") == path:
            data = came
    prefix = root.encode("utf-8", "surrogateescape")
    if prefix and (data == prefix or data.startswith(prefix + b"/")):
        data = data[len(prefix) :]
    return t.cast(str, data.decode("latin-1"))


def _add_headers(environ: WSGIEnvironment, headers: t.Iterable[tuple[bytes, bytes]]) -> None:
    repeated: dict[str, list[str]] = {}
    fields = list(headers)
    for name, value in readable((name for name, _ in fields), fields):
        if name.find(b"_") >= 0:
            continue  # X_User must not read as X-User.
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        if key in environ:
            repeated.setdefault(key, [environ[key]]).append(text)
        else:
            environ[key] = text
    for key, texts in repeated.items():  # RFC 9110, 5.3, and RFC 9113, 8.2.3
        environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(texts)


# --- a scope of an environ ---------------------------------------------------------------------


def scope_from_environ(environ: WSGIEnvironment) -> Scope:
    """The ASGI scope of a WSGI environ, which it carries as ``scope["aioflask.environ"]``.

    ``path`` is decoded and has ``root_path`` (SCRIPT_NAME) in front, as the ASGI specification
    wants it: https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
    """
    script_name, path_info = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    quoted = quote((script_name + path_info).encode("latin-1")).encode("ascii")
    version = environ.get("SERVER_PROTOCOL", "HTTP/1.1").partition("/")[2]
    client, server = environ.get("REMOTE_ADDR"), environ.get("SERVER_NAME")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": version.removesuffix(".0") if version != "1.0" else version,
        "method": environ.get("REQUEST_METHOD", "GET"),
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": decoded(script_name) + decoded(path_info),
        "raw_path": _raw_path(environ) or quoted,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1", "replace"),
        "root_path": decoded(script_name),
        "headers": list(headers_of(environ)),
        "client": (client, int(environ.get("REMOTE_PORT") or 0)) if client else None,
        "server": (server, int(environ.get("SERVER_PORT") or 0)) if server else None,
        "aioflask.environ": environ,
    }


def decoded(text: str) -> str:
    """The text of a path, whose bytes PEP 3333 tunnels through latin-1."""
    # As in Werkzeug, what is no UTF-8 is shown.
    return text.encode("latin-1").decode("utf-8", "replace")


def _raw_path(environ: WSGIEnvironment) -> bytes:
    uri = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    path = uri.partition("?")[0] if uri.startswith("/") else urlsplit(uri).path
    return quote(path.encode("latin-1", "replace"), "/%:@!$&'()*+,;=~").encode("ascii")


def headers_of(environ: WSGIEnvironment) -> Iterator[tuple[bytes, bytes]]:
    """The header fields of an environ as ASGI has them."""
    for key, value in environ.items():
        if key.startswith("HTTP_") and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            name = key[5:]
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            name = key
        else:
            continue
        text = str(value)
        try:
            encoded = text.encode("latin-1")
        except UnicodeEncodeError:  # No WSGI server makes it, tests write it: as a browser does.
            encoded = text.encode()
        yield name.replace("_", "-").lower().encode("latin-1"), encoded


# --- both at once ------------------------------------------------------------------------------


def environ_of(scope: Scope) -> WSGIEnvironment:
    """The environ that a scope was made from, with what a middleware has changed in the scope.

    A scope that came by ASGI gets a new one.
    """
    environ: WSGIEnvironment | None = scope.get("aioflask.environ")
    if environ is None:
        return build_environ(scope)
    told = scope_from_environ(environ)
    if any(scope.get(key) != value for key, value in told.items()):
        for key in [key for key in environ if key.startswith("HTTP_")]:
            del environ[key]
        for key, value in build_environ(scope).items():
            if key.isupper() or key == "wsgi.url_scheme":
                environ[key] = value
    return environ
