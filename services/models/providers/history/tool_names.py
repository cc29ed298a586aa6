"""Names of tools, fitted to a provider.

A name that it would refuse is replaced by a derived one in the tools, in the tool choice and in the calls of the
history; answers call the tools by the names that the caller gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from proto import models_pb2
from services.models.providers.base import Conversation
from services.models.providers.names import ToolNameRules
from services.models.providers.notices import Notices, notice
from services.shared.tool_calls import calls_of


def fit_tool_names(
    conversation: Conversation, rules: ToolNameRules, notices: Notices
) -> tuple[Conversation, Mapping[str, str]]:
    """The conversation with names that the provider accepts, and the caller's name for each replaced one. The same
    conversation if nothing had to change."""
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
        notices.append(notice("TOOL_NAME_CHANGED", f"tools[{index}].name", text))
    if odd and request.tool_choice.WhichOneof("choice") == "tool_name":
        request.tool_choice.tool_name = rules.fit(request.tool_choice.tool_name)
    messages = [_renamed(message, rules) for message in conversation.messages]
    if not odd and all(new is old for new, old in zip(messages, conversation.messages, strict=True)):
        return conversation, {}
    return replace(conversation, request=request, messages=messages), given


def _renamed(message: models_pb2.ChatMessage, rules: ToolNameRules) -> models_pb2.ChatMessage:
    if all(rules.take(named.name) for named in _named_in(message)):
        return message
    renamed = models_pb2.ChatMessage()
    renamed.CopyFrom(message)
    for named in _named_in(renamed):
        named.name = rules.fit(named.name)
    return renamed


def _named_in(message: models_pb2.ChatMessage) -> Iterator[models_pb2.ToolCall | models_pb2.ToolResult]:
    """The calls, and the results that name their tool."""
    if message.role == "assistant":
        yield from calls_of(message)
        if message.parts:
            yield from message.tool_calls
    elif message.role == "tool":
        yield from (part.tool_result for part in message.parts if part.tool_result.name)
