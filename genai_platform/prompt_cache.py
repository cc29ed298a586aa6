"""The client's cache of prompts, which lets programs read prompts quickly, and during an outage of the platform.

A version by its number never changes and never expires. An answer by label, or of the version in force, expires after
`seconds`; the next call that needs it asks again, and no threads run. During an outage the expired answer is returned,
a warning is logged, and the platform is asked only every few seconds, so that calls stay fast.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from genai_platform.calls import CallOptions
from genai_platform.errors import Timeout, Unavailable
from genai_platform.v1.models_pb2 import GetPromptRequest, Prompt

DEFAULT_CACHE_SECONDS = 60.0
MAX_ENTRIES = 256

REFRESH_SECONDS = 3.0
"""The deadline of a call that can return an expired answer instead."""
RETRY_SECONDS = 5.0
"""The time that an expired answer is returned without asking, after the platform could not be reached."""

Fallback = Prompt | str | Callable[[], Prompt | str]

_log = logging.getLogger("genai_platform")


class Key(NamedTuple):
    """The fields of a GetPromptRequest."""

    name: str
    version: int
    label: str


@dataclass
class _Entry:
    """A cached answer. Its prompt is never changed; callers get copies."""

    prompt: Prompt
    read_at: float
    ask_at: float
    """The time from which the platform is asked again."""


class Lookup(NamedTuple):
    """The state of the cache for one request, before the platform is asked."""

    key: Key
    entry: _Entry | None
    fresh: bool
    generation: int

    def fresh_prompt(self) -> Prompt | None:
        """A copy of a fresh answer; None when the platform must be asked."""
        return _copy(self.entry.prompt) if self.entry is not None and self.fresh else None

    def call_options(self, options: CallOptions) -> CallOptions:
        """The options of the call, with a short deadline when an expired answer can be returned instead."""
        if self.entry is None or options.get("timeout") is not None:
            return options
        return {**options, "timeout": REFRESH_SECONDS}


class LocalPromptCache:
    """A cache of at most 256 prompts by request; the least recently used is evicted first. Safe to use from threads.

    `seconds` is how long an answer by label, or of the version in force, stays fresh; 0 switches the cache off.
    Raises ValueError for a negative or infinite number.
    """

    def __init__(self, seconds: float = DEFAULT_CACHE_SECONDS, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not (seconds >= 0 and math.isfinite(seconds)):
            raise ValueError(f"prompt_cache_seconds must be a number of seconds from 0, not {seconds!r}")
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._generation = 0

    def look_up(self, request: GetPromptRequest) -> Lookup:
        key = Key(request.name, request.version, request.label)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return Lookup(key, entry, entry is not None and self._clock() < entry.ask_at, self._generation)

    def keep(self, lookup: Lookup, prompt: Prompt) -> None:
        """Caches the answer to a lookup, unless this client has changed a prompt since."""
        now = self._clock()
        entry = _Entry(_copy(prompt), now, math.inf if lookup.key.version else now + self._seconds)
        with self._lock:
            if not self._seconds or lookup.generation != self._generation:
                return
            self._entries[lookup.key] = entry
            self._entries.move_to_end(lookup.key)
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)

    def drop(self, lookup: Lookup) -> None:
        """Removes one answer: the platform says that the prompt, version or label is absent."""
        with self._lock:
            self._entries.pop(lookup.key, None)

    def forget(self, name: str) -> None:
        """Removes all answers about one prompt: this client changes it."""
        with self._lock:
            # An answer that is still under way may be older than the change.
            self._generation += 1
            for key in [key for key in self._entries if key.name == name]:
                del self._entries[key]

    def answer_offline(self, lookup: Lookup, error: Unavailable | Timeout, fallback: Fallback | None) -> Prompt:
        """The expired answer, else the fallback, while the platform cannot be reached; else raises `error`."""
        name, entry = lookup.key.name, lookup.entry
        if entry is not None:
            now = self._clock()
            entry.ask_at = max(entry.ask_at, now + RETRY_SECONDS)
            age = now - entry.read_at
            _log.warning("prompt %s is %.0f s old: the platform cannot be reached [%s]", name, age, error.reason)
            return _copy(entry.prompt)
        if fallback is None:
            raise error
        _log.warning("prompt %s is the fallback: the platform cannot be reached [%s]", name, error.reason)
        return _build_fallback(name, fallback)


def _copy(prompt: Prompt) -> Prompt:
    copy = Prompt()
    copy.CopyFrom(prompt)
    return copy


def _build_fallback(name: str, fallback: Fallback) -> Prompt:
    given = fallback() if callable(fallback) else fallback
    return _copy(given) if isinstance(given, Prompt) else Prompt(name=name, content=given)
