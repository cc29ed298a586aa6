"""OpenAI's Responses API as clients speak it. https://platform.openai.com/docs/api-reference/responses"""

from __future__ import annotations

from proto import models_pb2
from services.models.faces import openai_errors
from services.models.faces.base import About, Asked, Refusal
from services.models.faces.responses.encoder import EventEncoder, Frame, write_whole
from services.models.faces.responses.paths import Paths
from services.models.faces.responses.reading import BodyRead, read_body
from services.shared.errors import PlatformError


class AskedResponse:
    """A request for a response."""

    def __init__(self, read: BodyRead) -> None:
        self.request: models_pb2.ChatRequest = read.request
        self.streams = read.streams
        self.platform = read.platform
        # The platform may put another name in its place, and clients want to read their own.
        self._model = read.request.model
        self._names = read.names
        self._echo = read.echo
        self._paths = Paths(read.places, read.tool_paths, read.user_member)

    def whole(self, response: models_pb2.ChatResponse, about: About) -> bytes:
        return write_whole(response, Frame(self._model, self._echo, about), self._names, about)

    def encoder(self, about: About) -> EventEncoder:
        return EventEncoder(Frame(self._model, self._echo, about), self._names, about, self.path_of)

    def path_of(self, field: str) -> str:
        return self._paths.path_of(field)


class ResponsesFace:
    """The dialect."""

    name = "responses"

    def read(self, body: bytes, model: str = "") -> AskedResponse:
        return AskedResponse(read_body(body, model))

    def refusal(self, error: PlatformError, request_id: str, asked: Asked | None = None) -> Refusal:
        return openai_errors.refusal(error, asked)

    def counted(self, tokens: int) -> bytes:
        """The body of an answer to `POST /v1/responses/input_tokens`, whose request is read as that of a response."""
        return b'{"object":"response.input_tokens","input_tokens":%d}' % tokens


RESPONSES = ResponsesFace()
