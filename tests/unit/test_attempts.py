"""Attempts under random faults, and the parts that decide: breaker, budget, remedies."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.models.attempts import balance
from services.models.attempts.attempts import MAX_WAIT, Attempts, Candidate
from services.models.attempts.circuit_breaker import FAILURES_IN_ROW, OPEN_SECONDS, WINDOW_SECONDS, CircuitBreaker
from services.models.attempts.limits import MAX_ATTEMPTS, AttemptLimits
from services.models.attempts.retry_budget import CAPACITY, PER_CHAT, RetryBudget
from services.models.attempts.traffic import PROVEN_SECONDS, UNPROVEN_FAILURES, Traffic
from services.models.providers.base import Target
from services.models.providers.endpoints import Choose, Endpoint
from services.models.providers.facts import ModelFacts
from services.shared.errors import (
    Internal,
    InvalidRequest,
    LimitExceeded,
    NotFound,
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


def target(name: str, endpoint: str = "") -> Target:
    url = f"http://{name}{endpoint}"
    return Target(dialect=None, provider=name, model=name, endpoint=url, headers={}, facts=ModelFacts())  # type: ignore[arg-type]


def candidate(name: str) -> Candidate:
    """A candidate with one endpoint."""
    return Candidate(name, lambda _: target(name))


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
OUTCOMES = [*FAULTS, "ok", "ok after output", "cancelled", *(f"{fault} after output" for fault in FAULTS)]


@dataclass
class Run:
    """What one chat did."""

    sent: list[Target] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    output_from: list[int] = field(default_factory=list)
    answers: int = 0
    failure: PlatformError | None = None


async def chat(attempts: Attempts, outcomes: Sequence[str], run: Run, now: Callable[[], float] = float) -> None:
    while attempt := await attempts.next():
        outcome = outcomes[len(run.sent)]
        run.sent.append(attempt.target)
        run.sent_at.append(now())
        with attempt:
            if outcome.endswith("after output"):
                attempt.has_output = True
                run.output_from.append(len(run.sent))
            if outcome == "cancelled":
                raise asyncio.CancelledError
            if not outcome.startswith("ok"):
                raise FAULTS[outcome.removesuffix(" after output")]()
            run.answers += 1
            attempt.succeed()


@settings(max_examples=1000, deadline=None)
@given(
    names=st.lists(st.sampled_from("abcde"), min_size=1, max_size=5, unique=True),
    unset=st.sets(st.sampled_from("abcde")),
    gone=st.sets(st.sampled_from("abcde")),
    endpoints=st.fixed_dictionaries({name: st.integers(1, 4) for name in "abcde"}),
    unhealthy=st.sets(st.integers(0, 3)),
    outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=8, max_size=8),
    deadline=st.sampled_from([None, 0.0, 0.05, 2.0, 60.0]),
)
def test_no_fault_leads_to_two_answers_or_output_after_a_failure(
    names: list[str],
    unset: set[str],
    gone: set[str],
    endpoints: dict[str, int],
    unhealthy: set[int],
    outcomes: list[str],
    deadline: float | None,
) -> None:
    """Models in `unset` are not set up, those in `gone` are removed during the first pause."""
    clock, run = Clock(), Run()
    limits = AttemptLimits(now=clock.now)

    def resolve(name: str, choose: Choose) -> Target | None:
        if name in unset or (clock.time and name in gone):
            raise PreconditionFailed("", reason="PROVIDER_NOT_CONFIGURED")
        if endpoints[name] == 1:
            return target(name)
        paths = [f"/{number}" for number in range(endpoints[name])]
        several = [Endpoint(path, f"http://{name}{path}", name, int(path[1:]) in unhealthy) for path in paths]
        chosen = choose(several)
        return target(name, chosen.url) if chosen else None

    candidates = [Candidate(name, functools.partial(resolve, name)) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", clock.sleep)
        try:
            attempts = Attempts(candidates, limits, lambda: None if deadline is None else deadline - clock.time)
            asyncio.run(chat(attempts, outcomes, run, clock.now))
        except PlatformError as error:
            run.failure = error
        except asyncio.CancelledError:
            run.failure = PlatformError("", reason="CANCELLED")

    happened, sent = outcomes[: len(run.sent)], [to.model for to in run.sent]
    assert run.answers + (run.failure is not None) == 1
    assert len(sent) <= MAX_ATTEMPTS
    assert clock.time <= min(MAX_WAIT, MAX_WAIT if deadline is None else deadline)
    assert set(sent) <= set(names) - unset
    assert not gone & {name for name, time in zip(sent, run.sent_at, strict=True) if time}
    assert not [traffic for traffic in limits._traffic.values() if traffic.in_flight]
    # Output ends the attempts, and so does what no attempt mends.
    assert run.output_from in ([], [len(sent)])
    of_first = [outcome for name, outcome in zip(sent[:-1], happened, strict=False) if name == names[0]]
    assert not NEVER_AGAIN & set(of_first)
    # Every model in order, each endpoint once, before any is tried again.
    assert list(dict.fromkeys(sent)) == [name for name in names if name in sent]
    urls = [to.endpoint for to in run.sent]
    tried_once = list(dict.fromkeys(urls))
    assert urls[: len(tried_once)] == tried_once
    # The last attempt goes to a model that has not been tried, if there is one.
    usable = [name for name in names if name not in unset and not (run.sent_at[-1:] > [0.0] and name in gone)]
    if len(sent) == MAX_ATTEMPTS and len(usable) > 1:
        assert len(set(sent)) > 1
    if run.failure and names[0] in sent and not run.output_from and "cancelled" not in happened:
        own = [outcome for name, outcome in zip(sent, happened, strict=True) if name == names[0]]
        answered = [outcome for outcome in own if outcome != "not translated"]
        assert run.failure.reason == FAULTS[answered[-1] if answered else own[0]]().reason


def test_circuit_opens_after_failures_in_a_row_and_lets_one_trial_through() -> None:
    breaker = CircuitBreaker()
    for _ in range(FAILURES_IN_ROW):
        assert breaker.try_pass(0)
        breaker.record_failure(0, "x")
    assert not breaker.try_pass(OPEN_SECONDS - 0.1)
    assert breaker.try_pass(OPEN_SECONDS)
    assert not breaker.try_pass(OPEN_SECONDS)
    breaker.record_success(OPEN_SECONDS)
    assert breaker.try_pass(OPEN_SECONDS)


def test_circuit_stays_closed_for_a_target_that_answers_now_and_then() -> None:
    breaker = CircuitBreaker()
    breaker.record_success(0)
    for _ in range(FAILURES_IN_ROW):
        breaker.record_failure(1, "x")
    assert breaker.try_pass(1)
    # Once the success is long ago, only the failures count.
    for _ in range(FAILURES_IN_ROW):
        breaker.record_failure(WINDOW_SECONDS + 0.5, "x")
    assert not breaker.try_pass(WINDOW_SECONDS + 0.5)


def test_trial_that_is_cancelled_is_followed_by_another() -> None:
    breaker = CircuitBreaker()
    for _ in range(FAILURES_IN_ROW):
        breaker.record_failure(0, "x")
    assert breaker.try_pass(OPEN_SECONDS)
    assert breaker.seconds_to_trial(OPEN_SECONDS) == OPEN_SECONDS
    assert breaker.try_pass(2 * OPEN_SECONDS)


def test_trial_without_a_result_leaves_its_place_to_the_next_one() -> None:
    breaker = CircuitBreaker()
    for _ in range(FAILURES_IN_ROW):
        breaker.record_failure(0, "x")
    # That of a request from before is no trial.
    breaker.release_trial(-1, 1)
    assert not breaker.try_pass(1)
    assert breaker.try_pass(OPEN_SECONDS)
    breaker.release_trial(OPEN_SECONDS, OPEN_SECONDS + 1)
    assert breaker.try_pass(OPEN_SECONDS + 1)
    assert not breaker.try_pass(OPEN_SECONDS + 1)


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
            limits.traffic(target(name)).breaker.record_failure(0, "UPSTREAM_TIMEOUT")
    with pytest.raises(Unavailable) as raised:
        Attempts([*map(candidate, names)], limits, lambda: None)
    assert (raised.value.reason, raised.value.retry_after) == ("CIRCUIT_OPEN", OPEN_SECONDS)
    assert "UPSTREAM_TIMEOUT" in raised.value.message
    assert f"in {OPEN_SECONDS:.1f} s" in raised.value.message


async def test_trial_of_a_chat_that_is_not_admitted_is_left_to_the_next_one() -> None:
    clock = Clock()
    limits = AttemptLimits(2, now=clock.now)
    breaker = limits.traffic(target("a")).breaker
    for _ in range(FAILURES_IN_ROW):
        breaker.record_failure(clock.now(), "UPSTREAM_SERVER_ERROR")
    clock.time += OPEN_SECONDS
    refused = Attempts([candidate("a")], limits, lambda: None)
    with pytest.raises(Unavailable, match="next trial"):
        Attempts([candidate("a")], limits, lambda: None)
    refused.give_up()
    assert await Attempts([candidate("a")], limits, lambda: None).next()


async def test_trial_of_a_breaker_is_not_spent_on_an_empty_budget() -> None:
    clock = Clock()
    limits = AttemptLimits(now=clock.now)
    for _ in range(FAILURES_IN_ROW):
        limits.traffic(target("b")).breaker.record_failure(0, "UPSTREAM_TIMEOUT")
    clock.time = OPEN_SECONDS
    attempts = Attempts([*map(candidate, "ab")], limits, lambda: None)
    while limits.budget.has_token():
        limits.budget.take()
    with pytest.raises(Unavailable):
        await chat(attempts, ["server"], Run())
    assert limits.traffic(target("b")).breaker.try_pass(clock.time)


def answer(traffic: Traffic, now: float, at_once: int = 1) -> None:
    """Has so many requests answered that were in flight together."""
    traffic.in_flight += at_once
    for _ in range(at_once):
        traffic.record_success(now)
        traffic.in_flight -= 1


def fail(traffic: Traffic, now: float, retry_after: float | None = None) -> None:
    traffic.record_failure(now, "UPSTREAM_RATE_LIMITED", retry_after, trips=False)


def test_answers_prove_that_a_target_takes_twice_as_many_requests_for_a_while() -> None:
    traffic = Traffic()
    assert not traffic.is_proven(0)
    answer(traffic, 0, at_once=3)
    traffic.in_flight = 5
    assert traffic.is_proven(PROVEN_SECONDS)
    assert not traffic.is_proven(PROVEN_SECONDS + 1)
    traffic.in_flight = 6
    assert not traffic.is_proven(1)


def test_failures_in_a_row_prove_nothing_any_more() -> None:
    traffic = Traffic()
    answer(traffic, 0, at_once=100)
    for _ in range(UNPROVEN_FAILURES - 1):
        fail(traffic, 0)
    assert traffic.is_proven(0)
    answer(traffic, 0)
    for _ in range(UNPROVEN_FAILURES):
        fail(traffic, 0)
    assert not traffic.is_proven(0)


@pytest.mark.parametrize(("models", "endpoints"), [("a", 3), ("abc", 1), ("ab", 2)])
async def test_total_outage_after_good_times_sends_at_most_a_quarter_more_requests(models: str, endpoints: int) -> None:
    clock = Clock()
    limits = AttemptLimits(now=clock.now)

    def resolve(name: str, choose: Choose) -> Target | None:
        several = [Endpoint(f"/{number}", f"http://{name}/{number}", name, False) for number in range(endpoints)]
        chosen = choose(several) if endpoints > 1 else several[0]
        return target(name, chosen.url) if chosen else None

    candidates = [Candidate(name, functools.partial(resolve, name)) for name in models]
    for name in models:
        for _ in range(20):
            await chat(
                Attempts([Candidate(name, functools.partial(resolve, name))], limits, lambda: None), ["ok"], Run()
            )
    sent, chats = 0, 400
    for _ in range(chats):
        run = Run()
        with pytest.raises(LimitExceeded):
            await chat(Attempts(candidates, limits, lambda: None), ["much later"] * MAX_ATTEMPTS, run)
        sent += len(run.sent)
    assert chats * (1 + PER_CHAT) <= sent <= chats * 1.25


@pytest.mark.parametrize("change", ["removed", "to a target that is left alone"])
async def test_attempt_that_is_not_made_after_its_pause_costs_nothing(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, run = Clock(), Run()
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    limits = AttemptLimits(now=clock.now)
    for _ in range(FAILURES_IN_ROW):
        limits.traffic(target("b")).breaker.record_failure(clock.now(), "UPSTREAM_TIMEOUT")

    def resolve(_: Choose) -> Target:
        if clock.time and change == "removed":
            raise NotFound("", reason="MODEL_NOT_FOUND")
        return target("b" if clock.time else "a")

    attempts = Attempts([Candidate("a", resolve)], limits, lambda: None)
    with pytest.raises(Unavailable) as raised:
        await chat(attempts, ["server"], run)
    assert raised.value.reason == "UPSTREAM_SERVER_ERROR"
    assert [record.outcome for record in attempts.records][1:] in (["MODEL_NOT_FOUND"], ["CIRCUIT_OPEN"])
    assert limits.budget._tokens == CAPACITY


def test_trial_comes_first_in_the_first_attempt_only_and_not_against_a_probe() -> None:
    clock = Clock()
    limits = AttemptLimits(now=clock.now)
    for _ in range(FAILURES_IN_ROW):
        limits.traffic_at(Endpoint("a", "http://a", "m")).breaker.record_failure(0, "UPSTREAM_TIMEOUT")
    clock.time = OPEN_SECONDS

    def first(*, is_first: bool, is_unhealthy: bool) -> str:
        endpoints = [Endpoint("a", "http://a", "m", is_unhealthy), Endpoint("b", "http://b", "m", False)]
        return balance.rank(endpoints, limits, is_first=is_first)[0].endpoint.url

    assert first(is_first=True, is_unhealthy=False) == "a"
    assert first(is_first=False, is_unhealthy=False) == "b"
    assert first(is_first=True, is_unhealthy=True) == "b"


def test_failures_of_a_strangers_registration_are_not_held_against_the_operators_server() -> None:
    limits = AttemptLimits()
    of_stranger = limits.traffic(dataclasses.replace(target("a"), untrusted=True))
    assert limits.traffic(target("a")) is not of_stranger
    assert limits.traffic_at(Endpoint("a", "http://a", "a", untrusted=True)) is of_stranger
