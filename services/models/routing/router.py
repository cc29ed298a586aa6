"""The Router: from the name in a request to the target of the call."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

from services.models.access.allowed_models import EVERY_MODEL, AllowedModels
from services.models.access.credentials import Credentials
from services.models.catalog import prices
from services.models.catalog.provider_registry import Provider, ProviderRegistry, preview
from services.models.catalog.vendor_model import VendorModel
from services.models.providers.base import Target
from services.models.providers.endpoints import Choose
from services.models.providers.timeouts import NO_TIMEOUTS, Timeouts
from services.models.routing.all_models import AllModels
from services.models.routing.registered_target import registered_target, usable_endpoints
from services.shared.errors import PreconditionFailed

RetiredPolicy = Literal["replace", "reject"]


class _Route(NamedTuple):
    """A target that is valid for one day: providers do not change, but the lifecycle of a model may."""

    model: VendorModel
    day: datetime.date
    target: Target


class Router:
    """Makes the targets of calls: of registered models, and of vendors' models at the configured providers."""

    def __init__(
        self,
        models: AllModels,
        providers: ProviderRegistry,
        credentials: Credentials,
        retired_policy: RetiredPolicy = "replace",
        timeouts: Mapping[str, Timeouts] | None = None,
        request_limits: Collection[str] = (),
    ) -> None:
        """`request_limits` are the models and providers whose requests in flight the operator bounds."""
        self._models = models
        self._providers = providers
        self._credentials = credentials
        self._retired_policy = retired_policy
        self._timeouts = timeouts or {}
        """The operator's timeouts, by providers and by models."""
        self._request_limits = request_limits
        self._routes: dict[str, _Route] = {}
        """The routes of models that are built in or listed; the number of other names is not bounded."""
        self._previews: dict[str, _Route] = {}
        """The same for previews: each call over HTTP looks who would be asked before it asks."""

    def resolve(
        self, name: str, choose: Choose, allowed: AllowedModels = EVERY_MODEL, *, for_preview: bool = False
    ) -> Target | None:
        """The target of a call to the model of this name. Where that has several endpoints, `choose` chooses one of
        them; None if it chooses none.

        Raises what `AllModels.find_allowed` raises, and PreconditionFailed when its provider or its credential is not
        set up. A preview works without a configured provider or credential, and its target has no secret.
        """
        found = self._models.find_allowed(name, allowed)
        if isinstance(found, VendorModel):
            return self._preview(name, found) if for_preview else self._vendor_target(name, found)
        endpoint = ""
        if len(found.endpoints) > 1:
            is_unhealthy = functools.partial(self._models.is_unhealthy, found)
            chosen = choose(usable_endpoints(found, self._credentials, is_unhealthy))
            if chosen is None:
                return None
            endpoint = chosen.url
        target = registered_target(
            found,
            self._credentials,
            self._models.warnings(name, found),
            with_secrets=not for_preview,
            other_keys=self._keys,
            at=endpoint,
        )
        return self._bounded(target, found.name)

    def _vendor_target(self, name: str, model: VendorModel) -> Target:
        today = self._models.today()
        known = self._routes.get(model.name)
        if known and known.model is model and known.day == today:
            return known.target
        provider = self._providers.get(model.vendor, model.name)
        target = self._bounded(self._target(name, provider, model, today), model.name)
        self._keep(self._routes, _Route(model, today, target))
        return target

    def _preview(self, name: str, model: VendorModel) -> Target:
        today = self._models.today()
        known = self._previews.get(model.name)
        if known and known.model is model and known.day == today:
            return known.target
        target = self._target(name, preview(model.vendor), model, today)
        self._keep(self._previews, _Route(model, today, target))
        return target

    def _keep(self, routes: dict[str, _Route], route: _Route) -> None:
        if self._models.is_known(route.model):
            routes[route.model.name] = route

    def _target(self, name: str, provider: Provider, model: VendorModel, today: datetime.date) -> Target:
        answering = self._models.answering(model)
        self._refuse_retired(model, answering, today)
        period = prices.period_on(model.vendor, answering.upstream, today)
        return provider.target(
            answering.upstream,
            dataclasses.replace(answering.facts, max_output_tokens=answering.max_output_tokens),
            period.cost if period else None,
            self._models.warnings(name, model),
            answering.source,
            self._keys,
        )

    def _bounded(self, target: Target, model: str) -> Target:
        """The target with the operator's limits for its model and its provider; the model's own timeouts win."""
        if not self._timeouts and not self._request_limits:
            return target
        names = dict.fromkeys((model, target.provider))
        of_model, of_provider = (self._timeouts.get(name, NO_TIMEOUTS) for name in (model, target.provider))
        limited_by = tuple(name for name in names if name in self._request_limits)
        return dataclasses.replace(target, timeouts=of_model.over(of_provider), limited_by=limited_by)

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
