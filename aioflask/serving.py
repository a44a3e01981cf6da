"""Serving an app with uvicorn while it is being developed.

What ``Flask.run()`` and ``aioflask run`` have in common. Their options are Flask's and, beyond
those, uvicorn's own (https://www.uvicorn.org/settings/). For production start uvicorn itself:
``uvicorn module:app``.
"""

from __future__ import annotations

import difflib
import errno
import os
import socket
import sys
import typing as t
from collections.abc import Callable

from . import calls, reloader
from .app import Flask
from .concurrency import on_loop
from .helpers import get_debug_flag, get_load_dotenv

if t.TYPE_CHECKING:
    Target: t.TypeAlias = Flask | str | Callable[..., t.Any]

# What Werkzeug's server was told and has no meaning here: the value that asks for nothing, and
# what to do instead of any other.
_NOT_HERE: dict[str, tuple[t.Any, str]] = {
    "threaded": (
        True,
        "requests are always served side by side: async views on the event loop, plain views on"
        " worker threads. Leave the option out",
    ),
    "processes": (1, "a running app object cannot be copied. Use 'aioflask run --workers N'"),
    "workers": (1, "a running app object cannot be copied. Use 'aioflask run --workers N'"),
    "request_handler": (None, "it belongs to Werkzeug's server. Wrap 'app.asgi_app' instead"),
    "static_files": (None, "use Flask(static_folder=...) or a route with send_from_directory"),
    "uds": (None, "start uvicorn itself: 'uvicorn module:app --uds PATH'"),
    "fd": (None, "start uvicorn itself: 'uvicorn module:app --fd NUMBER'"),
}
_IGNORED = ("reloader_type",)
_OURS = ("app", "factory", "interface", "reload", "reload_delay", "reload_dirs")


def run_flask_app(
    app: Flask, host: str | None, port: int | None, debug: bool | None, load_dotenv: bool,
    **options: t.Any,
) -> None:  # fmt: skip
    """Work out what ``Flask.run()`` was not told, in Flask's order, and serve.

    ``debug`` wins over ``FLASK_DEBUG``, which wins over the configuration; the address comes from
    the arguments, then from ``SERVER_NAME``, then it is 127.0.0.1:5000.
    """
    from . import cli

    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        app.logger.warning(
            "app.run() was called while the command line imports %r, and does nothing: it would"
            " block the command. Write it below `if __name__ == '__main__':`.",
            app.import_name,
        )
        return
    if get_load_dotenv(load_dotenv):
        cli.load_dotenv()
        if "FLASK_DEBUG" in os.environ:
            app.debug = get_debug_flag()
    if debug is not None:
        app.debug = bool(debug)
    name, _, name_port = (app.config.get("SERVER_NAME") or "").partition(":")
    port = int(name_port or 5000) if port is None else int(port)
    options.setdefault("use_reloader", app.debug)
    options.setdefault("use_debugger", app.debug)
    cli.show_server_banner(app.debug, app.name)
    try:
        run_app(app, host or name or "127.0.0.1", port, **options)
    finally:
        app._got_first_request = False  # So that a shell can add routes and run it again.


def run_app(
    app: Flask, host: str, port: int, *, use_reloader: bool = False, use_debugger: bool = False,
    use_evalex: bool = True, passthrough_errors: bool = False, **options: t.Any,
) -> None:  # fmt: skip
    """Serve ``app`` until a signal ends it; the work of ``Flask.run()``.

    ``passthrough_errors`` leaves exceptions to a debugger from outside: for this run
    ``PROPAGATE_EXCEPTIONS`` is True, and no page shows a traceback. ``options`` are those of
    `werkzeug.serving.run_simple` that have a meaning here (``ssl_context``, ``extra_files``,
    ``exclude_patterns``, ``reloader_interval``) and uvicorn's (``log_level``, ``access_log``,
    ``root_path``, ...). Raises TypeError for an unknown option, ValueError for one that cannot be
    followed, RuntimeError on a running event loop, SystemExit if the address cannot be used.
    https://flask.palletsprojects.com/en/stable/api/#flask.Flask.run
    """
    configured = app.config["PROPAGATE_EXCEPTIONS"]
    if passthrough_errors:
        app.config["PROPAGATE_EXCEPTIONS"] = True
    try:
        serve(
            lambda: app, host, port, use_reloader=use_reloader, use_evalex=use_evalex,
            use_debugger=use_debugger and not passthrough_errors, **_checked(options),
        )  # fmt: skip
    finally:
        if passthrough_errors:
            app.config["PROPAGATE_EXCEPTIONS"] = configured


def serve(
    load: Callable[[], Target], host: str, port: int, *, use_reloader: bool = False,
    use_debugger: bool = False, use_evalex: bool = True, workers: int = 1,
    ssl_context: t.Any = None, extra_files: t.Iterable[str] | None = None,
    exclude_patterns: t.Iterable[str] | None = None, reloader_interval: float = 0.5,
    **settings: t.Any,
) -> None:  # fmt: skip
    """Serve what ``load()`` gives: an app, or the import string of a factory if ``workers`` > 1.

    With the reloader ``load`` is called in the child process only. ``use_debugger`` answers
    exceptions with `aioflask.debug`, whose console ``use_evalex`` opens; not in workers.
    """
    if on_loop():
        raise RuntimeError(
            "run() starts an event loop and waits for its end, but this thread runs one already."
            " Call run() from plain code, or serve the app on this loop:"
            " 'await uvicorn.Server(uvicorn.Config(app)).serve()'."
        )
    if use_reloader and not reloader.in_child() and _may_reload():
        listener = _listen(host, port, ssl_context)
        if sys.platform == "win32":  # Sockets are not inherited; the child opens it again.
            listener.close()
        status = reloader.supervise(
            None if sys.platform == "win32" else listener,
            extra_files=extra_files or (),
            exclude_patterns=exclude_patterns or (),
            interval=reloader_interval,
        )
        sys.exit(status)
    if reloader.in_child():
        settings.setdefault("timeout_graceful_shutdown", 3)  # A stream must not hold up a change.
    settings.update(lifespan=settings.get("lifespan", "auto"), interface="asgi3")
    # COMPAT: uvicorn believes X-Forwarded-For from this machine, where the developer's browser is.
    settings.setdefault("proxy_headers", False)
    if ssl_context == "adhoc":
        ssl_context = _adhoc_files(host)
    if isinstance(ssl_context, tuple):
        settings["ssl_certfile"], settings["ssl_keyfile"] = ssl_context
    target = load()
    if isinstance(target, Flask):
        calls.look(target)
        if (limit := target.config["MAX_WEBSOCKET_MESSAGE"]) is not None:
            settings.setdefault("ws_max_size", limit)  # uvicorn's own is 16 MiB.
    reloader.tell_modules()
    if use_debugger and not isinstance(target, str):
        from .debug import Debugger

        target = Debugger(target, use_evalex)
    _start(target, host, port, workers, ssl_context, settings)


def _start(
    target: Target, host: str, port: int, workers: int, tls: t.Any, settings: dict[str, t.Any]
) -> None:
    import uvicorn

    own_context = tls is not None and not isinstance(tls, tuple)
    if isinstance(target, str):
        if own_context:
            raise SystemExit(
                "An SSLContext object cannot be handed to worker processes. Give the certificate"
                " and its key as files: --cert cert.pem --key key.pem."
            )
        _listen(host, port, tls, announce=False).close()
        uvicorn.run(target, host=host, port=port, workers=workers, factory=True, **settings)
        return
    listener = reloader.inherited_socket() or _listen(host, port, tls)
    # An app object cannot go to other processes, whatever WEB_CONCURRENCY says.
    config = uvicorn.Config(target, host=host, port=port, workers=1, **settings)
    if own_context:
        config.load()
        config.ssl = tls
    server = uvicorn.Server(config)
    try:
        server.run([listener])
    except KeyboardInterrupt:  # uvicorn has shut down by now and passes the signal on.
        return
    finally:
        listener.close()
    if not server.started:
        sys.exit(3)


def _listen(host: str, port: int, secure: t.Any, announce: bool = True) -> socket.socket:
    """Open the listening socket, so that an address that cannot be used is said at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = f"Cannot listen on {host}:{port}"
    if not 0 <= port <= 65535:
        raise SystemExit(f"{where}: a port is a number from 0 (any free one) to 65535.")
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SystemExit(f"{where}: {_advice(error)}") from error
    if announce:
        name = f"[{host}]" if family == socket.AF_INET6 else host
        scheme = "https" if secure else "http"
        number = listener.getsockname()[1]
        _say(f" * Running on {scheme}://{name}:{number} (Ctrl+C ends it)")
    return listener


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "another program uses the port. End it, or choose another port: 'aioflask run"
            " --port 5001' or app.run(port=5001). (On macOS AirPlay Receiver uses port 5000.)"
        )
    if error.errno == errno.EACCES:
        return "the system does not allow it. Choose a port from 1024 upwards."
    return f"{error}. The host is an address of this machine: 127.0.0.1, or 0.0.0.0 for all."


def _say(text: str) -> None:
    import click

    click.echo(text)


def _may_reload() -> bool:
    reason = reloader.why_not()
    if reason is not None:
        _say(f" * No reloader: {reason}. Serving without it.")
    return reason is None


def _checked(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Take out what asks for nothing; refuse what cannot be followed or is not known."""
    import inspect

    import uvicorn

    known = (*inspect.signature(serve).parameters, *inspect.signature(uvicorn.run).parameters)
    left = {}
    for name, value in options.items():
        if name in _NOT_HERE:
            nothing, advice = _NOT_HERE[name]
            if value != nothing and value is not None:
                raise ValueError(f"run({name}={value!r}) cannot be followed here: {advice}.")
        elif name in _OURS or (name not in known and name not in _IGNORED):
            close = difflib.get_close_matches(name, [n for n in known if n not in _OURS], 1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            if name.startswith("reload"):
                hint = " Use 'use_reloader', 'reloader_interval', 'extra_files' instead."
            raise TypeError(f"run() knows no option '{name}'.{hint}")
        elif name not in _IGNORED:
            left[name] = value
    return left


def _adhoc_files(host: str) -> tuple[str, str]:
    """Make a certificate that nobody trusts, for this run only."""
    import atexit
    import os
    import shutil
    import tempfile

    from werkzeug.serving import make_ssl_devcert

    folder = tempfile.mkdtemp(prefix="aioflask-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        return make_ssl_devcert(os.path.join(folder, "adhoc"), host=host)
    except ImportError as error:
        raise SystemExit(
            "ssl_context='adhoc' needs the cryptography package: pip install cryptography"
        ) from error
