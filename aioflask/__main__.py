"""``python -m aioflask`` is the command ``aioflask``."""

from __future__ import annotations

from .cli import main

main()
