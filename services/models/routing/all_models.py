"""All models: the registered ones and the vendors', by the names that callers may write."""

from __future__ import annotations

import dataclasses
import datetime
import heapq
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TypeAlias

from proto import models_pb2
from proto.models_pb2 import RegisteredModel
from services.models.access.allowed_models import AllowedModels
from services.models.catalog.lifecycle import Today, today_utc
from services.models.catalog.vendor_model import VendorModel
from services.models.catalog.vendor_models import VendorModels
from services.models.custom_models.model_registry import ModelRegistry, names_of
from services.models.routing.aliases import by_model
from services.models.validation.fields import shorten, suggest
from services.shared.errors import NotFound
from services.shared.ordered_names import OrderedNames

Model: TypeAlias = RegisteredModel | VendorModel


class AllModels:
    """Finds the model that a name stands for. In this order: a registered model, an alias of the operator's, a model
    that is built in or that a vendor lists, `vendor/id`, an id that is plainly a vendor's.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        vendor_models: VendorModels,
        aliases: Mapping[str, str],
        today: Today = today_utc,
    ) -> None:
        self._registry = registry
        self._vendor_models = vendor_models
        self._aliases = aliases
        self._alias_names = OrderedNames(aliases)
        self._aliases_by_model = by_model(aliases)
        self._today = today

    def today(self) -> datetime.date:
        return self._today()

    def find(self, name: str) -> Model:
        """The model that a name stands for.

        Raises NotFound with the nearest names, or Unavailable while the registered models are not known yet.
        """
        found = self.look_up(name)
        if found:
            return found
        self._registry.require_loaded()
        raise self._not_found(name)

    def find_allowed(self, name: str, allowed: AllowedModels, field: str = "model") -> Model:
        """The same of a model that the caller may call. Raises PermissionDenied MODEL_NOT_ALLOWED for another one, and
        NotFound without the names of any."""
        if allowed.are_all:
            return self.find(name)
        found = self._find_in_silence(name)
        if allowed.has(self._callable_names(name, found)):
            return found
        why = ""
        if isinstance(found, VendorModel) and found.is_replaced(self._today()):
            why = f", which was retired, so that {self.answering(found).name} would answer"
        raise allowed.refusal(shorten(name), why, field)

    def find_shown(self, name: str, allowed: AllowedModels) -> Model:
        """The same of a model that the caller may know. Raises NotFound for another one, as if it did not exist."""
        if allowed.are_all:
            return self.find(name)
        found = self._find_in_silence(name)
        if allowed.has(self._callable_names(name, found)):
            return found
        self._registry.require_loaded()
        raise _not_found_in_silence(name)

    def may_call(self, name: str, allowed: AllowedModels) -> bool:
        """Whether there is a model of this name which the caller may call by it."""
        found = self.look_up(name)
        return found is not None and allowed.has(self._callable_names(name, found))

    def names_to_call(self, model: Model, allowed: AllowedModels) -> list[str]:
        """The names of a model by which a caller may call it, its own first if that is one of them."""
        names = [model.name, *self.aliases_of(model)]
        return names if allowed.are_all else [n for n in names if allowed.has(self._callable_names(n, model))]

    def _find_in_silence(self, name: str) -> Model:
        """The model that a name stands for, for callers who may not know all names. Raises NotFound without any."""
        found = self.look_up(name)
        if found:
            return found
        self._registry.require_loaded()
        raise _not_found_in_silence(name)

    def _callable_names(self, name: str, model: Model) -> Sequence[str]:
        """The names of which a caller must be allowed one, in order to call a model by this name: this one, and those
        of the model; of one that is replaced, those of the one that answers in its place."""
        if isinstance(model, VendorModel):
            if model.is_replaced(self._today()):
                replacement = self.answering(model)
                return replacement.name, replacement.pinned_name
            return name, model.name, model.pinned_name
        return name, *names_of(model)

    def look_up(self, name: str) -> Model | None:
        """The model that a name stands for now, or None."""
        registered = self._registry.find(name)
        if registered:
            return registered
        meant = self._aliases.get(name)
        if meant is None:
            return self._vendor_models.look_up(name)
        return self._registry.find(meant) or self._vendor_models.look_up(meant)

    def definition(self, name: str) -> str:
        """A text that changes when a name stands for another model, or for the same one at another server."""
        found = self.look_up(name)
        if found is None:
            return ""
        if isinstance(found, VendorModel):
            return f"{found.vendor.name}/{self.answering(found).upstream}"
        return found.SerializeToString(deterministic=True).decode("latin-1")

    def after(self, name: str | None) -> Iterator[Model]:
        """All models whose names follow this one, in the order of their names; all of them for None."""
        found = (self._registered_after(name), self._vendors_after(name), self._aliased_after(name))
        return heapq.merge(*found, key=attrgetter("name"))

    def capabilities(self, model: Model) -> models_pb2.ModelCapabilities:
        """The capabilities of the model that answers calls of this one today, as far as known."""
        if isinstance(model, VendorModel):
            return self._vendor_models.capabilities(model, self._today())
        return self._registry.capabilities(model)

    def aliases_of(self, model: Model) -> list[str]:
        """The other names of a model."""
        if isinstance(model, VendorModel):
            return sorted({*self._operators_aliases(model.name), *self._operators_aliases(model.pinned_name)})
        return [*model.aliases, *self._operators_aliases(model.name)]

    def is_unhealthy(self, model: RegisteredModel, endpoint: str) -> bool:
        """Whether the newest probe calls an endpoint of a registered model unhealthy."""
        return self._registry.is_unhealthy(model, endpoint)

    def answering(self, model: VendorModel) -> VendorModel:
        """The model that answers calls of a vendor's model today: itself, or its replacement."""
        return self._vendor_models.answering(model, self._today())

    def is_known(self, model: VendorModel) -> bool:
        """Whether a vendor's model is the one that is built in or listed under its name."""
        return self._vendor_models.find(model.name) is model

    def warnings(self, name: str, model: Model) -> Sequence[models_pb2.Notice]:
        """The notices for a call of this model by this name: about its lifecycle, or about a model that it hides."""
        if isinstance(model, VendorModel):
            return self._vendor_models.warnings(model, self._today())
        asked = name if self._registry.find(name) else self._aliases[name]
        hidden = self._registry.other_owner(asked)
        if not hidden:
            return ()
        message = f"the registered model {model.name} answers in place of {hidden} called {asked}"
        return [models_pb2.Notice(code="REGISTERED_MODEL_SERVED", field="model", message=message)]

    def _registered_after(self, after: str | None) -> Iterator[Model]:
        return (model for name in self._registry.names.after(after) if (model := self._registry.find(name)))

    def _vendors_after(self, after: str | None) -> Iterator[Model]:
        """The vendors' models, except those whose name is that of a registered model or an alias."""
        for name in self._vendor_models.names.after(after):
            model = self._vendor_models.find(name)
            if model and name not in self._aliases and self._registry.find(name) is None:
                yield model

    def _aliased_after(self, after: str | None) -> Iterator[Model]:
        """Vendors' models that only the operator's aliases name: they are neither built in nor listed."""
        for name in sorted(self._aliases_by_model):
            if (after is None or name > after) and not self._vendor_models.lists(name):
                found = self.look_up(name)
                if isinstance(found, VendorModel):
                    yield dataclasses.replace(found, name=name)

    def _operators_aliases(self, model: str) -> list[str]:
        return [alias for alias in self._aliases_by_model.get(model, ()) if not self._registry.find(alias)]

    def _not_found(self, name: str) -> NotFound:
        meant = self._aliases.get(name, name)
        hint = suggest(meant, self._vendor_models.names, self._alias_names, self._registry.names)
        whose = f", which {shorten(name)} stands for" if meant != name else ""
        return NotFound(
            f'no model is called "{shorten(meant)}"{whose}{hint or "; ListModels lists them all"}',
            reason="MODEL_NOT_FOUND",
            metadata={"model": shorten(name)},
        )


def _not_found_in_silence(name: str) -> NotFound:
    shown = shorten(name)
    text = f'no model is called "{shown}"; ListModels lists those that the key may call'
    return NotFound(text, reason="MODEL_NOT_FOUND", metadata={"model": shown})
