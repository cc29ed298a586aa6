"""Routes: the backend of each service, with its replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.descriptor import ServiceDescriptor

from proto import content_pb2, models_pb2, sessions_pb2, usage_pb2
from services.shared.logs import Log
from services.shared.replicas import Replicas
from services.shared.tls import TlsFiles

MODEL_SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"]
CONTENT_SERVICE = content_pb2.DESCRIPTOR.services_by_name["ContentService"]
USAGE_SERVICE = usage_pb2.DESCRIPTOR.services_by_name["UsageService"]
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

    models = Replicas("models", MODEL_SERVICE.full_name, models_addresses, log, tls)
    sessions = Replicas("sessions", SESSION_SERVICE.full_name, sessions_addresses, log, tls)
    return (
        Backend("models", "Model Service", MODEL_SERVICE, models),
        Backend("models", "Model Service", USAGE_SERVICE, models),
        Backend("models", "Model Service", CONTENT_SERVICE, models),
        Backend("sessions", "Session Service", SESSION_SERVICE, sessions),
    )


def replicas_of(backends: Sequence[Backend]) -> list[Replicas]:
    """The replicas of all backends, each once: the Model Service serves several services."""
    return list(dict.fromkeys(backend.replicas for backend in backends))


async def close_backends(backends: Sequence[Backend]) -> None:
    """Ends the connections to all replicas."""
    await asyncio.gather(*(replicas.close() for replicas in replicas_of(backends)))
