"""The cache of prompt versions: bounded by bytes, and valid for one revision of a prompt."""

from __future__ import annotations

from proto.models_pb2 import Prompt
from services.models.prompts.record import PromptRecord
from services.models.prompts.version_cache import RecentVersions


def record(name: str = "p", revision: int = 1) -> PromptRecord:
    return PromptRecord(
        project_id="",
        name=name,
        count=9,
        newest=9,
        labels={},
        loaded={},
        sizes={},
        summary=None,
        stored_bytes=0,
        memory_bytes=0,
        revision=revision,
    )


def version(number: int, size: int = 1000) -> Prompt:
    return Prompt(version=number, content="x" * size)


def found(recent: RecentVersions, of: PromptRecord) -> list[int]:
    return [number for number in range(1, 10) if recent.find(of, number)]


def test_least_recently_used_versions_are_evicted() -> None:
    recent = RecentVersions(max_bytes=4 * 1100)
    for number in (1, 2, 3, 4):
        recent.store(record(), version(number))
    assert recent.find(record(), 1)
    recent.store(record(), version(5))
    assert found(recent, record()) == [1, 3, 4, 5]
    recent.store(record(), version(6, size=3000))
    assert found(recent, record()) == [5, 6]


def test_version_larger_than_the_cache_is_not_stored() -> None:
    recent = RecentVersions(max_bytes=1000)
    recent.store(record(), version(1))
    assert found(recent, record()) == []


def test_version_that_is_stored_again_counts_once() -> None:
    recent = RecentVersions(max_bytes=2 * 1100)
    for _ in range(5):
        recent.store(record(), version(1))
    recent.store(record(), version(2))
    assert found(recent, record()) == [1, 2]


def test_version_of_another_prompt_or_revision_is_not_found() -> None:
    recent = RecentVersions()
    recent.store(record(), version(1))
    assert found(recent, record("q")) == []
    assert found(recent, record(revision=2)) == []
    recent.store(record(revision=2), version(1))
    assert found(recent, record(revision=2)) == [1]
