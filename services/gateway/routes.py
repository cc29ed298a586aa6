"""Routes: the backend of each service, and the channel to it."""

from __future__ import annotations

from typing import NamedTuple

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from proto import models_pb2, sessions_pb2
from services.shared.channels import open_channel

MODEL_SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"]
SESSION_SERVICE = sessions_pb2.DESCRIPTOR.services_by_name["SessionService"]


class Backend(NamedTuple):
    """A process that serves one service, and the channel to it."""

    name: str
    """The short name, for programs: `models`."""
    title: str
    """The name for people: `Model Service`."""
    service: ServiceDescriptor
    address: str
    channel: grpc.aio.Channel


def open_backends(models_address: str, sessions_address: str) -> tuple[Backend, ...]:
    """The backends, connected to on demand. The caller closes their channels."""
    return (
        Backend("models", "Model Service", MODEL_SERVICE, models_address, open_channel(models_address)),
        Backend("sessions", "Session Service", SESSION_SERVICE, sessions_address, open_channel(sessions_address)),
    )
