"""Usage of a call, from counts that servers send once or repeatedly, in different terms.

The platform's terms: the prompt includes what was read from the cache and written to it, the completion includes
reasoning. Counts of a stream are cumulative, so the largest of each is valid, and a smaller one never replaces it. If a
total shows that reasoning or the cache is not included in the other counts, it is added. Counts that contradict one
another are returned without a cost: a cost is right or unset.
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
        self._values_differ = False
        self._shrinks = False

    def __getitem__(self, name: str) -> int:
        return self._largest.get(name, 0)

    def take(self, name: str, *values: Any) -> None:
        """Reads one count, which may have values under several names; values that are not numbers are ignored."""
        counts = {tokens for tokens in map(count_of, values) if tokens is not None}
        if counts:
            # Within a stream the prompt's count stays the same, or grows by the results of tools.
            self._shrinks = self._shrinks or (name == "prompt" and 0 < max(counts) < self[name])
            self._largest[name] = max(*counts, self[name])
            self._values_differ = self._values_differ or len(counts - {0}) > 1

    def take_total(self, total: Any, *, of: tuple[int, int]) -> None:
        """Reads the total that arrived with the newest counts. `of` are the counts of prompt and completion before
        them: if they have grown, an earlier total is dropped."""
        if of != (self["prompt"], self["completion"]):
            self._largest.pop("total", None)
        self.take("total", total)

    def settle_agreeing(self, counts: Mapping[str, int]) -> Counts | None:
        """The short way for the first counts of a call, if they agree in every way, as nearly all do; else None,
        without a change. `take` and `settle` give the same result, at three times the cost."""
        if self._largest or counts.get("prompt", 0) + counts.get("completion", 0) != counts.get("total", 0):
            return None
        self._largest = dict(counts)
        own = _Reading(counts.get("prompt", 0), counts.get("completion", 0))
        if self._fits(own):
            return self._counts(own, agree=True)
        self._largest = {}
        return None

    def settle(self, *, cache_is_beside: bool = False) -> Counts:
        """The usage by the counts. With `cache_is_beside`, the protocol's count of the prompt does not include the
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
        # Gemini counts reasoning in the total only.
        is_only_in_total = not self["reasoning"] and self._fits(own)
        return self._counts(_Reading(own.prompt, self["total"] - own.prompt), agree=is_only_in_total)

    def _fill_in(self) -> None:
        """Computes a missing count of prompt or completion from the total."""
        for name, other in (("prompt", "completion"), ("completion", "prompt")):
            if name not in self._largest and self["total"] >= self[other]:
                self._largest[name] = self["total"] - self[other]

    def _reading(self, cache_is_beside: bool, reasoning_is_beside: bool) -> _Reading:
        cache = self["cached"] + self["written"] if cache_is_beside else 0
        reasoning = self["reasoning"] if reasoning_is_beside else 0
        return _Reading(self["prompt"] + cache, self["completion"] + reasoning)

    def _fits(self, reading: _Reading) -> bool:
        """Whether the cache is not larger than the prompt, and the reasoning not larger than the completion."""
        largest = self._largest.get
        is_cache_within = largest("cached", 0) + largest("written", 0) <= reading.prompt
        return is_cache_within and largest("reasoning", 0) <= reading.completion and reading.prompt > 0

    def _is_total_of(self, reading: _Reading) -> bool:
        return sum(reading) == self["total"] and self._fits(reading)

    def _likeliest(self, own: _Reading) -> _Reading:
        """The reading, with the counts added that are too large to be included in it."""
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
        return Counts(usage, agree and not self._values_differ and not self._shrinks)
