"""Anthropic: its API, its model families, its models with their dates, and how it lists them.

Sources: https://platform.claude.com/docs/en/about-claude/models and .../about-claude/model-deprecations,
https://platform.claude.com/docs/en/build-with-claude/effort and .../mid-conversation-system-messages,
https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5, https://platform.claude.com/docs/en/api/models/list,
and the type files of anthropic 2.12 (`anthropic.types`, and `DEPRECATED_MODELS` in `anthropic.resources.messages`).
Facts that none of them has are left unknown.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from services.models.catalog.families import (
    DOCUMENTS,
    EFFORTS,
    EFFORTS_OR_NONE,
    LOGPROBS,
    PENALTIES,
    SAMPLING,
    Families,
    first_match,
)
from services.models.catalog.lifecycle import ACTIVE, DEPRECATED, RETIRED, SERVED, UNKNOWN, Lifecycle, State
from services.models.catalog.listings import (
    FIT_NAME,
    Entry,
    ListedModel,
    Listing,
    ListUnavailable,
    listed_day,
    listed_tokens,
    served_window,
)
from services.models.catalog.vendor import AdapterType, Auth, BuiltInModel, Shown, Vendor, shutdown_days
from services.models.providers.anthropic.dialect import ANTHROPIC, API_VERSION
from services.models.providers.facts import ModelFacts, ReasoningFacts

PAGE_LIMIT = 1000

# ----------------------------------------------------------------------------------------------------- families

# Anthropic requires max_tokens. This much suits most answers and stays below the length from which its own SDKs
# refuse to wait for an answer that is not streamed.
_DEFAULT_MAX_TOKENS = 16_384
_NOT_IN_MESSAGES = frozenset({"seed"}) | PENALTIES | LOGPROBS

# Facts of another server with this dialect: it may not know `output_config`, and does know tools.
_MESSAGES_SPEAKER = ModelFacts(
    kind="chat",
    unsupported=_NOT_IN_MESSAGES,
    max_temperature=1.0,
    default_max_tokens=4096,
    developer_role=False,
    schema_output="tool",
)
_CLAUDE_3 = replace(
    _MESSAGES_SPEAKER,
    signs_thoughts=True,
    can_reason=False,
    media=DOCUMENTS,
    tools=True,
    json_schema=True,
    prompt_caching=True,
)
_CLAUDE_3_7 = replace(_CLAUDE_3, can_reason=True, reasoning=ReasoningFacts(takes_budget=True))
_CLAUDE_4 = replace(_CLAUDE_3_7, exclusive=("temperature", "top_p"), default_max_tokens=_DEFAULT_MAX_TOKENS)
_CLAUDE_4_5 = replace(_CLAUDE_4, schema_output="native")
_CLAUDE_4_6 = replace(
    _CLAUDE_4_5,
    prefill=False,
    # These models still accept a budget, which is deprecated.
    reasoning=ReasoningFacts(("none", "low", "medium", "high", "max"), takes_budget=True, adaptive=True),
)
_CLAUDE_4_7 = replace(
    _CLAUDE_4_6,
    unsupported=_NOT_IN_MESSAGES | SAMPLING,
    exclusive=None,
    max_temperature=None,
    reasoning=ReasoningFacts(EFFORTS_OR_NONE, adaptive=True),
)
_CLAUDE_4_8 = replace(_CLAUDE_4_7, system_turns=True)
_CLAUDE_5 = replace(_CLAUDE_4_8, reasoning=ReasoningFacts(EFFORTS_OR_NONE, adaptive=True, on_by_default=True))
_CLAUDE_ALWAYS_THINKS = replace(
    _CLAUDE_5,
    forced_tool_choice=False,
    reasoning=ReasoningFacts(EFFORTS, adaptive=True, on_by_default=True),
)

_FAMILIES: Families = (
    (re.compile(r"claude-3-7-.*"), _CLAUDE_3_7),
    (re.compile(r"claude-3(-.*)?"), _CLAUDE_3),
    (re.compile(r"claude-(opus|sonnet)-4(-[01])?(-(latest|\d{8}))?"), _CLAUDE_4),
    (
        re.compile(r"claude-opus-4-5(-.*)?"),
        replace(_CLAUDE_4_5, reasoning=ReasoningFacts(("none", "low", "medium", "high"), takes_budget=True)),
    ),
    (re.compile(r"claude-(sonnet|haiku)-4-5(-.*)?"), _CLAUDE_4_5),
    (re.compile(r"claude-(opus|sonnet)-4-6(-.*)?"), _CLAUDE_4_6),
    (re.compile(r"claude-opus-4-7(-.*)?"), _CLAUDE_4_7),
    (re.compile(r"claude-opus-4-8(-.*)?"), _CLAUDE_4_8),
    # The first is older than Opus 4.8, the first model with system messages within the conversation; for the other, the
    # documentation rules them out.
    (re.compile(r"claude-mythos-preview(-.*)?"), replace(_CLAUDE_ALWAYS_THINKS, system_turns=False)),
    (re.compile(r"claude-sonnet-5(-(latest|\d{8}))?"), replace(_CLAUDE_5, system_turns=False)),
    (re.compile(r"claude-(fable|mythos)-.*|claude-(opus|sonnet)-5-5(-.*)?"), _CLAUDE_ALWAYS_THINKS),
    (re.compile(r"claude-.*"), _CLAUDE_5),
    (re.compile(r".*"), _MESSAGES_SPEAKER),
)


@lru_cache(maxsize=1024)
def facts(model_id: str) -> ModelFacts:
    """The facts of a model of Anthropic, or of another server that speaks Messages."""
    # Google Cloud writes an id's date behind an @.
    return first_match(_FAMILIES, model_id.replace("@", "-"))


# ------------------------------------------------------------------------------------------------------- models


def _claude(name: str, max_output_tokens: int | None = 128_000, lifecycle: Lifecycle = SERVED) -> BuiltInModel:
    return BuiltInModel(name, max_output_tokens, lifecycle)


# The replacements are the oldest models of the same class whose end is not announced: they take the sampling parameters
# that programs written for the old ones set, which newer models refuse.
_MODELS = (
    BuiltInModel(
        "claude-3-5-haiku",
        8192,
        Lifecycle(datetime.date(2026, 2, 19), "claude-haiku-4-5", datetime.date(2025, 12, 19)),
        upstream="claude-3-5-haiku-latest",
    ),
    BuiltInModel(
        "claude-3-5-sonnet",
        8192,
        Lifecycle(datetime.date(2025, 10, 28), "claude-sonnet-4-6", datetime.date(2025, 8, 13)),
        upstream="claude-3-5-sonnet-latest",
    ),
    _claude("claude-fable-5"),
    _claude("claude-fable-5-1"),
    _claude("claude-fable-5-2"),
    _claude("claude-haiku-4-5", 64_000),
    _claude("claude-haiku-5-5"),
    # No public page has the limits of the Mythos models.
    _claude("claude-mythos-5", None),
    _claude("claude-mythos-5-1", None),
    _claude("claude-mythos-5-2", None),
    _claude("claude-opus-4-5", 64_000),
    _claude("claude-opus-4-6"),
    _claude("claude-opus-4-7"),
    _claude("claude-opus-4-8"),
    _claude("claude-opus-5"),
    _claude("claude-opus-5-5"),
    _claude("claude-sonnet-4-5", 64_000, Lifecycle(datetime.date(2026, 11, 30), "claude-sonnet-4-6")),
    _claude("claude-sonnet-4-6", 64_000),
    _claude("claude-sonnet-5"),
    _claude("claude-sonnet-5-5"),
)

# The models without a row of their own. An id that only adds a date to a row's name has the row's shutdown, unless it
# is here.
_SHUTDOWNS = shutdown_days(
    {
        "2024-11-06": (
            "claude-1.3",
            "claude-1.3-100k",
            "claude-instant-1.1",
            "claude-instant-1.1-100k",
            "claude-instant-1.2",
        ),
        "2025-07-21": ("claude-2.0", "claude-2.1", "claude-3-sonnet-20240229"),
        "2026-01-05": ("claude-3-opus-20240229",),
        "2026-02-19": ("claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219"),
        "2026-06-15": ("claude-opus-4-0", "claude-opus-4-20250514", "claude-sonnet-4-0", "claude-sonnet-4-20250514"),
        "2026-06-30": ("claude-mythos-preview",),
    }
)

# ------------------------------------------------------------------------------------------------------ listing

_STATES: Mapping[str, State] = {"active": ACTIVE, "deprecated": DEPRECATED, "retired": RETIRED}


def _query(page: str) -> str:
    return f"?limit={PAGE_LIMIT}" + (f"&after_id={quote(page, safe='')}" if page else "")


def _next_page(answer: Entry) -> str:
    last = answer.get("last_id")
    if answer.get("has_more") is not True or not isinstance(last, str):
        return ""
    if not FIT_NAME.fullmatch(last):
        raise ListUnavailable
    return last


def _describe(model_id: str, entry: Entry) -> ListedModel:
    capabilities = entry.get("capabilities")
    can = _Supports(capabilities if isinstance(capabilities, dict) else {})
    return ListedModel(
        model_id,
        context_window=listed_tokens(entry.get("max_input_tokens")) or served_window(entry),
        max_output_tokens=listed_tokens(entry.get("max_tokens")),
        shutdown=listed_day(entry.get("retires_at")),
        deprecated=listed_day(entry.get("deprecated_at")),
        state=_STATES.get(str(entry.get("lifecycle")), UNKNOWN),
        images=can("image_input"),
        documents=can("pdf_input"),
        json_schema=can("structured_outputs"),
        reasons=can("thinking"),
        takes_budget=can("thinking", "types", "enabled"),
        adaptive=can("thinking", "types", "adaptive"),
        efforts=_efforts(can),
    )


class _Supports:
    """Anthropic's tree of `{"supported": true}`."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    def __call__(self, *path: str) -> bool | None:
        """Whether the capability at a path is supported; None if the tree does not have the path."""
        branch: Any = self._tree
        for name in (*path, "supported"):
            branch = branch.get(name) if isinstance(branch, dict) else None
        return branch if isinstance(branch, bool) else None


def _efforts(can: _Supports) -> tuple[str, ...] | None:
    """The efforts that the model accepts, with `none` if its thinking can be turned off."""
    if can("effort") is None:
        return None
    efforts = tuple(effort for effort in EFFORTS if can("effort", effort))
    return ("none", *efforts) if efforts and can("thinking", "types", "disabled") else efforts


ADAPTER = AdapterType(
    "anthropic",
    ANTHROPIC,
    "Messages, as Anthropic speaks it",
    auth=Auth("x-api-key"),
    fixed_headers={"anthropic-version": API_VERSION},
    listing=Listing(describe=_describe, query=_query, next_page=_next_page),
    facts=facts,
    base_urls_omit_version=True,
)

VENDOR = Vendor(
    "anthropic",
    "Anthropic",
    "ANTHROPIC_API_KEY",
    "https://api.anthropic.com",
    ADAPTER,
    stops_on_disconnect=True,
    id_pattern=re.compile(r"claude-.*"),
    facts=facts,
    as_of="2026-11-22",
    models=_MODELS,
    shutdowns=_SHUTDOWNS,
    price_list="anthropic",
    # https://platform.claude.com/docs/en/about-claude/pricing#prompt-caching; genai-prices does not have it.
    long_cache_write=2,
    shown=Shown(
        names=("claude-3-5-sonnet", "claude-3-5-haiku"),
        ids=("claude-…",),
        models=("claude-opus-5", "claude-haiku-4-5"),
        source="https://platform.claude.com/docs/en/api/messages and `anthropic/types/message_create_params.py`",
        options='{"service_tier":"standard_only"}',
    ),
)
