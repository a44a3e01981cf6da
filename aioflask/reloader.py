"""Starting the server again whenever the code changes.

The process that the developer started becomes a supervisor: it holds the listening socket, looks
at the times of files, and runs the very same command again as a child, which serves. So whatever
made the app the first time makes it again: a factory, a script's ``__main__`` block, a command of
one's own. uvicorn's supervisor would need an import string and would leave out all that a script
does before ``app.run()``.

Between two children the socket stays open, and requests wait instead of being refused.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import typing as t
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path

# COMPAT: Werkzeug's name for it; apps and extensions look for it to do things only once.
_CHILD = "WERKZEUG_RUN_MAIN"
_SOCKET = "AIOFLASK_SERVER_FD"
_AGAIN = "AIOFLASK_RELOADED"
_LOADED = "AIOFLASK_LOADED_MODULES"

_END_SECONDS = 5.0


def in_child() -> bool:
    """Whether this process serves under the supervisor."""
    return os.environ.get(_CHILD) == "true"


def is_restart() -> bool:
    """Whether this process serves under the supervisor and is not its first child."""
    return in_child() and _AGAIN in os.environ


def inherited_socket() -> socket.socket | None:
    """The supervisor's listening socket, once; None in every other process."""
    number = os.environ.pop(_SOCKET, None)
    return socket.socket(fileno=int(number)) if number and in_child() else None


def tell_modules(seconds: float = 0.5) -> None:
    """Keep the supervisor told which files the modules of this process come from.

    The supervisor never loads the app, which may extend the import path, or import in a view.
    """
    path = os.environ.pop(_LOADED, None)
    if path is None or not in_child():
        return

    def tell() -> None:
        known = 0
        while os.path.isdir(os.path.dirname(path)):
            if known != len(sys.modules):
                known = len(sys.modules)
                files = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
                names = {os.path.abspath(file) for file in files if isinstance(file, str)}
                with suppress(OSError):  # The supervisor may have gone meanwhile.
                    Path(f"{path}~").write_bytes(os.fsencode("\n".join(names)))
                    os.replace(f"{path}~", path)
            time.sleep(seconds)

    threading.Thread(target=tell, name="aioflask-reloader", daemon=True).start()


def why_not() -> str | None:
    """What keeps this process from being started again, or None if nothing does."""
    if threading.current_thread() is not threading.main_thread():
        return "the server was not started in the main thread"
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    if not (script and os.path.exists(script)) and "-c" not in sys.orig_argv:
        return "this Python was not started with a script"
    return None


def supervise(
    listener: socket.socket | None, *, extra_files: Iterable[str] = (),
    exclude_patterns: Iterable[str] = (), interval: float = 0.5,
) -> int:  # fmt: skip
    """Run this command in child processes, a new one after each change; give the exit status.

    Watched are Python files below the current directory and the import path, without installed
    packages; the modules that a child has loaded, from wherever; and ``extra_files``, of which a
    folder stands for all files below it. Not those whose path matches one of ``exclude_patterns``
    (`fnmatch`). ``listener`` is handed down, where the system can do that. A first child that
    ends by itself ends it all with its status, since the developer should see that error as it
    is; a later one is waited for until the next change.
    """
    import click

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *args: stopped.set())
    files, excluded = list(extra_files), list(exclude_patterns)
    outside: set[str] = set()
    before, again = _times(files, excluded), False
    with tempfile.TemporaryDirectory(prefix="aioflask-") as folder:
        report = os.path.join(folder, "modules")
        while True:
            # The times are older than the child: a file that is saved while it starts is seen.
            child = _start(listener, again, report)
            try:
                changed: list[str] = []
                while not changed:
                    # A tree that takes long to look at is looked at less often.
                    begun = time.monotonic()
                    outside |= _told(report) - before.keys()
                    before = _written(outside - before.keys(), excluded) | before
                    # One that has gone is no change: it may have been made for one import.
                    now = {name: before[name] for name in outside & before.keys()}
                    now |= _times(files, excluded) | _written(outside, excluded)
                    changed = sorted(n for n in before | now if before.get(n) != now.get(n))
                    if stopped.wait(max(interval, 5 * (time.monotonic() - begun))):
                        return 0
                    if not again and child.poll() is not None:
                        return child.returncode
            finally:
                _end(child)
            click.echo(f" * Changed: {', '.join(changed)}. Starting again.", err=True)
            before, again = now, True


def _told(report: str) -> set[str]:
    """The files of the modules that a child has loaded, as it told."""
    try:
        return set(os.fsdecode(Path(report).read_bytes()).split("\n"))
    except OSError:  # It has not yet.
        return set()


def _times(files: list[str], excluded: list[str]) -> dict[str, int]:
    """When each watched file was written, in nanoseconds; without what children told."""
    below = (_below(name) if os.path.isdir(name) else (name,) for name in files)
    modules = (_below(root, ".py") for root in _roots())
    return _written(chain(*below, *modules), excluded)


def _written(names: Iterable[str], excluded: list[str]) -> dict[str, int]:
    times = {}
    for name in names:
        if not any(fnmatch(name, pattern) for pattern in excluded):
            with suppress(OSError):  # It may just have been removed.
                times[name] = os.stat(name).st_mtime_ns
    return times


def _roots() -> set[str]:
    """The current directory and the import path, but not where packages are installed."""
    library = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    roots = {os.path.abspath(entry) for entry in ("", *sys.path)}
    roots = {root for root in roots if not any(root.startswith(lib) for lib in library)}
    return {r for r in roots if not any(r.startswith(os.path.join(o, "")) for o in roots)}


def _below(root: str, ending: str = "") -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        if "pyvenv.cfg" in names or folder.endswith(("site-packages", "dist-packages")):
            folders.clear()
            continue
        folders[:] = [f for f in folders if not f.startswith((".", "__", "node_modules"))]
        yield from (os.path.join(folder, name) for name in names if name.endswith(ending))


def _start(listener: socket.socket | None, again: bool, report: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, _CHILD: "true", _LOADED: report}
    if again:
        environ[_AGAIN] = "1"
    command = [sys.executable, *sys.orig_argv[1:]]
    if listener is None:
        return subprocess.Popen(command, env=environ)
    environ[_SOCKET] = str(listener.fileno())
    return subprocess.Popen(command, env=environ, pass_fds=[listener.fileno()])


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let the server close its connections and its app; do not wait for ever."""
    child.terminate()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def broken_app(text: str) -> t.Any:
    """An ASGI application that says on every page why there is no app."""
    body = f"The app could not be loaded. Correct this and save:\n\n{text}".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]

    async def app(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        if scope["type"] == "http":
            start = {"type": "http.response.start", "status": 500, "headers": headers}
            await send(start)
            await send({"type": "http.response.body", "body": body})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1011})
        else:
            raise NotImplementedError(scope["type"])  # How ASGI says that there is no lifespan.

    return app
