"""Messages → the items of a request's input. https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers.base import Conversation
from services.models.providers.openai.common.content import encode_content
from services.models.providers.openai.common.opaque_items import accepts_items, has_owned_item, owned_item
from services.models.providers.openai.common.tool_results import results_with_notices
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.openai.responses.assistant_items import Item, encode_answer, encode_message
from services.models.providers.openai.responses.media import encode_media
from services.models.providers.requests.parts import PlacedPart, place
from services.shared import json_text

FUNCTION_OUTPUT = "function_call_output"
OUTPUT_TYPES = {"custom_tool_call": "custom_tool_call_output"}
"""Types of outputs by type of call; all other calls are answered by a `function_call_output`."""


class _KeptCall(msgspec.Struct):
    """Members of a kept call that its output takes over."""

    type: str = ""
    caller: msgspec.Raw = msgspec.Raw(b"")
    """OpenAI's program that made the call, if the model did not make it itself."""


KeptCalls = dict[str, _KeptCall]
"""Kept calls by their ids."""


def encode_input(conversation: Conversation, translation: OpenAITranslation) -> list[Item]:
    """The items of the messages, in order. A message with tool calls or reasoning becomes several items. An empty
    answer becomes none, unless it is the only message."""
    items: list[Item] = []
    kept_calls: KeptCalls = {}
    for path, message in conversation.numbered():
        if message.name:
            problem = "OpenAI's Responses takes no names of speakers; it was not sent"
            translation.warn("NAME_DROPPED", f"{path}.name", problem)
        if message.role == "assistant":
            items.extend(encode_answer(message, path, translation))
            kept_calls.update(_kept_calls(message, translation))
        elif message.role == "tool":
            items.extend(_outputs(message, path, kept_calls, translation))
        else:
            items.append(_message(message, path, translation))
    return items or [encode_message("")]


def _message(message: models_pb2.ChatMessage, path: str, translation: OpenAITranslation) -> Item:
    parts = message.parts
    content = _content(place(parts, f"{path}.parts"), translation) if parts else message.content
    return {"role": translation.role_of(message), "content": content}


def _content(parts: Sequence[PlacedPart], translation: OpenAITranslation) -> str | list[Any]:
    return encode_content(parts, translation, "input_text", encode_media)


# ---------------------------------------------------------------------------------------------------- tool results


def _outputs(
    message: models_pb2.ChatMessage, path: str, kept_calls: KeptCalls, translation: OpenAITranslation
) -> Iterator[Item]:
    if not message.parts:
        yield _output(message.tool_call_id, message.content, kept_calls)
        return
    for result in results_with_notices(message, path, translation):
        yield _output(result.call_id, _content(result.content, translation), kept_calls)


def _output(call_id: str, content: str | list[Any], kept_calls: KeptCalls) -> Item:
    call = kept_calls.get(call_id)
    if call is None:
        return {"type": FUNCTION_OUTPUT, "call_id": call_id, "output": content}
    output = {"type": OUTPUT_TYPES.get(call.type, FUNCTION_OUTPUT), "call_id": call_id, "output": content}
    return {**output, "caller": call.caller} if bytes(call.caller).startswith(b"{") else output


def _kept_calls(message: models_pb2.ChatMessage, translation: OpenAITranslation) -> Iterator[tuple[str, _KeptCall]]:
    """The calls in an assistant's message that go back in OpenAI's own form."""
    target = translation.target
    calls = [part for part in message.parts if part.HasField("tool_call") and has_owned_item(part, target)]
    if calls and accepts_items(message, target, adapts=translation.adapts):
        for part in calls:
            yield part.tool_call.id, _read_kept_call(owned_item(part, target))


def _read_kept_call(item: bytes) -> _KeptCall:
    try:
        return json_text.decode_exactly(item, _KeptCall)
    except json_text.Malformed:
        return _KeptCall()
