"""The face of Messages."""

from __future__ import annotations

from proto import models_pb2
from services.models.faces.base import About, Asked, Refusal
from services.models.faces.messages.answer import whole_message
from services.models.faces.messages.body import Body
from services.models.faces.messages.errors import refuse
from services.models.faces.messages.places import path_in_body
from services.models.faces.messages.stream import MessageEncoder
from services.shared.errors import PlatformError


class AskedMessage:
    """A request for a message, or for the number of its tokens."""

    def __init__(self, body: bytes, model: str) -> None:
        read = Body(body, model)
        self.request = read.request
        self.streams = read.streams
        self.platform = read.platform
        self._places = read.places
        self._model = self.request.model

    def whole(self, response: models_pb2.ChatResponse, about: About) -> bytes:
        return whole_message(response, self._model or response.model, about)

    def encoder(self, about: About) -> MessageEncoder:
        return MessageEncoder(self._model, about)

    def path_of(self, field: str) -> str:
        return path_in_body(field, self._places)


class MessagesFace:
    """Messages, and the counting of their tokens, whose bodies are read in the same way."""

    name = "messages"

    def read(self, body: bytes, model: str = "") -> AskedMessage:
        """The request in a body. Answers have the length that the provider gives them if it does not say one, which
        `count_tokens` never does."""
        return AskedMessage(body, model)

    def counted(self, tokens: int) -> bytes:
        """The body of an answer of `count_tokens`."""
        return b'{"input_tokens":%d}' % tokens

    def refusal(self, error: PlatformError, request_id: str, asked: Asked | None = None) -> Refusal:
        if asked is None:
            return refuse(error, request_id)
        return refuse(error, request_id, asked.path_of, asked.request.model)


MESSAGES = MessagesFace()
