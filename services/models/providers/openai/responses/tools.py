"""ToolDefinitions and ToolChoice → the tools of a response. https://platform.openai.com/docs/guides/function-calling"""

from __future__ import annotations

from typing import Any

from proto import models_pb2
from services.models.providers.openai.common.cache import drop_breakpoint
from services.models.providers.openai.common.schemas import embed_parameters
from services.models.providers.openai.common.tools import OWN_MEMBERS, check_number, encode_tool_choice
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.hosted_tools import NAMELESS
from services.models.providers.requests.options import add_options_of_function
from services.shared.json_text import raw_members

NO_ARGUMENTS = '{"type":"object","properties":{},"required":[],"additionalProperties":false}'

NAMED_BY = ("name", "server_label")
"""Members that distinguish OpenAI's tools of one type, if there can be several: custom tools, namespaces, MCP servers.
"""


def encode_tools(translation: OpenAITranslation) -> dict[str, Any]:
    """The members about tools; none without tools, where OpenAI refuses a choice between them."""
    request = translation.request
    if not request.tools:
        return {}
    check_number(translation)
    tools = [_tool(tool, f"tools[{index}]", translation) for index, tool in enumerate(request.tools)]
    return {"tools": tools, **encode_tool_choice(translation, lambda name: _named(name, request))}


def _tool(tool: models_pb2.ToolDefinition, path: str, translation: OpenAITranslation) -> dict[str, Any]:
    drop_breakpoint(tool, path, "tools", translation)
    if tool.HasField("provider_tool"):
        if tool.name not in ("", tool.provider_tool.type) and tool.provider_tool.type in NAMELESS:
            problem = f"OpenAI's {tool.provider_tool.type} has no name of the caller's; it was not sent"
            translation.warn("NAME_DROPPED", f"{path}.name", problem)
        return _provider_tool(tool)
    function: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        function["description"] = tool.description
    parameters = tool.parameters_json or NO_ARGUMENTS
    place = f"{path}.parameters_json"
    function["parameters"], strict = embed_parameters(parameters, place, translation, strict=tool.strict)
    # Without it, Responses assumes true, which makes every optional argument a required one; Chat Completions assumes
    # false (https://platform.openai.com/docs/guides/function-calling#strict-mode).
    function["strict"] = strict
    add_options_of_function(function, tool, path, OWN_MEMBERS, translation)
    return function


def _provider_tool(tool: models_pb2.ToolDefinition) -> dict[str, Any]:
    config_json = tool.provider_tool.config_json
    encoded: dict[str, Any] = dict(raw_members(config_json)) if config_json else {}
    encoded["type"] = tool.provider_tool.type
    if tool.name and tool.provider_tool.type not in NAMELESS:
        encoded.setdefault("server_label" if tool.provider_tool.type == "mcp" else "name", tool.name)
    return encoded


def _named(name: str, request: models_pb2.ChatRequest) -> dict[str, Any]:
    for tool in request.tools:
        if tool.HasField("provider_tool") and name in (tool.name, tool.provider_tool.type):
            encoded = _provider_tool(tool)
            return {member: encoded[member] for member in ("type", *NAMED_BY) if member in encoded}
    return {"type": "function", "name": name}
