"""Plain answers, as nearly all are: a complete text, and counts that agree.

Read into its shape, such an answer costs a third of what it does member by member; the long way gives the same.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from services.models.providers.answers.dropped_members import OF_CHOICES, OF_COMPLETIONS
from services.models.providers.answers.openai_usage import ELSEWHERE, read_rates
from services.models.providers.answers.values import MAX_WORD_LENGTH
from services.models.providers.errors.in_band_errors import BASE_RESP
from services.models.providers.openai.chat_completions.chat_answer import TEXT, ChatAnswer
from services.shared.json_text import LIGHT_BYTES

Word = Annotated[str, msgspec.Meta(max_length=MAX_WORD_LENGTH)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
NoCount = Literal[0] | None
NoEntries = Annotated[list[Any], msgspec.Meta(max_length=0)] | None


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """Members that may stand beside the text without content."""

    content: str
    role: str | None = None
    refusal: None = None
    reasoning: None = None
    reasoning_content: None = None
    audio: None = None
    function_call: None = None
    annotations: NoEntries = None
    tool_calls: NoEntries = None


class PromptDetails(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: NoCount = None


class CompletionDetails(msgspec.Struct, forbid_unknown_fields=True):
    reasoning_tokens: Count | None = None
    audio_tokens: NoCount = None
    accepted_prediction_tokens: NoCount = None
    rejected_prediction_tokens: NoCount = None


class Usage(msgspec.Struct, forbid_unknown_fields=True):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    def counts(self) -> dict[str, int]:
        """The counts by the names of `CountedTokens`."""
        counts = {"prompt": self.prompt_tokens, "completion": self.completion_tokens, "total": self.total_tokens}
        of_prompt, of_completion = self.prompt_tokens_details, self.completion_tokens_details
        if of_prompt and of_prompt.cached_tokens is not None:
            counts["cached"] = of_prompt.cached_tokens
        if of_prompt and of_prompt.cache_write_tokens is not None:
            counts["written"] = of_prompt.cache_write_tokens
        if of_completion and of_completion.reasoning_tokens is not None:
            counts["reasoning"] = of_completion.reasoning_tokens
        return counts


def _nothing(*names: str) -> list[tuple[str, Any, Any]]:
    """Members that say nothing, if they are there."""
    return [(name, None, None) for name in names]


Choice = msgspec.defstruct(
    "Choice",
    [
        ("message", Message),
        ("finish_reason", Literal["stop", "length"]),
        ("index", NoCount, None),
        *_nothing("delta", "error", "logprobs", "usage", *OF_CHOICES),
    ],
)
Completion = msgspec.defstruct(
    "Completion",
    [
        ("choices", tuple[Choice]),  # type: ignore[valid-type]
        ("usage", Usage),
        ("id", Word, ""),
        ("model", Word, ""),
        ("object", Literal["chat.completion"] | None, None),
        ("service_tier", Word | None, None),
        *_nothing("error", "type", BASE_RESP, *sorted(ELSEWHERE | {*OF_COMPLETIONS})),
    ],
)

_decode: Any = msgspec.json.Decoder(Completion).decode


def read_plain_answer(body: bytes) -> ChatAnswer | None:
    """The answer in `body`, or None where it is to be read at length."""
    if len(body) > LIGHT_BYTES:
        return None
    try:
        completion = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    answer = ChatAnswer()
    settled = answer.counts.settle_agreeing(completion.usage.counts())
    if settled is None:
        return None
    answer.usage, answer.counts_agree = settled
    answer.provider_response_id, answer.model = completion.id, completion.model
    [choice] = completion.choices
    answer.add(TEXT, "text", choice.message.content)
    answer.finish(choice.finish_reason, choice.finish_reason)
    if completion.service_tier:
        read_rates(answer, completion.service_tier)
    return answer
