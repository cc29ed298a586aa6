"""The service for registrations: trust decides what a caller may register and learn, and the log names the caller."""

from __future__ import annotations

from proto import models_pb2
from services.models.access.allowed_models import allowed_models
from services.models.access.credentials import source_of
from services.models.access.trust import TrustPolicy, check_may_set_rates
from services.models.custom_models.model_registry import REPLACED, ModelRegistry
from services.models.transport.base_urls import redact_url
from services.models.validation.fields import shorten
from services.models.validation.limits import MAX_ALIASES, MAX_ENDPOINTS
from services.shared.call import Call


class RegistrationService:
    """The calls of the ModelRegistry. Each raises what the registry raises, and `register` PermissionDenied for rates
    that a key without the scope of administrators states."""

    def __init__(self, models: ModelRegistry, trust: TrustPolicy) -> None:
        self._models = models
        self._trust = trust

    async def register(self, request: models_pb2.RegisterModelRequest, call: Call) -> models_pb2.RegisterModelResponse:
        by_stranger = self._trust.is_stranger(call)
        call.log_fields.update(caller=call.caller, untrusted=by_stranger, **_log_fields(request))
        if request.capabilities.HasField("prices"):
            check_may_set_rates(call, "capabilities.prices")
        response = await self._models.register(request, by_stranger=by_stranger)
        call.log_fields["outcome"] = _outcome(request, response)
        return response

    async def deregister(
        self, request: models_pb2.DeregisterModelRequest, call: Call
    ) -> models_pb2.DeregisterModelResponse:
        by_stranger = self._trust.is_stranger(call)
        call.log_fields.update(caller=call.caller, model=shorten(request.name), untrusted=by_stranger)
        response = await self._models.deregister(request, by_stranger=by_stranger)
        call.log_fields["outcome"] = "removed"
        return response

    async def list(
        self, request: models_pb2.ListRegisteredModelsRequest, call: Call
    ) -> models_pb2.ListRegisteredModelsResponse:
        """A page of the registered models that the caller may call. Strangers do not learn where the operator's are,
        and what their key is."""
        response = await self._models.list(request, allowed_models(call))
        if self._trust.is_stranger(call):
            for model in response.models:
                if not model.untrusted:
                    _hide_server(model)
        return response


def _hide_server(model: models_pb2.RegisteredModel) -> None:
    for field in ("endpoint", "endpoints", "credential"):
        model.ClearField(field)


def _log_fields(request: models_pb2.RegisterModelRequest) -> dict[str, object]:
    """The log fields of a registration, whether refused or not. None of them is a secret."""
    fields: dict[str, object] = {
        "model": shorten(request.name),
        "endpoint": redact_url(request.endpoint) if request.endpoint or not request.endpoints else "",
        "endpoints": [redact_url(endpoint) for endpoint in request.endpoints[:MAX_ENDPOINTS]],
        "adapter": shorten(request.adapter_type),
        "credential": source_of(request.credential),
        "aliases": [shorten(alias) for alias in request.aliases[:MAX_ALIASES]],
        "validate_only": request.validate_only,
    }
    return {name: field for name, field in fields.items() if field}


def _outcome(request: models_pb2.RegisterModelRequest, response: models_pb2.RegisterModelResponse) -> str:
    if request.validate_only:
        return "validated"
    if not response.created:
        return "unchanged"
    return "replaced" if any(warning.code == REPLACED for warning in response.warnings) else "created"
