"""The body of a chat completion → an Answer. https://platform.openai.com/docs/api-reference/chat/object"""

from __future__ import annotations

from typing import Any

from services.models.providers.answers.answer import Answer
from services.models.providers.answers.dropped_members import (
    OF_CHOICES,
    OF_COMPLETIONS,
    warn_of_audio,
    warn_of_cut_logprobs,
    warn_of_members,
    warn_of_unknown_part,
)
from services.models.providers.answers.finish_reasons import finish_reason_of, finish_word
from services.models.providers.answers.large_logprobs import read_large_object
from services.models.providers.answers.logprobs import read_logprobs
from services.models.providers.answers.openai_usage import read_counts_elsewhere, read_rates, read_usage
from services.models.providers.answers.values import read_word
from services.models.providers.errors.error_body import fault_in
from services.models.providers.errors.faults import Fault
from services.models.providers.errors.in_band_errors import bare_error_in, error_in
from services.models.providers.openai.chat_completions.called import calls_in, is_placeholder, read_call
from services.models.providers.openai.chat_completions.chat_answer import (
    FIRST_CALL,
    KNOWN_MEMBERS,
    REASONING,
    REFUSAL,
    TEXT,
    ChatAnswer,
    has_value,
)
from services.models.providers.openai.chat_completions.choices import sole_choice
from services.models.providers.openai.chat_completions.plain_answers import read_plain_answer
from services.models.providers.state.member_state import REASONING_NAMES
from services.shared import json_text
from services.shared.json_text import text_of

STOPPED = frozenset({"stop", "tool_calls"})
"""Finish reasons with which a stop sequence may have ended the answer; with others vLLM writes other values there."""

TEXTS = (*REASONING_NAMES, "refusal")
"""Members of a message with text beside its content."""
TEXT_PARTS = ("text", "output_text")
"""The types of parts of content that are text; the second is that of Responses."""


def read_answer(body: bytes, stop_sequence_member: str | None = None) -> Answer:
    """Raises Fault when the body is not a chat completion.

    `stop_sequence_member` is the member of a choice with the stop sequence that ended it, for servers that have one.
    """
    if stop_sequence_member is None and (plain := read_plain_answer(body)):
        return plain
    completion, light = read_large_object(body)
    answer = ChatAnswer()
    if light is not body:
        warn_of_cut_logprobs(answer)
        body = light
    choice, body = sole_choice(completion, body, answer)
    refuse_error(completion, choice)
    message = message_of(choice)
    if message is None:
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    read_header(answer, completion)
    add_delta(answer, message)
    if logprobs := read_logprobs(choice.get("logprobs")):
        answer.add_logprobs(TEXT, logprobs)
    answer.add_annotations(annotations_in(message))
    if not message.keys() <= KNOWN_MEMBERS:
        refuse_error_within(message)
        answer.keep(body, message)
    if isinstance(message.get("content"), list):
        answer.keep_thoughts(body, message)
    for index, call in enumerate(calls_in(message)):
        if is_placeholder(call):
            continue
        key = _add_whole_call(answer, call)
        answer.tie_to_call(key, answer.keep_of_call(None, body, message, index))
    warn_of_dropped_members(answer, completion, choice)
    read_finish(answer, choice, stop_sequence_member)
    read_end(answer, completion)
    read_counts_elsewhere(answer, completion, choice)
    return answer


def message_of(choice: dict[str, Any]) -> dict[str, Any] | None:
    """The message of a choice, in any member: `text` is that of completions before chat. None for a value that is no
    choice.

    An answer that ended before its first word has no message with some servers, only a finish reason.
    """
    for member in ("message", "delta"):
        if isinstance(choice.get(member), dict):
            message: dict[str, Any] = choice[member]
            return message
        if isinstance(choice.get(member), str) and choice[member]:
            return {"content": choice[member]}
    if isinstance(choice.get("text"), str):
        return {"content": choice["text"]}
    is_empty = choice.get("finish_reason") and not choice.get("message")
    return {} if is_empty else None


def refuse_error(completion: dict[str, Any], choice: dict[str, Any]) -> None:
    """Raises Fault for a completion, or a piece of one, that is an error or has one beside its choice or inside it."""
    error = error_in(completion) if choice else bare_error_in(completion)
    if error := error or choice.get("error"):
        raise fault_in(error)


def refuse_error_within(message: dict[str, Any]) -> None:
    """Raises Fault for a message, or a piece of one, that has an error instead of content."""
    if error := message.get("error"):
        raise fault_in(error)


def read_header(answer: Answer, completion: dict[str, Any]) -> None:
    """Reads the provider's id of the answer, and the model that generated it."""
    answer.provider_response_id = answer.provider_response_id or read_word(completion.get("id"))
    answer.model = answer.model or read_word(completion.get("model"))


def warn_of_dropped_members(answer: Answer, completion: dict[str, Any], choice: dict[str, Any]) -> None:
    """Adds notices for the members of a completion, or of a piece of one, that have no field in the contract."""
    warn_of_members(answer, completion, OF_COMPLETIONS)
    warn_of_members(answer, choice, OF_CHOICES)


def add_delta(answer: ChatAnswer, delta: dict[str, Any]) -> None:
    """Adds the text of a message, or of a piece of one."""
    _add_reasoning(answer, delta)
    content = delta.get("content")
    if isinstance(content, str):
        answer.add(TEXT, "text", content)
    elif content is not None and not isinstance(content, bool):
        _add_content_parts(answer, _parts_of(content))
    refusal = delta.get("refusal")
    if isinstance(refusal, str) and refusal:
        answer.add(REFUSAL, "refusal", refusal)
    audio = delta.get("audio")
    if isinstance(audio, dict):
        _add_speech(answer, audio, content)


def has_content(delta: dict[str, Any]) -> bool:
    """Whether a message, or a piece of one, has content."""
    content, audio = delta.get("content"), json_text.object_of(delta.get("audio"))
    has_words = any(map(_is_filled, content)) if isinstance(content, list) else bool(content)
    has_more = any(map(delta.get, TEXTS)) or any(map(audio.get, ("data", "transcript")))
    return has_words or has_more or any(call is not None for call in calls_in(delta))


def _is_filled(part: Any) -> bool:
    """Whether a part of content has any member with a value besides its type."""
    if not isinstance(part, str | dict):
        return False
    return bool(part) and (isinstance(part, str) or any(part[name] for name in part if name != "type"))


def _add_reasoning(answer: ChatAnswer, delta: dict[str, Any]) -> None:
    """Adds the text of the reasoning, which has several names; some servers write it under two of them."""
    added = ""
    for name in REASONING_NAMES:
        reasoning = delta.get(name)
        if not isinstance(reasoning, str):
            if has_value(reasoning):
                answer.keep_value(name, reasoning)
            continue
        if reasoning and not added:
            added = reasoning
            answer.add(REASONING, "reasoning", reasoning)
        if reasoning == added:
            answer.name_reasoning(name, has_text=bool(reasoning))
        elif reasoning:
            answer.keep_value(name, reasoning)


def _add_speech(answer: Answer, audio: dict[str, Any], content: Any) -> None:
    """Adds the transcript of spoken audio as text, because an answer cannot contain audio. A server may
    have the same as content.

    https://developers.openai.com/api/docs/guides/audio
    """
    transcript = audio.get("transcript")
    if isinstance(transcript, str) and transcript != content:
        answer.add(TEXT, "text", transcript)
    if audio.get("data"):
        warn_of_audio(answer)


def _add_content_parts(answer: Answer, parts: list[Any]) -> None:
    """Adds content that is a list, as Mistral's reasoning models give it: thoughts in `thinking` parts, then text.

    https://docs.mistral.ai/capabilities/reasoning
    """
    for part in parts:
        if isinstance(part, str):
            answer.add(TEXT, "text", part)
        if not isinstance(part, dict):
            continue
        if part.get("type", "text") in TEXT_PARTS:
            answer.add(TEXT, "text", _piece(part))
        elif part.get("type") == "thinking":
            for thought in json_text.items_of(part.get("thinking")):
                answer.add(REASONING, "reasoning", _piece(thought))
        else:
            warn_of_unknown_part(answer)


def _parts_of(content: Any) -> list[Any]:
    """The parts of content that is no text: a list, one part by itself, or the value of JSON that a proxy has read."""
    if isinstance(content, list):
        return content
    is_part = isinstance(content, dict) and ("type" in content or isinstance(content.get("text"), str))
    return [content if is_part else json_text.written(content)]


def _piece(part: Any) -> str:
    """The text of a part, which may end in half a character."""
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def annotations_in(message: dict[str, Any]) -> bytes:
    """The JSON of the sources that a message, or a piece of one, names for its text, without the brackets of a list."""
    annotations = json_text.items_of(message.get("annotations"))
    return json_text.encode_any(annotations)[1:-1] if annotations else b""


def _add_whole_call(answer: Answer, call: Any) -> int:
    """Returns the key of its block."""
    called = read_call(call)
    key = answer.open_tool_call(FIRST_CALL, read_word(call.get("id")), called.name)
    if not called.has_no_arguments:
        answer.add_arguments(key, called.arguments)
    return key


def read_finish(answer: Answer, choice: dict[str, Any], stop_sequence_member: str | None) -> None:
    """Reads the finish reason of the choice. Raises Fault for one that means an interrupted answer."""
    raw = finish_word(choice.get("finish_reason"))
    answer.finish(finish_reason_of(raw), raw)
    if stop_sequence_member and raw in STOPPED:
        answer.stop_sequence = text_of(choice.get(stop_sequence_member))


def read_end(answer: Answer, completion: dict[str, Any]) -> None:
    """Reads the usage and the rates of a completion, or of a piece of one."""
    if completion.get("service_tier"):
        read_rates(answer, completion["service_tier"])
    if completion.get("usage"):
        read_usage(answer, completion["usage"])
