"""Tool calls of a message, and the calls that it answers. By the contract, `parts` win over the short form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proto.models_pb2 import ChatMessage, ToolCall


def calls_of(message: ChatMessage) -> Iterable[ToolCall]:
    """The tool calls that a message makes."""
    if message.parts:
        return [part.tool_call for part in message.parts if part.HasField("tool_call")]
    return message.tool_calls


def answered_ids(message: ChatMessage) -> Iterator[str]:
    """The ids of the tool calls that a message answers; its own `tool_call_id` first, and once."""
    if message.tool_call_id and has_own_result(message):
        yield message.tool_call_id
    yield from (part.tool_result.tool_call_id for part in message.parts if part.HasField("tool_result"))


def has_own_result(message: ChatMessage) -> bool:
    """Whether a tool's message answers its own `tool_call_id`: with its text, or with parts other than results."""
    return not message.parts or not all(part.HasField("tool_result") for part in message.parts)
