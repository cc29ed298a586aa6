"""The health monitor: the newest status of every model, kept fresh by probes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence

from proto import models_pb2
from services.models.access.trust import ByTrust
from services.models.catalog.listings import ListedFacts
from services.models.health.endpoint_states import EndpointState, ModelState
from services.models.health.probes import Probe
from services.models.health.results import UNKNOWN, ProbeResult
from services.models.transport.base import Transport
from services.shared.backoff import Backoff
from services.shared.logs import Log

MAX_PROBES_AT_ONCE = 16
"""Limit for background probes; a probe for a caller never waits."""

MAX_UNWATCHED = 1024

FRESH_SECONDS = 1.0
"""Age up to which a result is returned to callers; for an older one the model is probed again."""

UNHEALTHY_SECONDS = 5.0
"""Age from which an unhealthy endpoint is probed again as soon as a chat could use it."""

PROBE_BACKOFF = Backoff(interval=30.0, first_retry=1.0)


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
        self._watched: dict[str, ModelState] = {}
        self._watchers: dict[str, list[asyncio.Task[None]]] = {}
        self._unwatched: dict[str, ModelState] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._background = asyncio.Semaphore(MAX_PROBES_AT_ONCE)

    def watch(self, *probes: Probe) -> None:
        """Probes a model at each of its endpoints from now on, in the background, and forgets an earlier model of the
        same name."""
        model = ModelState(probes)
        self.forget(model.name)
        self._watched[model.name] = model
        self._watchers[model.name] = [
            asyncio.create_task(self._watch(model, state), name=f"watch {model.name}") for state in model.endpoints
        ]

    def forget(self, model: str) -> None:
        """Ends the watch of a model, if there is one."""
        self._watched.pop(model, None)
        for watcher in self._watchers.pop(model, ()):
            watcher.cancel()

    def newest(self, model: str) -> models_pb2.ModelStatus | None:
        """The newest status of a watched model, without a new probe; None when it is not watched."""
        known = self._watched.get(model)
        return known.status() if known else None

    def statuses(self) -> Iterator[tuple[str, str]]:
        """The watched models, with the newest status of each. Safe to call in any thread."""
        return ((name, model.newest) for name, model in self._watched.copy().items())

    def is_unhealthy(self, model: str, endpoint: str) -> bool:
        """Whether the newest probe says so of an endpoint of a watched model. If that is not quite new, it is probed
        again: a chat could use it."""
        known = self._watched.get(model)
        state = known.at(endpoint) if known else None
        if known is None or state is None or not state.is_unhealthy:
            return False
        if not state.is_fresh(asyncio.get_running_loop().time(), UNHEALTHY_SECONDS):
            self._start(known, state)
        return True

    def listed_facts(self, model: str) -> ListedFacts | None:
        """The facts that the server of a watched model lists of it."""
        known = self._watched.get(model)
        return known.listed if known else None

    async def check(self, *probes: Probe) -> models_pb2.ModelStatus:
        """A model's status that is at most `fresh_seconds` old. Callers who ask at the same time share one probe of
        each endpoint."""
        model = self._state_of(probes)
        await self._refresh_all(model)
        return model.status()

    async def inspect(self, *probes: Probe) -> tuple[models_pb2.ModelStatus, ListedFacts | None]:
        """The status by new probes, and the facts that the server lists; neither is stored."""
        model = ModelState(probes)
        await self._refresh_all(model)
        return model.status(), model.listed

    async def close(self) -> None:
        """Ends all probing, and cancels running probes."""
        tasks = [*itertools.chain.from_iterable(self._watchers.values()), *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watched.clear()
        self._watchers.clear()
        self._unwatched.clear()

    def _state_of(self, probes: Sequence[Probe]) -> ModelState:
        name, asked = probes[0].model, tuple(probes)
        model = self._watched.get(name)
        if model and model.probes == asked:
            return model
        model = self._unwatched.pop(name, None)
        if model is None or model.probes != asked:
            model = ModelState(probes)
        # The order is that of the last request; the first one is evicted.
        self._unwatched[name] = model
        if len(self._unwatched) > MAX_UNWATCHED:
            del self._unwatched[next(iter(self._unwatched))]
        return model

    async def _watch(self, model: ModelState, state: EndpointState) -> None:
        while True:
            async with self._background:
                await self._refresh(model, state)
            await asyncio.sleep(self._backoff.pause(state.failures))

    async def _refresh_all(self, model: ModelState) -> None:
        first, *others = model.endpoints
        if others:
            await asyncio.gather(*(self._refresh(model, state) for state in model.endpoints))
        else:
            await self._refresh(model, first)

    async def _refresh(self, model: ModelState, state: EndpointState) -> None:
        if state.is_fresh(asyncio.get_running_loop().time(), self._fresh_seconds):
            return
        # A waiting caller may be cancelled; the probe continues for the others, until its own timeout.
        await asyncio.shield(self._start(model, state))

    def _start(self, model: ModelState, state: EndpointState) -> asyncio.Task[None]:
        """The running probe of an endpoint, which is begun if there is none."""
        if state.running is None:
            state.running = asyncio.create_task(self._probe(model, state), name=f"probe {model.name}")
            self._running.add(state.running)
            state.running.add_done_callback(self._running.discard)
        return state.running

    async def _probe(self, model: ModelState, state: EndpointState) -> None:
        before = state.result.status
        try:
            state.update(await self._ask(state.probe))
            state.checked_at = asyncio.get_running_loop().time()
            model.note_result()
        finally:
            state.running = None
        result = state.result
        if result.status != before:
            several = {"endpoint": state.probe.endpoint} if len(model.endpoints) > 1 else {}
            self._log.info(
                "model status", model=model.name, status=result.status, reason=result.reason, before=before, **several
            )

    async def _ask(self, probe: Probe) -> ProbeResult:
        try:
            return await probe.ask(self._clients.of(probe.untrusted))
        except Exception as error:
            # A probe that raises must not end the watch of its model.
            self._log.error("probe failed unexpectedly", error=error, model=probe.model)
            message = "the probe itself failed; the log of the Model Service says where"
            return ProbeResult(UNKNOWN, "PROBE_FAILED", message, probe.url)
