"""An assistant's message → the items of a request's input.

https://platform.openai.com/docs/guides/reasoning#keeping-reasoning-items-in-context
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers.openai.common.cache import drop_breakpoint
from services.models.providers.openai.common.opaque_items import (
    accepts_items,
    has_owned_item,
    is_represented_by_part,
    owned_item,
)
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.parts import PlacedPart, place
from services.models.providers.requests.provider_state import refuse_forged_state
from services.models.providers.state.container_state import container_in

Item = Any
"""An item: a dict to encode, or raw JSON to embed."""


def encode_answer(message: models_pb2.ChatMessage, path: str, translation: OpenAITranslation) -> Iterator[Item]:
    """The items of an assistant's message, in its order; empty for an empty message."""
    if not message.parts:
        # The common form; parts with the same content give the same items.
        if message.content:
            yield encode_message(message.content)
        yield from map(_function_call, message.tool_calls)
        return
    parts = place(message.parts, f"{path}.parts")
    kept_items = _returned_items(message, parts, translation)
    said: list[models_pb2.ContentPart] = []
    newest_item = b""
    for (here, part), item in zip(parts, kept_items, strict=True):
        drop_breakpoint(part, here, "what an assistant said", translation)
        if not item and not part.HasField("tool_call"):
            said.append(part)
            continue
        yield from _spoken(said)
        said = []
        if not item:
            yield _function_call(part.tool_call)
        elif item != newest_item:
            # An item of several parts is kept with each of them, and sent once.
            yield msgspec.Raw(item)
        newest_item = item
    yield from _spoken(said)


def encode_message(content: str | list[Any]) -> Item:
    """A message of an assistant's."""
    # OpenAI does without the type; llama.cpp takes no message of an assistant's for one that lacks it.
    return {"type": "message", "role": "assistant", "content": content}


# ----------------------------------------------------------------------------------------------------------- state


def _returned_items(
    message: models_pb2.ChatMessage, parts: Sequence[PlacedPart], translation: OpenAITranslation
) -> list[bytes]:
    """The item that is sent back for each part that has one. Other parts that lose their state have a notice."""
    if not any(part.HasField("provider_state") or part.HasField("reasoning") for _, part in parts):
        return [b""] * len(parts)
    target = translation.target
    owned = [_own_item(here, part, translation) for here, part in parts]
    returned = list(owned)
    if not accepts_items(message, target, adapts=translation.adapts):
        problem, returned = f"{target.model} takes no earlier reasoning", [b""] * len(owned)
    else:
        problem = "the answer ended within this reasoning, which OpenAI takes back only with what came of it"
        _leave_out_last_thoughts(parts, returned)
    for (here, part), own, item in zip(parts, owned, returned, strict=True):
        if not item:
            _warn_of_loss(here, part, own, problem, translation)
    return returned


def _own_item(path: str, part: models_pb2.ContentPart, translation: OpenAITranslation) -> bytes:
    """The item of a part that OpenAI made. A forged one is refused; in a session's history it is left out."""
    item = owned_item(part, translation.target)
    if not item and has_owned_item(part, translation.target):
        refuse_forged_state(path, translation)
    return item


def _leave_out_last_thoughts(parts: Sequence[PlacedPart], items: list[bytes]) -> None:
    """Removes reasoning without a following item: OpenAI refuses an "item of type 'reasoning' […] without its
    required following item", in this turn and in every later one."""
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index][1]
        if part.HasField("reasoning"):
            items[index] = b""
        elif items[index] or part.HasField("tool_call") or part.text or part.refusal:
            return


def _warn_of_loss(
    path: str, part: models_pb2.ContentPart, own: bytes, problem: str, translation: OpenAITranslation
) -> None:
    """Adds a notice for a part that is sent without its state; `problem` is the reason if the state is OpenAI's own."""
    if part.HasField("reasoning"):
        theirs = "reasoning can only go back to the provider that made it, in its own form"
        translation.warn("REASONING_DROPPED", path, f"{problem if own else theirs}; this part was not sent")
    elif part.HasField("provider_state") and container_in(part) is None and not is_represented_by_part(own):
        reason = problem if own else "only the provider that made it can read this part's state"
        lost = "the part was sent without its state" if part.WhichOneof("kind") else "the part holds nothing else"
        translation.warn("PROVIDER_STATE_DROPPED", path, f"{reason}; {lost}")


# ----------------------------------------------------------------------------------------------------- our own forms


def _spoken(parts: Sequence[models_pb2.ContentPart]) -> Iterator[Item]:
    """Consecutive texts of an assistant as one message; empty if there are none."""
    spoken = [part for part in parts if part.text or part.refusal]
    if any(part.refusal for part in spoken):
        yield encode_message([_spoken_part(part) for part in spoken])
    elif spoken:
        yield encode_message("".join(part.text for part in spoken))


def _spoken_part(part: models_pb2.ContentPart) -> dict[str, Any]:
    if part.refusal:
        return {"type": "refusal", "refusal": part.refusal}
    return {"type": "output_text", "text": part.text, "annotations": []}


def _function_call(call: models_pb2.ToolCall) -> Item:
    arguments = call.arguments_json or "{}"
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}
