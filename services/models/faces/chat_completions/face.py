"""The face of Chat Completions. https://platform.openai.com/docs/api-reference/chat"""

from __future__ import annotations

from proto import models_pb2
from services.models.faces import openai_errors
from services.models.faces.base import About, Asked, Refusal
from services.models.faces.chat_completions.answers import write_answer
from services.models.faces.chat_completions.paths import path_of
from services.models.faces.chat_completions.reading import BodyRead, read_body
from services.models.faces.chat_completions.stream import CompletionEncoder
from services.shared.errors import PlatformError


class AskedCompletion:
    """A request for a completion."""

    def __init__(self, read: BodyRead) -> None:
        self.request = read.request
        self.streams = read.streams
        self.platform = read.platform
        self._read = read
        # The name as the client knows it: the request may get another one from the platform's own member.
        self._model = read.request.model
        self._has_logprobs = read.request.config.logprobs

    def whole(self, response: models_pb2.ChatResponse, about: About) -> bytes:
        return write_answer(
            response,
            about,
            self._model or response.model,
            self._read.custom_tools,
            has_logprobs=self._has_logprobs,
        )

    def encoder(self, about: About) -> CompletionEncoder:
        return CompletionEncoder(
            about,
            self._model,
            self._read.custom_tools,
            self.path_of,
            includes_usage=self._read.includes_usage,
            has_logprobs=self._has_logprobs,
        )

    def path_of(self, field: str) -> str:
        return self._read.path_of(field) if self._read.path_of else path_of(field, self._read)


class ChatCompletionsFace:
    """Chat Completions as clients of OpenAI, and of the many servers that speak it, know it."""

    name = "chat_completions"

    def read(self, body: bytes, model: str = "") -> AskedCompletion:
        return AskedCompletion(read_body(body, model))

    def refusal(self, error: PlatformError, request_id: str, asked: Asked | None = None) -> Refusal:
        return openai_errors.refusal(error, asked)


CHAT_COMPLETIONS = ChatCompletionsFace()
