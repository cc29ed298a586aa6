"""The listing of models over HTTP, in the shape that the client's SDK reads."""

from __future__ import annotations

from proto import models_pb2
from services.models.http_port.boundary import Boundary
from services.models.routing.directory import ModelDirectory
from services.shared.identity import scope_of

SCOPE = scope_of(models_pb2.DESCRIPTOR.services_by_name["ModelService"].methods_by_name["ListModels"])


class Listings:
    def __init__(self, boundary: Boundary, directory: ModelDirectory) -> None:
        pass
