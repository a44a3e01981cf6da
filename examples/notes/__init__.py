"""The notes of a small team: a REST service, and a page that shows them.

Serve it from the checkout with `aioflask --app examples.notes run`. The first start makes the
database.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from werkzeug.routing import BaseConverter

from aioflask import Flask

from . import api, auth, errors, models, pages, stats


class Id(BaseConverter):
    """A row's number in a URL: at most 18 digits, so that SQLite's 64 bits always hold it."""

    regex = r"[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        return int(value)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the service from defaults, `NOTES_…` variables and `config`; the last wins."""
    app = Flask(__name__)
    app.config.from_mapping(
        DATABASE=str(Path(app.instance_path) / "notes.db"),
        FIRST_USER="admin",
        FIRST_PASSWORD=None,  # None: the first start makes one up and logs it
        MAX_CONTENT_LENGTH=8 * 2**20,
        SESSION_COOKIE_SAMESITE="Lax",  # no other site can post with a member's cookie
        TRUSTED_HOSTS=["localhost", "127.0.0.1"],
    )
    app.config.from_prefixed_env("NOTES")
    app.config.from_mapping(config or {})

    models.init_app(app)
    errors.init_app(app)
    app.url_map.converters["id"] = Id
    for blueprint in (api.api, auth.auth, pages.pages, stats.stats):
        app.register_blueprint(blueprint)
    return app
