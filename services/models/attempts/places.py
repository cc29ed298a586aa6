"""Places: the requests that may be in flight to a provider or for a model at a time, where the operator bounds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from services.shared.errors import LimitExceeded

RETRY_SECONDS = 1.0


class Places:
    """The places of one process, by the names of models and providers that have a limit."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._taken: Counter[str] = Counter()

    def take(self, names: Sequence[str]) -> None:
        """Takes a place under each name. Raises LimitExceeded (PLACES_TAKEN) when one of them has none left."""
        for name in names:
            if self._taken[name] >= self._limits[name]:
                raise LimitExceeded(
                    f"as many requests to {name} are in flight as MODELS_MAX_REQUESTS allows ({self._limits[name]}); "
                    "try again when one of them has ended",
                    reason="PLACES_TAKEN",
                    retry_after=RETRY_SECONDS,
                    metadata={"limit": name},
                )
        self._taken.update(names)

    def give_back(self, names: Sequence[str]) -> None:
        """Returns a place under each name."""
        self._taken.subtract(names)
