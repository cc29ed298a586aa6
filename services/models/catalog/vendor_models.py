"""The vendors' models: those that are built in, and those that the vendors list themselves, whose word wins."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from proto import models_pb2
from services.models.catalog import prices
from services.models.catalog.built_in_models import BUILT_IN_MODELS, BuiltInModel
from services.models.catalog.deprecations import ANNOUNCED_ENDS
from services.models.catalog.families import AS_OF, VENDORS, Vendor, facts_for, vendor_of
from services.models.catalog.lifecycle import UNKNOWN, Calendar
from services.models.catalog.vendor_lists import ToldModel
from services.models.providers.facts import MediaKind, ModelFacts, ReasoningFacts
from services.shared.ordered_names import OrderedNames

MAX_TOLD_MODELS = 1000
"""Of a vendor's list, which has a tenth of that."""

_NO_DATES = Calendar()

_SNAPSHOT = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|[-@]\d{8})$")
"""The date at the end of an id: of the state of a model that it stands for."""


@dataclass(frozen=True, slots=True)
class VendorModel:
    """A vendor's model, with all that is known of it."""

    name: str
    """What callers write."""
    vendor: Vendor
    upstream: str
    """The vendor's id for it."""
    facts: ModelFacts
    calendar: Calendar = _NO_DATES
    context_window: int | None = None
    max_output_tokens: int | None = None
    source: models_pb2.ModelSource = models_pb2.MODEL_SOURCE_UNSPECIFIED
    told_on: datetime.date | None = None
    """The day of the vendor's list from which some of this comes."""
    is_pinned: bool = False
    """Whether it was named by the vendor's id: then no other one answers in its place."""

    @property
    def pinned_name(self) -> str:
        """The name by which no other one answers in its place."""
        return f"{self.vendor}/{self.upstream}"

    def is_replaced(self, today: datetime.date) -> bool:
        return not self.is_pinned and bool(self.calendar.replacement) and self.calendar.is_retired(today)

    def warnings(self, today: datetime.date) -> list[models_pb2.Notice]:
        """What a caller of this name should know today."""
        shutdown, replacement = self.calendar.shutdown, self.calendar.replacement
        if self.is_replaced(today):
            when = f" on {shutdown}" if shutdown else ""
            text = f"{self.name} was retired by its vendor{when}; {replacement} answers in its place"
            return [models_pb2.Notice(code="MODEL_RETIRED", field="model", message=text)]
        if self.calendar.is_ending(today):
            text = f"{self.name} is shut down by its vendor on {shutdown}; {self._advice()}"
            return [models_pb2.Notice(code="MODEL_RETIRING", field="model", message=text)]
        return []

    def capabilities(self, today: datetime.date) -> models_pb2.ModelCapabilities:
        """What is known of the model itself, whoever answers in its place."""
        facts, media, reasoning = self.facts, self.facts.media, self.facts.reasoning
        period = prices.period_on(self.vendor, self.upstream, today)
        return models_pb2.ModelCapabilities(
            context_window=self.context_window,
            max_output_tokens=self.max_output_tokens,
            supports_vision=None if media is None else "image" in media,
            supports_documents=None if media is None else "document" in media,
            supports_audio=None if media is None else "audio" in media,
            supports_tools=facts.tools,
            supports_streaming=True,
            supports_json_schema=facts.json_schema,
            supports_reasoning=facts.can_reason,
            supports_prompt_caching=facts.prompt_caching,
            unsupported_parameters=sorted(facts.unsupported),
            reasoning_efforts=reasoning.efforts if reasoning else (),
            prices=period.message() if period else None,
            lifecycle=self.calendar.message(today) if self.calendar != _NO_DATES else None,
            source="provider" if self.told_on else "catalogue",
            as_of=self.told_on.isoformat() if self.told_on else AS_OF,
        )

    def _advice(self) -> str:
        replacement = self.calendar.replacement
        if not replacement:
            return "choose another one that ListModels names"
        return f"use {replacement} instead" if self.is_pinned else f"from then on {replacement} answers"


class VendorModels:
    """All vendors' models by name. What a vendor's list has told stays until its next list."""

    def __init__(self) -> None:
        self._told: dict[Vendor, tuple[datetime.date, Mapping[str, ToldModel]]] = {}
        self._models: dict[str, VendorModel] = {}
        self.names = OrderedNames()
        """Those of all models that are listed."""
        self._pinned_names: frozenset[str] = frozenset()
        self._merge()

    def find(self, name: str) -> VendorModel | None:
        """The model of this name, or of this id."""
        return self._models.get(name)

    def look_up(self, name: str) -> VendorModel | None:
        """The model of this name or id, listed or not: of what is `vendor/id`, or plainly a vendor's id."""
        listed = self.find(name)
        if listed:
            return listed
        for vendor in VENDORS:
            prefix = f"{vendor}/"
            if name.startswith(prefix) and len(name) > len(prefix):
                return replace(self.describe(vendor, name.removeprefix(prefix)), is_pinned=True)
        plain = vendor_of(name)
        return self.describe(plain, name) if plain else None

    def describe(self, vendor: Vendor, model_id: str) -> VendorModel:
        """What is known of a vendor's id, whether it is listed anywhere or not."""
        known = self._models.get(model_id)
        if known and (known.vendor, known.upstream) == (vendor, model_id):
            return known
        return _describe(vendor, model_id)

    def answering(self, model: VendorModel, today: datetime.date) -> VendorModel:
        """The model that a call goes to."""
        return self._successors(model, today)[-1]

    def warnings(self, model: VendorModel, today: datetime.date) -> list[models_pb2.Notice]:
        """What a caller of this model should know today, of those that take its place too."""
        return [warning for successor in self._successors(model, today) for warning in successor.warnings(today)]

    def _successors(self, model: VendorModel, today: datetime.date) -> list[VendorModel]:
        """The model, and one behind the other those that take the place of a retired one."""
        successors = [model]
        while successors[-1].is_replaced(today):
            following = self.describe(model.vendor, successors[-1].calendar.replacement)
            if any(following.upstream == earlier.upstream for earlier in successors):
                break
            successors.append(following)
        return successors

    def lists(self, name: str) -> bool:
        """Whether a name, or a vendor's id behind that vendor's name, is one of a model that is listed."""
        return name in self._models or name in self._pinned_names

    def capabilities(self, model: VendorModel, today: datetime.date) -> models_pb2.ModelCapabilities:
        """What a caller of this model can count on: of a replaced one, what its replacement can do."""
        answering = self.answering(model, today)
        if answering is model:
            return model.capabilities(today)
        replaced = answering.capabilities(today)
        replaced.lifecycle.CopyFrom(model.calendar.message(today))
        return replaced

    def learn(self, vendor: Vendor, told: Iterable[ToldModel], today: datetime.date) -> None:
        """Takes over a vendor's whole list, or the first `MAX_TOLD_MODELS` of it."""
        self._told[vendor] = (today, {model.id: model for model in islice(told, MAX_TOLD_MODELS)})
        self._merge()

    def missing_replacements(self, vendor: Vendor) -> Iterator[tuple[str, str]]:
        """The built-in models whose replacement the vendor's list does not name, and that replacement."""
        _, told = self._told[vendor]
        listed = told.keys() | map(_without_date, told)
        for model in BUILT_IN_MODELS.values():
            replacement = model.calendar.replacement
            if model.vendor == vendor and replacement and replacement not in listed:
                yield model.name, replacement

    def _merge(self) -> None:
        merged: dict[str, VendorModel] = {}
        snapshots = {vendor: _newest_snapshots(told) for vendor, (_, told) in self._told.items()}
        for built_in in BUILT_IN_MODELS.values():
            day, told = self._told.get(built_in.vendor, (None, {}))
            newest = snapshots.get(built_in.vendor, {}).get(built_in.upstream)
            merged[built_in.name] = _with_told(_from_row(built_in), told.get(built_in.upstream) or newest, day)
        for vendor in VENDORS:
            day, told = self._told.get(vendor, (None, {}))
            for model in told.values():
                if model.id not in merged:
                    found = replace(_describe(vendor, model.id), source=models_pb2.MODEL_SOURCE_DISCOVERED)
                    merged[model.id] = _with_told(found, model, day)
        self._models = merged
        self.names = OrderedNames(merged)
        self._pinned_names = frozenset(model.pinned_name for model in merged.values())


def _describe(vendor: Vendor, model_id: str) -> VendorModel:
    """What is known of an id that has no row: a state of a built-in model shares its limits, and ends with it."""
    end = ANNOUNCED_ENDS.get(model_id)
    described = VendorModel(
        model_id,
        vendor,
        model_id,
        facts_for(vendor, model_id),
        Calendar(end) if end else _NO_DATES,
        context_window=prices.context_window(vendor, model_id),
    )
    row = BUILT_IN_MODELS.get(_without_date(model_id))
    if row is None or row.vendor != vendor:
        return described
    return replace(
        described,
        calendar=row.calendar if row.calendar.shutdown and not end else described.calendar,
        context_window=described.context_window or row.context_window,
        max_output_tokens=row.max_output_tokens,
        is_pinned=True,
    )


def _without_date(model_id: str) -> str:
    return _SNAPSHOT.sub("", model_id)


def _newest_snapshots(told: Mapping[str, ToldModel]) -> Mapping[str, ToldModel]:
    """What is told of the newest state of each model, for those that the list names by their dates alone."""
    return {_without_date(name): told[name] for name in sorted(told)}


def _from_row(row: BuiltInModel) -> VendorModel:
    return VendorModel(
        row.name,
        row.vendor,
        row.upstream,
        facts_for(row.vendor, row.upstream),
        row.calendar,
        row.context_window or prices.context_window(row.vendor, row.upstream),
        row.max_output_tokens,
        models_pb2.MODEL_SOURCE_BUILT_IN,
    )


def _with_told(model: VendorModel, told: ToldModel | None, day: datetime.date | None) -> VendorModel:
    """The model with the vendor's own word about it."""
    if told is None:
        return model
    return replace(
        model,
        facts=_told_facts(model.facts, told),
        calendar=_told_calendar(model.calendar, told),
        context_window=told.context_window or model.context_window,
        max_output_tokens=told.max_output_tokens or model.max_output_tokens,
        told_on=day,
    )


def _told_calendar(calendar: Calendar, told: ToldModel) -> Calendar:
    """OpenAI tells the day of the shutdown, Anthropic the state as well; a day that is no longer told is off."""
    if told.state == UNKNOWN and told.shutdown is None:
        return calendar
    return replace(calendar, shutdown=told.shutdown, deprecated=told.deprecated or calendar.deprecated, told=told.state)


def _told_facts(facts: ModelFacts, told: ToldModel) -> ModelFacts:
    changed = replace(facts, media=_told_media(facts.media, told), reasoning=_told_reasoning(facts, told))
    if told.reasons is not None:
        changed = replace(changed, can_reason=told.reasons)
    if told.json_schema is not None:
        changed = replace(changed, json_schema=True, schema_output="native" if told.json_schema else "tool")
    return changed


def _told_media(media: frozenset[MediaKind] | None, told: ToldModel) -> frozenset[MediaKind] | None:
    said: dict[MediaKind, bool | None] = {"image": told.images, "document": told.documents}
    if all(supported is None for supported in said.values()):
        return media
    kept = {kind for kind in media or () if said.get(kind) is None}
    return frozenset(kept | {kind for kind, supported in said.items() if supported})


def _told_reasoning(facts: ModelFacts, told: ToldModel) -> ReasoningFacts | None:
    if told.efforts is None and told.takes_budget is None and told.adaptive is None:
        return facts.reasoning
    known = facts.reasoning or ReasoningFacts()
    return replace(
        known,
        efforts=known.efforts if told.efforts is None else told.efforts,
        takes_budget=known.takes_budget if told.takes_budget is None else told.takes_budget,
        adaptive=known.adaptive if told.adaptive is None else told.adaptive,
    )
