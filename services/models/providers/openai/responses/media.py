"""Media → input_image and input_file. https://platform.openai.com/docs/guides/images-vision and /pdf-files"""

from __future__ import annotations

import base64
from typing import Any

from proto import models_pb2
from services.models.providers.openai.common.media import FILE_NAMES, drop_citations
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.content import fit_media_type, media_kind


def encode_media(media: models_pb2.Media, path: str, translation: OpenAITranslation) -> dict[str, Any]:
    """The content part for `media`, the field at `path`; media that Responses does not accept are refused."""
    drop_citations(media, path, translation)
    kind = media_kind(media)
    if kind == "image":
        # OpenAI's type requires this member, although the documentation has a default for it.
        mime_type = fit_media_type(media, path, translation.notices) if media.HasField("data") else ""
        source = _source(media, mime_type, "image_url", "image_url")
        return {"type": "input_image", "detail": media.detail or "auto", **source}
    if kind != "document":
        translation.refuse(path, f"is {kind}, which OpenAI's Responses does not take; send images and documents")
    part: dict[str, Any] = {"type": "input_file", **_source(media, media.mime_type.lower(), "file_url", "file_data")}
    if media.HasField("data"):
        part["filename"] = media.filename or FILE_NAMES.get(media.mime_type.lower(), "document")
    if media.detail:
        part["detail"] = media.detail
    return part


def _source(media: models_pb2.Media, mime_type: str, url_member: str, data_member: str) -> dict[str, str]:
    if media.HasField("file_id"):
        return {"file_id": media.file_id}
    if media.HasField("url"):
        return {url_member: media.url}
    return {data_member: f"data:{mime_type};base64,{base64.b64encode(media.data).decode('ascii')}"}
