"""What models there are, what they can do, and how they are: the registered ones and the vendors' as one list."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from urllib.parse import quote

from proto import models_pb2
from services.models.catalog.lifecycle import Today, today_utc
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_model import VendorModel
from services.models.catalog.vendor_models import VendorModels
from services.models.custom_models.model_registry import ModelRegistry
from services.models.health.monitor import HealthMonitor
from services.models.health.probes import ProviderProbe
from services.models.health.results import UNHEALTHY
from services.models.routing.aliases import by_model
from services.models.routing.router import Router
from services.models.transport.api_roots import PROCESS_ROOTS
from services.models.transport.base_urls import is_plain_path
from services.models.validation.fields import refuse
from services.models.validation.request import check_model_name
from services.shared.page_tokens import Text, read_page_token
from services.shared.paging import cut_page

Model = models_pb2.RegisteredModel | VendorModel


class ModelDirectory:
    """Answers the questions about models. A registered model hides a vendor's of its name, and so does an alias."""

    def __init__(
        self,
        providers: ProviderRegistry,
        models: ModelRegistry,
        vendor_models: VendorModels,
        router: Router,
        monitor: HealthMonitor,
        aliases: Mapping[str, str],
        today: Today = today_utc,
    ) -> None:
        self._providers = providers
        self._models = models
        self._vendor_models = vendor_models
        self._router = router
        self._monitor = monitor
        self._aliases = aliases
        self._aliases_by_model = by_model(aliases)
        self._today = today

    def list(self, request: models_pb2.ListModelsRequest) -> models_pb2.ListModelsResponse:
        """A page of all models, in the order of their names."""
        # Once: to read a field copies its text, which may be long.
        wanted = request.provider
        models = self._behind(read_page_token(request, Text))
        entries = ((model.name, self._info(model)) for model in models if wanted in ("", _provider(model)))
        page = cut_page(entries, request)
        return models_pb2.ListModelsResponse(models=page.entries, next_page_token=page.next_page_token)

    def capabilities(self, request: models_pb2.GetCapabilitiesRequest) -> models_pb2.ModelCapabilities:
        """What a model can do, as far as known. Raises NotFound with the nearest names."""
        refuse(check_model_name("model", request.model))
        found = self._router.find(request.model)
        if isinstance(found, models_pb2.RegisteredModel):
            return self._models.capabilities(found)
        return self._vendor_models.capabilities(found, self._today())

    async def status(self, request: models_pb2.GetModelStatusRequest) -> models_pb2.ModelStatus:
        """How a model is, freshly probed. Raises NotFound with the nearest names."""
        refuse(check_model_name("name", request.name))
        found = self._router.find(request.name)
        if isinstance(found, models_pb2.RegisteredModel):
            return await self._models.check(found)
        return await self._vendor_status(request.name, found)

    async def _vendor_status(self, name: str, model: VendorModel) -> models_pb2.ModelStatus:
        provider = self._providers.find(model.vendor)
        answering = self._vendor_models.answering(model, self._today())
        # The id is the caller's: the provider's key may not go to another path of its server, however that reads it.
        if not is_plain_path(f"/{answering.upstream}"):
            message = "no provider has a model whose id holds such characters, so none was asked"
            return models_pb2.ModelStatus(name=name, status=UNHEALTHY, reason="MODEL_NOT_SERVED", message=message)
        path = f"{model.vendor.adapter.listing.path}/{quote(answering.upstream, safe='')}"
        url, *others = [place + path for place in PROCESS_ROOTS.in_order(provider.api_roots)] if provider else [""]
        probe = ProviderProbe(
            model=name,
            url=url,
            other_urls=tuple(others),
            headers=provider.headers if provider else None,
            variable=model.vendor.key_variable,
        )
        return await self._monitor.check(probe)

    def _behind(self, name: str | None) -> Iterator[Model]:
        """All models behind a name, in the order of their names."""
        return heapq.merge(
            self._registered(name), self._listed(name), self._meant_by_aliases(name), key=attrgetter("name")
        )

    def _registered(self, after: str | None) -> Iterator[Model]:
        return (model for name in self._models.names().after(after) if (model := self._models.find(name)))

    def _listed(self, after: str | None) -> Iterator[Model]:
        for name in self._vendor_models.names.after(after):
            model = self._vendor_models.find(name)
            if model and name not in self._aliases and self._models.find(name) is None:
                yield model

    def _meant_by_aliases(self, after: str | None) -> Iterator[Model]:
        """Models that can be called and are listed nowhere, under what the operator calls them."""
        for name in sorted(self._aliases_by_model):
            if (after is None or name > after) and not self._vendor_models.lists(name):
                found = self._router.look_up(name)
                if isinstance(found, VendorModel):
                    yield dataclasses.replace(found, name=name)

    def _info(self, model: Model) -> models_pb2.ModelInfo:
        if isinstance(model, VendorModel):
            return self._vendor_info(model)
        return models_pb2.ModelInfo(
            name=model.name,
            provider=model.provider,
            capabilities=self._models.capabilities(model),
            aliases=[*model.aliases, *self._operators_aliases(model.name)],
            source=models_pb2.MODEL_SOURCE_REGISTERED,
            configured=True,
        )

    def _vendor_info(self, model: VendorModel) -> models_pb2.ModelInfo:
        return models_pb2.ModelInfo(
            name=model.name,
            provider=model.vendor.name,
            capabilities=self._vendor_models.capabilities(model, self._today()),
            aliases=sorted({*self._operators_aliases(model.name), *self._operators_aliases(model.pinned_name)}),
            source=model.source,
            configured=self._providers.find(model.vendor) is not None,
        )

    def _operators_aliases(self, model: str) -> Sequence[str]:
        return [alias for alias in self._aliases_by_model.get(model, ()) if not self._models.find(alias)]


def _provider(model: Model) -> str:
    return model.vendor.name if isinstance(model, VendorModel) else model.provider
