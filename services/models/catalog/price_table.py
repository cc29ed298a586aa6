"""Writes `price_table.json` from the genai-prices that is installed:

    python -m services.models.catalog.price_table

The service reads that file instead of the library: importing the library and its data takes 0.6 s and 30 MiB, most of
it for providers that are not called here. A test writes the table again and compares, so that a new version of the
library cannot be pinned without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices import __version__
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
)

from services.models.catalog.vendors import VENDORS

PATH = Path(__file__).with_name("price_table.json")

RATES = {
    "prompt": "input_mtok",
    "completion": "output_mtok",
    "cached_prompt": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}
"""Our names of rates and the library's, in US dollars per million tokens. Cache writes are those of five minutes."""

NANO = Decimal(10**9)


def write_table() -> str:
    """The text of the table."""
    providers = {provider.id: provider for provider in get_snapshot().providers}
    priced = [vendor for _, vendor in sorted(VENDORS.items()) if vendor.price_list]
    vendors = {vendor.name: list(entries(providers[vendor.price_list])) for vendor in priced}
    for vendor in priced:
        if vendor.long_cache_write:
            _add_long_cache_writes(vendors[vendor.name], vendor.long_cache_write)
    return json.dumps({"source": f"genai-prices {__version__}", "vendors": vendors}, indent=1) + "\n"


def entries(provider: Provider) -> Iterator[dict[str, Any]]:
    """The entries of a provider's models of which anything is known."""
    for model in provider.models:
        entry: dict[str, Any] = _matches(model.match)
        known = len(entry)
        if model.context_window:
            entry["context_window"] = model.context_window
        prices = _periods(model)
        if prices:
            entry["prices"] = prices
        if len(entry) > known:
            yield entry


def _add_long_cache_writes(models: list[dict[str, Any]], factor: int) -> None:
    for model in models:
        for period in model.get("prices", ()):
            for tier in period["tiers"]:
                if "cache_write" in tier:
                    tier["long_cache_write"] = factor * tier["prompt"]


def _matches(clause: object) -> dict[str, list[str]]:
    """The texts in the clause, in lower case, by the kind of match with an id."""
    found: dict[str, list[str]] = {}
    for way, text in _alternatives(clause):
        found.setdefault(way, []).append(text)
    return found


def _alternatives(clause: object) -> Iterator[tuple[str, str]]:
    match clause:
        case ClauseOr(or_=clauses):
            for inner in clauses:
                yield from _alternatives(inner)
        case ClauseEquals(equals=text):
            yield "ids", text.lower()
        case ClauseStartsWith(starts_with=text):
            yield "prefixes", text.lower()
        case ClauseContains(contains=text):
            yield "parts", text.lower()
        case _:
            # Those below have no form of their own in the table.
            yield "expressions", _expression(clause)


def _expression(clause: object) -> str:
    """A regular expression that is found in the ids, in lower case, that the clause matches."""
    match clause:
        case ClauseRegex(regex=expression):
            return expression
        case ClauseEquals(equals=text):
            return rf"\A{re.escape(text.lower())}\Z"
        case ClauseStartsWith(starts_with=text):
            return rf"\A{re.escape(text.lower())}"
        case ClauseEndsWith(ends_with=text):
            return rf"{re.escape(text.lower())}\Z"
        case ClauseContains(contains=text):
            return re.escape(text.lower())
        case ClauseOr(or_=clauses):
            return "|".join(f"(?:{_expression(inner)})" for inner in clauses)
        case ClauseAnd(and_=clauses):
            return r"\A" + "".join(f"(?=.*(?:{_expression(inner)}))" for inner in clauses)
    raise TypeError(f"{type(clause).__name__} is a way to match that this program does not know")


def _periods(model: ModelInfo) -> list[dict[str, Any]]:
    """The rates of a model with the day from which they are valid, the newest last."""
    conditional = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    return [
        {"since": _since(price.constraint), "tiers": tiers} for price in conditional if (tiers := _tiers(price.prices))
    ]


def _since(constraint: object) -> str:
    match constraint:
        case None:
            return ""
        case StartDateConstraint(start_date=day):
            return day.isoformat()
    raise TypeError(f"{type(constraint).__name__} is a condition that this program does not know")


def _tiers(price: ModelPrice) -> list[dict[str, int]]:
    """The rates by the length of the prompt; without one of completions for models that write none, such as those of
    embeddings. Empty where more than tokens is counted, or tokens of media differ."""
    rates = {name: getattr(price, key) for name, key in RATES.items()}
    if rates["prompt"] is None or _counts_other_media(price):
        return []
    starts = {tier.start for rate in rates.values() if isinstance(rate, TieredPrices) for tier in rate.tiers}
    return [
        {"above": start} | {name: _nano_usd(rate, start) for name, rate in rates.items() if rate is not None}
        for start in sorted({0} | starts)
    ]


def _counts_other_media(price: ModelPrice) -> bool:
    """Whether tokens of audio or pictures cost otherwise: TokenUsage does not count them apart."""
    return any(price_ is not None and ("audio" in key or "image" in key) for key, price_ in vars(price).items())


def _nano_usd(rate: Decimal | TieredPrices, start: int) -> int:
    if isinstance(rate, TieredPrices):
        rate = next((tier.price for tier in reversed(rate.tiers) if start >= tier.start), rate.base)
    return int((rate * NANO).to_integral_exact())


if __name__ == "__main__":
    PATH.write_text(write_table(), encoding="utf-8")
