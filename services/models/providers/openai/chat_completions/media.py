"""Media parts → content parts of Chat Completions.

https://developers.openai.com/api/docs/guides/images-vision, …/guides/audio and …/guides/pdf-files; for videos, and
sounds by URL, https://docs.vllm.ai/en/latest/features/multimodal_inputs.html
"""

from __future__ import annotations

import base64
from typing import Any

from proto import models_pb2
from services.models.providers.openai.common.media import FILE_NAMES, drop_citations
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.content import fit_media_type, media_kind

AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}


def encode_media(media: models_pb2.Media, path: str, translation: OpenAITranslation) -> dict[str, Any] | None:
    """The content part for `media`, the field at `path`, or None after a refusal of unsupported media."""
    drop_citations(media, path, translation)
    _drop_detail(media, path, translation)
    kind, source = media_kind(media), media.WhichOneof("source")
    if kind == "document":
        return _file(media, path, translation)
    audio_format = AUDIO_FORMATS.get(media.mime_type.lower())
    if audio_format and source == "data":
        return {"type": "input_audio", "input_audio": {"data": _base64(media), "format": audio_format}}
    member = translation.traits.media_by_url.get(kind)
    if member is None:
        takes = "only wav and mp3, as bytes in data" if kind == "audio" else f"no {kind}"
        translation.refuse(path, f"{translation.traits.title} takes {takes}")
        return None
    if source == "file_id":
        problem = "Chat Completions takes file ids of documents only; send a url, or the bytes as data"
        translation.refuse(f"{path}.file_id", problem)
        return None
    reference = {"url": media.url or _data_url(media, fit_media_type(media, path, translation.notices))}
    if media.detail and kind == "image":
        reference["detail"] = media.detail
    return {"type": member, member: reference}


def _drop_detail(media: models_pb2.Media, path: str, translation: OpenAITranslation) -> None:
    """Adds a notice if a resolution is set for media other than images: only images have one."""
    if media.detail not in ("", "auto") and media_kind(media) != "image":
        problem = "Chat Completions has no setting for it but on images; it was not sent"
        translation.warn_dropped(f"{path}.detail", problem)


def _file(media: models_pb2.Media, path: str, translation: OpenAITranslation) -> dict[str, Any] | None:
    if not translation.traits.takes_files:
        translation.refuse(path, f"{translation.traits.title} takes no documents; send what is in it as text")
        return None
    source = media.WhichOneof("source")
    if source == "url":
        problem = "Chat Completions fetches no documents; send the bytes as data, or a file_id"
        translation.refuse(f"{path}.url", problem)
        return None
    if source == "file_id":
        return {"type": "file", "file": {"file_id": media.file_id}}
    name = media.filename or FILE_NAMES.get(media.mime_type.lower(), "document")
    return {"type": "file", "file": {"file_data": _data_url(media, media.mime_type.lower()), "filename": name}}


def _data_url(media: models_pb2.Media, mime_type: str) -> str:
    return f"data:{mime_type};base64,{_base64(media)}"


def _base64(media: models_pb2.Media) -> str:
    return base64.b64encode(media.data).decode("ascii")
