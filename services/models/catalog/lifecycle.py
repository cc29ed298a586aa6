"""The lifecycle of a model: the dates that its vendor has announced, and its state on a day."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from proto import models_pb2

WARNING_DAYS = 60
"""The number of days before a vendor's shutdown in which every response has a warning."""

State: TypeAlias = models_pb2.LifecycleState

ACTIVE = models_pb2.LIFECYCLE_STATE_ACTIVE
DEPRECATED = models_pb2.LIFECYCLE_STATE_DEPRECATED
RETIRED = models_pb2.LIFECYCLE_STATE_RETIRED
UNKNOWN = models_pb2.LIFECYCLE_STATE_UNSPECIFIED

Today = Callable[[], datetime.date]


def today_utc() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The dates that a vendor has announced for a model, as far as known."""

    shutdown: datetime.date | None = None
    """The first day on which the vendor no longer serves it."""
    replacement: str = ""
    """The vendor's id to use instead."""
    deprecated: datetime.date | None = None
    """The day on which the shutdown was announced."""
    listed_state: State = UNKNOWN
    """The state that the vendor itself lists. It wins over the dates: a shutdown in the past is then overdue."""

    def state(self, today: datetime.date) -> State:
        if self.listed_state != UNKNOWN:
            return self.listed_state
        if self.shutdown is None:
            return UNKNOWN
        return RETIRED if today >= self.shutdown else DEPRECATED

    def is_retired(self, today: datetime.date) -> bool:
        return self.state(today) == RETIRED

    def is_ending(self, today: datetime.date) -> bool:
        """Whether the shutdown is near enough to warn of it."""
        if self.shutdown is None or self.is_retired(today):
            return False
        return today >= self.shutdown - datetime.timedelta(days=WARNING_DAYS)

    def message(self, today: datetime.date) -> models_pb2.Lifecycle:
        return models_pb2.Lifecycle(
            state=self.state(today),
            deprecation_date=self.deprecated.isoformat() if self.deprecated else "",
            shutdown_date=self.shutdown.isoformat() if self.shutdown else "",
            replacement=self.replacement,
        )


NO_DATES = Lifecycle()
SERVED = Lifecycle(listed_state=ACTIVE)
