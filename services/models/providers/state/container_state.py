"""A container of Anthropic as opaque state of an answer: a part that only Anthropic uses.

It comes in a wrapping of ours, whose only member it is. Blocks and items of providers have a type, so it is neither.
"""

from __future__ import annotations

import msgspec

from proto import models_pb2
from services.shared import json_text

_START = b'{"container":'


class Container(msgspec.Struct):
    """The part of a container that is read."""

    id: str | None = None


class _Wrapping(msgspec.Struct, forbid_unknown_fields=True):
    container: Container


def wrap_container(container_json: bytes) -> bytes:
    """The opaque state for a container, from the provider's exact JSON."""
    return _START + container_json + b"}"


def container_in(part: models_pb2.ContentPart) -> Container | None:
    """The container that a part is, of any provider; None for any other part."""
    data = part.provider_state.data
    # Other state may be large, and need not be decoded.
    if part.WhichOneof("kind") is not None or not data.startswith(_START):
        return None
    try:
        return json_text.decode_exactly(data, _Wrapping).container
    except json_text.Malformed:
        return None
