"""Routes: the backend of each service, with its replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.descriptor import ServiceDescriptor

from proto import models_pb2, sessions_pb2
from services.shared.logs import Log
from services.shared.replicas import Replicas
from services.shared.tls import TlsFiles

MODEL_SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"]
SESSION_SERVICE = sessions_pb2.DESCRIPTOR.services_by_name["SessionService"]


class Backend(NamedTuple):
    """The processes that serve one service."""

    name: str
    """The short name, for programs: `models`."""
    title: str
    """The name for people: `Model Service`."""
    service: ServiceDescriptor
    replicas: Replicas


def open_backends(
    models_addresses: str, sessions_addresses: str, log: Log, tls: TlsFiles | None = None
) -> tuple[Backend, ...]:
    """The backends, connected to on demand; `tls` is needed for https:// addresses. The caller closes their
    replicas."""

    def backend(name: str, title: str, service: ServiceDescriptor, addresses: str) -> Backend:
        return Backend(name, title, service, Replicas(name, service.full_name, addresses, log, tls))

    return (
        backend("models", "Model Service", MODEL_SERVICE, models_addresses),
        backend("sessions", "Session Service", SESSION_SERVICE, sessions_addresses),
    )


async def close_backends(backends: Sequence[Backend]) -> None:
    """Ends the connections to all replicas."""
    await asyncio.gather(*(backend.replicas.close() for backend in backends))
