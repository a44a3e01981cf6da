"""A command that serves, in a process of its own, for tests that want the real thing."""

from __future__ import annotations

import http.client
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import aioflask

SECONDS = 20.0


class Server:
    """A command that serves, in a folder of its own, with what it prints."""

    def __init__(self, folder: Path, *command: str, stdin: str = "", **environ: str) -> None:
        package = str(Path(aioflask.__path__[0]).parent)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("FLASK_", "WERKZEUG_"))}
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={
                **keep,
                "PYTHONPATH": package,
                "PYTHONUNBUFFERED": "1",
                "PYTHONFAULTHANDLER": "1",  # A server that crashes says where.
                **environ,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(stdin)
        self.process.stdin.close()
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def until(self, check: Callable[[], t.Any]) -> t.Any:
        """Ask again and again until the answer is true, or fail with what was printed."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                answer = check()
            except (OSError, http.client.HTTPException):
                answer = None
            if answer:
                return answer
            time.sleep(0.05)
        raise AssertionError(f"gave up waiting; the server printed:\n{self.output}")

    @property
    def address(self) -> tuple[str, int]:
        found = self.until(lambda: re.search(r"unning on (https?)://127.0.0.1:(\d+)", self.output))
        return found[1], int(found[2])

    def get(self, path: str = "/") -> tuple[int, str]:
        scheme, port = self.address
        if scheme == "https":
            trusting = ssl._create_unverified_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=SECONDS, context=trusting
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def shows(self, text: str, path: str = "/") -> tuple[int, str]:
        def check() -> tuple[int, str] | None:
            answer = self.get(path)
            return answer if text in answer[1] else None

        return t.cast("tuple[int, str]", self.until(check))

    def ends(self) -> int:
        """Wait for the command to end by itself; its exit status."""
        status = self.process.wait(SECONDS)
        self.reader.join(SECONDS)
        return status

    def stop(self) -> None:
        try:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(SECONDS)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.reader.join(SECONDS)
            assert self.process.stdout is not None
            self.process.stdout.close()
