"""Places of a body: the path in it of each field of the request that it became."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_MESSAGE = re.compile(r"messages\[(?P<message>\d+)\](?:\.parts\[(?P<part>\d+)\])?(?P<rest>.*)", re.DOTALL)
_TOOL = re.compile(r"(?P<tool>tools\[\d+\])(?P<rest>.*)", re.DOTALL)

_OF_BLOCKS = (
    (re.compile(r"\.tool_result\.content(\[\d+\])\.media"), r".content\1.source"),
    (re.compile(r"\.tool_result\.content"), ".content"),
    (re.compile(r"\.tool_result\.tool_call_id"), ".tool_use_id"),
    (re.compile(r"\.tool_result"), ""),
    (re.compile(r"\.media\.filename"), ".title"),
    (re.compile(r"\.media\.enable_citations"), ".citations.enabled"),
    (re.compile(r"\.media"), ".source"),
    (re.compile(r"\.mime_type"), ".media_type"),
    (re.compile(r"\.tool_call\.arguments_json"), ".input"),
    (re.compile(r"\.tool_call"), ""),
    (re.compile(r"\.provider_state.*"), ""),
    (re.compile(r"\.citations_json"), ".citations"),
    (re.compile(r"\.reasoning.*"), ".thinking"),
    (re.compile(r"\.cache\b"), ".cache_control"),
)
"""Names within a part and within a block, in the order in which they are replaced."""

_OF_TOOLS = {
    ".parameters_json": ".input_schema",
    ".provider_tool.type": ".type",
    ".cache": ".cache_control",
    ".cache.ttl": ".cache_control.ttl",
    ".name": ".name",
    ".description": ".description",
    ".strict": ".strict",
}

_OF_BODIES = {
    "config.parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "tool_choice.tool_name": "tool_choice.name",
    "tool_choice.mode": "tool_choice.type",
    "reasoning": "thinking",
    "reasoning.effort": "output_config.effort",
    "reasoning.budget_tokens": "thinking.budget_tokens",
    "reasoning.include_text": "thinking.display",
    "response_format": "output_config.format",
    "response_format.type": "output_config.format.type",
    "response_format.schema_json": "output_config.format.schema",
    "end_user_id": "metadata.user_id",
    "model": "model",
    "messages": "messages",
    "tools": "tools",
    "tool_choice": "tool_choice",
}


class MessagePlace(NamedTuple):
    """The place of one message of the request."""

    path: str
    """The member that it was read from."""
    blocks: Sequence[str] | None = None
    """The paths of the blocks that its parts were read from; None for a message without parts."""
    is_block: bool = False
    """Whether the path is that of a block, which is all that the message says."""


def path_in_body(field: str, messages: Sequence[MessagePlace]) -> str:
    """The path in the body of a field of the request; "" where it has none."""
    if found := _MESSAGE.fullmatch(field):
        index = int(found["message"])
        if index >= len(messages):
            return ""
        return _in_message(messages[index], found["part"], found["rest"])
    if found := _TOOL.fullmatch(field):
        return found["tool"] + _OF_TOOLS.get(found["rest"], "")
    if field.startswith("config."):
        return _OF_BODIES.get(field, field.removeprefix("config."))
    return _OF_BODIES.get(field, "")


def _in_message(place: MessagePlace, part: str | None, rest: str) -> str:
    if part is None:
        if place.is_block:
            return f"{place.path}.text" if rest == ".content" else place.path
        return place.path + rest if rest in (".role", ".content") and place.path != "system" else place.path
    if place.blocks is None or int(part) >= len(place.blocks):
        return place.path
    for name, replacement in _OF_BLOCKS:
        rest = name.sub(replacement, rest, count=1)
    return place.blocks[int(part)] + rest
