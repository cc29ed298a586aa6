"""The vendors' models that the platform knows by name.

Ids, shutdown days and limits: the type files of openai 3.54 (`openai.types.shared.chat_model`) and anthropic 2.12
(`anthropic.types.model`, `DEPRECATED_MODELS` in `anthropic.resources.messages`), and the vendors' pages
(https://developers.openai.com/api/docs/deprecations, https://developers.openai.com/api/docs/models,
https://platform.claude.com/docs/en/about-claude/model-deprecations and .../about-claude/models), all as of
`catalogue.AS_OF`. Context windows that are not here come from the table of prices.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from services.models.catalog.families import Vendor
from services.models.catalog.lifecycle import ACTIVE, Calendar

_SERVED = Calendar(told=ACTIVE)


@dataclass(frozen=True, slots=True)
class BuiltInModel:
    """A row of the list."""

    name: str
    vendor: Vendor
    upstream: str
    """The vendor's id for it."""
    max_output_tokens: int | None = None
    context_window: int | None = None
    calendar: Calendar = _SERVED


def _openai(name: str, max_output_tokens: int | None = 128_000, calendar: Calendar = _SERVED) -> BuiltInModel:
    return BuiltInModel(name, "openai", name, max_output_tokens, calendar=calendar)


def _claude(name: str, max_output_tokens: int | None = 128_000, calendar: Calendar = _SERVED) -> BuiltInModel:
    return BuiltInModel(name, "anthropic", name, max_output_tokens, calendar=calendar)


_GPT_4_ENDS = Calendar(datetime.date(2027, 1, 14), "gpt-6-luna")
_GPT_5_1_ENDS = Calendar(datetime.date(2027, 4, 1))
_GPT_5_DEPRECATED = datetime.date(2026, 6, 11)
_GPT_5_SHUTDOWN = datetime.date(2026, 12, 11)

# The replacements of Claude models are the oldest ones of the same class whose end is not announced: they take the
# sampling parameters that programs written for the old ones set, which newer Claude models refuse.
_MODELS = (
    BuiltInModel(
        "claude-3-5-haiku",
        "anthropic",
        "claude-3-5-haiku-latest",
        max_output_tokens=8192,
        calendar=Calendar(datetime.date(2026, 2, 19), "claude-haiku-4-5", datetime.date(2025, 12, 19)),
    ),
    BuiltInModel(
        "claude-3-5-sonnet",
        "anthropic",
        "claude-3-5-sonnet-latest",
        max_output_tokens=8192,
        calendar=Calendar(datetime.date(2025, 10, 28), "claude-sonnet-4-6", datetime.date(2025, 8, 13)),
    ),
    _claude("claude-fable-5"),
    _claude("claude-fable-5-1"),
    _claude("claude-fable-5-2"),
    _claude("claude-haiku-4-5", 64_000),
    _claude("claude-haiku-5-5"),
    # Of the Mythos models no public page tells the limits.
    _claude("claude-mythos-5", None),
    _claude("claude-mythos-5-1", None),
    _claude("claude-mythos-5-2", None),
    _claude("claude-opus-4-5", 64_000),
    _claude("claude-opus-4-6"),
    _claude("claude-opus-4-7"),
    _claude("claude-opus-4-8"),
    _claude("claude-opus-5"),
    _claude("claude-opus-5-5"),
    _claude("claude-sonnet-4-5", 64_000, Calendar(datetime.date(2026, 11, 30), "claude-sonnet-4-6")),
    _claude("claude-sonnet-4-6", 64_000),
    _claude("claude-sonnet-5"),
    _claude("claude-sonnet-5-5"),
    _openai("gpt-4.1", 32_768, _GPT_4_ENDS),
    _openai("gpt-4.1-mini", 32_768, _GPT_4_ENDS),
    _openai("gpt-4o", 16_384, _GPT_4_ENDS),
    _openai("gpt-4o-mini", 16_384, _GPT_4_ENDS),
    _openai("gpt-5", calendar=Calendar(_GPT_5_SHUTDOWN, "gpt-6.1-sol", _GPT_5_DEPRECATED)),
    _openai("gpt-5-mini", calendar=Calendar(_GPT_5_SHUTDOWN, "gpt-6.1-terra", _GPT_5_DEPRECATED)),
    _openai("gpt-5-nano", calendar=Calendar(_GPT_5_SHUTDOWN, "gpt-6-luna", _GPT_5_DEPRECATED)),
    _openai("gpt-5.1", calendar=_GPT_5_1_ENDS),
    _openai("gpt-5.2"),
    _openai("gpt-5.2-pro"),
    _openai("gpt-5.4"),
    _openai("gpt-5.4-mini"),
    _openai("gpt-5.4-nano", calendar=_GPT_5_1_ENDS),
    _openai("gpt-5.5"),
    _openai("gpt-5.6-luna"),
    _openai("gpt-5.6-sol"),
    _openai("gpt-5.6-terra"),
    _openai("gpt-6-astra"),
    _openai("gpt-6-luna"),
    _openai("gpt-6-sol"),
    _openai("gpt-6.1-sol"),
    _openai("gpt-6.1-terra"),
    _openai("gpt-6.2-astra", None),
    _openai("gpt-6.2-sol", None),
    _openai("o3", 100_000, Calendar(_GPT_5_SHUTDOWN, "gpt-6.1-sol", _GPT_5_DEPRECATED)),
)

BUILT_IN_MODELS: dict[str, BuiltInModel] = {model.name: model for model in _MODELS}
