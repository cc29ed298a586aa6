"""The newest status of every model, kept fresh by probes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

from proto import models_pb2
from services.models.access.trust import ByTrust
from services.models.catalog.model_list import LearnedFacts
from services.models.health import probes
from services.models.health.probes import Finding, Probe
from services.models.transport.base import Transport
from services.shared.backoff import pause_after
from services.shared.logs import Log

MAX_PROBES_AT_ONCE = 16
"""Of those in the background; what a caller asks for is never held up."""

MAX_UNWATCHED = 1024


class Schedule(NamedTuple):
    """How often models are probed, in seconds."""

    fresh: float = 1.0
    """A result that is younger answers a caller; with an older one the model is probed again."""
    usable: float = 30.0
    """Between the probes of a model that can be used."""
    first_retry: float = 1.0
    """After the first failure. The pause doubles with each further one, up to `usable`."""
    spread: float = 0.2
    """Every pause is longer or shorter by up to this share, so that probes do not fall into step."""

    def pause(self, failures: int) -> float:
        """The time until the next probe after this many failures in a row."""
        return pause_after(failures, usual=self.usable, first_retry=self.first_retry, spread=self.spread)


class _Record:
    """What is known of one model."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.checked_at: float | None = None
        """When the newest result came, in the loop's time."""
        self.running: asyncio.Task[None] | None = None
        self.learned: LearnedFacts | None = None
        """The newest that the server has told; a server that falls silent is still what it was."""
        self.status = models_pb2.ModelStatus(
            name=probe.model,
            status=probes.UNKNOWN,
            endpoint=probe.url,
            reason="NOT_PROBED",
            message="the model has not been probed yet",
        )
        self.status.since.FromDatetime(datetime.now(UTC))

    def is_fresh(self, now: float, seconds: float) -> bool:
        return self.checked_at is not None and now - self.checked_at < seconds

    def note(self, finding: Finding) -> None:
        """Takes over what a probe found. A probe has failed when the model cannot be used: degraded is usable."""
        now = datetime.now(UTC)
        status = self.status
        if finding.status != status.status:
            status.since.FromDatetime(now)
        usable = finding.status in (probes.HEALTHY, probes.DEGRADED)
        if usable:
            status.last_success.FromDatetime(now)
        status.consecutive_failures = 0 if usable else status.consecutive_failures + 1
        status.status, status.reason, status.message, status.endpoint, learned = finding
        self.learned = learned or self.learned
        status.last_checked = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class StatusBoard:
    """Probes models, and keeps what the newest probe of each has found.

    Watched models (the registered ones) are probed in the background until they are forgotten; others only when
    somebody asks for them. `close` ends all probing.
    """

    def __init__(self, log: Log, clients: ByTrust[Transport], schedule: Schedule | None = None) -> None:
        self._log = log
        self._schedule = schedule or Schedule()
        self._clients = clients
        self._watched: dict[str, _Record] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._unwatched: dict[str, _Record] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._background = asyncio.Semaphore(MAX_PROBES_AT_ONCE)

    def watch(self, probe: Probe) -> None:
        """Probes a model in the background, from now on; what was known of the name before is forgotten."""
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
        """What is known of a watched model, without a new probe; None when it is not watched."""
        record = self._watched.get(model)
        return _copy(record.status) if record else None

    def learned(self, model: str) -> LearnedFacts | None:
        """What the server of a watched model has told of it."""
        record = self._watched.get(model)
        return record.learned if record else None

    async def check(self, probe: Probe) -> models_pb2.ModelStatus:
        """A fresh status: at most `Schedule.fresh` old. Callers who ask at the same time share one probe."""
        record = self._record(probe)
        await self._refresh(record)
        return _copy(record.status)

    async def inspect(self, probe: Probe) -> tuple[models_pb2.ModelStatus, LearnedFacts | None]:
        """What a probe finds and learns now; nothing of it is kept."""
        record = _Record(probe)
        await self._refresh(record)
        return record.status, record.learned

    async def close(self) -> None:
        """Ends all probing, in the middle of probes if need be."""
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
        # The one that was asked for longest ago stands first, and goes first.
        self._unwatched[probe.model] = record
        if len(self._unwatched) > MAX_UNWATCHED:
            del self._unwatched[next(iter(self._unwatched))]
        return record

    async def _watch(self, record: _Record) -> None:
        while True:
            async with self._background:
                await self._refresh(record)
            await asyncio.sleep(self._schedule.pause(record.status.consecutive_failures))

    async def _refresh(self, record: _Record) -> None:
        if record.is_fresh(asyncio.get_running_loop().time(), self._schedule.fresh):
            return
        if record.running is None:
            record.running = asyncio.create_task(self._probe(record), name=f"probe {record.probe.model}")
            self._running.add(record.running)
            record.running.add_done_callback(self._running.discard)
        # Whoever waits may be cancelled; the probe goes on for the others, and ends by its own limit.
        await asyncio.shield(record.running)

    async def _probe(self, record: _Record) -> None:
        before = record.status.status
        try:
            record.note(await self._ask(record.probe))
            record.checked_at = asyncio.get_running_loop().time()
        finally:
            record.running = None
        status = record.status
        if status.status != before:
            self._log.info("model status", model=status.name, status=status.status, reason=status.reason, before=before)

    async def _ask(self, probe: Probe) -> Finding:
        try:
            return await probe.ask(self._clients.of(probe.untrusted))
        except Exception as error:
            # One bad probe must not end the watch of its model.
            self._log.error("probe failed unexpectedly", error=error, model=probe.model)
            message = "the probe itself failed; the log of the Model Service says where"
            return Finding(probes.UNKNOWN, "PROBE_FAILED", message, probe.url)


def _copy(status: models_pb2.ModelStatus) -> models_pb2.ModelStatus:
    copy = models_pb2.ModelStatus()
    copy.CopyFrom(status)
    return copy
