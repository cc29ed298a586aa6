"""FairQuota: a holder of as many units as are free gets no more."""

from __future__ import annotations

from services.shared.fair_quota import FairQuota
from tests.rows import for_each


def fill(quota: FairQuota, *holders: str) -> dict[str, int]:
    """The units of each holder when all of them take as many as they get."""
    held = dict.fromkeys(holders, 0)
    while took := [holder for holder in holders if quota.try_take(holder)]:
        for holder in took:
            held[holder] += 1
    return held


@for_each(("limit", "holders", "each"), [(2, 1, 1), (800, 1, 400), (800, 2, 267), (800, 9, 80), (1, 1, 1), (8, 8, 1)])
def test_holders_leave_as_many_units_as_each_has(limit: int, holders: int, each: int) -> None:
    quota = FairQuota(limit)
    held = fill(quota, *(f"holder {number}" for number in range(holders)))
    assert set(held.values()) <= {each, each - 1}
    assert quota.free == limit - sum(held.values())


def test_successive_holders_get_half_of_the_rest() -> None:
    quota = FairQuota(800)
    assert [fill(quota, name)[name] for name in ("first", "second", "third")] == [400, 200, 100]
    assert quota.try_take("modest")


def test_new_holder_gets_a_unit_among_many() -> None:
    quota = FairQuota(800)
    fill(quota, *(f"greedy {number}" for number in range(99)))
    assert quota.try_take("modest")


def test_released_units_can_be_taken_again() -> None:
    quota = FairQuota(4)
    assert fill(quota, "one") == {"one": 2}
    quota.release("one")
    assert quota.try_take("one")
    for _ in range(2):
        quota.release("one")
    assert quota.free == 4
    assert quota.can_take("one")


def test_large_amount_is_taken_whole_and_blocks_others() -> None:
    quota = FairQuota(10)
    assert quota.try_take("one", 50)
    assert not quota.try_take("another")
    assert not quota.can_take("another", extra_free=40)
    assert quota.can_take("another", extra_free=41)
    quota.release("one", 50)
    assert quota.try_take("another")


def test_holder_of_as_many_as_would_be_left_gets_no_larger_amount() -> None:
    quota = FairQuota(100)
    assert quota.try_take_all("one", 60)
    assert not quota.try_take_all("one", 1)
    assert not quota.try_take_all("another", 50)
    assert quota.try_take_all("another", 40)
    quota.release("one", 60)
    assert quota.try_take_all("another", 20)
    assert not quota.may_have("another", 1)
    quota.resize(200)
    assert quota.may_have("another", 60)
    assert quota.free == 140


def test_holders_without_units_are_not_stored() -> None:
    quota = FairQuota(10)
    for number in range(1000):
        assert quota.try_take(number)
        quota.release(number)
    assert not quota._taken
