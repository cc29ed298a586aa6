"""The listing of models over HTTP, in the shape that the client's SDK reads."""

from __future__ import annotations

from collections.abc import Sequence

from proto import models_pb2
from services.models.access.allowed_models import allowed_models
from services.models.faces.base import Face
from services.models.http_port.boundary import Boundary
from services.models.http_port.exchange import HttpExchange
from services.models.http_port.routes import Route
from services.models.routing.directory import ModelDirectory
from services.shared.call import Call
from services.shared.errors import NotFound, PlatformError
from services.shared.identity import scope_of
from services.shared.metadata import REQUEST_ID_KEY

SCOPE = scope_of(models_pb2.DESCRIPTOR.services_by_name["ModelService"].methods_by_name["ListModels"])


class Listings:
    def __init__(self, boundary: Boundary, directory: ModelDirectory) -> None:
        pass
