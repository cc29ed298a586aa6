"""Fits the sampling parameters of a request to those that a model accepts, with a notice for each change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proto import models_pb2
from services.models.providers.facts import ModelFacts
from services.models.providers.notices import Notices, changed, dropped

NEUTRAL: Mapping[str, float] = {
    "temperature": 1,
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logprobs": False,
    "top_logprobs": 0,
}
"""Neutral values: they mean the same as leaving the parameter out."""


def fit(request: models_pb2.ChatRequest, facts: ModelFacts, model: str) -> tuple[dict[str, Any], Notices]:
    """Returns the parameters to send, by their ChatConfig names, and a warning for each change."""
    given: dict[str, Any] = {field.name: value for field, value in request.config.ListFields()}
    if request.parameter_policy == models_pb2.PARAMETER_POLICY_PASSTHROUGH or not given:
        return given, []
    notices = _changes(given, facts, model)
    if "parallel_tool_calls" in given and not request.tools:
        del given["parallel_tool_calls"]
        notices.append(_dropped("parallel_tool_calls", "the request has no tools; it was not sent"))
    if "top_logprobs" in given and not given.get("logprobs"):
        _leave_out_top_logprobs(given, notices)
    return given, notices


def _changes(given: dict[str, Any], facts: ModelFacts, model: str) -> Notices:
    refused = sorted(given.keys() & facts.unsupported)
    notices = [
        _dropped(name, f"{model} does not take {name}; it was not sent")
        for name in refused
        if given.pop(name) != NEUTRAL.get(name)
    ]
    if facts.exclusive and all(name in given for name in facts.exclusive):
        kept, left_out = facts.exclusive
        del given[left_out]
        notices.append(_dropped(left_out, f"{model} takes {kept} or {left_out}, not both; only {kept} was sent"))
    limit = facts.max_temperature
    if limit is not None and given.get("temperature", 0.0) > limit:
        given["temperature"] = limit
        message = f"{model} takes a temperature of at most {limit:g}; {limit:g} was sent"
        notices.append(changed("config.temperature", message))
    return notices


def _leave_out_top_logprobs(given: dict[str, Any], notices: Notices) -> None:
    if given.pop("top_logprobs"):
        notices.append(_dropped("top_logprobs", "the request does not ask for logprobs; it was not sent"))


def _dropped(name: str, message: str) -> models_pb2.Notice:
    return dropped(f"config.{name}", message)
