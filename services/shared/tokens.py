"""Tokens of a message, estimated by the same rule in all services: by bytes of UTF-8.

Bytes fit all scripts better than characters do: a Chinese character has three bytes, and takes about as many tokens as
three Latin letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proto.models_pb2 import ChatMessage, ContentPart, ToolCall

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
"""Tokens of the frame that a provider adds to each message."""
TOKENS_PER_MEDIA = 1000
"""Approximate tokens of an image."""

LARGE_BYTES = 1024 * 1024
"""Size from which on texts are measured in their serialized form: to decode them would block other calls."""


class Measure(NamedTuple):
    """The size of a message, or of a part of one."""

    text: int = 0
    """Bytes of text."""
    media: int = 0
    parts: int = 0
    """Parts and tool calls, with those of tool results."""

    @property
    def tokens(self) -> int:
        """The estimated tokens of a message of this size."""
        return TOKENS_PER_MESSAGE + estimate_tokens(self.text) + self.media * TOKENS_PER_MEDIA


def estimate_tokens(text_bytes: int) -> int:
    """The estimated tokens of a text with this size in bytes."""
    return -(-text_bytes // BYTES_PER_TOKEN)


def text_bytes(text: str) -> int:
    """The length of a text in bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def text_message_tokens(message: ChatMessage) -> int:
    """The estimated tokens of a message of text alone, as `measure` has them."""
    size = message.ByteSize()
    return TOKENS_PER_MESSAGE + estimate_tokens(size if size >= LARGE_BYTES else text_bytes(message.content))


def measure(message: ChatMessage, size: int) -> Measure:
    """Measures a message of `size` bytes."""
    roughly = size >= LARGE_BYTES
    if message.parts:
        text, media, parts = _measure_parts(message.parts, roughly)
        return Measure(text, media, parts + len(message.tool_calls))
    if roughly:
        return Measure(size, parts=len(message.tool_calls))
    text = text_bytes(message.content) + sum(map(_call_length, message.tool_calls))
    return Measure(text, parts=len(message.tool_calls))


def _measure_parts(parts: Sequence[ContentPart], roughly: bool) -> Measure:
    text = media = 0
    count = len(parts)
    for part in parts:
        kind = part.WhichOneof("kind")
        if kind == "media":
            media += 1
        elif kind == "tool_result":
            inner = _measure_parts(part.tool_result.content, roughly)
            text, media, count = text + inner.text, media + inner.media, count + inner.parts
        elif kind == "tool_call":
            text += _call_length(part.tool_call)
        elif kind and roughly:
            text += part.ByteSize() - part.provider_state.ByteSize()
        elif kind:
            text += text_bytes(part.text) + text_bytes(part.refusal) + text_bytes(part.reasoning.text)
    return Measure(text, media, count)


def _call_length(call: ToolCall) -> int:
    return len(call.name) + text_bytes(call.arguments_json)
