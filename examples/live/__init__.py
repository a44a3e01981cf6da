"""A job in the background, and its progress in the browser: server-sent events.

Serve it from the checkout with `aioflask --app examples.live run`.
"""

from __future__ import annotations

from typing import Any

from aioflask import EventSourceResponse, Flask, abort, render_template, request, url_for

from .jobs import Jobs

MOST_STEPS = 1_000


def create_app() -> Flask:
    """Make the app, with jobs of its own."""
    app = Flask(__name__)
    jobs = Jobs()

    @app.get("/")
    async def page() -> str:
        return render_template("live.html")

    @app.post("/jobs")
    async def start() -> Any:
        data = request.get_json()
        steps = data.get("steps", 30) if isinstance(data, dict) else None
        if type(steps) is not int or not 1 <= steps <= MOST_STEPS:
            abort(400, f"A job has 1 to {MOST_STEPS} steps.")
        job = jobs.add(steps)
        app.add_background_task(job.run, lambda: not app.shutdown_event.is_set())
        location = url_for("events", number=job.number)
        return {"number": job.number, "events": location}, 202, {"Location": location}

    @app.get("/jobs/<int:number>/events")
    async def events(number: int) -> Any:
        job = jobs.get(number) or abort(404, "There is no such job any more.")
        last = request.headers.get("Last-Event-ID", "")
        # A browser that comes again says what it had last; the rest is the same for both.
        position = int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 10 else 0
        if job.is_done and position >= len(job.events):
            return "", 204  # A browser stops to connect again.
        return EventSourceResponse(job.follow(position), retry=1000)

    return app
