"""OpenAI: its API, its model families, and its models with their dates.

Sources: https://developers.openai.com/api/docs/models, https://developers.openai.com/api/docs/deprecations,
https://developers.openai.com/api/docs/guides/reasoning, and the type files of openai 3.54 (`openai.types.shared`).
Facts that none of them has are left unknown.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from functools import lru_cache

from services.models.catalog.families import (
    AUDIO_IN,
    DOCUMENTS,
    EFFORTS_OR_NONE,
    LOGPROBS,
    PENALTIES,
    SAMPLING,
    TEXT_ONLY,
    VISION,
    Families,
    facts_of_server,
    first_match,
)
from services.models.catalog.lifecycle import SERVED, Lifecycle
from services.models.catalog.vendor import AdapterType, BuiltInModel, Shown, Vendor, shutdown_days
from services.models.providers.facts import ModelFacts, ReasoningFacts
from services.models.providers.openai.select import OPENAI

ID_PATTERN = re.compile(r"((ft:)?(gpt-|o\d)|chatgpt-|text-embedding-).*")

# ----------------------------------------------------------------------------------------------------- families

_GPT_PLAIN = ModelFacts(
    kind="chat",
    unsupported=frozenset({"top_k"}),
    can_reason=False,
    media=DOCUMENTS,
    tools=True,
    json_schema=True,
    prompt_caching=True,
)
_GPT_OLD = replace(_GPT_PLAIN, media=TEXT_ONLY, json_schema=False, prompt_caching=False)
_GPT_AUDIO = replace(
    _GPT_PLAIN, length_parameter="max_completion_tokens", media=AUDIO_IN, json_schema=None, prompt_caching=None
)
# The last rule of the table: an unknown model most likely always reasons.
_GPT_UNKNOWN = ModelFacts(
    unsupported=SAMPLING | PENALTIES | LOGPROBS,
    length_parameter="max_completion_tokens",
    reasoning=ReasoningFacts(on_by_default=True),
    tools_with_reasoning_need_responses=True,
)
_GPT_REASONING = replace(
    _GPT_UNKNOWN,
    kind="chat",
    unsupported=_GPT_UNKNOWN.unsupported | {"stop_sequences"},
    can_reason=True,
    tools_with_reasoning_need_responses=False,
    media=DOCUMENTS,
    tools=True,
    json_schema=True,
    prompt_caching=True,
)
# They reason only on request; then they refuse the same parameters as models that always reason.
_WHILE_REASONING = (SAMPLING - {"top_k"}) | PENALTIES | LOGPROBS | {"stop_sequences"}
_GPT_OPTIONAL_REASONING = replace(_GPT_REASONING, unsupported=frozenset({"top_k"}))
_O_SERIES = replace(
    _GPT_REASONING,
    unsupported=SAMPLING | PENALTIES | LOGPROBS | {"parallel_tool_calls"},
    reasoning=ReasoningFacts(("low", "medium", "high"), on_by_default=True),
)
_O_NO_STOP = replace(_O_SERIES, unsupported=_O_SERIES.unsupported | {"stop_sequences"})
# "Function tools with reasoning_effort are not supported": Chat Completions, for gpt-5.4 and all later models.
_GPT_5_5 = replace(_GPT_REASONING, tools_with_reasoning_need_responses=True)
# The first to take cache marks (https://developers.openai.com/api/docs/guides/prompt-caching).
_GPT_5_6 = replace(_GPT_5_5, cache_breakpoints=True)

_UP_TO_XHIGH = EFFORTS_OR_NONE[:-1]


def _reasoning_by_default(*efforts: str) -> ReasoningFacts:
    return ReasoningFacts(efforts, on_by_default=True)


_FAMILIES: Families = (
    # https://developers.openai.com/api/docs/guides/embeddings
    (re.compile(r"text-embedding-.*"), ModelFacts(kind="embedding")),
    (re.compile(r"o3-mini(-.*)?"), replace(_O_NO_STOP, media=TEXT_ONLY)),
    (re.compile(r"o3(-.*)?|(ft:)?o4-mini.*"), _O_NO_STOP),
    (re.compile(r"o1(-\d.*)?"), _O_SERIES),
    (re.compile(r"gpt-(4o-(mini-)?)?audio.*"), _GPT_AUDIO),
    (re.compile(r"(ft:)?gpt-(4o|4\.1).*|chatgpt-4o.*"), _GPT_PLAIN),
    (re.compile(r"gpt-4-turbo.*"), replace(_GPT_OLD, media=VISION)),
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
    (re.compile(r"gpt-5\.6.*|gpt-6-luna.*"), replace(_GPT_5_6, reasoning=_reasoning_by_default(*EFFORTS_OR_NONE))),
    (re.compile(r"gpt-6.*"), _GPT_5_6),
    (re.compile(r".*"), _GPT_UNKNOWN),
)

# `openai.types.shared.ResponsesModel` of openai 3.54; gpt-5.2-pro has been refused by Chat Completions too.
_RESPONSES_ONLY = re.compile(r"(-pro|codex|cyber|deep-research|rosalind|computer-use|daybreak|-law)(-|\Z)")


@lru_cache(maxsize=1024)
def facts(model_id: str) -> ModelFacts:
    """The facts of a model that OpenAI serves."""
    known = first_match(_FAMILIES, model_id)
    responses_only = not model_id.startswith("ft:") and _RESPONSES_ONLY.search(model_id)
    return replace(known, responses_only=True) if responses_only else known


def registered_facts(model_id: str) -> ModelFacts:
    """The facts of a registered model: on another server with OpenAI's API, it belongs to no family of OpenAI."""
    return facts(model_id) if ID_PATTERN.fullmatch(model_id) else facts_of_server(model_id)


# ------------------------------------------------------------------------------------------------------- models

_GPT_4_ENDS = Lifecycle(datetime.date(2027, 1, 14), "gpt-6-luna")
_GPT_5_1_ENDS = Lifecycle(datetime.date(2027, 4, 1))
_GPT_5_DEPRECATED = datetime.date(2026, 6, 11)
_GPT_5_SHUTDOWN = datetime.date(2026, 12, 11)


def _gpt(name: str, lifecycle: Lifecycle = SERVED) -> BuiltInModel:
    return BuiltInModel(name, 128_000, lifecycle)


_MODELS = (
    BuiltInModel("gpt-4.1", 32_768, _GPT_4_ENDS),
    BuiltInModel("gpt-4.1-mini", 32_768, _GPT_4_ENDS),
    BuiltInModel("gpt-4o", 16_384, _GPT_4_ENDS),
    BuiltInModel("gpt-4o-mini", 16_384, _GPT_4_ENDS),
    _gpt("gpt-5", Lifecycle(_GPT_5_SHUTDOWN, "gpt-6.1-sol", _GPT_5_DEPRECATED)),
    _gpt("gpt-5-mini", Lifecycle(_GPT_5_SHUTDOWN, "gpt-6.1-terra", _GPT_5_DEPRECATED)),
    _gpt("gpt-5-nano", Lifecycle(_GPT_5_SHUTDOWN, "gpt-6-luna", _GPT_5_DEPRECATED)),
    _gpt("gpt-5.1", _GPT_5_1_ENDS),
    _gpt("gpt-5.2"),
    _gpt("gpt-5.2-pro"),
    _gpt("gpt-5.4"),
    _gpt("gpt-5.4-mini"),
    _gpt("gpt-5.4-nano", _GPT_5_1_ENDS),
    _gpt("gpt-5.5"),
    _gpt("gpt-5.6-luna"),
    _gpt("gpt-5.6-sol"),
    _gpt("gpt-5.6-terra"),
    _gpt("gpt-6-astra"),
    _gpt("gpt-6-luna"),
    _gpt("gpt-6-sol"),
    _gpt("gpt-6.1-sol"),
    _gpt("gpt-6.1-terra"),
    # No public page has the limits of these two.
    BuiltInModel("gpt-6.2-astra"),
    BuiltInModel("gpt-6.2-sol"),
    BuiltInModel("o3", 100_000, Lifecycle(_GPT_5_SHUTDOWN, "gpt-6.1-sol", _GPT_5_DEPRECATED)),
)

# The models without a row of their own. An id that only adds a date to a row's name has the row's shutdown, unless it
# is here.
_SHUTDOWNS = shutdown_days(
    {
        "2024-09-13": ("gpt-3.5-turbo-16k", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-16k-0613"),
        "2024-12-06": ("gpt-4-vision-preview",),
        "2025-06-06": ("gpt-4-32k", "gpt-4-32k-0314", "gpt-4-32k-0613"),
        "2025-07-28": ("o1-preview", "o1-preview-2024-09-12"),
        "2025-10-10": ("gpt-4o-audio-preview-2024-10-01",),
        "2025-10-27": ("o1-mini", "o1-mini-2024-09-12"),
        "2026-02-12": ("codex-mini-latest",),
        "2026-02-17": ("chatgpt-4o-latest",),
        "2026-03-26": ("gpt-4-0125-preview", "gpt-4-turbo-preview", "gpt-4-0314"),
        "2026-05-07": (
            "gpt-4o-audio-preview",
            "gpt-4o-audio-preview-2024-12-17",
            "gpt-4o-audio-preview-2025-06-03",
            "gpt-4o-mini-audio-preview",
            "gpt-4o-mini-audio-preview-2024-12-17",
        ),
        "2026-07-23": (
            "gpt-5.1-codex",
            "gpt-5.1-chat-latest",
            "gpt-5-chat-latest",
            "gpt-4o-search-preview",
            "gpt-4o-search-preview-2025-03-11",
            "gpt-4o-mini-search-preview",
            "gpt-4o-mini-search-preview-2025-03-11",
        ),
        "2026-08-10": ("gpt-5.3-chat-latest", "gpt-5.2-chat-latest"),
        "2026-09-28": ("gpt-3.5-turbo-1106",),
        "2026-10-23": (
            "gpt-4.1-nano",
            "gpt-4.1-nano-2025-04-14",
            "o4-mini",
            "o4-mini-2025-04-16",
            "o3-mini",
            "o3-mini-2025-01-31",
            "o1",
            "o1-2024-12-17",
            "gpt-4o-2024-05-13",
            "gpt-4-turbo",
            "gpt-4-turbo-2024-04-09",
            "gpt-4-1106-preview",
            "gpt-4",
            "gpt-4-0613",
            "gpt-3.5-turbo",
            "gpt-3.5-turbo-0125",
        ),
        "2027-01-20": ("gpt-audio-mini", "gpt-audio-mini-2025-12-15"),
    }
)

ADAPTER = AdapterType(
    "openai",
    OPENAI,
    "OpenAI's own API at another address, Responses included",
    facts=registered_facts,
    stops_on_disconnect=True,
)

VENDOR = Vendor(
    "openai",
    "OpenAI",
    "OPENAI_API_KEY",
    "https://api.openai.com/v1",
    ADAPTER,
    header_variables={"openai-organization": "OPENAI_ORG_ID", "openai-project": "OPENAI_PROJECT_ID"},
    stops_on_disconnect=True,
    id_pattern=ID_PATTERN,
    facts=facts,
    as_of="2026-11-22",
    models=_MODELS,
    shutdowns=_SHUTDOWNS,
    price_list="openai",
    shown=Shown(
        names=("gpt-4o", "gpt-4o-mini"),
        ids=("gpt-…", "o…"),
        models=("gpt-4o", "gpt-5.6"),
        source="https://platform.openai.com/docs/api-reference/chat/create"
        " and `openai/types/chat/completion_create_params.py`",
        options='{"service_tier":"flex"}',
    ),
)
