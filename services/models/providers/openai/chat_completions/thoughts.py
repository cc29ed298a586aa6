"""Thoughts within the content of a message, as Mistral's reasoning models write them, whole and in pieces.

https://docs.mistral.ai/capabilities/reasoning
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from services.shared import json_text
from services.shared.json_text import items_of

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
    items: list[Any] = []
    for part in map(json_text.decode, parts):
        whole |= {name: value for name, value in part.items() if value is not None or name not in whole}
        items += items_of(part.get("thinking"))
    return [json_text.encode_any(whole | {"thinking": list(_joined(items))})]


def _joined(items: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The items of a thought, with neighbours that are only text joined to one."""
    objects = (item for item in items if isinstance(item, dict))
    for is_text, group in itertools.groupby(objects, _is_text):
        if is_text:
            texts = list(group)
            yield texts[0] | {"text": "".join([item["text"] for item in texts])}
        else:
            yield from group


def _is_text(item: dict[str, Any]) -> bool:
    return item.keys() == {"type", "text"} and isinstance(item["text"], str)
