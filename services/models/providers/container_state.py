"""A container of Anthropic's as opaque state of an answer: a part that no provider but Anthropic has a use for.

It comes in a wrapping of ours, whose only member it is. Blocks and items of providers have a type, so it is neither.
"""

from __future__ import annotations

from typing import Any

from proto import models_pb2
from services.models.providers import json_text

_START = b'{"container":'


def wrap_container(container_json: bytes) -> bytes:
    """The state for a container that the provider wrote so."""
    return _START + container_json + b"}"


def container_in(part: models_pb2.ContentPart) -> Any:
    """The container that a part is, whoever made it; None for any other part."""
    data = part.provider_state.data
    # What state there is otherwise may be large, and need not be read.
    if part.WhichOneof("kind") is not None or not data.startswith(_START):
        return None
    try:
        members = json_text.decode(data)
    except json_text.Malformed:
        return None
    return members["container"] if isinstance(members, dict) and len(members) == 1 else None
