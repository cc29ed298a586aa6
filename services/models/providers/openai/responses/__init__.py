"""The dialect of OpenAI's Responses, the only door to what Chat Completions cannot say: reasoning that is kept from
turn to turn, reasoning beside tools, OpenAI's own tools.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import re

from services.models.providers.answers.answer import Answer
from services.models.providers.base import Body, Conversation, HistoryRules, Target
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.faults import Fault
from services.models.providers.history.call_ids import CallIdRules
from services.models.providers.history.tool_names import OPENAI_NAMES
from services.models.providers.openai.chat_completions import OPENAI
from services.models.providers.openai.responses.request import encode_body
from services.models.providers.openai.responses.response import read_answer
from services.models.providers.openai.responses.stream import ResponseDecoder


class OpenAIResponsesDialect:
    """Responses. It shares its name with OpenAI's Chat Completions: to a caller both are one provider."""

    name = OPENAI.name
    path = "/responses"
    history = HistoryRules(CallIdRules(re.compile("(?s).{1,64}")), OPENAI_NAMES, object_arguments=False)

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Body:
        return encode_body(OPENAI.traits, conversation, target, stream=stream)

    def read(self, body: bytes) -> Answer:
        return read_answer(body)

    def decoder(self) -> ResponseDecoder:
        return ResponseDecoder()

    def fault(self, status: int, body: bytes) -> Fault:
        return read_fault(status, body)


OPENAI_RESPONSES = OpenAIResponsesDialect()
