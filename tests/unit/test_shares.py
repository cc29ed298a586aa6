"""Shares: whoever holds as many places as are free gets no more."""

from __future__ import annotations

import pytest

from services.shared.shares import Shares


def fill(shares: Shares, *holders: str) -> dict[str, int]:
    """How many places each gets when all of them want as many as they can have."""
    held = dict.fromkeys(holders, 0)
    while took := [holder for holder in holders if shares.take(holder)]:
        for holder in took:
            held[holder] += 1
    return held


@pytest.mark.parametrize(
    ("limit", "holders", "each"), [(2, 1, 1), (800, 1, 400), (800, 2, 267), (800, 9, 80), (1, 1, 1), (8, 8, 1)]
)
def test_greedy_holders_leave_as_much_as_each_of_them_has(limit: int, holders: int, each: int) -> None:
    shares = Shares(limit)
    held = fill(shares, *(f"holder {number}" for number in range(holders)))
    assert set(held.values()) <= {each, each - 1}
    assert shares.free == limit - sum(held.values())


def test_greedy_holders_who_come_one_after_the_other_get_half_of_what_is_left() -> None:
    shares = Shares(800)
    assert [fill(shares, name)[name] for name in ("first", "second", "third")] == [400, 200, 100]
    assert shares.take("modest")


def test_somebody_who_holds_nothing_finds_a_place_beside_a_crowd() -> None:
    shares = Shares(800)
    fill(shares, *(f"greedy {number}" for number in range(99)))
    assert shares.take("modest")


def test_what_is_given_back_can_be_had_again() -> None:
    shares = Shares(4)
    assert fill(shares, "one") == {"one": 2}
    shares.give_back("one")
    assert shares.take("one")
    for _ in range(2):
        shares.give_back("one")
    assert shares.free == 4
    assert shares.has_room("one")


def test_much_at_once_is_taken_whole_and_then_nobody_gets_more() -> None:
    shares = Shares(10)
    assert shares.take("one", 50)
    assert not shares.take("another")
    assert not shares.has_room("another", beside=40)
    assert shares.has_room("another", beside=41)
    shares.give_back("one", 50)
    assert shares.take("another")


def test_holders_of_nothing_are_not_remembered() -> None:
    shares = Shares(10)
    for number in range(1000):
        assert shares.take(number)
        shares.give_back(number)
    assert not shares._held
