"""The body of a request → ChatRequest. https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from proto import models_pb2
from services.models.faces.responses.input_items import InputReader, MessagePlace
from services.models.faces.responses.tools import Names, ToolReader
from services.models.faces.shapes import (
    ABSENT,
    INT32,
    Problems,
    begins_with,
    is_given,
    with_description,
    with_whole_characters,
)
from services.models.providers.openai.common.responses_members import RESPONSES_MEMBERS
from services.models.providers.requests.options import QUESTION_MEMBERS
from services.models.validation.extra_body import reserved_in
from services.models.validation.limits import MAX_SCHEMA_LENGTH
from services.shared import json_text

OPENAI = "openai"
ALL_ADAPTERS = (OPENAI, "openai-compatible", "vllm")
"""The adapter types of servers that speak OpenAI's dialects; all but the first speak Chat Completions only."""

PLATFORM = "genai"
"""The member with the platform's own fields."""

READ = frozenset(
    {
        "background",
        "background_options",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "reasoning",
        "safety_identifier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
        PLATFORM,
    }
)
"""Members that are read here; all others are options of the provider."""

OPENAIS_OWN = RESPONSES_MEMBERS | {
    "metadata",
    "moderation",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
}
"""Options that only OpenAI itself takes."""

STATEFUL = {
    "previous_response_id": "needs a store of answers, and nothing is stored here; send the conversation in input",
    "conversation": "needs a store of conversations, and nothing is stored here; send it in input",
    "prompt": "is a prompt that is stored at OpenAI; send its text, or name a prompt of the platform in genai",
}

NOT_IN_BACKGROUND = "needs a store of answers, and nothing is stored here; wait for the answer"

MAX_REST = 2 * MAX_SCHEMA_LENGTH
"""Bytes of all members that are no part of the conversation."""

ENCRYPTED_REASONING, LOGPROBS = "reasoning.encrypted_content", "message.output_text.logprobs"


class _Body(msgspec.Struct):
    background: bool | None = None
    conversation: msgspec.Raw = ABSENT
    genai: msgspec.Raw = ABSENT
    include: list[str] | None = None
    input: msgspec.Raw = ABSENT
    instructions: msgspec.Raw = ABSENT
    max_output_tokens: int | None = None
    metadata: msgspec.Raw = ABSENT
    model: str | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: msgspec.Raw = ABSENT
    prompt: msgspec.Raw = ABSENT
    prompt_cache_key: str | None = None
    reasoning: msgspec.Raw = ABSENT
    safety_identifier: str | None = None
    store: bool | None = None
    stream: bool | None = None
    temperature: float | None = None
    text: msgspec.Raw = ABSENT
    tool_choice: msgspec.Raw = ABSENT
    tools: msgspec.Raw = ABSENT
    top_logprobs: int | None = None
    top_p: float | None = None
    truncation: str | None = None
    user: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class _Text(msgspec.Struct):
    format: msgspec.Raw = ABSENT


class _Format(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    schema: msgspec.Raw = ABSENT
    strict: bool | None = None
    description: str | None = None


_BODY = msgspec.json.Decoder(_Body)
_FORMAT = msgspec.json.Decoder(_Format)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_REASONING = msgspec.json.Decoder(_Reasoning)
_STRING = msgspec.json.Decoder(str)
_TEXT = msgspec.json.Decoder(_Text)


class Echo(NamedTuple):
    """Members of a request that its answer repeats, as JSON."""

    max_output_tokens: bytes = b"null"
    metadata: bytes = b"{}"
    parallel_tool_calls: bytes = b"true"
    temperature: bytes = b"null"
    text: bytes = b'{"format":{"type":"text"}}'
    tool_choice: bytes = b'"auto"'
    top_p: bytes = b"null"


class BodyRead(NamedTuple):
    """A body that was read."""

    request: models_pb2.ChatRequest
    streams: bool
    platform: bytes
    places: Sequence[MessagePlace]
    tool_paths: Sequence[str]
    names: Names
    user_member: str
    """The member that names the end user."""
    echo: Echo


def read_body(body: bytes, model: str) -> BodyRead:
    """Raises InvalidRequest naming the wrong members."""
    problems = Problems()
    try:
        read: _Body | None = json_text.decode_exactly(body, _Body)
    except json_text.Malformed:
        body = with_whole_characters(body)
        read = problems.read_text(body, _BODY, "")
    problems.raise_if_any()
    assert read is not None
    large = (read.input, read.instructions, read.tools, read.text, read.tool_choice, read.genai)
    if len(body) - sum(map(len, large)) > MAX_REST:
        problems.add("", f"has members beside input and tools of more than {MAX_REST} bytes")
        problems.raise_if_any()
    return _Reading(_MEMBERS.decode(body), read, problems).result(model)


class _Reading:
    """The reading of one body."""

    def __init__(self, members: Mapping[str, msgspec.Raw], body: _Body, problems: Problems) -> None:
        self._members = members
        self._body = body
        self._problems = problems
        self._request = models_pb2.ChatRequest()
        self._options: dict[str, msgspec.Raw] = {}

    def result(self, model: str) -> BodyRead:
        body, request = self._body, self._request
        request.model = model or body.model or ""
        if not request.model:
            self._problems.add("model", "is required")
        self._refuse_stateful()
        tools = ToolReader(self._problems)
        items = InputReader(self._problems, tools)
        if is_given(body.tools):
            tools.read(body.tools, "tools")
        self._read_input(items)
        if is_given(body.tool_choice):
            choice = tools.read_choice(body.tool_choice)
            if choice is not None:
                request.tool_choice.CopyFrom(choice)
        self._read_sampling()
        self._read_include()
        self._read_reasoning()
        self._read_text()
        self._read_identity()
        self._read_options()
        self._problems.raise_if_any()
        read_tools = tools.result()
        request.messages.extend(items.messages)
        request.tools.extend(read_tools.tools)
        if not request.tools and request.tool_choice.mode != models_pb2.TOOL_CHOICE_MODE_REQUIRED:
            # Clients send `auto` with every request.
            request.ClearField("tool_choice")
        return BodyRead(
            request=request,
            streams=bool(body.stream),
            platform=bytes(body.genai) if is_given(body.genai) else b"",
            places=items.places,
            tool_paths=read_tools.paths,
            names=read_tools.names,
            user_member="safety_identifier" if body.safety_identifier else "user",
            echo=self._echo(),
        )

    def _refuse_stateful(self) -> None:
        for name, problem in STATEFUL.items():
            if is_given(getattr(self._body, name)):
                self._problems.refuse(name, problem)
        if self._body.background:
            self._problems.refuse("background", NOT_IN_BACKGROUND)

    def _read_input(self, items: InputReader) -> None:
        body = self._body
        if is_given(body.instructions):
            instructions = self._problems.read(body.instructions, _STRING, "instructions")
            if instructions:
                items.add_text("system", instructions, "instructions")
        if not is_given(body.input):
            self._problems.add("input", "is required")
        elif begins_with(body.input, b'"'):
            items.add_text("user", self._problems.read(body.input, _STRING, "input") or "", "input")
        else:
            items.read(body.input, "input")

    def _read_sampling(self) -> None:
        body, config = self._body, self._request.config
        if body.temperature is not None:
            config.temperature = body.temperature
        if body.top_p is not None:
            config.top_p = body.top_p
        if body.parallel_tool_calls is not None and is_given(body.tools):
            config.parallel_tool_calls = body.parallel_tool_calls
        for name, field in (("max_output_tokens", "max_tokens"), ("top_logprobs", "top_logprobs")):
            value = getattr(body, name)
            if value is None:
                continue
            if value in INT32:
                setattr(config, field, value)
            else:
                self._problems.add(name, "is out of range")
        if not config.ListFields():
            self._request.ClearField("config")

    def _read_include(self) -> None:
        included = self._body.include or []
        if LOGPROBS in included:
            self._request.config.logprobs = True
        # The platform always asks for the first.
        others = [name for name in included if name not in (ENCRYPTED_REASONING, LOGPROBS)]
        if others:
            self._options["include"] = msgspec.Raw(json_text.encode(others))

    def _read_reasoning(self) -> None:
        if not is_given(self._body.reasoning):
            return
        reasoning = self._problems.read(self._body.reasoning, _REASONING, "reasoning")
        if reasoning is None:
            return
        wanted = self._request.reasoning
        if reasoning.effort:
            wanted.effort = reasoning.effort
        if reasoning.summary:
            wanted.include_text = True
        if not wanted.ListFields():
            self._request.ClearField("reasoning")
        known = {"effort"} if reasoning.summary not in (None, "auto") else {"effort", "summary"}
        self._keep_rest("reasoning", self._body.reasoning, known)

    def _read_text(self) -> None:
        if not is_given(self._body.text):
            return
        text = self._problems.read(self._body.text, _TEXT, "text")
        if text is None:
            return
        self._keep_rest("text", self._body.text, {"format"})
        if not is_given(text.format):
            return
        wanted = self._problems.read(text.format, _FORMAT, "text.format")
        if wanted is None or wanted.type == "text":
            return
        if not wanted.type:
            self._problems.add("text.format.type", "is required: text, json_schema or json_object")
        response_format = self._request.response_format
        response_format.type = wanted.type or ""
        response_format.name = wanted.name or ""
        if is_given(wanted.schema):
            response_format.schema_json = with_description(bytes(wanted.schema).decode(), wanted.description)
        if wanted.strict is not None:
            response_format.strict = wanted.strict

    def _keep_rest(self, name: str, raw: msgspec.Raw, known: set[str]) -> None:
        """Keeps the members of an object that the contract has no place for as options."""
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        rest = {member: value for member, value in members.items() if member not in known and is_given(value)}
        if rest:
            self._options[name] = msgspec.Raw(json_text.encode(rest))

    def _read_identity(self) -> None:
        body, request = self._body, self._request
        request.end_user_id = body.safety_identifier or body.user or ""
        request.prompt_cache_key = body.prompt_cache_key or ""

    def _read_options(self) -> None:
        if self._body.truncation not in (None, "disabled"):
            self._options["truncation"] = self._members["truncation"]
        for name, value in self._members.items():
            if name in READ or not is_given(value):
                continue
            if reserved_in([name], QUESTION_MEMBERS):
                self._problems.add(name, "is no member of a request to Responses")
            else:
                self._options[name] = value
        elsewhere = {name: value for name, value in self._options.items() if name not in OPENAIS_OWN}
        for adapter in ALL_ADAPTERS:
            options = self._options if adapter == OPENAI else elsewhere
            if options:
                self._set_options(adapter, json_text.encode(options).decode())

    def _set_options(self, adapter: str, options_json: str) -> None:
        problem = json_text.object_problem(options_json, MAX_SCHEMA_LENGTH)
        if problem and adapter == OPENAI:
            largest = max(self._options, key=lambda name: len(self._options[name]))
            self._problems.add(largest, problem)
        self._request.provider_options_json[adapter] = options_json

    def _echo(self) -> Echo:
        given = {name: bytes(self._members[name]) for name in Echo._fields if is_given(self._members.get(name, ABSENT))}
        return Echo(**given)
