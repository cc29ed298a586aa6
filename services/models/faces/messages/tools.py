"""Tools of a body → ToolDefinitions. https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview"""

from __future__ import annotations

from collections.abc import Set
from typing import TypeVar

import msgspec

from proto import models_pb2
from services.models.faces.messages.assistant import VENDOR
from services.models.faces.messages.blocks import BlockReader, CacheControl
from services.models.faces.shapes import is_given
from services.models.validation.limits import MAX_TOOLS
from services.shared.json_text import encode

Members = dict[str, msgspec.Raw]
Value = TypeVar("Value")

OF_FUNCTIONS = frozenset({"type", "name", "input_schema", "description", "strict", "cache_control"})
OF_SERVER_TOOLS = frozenset({"type", "name", "cache_control"})
"""The members that have a field in the contract."""

_TOOLS = msgspec.json.Decoder(list[Members])
_TEXT = msgspec.json.Decoder(str)
_FLAG = msgspec.json.Decoder(bool)
_CACHE = msgspec.json.Decoder(CacheControl)


def read_tools(raw: msgspec.Raw, request: models_pb2.ChatRequest, blocks: BlockReader) -> None:
    """Adds the tools of a body to a request; what is wrong in them are problems of the blocks' reader."""
    tools = blocks.problems.read(raw, _TOOLS, "tools")
    if tools is not None and len(tools) > MAX_TOOLS:
        blocks.problems.add("tools", f"holds more than {MAX_TOOLS} tools")
        return
    for index, members in enumerate(tools or ()):
        _Tool(members, f"tools[{index}]", blocks).read(request.tools.add())


class _Tool:
    """The reading of one tool."""

    def __init__(self, members: Members, path: str, blocks: BlockReader) -> None:
        self._members = {name: value for name, value in members.items() if is_given(value)}
        self._path = path
        self._blocks = blocks

    def read(self, tool: models_pb2.ToolDefinition) -> None:
        kind = self._value("type", _TEXT)
        tool.name = self._value("name", _TEXT) or ""
        mark = self._value("cache_control", _CACHE)
        self._blocks.mark(tool, mark, self._path)
        if kind in (None, "custom"):
            self._read_function(tool)
        else:
            tool.provider_tool.type = kind
            tool.provider_tool.config_json = self._others(OF_SERVER_TOOLS)

    def _read_function(self, tool: models_pb2.ToolDefinition) -> None:
        for name in ("name", "input_schema"):
            if name not in self._members:
                self._blocks.problems.add(f"{self._path}.{name}", "is required")
        tool.description = self._value("description", _TEXT) or ""
        tool.parameters_json = bytes(self._members.get("input_schema", b"")).decode()
        strict = self._value("strict", _FLAG)
        if strict is not None:
            tool.strict = strict
        if others := self._others(OF_FUNCTIONS):
            tool.provider_options_json[VENDOR] = others

    def _value(self, name: str, decoder: msgspec.json.Decoder[Value]) -> Value | None:
        """A member; None without it, and for one of a wrong type."""
        raw = self._members.get(name)
        return None if raw is None else self._blocks.problems.read(raw, decoder, f"{self._path}.{name}")

    def _others(self, known: Set[str]) -> str:
        """The JSON of the members beyond the known ones; "" without any."""
        others = {name: value for name, value in self._members.items() if name not in known}
        return encode(others).decode() if others else ""
