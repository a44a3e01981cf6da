"""The app that `scripts/soak` and `test_live.py` drive: every kind of view, and every connection."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from tests.connections import app as app
from tests.hardening.door import make_app

folder = Path(tempfile.mkdtemp(prefix="hardening-"))
(folder / "a.txt").write_bytes(bytes(range(250)) * 4)
hard = make_app(folder)
hard.logger.disabled = False
logging.getLogger("hardening").setLevel(logging.CRITICAL)  # What its views raise is on purpose.
app.mount("/hard", hard)
