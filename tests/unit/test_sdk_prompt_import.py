"""What an import asks of the platform, checked against a registry of a few lines that keeps the contract's rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_platform import ArchivePromptRequest, Conflict, Prompt, RegisterPromptResponse, SetPromptLabelRequest
from genai_platform.prompt_files import PromptRecord
from genai_platform.prompt_import import Registration, Step, plan_import

NOTHING = PromptRecord("a", (), {}, frozenset())


class Registry:
    """One prompt: identical content is no new version, a label keeps its version from the archive."""

    def __init__(self) -> None:
        self.contents: list[str] = []
        self.labels: dict[str, int] = {}
        self.archived: set[int] = set()

    def register(self, content: str) -> int:
        newest = max((version for version in self.versions() if version not in self.archived), default=0)
        if newest and self.contents[newest - 1] == content:
            return newest
        self.contents.append(content)
        return len(self.contents)

    def versions(self) -> range:
        return range(1, len(self.contents) + 1)

    def archive(self, version: int) -> bool:
        allowed = version not in self.labels.values()
        if allowed:
            self.archived.add(version)
        return allowed

    def record(self) -> PromptRecord:
        versions = [Prompt(name="a", version=number, content=self.contents[number - 1]) for number in self.versions()]
        return PromptRecord("a", versions, dict(self.labels), frozenset(self.archived))

    def do(self, step: Step) -> None:
        if isinstance(step, Registration):
            step.check(RegisterPromptResponse(version=self.register(step.request.content)))
        elif isinstance(step, SetPromptLabelRequest):
            assert self.labels.get(step.label, 0) == step.expected_version
            assert step.version not in self.archived
            self.labels[step.label] = step.version
        else:
            assert isinstance(step, ArchivePromptRequest)
            if step.unarchive:
                self.archived.remove(step.version)
            else:
                assert step.version not in self.archived
                assert self.archive(step.version)


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.sampled_from("xyz")),
        st.tuples(st.sampled_from(["archive", "unarchive", "production", "staging"]), st.integers(1, 4)),
    ),
    max_size=12,
)


def change(registry: Registry, kind: str, what: str | int) -> None:
    if isinstance(what, str):
        registry.register(what)
    elif what > len(registry.contents):
        return
    elif kind == "archive":
        registry.archive(what)
    elif kind == "unarchive":
        registry.archived.discard(what)
    elif what not in registry.archived:
        registry.labels[kind] = what


@settings(max_examples=100)
@given(changes=CHANGES, stop=st.integers(0, 20))
def test_any_history_comes_back_in_a_fresh_registry_also_when_the_first_attempt_was_cut_short(
    changes: list[tuple[str, str | int]], stop: int
) -> None:
    source, target = Registry(), Registry()
    for kind, what in changes:
        change(source, kind, what)
    record = source.record()
    for step in plan_import([record], {"a": NOTHING}, None).steps[:stop]:
        target.do(step)
    for step in plan_import([record], {"a": target.record()}, None).steps:
        target.do(step)
    assert target.record() == record
    again = plan_import([record], {"a": target.record()}, None)
    assert again.steps == []
    assert again.report.unchanged == tuple(("a", version) for version in source.versions())


def test_a_version_that_somebody_else_has_taken_is_a_conflict() -> None:
    record = PromptRecord("a", [Prompt(name="a", version=1, content="x")], {}, frozenset())
    (step,) = plan_import([record], {}, None).steps
    assert isinstance(step, Registration)
    with pytest.raises(Conflict, match="somebody else") as taken:
        step.check(RegisterPromptResponse(version=2))
    assert taken.value.reason == "PROMPT_VERSION_TAKEN"


def test_defaults_are_part_of_what_a_version_is_and_metadata_are_not() -> None:
    ours, theirs = (Prompt(name="a", version=1, content="x") for _ in range(2))
    theirs.metadata.author = "Ann"
    present = {"a": PromptRecord("a", [theirs], {}, frozenset())}
    record = PromptRecord("a", [ours], {}, frozenset())
    assert plan_import([record], present, None).steps == []
    ours.defaults.config.temperature = 0
    with pytest.raises(Conflict, match=r"a/v1\.md or its defaults"):
        plan_import([record], present, None)
