"""The events of a streamed response → an Answer.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.models.providers import json_text
from services.models.providers.answer import MAX_BLOCKS, Answer
from services.models.providers.error_body import fault_in
from services.models.providers.event_stream import ERROR, Event
from services.models.providers.faults import Fault, read_object, word_of
from services.models.providers.json_text import object_of, text_of, written
from services.models.providers.large_logprobs import read_without_logprobs
from services.models.providers.not_carried import tell_cut_logprobs, tell_previews, tell_sound
from services.models.providers.openai_responses.output_items import (
    REASONING_TEXT,
    SUMMARY,
    OutputItems,
    index_of,
    item_of,
)
from services.models.providers.openai_responses.response import read_end, read_header
from services.models.providers.told_errors import bare_error_in, fault_of_event

DONE = b"[DONE]"
"""Responses has no such marker; servers that imitate it close their streams with it."""

ENDINGS = frozenset({"response.completed", "response.incomplete"})
FAILURES = frozenset({"response.failed", "response.cancelled", "response.error"})
ARGUMENT_ENDS = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}
ARGUMENT_PIECES = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
OPENINGS = frozenset({"response.created", "response.queued", "response.in_progress"})


class _ItemEvent(msgspec.Struct):
    item: msgspec.Raw


class _ResponseEvent(msgspec.Struct):
    response: msgspec.Raw


class ResponseDecoder:
    """One stream. It is whole once `response.completed` or `response.incomplete` has come, which tells the usage."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.finished = False
        self.ended = False
        self.awaits_usage = False
        self._items = OutputItems(self.answer)
        self._indexes: dict[str, int] = {}
        """The places of items, by their ids."""
        self._begun: set[int] = set()
        self._moved: dict[int, int] = {}
        """Where the newest item is whose number was taken."""

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            data = event.data
            if event.name == ERROR:
                raise fault_of_event(data)
            if not data:
                continue
            if data == DONE:
                self.ended = True
                return
            try:
                event_read = read_object(data)
            except Fault:
                event_read, data = read_without_logprobs(data)
                if not self.answer.has_logprobs:
                    tell_cut_logprobs(self.answer)
            self._read(event_read, data)
            if self.ended:
                return

    def _read(self, event: dict[str, Any], event_json: bytes) -> None:
        kind = text_of(event.get("type"))
        if event.get(ERROR):
            raise fault_in(event[ERROR])
        if kind == "response.output_text.delta":
            self._items.add_piece(self._index(event), _part(event, "content_index"), "text", _piece(event))
            if event.get("logprobs"):
                self._items.add_logprobs(self._index(event), _part(event, "content_index"), event["logprobs"])
        elif kind in ARGUMENT_PIECES:
            self._items.add_arguments(self._index(event), written(event.get("delta")))
        elif kind == "response.reasoning_summary_text.delta":
            self._items.add_thought(self._index(event), SUMMARY, _part(event, "summary_index"), _piece(event))
        elif kind == "response.reasoning_text.delta":
            self._items.add_thought(self._index(event), REASONING_TEXT, _part(event, "content_index"), _piece(event))
        elif kind == "response.refusal.delta":
            self._items.add_piece(self._index(event), _part(event, "content_index"), "refusal", _piece(event))
        elif kind == "response.output_item.added":
            item = item_of(event.get("item"))
            self._items.open_call(self._index_of_item(event, item), item)
        elif kind == "response.output_item.done":
            item = item_of(event.get("item"))
            item_json = _member_json(event_json, _ItemEvent, "item", item)
            self._items.add_whole(self._index_of_item(event, item), item, item_json)
        elif kind == "response.output_text.done":
            self._items.add_rest(self._index(event), _part(event, "content_index"), "text", text_of(event.get("text")))
        elif kind in ARGUMENT_ENDS:
            self._items.add_rest_of_arguments(self._index(event), written(event.get(ARGUMENT_ENDS[kind])))
        elif not kind.startswith("response."):
            if error := bare_error_in(event):
                raise fault_in(error)
        elif kind in OPENINGS:
            read_header(self.answer, object_of(event.get("response")))
        elif kind in ENDINGS:
            self._read_ending(item_of(event.get("response")), event_json)
        elif kind in FAILURES:
            raise fault_in(object_of(event.get("response")).get("error") or event)
        elif kind == "response.image_generation_call.partial_image":
            tell_previews(self.answer)
        elif kind.startswith("response.audio."):
            tell_sound(self.answer)
        # Other kinds repeat what the deltas and the whole items tell, or are not known yet.

    def _index(self, event: dict[str, Any]) -> int:
        """The place in the output of the item that an event is about. Raises Fault when the event does not say."""
        if "output_index" not in event:
            return self._index_of_id(word_of(event.get("item_id")))
        index = index_of(event["output_index"])
        if not self._moved:
            return index
        place = self._indexes.get(word_of(event.get("item_id")))
        return self._moved.get(index, index) if place is None else place

    def _index_of_item(self, event: dict[str, Any], item: dict[str, Any]) -> int:
        """The same of an event that has the item, which may be another one at a place that is taken: some servers
        give all items one number. Others give one item another id in each event, so the id alone tells nothing."""
        item_id = word_of(item.get("id") or item.get("call_id"))
        if "output_index" not in event:
            return self._index_of_id(item_id)
        index = index_of(event["output_index"])
        place = self._moved.get(index, index)
        is_beginning = event["type"] == "response.output_item.added"
        is_taken = self._items.is_whole(place) or (is_beginning and place in self._begun)
        if is_taken and item_id and item_id not in self._indexes:
            place = self._moved[index] = index_of(max(self._begun) + 1)
        elif item_id:
            place = self._indexes.get(item_id, place)
        self._begun.add(place)
        if item_id:
            self._indexes[item_id] = place
        if len(self._indexes) > MAX_BLOCKS:
            raise Fault("OUTPUT_LIMIT")
        return place

    def _index_of_id(self, item_id: str) -> int:
        """The place of an item that has no number.

        llama.cpp numbers none: their ids, in the order in which they first come, stand for their places. Its calls have
        only a `call_id`, which later events name as `item_id`.
        """
        if not item_id:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        if len(self._indexes) > MAX_BLOCKS:
            raise Fault("OUTPUT_LIMIT")
        return self._indexes.setdefault(item_id, len(self._indexes))

    def _read_ending(self, response: dict[str, Any], event_json: bytes) -> None:
        if response.get("error"):
            raise fault_in(response["error"])
        response_json = _member_json(event_json, _ResponseEvent, "response", response)
        read_end(self.answer, self._items, response, response_json)
        self.finished = self.ended = True


def _member_json(event_json: bytes, event_type: type[msgspec.Struct], name: str, value: Any) -> bytes:
    """A member of an event as the provider wrote it, or, where that cannot be embedded again, as we write it."""
    try:
        return bytes(getattr(json_text.decode_exactly(event_json, event_type), name))
    except json_text.Malformed:
        return json_text.encode_any(value)


def _part(event: dict[str, Any], name: str) -> int:
    """Which part of its item an event is about; where it does not say, there is but one."""
    return index_of(event.get(name, 0))


def _piece(event: dict[str, Any]) -> str:
    """A piece of text, which may end in half a character."""
    piece = event.get("delta")
    return piece if isinstance(piece, str) else ""
