"""The events of a streamed message → an Answer. https://platform.claude.com/docs/en/build-with-claude/streaming"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.models.providers import json_text
from services.models.providers.answer import Answer
from services.models.providers.anthropic.response import (
    UsageCount,
    add_block,
    attach_block,
    read_finish,
    read_header,
)
from services.models.providers.error_body import fault_in
from services.models.providers.event_stream import Event
from services.models.providers.faults import Fault


class MessageDecoder:
    """One stream. It is whole once `message_stop` has come."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.finished = False
        self.ended = False
        self._usage = UsageCount()
        self._blocks: dict[int, _StreamedBlock] = {}

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            if not event.data:
                continue
            try:
                content = json_text.decode(event.data)
            except json_text.Malformed:
                raise Fault("UPSTREAM_PROTOCOL_ERROR") from None
            if not isinstance(content, dict):
                raise Fault("UPSTREAM_PROTOCOL_ERROR")
            self._read(content)

    def _read(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "content_block_delta":
            self._add_delta(event)
        elif kind == "content_block_start":
            self._open_block(event)
        elif kind == "content_block_stop":
            self._close_block(event)
        elif kind == "message_start":
            message = _object(event.get("message"))
            read_header(self.answer, message)
            self._usage.update(message.get("usage"))
        elif kind == "message_delta":
            self._usage.update(event.get("usage"))
            reason = _object(event.get("delta")).get("stop_reason")
            if reason:
                read_finish(self.answer, reason)
        elif kind == "message_stop":
            self.answer.usage = self._usage.total()
            self.finished = self.ended = True
        elif kind == "error" or "error" in event:
            raise fault_in(event.get("error"))
        # Other kinds (`ping`, and what the vendor may add) say nothing about the answer.

    def _open_block(self, event: dict[str, Any]) -> None:
        key, content = _key(event), _object(event.get("content_block"))
        block = self._blocks[key] = _StreamedBlock(content)
        if block.kind == "tool_use":
            self.answer.open_tool_call(key, str(content.get("id") or ""), str(content.get("name") or ""))
        elif block.kind == "text" and content.get("text"):
            self.answer.add(key, "text", str(content["text"]))
        elif block.kind == "thinking" and content.get("thinking"):
            self.answer.add(key, "reasoning", str(content["thinking"]))

    def _add_delta(self, event: dict[str, Any]) -> None:
        key, delta = _key(event), _object(event.get("delta"))
        block = self._blocks.get(key)
        if block is None:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        kind = delta.get("type")
        if kind == "text_delta":
            self.answer.add(key, "text", str(delta.get("text") or ""))
        elif kind == "input_json_delta":
            piece = str(delta.get("partial_json") or "")
            block.json_pieces.append(piece)
            if block.kind == "tool_use":
                self.answer.add_arguments(key, piece)
        elif kind == "thinking_delta":
            piece = str(delta.get("thinking") or "")
            block.thinking_pieces.append(piece)
            self.answer.add(key, "reasoning", piece)
        elif kind == "signature_delta":
            block.content["signature"] = str(block.content.get("signature") or "") + str(delta.get("signature") or "")

    def _close_block(self, event: dict[str, Any]) -> None:
        key = _key(event)
        block = self._blocks.get(key)
        if block is None or block.kind == "text":
            return
        arguments = "".join(block.json_pieces)
        if block.kind == "tool_use":
            if not arguments and block.content.get("input"):
                self.answer.add_arguments(key, json_text.encode(block.content["input"]).decode())
        elif block.kind == "thinking":
            if block.content.get("signature"):
                block.content["thinking"] = str(block.content.get("thinking") or "") + "".join(block.thinking_pieces)
                attach_block(self.answer, key, block.content)
        else:
            if arguments and json_text.is_object(arguments):
                block.content["input"] = json_text.raw(arguments)
            add_block(self.answer, key, block.content)


class _StreamedBlock:
    """A content block in progress."""

    __slots__ = ("content", "json_pieces", "kind", "thinking_pieces")

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.kind = content.get("type")
        self.json_pieces: list[str] = []
        self.thinking_pieces: list[str] = []


def _key(event: dict[str, Any]) -> int:
    index = event.get("index")
    if not isinstance(index, int):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return index


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
