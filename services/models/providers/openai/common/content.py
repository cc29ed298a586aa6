"""Content of a message, in the forms that both of OpenAI's dialects share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proto import models_pb2
from services.models.providers.openai.common.cache import drop_breakpoint, has_breakpoint, with_breakpoint
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.parts import PlacedPart

EncodeMedia = Callable[[models_pb2.Media, str, OpenAITranslation], dict[str, Any] | None]
"""A dialect's own form of media; None after a refusal."""


def join_texts(parts: Iterable[PlacedPart]) -> str:
    return "".join(part.text for _, part in parts)


def encode_content(
    parts: Sequence[PlacedPart], translation: OpenAITranslation, text_type: str, encode_media: EncodeMedia
) -> str | list[Any]:
    """One text if all parts are texts, as in the short form; otherwise the list of the encoded parts."""
    if not any(part.HasField("media") or has_breakpoint(part, translation) for _, part in parts):
        return join_texts(parts)
    content: list[Any] = []
    for path, part in parts:
        if part.HasField("media"):
            content.append(
                with_breakpoint(encode_media(part.media, f"{path}.media", translation), part, path, translation)
            )
        elif part.text:
            content.append(with_breakpoint({"type": text_type, "text": part.text}, part, path, translation))
        else:
            drop_breakpoint(part, path, "an empty text", translation)
    return content
