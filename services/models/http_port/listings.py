"""The listing of models over HTTP, in the shape that the client's SDK reads."""

from __future__ import annotations

from proto import models_pb2
from services.shared.identity import scope_of

SCOPE = scope_of(models_pb2.DESCRIPTOR.services_by_name["ModelService"].methods_by_name["ListModels"])
