"""The registered models in memory, a copy of those in the database: chats find models here."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable

from proto.models_pb2 import RegisteredModel
from services.models.custom_models.rows import Row, read_rows
from services.models.validation.limits import MAX_REGISTERED_BYTES, MAX_REGISTERED_MODELS
from services.shared.database import Database
from services.shared.errors import LimitExceeded, PlatformError, Unavailable
from services.shared.garbage_collection import count_new_entry
from services.shared.ordered_names import OrderedNames
from services.shared.storage_errors import UNAVAILABLE_RETRY_SECONDS

CHANGES_AT_ONCE = 50
"""Registrations that are applied to memory before other tasks can run."""


class RegisteredModels:
    """The registered models by name and alias. `watch` is called with each model that is added, and `forget` with the
    name of each one that is removed."""

    def __init__(
        self, database: Database, watch: Callable[[RegisteredModel], None], forget: Callable[[str], None]
    ) -> None:
        self._database = database
        self._watch = watch
        self._forget = forget
        self._rows: dict[str, Row] = {}
        self._models: dict[str, RegisteredModel] = {}
        self.names = OrderedNames()
        """The names of the models, without aliases."""
        self._bytes = 0
        """The size of all definitions."""
        self._endpoints = 0
        """The number of the endpoints of all models."""
        self._aliases: dict[str, str] = {}
        self._loading = asyncio.Lock()
        self._is_loaded = False
        self._version = 0
        """Counts the changes of memory."""

    def find(self, name: str) -> RegisteredModel | None:
        """The model of this name or alias. Not to be changed."""
        return self._models.get(name) or self._models.get(self._aliases.get(name, ""))

    def owner_of(self, alias: str) -> str | None:
        """The name of the model that an alias stands for."""
        return self._aliases.get(alias)

    def require_loaded(self) -> None:
        """Raises Unavailable before the first load: until then no registered model is known."""
        if not self._is_loaded:
            raise Unavailable(
                "which models are registered is not known yet: the storage cannot be reached; try again",
                reason="STORAGE_UNAVAILABLE",
                retry_after=UNAVAILABLE_RETRY_SECONDS,
            )

    def check_limits(self, model: RegisteredModel) -> None:
        """Raises LimitExceeded for a registration above the limits for all registrations together: they take memory,
        and each is probed."""
        known = self._models.get(model.name)
        endpoints = self._endpoints + len(model.endpoints) - (len(known.endpoints) if known else 0)
        if endpoints > MAX_REGISTERED_MODELS:
            too_many = (
                f"there are {len(self._models)} registered models with {self._endpoints} endpoints, of which at most"
                f" {MAX_REGISTERED_MODELS} can be"
            )
        elif self._bytes + model.ByteSize() - (known.ByteSize() if known else 0) > MAX_REGISTERED_BYTES:
            too_many = f"the registered models take {MAX_REGISTERED_BYTES} bytes together, and no more can be kept"
        else:
            return
        raise LimitExceeded(f"{too_many}; deregister those that are no longer used", reason="REGISTERED_MODELS_LIMIT")

    async def load(self) -> None:
        """Applies the changes of the database to memory. Unchanged models are left alone."""
        async with self._loading:
            # A change that was applied during the read may be newer than the rows of the read.
            while not await self._apply_all():
                pass
            self._version += 1
            self._is_loaded = True

    async def _apply_all(self) -> bool:
        """Applies all rows. Returns False, with only a part applied, if another change was applied meanwhile."""
        version = self._version
        rows = await read_rows(self._database)
        changed = [row for row in rows.values() if self._rows.get(row.name) != row]
        gone = self._rows.keys() - rows.keys()
        if version != self._version:
            return False
        steps = [functools.partial(self.remove, name) for name in gone]
        steps += [functools.partial(self.apply, row) for row in changed]
        for count, step in enumerate(steps, 1):
            step()
            if count % CHANGES_AT_ONCE == 0:
                await asyncio.sleep(0)
                if version != self._version:
                    return False
        return True

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """A block that commits a write and then applies it."""
        version = self._version
        yield
        self._version += 1
        if self._version == version + 1:
            return
        # A load since the write began may have read rows that are newer than the write. The next change tries again.
        with contextlib.suppress(PlatformError):
            await self.load()

    def apply(self, row: Row) -> None:
        """Adds a committed registration to memory."""
        if self._rows.get(row.name) == row:
            return
        self.remove(row.name)
        model = row.model()
        self._rows[row.name] = row
        self._models[row.name] = model
        self.names.add(row.name)
        self._bytes += model.ByteSize()
        self._endpoints += len(model.endpoints)
        self._aliases.update(dict.fromkeys(model.aliases, model.name))
        self._watch(model)
        count_new_entry()

    def remove(self, name: str) -> None:
        """Removes a registration from memory, if it is there."""
        if self._rows.pop(name, None) is None:
            return
        model = self._models.pop(name)
        for alias in model.aliases:
            # The alias may belong to another model by now.
            if self._aliases.get(alias) == name:
                del self._aliases[alias]
        self.names.remove(name)
        self._bytes -= model.ByteSize()
        self._endpoints -= len(model.endpoints)
        self._forget(name)
