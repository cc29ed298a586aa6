"""Tools: the rules that both of OpenAI's dialects share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proto import models_pb2
from services.models.providers.openai.common.translation import OpenAITranslation

OWN_MEMBERS = frozenset({"type", "function", "name", "description", "parameters", "strict"})
"""The members of a function that have a field in the contract."""

TOOL_CHOICES = {
    models_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    models_pb2.TOOL_CHOICE_MODE_NONE: "none",
    models_pb2.TOOL_CHOICE_MODE_REQUIRED: "required",
}


def check_number(translation: OpenAITranslation) -> None:
    """Refuses more tools than the server takes: "array too long. Expected an array with maximum length 128"."""
    most, number = translation.traits.max_tools, len(translation.request.tools)
    if most and number > most and translation.adapts:
        translation.refuse("tools", f"{translation.traits.title} takes at most {most} tools, not {number}")


def encode_tool_choice(translation: OpenAITranslation, named: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The tool choice, in both dialects; `named` encodes a choice of one tool in the form of the dialect."""
    choice, target = translation.request.tool_choice, translation.target
    mode = TOOL_CHOICES.get(choice.mode)
    by_name = choice.WhichOneof("choice") == "tool_name"
    if (by_name or mode == "required") and translation.adapts and not target.facts.forced_tool_choice:
        problem = f"{target.model} cannot be made to call a tool; it was left to choose"
        translation.warn_changed("tool_choice", problem)
        return {"tool_choice": "auto"}
    if by_name:
        return {"tool_choice": named(choice.tool_name)}
    return {"tool_choice": mode} if mode else {}
