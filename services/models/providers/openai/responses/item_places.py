"""The places of a stream's items in the output, and the item that each event belongs to.

By protocol every event has the place in `output_index`, and the response that ends the stream has the items in that
order. Real servers differ: the numbers may be missing or the same for all, ids may be missing or new in every event,
and the last response may have other ids and other places (BerriAI/litellm #22102, vllm-project/vllm #56285).
"""

from __future__ import annotations

from typing import Any

from services.models.providers.answers.answer import MAX_BLOCKS
from services.models.providers.answers.values import read_word
from services.models.providers.errors.faults import Fault
from services.models.providers.openai.responses.output_items import OutputItems, index_of, kind_of, name_of, parts_of

MESSAGE, REASONING, CALL = "message", "reasoning", "call"
"""Kinds of items that arrive in pieces."""

MAX_COMPARED = 256
"""Limit for comparisons of items by content: servers with other numbers at the end have few items."""


class ItemPlaces:
    """The places of the items of one stream."""

    def __init__(self, items: OutputItems) -> None:
        self._items = items
        self._by_id: dict[str, int] = {}
        """Places of items by their ids and by those of their calls."""
        self._shared_ids: set[str] = set()
        """Ids that several items share; they identify no item."""
        self._opened: set[int] = set()
        """Places of items that began with an event of their own, and not with a piece."""
        self._kinds: dict[int, str] = {}
        """Kinds of the items that have begun, by place."""
        self._last = -1
        """The highest place of an item that has begun."""
        self._compared = 0
        """The number of comparisons by content so far."""
        self._moved: dict[int, int] = {}
        """The place of the newest item by its number, if that number was already in use."""
        self._unnumbered: dict[str, int] = {}
        """The place of the current item of each kind whose pieces have no number."""
        self._newest: int | None = None
        """The place of the item that began last, until it is whole."""

    def of_event(self, event: dict[str, Any], kind: str) -> int:
        """The place of the item that a piece belongs to."""
        number = event.get("output_index")
        if number is None:
            item_id = self._own_id(event.get("item_id"))
            return self._of_id(item_id, kind) if item_id else self._of_newest(kind)
        index = index_of(number)
        if self._moved:
            place = self._by_id.get(read_word(event.get("item_id")))
            index = self._moved.get(index, index) if place is None else place
        known = self._kinds.get(index)
        if known == kind and not (self._items.is_whole(index) and self._is_of_next(kind, event)):
            return index
        if known is None:
            self._begin(index, kind, read_word(event.get("item_id")))
            return index
        # The number is another item's: some servers give all pieces the same number.
        place = self._by_id.get(read_word(event.get("item_id")))
        if place is None or self._kinds[place] != kind or self._items.is_whole(place):
            return self._of_newest(kind)
        return place

    def _is_of_next(self, kind: str, event: dict[str, Any]) -> bool:
        """Whether an event with the number of a whole item belongs to the next item."""
        return "delta" in event or kind in self._unnumbered

    def of_item(self, event: dict[str, Any], item: dict[str, Any], *, is_beginning: bool) -> int:
        """The place of the item in an event. The number alone is not enough, because some servers give all items the
        same one; nor is the id, because others give an item a new one in each event."""
        kind, item_id = kind_of(item), self._own_id(item.get("id") or item.get("call_id"))
        number = event.get("output_index")
        if number is None:
            place = self._of_unnumbered(item, item_id, is_beginning=is_beginning)
        else:
            place = self._of_numbered(index_of(number), item, item_id, is_beginning=is_beginning)
        self._begin(place, kind, item_id)
        if is_beginning:
            self._opened.add(place)
        if call_id := read_word(item.get("call_id")):
            self._by_id.setdefault(call_id, place)
        self._newest = place if is_beginning else None
        return place

    def of_output(self, output: list[Any]) -> list[int]:
        """The places of all items of the last response, in its order. An item has the place of a streamed one with the
        same id, else of the same kind at the same place, else of the same content; otherwise a new place."""
        places: dict[int, int] = {}
        unmatched = set(self._kinds)
        for find in (self._same_by_id, self._same_by_place, self._same_by_content):
            for order, item in enumerate(output):
                if order in places or not isinstance(item, dict):
                    continue
                place = find(order, item, unmatched)
                if place is not None:
                    places[order] = place
                    unmatched.remove(place)
        return self._with_new(places, len(output))

    def _with_new(self, places: dict[int, int], count: int) -> list[int]:
        """The places of `count` items: the known `places`, and new ones for the others."""
        taken, free = set(self._kinds), self._last + 1
        for order in range(count):
            if order not in places:
                places[order] = free if order in taken else order
                taken.add(places[order])
                free = max(free, places[order] + 1)
        return [places[order] for order in range(count)]

    def _same_by_id(self, _: int, item: dict[str, Any], unmatched: set[int]) -> int | None:
        named = (self._by_id.get(read_word(item.get(member))) for member in ("id", "call_id"))
        return next((place for place in named if place in unmatched), None)

    def _same_by_place(self, order: int, item: dict[str, Any], unmatched: set[int]) -> int | None:
        is_same = order in unmatched and self._kinds[order] == kind_of(item)
        return order if is_same and self._items.name_at(order) in ("", name_of(item)) else None

    def _same_by_content(self, _: int, item: dict[str, Any], unmatched: set[int]) -> int | None:
        self._compared += len(unmatched) * max(1, len(parts_of(item)))
        if self._compared > MAX_COMPARED:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        kind = kind_of(item)
        same_kind = (place for place in sorted(unmatched) if self._kinds[place] == kind)
        return next((place for place in same_kind if self._items.goes_on(place, item)), None)

    def _of_unnumbered(self, item: dict[str, Any], item_id: str, *, is_beginning: bool) -> int:
        open_place = self._unnumbered.pop(kind_of(item), None)
        known = self._by_id.get(item_id)
        if known is not None and not self._has_another(known, item, item_id, is_beginning=is_beginning):
            return known
        if open_place is not None:
            return open_place
        if is_beginning or self._newest is None or self._kinds[self._newest] != kind_of(item):
            return self._next()
        return self._newest if self._items.name_at(self._newest) in ("", name_of(item)) else self._next()

    def _of_numbered(self, index: int, item: dict[str, Any], item_id: str, *, is_beginning: bool) -> int:
        kind = kind_of(item)
        open_place = self._unnumbered.pop(kind, None)
        place, known = self._moved.get(index, index), self._by_id.get(item_id)
        is_free = place not in self._kinds
        if known is not None and self._kinds[known] != kind:
            known = None
        is_others = self._kinds.get(place) != kind or self._items.is_whole(place)
        if open_place is not None and is_others and (known is None or self._items.is_whole(known)):
            # Its pieces had no number.
            self._moved[index] = open_place
            return open_place
        if known is not None and is_free and self._is_settled(known, is_beginning=is_beginning):
            return place
        for likely in (place,) if known is None else (known, place):
            if likely not in self._kinds or not self._has_another(likely, item, item_id, is_beginning=is_beginning):
                return likely
        self._moved[index] = self._next()
        return self._moved[index]

    def _is_settled(self, place: int, *, is_beginning: bool) -> bool:
        """Whether the item at a place needs no further event of this kind."""
        return self._items.is_whole(place) or (is_beginning and place in self._opened)

    def _has_another(self, place: int, item: dict[str, Any], item_id: str, *, is_beginning: bool) -> bool:
        """True if another item has begun at a place."""
        if self._kinds[place] != kind_of(item):
            return True
        is_known = self._by_id.get(item_id) == place
        if self._items.is_whole(place):
            call_id = read_word(item.get("call_id"))
            is_other_call = bool(call_id) and self._by_id.get(call_id, place) != place
            return is_other_call or (bool(item_id) and not is_known) or not self._items.goes_on(place, item)
        if not is_beginning:
            return False
        if is_known:
            return self._items.name_at(place) not in ("", name_of(item))
        return bool(item_id) or place in self._opened

    def _of_id(self, item_id: str, kind: str) -> int:
        """The place of an item that has no number.

        llama.cpp sends no numbers: the order in which ids first appear gives the places. Its calls have
        only a `call_id`, which later events name as `item_id`.
        """
        place = self._by_id.get(item_id)
        if place is None or self._kinds[place] != kind:
            place = self._next()
            self._begin(place, kind, item_id)
        return place

    def _own_id(self, value: Any) -> str:
        """An id, or "" for one that several items share."""
        item_id = read_word(value)
        return "" if item_id in self._shared_ids else item_id

    def _of_newest(self, kind: str) -> int:
        """The place of the item that began last, or of the only item of its kind without numbers so far."""
        if self._newest is not None and self._kinds[self._newest] == kind:
            return self._newest
        place = self._unnumbered.get(kind)
        if place is None:
            place = self._unnumbered[kind] = self._next()
            self._begin(place, kind, "")
        return place

    def _begin(self, place: int, kind: str, item_id: str) -> None:
        self._kinds[place] = kind
        self._last = max(self._last, place)
        if item_id and item_id not in self._shared_ids and self._by_id.setdefault(item_id, place) != place:
            del self._by_id[item_id]
            self._shared_ids.add(item_id)
        if len(self._kinds) > MAX_BLOCKS or len(self._by_id) + len(self._shared_ids) > 2 * MAX_BLOCKS:
            raise Fault("OUTPUT_LIMIT")

    def _next(self) -> int:
        return index_of(self._last + 1)
