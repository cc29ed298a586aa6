"""ToolDefinitions and ToolChoice → the tools of a chat completion."""

from __future__ import annotations

from typing import Any

from proto import models_pb2
from services.models.providers.openai.common.cache import drop_breakpoint
from services.models.providers.openai.common.schemas import embed_parameters
from services.models.providers.openai.common.tools import OWN_MEMBERS, check_number, encode_tool_choice
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.options import add_options_of_function


def encode_tools(translation: OpenAITranslation) -> dict[str, Any]:
    """The members about tools; none without tools, where OpenAI refuses a choice between them."""
    request = translation.request
    if not request.tools:
        return {}
    check_number(translation)
    tools = [_tool(tool, f"tools[{index}]", translation) for index, tool in enumerate(request.tools)]
    return {"tools": tools, **encode_tool_choice(translation, _named)}


def _tool(tool: models_pb2.ToolDefinition, path: str, translation: OpenAITranslation) -> dict[str, Any]:
    drop_breakpoint(tool, path, "tools", translation)
    if tool.HasField("provider_tool"):
        problem = "no tool runs at the provider in Chat Completions; define a function, or choose a model that has it"
        translation.refuse(f"{path}.provider_tool", problem)
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    strict = tool.strict
    if tool.parameters_json:
        place = f"{path}.parameters_json"
        function["parameters"], strict = embed_parameters(tool.parameters_json, place, translation, strict=strict)
    if tool.HasField("strict"):
        function["strict"] = strict
    add_options_of_function(function, tool, path, OWN_MEMBERS, translation)
    return {"type": "function", "function": function}


def _named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}
