"""Any sequence of operations has the same answers on SQLite, on PostgreSQL and in a plain model of the rules."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.errors import PlatformError
from tests.services.prompt_registries import (
    archive,
    events,
    get,
    names,
    new_registry,
    open_database,
    prompt,
    set_label,
    versions,
)

PRODUCTION = "production"


class Refused(Exception):
    """The model's error; its text is the reason."""


class Model:
    """The rules for one prompt, written down as plainly as can be."""

    def __init__(self) -> None:
        self.contents: list[str] = []
        self.archived: set[int] = set()
        self.labels: dict[str, int] = {}
        self.history: list[tuple[str, int, str, int]] = []

    def live(self) -> list[int]:
        return [version for version in self.numbers() if version not in self.archived]

    def numbers(self) -> list[int]:
        return list(range(1, len(self.contents) + 1))

    def labels_at(self, version: int) -> list[str]:
        return sorted(label for label, target in self.labels.items() if target == version)

    def require(self, version: int) -> None:
        if version not in self.numbers():
            raise Refused("PROMPT_NOT_FOUND")

    def in_force(self) -> tuple[int, str]:
        if PRODUCTION in self.labels:
            return self.labels[PRODUCTION], PRODUCTION
        if not self.live():
            raise Refused("PROMPT_NOT_FOUND")
        return self.live()[-1], ""

    def point(self, label: str, version: int) -> None:
        previous = self.labels.get(label, 0)
        if previous != version:
            self.labels[label] = version
            self.history.append(("label_set", version, label, previous))

    def register(self, content: str, labels: Sequence[str]) -> Any:
        created = not self.live() or self.contents[self.live()[-1] - 1] != content
        if created:
            self.contents.append(content)
            self.history.append(("registered", len(self.contents), "", 0))
        version = self.live()[-1]
        for label in labels:
            self.point(label, version)
        return version, created, self.labels_at(version)

    def set_label(self, label: str, version: int, expected: int | None) -> Any:
        if version or not self.contents:
            self.require(version)
        previous = self.labels.get(label, 0)
        if expected not in (None, previous):
            raise Refused("LABEL_CONFLICT")
        if version in self.archived:
            raise Refused("PROMPT_ARCHIVED")
        if version:
            self.point(label, version)
        elif previous:
            del self.labels[label]
            self.history.append(("label_removed", previous, label, previous))
        return version, previous

    def archive(self, version: int, unarchive: bool) -> Any:
        if version or not self.contents:
            self.require(version)
        asked = [version] if version else self.numbers()
        if not unarchive and any(self.labels_at(number) for number in asked):
            raise Refused("PROMPT_LABELED")
        changed = [number for number in asked if (number in self.archived) == unarchive]
        self.archived.symmetric_difference_update(changed)
        if changed:
            self.history.append(("unarchived" if unarchive else "archived", version, "", 0))
        return changed[::-1]

    def get(self, version: int, label: str) -> Any:
        if not self.contents:
            raise Refused("PROMPT_NOT_FOUND")
        if label and label not in self.labels:
            raise Refused("PROMPT_LABEL_NOT_FOUND")
        resolved = ""
        if version:
            self.require(version)
        elif label:
            version, resolved = self.labels[label], label
        else:
            version, resolved = self.in_force()
        content = self.contents[version - 1]
        return version, content, resolved, self.labels_at(version), version in self.archived

    def see(self, label: str, include_archived: bool) -> Any:
        """Whether a list of prompts has it, and which versions a list of versions has."""
        if not self.contents:
            raise Refused("PROMPT_NOT_FOUND")
        listed = (bool(self.live()) or include_archived) and (not label or label in self.labels)
        return listed, (self.numbers() if include_archived else self.live())[::-1]

    def tell(self) -> Any:
        if not self.contents:
            raise Refused("PROMPT_NOT_FOUND")
        return self.history[::-1]


class Asked:
    """The same questions to one registry, about a prompt of this name."""

    def __init__(self, registry: PromptRegistry, name: str) -> None:
        self.registry = registry
        self.name = name

    async def register(self, content: str, labels: Sequence[str]) -> Any:
        response = await self.registry.register(prompt(self.name, content, labels=labels))
        return response.version, response.created, list(response.prompt.labels)

    async def set_label(self, label: str, version: int, expected: int | None) -> Any:
        response = await set_label(self.registry, label, version, name=self.name, expected_version=expected)
        return response.prompt.version, response.previous_version

    async def archive(self, version: int, unarchive: bool) -> Any:
        return await archive(self.registry, version, name=self.name, unarchive=unarchive)

    async def get(self, version: int, label: str) -> Any:
        await self.registry.memory.load()
        found = await get(self.registry, self.name, version=version, label=label)
        return found.version, found.content, found.resolved_label, list(found.labels), found.HasField("archived_at")

    async def see(self, label: str, include_archived: bool) -> Any:
        await self.registry.memory.load()
        shown = await versions(self.registry, self.name, include_archived=include_archived)
        listed = await names(self.registry, query=self.name, label=label, include_archived=include_archived)
        return listed == [self.name], shown

    async def tell(self) -> Any:
        return [(e.type, e.version, e.label, e.previous_version) for e in await events(self.registry, self.name)]


def some(**choices: Sequence[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: st.sampled_from(values) for name, values in choices.items()})


LABELS = (PRODUCTION, "staging")
NUMBERS = (0, 1, 2, 3)
REGISTRATIONS = st.tuples(
    st.just("register"), some(content=("x", "y"), labels=(*[()] * 8, (PRODUCTION,), LABELS[::-1]))
)
ARCHIVINGS = st.tuples(st.just("archive"), some(version=NUMBERS, unarchive=(False, False, False, True)))
MOVES = st.tuples(st.just("set_label"), some(label=LABELS, version=(0, *NUMBERS), expected=(None, None, *NUMBERS)))
QUESTIONS = st.one_of(
    st.tuples(st.just("get"), some(version=NUMBERS, label=("",))),
    st.tuples(st.just("get"), some(version=(0,), label=LABELS)),
    st.tuples(st.just("see"), some(label=("", *LABELS), include_archived=(False, True))),
)
STEPS = st.tuples(
    st.sampled_from((0, 1)), st.one_of(REGISTRATIONS, REGISTRATIONS, ARCHIVINGS, ARCHIVINGS, MOVES, QUESTIONS)
)
"""A step is asked of one of two replicas."""

_numbers = itertools.count()


@pytest.fixture
async def replicas(sqlite_file: Path, postgresql_url: str) -> AsyncIterator[list[list[PromptRegistry]]]:
    databases = [await open_database(url) for url in (f"sqlite:///{sqlite_file}", postgresql_url)]
    registries = [[new_registry(database), new_registry(database)] for database in databases]
    for registry in itertools.chain(*registries):
        await registry.memory.load()
    yield registries
    for database in databases:
        await database.close()


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=30, max_size=50))
async def test_random_operations_have_the_same_results(
    replicas: list[list[PromptRegistry]], steps: list[tuple[int, tuple[str, dict[str, Any]]]]
) -> None:
    """Each example has a prompt of its own in the same databases."""
    # No name is a part of another one: `see` searches by it.
    name = f"example-{next(_numbers):06}"
    model = Model()
    last = [(0, ("get", {"version": 0, "label": ""})), (1, ("tell", {}))]
    for replica, (method, arguments) in [*steps, *last]:
        expected = expect(model, method, arguments)
        for registries in replicas:
            assert await ask(Asked(registries[replica], name), method, arguments) == expected


def expect(model: Model, method: str, arguments: dict[str, Any]) -> Any:
    try:
        return getattr(model, method)(**arguments)
    except Refused as error:
        return str(error)


async def ask(asked: Asked, method: str, arguments: dict[str, Any]) -> Any:
    try:
        return await getattr(asked, method)(**arguments)
    except PlatformError as error:
        return error.reason
