"""What a scenario works with: an app that is watched, and the log of what its functions see.

Everything here runs on Flask, to be recorded, and on aioflask, to be compared. So it imports the
standard library and Werkzeug alone, and is handed the module called `flask`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import logging
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import werkzeug.test
from werkzeug.exceptions import HTTPException

Entry = dict[str, Any]
Log = list[Entry]
Steps = Generator[Any, Any, Any]
F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound="Callable[[Scene], None]")

HOOKS = "url_value_preprocessor before_request after_request teardown_request".split()
APP_HOOKS = (
    "app_url_value_preprocessor before_app_request after_app_request teardown_app_request".split()
)
NAME = "flows"
SIGNALS_OF_A_REQUEST = """
request_started got_request_exception request_finished request_tearing_down appcontext_tearing_down
""".split()
"""Their receivers may have either colour; the others are sent within plain calls."""
SIGNALS = (
    """
appcontext_pushed appcontext_popped before_render_template template_rendered message_flashed
""".split()
    + SIGNALS_OF_A_REQUEST
)


class Broken(Exception):
    """What an app of a scenario raises."""


class VeryBroken(Broken):
    """A kind of it."""


class Leaves(BaseException):
    """What nothing but teardown functions may see."""


class Reply(NamedTuple):
    """What a request was answered with."""

    status: int
    headers: Iterable[tuple[str, str]]
    body: bytes


def finish(steps: Steps) -> Any:
    """Run a function that yields what its async form awaits, in its plain form."""
    value = None
    while True:
        try:
            value = steps.send(value)
        except StopIteration as stop:
            return stop.value


async def finish_async(steps: Steps) -> Any:
    """Run such a function in its async form."""
    step, value = steps.send, None
    while True:
        try:
            value = step(value)
        except StopIteration as stop:
            return stop.value
        step = steps.send
        if inspect.isawaitable(value):
            try:
                value = await value
            except BaseException as error:
                step, value = steps.throw, error


def described(error: BaseException | None) -> Any:
    """An exception in words that do not depend on who words its message."""
    if error is None:
        return None
    # A package may raise exceptions of its own that derive from Werkzeug's.
    kind = next(kind for kind in type(error).__mro__ if not kind.__module__.startswith("aioflask"))
    words = [kind.__name__]
    if isinstance(error, HTTPException):
        words.append(str(error.code))
        original = getattr(error, "original_exception", None)
        if original is not None:
            words.append(f"of {described(original)}")
    elif isinstance(error, (Broken, Leaves)):
        words += error.args
    return " ".join(words)


def described_kind(error: Exception) -> str:
    """The class whose `except` clause takes an exception."""
    return "RuntimeError" if isinstance(error, RuntimeError) else type(error).__name__


@dataclass(kw_only=True)
class Scene:
    """An app, the colours of its functions, and a log of what they see.

    A function of a scenario is written once, as a plain one. `view` and `hook` paint it in the
    colours that are tried; `view_here` and `hook_here` do for what Flask itself only calls plainly.
    One that calls what its async form has to await is written as a generator that yields it.
    """

    flask: Any
    folder: Path
    pause: Callable[[], Awaitable[Any]]
    """Lets the event loop do something else."""
    view_colour: str = "def"
    hook_colour: str = "def"
    only_as_flask: bool = False
    """Whether what Flask only calls plainly stays plain: it is Flask."""
    sees_handled: bool = False
    """Whether every entry says what `sys.exc_info()` does; else those of error handlers do."""
    app: Any = None
    log: Log = field(default_factory=list)
    cookies: dict[str, str] = field(default_factory=dict)
    listening: list[tuple[Any, Any, Any]] = field(default_factory=list)

    # --- the app

    def make(self, kind: Any = None, **options: Any) -> Any:
        """Begin with an app, of another class than Flask's if one is given."""
        options = {"root_path": str(self.folder), "static_folder": None, **options}
        self.app = (kind or self.flask.Flask)(NAME, **options)
        self.app.secret_key = "flows"
        self.note_what_is_logged()
        return self.app

    def part(self, name: str) -> Any:
        """A module of the package."""
        return importlib.import_module(f"{self.flask.__name__}.{name}")

    def blueprint(self, name: str, **options: Any) -> Any:
        return self.flask.Blueprint(name, NAME, root_path=str(self.folder), **options)

    def family(self) -> tuple[Any, Any, Any]:
        """An app, a blueprint of it, and one within that, each with a view called `view`."""
        app = self.make()
        parent, child = self.blueprint("parent", url_prefix="/parent"), self.blueprint("child")
        for owner, rule in ((app, "/"), (parent, "/"), (child, "/child")):
            self.route(owner, rule)
        return app, parent, child

    def join(self, app: Any, parent: Any, child: Any) -> None:
        """Register what `family` made, once its hooks are there."""
        parent.register_blueprint(child)
        app.register_blueprint(parent)

    # --- colours

    def paint(self, function: F, colour: str) -> F:
        steps = inspect.isgeneratorfunction(function)
        if colour == "def" and not steps:
            return function

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            return finish(function(*args, **kwargs))

        @functools.wraps(function)
        async def painted(*args: Any, **kwargs: Any) -> Any:
            await self.pause()
            value = function(*args, **kwargs)
            return await finish_async(value) if steps else value

        made: Any = plain if colour == "def" else painted
        del made.__wrapped__  # The colour is the wrapper's.
        return made  # type: ignore[no-any-return]

    def view(self, function: F) -> F:
        return self.paint(function, self.view_colour)

    def hook(self, function: F) -> F:
        return self.paint(function, self.hook_colour)

    def view_here(self, function: F) -> F:
        return self.paint(function, "def" if self.only_as_flask else self.view_colour)

    def hook_here(self, function: F) -> F:
        return self.paint(function, "def" if self.only_as_flask else self.hook_colour)

    def stream(self, source: Callable[[], Iterator[Any]]) -> Callable[[], Any]:
        """A generator function in the colour of the hooks; Flask knows plain ones alone."""
        if self.only_as_flask or self.hook_colour == "def":
            return source

        async def painted() -> AsyncIterator[Any]:
            pieces = source()
            try:
                for piece in pieces:
                    await self.pause()
                    yield piece
            finally:
                pieces.close()  # type: ignore[attr-defined]

        return painted

    def render(self, source: str, **values: Any) -> Any:
        """Render a template, in a generator that yields this."""
        return self.flask.render_template_string(source, **values)

    def load_body(self) -> Any:
        """Have the body there for a hook, in a generator that yields this."""

    # --- the log

    def seen(self) -> Entry:
        """What the code that is running can see of its context."""
        flask, entry = self.flask, Entry()
        if flask.has_request_context():
            request = flask.request
            entry["in"] = f"{request.method} {request.full_path.rstrip('?')}"
            if request.endpoint is not None:
                entry["endpoint"] = request.endpoint
            if request.view_args:
                entry["args"] = dict(request.view_args)
        elif flask.has_app_context():
            entry["in"] = "app"
        else:
            entry["in"] = "nothing"
        if flask.has_app_context():
            if flask.current_app.name != NAME:
                entry["app"] = flask.current_app.name
            if held := {name: flask.g.get(name) for name in flask.g}:
                entry["g"] = held
        if self.sees_handled:
            entry["handling"] = described(sys.exc_info()[1])
        return entry

    def note(self, at: str, **more: Any) -> None:
        """Add an entry to the log: where the code is, what it sees, and more."""
        self.log.append({"at": at, **self.seen(), **more})

    def write(self, at: str, **more: Any) -> None:
        """Add an entry without the context."""
        self.log.append({"at": at, **more})

    # --- functions that take notes

    def noting(self, kind: str, name: str, then: Callable[..., Any] | None = None) -> Any:
        """A function for the decorator `kind`: it notes what it was given, then calls `then`."""

        def noted(*given: Any) -> Any:
            self.note(f"{kind} {name}".rstrip(), **_given(kind, given))
            value = None if then is None else then(*given)
            return given[0] if value is None and "after" in kind else value

        return noted

    def add(self, owner: Any, kind: str, name: str = "", then: Any = None) -> None:
        """Register a hook by the decorator of that name, in the colour of the hooks."""
        function = self.noting(kind, name, then)
        flasks = "request" in kind or kind == "teardown_appcontext"
        getattr(owner, kind)(self.hook(function) if flasks else self.hook_here(function))

    def catch(self, owner: Any, key: Any, name: str = "", then: Any = None) -> None:
        """Register an error handler; it answers 418 unless `then` says otherwise."""

        def answer(error: Exception) -> Any:
            return "handled", 418

        handler = self.hook(self.noting("errorhandler", name, then or answer))
        owner.register_error_handler(key, handler)

    def route(
        self, owner: Any, rule: str, name: str = "view", then: Any = None, **options: Any
    ) -> None:
        """Add a view that notes its name, and answers "ok" unless `then` says otherwise."""
        steps = inspect.isgeneratorfunction(then)

        def view(**values: Any) -> Any:
            self.note(name)
            return "ok" if then is None else then(**values)

        def view_in_steps(**values: Any) -> Any:
            self.note(name)
            return (yield from then(**values))

        function = view_in_steps if steps else view
        owner.add_url_rule(rule, name, self.view(function), **options)

    def listen(self, *names: str) -> None:
        """Note signals of the app; all ten of them unless some are named."""
        for name in names or SIGNALS:

            def receive(sender: Any, *, name: str = name, **values: Any) -> None:
                said = {key: _plain(value) for key, value in values.items()}
                self.note(f"signal {name}", sender=sender is self.app, **said)

            self.connect(name, receive)

    def connect(self, name: str, receive: Callable[..., None]) -> None:
        """Connect a receiver, in the colour of the hooks if the signal is not a plain call's."""
        receiver = self.hook(receive) if name in SIGNALS_OF_A_REQUEST else receive
        signal = getattr(self.flask, name)
        signal.connect(receiver, self.app)
        self.listening.append((signal, receiver, self.app))

    def note_what_is_logged(self) -> None:
        """Note what the app logs; its words are nobody's promise, its exception is."""
        scene = self

        class Noting(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                error = record.exc_info[1] if record.exc_info else None
                scene.write("logged", level=record.levelname, exception=described(error))

        logger = logging.getLogger(NAME)
        logger.handlers[:] = [Noting()]
        logger.propagate = False

    # --- requests

    def send(self, path: str, method: str, **kwargs: Any) -> Reply:
        """Send a request of the arguments of `EnvironBuilder`."""
        client = werkzeug.test.Client(self.app, use_cookies=False)
        with client.open(path, method=method, **kwargs) as response:
            return Reply(response.status_code, list(response.headers), response.get_data())

    def ask(self, path: str = "/", method: str = "GET", **kwargs: Any) -> Any:
        """Send a request with the session's cookie, and write down the answer."""
        headers = dict(kwargs.pop("headers", {}))
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items() if v)
        try:
            reply = self.send(path, method, headers=headers, **kwargs)
        except BaseException as error:
            self.write("raised", error=described(error))
            return None
        self.answered(reply)
        return reply

    def answered(self, reply: Reply) -> None:
        """Write down an answer: all of it but what differs from run to run."""
        headers = []
        for name, value in reply.headers:
            if name.lower() == "set-cookie":
                cookie, _, rest = value.partition("; ")
                key, _, held = cookie.partition("=")
                self.cookies[key] = held
                if held and key == "session":
                    cookie = f"session={json.dumps(self.unsigned(held))}"
                value = re.sub(r"Expires=[^;]+", "Expires=...", f"{cookie}; {rest}")
            elif name.lower() == "allow":
                value = ", ".join(sorted(value.split(", ")))  # It is made of a set.
            elif name.lower() == "etag":
                value = "..."  # It has the file's path in it.
            if name.lower() not in ("date", "expires"):
                headers.append(f"{name.lower()}: {value}")
        body = reply.body.decode()
        self.write("answer", status=reply.status, headers=sorted(headers), body=body)

    def unsigned(self, cookie: str) -> Any:
        kind = self.part("sessions").SecureCookieSessionInterface
        return kind().get_signing_serializer(self.app).loads(cookie)

    # --- without a request

    def run(self, steps: Callable[[], Steps]) -> None:
        """Run code that stands outside of requests, in the form that the door asks for."""
        finish(steps())

    def enter(self, context: Any) -> Any:
        """Enter a context, in a generator that yields this."""
        return context.__enter__()

    def leave(self, context: Any, error: BaseException | None = None) -> Any:
        """Leave a context, in a generator that yields this."""
        return context.__exit__(type(error) if error else None, error, None)

    def in_thread(self, work: Callable[[], None]) -> Any:
        """Have a thread do something and wait for it, in a generator that yields this."""
        thread = threading.Thread(target=work)
        thread.start()
        return self.joined(thread)

    def joined(self, thread: threading.Thread) -> Any:
        return thread.join()

    def close(self) -> None:
        """Stop listening."""
        for signal, receiver, app in self.listening:
            signal.disconnect(receiver, app)
        logging.getLogger(NAME).handlers.clear()


def _given(kind: str, given: tuple[Any, ...]) -> Entry:
    """What a hook was called with, under the names that the log has for it."""
    if "after" in kind:
        return {"status": given[0].status_code}
    if "teardown" in kind:
        return {"exception": described(given[0])}
    if kind == "errorhandler":
        return {"error": described(given[0]), "handling": described(sys.exc_info()[1])}
    if kind.endswith(("url_value_preprocessor", "url_defaults")):
        endpoint, values = given
        return {"called with": [endpoint, None if values is None else dict(values)]}
    return {}


def _plain(value: Any) -> Any:
    """A value that a signal carries."""
    if isinstance(value, BaseException):
        return described(value)
    if hasattr(value, "status_code"):
        return value.status_code
    if hasattr(value, "render"):
        return value.name
    if isinstance(value, dict):
        return sorted(value)
    return value


def furnish(folder: Path) -> Path:
    """Write the files that scenarios send and render, and return the folder."""
    macro = "{% macro hello(name) %}hello {{ name }}{% endmacro %}"
    for name, text in {
        "note.txt": "0123456789",
        "templates/page.html": "{{ who }} {{ own }}" + macro,
        "inner/only_inner.html": "inner {{ who }}",
        "inner/page.html": "never",
        "static/style.css": "a {}",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return folder


# --- the scenarios -----------------------------------------------------------------------------


class Scenario(NamedTuple):
    """What is played, and where it can be."""

    play: Callable[[Scene], None]
    doors: bool
    """Whether it uses a server's door, and not the app's own test client or plain blocks."""
    plain_in_flask: bool
    """Whether Flask's own `async def` functions go wrong: a loop waits for itself, or a context
    variable's token in another context than its own."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(*, doors: bool = True, plain_in_flask: bool = False) -> Callable[[S], S]:
    """Register a scenario under its function's name."""

    def register(function: S) -> S:
        SCENARIOS[function.__name__] = Scenario(function, doors, plain_in_flask)
        return function

    return register


# --- what many of them begin with --------------------------------------------------------------


def doing(work: Callable[..., None], value: Any = None) -> Callable[..., Any]:
    """A function that does its work with what it is given, and returns a value."""

    def do(*given: Any) -> Any:
        work(*given)
        return value

    return do


def told(error: Exception) -> tuple[str, int]:
    """What a handler answers."""
    return f"handled {type(error).__name__}", 418


def raising(error: Exception) -> Callable[..., None]:
    def fail(*given: Any, **values: Any) -> None:
        raise error

    return fail


def aborting(scene: Scene, code: Any) -> Callable[..., Any]:
    return lambda *given, **values: scene.flask.abort(code)


def once() -> Callable[[], bool]:
    """True at the first call only."""
    turns = iter([True])
    return lambda: next(turns, False)


def all_hooks(scene: Scene) -> Any:
    """An app, a blueprint and one in it, with two hooks of every kind, and handlers of nothing."""
    app, parent, child = family = scene.family()
    for number in "12":
        for kind in HOOKS:
            for owner, name in zip(family, ("app", "parent", "child"), strict=True):
                scene.add(owner, kind, name + number)
        for kind in APP_HOOKS:
            scene.add(parent, kind, "of parent" + number)
            scene.add(child, kind, "of child" + number)
        scene.add(app, "teardown_appcontext", number)
    scene.join(*family)
    return app


def app_hooks(scene: Scene, **options: Any) -> Any:
    """An app with one hook of every kind, and notes of what it logs."""
    app = scene.make(**options)
    for kind in (*HOOKS, "teardown_appcontext"):
        scene.add(app, kind)
    return app


KINDS: dict[str, Callable[[], Exception]] = {
    "Broken": lambda: Broken("in the view"),
    "VeryBroken": lambda: VeryBroken("in the view"),
    "KeyError": lambda: KeyError("in the view"),
    "HTTPException": lambda: HTTPException("without a code"),
}


def failing_view(scene: Scene, owner: Any, rule: str = "/<kind>") -> None:
    """Add a view that raises what its URL asks for."""

    def view(kind: str) -> None:
        if kind.isdigit():
            scene.flask.abort(int(kind))
        raise KINDS[kind]()

    scene.route(owner, rule, "fails", view)
