"""The listing of models over HTTP, in the shape that the client's SDK reads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from proto import models_pb2
from services.models.access.allowed_models import allowed_models
from services.models.faces import model_lists
from services.models.faces.base import Face
from services.models.http_port.boundary import Boundary
from services.models.http_port.exchange import HttpExchange
from services.models.http_port.routes import Route
from services.models.routing.directory import ModelDirectory
from services.shared.call import Call
from services.shared.errors import InvalidRequest, NotFound, PlatformError
from services.shared.identity import scope_of
from services.shared.metadata import REQUEST_ID_KEY
from services.shared.offload import run_in_thread
from services.shared.page_tokens import MAX_PAGE_SIZE

SCOPE = scope_of(models_pb2.DESCRIPTOR.services_by_name["ModelService"].methods_by_name["ListModels"])

ANTHROPIC_FIELD = "anthropic-version"
"""The header field that only Anthropic's clients send: the paths are the same."""

MAX_PARAMETERS = 32
WORK_PER_MODEL = 2048
"""Work to write the entry of a model, in bytes of plain text."""


class Listings:
    """Answers the requests for models."""

    def __init__(self, boundary: Boundary, directory: ModelDirectory) -> None:
        self._boundary = boundary
        self._directory = directory

    async def answer(
        self, exchange: HttpExchange, route: Route, cors: Sequence[tuple[str, str]], refuser: Face
    ) -> None:
        """Answers a request; `refuser` words its errors, and `cors` are header fields for browsers. Raises
        CancelledError when the client has left."""
        call = self._boundary.open_call(exchange, "models")
        fields = [(REQUEST_ID_KEY, call.request_id), ("request-id", call.request_id), *cors]

        async def work() -> None:
            async with self._boundary.looking_up(call, SCOPE):
                body = await self._body(exchange, route, call)
            await exchange.respond(200, [*fields, *call.trailers], body)

        async def fail(error: PlatformError) -> None:
            refusal = refuser.refusal(error, call.request_id)
            await exchange.respond(refusal.status, [*fields, *refusal.headers], refusal.body)

        await self._boundary.run(exchange, call, work(), fail)

    async def _body(self, exchange: HttpExchange, route: Route, call: Call) -> bytes:
        models = await self._models(call)
        write = self._writer(exchange, route)
        return await run_in_thread(WORK_PER_MODEL * len(models), write, models)

    async def _models(self, call: Call) -> list[models_pb2.ModelInfo]:
        """All models that the caller may call."""
        request = models_pb2.ListModelsRequest(page_size=MAX_PAGE_SIZE)
        found: list[models_pb2.ModelInfo] = []
        while True:
            page = await self._directory.list(request, allowed_models(call))
            found += page.models
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def _writer(self, exchange: HttpExchange, route: Route) -> Callable[[list[models_pb2.ModelInfo]], bytes]:
        is_anthropic = ANTHROPIC_FIELD in exchange.headers
        if route.operation == "model":
            return functools.partial(_write_one, route.name, is_anthropic=is_anthropic)
        if not is_anthropic:
            return model_lists.openai_list
        return functools.partial(model_lists.anthropic_list, page=model_lists.read_page(_parameters(exchange)))


def _parameters(exchange: HttpExchange) -> list[tuple[str, str]]:
    try:
        return parse_qsl(exchange.query.decode("latin-1"), max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise InvalidRequest(f"the query has more than {MAX_PARAMETERS} parameters") from None


def _write_one(name: str, models: list[models_pb2.ModelInfo], *, is_anthropic: bool) -> bytes:
    """The model of a name. Raises NotFound."""
    for model in models:
        if model.name == name or name in model.aliases:
            return (model_lists.anthropic_model if is_anthropic else model_lists.openai_model)(model, name)
    raise NotFound(f"there is no model {name[:128]!r}; GET /v1/models lists them", reason="MODEL_NOT_FOUND")
