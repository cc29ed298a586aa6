"""What a message holds, in the forms that both of OpenAI's dialects share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proto import models_pb2
from services.models.providers.openai.common.cache import is_marked, mark, refuse_mark
from services.models.providers.openai.common.translation import OpenAITranslation

PlacedPart = tuple[str, models_pb2.ContentPart]
"""A part with its path."""

EncodeMedia = Callable[[models_pb2.Media, str, OpenAITranslation], dict[str, Any] | None]
"""A dialect's own form of media; None after a refusal."""


def place(parts: Iterable[models_pb2.ContentPart], path: str) -> list[PlacedPart]:
    """The parts of the list at `path`."""
    return [(f"{path}[{index}]", part) for index, part in enumerate(parts)]


def join_texts(parts: Iterable[PlacedPart]) -> str:
    return "".join(part.text for _, part in parts)


def encode_content(
    parts: Sequence[PlacedPart], translation: OpenAITranslation, text_type: str, encode_media: EncodeMedia
) -> str | list[Any]:
    """One text where there is nothing else, as in the short form; otherwise every part in its place."""
    if not any(part.HasField("media") or is_marked(part, translation) for _, part in parts):
        return join_texts(parts)
    content: list[Any] = []
    for path, part in parts:
        if part.HasField("media"):
            content.append(mark(encode_media(part.media, f"{path}.media", translation), part, path, translation))
        elif part.text:
            content.append(mark({"type": text_type, "text": part.text}, part, path, translation))
        else:
            refuse_mark(part, path, "an empty text", translation)
    return content
