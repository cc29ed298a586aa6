"""Tools and the tool choice of a body, and the names by which answers call the tools.

https://platform.openai.com/docs/guides/function-calling

A function becomes a function of the contract. All other tools go as the provider's own: to OpenAI in their own form,
to others as functions (`providers.lowered_tools`), which answers call by other names, or with other arguments. `Names`
turns those back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from proto import models_pb2
from services.models.faces.shapes import ABSENT, Problems, begins_with, is_given
from services.models.providers.lowered_tools import CUSTOM, FUNCTION, NAMESPACE, lowered_name
from services.models.providers.openai.common.tools import OWN_MEMBERS
from services.models.validation.limits import MAX_TOOLS, MAX_TOOLS_LENGTH
from services.shared import json_text

OPENAI = "openai"
"""The adapter type of the server that knows all members of a function."""

MAX_COMMAS = MAX_TOOLS_LENGTH // 4
"""Commas in the JSON of the largest tools."""

MODES = {
    "auto": models_pb2.TOOL_CHOICE_MODE_AUTO,
    "none": models_pb2.TOOL_CHOICE_MODE_NONE,
    "required": models_pb2.TOOL_CHOICE_MODE_REQUIRED,
}

ALLOWED = "allowed_tools"

_EMPTY = frozenset({b"null", b"false", b"[]", b"{}", b'""'})
"""Values of members that say nothing."""


class Called(NamedTuple):
    """A tool as an answer calls it."""

    name: str
    namespace: str = ""
    is_custom: bool = False
    """True for a tool that takes a text in place of arguments."""


Names = Mapping[str, Called]
"""The caller's tools by the names in answers, as far as these differ or the tool is no function."""


class ToolsRead(NamedTuple):
    """The tools of a body."""

    tools: Sequence[models_pb2.ToolDefinition]
    paths: Sequence[str]
    """The path of each."""
    names: Names


class _Head(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    server_label: str | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None


class _PlainFunction(msgspec.Struct, forbid_unknown_fields=True):
    """A function that has no other members."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None


class _Namespace(msgspec.Struct):
    name: str | None = None
    tools: list[_Head] | None = None


class _Allowed(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    server_label: str | None = None


class _Choice(_Allowed):
    mode: str | None = None
    tools: list[_Allowed] | None = None


_CHOICE = msgspec.json.Decoder(_Choice)
_FUNCTION = msgspec.json.Decoder(_Function)
_PLAIN_FUNCTION = msgspec.json.Decoder(_PlainFunction)
_HEADS = msgspec.json.Decoder(list[_Head])
_TOOLS = msgspec.json.Decoder(list[msgspec.Raw])
_NAMESPACE = msgspec.json.Decoder(_Namespace)
_STRING = msgspec.json.Decoder(str)


class ToolReader:
    """Reads the tools of one body, which may be in several places."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._tools: list[models_pb2.ToolDefinition] = []
        self._paths: list[str] = []
        self._names: dict[str, Called] = {}
        self._bare: dict[str, Called | None] = {}
        """Tools in namespaces by their own names; None for a name that several have."""
        self._taken: set[str] = set()
        self._called: list[Collection[str]] = []
        """The names by which a choice may call each tool."""

    def read(self, raw: msgspec.Raw, path: str) -> None:
        """Adds the tools of the list at `path`."""
        if len(raw) > 2 * MAX_TOOLS_LENGTH or bytes(raw).count(b",") > MAX_COMMAS:
            self._problems.add(path, f"hold JSON of more than {MAX_TOOLS_LENGTH} characters together")
            return
        heads = self._problems.read(raw, _HEADS, path) or []
        if len(heads) > MAX_TOOLS:
            self._problems.add(path, f"holds more than {MAX_TOOLS} tools")
        elif heads:
            for index, (head, tool) in enumerate(zip(heads, _TOOLS.decode(raw), strict=True)):
                self._add(head, tool, f"{path}[{index}]")

    def read_choice(self, raw: msgspec.Raw) -> models_pb2.ToolChoice | None:
        """The member `tool_choice`, read when all tools are; tools that it does not allow are left out."""
        if begins_with(raw, b'"'):
            return self._mode(self._problems.read(raw, _STRING, "tool_choice"), "tool_choice")
        choice = self._problems.read(raw, _CHOICE, "tool_choice")
        if choice is None:
            return None
        if choice.type == ALLOWED:
            self._keep(choice.tools or ())
            return self._mode(choice.mode, "tool_choice.mode")
        name = choice.name or choice.server_label or choice.type
        if not name:
            self._problems.add("tool_choice.type", "is required")
            return None
        self._name_own_tool(name)
        return models_pb2.ToolChoice(tool_name=name)

    def _mode(self, word: str | None, path: str) -> models_pb2.ToolChoice | None:
        if word in MODES:
            return models_pb2.ToolChoice(mode=MODES[word])
        self._problems.add(path, "must be auto, none or required, or an object that names a tool")
        return None

    def _keep(self, allowed: Sequence[_Allowed]) -> None:
        """Leaves out all tools but these. A namespace stays whole if one tool in it is allowed."""
        wanted = {tool.name or tool.server_label or tool.type or "" for tool in allowed}
        unknown = wanted.difference(*self._called)
        if unknown:
            self._problems.add("tool_choice.tools", f"name {len(unknown)} tools that are not among the tools")
        kept = [index for index, names in enumerate(self._called) if not wanted.isdisjoint(names)]
        self._tools = [self._tools[index] for index in kept]
        self._paths = [self._paths[index] for index in kept]
        self._called = [self._called[index] for index in kept]

    def _name_own_tool(self, name: str) -> None:
        """Gives the name in a choice to a tool that has none, such as one that OpenAI runs."""
        named = [tool for tool, names in zip(self._tools, self._called, strict=True) if name in names]
        if named and name not in self._taken:
            named[0].name = name
            self._taken.add(name)

    def result(self) -> ToolsRead:
        """All tools that were read."""
        # OpenAI calls a tool in a namespace by its own name.
        bare = {name: called for name, called in self._bare.items() if called and name not in self._taken}
        return ToolsRead(self._tools, self._paths, {**bare, **self._names})

    def _add(self, head: _Head, raw: msgspec.Raw, path: str) -> None:
        if not head.type:
            self._problems.add(f"{path}.type", "is required, such as function")
        elif head.type == FUNCTION:
            self._add_function(raw, path)
        elif head.type == NAMESPACE:
            self._add_namespace(raw, path)
        elif head.type == CUSTOM:
            if self._claim(head.name, f"{path}.name"):
                self._names[head.name or ""] = Called(head.name or "", is_custom=True)
                self._append(_own_tool(raw, CUSTOM, head.name or ""), path, [head.name or ""])
        else:
            self._append(_own_tool(raw, head.type), path, [head.type, head.name or "", head.server_label or ""])

    def _add_function(self, raw: msgspec.Raw, path: str) -> None:
        function = self._problems.read(raw, _FUNCTION, path)
        if function is None or not self._claim(function.name, f"{path}.name"):
            return
        name = function.name or ""
        tool = models_pb2.ToolDefinition(name=name, description=function.description or "")
        rest = _rest_of_function(raw)
        if rest:
            tool.provider_options_json[OPENAI] = json_text.encode(rest).decode()
        if is_given(function.parameters):
            tool.parameters_json = bytes(function.parameters).decode()
        if function.strict is not None:
            tool.strict = function.strict
        self._append(tool, path, [name])

    def _add_namespace(self, raw: msgspec.Raw, path: str) -> None:
        namespace = self._problems.read(raw, _NAMESPACE, path)
        if namespace is None:
            return
        if not namespace.name:
            self._problems.add(f"{path}.name", "is required")
            return
        for index, head in enumerate(namespace.tools or ()):
            here = f"{path}.tools[{index}]"
            if head.type not in (FUNCTION, CUSTOM):
                self._problems.add(f"{here}.type", "must be function or custom")
                return
            if not head.name:
                self._problems.add(f"{here}.name", "is required")
                return
            lowered = lowered_name(namespace.name, head.name)
            if self._claim(lowered, f"{here}.name"):
                called = Called(head.name, namespace.name, is_custom=head.type == CUSTOM)
                self._names[lowered] = called
                self._bare[head.name] = None if head.name in self._bare else called
        inner_names = [head.name or "" for head in namespace.tools or ()]
        self._append(_own_tool(raw, NAMESPACE), path, [namespace.name, *inner_names])

    def _claim(self, name: str | None, path: str) -> bool:
        """Whether a name is there and free. A name that is not is a problem."""
        if not name:
            self._problems.add(path, "is required")
        elif name in self._taken:
            self._problems.add(path, "is used by another tool of this request")
        else:
            self._taken.add(name)
            return True
        return False

    def _append(self, tool: models_pb2.ToolDefinition, path: str, called: Collection[str]) -> None:
        self._tools.append(tool)
        self._paths.append(path)
        self._called.append(called)


def _rest_of_function(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a function that say what the contract has no place for; nearly always none."""
    try:
        _PLAIN_FUNCTION.decode(raw)
    except msgspec.ValidationError:
        members = _members(raw)
        return {
            name: value for name, value in members.items() if name not in OWN_MEMBERS and bytes(value) not in _EMPTY
        }
    return {}


def _own_tool(raw: msgspec.Raw, kind: str, name: str = "") -> models_pb2.ToolDefinition:
    """A tool in OpenAI's own form. A namespace keeps its name among its settings: it may be that of a function."""
    members = _members(raw)
    elsewhere = {"type", "name"} if name else {"type"}
    settings = {member: value for member, value in members.items() if member not in elsewhere}
    own = models_pb2.ProviderTool(type=kind)
    if settings:
        own.config_json = json_text.encode(settings).decode()
    return models_pb2.ToolDefinition(name=name, provider_tool=own)


def _members(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
