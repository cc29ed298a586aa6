"""Names of tools as a provider takes them.

What it would refuse is replaced by a name that is made of it, in the tools, in the choice between them and in the calls
of the history; answers call the tools by the names that the caller gave.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from proto import models_pb2
from services.models.providers.history.tool_turns import Notices
from services.shared.tool_calls import calls_of

if TYPE_CHECKING:
    from services.models.providers.base import Conversation

HASH_LENGTH = 8
_NOT_PLAIN = re.compile("[^A-Za-z0-9_-]")


class ToolNameRules(NamedTuple):
    """Which names a provider takes."""

    pattern: re.Pattern[str]
    max_length: int

    def take(self, name: str) -> bool:
        return len(name) <= self.max_length and bool(self.pattern.fullmatch(name))

    def fit(self, name: str) -> str:
        """The name, or one that is made of it: the same in every request, and another for every name."""
        if self.take(name):
            return name
        plain = _NOT_PLAIN.sub("_", name)[: self.max_length - HASH_LENGTH - 2]
        # Some want a letter at the beginning, or an underscore.
        plain = plain if plain[:1].isalpha() else f"_{plain}"
        return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:HASH_LENGTH]}"


OPENAI_NAMES = ToolNameRules(re.compile("[A-Za-z0-9_-]+"), 64)
"""`FunctionDefinition` of openai 3.54."""
ANTHROPIC_NAMES = ToolNameRules(re.compile("[A-Za-z0-9_-]+"), 128)
"""https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use"""
GEMINI_NAMES = ToolNameRules(re.compile("[A-Za-z_][A-Za-z0-9_.:-]*"), 64)
"""https://ai.google.dev/api/caching#FunctionDeclaration"""


def fit_tool_names(
    conversation: Conversation, rules: ToolNameRules, notices: Notices
) -> tuple[Conversation, Mapping[str, str]]:
    """The conversation with names that the provider takes, and for each that was replaced in the tools what the caller
    calls it. The same conversation where nothing had to change."""
    request = conversation.request
    odd = [index for index, tool in enumerate(request.tools) if tool.name and not rules.take(tool.name)]
    if odd:
        request = models_pb2.ChatRequest()
        request.CopyFrom(conversation.request)
    given: dict[str, str] = {}
    for index in odd:
        name = request.tools[index].name
        fitted = request.tools[index].name = rules.fit(name)
        given[fitted] = name
        text = f"the provider takes other names of tools; it was sent as {fitted}, and answers call it by its own name"
        notices.append(models_pb2.Notice(code="TOOL_NAME_CHANGED", field=f"tools[{index}].name", message=text))
    if odd and request.tool_choice.WhichOneof("choice") == "tool_name":
        request.tool_choice.tool_name = rules.fit(request.tool_choice.tool_name)
    messages = [_renamed(message, rules) for message in conversation.messages]
    if not odd and all(new is old for new, old in zip(messages, conversation.messages, strict=True)):
        return conversation, {}
    return replace(conversation, request=request, messages=messages), given


def _renamed(message: models_pb2.ChatMessage, rules: ToolNameRules) -> models_pb2.ChatMessage:
    if message.role != "assistant" or all(rules.take(call.name) for call in _calls_in(message)):
        return message
    renamed = models_pb2.ChatMessage()
    renamed.CopyFrom(message)
    for call in _calls_in(renamed):
        call.name = rules.fit(call.name)
    return renamed


def _calls_in(message: models_pb2.ChatMessage) -> Iterator[models_pb2.ToolCall]:
    yield from calls_of(message)
    if message.parts:
        yield from message.tool_calls
