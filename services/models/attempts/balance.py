"""Balance: the choice among the endpoints of one model, by their health and their load."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import NamedTuple

from services.models.attempts.limits import AttemptLimits
from services.models.attempts.traffic import Traffic
from services.models.providers.endpoints import Endpoint

TRIAL, USABLE, RESTING, OPEN_TRIAL, UNHEALTHY, UNHEALTHY_TRIAL, CLOSED_TO_ALL = range(7)
"""The ranks of endpoints, the best first."""


class Ranked(NamedTuple):
    """An endpoint with its traffic and its rank."""

    rank: int
    in_flight: int
    tie: float
    """A random number: of equal endpoints each is as likely."""
    endpoint: Endpoint
    traffic: Traffic


def rank(endpoints: Sequence[Endpoint], limits: AttemptLimits, *, is_first: bool) -> list[Ranked]:
    """The endpoints, the best first: those that work, the one with the fewest requests in flight first of all.

    Then those that have failed just now; those whose circuit breaker lets a trial through; those that the newest probe
    calls unhealthy, because a probe may be wrong; those that nothing may go to now. A trial comes before all others in
    the first attempt of a chat, unless a probe speaks against it: no endpoint would come back otherwise.
    """
    now = limits.now()
    ranked = []
    for endpoint in endpoints:
        traffic = limits.traffic_at(endpoint)
        place = _rank(endpoint, traffic, now, is_first=is_first)
        ranked.append(Ranked(place, traffic.in_flight, random.random(), endpoint, traffic))  # noqa: S311 no secret
    ranked.sort()
    return ranked


def first_usable(endpoints: Sequence[Endpoint], limits: AttemptLimits) -> Endpoint:
    """The first endpoint, in the order of the registration, of those that are ranked best."""
    ranked = rank(endpoints, limits, is_first=False)
    best = {entry.endpoint for entry in ranked if entry.rank == ranked[0].rank}
    return next(endpoint for endpoint in endpoints if endpoint in best)


def untried(ranked: Sequence[Ranked], tried: Collection[Traffic]) -> list[Ranked]:
    """The endpoints without those that were tried."""
    return [entry for entry in ranked if entry.traffic not in tried]


def _rank(endpoint: Endpoint, traffic: Traffic, now: float, *, is_first: bool) -> int:
    if traffic.breaker.is_closed:
        if endpoint.is_unhealthy:
            return UNHEALTHY
        return RESTING if traffic.rests(now) else USABLE
    if not traffic.breaker.trial_is_due(now):
        return CLOSED_TO_ALL
    if endpoint.is_unhealthy:
        return UNHEALTHY_TRIAL
    return TRIAL if is_first else OPEN_TRIAL
