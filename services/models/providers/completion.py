"""The completion of a chat: missing facts are added to the answer, and its limits are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from proto import models_pb2
from services.models.providers.answers.answer import MAX_CHARACTERS, Answer
from services.models.providers.base import Conversation, Target
from services.models.providers.errors.faults import Fault, error_for
from services.models.providers.usage import add_cost_of_answer, estimate_usage
from services.shared.errors import LimitExceeded
from services.shared.message_sizes import MAX_MESSAGE_BYTES
from services.shared.offload import run_in_thread_if_large

MAX_RESPONSE_BYTES = MAX_MESSAGE_BYTES - 64 * 1024
"""Limit of a response, which leaves room for fields that the service adds and for the chunk around it in a stream."""

Interrupted = Callable[[models_pb2.TokenUsage], None]
"""Called with the usage of an interrupted answer, before the error is raised. It is partly estimated, because a
provider counts at the end."""

Result = TypeVar("Result")


class Completion:
    """The last step of one chat. `notices` are those of its translation.

    Both methods raise Internal (UPSTREAM_PROTOCOL_ERROR) for an answer with a tool call that has no name: no caller
    could run it, and no provider would accept it again. They raise LimitExceeded (OUTPUT_LIMIT) for an answer that is
    too large for its caller, so that no session keeps an answer that was never received; `interrupted` gets its usage.
    """

    def __init__(
        self,
        target: Target,
        conversation: Conversation,
        notices: Sequence[models_pb2.Notice],
        interrupted: Interrupted | None = None,
    ) -> None:
        self._target = target
        self._conversation = conversation
        self._notices = notices
        self._interrupted = interrupted

    async def response(self, answer: Answer) -> models_pb2.ChatResponse:
        """The response that a complete answer becomes."""
        return await self._end(answer, self._make_response)

    async def last_chunk(self, answer: Answer) -> models_pb2.ChatChunk:
        """The last chunk of a stream, with that response."""
        return await self._end(answer, self._make_last_chunk)

    async def _end(self, answer: Answer, make: Callable[[Answer], Result]) -> Result:
        try:
            return await run_in_thread_if_large(answer.size, make, answer)
        except LimitExceeded:
            if self._interrupted and answer.usage:
                self._interrupted(answer.usage)
            raise

    def _make_response(self, answer: Answer) -> models_pb2.ChatResponse:
        self._fill_gaps(answer)
        response = answer.response()
        self._describe(response)
        return response

    def _make_last_chunk(self, answer: Answer) -> models_pb2.ChatChunk:
        self._fill_gaps(answer)
        chunk = answer.last_chunk()
        self._describe(chunk.response)
        return chunk

    def _fill_gaps(self, answer: Answer) -> None:
        """Adds what the provider did not send. If it did not name its model, it has served the requested one."""
        answer.model = answer.model or self._target.model
        if answer.usage is None or (answer.has_begun and not answer.usage.total_tokens):
            # Servers that do not count may write zeros.
            answer.usage = estimate_usage(answer, self._conversation)
        elif answer.has_begun and not answer.usage.completion_tokens:
            # There is an answer, so its tokens cannot be zero.
            answer.counts_agree = False
        add_cost_of_answer(answer.usage, answer, self._target)
        if self._conversation.request.config.logprobs and not answer.has_logprobs:
            self._warn_of_missing_logprobs(answer)
        if answer.characters > MAX_CHARACTERS:
            raise self._error("OUTPUT_LIMIT")

    def _warn_of_missing_logprobs(self, answer: Answer) -> None:
        """Adds a notice that the provider sent no logprobs, unless they were not requested from it."""
        if not any(notice.field.endswith("logprobs") for notice in [*self._notices, *answer.warnings]):
            problem = "the provider sent no log probabilities"
            answer.warn("LOGPROBS_MISSING", problem, field="config.logprobs")

    def _describe(self, response: models_pb2.ChatResponse) -> None:
        """Adds the provider and the warnings to the response, and checks it."""
        if not all(call.name for call in response.tool_calls):
            raise self._error("UPSTREAM_PROTOCOL_ERROR")
        response.provider = self._target.provider
        if self._target.warnings or self._notices:
            response.warnings.extend([*self._target.warnings, *self._notices])
        if response.ByteSize() > MAX_RESPONSE_BYTES:
            raise self._error("OUTPUT_LIMIT")

    def _error(self, reason: str) -> Exception:
        return error_for(Fault(reason), self._target.provider)
