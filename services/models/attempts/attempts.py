"""The attempts of one chat: what is tried, in which order, how often, and when no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from proto import models_pb2
from services.models.attempts import records
from services.models.attempts.circuit_breaker import CircuitBreaker
from services.models.attempts.limits import AttemptLimits
from services.models.attempts.remedies import Remedy, remedy_for
from services.models.providers.base import Target
from services.shared.backoff import Backoff
from services.shared.errors import PlatformError, Unavailable

PAUSES = Backoff(interval=1.0, first_retry=0.1)
"""The pauses before the same target is tried again."""

MAX_WAIT = 10.0
"""Longest time, in seconds, that a chat waits between its attempts. A longer Retry-After goes to the caller at once."""


class Candidate(NamedTuple):
    """A model that may answer, by the name that stands in a request or in a setting."""

    model: str
    resolve: Callable[[], Target]
    """Raises PlatformErrors for a model that is not set up."""


class _Step(NamedTuple):
    """The next attempt, and the pause before it in seconds."""

    target: Target
    breaker: CircuitBreaker
    model: str
    """The candidate's name."""
    is_first_choice: bool
    pause: float = 0.0


class Attempts:
    """The attempts of one chat: `next` gives one after the other, until one has succeeded.

    In this order: the candidates, each once and at once; then those again, after a pause, that may answer later. Never
    more than the limits allow, never beyond `remaining`, the seconds until the caller's deadline, and never after an
    attempt that has given output.
    """

    def __init__(
        self, candidates: Sequence[Candidate], limits: AttemptLimits, remaining: Callable[[], float | None]
    ) -> None:
        self.records: list[models_pb2.Attempt] = []
        """All attempts so far, in order, and the candidates that could not be tried."""
        self._limits = limits
        self._remaining = remaining
        self._untried = iter(candidates)
        self._first = candidates[0]
        self.failed_target: Target | None = None
        """The target that the error of a failed chat is about; None if nothing was sent for it."""
        self._tried: list[CircuitBreaker] = []
        """The circuit breakers of the targets that were tried."""
        self._waiting: list[_Step] = []
        """The targets that may answer after a pause."""
        self._sent = 0
        self._waited = 0.0
        self._error: PlatformError | None = None
        """The newest error of the first candidate, which is the caller's choice."""
        self._answered_by: _Step | None = None
        limits.budget.add_chat()
        self._next = self._choose()
        if self._next is None:
            raise self._failure()

    async def next(self) -> Attempt | None:
        """The next attempt, after the pause before it; None when one has succeeded."""
        step = self._next
        if step is None:
            return None
        if step.pause:
            self._waited += step.pause
            await asyncio.sleep(step.pause)
        self._sent += 1
        return Attempt(self, step, self._limits.now())

    def elapsed_since(self, time: float) -> float:
        """The seconds since a time of the limits' clock."""
        return self._limits.now() - time

    def fallback_notice(self) -> models_pb2.Notice | None:
        """The notice that another model than the caller's choice has answered."""
        step = self._answered_by
        if step is None or step.is_first_choice:
            return None
        why = self._error.reason if self._error else ""
        message = f"{self._first.model} could not answer ({why}); {step.model} has answered in its place"
        return models_pb2.Notice(code="FALLBACK_SERVED", field="model", message=message)

    # ------------------------------------------------------------------------------------------------ the choice

    def _choose(self) -> _Step | None:
        """The next step, or None if there is none that may help."""
        if self._sent >= self._limits.max_attempts or (self._sent and not self._limits.budget.has_token()):
            return None
        step = self._choose_untried() or self._choose_waiting()
        if step and self._sent:
            self._limits.budget.take()
        return step

    def _choose_untried(self) -> _Step | None:
        """The first of the candidates that have not been tried yet, and can be."""
        for candidate in self._untried:
            is_first = candidate is self._first
            if not is_first and self._limits.max_attempts == 1:
                return None
            try:
                target = candidate.resolve()
                breaker = self._limits.breaker(target)
                # Several names may lead to one target.
                if breaker in self._tried:
                    continue
                self._check_circuit(breaker, target)
            except PlatformError as error:
                self._note_unsent(candidate, error, is_first)
            else:
                self._tried.append(breaker)
                return _Step(target, breaker, candidate.model, is_first)
        return None

    def _choose_waiting(self) -> _Step | None:
        """The first of those that may answer later, if that is before the caller's deadline."""
        remaining, now = self._remaining(), self._limits.now()
        longest = MAX_WAIT - self._waited if remaining is None else min(remaining, MAX_WAIT - self._waited)
        while self._waiting:
            step = self._waiting.pop(0)
            if step.pause < longest and step.breaker.try_pass(now + step.pause):
                return step
        return None

    def _check_circuit(self, breaker: CircuitBreaker, target: Target) -> None:
        """Raises Unavailable (CIRCUIT_OPEN) if the circuit breaker of the target lets nothing through now."""
        now = self._limits.now()
        if self._limits.max_attempts > 1 and not breaker.try_pass(now):
            raise Unavailable(
                f"{target.provider} has failed all recent requests for {target.model}; it is tried again soon",
                reason="CIRCUIT_OPEN",
                retry_after=breaker.seconds_to_trial(now),
                metadata={"provider": target.provider},
            )

    def _note_unsent(self, candidate: Candidate, error: PlatformError, is_first: bool) -> None:
        self.records.append(records.unsent(candidate.model, error))
        if is_first:
            self._error = error

    # ---------------------------------------------------------------------------------------- the end of an attempt

    def succeed(self, step: _Step, record: models_pb2.Attempt) -> None:
        """Ends the attempts with a success."""
        self._next, self._answered_by = None, step
        self.records.append(record)
        step.breaker.record_success(self._limits.now())

    def fail(self, step: _Step, record: models_pb2.Attempt, error: PlatformError, *, has_output: bool) -> bool:
        """Ends an attempt that has failed. Returns whether another one follows; raises the error of the first candidate
        where that is another one."""
        self.records.append(record)
        remedy = remedy_for(error)
        if remedy.trips:
            step.breaker.record_failure(self._limits.now())
        was_sent = record.HasField("latency")
        if has_output or (step.is_first_choice and (was_sent or self._error is None)):
            self._error, self.failed_target = error, step.target
        self._next = None if has_output else self._follow(step, error, remedy)
        if self._next:
            # The error refers to frames, which refer to the request.
            error.__traceback__ = None
            return True
        failure = self._failure()
        if failure is error:
            return False
        raise failure from None

    def _follow(self, step: _Step, error: PlatformError, remedy: Remedy) -> _Step | None:
        # What a fallback refuses, another model may take.
        if not remedy.elsewhere and step.is_first_choice:
            return None
        if remedy.again:
            pause = max(PAUSES.pause(self._sent), error.retry_after or 0)
            self._waiting.append(step._replace(pause=pause))
        return self._choose()

    def _failure(self) -> PlatformError:
        assert self._error
        return self._error


class Attempt:
    """One attempt, for the length of a block. The block may end in an error that another attempt follows.

    Call `succeed` once the answer is there: what fails then is no failure of the attempt.
    """

    def __init__(self, attempts: Attempts, step: _Step, started: float) -> None:
        self.target = step.target
        self.has_output = False
        """Whether the caller has output of it: no other attempt follows then."""
        self.usage: models_pb2.TokenUsage | None = None
        """The usage of an answer that broke off."""
        self._attempts = attempts
        self._step = step
        self._started = started
        self._has_succeeded = False

    def succeed(self) -> None:
        """Ends the attempt with a success."""
        self._has_succeeded = True
        self._attempts.succeed(self._step, records.success(self.target, self._latency(), self._step.pause))

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if self._has_succeeded or not isinstance(error, PlatformError):
            return False
        record = records.failure(self.target, error, self.usage, self._latency(), self._step.pause)
        return self._attempts.fail(self._step, record, error, has_output=self.has_output)

    def _latency(self) -> float:
        return self._attempts.elapsed_since(self._started)
