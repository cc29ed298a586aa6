"""ChatMessages → the messages of Chat Completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proto import models_pb2
from services.models.providers.base import Conversation
from services.models.providers.openai.chat_completions.media import encode_media
from services.models.providers.openai.chat_completions.returned_members import Call, Returned
from services.models.providers.openai.common.cache import drop_breakpoint, with_breakpoint
from services.models.providers.openai.common.content import encode_content, join_texts
from services.models.providers.openai.common.tool_results import results_with_notices
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.parts import PlacedPart, place
from services.models.providers.requests.tool_results import Result
from services.models.providers.state.member_state import REASONING_NAMES

Message = dict[str, Any]

NO_REASONING = " "
"""Stand-in for missing reasoning, for a model that wants some. Kimi takes no empty one."""
REASONING_MEMBERS = frozenset(REASONING_NAMES) | {"reasoning_details"}


def encode_messages(conversation: Conversation, translation: OpenAITranslation) -> list[Message]:
    """The messages in their order. Media of tool results follow the results of their turn in a user message."""
    messages: list[Message] = []
    moved: list[Any] = []
    path, message = "", None
    for path, message in conversation.numbered():
        if message.role == "tool":
            if message.name:
                problem = "Chat Completions takes no name beside what a tool answered; it was not sent"
                translation.warn("NAME_DROPPED", f"{path}.name", problem)
            if not message.parts:
                messages.append(_tool_message(message.tool_call_id, message.content))
                continue
            for result in results_with_notices(message, path, translation):
                messages.append(_tool_message(result.call_id, _texts(result, translation)))
                moved += _moved_media(result, translation)
            continue
        if moved:
            messages.append({"role": "user", "content": moved})
            moved = []
        messages.append(_message(message, path, translation))
    if moved:
        messages.append({"role": "user", "content": moved})
    if message is not None and message.role == "assistant" and not translation.target.facts.prefill:
        problem = f"{translation.target.model} does not go on with an assistant's message; end with a user message"
        translation.refuse(path, problem)
    return messages


def continues_answer(messages: Sequence[Message]) -> bool:
    """Whether the conversation ends with the beginning of an answer, which the model continues."""
    if not messages or messages[-1]["role"] != "assistant":
        return False
    return bool(messages[-1]["content"]) and "tool_calls" not in messages[-1]


def _message(message: models_pb2.ChatMessage, path: str, translation: OpenAITranslation) -> Message:
    role = translation.role_of(message)
    encoded: Message = {"role": role}
    if not message.parts:
        # The common form; as parts it says the same.
        encoded["content"] = message.content
        if role == "assistant":
            _add_calls(encoded, [Call(call) for call in message.tool_calls], translation)
    elif role == "assistant":
        _add_answer(encoded, place(message.parts, f"{path}.parts"), translation)
    else:
        encoded["content"] = _content(place(message.parts, f"{path}.parts"), translation)
    if message.name:
        encoded["name"] = message.name
    return encoded


def _content(parts: Sequence[PlacedPart], translation: OpenAITranslation) -> str | list[Any]:
    return encode_content(parts, translation, "text", encode_media)


# ------------------------------------------------------------------------------------------------------- assistant


def _add_answer(encoded: Message, parts: Sequence[PlacedPart], translation: OpenAITranslation) -> None:
    """Adds an assistant's message, with the kept members that its server wants back."""
    texts: list[PlacedPart] = []
    refusals: list[str] = []
    calls: list[Call] = []
    returned = Returned(translation)
    for here, part in parts:
        drop_breakpoint(part, here, "what an assistant said", translation)
        kept = returned.take(here, part)
        kind = part.WhichOneof("kind")
        if kind == "text":
            texts.append((here, part))
        elif kind == "refusal" and translation.traits.takes_refusals:
            refusals.append(part.refusal)
        elif kind == "refusal":
            texts.append((here, models_pb2.ContentPart(text=part.refusal)))
        elif kind == "tool_call":
            calls.append(Call(part.tool_call, kept))
        elif kind == "media":
            translation.refuse(f"{here}.media", "Chat Completions takes media of users and of tool results only")
    text = join_texts(texts)
    encoded["content"] = text
    if returned.thoughts:
        encoded["content"] = [*returned.thoughts, *([{"type": "text", "text": text}] if text else [])]
    if refusals:
        encoded["refusal"] = "".join(refusals)
    encoded.update(returned.members())
    _add_calls(encoded, calls, translation)


def _add_calls(encoded: Message, calls: Sequence[Call], translation: OpenAITranslation) -> None:
    if calls:
        wanted = translation.target.facts.returned_reasoning
        if wanted and encoded.keys().isdisjoint(REASONING_MEMBERS):
            encoded[wanted] = NO_REASONING
        encoded["tool_calls"] = [_tool_call(call) for call in calls]
        # An assistant turn of tool calls alone has null content in OpenAI's own transcripts.
        encoded["content"] = encoded["content"] or None


def _tool_call(call: Call) -> dict[str, Any]:
    said, kept = call
    function = {"name": said.name, "arguments": said.arguments_json or "{}"}
    if kept is None:
        return {"id": said.id, "type": "function", "function": function}
    return {"id": said.id, "type": "function", "function": {**function, **kept.function}, **kept.call}


# ---------------------------------------------------------------------------------------------------- tool results


def _tool_message(call_id: str, content: str | list[Any]) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _texts(result: Result, translation: OpenAITranslation) -> str | list[Any]:
    return _content([(path, part) for path, part in result.content if not part.HasField("media")], translation)


def _moved_media(result: Result, translation: OpenAITranslation) -> list[Any]:
    """The media of a result as content of a user message, which names the tool call."""
    media = [(path, part) for path, part in result.content if part.HasField("media")]
    if not media:
        return []
    for path, _ in media:
        problem = "Chat Completions takes only text of a tool; this part was sent in a user message behind the results"
        translation.warn("TOOL_RESULT_MEDIA_MOVED", path, problem)
    introduction = {"type": "text", "text": f"From the result of tool call {result.call_id}:"}
    encoded = (
        with_breakpoint(encode_media(part.media, f"{path}.media", translation), part, path, translation)
        for path, part in media
    )
    return [introduction, *encoded]
