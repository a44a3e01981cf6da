"""Sessions: a dict of the user's own that is signed into a cookie.

The cookie's bytes are Flask's, so both read each other's sessions. Follows
https://flask.palletsprojects.com/en/stable/api/#session-interface.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import typing as t
import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Awaitable, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter

from itsdangerous import BadData, BadPayload, URLSafeTimedSerializer
from itsdangerous.url_safe import URLSafeSerializerMixin
from werkzeug.datastructures import CallbackDict, Headers, ImmutableMultiDict
from werkzeug.datastructures.mixins import UpdateDictMixin
from werkzeug.http import dump_cookie

from .json.provider import _http_date
from .json.tag import TaggedJSONSerializer
from .wrappers import Response

if t.TYPE_CHECKING:
    from .app import Flask
    from .wrappers import Request


class SessionMixin(MutableMapping[str, t.Any]):
    """What a session has beyond a dict; mix it into one to make a session of your own."""

    #: Whether the session is known to be new. An interface that cannot tell leaves it False.
    new: bool = False
    #: Whether there is something to save. An interface that cannot tell leaves it True.
    modified: bool = True
    #: Whether the request has looked at the session; set by the context, adds ``Vary: Cookie``.
    accessed: bool = False

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser, for ``PERMANENT_SESSION_LIFETIME``."""
        return self.get("_permanent", False)  # type: ignore[no-any-return]

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self["_permanent"] = bool(value)


def _mark_modified(session: SecureCookieSession) -> None:
    session.modified = True


class SecureCookieSession(CallbackDict[str, t.Any], SessionMixin):
    """The session that lives in a signed cookie: everyone can read it, only the app can write it.

    A change of the session itself is noticed; after changing a list or dict inside it, set
    ``session.modified = True``.
    """

    modified: bool = False

    def __init__(self, initial: Mapping[str, t.Any] | None = None) -> None:
        # PERF: CallbackDict's own methods, for two calls of a request, would be five calls more.
        super(CallbackDict, self).__init__(() if initial is None else initial)
        self.on_update: t.Callable[[t.Any], None] | None = _mark_modified

    def __setitem__(self, key: str, value: t.Any) -> None:
        if self.on_update is _mark_modified:
            super(UpdateDictMixin, self).__setitem__(key, value)
            self.modified = True
        else:
            super().__setitem__(key, value)


class NullSession(SecureCookieSession):
    """The session of an app without a secret key: empty to readers, and writers are told why."""

    def _fail(self, *args: t.Any, **kwargs: t.Any) -> t.NoReturn:
        raise RuntimeError(
            "The session is unavailable because no secret key was set: nothing could sign what was"
            " written to it. Set app.secret_key to a long random value, such as what this prints:"
            " python -c 'import secrets; print(secrets.token_hex())'"
        )

    if not t.TYPE_CHECKING:  # For type checkers they stay a dict's.
        __setitem__ = __delitem__ = clear = pop = popitem = _fail
        update = setdefault = __ior__ = _fail
    del _fail


class SessionInterface:
    """How sessions are opened and saved; subclass it and assign ``app.session_interface``.

    :meth:`open_session` and :meth:`save_session` are yours to write, as plain functions or as
    ``async def``; what they call has defaults. Requests of one user may run at the same time.
    """

    null_session_class = NullSession
    #: Whether sessions are pickled, for extensions that store objects in them.
    pickle_based = False

    def make_null_session(self, app: Flask) -> NullSession:
        """The session of a request for which :meth:`open_session` returned None."""
        return self.null_session_class()

    def is_null_session(self, obj: object) -> bool:
        """Whether ``obj`` is such a stand-in; those are not saved."""
        null = self.null_session_class
        # PERF: isinstance() of a MutableMapping asks Python's ABCs (1 us).
        if null is NullSession and type(obj) is SecureCookieSession:
            return False
        return isinstance(obj, null)

    def get_cookie_name(self, app: Flask) -> str:
        """The cookie's name: ``SESSION_COOKIE_NAME``."""
        return app.config["SESSION_COOKIE_NAME"]  # type: ignore[no-any-return]

    def get_cookie_domain(self, app: Flask) -> str | None:
        """The cookie's ``Domain``: ``SESSION_COOKIE_DOMAIN``; None is the exact host."""
        return app.config["SESSION_COOKIE_DOMAIN"]  # type: ignore[no-any-return]

    def get_cookie_path(self, app: Flask) -> str:
        """The cookie's ``Path``: ``SESSION_COOKIE_PATH``, or else ``APPLICATION_ROOT``."""
        return app.config["SESSION_COOKIE_PATH"] or app.config["APPLICATION_ROOT"]  # type: ignore[no-any-return]

    def get_cookie_httponly(self, app: Flask) -> bool:
        """Whether scripts are kept from the cookie: ``SESSION_COOKIE_HTTPONLY``."""
        return app.config["SESSION_COOKIE_HTTPONLY"]  # type: ignore[no-any-return]

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the cookie travels over HTTPS alone: ``SESSION_COOKIE_SECURE``."""
        return app.config["SESSION_COOKIE_SECURE"]  # type: ignore[no-any-return]

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """``"Strict"``, ``"Lax"``, ``"None"`` or None: ``SESSION_COOKIE_SAMESITE``."""
        return app.config["SESSION_COOKIE_SAMESITE"]  # type: ignore[no-any-return]

    def get_cookie_partitioned(self, app: Flask) -> bool:
        """Whether each embedding site has a cookie of its own: ``SESSION_COOKIE_PARTITIONED``."""
        return app.config["SESSION_COOKIE_PARTITIONED"]  # type: ignore[no-any-return]

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        """When the cookie expires (aware, UTC); None is when the browser closes."""
        if session.permanent:
            return datetime.now(UTC) + app.permanent_session_lifetime
        return None

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        """Whether the response carries the cookie: after a change, or to renew a permanent one."""
        return session.modified or (
            session.permanent and app.config["SESSION_REFRESH_EACH_REQUEST"]
        )

    def open_session(
        self, app: Flask, request: Request
    ) -> SessionMixin | Awaitable[SessionMixin | None] | None:
        """Load the session of a request; None means that sessions are not available."""
        raise NotImplementedError(f"{type(self).__name__} has no open_session(...) yet.")

    def save_session(
        self, app: Flask, session: SessionMixin, response: Response
    ) -> Awaitable[None] | None:
        """Store the session and put its cookie on the response."""
        raise NotImplementedError(f"{type(self).__name__} has no save_session(...) yet.")


session_json_serializer: TaggedJSONSerializer = TaggedJSONSerializer()


def _lazy_sha1(string: bytes = b"") -> t.Any:
    # Builds for FIPS have no SHA-1; an app may then choose another digest before this is called.
    return hashlib.sha1(string)


# PERF: the base64 module's four Python calls per value; binascii and translate() are C.
_to_url, _from_url = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")


class _Serializer(URLSafeTimedSerializer):
    """Itsdangerous's serializer: the same bytes and errors, with bounds on what it unpacks.

    PERF: :meth:`dumps` and :meth:`loads` are spelled out for the default algorithms with keys
    derived once (7 us instead of 25). All else, and whatever is wrong, is itsdangerous's.
    """

    # A cookie that a browser keeps (4 KiB) cannot unpack to more: zlib packs at most 1,032 to 1.
    max_unpacked = 4 * 1024 * 1024

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        signer = self.make_signer()
        usual = signer.digest_method is _lazy_sha1 and self.is_text_serializer
        keys = self.secret_keys[::-1] if usual else ()
        #: Newest first.
        self.derived = [signer.derive_key(key) for key in keys]

    def dumps(self, obj: t.Any, salt: str | bytes | None = None) -> str:
        if salt is not None or not self.derived:
            return super().dumps(obj, salt)
        data = self.serializer.dumps(obj).encode()
        mark, payload = b"", data
        if len(data) > 12:  # Zlib makes nothing shorter of less, and takes up to 50 us for it.
            packed = zlib.compress(data)
            if len(packed) < len(data) - 1:
                mark, payload = b".", packed
        now = int(time.time())
        stamp = now.to_bytes((now.bit_length() + 7) // 8, "big")
        parts = b2a_base64(payload, newline=False), b2a_base64(stamp, newline=False)
        signed = b"%s%s.%s" % (mark, parts[0].rstrip(b"="), parts[1].rstrip(b"="))
        signed = signed.translate(_to_url)
        digest = hmac.digest(self.derived[0], signed, "sha1")
        signature = b2a_base64(digest, newline=False).translate(_to_url).rstrip(b"=")
        return (signed + b"." + signature).decode()

    def loads(  # type: ignore[override]
        self, s: str | bytes, max_age: int | None = None, return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> t.Any:  # fmt: skip
        if max_age is not None and not return_timestamp and salt is None:
            signed, _, signature = (s.encode() if isinstance(s, str) else s).rpartition(b".")
            for key in self.derived:
                right = b2a_base64(hmac.digest(key, signed, "sha1"), newline=False)
                if hmac.compare_digest(right.translate(_to_url).rstrip(b"="), signature):
                    payload, dot, stamp = signed.rpartition(b".")
                    if dot and len(stamp) == 6:  # Four bytes, until the year 2106.
                        then = a2b_base64(stamp.translate(_from_url) + b"==")
                        if 0 <= int(time.time()) - int.from_bytes(then, "big") <= max_age:
                            return self.load_payload(payload)
        return super().loads(s, max_age, return_timestamp, salt)

    def load_payload(self, payload: bytes, *args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            text = payload.removeprefix(b".").translate(_from_url)
            data = a2b_base64(text + b"=" * (-len(text) % 4))
            if payload.startswith(b"."):
                unpacker = zlib.decompressobj()
                data = unpacker.decompress(data, self.max_unpacked)
                if not unpacker.eof:
                    raise ValueError(f"It is cut off, or above {self.max_unpacked} bytes.")
        except (ValueError, zlib.error) as error:
            raise BadPayload("The payload cannot be unpacked.", original_error=error) from error
        if args or kwargs or not self.derived:
            return super(URLSafeSerializerMixin, self).load_payload(data, *args, **kwargs)
        try:
            return self.serializer.loads(data.decode())
        except Exception as error:  # as itsdangerous has it, whatever a serializer may raise
            raise BadPayload("The payload cannot be read.", original_error=error) from error


def _vary_on_cookie(response: Response) -> None:
    # PERF: `response.vary` parses, and makes a HeaderSet that writes back: 20 calls.
    headers = response.headers
    if type(headers).add is Headers.add:
        for name, _ in headers._list:
            if name.lower() == "vary":
                break
        else:
            headers._list.append(("Vary", "Cookie"))
            return
    response.vary.add("Cookie")


# PERF: of Flask itself, not of a subclass, it is known which settings its properties read.
_FLASK = f"{__package__}.app"

# What the cookie looks like without an override: settings that are read, methods that read them.
_settings = itemgetter(
    "SESSION_COOKIE_NAME", "SESSION_COOKIE_DOMAIN", "SESSION_COOKIE_PATH", "APPLICATION_ROOT",
    "SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "SESSION_COOKIE_SAMESITE",
    "SESSION_COOKIE_PARTITIONED",
)  # fmt: skip
_GETTERS = frozenset(
    "get_cookie_name get_cookie_domain get_cookie_path get_cookie_secure get_cookie_httponly"
    " get_cookie_samesite get_cookie_partitioned get_expiration_time".split()
)
_getters_of = attrgetter(*_GETTERS)
_OUR_GETTERS = _getters_of(SessionInterface)


class SecureCookieSessionInterface(SessionInterface):
    """The default: sessions in cookies signed by itsdangerous.

    Subclass it to change the salt, the digest, the key derivation or the serializer (an object
    with ``dumps`` and ``loads``). A cookie that is not wholly right is an empty session.
    """

    salt = "cookie-session"
    digest_method: t.Any = staticmethod(_lazy_sha1)
    key_derivation = "hmac"
    #: JSON with tags for tuples, bytes, dates, UUIDs and Markup.
    serializer: t.Any = session_json_serializer
    session_class = SecureCookieSession
    _signing: tuple[t.Any, URLSafeTimedSerializer] | None = None
    #: The settings, and the cookie that they make: to the value, after it, after it with a date.
    _made: tuple[t.Any, str, str, str] = (None, "", "", "")

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """What signs and verifies cookies, or None without a secret key.

        ``SECRET_KEY_FALLBACKS`` (older keys) verify; only ``SECRET_KEY`` signs.
        """
        plain = type(app).__module__ == _FLASK
        secret_key = app.config["SECRET_KEY"] if plain else app.secret_key
        if not secret_key:
            return None
        keys = (*(app.config["SECRET_KEY_FALLBACKS"] or ()), secret_key)
        made_of = (keys, self.salt, self.serializer, self.key_derivation, self.digest_method)
        signing = self._signing
        # PERF: made anew, with its keys, it would cost 10 us twice a request.
        if signing is None or signing[0] != made_of:
            signer = {"key_derivation": self.key_derivation, "digest_method": self.digest_method}
            made = _Serializer(
                list(keys), salt=self.salt, serializer=self.serializer, signer_kwargs=signer
            )
            signing = self._signing = (made_of, made)
        return signing[1]

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the session from its cookie."""
        signing = self.get_signing_serializer(app)
        if signing is None:
            return None
        cookies, name = request.cookies, self.get_cookie_name(app)
        if type(cookies) is ImmutableMultiDict:  # PERF: its get() is two calls.
            values: t.Any = dict.get(cookies, name)
            cookie = values[0] if values else None
        else:
            cookie = cookies.get(name)
        if not cookie:
            return self.session_class()
        lifetime = app.config["PERMANENT_SESSION_LIFETIME"]
        if type(lifetime) is not timedelta or type(app).__module__ != _FLASK:
            lifetime = app.permanent_session_lifetime
        try:
            data = signing.loads(cookie, max_age=int(lifetime.total_seconds()))
        except (BadData, ValueError, OverflowError, OSError):  # The last three: an absurd date.
            return self.session_class()
        if type(data) is dict or isinstance(data, Mapping):
            return self.session_class(data)
        return self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Put the cookie on the response, remove it once the session was emptied, or do nothing."""
        if session.accessed:
            _vary_on_cookie(response)
        if not (session.modified if not session else self.should_set_cookie(app, session)):
            return
        if not session.accessed:
            _vary_on_cookie(response)
        if not session:
            response.delete_cookie(self.get_cookie_name(app), **self._attributes(app))
            return
        signing = self.get_signing_serializer(app)
        value = signing.dumps(dict(session))  # type: ignore[union-attr]
        # Of ours it is known that the value needs no quotes.
        ours = type(signing) is _Serializer and signing.derived
        if not (ours and self._add_cookie(app, session, response, value)):
            expires = self.get_expiration_time(app, session)
            name, attributes = self.get_cookie_name(app), self._attributes(app)
            response.set_cookie(name, value, expires=expires, **attributes)

    def _attributes(self, app: Flask) -> dict[str, t.Any]:
        return {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
            "partitioned": self.get_cookie_partitioned(app),
        }

    def _add_cookie(
        self, app: Flask, session: SessionMixin, response: Response, value: str
    ) -> bool:
        """Do what ``response.set_cookie()`` does; False where that has to be asked itself.

        PERF: all but the value and the date follows from the configuration, so it is made once
        (1 us and a call or two, instead of 8 us and 14 calls). A method that is replaced, in a
        subclass or on the spot, is called as ever.
        """
        headers = response.headers
        if (
            type(headers).add is not Headers.add
            or type(response).set_cookie is not Response.set_cookie
            or _getters_of(type(self)) != _OUR_GETTERS
            or not _GETTERS.isdisjoint(self.__dict__)
        ):
            return False
        settings = _settings(app.config)
        made = self._made
        if made[0] != settings:
            name, attributes = self.get_cookie_name(app), self._attributes(app)
            text = dump_cookie(name, "", max_size=0, **attributes)
            Headers().add("Set-Cookie", text)  # ValueError: a line break in a setting
            dated = dump_cookie(name, "", expires="\0", max_size=0, **attributes)
            start = len(name.encode()) + 1
            made = self._made = (settings, text[:start], text[start:], dated[start:])
        if type(session) is SecureCookieSession and "_permanent" not in session:
            rest = made[2]
        else:
            expires = self.get_expiration_time(app, session)
            rest = made[3].replace("\0", _http_date(expires)) if expires else made[2]
        cookie = f"{made[1]}{value}{rest}"
        if type(response).max_cookie_size is Response.max_cookie_size:  # PERF: what it reads
            limit = app.config["MAX_COOKIE_SIZE"]
        else:
            limit = response.max_cookie_size
        if 0 < limit < len(cookie):
            return False  # It warns.
        headers._list.append(("Set-Cookie", cookie))
        return True
