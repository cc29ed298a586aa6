"""What models there are, what they can do, and how they are: the registered ones and the vendors' as one list."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from proto import models_pb2
from services.models.aliases import aliases_of
from services.models.base_urls import is_plain_path
from services.models.checks import refuse
from services.models.model_registry import ModelRegistry
from services.models.paging import cut_page
from services.models.probes import UNHEALTHY, ProviderProbe
from services.models.provider_registry import KEY_VARIABLES, ProviderRegistry
from services.models.routing import Router, Today, today_utc
from services.models.status_board import StatusBoard
from services.models.validation import check_model_name
from services.models.vendor_models import VendorModel, VendorModels


class ModelDirectory:
    """Answers the questions about models. A registered model hides a vendor's of its name, and so does an alias."""

    def __init__(
        self,
        providers: ProviderRegistry,
        models: ModelRegistry,
        vendor_models: VendorModels,
        router: Router,
        board: StatusBoard,
        aliases: Mapping[str, str],
        today: Today = today_utc,
    ) -> None:
        self._providers = providers
        self._models = models
        self._vendor_models = vendor_models
        self._router = router
        self._board = board
        self._aliases = aliases
        self._today = today

    def list(self, request: models_pb2.ListModelsRequest) -> models_pb2.ListModelsResponse:
        """A page of all models, in the order of their names."""
        entries = sorted((info.name, info) for info in self._infos() if request.provider in ("", info.provider))
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
        model_id = quote(answering.upstream, safe="")
        probe = ProviderProbe(
            model=name,
            url=f"{provider.endpoint}/models/{model_id}" if provider else "",
            headers=provider.headers if provider else None,
            variable=KEY_VARIABLES[model.vendor],
        )
        return await self._board.check(probe)

    def _infos(self) -> Iterator[models_pb2.ModelInfo]:
        registered = {name: model for name in self._models.names() if (model := self._models.find(name))}
        for model in registered.values():
            yield models_pb2.ModelInfo(
                name=model.name,
                provider=model.provider,
                capabilities=self._models.capabilities(model),
                aliases=[*model.aliases, *self._operators_aliases(model.name)],
                source=models_pb2.MODEL_SOURCE_REGISTERED,
                configured=True,
            )
        for listed in self._vendor_models.listed():
            if not self._is_hidden(listed.name):
                yield self._vendor_info(listed)
        yield from self._meant_by_aliases()

    def _is_hidden(self, name: str) -> bool:
        return name in self._aliases or self._models.find(name) is not None

    def _meant_by_aliases(self) -> Iterator[models_pb2.ModelInfo]:
        """Models that can be called and are listed nowhere, under what the operator calls them."""
        listed = {name for model in self._vendor_models.listed() for name in (model.name, _pinned(model))}
        for name in sorted(set(self._aliases.values()) - listed):
            found = self._router.look_up(name)
            if isinstance(found, VendorModel):
                yield self._vendor_info(dataclasses.replace(found, name=name))

    def _vendor_info(self, model: VendorModel) -> models_pb2.ModelInfo:
        return models_pb2.ModelInfo(
            name=model.name,
            provider=model.vendor,
            capabilities=self._vendor_models.capabilities(model, self._today()),
            aliases=sorted({*self._operators_aliases(model.name), *self._operators_aliases(_pinned(model))}),
            source=model.source,
            configured=self._providers.find(model.vendor) is not None,
        )

    def _operators_aliases(self, model: str) -> Iterator[str]:
        return (alias for alias in aliases_of(model, self._aliases) if not self._models.find(alias))


def _pinned(model: VendorModel) -> str:
    return f"{model.vendor}/{model.upstream}"
