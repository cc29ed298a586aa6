"""The dialect of Anthropic's Messages.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import re

from services.models.providers.answers.answer import Answer
from services.models.providers.anthropic.request import PATH, encode_request
from services.models.providers.anthropic.response import read_answer
from services.models.providers.anthropic.stream import MessageDecoder
from services.models.providers.base import Conversation, Dialect, Encoded, Forwarded, HistoryRules, Native, Target
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.faults import Fault
from services.models.providers.http_request import HttpRequest
from services.models.providers.names import ANTHROPIC_NAMES, CallIdRules
from services.models.providers.requests.counting import counting_request
from services.models.providers.requests.options import QUESTION_MEMBERS

API_VERSION = "2023-06-01"
"""The `anthropic-version` that is sent. The newer 2026-10-21 refuses `temperature`, `top_p` and `top_k` outright, even
for models that take them (https://platform.claude.com/docs/en/api/versioning), so callers would lose what they set."""

COUNTING_PATH = "/messages/count_tokens"
COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "mcp_servers")
"""The members of a request whose tokens are counted
(https://platform.claude.com/docs/en/api/messages/count_tokens)."""


class AnthropicDialect:
    """Messages."""

    name = "anthropic"
    history = HistoryRules(CallIdRules(re.compile("[A-Za-z0-9_-]+"), are_unique=True), ANTHROPIC_NAMES)
    reserved_members = QUESTION_MEMBERS

    def select(self, conversation: Conversation, target: Target) -> Dialect:
        return self

    def native(self, forwarded: Forwarded, target: Target) -> Native | None:
        return Native(self, PATH, COUNTING_PATH) if forwarded.wire == "messages" else None

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
        return encode_request(conversation, target, stream=stream)

    def counting_request(self, conversation: Conversation, target: Target) -> HttpRequest | None:
        encoded = self.encode(conversation, target, stream=False)
        return counting_request(COUNTING_PATH, encoded.request.body, COUNTED)

    def read(self, body: bytes) -> Answer:
        return read_answer(body)

    def decoder(self) -> MessageDecoder:
        return MessageDecoder()

    def fault(self, status: int, body: bytes) -> Fault:
        return read_fault(status, body)


ANTHROPIC = AnthropicDialect()
