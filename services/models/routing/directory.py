"""The ModelDirectory: the list of all models, their capabilities and their status."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from urllib.parse import quote

from proto import models_pb2
from proto.models_pb2 import RegisteredModel
from services.models.access.allowed_models import EVERY_MODEL, AllowedModels
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_model import VendorModel
from services.models.catalog.vendors import is_vendor_host
from services.models.custom_models.model_registry import ModelRegistry
from services.models.health.monitor import HealthMonitor
from services.models.health.probes import ProviderProbe
from services.models.health.results import UNHEALTHY
from services.models.routing.all_models import AllModels, Model
from services.models.transport.api_roots import PROCESS_ROOTS
from services.models.transport.base_urls import is_plain_path
from services.models.validation.fields import raise_if_invalid
from services.models.validation.request import check_model_name
from services.shared.page_tokens import Text, read_page_size, read_page_token
from services.shared.paging import cut_page

MODELS_AT_ONCE = 100
"""Models that are looked at before other tasks can run."""


class ModelDirectory:
    """The calls that list and describe models."""

    def __init__(
        self, models: AllModels, registry: ModelRegistry, providers: ProviderRegistry, monitor: HealthMonitor
    ) -> None:
        self._models = models
        self._registry = registry
        self._providers = providers
        self._monitor = monitor

    async def list(
        self, request: models_pb2.ListModelsRequest, allowed: AllowedModels = EVERY_MODEL
    ) -> models_pb2.ListModelsResponse:
        """A page of all models that the caller may call, in the order of their names."""
        # Read once: reading a field copies its text, which may be long.
        wanted = request.provider
        after, count = read_page_token(request, Text), read_page_size(request) + 1
        found: list[tuple[str, models_pb2.ModelInfo]] = []
        while batch := tuple(islice(self._models.after(after), MODELS_AT_ONCE)):
            after = batch[-1].name
            entries = (
                (model.name, self._info(model, names))
                for model in batch
                if wanted in ("", _provider(model)) and (names := self._models.names_to_call(model, allowed))
            )
            found += islice(entries, count - len(found))
            if len(found) == count:
                break
            await asyncio.sleep(0)
        page = cut_page(found, request)
        return models_pb2.ListModelsResponse(models=page.entries, next_page_token=page.next_page_token)

    def capabilities(
        self, request: models_pb2.GetCapabilitiesRequest, allowed: AllowedModels = EVERY_MODEL
    ) -> models_pb2.ModelCapabilities:
        """The capabilities of a model, as far as known. Raises NotFound with the nearest names, and for a model that
        the caller may not call."""
        raise_if_invalid(check_model_name("model", request.model))
        return self._models.capabilities(self._models.find_shown(request.model, allowed))

    async def status(
        self,
        request: models_pb2.GetModelStatusRequest,
        allowed: AllowedModels = EVERY_MODEL,
        *,
        to_stranger: bool = False,
    ) -> models_pb2.ModelStatus:
        """The status of a model, freshly probed; strangers do not learn the operator's hosts from it. Raises NotFound
        with the nearest names, and for a model that the caller may not call."""
        raise_if_invalid(check_model_name("name", request.name))
        found = self._models.find_shown(request.name, allowed)
        if isinstance(found, RegisteredModel):
            status = await self._registry.check(found)
            is_hidden = to_stranger and not found.untrusted
        else:
            status = await self._vendor_status(request.name, found)
            is_hidden = to_stranger and not is_vendor_host(status.endpoint)
        if is_hidden:
            _hide_endpoints(status)
        return status

    async def _vendor_status(self, name: str, model: VendorModel) -> models_pb2.ModelStatus:
        provider = self._providers.find(model.vendor)
        answering = self._models.answering(model)
        # The id comes from the caller, and must not lead the provider's key to another path of its server.
        if not is_plain_path(f"/{answering.upstream}"):
            message = "no provider has a model whose id holds such characters, so none was asked"
            return models_pb2.ModelStatus(name=name, status=UNHEALTHY, reason="MODEL_NOT_SERVED", message=message)
        path = f"{model.vendor.adapter.listing.path}/{quote(answering.upstream, safe='')}"
        url, *others = [root + path for root in PROCESS_ROOTS.in_order(provider.api_roots)] if provider else [""]
        probe = ProviderProbe(
            model=name,
            url=url,
            other_urls=tuple(others),
            headers=provider.headers if provider else None,
            variable=model.vendor.key_variable,
        )
        return await self._monitor.check(probe)

    def _info(self, model: Model, names: Sequence[str]) -> models_pb2.ModelInfo:
        """The entry of a model in the list of a caller who may call it by these names."""
        return models_pb2.ModelInfo(
            name=model.name,
            provider=_provider(model),
            capabilities=self._models.capabilities(model),
            aliases=[name for name in names if name != model.name],
            source=model.source if isinstance(model, VendorModel) else models_pb2.MODEL_SOURCE_REGISTERED,
            configured=isinstance(model, RegisteredModel) or self._providers.find(model.vendor) is not None,
        )


def _hide_endpoints(status: models_pb2.ModelStatus) -> None:
    status.ClearField("endpoint")
    for index, state in enumerate(status.endpoints):
        status.message = status.message.replace(state.endpoint, f"endpoints[{index}]")
        state.ClearField("endpoint")


def _provider(model: Model) -> str:
    return model.vendor.name if isinstance(model, VendorModel) else model.provider
