"""Who is in a room, and what was said there."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import Any

BEHIND = 100  # messages that a member may be behind the others
HISTORY = 50  # messages that whoever comes in is shown
ROOMS = 1_000

Message = dict[str, Any]


class Member:
    """Somebody in a room, with the messages that were not sent to them yet."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_behind = False
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()

    def give(self, message: Message) -> None:
        """Have the message sent, unless the member does not read what is sent."""
        if not self.is_behind:
            self.is_behind = self._messages.qsize() >= BEHIND
            self._messages.put_nowait(None if self.is_behind else message)

    async def next(self) -> Message | None:
        """The next message; None for one who is too far behind."""
        return await self._messages.get()


class Room:
    """A room: its members by their names, and what was said last."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.history: deque[Message] = deque(maxlen=HISTORY)

    def enter(self, name: str) -> Member:
        """Let somebody in; everybody is told."""
        member = Member(name)
        for message in self.history:
            member.give(message)
        self.members[name] = member
        self._tell_who_is_there()
        return member

    def leave(self, member: Member) -> None:
        """Let somebody out; everybody is told."""
        del self.members[member.name]
        self._tell_who_is_there()

    def say(self, name: str, text: str) -> None:
        """Give a message to everybody, the one who says it included."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        message = {"type": "message", "name": name, "text": text, "time": now}
        self.history.append(message)
        self._give_all(message)

    def _tell_who_is_there(self) -> None:
        self._give_all({"type": "members", "names": sorted(self.members)})

    def _give_all(self, message: Message) -> None:
        for member in list(self.members.values()):
            member.give(message)


class Rooms:
    """All rooms by their names. One that was left by everybody is forgotten."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def find(self, name: str) -> Room | None:
        """The room of this name, made if need be; None if there are too many."""
        if name not in self._rooms and len(self._rooms) >= ROOMS:
            return None
        return self._rooms.setdefault(name, Room())

    def forget_if_empty(self, name: str) -> None:
        """Forget a room in which nobody is."""
        room = self._rooms.get(name)
        if room is not None and not room.members:
            del self._rooms[name]
