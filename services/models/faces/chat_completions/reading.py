"""The body of a request → ChatRequest. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from proto import models_pb2
from services.models.faces.chat_completions.body import Body
from services.models.faces.chat_completions.messages import MessageReader
from services.models.faces.chat_completions.tools import CUSTOM, ToolReader, read_format
from services.models.faces.responses.face import RESPONSES
from services.models.faces.shapes import ABSENT, INT32, INT64, Problems, is_given, with_whole_characters
from services.models.providers.requests.options import QUESTION_MEMBERS
from services.models.validation.extra_body import reserved_in
from services.models.validation.limits import MAX_SCHEMA_LENGTH
from services.shared.json_text import encode

ADAPTERS = ("openai", "openai-compatible", "vllm")
"""The adapter types of servers that speak OpenAI's dialects."""

MAX_REST = 2 * MAX_SCHEMA_LENGTH
"""Bytes of a body beside its conversation, tools and schema. Options may have half of them."""

NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "logprobs")
COUNTS = {"top_k": INT32, "top_logprobs": INT32, "seed": INT64}
"""Members with the names of ChatConfig's fields."""


class _Large(msgspec.Struct):
    """The members that may be large."""

    messages: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    tools: msgspec.Raw = ABSENT
    response_format: msgspec.Raw = ABSENT
    genai: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(Body)
_large = msgspec.json.Decoder(_Large)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_READ = frozenset(field.encode_name for field in msgspec.structs.fields(Body))


class BodyRead(NamedTuple):
    """A body that was read, with the names of the members that may have several."""

    request: models_pb2.ChatRequest
    streams: bool
    includes_usage: bool
    platform: bytes
    custom_tools: Collection[str]
    members: Mapping[str, str]
    """The members that stand for fields of the contract which several members stand for."""
    places: Sequence[Sequence[str]]
    tool_places: Sequence[str]
    path_of: Callable[[str], str] | None = None
    """The paths of a body that has another form than the dialect's."""


def read_body(data: bytes, model: str) -> BodyRead:
    """Raises InvalidRequest naming the wrong members."""
    problems = Problems()
    body, members = _decode(data, problems)
    if is_given(body.input) and not is_given(body.messages):
        return _read_responses_body(data, body, model)
    return _Reading(body, members, problems).result(model)


def _read_responses_body(data: bytes, body: Body, model: str) -> BodyRead:
    """A body of Responses, which Cursor's agents send, and read completions in return."""
    asked = RESPONSES.read(data, model)
    return BodyRead(
        request=asked.request,
        streams=asked.streams,
        includes_usage=bool(body.stream_options and body.stream_options.include_usage),
        platform=asked.platform,
        custom_tools=[tool.name for tool in asked.request.tools if tool.provider_tool.type == CUSTOM],
        members={},
        places=(),
        tool_places=(),
        path_of=asked.path_of,
    )


def _decode(data: bytes, problems: Problems) -> tuple[Body, Mapping[str, msgspec.Raw]]:
    """The members of a body: those that are known, and all as their bytes."""
    members = _members_of(data, problems)
    problems.raise_if_any()
    assert members is not None
    body = problems.read(encode({name: members[name] for name in members.keys() & _READ}), _body, "")
    problems.raise_if_any()
    assert body is not None
    return body, members


def _members_of(data: bytes, problems: Problems) -> Mapping[str, msgspec.Raw] | None:
    if len(data) > MAX_REST:
        _refuse_many_members(data, problems)
    try:
        return _members.decode(data.decode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return problems.read_text(with_whole_characters(data), _members, "")


def _refuse_many_members(data: bytes, problems: Problems) -> None:
    """Raises InvalidRequest for a large body whose size lies in members that cannot be large: there may be millions."""
    try:
        large = _large.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return
    if len(data) - sum(map(len, msgspec.structs.astuple(large))) > MAX_REST:
        problems.add("", f"has members beside messages and tools of more than {MAX_REST} bytes")
    problems.raise_if_any()


class _Reading:
    """The reading of one body."""

    def __init__(self, body: Body, members: Mapping[str, msgspec.Raw], problems: Problems) -> None:
        self._body = body
        self._members = members
        self._problems = problems
        self._request = models_pb2.ChatRequest()
        self._names: dict[str, str] = {}

    def result(self, model: str) -> BodyRead:
        body, request = self._body, self._request
        request.model = model or body.model or ""
        self._refuse_meaningless()
        messages = MessageReader(self._problems, request)
        if is_given(body.messages):
            messages.read(bytes(body.messages))
        tools = self._read_tools()
        self._read_sampling()
        if is_given(body.response_format):
            read_format(body.response_format, self._problems, request.response_format)
        self._read_reasoning()
        self._read_identity()
        self._read_options()
        self._problems.raise_if_any()
        return BodyRead(
            request=request,
            streams=bool(body.stream),
            includes_usage=bool(body.stream_options and body.stream_options.include_usage),
            platform=bytes(body.genai) if is_given(body.genai) else b"",
            custom_tools=tools.custom,
            members=self._names,
            places=messages.places,
            tool_places=tools.places,
        )

    def _refuse_meaningless(self) -> None:
        body, problems = self._body, self._problems
        if not is_given(body.messages):
            problems.add("messages", "is required")
        elif is_given(body.input):
            problems.refuse("input", "is a member of requests to Responses; send messages alone")
        if body.n not in (None, 1):
            problems.refuse("n", "must be 1: each request has one answer; send it several times")
        for name in ("functions", "function_call"):
            if is_given(getattr(body, name)):
                problems.refuse(name, f"is no longer a member; use {'tools' if name == 'functions' else 'tool_choice'}")

    def _read_tools(self) -> ToolReader:
        body, request = self._body, self._request
        tools = ToolReader(self._problems, request)
        if is_given(body.tools):
            tools.read(bytes(body.tools))
        if is_given(body.tool_choice):
            tools.read_choice(body.tool_choice)
        if not request.tools and request.tool_choice.mode in (
            models_pb2.TOOL_CHOICE_MODE_AUTO,
            models_pb2.TOOL_CHOICE_MODE_NONE,
        ):
            # Clients send them with every request.
            request.ClearField("tool_choice")
        if body.parallel_tool_calls is not None and request.tools:
            request.config.parallel_tool_calls = body.parallel_tool_calls
        return tools

    def _read_sampling(self) -> None:
        body, config = self._body, self._request.config
        for name in NUMBERS:
            if (value := getattr(body, name)) is not None:
                setattr(config, name, value)
        for name, range_ in COUNTS.items():
            self._set_count(name, getattr(body, name), config, name, range_)
        length = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
        self._names["config.max_tokens"] = length
        self._set_count(length, getattr(body, length), config, "max_tokens", INT32)
        if body.stop is not None:
            config.stop_sequences.extend([body.stop] if isinstance(body.stop, str) else body.stop)
        if not config.ListFields():
            self._request.ClearField("config")

    def _set_count(
        self,
        member: str,
        value: int | None,
        message: models_pb2.ChatConfig | models_pb2.ReasoningConfig,
        field: str,
        range_: range,
    ) -> None:
        if value is None:
            return
        if value in range_:
            setattr(message, field, value)
        else:
            self._problems.add(member, "is out of range")

    def _read_reasoning(self) -> None:
        body, wanted = self._body, self._request.reasoning
        given = body.reasoning
        self._names["reasoning.effort"] = "reasoning_effort"
        if given is not None:
            if given.effort:
                self._names["reasoning.effort"] = "reasoning.effort"
                wanted.effort = given.effort
            elif given.enabled is False:
                wanted.effort = "none"
            self._set_count("reasoning.max_tokens", given.max_tokens, wanted, "budget_tokens", INT32)
            if given.exclude is not None:
                wanted.include_text = not given.exclude
            elif given.summary:
                wanted.include_text = True
        if body.reasoning_effort:
            self._names["reasoning.effort"] = "reasoning_effort"
            wanted.effort = body.reasoning_effort
        if not wanted.ListFields():
            self._request.ClearField("reasoning")

    def _read_identity(self) -> None:
        body, request = self._body, self._request
        self._names["end_user_id"] = "safety_identifier" if body.safety_identifier else "user"
        request.end_user_id = body.safety_identifier or body.user or ""
        request.prompt_cache_key = body.prompt_cache_key or ""

    def _read_options(self) -> None:
        """Hands on the members that the contract has no place for, byte for byte."""
        options = {name: value for name, value in self._members.items() if name not in _READ and is_given(value)}
        if not options:
            return
        if reserved_in(options, QUESTION_MEMBERS):
            for name in options:
                if reserved_in([name], QUESTION_MEMBERS):
                    self._problems.refuse(name, "is no member of a request to Chat Completions")
            return
        self._names["provider_options_json"] = next(iter(options)) if len(options) == 1 else ""
        text = encode(options).decode()
        if len(text) > MAX_SCHEMA_LENGTH:
            self._problems.add("", f"has members beyond the protocol of more than {MAX_SCHEMA_LENGTH} characters")
            return
        for adapter in ADAPTERS:
            self._request.provider_options_json[adapter] = text
