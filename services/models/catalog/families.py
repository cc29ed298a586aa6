"""What is known of the vendors' model families: facts as data, with the day on which they were checked.

Sources: the vendors' model pages and guides
(https://developers.openai.com/api/docs/models, https://developers.openai.com/api/docs/guides/reasoning,
https://platform.claude.com/docs/en/about-claude/models, https://platform.claude.com/docs/en/build-with-claude/effort,
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages,
https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5),
and the type files of their SDKs, openai 3.54 and anthropic 2.12. What none of them says is left unknown.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from services.models.providers.facts import MediaKind, ModelFacts, ReasoningFacts
from services.models.providers.history.call_ids import MISTRAL_IDS
from services.models.providers.history.tool_names import GEMINI_NAMES

AS_OF = "2026-11-22"

SAMPLING = frozenset({"temperature", "top_p", "top_k"})
PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
LOGPROBS = frozenset({"logprobs", "top_logprobs"})

Vendor = Literal["openai", "anthropic"]
VENDORS: tuple[Vendor, ...] = ("anthropic", "openai")

# Ids that are plainly a vendor's, although no list here names them.
VENDOR_PATTERNS: tuple[tuple[re.Pattern[str], Vendor], ...] = (
    (re.compile(r"((ft:)?(gpt-|o\d)|chatgpt-).*"), "openai"),
    (re.compile(r"claude-.*"), "anthropic"),
)

TEXT_ONLY: frozenset[MediaKind] = frozenset()
SEES: frozenset[MediaKind] = frozenset({"image"})
READS: frozenset[MediaKind] = frozenset({"image", "document"})
HEARS: frozenset[MediaKind] = frozenset({"audio"})

# ------------------------------------------------------------------------------------------------------- OpenAI

_GPT_PLAIN = ModelFacts(
    unsupported=frozenset({"top_k"}), can_reason=False, media=READS, tools=True, json_schema=True, prompt_caching=True
)
_GPT_OLD = replace(_GPT_PLAIN, media=TEXT_ONLY, json_schema=False, prompt_caching=False)
_GPT_AUDIO = replace(
    _GPT_PLAIN, length_parameter="max_completion_tokens", media=HEARS, json_schema=None, prompt_caching=None
)
# The last rule of the table: a model that is not known yet is most likely one that always reasons.
_GPT_UNKNOWN = ModelFacts(
    unsupported=SAMPLING | PENALTIES | LOGPROBS,
    length_parameter="max_completion_tokens",
    reasoning=ReasoningFacts(on_by_default=True),
    tools_with_reasoning_need_responses=True,
)
_GPT_REASONING = replace(
    _GPT_UNKNOWN,
    unsupported=_GPT_UNKNOWN.unsupported | {"stop_sequences"},
    can_reason=True,
    tools_with_reasoning_need_responses=False,
    media=READS,
    tools=True,
    json_schema=True,
    prompt_caching=True,
)
# They reason when they are asked to, and then take no more than those that always do.
_WHILE_REASONING = (SAMPLING - {"top_k"}) | PENALTIES | LOGPROBS | {"stop_sequences"}
_GPT_OPTIONAL_REASONING = replace(_GPT_REASONING, unsupported=frozenset({"top_k"}))
_O_SERIES = replace(
    _GPT_REASONING,
    unsupported=SAMPLING | PENALTIES | LOGPROBS | {"parallel_tool_calls"},
    reasoning=ReasoningFacts(("low", "medium", "high"), on_by_default=True),
)
_O_NO_STOP = replace(_O_SERIES, unsupported=_O_SERIES.unsupported | {"stop_sequences"})
# "Function tools with reasoning_effort are not supported", says Chat Completions of gpt-5.4 and whatever came later.
_GPT_5_5 = replace(_GPT_REASONING, tools_with_reasoning_need_responses=True)
# The first to take cache marks (https://developers.openai.com/api/docs/guides/prompt-caching).
_GPT_5_6 = replace(_GPT_5_5, cache_marks=True)

_UP_TO_XHIGH = ("none", "low", "medium", "high", "xhigh")
_UP_TO_MAX = (*_UP_TO_XHIGH, "max")


def _reasoning_by_default(*efforts: str) -> ReasoningFacts:
    return ReasoningFacts(efforts, on_by_default=True)


# The first pattern that matches an id says what its model takes.
OPENAI_FACTS: tuple[tuple[re.Pattern[str], ModelFacts], ...] = (
    (re.compile(r"o3-mini(-.*)?"), replace(_O_NO_STOP, media=TEXT_ONLY)),
    (re.compile(r"o3(-.*)?|(ft:)?o4-mini.*"), _O_NO_STOP),
    (re.compile(r"o1(-\d.*)?"), _O_SERIES),
    (re.compile(r"gpt-(4o-(mini-)?)?audio.*"), _GPT_AUDIO),
    (re.compile(r"(ft:)?gpt-(4o|4\.1).*|chatgpt-4o.*"), _GPT_PLAIN),
    (re.compile(r"gpt-4-turbo.*"), replace(_GPT_OLD, media=SEES)),
    (re.compile(r"(ft:)?gpt-(3\.5|4).*|ft:gpt-3.*"), _GPT_OLD),
    (
        re.compile(r"gpt-5(-mini|-nano)?(-\d.*)?"),
        replace(_GPT_REASONING, reasoning=_reasoning_by_default("minimal", "low", "medium", "high")),
    ),
    (re.compile(r"gpt-5-pro(-\d.*)?"), replace(_GPT_REASONING, reasoning=_reasoning_by_default("high"))),
    (
        re.compile(r"gpt-5\.1(-\d.*|-mini.*)?"),
        replace(_GPT_OPTIONAL_REASONING, reasoning=ReasoningFacts(_UP_TO_XHIGH[:-1], excludes=_WHILE_REASONING)),
    ),
    (
        re.compile(r"gpt-5\.[23](-\d.*|-mini.*|-nano.*)?"),
        replace(_GPT_OPTIONAL_REASONING, reasoning=ReasoningFacts(_UP_TO_XHIGH, excludes=_WHILE_REASONING)),
    ),
    (
        re.compile(r"gpt-5\.4(-\d.*|-mini.*|-nano.*)?"),
        replace(
            _GPT_OPTIONAL_REASONING,
            reasoning=ReasoningFacts(_UP_TO_XHIGH, excludes=_WHILE_REASONING),
            tools_with_reasoning_need_responses=True,
        ),
    ),
    (
        re.compile(r"gpt-5\.2-pro(-\d.*)?"),
        replace(_GPT_REASONING, reasoning=_reasoning_by_default("medium", "high", "xhigh")),
    ),
    (re.compile(r"gpt-5\.5(-\d.*)?"), replace(_GPT_5_5, reasoning=_reasoning_by_default(*_UP_TO_XHIGH))),
    (re.compile(r"gpt-5\.6.*|gpt-6-luna.*"), replace(_GPT_5_6, reasoning=_reasoning_by_default(*_UP_TO_MAX))),
    (re.compile(r"gpt-6.*"), _GPT_5_6),
    (re.compile(r".*"), _GPT_UNKNOWN),
)

# `openai.types.shared.ResponsesModel` of openai 3.54; gpt-5.2-pro has been refused by Chat Completions too.
RESPONSES_ONLY = re.compile(r"(-pro|codex|cyber|deep-research|rosalind|computer-use|daybreak|-law)(-|\Z)")

# ---------------------------------------------------------------------------------------------------- Anthropic

# Anthropic requires max_tokens. This much suits most answers and stays below the length from which its own SDKs
# refuse to wait for an answer that is not streamed.
ANTHROPIC_DEFAULT_MAX_TOKENS = 16_384
_ANTHROPIC_UNKNOWN = frozenset({"seed"}) | PENALTIES | LOGPROBS

# Of a server that merely speaks the dialect: `output_config` may be unknown to it, a tool is not.
_MESSAGES_SPEAKER = ModelFacts(
    unsupported=_ANTHROPIC_UNKNOWN,
    max_temperature=1.0,
    default_max_tokens=4096,
    developer_role=False,
    schema_output="tool",
)
_CLAUDE_3 = replace(
    _MESSAGES_SPEAKER,
    signs_thoughts=True,
    can_reason=False,
    media=READS,
    tools=True,
    json_schema=True,
    prompt_caching=True,
)
_CLAUDE_3_7 = replace(_CLAUDE_3, can_reason=True, reasoning=ReasoningFacts(takes_budget=True))
_CLAUDE_4 = replace(_CLAUDE_3_7, exclusive=("temperature", "top_p"), default_max_tokens=ANTHROPIC_DEFAULT_MAX_TOKENS)
_CLAUDE_4_5 = replace(_CLAUDE_4, schema_output="native")
_CLAUDE_4_6 = replace(
    _CLAUDE_4_5,
    prefill=False,
    # A budget is deprecated there, and still taken.
    reasoning=ReasoningFacts(("none", "low", "medium", "high", "max"), takes_budget=True, adaptive=True),
)
_ALWAYS_THINKS = ("low", "medium", "high", "xhigh", "max")
_CLAUDE_4_7 = replace(
    _CLAUDE_4_6,
    unsupported=_ANTHROPIC_UNKNOWN | SAMPLING,
    exclusive=None,
    max_temperature=None,
    reasoning=ReasoningFacts(_UP_TO_MAX, adaptive=True),
)
_CLAUDE_4_8 = replace(_CLAUDE_4_7, system_turns=True)
_CLAUDE_5 = replace(_CLAUDE_4_8, reasoning=ReasoningFacts(_UP_TO_MAX, adaptive=True, on_by_default=True))
_CLAUDE_ALWAYS_THINKS = replace(
    _CLAUDE_5,
    forced_tool_choice=False,
    reasoning=ReasoningFacts(_ALWAYS_THINKS, adaptive=True, on_by_default=True),
)

ANTHROPIC_FACTS: tuple[tuple[re.Pattern[str], ModelFacts], ...] = (
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
    # One is older than Opus 4.8, which was the first to take system messages within the conversation; the other is
    # named as taking none there.
    (re.compile(r"claude-mythos-preview(-.*)?"), replace(_CLAUDE_ALWAYS_THINKS, system_turns=False)),
    (re.compile(r"claude-sonnet-5(-(latest|\d{8}))?"), replace(_CLAUDE_5, system_turns=False)),
    (re.compile(r"claude-(fable|mythos)-.*|claude-(opus|sonnet)-5-5(-.*)?"), _CLAUDE_ALWAYS_THINKS),
    (re.compile(r"claude-.*"), _CLAUDE_5),
    (re.compile(r".*"), _MESSAGES_SPEAKER),
)

COMPATIBLE_FACTS = ModelFacts(developer_role=False)
"""vLLM and other servers: their chat templates seldom know `developer`, and they take all the rest."""

# Families whose models want their reasoning back where they called tools. DeepSeek refuses a conversation that lacks it
# (https://api-docs.deepseek.com/guides/thinking_mode), the others lose the thread
# (https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model, https://docs.z.ai/guides/capabilities/thinking-mode,
# https://platform.minimax.io/docs/guides/text-m2-function-call, https://platform.xiaomimimo.com/docs).
_WANTS_REASONING = re.compile(r"(?:^|[/:._-])(?:deepseek|kimi|glm|minimax|mimo)(?![a-z])", re.IGNORECASE)
_MISTRAL = re.compile(
    r"(?:^|[/:._-])(?:mistral|mixtral|ministral|magistral|codestral|devstral|pixtral|voxtral)", re.IGNORECASE
)
_GEMINI = re.compile(r"(?:^|[/:._-])gemini", re.IGNORECASE)


@lru_cache(maxsize=1024)
def facts_of_server(model_id: str) -> ModelFacts:
    """What a model takes that another server than its vendor's may serve, as far as its name tells."""
    facts = COMPATIBLE_FACTS
    if _MISTRAL.search(model_id):
        facts = replace(facts, call_ids=MISTRAL_IDS)
    if _GEMINI.search(model_id):
        facts = replace(facts, tool_names=GEMINI_NAMES)
    if _WANTS_REASONING.search(model_id):
        facts = replace(facts, returned_reasoning="reasoning_content")
    return facts


@lru_cache(maxsize=1024)
def facts_for(vendor: Vendor, model_id: str) -> ModelFacts:
    """What a vendor's model takes."""
    if vendor == "anthropic":
        # Google Cloud writes an id's date behind an @.
        return _first_match(ANTHROPIC_FACTS, model_id.replace("@", "-"))
    facts = _first_match(OPENAI_FACTS, model_id)
    responses_only = not model_id.startswith("ft:") and RESPONSES_ONLY.search(model_id)
    return replace(facts, responses_only=True) if responses_only else facts


def _first_match(table: tuple[tuple[re.Pattern[str], ModelFacts], ...], model_id: str) -> ModelFacts:
    return next(facts for pattern, facts in table if pattern.fullmatch(model_id))


def vendor_of(model_id: str) -> Vendor | None:
    """The vendor whose id this plainly is, or None."""
    return next((vendor for pattern, vendor in VENDOR_PATTERNS if pattern.fullmatch(model_id)), None)
