"""ReasoningConfig → the member `reasoning`. https://platform.openai.com/docs/guides/reasoning"""

from __future__ import annotations

from typing import Any

import msgspec

from services.models.providers.openai.common.reasoning_rules import asks_about_reasoning, wanted_effort
from services.models.providers.openai.common.translation import OpenAITranslation
from services.shared import json_text

EFFORT_IN_CHAT_COMPLETIONS = "reasoning_effort"


def encode_reasoning(translation: OpenAITranslation) -> dict[str, Any]:
    """How much the model thinks and whether that is shown; empty where nothing is asked or the model cannot."""
    if not asks_about_reasoning(translation):
        return {}
    said: dict[str, Any] = {}
    effort = wanted_effort(translation)
    if effort:
        said["effort"] = effort
    if translation.request.reasoning.include_text:
        said["summary"] = "auto"
    return said


def respell_effort(body: dict[str, Any]) -> None:
    """Puts the effort of a caller's options, in the words of Chat Completions, where Responses wants it.

    A caller does not choose between the two.
    """
    if EFFORT_IN_CHAT_COMPLETIONS not in body:
        return
    effort, reasoning = body.pop(EFFORT_IN_CHAT_COMPLETIONS), body.get("reasoning")
    if isinstance(reasoning, msgspec.Raw):
        text = bytes(reasoning).decode()
        reasoning = json_text.raw_members(text) if json_text.is_object(text) else None
    body["reasoning"] = {**(reasoning or {}), "effort": effort}
