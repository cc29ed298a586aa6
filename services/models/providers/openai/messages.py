"""ChatMessages → the messages of Chat Completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proto import models_pb2
from services.models.providers.base import Conversation
from services.models.providers.container_state import container_in
from services.models.providers.openai.cache import mark, refuse_mark
from services.models.providers.openai.content import PlacedPart, encode_content, join_texts, place
from services.models.providers.openai.kept_items import is_told_by_its_part, owned_item
from services.models.providers.openai.media import encode_media
from services.models.providers.openai.tool_results import Result, read_results
from services.models.providers.openai.translation import Translation

Message = dict[str, Any]


def encode_messages(conversation: Conversation, translation: Translation) -> list[Message]:
    """The messages in their order. Media of tool results follow the results of their turn in a user message."""
    messages: list[Message] = []
    moved: list[Any] = []
    path, message = "", None
    for path, message in conversation.numbered():
        if message.role == "tool":
            if message.name:
                problem = "Chat Completions takes no name beside what a tool answered; it was not sent"
                translation.tell("NAME_DROPPED", f"{path}.name", problem)
            if not message.parts:
                messages.append(_tool_message(message.tool_call_id, message.content))
                continue
            for result in read_results(message, path, translation):
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
    """Whether the conversation ends with the beginning of an answer, for the model to go on with."""
    if not messages or messages[-1]["role"] != "assistant":
        return False
    return bool(messages[-1]["content"]) and "tool_calls" not in messages[-1]


def _message(message: models_pb2.ChatMessage, path: str, translation: Translation) -> Message:
    role = translation.role_of(message)
    encoded: Message = {"role": role}
    if not message.parts:
        # The common form; as parts it says the same.
        encoded["content"] = message.content
        if role == "assistant":
            _add_calls(encoded, message.tool_calls)
    elif role == "assistant":
        _add_answer(encoded, place(message.parts, f"{path}.parts"), translation)
    else:
        encoded["content"] = _content(place(message.parts, f"{path}.parts"), translation)
    if message.name:
        encoded["name"] = message.name
    return encoded


def _content(parts: Sequence[PlacedPart], translation: Translation) -> str | list[Any]:
    return encode_content(parts, translation, "text", encode_media)


# ------------------------------------------------------------------------------------------------------- assistant


def _add_answer(encoded: Message, parts: Sequence[PlacedPart], translation: Translation) -> None:
    """Adds what an assistant said."""
    texts: list[PlacedPart] = []
    refusals: list[str] = []
    calls: list[models_pb2.ToolCall] = []
    for here, part in parts:
        refuse_mark(part, here, "what an assistant said", translation)
        _tell_of_loss(here, part, translation)
        kind = part.WhichOneof("kind")
        if kind == "text":
            texts.append((here, part))
        elif kind == "refusal" and translation.traits.takes_refusals:
            refusals.append(part.refusal)
        elif kind == "refusal":
            texts.append((here, models_pb2.ContentPart(text=part.refusal)))
        elif kind == "tool_call":
            calls.append(part.tool_call)
        elif kind == "media":
            translation.refuse(f"{here}.media", "Chat Completions takes media of users and of tool results only")
    encoded["content"] = join_texts(texts)
    if refusals:
        encoded["refusal"] = "".join(refusals)
    _add_calls(encoded, calls)


def _tell_of_loss(path: str, part: models_pb2.ContentPart, translation: Translation) -> None:
    """Names what a part loses here: reasoning all of it, others the state that a provider wants back with them."""
    if part.HasField("reasoning"):
        problem = "Chat Completions takes no earlier reasoning; this part was not sent"
        translation.tell("REASONING_DROPPED", path, problem)
    elif part.HasField("provider_state") and not _says_no_more(part, translation):
        lost = "the part was sent without its state" if part.WhichOneof("kind") else "the part holds nothing else"
        translation.tell("PROVIDER_STATE_DROPPED", path, f"Chat Completions takes back no state of providers; {lost}")


def _says_no_more(part: models_pb2.ContentPart, translation: Translation) -> bool:
    """Whether nothing of the conversation is lost with a part's state."""
    return container_in(part) is not None or is_told_by_its_part(owned_item(part, translation.target))


def _add_calls(encoded: Message, calls: Sequence[models_pb2.ToolCall]) -> None:
    if calls:
        encoded["tool_calls"] = [_tool_call(call) for call in calls]
        # An assistant turn of tool calls alone has null content in OpenAI's own transcripts.
        encoded["content"] = encoded["content"] or None


def _tool_call(call: models_pb2.ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments_json or "{}"}
    return {"id": call.id, "type": "function", "function": function}


# ---------------------------------------------------------------------------------------------------- tool results


def _tool_message(call_id: str, content: str | list[Any]) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _texts(result: Result, translation: Translation) -> str | list[Any]:
    return _content([(path, part) for path, part in result.content if not part.HasField("media")], translation)


def _moved_media(result: Result, translation: Translation) -> list[Any]:
    """The media of a result as content of a user message, which says whose they are."""
    media = [(path, part) for path, part in result.content if part.HasField("media")]
    if not media:
        return []
    for path, _ in media:
        problem = "Chat Completions takes only text of a tool; this part was sent in a user message behind the results"
        translation.tell("TOOL_RESULT_MEDIA_MOVED", path, problem)
    introduction = {"type": "text", "text": f"From the result of tool call {result.call_id}:"}
    encoded = (
        mark(encode_media(part.media, f"{path}.media", translation), part, path, translation) for path, part in media
    )
    return [introduction, *encoded]
