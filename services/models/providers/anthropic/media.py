"""Media → image and document blocks.

https://platform.claude.com/docs/en/build-with-claude/vision, /pdf-support and /citations
"""

from __future__ import annotations

import base64
from typing import Any

from proto import models_pb2
from services.models.providers.requests.content import fit_media_type, media_kind
from services.models.providers.requests.translation import Translation

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF = "application/pdf"
TEXT_TYPES = frozenset({"application/json", "application/xml", "application/yaml"})
"""Texts that are not called so. They are sent as plain text, like every `text/…`."""


def media_block(media: models_pb2.Media, path: str, translation: Translation) -> dict[str, Any]:
    """The block for `media`, the field at `path`. Refuses media that Messages does not accept."""
    kind = media_kind(media)
    if media.detail not in ("", "auto"):
        translation.warn_dropped(f"{path}.detail", f"Messages has no setting for it; the {kind} was sent without")
    if kind == "image":
        if media.HasField("enable_citations"):
            message = "Messages cites documents only; the image was sent without"
            translation.warn_dropped(f"{path}.enable_citations", message)
        return {"type": "image", "source": _image_source(media, path, translation)}
    block: dict[str, Any] = {"type": "document"}
    if kind != "document":
        translation.refuse(path, f"is {kind}, which Messages does not take; send images, PDFs or texts")
        return block
    block["source"] = _document_source(media, path, translation)
    if media.filename:
        block["title"] = media.filename
    if media.HasField("enable_citations"):
        block["citations"] = {"enabled": media.enable_citations}
    return block


def _image_source(media: models_pb2.Media, path: str, translation: Translation) -> dict[str, Any]:
    if not media.HasField("data"):
        return _reference(media)
    media_type = fit_media_type(media, path, translation.notices)
    if media_type not in IMAGE_TYPES:
        translation.refuse(f"{path}.mime_type", f"must be one of {', '.join(sorted(IMAGE_TYPES))}")
    return _base64(media_type, media.data)


def _document_source(media: models_pb2.Media, path: str, translation: Translation) -> dict[str, Any]:
    media_type = _media_type(media)
    is_text = media_type.startswith("text/") or media_type in TEXT_TYPES
    if media.HasField("file_id"):
        return _reference(media)
    if media.HasField("url"):
        if media_type not in ("", PDF):
            translation.refuse(f"{path}.url", f"Messages fetches PDFs only; send the {media_type} itself in data")
        return _reference(media)
    if media_type == PDF:
        return _base64(PDF, media.data)
    if not is_text:
        translation.refuse(f"{path}.mime_type", f"must be an image type, {PDF}, or a text type")
        return {}
    try:
        text = media.data.decode()
    except UnicodeDecodeError:
        translation.refuse(f"{path}.data", "is not UTF-8, in which Messages takes texts")
        return {}
    return {"type": "text", "media_type": "text/plain", "data": text}


def _reference(media: models_pb2.Media) -> dict[str, Any]:
    if media.HasField("file_id"):
        return {"type": "file", "file_id": media.file_id}
    return {"type": "url", "url": media.url}


def _base64(media_type: str, data: bytes) -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode("ascii")}


def _media_type(media: models_pb2.Media) -> str:
    """The media type without its parameters."""
    return media.mime_type.partition(";")[0].strip().lower()
