"""What the vendors' models cost."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import genai_prices
import msgspec
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ModelInfo,
    PriceCalculation,
    Provider,
    Usage,
)

from proto import models_pb2
from services.models.catalog import price_table, prices
from services.models.catalog.vendor_model import VendorModel
from services.models.catalog.vendors import anthropic, openai
from tests.built_in_models import CHAT_MODELS
from tests.rows import for_each

TODAY = datetime.date(2026, 11, 22)

every_chat_model = for_each("model", CHAT_MODELS.values(), ids=CHAT_MODELS)


def usage(prompt: int, completion: int, cached: int | None = None, written: int | None = None) -> models_pb2.TokenUsage:
    return models_pb2.TokenUsage(
        prompt_tokens=prompt, completion_tokens=completion, cached_prompt_tokens=cached, cache_write_tokens=written
    )


def test_table_is_what_the_pinned_library_says() -> None:
    """After a new version: python -m services.models.catalog.price_table."""
    assert price_table.PATH.read_text(encoding="utf-8") == price_table.write_table()


@every_chat_model
def test_cost_is_what_the_library_makes_of_the_same_usage(model: VendorModel) -> None:
    period = prices.period_on(model.vendor, model.upstream, TODAY)
    if period is None:
        assert not has_a_price_of_text(model)
        return
    for prompt, completion, cached, written in (
        (0, 0, 0, 0),
        (1, 1, 0, 0),
        (1000, 100, 0, 0),
        (1000, 100, 400, 300),
        (50_000, 7, 50_000, 0),
        (300_000, 1234, 100_000, 5),
    ):
        told = Usage(
            input_tokens=prompt, output_tokens=completion, cache_read_tokens=cached, cache_write_tokens=written
        )
        expected = calculation(model, told).total_price
        cost = period.cost(usage(prompt, completion, cached, written))
        assert cost is not None
        assert abs(Decimal(cost) - expected * 10**9) <= Decimal("0.5")


def calculation(model: VendorModel, used: Usage) -> PriceCalculation:
    """The library's price of a usage. Raises LookupError for models that it does not know."""
    when = datetime.datetime.combine(TODAY, datetime.time(12), datetime.UTC)
    return genai_prices.calc_price(
        used, model.upstream, provider_id=model.vendor.price_list, genai_request_timestamp=when
    )


def has_a_price_of_text(model: VendorModel) -> bool:
    """Whether the library knows a price for the model, and the same one for text and for other media."""
    if not model.vendor.price_list:
        return False
    try:
        rates = str(calculation(model, Usage(input_tokens=1)).model_price)
    except LookupError:
        return False
    return "audio" not in rates and "image" not in rates


def test_price_is_that_of_the_day() -> None:
    before = prices.period_on(openai.VENDOR, "o3", datetime.date(2025, 6, 9))
    after = prices.period_on(openai.VENDOR, "o3", datetime.date(2025, 6, 10))
    assert before
    assert after
    assert before.cost(usage(1, 0)) == 10_000
    assert after.cost(usage(1, 0)) == 2_000


def test_long_prompt_costs_its_higher_rate_whole() -> None:
    period = prices.period_on(openai.VENDOR, "gpt-6-luna", TODAY)
    assert period
    assert period.cost(usage(272_000, 0)) == 272_000 * 100
    assert period.cost(usage(272_001, 0)) == 272_001 * 200


def test_model_without_a_price_of_completions_costs_what_its_prompts_do() -> None:
    period = prices.period_on(openai.VENDOR, "text-embedding-3-small", TODAY)
    assert period
    assert period.cost(usage(1_000_000, 0)) == 20_000_000
    assert period.cost(usage(1_000_000, 1)) is None


IDS = ["gemini-2-flash", "gemini-2-flash-live", "gemini-3-flash", "GEMINI-2-FLASH", "x-gemini-2-flash", "a.b", "axb"]


@for_each(
    "clause",
    [
        ClauseEndsWith("-Flash"),
        ClauseEndsWith("a.b"),
        ClauseAnd([ClauseStartsWith("gemini-2"), ClauseEndsWith("flash")]),
        ClauseAnd([ClauseContains("2-FLASH"), ClauseOr([ClauseEquals("x-gemini-2-flash"), ClauseContains("live")])]),
        ClauseOr([ClauseEquals("axb"), ClauseAnd([ClauseContains("gemini"), ClauseRegex("^x-")])]),
    ],
)
def test_clause_matches_the_ids_that_it_matches_in_the_library(clause: Any) -> None:
    model = ModelInfo(id="m", match=clause, context_window=7)
    (entry,) = price_table.entries(Provider(id="p", name="P", api_pattern="", models=[model]))
    read = msgspec.convert(entry, prices.Entry)
    assert [name for name in IDS if read.matches(name.lower())] == [
        name for name in IDS if clause.is_match(name.lower())
    ]


@for_each("model", ["gpt-99", "gpt-audio-mini", "gpt-image-1"])
def test_price_that_is_not_known_or_not_of_text_alone_is_none(model: str) -> None:
    assert prices.period_on(openai.VENDOR, model, TODAY) is None


def test_context_window_is_known_of_snapshots_too() -> None:
    assert prices.context_window(openai.VENDOR, "gpt-4o-2024-11-20") == 128_000
    assert prices.context_window(anthropic.VENDOR, "claude-haiku-4-5-20251001") == 200_000
    assert prices.context_window(openai.VENDOR, "gpt-99") is None


def test_told_prices_cost_nothing_only_where_that_is_told() -> None:
    free = prices.Tier.of(models_pb2.ModelPrices(prompt_nano_usd=0, completion_nano_usd=0))
    assert free.cost(usage(10, 10)) == 0
    half = prices.Tier.of(models_pb2.ModelPrices(prompt_nano_usd=5_000_000))
    assert half.cost(usage(10, 1)) is None
    assert half.cost(usage(10, 0)) == 50
    assert prices.Tier.of(models_pb2.ModelPrices()).cost(usage(1, 0)) is None


def test_cached_tokens_cost_their_own_rate_or_else_that_of_the_prompt() -> None:
    told = models_pb2.ModelPrices(prompt_nano_usd=4_000_000, completion_nano_usd=0, cached_prompt_nano_usd=1_000_000)
    tier = prices.Tier.of(told)
    assert tier.cost(usage(10, 0, cached=6)) == 4 * 4 + 6 * 1
    assert tier.cost(usage(10, 0, written=6)) == 10 * 4


def test_tokens_that_the_cache_keeps_for_an_hour_cost_twice_those_of_the_prompt_at_anthropic() -> None:
    """https://platform.claude.com/docs/en/about-claude/pricing#prompt-caching"""
    period = prices.period_on(anthropic.VENDOR, "claude-opus-5", TODAY)
    assert period
    written = usage(100, 0, written=60)
    assert period.cost(written) == 40 * 5_000 + 60 * 6_250
    written.long_cache_write_tokens = 20
    assert period.cost(written) == 40 * 5_000 + 40 * 6_250 + 20 * 10_000
    assert period.message().long_cache_write_nano_usd == 10_000_000_000


def test_tokens_kept_for_an_hour_cost_as_others_written_where_no_other_rate_is_told() -> None:
    told = models_pb2.ModelPrices(prompt_nano_usd=4_000_000, completion_nano_usd=0, cache_write_nano_usd=5_000_000)
    written = usage(10, 0, written=6)
    written.long_cache_write_tokens = 99
    assert prices.Tier.of(told).cost(written) == 4 * 4 + 6 * 5


def test_prices_of_a_tier_are_told_as_they_were_given() -> None:
    told = models_pb2.ModelPrices(prompt_nano_usd=1, completion_nano_usd=2, cache_write_nano_usd=0)
    assert prices.Tier.of(told).message() == told


def test_cost_that_fits_no_field_is_none() -> None:
    rates = prices.Tier.of(models_pb2.ModelPrices(prompt_nano_usd=2**63 - 1, completion_nano_usd=1))
    assert rates.cost(usage(1_000_000, 0)) == 2**63 - 1
    assert rates.cost(usage(1_000_001, 0)) is None
