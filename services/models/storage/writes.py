"""What both registries need to keep their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

Result = TypeVar("Result")
Stored = TypeVar("Stored", bound=Message)


class SerialWrites:
    """Runs the writes of one registry one after the other, each to its end whatever becomes of its caller.

    A write changes the database and then memory. A caller who is cancelled between the two would leave them apart; one
    who is cancelled before its write has begun leaves nothing behind.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._running: asyncio.Task[Any] | None = None

    async def run(self, write: Coroutine[Any, Any, Result]) -> Result:
        try:
            await self._lock.acquire()
        except BaseException:
            write.close()
            raise
        self._running = task = asyncio.create_task(write)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    def _end(self, write: asyncio.Task[Any]) -> None:
        self._lock.release()
        if not write.cancelled():
            # Nobody may be left to be told why it failed, and then asyncio would log that.
            write.exception()


def to_json(message: Message) -> str:
    """The JSON in which a message is stored."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)


def from_json(text: str, message: Stored) -> Stored:
    """Fills `message` from stored JSON. Fields that this program does not know are left out."""
    return json_format.Parse(text, message, ignore_unknown_fields=True)


def now() -> str:
    """The time as the contract tells it in strings: RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
