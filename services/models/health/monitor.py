"""The health monitor: the newest status of every model, kept fresh by probes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from proto import models_pb2
from services.models.access.trust import ByTrust
from services.models.catalog.listings import ListedFacts
from services.models.health.probes import Probe
from services.models.health.results import DEGRADED, HEALTHY, UNKNOWN, ProbeResult
from services.models.transport.base import Transport
from services.shared.backoff import Backoff
from services.shared.logs import Log

MAX_PROBES_AT_ONCE = 16
"""Limit for background probes; a probe for a caller never waits."""

MAX_UNWATCHED = 1024

FRESH_SECONDS = 1.0
"""Age up to which a result is returned to callers; for an older one the model is probed again."""

PROBE_BACKOFF = Backoff(interval=30.0, first_retry=1.0)


class _Record:
    """The newest status of one model."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.checked_at: float | None = None
        """The time of the newest result, by the loop's clock."""
        self.running: asyncio.Task[None] | None = None
        self.listed: ListedFacts | None = None
        """The newest facts that the server has listed; they stay when it does not answer any more."""
        self.status = models_pb2.ModelStatus(
            name=probe.model,
            status=UNKNOWN,
            endpoint=probe.url,
            reason="NOT_PROBED",
            message="the model has not been probed yet",
        )
        self.status.since.FromDatetime(datetime.now(UTC))

    def is_fresh(self, now: float, seconds: float) -> bool:
        return self.checked_at is not None and now - self.checked_at < seconds

    def update(self, result: ProbeResult) -> None:
        """Updates the status by a result. A probe has failed when the model cannot be used; `degraded` is usable."""
        now = datetime.now(UTC)
        status = self.status
        if result.status != status.status:
            status.since.FromDatetime(now)
        usable = result.status in (HEALTHY, DEGRADED)
        if usable:
            status.last_success.FromDatetime(now)
        status.consecutive_failures = 0 if usable else status.consecutive_failures + 1
        status.status, status.reason, status.message, status.endpoint, listed = result
        self.listed = listed or self.listed
        status.last_checked = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class HealthMonitor:
    """Probes models, and keeps the newest result of each.

    Watched models (the registered ones) are probed in the background until they are forgotten; others only when
    a caller asks for them. `close` ends all probing.
    """

    def __init__(
        self,
        log: Log,
        clients: ByTrust[Transport],
        backoff: Backoff = PROBE_BACKOFF,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._log = log
        self._backoff = backoff
        self._fresh_seconds = fresh_seconds
        self._clients = clients
        self._watched: dict[str, _Record] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._unwatched: dict[str, _Record] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._background = asyncio.Semaphore(MAX_PROBES_AT_ONCE)

    def watch(self, probe: Probe) -> None:
        """Probes a model in the background from now on, and forgets an earlier model of the same name."""
        self.forget(probe.model)
        record = self._watched[probe.model] = _Record(probe)
        self._watchers[probe.model] = asyncio.create_task(self._watch(record), name=f"watch {probe.model}")

    def forget(self, model: str) -> None:
        """Ends the watch of a model, if there is one."""
        self._watched.pop(model, None)
        watcher = self._watchers.pop(model, None)
        if watcher:
            watcher.cancel()

    def newest(self, model: str) -> models_pb2.ModelStatus | None:
        """The newest status of a watched model, without a new probe; None when it is not watched."""
        record = self._watched.get(model)
        return _copy(record.status) if record else None

    def listed_facts(self, model: str) -> ListedFacts | None:
        """The facts that the server of a watched model lists of it."""
        record = self._watched.get(model)
        return record.listed if record else None

    async def check(self, probe: Probe) -> models_pb2.ModelStatus:
        """A status that is at most `fresh_seconds` old. Callers who ask at the same time share one probe."""
        record = self._record(probe)
        await self._refresh(record)
        return _copy(record.status)

    async def inspect(self, probe: Probe) -> tuple[models_pb2.ModelStatus, ListedFacts | None]:
        """The status of a new probe, and the facts that the server lists; neither is stored."""
        record = _Record(probe)
        await self._refresh(record)
        return record.status, record.listed

    async def close(self) -> None:
        """Ends all probing, and cancels running probes."""
        tasks = [*self._watchers.values(), *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watched.clear()
        self._watchers.clear()
        self._unwatched.clear()

    def _record(self, probe: Probe) -> _Record:
        record = self._watched.get(probe.model)
        if record and record.probe == probe:
            return record
        record = self._unwatched.pop(probe.model, None)
        if record is None or record.probe != probe:
            record = _Record(probe)
        # The order is that of the last request; the first one is evicted.
        self._unwatched[probe.model] = record
        if len(self._unwatched) > MAX_UNWATCHED:
            del self._unwatched[next(iter(self._unwatched))]
        return record

    async def _watch(self, record: _Record) -> None:
        while True:
            async with self._background:
                await self._refresh(record)
            await asyncio.sleep(self._backoff.pause(record.status.consecutive_failures))

    async def _refresh(self, record: _Record) -> None:
        if record.is_fresh(asyncio.get_running_loop().time(), self._fresh_seconds):
            return
        if record.running is None:
            record.running = asyncio.create_task(self._probe(record), name=f"probe {record.probe.model}")
            self._running.add(record.running)
            record.running.add_done_callback(self._running.discard)
        # A waiting caller may be cancelled; the probe continues for the others, until its own timeout.
        await asyncio.shield(record.running)

    async def _probe(self, record: _Record) -> None:
        before = record.status.status
        try:
            record.update(await self._ask(record.probe))
            record.checked_at = asyncio.get_running_loop().time()
        finally:
            record.running = None
        status = record.status
        if status.status != before:
            self._log.info("model status", model=status.name, status=status.status, reason=status.reason, before=before)

    async def _ask(self, probe: Probe) -> ProbeResult:
        try:
            return await probe.ask(self._clients.of(probe.untrusted))
        except Exception as error:
            # A probe that raises must not end the watch of its model.
            self._log.error("probe failed unexpectedly", error=error, model=probe.model)
            message = "the probe itself failed; the log of the Model Service says where"
            return ProbeResult(UNKNOWN, "PROBE_FAILED", message, probe.url)


def _copy(status: models_pb2.ModelStatus) -> models_pb2.ModelStatus:
    copy = models_pb2.ModelStatus()
    copy.CopyFrom(status)
    return copy
