"""`AIOFLASK_TEST_WITHOUT=pydantic` (or msgspec) runs these tests as if that were not installed."""

from __future__ import annotations

import os
import sys
from typing import Any

for _name in os.environ.get("AIOFLASK_TEST_WITHOUT", "").split():
    modules: dict[str, Any] = sys.modules
    for _loaded in [each for each in modules if each.partition(".")[0] == _name]:
        del modules[_loaded]
    modules[_name] = None
