"""FairQuota: whoever holds as many places as are free gets no more."""

from __future__ import annotations

import pytest

from services.shared.fair_quota import FairQuota


def fill(quota: FairQuota, *holders: str) -> dict[str, int]:
    """How many places each gets when all of them want as many as they can have."""
    held = dict.fromkeys(holders, 0)
    while took := [holder for holder in holders if quota.try_take(holder)]:
        for holder in took:
            held[holder] += 1
    return held


@pytest.mark.parametrize(
    ("limit", "holders", "each"), [(2, 1, 1), (800, 1, 400), (800, 2, 267), (800, 9, 80), (1, 1, 1), (8, 8, 1)]
)
def test_greedy_holders_leave_as_much_as_each_of_them_has(limit: int, holders: int, each: int) -> None:
    quota = FairQuota(limit)
    held = fill(quota, *(f"holder {number}" for number in range(holders)))
    assert set(held.values()) <= {each, each - 1}
    assert quota.free == limit - sum(held.values())


def test_greedy_holders_who_come_one_after_the_other_get_half_of_what_is_left() -> None:
    quota = FairQuota(800)
    assert [fill(quota, name)[name] for name in ("first", "second", "third")] == [400, 200, 100]
    assert quota.try_take("modest")


def test_somebody_who_holds_nothing_finds_a_place_beside_a_crowd() -> None:
    quota = FairQuota(800)
    fill(quota, *(f"greedy {number}" for number in range(99)))
    assert quota.try_take("modest")


def test_what_is_given_back_can_be_had_again() -> None:
    quota = FairQuota(4)
    assert fill(quota, "one") == {"one": 2}
    quota.release("one")
    assert quota.try_take("one")
    for _ in range(2):
        quota.release("one")
    assert quota.free == 4
    assert quota.can_take("one")


def test_much_at_once_is_taken_whole_and_then_nobody_gets_more() -> None:
    quota = FairQuota(10)
    assert quota.try_take("one", 50)
    assert not quota.try_take("another")
    assert not quota.can_take("another", extra_free=40)
    assert quota.can_take("another", extra_free=41)
    quota.release("one", 50)
    assert quota.try_take("another")


def test_holders_of_nothing_are_not_remembered() -> None:
    quota = FairQuota(10)
    for number in range(1000):
        assert quota.try_take(number)
        quota.release(number)
    assert not quota._taken
