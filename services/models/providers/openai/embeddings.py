"""Embeddings of OpenAI's dialect, which are only forwarded: the answer is read for its model and its usage.

https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from typing import Any

import msgspec

from services.models.providers.answers.answer import Answer
from services.models.providers.answers.openai_usage import read_usage
from services.models.providers.base import (
    Conversation,
    Decoder,
    Dialect,
    Encoded,
    Forwarded,
    HistoryRules,
    Native,
    Target,
)
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.faults import Fault
from services.models.providers.http_request import HttpRequest
from services.models.providers.requests.content import check_kind
from services.models.providers.requests.options import QUESTION_MEMBERS
from services.shared.errors import Unimplemented

PATH = "/embeddings"
WIRE = "embeddings"


class _Body(msgspec.Struct):
    """An answer. Its vectors, which may be many, are not decoded."""

    data: msgspec.Raw
    model: str = ""
    usage: Any = None


_decoder = msgspec.json.Decoder(_Body)


class EmbeddingsDialect:
    """Embeddings."""

    name = "openai"
    history = HistoryRules()
    reserved_members = QUESTION_MEMBERS

    def select(self, conversation: Conversation, target: Target) -> Dialect:
        return self

    def native(self, forwarded: Forwarded, target: Target) -> Native | None:
        check_kind(target, "embedding")
        return Native(self, PATH)

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
        raise Unimplemented("embeddings are forwarded, and not translated", reason="FEATURE_UNSUPPORTED")

    def counting_request(self, conversation: Conversation, target: Target) -> HttpRequest | None:
        return None

    def read(self, body: bytes) -> Answer:
        try:
            read = _decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Fault("UPSTREAM_PROTOCOL_ERROR") from None
        answer = Answer()
        answer.model = read.model
        answer.raw_finish_reason = answer.finish_reason = "stop"
        read_usage(answer, read.usage)
        return answer

    def decoder(self) -> Decoder:
        raise Unimplemented("embeddings do not come as a stream", reason="FEATURE_UNSUPPORTED")

    def fault(self, status: int, body: bytes) -> Fault:
        return read_fault(status, body)


EMBEDDINGS = EmbeddingsDialect()
