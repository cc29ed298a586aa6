"""Prices of the vendors' models, at their standard rates, and their context windows.

The facts are those of genai-prices (https://github.com/pydantic/genai-prices), as `price_table` has stored them.
"""

from __future__ import annotations

import datetime
import re
from functools import cache, lru_cache
from pathlib import Path

import msgspec

from proto import models_pb2
from services.models.catalog.vendor import Vendor
from services.models.providers.base import PricedUsage

PATH = Path(__file__).with_name("price_table.json")

MILLION = 1_000_000
MAX_COST = 2**63 - 1


class Tier(msgspec.Struct, frozen=True):
    """Rates in nano-USD per million tokens, for calls whose prompt has more than `above` tokens."""

    above: int = 0
    prompt: int | None = None
    completion: int | None = None
    cached_prompt: int | None = None
    cache_write: int | None = None
    long_cache_write: int | None = None
    """The rate of tokens that the cache keeps for an hour."""

    def cost(self, usage: PricedUsage) -> int | None:
        """The cost in nano-USD, rounded. Tokens without a rate of their own have the rate of the prompt.

        None if the rate of used tokens is unknown, or the cost exceeds `MAX_COST`, because rates and counts come from
        outside.
        """
        in_prompt, in_completion = usage.prompt_tokens, usage.completion_tokens
        if (in_prompt and self.prompt is None) or (in_completion and self.completion is None):
            return None
        from_cache, to_cache = usage.cached_prompt_tokens, usage.cache_write_tokens
        prompt, completion = self.prompt or 0, self.completion or 0
        if not from_cache and not to_cache:
            return _rounded(in_prompt * prompt + in_completion * completion)
        kept_long = min(usage.long_cache_write_tokens, to_cache)
        cached = prompt if self.cached_prompt is None else self.cached_prompt
        written = prompt if self.cache_write is None else self.cache_write
        return _rounded(
            max(in_prompt - from_cache - to_cache, 0) * prompt
            + from_cache * cached
            + (to_cache - kept_long) * written
            + kept_long * (written if self.long_cache_write is None else self.long_cache_write)
            + in_completion * completion
        )

    @classmethod
    def of(cls, prices: models_pb2.ModelPrices) -> Tier:
        """The rates in a registration."""
        return cls(**{field.name.removesuffix("_nano_usd"): rate for field, rate in prices.ListFields()})

    def message(self) -> models_pb2.ModelPrices:
        return models_pb2.ModelPrices(
            prompt_nano_usd=self.prompt,
            completion_nano_usd=self.completion,
            cached_prompt_nano_usd=self.cached_prompt,
            cache_write_nano_usd=self.cache_write,
            long_cache_write_nano_usd=self.long_cache_write,
        )


def _rounded(millionths: int) -> int | None:
    cost = (millionths + MILLION // 2) // MILLION
    return cost if cost <= MAX_COST else None


class Period(msgspec.Struct, frozen=True):
    """The rates from the day `since` on (YYYY-MM-DD; empty: always), those for the shortest prompts first."""

    since: str
    tiers: tuple[Tier, ...]

    def cost(self, usage: PricedUsage) -> int | None:
        """The cost in nano-USD. The higher rate of a long prompt applies to all of its tokens, as at the vendors."""
        charged = self.tiers[0]
        for tier in self.tiers[1:]:
            if usage.prompt_tokens > tier.above:
                charged = tier
        return charged.cost(usage)

    def message(self) -> models_pb2.ModelPrices:
        """The rates for short prompts."""
        return self.tiers[0].message()


class Entry(msgspec.Struct, frozen=True):
    """Facts of the models whose id, in lower case, matches in one of these ways."""

    ids: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    context_window: int | None = None
    prices: tuple[Period, ...] = ()

    def matches(self, model_id: str) -> bool:
        if model_id in self.ids or model_id.startswith(self.prefixes):
            return True
        if not self.parts and not self.expressions:
            return False
        return any(part in model_id for part in self.parts) or any(
            re.search(expression, model_id) for expression in self.expressions
        )


class _Table(msgspec.Struct, frozen=True):
    source: str
    vendors: dict[str, tuple[Entry, ...]]


@cache
def _table() -> _Table:
    return msgspec.json.decode(PATH.read_bytes(), type=_Table)


@lru_cache(maxsize=1024)
def _find(vendor: Vendor, model_id: str) -> Entry | None:
    entries = _table().vendors.get(vendor.name, ())
    return next((entry for entry in entries if entry.matches(model_id.lower())), None)


def list_name() -> str:
    """The name and version of the price list."""
    return _table().source


def period_on(vendor: Vendor, model_id: str, day: datetime.date) -> Period | None:
    """The prices of a vendor's model on a day, at the standard rate; None if they are unknown."""
    entry = _find(vendor, model_id)
    if entry is None:
        return None
    return next((period for period in reversed(entry.prices) if period.since <= day.isoformat()), None)


def context_window(vendor: Vendor, model_id: str) -> int | None:
    """The context window of a vendor's model, in tokens."""
    entry = _find(vendor, model_id)
    return entry.context_window if entry else None
