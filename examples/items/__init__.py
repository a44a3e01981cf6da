"""A typed REST service: items in SQLite, validated, documented, with a page to try it.

Serve it from the checkout with `aioflask --app examples.items run`, and open
http://127.0.0.1:5000/docs. Writing needs the token of `ITEMS_TOKEN` (else "let me in").
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from werkzeug.exceptions import HTTPException

from aioflask import Flask
from aioflask.typed import OpenAPI

from .api import Problem, items
from .models import open_database


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """Make the app; its database is `items.db` in the instance folder, or `DATABASE`."""
    app = Flask(__name__)
    app.config.from_mapping(
        DATABASE=str(Path(app.instance_path) / "items.db"),
        TOKEN=os.environ.get("ITEMS_TOKEN", "let me in"),
        MAX_CONTENT_LENGTH=64 * 1024,
    )
    app.config.update(config or {})

    @app.while_serving
    async def database() -> AsyncIterator[dict[str, Any]]:
        async with open_database(app.config["DATABASE"]) as sessions:
            yield {"sessions": sessions}

    for code in (401, 404, 409):
        app.register_error_handler(code, tell)
    app.register_blueprint(items)
    OpenAPI(
        app,
        title="Items",
        version="1.0",
        description="What there is, what it costs, and what it is called.",
        docs="/docs",
    )
    return app


def tell(error: HTTPException) -> Any:
    """Answer an error as the rest of the service answers."""
    response = error.get_response()
    problem = Problem(error.code or 500, error.description or error.name)
    headers = (
        {"WWW-Authenticate": value} if (value := response.headers.get("WWW-Authenticate")) else {}
    )
    return dataclasses.asdict(problem), error.code, headers
