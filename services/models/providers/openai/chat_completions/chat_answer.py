"""An answer of Chat Completions in progress, with the members that are attached to its blocks at the end."""

from __future__ import annotations

from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers.answers.answer import MAX_CITED_BYTES, Answer
from services.models.providers.answers.dropped_members import warn_of_images
from services.models.providers.answers.joined_values import JoinedValue
from services.models.providers.errors.faults import Fault
from services.models.providers.openai.chat_completions.thoughts import items_written, join_thoughts
from services.models.providers.openai.chat_completions.written import WrittenMessage
from services.models.providers.state.member_state import (
    CALL_MEMBERS,
    FUNCTION_MEMBERS,
    MESSAGE_MEMBERS,
    REASONING_NAMES,
    THOUGHT,
    KeptMembers,
    beyond,
    is_thought,
    wrap_members,
)
from services.shared import json_text
from services.shared.json_text import items_of, object_of, text_of

# The order of an answer's blocks. Chat Completions has no order of its own between these.
REASONING, TEXT, REFUSAL, FIRST_CALL = range(4)

MAX_KEPT_BYTES = 16 * 1024 * 1024
"""Limit for the bytes of kept members beyond the protocol; requests with more would be refused."""
PIECE_BYTES = 128
"""Memory of a piece beside its own bytes, about."""

BARE_CALL_MEMBERS = CALL_MEMBERS | FUNCTION_MEMBERS
"""Members of a bare call, with nothing around its name and arguments."""

KNOWN_MEMBERS = MESSAGE_MEMBERS | frozenset(REASONING_NAMES) | {"usage"}
IMAGES = "images"
"""The member in which OpenRouter and servers that speak for Gemini give images
(https://openrouter.ai/docs/guides/overview/multimodal/image-generation)."""
THOUGHTS = ("reasoning", "thinking")
"""Beginnings of the names of members about reasoning."""

Values = dict[str, JoinedValue]


class KeptOfCall:
    """Members beyond the protocol in a call."""

    __slots__ = ("call", "function")

    def __init__(self) -> None:
        self.call: Values = {}
        self.function: Values = {}


class ChatAnswer(Answer):
    """An answer whose annotations, and other members that its server wants back, may come in pieces: before the finish
    reason, with it or behind it."""

    def __init__(self) -> None:
        super().__init__()
        self._reasoning_names: dict[str, bool] = {}
        """The server's names for the text of the reasoning, each with whether there is any under it."""
        self._annotations: list[bytes] = []
        self._kept: Values = {}
        self._kept_of_calls: dict[int, KeptOfCall] = {}
        self._thoughts: list[list[bytes]] = []
        """The parts of the content that are thoughts, those of a message or of a piece of one together."""
        self._kept_bytes = 0
        self._written: WrittenMessage | None = None
        """The message, or the piece of one, that was read last: it may hold many calls."""

    @property
    def is_annotated(self) -> bool:
        """Whether there are annotations."""
        return bool(self._annotations)

    def keeps(self, name: str) -> bool:
        """Whether a member of this name beyond the protocol is kept."""
        return name in self._kept

    # ------------------------------------------------------------------------------------------- growing

    def add_annotations(self, annotations: bytes) -> None:
        """Adds annotations that `annotations_in` has returned."""
        self.waiting_bytes += len(annotations)
        if self.waiting_bytes - self._kept_bytes > MAX_CITED_BYTES:
            raise Fault("OUTPUT_LIMIT")
        self._annotations.append(annotations)

    def name_reasoning(self, name: str, *, has_text: bool) -> None:
        """Records the member in which the server sent reasoning, or a piece of it."""
        self._reasoning_names[name] = has_text or self._reasoning_names.get(name, False)

    def keep_value(self, name: str, value: Any) -> None:
        """Keeps a value, or a piece of one, that is a member of the message."""
        self._join(self._kept, name, json_text.encode_any(value))

    def keep(self, data: bytes, message: dict[str, Any]) -> None:
        """Keeps the members beyond the protocol of `message`, or a piece of one, which was decoded from the JSON
        `data`."""
        names = [name for name in beyond(message, KNOWN_MEMBERS) if has_value(message[name])]
        if names:
            written = WrittenMessage(data, message)
            for name in names:
                self._join(self._kept, name, written.member(name))

    def keep_thoughts(self, data: bytes, message: dict[str, Any]) -> None:
        """Keeps the thoughts in the content of `message`, or of a piece of one, that is a list."""
        parts = items_of(message.get("content"))
        if not any(isinstance(part, dict) and part.get("type") == THOUGHT for part in parts):
            return
        content = WrittenMessage(data, message).member("content")
        self._count_kept(content)
        self._thoughts.append([bytes(part) for part in items_written(content) if is_thought(part)])

    def keep_of_call(
        self, kept: KeptOfCall | None, data: bytes, message: dict[str, Any], index: int
    ) -> KeptOfCall | None:
        """Keeps members beyond the protocol of the call at `index`, beside those that were kept of it before, and
        returns all."""
        calls = items_of(message.get("tool_calls"))
        if index >= len(calls):
            # A call in the form before `tool_calls`.
            return kept
        call = object_of(calls[index])
        function = object_of(call.get("function"))
        names = [
            name for name in beyond(call, CALL_MEMBERS if function else BARE_CALL_MEMBERS) if has_value(call[name])
        ]
        inner = [name for name in beyond(function, FUNCTION_MEMBERS) if has_value(function[name])]
        if not names and not inner:
            return kept
        kept = kept or KeptOfCall()
        if self._written is None or not self._written.is_of(message):
            self._written = WrittenMessage(data, message)
        written = self._written
        for name in names:
            self._join(kept.call, name, written.of_call(index, name))
        for name in inner:
            self._join(kept.function, name, written.of_function(index, name))
        return kept

    def tie_to_call(self, key: int, kept: KeptOfCall | None) -> None:
        """Sets the block of a call."""
        if kept:
            self._kept_of_calls[key] = kept

    def _join(self, values: Values, name: str, raw: bytes) -> None:
        name = text_of(name)
        self._count_kept(raw)
        if name in values:
            values[name].add(raw)
        else:
            values[name] = JoinedValue(raw)

    def _count_kept(self, raw: bytes) -> None:
        size = len(raw) + PIECE_BYTES
        self._kept_bytes += size
        self.waiting_bytes += size
        if self._kept_bytes > MAX_KEPT_BYTES:
            raise Fault("OUTPUT_LIMIT")

    # ------------------------------------------------------------------------------------------- the end

    def complete(self) -> None:
        self._written = None
        if annotations := b",".join(filter(None, self._annotations)):
            self.cite(TEXT, f"[{annotations.decode()}]")
        self._attach_kept()
        super().complete()

    def _attach_kept(self) -> None:
        """Attaches the kept members of the message to its first block, and those of calls to their blocks."""
        names = self._names_of_reasoning()
        if IMAGES in self._kept:
            warn_of_images(self)
        if self._kept or names or self._thoughts:
            key = next((key for key in (REASONING, TEXT, REFUSAL) if self.has_block(key)), REASONING)
            is_thought = any(name.startswith(THOUGHTS) for name in self._kept)
            thoughts = [msgspec.Raw(thought) for thought in join_thoughts(self._thoughts)]
            kept = KeptMembers(message=_written(self._kept), reasoning=names, thoughts=thoughts)
            self._attach(key, kept, redacted=is_thought and not self.has_block(key))
        for key, of_call in self._kept_of_calls.items():
            self._attach(key, KeptMembers(call=_written(of_call.call), function=_written(of_call.function)))

    def _names_of_reasoning(self) -> list[str]:
        if self.has_block(REASONING):
            return [name for name, has_text in self._reasoning_names.items() if has_text]
        # Before a call even an empty one is wanted back; elsewhere many servers write it into every answer.
        return list(self._reasoning_names) if self._call_ids and not self._kept else []

    def _attach(self, key: int, kept: KeptMembers, *, redacted: bool = False) -> None:
        self.close(key)
        state = models_pb2.ProviderState(model=self.model, data=wrap_members(kept))
        self.attach_state(key, state, redacted=redacted)


def has_value(value: Any) -> bool:
    """Whether a member has a value: many servers write all members that they know, with empty values."""
    return value not in (None, "", [], {})


def _written(values: Values) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(value.written()) for name, value in values.items()}
