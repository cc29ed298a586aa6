"""Paths of the body for fields of the contract, in which checks and dialects name what is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.models.faces.responses.input_items import MessagePlace

_MESSAGE = re.compile(r"messages\[(?P<index>\d+)\](?:\.parts\[(?P<part>\d+)\])?(?P<rest>.*)")
_TOOL = re.compile(r"tools\[(?P<index>\d+)\](?P<rest>.*)")

MEMBERS = {
    "model": "model",
    "messages": "input",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "reasoning": "reasoning",
    "prompt_cache_key": "prompt_cache_key",
    "response_format": "text.format",
    "response_format.type": "text.format.type",
    "response_format.name": "text.format.name",
    "response_format.strict": "text.format.strict",
    "response_format.schema_json": "text.format.schema",
    "reasoning.effort": "reasoning.effort",
    "reasoning.include_text": "reasoning.summary",
    "config.max_tokens": "max_output_tokens",
    "config.temperature": "temperature",
    "config.top_p": "top_p",
    "config.top_logprobs": "top_logprobs",
    "config.logprobs": "include",
    "config.parallel_tool_calls": "parallel_tool_calls",
}

OF_PARTS = {"tool_call.id": "call_id", "tool_call.name": "name", "tool_call.arguments_json": "arguments"}
OF_TOOLS = {"name": "name", "description": "description", "parameters_json": "parameters", "strict": "strict"}


class Paths:
    """The paths of one body."""

    def __init__(self, messages: Sequence[MessagePlace], tools: Sequence[str], user_member: str) -> None:
        self._messages = messages
        self._tools = tools
        self._user_member = user_member

    def path_of(self, field: str) -> str:
        """The path of a field; "" where it has none."""
        if field == "end_user_id":
            return self._user_member
        if found := _MESSAGE.fullmatch(field):
            return self._of_message(int(found["index"]), found["part"], found["rest"].removeprefix("."))
        if found := _TOOL.fullmatch(field):
            return self._of_tool(int(found["index"]), found["rest"].removeprefix("."))
        while field not in MEMBERS and "." in field:
            field = field.rpartition(".")[0]
        return MEMBERS.get(field, "")

    def _of_message(self, index: int, part: str | None, rest: str) -> str:
        if index >= len(self._messages):
            return "input"
        place = self._messages[index]
        if part is None or int(part) >= len(place.parts):
            return place.path
        path = place.parts[int(part)]
        return f"{path}.{OF_PARTS[rest]}" if rest in OF_PARTS else path

    def _of_tool(self, index: int, rest: str) -> str:
        if index >= len(self._tools):
            return "tools"
        path = self._tools[index]
        return f"{path}.{OF_TOOLS[rest]}" if rest in OF_TOOLS else path
