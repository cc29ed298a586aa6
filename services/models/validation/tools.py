"""Validation of tools and of the tool choice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from proto import models_pb2
from services.models.validation.content import cache_violations
from services.models.validation.extra_body import OPTIONS, options_violations, reserved_in
from services.models.validation.limits import MAX_SCHEMA_LENGTH, MAX_TOOLS, MAX_TOOLS_LENGTH
from services.models.validation.work import texts_of_tool
from services.shared.errors import FieldViolation
from services.shared.json_text import object_problem, raw_members

TOOL_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
PROVIDER_TOOL_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def tool_violations(request: models_pb2.ChatRequest) -> Iterator[FieldViolation]:
    names: set[str] = set()
    if len(request.tools) > MAX_TOOLS:
        yield FieldViolation("tools", f"holds more than {MAX_TOOLS} tools")
    tools = list(islice(request.tools, MAX_TOOLS))
    if sum(len(text) for tool in tools for text in texts_of_tool(tool)) > MAX_TOOLS_LENGTH:
        yield FieldViolation("tools", f"hold JSON of more than {MAX_TOOLS_LENGTH} characters together")
        return
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        is_provider_tool = tool.HasField("provider_tool")
        if not TOOL_NAME.fullmatch(tool.name) and (tool.name or not is_provider_tool):
            yield FieldViolation(f"{path}.name", "must be 1 to 128 letters, digits, _, ., : or -")
        elif tool.name in names:
            yield FieldViolation(f"{path}.name", "is used by another tool of this request")
        if tool.name:
            names.add(tool.name)
        if tool.HasField("cache"):
            yield from cache_violations(f"{path}.cache", tool.cache)
        if is_provider_tool:
            yield from _provider_tool_violations(path, tool)
        else:
            yield from _function_violations(path, tool)
    yield from _tool_choice_violations(request, names)


def _function_violations(path: str, tool: models_pb2.ToolDefinition) -> Iterator[FieldViolation]:
    if tool.parameters_json and (problem := object_problem(tool.parameters_json, MAX_SCHEMA_LENGTH)):
        yield FieldViolation(f"{path}.parameters_json", problem)
    if tool.provider_options_json:
        yield from options_violations(tool.provider_options_json, f"{path}.{OPTIONS}")


def _provider_tool_violations(path: str, tool: models_pb2.ToolDefinition) -> Iterator[FieldViolation]:
    for field, _ in tool.ListFields():
        if field.name not in ("name", "provider_tool", "cache"):
            yield FieldViolation(f"{path}.{field.name}", "is of functions only; set it in provider_tool.config_json")
    own = tool.provider_tool
    if not PROVIDER_TOOL_TYPE.fullmatch(own.type):
        yield FieldViolation(f"{path}.provider_tool.type", "must be the provider's name for the tool")
    if own.config_json:
        problem = object_problem(own.config_json, MAX_SCHEMA_LENGTH)
        if not problem and reserved_in(raw_members(own.config_json), frozenset({"type"})):
            problem = "must not set type: provider_tool.type says it"
        if problem:
            yield FieldViolation(f"{path}.provider_tool.config_json", problem)


def _tool_choice_violations(request: models_pb2.ChatRequest, names: set[str]) -> Iterator[FieldViolation]:
    choice = request.tool_choice
    kind = choice.WhichOneof("choice")
    if kind == "tool_name" and choice.tool_name not in names:
        yield FieldViolation("tool_choice.tool_name", "names no tool of this request")
    elif kind == "mode" and choice.mode not in models_pb2.ToolChoiceMode.values():
        yield FieldViolation("tool_choice.mode", "is not a value of ToolChoiceMode")
    elif kind == "mode" and choice.mode == models_pb2.TOOL_CHOICE_MODE_REQUIRED and not request.tools:
        yield FieldViolation("tool_choice.mode", "requires a tool, but the request has none")
