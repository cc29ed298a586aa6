"""The end of a chat: its answer is appended to the session, completed, logged, and recorded in the ledger."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from proto import models_pb2
from services.models.attempts.attempts import Attempt, Attempts
from services.models.attempts.records import attempts_json
from services.models.calls.once import Keep
from services.models.capture.capture import Capture
from services.models.chat.account import Account
from services.models.chat.limits import LimitedChat
from services.models.chat.metrics import ChatMeter
from services.models.chat.spans import describe_answer, end_chat_span, start_chat_span
from services.models.chat.system_prompt import Prompted
from services.models.limits.estimate import bounded_usage
from services.models.providers.base import Target
from services.models.providers.call_record import describe_call, duration, log_target, log_usage
from services.models.providers.host_disclosure import disclose_host
from services.models.providers.timeouts import is_timeout
from services.models.providers.usage import Counts, add_cost, counts_of, with_counted_prompt
from services.models.sessions.turn import Turn
from services.shared.call import Call
from services.shared.errors import ATTEMPTS, PlatformError
from services.shared.rpc import describe_end


class RunningChat:
    """A chat from its exchange to its end, for the length of a block. Its turn in the session ends with the block."""

    def __init__(
        self,
        prompted: Prompted,
        attempts: Attempts,
        opening: AbstractAsyncContextManager[Turn],
        call: Call,
        account: Account,
        limits: LimitedChat,
        capture: Capture,
        *,
        by_stranger: bool,
    ) -> None:
        self.attempts = attempts
        self.conversation = prompted.conversation
        """The conversation that is sent: inside the block, with the session's history."""
        self._prompted = prompted
        self._opening = opening
        self.call = self._call = call
        self._account = account
        self._limits = limits
        self._capture = capture
        self._by_stranger = by_stranger
        self._first_output_seconds: float | None = None
        self._attempt: Attempt | None = None
        """The newest attempt."""

    async def __aenter__(self) -> RunningChat:
        self._turn = await self._opening.__aenter__()
        self.conversation = self._turn.conversation
        try:
            await self._admit_first_choice()
        except BaseException as error:
            self.attempts.give_up()
            await self._opening.__aexit__(type(error), error, error.__traceback__)
            raise
        self._meter = ChatMeter(self._call, self.conversation)
        self.attempts.span = start_chat_span(self._call, self.conversation.request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, PlatformError) and self.attempts.records:
            self._describe_failure(error)
        self._call.waited += self.attempts.waited
        if error and self._account.is_open:
            if _was_left(error):
                self._assume_usage(error)
            await self._record_failure(error)
        target = self.attempts.failed_target or self.attempts.newest_target
        if error and target:
            self._meter.fail(target, error)
        if self.attempts.span:
            end_chat_span(self.attempts.span, target, error)
        await self._limits.settle(self._account, self.attempts.sent)
        await self._opening.__aexit__(kind, error, trace)

    async def _admit_first_choice(self) -> None:
        """Asks the limits of the caller for its own choice of a model, unless the session has the answer already."""
        target = self.attempts.upcoming_target
        if self.earlier_answer is None and target and self.attempts.begins_with_first_choice:
            await self._limits.admit(self.conversation, self.conversation.request.model, target, self._account)

    async def admit(self, attempt: Attempt) -> None:
        """Asks the limits for the model of an attempt, unless they have admitted that one. Call it within the attempt:
        what they refuse, another model may answer."""
        try:
            await self._limits.admit(self.conversation, attempt.model, attempt.target, self._account)
        except PlatformError:
            attempt.refuse()
            raise

    @property
    def earlier_answer(self) -> models_pb2.ChatResponse | None:
        """The answer that the session has already; None if the model must answer."""
        return self._turn.answer

    async def next_attempt(self) -> Attempt | None:
        """The next attempt, as `Attempts.next` gives it. The ledger knows of it before anything is sent."""
        attempt = self._attempt = await self.attempts.next()
        self._call.has_asked = False
        if attempt:
            self._account.begin(attempt.target)
        return attempt

    def note_output(self, attempt: Attempt) -> None:
        """Records the times of a stream's chunks; call it for each."""
        attempt.has_output = True
        self._meter.note_chunk(attempt.target)
        if self._first_output_seconds is None:
            self._first_output_seconds = self._call.first_output = self._call.elapsed_seconds()

    def note_interruption(self, attempt: Attempt, usage: models_pb2.TokenUsage) -> None:
        """Records the usage of an answer that breaks off."""
        attempt.usage = usage
        self._account.add(self._accounted(usage, attempt.target))
        log_usage(self._call, usage)
        self._meter.note_usage(attempt.target, usage)

    def _accounted(self, usage: models_pb2.TokenUsage, target: Target) -> models_pb2.TokenUsage:
        """The usage of an attempt for limits and ledger, whose sums are shared with others: a stranger's server is not
        believed all that it counts."""
        return bounded_usage(usage, self.conversation, target) if target.untrusted else usage

    def _assume_usage(self, error: BaseException) -> None:
        """Accounts for an attempt that was left before its provider has said anything: it may have worked on it, also
        behind a stream that had begun."""
        attempt = self._attempt
        if attempt is None or not self._call.has_asked:
            return
        known = attempt.usage
        if known and not (known.estimated and not known.completion_tokens):
            return
        target = self._blamed(error) or attempt.target
        usage = self._limits.probable_usage(self.conversation, target)
        if known:
            usage = with_counted_prompt(usage, known)
        add_cost(usage, target)
        usage = self._accounted(usage, target)
        if known:
            self._account.replace_newest(usage)
        else:
            self._account.add(usage)

    async def complete(self, response: models_pb2.ChatResponse, attempt: Attempt, keep: Keep | None) -> None:
        """Ends the attempt, appends its complete answer to the session, sets the service's own fields in it, logs the
        usage, and stores the answer with `keep`."""
        attempt.succeed()
        target, usage = attempt.target, response.usage
        counts = counts_of(usage)
        accounted = self._accounted(usage, target)
        self._account.add(accounted, counts if accounted is usage else None)
        if keep is None:
            await self._end(response, target, counts)
            return
        # Once a turn is appended, its answer must be stored: a repetition would append it again.
        ending = asyncio.create_task(self._end_and_keep(response, target, counts, keep))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.wait({ending})
            raise

    async def _end_and_keep(
        self, response: models_pb2.ChatResponse, target: Target, counts: Counts, keep: Keep
    ) -> None:
        await self._end(response, target, counts)
        await keep(response)

    async def _end(self, response: models_pb2.ChatResponse, target: Target, counts: Counts) -> None:
        await self._turn.complete(response)
        self._describe(response, target)
        self._call.log_fields["finish_reason"] = response.finish_reason
        log_usage(self._call, response.usage)
        self._meter.succeed(target, response.model, counts)
        if self.attempts.span:
            describe_answer(self.attempts.span, target, response)
        self._capture.end(self._call, self.conversation.messages, response)
        await self._account.close(self.attempts.sent, first_output_seconds=self._first_output_seconds)
        self._limits.note_answer(counts, target)
        await self._limits.settle(self._account, self.attempts.sent)

    async def _record_failure(self, error: BaseException) -> None:
        """Records a chat that has failed, unless it has asked no provider."""
        if isinstance(error, PlatformError) and not self._account.has_usage and not self.attempts.has_asked:
            self._account.void()
            return
        self._capture.end(self._call, self.conversation.messages, None)
        await self._account.close(
            self.attempts.sent,
            describe_end(error, self._call),
            target=self._blamed(error),
            first_output_seconds=self._first_output_seconds,
        )

    def _blamed(self, error: BaseException) -> Target | None:
        """The target that an error is about, if that may be another one than the newest."""
        return self.attempts.failed_target if isinstance(error, PlatformError) else None

    def _describe_failure(self, error: PlatformError) -> None:
        target = self.attempts.failed_target
        if target:
            self._log_attempts(target)
            disclose_host(error, target, to_stranger=self._by_stranger)
        if self.attempts.has_asked:
            error.metadata[ATTEMPTS] = attempts_json(self.attempts.records)

    def _log_attempts(self, target: Target) -> None:
        """Logs the target that the call's end is about, where others have been tried too."""
        if len(self.attempts.records) > 1:
            log_target(self._call, target)
            self._call.log_fields["attempts"] = len(self.attempts.records)

    def _describe(self, response: models_pb2.ChatResponse, target: Target) -> None:
        self._log_attempts(target)
        describe_call(response, "chat", target, self._call, self.attempts.records)
        if notice := self.attempts.fallback_notice():
            response.warnings.append(notice)
        if self._prompted.prompt:
            response.prompt.CopyFrom(self._prompted.prompt)
            response.warnings.extend(self._prompted.warnings)
        if self._first_output_seconds is not None:
            response.timing.first_token.CopyFrom(duration(self._first_output_seconds))
            self._call.log_fields["first_token_ms"] = round(self._first_output_seconds * 1000, 3)


def _was_left(error: BaseException) -> bool:
    """Whether a chat ended while its provider may have been working on it."""
    return not isinstance(error, PlatformError) or is_timeout(error)
