"""Usage of a call, out of counts that servers send once or repeatedly, in different terms.

The platform's terms: the prompt includes what was read from the cache and written to it, the completion includes
reasoning. Counts of a stream are cumulative, so the largest of each holds, and none is ever taken back. If a total
shows that reasoning or the cache stand beside the other counts, they are added. Counts that contradict one another are
passed on without a cost: a cost is right or unset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from proto import models_pb2
from services.shared.json_text import count_of


class Counts(NamedTuple):
    """Usage in the platform's terms."""

    usage: models_pb2.TokenUsage | None
    """None if there are no counts."""
    agree: bool
    """Whether no count contradicts another, so that they can be charged for."""


class _Reading(NamedTuple):
    """A possible reading of the counts."""

    prompt: int
    completion: int


class CountedTokens:
    """The largest of each count of one call: `prompt`, `completion` and `total`, `cached`, `written` and
    `written_for_long` of the cache, `reasoning`."""

    def __init__(self) -> None:
        self._largest: dict[str, int] = {}
        self._is_told_twice = False
        self._shrinks = False

    def __getitem__(self, name: str) -> int:
        return self._largest.get(name, 0)

    def take(self, name: str, *values: Any) -> None:
        """Takes one count, which may come under several names; what is no number is none."""
        counts = {tokens for tokens in map(count_of, values) if tokens is not None}
        if counts:
            # Over a stream the prompt is the same, or grows by what tools bring.
            self._shrinks = self._shrinks or (name == "prompt" and 0 < max(counts) < self[name])
            self._largest[name] = max(*counts, self[name])
            self._is_told_twice = self._is_told_twice or len(counts - {0}) > 1

    def take_total(self, total: Any, *, of: tuple[int, int]) -> None:
        """Takes the total that came together with the newest counts; `of` are prompt and completion before these.
        The total of smaller ones says nothing any more."""
        if of != (self["prompt"], self["completion"]):
            self._largest.pop("total", None)
        self.take("total", total)

    def settle_agreeing(self, counts: Mapping[str, int]) -> Counts | None:
        """Takes counts which are the first, and which agree in every way, as nearly all do. None, and nothing taken,
        for others. `take` and `settle` give the same, at three times the cost."""
        if self._largest or counts.get("prompt", 0) + counts.get("completion", 0) != counts.get("total", 0):
            return None
        self._largest = dict(counts)
        own = _Reading(counts.get("prompt", 0), counts.get("completion", 0))
        if self._fits(own):
            return self._counts(own, agree=True)
        self._largest = {}
        return None

    def settle(self, *, cache_is_beside: bool = False) -> Counts:
        """The usage that the counts amount to. `cache_is_beside` says that by protocol the prompt does not include the
        cache."""
        if not self._largest.keys() & {"prompt", "completion"}:
            return Counts(None, True)
        self._fill_in()
        own = self._reading(cache_is_beside, False)
        if not self["total"]:
            return self._counts(self._likeliest(own), agree=self._fits(own))
        readings = [self._reading(cache, reasoning) for cache in (False, True) for reasoning in (False, True)]
        fitting = list(dict.fromkeys(reading for reading in readings if self._is_total_of(reading)))
        if self._is_total_of(own):
            return self._counts(own, agree=True)
        if fitting:
            return self._counts(fitting[0], agree=len(fitting) == 1)
        if self["total"] <= sum(own):
            return self._counts(own, agree=False)
        # Gemini's thoughts are in the total alone.
        told_nowhere = not self["reasoning"] and self._fits(own)
        return self._counts(_Reading(own.prompt, self["total"] - own.prompt), agree=told_nowhere)

    def _fill_in(self) -> None:
        """Makes the one of prompt and completion that is missing out of the total."""
        for name, other in (("prompt", "completion"), ("completion", "prompt")):
            if name not in self._largest and self["total"] >= self[other]:
                self._largest[name] = self["total"] - self[other]

    def _reading(self, cache_is_beside: bool, reasoning_is_beside: bool) -> _Reading:
        cache = self["cached"] + self["written"] if cache_is_beside else 0
        reasoning = self["reasoning"] if reasoning_is_beside else 0
        return _Reading(self["prompt"] + cache, self["completion"] + reasoning)

    def _fits(self, reading: _Reading) -> bool:
        """Whether what is a part of the prompt or the completion is not more than that, and anything was read."""
        largest = self._largest.get
        is_cache_within = largest("cached", 0) + largest("written", 0) <= reading.prompt
        return is_cache_within and largest("reasoning", 0) <= reading.completion and reading.prompt > 0

    def _is_total_of(self, reading: _Reading) -> bool:
        return sum(reading) == self["total"] and self._fits(reading)

    def _likeliest(self, own: _Reading) -> _Reading:
        """The reading, plus the counts that cannot be a part of it."""
        cache, reasoning = self["cached"] + self["written"], self["reasoning"]
        return _Reading(
            own.prompt if cache <= own.prompt else own.prompt + cache,
            own.completion if reasoning <= own.completion else own.completion + reasoning,
        )

    def _counts(self, reading: _Reading, *, agree: bool) -> Counts:
        largest = self._largest.get
        rest = reading.completion - largest("completion", 0)
        usage = models_pb2.TokenUsage(
            prompt_tokens=reading.prompt,
            completion_tokens=reading.completion,
            total_tokens=sum(reading),
            cached_prompt_tokens=largest("cached"),
            cache_write_tokens=largest("written"),
            reasoning_tokens=largest("reasoning") or rest or largest("reasoning"),
            long_cache_write_tokens=largest("written_for_long"),
        )
        return Counts(usage, agree and not self._is_told_twice and not self._shrinks)
