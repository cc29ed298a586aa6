"""Blocks of an answer, and the parts of a message that they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from proto import models_pb2
from services.models.providers.answers.text_pieces import Pieces

BlockKind = Literal["text", "reasoning", "refusal", "tool_call", "opaque"]


@dataclass(slots=True)
class Block:
    """One block of an answer: a text, reasoning, a refusal, a tool call, or opaque state."""

    kind: BlockKind
    held: Pieces = field(default_factory=Pieces)
    call_index: int = 0
    call_id: str = ""
    call_name: str = ""
    state: models_pb2.ProviderState | None = None
    redacted: bool = False
    citations_json: str = ""

    def part_bytes(self) -> int:
        """The approximate size of the part that the block becomes."""
        return self.held.utf8_bytes() + len(self.citations_json) + (len(self.state.data) if self.state else 0)


def fits_short_form(blocks: list[Block]) -> bool:
    """Whether `content` and `tool_calls` hold all blocks: at most one text, before the calls, no state or citations."""
    for place, block in enumerate(blocks):
        if block.state or block.citations_json:
            return False
        if block.kind != "tool_call" and (block.kind != "text" or place > 0):
            return False
    return True


def fill_part(part: models_pb2.ContentPart, block: Block) -> None:
    part.citations_json = block.citations_json
    if block.state is not None:
        part.provider_state.CopyFrom(block.state)
    if block.kind == "text":
        part.text = block.held.text()
    elif block.kind == "reasoning" or (block.kind == "opaque" and block.redacted):
        part.reasoning.text = block.held.text()
        part.reasoning.redacted = block.redacted
    elif block.kind == "refusal":
        part.refusal = block.held.text()
    elif block.kind == "tool_call":
        fill_call(part.tool_call, block)


def fill_call(call: models_pb2.ToolCall, block: Block) -> None:
    call.id = block.call_id
    call.name = block.call_name
    call.arguments_json = block.held.text()
