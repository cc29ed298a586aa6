"""Media: the rules that both of OpenAI's dialects share."""

from __future__ import annotations

from proto import models_pb2
from services.models.providers.openai.common.translation import OpenAITranslation

FILE_NAMES = {
    "application/pdf": "document.pdf",
    "application/json": "document.json",
    "text/csv": "document.csv",
    "text/html": "document.html",
    "text/markdown": "document.md",
    "text/plain": "document.txt",
}
"""Names for documents that have none: OpenAI wants one beside the bytes."""


def drop_citations(media: models_pb2.Media, path: str, translation: OpenAITranslation) -> None:
    """Adds a notice if citations of documents are enabled: only Anthropic has them."""
    if media.enable_citations:
        problem = f"{translation.traits.title} cites no passages of documents; it was not sent"
        translation.warn_dropped(f"{path}.enable_citations", problem)
