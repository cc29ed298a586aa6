"""The dialect of Chat Completions.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from services.models.providers.answers.answer import Answer
from services.models.providers.base import Conversation, Dialect, Encoded, Forwarded, Native, Target
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.faults import Fault
from services.models.providers.http_request import HttpRequest
from services.models.providers.openai.chat_completions.request import PATH, encode_request
from services.models.providers.openai.chat_completions.response import read_answer
from services.models.providers.openai.chat_completions.stream import ChatCompletionDecoder
from services.models.providers.openai.common.traits import Traits
from services.models.providers.openai.embeddings import EMBEDDINGS
from services.models.providers.openai.embeddings import WIRE as EMBEDDINGS_WIRE
from services.models.providers.requests.options import QUESTION_MEMBERS


class ChatCompletionsDialect:
    """Chat Completions, as the servers of some traits speak it."""

    reserved_members = QUESTION_MEMBERS

    def __init__(self, traits: Traits) -> None:
        self.name = traits.name
        self.traits = traits
        self.history = traits.history

    def select(self, conversation: Conversation, target: Target) -> Dialect:
        return self

    def native(self, forwarded: Forwarded, target: Target) -> Native | None:
        if forwarded.wire == EMBEDDINGS_WIRE:
            return EMBEDDINGS.native(forwarded, target)
        return Native(self, PATH) if forwarded.wire == "chat_completions" else None

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
        return encode_request(self.traits, conversation, target, stream=stream)

    def counting_request(self, conversation: Conversation, target: Target) -> HttpRequest | None:
        return None

    def read(self, body: bytes) -> Answer:
        return read_answer(body, self.traits.stop_sequence_member)

    def decoder(self) -> ChatCompletionDecoder:
        return ChatCompletionDecoder(self.traits.stop_sequence_member)

    def fault(self, status: int, body: bytes) -> Fault:
        return read_fault(status, body)


OPENAI_COMPATIBLE = ChatCompletionsDialect(
    Traits(
        name="openai-compatible",
        title="an OpenAI-compatible server",
        media_by_url={"image": "image_url", "video": "video_url"},
    )
)
