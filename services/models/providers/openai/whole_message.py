"""Whole messages where a stream should have pieces: some servers send all they have in one, or repeat it at the end."""

from __future__ import annotations

from typing import Any

from services.models.providers.answer import Answer
from services.models.providers.openai.response import REASONING, REFUSAL, TEXT, add_delta

MEMBERS = {REASONING: "reasoning", TEXT: "content", REFUSAL: "refusal"}


def rest_of_texts(answer: Answer, message: dict[str, Any]) -> dict[str, Any]:
    """The texts of a message without what the answer has of them already."""
    whole = Answer()
    add_delta(whole, message)
    rest: dict[str, Any] = {"reasoning_content": None, "audio": None}
    for key, member in MEMBERS.items():
        rest[member] = _rest(answer.text_of(key), whole.text_of(key))
    return rest


def _rest(told: str, text: str) -> str:
    if text.startswith(told):
        return text[len(told) :]
    # The same without the white space around it says nothing new.
    return "" if text.strip() in told else text
