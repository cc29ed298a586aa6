"""Prompt-cache breakpoints → `cache_control`. https://platform.claude.com/docs/en/build-with-claude/prompt-caching

Which ones are sent depends on their order in the body, which is not that of the request: tools come first, then the
system text, then the conversation. So a block is wrapped when its part is encoded, and marked when all blocks are in
their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from proto import models_pb2
from services.models.providers.requests.translation import Translation
from services.shared import json_text

Block = Any
"""A content block or a tool: a dict to encode, raw JSON to embed, or either of them `MarkedBlock`."""

MAX_BREAKPOINTS = 4
FIVE_MINUTES = 300
ONE_HOUR = 3600


class MarkedBlock(NamedTuple):
    """A block with a breakpoint of the request, which is marked later."""

    block: Block
    cache: models_pb2.PromptCache
    path: str
    """The field that holds the breakpoint."""


class CacheBreakpoints:
    """The breakpoints of one request: at most four are sent, and none of one hour after one of five minutes."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._any = False
        self._short_before = False

    def mark(self, block: Block, owner: models_pb2.ContentPart | models_pb2.ToolDefinition, path: str) -> Block:
        """The block of the part or tool at `path`, wrapped if that has a breakpoint."""
        if not owner.HasField("cache"):
            return block
        self._any = True
        return MarkedBlock(block, owner.cache, f"{path}.cache")

    def drop(self, part: models_pb2.ContentPart, path: str, what: str) -> None:
        """Adds a notice for a breakpoint at a place where Messages allows none: it is not sent."""
        if part.HasField("cache"):
            problem = f"Messages takes no cache mark on {what}; it was sent without"
            self._translation.warn_dropped(f"{path}.cache", problem)

    def place(self, *lists: list[Block]) -> None:
        """Puts the breakpoints on the blocks of `lists`, which stand in the order of the body, and unwraps them.

        Each covers all that is before it, so the last ones are kept if there are too many.
        """
        if not self._any:
            return
        places = [place for blocks in lists for place in _marked_places(blocks)]
        for number, (blocks, index) in enumerate(places, 1):
            marked: MarkedBlock = blocks[index]
            if number > len(places) - MAX_BREAKPOINTS:
                blocks[index] = _with_control(marked.block, self._control(marked))
                continue
            blocks[index] = marked.block
            message = f"Messages takes at most {MAX_BREAKPOINTS} cache marks; the last ones were sent"
            self._translation.warn_dropped(marked.path, message)

    def _control(self, marked: MarkedBlock) -> dict[str, str]:
        if not marked.cache.HasField("ttl"):
            self._short_before = True
            return {"type": "ephemeral"}
        return {"type": "ephemeral", "ttl": self._lifetime(marked.cache, f"{marked.path}.ttl")}

    def _lifetime(self, cache: models_pb2.PromptCache, field: str) -> str:
        seconds = cache.ttl.seconds + cache.ttl.nanos / 1e9
        is_long = seconds - FIVE_MINUTES > ONE_HOUR - seconds
        if is_long and self._short_before:
            message = "Messages takes no mark for an hour after one for five minutes; five minutes were sent"
            self._translation.warn_changed(field, message)
            return "5m"
        if seconds not in (FIVE_MINUTES, ONE_HOUR):
            nearest = "an hour was" if is_long else "five minutes were"
            self._translation.warn_changed(field, f"Messages keeps for five minutes or an hour; {nearest} sent")
        if is_long:
            return "1h"
        self._short_before = True
        return "5m"


def bare(block: Block) -> Block:
    """The block itself, marked or not."""
    return block.block if isinstance(block, MarkedBlock) else block


def _marked_places(blocks: list[Block]) -> Iterator[tuple[list[Block], int]]:
    """The places of the marked blocks in a list, those within tool results included, in their order."""
    for index, block in enumerate(blocks):
        inner = bare(block)
        content = inner.get("content") if isinstance(inner, dict) else None
        if isinstance(content, list):
            yield from _marked_places(content)
        if isinstance(block, MarkedBlock):
            yield blocks, index


def _with_control(block: Block, control: dict[str, str]) -> Block:
    """The block with its breakpoint, which is written behind the last member of raw JSON."""
    if isinstance(block, msgspec.Raw):
        return msgspec.Raw(bytes(block).rstrip()[:-1] + b',"cache_control":' + json_text.encode(control) + b"}")
    return {**block, "cache_control": control}
