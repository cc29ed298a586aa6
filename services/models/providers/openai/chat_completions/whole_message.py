"""Whole messages in a stream: some servers send the answer in one message, or repeat it in one at the end."""

from __future__ import annotations

from typing import Any

from services.models.providers.openai.chat_completions.called import calls_in
from services.models.providers.openai.chat_completions.chat_answer import (
    KNOWN_MEMBERS,
    REASONING,
    REFUSAL,
    TEXT,
    ChatAnswer,
)
from services.models.providers.openai.chat_completions.response import add_delta
from services.models.providers.openai.chat_completions.streamed_calls import StreamedCalls
from services.models.providers.state.member_state import REASONING_NAMES


def rest_of_message(answer: ChatAnswer, calls: StreamedCalls, message: dict[str, Any]) -> dict[str, Any]:
    """The rest of a whole message beyond its earlier pieces, as a piece; of its calls, the new ones.
    Raises Fault if a call differs from its pieces."""
    whole = ChatAnswer()
    add_delta(whole, message)
    reasoning_name = next((name for name in REASONING_NAMES if message.get(name)), REASONING_NAMES[0])
    rest: dict[str, Any] = {
        member: _rest(answer, key, whole.text_of(key))
        for key, member in ((REASONING, reasoning_name), (TEXT, "content"), (REFUSAL, "refusal"))
        if whole.has_block(key)
    }
    rest["tool_calls"] = calls.take_whole(calls_in(message))
    if not answer.is_annotated:
        rest["annotations"] = message.get("annotations")
    return rest | {name: message[name] for name in message.keys() - KNOWN_MEMBERS if not answer.keeps(name)}


def _rest(answer: ChatAnswer, key: int, text: str) -> str:
    earlier = answer.text_of(key)
    answer.count_compared(earlier, text)
    if text.startswith(earlier):
        return text[len(earlier) :]
    # A text that differs only in the white space around it is a repetition.
    return "" if text.strip() in earlier else text
