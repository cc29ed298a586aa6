"""Thoughts within the content of a message, as Mistral's reasoning models write them, whole and in pieces.

https://docs.mistral.ai/capabilities/reasoning
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.models.providers import json_text
from services.models.providers.json_text import items_of

_items = msgspec.json.Decoder(list[msgspec.Raw])


def items_written(content: bytes) -> list[msgspec.Raw]:
    """The items of a list as they are written."""
    return _items.decode(content)


def join_thoughts(pieces: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """The thoughts of a message, each as its exact bytes, or the one that the pieces of a stream make up."""
    parts = [part for piece in pieces for part in piece]
    if len(pieces) < 2:
        return parts
    whole: dict[str, Any] = {}
    texts: list[dict[str, Any]] = []
    for part in map(json_text.decode, parts):
        whole |= {name: value for name, value in part.items() if value is not None or name not in whole}
        for item in items_of(part.get("thinking")):
            _add(texts, item)
    return [json_text.encode_any(whole | {"thinking": texts})]


def _add(texts: list[dict[str, Any]], item: Any) -> None:
    """Adds the next item of a thought, which goes on with the one before it where both are nothing but text."""
    newest = texts[-1] if texts else {}
    if all(_is_text(told) for told in (newest, item)):
        newest["text"] += item["text"]
    elif isinstance(item, dict):
        texts.append(dict(item))


def _is_text(item: Any) -> bool:
    return isinstance(item, dict) and item.keys() == {"type", "text"} and isinstance(item["text"], str)
