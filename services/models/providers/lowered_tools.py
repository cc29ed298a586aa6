"""Tools of kinds that only OpenAI's Responses has, as functions for all other dialects.

  a namespace               the functions in it, each as `namespace__name`
  a custom tool             a function of one text, `input`; its grammar is in its description
  a tool that OpenAI runs   left out

Each has a notice, and so STRICT refuses it. The history follows the tools: the text for a custom tool becomes the
argument of its function. Names and arguments in answers are those of the functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from proto import models_pb2
from services.models.providers.base import Conversation
from services.models.providers.notices import Notices, changed, dropped
from services.models.providers.requests.hosted_tools import HOSTED
from services.models.validation.fields import shorten
from services.shared import json_text
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.tool_calls import calls_of

NAMESPACE, CUSTOM, FUNCTION = "namespace", "custom", "function"
"""Kinds of tools that the caller runs."""

LOWERED = HOSTED | {NAMESPACE, CUSTOM}

INPUT_SCHEMA = (
    '{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool."}},'
    '"required":["input"],"additionalProperties":false}'
)


_TOOL = re.compile(r"\btools\[(?P<index>\d+)\](?P<rest>[\w.\[\]]+)?")


_WHOLE = ".provider_tool"
"""The field of a tool whose functions have no paths of their own."""


class _Format(msgspec.Struct):
    syntax: str = ""
    definition: str = ""


class _Tool(msgspec.Struct):
    """The members of a tool that a function has a place for, and those that show its kind."""

    type: str = FUNCTION
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"")
    strict: bool | None = None
    format: _Format | None = None
    tools: list[msgspec.Raw] | None = None
    input_schema: msgspec.Raw = msgspec.Raw(b"")


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    input: str


def lowered_name(namespace: str, name: str) -> str:
    """The name of a function for a tool in a namespace."""
    return f"{namespace}__{name}"


def lowered_input(text: str) -> str:
    """The arguments of the function for a custom tool."""
    return json_text.encode(_Input(text)).decode()


def raised_input(arguments_json: str) -> str:
    """The text for a custom tool in the arguments of its function; other arguments as they are."""
    try:
        return json_text.decode_exactly(arguments_json.encode(), _Input).input
    except json_text.Malformed:
        return arguments_json


class Lowered(NamedTuple):
    """A conversation without OpenAI's kinds of tools."""

    conversation: Conversation
    notices: Sequence[models_pb2.Notice] = ()
    paths: Sequence[str] = ()
    """The path in the caller's request of each tool, if there are others than given."""

    def restore(self, notices: Notices) -> Notices:
        """Notices with the caller's paths of tools."""
        for notice in notices if self.paths else ():
            notice.field = self._path_of(notice.field)
        return notices

    def restored(self, error: InvalidRequest) -> InvalidRequest:
        """An error with the caller's paths of tools."""
        if not self.paths:
            return error
        violations = [FieldViolation(self._path_of(field), problem) for field, problem in error.violations]
        message = _TOOL.sub(lambda found: self._path_of(found.group()), error.message)
        return InvalidRequest(message, reason=error.reason, metadata=error.metadata, violations=violations)

    def _path_of(self, field: str) -> str:
        found = _TOOL.match(field)
        if found is None:
            return field
        path, rest = self.paths[int(found["index"])], found["rest"] or ""
        return path if path.endswith(_WHOLE) else f"{path}{rest}"


def lower_tools(conversation: Conversation) -> Lowered:
    """The conversation with functions in place of OpenAI's kinds of tools; the same one if it has none.

    Raises InvalidRequest for tools that OpenAI could not read either, for functions of one name, and for a choice of a
    tool that is left out.
    """
    given = conversation.request
    if not any(tool.provider_tool.type in LOWERED for tool in given.tools):
        return Lowered(conversation)
    lowering = _Lowering()
    for index, tool in enumerate(given.tools):
        lowering.take(tool, f"tools[{index}]")
    if not lowering.notices:
        return Lowered(conversation)
    request = models_pb2.ChatRequest()
    request.CopyFrom(given)
    del request.tools[:]
    request.tools.extend(lowering.tools)
    _fit_choice(request)
    messages = [_with_inputs(message, lowering.custom) for message in conversation.messages]
    return Lowered(replace(conversation, request=request, messages=messages), lowering.notices, lowering.paths)


class _Lowering:
    """One walk over the tools of a request."""

    def __init__(self) -> None:
        self.tools: list[models_pb2.ToolDefinition] = []
        self.paths: list[str] = []
        self.notices: Notices = []
        """One for each tool that was changed."""
        self.custom: set[str] = set()
        """The names of the functions for custom tools."""
        self._names: set[str] = set()

    def take(self, tool: models_pb2.ToolDefinition, path: str) -> None:
        """Adds the tools in place of one."""
        for lowered in self._lowered(tool, path):
            if lowered.name and lowered.name in self._names:
                raise InvalidRequest.field(path, f"has a tool whose name is also another's: {shorten(lowered.name)}")
            self._names.add(lowered.name)
            self.tools.append(lowered)
            self.paths.append(path if lowered is tool else f"{path}{_WHOLE}")

    def _lowered(self, tool: models_pb2.ToolDefinition, path: str) -> Sequence[models_pb2.ToolDefinition]:
        kind = tool.provider_tool.type
        if kind in HOSTED:
            self.notices.append(dropped(path, f"only OpenAI has {kind}; it was not sent"))
            return ()
        if kind not in LOWERED:
            return (tool,)
        own = _read(tool.provider_tool.config_json, f"{path}.provider_tool.config_json")
        if own.input_schema:
            # Anthropic has a kind of the same name.
            return (tool,)
        own.type, own.name = kind, tool.name or own.name
        if kind != NAMESPACE:
            lowered = [self._function(own, own.name)]
            told = "a function of one text"
        else:
            lowered = list(self._functions_in(own, f"{path}.provider_tool.config_json"))
            told = f"{len(lowered)} functions, whose names begin with its own"
        self.notices.append(changed(path, f"only OpenAI has this kind of tool; it was sent as {told}"))
        if tool.HasField("cache") and lowered:
            lowered[-1].cache.CopyFrom(tool.cache)
        return lowered

    def _functions_in(self, namespace: _Tool, path: str) -> Iterator[models_pb2.ToolDefinition]:
        for index, raw in enumerate(namespace.tools or ()):
            inner = _read(bytes(raw).decode(), f"{path}.tools[{index}]")
            yield self._function(inner, lowered_name(namespace.name, inner.name))

    def _function(self, own: _Tool, name: str) -> models_pb2.ToolDefinition:
        lowered = models_pb2.ToolDefinition(name=name, description=own.description or "")
        if own.type == CUSTOM:
            self.custom.add(name)
            lowered.parameters_json = INPUT_SCHEMA
            if own.format and own.format.definition:
                grammar = f"The input must match this {own.format.syntax} grammar:\n{own.format.definition}"
                lowered.description = f"{lowered.description}\n\n{grammar}".lstrip()
            return lowered
        parameters = bytes(own.parameters).decode()
        lowered.parameters_json = "" if parameters == "null" else parameters
        if own.strict is not None:
            lowered.strict = own.strict
        return lowered


def _read(config_json: str, path: str) -> _Tool:
    try:
        return json_text.decode_exactly((config_json or "{}").encode(), _Tool)
    except json_text.Malformed:
        raise InvalidRequest.field(path, "is not a tool as OpenAI's Responses describes it") from None


def _fit_choice(request: models_pb2.ChatRequest) -> None:
    choice = request.tool_choice
    if choice.WhichOneof("choice") == "tool_name" and all(tool.name != choice.tool_name for tool in request.tools):
        raise InvalidRequest.field("tool_choice.tool_name", "names a tool that only OpenAI has; choose another model")
    if not request.tools:
        request.ClearField("tool_choice")


def _with_inputs(message: models_pb2.ChatMessage, custom: set[str]) -> models_pb2.ChatMessage:
    """The message with the texts for custom tools as arguments."""
    if not custom or message.role != "assistant" or not any(_is_text(call, custom) for call in _all_calls(message)):
        return message
    lowered = models_pb2.ChatMessage()
    lowered.CopyFrom(message)
    for call in _all_calls(lowered):
        if _is_text(call, custom):
            call.arguments_json = lowered_input(call.arguments_json)
    return lowered


def _all_calls(message: models_pb2.ChatMessage) -> Sequence[models_pb2.ToolCall]:
    """The calls of a message, and those of its short form beside the parts."""
    return [*calls_of(message), *(message.tool_calls if message.parts else ())]


def _is_text(call: models_pb2.ToolCall, custom: set[str]) -> bool:
    return call.name in custom and raised_input(call.arguments_json) == call.arguments_json
