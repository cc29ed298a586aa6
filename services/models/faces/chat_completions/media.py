"""Content parts of Chat Completions with media → Media.

https://developers.openai.com/api/docs/guides/images-vision, …/guides/audio and …/guides/pdf-files; videos and sounds by
URL: https://docs.vllm.ai/en/latest/features/multimodal_inputs.html
"""

from __future__ import annotations

import base64
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


def read_media(part: Part, path: str, problems: Problems) -> models_pb2.Media | None:
    """The media in the member at `path`; None if they cannot be read."""
    value: str | Url | Audio | File | None = getattr(part, part.type)
    if value is None:
        problems.add(path, "is required")
    elif isinstance(value, Audio):
        return _by_value(value.data, AUDIO_TYPES.get(value.format, f"audio/{value.format}"), f"{path}.data", problems)
    elif isinstance(value, File):
        return _file(value, path, problems)
    elif isinstance(value, str):
        return _by_url(Url(value), part.type, path, problems)
    else:
        return _by_url(value, part.type, f"{path}.url", problems)
    return None


def _by_url(given: Url, kind: str, path: str, problems: Problems) -> models_pb2.Media | None:
    if given.url[:5].lower() == "data:":
        media = _data_url(given.url, BY_URL[kind], path, problems)
    else:
        media = models_pb2.Media(url=given.url, mime_type=_type_of_url(given.url, kind))
    if media is not None and given.detail:
        media.detail = given.detail
    return media


def _type_of_url(url: str, kind: str) -> str:
    is_known = kind == "image_url" and url.partition("?")[0].lower().endswith(IMAGE_EXTENSIONS)
    return "" if is_known else BY_URL[kind]


def _file(file: File, path: str, problems: Problems) -> models_pb2.Media | None:
    filename = file.filename or ""
    if file.file_id:
        return models_pb2.Media(file_id=file.file_id, filename=filename)
    if not file.file_data:
        problems.add(path, "needs file_data or file_id")
        return None
    mime_type = mimetypes.guess_type(filename)[0] or PDF
    if file.file_data[:5].lower() == "data:":
        media = _data_url(file.file_data, mime_type, f"{path}.file_data", problems)
    else:
        media = _by_value(file.file_data, mime_type, f"{path}.file_data", problems)
    if media is not None:
        media.filename = filename
    return media


def _data_url(url: str, mime_type: str, path: str, problems: Problems) -> models_pb2.Media | None:
    """The media in a URL that holds them; `mime_type` is theirs if it names none."""
    head, comma, data = url[5:].partition(",")
    named, *parameters = head.split(";")
    if not comma or not parameters or parameters[-1].strip().lower() != "base64":
        problems.add(path, "must be an http or https URL, or a data URL in base64")
        return None
    return _by_value(data, named.strip().lower() or mime_type, path, problems)


def _by_value(text: str, mime_type: str, path: str, problems: Problems) -> models_pb2.Media | None:
    # Encoders break lines, and some leave out the padding.
    packed = "".join(text.split()).rstrip("=")
    try:
        data = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        problems.add(path, "is not base64")
        return None
    if not data:
        problems.add(path, "is empty")
        return None
    return models_pb2.Media(data=data, mime_type=mime_type)
