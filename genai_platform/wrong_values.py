"""Errors about values that a field cannot hold: the field's path, the expected type, and the type that was given.

A text is never repeated in an error: it may be a key, or a part of a conversation.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

FOREIGN_NAMES = {
    "stop": "stop_sequences",
    "stop_tokens": "stop_sequences",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "reasoning_effort": 'reasoning={"effort": …}',
    "thinking": 'reasoning={"budget_tokens": …}',
    "text_format": "response_format",
    "response_schema": "response_format",
    "json_schema": 'response_format={"schema": …}',
    "functions": "tools",
    "function_call": "tool_choice",
    "user": "end_user_id",
    "system_prompt": "system",
    "system_instruction": "system",
    "instructions": "system",
    "input": "messages",
    "contents": "messages",
    "extra_body": "provider_options",
    "fallbacks": "fallback_models",
    "idempotency_key": "request_id",
    "conversation": "session_id",
    "conversation_id": "session_id",
    "url": "endpoint",
    "base_url": "endpoint",
    "api_base": "endpoint",
    "api_key": 'credential={"env_var": …}',
    "type": "adapter_type",
    "text": "content",
    "limit": "page_size",
    "expires_in": "ttl",
}
"""Names in other programs' interfaces, and the fields here that mean the same, for those requests that have them."""

EXPLAINED_NAMES = {
    "stream": "call chat_stream for a stream",
    "n": "a call has one answer; make several calls",
    "extra_headers": "give metadata= for gRPC, or provider_options",
}
"""Names in other programs' interfaces for which there is no field here."""

MAX_LISTED = 14
"""The number of fields up to which all are listed in an error."""


def wrong_type(path: str, expected: str, value: object) -> TypeError:
    """The error for a value of another type."""
    return TypeError(f"{path}: must be {expected}, not {describe(value)}")


def describe(value: object) -> str:
    """A value in an error: a number by itself, anything else by its type."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return with_article(type(value).__name__)


def with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def unknown_fields(path: str, names: Collection[object], owner: str, known: Collection[str]) -> TypeError:
    """The error for names that no field has, with the names that may be meant."""
    prefix = f"{path}." if path else ""
    problems = [f"{prefix}{name}: {_explain_unknown(str(name), owner, known)}" for name in sorted(map(str, names))]
    return TypeError("; ".join(problems))


def _explain_unknown(name: str, owner: str, known: Collection[str]) -> str:
    meant = FOREIGN_NAMES.get(name, "")
    if meant.partition("=")[0] in known:
        return f"no such field; did you mean {meant}?"
    if name in EXPLAINED_NAMES and "tool_choice" in known:
        return f"no such field; {EXPLAINED_NAMES[name]}"
    similar = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.7)
    if similar:
        return f"no such field; did you mean {' or '.join(similar)}?"
    if len(known) <= MAX_LISTED:
        return f"no such field; {owner} has {', '.join(known) or 'none'}"
    return f"{owner} has no such field"


def check_names(path: str, given: Mapping[Any, Any], owner: str, known: Collection[str]) -> None:
    """Raises TypeError for names that no field has; those without a value are passed over."""
    unknown = [name for name, value in given.items() if name not in known and value is not None]
    if unknown:
        raise unknown_fields(path, unknown, owner, known)


def check_text(path: str, value: Any) -> str:
    """The value, which must be a text."""
    if isinstance(value, str):
        return value
    raise wrong_type(path, "a text", value)
