"""An app with every kind of view, and requests to it, byte for byte, that hold what always holds.

Whatever comes in: no exception leaves `app(...)`, there is one start and one end of the answer, its
headers are what HTTP allows, HEAD and 204 have no body, and teardown runs as often as a request
began. `Door.ask` fails a test where one of these is broken, and by default where the answer is a 5xx.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import anyio

from aioflask import (
    Flask,
    Response,
    abort,
    make_response,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
)
from aioflask.views import MethodView

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
FIELD = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # 5.5

Pairs = Iterable[tuple[bytes, bytes]]


class Answer(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    seconds: float  # of processor time: other processes' load is none of ours

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name: bytes) -> bytes | None:
        found = self.all(name)
        assert len(found) < 2, found
        return found[0] if found else None

    @property
    def text(self) -> str:
        return self.body.decode()


class Door:
    """The app, and who asks it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hardening-"))
        (self.folder / "sub").mkdir()
        (self.folder / "a.txt").write_bytes(bytes(range(250)) * 4)
        (self.folder / "sub/x.txt").write_text("x")
        self.app = make_app(self.folder)
        self.begun = self.ended = 0
        self.app.before_request(self._begin)
        self.app.teardown_request(self._end)

    def _begin(self) -> None:
        self.begun += 1

    def _end(self, error: BaseException | None) -> None:
        self.ended += 1

    async def send(
        self,
        path: str = "/async/echo",
        method: str = "GET",
        headers: Pairs = (),
        body: bytes | Iterable[bytes] = b"",
        *,
        query: bytes = b"",
        host: bytes | None = b"example.org",
        version: str = "1.1",
        cut_off: bool = False,
        fails: bool = False,
    ) -> Answer:
        """Send one request. A body of pieces comes without Content-Length, as chunks do."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        pairs = [(b"host", host)] if host is not None else []
        pairs += [(name.lower(), value) for name, value in headers]
        names = [name for name, _ in pairs]
        if isinstance(body, bytes):
            if body and b"content-length" not in names:
                pairs.append((b"content-length", str(len(body)).encode()))
        elif b"transfer-encoding" not in names and version == "1.1":
            pairs.append((b"transfer-encoding", b"chunked"))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": version,
            "method": method,
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "query_string": query,
            "headers": pairs,
            "scheme": "http",
            "server": ("example.org", 80),
            "client": ("192.0.2.1", 5000),
            "root_path": "",
        }
        messages: deque[dict[str, Any]] = deque(
            {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
        )
        if cut_off:
            messages.append({"type": "http.disconnect"})
        else:
            messages.append({"type": "http.request", "body": b"", "more_body": False})
        sent: list[Any] = []

        async def receive() -> Any:
            if messages:
                return messages.popleft()
            await anyio.sleep_forever()

        async def send(message: Any) -> None:
            sent.append(message)

        begun = self.begun
        start = time.process_time()
        with anyio.fail_after(20):
            await self.app(scope, receive, send)
        seconds = time.process_time() - start
        assert self.begun <= begun + 1
        answer = Answer(sent[0]["status"], list(sent[0]["headers"]), joined(sent), seconds)
        check(answer, method)
        if not fails:
            assert answer.status < 500, (answer.status, path, method, pairs)
        return answer

    def ask(self, *args: Any, **kwargs: Any) -> Answer:
        """As `send`, from plain code, on a loop of its own."""
        kwargs_backend = kwargs.pop("backend", "asyncio")

        async def main() -> Answer:
            return await self.send(*args, **kwargs)

        return anyio.run(main, backend=kwargs_backend)


def joined(sent: list[Any]) -> bytes:
    """The body of an answer: one start, then pieces, of which the last says so."""
    kinds = [message["type"] for message in sent]
    assert kinds[0] == "http.response.start", kinds
    assert set(kinds[1:]) <= {"http.response.body"}, kinds
    more = [message.get("more_body", False) for message in sent[1:]]
    assert more and not more[-1] and all(more[:-1]), more
    return b"".join(message.get("body", b"") for message in sent[1:])


def check(answer: Answer, method: str) -> None:
    """What holds for every answer."""
    assert 200 <= answer.status <= 999
    for name, value in answer.headers:
        assert type(name) is bytes and TOKEN.fullmatch(name), name
        assert type(value) is bytes and FIELD.fullmatch(value), (name, value)
        assert value == value.strip(b" \t"), (name, value)
    if method == "HEAD" or answer.status in (204, 304):
        assert answer.body == b""
    else:
        length = answer.one(b"content-length")
        assert length is None or int(length) == len(answer.body)


def make_app(folder: Path) -> Flask:
    """Views of both colours under `/plain` and `/async`, each of what a view may do."""
    app = Flask("hardening", static_folder=folder, static_url_path="/static")
    app.secret_key = "only for tests"
    app.logger.disabled = True

    def echo() -> Any:
        return {
            "url": request.url,
            "host": request.host,
            "args": request.args.to_dict(flat=False),
            "cookies": request.cookies.to_dict(flat=False),
            "user": request.headers.get("X-User"),
            "remote": request.remote_addr,
        }

    def json() -> Any:
        return {"got": request.get_json()}

    def form() -> Any:
        files = {key: len(file.read()) for key, file in request.files.items()}
        return {"form": request.form.to_dict(flat=False), "files": files}

    def raw() -> Any:
        return {"bytes": len(request.get_data())}

    def header() -> Any:
        response = make_response("x")
        response.headers[request.args["name"]] = request.args["value"]
        return response

    def cookie() -> Any:
        response = make_response("x")
        options: Any = {key: request.args[key] for key in ("path", "domain") if key in request.args}
        response.set_cookie(request.args.get("name", "a"), request.args.get("value", ""), **options)
        return response

    def go() -> Any:
        return redirect(request.args["to"])

    def read() -> Any:
        """Everything that parses a header."""
        return [
            str(each) for each in (
                request.if_modified_since, request.if_unmodified_since, request.date,
                request.if_match, request.if_none_match, request.if_range.date, request.range,
                request.accept_mimetypes.best, request.accept_languages, request.accept_charsets,
                request.accept_encodings, request.authorization, request.mimetype,
                request.mimetype_params, request.cache_control, request.content_length,
                request.max_forwards, request.referrer, request.origin, request.user_agent,
                request.access_control_request_headers, request.pragma, request.access_route,
            )
        ]  # fmt: skip

    def conditional() -> Any:
        response = make_response("x" * 100)
        response.set_etag("abc")
        response.last_modified = 1_700_000_000  # type: ignore[assignment]
        return response.make_conditional(request)

    def remember() -> Any:
        session["count"] = session.get("count", 0) + 1
        return {"count": session["count"]}

    def stream() -> Any:
        return Response(stream_with_context(iter(["a", "b", request.path])))

    def give_up() -> Any:
        abort(request.args.get("code", 400, type=int))

    def surprise() -> Any:
        raise KeyError("secret")

    def file() -> Any:
        return send_file(folder / "a.txt", conditional=True)

    for view in (
        echo, json, form, raw, header, cookie, go, read, conditional, remember, stream, give_up,
        surprise, file,
    ):  # fmt: skip
        app.add_url_rule(
            f"/plain/{view.__name__}", f"plain {view.__name__}", view, methods=["GET", "POST"]
        )

        async def asynchronous(view: Any = view) -> Any:
            return view()

        app.add_url_rule(
            f"/async/{view.__name__}", f"async {view.__name__}", asynchronous,
            methods=["GET", "POST"],
        )  # fmt: skip

    @app.get("/int/<int:number>")
    async def number(number: int) -> str:
        return str(number)

    @app.get("/float/<float:number>")
    async def fraction(number: float) -> str:
        return str(number)

    @app.get("/text/<text>")
    def text(text: str) -> dict[str, str]:
        return {"text": text}

    @app.get("/path/<path:path>")
    async def path(path: str) -> dict[str, str]:
        return {"path": path}

    @app.get("/folder/")
    async def with_slash() -> str:
        return "folder"

    @app.get("/folder/<name>/")
    async def with_name(name: str) -> dict[str, str]:
        return {"name": name}

    class Methods(MethodView):
        async def get(self) -> str:
            return "got"

        def post(self) -> str:
            return "posted"

        def secret(self) -> str:
            return "told"

    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))
    return app
