"""The events of a streamed chat completion → an Answer.

https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.models.providers import json_text
from services.models.providers.answer import Answer
from services.models.providers.error_body import fault_in
from services.models.providers.event_stream import Event
from services.models.providers.faults import Fault
from services.models.providers.openai.response import (
    FIRST_CALL,
    TEXT,
    add_delta,
    arguments_text,
    first_choice,
    read_finish,
    read_header,
    read_usage,
    text_of,
)

DONE = b"[DONE]"


class ChatCompletionDecoder:
    """One stream. It is whole once a finish reason or `[DONE]` has come; usage comes between the two."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.finished = False
        self.ended = False
        self._calls: dict[Any, _StreamedCall] = {}
        self._newest: _StreamedCall | None = None

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            if not event.data:
                continue
            if event.data == DONE:
                self.finished = self.ended = True
                continue
            try:
                chunk = json_text.decode(event.data)
            except json_text.Malformed:
                raise Fault("UPSTREAM_PROTOCOL_ERROR") from None
            self._read(chunk)

    def _read(self, chunk: Any) -> None:
        choice = first_choice(chunk)
        if not self.answer.model:
            read_header(self.answer, chunk)
        if choice:
            self._read_choice(choice)
        elif chunk.get("error"):
            raise fault_in(chunk["error"])
        if chunk.get("usage"):
            read_usage(self.answer, chunk["usage"])

    def _read_choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            content = delta.get("content")
            if len(delta) == 1 and isinstance(content, str):
                # Nearly every event is this one; the long way gives the same.
                self.answer.add(TEXT, "text", content)
            else:
                add_delta(self.answer, delta)
                for call in delta.get("tool_calls") or ():
                    self._add_call(call)
        reason = choice.get("finish_reason")
        if reason:
            read_finish(self.answer, reason)
            self.finished = True

    def _add_call(self, delta: Any) -> None:
        """Adds a piece of a tool call. By protocol `index` tells the calls apart and `id` comes once; in the wild the
        index may be missing, or be 0 for every call, and then a new id begins a new call."""
        if not isinstance(delta, dict):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        index, call_id = delta.get("index"), text_of(delta.get("id"))
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        call = self._calls.get(index) if index is not None else self._newest
        name = text_of(function.get("name"))
        if call is None or (call_id and call_id != call.id and (call.id or name)):
            key = self.answer.open_tool_call(FIRST_CALL, call_id, name)
            call = self._newest = _StreamedCall(key, call_id)
            if index is not None:
                self._calls[index] = call
        self.answer.add_arguments(call.key, arguments_text(function.get("arguments")))


class _StreamedCall:
    """A tool call in progress: its block in the answer, and the provider's id for it."""

    __slots__ = ("id", "key")

    def __init__(self, key: int, call_id: str) -> None:
        self.key = key
        self.id = call_id
