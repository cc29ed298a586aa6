"""A JSON value that arrives in pieces, joined by the rules of the servers that send it so.

Text is appended, or replaced by a longer text that repeats it, as MiniMax sends it; members of objects are merged, and
an entry of a list continues the one with its `index`, or else follows all others (`accumulate_delta` of openai 3.54;
for `reasoning_details` https://openrouter.ai/docs/guides/best-practices/reasoning-tokens and
https://platform.minimax.io/docs/guides/text-m2-function-call). What came in one piece stays as its exact bytes.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from services.shared import json_text

WHOLE_TEXTS = frozenset({"id", "type", "index", "format", "name", "role", "signature", "thought_signature", "url"})
"""Members whose text is never cut: one that comes again is the same, or the newer one."""

MAX_DEPTH = 32
"""Depth to which nested values are joined; below it, the newest value replaces the earlier one."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


class _Entry(msgspec.Struct):
    """Identity of an entry of a list."""

    index: Any = None
    type: Any = None
    id: Any = None
    image_url: Any = None
    """An image comes whole, and another one may have its index."""

    def continues(self, earlier: _Entry) -> bool:
        """True if this is a later piece of the same entry. Some servers count the entries of each type apart."""
        if not isinstance(self.index, int) or self.index != earlier.index:
            return False
        pairs = ((self.type, earlier.type), (self.id, earlier.id), (self.image_url, earlier.image_url))
        return all(mine is None or its is None or mine == its for mine, its in pairs)


_entry = msgspec.json.Decoder(_Entry, float_hook=float)


def _entry_of(item: bytes) -> _Entry:
    if not item.startswith(b"{"):
        return _Entry()
    try:
        return _entry.decode(item)
    except msgspec.ValidationError:
        # Its number is outside of our range, and it is left unchanged.
        return _Entry()


MIN_GROWING_PIECES = 3
MIN_GROWING_LENGTH = 16
"""Number of pieces, or their length, from which pieces that each begin with the one before are a text as it grows."""


def _grows(pieces: list[str]) -> bool:
    """Whether pieces are one text as it grows, each with all that came before it."""
    is_told = len(pieces) >= MIN_GROWING_PIECES or len(pieces[0]) >= MIN_GROWING_LENGTH
    return is_told and all(
        later.startswith(earlier) and len(later) > len(earlier) for earlier, later in itertools.pairwise(pieces)
    )


class JoinedValue:
    """One value. Its pieces must be valid JSON."""

    __slots__ = ("_depth", "_entries", "_items", "_members", "_pieces", "_raw")

    def __init__(self, raw: bytes, depth: int = 0) -> None:
        self._depth = depth
        self._begin(raw)

    def _begin(self, raw: bytes) -> None:
        self._raw = raw
        self._pieces: list[str] | None = None
        self._members: dict[str, JoinedValue] | None = None
        self._items: list[JoinedValue] | None = None
        self._entries: list[_Entry] = []

    def add(self, raw: bytes, *, is_whole: bool = False) -> None:
        """Takes the next piece; one that `is_whole` replaces what came before."""
        if raw in (b"null", b'""'):
            return
        kind = raw[:1]
        if is_whole or kind != self._raw[:1] or kind not in (b'"', b"{", b"[") or self._depth == MAX_DEPTH:
            self._begin(raw)
        elif kind == b'"':
            self._add_text(raw)
        elif kind == b"{":
            self._add_members(raw)
        else:
            self._add_items(raw)

    def _add_text(self, raw: bytes) -> None:
        if self._pieces is None:
            self._pieces = [_text.decode(self._raw)]
        self._pieces.append(_text.decode(raw))

    def _add_members(self, raw: bytes) -> None:
        if self._members is None:
            self._members = {}
            self._merge(self._raw)
        self._merge(raw)

    def _merge(self, raw: bytes) -> None:
        assert self._members is not None
        for name, value in _members.decode(raw).items():
            member = self._members.get(name)
            if member is None:
                self._members[name] = JoinedValue(bytes(value), self._depth + 1)
            else:
                member.add(bytes(value), is_whole=name in WHOLE_TEXTS)

    def _add_items(self, raw: bytes) -> None:
        if self._items is None:
            self._items = []
            self._extend(self._raw)
        self._extend(raw)

    def _extend(self, raw: bytes) -> None:
        assert self._items is not None
        for item in map(bytes, _items.decode(raw)):
            entry = _entry_of(item)
            place = self._place_of(entry)
            if place is None:
                self._items.append(JoinedValue(item, self._depth + 1))
                self._entries.append(entry)
            else:
                self._items[place].add(item)

    def _place_of(self, entry: _Entry) -> int | None:
        """The index of the entry that this one continues. Only the newest are asked: pieces come in their order."""
        for place in range(len(self._entries) - 1, max(-1, len(self._entries) - 17), -1):
            if entry.continues(self._entries[place]):
                return place
        return None

    def written(self) -> bytes:
        """The whole value, as JSON."""
        if self._pieces is not None:
            return json_text.encode(self._pieces[-1] if _grows(self._pieces) else "".join(self._pieces))
        if self._members is not None:
            return json_text.encode({name: msgspec.Raw(value.written()) for name, value in self._members.items()})
        if self._items is not None:
            return json_text.encode([msgspec.Raw(item.written()) for item in self._items])
        return self._raw
