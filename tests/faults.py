"""The faults of adapters between WSGI and ASGI, each with an experiment that shows it.

An experiment takes an adapter and returns what went wrong, or ``""``; it may also raise, or never
end. `scripts/adapters` prints the table, `tests/test_faults.py` holds it.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from a2wsgi import ASGIMiddleware, WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from werkzeug.test import create_environ

from aioflask import ASGIApp, WSGIApp

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette's announces that it will be removed.
    from starlette.middleware.wsgi import WSGIMiddleware as StarletteWSGI

Adapter = Callable[[Any], Any]
Message = dict[str, Any]

PACKAGES = "asgiref", "a2wsgi", "Starlette", "ours"
WSGI_IN_ASGI: dict[str, Adapter] = {
    "asgiref": WsgiToAsgi,
    "a2wsgi": WSGIMiddleware,
    "Starlette": StarletteWSGI,
    "ours": WSGIApp,
}
ASGI_IN_WSGI: dict[str, Adapter] = {"a2wsgi": ASGIMiddleware, "ours": ASGIApp}


# --- both sides' words ----------------------------------------------------------------------------


def make_scope(path: str = "/", method: str = "GET", *fields: tuple[bytes, bytes]) -> Message:
    """The scope of a request to a server at 127.0.0.1."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *fields],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50_000),
    }


async def ask(app: Any, scope: Message, *messages: Message) -> list[Message]:
    """What an ASGI application sends to a client that sends these messages and then waits."""
    waiting, sent = list(messages or ({"type": "http.request"},)), list[Message]()

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


class Refused(Exception):
    """An adapter answered without a call of its application."""


async def environ_for(adapt: Adapter, scope: Message) -> Message:
    """The environ that an application behind ``adapt`` is given for a request."""
    environs: list[Message] = []

    def app(environ: Message, start_response: Any) -> list[bytes]:
        environs.append(environ)
        return hello(environ, start_response)

    sent = await ask(adapt(app), scope)
    if not environs:
        raise Refused(f"refused with {sent[0]['status']}")
    return environs[0]


def scope_for(adapt: Adapter, environ: Message) -> Message:
    """The scope that an application behind ``adapt`` is given for a request."""
    scopes: list[Message] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scopes.append(scope)
            await ahello(scope, receive, send)

    b"".join(adapt(app)(environ, ignore))
    return scopes[0]


def hello(environ: Any, start_response: Any) -> list[bytes]:
    """A WSGI application."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]


async def ahello(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application without a lifespan."""
    if scope["type"] != "http":
        raise NotImplementedError("no lifespan")
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, World!"})


def ignore(*args: Any) -> Any:
    """A ``start_response`` that nobody asks."""


def piece(body: bytes, more: bool = True) -> Message:
    """A part of a request's body."""
    return {"type": "http.request", "body": body, "more_body": more}


class Meter:
    """How many are inside at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *exc_info: object) -> None:
        self.now -= 1


# --- WSGI inside ASGI -----------------------------------------------------------------------------


async def one_at_a_time(adapt: Adapter) -> str:
    meter = Meter()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        with meter:
            time.sleep(0.1)
        return hello(environ, start_response)

    inside = adapt(app)
    await asyncio.gather(*(ask(inside, make_scope()) for _ in range(4)))
    return "" if meter.most == 4 else f"of 4 requests at once {meter.most} ran"


class Pieces:
    """A response body that counts its ``close()``."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.closed = pieces, 0

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def close(self) -> None:
        self.closed += 1


async def never_closed(adapt: Adapter) -> str:
    def breaks() -> Iterator[bytes]:
        yield b"x"
        raise LookupError("lost")

    wrong = []
    for name, pieces in (("the end", iter([b"x", b"y"])), ("an error", breaks())):
        body = Pieces(pieces)

        def app(environ: Any, start_response: Any, body: Pieces = body) -> Any:
            start_response("200 OK", [])
            return body

        try:
            await ask(adapt(app), make_scope())
        except Exception:
            assert name == "an error"
        if body.closed != 1:
            wrong.append(f"called {body.closed} times after {name}")
    return ", ".join(wrong)


async def body_cut(adapt: Adapter) -> str:
    """A body whose client goes after the half; one that is read in lines of a limited length."""
    read: list[bytes] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        read.append(environ["wsgi.input"].read())
        return hello(environ, start_response)

    scope = make_scope("/", "POST", (b"content-length", b"10"))
    try:
        await ask(adapt(app), scope, piece(b"12345"), {"type": "http.disconnect"})
    except Exception as error:
        read = [f"{error!r}".encode()] if isinstance(error, AssertionError) else []
    wrong = [f"{read[0]!r} of 10 bytes passed as the whole"] if read else []

    def lines(environ: Any, start_response: Any) -> list[bytes]:
        read[:] = iter(lambda: environ["wsgi.input"].readline(4), b"")
        return hello(environ, start_response)

    await ask(adapt(lines), scope, piece(b"12"), piece(b"345\n67"), piece(b"890"[:2], False))
    if b"".join(read) != b"12345\n6789":
        wrong.append(f"readline() gave {b''.join(read)!r} of b'12345\\n6789'")
    return ", ".join(wrong)


async def short_body(adapt: Adapter) -> str:
    """A body that ends before its Content-Length does."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(10)
        return hello(environ, start_response)

    scope = make_scope("/", "POST", (b"content-length", b"10"))
    try:
        await ask(adapt(app), scope, piece(b"12345", False))
    except OSError:
        pass  # To be told is as good as to read less.
    return ""


async def cookies(adapt: Adapter) -> str:
    fields = (b"cookie", b"a=1"), (b"cookie", b"b=2")
    found = (await environ_for(adapt, make_scope("/", "GET", *fields)))["HTTP_COOKIE"]
    return "" if found == "a=1; b=2" else f"the cookies are {found!r}"


async def x_user(adapt: Adapter) -> str:
    fields = (b"x-user", b"proxy"), (b"x_user", b"client")
    found = (await environ_for(adapt, make_scope("/", "GET", *fields)))["HTTP_X_USER"]
    return "" if found == "proxy" else f"HTTP_X_USER is {found!r}"


async def prefix(adapt: Adapter) -> str:
    scope = {**make_scope("/apiv2/users"), "root_path": "/api"}
    found = (await environ_for(adapt, scope))["PATH_INFO"]
    return "" if found == "/apiv2/users" else f"of /apiv2/users {found!r} is left"


async def raw_byte(adapt: Adapter) -> str:
    scope = make_scope("/", "GET", (b"x-name", b"\xff"))
    environ = await environ_for(adapt, {**scope, "query_string": b"q=\xff"})
    found = environ["HTTP_X_NAME"] + environ["QUERY_STRING"]
    if found != "\xffq=\xff":
        return f"the bytes FF became {found!r}"

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-Name", "\xff")])
        return [b""]

    headers = (await ask(adapt(app), make_scope()))[0]["headers"]
    return "" if (b"x-name", b"\xff") in headers else f"the byte FF became {headers!r}"


async def no_lifespan(adapt: Adapter) -> str:
    startup, shutdown = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
    sent = await ask(adapt(hello), {"type": "lifespan", "asgi": {}}, startup, shutdown)
    types = [message["type"] for message in sent]
    complete = ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    return "" if types == complete else f"the server is told {types!r}"


async def endless(adapt: Adapter) -> str:
    """A client that goes, told by ``receive()`` and by ``send()``, as servers do."""
    produced, ended = 0, threading.Event()

    def numbers() -> Iterator[bytes]:
        nonlocal produced
        try:
            while not stop.is_set():
                produced += 1
                yield b"x"
                time.sleep(0.001)
        finally:
            ended.set()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return numbers()

    gone, stop, count = asyncio.Event(), threading.Event(), 0

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal count
        count += 1
        if count > 10:
            gone.set()
            raise OSError("gone")

    first = [piece(b"", False)]

    async def receive_first() -> Message:
        return first.pop() if first else await receive()

    task = asyncio.create_task(adapt(app)(make_scope(), receive_first, send))
    await gone.wait()
    await asyncio.sleep(0.3)
    running = not ended.is_set()
    stop.set()
    await asyncio.gather(task, return_exceptions=True)
    return f"{produced} pieces produced, and going on" if running else ""


async def quadratic(adapt: Adapter) -> str:
    """Four times as many fields; the fastest of three tries each."""

    async def cost(number: int) -> float:
        fields = [(b"x-much", b"y" * 2_000)] * number
        scope = make_scope("/", "GET", *fields)
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            environ = await environ_for(adapt, scope)
            times.append(time.perf_counter() - begun)
            assert len(environ["HTTP_X_MUCH"]) == 2_001 * number - 1
        return min(times)

    try:
        ratio = await cost(1_200) / await cost(300)
    except Refused:
        return ""  # A limit to the number is another answer to the same danger.
    return "" if ratio < 8 else f"four times the fields take {ratio:.0f} times the time"


# --- ASGI inside WSGI -----------------------------------------------------------------------------


def one_at_a_time_(adapt: Adapter) -> str:
    meter = Meter()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            with meter:
                await asyncio.sleep(0.1)
        await ahello(scope, receive, send)

    inside = adapt(app)

    def request() -> None:
        b"".join(inside(create_environ(), ignore))

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return "" if meter.most == 4 else f"of 4 requests at once {meter.most} ran"


async def stream(send: Any, told: list[str]) -> None:
    """Send without end, and note how it ended."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            told.append("sent")
            await asyncio.sleep(0.001)
    except OSError:
        told.append("OSError")


def never_closed_(adapt: Adapter) -> str:
    """The server's ``close()`` is how the application behind can learn that its client went."""
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        told.append((await receive())["type"])

    body = adapt(app)(create_environ(), ignore)
    next(iter(body))
    body.close()
    time.sleep(0.3)
    return "" if told == ["http.disconnect"] else "the application is not told of it"


def read_all(adapt: Adapter, data: bytes, **environ: Any) -> list[Any]:
    """What an application that reads the whole body is given, its last message's type first."""
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            body, more = b"", True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            found.extend([message["type"], body])
        await ahello(scope, receive, send)

    made = create_environ(method="POST", input_stream=io.BytesIO(data))
    made.pop("CONTENT_LENGTH", None)
    b"".join(adapt(app)({**made, **environ}, ignore))
    return found


def body_cut_(adapt: Adapter) -> str:
    found = read_all(adapt, b"12345", **{"wsgi.input_terminated": True})
    wrong = [] if found[1] == b"12345" else [f"of 5 bytes without a length {found[1]!r} came"]
    found = read_all(adapt, b"12345" * 100_000, CONTENT_LENGTH="500000")
    if len(found[1]) != 500_000:
        wrong.append(f"of 500,000 bytes {len(found[1])} came")
    return ", ".join(wrong)


def short_body_(adapt: Adapter) -> str:
    found = read_all(adapt, b"12345", CONTENT_LENGTH="10")
    return "" if found[0] == "http.disconnect" else f"{found[1]!r} of 10 bytes passed as the whole"


def prefix_(adapt: Adapter) -> str:
    environ = {**create_environ("/v2"), "SCRIPT_NAME": "/api"}
    scope = scope_for(adapt, environ)
    found = scope["root_path"], scope["path"]
    return "" if found == ("/api", "/api/v2") else f"root_path and path are {found!r}"


def raw_byte_(adapt: Adapter) -> str:
    environ = {**create_environ(), "PATH_INFO": "/\xff", "QUERY_STRING": "\xff"}
    scope = scope_for(adapt, {**environ, "HTTP_X_NAME": "\xff"})
    found = dict(scope["headers"])[b"x-name"], scope["query_string"]
    return "" if found == (b"\xff", b"\xff") else f"the bytes FF became {found!r}"


def no_lifespan_(adapt: Adapter) -> str:
    types: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            types.append((await receive())["type"])
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await ahello(scope, receive, send)

    inside = adapt(app)
    for _ in range(2):
        b"".join(inside(create_environ(), ignore))
    return "" if types == ["lifespan.startup"] else f"started {len(types)} times"


def endless_(adapt: Adapter) -> str:
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await stream(send, told)

    body = iter(adapt(app)(create_environ(), ignore))
    for _ in range(10):
        next(body)
    body.close()
    time.sleep(0.3)
    if told[-1] == "OSError":
        return ""
    return f"{told.count('sent')} pieces sent, and its task was never ended"


# --- the table ------------------------------------------------------------------------------------

Experiment = Callable[[Adapter], Any]

FAULTS: dict[str, tuple[Experiment, Experiment | None]] = {
    "one request at a time": (one_at_a_time, one_at_a_time_),
    "close() never called": (never_closed, never_closed_),
    "bodies lost or cut off": (body_cut, body_cut_),
    "hangs on a short body": (short_body, short_body_),
    "Cookie joined with a comma": (cookies, None),
    "x_user merged into x-user": (x_user, None),
    "/api stripped from /apiv2": (prefix, prefix_),
    "UnicodeDecodeError on a raw byte": (raw_byte, raw_byte_),
    "lifespan never run": (no_lifespan, no_lifespan_),
    "endless streams go on": (endless, endless_),
    "quadratic header building": (quadratic, None),
}
"""Each with its experiment for WSGI inside ASGI and for ASGI inside WSGI.

Where there is none, the WSGI server has joined the header fields before the adapter sees them.
"""

LIMIT = 5.0
"""Seconds after which an experiment counts as one that never ends."""


def run(experiment: Experiment, adapt: Adapter) -> str:
    """What went wrong, or ``""``; in a process of its own, since some never end."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of a fork beside threads.
        process = context.Process(target=_run, args=(experiment, adapt, theirs), daemon=True)
        process.start()
    theirs.close()
    try:
        return str(ours.recv()) if ours.poll(LIMIT) else f"never ends (waited {LIMIT:.0f} s)"
    finally:
        ours.close()
        process.kill()
        process.join()
        process.close()


def _run(experiment: Experiment, adapt: Adapter, answer: Connection) -> None:
    try:
        if asyncio.iscoroutinefunction(experiment):
            found = asyncio.run(experiment(adapt))
        else:
            found = experiment(adapt)
    except Exception as error:
        found = f"{type(error).__name__}: {error or 'no text'}"
    answer.send(found)
