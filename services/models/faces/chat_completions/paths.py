"""Paths of the contract's fields in a body of Chat Completions."""

from __future__ import annotations

import re

from services.models.faces.chat_completions.reading import BodyRead

_MESSAGE = re.compile(r"(messages\[(\d{1,9})\])(?:\.(.*))?", re.DOTALL)
_ENTRY = re.compile(r"(parts|tool_calls)\[(\d{1,9})\](?:\.(.*))?", re.DOTALL)
_TOOL = re.compile(r"tools\[(\d{1,9})\](?:\.(.*))?", re.DOTALL)
_FIRST_NAME = re.compile(r"[.\[]")
_STOP = re.compile(r"config\.stop_sequences(\[\d{1,9}\])?")

MEMBERS = {
    "model": "model",
    "messages": "messages",
    "tools": "tools",
    "prompt_cache_key": "prompt_cache_key",
    "reasoning": "reasoning",
    "reasoning.budget_tokens": "reasoning.max_tokens",
    "reasoning.include_text": "reasoning.exclude",
    "response_format": "response_format",
    "response_format.type": "response_format.type",
    "response_format.schema_json": "response_format.json_schema.schema",
    "response_format.name": "response_format.json_schema.name",
    "response_format.strict": "response_format.json_schema.strict",
}
"""Fields that one member stands for."""

OF_CALLS = {"id": "id", "name": "function.name", "arguments_json": "function.arguments"}
OF_MEDIA = {"url": "url", "detail": "detail", "file_id": "file_id", "filename": "filename"}
OF_TOOLS = {"name": "name", "description": "description", "parameters_json": "parameters", "strict": "strict"}

PLATFORM_FIELDS = frozenset(
    {
        "system_prompt_name",
        "prompt",
        "session_id",
        "session",
        "request_id",
        "fallback_models",
        "parameter_policy",
        "tags",
        "timeouts",
        "cache",
    }
)
"""Fields of the platform, which its own member has."""


def path_of(field: str, read: BodyRead) -> str:
    """The path of a field; "" where it has none."""
    if field in read.members:
        return read.members[field]
    if field in MEMBERS:
        return MEMBERS[field]
    if found := _MESSAGE.fullmatch(field):
        return _path_in_message(found[1], int(found[2]), found[3] or "", read)
    if found := _TOOL.fullmatch(field):
        return _path_in_tool(int(found[1]), found[2] or "", read)
    if found := _STOP.fullmatch(field):
        return f"stop{found[1] or ''}"
    if field.startswith("config."):
        return field.removeprefix("config.")
    if field.startswith("provider_options_json"):
        return read.members.get("provider_options_json", "")
    if field.startswith("tool_choice"):
        return "tool_choice"
    if schema := _rest(field, "response_format.schema_json"):
        return MEMBERS["response_format.schema_json"] + schema
    is_platforms = _FIRST_NAME.split(field, maxsplit=1)[0] in PLATFORM_FIELDS
    return f"genai.{field}" if is_platforms and read.platform else ""


def _rest(field: str, beginning: str) -> str:
    """The rest of a path within the field `beginning`; "" for any other path."""
    rest = field.removeprefix(beginning)
    return rest if rest != field and rest.startswith((".", "[")) else ""


def _path_in_message(path: str, index: int, rest: str, read: BodyRead) -> str:
    entry = _ENTRY.fullmatch(rest)
    if entry is None:
        # `parts` alone, `content`, `role`, `name`, `tool_call_id` and their like.
        member = "content" if rest == "parts" else rest
        return f"{path}.{member}" if member else path
    within = entry[3] or ""
    if entry[1] == "tool_calls":
        return f"{path}.tool_calls[{entry[2]}]{_dotted(OF_CALLS.get(within, within))}"
    places, position = read.places[index] if index < len(read.places) else (), int(entry[2])
    if position >= len(places):
        return path
    place = f"{path}.{places[position]}"
    kind, _, member = within.partition(".")
    if kind == "tool_call":
        return f"{place}{_dotted(OF_CALLS.get(member, ''))}"
    if kind == "media":
        return f"{place}{_dotted(OF_MEDIA.get(member, ''))}"
    if kind == "text" and place.endswith("]"):
        return f"{place}.text"
    if kind == "cache":
        return f"{place}.cache_control{_dotted(member)}"
    return place


def _path_in_tool(index: int, rest: str, read: BodyRead) -> str:
    if index >= len(read.tool_places):
        return "tools"
    place = read.tool_places[index]
    for field, member in OF_TOOLS.items():
        if rest == field or _rest(rest, field):
            return f"{place}.{member}{_rest(rest, field)}"
    return place


def _dotted(member: str) -> str:
    return f".{member}" if member else ""
