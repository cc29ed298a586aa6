"""A response as JSON: whole, or in events.

https://platform.openai.com/docs/api-reference/responses/object and …/responses-streaming
"""

from __future__ import annotations

import msgspec

from proto import models_pb2
from services.models.faces.base import About
from services.models.faces.openai_errors import PathOf, error_object
from services.models.faces.problems import problem_of
from services.models.faces.responses.ids import response_id
from services.models.faces.responses.output import (
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    Output,
    write_event,
)
from services.models.faces.responses.reading import Echo
from services.models.faces.responses.tools import Names
from services.shared.errors import PlatformError

encode = msgspec.json.encode

FAILED = "failed"
HEARTBEAT = b": ping\n\n"

LENGTH_REASON, FILTER_REASON = "max_output_tokens", "content_filter"
"""Reasons why an answer is incomplete."""

INVALID = "invalid_prompt"
"""The code of a failure that comes again with the same request. Codex asks again after every code that it does not
know, and ends its turn at this one."""


class Frame:
    """The members of a response around its output, which are the same in all events of an answer."""

    def __init__(self, model: str, echo: Echo, about: About) -> None:
        self._head = b'{"id":"%b","object":"response","created_at":%d,"status":' % (
            response_id(about.id).encode(),
            about.created,
        )
        self._middle = (
            b',"background":false,"instructions":null,"max_output_tokens":%b,"metadata":%b,"model":%b'
            b',"parallel_tool_calls":%b,"previous_response_id":null,"store":false,"temperature":%b,"text":%b'
            b',"tool_choice":%b,"tools":[],"top_p":%b,"truncation":"disabled","output":'
        ) % (
            echo.max_output_tokens,
            echo.metadata,
            encode(model),
            echo.parallel_tool_calls,
            echo.temperature,
            echo.text,
            echo.tool_choice,
            echo.top_p,
        )

    def write(
        self,
        status: str,
        output: bytes,
        *,
        usage: bytes = b"null",
        incomplete_reason: str = "",
        error: bytes = b"null",
    ) -> bytes:
        """The response."""
        details = b'{"reason":"%b"}' % incomplete_reason.encode() if incomplete_reason else b"null"
        state = b'"%b","error":%b,"incomplete_details":%b' % (status.encode(), error, details)
        return b'%b%b%b%b,"usage":%b}' % (self._head, state, self._middle, output, usage)


def write_whole(response: models_pb2.ChatResponse, frame: Frame, names: Names, about: About) -> bytes:
    """The body of a complete answer."""
    output = Output(about.id, names)
    _add_parts(response, output)
    return _end(response, frame, output)[0]


class EventEncoder:
    """Writes one answer as events."""

    heartbeat = HEARTBEAT

    def __init__(self, frame: Frame, names: Names, about: About, path_of: PathOf) -> None:
        self._frame = frame
        self._path_of = path_of
        self._output = Output(about.id, names)
        self._has_begun = False

    def begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        response = self._frame.write(IN_PROGRESS, b"[]")
        return self._event("response.created", response) + self._event("response.in_progress", response)

    def feed(self, chunk: models_pb2.ChatChunk) -> bytes:
        if not self._has_begun:
            return self.begin() + self.feed(chunk)
        token = chunk.token
        if token:
            if chunk.HasField("logprobs"):
                return self._output.text_with_logprobs(token, chunk.logprobs)
            return self._output.text(token)
        if chunk.reasoning:
            return self._output.thought(chunk.reasoning)
        if chunk.HasField("tool_call_delta"):
            return self._output.call(chunk.tool_call_delta)
        if chunk.HasField("completed_part"):
            return self._output.part(chunk.completed_part)
        if not chunk.HasField("response"):
            # Logprobs alone: of a refusal, or of tokens that became no text.
            return b""
        response, events, kind = _end(chunk.response, self._frame, self._output)
        return events + self._event(kind, response)

    def fail(self, error: PlatformError, request_id: str) -> bytes:
        events = self.begin()
        described = error_object(error, self._path_of)
        code = described["code"] or (INVALID if problem_of(error).status == 400 else "server_error")
        message = encode(described["message"])
        # Each client reads one of these two: the SDKs the object within, Codex the response.
        fields = b'"code":%b,"message":%b,"param":%b,"error":%b' % (
            encode(code),
            message,
            encode(described["param"]),
            encode(described),
        )
        events += write_event("error", fields, self._take_number())
        failure = b'{"code":%b,"message":%b}' % (encode(code), message)
        return events + self._event("response.failed", self._frame.write(FAILED, self._output.items(), error=failure))

    def _event(self, name: str, response: bytes) -> bytes:
        return write_event(name, b'"response":%b' % response, self._take_number())

    def _take_number(self) -> int:
        number = self._output.number
        self._output.number = number + 1
        return number


def _add_parts(response: models_pb2.ChatResponse, output: Output) -> None:
    """Adds the content of a whole answer, in the steps of a stream."""
    message = response.message
    logprobs = response.logprobs if response.HasField("logprobs") else None
    calls = 0
    if not message.parts:
        _add_text(message.content, output, logprobs)
        for index, call in enumerate(message.tool_calls):
            _add_call(index, call, output)
        return
    for part in message.parts:
        kind = part.WhichOneof("kind")
        if kind == "text":
            _add_text(part.text, output, logprobs)
            logprobs = None
        elif kind == "reasoning" and part.reasoning.text:
            output.thought(part.reasoning.text)
        elif kind == "tool_call":
            _add_call(calls, part.tool_call, output)
            calls += 1
        if kind == "refusal" or part.HasField("provider_state"):
            output.part(part)


def _add_text(text: str, output: Output, logprobs: models_pb2.Logprobs | None) -> None:
    if text and logprobs is not None:
        output.text_with_logprobs(text, logprobs)
    elif text:
        output.text(text)


def _add_call(index: int, call: models_pb2.ToolCall, output: Output) -> None:
    delta = models_pb2.ToolCallDelta(index=index, id=call.id, name=call.name, arguments_json=call.arguments_json)
    output.call(delta)


def _end(response: models_pb2.ChatResponse, frame: Frame, output: Output) -> tuple[bytes, bytes, str]:
    """The complete response, the events that end its items, and the name of the event that it comes in."""
    _cite_last_text(response, output)
    reason = _incomplete_reason(response, output)
    status = INCOMPLETE if reason else COMPLETED
    events = output.end(status)
    usage = _usage(response.usage) if response.HasField("usage") else b"null"
    written = frame.write(status, output.items(), usage=usage, incomplete_reason=reason)
    return written, events, f"response.{status}"


def _cite_last_text(response: models_pb2.ChatResponse, output: Output) -> None:
    """Adds the sources of the last text, which come with the end of an answer; those of a text with state came with
    it."""
    for part in reversed(response.message.parts):
        if part.text:
            if not part.HasField("provider_state"):
                output.cite(part.citations_json)
            return


def _incomplete_reason(response: models_pb2.ChatResponse, output: Output) -> str:
    """The reason why an answer is incomplete; "" for one that is complete."""
    if response.finish_reason == "length":
        return LENGTH_REASON
    is_stopped = response.finish_reason == "content_filter"
    # A refusal in words is an answer. Without words, nothing else says that there is one.
    is_silent = response.finish_reason == "refusal" and not output.has_refusal
    return FILTER_REASON if is_stopped or is_silent else ""


def _usage(usage: models_pb2.TokenUsage) -> bytes:
    form = (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d}'
        b',"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
    )
    return form % (
        usage.prompt_tokens,
        usage.cached_prompt_tokens,
        usage.cache_write_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        usage.total_tokens,
    )
