"""The ModelRegistry: custom and self-hosted models, by name and alias.

The chat path finds models in memory, without waiting for the database. A registration is answered for only after it
has been committed, and can be called from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import RegisteredModel
from services.models.checks import shorten, suggest
from services.models.paging import cut_page
from services.models.probes import HEALTHY, UNKNOWN, ModelProbe
from services.models.registration import define
from services.models.status_board import StatusBoard
from services.models.storage import SerialWrites, from_json, now, to_json
from services.models.tables import registered_model_names, registered_models
from services.shared.database import Database
from services.shared.errors import AlreadyExists, InvalidRequest, NotFound


class ModelRegistry:
    """Registered models. `load` must have been awaited before anything else.

    `is_builtin` says whether a name is that of a built-in model. `base_urls` are the configured base URLs of the
    built-in providers, by provider: where else than to the vendor itself its key may be sent.
    """

    def __init__(
        self,
        database: Database,
        statuses: StatusBoard,
        is_builtin: Callable[[str], bool],
        base_urls: Mapping[str, str],
    ) -> None:
        self._database = database
        self._statuses = statuses
        self._is_builtin = is_builtin
        self._base_urls = base_urls
        self._writes = SerialWrites()
        self._models: dict[str, RegisteredModel] = {}
        self._aliases: dict[str, str] = {}

    async def load(self) -> None:
        """Reads every registration into memory, and begins to probe."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(registered_models))
            models = [_from_row(row.definition_json, row.registered_at) for row in rows]
        for model in models:
            self._apply(model)

    async def register(self, request: models_pb2.RegisterModelRequest) -> models_pb2.RegisterModelResponse:
        """Registers a model; a different definition under a name that is there replaces it at once.

        The model is probed before the answer, but a server that is down is no reason to refuse it: the answer's
        status and warnings say so. Raises InvalidRequest naming every field that is wrong, and AlreadyExists when
        the name or an alias leads to another model.
        """
        definition = define(request, self._base_urls)
        if request.validate_only:
            return await self._validate(definition)
        model, replaced = await self._writes.run(self._store(definition))
        status = await self._statuses.check(ModelProbe(model))
        created = replaced is None or replaced != model
        return models_pb2.RegisterModelResponse(
            model=self._describe(model, status.status),
            created=created,
            warnings=[*self._warnings(model, status), *(_replaced_warnings(model) if created and replaced else ())],
        )

    async def deregister(self, request: models_pb2.DeregisterModelRequest) -> models_pb2.DeregisterModelResponse:
        """Removes a model. Calls that run on it come to their end. Raises NotFound; an alias is not a name here."""
        if not request.name:
            raise InvalidRequest.field("name", "is required")
        await self._writes.run(self._remove(request.name))
        return models_pb2.DeregisterModelResponse(builtin_restored=self._is_builtin(request.name))

    async def list(self, request: models_pb2.ListRegisteredModelsRequest) -> models_pb2.ListRegisteredModelsResponse:
        """A page of the registered models, in the order of their names."""
        models = ((name, self._describe(self._models[name], self._newest_status(name))) for name in self.names())
        page = cut_page(models, request)
        return models_pb2.ListRegisteredModelsResponse(models=page.entries, next_page_token=page.next_page_token)

    async def check(self, model: RegisteredModel) -> models_pb2.ModelStatus:
        """The fresh status of a model that `find` has found."""
        return await self._statuses.check(ModelProbe(model))

    def find(self, name: str) -> RegisteredModel | None:
        """The model of this name, else of this alias. Not to be changed; `status` and `overrides_builtin` are empty."""
        return self._models.get(name) or self._models.get(self._aliases.get(name, ""))

    def names(self) -> Sequence[str]:
        """The names of the registered models, in order, without aliases."""
        return sorted(self._models)

    async def _validate(self, definition: RegisteredModel) -> models_pb2.RegisterModelResponse:
        self._refuse_builtin_aliases(definition)
        async with self._database.read() as connection:
            await _refuse_taken_names(connection, definition)
        status = await self._statuses.inspect(ModelProbe(definition))
        model = self._describe(definition, status.status)
        return models_pb2.RegisterModelResponse(model=model, warnings=self._warnings(definition, status))

    async def _store(self, model: RegisteredModel) -> tuple[RegisteredModel, RegisteredModel | None]:
        """Returns the model as it is now registered, and as it was before."""
        self._refuse_builtin_aliases(model)
        async with self._database.write() as connection:
            before = await _read(connection, model.name)
            if before and _is_same(before, model):
                model = before
            else:
                await _refuse_taken_names(connection, model)
                model.registered_at = now()
                await _replace(connection, model)
        self._apply(model)
        return model, before

    async def _remove(self, name: str) -> None:
        async with self._database.write() as connection:
            result = await connection.execute(delete(registered_models).where(registered_models.c.name == name))
            known = result.rowcount > 0
        self._withdraw(name)
        if not known:
            raise self._not_found(name)

    def _apply(self, model: RegisteredModel) -> None:
        """Takes a committed registration into memory."""
        if self._models.get(model.name) == model:
            return
        self._withdraw(model.name)
        self._models[model.name] = model
        self._aliases.update(dict.fromkeys(model.aliases, model.name))
        self._statuses.watch(ModelProbe(model))

    def _withdraw(self, name: str) -> None:
        """Takes a registration out of memory, if it is there."""
        model = self._models.pop(name, None)
        if model is None:
            return
        self._aliases = {alias: owner for alias, owner in self._aliases.items() if owner != name}
        self._statuses.forget(name)

    def _describe(self, model: RegisteredModel, status: str) -> RegisteredModel:
        """The model as callers see it."""
        described = RegisteredModel()
        described.CopyFrom(model)
        described.status = status
        described.overrides_builtin = self._is_builtin(model.name)
        return described

    def _newest_status(self, name: str) -> str:
        status = self._statuses.newest(name)
        return status.status if status else UNKNOWN

    def _warnings(self, model: RegisteredModel, status: models_pb2.ModelStatus) -> Iterator[models_pb2.Notice]:
        if self._is_builtin(model.name):
            message = f"the built-in model {model.name} is hidden by this one until it is deregistered"
            yield models_pb2.Notice(code="OVERRIDES_BUILTIN", field="name", message=message)
        if status.status != HEALTHY:
            yield models_pb2.Notice(code=status.reason, field="endpoint", message=status.message)

    def _refuse_builtin_aliases(self, model: RegisteredModel) -> None:
        for alias in model.aliases:
            if self._is_builtin(alias):
                raise AlreadyExists(
                    f"{alias} is a built-in model; to serve it in its place, register the model under that name",
                    reason="ALIAS_TAKEN",
                    metadata={"alias": alias},
                )

    def _not_found(self, name: str) -> NotFound:
        shown = shorten(name)
        owner = self._aliases.get(name)
        hint = f"; it is an alias of {owner}" if owner else suggest(shown, self._models)
        return NotFound(f"no model is registered as {shown}{hint}", reason="MODEL_NOT_FOUND", metadata={"model": shown})


def _from_row(definition_json: str, registered_at: str) -> RegisteredModel:
    model = from_json(definition_json, RegisteredModel())
    model.registered_at = registered_at
    return model


def _is_same(before: RegisteredModel, definition: RegisteredModel) -> bool:
    stored = RegisteredModel()
    stored.CopyFrom(before)
    stored.ClearField("registered_at")
    return stored == definition


async def _read(connection: AsyncConnection, name: str) -> RegisteredModel | None:
    query = select(registered_models).where(registered_models.c.name == name)
    row = (await connection.execute(query)).first()
    return _from_row(row.definition_json, row.registered_at) if row else None


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


async def _replace(connection: AsyncConnection, model: RegisteredModel) -> None:
    definition = RegisteredModel()
    definition.CopyFrom(model)
    definition.ClearField("registered_at")
    row = {"name": model.name, "definition_json": to_json(definition), "registered_at": model.registered_at}
    names = [{"name": name, "model": model.name} for name in (model.name, *model.aliases)]
    await connection.execute(delete(registered_models).where(registered_models.c.name == model.name))
    await connection.execute(insert(registered_models).values(row))
    await connection.execute(insert(registered_model_names), names)


def _replaced_warnings(model: RegisteredModel) -> Iterator[models_pb2.Notice]:
    message = f"another definition of {model.name} was replaced by this one"
    yield models_pb2.Notice(code="REPLACED", field="name", message=message)
