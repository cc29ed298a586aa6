"""Timeouts of one exchange, of a request or of the operator's settings, each where it is not the platform's own."""

from __future__ import annotations

from typing import NamedTuple

from proto import models_pb2
from services.models.transport.base import HttpTimeouts
from services.models.transport.failures import CAUSE
from services.shared.errors import PlatformError


class Timeouts(NamedTuple):
    """Timeouts in seconds; None where the platform's own holds. Pings and empty events end none of them."""

    connect: float | None = None
    """Time to open a connection: name resolution, TCP and TLS."""
    first_output: float | None = None
    """Time from the request to the first output of a stream."""
    silence: float | None = None
    """Time between two outputs of a stream, while the caller waits for one."""
    total: float | None = None
    """Time from the request to the end of the answer."""

    @property
    def are_set(self) -> bool:
        """Whether any of them is."""
        return self != NO_TIMEOUTS

    def http(self) -> HttpTimeouts | None:
        """The timeouts of the connection; None for the platform's own.

        But for `connect` they are no shorter than its own: the exchange and the reader of a stream keep the others,
        which bytes of any kind do not satisfy, and name the one that has passed.
        """
        if not self.are_set:
            return None
        own = HttpTimeouts()
        first_output = self.first_output or 0
        return HttpTimeouts(
            connect=self.connect or own.connect,
            answer=max(own.answer, self.total or 0),
            first_byte=max(own.first_byte, first_output),
            idle=max(own.idle, self.silence or 0, first_output),
        )

    def total_due(self, started: float) -> float | None:
        """The time at which an exchange that has started then must have ended; None if it may take any time."""
        return None if self.total is None else started + self.total

    def describe(self, name: str) -> str:
        """A timeout in words: its name, as requests and the operator's settings have it, and its length."""
        seconds = getattr(self.over(PLATFORM_TIMEOUTS), name)
        return f"the timeout `{name}` of {seconds:g} s"

    def over(self, others: Timeouts) -> Timeouts:
        """These timeouts, and the others where these say nothing."""
        return Timeouts(*(own if own is not None else other for own, other in zip(self, others, strict=True)))

    def are_shorter_than(self, others: Timeouts) -> bool:
        """Whether one of these is shorter than the other ones and the platform's own allow."""
        allowed = others.over(PLATFORM_TIMEOUTS)
        return any(own and other and own < other for own, other in zip(self, allowed, strict=True))


NO_TIMEOUTS = Timeouts()

_HTTP = HttpTimeouts()
PLATFORM_TIMEOUTS = Timeouts(_HTTP.connect, _HTTP.first_byte, _HTTP.idle, _HTTP.answer)
"""Those where nobody says anything else."""


def read_timeouts(message: models_pb2.Timeouts) -> Timeouts:
    """The timeouts of a request, which has been checked."""
    return Timeouts(
        **{field.name: duration.ToNanoseconds() / 1e9 for field, duration in message.ListFields()},
    )


def is_timeout(error: PlatformError) -> bool:
    """Whether a timeout of ours has ended the exchange, and not what its server said or did."""
    if error.reason == "UPSTREAM_UNREACHABLE":
        return error.logged.get(CAUSE) == TimeoutError.__name__
    return error.reason in ("UPSTREAM_TIMEOUT", "UPSTREAM_IDLE") and "http_status" not in error.metadata
