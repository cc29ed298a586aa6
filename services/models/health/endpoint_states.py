"""States of a model's endpoints, each by its newest probe, and the status of the model that follows from them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from proto import models_pb2
from services.models.catalog.listings import ListedFacts
from services.models.health.probes import Probe
from services.models.health.results import DEGRADED, HEALTHY, UNHEALTHY, UNKNOWN, ProbeResult


class EndpointState:
    """The newest result of one endpoint's probes."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.result = ProbeResult(UNKNOWN, "NOT_PROBED", "the model has not been probed yet", probe.url)
        self.checked_at: float | None = None
        """The time of the newest result, by the loop's clock."""
        self.running: asyncio.Task[None] | None = None
        self.listed: ListedFacts | None = None
        """The newest facts that the server has listed; they stay when it does not answer any more."""
        self.failures = 0
        """Failed probes in a row. A probe has failed when the model cannot be used; `degraded` is usable."""
        self.last_checked: datetime | None = None
        self.last_success: datetime | None = None

    @property
    def is_usable(self) -> bool:
        return self.result.status in (HEALTHY, DEGRADED)

    @property
    def is_unhealthy(self) -> bool:
        return self.result.status == UNHEALTHY

    def is_fresh(self, now: float, seconds: float) -> bool:
        return self.checked_at is not None and now - self.checked_at < seconds

    def update(self, result: ProbeResult) -> None:
        """Updates the state by a result."""
        self.result = result
        self.last_checked = datetime.now(UTC)
        self.failures = 0 if self.is_usable else self.failures + 1
        if self.is_usable:
            self.last_success = self.last_checked
        self.listed = result.listed or self.listed

    def message(self) -> models_pb2.EndpointStatus:
        return models_pb2.EndpointStatus(
            endpoint=self.probe.endpoint,
            status=self.result.status,
            reason=self.result.reason,
            message=self.result.message,
        )


class ModelState:
    """The states of all endpoints of one model."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self.probes = tuple(probes)
        self.name = probes[0].model
        self.endpoints = [EndpointState(probe) for probe in probes]
        self._by_endpoint = {state.probe.endpoint: state for state in self.endpoints}
        self._status = UNKNOWN
        self._since = datetime.now(UTC)

    @property
    def newest(self) -> str:
        """The word of its newest status."""
        return self._status

    def at(self, endpoint: str) -> EndpointState | None:
        return self._by_endpoint.get(endpoint)

    @property
    def listed(self) -> ListedFacts | None:
        """The facts that the first of the servers lists that lists any."""
        return next((state.listed for state in self.endpoints if state.listed), None)

    def note_result(self) -> None:
        """Notes the time if the status has changed. Call it after each update of an endpoint."""
        status = self._status_now()
        if status != self._status:
            self._status, self._since = status, datetime.now(UTC)

    def status(self) -> models_pb2.ModelStatus:
        """The status of the model: that of its endpoint, or of all of them together."""
        told = next((state for state in self.endpoints if state.result.status != HEALTHY), self.endpoints[0])
        checked = [state.last_checked for state in self.endpoints if state.last_checked]
        successes = [state.last_success for state in self.endpoints if state.last_success]
        status = models_pb2.ModelStatus(
            name=self.name,
            status=self._status,
            endpoint=told.result.url,
            reason=told.result.reason,
            message=self._message(told),
            last_checked=max(checked).isoformat(timespec="milliseconds").replace("+00:00", "Z") if checked else "",
            consecutive_failures=min(state.failures for state in self.endpoints),
            endpoints=[state.message() for state in self.endpoints if state.probe.endpoint],
        )
        status.since.FromDatetime(self._since)
        if successes:
            status.last_success.FromDatetime(max(successes))
        return status

    def _message(self, told: EndpointState) -> str:
        if len(self.endpoints) == 1 or told.result.status == HEALTHY:
            return told.result.message
        count = sum(state.result.status != HEALTHY for state in self.endpoints)
        return f"{count} of {len(self.endpoints)} endpoints not healthy: {told.probe.endpoint}: {told.result.message}"

    def _status_now(self) -> str:
        found = {state.result.status for state in self.endpoints}
        if len(found) == 1:
            return found.pop()
        if any(state.is_usable for state in self.endpoints):
            return DEGRADED
        return UNKNOWN if UNKNOWN in found else UNHEALTHY
