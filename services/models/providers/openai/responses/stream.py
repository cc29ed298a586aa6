"""The events of a streamed response → an Answer.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.models.providers.answers.answer import Answer
from services.models.providers.answers.dropped_members import warn_of_audio, warn_of_cut_logprobs, warn_of_previews
from services.models.providers.answers.event_data import DONE, read_data
from services.models.providers.answers.large_logprobs import read_without_logprobs
from services.models.providers.answers.values import read_object
from services.models.providers.errors.error_body import fault_in
from services.models.providers.errors.faults import Fault
from services.models.providers.errors.in_band_errors import bare_error_in, fault_of_event
from services.models.providers.openai.common.opaque_items import TextKind, text_kind
from services.models.providers.openai.responses.item_places import CALL, MESSAGE, REASONING, ItemPlaces
from services.models.providers.openai.responses.output_items import (
    REASONING_TEXT,
    SUMMARY,
    OutputItems,
    index_of,
    item_of,
)
from services.models.providers.openai.responses.response import read_end, read_header
from services.models.transport.sse import ERROR, Event
from services.shared import json_text
from services.shared.json_text import object_of, text_of, written

ENDINGS = {"response.completed": "completed", "response.incomplete": "incomplete", "response.done": "completed"}
"""The events that end a stream, each with the status that its response has where it says none."""
FAILURES = frozenset({"response.failed", "response.cancelled", "response.error"})
ARGUMENT_ENDS = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}
ARGUMENT_PIECES = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
TEXT_ENDS: dict[str, TextKind] = {"response.output_text.done": "text", "response.refusal.done": "refusal"}
THOUGHTS = {
    "response.reasoning_summary_text": (SUMMARY, "summary_index"),
    "response.reasoning_summary": (SUMMARY, "summary_index"),
    "response.reasoning_text": (REASONING_TEXT, "content_index"),
    "response.reasoning": (REASONING_TEXT, "content_index"),
}
"""Beginnings of the names of events about reasoning, each with its text and the member that numbers it. The second and
the last are those of servers that keep to an early form of the protocol (openai 1.76)."""
PART_ENDS = frozenset({"response.content_part.done", "response.reasoning_summary_part.done"})
OPENINGS = frozenset({"response.created", "response.queued", "response.in_progress"})


class _ItemEvent(msgspec.Struct):
    item: msgspec.Raw


class _ResponseEvent(msgspec.Struct):
    response: msgspec.Raw


class ResponseDecoder:
    """One stream. It is whole once `response.completed` or `response.incomplete` has come, which has the usage."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.finished = False
        self.ended = False
        self.awaits_usage = False
        self._items = OutputItems(self.answer)
        self._places = ItemPlaces(self._items)

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            name, data = event
            if name == ERROR:
                raise fault_of_event(data)
            if not data.startswith(b"{"):
                data = read_data(event)
                if data == DONE:
                    self.ended = True
                    return
                if not data:
                    continue
            try:
                event_read = read_object(data)
            except Fault:
                event_read, data = read_without_logprobs(data)
                if not self.answer.has_logprobs:
                    warn_of_cut_logprobs(self.answer)
            self._read(event_read, data, text_of(event_read.get("type")) or name)
            if self.ended:
                return

    def _read(self, event: dict[str, Any], event_json: bytes, kind: str) -> None:
        if event.get(ERROR):
            raise fault_in(event[ERROR])
        if kind == "response.output_text.delta":
            place, part = self._places.of_event(event, MESSAGE), _part(event, "content_index")
            self._items.add_piece(place, part, "text", _piece(event))
            if event.get("logprobs"):
                self._items.add_logprobs(place, part, event["logprobs"])
        elif kind in ARGUMENT_PIECES:
            self._items.add_arguments(self._places.of_event(event, CALL), written(event.get("delta")))
        elif kind == "response.refusal.delta":
            place = self._places.of_event(event, MESSAGE)
            self._items.add_piece(place, _part(event, "content_index"), "refusal", _piece(event))
        elif kind.rpartition(".")[0] in THOUGHTS:
            self._read_thought(event, kind)
        elif kind == "response.output_item.added":
            item = item_of(event.get("item"))
            self._items.open_call(self._places.of_item(event, item, is_beginning=True), item)
        elif kind == "response.output_item.done":
            item = item_of(event.get("item"))
            item_json = _member_json(event_json, _ItemEvent, "item", item)
            self._items.add_whole(self._places.of_item(event, item, is_beginning=False), item, item_json)
        elif kind in TEXT_ENDS:
            text = text_of(event.get(TEXT_ENDS[kind]))
            self._items.add_rest(
                self._places.of_event(event, MESSAGE), _part(event, "content_index"), TEXT_ENDS[kind], text
            )
        elif kind in PART_ENDS:
            self._read_end_of_part(event)
        elif kind == "response.output_text.annotation.added":
            place = self._places.of_event(event, MESSAGE)
            self._items.add_annotation(place, _part(event, "content_index"), event.get("annotation"))
        elif kind in ARGUMENT_ENDS:
            place = self._places.of_event(event, CALL)
            self._items.name_call(place, event)
            self._items.add_rest_of_arguments(place, written(event.get(ARGUMENT_ENDS[kind])))
        elif not kind.startswith("response."):
            if kind.endswith(ERROR):
                raise fault_of_event(event_json)
            if error := bare_error_in(event):
                raise fault_in(error)
        elif kind in OPENINGS:
            read_header(self.answer, object_of(event.get("response")))
        elif kind in ENDINGS:
            self._read_ending(event, event_json, ENDINGS[kind])
        elif kind in FAILURES:
            raise fault_in(object_of(event.get("response")).get("error") or event)
        elif kind == "response.image_generation_call.partial_image":
            warn_of_previews(self.answer)
        elif kind.startswith("response.audio."):
            warn_of_audio(self.answer)
        # Other events repeat content of the deltas and the whole items, or are unknown.

    def _read_thought(self, event: dict[str, Any], kind: str) -> None:
        """Reads a piece of reasoning, or an event that repeats a whole text of it."""
        name, _, end = kind.rpartition(".")
        channel, member = THOUGHTS[name]
        place, number = self._places.of_event(event, REASONING), _part(event, member)
        if end == "delta":
            self._items.add_thought(place, channel, number, _piece(event))
        elif end == "done":
            self._items.add_whole_thought(place, channel, number, text_of(event.get("text")))

    def _read_end_of_part(self, event: dict[str, Any]) -> None:
        """Reads a part that is whole: of a message, or of reasoning."""
        part = object_of(event.get("part"))
        text = text_kind(part)
        if text:
            kind, member = text
            place = self._places.of_event(event, MESSAGE)
            self._items.add_rest(place, _part(event, "content_index"), kind, text_of(part.get(member)))
        elif part.get("type") == "summary_text":
            place = self._places.of_event(event, REASONING)
            number = _part(event, "summary_index")
            self._items.add_whole_thought(place, SUMMARY, number, text_of(part.get("text")))
        elif part.get("type") == "reasoning_text":
            place = self._places.of_event(event, REASONING)
            number = _part(event, "content_index")
            self._items.add_whole_thought(place, REASONING_TEXT, number, text_of(part.get("text")))

    def _read_ending(self, event: dict[str, Any], event_json: bytes, status: str) -> None:
        response = item_of(event.get("response"))
        if response.get("error"):
            raise fault_in(response["error"])
        response_json = _member_json(event_json, _ResponseEvent, "response", response)
        ending = {"status": response.get("status") or status}
        ending["usage"] = response.get("usage") or event.get("usage")
        read_end(self.answer, self._items, response | ending, response_json, self._places.of_output)
        if self.answer.finish_reason == "stop" and not (
            self.answer.has_begun or isinstance(response.get("output"), list)
        ):
            # No event shows that the answer was meant to be empty.
            raise Fault("UPSTREAM_STREAM_TRUNCATED")
        self.finished = self.ended = True


def _member_json(event_json: bytes, event_type: type[msgspec.Struct], name: str, value: Any) -> bytes:
    """A member of an event as the provider wrote it, or, where that cannot be embedded again, as we write it."""
    try:
        return bytes(getattr(json_text.decode_exactly(event_json, event_type), name))
    except json_text.Malformed:
        return json_text.encode_any(value)


def _part(event: dict[str, Any], name: str) -> int:
    """The part of its item that an event is about; 0 if the event has none."""
    number = event.get(name)
    return 0 if number is None else index_of(number)


def _piece(event: dict[str, Any]) -> str:
    """A piece of text, which may end within a surrogate pair."""
    piece = event.get("delta")
    if isinstance(piece, dict):
        piece = piece.get("text")
    return piece if isinstance(piece, str) else ""
