"""Scenarios: small apps whose hooks, handlers and helpers note when they run and what they see.

Each is played twice: record_flask_flows.py plays it on Flask and keeps the log in flask_flows.json,
and tests/flow/test_flask_order.py plays it on aioflask and compares. A scenario has the name of its
function; what it works with is a `Scene`.
"""

from tests.data.flask_flows import contexts, errors, helpers, hooks, methods, sessions
from tests.data.flask_flows.scene import SCENARIOS

__all__ = ["SCENARIOS", "contexts", "errors", "helpers", "hooks", "methods", "sessions"]
