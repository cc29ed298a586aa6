"""Content of a message, or of a tool's output, as parts of the contract.

https://platform.openai.com/docs/guides/images-vision and /pdf-files
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from proto import models_pb2
from services.models.faces.shapes import Problems, begins_with
from services.models.providers.requests.content import media_kind

TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
IMAGE, FILE, AUDIO, REFUSAL = "input_image", "input_file", "input_audio", "refusal"

AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}

DETAILS = {"original": "high"}
"""OpenAI's words for the resolution of images that the contract does not have, and the nearest that it has."""

_UNNAMED_IMAGE = "image/png"
"""The media type of an image that only its source knows: it says that it is one."""


class PlacedPart(NamedTuple):
    """A part, and its path in the body."""

    part: models_pb2.ContentPart
    path: str


class _Audio(msgspec.Struct):
    data: str | None = None
    format: str | None = None


class _Part(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    detail: str | None = None
    input_audio: _Audio | None = None


_PARTS = msgspec.json.Decoder(list[_Part])
_STRING = msgspec.json.Decoder(str)


class ContentReader:
    """Reads the contents of one body."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def read(self, raw: msgspec.Raw, path: str) -> str | list[PlacedPart]:
        """The text, or the parts, of the content at `path`."""
        if begins_with(raw, b'"'):
            return self._problems.read(raw, _STRING, path) or ""
        return list(self._parts(raw, path))

    def _parts(self, raw: msgspec.Raw, path: str) -> Iterator[PlacedPart]:
        parts = self._problems.read(raw, _PARTS, path)
        for index, read in enumerate(parts or ()):
            here = f"{path}[{index}]"
            part = self._part(read, here)
            if part is not None:
                yield PlacedPart(part, here)

    def _part(self, read: _Part, path: str) -> models_pb2.ContentPart | None:
        kind = read.type
        if kind in TEXTS:
            return self._text(read.text, f"{path}.text")
        if kind == REFUSAL:
            return models_pb2.ContentPart(refusal=read.refusal or "")
        if kind == IMAGE:
            return self._image(read, path)
        if kind == FILE:
            return self._file(read, path)
        if kind == AUDIO and read.input_audio:
            return self._audio(read.input_audio, f"{path}.input_audio")
        known = "input_text, input_image, input_file or input_audio"
        self._problems.add(f"{path}.type", f"must be {known}" if kind else f"is required: {known}")
        return None

    def _text(self, text: str | None, path: str) -> models_pb2.ContentPart | None:
        if text is None:
            self._problems.add(path, "is required")
            return None
        return models_pb2.ContentPart(text=text)

    def _image(self, read: _Part, path: str) -> models_pb2.ContentPart | None:
        media = models_pb2.Media(detail=DETAILS.get(read.detail or "", read.detail or ""))
        if read.image_url:
            if not self._fill_from_url(media, read.image_url, f"{path}.image_url"):
                return None
        elif read.file_id:
            media.file_id = read.file_id
        else:
            self._problems.add(f"{path}.image_url", "is required, unless there is a file_id")
            return None
        if media_kind(media) != "image":
            if media.HasField("data"):
                self._problems.add(f"{path}.image_url", "must be an image")
                return None
            media.mime_type = _UNNAMED_IMAGE
        return models_pb2.ContentPart(media=media)

    def _file(self, read: _Part, path: str) -> models_pb2.ContentPart | None:
        media = models_pb2.Media(filename=read.filename or "", detail=read.detail or "")
        if read.file_data:
            if not self._fill_from_data(media, read.file_data, f"{path}.file_data"):
                return None
        elif read.file_url:
            if not self._fill_from_url(media, read.file_url, f"{path}.file_url"):
                return None
        elif read.file_id:
            media.file_id = read.file_id
        else:
            self._problems.add(f"{path}.file_data", "is required, unless there is a file_url or a file_id")
            return None
        return models_pb2.ContentPart(media=media)

    def _audio(self, read: _Audio, path: str) -> models_pb2.ContentPart | None:
        mime_type = AUDIO_TYPES.get(read.format or "")
        if mime_type is None:
            self._problems.add(f"{path}.format", "must be mp3 or wav")
            return None
        media = models_pb2.Media(mime_type=mime_type)
        filled = self._fill_decoded(media, read.data or "", f"{path}.data")
        return models_pb2.ContentPart(media=media) if filled else None

    def _fill_from_url(self, media: models_pb2.Media, url: str, path: str) -> bool:
        """Sets the source of media; False if the URL is of no kind that has one."""
        if url[:5].lower() == "data:":
            return self._fill_from_data(media, url, path)
        media.url = url
        return True

    def _fill_from_data(self, media: models_pb2.Media, text: str, path: str) -> bool:
        if text[:5].lower() != "data:":
            media.mime_type = mimetypes.guess_type(media.filename)[0] or "application/pdf"
            return self._fill_decoded(media, text, path)
        head, comma, encoded = text[5:].partition(",")
        mime_type, _, encoding = head.partition(";")
        if not comma or not encoding.lower().endswith("base64"):
            self._problems.add(path, "must be a data URL in Base64: data:image/png;base64,…")
            return False
        media.mime_type = mime_type
        return self._fill_decoded(media, encoded, path)

    def _fill_decoded(self, media: models_pb2.Media, encoded: str, path: str) -> bool:
        try:
            media.data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            self._problems.add(path, "is not valid Base64")
            return False
        if not media.data:
            self._problems.add(path, "is empty")
            return False
        return True
