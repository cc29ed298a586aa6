"""The events of a streamed chat completion → an Answer.

https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.models.providers.answer import MAX_BLOCKS, Answer
from services.models.providers.error_body import fault_in
from services.models.providers.event_stream import Event
from services.models.providers.faults import Fault, read_object, word_of
from services.models.providers.finish_reasons import finish_word
from services.models.providers.openai.chat_answer import FIRST_CALL, KNOWN_MEMBERS, TEXT, ChatAnswer, KeptOfCall
from services.models.providers.openai.object_end import ObjectEnd
from services.models.providers.openai.response import (
    add_delta,
    annotations_in,
    calls_in,
    first_choice,
    read_call,
    read_end,
    read_finish,
    read_header,
)

DONE = b"[DONE]"


class ChatCompletionDecoder:
    """One stream. It is whole once a finish reason or `[DONE]` has come; usage comes between the two.

    `stop_sequence_member` is where a choice says which stop sequence ended it, for servers that do.
    """

    def __init__(self, stop_sequence_member: str | None = None) -> None:
        self._chat_answer = ChatAnswer()
        self.answer: Answer = self._chat_answer
        self.finished = False
        self.ended = False
        self._calls_by_index: dict[int, _StreamedCall] = {}
        self._calls_by_id: dict[str, _StreamedCall] = {}
        self._newest: _StreamedCall | None = None
        self._calls_seen = 0
        self._stop_sequence_member = stop_sequence_member

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            if not event.data:
                continue
            if event.data == DONE:
                self.finished = self.ended = True
                return
            self._read(read_object(event.data), event.data)

    def _read(self, chunk: dict[str, Any], data: bytes) -> None:
        choice = first_choice(chunk)
        reason = choice.get("finish_reason") and finish_word(choice["finish_reason"])
        # Some servers put an error beside a choice, whose finish reason would make the answer look whole.
        if (reason or not choice) and chunk.get("error"):
            raise fault_in(chunk["error"])
        if not self.answer.model:
            read_header(self.answer, chunk)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            content = delta.get("content")
            if len(delta) == 1 and isinstance(content, str):
                # Nearly every event is this one; the long way gives the same.
                self.answer.add(TEXT, "text", content)
            else:
                self._add_delta(delta, data)
        if reason:
            read_finish(self.answer, choice, self._stop_sequence_member)
            self.finished = True
        read_end(self.answer, chunk)

    def _add_delta(self, delta: dict[str, Any], data: bytes) -> None:
        """Adds a piece of the message, which came in the event `data`."""
        answer = self._chat_answer
        add_delta(answer, delta)
        for index, piece in enumerate(calls_in(delta)):
            call = self._add_call(piece)
            call.kept = answer.keep_of_call(call.kept, data, delta, index)
            if call.key is not None:
                answer.tie_to_call(call.key, call.kept)
        if "annotations" in delta:
            answer.add_annotations(annotations_in(delta))
        if not delta.keys() <= KNOWN_MEMBERS:
            answer.keep(data, delta)

    def _add_call(self, delta: Any) -> _StreamedCall:
        """Adds a piece of a tool call."""
        if not isinstance(delta, dict):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        name, arguments = read_call(delta) or ("", "")
        index, call_id = delta.get("index"), word_of(delta.get("id"))
        call = self._find_call(index, call_id, name)
        if call is None or self._begins_another(call, name, arguments):
            call = self._newest = self._begin_call()
        if isinstance(index, int):
            self._calls_by_index[index] = call
        if call_id:
            call.id = call.id or call_id
            self._calls_by_id[call_id] = call
        call.name = call.name or name
        if call.key is None:
            if not call.name and not arguments:
                # Its name comes in a later piece.
                return call
            call.key = self.answer.open_tool_call(FIRST_CALL, call.id, call.name)
        self.answer.add_arguments(call.key, arguments)
        if arguments:
            call.seems_whole = arguments.rstrip().endswith("}")
            if call.end:
                call.end.feed(arguments)
        return call

    def _begin_call(self) -> _StreamedCall:
        self._calls_seen += 1
        if self._calls_seen > MAX_BLOCKS:
            # One without a name or arguments is no block of the answer yet.
            raise Fault("OUTPUT_LIMIT")
        return _StreamedCall()

    def _find_call(self, index: Any, call_id: str, name: str) -> _StreamedCall | None:
        """The call that a piece belongs to, or None when it begins one.

        By protocol `index` tells the calls apart and `id` comes once. In the wild the index may be missing, or be 0
        for every call, and then the id tells them apart.
        """
        call = self._calls_by_index.get(index) if isinstance(index, int) else self._newest
        if call is None or not call_id or call.id == call_id:
            return call
        if not call.id and not name:
            # Its id came late.
            return call
        return self._calls_by_id.get(call_id)

    def _begins_another(self, call: _StreamedCall, name: str, arguments: str) -> bool:
        """Whether a piece that names a tool begins a call of its own: some servers give no ids at all, or one for all,
        while others repeat the name in every piece."""
        if not name or not call.name or call.key is None:
            return False
        if name != call.name:
            return True
        # Their end is looked for only where it matters.
        return bool(arguments) and call.seems_whole and self._has_ended(call, call.key)

    def _has_ended(self, call: _StreamedCall, key: int) -> bool:
        if call.end is None:
            call.end = ObjectEnd()
            call.end.feed(self.answer.text_of(key))
        return call.end.is_here


class _StreamedCall:
    """A tool call in progress."""

    __slots__ = ("end", "id", "kept", "key", "name", "seems_whole")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.key: int | None = None
        """Its block in the answer, once it has one."""
        self.seems_whole = False
        """Whether its arguments end as an object does."""
        self.end: ObjectEnd | None = None
        """Where they do, once that matters."""
        self.kept: KeptOfCall | None = None
        """What is beyond the protocol in it."""
