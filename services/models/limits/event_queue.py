"""The queue of events: bounded, and shared by the rules that they are about, so that none crowds out another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Event: TypeAlias = Mapping[str, Any]


class EventQueue:
    """Events that are taken in rounds: one of each rule, and of one rule the oldest first.

    When it is full, the rule with the most events loses its newest one. So an event of a rule that has none finds a
    place, unless as many rules as there are places have one each.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._rules: dict[str, deque[Event]] = {}
        """The events of each rule that has any; the rule whose turn is next comes first."""

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Event]:
        return (event for events in self._rules.values() for event in events)

    def add(self, rule_id: str, event: Event) -> Event | None:
        """Adds an event of a rule. Returns the event that then has no place: this one, another one, or None."""
        self._rules.setdefault(rule_id, deque()).append(event)
        self._size += 1
        if self._size <= self._limit:
            return None
        # Among equals the rule of the new event loses it, so that what has a place keeps it.
        longest = max(self._rules, key=lambda rule: (len(self._rules[rule]), rule == rule_id))
        events = self._rules[longest]
        displaced = events.pop()
        self._size -= 1
        if not events:
            del self._rules[longest]
        return displaced

    def take(self) -> Event:
        """Removes the event whose turn it is. Raises StopIteration if there is none."""
        rule_id = next(iter(self._rules))
        events = self._rules.pop(rule_id)
        event = events.popleft()
        self._size -= 1
        if events:
            self._rules[rule_id] = events
        return event
