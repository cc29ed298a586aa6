"""The ModelRegistry: custom and self-hosted models, by name and alias.

The chat path finds models in memory, without waiting for the database. A registration is answered for only after it
has been committed, and can be called from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple, NoReturn

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import RegisteredModel
from services.models.access.credentials import Credentials
from services.models.access.trust import ByTrust
from services.models.catalog.listings import ListedFacts, with_listed_facts
from services.models.custom_models.name_rules import NameRules
from services.models.custom_models.registration import build_registered_model
from services.models.health.monitor import HealthMonitor
from services.models.health.probes import ModelProbe
from services.models.health.results import HEALTHY, UNKNOWN
from services.models.storage.stored_messages import from_json, now, to_json
from services.models.storage.tables import registered_model_names, registered_models
from services.models.transport.egress import EndpointPolicy
from services.models.validation.fields import shorten, suggest
from services.models.validation.limits import MAX_REGISTERED_BYTES, MAX_REGISTERED_MODELS
from services.shared.database import Database
from services.shared.errors import (
    AlreadyExists,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    PlatformError,
    PreconditionFailed,
    Unavailable,
)
from services.shared.garbage_collection import count_new_entry
from services.shared.ordered_names import OrderedNames
from services.shared.page_tokens import Text, read_page_token
from services.shared.paging import cut_page
from services.shared.serial_writes import SerialWrites
from services.shared.storage_errors import UNAVAILABLE_RETRY_SECONDS, retried

ROWS_AT_ONCE = 50
"""How many registrations are taken into memory before other calls have their turn."""
NAMES_AT_ONCE = 1000
"""How many are only looked at before that."""

REPLACED = "REPLACED"
"""The code of the notice that there was another definition before."""


class _Row(NamedTuple):
    """A registration as the database holds it."""

    name: str
    definition_json: str
    registered_at: str
    untrusted: bool


class ModelRegistry:
    """Registered models, kept fresh by whoever awaits `load` at each change; until then none is known.

    `names` says which names they may take, `endpoints` where they may be, and `credentials` what may hold their keys.
    """

    def __init__(
        self,
        database: Database,
        monitor: HealthMonitor,
        name_rules: NameRules,
        endpoints: ByTrust[EndpointPolicy],
        credentials: Credentials,
    ) -> None:
        self._database = database
        self._monitor = monitor
        self._name_rules = name_rules
        self._endpoints = endpoints
        self._credentials = credentials
        self._writes = SerialWrites()
        self._rows: dict[str, _Row] = {}
        self._models: dict[str, RegisteredModel] = {}
        self._names = OrderedNames()
        self._bytes = 0
        """Of all definitions."""
        self._aliases: dict[str, str] = {}
        self._loading = asyncio.Lock()
        self._is_loaded = False
        self._version = 0
        """Counts how often something was taken into memory."""

    async def load(self) -> None:
        """Makes memory what the database holds now, and begins to probe what is new; the rest goes on undisturbed."""
        async with self._loading:
            # What was taken in while this was reading may be newer than what it has read.
            while not await self._take_all():
                pass
            self._version += 1
            self._is_loaded = True

    async def _take_all(self) -> bool:
        """Returns False, with only a part taken in, when something else was taken in meanwhile."""
        version = self._version
        rows = await self._read_all()
        changed = [row for row in rows.values() if self._rows.get(row.name) != row]
        gone = self._rows.keys() - rows.keys()
        if version != self._version:
            return False
        steps = [functools.partial(self._withdraw, name) for name in gone]
        steps += [functools.partial(self._apply, row) for row in changed]
        for count, step in enumerate(steps, 1):
            step()
            if count % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
                if version != self._version:
                    return False
        return True

    def require_loaded(self) -> None:
        """Raises Unavailable as long as nothing has been loaded: which models there are is not known then."""
        if not self._is_loaded:
            raise Unavailable(
                "which models are registered is not known yet: the storage cannot be reached; try again",
                reason="STORAGE_UNAVAILABLE",
                retry_after=UNAVAILABLE_RETRY_SECONDS,
            )

    async def register(
        self, request: models_pb2.RegisterModelRequest, *, by_stranger: bool = False
    ) -> models_pb2.RegisterModelResponse:
        """Registers a model; a different definition under a name that is there replaces it at once.

        The model is probed before the answer, but a server that is down is no reason to refuse it: the answer's
        status and warnings say so. Raises InvalidRequest naming every field that is wrong, or ENDPOINT_NOT_ALLOWED,
        what `NameRules.check` raises, and AlreadyExists when the name or an alias leads to another model.
        """
        definition = build_registered_model(request, self._credentials, by_stranger=by_stranger)
        await self._endpoints.of(by_stranger).check_registration(definition.endpoint)
        try:
            if request.validate_only:
                return await self._validate(definition)
            model, replaced = await self._writes.run(self._store(definition))
        except PreconditionFailed as refusal:
            await self._tell_endpoint_too(definition, refusal)
            raise
        status = await self.check(model)
        created = replaced is None or replaced != model
        return models_pb2.RegisterModelResponse(
            model=self._describe(model, status.status, self._monitor.listed_facts(model.name)),
            created=created,
            warnings=[*self._warnings(model, status), *(_replaced_warnings(model) if created and replaced else ())],
        )

    async def deregister(
        self, request: models_pb2.DeregisterModelRequest, *, by_stranger: bool = False
    ) -> models_pb2.DeregisterModelResponse:
        """Removes a model. Calls that run on it come to their end.

        Raises NotFound, where an alias is not a name, and PreconditionFailed NAME_TAKEN for strangers.
        """
        if not request.name:
            raise InvalidRequest.field("name", "is required")
        if not self._name_rules.may_override(by_stranger):
            await self._refuse_removal(request.name)
        await self._writes.run(self._remove(request.name))
        return models_pb2.DeregisterModelResponse(builtin_restored=self._name_rules.is_built_in(request.name))

    async def list(self, request: models_pb2.ListRegisteredModelsRequest) -> models_pb2.ListRegisteredModelsResponse:
        """A page of the registered models, in the order of their names. Raises what `require_loaded` raises."""
        self.require_loaded()
        names = self._names.after(read_page_token(request, Text))
        page = cut_page(((name, self._describe_newest(self._models[name])) for name in names), request)
        return models_pb2.ListRegisteredModelsResponse(models=page.entries, next_page_token=page.next_page_token)

    async def check(self, model: RegisteredModel) -> models_pb2.ModelStatus:
        """The fresh status of a model that `find` has found."""
        return await self._monitor.check(ModelProbe(model, self._credentials))

    def capabilities(self, model: RegisteredModel) -> models_pb2.ModelCapabilities:
        """What is known of a model: by its registration, and where that is silent, by its own server."""
        return with_listed_facts(model.capabilities, self._monitor.listed_facts(model.name))

    def find(self, name: str) -> RegisteredModel | None:
        """The model that this name or alias stands for. Not to be changed; `status` and `overrides_builtin` are
        empty."""
        model = self._models.get(name) or self._models.get(self._aliases.get(name, ""))
        return model if model and self._name_rules.serves(model, name) else None

    def hidden_by(self, name: str) -> str:
        """What a name leads to without any registration; empty when that is nothing."""
        return self._name_rules.hidden_by(name)

    def names(self) -> OrderedNames:
        """The names of the registered models, without aliases."""
        return self._names

    async def _tell_endpoint_too(self, definition: RegisteredModel, refusal: PreconditionFailed) -> None:
        """Adds what a probe says of the endpoint, so that whoever chooses another name hears of both at once."""
        status, _ = await self._monitor.inspect(ModelProbe(definition, self._credentials))
        refusal.metadata |= {"endpoint_status": status.status, "endpoint_reason": status.reason}

    async def _validate(self, definition: RegisteredModel) -> models_pb2.RegisterModelResponse:
        self._refuse_beyond_limits(definition)
        async with self._database.read() as connection:
            before = await _read(connection, definition.name)
            if before is None or not _stays(before, definition):
                await self._refuse_names(connection, definition, replaces=before is not None)
        status, listed = await self._monitor.inspect(ModelProbe(definition, self._credentials))
        model = self._describe(definition, status.status, listed)
        return models_pb2.RegisterModelResponse(model=model, warnings=self._warnings(definition, status))

    async def _store(self, model: RegisteredModel) -> tuple[RegisteredModel, RegisteredModel | None]:
        """Returns the model as it is now registered, and as it was before."""
        self._refuse_beyond_limits(model)
        version = self._version
        row, before = await self._write_row(model)
        self._apply(row)
        await self._finish_write(version)
        return _parse(row), before

    @retried
    async def _write_row(self, model: RegisteredModel) -> tuple[_Row, RegisteredModel | None]:
        async with self._database.write() as connection:
            stored = await _read(connection, model.name)
            if stored and _stays(stored, model):
                return stored, _parse(stored)
            await self._refuse_names(connection, model, replaces=stored is not None)
            row = _Row(model.name, to_json(model), now(), model.untrusted)
            await _replace(connection, row, model.aliases)
        return row, _parse(stored) if stored else None

    async def _refuse_names(self, connection: AsyncConnection, model: RegisteredModel, *, replaces: bool) -> None:
        self._name_rules.check(model, replaces=replaces)
        await _refuse_taken_names(connection, model)

    async def _refuse_removal(self, name: str) -> NoReturn:
        async with self._database.read() as connection:
            known = await _read(connection, name)
        raise self._name_rules.taken(name) if known else self._not_found(name)

    async def _remove(self, name: str) -> None:
        version = self._version
        known = await self._delete_row(name)
        self._withdraw(name)
        await self._finish_write(version)
        if not known:
            raise self._not_found(name)

    @retried
    async def _delete_row(self, name: str) -> bool:
        async with self._database.write() as connection:
            result = await connection.execute(delete(registered_models).where(registered_models.c.name == name))
        return result.rowcount > 0

    async def _finish_write(self, version_before: int) -> None:
        """Called when a committed write has been taken into memory."""
        self._version += 1
        if self._version == version_before + 1:
            return
        # What was loaded since the write began may have been newer than the write. The next change tries again.
        with contextlib.suppress(PlatformError):
            await self.load()

    async def _read_all(self) -> dict[str, _Row]:
        async with self._database.read() as connection:
            found = await connection.execute(_SELECT)
        rows: dict[str, _Row] = {}
        for count, row in enumerate(found, 1):
            rows[row.name] = _Row(*row)
            if count % NAMES_AT_ONCE == 0:
                await asyncio.sleep(0)
        return rows

    def _apply(self, row: _Row) -> None:
        """Takes a committed registration into memory."""
        if self._rows.get(row.name) == row:
            return
        self._withdraw(row.name)
        model = _parse(row)
        self._rows[row.name] = row
        self._models[row.name] = model
        self._names.add(row.name)
        self._bytes += model.ByteSize()
        self._aliases.update(dict.fromkeys(model.aliases, model.name))
        self._monitor.watch(ModelProbe(model, self._credentials))
        count_new_entry()

    def _withdraw(self, name: str) -> None:
        """Takes a registration out of memory, if it is there."""
        if self._rows.pop(name, None) is None:
            return
        model = self._models.pop(name)
        for alias in model.aliases:
            # Another model may have it already.
            if self._aliases.get(alias) == name:
                del self._aliases[alias]
        self._names.remove(name)
        self._bytes -= model.ByteSize()
        self._monitor.forget(name)

    def _describe_newest(self, model: RegisteredModel) -> RegisteredModel:
        status = self._monitor.newest(model.name)
        return self._describe(model, status.status if status else UNKNOWN, self._monitor.listed_facts(model.name))

    def _describe(self, model: RegisteredModel, status: str, listed: ListedFacts | None) -> RegisteredModel:
        """The model as callers see it."""
        described = RegisteredModel()
        described.CopyFrom(model)
        if listed:
            described.capabilities.CopyFrom(with_listed_facts(model.capabilities, listed))
        described.status = status
        described.overrides_builtin = self._overrides_builtin(model)
        return described

    def _overrides_builtin(self, model: RegisteredModel) -> bool:
        return self._name_rules.is_built_in(model.name) and self._name_rules.serves(model, model.name)

    def _warnings(self, model: RegisteredModel, status: models_pb2.ModelStatus) -> Iterator[models_pb2.Notice]:
        if self._overrides_builtin(model):
            message = f"the built-in model {model.name} is hidden by this one until it is deregistered"
            yield models_pb2.Notice(code="OVERRIDES_BUILTIN", field="name", message=message)
        if status.status != HEALTHY:
            yield models_pb2.Notice(code=status.reason, field="endpoint", message=status.message)

    def _refuse_beyond_limits(self, model: RegisteredModel) -> None:
        """Keeps what all callers together register within what fits into memory, and into the time of a probe."""
        known = self._models.get(model.name)
        if known is None and len(self._models) >= MAX_REGISTERED_MODELS:
            too_many = f"there are {len(self._models)} registered models, and at most {MAX_REGISTERED_MODELS} can be"
        elif self._bytes + model.ByteSize() - (known.ByteSize() if known else 0) > MAX_REGISTERED_BYTES:
            too_many = f"the registered models take {MAX_REGISTERED_BYTES} bytes together, and no more can be kept"
        else:
            return
        raise LimitExceeded(f"{too_many}; deregister those that are no longer used", reason="REGISTERED_MODELS_LIMIT")

    def _not_found(self, name: str) -> NotFound:
        shown = shorten(name)
        owner = self._aliases.get(name)
        hint = f"; it is an alias of {owner}" if owner else suggest(shown, self._names)
        return NotFound(f"no model is registered as {shown}{hint}", reason="MODEL_NOT_FOUND", metadata={"model": shown})


_SELECT = select(*(registered_models.c[field] for field in _Row._fields))


def _parse(row: _Row) -> RegisteredModel:
    model = from_json(row.definition_json, RegisteredModel())
    model.registered_at = row.registered_at
    model.untrusted = row.untrusted
    return model


def _stays(row: _Row, definition: RegisteredModel) -> bool:
    """Whether a registration has nothing to change. An operator who repeats a stranger's makes it the operator's."""
    if row.untrusted and not definition.untrusted:
        return False
    before, after = _parse(row), RegisteredModel()
    after.CopyFrom(definition)
    for model in (before, after):
        model.ClearField("registered_at")
        model.ClearField("untrusted")
    return before == after


async def _read(connection: AsyncConnection, name: str) -> _Row | None:
    row = (await connection.execute(_SELECT.where(registered_models.c.name == name))).first()
    return _Row(*row) if row else None


async def _refuse_taken_names(connection: AsyncConnection, model: RegisteredModel) -> None:
    """Raises AlreadyExists when the name or an alias of `model` leads to another one."""
    names = registered_model_names
    query = select(names).where(names.c.name.in_([model.name, *model.aliases]), names.c.model != model.name)
    taken = (await connection.execute(query.order_by(names.c.name))).first()
    if taken:
        raise AlreadyExists(
            f"{taken.name} already leads to the registered model {taken.model}; choose another name, or deregister it",
            reason="ALIAS_TAKEN",
            metadata={"alias": taken.name, "model": taken.model},
        )


async def _replace(connection: AsyncConnection, row: _Row, aliases: Iterable[str]) -> None:
    names = [{"name": name, "model": row.name} for name in (row.name, *aliases)]
    await connection.execute(delete(registered_models).where(registered_models.c.name == row.name))
    await connection.execute(insert(registered_models).values(row._asdict()))
    await connection.execute(insert(registered_model_names), names)


def _replaced_warnings(model: RegisteredModel) -> Iterator[models_pb2.Notice]:
    message = f"another definition of {model.name} was replaced by this one"
    yield models_pb2.Notice(code=REPLACED, field="name", message=message)
