"""ReasoningConfig → the member `reasoning`. https://platform.openai.com/docs/guides/reasoning"""

from __future__ import annotations

from typing import Any

from services.models.providers.openai.reasoning_rules import asks_about_reasoning, wanted_effort
from services.models.providers.openai.translation import Translation


def encode_reasoning(translation: Translation) -> dict[str, Any]:
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
