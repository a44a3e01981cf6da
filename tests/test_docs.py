"""Every python block in README and docs/ runs.

The blocks of one page run from top to bottom in one namespace, in an empty folder, as one program
would; `await` at the top level is allowed. A block that begins with `>>>` is checked as a doctest.
What is only meant to be read (a fragment, a mistake) is fenced as `py`, which looks the same.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import re
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from blinker import NamedSignal

from aioflask import signals

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Each python block with the number of its first line, counted from 0."""
    for match in FENCE.finditer(text):
        yield text.count("\n", 0, match.start(1)), match[1]


def run(code: str, page: Path, line: int, namespace: dict[str, object]) -> None:
    """Run one block in `namespace`; tracebacks name the page and its own line."""
    if code.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(code, namespace, page.name, str(page), line)
        doctest.DebugRunner().run(test, clear_globs=False)
        return
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    # The block's own __future__ imports count, this file's do not.
    compiled = compile("\n" * line + code, str(page), "exec", flags, dont_inherit=True)
    outcome = eval(compiled, namespace)
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


@contextmanager
def signals_restored() -> Iterator[None]:
    """Disconnect at the end what was connected meanwhile: a page's receivers are for its apps."""
    known = [each for each in vars(signals).values() if isinstance(each, NamedSignal)]
    before = {signal: set(signal.receivers) for signal in known}
    try:
        yield
    finally:
        for signal in known:
            for key in set(signal.receivers) - before[signal]:
                receiver: Any = signal.receivers[key]
                if isinstance(receiver, weakref.ref):
                    receiver = receiver()
                if receiver is not None:
                    signal.disconnect(receiver)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_block_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = list(blocks(page.read_text("utf-8")))
    if not code:
        return
    # A module of its own, as a file would be: app roots, dataclasses and annotations look for it.
    name = "page_" + re.sub(r"\W", "_", page.stem)
    module = ModuleType(name)
    module.__file__ = str(tmp_path / f"{name}.py")
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    with signals_restored():
        for line, block in code:
            run(block, page, line, vars(module))


def test_a_failing_block_names_its_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "A page.\n\n```python\nfine = 1\n```\n\n```python\n\nmissing\n```\n"
    (first, one), (second, other) = blocks(text)
    namespace: dict[str, object] = {}
    run(one, page, first, namespace)
    with pytest.raises(NameError, match="missing") as caught:
        run(other, page, second, namespace)
    frame = caught.traceback[-1]
    assert (str(frame.path), frame.lineno + 1) == (str(page), 9)


def test_doctest_blocks_are_compared(tmp_path: Path) -> None:
    namespace: dict[str, object] = {}
    run(">>> 1 + 1\n2\n", tmp_path / "page.md", 0, namespace)
    with pytest.raises(doctest.DocTestFailure):
        run(">>> 1 + 1\n3\n", tmp_path / "page.md", 0, namespace)


def test_blocks_may_await(tmp_path: Path) -> None:
    namespace: dict[str, object] = {}
    run("import asyncio\nawait asyncio.sleep(0)\ndone = True\n", tmp_path / "p.md", 0, namespace)
    assert namespace["done"] is True
