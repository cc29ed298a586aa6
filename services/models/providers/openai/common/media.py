"""Media, as far as both of OpenAI's dialects say them alike."""

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


def refuse_citations(media: models_pb2.Media, path: str, translation: OpenAITranslation) -> None:
    """Says that passages of a document are cited nowhere but at Anthropic, if they are wanted."""
    if media.enable_citations:
        problem = f"{translation.traits.title} cites no passages of documents; it was not sent"
        translation.warn_dropped(f"{path}.enable_citations", problem)
