"""The attempts of one chat: what is tried, in which order, how often, and when no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

from proto import models_pb2
from services.models.attempts import balance, records
from services.models.attempts.limits import AttemptLimits
from services.models.attempts.metrics import ENDED_ATTEMPTS, outcome_of
from services.models.attempts.records import Sent
from services.models.attempts.remedies import Remedy, remedy_for
from services.models.attempts.spans import end_attempt_span, start_attempt_span
from services.models.attempts.traffic import Traffic
from services.models.providers.base import Target
from services.models.providers.endpoints import Choose, Endpoint
from services.models.providers.timeouts import is_timeout
from services.shared.backoff import Backoff
from services.shared.errors import LimitExceeded, PlatformError, Unavailable
from services.shared.tracing import Span

PAUSES = Backoff(interval=1.0, first_retry=0.1)
"""The pauses before the same target is tried again."""

MAX_WAIT = 10.0
"""Longest time, in seconds, that a chat waits between its attempts. A longer Retry-After goes to the caller at once."""


class Candidate(NamedTuple):
    """A model that may answer, by the name that stands in a request or in a setting."""

    model: str
    resolve: Callable[[Choose], Target | None]
    """The target of a request to it now. If the model has several endpoints, the function chooses one of them, or None.
    Raises PlatformErrors for a model that is not there or not set up."""


class _Step(NamedTuple):
    """The next attempt, and the pause before it in seconds."""

    candidate: Candidate
    target: Target
    traffic: Traffic
    endpoint: Endpoint | None
    """The endpoint, where the model has several."""
    is_first_choice: bool
    pause: float = 0.0


class Attempts:
    """The attempts of one chat: `next` gives one after the other, until one has succeeded.

    In this order: the candidates at once, with every endpoint of each, as `balance` ranks them, but the last attempt
    goes to another candidate where there is one; then those again, after a pause, that may answer later. Never more
    than the limits allow, never beyond `remaining`, the seconds until the caller's deadline, and never after an attempt
    that has given output.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        limits: AttemptLimits,
        remaining: Callable[[], float | None],
        *,
        by_stranger: bool = False,
    ) -> None:
        self.records: list[models_pb2.Attempt] = []
        """All attempts so far, in order, and the candidates that could not be tried."""
        self.by_stranger = by_stranger
        self._limits = limits
        self._remaining = remaining
        self._untried = list(candidates)
        """The candidates that have not been tried yet, or not at all of their endpoints."""
        self._first = candidates[0]
        self._begun: Candidate | None = None
        """The last one of which an endpoint was tried."""
        self.failed_target: Target | None = None
        """The target that the error of a failed chat is about; None if nothing was sent for it."""
        self._tried: list[Traffic] = []
        """The traffic of the targets that were tried."""
        self._waiting: list[_Step] = []
        """The targets that may answer after a pause."""
        self._sent = 0
        self._has_hurried = False
        """Whether an attempt has ended by a timeout of the request itself."""
        self.waited = 0.0
        """The seconds of all pauses so far."""
        self.span: Span | None = None
        """The span of the chat, where traces are sent."""
        self.newest_target: Target | None = None
        """The target of the newest attempt."""
        self._error: PlatformError | None = None
        """The newest error of the first candidate, which is the caller's choice."""
        self._answered_by: _Step | None = None
        self._next = self._choose()
        if self._next is None:
            raise self._failure()

    @property
    def upcoming_target(self) -> Target | None:
        """The target of the next attempt, as it was chosen; None when there is none."""
        return self._next.target if self._next else None

    @property
    def begins_with_first_choice(self) -> bool:
        """Whether the next attempt is of the first candidate."""
        return self._next is not None and self._next.is_first_choice

    @property
    def sent(self) -> int:
        """The attempts that have begun."""
        return self._sent

    @property
    def has_asked(self) -> bool:
        """Whether a request of an ended attempt has been sent to a provider."""
        return any(record.HasField("latency") for record in self.records)

    async def next(self) -> Attempt | None:
        """The next attempt, after the pause before it; None when one has succeeded. Raises the error of the first
        candidate where nothing is left to be tried after a pause."""
        step = self._next
        if step is None:
            return None
        if step.pause:
            step = await self._pause(step)
        if step.target.limited_by:
            step = self._take_places(step)
        if not self._sent:
            self._limits.budget.add_chat()
        self._sent += 1
        self.newest_target = step.target
        return Attempt(self, step, self._limits.now())

    def _take_places(self, step: _Step) -> _Step:
        """The step with its places, or another one that has them; the caller ends it. Raises the error of the first
        candidate."""
        while True:
            try:
                self._limits.places.take(step.target.limited_by)
            except LimitExceeded as refusal:
                self._note_unsent(step.candidate, refusal)
                if step.candidate in self._untried:
                    self._untried.remove(step.candidate)
            else:
                return step
            other = self._choose_untried()
            if other is None:
                raise self._failure() from None
            step = other

    async def _pause(self, step: _Step) -> _Step:
        """The step after its pause, or another one if it cannot be made any more."""
        while step.pause:
            self.waited += step.pause
            await asyncio.sleep(step.pause)
            if again := self._resolve_again(step):
                return again
            step = self._choose_another()
        return step

    def give_back_places(self, step: _Step) -> None:
        """Ends what `next` has begun."""
        if step.target.limited_by:
            self._limits.places.give_back(step.target.limited_by)

    def elapsed_since(self, time: float) -> float:
        """The seconds since a time of the limits' clock."""
        return self._limits.now() - time

    def fallback_notice(self) -> models_pb2.Notice | None:
        """The notice that another model than the caller's choice has answered."""
        step = self._answered_by
        if step is None or step.is_first_choice:
            return None
        why = self._error.reason if self._error else ""
        message = f"{self._first.model} could not answer ({why}); {step.candidate.model} has answered in its place"
        return models_pb2.Notice(code="FALLBACK_SERVED", field="model", message=message)

    def take_back(self) -> None:
        """Counts one attempt less: it has begun, and nothing is sent."""
        self._sent -= 1

    def give_up(self) -> None:
        """Ends attempts of which none has begun: if the first one was to be the trial of a target, another may be."""
        if self._next:
            self.abandon(self._next, self._limits.now())
            self._next = None

    # ------------------------------------------------------------------------------------------------ the choice

    def _choose(self) -> _Step | None:
        """The next step, or None if there is none that may help."""
        if self._sent >= self._limits.max_attempts:
            return None
        return self._choose_untried() or self._choose_waiting()

    def _choose_untried(self) -> _Step | None:
        """The first of the candidates that have not been tried yet, and can be."""
        self._keep_last_attempt_for_another()
        while self._untried:
            candidate = self._untried[0]
            if candidate is not self._first and self._limits.max_attempts == 1:
                return None
            if step := self._try(candidate):
                return step
            self._untried.remove(candidate)
        return None

    def _keep_last_attempt_for_another(self) -> None:
        """Puts a model of which endpoints are left behind the others before the last attempt: if several of its servers
        have failed, one more is likely to fail too."""
        is_last = self._sent == self._limits.max_attempts - 1
        if is_last and self._untried and self._untried[0] is self._begun:
            self._untried.append(self._untried.pop(0))

    def _try(self, candidate: Candidate) -> _Step | None:
        """The step to a candidate, or to one of its endpoints, that has not been tried yet and can be."""
        chosen: list[Endpoint] = []

        def choose(endpoints: Sequence[Endpoint]) -> Endpoint | None:
            endpoint = self._choose_endpoint(candidate, endpoints)
            chosen.extend([endpoint] if endpoint else ())
            return endpoint

        try:
            target = candidate.resolve(choose)
            if target is None:
                return None
            traffic = self._limits.traffic(target)
            # Several names may lead to one target.
            if not chosen and (traffic in self._tried or not self._may_pay(traffic)):
                return None
            if not chosen:
                self._check_circuit(traffic, target)
        except PlatformError as error:
            self._note_unsent(candidate, error)
            return None
        if chosen:
            self._begun = candidate
        else:
            self._untried.remove(candidate)
        self._pay(traffic)
        self._tried.append(traffic)
        return _Step(candidate, target, traffic, chosen[0] if chosen else None, candidate is self._first)

    def _choose_endpoint(self, candidate: Candidate, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """The best of a model's endpoints that have not been tried yet.

        Raises Unavailable (CIRCUIT_OPEN) if the circuit breakers of all let nothing through now.
        """
        ranked = balance.rank(endpoints, self._limits, is_first=not self._sent)
        if self._limits.max_attempts > 1:
            passing = [entry for entry in ranked if entry.rank != balance.CLOSED_TO_ALL]
            if not passing:
                raise self._circuit_open(
                    f"all endpoints of {candidate.model} have failed all recent requests",
                    [entry.traffic for entry in ranked],
                    {},
                )
            ranked = passing
        now = self._limits.now()
        for entry in ranked:
            if entry.traffic not in self._tried and self._may_pay(entry.traffic):
                entry.traffic.breaker.try_pass(now)
                return entry.endpoint
        return None

    def _choose_waiting(self) -> _Step | None:
        """The first of those that may answer later, if that is before the caller's deadline."""
        if not self._has_token():
            return None
        remaining, now = self._remaining(), self._limits.now()
        longest = MAX_WAIT - self.waited if remaining is None else min(remaining, MAX_WAIT - self.waited)
        while self._waiting:
            first = self._waiting[0].candidate
            step = min((step for step in self._waiting if step.candidate is first), key=attrgetter("pause"))
            self._waiting.remove(step)
            if step.pause < longest and step.traffic.breaker.try_pass(now + step.pause):
                self._limits.budget.take()
                return step
        return None

    def _resolve_again(self, step: _Step) -> _Step | None:
        """The step after its pause, in which its model may have been changed or removed; None if it cannot be made."""

        def choose_same(endpoints: Sequence[Endpoint]) -> Endpoint | None:
            return next((same for same in endpoints if step.endpoint and same.url == step.endpoint.url), None)

        try:
            target = step.candidate.resolve(choose_same)
            if target is None:
                # It has other endpoints by now.
                self._untried.insert(0, step.candidate)
                return None
            traffic = self._limits.traffic(target)
            if traffic is not step.traffic:
                self._check_circuit(traffic, target)
        except PlatformError as error:
            self._note_unsent(step.candidate, error)
            return None
        return step._replace(target=target, traffic=traffic)

    def _choose_another(self) -> _Step:
        """The step in place of one that cannot be made any more, or the error of the first candidate."""
        self._limits.budget.give_back()
        step = self._choose()
        if step is None:
            raise self._failure()
        return step

    def _may_pay(self, traffic: Traffic) -> bool:
        """Whether the retry budget allows a request to a target that has not been tried."""
        return not self._sent or traffic.is_proven(self._limits.now()) or self._has_token()

    def _has_token(self) -> bool:
        # A caller in a hurry does not take the attempts of others, whose servers have failed.
        return self._limits.budget.has_token(leaves_half=self._has_hurried)

    def _pay(self, traffic: Traffic) -> None:
        if self._sent and not traffic.is_proven(self._limits.now()):
            self._limits.budget.take()

    def _check_circuit(self, traffic: Traffic, target: Target) -> None:
        """Raises Unavailable (CIRCUIT_OPEN) if the circuit breaker of the target lets nothing through now."""
        if self._limits.max_attempts > 1 and not traffic.breaker.try_pass(self._limits.now()):
            what = f"{target.provider} has failed all recent requests for {target.model}"
            raise self._circuit_open(what, [traffic], {"provider": target.provider})

    def _circuit_open(self, what: str, closed: Sequence[Traffic], metadata: dict[str, str]) -> Unavailable:
        """The error where the circuit breakers of these targets let nothing through: why, and until when."""
        now = self._limits.now()
        next_one = min((traffic.breaker for traffic in closed), key=lambda breaker: breaker.seconds_to_trial(now))
        seconds = next_one.seconds_to_trial(now)
        return Unavailable(
            f"{what}, the last one with {next_one.last_reason}; the next trial is in {seconds:.1f} s",
            reason="CIRCUIT_OPEN",
            retry_after=seconds,
            metadata={"last_reason": next_one.last_reason, **metadata},
        )

    def _note_unsent(self, candidate: Candidate, error: PlatformError) -> None:
        self.records.append(records.unsent(candidate.model, error))
        if candidate is self._first and self._error is None:
            self._error = error

    # ---------------------------------------------------------------------------------------- the end of an attempt

    def succeed(self, step: _Step, record: models_pb2.Attempt) -> None:
        """Ends the attempts with a success."""
        self._next, self._answered_by = None, step
        self.records.append(record)
        step.traffic.record_success(self._limits.now())

    def abandon(self, step: _Step, started: float) -> None:
        """Ends an attempt that says nothing of its target, as one that its caller has cancelled."""
        step.traffic.breaker.release_trial(started, self._limits.now())

    def fail(
        self, step: _Step, started: float, record: models_pb2.Attempt, error: PlatformError, *, has_output: bool
    ) -> bool:
        """Ends an attempt that has failed. Returns whether another one follows; raises the error of the first candidate
        where that is another one."""
        self.records.append(record)
        remedy = remedy_for(error)
        if step.target.is_hurried and is_timeout(error):
            # One caller in a hurry must not close a server to all others.
            self._has_hurried = True
            self.abandon(step, started)
        elif remedy.other_endpoint:
            step.traffic.record_failure(self._limits.now(), error.reason, error.retry_after, trips=remedy.trips)
        else:
            self.abandon(step, started)
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
        if not remedy.other_model and step.is_first_choice:
            return None
        if not remedy.other_endpoint and step.candidate in self._untried:
            self._untried.remove(step.candidate)
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
        self.model = step.candidate.model
        """The name of its model, as a request or a setting has it."""
        self.target = step.target
        self.has_output = False
        """Whether the caller has output of it: no other attempt follows then."""
        self.usage: models_pb2.TokenUsage | None = None
        """The usage of an answer that broke off."""
        self._attempts = attempts
        self._step = step
        self._started = started
        self._has_succeeded = False
        self._span: Span | None = None

    def refuse(self) -> None:
        """Notes that nothing is sent, because its model is refused: it is not one of the attempts that are allowed."""
        self._attempts.take_back()

    def succeed(self) -> None:
        """Ends the attempt with a success."""
        self._has_succeeded = True
        ENDED_ATTEMPTS.note((self.target, "ok"))
        if self._span:
            end_attempt_span(self._span, None)
        self._attempts.succeed(self._step, records.success(self._sent()))

    def __enter__(self) -> None:
        self._step.traffic.in_flight += 1
        if chat := self._attempts.span:
            self._span = start_attempt_span(chat, self.target, len(self._attempts.records))

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        self._step.traffic.in_flight -= 1
        self._attempts.give_back_places(self._step)
        if self._has_succeeded:
            return False
        ENDED_ATTEMPTS.note((self.target, outcome_of(error)))
        if self._span:
            end_attempt_span(self._span, error)
        if not isinstance(error, PlatformError):
            self._attempts.abandon(self._step, self._started)
            return False
        record = records.failure(self._sent(), error, self.usage)
        return self._attempts.fail(self._step, self._started, record, error, has_output=self.has_output)

    def _sent(self) -> Sent:
        latency = self._attempts.elapsed_since(self._started)
        return Sent(self.target, latency, self._step.pause, self._attempts.by_stranger)
