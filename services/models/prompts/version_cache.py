"""The versions of prompts that were asked for by number, kept as long as there is room."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from proto.models_pb2 import Prompt
from services.models.prompts.record import PromptLine

MAX_BYTES = 32 * 1024 * 1024


class _Kept(NamedTuple):
    prompt: Prompt
    revision: int
    size: int


class RecentVersions:
    """Those that were asked for last, of no more than so many bytes. Knows only what its callers have read."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._free = max_bytes
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()

    def find(self, line: PromptLine, version: int) -> Prompt | None:
        """The version as it was when the line was as it is now."""
        kept = self._kept.get((line.name, version))
        if kept is None or kept.revision != line.revision:
            return None
        self._kept.move_to_end((line.name, version))
        return kept.prompt

    def keep(self, line: PromptLine, prompt: Prompt) -> None:
        """Keeps a version, and forgets those that were asked for longest ago."""
        self._forget((line.name, prompt.version))
        size = prompt.ByteSize()
        self._kept[line.name, prompt.version] = _Kept(prompt, line.revision, size)
        self._free -= size
        while self._free < 0:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[str, int]) -> None:
        kept = self._kept.pop(key, None)
        if kept:
            self._free += kept.size
