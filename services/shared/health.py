"""The health service of grpc.health.v1."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc ships no types
    """The servicer of the health service.

    The one of grpcio-health-checking does not fit: its watches stay open during a stop, which then takes the whole
    grace, and its `set` blocks on a watcher that does not read.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {"": NOT_SERVING}
        self._draining = False
        self._generation = 0
        self._watches = 0
        self._changed = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(
        self, request: health_pb2.HealthListRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthListResponse:
        found = {service: health_pb2.HealthCheckResponse(status=status) for service, status in self._statuses.items()}
        return health_pb2.HealthListResponse(statuses=found)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext) -> None:
        self._watches += 1
        try:
            await self._report(request, context)
        finally:
            self._watches -= 1

    async def _report(self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext) -> None:
        written, generation = None, self._generation
        while True:
            changed, draining = self._changed, self._draining or generation != self._generation
            status = self._statuses.get(request.service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != written:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                written = status
            if draining:
                return
            await changed.wait()

    def statuses(self) -> dict[str, int]:
        """The status of each service, and the overall one, which has no name. Safe to call in any thread."""
        return self._statuses.copy()

    @property
    def is_watched(self) -> bool:
        return self._watches > 0

    async def set(self, service: str, status: int) -> None:
        """Sets the status of a service. Does nothing after `drain`."""
        self.set_now(service, status)

    def set_now(self, service: str, status: int) -> None:
        """The same, outside of coroutines."""
        if not self._draining:
            self._statuses[service] = status
            self._notify_watches()

    def end_watches(self) -> None:
        """Ends all watches, because a replaced server does not accept them again on its old connections."""
        self._generation += 1
        self._notify_watches()

    async def drain(self) -> None:
        """Sets every status to NOT_SERVING for good, and ends all watches after they have reported it."""
        self._draining = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._notify_watches()

    def _notify_watches(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
