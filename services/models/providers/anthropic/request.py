"""ChatRequest → POST /v1/messages. https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers.anthropic import output, tools
from services.models.providers.anthropic.cache import Block, CacheBreakpoints
from services.models.providers.anthropic.container import as_member
from services.models.providers.anthropic.reasoning import (
    Length,
    Reasoning,
    choose_reasoning,
    fit_sampling,
    pass_reasoning,
    without_thinking,
)
from services.models.providers.anthropic.turns import Turns, gather
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.facts import ModelFacts
from services.models.providers.http_request import HttpRequest
from services.models.providers.requests.end_users import fit_end_user
from services.models.providers.requests.options import merge_options
from services.models.providers.requests.parameters import fit
from services.models.providers.requests.translation import Translation
from services.shared import json_text

PATH = "/messages"

BETA_HEADER = "anthropic-beta"
"""Names what a request uses before it is in the API for all (https://platform.claude.com/docs/en/api/beta-headers)."""

LONG_ANSWER_TOKENS = 21_333
"""Anthropic's own SDKs refuse to wait for a longer answer that is not streamed: idle connections are cut
(`_calculate_nonstreaming_timeout` in anthropic/_base_client.py)."""

MAX_END_USER_LENGTH = 256
"""Characters of `metadata.user_id` (https://platform.claude.com/docs/en/api/messages/create)."""


def encode_request(conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
    """The request in the dialect of Messages; it asks for a stream also if a whole answer may be long. Raises
    InvalidRequest for content that Messages has no form for."""
    return _Encoding(conversation, target).encoded(stream=stream)


class _Encoding:
    """The encoding of one request."""

    def __init__(self, conversation: Conversation, target: Target) -> None:
        self._conversation = conversation
        self._request = conversation.request
        self._target = target
        self._translation = Translation(self._request, target)
        self._facts = target.facts if self._translation.adapts else _unknown(target.facts)
        self._parameters, notices = fit(self._request, target.facts, target.model)
        self._translation.notices.extend(notices)
        self._breakpoints = CacheBreakpoints(self._translation)

    def encoded(self, *, stream: bool) -> Encoded:
        request, target = self._request, self._target
        turns = self._turns()
        parallel_tool_calls = self._parameters.pop("parallel_tool_calls", None)
        mode = output.choose_mode(self._facts, self._translation)
        tools_and_choice = self._tools(mode, parallel_tool_calls)
        self._breakpoints.place(tools_and_choice.get("tools", []), *turns.blocks())
        reasoning = self._reasoning(turns, tools_and_choice.get("tool_choice", {}))
        output_config = self._output_config(mode, reasoning)

        body: dict[str, Any] = {"model": target.model, "messages": turns.turns}
        if turns.system:
            body["system"] = turns.system
        if turns.container:
            options = self._translation.options_json
            body["container"] = as_member(turns.container, target.default_options_json, options)
        for name, value in self._parameters.items():
            body[name] = list(value) if name == "stop_sequences" else value
        body.update(tools_and_choice)
        if reasoning.thinking:
            body["thinking"] = reasoning.thinking
        if output_config:
            body["output_config"] = output_config
        if request.end_user_id:
            max_length = MAX_END_USER_LENGTH if self._translation.adapts else None
            end_user = fit_end_user(request.end_user_id, max_length, "Anthropic", self._translation.notices)
            body["metadata"] = {"user_id": end_user}
        body["stream"] = True
        if reasoning.max_tokens:
            body["max_tokens"] = reasoning.max_tokens
        self._translation.raise_refusals()
        changes = merge_options(body, target.default_options_json, self._translation.options_json)
        self._translation.notices.extend(changes)
        # Required, unlike everywhere else.
        body.setdefault("max_tokens", _default_length(target.facts))
        streams = stream or (target.can_stream and _is_long(body["max_tokens"]))
        if not streams:
            del body["stream"]
        upstream = HttpRequest(PATH, json_text.encode(body), self._translation.headers(BETA_HEADER))
        return Encoded(upstream, self._translation.notices, streams)

    def _turns(self) -> Turns:
        translation = self._translation
        turns = gather(self._conversation, self._breakpoints, translation)
        if not turns.turns and not translation.violations:
            translation.refuse("messages", "must hold a user message; Messages takes no system message alone")
        if not self._facts.prefill and turns.is_prefilled():
            problem = (
                f"{self._target.model} does not go on with an assistant's message; end with a user or tool message"
            )
            translation.refuse(turns.newest, problem)
        if turns.is_prefilled() and turns.trim_beginning():
            text = "Messages takes no beginning of an answer that ends in white space; it was sent without that"
            translation.warn("PREFILL_TRIMMED", turns.newest, text)
        return turns

    def _tools(self, mode: output.OutputMode, parallel_tool_calls: bool | None) -> dict[str, Any]:
        """The tools and the choice between them, one that takes the answer included."""
        if mode != "tool" and not self._request.tools:
            return {}
        request, facts, translation = self._request, self._facts, self._translation
        encoded = [self._tool(tool, f"tools[{index}]") for index, tool in enumerate(request.tools)]
        choice = tools.wanted_choice(request)
        # If a tool must be called, this answer is a call, and the response format does not apply to it.
        if mode == "tool" and choice.get("type") not in tools.FORCED:
            tool = output.answer_tool(request.response_format, facts, translation)
            choice = tools.choice_of_answer(choice, tool["name"], facts, other_tools=bool(encoded))
            encoded.append(tool)
        choice = tools.fit_choice(choice, parallel_tool_calls, facts, translation)
        return {"tools": encoded, "tool_choice": choice} if choice else {"tools": encoded}

    def _tool(self, tool: models_pb2.ToolDefinition, path: str) -> Block:
        encoded = tools.encode_tool(tool, path, self._facts, self._translation)
        return self._breakpoints.mark(encoded, tool, path)

    def _reasoning(self, turns: Turns, choice: dict[str, Any]) -> Reasoning:
        model, translation = self._target.model, self._translation
        if not self._request.HasField("reasoning"):
            return Reasoning()
        if not translation.adapts:
            return pass_reasoning(translation)
        facts = self._facts
        length = Length(self._parameters.get("max_tokens"), _default_length(facts), facts.max_output_tokens)
        reasoning = choose_reasoning(facts, length, translation)
        if reasoning.thinking is None or reasoning.thinking["type"] == "disabled":
            return reasoning
        thinks_anyway = self._facts.reasoning is not None and self._facts.reasoning.on_by_default
        if choice.get("type") in tools.FORCED and not thinks_anyway:
            why = f"{model} does not reason before a call that is required"
            return without_thinking(reasoning, why, translation)
        if reasoning.thinking["type"] == "enabled" and turns.resumes_without_thinking():
            why = f"{model} does not begin to reason within a turn, and began this one without"
            return without_thinking(reasoning, why, translation)
        translation.notices.extend(reasoning.changes)
        fit_sampling(self._parameters, translation)
        return reasoning

    def _output_config(self, mode: output.OutputMode, reasoning: Reasoning) -> dict[str, Any]:
        config: dict[str, Any] = {}
        if reasoning.effort:
            config["effort"] = reasoning.effort
        if mode == "schema":
            config["format"] = output.output_format(self._request.response_format, self._translation)
        return config


def _default_length(facts: ModelFacts) -> int | None:
    """The default length of an answer, which never exceeds the model's limit."""
    default, limit = facts.default_max_tokens, facts.max_output_tokens
    if default is None or limit is None:
        return limit if default is None else default
    return min(default, limit)


def _is_long(max_tokens: Any) -> bool:
    """Whether an answer may be too long to be sent whole. `max_tokens` may be any JSON if an option has set it."""
    if isinstance(max_tokens, msgspec.Raw):
        max_tokens = json_text.decode(bytes(max_tokens))
    return isinstance(max_tokens, int) and max_tokens > LONG_ANSWER_TOKENS


def _unknown(facts: ModelFacts) -> ModelFacts:
    """Facts in which only those for required members are known: the provider decides about all other members."""
    return dataclasses.replace(ModelFacts(), default_max_tokens=facts.default_max_tokens)
