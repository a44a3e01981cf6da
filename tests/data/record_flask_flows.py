"""Record what Flask does in the scenarios of flask_flows, into flask_flows.json.

Run it in the checkout with a Python that has Flask, with its extra `async`, installed:
`python -m tests.data.record_flask_flows`. tests/flow/test_flask_order.py holds us to the recording.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.data.flask_flows import SCENARIOS
from tests.data.flask_flows.scene import Log, Scene, furnish

VERSION = "3.1.3"
COLOURS = [("def", "def"), ("def", "async"), ("async", "def"), ("async", "async")]


def record(name: str, flask: Any, folder: Path, view: str, hook: str) -> Log:
    """Run a scenario on Flask, and return its log."""
    pause = functools.partial(asyncio.sleep, 0)
    scene = Scene(
        flask=flask,
        folder=folder,
        pause=pause,
        view_colour=view,
        hook_colour=hook,
        only_as_flask=True,
    )
    try:
        SCENARIOS[name].play(scene)
    finally:
        scene.close()
    log: Log = json.loads(json.dumps(scene.log))
    return log


def recorded_alike(name: str, flask: Any, folder: Path) -> Log:
    """The log of a scenario, which is one whatever colours Flask's functions have."""
    colours = COLOURS[:1] if SCENARIOS[name].plain_in_flask else COLOURS
    plain, *others = (record(name, flask, folder, *each) for each in colours)
    for each, log in zip(colours[1:], others, strict=True):
        for entry, other in zip(plain, log, strict=False):
            assert entry == other, f"{name}, {each}:\n{entry}\n{other}"
        assert len(plain) == len(log), f"{name}, {each}: {len(plain)} entries, {len(log)}"
    return plain


def main() -> None:
    flask: Any = importlib.import_module("flask")
    version = importlib.metadata.version("flask")
    assert version == VERSION, f"Flask {VERSION} is to be recorded, not {version}"
    flows: dict[str, Log] = {}
    with tempfile.TemporaryDirectory() as folder:
        furnish(Path(folder))
        for name in sorted(SCENARIOS):
            flows[name] = recorded_alike(name, flask, Path(folder))
    # An entry a line: short enough to be read, and to be compared by a reviewer.
    lines = [f'{{"flask": {json.dumps(version)}, "flows": {{']
    for name, log in flows.items():
        entries = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in log)
        end = "," if name != max(flows) else ""
        lines.append(f' "{name}": [\n{entries}\n ]{end}')
    text = "\n".join([*lines, "}}", ""])
    Path(__file__).with_name("flask_flows.json").write_text(text, encoding="utf-8")
    print(f"{len(flows)} scenarios, {sum(map(len, flows.values()))} entries", file=sys.stderr)


if __name__ == "__main__":
    main()
