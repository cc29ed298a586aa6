"""Where in the output the item is that an event of a stream is about.

By protocol `output_index` says so in every event, and the response that ends the stream has the items in that order. In
the wild the numbers may be missing or the same for all, ids may be missing or be others in every event, and the last
response may have other ids and other places (BerriAI/litellm #22102, vllm-project/vllm #56285).
"""

from __future__ import annotations

from typing import Any

from services.models.providers.answer import MAX_BLOCKS
from services.models.providers.faults import Fault, word_of
from services.models.providers.openai_responses.output_items import OutputItems, index_of, kind_of, name_of, parts_of

MESSAGE, REASONING, CALL = "message", "reasoning", "call"
"""What an item that is told in pieces can be."""

MAX_COMPARED = 256
"""Those that servers number otherwise at the end are few."""


class ItemPlaces:
    """The places of the items of one stream."""

    def __init__(self, items: OutputItems) -> None:
        self._items = items
        self._by_id: dict[str, int] = {}
        """Of items, by their ids and those of their calls."""
        self._kinds: dict[int, str] = {}
        """Of the items that have begun."""
        self._last = -1
        """The last place of them."""
        self._compared = 0
        """How many items the parts of those of the last response may have been compared with by content."""
        self._moved: dict[int, int] = {}
        """Where the newest item is whose number was taken."""
        self._unnumbered: dict[str, int] = {}
        """Where the item of each kind is whose pieces say nothing of their place."""
        self._newest: int | None = None
        """The item that has begun last, until it is whole."""

    def of_event(self, event: dict[str, Any], kind: str) -> int:
        """The place of the item that a piece is of."""
        number = event.get("output_index")
        if number is None:
            item_id = word_of(event.get("item_id"))
            return self._of_id(item_id, kind) if item_id else self._of_newest(kind)
        index = index_of(number)
        if self._moved:
            place = self._by_id.get(word_of(event.get("item_id")))
            index = self._moved.get(index, index) if place is None else place
        known = self._kinds.get(index)
        if known == kind:
            return index
        if known is None:
            self._begin(index, kind, word_of(event.get("item_id")))
            return index
        # Another item's: some servers give all pieces one number.
        place = self._by_id.get(word_of(event.get("item_id")))
        return self._of_newest(kind) if place is None or self._kinds[place] != kind else place

    def of_item(self, event: dict[str, Any], item: dict[str, Any], *, is_beginning: bool) -> int:
        """The place of the item that an event has, which may be another one at a place that is taken: some servers give
        all items one number. Others give one item another id in each event, so the id alone tells nothing."""
        kind, item_id = kind_of(item), word_of(item.get("id") or item.get("call_id"))
        number = event.get("output_index")
        if number is None:
            place = self._of_unnumbered(kind, item_id, is_beginning=is_beginning)
        else:
            place = self._of_numbered(index_of(number), kind, item_id, is_beginning=is_beginning)
        self._begin(place, kind, item_id)
        if call_id := word_of(item.get("call_id")):
            self._by_id.setdefault(call_id, place)
        self._newest = place if is_beginning else None
        return place

    def of_output(self, output: list[Any]) -> list[int]:
        """The places of all items, in the order in which the last response has them: that of the same id, or else of
        the same kind at the same place, or of the same content. Others are new."""
        places: dict[int, int] = {}
        untold = set(self._kinds)
        for find in (self._same_by_id, self._same_by_place, self._same_by_content):
            for order, item in enumerate(output):
                if order in places or not isinstance(item, dict):
                    continue
                place = find(order, item, untold)
                if place is not None:
                    places[order] = place
                    untold.remove(place)
        return self._with_new(places, len(output))

    def _with_new(self, places: dict[int, int], count: int) -> list[int]:
        """The places of so many items, of which some are known."""
        taken, free = set(self._kinds), self._last + 1
        for order in range(count):
            if order not in places:
                places[order] = free if order in taken else order
                taken.add(places[order])
                free = max(free, places[order] + 1)
        return [places[order] for order in range(count)]

    def _same_by_id(self, _: int, item: dict[str, Any], untold: set[int]) -> int | None:
        named = (self._by_id.get(word_of(item.get(member))) for member in ("id", "call_id"))
        return next((place for place in named if place in untold), None)

    def _same_by_place(self, order: int, item: dict[str, Any], untold: set[int]) -> int | None:
        is_same = order in untold and self._kinds[order] == kind_of(item)
        return order if is_same and self._items.name_at(order) in ("", name_of(item)) else None

    def _same_by_content(self, _: int, item: dict[str, Any], untold: set[int]) -> int | None:
        self._compared += len(untold) * max(1, len(parts_of(item)))
        if self._compared > MAX_COMPARED:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        kind = kind_of(item)
        same_kind = (place for place in sorted(untold) if self._kinds[place] == kind)
        return next((place for place in same_kind if self._items.goes_on(place, item)), None)

    def _of_unnumbered(self, kind: str, item_id: str, *, is_beginning: bool) -> int:
        open_place = self._unnumbered.pop(kind, None)
        if item_id in self._by_id:
            return self._by_id[item_id]
        if open_place is not None:
            return open_place
        if item_id:
            return self._of_id(item_id, kind)
        return self._next() if is_beginning or self._newest is None else self._newest

    def _of_numbered(self, index: int, kind: str, item_id: str, *, is_beginning: bool) -> int:
        open_place = self._unnumbered.pop(kind, None)
        place = self._moved.get(index, index)
        if open_place is not None and place not in self._kinds and item_id not in self._by_id:
            # Its pieces did not say where it is.
            self._moved[index] = open_place
            return open_place
        is_taken = self._items.is_whole(place) or (is_beginning and place in self._kinds)
        if is_taken and item_id and item_id not in self._by_id:
            place = self._moved[index] = self._next()
        elif item_id:
            place = self._by_id.get(item_id, place)
        return place

    def _of_id(self, item_id: str, kind: str) -> int:
        """The place of an item that has no number.

        llama.cpp numbers none: their ids, in the order in which they first come, stand for their places. Its calls have
        only a `call_id`, which later events name as `item_id`.
        """
        place = self._by_id.get(item_id)
        if place is None:
            place = self._next()
            self._begin(place, kind, item_id)
        return place

    def _of_newest(self, kind: str) -> int:
        """The place of the item that has begun, or of the only one of its kind that is told in pieces so far."""
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
        if item_id:
            self._by_id[item_id] = place
        if len(self._kinds) > MAX_BLOCKS or len(self._by_id) > 2 * MAX_BLOCKS:
            raise Fault("OUTPUT_LIMIT")

    def _next(self) -> int:
        return index_of(self._last + 1)
