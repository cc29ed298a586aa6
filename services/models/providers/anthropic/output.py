"""Answers in JSON: enforced by `output_config.format`, or given as the arguments of a tool that must be called.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs. Older models have no such field, and none has
one for JSON without a schema. They are given an additional tool, whose arguments are the answer. The decoder recognises
its name and returns the arguments as text, so that callers see no difference.
"""

from __future__ import annotations

from typing import Any, Literal

from proto import models_pb2
from services.models.providers.facts import ModelFacts
from services.models.providers.requests.translation import Translation
from services.models.providers.schemas.fitting import fit_schema
from services.models.providers.schemas.limits import first_limit
from services.models.providers.schemas.nodes import text_in
from services.models.providers.schemas.repairs import repair_schema
from services.models.providers.schemas.rules import ANTHROPIC_OUTPUT
from services.shared import json_text

ANSWER_TOOL = "genai_platform_answer_"
"""The beginning of the names of such tools."""
MAX_NAME_LENGTH = 64

SCHEMA_FIELD = "response_format.schema_json"
ANY_OBJECT = '{"type":"object","additionalProperties":true}'
"""The schema for JSON without a schema."""

OutputMode = Literal["text", "schema", "tool"]
"""Mode of the answer: free text, a schema that the provider enforces, or the arguments of a tool."""


def choose_mode(facts: ModelFacts, translation: Translation) -> OutputMode:
    """The mode of the answer. Refuses a response format that Messages has no field for and no tool can replace."""
    request, adapts = translation.request, translation.adapts
    wanted = request.response_format.type
    if not request.HasField("response_format") or wanted == "text":
        return "text"
    if wanted == "json_schema":
        return "schema" if facts.schema_output == "native" and not (adapts and _limit_of(request)) else "tool"
    if wanted == "json_object" and adapts:
        return "tool"
    translation.refuse("response_format.type", f"Messages has no {wanted}; use json_schema")
    return "text"


def _limit_of(request: models_pb2.ChatRequest) -> str:
    """The part of the schema that would be emptied by enforcing it."""
    return first_limit(request.response_format.schema_json, typed=ANTHROPIC_OUTPUT.typed)


def output_format(wanted: models_pb2.ResponseFormat, translation: Translation) -> dict[str, Any]:
    """The schema as `output_config.format`, which always holds the answer to it."""
    schema_json = wanted.schema_json
    if translation.adapts:
        schema_json = repair_schema(schema_json, with_items=False)
        schema_json, changes = fit_schema(schema_json, ANTHROPIC_OUTPUT, SCHEMA_FIELD, "Anthropic")
        translation.notices.extend(changes)
    return {"type": "json_schema", "schema": json_text.raw(schema_json)}


def answer_tool(wanted: models_pb2.ResponseFormat, facts: ModelFacts, translation: Translation) -> dict[str, Any]:
    """The tool that takes the answer. Refuses a schema that is not one of an object."""
    model = translation.target.model
    description = "Takes the final answer to the user. Give the whole answer here, and nowhere else."
    if wanted.type == "json_schema":
        lack, schema_json = "does not enforce this schema", repair_schema(wanted.schema_json, with_items=False)
        if text_in(json_text.raw_members(schema_json).get("type")) != "object":
            translation.refuse(SCHEMA_FIELD, f'must be of type "object" for {model}, which answers by a tool')
    else:
        lack, schema_json = "has no JSON mode", ANY_OBJECT
        description += " Its arguments are the JSON object that was asked for, with whatever members that needs."
    duty = " and must be called" if facts.forced_tool_choice else ", which it need not call"
    translation.warn_changed("response_format", f"{model} {lack}; it was given a tool that takes the answer{duty}")
    return {
        "name": (ANSWER_TOOL + (wanted.name or "response"))[:MAX_NAME_LENGTH],
        "description": description,
        "input_schema": json_text.raw(schema_json),
    }


def is_answer_tool(name: str) -> bool:
    """Whether a tool of this name takes the answer."""
    return name.startswith(ANSWER_TOOL)
