"""The dialect of OpenAI's Responses.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import re

from services.models.providers.answers.answer import Answer
from services.models.providers.base import Conversation, Dialect, Encoded, HistoryRules, Target
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.faults import Fault
from services.models.providers.names import OPENAI_NAMES, CallIdRules
from services.models.providers.openai.common.traits import OPENAI_TRAITS
from services.models.providers.openai.responses.request import encode_request
from services.models.providers.openai.responses.response import read_answer
from services.models.providers.openai.responses.stream import ResponseDecoder
from services.models.providers.requests.options import QUESTION_MEMBERS


class OpenAIResponsesDialect:
    """Responses. It shares its name with OpenAI's Chat Completions: to a caller both are one provider."""

    name = OPENAI_TRAITS.name
    history = HistoryRules(
        CallIdRules(re.compile("(?s).{1,64}")), OPENAI_NAMES, object_arguments=False, openai_tools=True
    )
    reserved_members = QUESTION_MEMBERS

    def select(self, conversation: Conversation, target: Target) -> Dialect:
        return self

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
        return encode_request(OPENAI_TRAITS, conversation, target, stream=stream)

    def read(self, body: bytes) -> Answer:
        return read_answer(body)

    def decoder(self) -> ResponseDecoder:
        return ResponseDecoder()

    def fault(self, status: int, body: bytes) -> Fault:
        return read_fault(status, body)


OPENAI_RESPONSES = OpenAIResponsesDialect()
