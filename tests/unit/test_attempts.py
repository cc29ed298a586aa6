"""Attempts under random faults, and the parts that decide: breaker, budget, remedies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.models.attempts.attempts import MAX_WAIT, Attempts, Candidate
from services.models.attempts.circuit_breaker import FAILURES_IN_ROW, OPEN_SECONDS, WINDOW_SECONDS, CircuitBreaker
from services.models.attempts.limits import MAX_ATTEMPTS, AttemptLimits
from services.models.attempts.retry_budget import CAPACITY, RetryBudget
from services.models.providers.base import Target
from services.models.providers.facts import ModelFacts
from services.shared.errors import (
    Internal,
    InvalidRequest,
    LimitExceeded,
    PlatformError,
    PreconditionFailed,
    Unavailable,
)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def target(name: str) -> Target:
    return Target(dialect=None, provider=name, model=name, endpoint=f"http://{name}", headers={}, facts=ModelFacts())  # type: ignore[arg-type]


def sent(error: PlatformError) -> PlatformError:
    error.metadata["phase"] = "pre_stream"
    return error


FAULTS: dict[str, Callable[[], PlatformError]] = {
    "server": lambda: sent(Unavailable("", reason="UPSTREAM_SERVER_ERROR")),
    "later": lambda: sent(LimitExceeded("", reason="UPSTREAM_RATE_LIMITED", retry_after=3.0)),
    "much later": lambda: sent(LimitExceeded("", reason="UPSTREAM_RATE_LIMITED", retry_after=600.0)),
    "key": lambda: sent(PreconditionFailed("", reason="UPSTREAM_AUTH")),
    "garbage": lambda: sent(Internal("", reason="UPSTREAM_PROTOCOL_ERROR")),
    "refused": lambda: sent(InvalidRequest("", reason="UPSTREAM_INVALID_REQUEST")),
    "not translated": lambda: InvalidRequest("", reason="INVALID_REQUEST"),
}
NEVER_AGAIN = {"refused", "not translated"}
OUTCOMES = [*FAULTS, "ok", "ok after output", *(f"{fault} after output" for fault in FAULTS)]


@dataclass
class Run:
    """What one chat did."""

    sent: list[str] = field(default_factory=list)
    output_from: list[int] = field(default_factory=list)
    answers: int = 0
    failure: PlatformError | None = None


async def chat(attempts: Attempts, outcomes: Sequence[str], run: Run) -> None:
    while attempt := await attempts.next():
        outcome = outcomes[len(run.sent)]
        run.sent.append(attempt.target.model)
        with attempt:
            if outcome.endswith("after output"):
                attempt.has_output = True
                run.output_from.append(len(run.sent))
            if not outcome.startswith("ok"):
                raise FAULTS[outcome.removesuffix(" after output")]()
            run.answers += 1
            attempt.succeed()


@settings(max_examples=2000, deadline=None)
@given(
    names=st.lists(st.sampled_from("abcde"), min_size=1, max_size=5, unique=True),
    unset=st.sets(st.sampled_from("abcde")),
    outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=8, max_size=8),
    deadline=st.sampled_from([None, 0.0, 0.05, 2.0, 60.0]),
)
def test_no_fault_leads_to_two_answers_or_output_after_a_failure(
    names: list[str], unset: set[str], outcomes: list[str], deadline: float | None
) -> None:
    clock, run = Clock(), Run()
    limits = AttemptLimits(now=clock.now)

    def resolve(name: str) -> Target:
        if name in unset:
            raise PreconditionFailed("", reason="PROVIDER_NOT_CONFIGURED")
        return target(name)

    candidates = [Candidate(name, lambda name=name: resolve(name)) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", clock.sleep)
        try:
            attempts = Attempts(candidates, limits, lambda: None if deadline is None else deadline - clock.time)
            asyncio.run(chat(attempts, outcomes, run))
        except PlatformError as error:
            run.failure = error

    happened = outcomes[: len(run.sent)]
    assert run.answers + (run.failure is not None) == 1
    assert len(run.sent) <= MAX_ATTEMPTS
    assert clock.time <= min(MAX_WAIT, MAX_WAIT if deadline is None else deadline)
    assert set(run.sent) <= set(names) - unset
    # Output ends the attempts, and so does what no attempt mends.
    assert run.output_from in ([], [len(run.sent)])
    of_first = [outcome for name, outcome in zip(run.sent[:-1], happened, strict=False) if name == names[0]]
    assert not NEVER_AGAIN & set(of_first)
    # Every model once, in order, before any is tried again.
    tried_once = list(dict.fromkeys(run.sent))
    assert run.sent[: len(tried_once)] == tried_once == [name for name in names if name in run.sent]
    if run.failure and names[0] in run.sent and not run.output_from:
        own = [outcome for name, outcome in zip(run.sent, happened, strict=True) if name == names[0]]
        answered = [outcome for outcome in own if outcome != "not translated"]
        assert run.failure.reason == FAULTS[answered[-1] if answered else own[0]]().reason


def test_circuit_opens_after_failures_in_a_row_and_lets_one_trial_through() -> None:
    breaker = CircuitBreaker()
    for _ in range(FAILURES_IN_ROW):
        assert breaker.try_pass(0)
        breaker.record_failure(0)
    assert not breaker.try_pass(OPEN_SECONDS - 0.1)
    assert breaker.try_pass(OPEN_SECONDS)
    assert not breaker.try_pass(OPEN_SECONDS)
    breaker.record_success(OPEN_SECONDS)
    assert breaker.try_pass(OPEN_SECONDS)


def test_circuit_stays_closed_for_a_target_that_answers_now_and_then() -> None:
    breaker = CircuitBreaker()
    breaker.record_success(0)
    for _ in range(FAILURES_IN_ROW):
        breaker.record_failure(1)
    assert breaker.try_pass(1)
    # Once the success is long ago, only the failures count.
    for _ in range(FAILURES_IN_ROW):
        breaker.record_failure(WINDOW_SECONDS + 0.5)
    assert not breaker.try_pass(WINDOW_SECONDS + 0.5)


def test_trial_that_is_cancelled_is_followed_by_another() -> None:
    breaker = CircuitBreaker()
    for _ in range(FAILURES_IN_ROW):
        breaker.record_failure(0)
    assert breaker.try_pass(OPEN_SECONDS)
    assert breaker.seconds_to_trial(OPEN_SECONDS) == OPEN_SECONDS
    assert breaker.try_pass(2 * OPEN_SECONDS)


def test_budget_grows_with_chats_and_with_time() -> None:
    clock = Clock()
    budget = RetryBudget(clock.now)

    def take_all() -> int:
        taken = 0
        while budget.has_token():
            budget.take()
            taken += 1
        return taken

    assert take_all() == CAPACITY
    for _ in range(100):
        budget.add_chat()
    assert take_all() == CAPACITY
    clock.time += 3
    assert take_all() == 3


@pytest.mark.parametrize("size", [1, 3])
def test_all_circuits_open_say_when_the_first_is_tried_again(size: int) -> None:
    clock = Clock()
    limits = AttemptLimits(now=clock.now)
    names = "abc"[:size]
    for name in names:
        for _ in range(FAILURES_IN_ROW):
            limits.breaker(target(name)).record_failure(0)
    with pytest.raises(Unavailable) as raised:
        Attempts([Candidate(name, lambda name=name: target(name)) for name in names], limits, lambda: None)
    assert (raised.value.reason, raised.value.retry_after) == ("CIRCUIT_OPEN", OPEN_SECONDS)


async def test_trial_of_a_breaker_is_not_spent_on_an_empty_budget() -> None:
    clock = Clock()
    limits = AttemptLimits(now=clock.now)
    for _ in range(FAILURES_IN_ROW):
        limits.breaker(target("b")).record_failure(0)
    clock.time = OPEN_SECONDS
    attempts = Attempts([Candidate(name, lambda name=name: target(name)) for name in "ab"], limits, lambda: None)
    while limits.budget.has_token():
        limits.budget.take()
    with pytest.raises(Unavailable):
        await chat(attempts, ["server"], Run())
    assert limits.breaker(target("b")).try_pass(clock.time)
