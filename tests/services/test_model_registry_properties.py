"""Any sequence of operations has the same answers on SQLite, on PostgreSQL and in a model of a few lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from proto import models_pb2
from services.models.custom_models.model_registry import ModelRegistry
from services.shared.errors import PlatformError
from tests.built_in_models import BUILT_IN
from tests.services.model_registries import endpoint_of, model, replica

NAMES = ("a", "b", "c", "gpt-4o", "A")


class Register(NamedTuple):
    name: str
    version: int
    aliases: Sequence[str]
    validate_only: bool

    async def run(self, registry: ModelRegistry) -> object:
        request = model(
            self.name, f"http://127.0.0.1:9/v{self.version}", aliases=self.aliases, validate_only=self.validate_only
        )
        response = await registry.register(request)
        codes = {warning.code for warning in response.warnings} - {"CONNECT_FAILED"}
        return response.created, bool(response.model.registered_at), response.model.overrides_builtin, codes


class Deregister(NamedTuple):
    name: str

    async def run(self, registry: ModelRegistry) -> object:
        return (await registry.deregister(models_pb2.DeregisterModelRequest(name=self.name))).builtin_restored


class Resolve(NamedTuple):
    name: str

    async def run(self, registry: ModelRegistry) -> object:
        return endpoint_of(registry, self.name)


class Enumerate(NamedTuple):
    page_size: int

    async def run(self, registry: ModelRegistry) -> object:
        names: list[str] = []
        request = models_pb2.ListRegisteredModelsRequest(page_size=self.page_size)
        while True:
            page = await registry.list(request)
            names += [entry.name for entry in page.models]
            if not page.next_page_token:
                return names
            request.page_token = page.next_page_token


Operation = Register | Deregister | Resolve | Enumerate


@dataclass
class PlainRegistry:
    """What the registry promises, without storing anything."""

    models: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    def answer(self, operation: Operation) -> object:
        match operation:
            case Register():
                return self._register(operation)
            case Deregister(name):
                if self.models.pop(name, None) is None:
                    return "MODEL_NOT_FOUND"
                return name in BUILT_IN
            case Resolve(name):
                owner = name if name in self.models else self._owner(name)
                return f"http://127.0.0.1:9/v{self.models[owner][0]}" if owner else None
            case Enumerate():
                return sorted(self.models)

    def _register(self, operation: Register) -> object:
        name, version, aliases, validate_only = operation
        if len({name, *aliases}) <= len(aliases):
            return "INVALID_REQUEST"
        if BUILT_IN.keys() & set(aliases) or any(self._leads_elsewhere(taken, name) for taken in (name, *aliases)):
            return "ALIAS_TAKEN"
        codes = {"OVERRIDES_BUILTIN"} if name in BUILT_IN else set()
        before, after = self.models.get(name), (version, tuple(aliases))
        if validate_only:
            return False, False, name in BUILT_IN, codes
        self.models[name] = after
        if before and before != after:
            codes.add("REPLACED")
        return before != after, True, name in BUILT_IN, codes

    def _leads_elsewhere(self, name: str, than: str) -> bool:
        owner = name if name in self.models else self._owner(name)
        return owner not in (None, than)

    def _owner(self, alias: str) -> str | None:
        return next((name for name, (_, aliases) in self.models.items() if alias in aliases), None)


names = st.sampled_from(NAMES)
operations = st.one_of(
    st.builds(
        Register,
        names,
        st.integers(1, 2),
        st.lists(names, max_size=2).map(tuple),
        st.sampled_from([False] * 4 + [True]),
    ),
    st.builds(Deregister, names),
    st.builds(Resolve, names),
    st.builds(Enumerate, st.integers(1, 3)),
)


def test_any_sequence_of_operations_has_the_same_answers_everywhere(sqlite_file: Path, postgresql_url: str) -> None:
    """Each operation runs on one of two replicas, which then tells the other, as the watch of the database does."""
    # The loop stands still while hypothesis chooses: it suspects whoever else draws random numbers meanwhile.
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        storages = runner.run(open_replicas(stack, (f"sqlite:///{sqlite_file}", postgresql_url)))

        @settings(max_examples=25)
        @given(st.lists(st.tuples(operations, st.integers(0, 1)), min_size=3, max_size=12))
        def agree(steps: Sequence[tuple[Operation, int]]) -> None:
            runner.run(compare(storages, steps))

        try:
            agree()
        finally:
            runner.run(stack.aclose())


async def open_replicas(stack: contextlib.AsyncExitStack, urls: Sequence[str]) -> list[list[ModelRegistry]]:
    """Two replicas over each database."""
    return [
        [(await stack.enter_async_context(replica(url, watching=False))).registry for _ in range(2)] for url in urls
    ]


async def compare(storages: Sequence[Sequence[ModelRegistry]], steps: Sequence[tuple[Operation, int]]) -> None:
    for replicas in storages:
        await clear(replicas)
    plain = PlainRegistry()
    for operation, replica_number in steps:
        expected = plain.answer(operation)
        for replicas in storages:
            assert await answer_of(operation, replicas[replica_number]) == expected
            await replicas[1 - replica_number].load()


async def answer_of(operation: Operation, registry: ModelRegistry) -> object:
    try:
        return await operation.run(registry)
    except PlatformError as error:
        return error.reason


async def clear(replicas: Sequence[ModelRegistry]) -> None:
    for registry in replicas:
        await registry.load()
        for name in list(registry.names):
            await registry.deregister(models_pb2.DeregisterModelRequest(name=name))
