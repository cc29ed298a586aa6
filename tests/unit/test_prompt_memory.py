"""Versions of prompts that somebody asked for are kept, within a number of bytes."""

from __future__ import annotations

from proto.models_pb2 import Prompt
from services.models.prompts.record import PromptLine
from services.models.prompts.version_cache import RecentVersions


def line(name: str = "p", revision: int = 1) -> PromptLine:
    return PromptLine(
        name=name,
        count=9,
        newest=9,
        labels={},
        held={},
        sizes={},
        outline=None,
        stored_bytes=0,
        held_bytes=0,
        revision=revision,
    )


def version(number: int, size: int = 1000) -> Prompt:
    return Prompt(version=number, content="x" * size)


def found(recent: RecentVersions, of: PromptLine) -> list[int]:
    return [number for number in range(1, 10) if recent.find(of, number)]


def test_those_that_were_asked_for_longest_ago_make_room() -> None:
    recent = RecentVersions(max_bytes=4 * 1100)
    for number in (1, 2, 3, 4):
        recent.keep(line(), version(number))
    assert recent.find(line(), 1)
    recent.keep(line(), version(5))
    assert found(recent, line()) == [1, 3, 4, 5]
    recent.keep(line(), version(6, size=3000))
    assert found(recent, line()) == [5, 6]


def test_one_that_is_larger_than_all_room_is_not_kept() -> None:
    recent = RecentVersions(max_bytes=1000)
    recent.keep(line(), version(1))
    assert found(recent, line()) == []


def test_one_kept_again_takes_its_room_once() -> None:
    recent = RecentVersions(max_bytes=2 * 1100)
    for _ in range(5):
        recent.keep(line(), version(1))
    recent.keep(line(), version(2))
    assert found(recent, line()) == [1, 2]


def test_a_version_is_another_s_or_from_before_a_change() -> None:
    recent = RecentVersions()
    recent.keep(line(), version(1))
    assert found(recent, line("q")) == []
    assert found(recent, line(revision=2)) == []
    recent.keep(line(revision=2), version(1))
    assert found(recent, line(revision=2)) == [1]
