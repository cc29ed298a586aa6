"""Model families: the words for their facts, and the facts of a model whose server is not its vendor's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

from services.models.providers.facts import MediaKind, ModelFacts
from services.models.providers.names import GEMINI_NAMES, MISTRAL_IDS

SAMPLING = frozenset({"temperature", "top_p", "top_k"})
PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
LOGPROBS = frozenset({"logprobs", "top_logprobs"})

TEXT_ONLY: frozenset[MediaKind] = frozenset()
VISION: frozenset[MediaKind] = frozenset({"image"})
DOCUMENTS: frozenset[MediaKind] = frozenset({"image", "document"})
AUDIO_IN: frozenset[MediaKind] = frozenset({"audio"})

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""The vendors' words for efforts of reasoning, the weakest first."""
EFFORTS_OR_NONE = ("none", *EFFORTS)

Families: TypeAlias = Sequence[tuple[re.Pattern[str], ModelFacts]]
"""Patterns of ids, with the facts of their models. The first one that matches an id holds."""

COMPATIBLE_FACTS = ModelFacts(developer_role=False)
"""vLLM and other servers: their chat templates seldom know `developer`, and they take all the rest."""

# Families whose models want their reasoning sent back before tool calls. DeepSeek refuses a conversation without it
# (https://api-docs.deepseek.com/guides/thinking_mode), the others lose the thread
# (https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model, https://docs.z.ai/guides/capabilities/thinking-mode,
# https://platform.minimax.io/docs/guides/text-m2-function-call, https://platform.xiaomimimo.com/docs).
_WANTS_REASONING = re.compile(r"(?:^|[/:._-])(?:deepseek|kimi|glm|minimax|mimo)(?![a-z])", re.IGNORECASE)
_MISTRAL = re.compile(
    r"(?:^|[/:._-])(?:mistral|mixtral|ministral|magistral|codestral|devstral|pixtral|voxtral)", re.IGNORECASE
)
_GEMINI = re.compile(r"(?:^|[/:._-])gemini", re.IGNORECASE)


def first_match(families: Families, model_id: str) -> ModelFacts:
    """The facts of the first family whose pattern matches the whole id; the last pattern of a table matches any."""
    return next(facts for pattern, facts in families if pattern.fullmatch(model_id))


@lru_cache(maxsize=1024)
def facts_of_server(model_id: str) -> ModelFacts:
    """The facts of a model on a server that may not be its vendor's, as far as its name shows them."""
    facts = COMPATIBLE_FACTS
    if _MISTRAL.search(model_id):
        facts = replace(facts, call_ids=MISTRAL_IDS)
    if _GEMINI.search(model_id):
        facts = replace(facts, tool_names=GEMINI_NAMES)
    if _WANTS_REASONING.search(model_id):
        facts = replace(facts, returned_reasoning="reasoning_content")
    return facts
