"""The client's own memory of prompts, so that a program neither waits for the platform nor fails with it.

A version never changes and is kept as long as there is room. What a label points at, or what is in force, is asked
again when it is older than `seconds`, by the call that wants it: there are no threads. While the platform cannot be
reached the old answer is given, a warning is logged, and the platform is asked again only every few seconds, so that
an outage does not slow down every call.
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
from proto.models_pb2 import GetPromptRequest, Prompt

DEFAULT_CACHE_SECONDS = 60.0
MAX_ENTRIES = 256

REFRESH_SECONDS = 3.0
"""How long a call may wait for the platform when there is an old answer to give instead."""
RETRY_SECONDS = 5.0
"""How long the old answer is given without asking, after the platform could not be reached."""

Fallback = Prompt | str | Callable[[], Prompt | str]

_log = logging.getLogger("genai_platform")


class Key(NamedTuple):
    """What was asked for."""

    name: str
    version: int
    label: str


@dataclass
class _Entry:
    """An answer. Its prompt is never changed, and never handed out itself."""

    prompt: Prompt
    read_at: float
    ask_at: float
    """From when on the platform is asked again."""


class Lookup(NamedTuple):
    """What is known before the platform is asked."""

    key: Key
    entry: _Entry | None
    fresh: bool
    generation: int

    def fresh_prompt(self) -> Prompt | None:
        """The caller's own copy of a fresh answer; None when the platform must be asked."""
        return _copy(self.entry.prompt) if self.entry is not None and self.fresh else None

    def call_options(self, options: CallOptions) -> CallOptions:
        """How the platform is asked: for a short time when there is an old answer to give instead."""
        if self.entry is None or options.get("timeout") is not None:
            return options
        return {**options, "timeout": REFRESH_SECONDS}


class PromptCache:
    """Prompts by what was asked for: at most 256, the least recently used leaves first. Safe to use from threads.

    `seconds` is how long an answer by label, or of what is in force, counts as fresh; 0 switches everything off.
    Raises ValueError for anything that is no number of seconds from 0.
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
        """Remembers the answer to what was looked up, unless the prompt may have been changed meanwhile."""
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
        """Forgets one answer, because the platform says that there is no such prompt, version or label."""
        with self._lock:
            self._entries.pop(lookup.key, None)

    def forget(self, name: str) -> None:
        """Forgets everything of one prompt, because this client changes it."""
        with self._lock:
            # An answer that is on its way may be from before the change.
            self._generation += 1
            for key in [key for key in self._entries if key.name == name]:
                del self._entries[key]

    def stand_in(self, lookup: Lookup, error: Unavailable | Timeout, fallback: Fallback | None) -> Prompt:
        """What is given instead of an answer: the old one, else the fallback. Raises the error when there is none."""
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
