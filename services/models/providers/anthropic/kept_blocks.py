"""The blocks of Messages that come back with the parts of an answer, kept as the provider's opaque state."""

from __future__ import annotations

import msgspec

from proto import models_pb2
from services.models.providers.state.opaque_state import read_head
from services.shared import json_text

THINKING_BLOCKS = frozenset({"thinking", "redacted_thinking"})
"""Blocks of reasoning. They take no cache breakpoint."""

OWN_BLOCKS = THINKING_BLOCKS | {"tool_use", "container_upload", "compaction", "fallback", "mcp_tool_listing"}
TOOL_BLOCKS = ("_tool_use", "_tool_result")
"""Types of an answer's blocks beside texts (`ContentBlock` and `BetaContentBlock` of anthropic 2.12), and the ends of
the types of the provider's own tool calls and their results, later ones too. A `tool_result` is the caller's."""


class _Block(msgspec.Struct):
    type: str = ""
    signature: str | None = None
    text: str | None = None
    cache_control: msgspec.Raw = msgspec.Raw(b"")


def is_answer_block(part: models_pb2.ContentPart) -> bool:
    """Whether the state of a part is a block that only an answer has. A text is the part's own, with its sources."""
    head = read_head(part.provider_state.data)
    if head is None or head.role not in ("", "assistant"):
        return False
    if head.type == "text":
        return _read(part.provider_state.data).text == part.text
    return head.type in OWN_BLOCKS or head.type.endswith(TOOL_BLOCKS)


def is_unsigned_thought(part: models_pb2.ContentPart) -> bool:
    """True if the state of a part is an unsigned thought, as servers of other models than Claude give."""
    block = _read(part.provider_state.data)
    return block.type == "thinking" and not block.signature


def type_of(block: msgspec.Raw) -> str:
    """The type of a block that is the provider's own."""
    return _read(bytes(block)).type


def has_breakpoint(block: msgspec.Raw) -> bool:
    """Whether such a block already has the member `cache_control`, even if it is null."""
    return bool(bytes(_read(bytes(block)).cache_control))


def _read(data: bytes) -> _Block:
    """The members of a block that are read; the block may be large. Empty if it cannot be read."""
    try:
        return json_text.decode_exactly(data, _Block)
    except json_text.Malformed:
        return _Block()
