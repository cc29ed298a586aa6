"""Facts of a model, as data: every difference between models that the adapters act upon.

None is an unknown fact: the provider then decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from services.models.providers.names import CallIdRules, ToolNameRules

MediaKind = Literal["image", "document", "audio", "video"]
ModelKind = Literal["chat", "embedding"]
"""The calls that a model is made for."""
MEDIA_KINDS: frozenset[MediaKind] = frozenset(get_args(MediaKind))


@dataclass(frozen=True, slots=True)
class ReasoningFacts:
    """Facts of a model's reasoning."""

    efforts: tuple[str, ...] = ()
    """The words it takes, the weakest first; empty where they are not known."""
    takes_budget: bool = False
    """True if it takes a number of tokens to think with."""
    adaptive: bool = False
    """True if it decides by itself how long to think (Anthropic's `thinking: adaptive`)."""
    on_by_default: bool = False
    """True if it reasons without being asked."""
    excludes: frozenset[str] = frozenset()
    """Fields of ChatConfig that it refuses while it reasons."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of a model, in the names of the contract."""

    kind: ModelKind | None = None
    """The calls that it is made for; those of other kinds are refused."""
    unsupported: frozenset[str] = frozenset()
    """Fields of ChatConfig that it refuses."""
    exclusive: tuple[str, str] | None = None
    """Two parameters that exclude each other; the first is kept."""
    max_temperature: float | None = None
    length_parameter: str = "max_tokens"
    """The provider's name of `max_tokens` for this model."""
    default_max_tokens: int | None = None
    """Sent when the request sets none, where the provider requires one."""
    developer_role: bool = True
    """Whether the role `developer` is known; otherwise it is sent as `system`."""
    media: frozenset[MediaKind] | None = None
    """The kinds of media that it reads."""
    reasoning: ReasoningFacts | None = None
    """Facts of its reasoning; None if they are unknown. A model that does not reason has `can_reason` False."""
    can_reason: bool | None = None
    schema_output: Literal["native", "tool"] = "native"
    """The means by which an answer is held to a JSON Schema: the provider's own field, or a tool that must be called.
    """
    forced_tool_choice: bool = True
    """Whether a call of a tool can be required."""
    prefill: bool = True
    """Whether the conversation may end with an assistant's message, which the model then continues."""
    signs_thoughts: bool = False
    """Whether Messages takes back only thoughts with a signature, as Claude does."""
    system_turns: bool = False
    """Whether Anthropic takes system messages within the conversation, behind a user's message."""
    tools_with_reasoning_need_responses: bool = False
    """Whether OpenAI takes tools together with reasoning on /v1/responses only."""
    responses_only: bool = False
    """Whether OpenAI serves it on /v1/responses only."""
    call_ids: CallIdRules | None = None
    """Rules for ids of tool calls, if they are narrower than its dialect's."""
    tool_names: ToolNameRules | None = None
    """Rules for names of tools, if they are narrower than its dialect's."""
    returned_reasoning: str | None = None
    """The member of an assistant's message in which it wants its earlier reasoning, at least before calls of tools."""
    max_output_tokens: int | None = None
    """The longest answer, thoughts included."""
    tools: bool | None = None
    """True if it calls tools."""
    json_schema: bool | None = None
    """True if it keeps to a JSON Schema, by the means that `schema_output` names."""
    prompt_caching: bool | None = None
    """Whether its provider caches prompts."""
    cache_breakpoints: bool = False
    """Whether OpenAI lets a request say where cached beginnings end."""
