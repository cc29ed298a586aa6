"""ChatResponse → the body of a completion. https://platform.openai.com/docs/api-reference/chat/object

The members are those that clients break without: SDKs, AI SDK, LangChain and pydantic-ai check different ones.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import msgspec

from proto import models_pb2
from services.models.faces.base import About
from services.models.faces.chat_completions.annotations import annotations_of
from services.models.faces.chat_completions.kept_state import details_of
from services.models.faces.chat_completions.tools import CUSTOM, FUNCTION
from services.models.providers.lowered_tools import raised_input
from services.shared.json_text import encode

FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    # With the words of a refusal it is `stop`, as OpenAI has it.
    "refusal": "content_filter",
    "pause": "stop",
    "other": "stop",
}

UNKNOWN_LOGPROB = -9999.0
"""OpenAI's value for a token that is not among the likeliest."""


def write_answer(
    response: models_pb2.ChatResponse, about: About, model: str, custom_tools: Collection[str], *, has_logprobs: bool
) -> bytes:
    """The whole body."""
    head = f'{{"id":"chatcmpl-{about.id}","object":"chat.completion","created":{about.created},"model":'.encode()
    logprobs = write_logprobs(response.logprobs) if has_logprobs and response.HasField("logprobs") else b"null"
    usage = b',"usage":' + write_usage(response.usage) if response.HasField("usage") else b""
    return b"".join(
        [
            head,
            encode(model),
            b',"choices":[{"index":0,"message":',
            _message(response, custom_tools),
            b',"logprobs":',
            logprobs,
            b',"finish_reason":"',
            finish_reason_of(response).encode(),
            b'"}]',
            usage,
            b"}",
        ]
    )


def _message(response: models_pb2.ChatResponse, custom_tools: Collection[str]) -> bytes:
    parts = response.message.parts
    refusal = "".join([part.refusal for part in parts])
    reasoning = "".join([part.reasoning.text for part in parts])
    has_more = bool(refusal or response.tool_calls)
    members = [
        b'{"role":"assistant","content":',
        encode(response.text or (None if has_more else "")),
        b',"refusal":',
        encode(refusal or None),
    ]
    if reasoning:
        members += [b',"reasoning_content":', encode(reasoning)]
    if response.tool_calls:
        calls = b",".join([_call(call, custom_tools) for call in response.tool_calls])
        members += [b',"tool_calls":[', calls, b"]"]
    members += [write_extras(response), b"}"]
    return b"".join(members)


def write_extras(response: models_pb2.ChatResponse) -> bytes:
    """The members of a message beside its texts and calls, each behind a comma."""
    extras = b""
    if annotations := annotations_of(response.message):
        extras += b',"annotations":' + annotations
    if details := details_of(response.message):
        extras += b',"reasoning_details":' + details
    return extras


def _call(call: models_pb2.ToolCall, custom_tools: Collection[str]) -> bytes:
    if call.name in custom_tools:
        custom = {"name": call.name, "input": raised_input(call.arguments_json)}
        return encode({"id": call.id, "type": CUSTOM, CUSTOM: custom})
    function = {"name": call.name, "arguments": call.arguments_json}
    return encode({"id": call.id, "type": FUNCTION, FUNCTION: function})


def finish_reason_of(response: models_pb2.ChatResponse) -> str:
    """OpenAI's word for the end of an answer."""
    if response.finish_reason == "refusal" and any(part.refusal for part in response.message.parts):
        return "stop"
    return FINISH_REASONS.get(response.finish_reason, "stop")


def write_usage(usage: models_pb2.TokenUsage) -> bytes:
    """The counts of a call; what is not known of them is zero."""
    written = f',"cache_write_tokens":{usage.cache_write_tokens}' if usage.HasField("cache_write_tokens") else ""
    return (
        f'{{"prompt_tokens":{usage.prompt_tokens},"completion_tokens":{usage.completion_tokens}'
        f',"total_tokens":{usage.total_tokens}'
        f',"prompt_tokens_details":{{"cached_tokens":{usage.cached_prompt_tokens}{written}}}'
        f',"completion_tokens_details":{{"reasoning_tokens":{usage.reasoning_tokens}}}}}'
    ).encode()


class _TopLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int] | None


class _TokenLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[_TopLogprob]


def write_logprobs(logprobs: models_pb2.Logprobs) -> bytes:
    """The log probabilities of an answer's tokens, or of a chunk's."""
    return encode({"content": _tokens(logprobs.content), "refusal": _tokens(logprobs.refusal)})


def _tokens(tokens: Iterable[models_pb2.TokenLogprob]) -> list[_TokenLogprob] | None:
    return [
        _TokenLogprob(
            token.token,
            _logprob(token),
            _bytes(token),
            [_TopLogprob(top.token, _logprob(top), _bytes(top)) for top in token.top_logprobs],
        )
        for token in tokens
    ] or None


def _logprob(token: models_pb2.TokenLogprob | models_pb2.TopLogprob) -> float:
    is_known = token.HasField("logprob") and math.isfinite(token.logprob)
    return token.logprob if is_known else UNKNOWN_LOGPROB


def _bytes(token: models_pb2.TokenLogprob | models_pb2.TopLogprob) -> list[int] | None:
    return list(token.token_bytes) if token.HasField("token_bytes") else None
