"""A vendor's model: its facts and dates, which those in the vendor's list override."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

from proto import models_pb2
from services.models.catalog import prices
from services.models.catalog.lifecycle import NO_DATES, UNKNOWN, Lifecycle
from services.models.catalog.listings import ListedModel
from services.models.catalog.vendor import Vendor
from services.models.providers.facts import MediaKind, ModelFacts, ReasoningFacts


@dataclass(frozen=True, slots=True)
class VendorModel:
    """A vendor's model, with all that is known of it."""

    name: str
    """The name in requests."""
    vendor: Vendor
    upstream: str
    """The vendor's id for it."""
    facts: ModelFacts
    lifecycle: Lifecycle = NO_DATES
    context_window: int | None = None
    max_output_tokens: int | None = None
    source: models_pb2.ModelSource = models_pb2.MODEL_SOURCE_UNSPECIFIED
    listed_on: datetime.date | None = None
    """The day of the vendor's list that some of these facts come from."""
    is_pinned: bool = False
    """True if it was named by the vendor's id, so that no replacement answers for it."""

    @property
    def pinned_name(self) -> str:
        """The name by the vendor's id, for which no replacement answers."""
        return f"{self.vendor.name}/{self.upstream}"

    def is_replaced(self, today: datetime.date) -> bool:
        return not self.is_pinned and bool(self.lifecycle.replacement) and self.lifecycle.is_retired(today)

    def warnings(self, today: datetime.date) -> list[models_pb2.Notice]:
        """The notices for calls by this name: that the model is retired, or will be soon."""
        shutdown, replacement = self.lifecycle.shutdown, self.lifecycle.replacement
        if self.is_replaced(today):
            when = f" on {shutdown}" if shutdown else ""
            text = f"{self.name} was retired by its vendor{when}; {replacement} answers in its place"
            return [models_pb2.Notice(code="MODEL_RETIRED", field="model", message=text)]
        if self.lifecycle.is_ending(today):
            text = f"{self.name} is shut down by its vendor on {shutdown}; {self._advice()}"
            return [models_pb2.Notice(code="MODEL_RETIRING", field="model", message=text)]
        return []

    def capabilities(self, today: datetime.date) -> models_pb2.ModelCapabilities:
        """The known capabilities of the model itself, even if a replacement answers for it."""
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
            lifecycle=self.lifecycle.message(today) if self.lifecycle != NO_DATES else None,
            source="provider" if self.listed_on else "catalogue",
            as_of=self.listed_on.isoformat() if self.listed_on else self.vendor.as_of,
        )

    def _advice(self) -> str:
        replacement = self.lifecycle.replacement
        if not replacement:
            return "choose another one that ListModels names"
        return f"use {replacement} instead" if self.is_pinned else f"from then on {replacement} answers"


def with_listed(model: VendorModel, listed: ListedModel | None, day: datetime.date | None) -> VendorModel:
    """The model with the facts that its vendor lists of it on a day."""
    if listed is None:
        return model
    return replace(
        model,
        facts=_listed_facts(model.facts, listed),
        lifecycle=_listed_lifecycle(model.lifecycle, listed),
        context_window=listed.context_window or model.context_window,
        max_output_tokens=listed.max_output_tokens or model.max_output_tokens,
        listed_on=day,
    )


def _listed_lifecycle(lifecycle: Lifecycle, listed: ListedModel) -> Lifecycle:
    """The lifecycle by the list: OpenAI lists the shutdown day, Anthropic also the state; an unlisted day is
    removed."""
    if listed.state == UNKNOWN and listed.shutdown is None:
        return lifecycle
    return replace(
        lifecycle,
        shutdown=listed.shutdown,
        deprecated=listed.deprecated or lifecycle.deprecated,
        listed_state=listed.state,
    )


def _listed_facts(facts: ModelFacts, listed: ListedModel) -> ModelFacts:
    changed = replace(
        facts,
        kind=facts.kind or listed.kind,
        media=_listed_media(facts.media, listed),
        reasoning=_listed_reasoning(facts, listed),
    )
    if listed.reasons is not None:
        changed = replace(changed, can_reason=listed.reasons)
    if listed.json_schema is not None:
        changed = replace(changed, json_schema=True, schema_output="native" if listed.json_schema else "tool")
    return changed


def _listed_media(media: frozenset[MediaKind] | None, listed: ListedModel) -> frozenset[MediaKind] | None:
    said: dict[MediaKind, bool | None] = {"image": listed.images, "document": listed.documents}
    if all(supported is None for supported in said.values()):
        return media
    kept = {kind for kind in media or () if said.get(kind) is None}
    return frozenset(kept | {kind for kind, supported in said.items() if supported})


def _listed_reasoning(facts: ModelFacts, listed: ListedModel) -> ReasoningFacts | None:
    if listed.efforts is None and listed.takes_budget is None and listed.adaptive is None:
        return facts.reasoning
    known = facts.reasoning or ReasoningFacts()
    return replace(
        known,
        efforts=known.efforts if listed.efforts is None else listed.efforts,
        takes_budget=known.takes_budget if listed.takes_budget is None else listed.takes_budget,
        adaptive=known.adaptive if listed.adaptive is None else listed.adaptive,
    )
