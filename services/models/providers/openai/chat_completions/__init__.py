"""The dialect of OpenAI's Chat Completions, spoken by OpenAI, by vLLM and by every OpenAI-compatible server.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import re

from services.models.providers.answers.answer import Answer
from services.models.providers.base import Body, Conversation, HistoryRules, Target
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.faults import Fault
from services.models.providers.history.call_ids import CallIdRules
from services.models.providers.history.tool_names import OPENAI_NAMES
from services.models.providers.openai.chat_completions.request import encode_body
from services.models.providers.openai.chat_completions.response import read_answer
from services.models.providers.openai.chat_completions.stream import ChatCompletionDecoder
from services.models.providers.openai.common.traits import Traits
from services.models.providers.schemas.fitting import OPENAI_STRICT


class OpenAIDialect:
    """Chat Completions, as the servers of some traits speak it."""

    path = "/chat/completions"

    def __init__(self, traits: Traits) -> None:
        self.name = traits.name
        self.traits = traits
        self.history = traits.history

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Body:
        return encode_body(self.traits, conversation, target, stream=stream)

    def read(self, body: bytes) -> Answer:
        return read_answer(body, self.traits.stop_sequence_member)

    def decoder(self) -> ChatCompletionDecoder:
        return ChatCompletionDecoder(self.traits.stop_sequence_member)

    def fault(self, status: int, body: bytes) -> Fault:
        return read_fault(status, body)


OPENAI = OpenAIDialect(
    Traits(
        name="openai",
        title="OpenAI",
        media_by_url={"image": "image_url"},
        takes_refusals=True,
        takes_cache_key=True,
        end_user_member="safety_identifier",
        max_end_user_length=64,
        history=HistoryRules(
            call_ids=CallIdRules(re.compile("(?s).{1,40}"), are_in_state=False),
            tool_names=OPENAI_NAMES,
            object_arguments=False,
        ),
        max_tools=128,
        strict_schemas=OPENAI_STRICT,
        shows_reasoning=False,
    )
)
OPENAI_COMPATIBLE = OpenAIDialect(
    Traits(
        name="openai-compatible",
        title="an OpenAI-compatible server",
        media_by_url={"image": "image_url", "video": "video_url"},
    )
)
