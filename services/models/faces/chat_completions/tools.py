"""Tools, tool choices and formats of answers of Chat Completions → those of the contract."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from proto import models_pb2
from services.models.faces.chat_completions import body
from services.models.faces.chat_completions.cache_marks import mark_end
from services.models.faces.shapes import Problems, is_given, with_description
from services.models.validation.limits import MAX_TOOLS, MAX_TOOLS_LENGTH
from services.shared.json_text import encode

CUSTOM, FUNCTION = "custom", "function"

MAX_COMMAS = MAX_TOOLS_LENGTH // 4
"""Commas in the JSON of the largest tools."""

MODES = {
    "auto": models_pb2.TOOL_CHOICE_MODE_AUTO,
    "none": models_pb2.TOOL_CHOICE_MODE_NONE,
    "required": models_pb2.TOOL_CHOICE_MODE_REQUIRED,
    # Mistral's word, which its clients send.
    "any": models_pb2.TOOL_CHOICE_MODE_REQUIRED,
}

_raw_tools = msgspec.json.Decoder(list[msgspec.Raw])
_tool = msgspec.json.Decoder(body.Tool)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_choice = msgspec.json.Decoder(str | body.Choice)
_format = msgspec.json.Decoder(body.ResponseFormat)


class ToolReader:
    """Reads the tools of one body into its request."""

    def __init__(self, problems: Problems, request: models_pb2.ChatRequest) -> None:
        self._problems = problems
        self._request = request
        self.places: list[str] = []
        """The path of each tool of the request; one of a function is that of its member `function`."""
        self.custom: set[str] = set()
        """The names of tools that take a text."""

    def read(self, tools: bytes) -> None:
        """Adds all tools to the request."""
        if len(tools) > MAX_COMMAS and (len(tools) > 2 * MAX_TOOLS_LENGTH or tools.count(b",") > MAX_COMMAS):
            self._problems.add("tools", f"hold JSON of more than {MAX_TOOLS_LENGTH} characters together")
            return
        given_tools = self._problems.read(tools, _raw_tools, "tools") or []
        if len(given_tools) > MAX_TOOLS:
            self._problems.add("tools", f"holds more than {MAX_TOOLS} tools")
            return
        for index, raw in enumerate(given_tools):
            path = f"tools[{index}]"
            if given := self._problems.read(raw, _tool, path):
                self._read(given, raw, path)

    def read_choice(self, raw: msgspec.Raw) -> None:
        """Reads the choice of tools. Those that it does not allow are left out of the request."""
        given = self._problems.read(raw, _choice, "tool_choice")
        choice = self._request.tool_choice
        if given is None:
            return
        if isinstance(given, str):
            self._read_mode(given, "tool_choice")
        elif given.type == "allowed_tools":
            self._read_allowed(given)
        elif given.tool_name is not None:
            choice.tool_name = given.tool_name
        elif given.type in {tool.provider_tool.type for tool in self._request.tools}:
            choice.tool_name = given.type
        else:
            self._problems.add("tool_choice", "must be none, auto, required, or an object that names a tool")

    def _read_mode(self, mode: str, path: str) -> None:
        if mode in MODES:
            self._request.tool_choice.mode = MODES[mode]
        else:
            self._problems.add(path, "must be none, auto or required, or an object that names a tool")

    def _read_allowed(self, given: body.Choice) -> None:
        path = "tool_choice.allowed_tools"
        if given.allowed_tools is None:
            self._problems.add(path, "is required")
            return
        self._read_mode(given.allowed_tools.mode, f"{path}.mode")
        names = {tool.tool_name for tool in given.allowed_tools.tools}
        if unknown := names - {tool.name for tool in self._request.tools}:
            self._problems.add(f"{path}.tools", f"name {len(unknown)} tools that are not among the tools")
            return
        self._keep(names)

    def _keep(self, names: Collection[str | None]) -> None:
        """Leaves out all other tools."""
        kept = [
            (tool, place) for tool, place in zip(self._request.tools, self.places, strict=True) if tool.name in names
        ]
        self.places = [place for _, place in kept]
        tools = [models_pb2.ToolDefinition.FromString(tool.SerializeToString()) for tool, _ in kept]
        del self._request.tools[:]
        self._request.tools.extend(tools)

    def _read(self, given: body.Tool, raw: msgspec.Raw, path: str) -> None:
        tool = self._request.tools.add()
        place = path
        if given.type == FUNCTION:
            place = self._read_function(given, tool, path)
        elif given.type == CUSTOM and given.custom is not None:
            self._read_custom(given.custom, tool)
            place = f"{path}.custom"
        else:
            self._read_other(given, raw, tool)
        self.places.append(place)
        if given.cache_control is not None:
            mark_end(tool, given.cache_control, f"{path}.cache_control", self._problems)

    def _read_function(self, given: body.Tool, tool: models_pb2.ToolDefinition, path: str) -> str:
        """Returns the path of the function, which is the tool itself in the flat form."""
        function, place = given.function, f"{path}.function"
        if function is None and given.name is not None:
            function = body.FunctionTool(given.name, given.description, given.parameters, given.strict)
            place = path
        if function is None:
            self._problems.add(place, "is required")
            return place
        tool.name = function.name
        tool.description = function.description or ""
        if is_given(function.parameters):
            tool.parameters_json = bytes(function.parameters).decode()
        if function.strict is not None:
            tool.strict = function.strict
        return place

    def _read_custom(self, given: body.CustomTool, tool: models_pb2.ToolDefinition) -> None:
        """Reads a tool that takes a text, in the form that Responses has for it."""
        self.custom.add(given.name)
        tool.name = given.name
        tool.provider_tool.type = CUSTOM
        config: dict[str, object] = {}
        if given.description:
            config["description"] = given.description
        if given.format is not None:
            grammar = given.format.grammar
            config["format"] = {"type": given.format.type}
            if grammar is not None:
                config["format"] = {
                    "type": given.format.type,
                    "syntax": grammar.syntax,
                    "definition": grammar.definition,
                }
        tool.provider_tool.config_json = encode(config).decode() if config else ""

    def _read_other(self, given: body.Tool, raw: msgspec.Raw, tool: models_pb2.ToolDefinition) -> None:
        """Reads a tool that its provider runs: all members but those that the contract has are its settings."""
        members = _members.decode(raw)
        if given.type == CUSTOM and given.name:
            self.custom.add(given.name)
        tool.name = given.name or ""
        tool.provider_tool.type = given.type
        config = {name: value for name, value in members.items() if name not in ("type", "name", "cache_control")}
        tool.provider_tool.config_json = encode(config).decode() if config else ""


def read_format(raw: msgspec.Raw, problems: Problems, wanted: models_pb2.ResponseFormat) -> None:
    """Reads the format of the answer."""
    given = problems.read(raw, _format, "response_format")
    if given is None:
        return
    wanted.type = given.type
    if given.type != "json_schema":
        return
    schema = given.json_schema
    if schema is None:
        problems.add("response_format.json_schema", "is required")
        return
    wanted.name = schema.name or ""
    if is_given(schema.schema):
        wanted.schema_json = with_description(bytes(schema.schema).decode(), schema.description)
    if schema.strict is not None:
        wanted.strict = schema.strict
