"""Nothing that an answer holds is lost in silence: it is carried, kept as opaque state, or told in a notice."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from pydantic import BaseModel

from docs.dropped_members import DroppedMember, dropped_members
from docs.features import endpoint_target, vendor_target
from proto.models_pb2 import ChatMessage, ChatRequest
from services.models.providers.answers.dropped_members import (
    COUNTS_OF_OPENAI,
    OF_CHOICES,
    OF_COMPLETIONS,
    OF_MESSAGES,
    OF_RESPONSES,
)
from services.models.providers.base import Conversation, Dialect
from services.models.providers.encoding import encode
from services.models.transport.sse import Event
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.wire.adapters import ADAPTERS

DIALECTS: dict[str, list[Dialect]] = {}
for adapter in ADAPTERS:
    DIALECTS.setdefault(adapter.speech.title, []).append(adapter.target("http://localhost").dialect)
ENTRIES = {f"{entry.dialect}: {entry.name}": entry for entry in dropped_members()}


@for_each("name", ENTRIES)
def test_what_is_not_carried_is_told(name: str) -> None:
    entry = ENTRIES[name]
    for dialect in DIALECTS[entry.dialect]:
        for notices in (told_whole(dialect, entry), told_by_stream(dialect, entry)):
            assert notices in (None, [entry.notice])


def told_whole(dialect: Dialect, entry: DroppedMember) -> list[str] | None:
    if entry.body is None:
        return None
    answer = dialect.read(entry.body)
    answer.complete()
    return [notice.code for notice in answer.response().warnings]


def told_by_stream(dialect: Dialect, entry: DroppedMember) -> list[str]:
    decoder = dialect.decoder()
    for data in entry.events:
        decoder.feed([Event("", data)])
    assert decoder.finished
    decoder.answer.complete()
    return [notice.code for notice in decoder.answer.last_chunk().response.warnings]


@for_each(
    ("options", "is_refused"),
    [
        ('{"modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"}}', True),
        ('{"modalities":["AUDIO"]}', True),
        ('{"audio":{"voice":"alloy","format":"wav"}}', True),
        ('{"Audio":{}}', True),
        ('{"audio":null,"modalities":["text"]}', False),
        ('{"modalities":["image","text"]}', False),
    ],
)
@for_each("name", ["openai", "openai-compatible", "vllm"])
def test_sound_is_refused_before_it_is_paid_for(name: str, options: str, is_refused: bool) -> None:
    target = vendor_target("openai", "gpt-4o-audio-preview") if name == "openai" else endpoint_target(name)
    user = ChatMessage(role="user", content="Sing.")
    request = ChatRequest(model="any", messages=[user], provider_options_json={name: options, "another": "{}"})
    if not is_refused:
        encode(Conversation(request, request.messages), target, stream=True)
        return
    with pytest.raises(InvalidRequest) as raised:
        encode(Conversation(request, request.messages), target, stream=True)
    assert {violation.field for violation in raised.value.violations} == {f"provider_options_json[{name}]"}


# ---------------------------------------------------------------------------------------- member by member, as typed


def names(*types: type[BaseModel]) -> set[str]:
    return {name for kind in types for name in kind.model_fields}


def check(found: Iterable[str], carried: str, told: Iterable[str], books: str = "") -> None:
    """Every member of a vendor's type is carried, told or of no interest to callers, and one of these only."""
    known = [*carried.split(), *told, *books.split()]
    assert len(known) == len(set(known))
    assert set(found) - set(known) == set()


def test_every_member_of_a_completion() -> None:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage, chat_completion
    from openai.types.chat import chat_completion_chunk as chunk
    from openai.types.completion_usage import CompletionTokensDetails, PromptTokensDetails

    books = "created object metadata system_fingerprint obfuscation"
    check(names(ChatCompletion, ChatCompletionChunk), "id choices model usage service_tier", OF_COMPLETIONS, books)
    check(names(chat_completion.Choice, chunk.Choice), "finish_reason index logprobs message delta", OF_CHOICES)
    message = "role content refusal annotations function_call tool_calls"
    check(names(ChatCompletionMessage, chunk.ChoiceDelta), message, ["audio"])
    counts = "cached_tokens cache_write_tokens reasoning_tokens text_tokens image_tokens"
    check(names(CompletionTokensDetails, PromptTokensDetails), counts, COUNTS_OF_OPENAI)


def test_every_member_of_a_response() -> None:
    from openai.types.responses import Response, ResponseOutputText

    request = (
        "instructions metadata parallel_tool_calls temperature tool_choice tools top_p background conversation"
        " max_output_tokens max_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_retention"
        " prompt_cache_options reasoning safety_identifier text top_logprobs truncation user context_management store"
        " image access_programs"
    )
    carried = "id error incomplete_details model output service_tier status usage input_transformations"
    told = [*OF_RESPONSES, "tool_usage"]
    check(names(Response), carried, told, f"object created_at completed_at {request}")
    check(names(ResponseOutputText), "annotations text type logprobs", [])


def test_every_member_of_a_message() -> None:
    from anthropic.types import Message, Usage
    from anthropic.types.beta import BetaMessage, BetaRawMessageDeltaEvent, BetaUsage
    from anthropic.types.beta.beta_raw_message_delta_event import Delta

    carried = "id type role model content container stop_reason stop_sequence stop_details usage input_transformations"
    check(names(Message, BetaMessage), carried, OF_MESSAGES)
    check(names(BetaRawMessageDeltaEvent, Delta), f"delta {carried}", OF_MESSAGES)
    counts = (
        "input_tokens output_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation"
        " output_tokens_details service_tier speed inference_geo"
    )
    check(names(Usage, BetaUsage), counts, ["iterations"], "server_tool_use fallback_credit")
