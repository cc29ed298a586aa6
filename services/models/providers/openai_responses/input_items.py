"""Messages → the items of a request's input. https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers import json_text
from services.models.providers.base import Conversation
from services.models.providers.openai.content import PlacedPart, encode_content, place_message
from services.models.providers.openai.kept_items import owned_item, takes_back
from services.models.providers.openai.tool_results import Result, read_results
from services.models.providers.openai.translation import Translation
from services.models.providers.openai_responses.assistant_items import Item, encode_answer, encode_message
from services.models.providers.openai_responses.media import encode_media

OUTPUT_TYPES = {"custom_tool_call": "custom_tool_call_output"}
"""What answers a call of a type; all others are answered by a `function_call_output`."""


class _KeptCall(msgspec.Struct):
    """What the answer to a call that was kept as OpenAI's state takes over from it."""

    type: str = ""
    caller: dict[str, Any] | None = None
    """The program of OpenAI's that made the call, where it was not the model itself."""


KeptCalls = dict[str, _KeptCall]
"""By their ids."""


def encode_input(conversation: Conversation, translation: Translation) -> list[Item]:
    """The messages in their order; one that calls tools, or reasons, becomes several items, and an empty answer none,
    unless there is nothing else."""
    items: list[Item] = []
    kept_calls: KeptCalls = {}
    for path, message in conversation.numbered():
        if message.name:
            problem = "OpenAI's Responses takes no names of speakers; it was not sent"
            translation.tell("NAME_DROPPED", f"{path}.name", problem)
        if message.role == "assistant":
            items.extend(encode_answer(message, path, translation))
            kept_calls.update(_kept_calls(message, translation))
        elif message.role == "tool":
            results = read_results(message, path, translation)
            items.extend(_output(result, kept_calls, translation) for result in results)
        else:
            items.append(_message(message, path, translation))
    return items or [encode_message("")]


def _message(message: models_pb2.ChatMessage, path: str, translation: Translation) -> Item:
    return {"role": translation.role_of(message), "content": _content(place_message(message, path), translation)}


def _content(parts: Sequence[PlacedPart], translation: Translation) -> str | list[Any]:
    return encode_content(parts, translation, "input_text", encode_media)


# ---------------------------------------------------------------------------------------------------- tool results


def _output(result: Result, kept_calls: KeptCalls, translation: Translation) -> Item:
    call = kept_calls.get(result.call_id, _KeptCall())
    kind = OUTPUT_TYPES.get(call.type, "function_call_output")
    output = {"type": kind, "call_id": result.call_id, "output": _content(result.content, translation)}
    return {**output, "caller": call.caller} if call.caller else output


def _kept_calls(message: models_pb2.ChatMessage, translation: Translation) -> Iterator[tuple[str, _KeptCall]]:
    """The calls in an assistant's message that go back in OpenAI's own form."""
    if not takes_back(message, translation.target, adapts=translation.adapts):
        return
    for part in message.parts:
        item = owned_item(part, translation.target) if part.HasField("tool_call") else b""
        if item:
            yield part.tool_call.id, _read_kept_call(item)


def _read_kept_call(item: bytes) -> _KeptCall:
    try:
        return json_text.decode_exactly(item, _KeptCall)
    except json_text.Malformed:
        return _KeptCall()
