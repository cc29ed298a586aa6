"""A short run of the fuzzer of answers, always of the same cases."""

from __future__ import annotations

from tests.fuzz.answer_fuzz import main


def test_changed_answers_give_an_answer_or_a_fault() -> None:
    assert main(1500, seed=1) == []
