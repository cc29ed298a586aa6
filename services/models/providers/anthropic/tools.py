"""Tools and the tool choice. https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview"""

from __future__ import annotations

import re
from typing import Any

from proto import models_pb2
from services.models.providers.anthropic.output import ANSWER_TOOL, is_answer_tool
from services.models.providers.facts import ModelFacts
from services.models.providers.requests.options import add_options_of_function
from services.models.providers.requests.translation import Translation
from services.models.providers.schemas.fitting import fit_schema
from services.models.providers.schemas.limits import first_limit
from services.models.providers.schemas.rules import ANTHROPIC_OUTPUT
from services.models.providers.schemas.tool_schemas import fit_root
from services.models.validation.extra_body import reserved_in
from services.shared import json_text

MODES = {
    models_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    models_pb2.TOOL_CHOICE_MODE_NONE: "none",
    models_pb2.TOOL_CHOICE_MODE_REQUIRED: "any",
}
FORCED = frozenset({"any", "tool"})

OWN_MEMBERS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
"""The members of a function that have a field in the contract. Others are `defer_loading`, `allowed_callers`,
`input_examples` and `eager_input_streaming`."""

NO_PARAMETERS = '{"type":"object"}'
NO_PARAMETERS_ENFORCED = '{"type":"object","properties":{},"additionalProperties":false}'
"""The schemas of a tool without parameters, plain and in the form that can be enforced."""

MCP_TOOLSET = "mcp_toolset"
"""The tools of an MCP server, which goes by the name that the request gives it."""

# The provider's own tools are named by their type without its date, but for these (types/tool_*_param.py of its SDK).
_DATE = re.compile(r"_\d{8}$")
_TOOL_NAMES = {"text_editor_20250124": "str_replace_editor"}
_TOOL_NAMES_BY_FAMILY = {"text_editor": "str_replace_based_edit_tool"}


def encode_tool(
    tool: models_pb2.ToolDefinition, path: str, facts: ModelFacts, translation: Translation
) -> dict[str, Any]:
    """The encoded tool. Refuses a name that is reserved for the answer tool."""
    if is_answer_tool(tool.name):
        translation.refuse(f"{path}.name", f"must not begin with {ANSWER_TOOL}")
    if tool.HasField("provider_tool"):
        return _provider_tool(tool, path, translation)
    encoded: dict[str, Any] = {"name": tool.name}
    if tool.description:
        encoded["description"] = tool.description
    strict = tool.strict if tool.HasField("strict") else None
    if strict and facts.schema_output == "tool":
        strict = None
        translation.warn_dropped(f"{path}.strict", "the model enforces no schema; it was not sent")
    place = f"{path}.parameters_json"
    if not tool.parameters_json:
        schema_json = NO_PARAMETERS_ENFORCED if strict else NO_PARAMETERS
    elif translation.adapts:
        schema_json, strict = _parameters(tool.parameters_json, place, translation, strict)
    else:
        schema_json = tool.parameters_json
    encoded["input_schema"] = json_text.raw(schema_json)
    if strict is not None:
        encoded["strict"] = strict
    add_options_of_function(encoded, tool, path, OWN_MEMBERS, translation)
    return encoded


def _parameters(
    parameters_json: str, place: str, translation: Translation, strict: bool | None
) -> tuple[str, bool | None]:
    """The schema of a tool's arguments, and whether it is enforced. Refuses one of no object."""
    fitted = fit_root(parameters_json, place, "Anthropic", with_properties=False, plain_root=True)
    if fitted.problem:
        translation.refuse(place, fitted.problem)
    translation.notices.extend(fitted.notices)
    if not strict:
        return fitted.text, strict
    limit = first_limit(fitted.text, typed=ANTHROPIC_OUTPUT.typed, is_of_tool=True)
    if limit:
        text = f"Anthropic cannot enforce this schema: {limit}; it was sent whole, without strict"
        translation.warn("SCHEMA_CHANGED", place, text)
        return fitted.text, False
    schema_json, changes = fit_schema(fitted.text, ANTHROPIC_OUTPUT, place, "Anthropic")
    translation.notices.extend(changes)
    return schema_json, strict


def _provider_tool(tool: models_pb2.ToolDefinition, path: str, translation: Translation) -> dict[str, Any]:
    kind = tool.provider_tool.type
    encoded: dict[str, Any] = {"type": kind}
    if not _is_toolset(kind):
        encoded["name"] = tool.name or _provider_tool_name(kind)
    elif kind == MCP_TOOLSET and tool.name:
        encoded["mcp_server_name"] = tool.name
    elif tool.name not in ("", kind):
        text = "a set of the provider's tools has no name of the caller's; it was not sent"
        translation.warn("NAME_DROPPED", f"{path}.name", text)
    if tool.HasField("strict"):
        encoded["strict"] = tool.strict
    for field in ("description", "parameters_json"):
        if getattr(tool, field):
            translation.warn_dropped(f"{path}.{field}", "the provider describes its own tools; it was not sent")
    if tool.provider_tool.config_json:
        settings = json_text.raw_members(tool.provider_tool.config_json)
        if reserved_in(settings, frozenset({"type"})):
            translation.refuse(f"{path}.provider_tool.config_json", "must not set type: the field type says it")
        if tool.HasField("cache") and reserved_in(settings, frozenset({"cache_control"})):
            translation.refuse(f"{path}.provider_tool.config_json", "must not set cache_control beside cache")
        encoded.update(settings)
    return encoded


def _is_toolset(kind: str) -> bool:
    """True for a set of tools, which the API gives no name."""
    return _DATE.sub("", kind).endswith("toolset")


def _provider_tool_name(kind: str) -> str:
    """The name that the API requires of its own tools."""
    family = _DATE.sub("", kind)
    return _TOOL_NAMES.get(kind) or _TOOL_NAMES_BY_FAMILY.get(family, family)


def wanted_choice(request: models_pb2.ChatRequest) -> dict[str, Any]:
    """The request's own choice; empty where it leaves it to the provider."""
    if not request.tools:
        return {}
    if request.tool_choice.WhichOneof("choice") == "tool_name":
        return {"type": "tool", "name": request.tool_choice.tool_name}
    mode = MODES.get(request.tool_choice.mode)
    return {"type": mode} if mode else {}


def choice_of_answer(
    choice: dict[str, Any], answer_tool: str, facts: ModelFacts, *, other_tools: bool
) -> dict[str, Any]:
    """The tool choice if there is an answer tool: the model must call that, or one of the request's own tools."""
    forced = facts.forced_tool_choice
    if other_tools and choice.get("type") != "none":
        return {"type": "any" if forced else "auto"}
    alone = {"type": "tool", "name": answer_tool} if forced else {"type": "auto"}
    return alone | {"disable_parallel_tool_use": True}


def fit_choice(
    choice: dict[str, Any], parallel_tool_calls: bool | None, facts: ModelFacts, translation: Translation
) -> dict[str, Any]:
    """The tool choice that the model accepts, including whether several tools may be called at once."""
    if choice.get("type") in FORCED and not facts.forced_tool_choice:
        model = translation.target.model
        translation.warn_changed("tool_choice", f"{model} cannot be made to call a tool; auto was sent")
        choice = {"type": "auto"}
    if parallel_tool_calls is not None and choice.get("type") != "none":
        choice = {"type": "auto"} | choice
        choice.setdefault("disable_parallel_tool_use", not parallel_tool_calls)
    return choice
