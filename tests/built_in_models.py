"""The vendors' models that the platform knows by name, before any vendor has listed its own."""

from __future__ import annotations

from collections.abc import Mapping

from services.models.catalog.vendor_model import VendorModel
from services.models.catalog.vendor_models import VendorModels

_models = VendorModels()

BUILT_IN: Mapping[str, VendorModel] = {name: model for name in _models.names if (model := _models.find(name))}
CHAT_MODELS: Mapping[str, VendorModel] = {name: model for name, model in BUILT_IN.items() if model.facts.kind == "chat"}
