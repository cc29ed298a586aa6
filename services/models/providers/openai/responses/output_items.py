"""The items of a response's output → the blocks of an Answer.

https://platform.openai.com/docs/api-reference/responses/object#responses/object-output
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from proto import models_pb2
from services.models.providers.answers.answer import MAX_BLOCKS, MAX_CITED_BYTES, Answer
from services.models.providers.answers.dropped_members import warn_of_images
from services.models.providers.answers.logprobs import read_tokens
from services.models.providers.answers.text_pieces import Pieces
from services.models.providers.answers.values import read_word
from services.models.providers.errors.faults import Fault
from services.models.providers.openai.common.opaque_items import (
    TextKind,
    call_carries_more,
    message_carries_more,
    text_kind,
)
from services.shared import json_text
from services.shared.json_text import items_of, text_of, written
from services.shared.json_values import are_same_json

PARTS_PER_ITEM = 1 << 20
"""A number above that of an item's parts: keys of blocks are in the order of items, then of their parts."""

SUMMARY, REASONING_TEXT = 0, 1
"""The two texts of a reasoning item: OpenAI returns a summary, and servers of open models the whole text."""

BETWEEN_THOUGHTS = "\n\n"

MAX_SPACED = 64 * 1024
"""Limit for the characters of texts that are compared without white space, which takes ten times as long."""

CALL_INPUTS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Calls of the caller's tools, each with the member that holds the arguments; those of custom tools are any text."""


class _RawPart(msgspec.Struct):
    annotations: msgspec.Raw = msgspec.Raw(b"[]")


class _RawMessage(msgspec.Struct):
    content: list[_RawPart]


class OutputItems:
    """Adds items to an answer: whole, or first in pieces and then whole, when only the rest is added.

    An item with fields in the contract is also kept as opaque state if it has further members, or if a reasoning item
    or another opaque one came before it: OpenAI accepts those only together with the items that followed them
    (https://platform.openai.com/docs/guides/reasoning#keeping-reasoning-items-in-context).
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._call_keys: dict[int, int] = {}
        self._early_arguments: dict[int, Pieces] = {}
        self._newest_thoughts: dict[int, int] = {}
        self._told_thoughts: set[tuple[int, int]] = set()
        self._annotations: dict[int, list[bytes]] = {}
        self._cited: set[int] = set()
        """The parts whose citations came with the whole item."""
        self._annotation_bytes = 0
        self._late_calls: dict[int, dict[str, Any]] = {}
        self._names: dict[int, str] = {}
        """The names of the called tools by the places of the calls, as soon as they are known."""
        self._whole: set[int] = set()
        self._keeps_all = False

    def is_whole(self, index: int) -> bool:
        """Whether the item was added whole."""
        return index in self._whole

    def name_at(self, index: int) -> str:
        """The name of the tool that is called at a place; "" if it is not known."""
        return self._names.get(index, "")

    def goes_on(self, index: int, item: dict[str, Any]) -> bool:
        """Whether an item contains all that was streamed at a place, if anything was; reasoning always does."""
        kind = kind_of(item)
        if kind == "call":
            key = self._call_keys.get(index)
            earlier = self._answer.text_of(key) if key is not None else ""
            return self.name_at(index) == name_of(item) and self._covers(earlier, _arguments_of(item))
        if kind == "message":
            parts = [
                (number, text_of(part.get("text"))) for number, part in enumerate(parts_of(item)) if text_kind(part)
            ]
            earlier_texts = [(self._answer.text_of(_key(index, number)), text) for number, text in parts]
            return any(earlier for earlier, _ in earlier_texts) and all(
                self._covers(earlier, text) for earlier, text in earlier_texts
            )
        return True

    def _covers(self, earlier: str, text: str) -> bool:
        self._answer.count_compared(earlier, text)
        is_short = max(len(earlier), len(text)) < MAX_SPACED
        return text.startswith(earlier) or (is_short and _letters(text) == _letters(earlier))

    # -------------------------------------------------------------------------------------------- by their pieces

    def add_piece(self, index: int, part: int, kind: TextKind, piece: str) -> None:
        """Adds a piece to a part of a message."""
        self._answer.add(_key(index, part), kind, piece)

    def add_logprobs(self, index: int, part: int, tokens: Any) -> None:
        """Adds the logprobs of the newest piece of a message's part."""
        if logprobs := read_tokens(tokens):
            self._answer.add_logprobs(_key(index, part), logprobs)

    def add_thought(self, index: int, channel: int, number: int, piece: str) -> None:
        """Adds a piece to one of the texts that make up a reasoning item's summary, or its reasoning."""
        if not piece:
            return
        key = _key(index, channel)
        if self._newest_thoughts.setdefault(key, number) != number:
            self._newest_thoughts[key] = number
            self._answer.add(key, "reasoning", BETWEEN_THOUGHTS)
        self._told_thoughts.add((key, number))
        self._answer.add(key, "reasoning", piece)

    def add_whole_thought(self, index: int, channel: int, number: int, text: str) -> None:
        """Adds a whole text of a reasoning item, unless its pieces have arrived."""
        if index not in self._whole and (_key(index, channel), number) not in self._told_thoughts:
            self.add_thought(index, channel, number, text)

    def open_call(self, index: int, item: dict[str, Any]) -> None:
        """Begins a call of a caller's tool, once its name is known."""
        if text_of(item.get("type")) not in CALL_INPUTS:
            return
        name = name_of(item)
        if name and index not in self._call_keys:
            self._names[index] = name
            key = self._call_keys[index] = self._answer.open_tool_call(
                _key(index, 0), read_word(item.get("call_id")), name
            )
            early = self._early_arguments.pop(index, Pieces()).text()
            self._answer.waiting_bytes -= len(early)
            self._answer.add_arguments(key, early)

    def add_arguments(self, index: int, piece: str) -> None:
        """Adds a piece to the arguments of a call; they are held back until its name is known."""
        key = self._call_keys.get(index)
        if key is not None:
            self._answer.add_arguments(key, piece)
        elif piece and index not in self._whole:
            self._early_arguments.setdefault(index, Pieces()).append(piece)
            self._answer.waiting_bytes += len(piece)

    def add_rest_of_arguments(self, index: int, arguments: str) -> None:
        """Adds what is missing from the pieces of a call's arguments."""
        key = self._call_keys.get(index)
        if key is None:
            early = self._early_arguments.get(index, Pieces()).text() if arguments else ""
            self._answer.count_compared(early, arguments)
            if arguments.startswith(early):
                self.add_arguments(index, arguments[len(early) :])
            return
        earlier = self._answer.close(key)
        self._answer.count_compared(earlier, arguments)
        if arguments.startswith(earlier):
            self._answer.add_arguments(key, arguments[len(earlier) :])
        elif not are_same_json(earlier, arguments):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")

    def name_call(self, index: int, event: dict[str, Any]) -> None:
        """Sets the name of a call by an event of its arguments; it is used if no item has the name."""
        name = name_of(event)
        if name and index not in self._call_keys:
            self._late_calls[index] = event

    def add_rest(self, index: int, part: int, kind: TextKind, text: str) -> None:
        """Adds what is missing from the pieces of a message's part."""
        self._add_rest(_key(index, part), kind, text)

    def add_annotation(self, index: int, part: int, annotation: Any) -> None:
        """Adds a citation of a message's part that came in an event of its own."""
        written = json_text.encode_any(annotation)
        self._answer.waiting_bytes += len(written)
        self._annotation_bytes += len(written)
        if self._annotation_bytes > MAX_CITED_BYTES:
            raise Fault("OUTPUT_LIMIT")
        self._annotations.setdefault(_key(index, part), []).append(written)

    def end(self) -> None:
        """Ends the stream. Raises Fault for arguments of a call whose tool was never named."""
        for key, texts in self._annotations.items():
            if key not in self._cited:
                self._answer.cite(key, f"[{b','.join(texts).decode()}]")
        for index, event in self._late_calls.items():
            self.open_call(index, {"type": "function_call", "call_id": event.get("call_id"), "name": event["name"]})
        if self._early_arguments:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")

    # ------------------------------------------------------------------------------------------------------- whole

    def add_whole(self, index: int, item: dict[str, Any], item_json: bytes) -> None:
        """Adds the rest of an item, or all of it. `item_json` is the item as the provider wrote it."""
        if index in self._whole:
            return
        self._whole.add(index)
        if len(self._whole) > MAX_BLOCKS:
            raise Fault("OUTPUT_LIMIT")
        kind = text_of(item.get("type"))
        if kind == "message":
            keys = list(self._message_keys(index, item, item_json))
            kept = self._keeps_all or message_carries_more(item)
        elif kind in CALL_INPUTS:
            keys = [self._call_key(index, item)]
            kept = self._keeps_all or kind != "function_call" or call_carries_more(item)
        else:
            keys = list(self._thought_keys(index, item)) if kind == "reasoning" else []
            kept = self._keeps_all = True
            if kind == "image_generation_call" and item.get("result"):
                warn_of_images(self._answer)
        if not kept:
            return
        # A reasoning item without text is reasoning all the same.
        redacted = kind == "reasoning" and not keys
        state = models_pb2.ProviderState(model=self._answer.model, data=item_json)
        for key in keys or [_key(index, 0)]:
            self._answer.attach_state(key, state, redacted=redacted)

    def _message_keys(self, index: int, item: dict[str, Any], item_json: bytes) -> Iterator[int]:
        written: list[_RawPart] | None = None
        for number, part in enumerate(parts_of(item)):
            kind = text_kind(part)
            if kind is None:
                continue
            key = _key(index, number)
            text = text_of(part.get(kind[1]))
            self._add_rest(key, kind[0], text)
            if logprobs := read_tokens(part.get("logprobs")):
                self._answer.complete_logprobs(key, logprobs)
            if part.get("annotations"):
                written = _written_parts(item_json) if written is None else written
                self._answer.cite(key, _annotations_json(part, number, written))
                self._cited.add(key)
            if text:
                yield key

    def _thought_keys(self, index: int, item: dict[str, Any]) -> Iterator[int]:
        for channel, member in ((SUMMARY, "summary"), (REASONING_TEXT, "content")):
            parts = [part for part in items_of(item.get(member)) if isinstance(part, dict)]
            texts = [text for part in parts if (text := text_of(part.get("text")))]
            key = _key(index, channel)
            self._add_rest(key, "reasoning", BETWEEN_THOUGHTS.join(texts))
            if texts:
                yield key

    def _call_key(self, index: int, item: dict[str, Any]) -> int:
        self.open_call(index, item)
        if index not in self._call_keys:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        # No arguments at all are an empty object in an answer.
        self.add_rest_of_arguments(index, _arguments_of(item))
        return self._call_keys[index]

    def _add_rest(self, key: int, kind: Literal["text", "reasoning", "refusal"], text: str) -> None:
        """Adds what is missing from the pieces. Raises Fault if the whole text has more than the streamed pieces and
        does not begin with them; reasoning may differ."""
        earlier = self._answer.close_to_compare(key, text)
        if text.startswith(earlier):
            self._answer.add(key, kind, text[len(earlier) :])
        elif kind != "reasoning" and _letters(text) not in _letters(earlier):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")


def kind_of(item: dict[str, Any]) -> str:
    """The type of an item; `call` for all calls of the caller's tools."""
    kind = text_of(item.get("type"))
    return "call" if kind in CALL_INPUTS else kind


def name_of(item: dict[str, Any]) -> str:
    """The name of the tool that an item calls; "" for other items."""
    return read_word(item.get("name"))


def parts_of(item: dict[str, Any]) -> list[Any]:
    """The parts of a message, which some servers write as its text alone."""
    content = item.get("content")
    return [{"type": "output_text", "text": content}] if isinstance(content, str) else items_of(content)


def _arguments_of(item: dict[str, Any]) -> str:
    """No arguments at all are an empty object in an answer."""
    arguments = written(item.get(CALL_INPUTS[item["type"]]))
    return arguments if arguments.strip() else "{}"


def _letters(text: str) -> str:
    """A text without white space, because some servers strip it from whole texts."""
    return "".join(text.split())


def index_of(value: Any) -> int:
    """The index of an item or a part. Raises Fault for a value that is not one."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < PARTS_PER_ITEM:
        return value
    raise Fault("UPSTREAM_PROTOCOL_ERROR")


def item_of(value: Any) -> dict[str, Any]:
    """An item. Raises Fault for a value that is not an object."""
    if isinstance(value, dict):
        return value
    raise Fault("UPSTREAM_PROTOCOL_ERROR")


def _key(index: int, part: int) -> int:
    return index * PARTS_PER_ITEM + part


def _written_parts(item_json: bytes) -> list[_RawPart]:
    """The parts of a message as the provider wrote them; none where they cannot be embedded so."""
    try:
        return json_text.decode_exactly(item_json, _RawMessage).content
    except json_text.Malformed:
        return []


def _annotations_json(part: dict[str, Any], number: int, written: Sequence[_RawPart]) -> str:
    """The annotations of a message's part as the provider wrote them, or, where they have no such text, as we do."""
    if written:
        return bytes(written[number].annotations).decode()
    return json_text.encode_any(part["annotations"]).decode()
