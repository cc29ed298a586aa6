"""All vendors' models by name: those that are built in, and those that the vendors list."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from proto import models_pb2
from services.models.catalog import prices
from services.models.catalog.lifecycle import NO_DATES, Lifecycle
from services.models.catalog.listings import ListedModel
from services.models.catalog.vendor import BuiltInModel, Vendor
from services.models.catalog.vendor_model import VendorModel, with_listed
from services.models.catalog.vendors import VENDORS
from services.shared.ordered_names import OrderedNames

MAX_LISTED_MODELS = 1000
"""Limit for the models of a vendor's list; a real list has a tenth of that."""

_SNAPSHOT = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|[-@]\d{8})$")
"""The date at the end of an id of a snapshot."""


class _List(NamedTuple):
    """A vendor's newest list."""

    day: datetime.date | None = None
    models: Mapping[str, ListedModel] = {}
    """The models by their ids."""

    def find(self, model_id: str) -> ListedModel | None:
        return self.models.get(model_id)


class VendorModels:
    """The models of all vendors, by name. A vendor's list is valid until its next one."""

    def __init__(self, vendors: Mapping[str, Vendor] = VENDORS) -> None:
        self._vendors = vendors
        self._rows = {name: {row.name: row for row in vendor.models} for name, vendor in vendors.items()}
        self._built_in = [_from_row(vendor, row) for vendor in vendors.values() for row in vendor.models]
        self._built_in_names = frozenset(model.name for model in self._built_in)
        self._lists: dict[str, _List] = {}
        self._models: dict[str, VendorModel] = {}
        self.names = OrderedNames()
        """The names of all models that are built in or listed."""
        self._pinned_names: frozenset[str] = frozenset()
        self._merge()

    def find(self, name: str) -> VendorModel | None:
        """The model of this name, or of this id, that is built in or listed."""
        return self._models.get(name)

    def look_up(self, name: str) -> VendorModel | None:
        """The model of this name or id, listed or not; also of `vendor/id`, and of an id that only one vendor can
        have."""
        known = self._models.get(name)
        if known:
            return known
        vendor = self.named_vendor(name)
        model_id = name.partition("/")[2]
        if vendor and model_id:
            return replace(self.describe(vendor, model_id), is_pinned=True)
        owner = next((vendor for vendor in self._vendors.values() if vendor.id_pattern.fullmatch(name)), None)
        return self.describe(owner, name) if owner else None

    def shutdowns(self, vendors: Collection[str]) -> dict[tuple[str, str], datetime.date]:
        """The days on which models of these vendors are shut down, as far as announced, by vendor and the vendor's id.
        Safe to call in any thread."""
        return {
            (model.vendor.name, model.upstream): model.lifecycle.shutdown
            for model in self._models.values()
            if model.lifecycle.shutdown and model.vendor.name in vendors
        }

    def named_vendor(self, name: str) -> Vendor | None:
        """The vendor that a name begins with, as `vendor/id` does."""
        prefix, slash, _ = name.partition("/")
        return self._vendors.get(prefix) if slash else None

    def is_built_in(self, name: str) -> bool:
        return name in self._built_in_names

    def lists(self, name: str) -> bool:
        """Whether a name, or a `vendor/id`, belongs to a model that is built in or listed."""
        return name in self._models or name in self._pinned_names

    def describe(self, vendor: Vendor, model_id: str) -> VendorModel:
        """The model of a vendor's id, whether it is listed anywhere or not."""
        known = self._models.get(model_id)
        if known and known.vendor is vendor and known.upstream == model_id:
            return known
        return self._describe(vendor, model_id)

    def answering(self, model: VendorModel, today: datetime.date) -> VendorModel:
        """The model that answers calls of this one: itself, or its replacement."""
        return self._successors(model, today)[-1]

    def warnings(self, model: VendorModel, today: datetime.date) -> list[models_pb2.Notice]:
        """The notices for calls of this model, those of its replacements included."""
        return [warning for successor in self._successors(model, today) for warning in successor.warnings(today)]

    def _successors(self, model: VendorModel, today: datetime.date) -> list[VendorModel]:
        """The model, followed by its replacement if it is retired, and by that one's replacement, and so on."""
        successors = [model]
        while successors[-1].is_replaced(today):
            following = self.describe(model.vendor, successors[-1].lifecycle.replacement)
            if any(following.upstream == earlier.upstream for earlier in successors):
                break
            successors.append(following)
        return successors

    def capabilities(self, model: VendorModel, today: datetime.date) -> models_pb2.ModelCapabilities:
        """The capabilities for calls of this model: those of its replacement, if it is replaced."""
        answering = self.answering(model, today)
        if answering is model:
            return model.capabilities(today)
        replaced = answering.capabilities(today)
        replaced.lifecycle.CopyFrom(model.lifecycle.message(today))
        return replaced

    def learn(self, vendor: Vendor, listed: Iterable[ListedModel], today: datetime.date) -> int:
        """Stores a vendor's list, with at most `MAX_LISTED_MODELS` models. Returns their number."""
        # An id that begins with a vendor's name leads to that vendor, even if another one lists it.
        own = (model for model in listed if not self.named_vendor(model.id))
        models = {model.id: model for model in islice(own, MAX_LISTED_MODELS)}
        self._lists[vendor.name] = _List(today, models)
        self._merge()
        return len(models)

    def missing_replacements(self, vendor: Vendor) -> Iterator[tuple[str, str]]:
        """The built-in models whose replacement is not in the vendor's list, each with that replacement."""
        ids = self._lists[vendor.name].models.keys()
        listed = ids | map(_without_date, ids)
        for row in vendor.models:
            replacement = row.lifecycle.replacement
            if replacement and replacement not in listed:
                yield row.name, replacement

    def _merge(self) -> None:
        merged: dict[str, VendorModel] = {}
        snapshots = {name: _newest_snapshots(listed.models) for name, listed in self._lists.items()}
        for built_in in self._built_in:
            listed = self._lists.get(built_in.vendor.name, _List())
            newest = snapshots.get(built_in.vendor.name, {}).get(built_in.upstream)
            merged[built_in.name] = with_listed(built_in, listed.find(built_in.upstream) or newest, listed.day)
        # If several vendors list the same id, it belongs to the first one by name.
        for name, listed in sorted(self._lists.items()):
            for model in listed.models.values():
                if model.id not in merged:
                    found = self._describe(self._vendors[name], model.id)
                    discovered = replace(found, source=models_pb2.MODEL_SOURCE_DISCOVERED)
                    merged[model.id] = with_listed(discovered, model, listed.day)
        self._models = merged
        self.names = OrderedNames(merged)
        self._pinned_names = frozenset(model.pinned_name for model in merged.values())

    def _describe(self, vendor: Vendor, model_id: str) -> VendorModel:
        """The model of an id without a row. A snapshot of a built-in model has that model's limits and shutdown day."""
        end = vendor.shutdowns.get(model_id)
        described = VendorModel(
            model_id,
            vendor,
            model_id,
            vendor.facts(model_id),
            Lifecycle(end) if end else NO_DATES,
            context_window=prices.context_window(vendor, model_id),
        )
        row = self._rows[vendor.name].get(_without_date(model_id))
        if row is None:
            return described
        return replace(
            described,
            lifecycle=row.lifecycle if row.lifecycle.shutdown and not end else described.lifecycle,
            context_window=described.context_window or row.context_window,
            max_output_tokens=row.max_output_tokens,
            is_pinned=True,
        )


def _without_date(model_id: str) -> str:
    return _SNAPSHOT.sub("", model_id)


def _newest_snapshots(listed: Mapping[str, ListedModel]) -> Mapping[str, ListedModel]:
    """The newest snapshot of each model, for models of which the list has only snapshots."""
    return {_without_date(name): listed[name] for name in sorted(listed)}


def _from_row(vendor: Vendor, row: BuiltInModel) -> VendorModel:
    facts = vendor.facts(row.id)
    return VendorModel(
        row.name,
        vendor,
        row.id,
        replace(facts, kind=facts.kind or "chat"),
        row.lifecycle,
        row.context_window or prices.context_window(vendor, row.id),
        row.max_output_tokens,
        models_pb2.MODEL_SOURCE_BUILT_IN,
    )
