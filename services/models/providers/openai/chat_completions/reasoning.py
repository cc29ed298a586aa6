"""ReasoningConfig → members of a chat completion's body."""

from __future__ import annotations

from typing import Any

from services.models.providers.openai.common.reasoning_rules import asks_about_reasoning, wanted_effort
from services.models.providers.openai.common.translation import OpenAITranslation


def encode_reasoning(translation: OpenAITranslation) -> dict[str, Any]:
    """The members that say how much the model thinks; empty where nothing is asked or the model cannot."""
    if not asks_about_reasoning(translation):
        return {}
    return {**_effort(translation), **_budget(translation), **_include_text(translation)}


def _effort(translation: OpenAITranslation) -> dict[str, Any]:
    effort = wanted_effort(translation)
    if not effort:
        return {}
    switch = translation.traits.reasoning.template_switch
    if switch is None:
        return {"reasoning_effort": effort}
    if effort == "none":
        return {"chat_template_kwargs": {switch: False}}
    return {"reasoning_effort": effort, "chat_template_kwargs": {switch: True}}


def _budget(translation: OpenAITranslation) -> dict[str, Any]:
    wanted, member = translation.request.reasoning, translation.traits.reasoning.budget
    return {member: wanted.budget_tokens} if member and wanted.HasField("budget_tokens") else {}


def _include_text(translation: OpenAITranslation) -> dict[str, Any]:
    wanted, traits = translation.request.reasoning, translation.traits
    if not wanted.HasField("include_text"):
        return {}
    if traits.reasoning.include_text:
        return {traits.reasoning.include_text: wanted.include_text}
    if wanted.include_text or traits.shows_reasoning:
        shown = "cannot be told whether to show its reasoning" if traits.shows_reasoning else "shows no reasoning"
        translation.warn_dropped("reasoning.include_text", f"{traits.title} {shown} in Chat Completions")
    return {}
