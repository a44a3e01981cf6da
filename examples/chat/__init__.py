"""A chat with rooms: WebSockets, and one page.

Serve it from the checkout with `aioflask --app examples.chat run`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aioflask import (
    BadMessage,
    Flask,
    abort,
    copy_current_websocket_context,
    render_template,
    websocket,
)

from .rooms import Member, Rooms

LONGEST_NAME, LONGEST_TEXT = 30, 500
TRY_AGAIN_LATER = 1013


def create_app() -> Flask:
    """Make the app, with rooms of its own."""
    app = Flask(__name__)
    app.config["MAX_WEBSOCKET_MESSAGE"] = 4 * LONGEST_TEXT + 100
    rooms = Rooms()
    app.extensions["rooms"] = rooms

    @app.get("/")
    async def page() -> str:
        return render_template("chat.html", longest_name=LONGEST_NAME, longest_text=LONGEST_TEXT)

    @app.websocket("/rooms/<name>")
    async def talk(name: str) -> None:
        who = websocket.args.get("name", "").strip()
        if not 0 < len(who) <= LONGEST_NAME or len(name) > LONGEST_NAME:
            abort(400, f"Names have 1 to {LONGEST_NAME} characters.")
        room = rooms.find(name)
        if room is None:
            abort(503, "There are too many rooms.")
        if who in room.members:
            abort(409, f"There is a {who} in this room already.")
        member = room.enter(who)
        try:
            await websocket.accept()
            sender = asyncio.create_task(copy_current_websocket_context(send_all)(member))
            try:
                async for message in websocket:
                    room.say(who, text_of(message))
            finally:
                sender.cancel()
        finally:
            room.leave(member)
            rooms.forget_if_empty(name)

    return app


async def send_all(member: Member) -> None:
    """Send what is said in the room, until the task is cancelled."""
    while (message := await member.next()) is not None:
        await websocket.send_json(message)
    await websocket.close(TRY_AGAIN_LATER, "You are too far behind.")


def text_of(message: str | bytes) -> str:
    """The text of a message that a page has sent, `{"text": "..."}`."""
    try:
        value: Any = websocket.json_module.loads(message)
        text = value["text"].strip()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadMessage("A message is a JSON object with a text.") from error
    if not 0 < len(text) <= LONGEST_TEXT:
        raise BadMessage(f"A text has 1 to {LONGEST_TEXT} characters.")
    return str(text)
