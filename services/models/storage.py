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

    A write changes the database and then memory. A caller who is cancelled between the two would leave them apart.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, write: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.create_task(self._run(write))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _run(self, write: Coroutine[Any, Any, Result]) -> Result:
        async with self._lock:
            return await write


def to_json(message: Message) -> str:
    """The JSON in which a message is stored."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)


def from_json(text: str, message: Stored) -> Stored:
    """Fills `message` from stored JSON. Fields that this program does not know are left out."""
    return json_format.Parse(text, message, ignore_unknown_fields=True)


def now() -> str:
    """The time as the contract tells it in strings: RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
