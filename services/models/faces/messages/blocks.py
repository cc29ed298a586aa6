"""Content blocks of a body by their shape. https://platform.claude.com/docs/en/api/messages/create"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from proto import models_pb2
from services.models.faces.shapes import ABSENT, Problems, is_given
from services.models.validation.limits import MAX_PARTS, MAX_PARTS_IN_ALL

LIFETIMES = {"5m": 300, "1h": 3600}
"""Seconds of the lifetimes of cached prompts, by their names."""

PDF = "application/pdf"
ANY_IMAGE = "image/png"
"""The media type of an image that the provider fetches: without one, it would be taken for a document."""


class CacheControl(msgspec.Struct):
    """A mark of a prompt's cached prefix."""

    ttl: str | None = None


class Head(msgspec.Struct):
    """The member that every block has."""

    type: str


class Text(msgspec.Struct):
    text: str
    cache_control: CacheControl | None = None
    citations: msgspec.Raw = ABSENT


class Source(msgspec.Struct):
    """The content of an image or a document."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None


class Citations(msgspec.Struct):
    enabled: bool | None = None


class Media(msgspec.Struct):
    """An image or a document."""

    source: Source
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: CacheControl | None = None


class ToolResult(msgspec.Struct):
    tool_use_id: str
    content: str | list[msgspec.Raw] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ToolReference(msgspec.Struct):
    tool_name: str


HEAD: msgspec.json.Decoder[Head] = msgspec.json.Decoder(Head)
TEXT: msgspec.json.Decoder[Text] = msgspec.json.Decoder(Text)
MEDIA: msgspec.json.Decoder[Media] = msgspec.json.Decoder(Media)
TOOL_RESULT: msgspec.json.Decoder[ToolResult] = msgspec.json.Decoder(ToolResult)
TOOL_REFERENCE: msgspec.json.Decoder[ToolReference] = msgspec.json.Decoder(ToolReference)


class Placed(NamedTuple):
    """A block with its place."""

    path: str
    kind: str
    raw: msgspec.Raw


class BlockReader:
    """Reads the blocks of one body; what is wrong in them are its problems."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._allowed = MAX_PARTS_IN_ALL

    def placed(self, blocks: list[msgspec.Raw], path: str) -> list[Placed]:
        """The blocks of a list that have a type; none of a list that is too long, which is a problem."""
        found: list[Placed] = []
        self._allowed -= len(blocks)
        if len(blocks) > MAX_PARTS or self._allowed < 0:
            problem = f"holds more than {MAX_PARTS} blocks, or more than {MAX_PARTS_IN_ALL} with those before it"
            self.problems.add(path, problem)
            return []
        for index, raw in enumerate(blocks):
            here = f"{path}[{index}]"
            head = self.problems.read(raw, HEAD, here)
            if head is not None:
                found.append(Placed(here, head.type, raw))
        return found

    def text(self, block: Placed) -> models_pb2.ContentPart | None:
        """The part of a text."""
        text = self.problems.read(block.raw, TEXT, block.path)
        if text is None:
            return None
        part = models_pb2.ContentPart(text=text.text)
        self.mark(part, text.cache_control, block.path)
        return part

    def plain(self, block: Placed) -> models_pb2.ContentPart | None:
        """The part of a text, an image or a document; any other block is a problem."""
        if block.kind == "text":
            return self.text(block)
        if block.kind in ("image", "document"):
            return self._media(block)
        if block.kind in ("search_result", "container_upload"):
            problem = f"{block.kind} goes to Anthropic's own models only, and as it is; send its content as text"
            self.problems.refuse(f"{block.path}.type", problem)
        else:
            self.problems.add(f"{block.path}.type", "must be text, image, document or tool_result here")
        return None

    def tool_result(self, block: Placed) -> models_pb2.ContentPart | None:
        """The part of a result of a tool."""
        read = self.problems.read(block.raw, TOOL_RESULT, block.path)
        if read is None:
            return None
        result = models_pb2.ToolResult(tool_call_id=read.tool_use_id, is_error=bool(read.is_error))
        if isinstance(read.content, str):
            result.content.add(text=read.content)
        elif read.content is not None:
            for inner in self.placed(read.content, f"{block.path}.content"):
                part = self._in_result(inner)
                if part is not None:
                    result.content.append(part)
        part = models_pb2.ContentPart(tool_result=result)
        self.mark(part, read.cache_control, block.path)
        return part

    def _in_result(self, block: Placed) -> models_pb2.ContentPart | None:
        if block.kind != "tool_reference":
            return self.plain(block)
        # All tools of a request are before the model anyway, so that the name is all that is left to tell.
        reference = self.problems.read(block.raw, TOOL_REFERENCE, block.path)
        return None if reference is None else models_pb2.ContentPart(text=reference.tool_name)

    def mark(
        self, owner: models_pb2.ContentPart | models_pb2.ToolDefinition, mark: CacheControl | None, path: str
    ) -> None:
        """Sets the cache breakpoint of a part or a tool, if it is marked."""
        if mark is None:
            return
        owner.cache.SetInParent()
        if mark.ttl is None:
            return
        seconds = LIFETIMES.get(mark.ttl)
        if seconds is None:
            self.problems.add(f"{path}.cache_control.ttl", "must be 5m or 1h")
        else:
            owner.cache.ttl.seconds = seconds

    def _media(self, block: Placed) -> models_pb2.ContentPart | None:
        read = self.problems.read(block.raw, MEDIA, block.path)
        if read is None:
            return None
        if read.context is not None:
            self.problems.refuse(f"{block.path}.context", "has no place here; send it as a text before the document")
        media = self._source(read.source, block)
        if media is None:
            return None
        if read.title is not None:
            media.filename = read.title
        if read.citations is not None and read.citations.enabled is not None:
            media.enable_citations = read.citations.enabled
        part = models_pb2.ContentPart(media=media)
        self.mark(part, read.cache_control, block.path)
        return part

    def _source(self, source: Source, block: Placed) -> models_pb2.Media | None:
        path = f"{block.path}.source"
        if source.type == "base64":
            data = self._bytes(source.data, f"{path}.data")
            if not source.media_type:
                self.problems.add(f"{path}.media_type", "is required")
            return None if data is None else models_pb2.Media(data=data, mime_type=source.media_type or "")
        if source.type == "text" and block.kind == "document":
            if source.data is None:
                self.problems.add(f"{path}.data", "is required")
                return None
            return models_pb2.Media(data=source.data.encode(), mime_type=source.media_type or "text/plain")
        if source.type in ("url", "file"):
            return self._reference(source, path, block.kind)
        if source.type == "content":
            self.problems.refuse(f"{path}.type", "content has no place here; send its blocks themselves")
        else:
            kinds = "base64, url, file or text" if block.kind == "document" else "base64, url or file"
            self.problems.add(f"{path}.type", f"must be {kinds}")
        return None

    def _reference(self, source: Source, path: str, kind: str) -> models_pb2.Media | None:
        name = "url" if source.type == "url" else "file_id"
        given = source.url if name == "url" else source.file_id
        if not given:
            self.problems.add(f"{path}.{name}", "is required")
            return None
        mime_type = ANY_IMAGE if kind == "image" else (PDF if name == "url" else "")
        fields: dict[str, Any] = {name: given}
        return models_pb2.Media(**fields, mime_type=source.media_type or mime_type)

    def _bytes(self, data: str | None, path: str) -> bytes | None:
        if not data:
            self.problems.add(path, "is required")
            return None
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            self.problems.add(path, "is not base64")
            return None


def is_marked(value: msgspec.Raw) -> bool:
    """Whether a member that may be marked is there and not empty."""
    return is_given(value) and bytes(value).strip() not in (b"[]", b"{}")
