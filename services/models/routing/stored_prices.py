"""The prices of today, for calls of any day that the ledger has without a price."""

from __future__ import annotations

import datetime

from proto import models_pb2
from services.models.catalog import prices
from services.models.catalog.vendors import VENDORS
from services.models.custom_models.model_registry import ModelRegistry


class StoredPrices:
    """The price list and the rates of the registrations, as they are now."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    @property
    def name(self) -> str:
        """The name and version of the price list."""
        return prices.list_name()

    def require_loaded(self) -> None:
        """Raises Unavailable while the registered models are not known yet."""
        self._registry.require_loaded()

    def listed(self, provider: str, model_id: str, day: datetime.date, usage: models_pb2.TokenUsage) -> int | None:
        """The cost at a vendor in nano-USD, by the rates that today's list has for the day of the call."""
        vendor = VENDORS.get(provider)
        period = prices.period_on(vendor, model_id, day) if vendor else None
        return period.cost(usage) if period else None

    def registered(self, name: str, provider: str, usage: models_pb2.TokenUsage) -> int | None:
        """The cost in nano-USD by the registration of a name, if that still has the same provider."""
        model = self._registry.find(name)
        if model is None or (model.name, model.provider) != (name, provider):
            return None
        stated = model.capabilities
        return prices.Tier.of(stated.prices).cost(usage) if stated.HasField("prices") else None
