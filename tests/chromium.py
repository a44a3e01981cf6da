"""Chromium without a window, for tests that do what a person does: open, type, click, look.

It is driven by its own protocol over a pair of pipes, so nothing is needed but the program.
Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 30.0
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-pipe",
    # What a page would load from elsewhere fails at once.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class Page:
    """One page of a browser of its own."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self._rest = b""
        self._calls = 0
        self._session: dict[str, str] = {}
        self.errors: list[str] = []
        """What scripts raised and nobody caught."""
        target = self._call("Target.createTarget", url="about:blank")
        attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self._call("Runtime.enable")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params, **self._session}
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]))
            if answer.get("id") == self._calls:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._reads], [], [], max(end - time.monotonic(), 0))
            assert ready, "chromium does not answer"
            data = os.read(self._reads, 65536)
            assert data, "chromium ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives on the page, as JSON has it."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str) -> Any:
        """Ask again and again until the answer is true."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if answer := self.value(expression):
                return answer
            time.sleep(0.05)
        raise AssertionError(
            f"never true: {expression}\n{self.errors}\n{self.value('document.body.innerText')}"
        )

    def open(self, url: str) -> None:
        """Go to an address, and wait until all of it has loaded."""
        answer = self._call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self.until(f"location.href == {json.dumps(url)} && document.readyState == 'complete'")

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, selector: str) -> None:
        """Click an element with the mouse, in its middle."""
        x, y = self.value(
            "(() => {"
            f" const element = document.querySelector({json.dumps(selector)});"
            " element.scrollIntoView();"
            " const box = element.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for event in ("mousePressed", "mouseReleased"):
            self._call(
                "Input.dispatchMouseEvent", type=event, x=x, y=y, button="left", clickCount=1
            )

    def fill(self, selector: str, text: str) -> None:
        """Type a text into a field, in place of what is in it."""
        self.click(selector)
        self.value(f"document.querySelector({json.dumps(selector)}).select()")
        self._call("Input.insertText", text=text)


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A page of a new browser, which keeps its profile and its log in a folder."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "These tests need chromium: apt-get install chromium"
    its_input, ours_out = os.pipe()
    ours_in, its_output = os.pipe()
    # It reads from 3 and writes to 4. The last of four new descriptors is none of these.
    redirect = f'exec "$@" 3<&{its_input} 4>&{its_output}'
    command = [program, *OPTIONS, f"--user-data-dir={folder / 'profile'}"]
    try:
        with (folder / "chromium.log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "-c", redirect, "bash", *command],
                pass_fds=(its_input, its_output),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            os.close(its_input)
            os.close(its_output)
            page = Page(ours_in, ours_out)
            yield page
            assert not page.errors
            page._session = {}
            page._call("Browser.close")
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(ours_in)
        os.close(ours_out)
