"""The ModelRegistry: custom and self-hosted models, by name and alias.

Chats find models in memory, without waiting for the database. A registration is answered only after its commit, and can
be called from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NoReturn

from proto import models_pb2
from proto.models_pb2 import RegisteredModel
from services.models.access.allowed_models import EVERY_MODEL, AllowedModels
from services.models.access.credentials import Credentials
from services.models.access.trust import ByTrust
from services.models.catalog.listings import ListedFacts, with_listed_facts
from services.models.custom_models import rows
from services.models.custom_models.memory import RegisteredModels
from services.models.custom_models.name_rules import NameRules
from services.models.custom_models.registration import build_registered_model, endpoint_fields
from services.models.custom_models.rows import Row
from services.models.health.monitor import HealthMonitor
from services.models.health.probes import ModelProbe
from services.models.health.results import HEALTHY, UNKNOWN
from services.models.transport.egress import EndpointPolicy
from services.models.validation.fields import shorten, suggest
from services.shared.database import Database
from services.shared.errors import InvalidRequest, NotFound, PreconditionFailed
from services.shared.ordered_names import OrderedNames
from services.shared.page_tokens import Text, read_page_size, read_page_token
from services.shared.paging import cut_page
from services.shared.serial_writes import SerialWrites
from services.shared.storage_errors import retried

REPLACED = "REPLACED"
"""The code of the notice that an earlier definition was replaced."""


MODELS_AT_ONCE = 100
"""Models that are looked at before other tasks can run."""


class ModelRegistry:
    """The registered models. Await `load` at each change of the database; before the first load, no model is known.

    `name_rules` decides which names they may take, `endpoints` where their servers may be, and `credentials` which keys
    they may name.
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
        self._memory = RegisteredModels(database, lambda model: monitor.watch(*self._probes(model)), monitor.forget)

    # -------------------------------------------------------------------------------------------------- reads

    async def load(self) -> None:
        """Applies the changes of the database to memory, and begins to probe new models."""
        await self._memory.load()

    def require_loaded(self) -> None:
        """Raises Unavailable before the first load: until then no registered model is known."""
        self._memory.require_loaded()

    @property
    def names(self) -> OrderedNames:
        """The names of the registered models, without aliases."""
        return self._memory.names

    def find(self, name: str) -> RegisteredModel | None:
        """The model that this name or alias stands for. Not to be changed; `status` and `overrides_builtin` are
        empty."""
        model = self._memory.find(name)
        return model if model and self._name_rules.serves(model, name) else None

    def other_owner(self, name: str) -> str:
        """The model or alias that would have the name if no model were registered, as a phrase; empty if there is
        none."""
        return self._name_rules.other_owner(name)

    async def list(
        self, request: models_pb2.ListRegisteredModelsRequest, allowed: AllowedModels = EVERY_MODEL
    ) -> models_pb2.ListRegisteredModelsResponse:
        """A page of the registered models that a caller may call, in the order of their names. Raises Unavailable
        before the first load."""
        self.require_loaded()
        after, count = read_page_token(request, Text), read_page_size(request) + 1
        found: list[RegisteredModel] = []
        while names := tuple(islice(self.names.after(after), MODELS_AT_ONCE)):
            after = names[-1]
            models = filter(None, map(self._memory.find, names))
            shown = (model for model in models if allowed.has((*names_of(model), *model.aliases)))
            found += islice(shown, count - len(found))
            if len(found) == count:
                break
            await asyncio.sleep(0)
        page = cut_page(((model.name, self._describe_newest(model)) for model in found), request)
        return models_pb2.ListRegisteredModelsResponse(models=page.entries, next_page_token=page.next_page_token)

    async def check(self, model: RegisteredModel) -> models_pb2.ModelStatus:
        """The fresh status of a model that `find` has found."""
        return await self._monitor.check(*self._probes(model))

    def is_unhealthy(self, model: RegisteredModel, endpoint: str) -> bool:
        """Whether the newest probe calls an endpoint of a model unhealthy."""
        return self._monitor.is_unhealthy(model.name, endpoint)

    def capabilities(self, model: RegisteredModel) -> models_pb2.ModelCapabilities:
        """The capabilities of a model by its registration, completed from its server's list."""
        return with_listed_facts(model.capabilities, self._monitor.listed_facts(model.name))

    # ------------------------------------------------------------------------------------------------- writes

    async def register(
        self, request: models_pb2.RegisterModelRequest, *, by_stranger: bool = False
    ) -> models_pb2.RegisterModelResponse:
        """Registers a model; a different definition of a registered name replaces it at once.

        The model is probed before the response. One whose server is down is registered all the same; the response's
        status and warnings say so. Raises InvalidRequest naming every field that is wrong, or ENDPOINT_NOT_ALLOWED,
        what `NameRules.check` raises, and AlreadyExists when the name or an alias leads to another model.
        """
        definition = build_registered_model(request, self._credentials, by_stranger=by_stranger)
        await self._check_endpoints(request, definition)
        try:
            if request.validate_only:
                return await self._validate(definition)
            model, replaced = await self._writes.run(self._store(definition))
        except PreconditionFailed as refusal:
            await self._add_endpoint_status(definition, refusal)
            raise
        status = await self.check(model)
        created = replaced is None or replaced != model
        response = self._response(model, status, self._monitor.listed_facts(model.name))
        response.created = created
        if created and replaced:
            response.warnings.append(_replaced_warning(model))
        return response

    async def deregister(
        self, request: models_pb2.DeregisterModelRequest, *, by_stranger: bool = False
    ) -> models_pb2.DeregisterModelResponse:
        """Removes a model. Running calls to it are completed.

        Raises NotFound, also for an alias, and PreconditionFailed NAME_TAKEN for strangers.
        """
        if not request.name:
            raise InvalidRequest.field("name", "is required")
        if not self._name_rules.may_override(by_stranger):
            await self._refuse_removal(request.name)
        await self._writes.run(self._remove(request.name))
        return models_pb2.DeregisterModelResponse(builtin_restored=self._name_rules.is_built_in(request.name))

    async def _validate(self, definition: RegisteredModel) -> models_pb2.RegisterModelResponse:
        self._memory.check_limits(definition)
        async with self._database.read() as connection:
            before = await rows.read_row(connection, definition.name)
            if before is None or not before.equals(definition):
                self._name_rules.check(definition, replaces=before is not None)
                await rows.refuse_taken_names(connection, definition)
        status, listed = await self._monitor.inspect(*self._probes(definition))
        return self._response(definition, status, listed)

    async def _check_endpoints(self, request: models_pb2.RegisterModelRequest, definition: RegisteredModel) -> None:
        """Raises InvalidRequest ENDPOINT_NOT_ALLOWED naming every endpoint that may not be connected to."""
        policy = self._endpoints.of(definition.untrusted)
        checks = map(policy.registration_refusal, definition.endpoints, endpoint_fields(request))
        refusals = [*filter(None, await asyncio.gather(*checks))]
        if refusals:
            raise InvalidRequest(
                "; ".join(refusal.message for refusal in refusals),
                reason=refusals[0].reason,
                violations=[violation for refusal in refusals for violation in refusal.violations],
            )

    async def _store(self, model: RegisteredModel) -> tuple[RegisteredModel, RegisteredModel | None]:
        """Returns the model as it is now registered, and as it was before."""
        self._memory.check_limits(model)
        async with self._memory.changing():
            row, before = await self._write(model)
            self._memory.apply(row)
        return row.model(), before

    @retried
    async def _write(self, model: RegisteredModel) -> tuple[Row, RegisteredModel | None]:
        async with self._database.write() as connection:
            before = await rows.read_row(connection, model.name)
            if before and before.equals(model):
                return before, before.model()
            self._name_rules.check(model, replaces=before is not None)
            await rows.refuse_taken_names(connection, model)
            row = Row.of(model)
            await rows.replace_row(connection, row, model)
        return row, before.model() if before else None

    async def _remove(self, name: str) -> None:
        async with self._memory.changing():
            known = await self._delete(name)
            self._memory.remove(name)
        if not known:
            raise self._not_found(name)

    @retried
    async def _delete(self, name: str) -> bool:
        async with self._database.write() as connection:
            return await rows.delete_row(connection, name)

    async def _refuse_removal(self, name: str) -> NoReturn:
        async with self._database.read() as connection:
            known = await rows.read_row(connection, name)
        raise self._name_rules.name_taken_error(name) if known else self._not_found(name)

    def _not_found(self, name: str) -> NotFound:
        shown = shorten(name)
        owner = self._memory.owner_of(name)
        hint = f"; it is an alias of {owner}" if owner else suggest(shown, self.names)
        return NotFound(f"no model is registered as {shown}{hint}", reason="MODEL_NOT_FOUND", metadata={"model": shown})

    # ------------------------------------------------------------------------------------------- descriptions

    def _probes(self, model: RegisteredModel) -> Sequence[ModelProbe]:
        """The probes of all endpoints of a model."""
        return [ModelProbe(model, self._credentials, endpoint) for endpoint in model.endpoints]

    async def _add_endpoint_status(self, definition: RegisteredModel, refusal: PreconditionFailed) -> None:
        """Adds the status of the endpoints, so that a caller who must choose another name learns of both problems at
        once."""
        status, _ = await self._monitor.inspect(*self._probes(definition))
        refusal.metadata |= {"endpoint_status": status.status, "endpoint_reason": status.reason}

    def _response(
        self, model: RegisteredModel, status: models_pb2.ModelStatus, listed: ListedFacts | None
    ) -> models_pb2.RegisterModelResponse:
        return models_pb2.RegisterModelResponse(
            model=self._describe(model, status.status, listed),
            warnings=self._warnings(model, status),
            name=model.name,
            status=status.status,
            registered_at=model.registered_at,
        )

    def _describe_newest(self, model: RegisteredModel) -> RegisteredModel:
        status = self._monitor.newest(model.name)
        return self._describe(model, status.status if status else UNKNOWN, self._monitor.listed_facts(model.name))

    def _describe(self, model: RegisteredModel, status: str, listed: ListedFacts | None) -> RegisteredModel:
        """The model as returned to callers."""
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
        if len(model.endpoints) == 1 and status.status != HEALTHY:
            yield models_pb2.Notice(code=status.reason, field="endpoint", message=status.message)
            return
        for index, endpoint in enumerate(status.endpoints):
            if endpoint.status != HEALTHY:
                field = f"endpoints[{index}]"
                yield models_pb2.Notice(code=endpoint.reason, field=field, message=endpoint.message)


def names_of(model: RegisteredModel) -> Sequence[str]:
    """The names by which the patterns of a key may mean a model, without its aliases. A stranger may claim any provider
    for its model, so that counts for those of the operator's only."""
    return (model.name,) if model.untrusted else (model.name, f"{model.provider}/{model.upstream_model}")


def _replaced_warning(model: RegisteredModel) -> models_pb2.Notice:
    message = f"another definition of {model.name} was replaced by this one"
    return models_pb2.Notice(code=REPLACED, field="name", message=message)
