"""What models there are, what they can do, and how they are: the registered ones and the built-in ones as one list."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from proto import models_pb2
from services.models.catalogue import AS_OF, BUILT_IN_MODELS, BuiltInModel, Vendor, facts_for
from services.models.checks import refuse
from services.models.model_registry import ModelRegistry
from services.models.paging import cut_page
from services.models.probes import ProviderProbe
from services.models.provider_registry import KEY_VARIABLES, ProviderRegistry
from services.models.routing import Router, Today, today_utc
from services.models.status_board import StatusBoard
from services.models.validation import check_model_name


class ModelDirectory:
    """Answers the questions about models. A registered model hides a built-in one of its name."""

    def __init__(
        self,
        providers: ProviderRegistry,
        models: ModelRegistry,
        router: Router,
        board: StatusBoard,
        today: Today = today_utc,
    ) -> None:
        self._providers = providers
        self._models = models
        self._router = router
        self._board = board
        self._today = today

    def list(self, request: models_pb2.ListModelsRequest) -> models_pb2.ListModelsResponse:
        """A page of all models, in the order of their names."""
        entries = sorted((info.name, info) for info in self._infos() if request.provider in ("", info.provider))
        page = cut_page(entries, request)
        return models_pb2.ListModelsResponse(models=page.entries, next_page_token=page.next_page_token)

    def capabilities(self, request: models_pb2.GetCapabilitiesRequest) -> models_pb2.ModelCapabilities:
        """What a model can do, as far as known. Raises NotFound with the nearest names."""
        refuse(check_model_name("model", request.model))
        registered = self._models.find(request.model)
        if registered:
            return self._models.capabilities(registered)
        built_in = BUILT_IN_MODELS.get(request.model)
        if built_in:
            return built_in.capabilities(self._today())
        vendor, model_id = self._router.vendor_id(request.model)
        return _vendor_capabilities(vendor, model_id)

    async def status(self, request: models_pb2.GetModelStatusRequest) -> models_pb2.ModelStatus:
        """How a model is, freshly probed. Raises NotFound with the nearest names."""
        refuse(check_model_name("name", request.name))
        registered = self._models.find(request.name)
        if registered:
            return await self._models.check(registered)
        built_in = BUILT_IN_MODELS.get(request.name)
        if built_in:
            return await self._vendor_status(request.name, built_in.vendor, built_in.served_id(self._today()))
        return await self._vendor_status(request.name, *self._router.vendor_id(request.name))

    async def _vendor_status(self, name: str, vendor: Vendor, model_id: str) -> models_pb2.ModelStatus:
        provider = self._providers.find(vendor)
        probe = ProviderProbe(
            model=name,
            # The id is the caller's: it may not lead to another path of the provider.
            url=f"{provider.endpoint}/models/{quote(model_id, safe='')}" if provider else "",
            headers=provider.headers if provider else None,
            variable=KEY_VARIABLES[vendor],
        )
        return await self._board.check(probe)

    def _infos(self) -> Iterator[models_pb2.ModelInfo]:
        registered = {name: model for name in self._models.names() if (model := self._models.find(name))}
        for model in registered.values():
            yield models_pb2.ModelInfo(
                name=model.name,
                provider=model.provider,
                capabilities=self._models.capabilities(model),
                aliases=model.aliases,
                source=models_pb2.MODEL_SOURCE_REGISTERED,
                configured=True,
            )
        for built_in in BUILT_IN_MODELS.values():
            if built_in.name not in registered:
                yield self._built_in_info(built_in)

    def _built_in_info(self, model: BuiltInModel) -> models_pb2.ModelInfo:
        return models_pb2.ModelInfo(
            name=model.name,
            provider=model.vendor,
            capabilities=model.capabilities(self._today()),
            source=models_pb2.MODEL_SOURCE_BUILT_IN,
            configured=self._providers.find(model.vendor) is not None,
        )


def _vendor_capabilities(vendor: Vendor, model_id: str) -> models_pb2.ModelCapabilities:
    """Of an id that the catalogue does not list only its family's parameters are known."""
    return models_pb2.ModelCapabilities(
        supports_streaming=True,
        unsupported_parameters=sorted(facts_for(vendor, model_id).unsupported),
        source="catalogue",
        as_of=AS_OF,
    )
