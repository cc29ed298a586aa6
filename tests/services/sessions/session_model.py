"""A model of the Session Service in plain Python: dictionaries and lists, and no database.

Every operation returns what a caller may see of its outcome, as plain values, or the reason of its error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LEASE_SECONDS = 10.0

Outcome = Any


@dataclass
class ModelledSession:
    user: str
    lifetime: float | None
    expires: float | None
    kinds: list[str] = field(default_factory=list)
    """What was said, as `user`, `assistant`, `call a`, `answer a`."""
    appends: dict[str, tuple[list[str], int]] = field(default_factory=dict)
    turn: str | None = None
    turn_expires: float = 0.0

    @property
    def next_sequence(self) -> int:
        return len(self.kinds) + 1


class Refused(Exception):
    """An operation that fails, with the reason."""


class SessionModel:
    """Sessions and memories, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sessions: dict[tuple[str, str], ModelledSession] = {}
        self.memories: dict[tuple[str, str], str] = {}

    def do(self, name: str, arguments: dict[str, Any]) -> Outcome:
        try:
            return getattr(self, name)(**arguments)
        except Refused as refused:
            return str(refused)

    def advance(self, seconds: float) -> Outcome:
        self.now += seconds
        return None

    def create(self, session: str, user: str, ttl: float | None) -> Outcome:
        if self._named(session, user):
            raise Refused("SESSION_EXISTS")
        self.sessions[session, user] = ModelledSession(user, ttl, None if ttl is None else self.now + ttl)
        return 1

    def get(self, session: str, user: str) -> Outcome:
        found = self._get(session, user)
        return found.user, found.next_sequence

    def delete(self, session: str, user: str) -> Outcome:
        found = self._get(session, user)
        del self.sessions[session, found.user]
        return None

    def append(
        self, session: str, user: str, kinds: list[str], request: str, expected: int | None, turn: str
    ) -> Outcome:
        found = self._get(session, user)
        if request in found.appends and request:
            earlier, first = found.appends[request]
            if earlier != kinds:
                raise Refused("REQUEST_ID_REUSED")
            return first, first + len(kinds), True
        if expected not in (None, found.next_sequence):
            raise Refused("SEQUENCE_CONFLICT")
        if turn and found.turn != turn:
            raise Refused("TURN_LOST")
        first = found.next_sequence
        found.kinds += kinds
        if request:
            found.appends[request] = (kinds, first)
        if turn:
            found.turn = None
        self._touch(found)
        return first, found.next_sequence, False

    def truncate(self, session: str, user: str, sequence: int) -> Outcome:
        found = self._get(session, user)
        removed = max(found.next_sequence - sequence, 0)
        if removed:
            del found.kinds[sequence - 1 :]
            found.turn = None
            self._touch(found)
        return removed, found.next_sequence

    def list_messages(self, session: str, user: str, size: int, descending: bool) -> Outcome:
        entries = list(enumerate(self._get(session, user).kinds, 1))
        if descending:
            entries.reverse()
        return [entries[start : start + size] for start in range(0, len(entries), size)] or [[]]

    def context(self, session: str, user: str, limit: int | None) -> Outcome:
        entries = list(enumerate(self._get(session, user).kinds, 1))
        return window_of(entries, limit), len(entries) + 1

    def begin(self, session: str, user: str, turn: str) -> Outcome:
        found = self._get(session, user)
        if found.turn not in (None, turn) and self.now < found.turn_expires:
            raise Refused("SESSION_BUSY")
        found.turn, found.turn_expires = turn, self.now + LEASE_SECONDS
        return found.next_sequence

    def extend(self, session: str, user: str, turn: str) -> Outcome:
        found = self._get(session, user)
        if found.turn != turn:
            raise Refused("TURN_LOST")
        found.turn_expires = self.now + LEASE_SECONDS

    def end(self, session: str, user: str, turn: str) -> Outcome:
        if self._named(session, user):
            found = self._get(session, user)
            found.turn = None if found.turn == turn else found.turn

    def put(self, user: str, key: str, value: str) -> Outcome:
        self.memories[user, key] = value
        return value

    def list_memories(self, user: str, prefix: str, size: int) -> Outcome:
        entries = sorted((k, v) for (u, k), v in self.memories.items() if u == user and k.startswith(prefix))
        return [entries[start : start + size] for start in range(0, len(entries), size)] or [[]]

    def forget(self, user: str, key: str) -> Outcome:
        if (user, key) not in self.memories:
            raise Refused("MEMORY_NOT_FOUND")
        del self.memories[user, key]

    def delete_user(self, user: str) -> Outcome:
        own_memories = [key for key in self.memories if key[0] == user]
        own_sessions = [key for key in self.sessions if key[1] == user]
        alive = sum(self._is_alive(self.sessions[key]) for key in own_sessions)
        for name in own_sessions:
            del self.sessions[name]
        for key in own_memories:
            del self.memories[key]
        return alive, len(own_memories)

    def _is_alive(self, found: ModelledSession) -> bool:
        return found.expires is None or found.expires > self.now

    def _named(self, session: str, user: str) -> dict[str, ModelledSession]:
        """The sessions of this id that a call which names `user`, or nobody, may mean, by their users."""
        return {
            owner: found
            for (name, owner), found in self.sessions.items()
            if name == session and user in ("", owner) and self._is_alive(found)
        }

    def _get(self, session: str, user: str) -> ModelledSession:
        named = self._named(session, user)
        if not named:
            raise Refused("SESSION_NOT_FOUND")
        if len(named) > 1 and "" not in named:
            raise Refused("SESSION_AMBIGUOUS")
        return named.get("") or next(iter(named.values()))

    def _touch(self, found: ModelledSession) -> None:
        if found.lifetime is not None:
            found.expires = self.now + found.lifetime


def window_of(entries: list[tuple[int, str]], limit: int | None) -> list[tuple[int, str]]:
    """The longest run of whole turns at the end that is no longer than the limit."""
    if limit is None or len(entries) <= limit:
        return entries
    starts = range(len(entries) - limit, len(entries))
    return next((entries[start:] for start in starts if is_whole(entries, start)), [])


def is_whole(entries: list[tuple[int, str]], start: int) -> bool:
    """Whether a turn begins there, and no result is parted from its call."""
    if entries[start][1] != "user" or entries[start - 1][1] == "user":
        return False
    made: set[str] = set()
    for _, kind in entries[start:]:
        verb, _, name = kind.partition(" ")
        if verb == "call":
            made.add(name)
        elif verb == "answer" and name not in made:
            return False
    return True
