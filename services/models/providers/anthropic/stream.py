"""The events of a streamed message → an Answer. https://platform.claude.com/docs/en/build-with-claude/streaming"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.models.providers.answers.answer import MAX_BLOCKS, MAX_CITED_BYTES, MAX_PARTS_BYTES, Answer
from services.models.providers.answers.dropped_members import warn_of_unknown_part
from services.models.providers.answers.event_data import DONE, read_data
from services.models.providers.answers.finish_reasons import finish_word
from services.models.providers.answers.repeated_arguments import find_repetition
from services.models.providers.answers.values import read_object, read_word
from services.models.providers.anthropic.container import container_in_delta, container_in_start, keep_container
from services.models.providers.anthropic.response import (
    blocks_of,
    is_hidden,
    keep_block,
    must_be_kept,
    piece_of,
    read_finish,
    read_header,
    refuse_error,
    warn_of_dropped_members,
    warn_of_left_out_answer,
)
from services.models.providers.anthropic.streamed_blocks import StreamedBlock, citation_in, delta_members
from services.models.providers.anthropic.usage import read_usage
from services.models.providers.errors.error_body import fault_in
from services.models.providers.errors.faults import Fault
from services.models.providers.errors.in_band_errors import BASE_RESP, bare_error_in, fault_of_event
from services.models.transport.sse import ERROR, Event
from services.shared import json_text
from services.shared.json_text import items_of, object_of, written

KINDS_OF_DELTAS = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}
"""The kinds of blocks that have a field in the contract, each with the kind of its deltas."""
MAPPED_KINDS = frozenset(KINDS_OF_DELTAS)
"""The kinds of blocks that have a field in the contract."""
PLACEHOLDER = "{}"


class MessageDecoder:
    """One stream. It is whole once `message_stop` has come."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.finished = False
        self.ended = False
        self.awaits_usage = False
        self._is_counted = False
        """Whether the provider has sent the usage of the generated answer, and not only its first guess."""
        self._blocks: dict[int, StreamedBlock] = {}
        self._replaced: list[StreamedBlock] = []
        self._opened = 0
        self._cited_bytes = 0
        self._answered_by_tool = False
        self._container = b""
        self._whole: dict[str, Any] = {}
        """The message in the first event, if it has content."""

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            name, data = event
            if name == ERROR:
                raise fault_of_event(data)
            if not data.startswith(b"{"):
                data = read_data(event)
                if data == DONE:
                    self._end_early()
                    return
                if not data:
                    continue
            self._read(read_object(data), data, name)
            if self.ended:
                return

    def _read(self, event: dict[str, Any], data: bytes, name: str) -> None:
        kind = event.get("type") or name
        if event.get(ERROR) or BASE_RESP in event:
            refuse_error(event)
        if kind == "content_block_delta":
            self._add_delta(event, data)
        elif kind == "content_block_start":
            self._open_block(event, data)
        elif kind == "content_block_stop":
            self._close_block(self._blocks.get(_index(event)))
        elif kind == "message_start":
            self._begin(event, data)
        elif kind == "message_delta":
            self._read_message_delta(event, data)
        elif kind == "message_stop":
            self._read_usage(event)
            self._end()
        elif name.endswith(ERROR):
            raise fault_of_event(data)
        elif error := bare_error_in(event):
            raise fault_in(error)
        # Other events, such as `ping` and future ones, do not change the answer.

    def _begin(self, event: dict[str, Any], data: bytes) -> None:
        message = object_of(event.get("message"))
        refuse_error(message)
        read_header(self.answer, message)
        read_usage(self.answer, message.get("usage"))
        warn_of_dropped_members(self.answer, message)
        self._container = container_in_start(message, data)
        self._whole = message if blocks_of(message) else {}

    def _read_message_delta(self, event: dict[str, Any], data: bytes) -> None:
        delta = object_of(event.get("delta"))
        self._read_usage(event)
        self._read_usage(delta)
        refuse_error(delta)
        warn_of_dropped_members(self.answer, event)
        self._container = container_in_delta(delta, data) or self._container
        if finish_word(delta.get("stop_reason")) or delta.get("stop_details"):
            read_finish(self.answer, delta, answered_by_tool=self._answered_by_tool)

    def _read_usage(self, event: dict[str, Any]) -> None:
        usage = event.get("usage")
        read_usage(self.answer, usage)
        self._is_counted = self._is_counted or bool(object_of(usage))

    def _end(self) -> None:
        """Ends the stream. Blocks without an end are complete all the same; without a block or a stop reason there is
        no answer."""
        if not self._opened:
            # Some servers send the whole answer in the first event.
            for index, block in enumerate(blocks_of(self._whole)):
                self._open_block({"index": index, "content_block": block}, b"")
            if self._whole and not self.answer.raw_finish_reason:
                read_finish(self.answer, self._whole, answered_by_tool=self._answered_by_tool)
        for block in (*self._replaced, *self._blocks.values()):
            self._close_block(block)
        if not self.answer.raw_finish_reason and self._has_half_call():
            # No stop reason shows that the model itself stopped.
            raise Fault("UPSTREAM_STREAM_TRUNCATED")
        keep_container(self.answer, self._container)
        if not self._is_counted:
            self.answer.counts_agree = False
        self.ended = True
        self.finished = self._opened > 0 or bool(self.answer.raw_finish_reason)

    def _has_half_call(self) -> bool:
        blocks = (*self._replaced, *self._blocks.values())
        calls = (block for block in blocks if block.kind == "tool_use" and not block.is_left_out)
        return any(not json_text.is_object(self.answer.text_of(block.key)) for block in calls)

    def _end_early(self) -> None:
        """Reads `[DONE]`, the end of streams of another dialect, which proxies write instead of the last event or
        without one: the answer is whole if its stop reason has arrived."""
        if self.answer.raw_finish_reason:
            self._end()
        self.ended = True

    def _open_block(self, event: dict[str, Any], data: bytes) -> None:
        content = object_of(event.get("content_block"))
        if content.get("type") == ERROR:
            refuse_error(content)
        index = _index(event)
        open_block = self._blocks.get(index)
        if open_block and open_block.begins_again(content, data):
            return
        if open_block:
            # Some servers give all blocks the same index, and may begin one before the end of the last.
            self._replaced.append(open_block)
        block = self._blocks[index] = StreamedBlock(content, self._opened, data)
        self._opened += 1
        self.answer.waiting_bytes += len(block.start)
        if self._opened > MAX_BLOCKS:
            # The answer itself does not count blocks of unknown kinds yet.
            raise Fault("OUTPUT_LIMIT")
        if block.takes_answer and self._answered_by_tool:
            block.is_left_out = True
            warn_of_left_out_answer(self.answer)
        elif block.takes_answer:
            self._answered_by_tool = True
        elif block.kind == "tool_use":
            self.answer.open_tool_call(block.key, read_word(content.get("id")), read_word(content.get("name")))
        elif block.kind == "text":
            self.answer.add(block.key, "text", piece_of(content, "text"))
        elif block.kind == "thinking":
            self.answer.add(block.key, "reasoning", piece_of(content, "thinking"))

    def _add_delta(self, event: dict[str, Any], data: bytes) -> None:
        delta = object_of(event.get("delta"))
        block = self._blocks.get(_index(event))
        kind = delta.get("type")
        if block is None or (block.is_closed and (block.kind, kind) != ("text", "text_delta")):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        if block.is_left_out:
            return
        block.is_whole = False
        if kind != KINDS_OF_DELTAS.get(block.kind, kind) and kind in KINDS_OF_DELTAS.values():
            # Its content would be lost, or added to other content.
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        if kind == "text_delta":
            self.answer.add(block.key, "text", piece_of(delta, "text"))
        elif kind == "input_json_delta":
            self._add_json(block, written(delta.get("partial_json")))
        elif kind == "thinking_delta":
            self.answer.add(block.key, "reasoning", piece_of(delta, "thinking"))
        elif kind == "signature_delta" and block.kind in MAPPED_KINDS:
            piece = piece_of(delta, "signature")
            block.signature.add(piece)
            self.answer.waiting_bytes += len(piece)
        elif kind == "citations_delta":
            self._add_citation(block, delta, data)
        elif block.kind in MAPPED_KINDS:
            warn_of_unknown_part(self.answer)
        else:
            self._add_members(block, delta, data)

    def _add_json(self, block: StreamedBlock, piece: str) -> None:
        if block.takes_answer:
            self.answer.add(block.key, "text", piece)
        elif block.kind == "tool_use":
            self._add_input(block, piece)
        else:
            block.json.add(piece)
            self.answer.waiting_bytes += len(piece)

    def _add_citation(self, block: StreamedBlock, delta: dict[str, Any], data: bytes) -> None:
        self._cited_bytes += len(data)
        self.answer.waiting_bytes += len(data)
        if self._cited_bytes > MAX_CITED_BYTES:
            raise Fault("OUTPUT_LIMIT")
        block.citations.append(citation_in(delta, data))

    def _add_members(self, block: StreamedBlock, delta: dict[str, Any], data: bytes) -> None:
        """Adds pieces to a block that has no field in the contract."""
        self.answer.waiting_bytes += len(data)
        if self.answer.waiting_bytes > MAX_PARTS_BYTES:
            raise Fault("OUTPUT_LIMIT")
        block.join(delta_members(delta, data))

    def _add_input(self, block: StreamedBlock, piece: str) -> None:
        """Adds a piece to the arguments of a tool. Servers that translate another dialect may send an empty object
        first, or repeat all earlier pieces in each piece."""
        if block.holds_placeholder:
            block.holds_placeholder = False
            piece = piece if piece.lstrip().startswith("{") else PLACEHOLDER + piece
        elif not block.size and piece.strip() == PLACEHOLDER:
            # If no other piece follows, the empty object is the arguments.
            block.holds_placeholder = True
            return
        elif block.size and len(piece) >= block.size and piece.startswith("{"):
            repetition = find_repetition(self.answer.text_of(block.key), piece)
            piece = repetition.rest if repetition and repetition.is_certain else piece
        block.size += len(piece)
        self.answer.add_arguments(block.key, piece)

    def _close_block(self, block: StreamedBlock | None) -> None:
        if block is None or block.is_left_out or block.is_closed:
            return
        block.is_closed = True
        self._finish_block(block)
        # Its content is in the answer now.
        self.answer.waiting_bytes -= len(block.start)
        block.start = b""
        block.citations.clear()

    def _finish_block(self, block: StreamedBlock) -> None:
        text = self.answer.close(block.key)
        if block.kind not in MAPPED_KINDS:
            # Not decoded, because it may be large and none of it is read.
            keep_block(self.answer, block.key, block.written(), hidden=block.is_hidden)
            return
        content = block.content()
        if block.kind == "tool_use":
            self._close_tool_use(block, content, text)
            return
        content[block.kind] = text
        block.add_rest(content)
        if block.kind == "text" and items_of(content.get("citations")):
            self.answer.cite(block.key, block.citations_json(content))
        self._keep(block, content)

    def _close_tool_use(self, block: StreamedBlock, content: dict[str, Any], arguments_json: str) -> None:
        if not arguments_json.strip():
            arguments_json = block.first_arguments_json(content)
            if block.takes_answer:
                self.answer.add(block.key, "text", arguments_json)
            else:
                self.answer.add_arguments(block.key, arguments_json)
        if not block.takes_answer:
            if json_text.is_object(arguments_json):
                content["input"] = json_text.raw(arguments_json)
            self._keep(block, content)

    def _keep(self, block: StreamedBlock, content: dict[str, Any]) -> None:
        if must_be_kept(content):
            block_json = block.start if block.is_whole else json_text.encode_any(content)
            keep_block(self.answer, block.key, block_json, hidden=is_hidden(content))


def _index(event: dict[str, Any]) -> int:
    index = event.get("index")
    if not isinstance(index, int):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return index
