"""The blocks of Messages that come back with the parts of an answer, kept as the provider's opaque state."""

from __future__ import annotations

import msgspec

from proto import models_pb2
from services.models.providers.state.opaque_state import read_head
from services.shared import json_text

THINKING_BLOCKS = frozenset({"thinking", "redacted_thinking"})
"""Blocks of reasoning. They take no cache mark."""

OWN_BLOCKS = THINKING_BLOCKS | {"tool_use", "container_upload", "compaction", "fallback", "mcp_tool_listing"}
TOOL_BLOCKS = ("_tool_use", "_tool_result")
"""What an answer holds beside texts (`ContentBlock` and `BetaContentBlock` of anthropic 2.12), and the ends of names of
what the provider's own tools are asked and what they answer, later ones too. A `tool_result` is the caller's."""


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
    """Whether the state of a part is a thought that nobody signed, as servers of other models than Claude give."""
    block = _read(part.provider_state.data)
    return block.type == "thinking" and not block.signature


def type_of(block: msgspec.Raw) -> str:
    """The type of a block that is the provider's own."""
    return _read(bytes(block)).type


def has_mark(block: msgspec.Raw) -> bool:
    """Whether such a block says already that a cached prefix ends with it, or that none does."""
    return bool(bytes(_read(bytes(block)).cache_control))


def _read(data: bytes) -> _Block:
    """What is read of a block, which may be large. Empty for what cannot be read."""
    try:
        return json_text.decode_exactly(data, _Block)
    except json_text.Malformed:
        return _Block()
