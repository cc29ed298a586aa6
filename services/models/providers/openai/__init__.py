"""The dialect of OpenAI's Chat Completions, spoken by OpenAI, by vLLM and by every OpenAI-compatible server.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from services.models.providers.answer import Answer
from services.models.providers.base import Body, Conversation, Target
from services.models.providers.error_body import read_fault
from services.models.providers.faults import Fault
from services.models.providers.openai.request import encode_body
from services.models.providers.openai.response import read_answer
from services.models.providers.openai.stream import ChatCompletionDecoder


class OpenAIDialect:
    """Chat Completions. `name` tells OpenAI itself from compatible servers, for `provider_options_json`."""

    path = "/chat/completions"

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Body:
        return encode_body(self.name, conversation, target, stream=stream)

    def read(self, body: bytes) -> Answer:
        return read_answer(body)

    def decoder(self) -> ChatCompletionDecoder:
        return ChatCompletionDecoder()

    def fault(self, status: int, body: bytes) -> Fault:
        return read_fault(status, body)


OPENAI = OpenAIDialect("openai")
OPENAI_COMPATIBLE = OpenAIDialect("openai-compatible")
