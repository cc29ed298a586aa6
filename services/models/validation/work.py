"""The work that a request makes: how much there is to check and to encode, known before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from proto import models_pb2
from services.models.validation.limits import MAX_OPTIONS, MAX_PARTS, MAX_TOOLS
from services.shared.offload import LARGE_BYTES

FEW_BYTES = 4 * 1024
"""What is no larger is checked within some 2 ms, whatever it is made of: a crowd of such requests holds up nobody."""

JSON_WORK = 16
"""How many times as long JSON takes to be checked, or taken apart, as plain text, at worst."""
PART_WORK = 2048
"""How much plain text takes as long as a part of a message, or a call."""
MESSAGE_WORK = 512
"""The same of a message."""


def count_parts(message: models_pb2.ChatMessage) -> int:
    """How many parts and tool calls a message has, the contents of tools' results included."""
    count = len(message.parts) + len(message.tool_calls)
    if message.role != "tool" or count > MAX_PARTS:
        return count
    return count + sum(len(part.tool_result.content) for part in message.parts)


class Contents(NamedTuple):
    """What the messages of a conversation hold, as far as somebody has looked."""

    parts: int = 0
    """How many parts and tool calls."""
    are_plain: bool = False
    """Whether all are text that is not blank, and no results of tools, as nearly all are: of those nothing more needs
    to be asked."""


UNSEEN = Contents()


def work_to_check(request: models_pb2.ChatRequest) -> int:
    """About how much there is to check, in bytes of plain text."""
    size = request.ByteSize()
    if size <= FEW_BYTES:
        return size
    tools = list(islice(request.tools, MAX_TOOLS))
    texts = [request.response_format.schema_json, *islice(request.provider_options_json.values(), MAX_OPTIONS)]
    texts += (text for tool in tools for text in (tool.parameters_json, tool.provider_tool.config_json))
    return message_work(request.messages, size) + JSON_WORK * sum(map(len, texts))


def message_work(messages: Sequence[models_pb2.ChatMessage], size: int) -> int:
    """The same of messages that have this size, no further than to what is large."""
    work = size + MESSAGE_WORK * len(messages)
    for message in messages:
        if work >= LARGE_BYTES:
            break
        work += PART_WORK * count_parts(message)
    return work
