"""Content parts of Chat Completions with media → Media.

https://developers.openai.com/api/docs/guides/images-vision, …/guides/audio and …/guides/pdf-files; videos and sounds by
URL: https://docs.vllm.ai/en/latest/features/multimodal_inputs.html
"""

from __future__ import annotations

import binascii
import mimetypes

from proto import models_pb2
from services.models.faces.chat_completions.body import Audio, File, Part, Url
from services.models.faces.shapes import Problems
from services.models.providers.requests.content import IMAGE_EXTENSIONS

BY_URL = {"image_url": "image/jpeg", "audio_url": "audio/mpeg", "video_url": "video/mp4"}
"""The types of parts with a URL. Each has a media type that says its kind, where the URL does not: it is not sent."""
AUDIO_TYPES = {"mp3": "audio/mpeg"}
MEDIA_MEMBERS = {*BY_URL, "input_audio", "file"}
"""The types of parts with media; the member that holds them has the same name."""

PDF = "application/pdf"


def read_media(part: Part, media: models_pb2.Media, path: str, problems: Problems) -> None:
    """Reads the member at `path` into `media`."""
    value: str | Url | Audio | File | None = getattr(part, part.type)
    if value is None:
        problems.add(path, "is required")
    elif isinstance(value, Audio):
        media.mime_type = AUDIO_TYPES.get(value.format, f"audio/{value.format}")
        _read_bytes(value.data, media, f"{path}.data", problems)
    elif isinstance(value, File):
        _read_file(value, media, path, problems)
    elif isinstance(value, str):
        _read_url(Url(value), media, part.type, path, problems)
    else:
        _read_url(value, media, part.type, f"{path}.url", problems)


def _read_url(given: Url, media: models_pb2.Media, kind: str, path: str, problems: Problems) -> None:
    if given.detail:
        media.detail = given.detail
    if _holds_data(given.url):
        media.mime_type = BY_URL[kind]
        _read_data_url(given.url, media, path, problems)
        return
    media.url = given.url
    is_known = kind == "image_url" and given.url.partition("?")[0].lower().endswith(IMAGE_EXTENSIONS)
    if not is_known:
        media.mime_type = BY_URL[kind]


def _read_file(file: File, media: models_pb2.Media, path: str, problems: Problems) -> None:
    media.filename = file.filename or ""
    if file.file_id:
        media.file_id = file.file_id
        return
    media.mime_type = mimetypes.guess_type(media.filename)[0] or PDF
    if not file.file_data:
        problems.add(path, "needs file_data or file_id")
    elif _holds_data(file.file_data):
        _read_data_url(file.file_data, media, f"{path}.file_data", problems)
    else:
        _read_bytes(file.file_data, media, f"{path}.file_data", problems)


def _holds_data(url: str) -> bool:
    return url[:5].lower() == "data:"


def _read_data_url(url: str, media: models_pb2.Media, path: str, problems: Problems) -> None:
    """Reads a URL that holds the media, and may name their type."""
    head, comma, data = url[5:].partition(",")
    named, *parameters = head.split(";")
    if not comma or not parameters or parameters[-1].strip().lower() != "base64":
        problems.add(path, "must be an http or https URL, or a data URL in base64")
        return
    if named.strip():
        media.mime_type = named.strip().lower()
    _read_bytes(data, media, path, problems)


def _read_bytes(text: str, media: models_pb2.Media, path: str, problems: Problems) -> None:
    try:
        media.data = _decode(text)
    except (binascii.Error, ValueError):
        problems.add(path, "is not base64")
        return
    if not media.data:
        problems.add(path, "is empty")


def _decode(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        # Some encoders break lines, and some leave out the padding.
        packed = "".join(text.split()).rstrip("=")
        return binascii.a2b_base64(packed + "=" * (-len(packed) % 4), strict_mode=True)
