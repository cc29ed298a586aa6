"""From the name in a request to where the call goes."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from proto import models_pb2
from services.models.access.credentials import Credentials
from services.models.catalog import prices
from services.models.catalog.lifecycle import Today, today_utc
from services.models.catalog.provider_registry import Provider, ProviderRegistry, preview
from services.models.catalog.vendor import AdapterType
from services.models.catalog.vendor_model import VendorModel
from services.models.catalog.vendor_models import VendorModels
from services.models.catalog.vendors import ADAPTER_TYPES, is_vendor_host
from services.models.custom_models.model_registry import ModelRegistry
from services.models.providers.base import Target
from services.models.providers.facts import MEDIA_KINDS, MediaKind, ModelFacts
from services.models.validation.fields import shorten, suggest
from services.shared.errors import NotFound, PreconditionFailed
from services.shared.ordered_names import OrderedNames


class _Route(NamedTuple):
    """A target that was found before, and when: providers do not change, but lifecycles do by the day."""

    model: VendorModel
    day: datetime.date
    target: Target


class Router:
    """Finds the target of a name. In this order: a registered model, an alias of the operator's, a model that is built
    in or that a vendor lists, `provider/id`, what is plainly a vendor's id.
    """

    def __init__(
        self,
        providers: ProviderRegistry,
        models: ModelRegistry,
        vendor_models: VendorModels,
        retired_policy: Literal["replace", "reject"],
        credentials: Credentials,
        aliases: Mapping[str, str],
        today: Today = today_utc,
    ) -> None:
        self._providers = providers
        self._models = models
        self._vendor_models = vendor_models
        self._retired_policy = retired_policy
        self._credentials = credentials
        self._aliases = aliases
        self._alias_names = OrderedNames(aliases)
        self._today = today
        self._routes: dict[str, _Route] = {}
        """Of the names that are listed; all others have no end."""

    def resolve(self, name: str, *, for_preview: bool = False) -> Target:
        """Where a call goes. Raises what `find` raises, and PreconditionFailed when what serves it is not set up.

        For a preview nothing needs to be set up, and nothing secret is in the target.
        """
        found = self.find(name)
        if isinstance(found, models_pb2.RegisteredModel):
            warnings = self._hiding_warnings(name, found)
            return registered_target(
                found, self._credentials, warnings, with_secrets=not for_preview, other_keys=self._keys
            )
        return self._preview(found) if for_preview else self._vendor_target(found)

    def find(self, name: str) -> models_pb2.RegisteredModel | VendorModel:
        """The model that a name stands for.

        Raises NotFound with the nearest names, or Unavailable while the registered models are not known yet.
        """
        found = self.look_up(name)
        if found:
            return found
        self._models.require_loaded()
        raise self._not_found(name)

    def look_up(self, name: str) -> models_pb2.RegisteredModel | VendorModel | None:
        """The model that a name stands for now, or None."""
        registered = self._models.find(name)
        if registered:
            return registered
        meant = self._aliases.get(name)
        if meant is None:
            return self._vendor_models.look_up(name)
        return self._models.find(meant) or self._vendor_models.look_up(meant)

    def _hiding_warnings(self, name: str, served: models_pb2.RegisteredModel) -> Sequence[models_pb2.Notice]:
        """Tells the caller of a name that leads to a registered model, and without that to another one."""
        asked = name if self._models.find(name) else self._aliases[name]
        hidden = self._models.hidden_by(asked)
        if not hidden:
            return ()
        message = f"the registered model {served.name} answers in place of {hidden} called {asked}"
        return [models_pb2.Notice(code="REGISTERED_MODEL_SERVED", field="model", message=message)]

    def _not_found(self, name: str) -> NotFound:
        meant = self._aliases.get(name, name)
        hint = suggest(meant, self._vendor_models.names, self._alias_names, self._models.names())
        whose = f", which {shorten(name)} stands for" if meant != name else ""
        return NotFound(
            f'no model is called "{shorten(meant)}"{whose}{hint or "; ListModels lists them all"}',
            reason="MODEL_NOT_FOUND",
            metadata={"model": shorten(name)},
        )

    def _vendor_target(self, model: VendorModel) -> Target:
        today = self._today()
        known = self._routes.get(model.name)
        if known and known.model is model and known.day == today:
            return known.target
        target = self._target(self._providers.get(model.vendor, model.name), model, today)
        if self._vendor_models.find(model.name) is model:
            self._routes[model.name] = _Route(model, today, target)
        return target

    def _preview(self, model: VendorModel) -> Target:
        return self._target(preview(model.vendor), model, self._today())

    def _target(self, provider: Provider, model: VendorModel, today: datetime.date) -> Target:
        answering = self._vendor_models.answering(model, today)
        self._refuse_retired(model, answering, today)
        period = prices.period_on(model.vendor, answering.upstream, today)
        return provider.target(
            answering.upstream,
            dataclasses.replace(answering.facts, max_output_tokens=answering.max_output_tokens),
            period.cost if period else None,
            self._vendor_models.warnings(model, today),
            answering.source,
            self._keys,
        )

    def _keys(self) -> list[str]:
        """All keys of the platform."""
        return [*self._providers.keys(), *self._credentials.keys()]

    def _refuse_retired(self, model: VendorModel, answering: VendorModel, today: datetime.date) -> None:
        if self._retired_policy == "reject" and model.is_replaced(today):
            replacement = answering.upstream
            when = f" on {model.lifecycle.shutdown}" if model.lifecycle.shutdown else ""
            raise PreconditionFailed(
                f"{model.name} was retired by its vendor{when}; use {replacement}",
                reason="MODEL_RETIRED",
                metadata={"model": model.name, "replacement": replacement},
            )


def registered_target(
    model: models_pb2.RegisteredModel,
    credentials: Credentials | None = None,
    warnings: Sequence[models_pb2.Notice] = (),
    *,
    with_secrets: bool = True,
    other_keys: Callable[[], Collection[str]] = list,
) -> Target:
    """Where a call to a registered model goes. Raises PreconditionFailed when its credential is missing, or may not go
    there.

    Without secrets its credential is not read.
    """
    adapter, told = ADAPTER_TYPES[model.adapter_type], model.capabilities
    can_stream = told.supports_streaming or not told.HasField("supports_streaming")
    credentials = credentials or Credentials()
    endpoint, *other_roots = credentials.permitted_roots(model.credential, adapter.api_roots(model.endpoint))
    key = _key(model, credentials) if with_secrets else ""
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


def _price(capabilities: models_pb2.ModelCapabilities) -> Callable[[models_pb2.TokenUsage], int | None] | None:
    """What whoever registered the model says that it costs; a vendor's price list says nothing of another server."""
    return prices.Tier.of(capabilities.prices).cost if capabilities.HasField("prices") else None


def _state_owner(model: models_pb2.RegisteredModel) -> str:
    """A word for the server behind an endpoint: models that share one share what it signs, and nobody else does."""
    return f"{model.adapter_type}:{hashlib.sha256(model.endpoint.encode()).hexdigest()[:12]}"


def _key(model: models_pb2.RegisteredModel, credentials: Credentials) -> str:
    try:
        return credentials.key_for(model)
    except PreconditionFailed as problem:
        facts = {"model": model.name, **problem.metadata}
        raise PreconditionFailed(f"{model.name}: {problem.message}", reason=problem.reason, metadata=facts) from None


def _facts(model: models_pb2.RegisteredModel, adapter: AdapterType) -> ModelFacts:
    """The facts that the adapter type knows of such models, and those of the registration, which win."""
    facts, told = adapter.facts(model.upstream_model), model.capabilities
    return dataclasses.replace(
        facts,
        unsupported=facts.unsupported.union(told.unsupported_parameters),
        media=_media(facts.media, told),
        tools=told.supports_tools if told.HasField("supports_tools") else facts.tools,
        json_schema=told.supports_json_schema if told.HasField("supports_json_schema") else facts.json_schema,
        can_reason=told.supports_reasoning if told.HasField("supports_reasoning") else facts.can_reason,
        max_output_tokens=told.max_output_tokens if told.HasField("max_output_tokens") else facts.max_output_tokens,
    )


def _media(known: frozenset[MediaKind] | None, told: models_pb2.ModelCapabilities) -> frozenset[MediaKind] | None:
    """The kinds that the model reads. Of those that nobody speaks of its server judges."""
    fields: dict[MediaKind, str] = {
        "image": "supports_vision",
        "document": "supports_documents",
        "audio": "supports_audio",
    }
    said = {kind: bool(getattr(told, field)) for kind, field in fields.items() if told.HasField(field)}
    if known is None and all(said.values()):
        return None
    kept = MEDIA_KINDS if known is None else known
    return frozenset({kind for kind in kept if said.get(kind, True)} | {kind for kind in said if said[kind]})
