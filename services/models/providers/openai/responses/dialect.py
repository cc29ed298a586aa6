"""The dialect of OpenAI's Responses.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import re

from services.models.providers.answers.answer import Answer
from services.models.providers.base import Conversation, Dialect, Encoded, Forwarded, HistoryRules, Native, Target
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.faults import Fault
from services.models.providers.http_request import HttpRequest
from services.models.providers.names import OPENAI_NAMES, CallIdRules
from services.models.providers.openai.common.traits import OPENAI_TRAITS
from services.models.providers.openai.responses.request import PATH, encode_request
from services.models.providers.openai.responses.response import read_answer
from services.models.providers.openai.responses.stream import ResponseDecoder
from services.models.providers.requests.counting import counting_request
from services.models.providers.requests.options import QUESTION_MEMBERS

COUNTING_PATH = "/responses/input_tokens"
COUNTED = ("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "parallel_tool_calls")
"""The members of a request whose tokens are counted
(https://platform.openai.com/docs/api-reference/responses/input-tokens)."""


class OpenAIResponsesDialect:
    """Responses. It shares its name with OpenAI's Chat Completions: to a caller both are one provider."""

    name = OPENAI_TRAITS.name
    history = HistoryRules(
        CallIdRules(re.compile("(?s).{1,64}")), OPENAI_NAMES, object_arguments=False, openai_tools=True
    )
    reserved_members = QUESTION_MEMBERS

    def select(self, conversation: Conversation, target: Target) -> Dialect:
        return self

    def native(self, forwarded: Forwarded, target: Target) -> Native | None:
        return Native(self, PATH, COUNTING_PATH) if forwarded.wire == "responses" else None

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
        return encode_request(OPENAI_TRAITS, conversation, target, stream=stream)

    def counting_request(self, conversation: Conversation, target: Target) -> HttpRequest | None:
        encoded = self.encode(conversation, target, stream=False)
        return counting_request(COUNTING_PATH, encoded.request.body, COUNTED)

    def read(self, body: bytes) -> Answer:
        return read_answer(body)

    def decoder(self) -> ResponseDecoder:
        return ResponseDecoder()

    def fault(self, status: int, body: bytes) -> Fault:
        return read_fault(status, body)


OPENAI_RESPONSES = OpenAIResponsesDialect()
