"""Media → image and document blocks.

https://platform.claude.com/docs/en/build-with-claude/vision, /pdf-support and /citations
"""

from __future__ import annotations

import base64
from typing import Any

from proto import models_pb2
from services.models.providers.anthropic.notices import Notices, dropped
from services.models.providers.content import fit_media_type, media_kind
from services.shared.errors import InvalidRequest

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF = "application/pdf"
TEXT_TYPES = frozenset({"application/json", "application/xml", "application/yaml"})
"""Texts that are not called so. They are sent as plain text, like every `text/…`."""


def media_block(media: models_pb2.Media, path: str, notices: Notices) -> dict[str, Any]:
    """The block for `media`, the field at `path`. Raises InvalidRequest for what Messages does not read."""
    kind = media_kind(media)
    if media.detail not in ("", "auto"):
        notices.append(dropped(f"{path}.detail", f"Messages has no setting for it; the {kind} was sent without"))
    if kind == "image":
        if media.HasField("enable_citations"):
            message = "Messages cites documents only; the image was sent without"
            notices.append(dropped(f"{path}.enable_citations", message))
        return {"type": "image", "source": _image_source(media, path, notices)}
    if kind != "document":
        raise InvalidRequest.field(path, f"is {kind}, which Messages does not take; send images, PDFs or texts")
    block: dict[str, Any] = {"type": "document", "source": _document_source(media, path)}
    if media.filename:
        block["title"] = media.filename
    if media.HasField("enable_citations"):
        block["citations"] = {"enabled": media.enable_citations}
    return block


def _image_source(media: models_pb2.Media, path: str, notices: Notices) -> dict[str, Any]:
    if not media.HasField("data"):
        return _reference(media)
    media_type = fit_media_type(media, path, notices)
    if media_type not in IMAGE_TYPES:
        raise InvalidRequest.field(f"{path}.mime_type", f"must be one of {', '.join(sorted(IMAGE_TYPES))}")
    return _base64(media_type, media.data)


def _document_source(media: models_pb2.Media, path: str) -> dict[str, Any]:
    media_type = _media_type(media)
    is_text = media_type.startswith("text/") or media_type in TEXT_TYPES
    if media.HasField("file_id"):
        return _reference(media)
    if media.HasField("url"):
        if media_type not in ("", PDF):
            raise InvalidRequest.field(
                f"{path}.url", f"Messages fetches PDFs only; send the {media_type} itself in data"
            )
        return _reference(media)
    if media_type == PDF:
        return _base64(PDF, media.data)
    if not is_text:
        raise InvalidRequest.field(f"{path}.mime_type", f"must be an image type, {PDF}, or a text type")
    try:
        text = media.data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest.field(f"{path}.data", "is not UTF-8, in which Messages takes texts") from None
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
