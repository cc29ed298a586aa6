"""Traits of the servers that speak Chat Completions: data that the one translation acts upon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.models.providers.base import HistoryRules
from services.models.providers.facts import MediaKind
from services.models.providers.names import OPENAI_NAMES, CallIdRules
from services.models.providers.schemas.rules import OPENAI_STRICT, SchemaRules


@dataclass(frozen=True, slots=True)
class ReasoningMembers:
    """The members of a body that say to a server how to reason, beside or in place of `reasoning_effort`."""

    budget: str | None = None
    """Takes a number of tokens to think with; without it a budget becomes an effort."""
    include_text: str | None = None
    """Says whether the reasoning is shown."""
    template_switch: str | None = None
    """The variable of the chat template that turns reasoning on and off, where an effort alone does not."""


@dataclass(frozen=True, slots=True)
class Traits:
    """One kind of server."""

    name: str
    """The key of ChatRequest.provider_options_json."""
    title: str
    """Its name for callers."""
    media_by_url: Mapping[MediaKind, str]
    """The kinds of media that go as `{"type": x, x: {"url": …}}`, by their URL or as a data URL, each with its x."""
    takes_files: bool = True
    """Whether documents go as `file` parts."""
    takes_refusals: bool = False
    """Whether an earlier refusal has a member of its own; for other servers it is sent as the assistant's text."""
    takes_cache_key: bool = False
    """Whether cached prompts are found by `prompt_cache_key`."""
    end_user_member: str = "user"
    """Its name for the id of the end user."""
    max_end_user_length: int | None = None
    """Characters of that id; a longer one is shortened."""
    history: HistoryRules = field(default_factory=HistoryRules)
    """Its rules for earlier messages."""
    max_tools: int | None = None
    """The number of tools that it takes; None if unknown."""
    strict_schemas: SchemaRules | None = None
    """The rules of schemas that are strict; None where every schema is taken as it is."""
    shows_reasoning: bool = True
    """Whether answers may have the text of reasoning."""
    reasoning: ReasoningMembers = ReasoningMembers()
    continuation: Mapping[str, bool] = field(default_factory=dict)
    """Members that make the server continue an unfinished answer at the end of the conversation; empty if it always
    does."""
    stop_sequence_member: str | None = None
    """The member of a choice with the stop sequence that ended it."""


OPENAI_TRAITS = Traits(
    name="openai",
    title="OpenAI",
    media_by_url={"image": "image_url"},
    takes_refusals=True,
    takes_cache_key=True,
    end_user_member="safety_identifier",
    max_end_user_length=64,
    history=HistoryRules(
        call_ids=CallIdRules(re.compile("(?s).{1,40}"), are_in_state=False),
        tool_names=OPENAI_NAMES,
        object_arguments=False,
    ),
    max_tools=128,
    strict_schemas=OPENAI_STRICT,
    shows_reasoning=False,
)
"""OpenAI's own."""
