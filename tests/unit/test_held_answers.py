"""The memory of large answers, shared out among callers."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from services.models.providers.answers.memory import FREE_BYTES, STEP_BYTES, HeldExchange, HeldExchanges
from services.shared.admission import CALLER
from services.shared.errors import LimitExceeded

LIMIT = 8 * STEP_BYTES


def begin(answers: HeldExchanges, caller: str, provider: str = "p") -> HeldExchange:
    def as_caller() -> HeldExchange:
        CALLER.set(caller)
        return answers.begin(provider)

    return copy_context().run(as_caller)


def fill(answers: HeldExchanges, caller: str) -> list[HeldExchange]:
    """Answers of a caller's, until no more can grow."""
    grown = []
    while True:
        answer = begin(answers, caller)
        try:
            answer.grow(FREE_BYTES + STEP_BYTES)
        except LimitExceeded:
            return grown
        grown.append(answer)


def test_one_caller_leaves_room_to_others() -> None:
    answers = HeldExchanges(LIMIT)
    first = fill(answers, "a")
    assert len(first) == LIMIT // STEP_BYTES // 2
    assert fill(answers, "b")
    for _ in range(2):
        first.pop().__exit__()
    begin(answers, "a").grow(FREE_BYTES + 1)


def test_small_answers_are_not_counted() -> None:
    answers = HeldExchanges(LIMIT)
    fill(answers, "a")
    for _ in range(1000):
        begin(answers, "a").grow(FREE_BYTES)


def test_answer_counts_what_it_holds_in_steps_and_gives_back_all() -> None:
    answers = HeldExchanges(LIMIT)
    for _ in range(3):
        with begin(answers, "a") as answer:
            for size in range(0, LIMIT // 2 - STEP_BYTES, 1000):
                answer.grow(size)
            with begin(answers, "a") as other:
                other.grow(LIMIT)
                with pytest.raises(LimitExceeded) as caught:
                    other.grow(2 * LIMIT)
                assert (caught.value.reason, bool(caught.value.retry_after)) == ("SERVER_BUSY", True)
    assert len(fill(answers, "a")) == LIMIT // STEP_BYTES // 2


def test_provider_that_answers_nothing_leaves_room_to_others() -> None:
    exchanges = HeldExchanges(LIMIT, 2 * LIMIT)
    waiting = [begin(exchanges, f"caller {number}", "slow") for number in range(LIMIT // STEP_BYTES)]
    for exchange in waiting:
        exchange.take_request(STEP_BYTES)
    with pytest.raises(LimitExceeded, match="slow") as refusal:
        begin(exchanges, "another", "slow").take_request(STEP_BYTES)
    assert (refusal.value.reason, refusal.value.metadata) == ("PROVIDER_BUSY", {"provider": "slow"})
    with pytest.raises(LimitExceeded, match="slow"):
        begin(exchanges, "another", "slow").grow(FREE_BYTES + 1)
    other = begin(exchanges, "caller 1", "other")
    other.take_request(STEP_BYTES)
    other.grow(FREE_BYTES + STEP_BYTES)
    for exchange in waiting:
        exchange.__exit__()
    begin(exchanges, "another", "slow").take_request(STEP_BYTES)
