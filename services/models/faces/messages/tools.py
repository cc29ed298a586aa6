"""Tools of a body → ToolDefinitions. https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview"""

from __future__ import annotations

import msgspec

from proto import models_pb2
from services.models.faces.messages.assistant import VENDOR
from services.models.faces.messages.blocks import BlockReader, CacheControl
from services.models.faces.shapes import is_given
from services.models.validation.limits import MAX_TOOLS
from services.shared.json_text import encode


class _Function(msgspec.Struct):
    name: str
    input_schema: msgspec.Raw
    description: str | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class _ServerTool(msgspec.Struct):
    name: str | None = None
    cache_control: CacheControl | None = None


class _Kind(msgspec.Struct):
    type: str | None = None


OF_FUNCTIONS = frozenset({"type", "name", "input_schema", "description", "strict", "cache_control"})
OF_SERVER_TOOLS = frozenset({"type", "name", "cache_control"})
"""The members that have a field in the contract."""

_TOOLS = msgspec.json.Decoder(list[msgspec.Raw])
_KIND = msgspec.json.Decoder(_Kind)
_FUNCTION = msgspec.json.Decoder(_Function)
_SERVER_TOOL = msgspec.json.Decoder(_ServerTool)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_tools(raw: msgspec.Raw, request: models_pb2.ChatRequest, blocks: BlockReader) -> None:
    """Adds the tools of a body to a request; what is wrong in them are problems of the blocks' reader."""
    tools = blocks.problems.read(raw, _TOOLS, "tools")
    if tools is not None and len(tools) > MAX_TOOLS:
        blocks.problems.add("tools", f"holds more than {MAX_TOOLS} tools")
        return
    for index, tool in enumerate(tools or ()):
        path = f"tools[{index}]"
        kind = blocks.problems.read(tool, _KIND, path)
        if kind is None:
            continue
        definition = request.tools.add()
        if kind.type in (None, "custom"):
            _read_function(tool, definition, path, blocks)
        else:
            definition.provider_tool.type = kind.type
            _read_server_tool(tool, definition, path, blocks)


def _read_function(raw: msgspec.Raw, tool: models_pb2.ToolDefinition, path: str, blocks: BlockReader) -> None:
    read = blocks.problems.read(raw, _FUNCTION, path)
    if read is None:
        return
    tool.name = read.name
    tool.description = read.description or ""
    tool.parameters_json = bytes(read.input_schema).decode()
    if read.strict is not None:
        tool.strict = read.strict
    blocks.mark(tool, read.cache_control, path)
    if others := _others(raw, OF_FUNCTIONS):
        tool.provider_options_json[VENDOR] = others


def _read_server_tool(raw: msgspec.Raw, tool: models_pb2.ToolDefinition, path: str, blocks: BlockReader) -> None:
    read = blocks.problems.read(raw, _SERVER_TOOL, path)
    if read is None:
        return
    tool.name = read.name or ""
    blocks.mark(tool, read.cache_control, path)
    tool.provider_tool.config_json = _others(raw, OF_SERVER_TOOLS)


def _others(raw: msgspec.Raw, known: frozenset[str]) -> str:
    """The JSON of the members beyond the known ones; "" without any."""
    members = _MEMBERS.decode(raw)
    others = {name: value for name, value in members.items() if name not in known and is_given(value)}
    return encode(others).decode() if others else ""
