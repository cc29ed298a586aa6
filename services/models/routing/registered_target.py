"""The target of a registered model: its endpoint, its key, and the facts of its adapter type and its registration."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Sequence

from proto import models_pb2
from services.models.access.credentials import Credentials
from services.models.catalog import prices
from services.models.catalog.vendor import AdapterType
from services.models.catalog.vendors import ADAPTER_TYPES, is_vendor_host
from services.models.providers.base import PricedUsage, Target
from services.models.providers.endpoints import Endpoint
from services.models.providers.facts import MEDIA_KINDS, MediaKind, ModelFacts
from services.shared.errors import PreconditionFailed


def registered_target(
    model: models_pb2.RegisteredModel,
    credentials: Credentials | None = None,
    warnings: Sequence[models_pb2.Notice] = (),
    *,
    with_secrets: bool = True,
    other_keys: Callable[[], Collection[str]] = list,
    at: str = "",
) -> Target:
    """The target of a call to a registered model, at its first endpoint or at another one (`at`). Without secrets its
    credential is not read.

    Raises PreconditionFailed when the credential is missing, or may not go to the endpoint.
    """
    adapter, stated = ADAPTER_TYPES[model.adapter_type], model.capabilities
    can_stream = stated.supports_streaming or not stated.HasField("supports_streaming")
    credentials = credentials or Credentials()
    at = at or model.endpoint
    endpoint, *other_roots = _roots(model, credentials, at)
    key = _key(model, credentials, at) if with_secrets else ""
    return Target(
        dialect=adapter.dialect,
        provider=model.provider,
        model=model.upstream_model,
        endpoint=endpoint,
        other_roots=other_roots,
        headers=adapter.headers(key),
        secrets=(key,) if key else (),
        facts=_facts(model, adapter),
        state_owner=_state_owner(model),
        default_options_json=model.default_options_json,
        streams_unary=can_stream and not adapter.stops_on_disconnect,
        can_stream=can_stream,
        price=_price(model.capabilities),
        warnings=warnings,
        source=models_pb2.MODEL_SOURCE_REGISTERED,
        registered_model=model.name,
        untrusted=model.untrusted,
        host_is_public=is_vendor_host(endpoint),
        other_keys=other_keys,
    )


def usable_endpoints(
    model: models_pb2.RegisteredModel, credentials: Credentials, is_unhealthy: Callable[[str], bool]
) -> list[Endpoint]:
    """The endpoints of a model to which its credential may be sent; the first one, if it may be sent to none."""
    urls = [url for url in model.endpoints if credentials.may_go_to(url, model)] or [model.endpoint]
    return [
        Endpoint(url, _roots(model, credentials, url)[0], model.upstream_model, is_unhealthy(url), model.untrusted)
        for url in urls
    ]


def _roots(model: models_pb2.RegisteredModel, credentials: Credentials, endpoint: str) -> Sequence[str]:
    return credentials.permitted_roots(model.credential, ADAPTER_TYPES[model.adapter_type].api_roots(endpoint))


def _price(capabilities: models_pb2.ModelCapabilities) -> Callable[[PricedUsage], int | None] | None:
    """The price in the registration; a vendor's price list is not valid for another server."""
    return prices.Tier.of(capabilities.prices).cost if capabilities.HasField("prices") else None


def _state_owner(model: models_pb2.RegisteredModel) -> str:
    """An identifier for the server of the first endpoint: models with the same one share its opaque state, and so do
    all endpoints of one model."""
    return f"{model.adapter_type}:{hashlib.sha256(model.endpoint.encode()).hexdigest()[:12]}"


def _key(model: models_pb2.RegisteredModel, credentials: Credentials, endpoint: str) -> str:
    try:
        return credentials.key_for(model, endpoint)
    except PreconditionFailed as problem:
        facts = {"model": model.name, **problem.metadata}
        raise PreconditionFailed(f"{model.name}: {problem.message}", reason=problem.reason, metadata=facts) from None


def _facts(model: models_pb2.RegisteredModel, adapter: AdapterType) -> ModelFacts:
    """The facts of the adapter type for such models, overridden by those of the registration."""
    facts, stated = adapter.facts(model.upstream_model), model.capabilities
    return dataclasses.replace(
        facts,
        unsupported=facts.unsupported.union(stated.unsupported_parameters),
        media=_media(facts.media, stated),
        tools=stated.supports_tools if stated.HasField("supports_tools") else facts.tools,
        json_schema=stated.supports_json_schema if stated.HasField("supports_json_schema") else facts.json_schema,
        can_reason=stated.supports_reasoning if stated.HasField("supports_reasoning") else facts.can_reason,
        max_output_tokens=stated.max_output_tokens if stated.HasField("max_output_tokens") else facts.max_output_tokens,
    )


def _media(known: frozenset[MediaKind] | None, stated: models_pb2.ModelCapabilities) -> frozenset[MediaKind] | None:
    """The kinds that the model reads. Whether it reads a kind that is not mentioned is left to its server."""
    fields: dict[MediaKind, str] = {
        "image": "supports_vision",
        "document": "supports_documents",
        "audio": "supports_audio",
    }
    states = {kind: bool(getattr(stated, field)) for kind, field in fields.items() if stated.HasField(field)}
    if known is None and all(states.values()):
        return None
    kept = MEDIA_KINDS if known is None else known
    return frozenset({kind for kind in kept if states.get(kind, True)} | {kind for kind in states if states[kind]})
