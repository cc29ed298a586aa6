"""Values of a provider's JSON, read within bounds."""

from __future__ import annotations

from typing import Any

from services.models.providers.errors.faults import Fault
from services.shared import json_text

MAX_WORD_LENGTH = 4096


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object in a provider's bytes. Raises Fault for anything else."""
    try:
        value = json_text.decode(data)
    except json_text.Malformed:
        raise Fault("UPSTREAM_PROTOCOL_ERROR") from None
    if not isinstance(value, dict):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return value


def read_word(value: Any) -> str:
    """An id, a name or a word that a provider sent; "" for a value that is not a text. Raises Fault for more than
    MAX_WORD_LENGTH characters, because every copy of the answer would contain them."""
    if not value:
        return ""
    word = json_text.text_of(value)
    if len(word) > MAX_WORD_LENGTH:
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return word
