"""What is remembered for a user between sessions, awaited: Python values under keys, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Unpack

from genai_platform.building import build
from genai_platform.calls import CallOptions
from genai_platform.pages import read_async_pages
from genai_platform.session_requests import PAGE_SIZE, to_json
from proto.sessions_pb2 import DeleteMemoryRequest, ListMemoriesRequest, PutMemoryRequest

if TYPE_CHECKING:
    from genai_platform.async_sessions import AsyncSessions


class AsyncUserMemory:
    """The values of one user. Every method is a call: nothing is held here."""

    def __init__(self, sessions: AsyncSessions, user_id: str) -> None:
        self._sessions = sessions
        self._user_id = user_id

    async def get(self, key: str, default: Any = None, **options: Unpack[CallOptions]) -> Any:
        """The value of a key; `default` when there is none."""
        # The key itself is the first of all that begin with it.
        request = build(ListMemoriesRequest, user_id=self._user_id, key_prefix=key, page_size=1)
        for memory in (await self._sessions.list_memories(request, **options)).memories:
            if memory.key == key:
                return json.loads(memory.value_json)
        return default

    async def set(self, key: str, value: Any, **options: Unpack[CallOptions]) -> None:
        """Stores a value, in place of the one that the key had. Raises TypeError or ValueError for what is no JSON."""
        request = build(PutMemoryRequest, user_id=self._user_id, key=key, value_json=to_json(value))
        await self._sessions.put_memory(request, **options)

    async def delete(self, key: str, **options: Unpack[CallOptions]) -> None:
        """Removes a value. Raises NotFound when there is none."""
        await self._sessions.delete_memory(build(DeleteMemoryRequest, user_id=self._user_id, key=key), **options)

    def items(self, prefix: str = "", **options: Unpack[CallOptions]) -> AsyncIterator[tuple[str, Any]]:
        """The keys that begin with `prefix`, in their order, with their values."""
        request = build(ListMemoriesRequest, user_id=self._user_id, key_prefix=prefix, page_size=PAGE_SIZE)
        memories = read_async_pages(self._sessions.list_memories, request, lambda page: page.memories, options)
        return ((memory.key, json.loads(memory.value_json)) async for memory in memories)

    def __aiter__(self) -> AsyncIterator[str]:
        """The keys, in their order."""
        return (key async for key, _ in self.items())
