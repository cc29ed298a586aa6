"""A user's memory, kept between sessions: Python values under keys, stored as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Unpack

from genai_platform.building import build
from genai_platform.calls import CallOptions
from genai_platform.session_requests import to_json
from genai_platform.v1.sessions_pb2 import DeleteMemoryRequest, ListMemoriesRequest, PutMemoryRequest

if TYPE_CHECKING:
    from genai_platform._async.sessions import AsyncSessions


class AsyncUserMemory:
    """The stored values of one user. Every method is a call; nothing is cached here."""

    def __init__(self, sessions: AsyncSessions, user_id: str) -> None:
        self._sessions = sessions
        self._user_id = user_id

    async def get(self, key: str, default: Any = None, **options: Unpack[CallOptions]) -> Any:
        """The value of a key, or `default` when the key has none."""
        # Keys come sorted, so the key itself is the first of all that begin with it.
        request = build(ListMemoriesRequest, user_id=self._user_id, key_prefix=key, page_size=1)
        page = await self._sessions.list_memories(request, **options)
        for memory in page.memories:
            if memory.key == key:
                return json.loads(memory.value_json)
        return default

    async def set(self, key: str, value: Any, **options: Unpack[CallOptions]) -> None:
        """Stores a value, in place of the old one. Raises TypeError or ValueError for a value that JSON cannot hold."""
        request = build(PutMemoryRequest, user_id=self._user_id, key=key, value_json=to_json(value))
        await self._sessions.put_memory(request, **options)

    async def delete(self, key: str, **options: Unpack[CallOptions]) -> None:
        """Removes a key and its value. Raises NotFound when the key has none."""
        await self._sessions.delete_memory(build(DeleteMemoryRequest, user_id=self._user_id, key=key), **options)

    def items(self, prefix: str = "", **options: Unpack[CallOptions]) -> AsyncIterator[tuple[str, Any]]:
        """The keys that begin with `prefix`, sorted, each with its value."""
        memories = self._sessions.iterate_memories(self._user_id, key_prefix=prefix, **options)
        return ((memory.key, json.loads(memory.value_json)) async for memory in memories)

    def __aiter__(self) -> AsyncIterator[str]:
        """The keys, sorted."""
        return (key async for key, _ in self.items())
