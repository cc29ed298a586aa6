"""The span of a chat, by the conventions for generative AI. It has no content: no prompt, no answer, no tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proto import models_pb2
from services.models.chat.metrics import OPERATION, error_type_of
from services.models.providers.base import Target
from services.shared.call import Call
from services.shared.tracing import Span

CONFIG_ATTRIBUTES = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
}
USAGE_ATTRIBUTES = {
    "cached_prompt_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "cost_nano_usd": "genai.cost.nano_usd",
}


def start_chat_span(call: Call, request: models_pb2.ChatRequest) -> Span | None:
    """The span of a chat, all its attempts included, as a part of that of its call."""
    if call.span is None:
        return None
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.request.model": request.model,
        "gen_ai.request.stream": call.is_stream,
    }
    if request.session_id:
        attributes["gen_ai.conversation.id"] = request.session_id
    for field, attribute in CONFIG_ATTRIBUTES.items():
        if request.config.HasField(field):
            attributes[attribute] = getattr(request.config, field)
    return call.span.start_child(f"{OPERATION} {request.model}", attributes)


def describe_answer(span: Span, target: Target, response: models_pb2.ChatResponse) -> None:
    """Ends the span with an answer; what happens to its chat afterwards is no part of it."""
    span.end(attributes={"gen_ai.provider.name": target.provider, **_answer_attributes(response)})


def end_chat_span(span: Span, target: Target | None, error: BaseException | None) -> None:
    """Ends the span without an answer of a model: with an error, or because the session had the answer."""
    attributes = {"gen_ai.provider.name": target.provider} if target else None
    span.end(error_type_of(error) if error else "", attributes)


def _answer_attributes(response: models_pb2.ChatResponse) -> Mapping[str, Any]:
    usage = response.usage
    attributes: dict[str, Any] = {
        "gen_ai.response.id": response.response_id,
        "gen_ai.response.model": response.model,
        "gen_ai.response.finish_reasons": (response.finish_reason,),
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }
    for field, attribute in USAGE_ATTRIBUTES.items():
        if usage.HasField(field):
            attributes[attribute] = getattr(usage, field)
    if usage.estimated:
        attributes["genai.usage.estimated"] = True
    if response.timing.HasField("first_token"):
        attributes["gen_ai.response.time_to_first_chunk"] = response.timing.first_token.ToNanoseconds() / 1e9
    if response.prompt.name:
        attributes["gen_ai.prompt.name"] = response.prompt.name
        attributes["gen_ai.prompt.version"] = str(response.prompt.version)
    return attributes
