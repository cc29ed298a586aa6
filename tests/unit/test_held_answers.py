"""The memory of large answers, shared out among callers."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from services.models.providers.answers.memory import FREE_BYTES, STEP_BYTES, HeldAnswer, HeldAnswers
from services.shared.admission import CALLER
from services.shared.errors import LimitExceeded

LIMIT = 8 * STEP_BYTES


def begin(answers: HeldAnswers, caller: str) -> HeldAnswer:
    def as_caller() -> HeldAnswer:
        CALLER.set(caller)
        return answers.begin()

    return copy_context().run(as_caller)


def fill(answers: HeldAnswers, caller: str) -> list[HeldAnswer]:
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
    answers = HeldAnswers(LIMIT)
    first = fill(answers, "a")
    assert len(first) == LIMIT // STEP_BYTES // 2
    assert fill(answers, "b")
    for _ in range(2):
        first.pop().__exit__()
    begin(answers, "a").grow(FREE_BYTES + 1)


def test_small_answers_are_not_counted() -> None:
    answers = HeldAnswers(LIMIT)
    fill(answers, "a")
    for _ in range(1000):
        begin(answers, "a").grow(FREE_BYTES)


def test_answer_counts_what_it_holds_in_steps_and_gives_back_all() -> None:
    answers = HeldAnswers(LIMIT)
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
