"""The work of a request: the estimated effort to check and encode it, in bytes of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from proto import models_pb2
from services.models.validation.limits import MAX_OPTIONS, MAX_PARTS, MAX_TOOLS
from services.shared.offload import LARGE_BYTES

FEW_BYTES = 4 * 1024
"""Size up to which any request is checked within some 2 ms, so that even many of them do not block the loop."""

JSON_WORK = 16
"""Work of JSON as a multiple of plain text, at worst."""
PART_WORK = 2048
"""Work of a part of a message, or of a call."""
MESSAGE_WORK = 512
"""Work of a message."""


def texts_of_tool(tool: models_pb2.ToolDefinition) -> Iterator[str]:
    """The JSON of a tool: its schema, and what only some providers read."""
    yield tool.parameters_json
    yield tool.provider_tool.config_json
    if tool.provider_options_json:
        yield from islice(tool.provider_options_json.values(), MAX_OPTIONS)


def count_parts(message: models_pb2.ChatMessage) -> int:
    """The number of parts and tool calls of a message, with the contents of tool results."""
    count = len(message.parts) + len(message.tool_calls)
    if message.role != "tool" or count > MAX_PARTS:
        return count
    return count + sum(len(part.tool_result.content) for part in message.parts)


class Contents(NamedTuple):
    """The contents of a conversation's messages, as far as they have been checked."""

    parts: int = 0
    """The number of parts and tool calls."""
    are_plain: bool = False
    """Whether all messages are plain (see `content.is_plain`): they need no further checks."""


UNCHECKED = Contents()


def work_to_check(request: models_pb2.ChatRequest) -> int:
    """The estimated work to check a request."""
    size = request.ByteSize()
    if size <= FEW_BYTES:
        return size
    tools = list(islice(request.tools, MAX_TOOLS))
    texts = [request.response_format.schema_json, *islice(request.provider_options_json.values(), MAX_OPTIONS)]
    texts += (text for tool in tools for text in texts_of_tool(tool))
    return message_work(request.messages, size) + JSON_WORK * sum(map(len, texts))


def message_work(messages: Sequence[models_pb2.ChatMessage], size: int) -> int:
    """The estimated work to check messages of this size; counting stops at `LARGE_BYTES`."""
    work = size + MESSAGE_WORK * len(messages)
    for message in messages:
        if work >= LARGE_BYTES:
            break
        work += PART_WORK * count_parts(message)
    return work
