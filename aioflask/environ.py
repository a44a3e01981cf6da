"""The WSGI environ of a request that came by ASGI, for code that asks for one (PEP 3333)."""

from __future__ import annotations

import io
import sys
import typing as t
from urllib.parse import quote

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .typing import Scope
    from .wrappers import Request


class LazyInput(io.RawIOBase):
    """``wsgi.input`` of an environ made from a scope: the request's body, once it is read."""

    def __init__(self, request: Request | None = None) -> None:
        self.request: Request | None = request

    @property
    def _file(self) -> t.IO[bytes]:
        return t.cast("Request", self.request)._file

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


def build_environ(scope: Scope) -> WSGIEnvironment:
    """A WSGI environ (PEP 3333) of an ASGI HTTP scope, with ``RAW_URI`` as gunicorn sets it."""
    root = scope.get("root_path", "").rstrip("/")
    path = scope["path"]
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    server = scope.get("server") or ("localhost", 80)
    raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string", b"").decode("latin-1")
    uri = raw_path.decode("latin-1") + ("?" + query if query else "")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"].upper(),
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": uri,
        "REQUEST_URI": uri,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or ""),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "asgi.scope": scope,
    }
    if client := scope.get("client"):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if b"_" in name:
            continue  # X_User must not read as X-User.
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        joined = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{joined}{text}" if key in environ else text
    return environ
