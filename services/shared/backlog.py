"""Backlogs: a service that has more calls than it has time for says so, and its gateways hold further ones back.

`SERVICE/room`   SERVING while a further call has its turn soon; not from `BACKLOG` waiting calls on, until `RESUMED`

A gateway that watches it sends no calls of the methods that ask a provider meanwhile: they wait in its own intake, in
turns by callers, and are refused where they would be late. To forward them would cost both processes about as much as
an answer does. What runs already is not slowed down, however long it takes: streams that wait for their providers are
no backlog, and other methods are not held back.
"""

from __future__ import annotations

from services.shared.health import NOT_SERVING, SERVING, Health
from services.shared.intake import Intake

ROOM = "/room"


def tell_backlog(health: Health, service: str, intake: Intake) -> None:
    """Reports from now on whether a service has room, which it has while its intake has no backlog."""

    def tell(has_backlog: bool) -> None:
        health.set_now(service + ROOM, NOT_SERVING if has_backlog else SERVING)

    tell(intake.has_backlog)
    intake.on_backlog = tell
