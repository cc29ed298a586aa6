"""The events of a streamed chat completion → an Answer.

https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.models.providers.answers.answer import Answer
from services.models.providers.answers.event_data import DONE, read_data
from services.models.providers.answers.finish_reasons import finish_word
from services.models.providers.answers.logprobs import read_logprobs
from services.models.providers.answers.openai_usage import read_counts_elsewhere, read_rates, read_usage
from services.models.providers.answers.values import read_object
from services.models.providers.errors.faults import Fault
from services.models.providers.errors.in_band_errors import BASE_RESP, fault_of_event
from services.models.providers.openai.chat_completions.called import calls_in
from services.models.providers.openai.chat_completions.chat_answer import FIRST_CALL, KNOWN_MEMBERS, TEXT, ChatAnswer
from services.models.providers.openai.chat_completions.choices import OtherChoices, first_choice
from services.models.providers.openai.chat_completions.plain_pieces import PlainPieces
from services.models.providers.openai.chat_completions.response import (
    add_delta,
    annotations_in,
    has_content,
    message_of,
    read_end,
    read_finish,
    read_header,
    refuse_error,
    refuse_error_within,
    warn_of_dropped_members,
)
from services.models.providers.openai.chat_completions.streamed_calls import StreamedCalls
from services.models.providers.openai.chat_completions.whole_message import rest_of_message
from services.models.transport.sse import ERROR, Event
from services.shared.json_text import text_of

WHOLE = "chat.completion"
"""The value of `object` for whole answers; for pieces it is `chat.completion.chunk`."""


USUAL_TIERS = (None, "default")
"""Usual values of `service_tier`, which OpenAI sends with every piece."""


class ChatCompletionDecoder:
    """One stream. It is whole once a finish reason or `[DONE]` has come; usage comes between the two.

    Some gateways put a finish reason on their first chunk, or on every one: content after it makes the answer
    unfinished again.

    `stop_sequence_member` is the member of a choice with the stop sequence that ended it, for servers that have one.
    """

    def __init__(self, stop_sequence_member: str | None = None) -> None:
        self._streamed = _StreamedAnswer()
        self.answer: Answer = self._streamed
        self._calls = self._streamed.calls
        self.finished = False
        self.ended = False
        self.awaits_usage = False
        self._others = OtherChoices(self.answer)
        self._plain_pieces = PlainPieces()
        self._reads_plainly = False
        """Whether the next piece may be plain, because the answer has begun and has not finished."""
        self._messages_are_pieces = False
        self._message_length = 0
        """Characters of the texts of such messages, all together."""
        self._finishes_early = False
        """Whether content came after a finish reason, or a finish reason before all content."""
        self._stop_sequence_member = stop_sequence_member

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            name, data = event
            if name and name.endswith(ERROR):
                raise fault_of_event(data)
            if not data:
                continue
            if not self._reads_plainly or (piece := self._plain_pieces.read(data)) is None:
                if not data.startswith(b"{"):
                    data = read_data(event)
                if data == DONE:
                    self._end()
                    return
                if data:
                    self._read(read_object(data), data)
                continue
            self.answer.add(TEXT, "text", piece.choices[0].delta.content)
            if piece.service_tier:
                read_rates(self.answer, piece.service_tier)

    def _end(self) -> None:
        """Ends the stream. A stream without any content or finish reason is not an answer: generation has failed."""
        for piece in self._others.take_back(has_first=self._has_content()):
            chunk = read_object(piece)
            self._read_choice(first_choice(chunk), chunk, piece)
        self.ended = True
        if not self.finished and self._calls.has_half:
            # No finish reason shows that the model itself stopped.
            raise Fault("UPSTREAM_STREAM_TRUNCATED")
        self.finished = self.finished or self._has_content() or bool(self.answer.raw_finish_reason)

    def _read(self, chunk: dict[str, Any], data: bytes) -> None:
        choice = first_choice(chunk)
        if choice and (choice.get("index") or self._others or len(chunk["choices"]) > 1):
            choice, data = self._others.sift(chunk, data, is_finished=self.finished)
        self._read_choice(choice, chunk, data)
        self._reads_plainly = bool(self.answer.model) and not self.finished and not self._others

    def _read_choice(self, choice: dict[str, Any], chunk: dict[str, Any], data: bytes) -> None:
        if not choice or ERROR in chunk or ERROR in choice or BASE_RESP in chunk:
            refuse_error(chunk, choice)
        if not choice:
            warn_of_dropped_members(self.answer, chunk, choice)
            read_counts_elsewhere(self.answer, chunk, choice)
        if not self.answer.model:
            read_header(self.answer, chunk)
            warn_of_dropped_members(self.answer, chunk, choice)
        if self.finished or choice.get("finish_reason"):
            self._read_end_of_choice(choice, chunk, data)
        elif choice:
            self._add_content(choice, chunk, data)
        if choice.get("logprobs"):
            self._add_logprobs(choice["logprobs"], chunk)
        if chunk.get("usage") or chunk.get("service_tier"):
            read_end(self.answer, chunk)

    def _add_logprobs(self, member: Any, chunk: dict[str, Any]) -> None:
        logprobs = read_logprobs(member)
        if logprobs is None:
            return
        if chunk.get("object") == WHOLE:
            # A whole answer repeats the logprobs of all pieces.
            self.answer.complete_logprobs(TEXT, logprobs)
        else:
            self.answer.add_logprobs(TEXT, logprobs)

    def _read_end_of_choice(self, choice: dict[str, Any], chunk: dict[str, Any], data: bytes) -> None:
        """Reads a choice with a finish reason, or behind one."""
        warn_of_dropped_members(self.answer, chunk, choice)
        was_finished, had_content = self.finished, self.answer.has_more_than_reasoning or bool(self._calls)
        if self._add_content(choice, chunk, data) and was_finished:
            self.finished = self.awaits_usage = False
            self._finishes_early = True
        read_counts_elsewhere(self.answer, chunk, choice)
        if finish_word(choice.get("finish_reason")):
            read_finish(self.answer, choice, self._stop_sequence_member)
            # `stop` before any content is accepted only together with `[DONE]`.
            self.finished = self._has_content() or self.answer.finish_reason != "stop"
            self._finishes_early = self._finishes_early or not self.finished
            # A finish reason before the content, or with its first piece, may be repeated on every chunk.
            self.awaits_usage = had_content and not self._finishes_early

    def _add_content(self, choice: dict[str, Any], chunk: dict[str, Any], data: bytes) -> bool:
        """Adds the content of a choice, from any member that has it. Returns whether there was any."""
        delta = choice.get("delta")
        if not isinstance(delta, dict) or ("message" in choice and not has_content(delta)):
            delta = message_of(choice) or {}
            had_text = self.answer.has_block(TEXT)
            if self._repeats(chunk, delta):
                delta = rest_of_message(self._streamed, self._calls, delta)
            if not had_text and has_content(delta):
                self._messages_are_pieces = True
            self._message_length += len(text_of(delta.get("content")))
        self._add_delta(delta, data)
        return has_content(delta)

    def _repeats(self, chunk: dict[str, Any], message: dict[str, Any]) -> bool:
        """Whether a message in place of a delta repeats the whole text so far, and is not its next piece."""
        if not self._has_content():
            return False
        if not self._messages_are_pieces or chunk.get("object") == WHOLE:
            return True
        text = text_of(message.get("content"))
        # Joined only if needed: joining the earlier pieces takes longer with each piece.
        earlier = self.answer.text_of(TEXT) if len(text) > self._message_length else ""
        if earlier and len(text) > len(earlier) and text.startswith(earlier):
            # All later messages repeat it, too.
            self._messages_are_pieces = False
        return not self._messages_are_pieces

    def _has_content(self) -> bool:
        return self.answer.has_begun or bool(self._calls)

    def _add_delta(self, delta: dict[str, Any], data: bytes) -> None:
        """Adds a piece of the message, which came in the event `data`."""
        answer = self._streamed
        add_delta(answer, delta)
        for index, piece in enumerate(calls_in(delta)):
            if piece is not None:
                self._calls.add(piece, data, delta, index)
        if isinstance(delta.get("content"), list):
            answer.keep_thoughts(data, delta)
        if "usage" in delta:
            read_usage(answer, delta["usage"])
        if "annotations" in delta:
            answer.add_annotations(annotations_in(delta))
        if not delta.keys() <= KNOWN_MEMBERS:
            refuse_error_within(delta)
            answer.keep(data, delta)


class _StreamedAnswer(ChatAnswer):
    """An answer whose last calls may be without arguments, which is only known at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = StreamedCalls(self, FIRST_CALL)

    def complete(self) -> None:
        self.calls.complete()
        super().complete()
