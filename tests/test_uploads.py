"""Bodies that the view reads itself, piece by piece: on asyncio and trio, plain and async."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException
from werkzeug.sansio import multipart as sansio
from werkzeug.test import EnvironBuilder, stream_encode_multipart

from aioflask import Flask, Request, request
from aioflask.multipart import PartsDecoder
from aioflask.testing import chunked, cut_off, slow

pytestmark = pytest.mark.anyio

BOUNDARY = "the-boundary"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app() -> Flask:
    return Flask("uploads_test", static_folder=None)


def multipart(*parts: tuple[str, str | None, bytes]) -> bytes:
    """A multipart body of (name, filename, data)."""
    body = b""
    for name, filename, data in parts:
        file = "" if filename is None else f'; filename="{filename}"'
        kind = "" if filename is None else "Content-Type: application/x-test\r\n"
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{kind}\r\n'
        body += head.encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


async def test_nothing_is_read_ahead_of_the_view(app: Flask) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield b"x" * 1000

    @app.post("/", stream_body=True)
    async def count() -> Any:
        before, seen = sent, []
        async for piece in request.stream:
            seen.append((len(piece), sent))
        ahead = max(n - i for i, (_, n) in enumerate(seen, 1))
        return {"before": before, "ahead": ahead, "n": len(seen)}

    async with app.async_client() as client:
        answer = (await client.post("/", content=body())).json()
    assert answer == {"before": 0, "ahead": 0, "n": 50}


async def test_it_can_be_read_by_size_and_as_a_whole(app: Flask) -> None:
    @app.post("/", stream_body=True)
    async def read() -> Any:
        first = await request.stream.read(3)
        rest, end = await request.stream.read(), await request.stream.read(5)
        return {"first": first.decode(), "rest": rest.decode(), "end": end.decode()}

    async with app.async_client() as client:
        answer = (await client.post("/", content=chunked(b"abcdefghij", 5))).json()
    assert answer == {"first": "abc", "rest": "defghij", "end": ""}


async def test_a_plain_view_reads_it_as_a_file(app: Flask) -> None:
    @app.post("/", stream_body=True)
    def read() -> Any:
        return {"first": request.stream.read(3).decode(), "rest": request.stream.read().decode()}

    async with app.async_client() as client:
        answer = (await client.post("/", content=slow(b"abcdefghij", delay=0.001, size=4))).json()
    assert answer == {"first": "abc", "rest": "defghij"}


@pytest.mark.parametrize(("limit", "status"), [(800, 200), (799, 413)])
async def test_what_was_read_before_is_not_in_memory(app: Flask, limit: int, status: int) -> None:
    app.config["MAX_BODY_MEMORY"] = limit

    @app.post("/", stream_body=True)
    async def rest() -> str:
        read = 0
        while read < 700:
            read += len(await request.stream.read(700 - read))
        return str(len(await request.stream.read()))

    async with app.async_client() as client:
        answer = await client.post("/", content=b"x" * 1_500)
    assert answer.status_code == status and (status == 413 or answer.text == "800")


async def test_a_hook_may_still_load_the_body(app: Flask) -> None:
    @app.before_request
    async def load() -> None:
        await request.load_body()

    @app.post("/parts", stream_body=True)
    async def parts() -> Any:
        return [part.name async for part in request.stream_parts()]

    @app.post("/", stream_body=True)
    async def read() -> Any:
        return b"".join([piece async for piece in request.stream])

    async with app.async_client() as client:
        assert (await client.post("/", content=b"data")).content == b"data"
        large = multipart(("a", "a.bin", b"x" * 2_600_000))
        assert (await client.post("/parts", content=large, headers=HEADERS)).json() == ["a"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.parametrize("colour", ["def", "async"])
async def test_it_works_behind_a_wsgi_server(app: Flask, colour: str, anyio_backend: str) -> None:
    async def raw() -> Any:
        return str(sum([len(piece) async for piece in request.stream]))

    def raw_plain() -> Any:
        return str(len(request.stream.read()))

    async def parts() -> Any:
        return [len(await part.read()) async for part in request.stream_parts()]

    def parts_plain() -> Any:
        return [len(part.read()) for part in request.stream_parts()]

    app.config["MAX_FORM_MEMORY_SIZE"] = 10_000_000
    views = (raw, parts) if colour == "async" else (raw_plain, parts_plain)
    for rule, view in zip(("/raw", "/parts"), views, strict=True):
        app.add_url_rule(rule, view_func=view, methods=["POST"], stream_body=True)

    def ask(path: str, body: bytes) -> bytes:
        builder = EnvironBuilder(path, method="POST", data=body, headers=[*HEADERS.items()])
        environ = builder.get_environ()
        return b"".join(app(environ, lambda status, headers: None))

    body = multipart(("a", "a.bin", b"x" * 1_000_000), ("b", None, b"123"))
    assert await anyio.to_thread.run_sync(ask, "/raw", body) == b"%d" % len(body)
    assert await anyio.to_thread.run_sync(ask, "/parts", body) == b"[1000000,3]\n"


async def test_the_limit_counts_what_comes(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 1000
    got = 0

    @app.post("/", stream_body=True)
    async def read() -> str:
        nonlocal got
        async for piece in request.stream:
            got += len(piece)
        return "all"

    async with app.async_client() as client:
        assert (await client.post("/", content=chunked(b"x" * 1000, 100))).text == "all"
        assert got == 1000
        async with aclosing(chunked(b"x" * 1001, 100)) as body:
            assert (await client.post("/", content=body)).status_code == 413
        assert got == 2000
        assert (await client.post("/", content=b"x" * 1001)).status_code == 413
        assert got == 2000


@pytest.mark.parametrize("colour", ["def", "async"])
async def test_a_body_that_stops_halfway_is_a_400_and_never_half_a_success(
    app: Flask, colour: str
) -> None:
    ended: list[Any] = []

    @app.teardown_request
    async def tear_down(error: BaseException | None) -> None:
        ended.append(error)

    def plain() -> str:
        request.stream.read()
        return "all"

    async def asynchronous() -> str:
        async for _ in request.stream:
            pass
        return "all"

    view = plain if colour == "def" else asynchronous
    app.add_url_rule("/", "view", view, methods=["POST"], stream_body=True)
    async with app.async_client() as client:
        answer = await client.post(
            "/", content=cut_off(b"x" * 1000, after=500), headers={"Content-Length": "1000"}
        )
    assert answer.status_code == 400
    assert ended == [None]


@pytest.mark.parametrize("colour", ["def", "async"])
@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_parts_come_one_by_one(app: Flask, colour: str, size: int) -> None:
    async def asynchronous() -> Any:
        seen = []
        async for part in request.stream_parts():
            data = b"".join([piece async for piece in part])
            seen.append([part.name, part.filename, part.content_type, data.decode("latin-1")])
        return seen

    def plain() -> Any:
        return [
            [part.name, part.filename, part.content_type, b"".join(part).decode("latin-1")]
            for part in request.stream_parts()
        ]

    view = plain if colour == "def" else asynchronous
    app.add_url_rule("/", "view", view, methods=["POST"], stream_body=True)
    data = bytes(range(256)) * 3 + b"\r\n--the-bound\r\r\n"
    body = multipart(("title", None, b"A title"), ("file", "a.bin", data), ("last", None, b""))
    async with app.async_client() as client:
        answer = await client.post("/", content=chunked(body, size), headers=HEADERS)
    assert answer.json() == [
        ["title", None, None, "A title"],
        ["file", "a.bin", "application/x-test", data.decode("latin-1")],
        ["last", None, None, ""],
    ]


async def test_what_is_not_read_of_a_part_is_passed_over(app: Flask) -> None:
    @app.post("/", stream_body=True)
    async def names() -> Any:
        parts, late = [], None
        async for part in request.stream_parts():
            parts.append(part)
        try:
            await parts[0].read()
        except RuntimeError as error:
            late = str(error)
        last = (await parts[-1].read()).decode()
        return {"names": [part.name for part in parts], "read": last, "late": late}

    body = multipart(("a", None, b"1" * 100), ("b", "b.txt", b"2" * 100_000), ("c", None, b"3"))
    async with app.async_client() as client:
        answer = (await client.post("/", content=chunked(body, 1000), headers=HEADERS)).json()
    assert answer["names"] == ["a", "b", "c"] and answer["read"] == ""
    assert "read after the part that follows" in answer["late"]


async def test_an_upload_goes_through_without_being_held(app: Flask) -> None:
    size = largest = pieces = 0

    @app.post("/", stream_body=True)
    async def measure() -> Any:
        nonlocal size, largest, pieces
        async for part in request.stream_parts():
            async for data in part:
                size, pieces = size + len(data), pieces + 1
                largest = max(largest, len(data))
        return {}

    async def body() -> AsyncIterator[bytes]:
        whole = multipart(("file", "big", b"x" * 1000))
        start, end = whole.split(b"x" * 1000)
        yield start
        for _ in range(200):
            yield b"x" * 65_536
        yield end

    async with app.async_client() as client:
        assert (await client.post("/", content=body(), headers=HEADERS)).status_code == 200
    assert size == 200 * 65_536
    assert largest <= 2 * 65_536 and pieces <= 202  # What came together is not cut further.


async def test_parts_of_a_body_that_is_here_come_in_pieces_too(app: Flask) -> None:
    """Each text that looks like a boundary ends a piece; put together again, they would take the
    square of their number."""

    @app.before_request
    async def load() -> None:
        await request.load_body()

    @app.post("/", stream_body=True)
    async def measure() -> Any:
        parts = [[len(data) async for data in part] async for part in request.stream_parts()]
        return {"size": sum(parts[0]), "largest": max(parts[0])}

    data = f"{'x' * 50}--{BOUNDARY} ".encode() * 16_000
    async with app.async_client() as client:
        body = multipart(("file", "big", data))
        answer = (await client.post("/", content=body, headers=HEADERS)).json()
    assert answer["size"] == len(data) and answer["largest"] < 65_536


@pytest.mark.parametrize("at_once", [512, 3], ids=["whole", "short"])
@pytest.mark.parametrize("reserves", [True, False])
async def test_a_file_on_disk_is_what_was_sent(
    app: Flask, reserves: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def reserve(fd: int, offset: int, length: int) -> None:
        asked.append((offset, length))
        if not reserves:  # The file system cannot, or is full; then writing tells.
            raise OSError(errno.EOPNOTSUPP, "not supported")
        posix_fallocate(fd, offset, length)

    posix_fallocate, writev = os.posix_fallocate, os.writev
    monkeypatch.setattr(os, "posix_fallocate", reserve)
    # A system call may write less than it was asked to.
    monkeypatch.setattr(os, "writev", lambda fd, pieces: writev(fd, pieces[:at_once]))

    @app.post("/")
    async def sizes() -> Any:
        file = request.files["file"].stream
        on_disk = os.fstat(file.fileno()).st_size
        return {"sha": hashlib.sha256(file.read()).hexdigest(), "on disk": on_disk}

    data = os.urandom(5_400_000)
    body = multipart(("title", None, b"A title"), ("file", "a.bin", data))
    async with app.async_client() as client:
        answer = await client.post("/", content=chunked(body, 65_536), headers=HEADERS)
    assert answer.json() == {"sha": hashlib.sha256(data).hexdigest(), "on disk": len(data)}
    # Two visits of 2 MiB to a thread, each for what it writes, and a last one for the rest.
    assert [offset for offset, _ in asked] == [0, asked[0][1], asked[0][1] + asked[1][1]]
    assert sum(length for _, length in asked) == len(data)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"no multipart", HEADERS, 400),
        (multipart(("a", None, b"1"))[:-8], HEADERS, 400),
        (b"{}", {"Content-Type": "application/json"}, 400),
        (b"--x--", {"Content-Type": "multipart/form-data"}, 400),
        (multipart(*[("a", None, b"1")] * 11), HEADERS, 413),
        (multipart(("a", None, b"1" * 2001)), HEADERS, 413),
    ],
    ids=["garbage", "cut", "json", "no boundary", "too many", "too long"],
)
async def test_bad_parts_are_refused(
    app: Flask, body: bytes, headers: dict[str, str], status: int
) -> None:
    app.config.update(MAX_FORM_PARTS=10, MAX_FORM_MEMORY_SIZE=2000)

    @app.post("/", stream_body=True)
    async def read() -> Any:
        return [(await part.read()).decode() async for part in request.stream_parts()]

    async with app.async_client() as client:
        answer = await client.post("/", content=chunked(body, 50), headers=headers)
    assert answer.status_code == status


async def test_parts_without_stream_body_say_what_is_missing(app: Flask) -> None:
    app.testing = True

    @app.post("/")
    async def read() -> Any:
        return [part.name async for part in request.stream_parts()]

    @app.post("/for", stream_body=True)
    async def wrong_loop() -> Any:
        return [part.name for part in request.stream_parts()]

    body = multipart(("a", None, b"1"))
    async with app.async_client() as client:
        with pytest.raises(RuntimeError, match=r"comes too late.*stream_body=True"):
            await client.post("/", content=body, headers=HEADERS)
        with pytest.raises(RuntimeError, match=r"'async for part in request.stream_parts"):
            await client.post("/for", content=body, headers=HEADERS)


async def test_a_slow_upload_blocks_nobody(app: Flask) -> None:
    @app.post("/", stream_body=True)
    async def read() -> Any:
        return str(sum([len(piece) async for piece in request.stream]))

    @app.get("/")
    async def index() -> str:
        return "here"

    async with app.async_client() as client, anyio.create_task_group() as tasks:
        answers = []

        async def upload() -> None:
            body = slow(b"x" * 4096, delay=0.1)
            answers.append((await client.post("/", content=body)).text)

        tasks.start_soon(upload)
        with anyio.fail_after(0.3):
            assert (await client.get("/")).text == "here"
        assert not answers
    assert answers == ["4096"]


PIECES = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"--the-boundary", b"--the-bound", b"a"]),
    max_size=12,
).map(b"".join)


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@settings(
    max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=PIECES, sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_a_form_is_exact_however_its_body_is_cut(
    anyio_backend: str, data: bytes, sizes: list[int]
) -> None:
    assume(b"--the-boundary" not in data.replace(b"a--the-boundary", b""))
    app = Flask("cut", static_folder=None)

    @app.post("/", stream_body=True)
    async def parts() -> Any:
        return [(await part.read()).decode() async for part in request.stream_parts()]

    async def send() -> None:
        body = multipart(("a", "a.txt", data), ("b", None, data))
        async with app.async_client() as client:
            answer = await client.post("/", content=chunked(body, *sizes), headers=HEADERS)
        assert answer.json() == [data.decode()] * 2

    anyio.run(send)


# --- a body that is here as a whole ---------------------------------------------------------------

# fmt: off
AS_WRITTEN = [
    b'Content-Disposition: form-data; name="a"',
    b'Content-Disposition: form-data; name="a"; filename="\xc3\xa9 b.txt"\r\nContent-Type: a/b',
    b'content-disposition:form-data; name=a;filename="%22.txt"',
    b'Content-Disposition: form-data; name="a\\"b"; filename="C:\\\\d.txt"',
    b"X-Y:  z \r\nContent-Disposition: form-data; name*=utf-8''%C3%A9; name=e; filename=",
]
UNUSUAL = [
    b'Content-Disposition: form-data;\r\n name="a"', b' Content-Disposition: form-data; name="a"',
    b'X: y\nContent-Disposition: form-data; name="a"', b"X: y", b"",
    b'X: y\r\rContent-Disposition: form-data; name="a"', b'Content-Disposition: a; name="\xff"',
]
# fmt: on
ENDS = [b"--\r\n", b"--"]
OTHER_ENDS = [b"--\n", b"-- \r\n", b"--\r\nepilogue", b"\r\n", b"", b"-"]


def events_of(events: Iterable[Any]) -> Any:
    """What a decoder gives, its data joined; or the status of its error."""
    parts: list[Any] = []
    try:
        for event in events:
            if isinstance(event, sansio.Data):
                parts[-1][-1] += bytes(event.data)
            elif isinstance(event, (sansio.Field, sansio.File)):
                parts.append([type(event), {**vars(event), "headers": list(event.headers)}, b""])
    except HTTPException as error:
        return error.code
    return parts


def decoder(max_parts: int | None = None, boundary: str = BOUNDARY) -> PartsDecoder:
    environ = EnvironBuilder(method="POST").get_environ()
    kind = f"multipart/form-data; boundary={boundary}"
    request = Request(environ | {"CONTENT_TYPE": kind})
    request.max_form_parts = max_parts
    return PartsDecoder(request)


@settings(max_examples=400, deadline=None)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(AS_WRITTEN * 12 + UNUSUAL),
            st.sampled_from([b"\r\n\r\n"] * 40 + [b"\n\n", b"\r\n"]),
            st.binary(max_size=9) | st.sampled_from([b"\r\n--the-bound", b"\r"]) | PIECES,
            st.sampled_from([b"\r\n"] * 40 + [b"\n", b""]),
        ),
        max_size=5,
    ),
    end=st.sampled_from(ENDS * 9 + OTHER_ENDS),
    before=st.sampled_from([b""] * 20 + [b"\r\n", b"preamble\r\n", b"-"]),
    max_parts=st.sampled_from([None, 2]),
)
def test_the_short_way_reads_what_werkzeugs_decoder_does(
    parts: list[tuple[bytes, ...]], end: bytes, before: bytes, max_parts: int | None
) -> None:
    mark = b"--the-boundary"
    body = before + b"".join(mark + b"\r\n" + b"".join(part) for part in parts) + mark + end
    long = decoder(max_parts)
    told = events_of(event for read in (partial(long.feed, body), long.finish) for event in read())
    assert events_of(decoder(max_parts).decode(body)) == told


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("head", AS_WRITTEN)
def test_no_pattern_is_compiled_for_a_boundary(
    app: Flask, monkeypatch: pytest.MonkeyPatch, head: bytes, end: bytes
) -> None:
    """Each form has a boundary of its own, and that would take longer than all the rest."""

    @app.post("/")
    async def view() -> bytes:
        files = b"".join(file.read() for file in request.files.values())
        return files + "".join(request.form.values()).encode()

    monkeypatch.delattr(sansio, "MultipartDecoder")
    mark = b"--the-boundary"
    body = b"".join([mark, b"\r\n", head, b"\r\n\r\n", b"\r\n-", b"\r\n", mark, end])
    assert app.test_client().post("/", data=body, headers=HEADERS).data == b"\r\n-"


def test_a_boundary_may_be_as_long_as_clients_make_it(app: Flask) -> None:
    """RFC 2046 has 70 characters, but reqwest writes 71, and Werkzeug's client now and then 72."""

    @app.post("/")
    async def view() -> str:
        return f"{request.form['a']} {request.files['f'].read().decode()}"

    client = app.test_client()
    for size in (70, 71, 72, 256):
        boundary = "-" * (size - 16) + "0123456789abcdef"
        form = {"a": "1", "f": FileStorage(io.BytesIO(b"data"), "f")}
        stream, length, _ = stream_encode_multipart(form, boundary=boundary)
        kind = f"multipart/form-data; boundary={boundary}"
        answer = client.post("/", input_stream=stream, content_length=length, content_type=kind)
        assert (answer.status_code, answer.text) == (200, "1 data")


@pytest.mark.parametrize(
    ("boundary", "is_safe"),
    [
        ("----WebKitFormBoundary7MA4YWxkTrZu0gW", True),
        ("0f1e2d3c4b5a69788796a5b4c3d2e1f0", True),
        ("---------------WerkzeugFormPart_1796051234.56789018.123456789012345e-05", True),
        ("x" + "-" * 69, False),
        ("-" * 69 + "x", True),
        ("ab" * 35, False),
        ("x" + "-abc" * 63, False),
    ],
)
def test_a_boundary_that_repeats_itself_is_not_searched_from_behind(
    boundary: str, is_safe: bool
) -> None:
    """Which takes, unlike `find`, the product of both lengths where the data repeat it, too."""
    from_behind: list[bytes] = []

    class Piece(bytes):
        def rfind(self, *args: Any) -> int:
            from_behind.append(args[0])
            return super().rfind(*args)

    mark = b"--" + boundary.encode()
    head = mark + b'\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    data = boundary.encode()[:-1] * 1000
    parts = decoder(boundary=boundary)
    pieces = [head + data[:500], Piece(data[500:]), b"\r\n" + mark + b"--"]
    steps: list[Any] = [*(partial(parts.feed, piece) for piece in pieces), parts.finish]
    told = events_of(event for step in steps for event in step())
    whole = Piece(head + data + b"\r\n" + mark + b"--")
    assert told == events_of(decoder(boundary=boundary).decode(whole))
    assert (mark in from_behind) is is_safe
