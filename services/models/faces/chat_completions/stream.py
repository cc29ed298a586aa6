"""ChatChunks → the events of a completion. https://platform.openai.com/docs/api-reference/chat/streaming"""

from __future__ import annotations

from collections.abc import Collection

from proto import models_pb2
from services.models.faces.base import About
from services.models.faces.chat_completions.answers import (
    finish_reason_of,
    write_extras,
    write_logprobs,
    write_usage,
)
from services.models.faces.chat_completions.tools import CUSTOM, FUNCTION
from services.models.faces.openai_errors import PathOf, error_object
from services.models.providers.lowered_tools import raised_input
from services.shared.errors import PlatformError
from services.shared.json_text import encode, encode_any

DONE = b"data: [DONE]\n\n"


class CompletionEncoder:
    """Writes one answer. Constant pieces are joined beforehand, because a token is written every few microseconds."""

    heartbeat = b": ping\n\n"

    def __init__(
        self,
        about: About,
        model: str,
        custom_tools: Collection[str],
        path_of: PathOf,
        *,
        includes_usage: bool,
        has_logprobs: bool,
    ) -> None:
        head = f'data: {{"id":"chatcmpl-{about.id}","object":"chat.completion.chunk","created":{about.created},"model":'
        self._head = head.encode() + encode(model) + b',"choices":['
        self._delta = self._head + b'{"index":0,"delta":{'
        self._content = self._delta + b'"content":'
        self._usage = b',"usage":null' if includes_usage else b""
        self._end = b'},"finish_reason":null}]' + self._usage + b"}\n\n"
        self._custom_tools = custom_tools
        self._path_of = path_of
        self._includes_usage = includes_usage
        self._has_logprobs = has_logprobs
        self._has_begun = False
        self._has_sent_logprobs = False
        self._custom: dict[int, list[str]] = {}
        """The arguments of calls of custom tools, by their positions, which may be written as JSON: they are sent
        whole."""

    def begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        return self._delta + b'"role":"assistant","content":""' + self._end

    def feed(self, chunk: models_pb2.ChatChunk) -> bytes:
        if not self._has_begun:
            return self.begin() + self.feed(chunk)
        if self._has_logprobs and chunk.HasField("logprobs"):
            return self._with_logprobs(chunk)
        if chunk.token:
            return self._content + encode(chunk.token) + self._end
        if chunk.HasField("response"):
            return self._last(chunk.response)
        delta = self._members(chunk)
        return self._delta + delta + self._end if delta else b""

    def fail(self, error: PlatformError, request_id: str) -> bytes:
        return b"data: " + encode_any({"error": error_object(error, self._path_of)}) + b"\n\n"

    # ----------------------------------------------------------------------------------------------- pieces

    def _members(self, chunk: models_pb2.ChatChunk) -> bytes:
        """The members of the delta for a chunk; b"" if there are none."""
        if chunk.token:
            return b'"content":' + encode(chunk.token)
        if chunk.reasoning:
            return b'"reasoning_content":' + encode(chunk.reasoning)
        if chunk.HasField("tool_call_delta"):
            return self._call(chunk.tool_call_delta)
        if chunk.completed_part.refusal:
            return b'"refusal":' + encode(chunk.completed_part.refusal)
        return b""

    def _call(self, delta: models_pb2.ToolCallDelta) -> bytes:
        if delta.index in self._custom or delta.name in self._custom_tools:
            self._custom.setdefault(delta.index, []).append(delta.arguments_json)
            return _begin_call(delta, CUSTOM, b'"input":""') if delta.id else b""
        arguments = b'"arguments":' + encode(delta.arguments_json)
        if delta.id:
            return _begin_call(delta, FUNCTION, arguments)
        return b'"tool_calls":[{"index":%d,"function":{%b}}]' % (delta.index, arguments)

    def _with_logprobs(self, chunk: models_pb2.ChatChunk) -> bytes:
        self._has_sent_logprobs = True
        delta = self._delta + self._members(chunk)
        return delta + b'},"logprobs":' + write_logprobs(chunk.logprobs) + self._end[1:]

    # ----------------------------------------------------------------------------------------------- the end

    def _last(self, response: models_pb2.ChatResponse) -> bytes:
        events = [
            self._delta
            + b'"tool_calls":[{"index":%d,"custom":{"input":%b}}]' % (index, encode(_input(pieces)))
            + self._end
            for index, pieces in self._custom.items()
        ]
        if self._has_logprobs and not self._has_sent_logprobs and response.HasField("logprobs"):
            events.append(self._with_logprobs(models_pb2.ChatChunk(logprobs=response.logprobs)))
        if extras := write_extras(response):
            events.append(self._delta + extras[1:] + self._end)
        reason = finish_reason_of(response).encode()
        events.append(self._delta + b'},"finish_reason":"' + reason + b'"}]' + self._usage + b"}\n\n")
        if self._includes_usage:
            events.append(self._head + b'],"usage":' + write_usage(response.usage) + b"}\n\n")
        events.append(DONE)
        return b"".join(events)


def _begin_call(delta: models_pb2.ToolCallDelta, kind: str, arguments: bytes) -> bytes:
    return b'"tool_calls":[{"index":%d,"id":%b,"type":"%b","%b":{"name":%b,%b}}]' % (
        delta.index,
        encode(delta.id),
        kind.encode(),
        kind.encode(),
        encode(delta.name),
        arguments,
    )


def _input(pieces: list[str]) -> str:
    return raised_input("".join(pieces))
