"""The listing of models over HTTP, in the shape that the client's SDK reads."""

from __future__ import annotations

from urllib.parse import parse_qs

from proto import models_pb2
from services.models.access.allowed_models import allowed_models
from services.models.faces import model_lists
from services.models.http_port.exchange import HttpExchange
from services.models.routing.directory import ModelDirectory
from services.shared.call import Call
from services.shared.errors import NotFound
from services.shared.identity import scope_of

SCOPE = scope_of(models_pb2.DESCRIPTOR.services_by_name["ModelService"].methods_by_name["ListModels"])
PAGE_SIZE = 1000
