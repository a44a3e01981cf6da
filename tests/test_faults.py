"""Our adapters beside others, as `scripts/adapters` prints them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import ASGI_IN_WSGI, FAULTS, WSGI_IN_ASGI, run

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_others_have_is_not_ours(fault: str) -> None:
    wsgi, asgi = FAULTS[fault]
    found = {f"WSGI in {name}": run(wsgi, adapt) for name, adapt in WSGI_IN_ASGI.items()}
    if asgi is not None:
        found |= {f"ASGI in {name}": run(asgi, adapt) for name, adapt in ASGI_IN_WSGI.items()}
    ours = {name: found.pop(name) for name in list(found) if name.endswith("ours")}
    assert not any(ours.values()), ours
    assert any(found.values()), "no other adapter has it: the experiment cannot fail"


def test_the_script_compares_the_speed() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "adapters")]
    done = subprocess.run([*script, "at-once", "speed"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("Ours passes.\n")
    assert subprocess.run([*script, "sped"], capture_output=True).returncode == 2
