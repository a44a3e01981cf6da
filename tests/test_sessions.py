"""Sessions: what the cookie holds, when it is sent, and what a wrong one is."""

from __future__ import annotations

import time
import typing as t
import zlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from itsdangerous import URLSafeTimedSerializer
from markupsafe import Markup
from werkzeug.http import dump_cookie, parse_date

import aioflask
from aioflask.sessions import (
    NullSession,
    SecureCookieSession,
    SecureCookieSessionInterface,
    SessionInterface,
    SessionMixin,
    session_json_serializer,
)

SECRET = "a long random value"
# What Flask 3.1.3 made with SECRET at 1700000000.
FLASK_COOKIES = [
    (
        {"id": 42, "who": "é", "at": (1, 2)},
        "eyJpZCI6NDIsIndobyI6Ilx1MDBlOSIsImF0Ijp7IiB0IjpbMSwyXX19.ZVPxAA"
        ".TqcQtWdwooys60SZJQi7kEOlKzA",
    ),
    (
        {"bio": "again and " * 30, "_permanent": True},
        ".eJyrVkrKzFeyUkpMT8zMU0jMS1EYZRFiKekoxRekFuUm5qXmlShZlRSVptYCAFEGcQI.ZVPxAA"
        ".zdMC591MroULnSjJGYZUzRB1i1A",
    ),
]


@pytest.fixture
def app() -> aioflask.Flask:
    app = aioflask.Flask(__name__)
    app.secret_key = SECRET

    @app.get("/set/<key>/<value>")
    def put(key: str, value: str) -> str:
        aioflask.session[key] = value
        return "set"

    @app.get("/get/<key>")
    def get(key: str) -> str:
        return str(aioflask.session.get(key, "nothing"))

    @app.get("/clear")
    def clear() -> str:
        aioflask.session.clear()
        return "cleared"

    @app.get("/permanent")
    def permanent() -> str:
        aioflask.session.permanent = True
        return "permanent"

    @app.get("/untouched")
    def untouched() -> str:
        return "untouched"

    return app


def interface_of(app: aioflask.Flask) -> SecureCookieSessionInterface:
    return t.cast(SecureCookieSessionInterface, app.session_interface)


def serializer_of(app: aioflask.Flask) -> URLSafeTimedSerializer:
    serializer = interface_of(app).get_signing_serializer(app)
    assert serializer is not None
    return serializer


def itsdangerous_of(app: aioflask.Flask) -> URLSafeTimedSerializer:
    """What Flask signs with, built from itsdangerous alone."""
    import hashlib

    return URLSafeTimedSerializer(
        t.cast(str, app.secret_key),
        salt="cookie-session",
        serializer=session_json_serializer,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha1},
    )


def opened(app: aioflask.Flask, cookie: str) -> SessionMixin:
    """The session that a request with this cookie has."""
    header = dump_cookie("session", cookie, max_size=0)
    with app.test_request_context(headers={"Cookie": header.partition(";")[0]}):
        return aioflask.session._get_current_object()  # type: ignore[attr-defined,no-any-return]


def test_value_survives_to_the_next_request(app: aioflask.Flask) -> None:
    client = app.test_client()
    client.get("/set/name/Ada")
    assert client.get("/get/name").text == "Ada"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"id": 42, "name": "é", "none": None, "half": 0.5, "yes": True},
        {"t": (1, 2), "b": b"\xff", "m": Markup("<b>"), "d": datetime(2026, 1, 2, tzinfo=UTC)},
        {"u": UUID(int=7), "nested": {" t": [1, {"x": (1,)}]}},
        {"long": "abc" * 500},
    ],
    ids=["empty", "plain", "tagged", "nested", "packed"],
)
def test_cookie_has_the_bytes_of_itsdangerous(
    app: aioflask.Flask, value: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.7)
    ours, theirs = serializer_of(app), itsdangerous_of(app)
    cookie = ours.dumps(value)
    assert cookie == theirs.dumps(value)
    assert ours.loads(cookie, max_age=60) == theirs.loads(cookie, max_age=60) == value
    assert ours.loads(cookie) == value
    loaded, made_at = ours.loads(cookie, max_age=60, return_timestamp=True)
    assert (loaded, made_at) == (value, datetime.fromtimestamp(1_700_000_000, UTC))
    assert ours.dumps(value, salt="x") == theirs.dumps(value, salt="x")
    assert ours.loads(ours.dumps(value, salt="x"), max_age=60, salt="x") == value


@pytest.mark.parametrize(("value", "cookie"), FLASK_COOKIES, ids=["plain", "packed"])
def test_cookie_has_the_bytes_of_flask(
    app: aioflask.Flask, value: dict[str, t.Any], cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000)
    assert serializer_of(app).dumps(value) == cookie
    assert dict(opened(app, cookie)) == value


def test_cookie_has_the_attributes_of_the_configuration(app: aioflask.Flask) -> None:
    app.config.update(
        SESSION_COOKIE_NAME="sid",
        SESSION_COOKIE_DOMAIN=".example.com",
        SESSION_COOKIE_PATH="/set",
        SESSION_COOKIE_HTTPONLY=False,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PARTITIONED=True,
    )
    cookie = (
        app.test_client().get("/set/a/1", base_url="http://www.example.com").headers["Set-Cookie"]
    )
    name, *attributes = cookie.split("; ")
    assert name.startswith("sid=eyJhIjoiMSJ9.")
    assert attributes == [
        "Domain=example.com",
        "Secure",
        "Path=/set",
        "SameSite=Lax",
        "Partitioned",
    ]


def test_path_falls_back_to_the_application_root(app: aioflask.Flask) -> None:
    app.config["APPLICATION_ROOT"] = "/under"
    cookie = app.test_client().get("/set/a/1").headers["Set-Cookie"]
    assert cookie.endswith("; HttpOnly; Path=/under")


def test_permanent_session_has_a_date_and_is_renewed(app: aioflask.Flask) -> None:
    client = app.test_client()
    app.permanent_session_lifetime = timedelta(hours=2)
    cookie = client.get("/permanent").headers["Set-Cookie"]
    expires = parse_date(cookie.partition("Expires=")[2].partition(";")[0])
    assert expires is not None
    assert abs(expires - datetime.now(UTC) - timedelta(hours=2)) < timedelta(seconds=5)
    renewed = client.get("/untouched")
    assert "Expires=" in renewed.headers["Set-Cookie"]
    assert renewed.headers["Vary"] == "Cookie"
    app.config["SESSION_REFRESH_EACH_REQUEST"] = False
    assert "Set-Cookie" not in client.get("/untouched").headers


def test_untouched_session_leaves_the_response_alone(app: aioflask.Flask) -> None:
    client = app.test_client()
    client.get("/set/a/1")
    response = client.get("/untouched")
    assert "Set-Cookie" not in response.headers
    assert "Vary" not in response.headers


def test_read_session_varies_on_the_cookie(app: aioflask.Flask) -> None:
    response = app.test_client().get("/get/a")
    assert response.headers["Vary"] == "Cookie"
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("vary", "expected"),
    [("Accept-Encoding, Accept", "Accept-Encoding, Accept, Cookie"), ("cookie", "cookie")],
)
def test_vary_keeps_what_the_view_put_there(app: aioflask.Flask, vary: str, expected: str) -> None:
    @app.get("/vary")
    def view() -> tuple[str, dict[str, str]]:
        aioflask.session["a"] = 1
        return "vary", {"Vary": vary}

    assert app.test_client().get("/vary").headers.getlist("Vary") == [expected]


def test_emptied_session_deletes_the_cookie(app: aioflask.Flask) -> None:
    client = app.test_client()
    app.config["SESSION_COOKIE_SAMESITE"] = "Strict"
    client.get("/set/a/1")
    response = client.get("/clear")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0;")
    assert cookie.endswith("HttpOnly; Path=/; SameSite=Strict")
    assert response.headers["Vary"] == "Cookie"
    assert client.get("/get/a").text == "nothing"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.__setitem__("b", 2),
        lambda s: s.__delitem__("a"),
        lambda s: s.pop("a"),
        lambda s: s.popitem(),
        lambda s: s.clear(),
        lambda s: s.update(b=2),
        lambda s: s.setdefault("b", 2),
        lambda s: s.__ior__({"b": 2}),
    ],
    ids=["set", "del", "pop", "popitem", "clear", "update", "setdefault", "ior"],
)
def test_every_change_is_noticed(change: t.Callable[[t.Any], t.Any]) -> None:
    session = SecureCookieSession({"a": 1})
    assert not session.modified
    change(session)
    assert session.modified


def test_reading_is_no_change() -> None:
    session = SecureCookieSession({"a": 1})
    assert session["a"] == 1
    assert session.get("b") is None
    assert session.setdefault("a", 2) == 1
    assert session.pop("b", None) is None
    assert not (session.modified or session.accessed or session.new or session.permanent)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.__setitem__("b", 2),
        lambda s: s.pop("a"),
        lambda s: s.clear(),
        lambda s: s.update(b=2),
        lambda s: s.setdefault("b", 2),
        lambda s: setattr(s, "permanent", True),
    ],
    ids=["set", "pop", "clear", "update", "setdefault", "permanent"],
)
def test_without_a_secret_key_reading_is_empty_and_writing_tells_why(
    change: t.Callable[[t.Any], t.Any],
) -> None:
    with aioflask.Flask(__name__).test_request_context():
        assert isinstance(aioflask.session._get_current_object(), NullSession)  # type: ignore[attr-defined]
        assert aioflask.session.get("a") is None
        with pytest.raises(RuntimeError, match="session is unavailable because no secret"):
            change(aioflask.session)


def bomb(app: aioflask.Flask) -> str:
    signer = itsdangerous_of(app).make_signer()
    from base64 import urlsafe_b64encode

    packed = zlib.compress(b'{"a":1' + b" " * 8 * 1024 * 1024 + b"}", 9)
    return signer.sign(b"." + urlsafe_b64encode(packed).rstrip(b"=")).decode()


def signed(payload: bytes) -> t.Callable[[aioflask.Flask], str]:
    return lambda app: itsdangerous_of(app).make_signer().sign(payload).decode()


def signed_at(stamp: bytes) -> t.Callable[[aioflask.Flask], str]:
    def cookie(app: aioflask.Flask) -> str:
        from itsdangerous import Signer

        signer = t.cast(t.Any, itsdangerous_of(app).make_signer())
        return Signer.sign(signer, b"eyJhIjoxfQ" + stamp).decode()

    return cookie


FORGED = [
    ("no signature", lambda app: "eyJhIjoxfQ"),
    ("a wrong signature", lambda app: itsdangerous_of(app).dumps({"a": 1})[:-3] + "abc"),
    ("a changed payload", lambda app: "x" + itsdangerous_of(app).dumps({"a": 1})),
    ("another salt", lambda app: itsdangerous_of(app).dumps({"a": 1}, salt="x")),
    ("dots", lambda app: "..."),
    ("not ASCII", lambda app: "é\u2028.é.é"),
    ("NUL bytes", lambda app: "\0.\0.\0"),
]
GARBAGE = [
    ("no JSON", signed(b"bm90IGpzb24")),
    ("no base64", signed(b"a")),
    ("no zlib", signed(b".bm90IGpzb24")),
    ("cut off zlib", signed(b".eJy")),
    ("a string", lambda app: itsdangerous_of(app).dumps("text")),
    ("a number", lambda app: itsdangerous_of(app).dumps(42)),
    ("null", lambda app: itsdangerous_of(app).dumps(None)),
    ("a list of strings", lambda app: itsdangerous_of(app).dumps(["ab", "cd"])),
    (
        "a bad tag",
        lambda app: itsdangerous_of(app).dumps({"a": 1}) and signed(b"eyIgdSI6IngifQ")(app),
    ),
    ("deep nesting", signed(b"W1tb" * 30_000)),
    ("no timestamp", signed_at(b"")),
    ("a timestamp from the future", signed_at(b".f____w")),
    ("a timestamp of no year", signed_at(b"." + b"_" * 40)),
    ("a bomb", bomb),
]


@pytest.mark.parametrize(
    "make", [make for _, make in FORGED + GARBAGE], ids=[name for name, _ in FORGED + GARBAGE]
)
def test_a_wrong_cookie_is_an_empty_session(
    app: aioflask.Flask, make: t.Callable[[aioflask.Flask], str]
) -> None:
    session = opened(app, make(app))
    assert type(session) is SecureCookieSession
    assert dict(session) == {}
    assert not session.modified


def test_a_forged_payload_is_never_unpacked(
    app: aioflask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*args: t.Any) -> t.NoReturn:
        raise AssertionError("unpacked before it was verified")

    cookie = serializer_of(app).dumps({"a": "b" * 100})
    assert cookie.startswith(".")
    for name in ("decompress", "decompressobj"):
        monkeypatch.setattr(zlib, name, unpack)
    assert dict(opened(app, cookie[:-2])) == {}


def test_a_large_session_that_fits_a_cookie_is_read(app: aioflask.Flask) -> None:
    value = {"a": "x" * 1_000_000}
    assert dict(opened(app, serializer_of(app).dumps(value))) == value


def test_an_old_cookie_is_an_empty_session(
    app: aioflask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = serializer_of(app).dumps({"a": 1})
    assert dict(opened(app, cookie)) == {"a": 1}
    app.permanent_session_lifetime = timedelta(seconds=100)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 99)
    assert dict(opened(app, cookie)) == {"a": 1}
    monkeypatch.setattr(time, "time", lambda: now + 102)
    assert dict(opened(app, cookie)) == {}


def test_keys_can_be_rotated(app: aioflask.Flask) -> None:
    client = app.test_client()
    client.get("/set/a/1")
    app.secret_key = "new"
    assert client.get("/get/a").text == "nothing"
    app.config["SECRET_KEY_FALLBACKS"] = ["older", SECRET]
    assert client.get("/get/a").text == "1"
    app.config["SECRET_KEY_FALLBACKS"].remove(SECRET)
    assert client.get("/get/a").text == "nothing"
    app.config["SECRET_KEY_FALLBACKS"].append(SECRET)
    client.get("/set/b/2")
    app.config["SECRET_KEY_FALLBACKS"] = None
    assert client.get("/get/a").text == "1"  # The cookie was signed anew with the new key.


@pytest.mark.parametrize("secret", ["text", b"bytes"])
def test_secret_key_is_text_or_bytes(app: aioflask.Flask, secret: str | bytes) -> None:
    app.secret_key = secret
    assert serializer_of(app).dumps({}).startswith("e30.")


def test_digest_salt_derivation_and_serializer_can_be_chosen(app: aioflask.Flask) -> None:
    import hashlib
    import json

    class Own(SecureCookieSessionInterface):
        salt = "own"
        digest_method = staticmethod(hashlib.sha256)
        key_derivation = "concat"
        serializer = json

    app.session_interface = Own()
    kwargs = {"key_derivation": "concat", "digest_method": hashlib.sha256}
    theirs = URLSafeTimedSerializer(SECRET, salt="own", serializer=json, signer_kwargs=kwargs)
    client = app.test_client()
    client.get("/set/a/1")
    assert client.get("/get/a").text == "1"
    cookie = client.get_cookie("session")
    assert cookie is not None
    assert theirs.loads(cookie.value) == {"a": "1"}


def test_overridden_get_signing_serializer_is_asked(app: aioflask.Flask) -> None:
    asked = []

    class Own(SecureCookieSessionInterface):
        def get_signing_serializer(self, app: aioflask.Flask) -> URLSafeTimedSerializer | None:
            asked.append(app)
            return URLSafeTimedSerializer("own")

    app.session_interface = Own()
    client = app.test_client()
    client.get("/set/a/1")
    assert asked
    assert client.get("/get/a").text == "1"
    cookie = client.get_cookie("session")
    assert cookie is not None
    assert URLSafeTimedSerializer("own").loads(cookie.value) == {"a": "1"}


def test_a_cookie_too_large_for_browsers_warns(app: aioflask.Flask) -> None:
    @app.get("/large")
    def large() -> str:
        import random

        aioflask.session["a"] = random.Random(1).randbytes(4000)
        return "large"

    with pytest.warns(UserWarning, match="'session' cookie is too large"):
        response = app.test_client().get("/large")
    assert len(response.headers["Set-Cookie"]) > 4093


def test_a_null_session_is_not_saved() -> None:
    saved = []

    class Own(SessionInterface):
        def open_session(self, app: aioflask.Flask, request: aioflask.Request) -> None:
            return None

        def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:
            saved.append(session)

    app = aioflask.Flask(__name__)
    app.session_interface = Own()
    app.add_url_rule("/", view_func=lambda: str(dict(aioflask.session)), endpoint="index")
    assert app.test_client().get("/").text == "{}"
    assert saved == []


class Renamed(SecureCookieSessionInterface):
    def get_cookie_name(self, app: aioflask.Flask) -> str:
        return "own"


class Eager(SecureCookieSessionInterface):
    def should_set_cookie(self, app: aioflask.Flask, session: SessionMixin) -> bool:
        return True


class ModifiedFromTheStart(SecureCookieSession):
    def __init__(self, initial: t.Any = None) -> None:
        super().__init__(initial)
        self.modified = True


class Starting(SecureCookieSessionInterface):
    session_class = ModifiedFromTheStart


COLOURS = pytest.mark.parametrize("path", ["/untouched", "/untouched-async"])


@pytest.fixture
def both(app: aioflask.Flask) -> aioflask.Flask:
    """The app, with a view of the other colour that leaves the session alone."""

    @app.get("/untouched-async")
    async def untouched_async() -> str:
        return "untouched"

    return app


@COLOURS
def test_a_permanent_session_under_a_name_of_the_interface_is_renewed(
    both: aioflask.Flask, path: str
) -> None:
    both.session_interface = Renamed()
    client = both.test_client()
    assert client.get("/permanent").headers["Set-Cookie"].startswith("own=")
    renewed = client.get(path).headers
    assert renewed["Set-Cookie"].startswith("own=") and renewed["Vary"] == "Cookie"
    both.config["SESSION_REFRESH_EACH_REQUEST"] = False
    assert "Set-Cookie" not in client.get(path).headers


@COLOURS
def test_an_interface_may_set_the_cookie_at_every_request(both: aioflask.Flask, path: str) -> None:
    both.session_interface = Eager()
    both.config["SESSION_REFRESH_EACH_REQUEST"] = False
    client = both.test_client()
    assert "Set-Cookie" not in client.get(path).headers  # It is empty, and was before.
    client.get("/set/a/1")
    assert "Set-Cookie" in client.get(path).headers


@COLOURS
@pytest.mark.parametrize("on_the_instance", [False, True])
def test_a_session_that_is_modified_from_the_start_is_saved(
    both: aioflask.Flask, path: str, on_the_instance: bool
) -> None:
    if on_the_instance:
        both.session_interface = SecureCookieSessionInterface()
        interface_of(both).session_class = ModifiedFromTheStart
    else:
        both.session_interface = Starting()
    client = both.test_client()
    assert client.get(path).headers["Set-Cookie"].startswith("session=;")
    client.get("/set/a/1")
    assert client.get(path).headers["Set-Cookie"].startswith("session=ey")


@COLOURS
def test_stand_ins_of_the_interface_are_made_for_every_request(
    both: aioflask.Flask, path: str
) -> None:
    made: list[t.Any] = []

    class Own(NullSession):
        pass

    class Interface(SecureCookieSessionInterface):
        null_session_class = Own

        def make_null_session(self, app: aioflask.Flask) -> NullSession:
            made.append(super().make_null_session(app))
            return t.cast(NullSession, made[-1])

        def is_null_session(self, obj: object) -> bool:
            made.append(obj)
            return super().is_null_session(obj)

    both.session_interface = Interface()
    both.secret_key = None
    both.test_client().get(path)
    assert [type(each) for each in made] == [Own, Own]
    assert made[0] is made[1]


def test_an_interface_without_open_session_says_so() -> None:
    app = aioflask.Flask(__name__)
    with pytest.raises(NotImplementedError):
        SessionInterface().open_session(app, t.cast(t.Any, None))
    with pytest.raises(NotImplementedError):
        SessionInterface().save_session(app, SecureCookieSession(), t.cast(t.Any, None))
    assert SessionInterface.pickle_based is False


# --- ours alone --------------------------------------------------------------------------------


def test_async_signing_serializer_is_made_once(app: aioflask.Flask) -> None:
    app.session_interface = SecureCookieSessionInterface()  # The class has one for all.
    first = serializer_of(app)
    assert serializer_of(app) is first
    app.secret_key = "new"
    second = serializer_of(app)
    assert second is not first
    app.config["SECRET_KEY_FALLBACKS"] = [SECRET]
    assert serializer_of(app) is not second
    interface_of(app).salt = "own"
    assert serializer_of(app).salt == b"own"


def test_async_view_has_the_session(app: aioflask.Flask) -> None:
    @app.get("/count")
    async def count() -> str:
        aioflask.session["n"] = aioflask.session.get("n", 0) + 1
        return str(aioflask.session["n"])

    client = app.test_client()
    assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]
