"""Transcripts: conversations and answers as plain text, for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from proto import models_pb2

MAX_CHARACTERS = 64 * 1024
"""Limit for a transcript. The end of a conversation is kept, because that is what the answer is to."""


class Transcript(NamedTuple):
    """A transcript."""

    text: str
    characters: int
    """Those of the whole, which is more than the text has if it was cut."""


def of_conversation(messages: Sequence[models_pb2.ChatMessage], limit: int = MAX_CHARACTERS) -> Transcript:
    """The transcript of messages: each as its role and its texts; of media only their kinds and sizes."""
    kept: list[str] = []
    characters = 0
    for message in reversed(messages):
        text = f"{message.role}: {_text_of(message)}\n"
        free = limit - characters
        if free > 0:
            kept.append(text if len(text) <= free else text[-free:])
        characters += len(text)
    return Transcript("".join(reversed(kept)), characters)


def of_answer(response: models_pb2.ChatResponse, limit: int = MAX_CHARACTERS) -> Transcript:
    """The transcript of an answer, of which the beginning is kept."""
    text = _text_of(response.message) if response.HasField("message") else response.text
    return Transcript(text[:limit], len(text))


def _text_of(message: models_pb2.ChatMessage) -> str:
    pieces = [message.content] if message.content else []
    pieces += _texts(message.parts)
    pieces += (_call(call) for call in message.tool_calls)
    return "\n".join(pieces)


def _texts(parts: Iterable[models_pb2.ContentPart]) -> Iterator[str]:
    for part in parts:
        kind = part.WhichOneof("kind")
        if kind == "text":
            yield part.text
        elif kind == "refusal":
            yield part.refusal
        elif kind == "media":
            yield _media(part.media)
        elif kind == "tool_call":
            yield _call(part.tool_call)
        elif kind == "tool_result":
            yield f"[result of {part.tool_result.name or part.tool_result.tool_call_id}]"
            yield from _texts(part.tool_result.content)
        elif kind == "reasoning":
            yield f"[reasoning] {part.reasoning.text}"


def _media(media: models_pb2.Media) -> str:
    source = media.WhichOneof("source")
    size = f", {len(media.data)} bytes" if source == "data" else ""
    return f"[{media.mime_type or 'media'}{size}]"


def _call(call: models_pb2.ToolCall) -> str:
    return f"[calls {call.name} with {call.arguments_json}]"
