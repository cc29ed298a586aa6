"""A cache of prompt versions that were requested by number."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from proto.models_pb2 import Prompt
from services.models.prompts.record import PromptRecord
from services.models.prompts.rows import Key

MAX_BYTES = 32 * 1024 * 1024


class _Entry(NamedTuple):
    prompt: Prompt
    revision: int
    size: int


class RecentVersions:
    """A cache of the last used versions, bounded by bytes."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._free_bytes = max_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def find(self, record: PromptRecord, version: int) -> Prompt | None:
        """The cached version, if it belongs to the current revision of the record."""
        entry = self._entries.get((record.id, version))
        if entry is None or entry.revision != record.revision:
            return None
        self._entries.move_to_end((record.id, version))
        return entry.prompt

    def store(self, record: PromptRecord, prompt: Prompt) -> None:
        """Stores a version, and evicts the least recently used ones."""
        self._evict((record.id, prompt.version))
        size = prompt.ByteSize()
        self._entries[record.id, prompt.version] = _Entry(prompt, record.revision, size)
        self._free_bytes -= size
        while self._free_bytes < 0:
            self._evict(next(iter(self._entries)))

    def _evict(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry:
            self._free_bytes += entry.size
