"""Errors that come with status 200: as an event, as the whole body, inside a choice or beside one.

vLLM names the event `error` and sends its members bare, or marks them with `"object": "error"`; Anthropic marks them
with `"type": "error"`; most wrap them in `error`, which is null in what is none.
"""

from __future__ import annotations

from typing import Any

from services.models.providers import json_text
from services.models.providers.error_body import fault_in
from services.models.providers.event_stream import ERROR
from services.models.providers.faults import Fault


def fault_of_event(data: bytes) -> Fault:
    """The fault in an event that is named `error`, whatever its data are."""
    try:
        told = json_text.decode(data)
    except json_text.Malformed:
        return fault_in(data.decode("utf-8", "replace"))
    return fault_in(told)


def error_in(told: dict[str, Any]) -> Any:
    """The object if it holds an error, or is one, or None: some have what tells of it beside it."""
    is_error = told.get("error") or told.get("object") == ERROR or told.get("type") == ERROR
    return told if is_error else None


def bare_error_in(told: dict[str, Any]) -> Any:
    """The same of an object that holds nothing of an answer, where a message with a code or a type is an error too."""
    if error := error_in(told):
        return error
    is_bare = isinstance(told.get("message"), str) and (told.get("code") or told.get("type"))
    return told if is_bare else None
