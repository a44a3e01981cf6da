"""The requests that `scripts/bench` sends, and what makes an answer right."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

ORDER = {
    "id": 12345, "customer": "Ada Lovelace", "email": "ada@example.com",
    "street": "12 Dorset Street", "city": "London", "postcode": "W1U 6QL", "express": True,
    "discount": 0.15, "note": "Ring twice.",
    "lines": [{"sku": f"A-{number}", "count": number, "price": 2.5} for number in range(5)],
}  # fmt: skip
"""Ten fields, with a nested list of five."""


class Row(NamedTuple):
    method: str
    path: str
    query: str
    body: bytes
    answer: Any
    """What its JSON has to be."""


TYPED = {
    "typed body": Row("POST", "/orders", "", json.dumps(ORDER).encode(), {"id": 12345, "lines": 5}),
    "typed query": Row("GET", "/search", "q=tea&limit=50&exact=true", b"",
                       {"q": "tea", "limit": 50, "exact": True}),
    "typed response": Row("GET", "/order", "", b"", ORDER),
}  # fmt: skip
