"""The events of a streamed message → an Answer. https://platform.claude.com/docs/en/build-with-claude/streaming"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.models.providers import json_text
from services.models.providers.answer import Answer
from services.models.providers.anthropic.container import container_in_delta, container_in_start, keep_container
from services.models.providers.anthropic.response import (
    UsageCount,
    keep_block,
    must_be_kept,
    piece_of,
    read_finish,
    read_header,
    takes_answer,
    tell_left_out,
)
from services.models.providers.error_body import fault_in
from services.models.providers.event_stream import Event
from services.models.providers.faults import Fault, read_object
from services.models.providers.json_text import items_of, join_surrogates, object_of, text_of


class _StartOfBlock(msgspec.Struct):
    content_block: msgspec.Raw


class _MembersAtStart(msgspec.Struct):
    content_block: dict[str, msgspec.Raw]


class _RawCitation(msgspec.Struct):
    citation: msgspec.Raw


class _CitationsDelta(msgspec.Struct):
    delta: _RawCitation


class MessageDecoder:
    """One stream. It is whole once `message_stop` has come."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.finished = False
        self.ended = False
        self._usage = UsageCount()
        self._blocks: dict[int, _StreamedBlock] = {}
        self._opened = 0
        self._answered_by_tool = False
        self._container = b""

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            if not event.data:
                continue
            self._read(read_object(event.data), event.data)
            if self.ended:
                return

    def _read(self, event: dict[str, Any], data: bytes) -> None:
        kind = event.get("type")
        if kind == "content_block_delta":
            self._add_delta(event, data)
        elif kind == "content_block_start":
            self._open_block(event, data)
        elif kind == "content_block_stop":
            self._close_block(event)
        elif kind == "message_start":
            message = object_of(event.get("message"))
            read_header(self.answer, message)
            self._usage.update(self.answer, message.get("usage"))
            self._container = container_in_start(message, data)
        elif kind == "message_delta":
            self._usage.update(self.answer, event.get("usage"))
            delta = object_of(event.get("delta"))
            self._container = container_in_delta(delta, data) or self._container
            if delta.get("stop_reason"):
                read_finish(self.answer, delta, answered_by_tool=self._answered_by_tool)
        elif kind == "message_stop":
            keep_container(self.answer, self._container)
            self.finished = self.ended = True
        elif kind == "error" or "error" in event:
            raise fault_in(event.get("error"))
        # Other kinds (`ping`, and what the vendor may add) say nothing about the answer.

    def _open_block(self, event: dict[str, Any], data: bytes) -> None:
        content = object_of(event.get("content_block"))
        block = self._blocks[_index(event)] = _StreamedBlock(content, self._opened, data)
        self._opened += 1
        if block.takes_answer and self._answered_by_tool:
            block.is_left_out = True
            tell_left_out(self.answer)
        elif block.takes_answer:
            self._answered_by_tool = True
        elif block.kind == "tool_use":
            self.answer.open_tool_call(block.key, text_of(content.get("id")), text_of(content.get("name")))
        elif block.kind == "text":
            self.answer.add(block.key, "text", piece_of(content, "text"))
        elif block.kind == "thinking":
            self.answer.add(block.key, "reasoning", piece_of(content, "thinking"))

    def _add_delta(self, event: dict[str, Any], data: bytes) -> None:
        delta = object_of(event.get("delta"))
        block = self._blocks.get(_index(event))
        if block is None:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        if block.is_left_out:
            return
        block.is_whole = False
        kind = delta.get("type")
        if kind == "text_delta":
            self.answer.add(block.key, "text", piece_of(delta, "text"))
        elif kind == "input_json_delta":
            piece = piece_of(delta, "partial_json")
            if block.takes_answer:
                self.answer.add(block.key, "text", piece)
            elif block.kind == "tool_use":
                self.answer.add_arguments(block.key, piece)
            else:
                block.json_pieces.append(piece)
        elif kind == "thinking_delta":
            self.answer.add(block.key, "reasoning", piece_of(delta, "thinking"))
        elif kind == "signature_delta":
            block.signature_pieces.append(piece_of(delta, "signature"))
        elif kind == "citations_delta":
            block.citations.append(_citation(delta, data))

    def _close_block(self, event: dict[str, Any]) -> None:
        block = self._blocks.get(_index(event))
        if block is None or block.is_left_out:
            return
        text = self.answer.close(block.key)
        if block.kind == "tool_use":
            self._close_tool_use(block, text)
            return
        if block.kind in ("text", "thinking"):
            block.content[block.kind] = text
        block.add_rest()
        arguments_json = join_surrogates("".join(block.json_pieces))
        if json_text.is_object(arguments_json):
            block.content["input"] = json_text.raw(arguments_json)
        if block.kind == "text" and items_of(block.content.get("citations")):
            self.answer.cite(block.key, block.citations_json())
        self._keep(block)

    def _close_tool_use(self, block: _StreamedBlock, arguments_json: str) -> None:
        if not arguments_json:
            arguments_json = block.first_arguments_json()
            if block.takes_answer:
                self.answer.add(block.key, "text", arguments_json)
            else:
                self.answer.add_arguments(block.key, arguments_json)
        if not block.takes_answer:
            if json_text.is_object(arguments_json):
                block.content["input"] = json_text.raw(arguments_json)
            self._keep(block)

    def _keep(self, block: _StreamedBlock) -> None:
        if must_be_kept(block.content):
            keep_block(self.answer, block.key, block.content, block.written())


class _StreamedBlock:
    """A content block in progress."""

    __slots__ = (
        "citations",
        "content",
        "is_left_out",
        "is_whole",
        "json_pieces",
        "key",
        "kind",
        "signature_pieces",
        "start",
        "takes_answer",
    )

    def __init__(self, content: dict[str, Any], key: int, start: bytes) -> None:
        self.content = content
        self.kind = content.get("type")
        self.takes_answer = takes_answer(content)
        self.is_left_out = False
        """Whether it is an answer behind the first."""
        self.key = key
        self.start = start
        self.is_whole = True
        self.json_pieces: list[str] = []
        self.signature_pieces: list[str] = []
        self.citations: list[Any] = []

    def written(self) -> msgspec.Raw | None:
        """The block as the provider wrote it, if it came whole and can be embedded so."""
        if not self.is_whole:
            return None
        try:
            return json_text.decode_exactly(self.start, _StartOfBlock).content_block
        except json_text.Malformed:
            return None

    def first_arguments_json(self) -> str:
        """The arguments that the block began with."""
        return self._written_member("input") if self.content.get("input") else "{}"

    def citations_json(self) -> str:
        """All citations, those that came in pieces included."""
        if self.citations:
            return json_text.encode_any(self.content["citations"]).decode()
        return self._written_member("citations")

    def _written_member(self, name: str) -> str:
        """The JSON of a member that the block began with, as the provider wrote it where that can be embedded."""
        try:
            return bytes(json_text.decode_exactly(self.start, _MembersAtStart).content_block[name]).decode()
        except json_text.Malformed:
            return json_text.encode_any(self.content[name]).decode()

    def add_rest(self) -> None:
        """Adds to the content the signature and the citations that came in pieces."""
        if self.signature_pieces:
            self.content["signature"] = "".join([piece_of(self.content, "signature"), *self.signature_pieces])
        if self.citations:
            self.content["citations"] = [*items_of(self.content.get("citations")), *self.citations]


def _index(event: dict[str, Any]) -> int:
    index = event.get("index")
    if not isinstance(index, int):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return index


def _citation(delta: dict[str, Any], data: bytes) -> Any:
    """The citation of a delta, as the provider wrote it where that can be embedded."""
    try:
        return json_text.decode_exactly(data, _CitationsDelta).delta.citation
    except json_text.Malformed:
        return delta.get("citation")
