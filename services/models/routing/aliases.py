"""Aliases, the operator's own names of models: MODELS_ALIASES="fast=gpt-4o-mini,smart=anthropic/claude-opus-5-5"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.models.catalog.vendor_models import VendorModels
from services.models.custom_models.model_registry import ModelRegistry
from services.models.validation.request import check_model_name
from services.shared.errors import StartupError
from services.shared.logs import Log

SETTING = "MODELS_ALIASES"


def read_aliases(text: str, vendor_models: VendorModels) -> Mapping[str, str]:
    """The model that each alias stands for. Raises StartupError.

    The model need not be there at the start: it may be registered later.
    """
    aliases: dict[str, str] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        alias, equals, model = (part.strip() for part in entry.partition("="))
        if not equals or _is_no_name(alias) or _is_no_name(model):
            raise StartupError(f"{SETTING}: each entry must be alias=model, with commas between them")
        if vendor_models.named_vendor(alias):
            raise StartupError(f"{SETTING}: {alias} would hide a model of that provider; choose a name without it")
        if alias in aliases:
            raise StartupError(f"{SETTING}: {alias} is there twice; leave one of them")
        aliases[alias] = model
    _refuse_chains(aliases)
    return aliases


def by_model(aliases: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    """The aliases that stand for each model, in their order."""
    found: dict[str, list[str]] = {}
    for alias, model in sorted(aliases.items()):
        found.setdefault(model, []).append(alias)
    return found


def log_hidden(aliases: Mapping[str, str], registry: ModelRegistry, vendor_models: VendorModels, log: Log) -> None:
    """Logs which aliases hide a built-in model, and which are hidden themselves by a registered model."""
    for alias, model in aliases.items():
        if registry.find(alias):
            log.warning("alias is hidden by a registered model", alias=alias)
        elif vendor_models.is_built_in(alias):
            log.warning("alias hides a built-in model", alias=alias, model=model)


def _is_no_name(name: str) -> bool:
    return any(check_model_name(SETTING, name))


def _refuse_chains(aliases: Mapping[str, str]) -> None:
    for alias, model in aliases.items():
        if model in aliases:
            raise StartupError(f"{SETTING}: {alias} stands for {model}, which is an alias itself; name its model")
