"""Members that only one provider takes in a function reach it, and no other."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proto.models_pb2 import ToolDefinition
from services.models.providers.base import Target
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit import anthropic_bodies, openai_bodies

EXAMPLES = {"anthropic": '{"input_examples":[{"q":1.0}],"defer_loading":true}', "openai": '{"defer_loading":true}'}
RESPONSES = replace(openai_bodies.GPT_4O, dialect=OPENAI_RESPONSES)


def tools_of(target: Target, **tool: Any) -> Any:
    encode = openai_bodies.encode if target.dialect.name != "anthropic" else _encode_for_claude
    return json.loads(encode(target, tools=[ToolDefinition(name="find", **tool)]).request.body)["tools"]


def _encode_for_claude(target: Target, **fields: Any) -> Any:
    return anthropic_bodies.encode(target=target, **fields)


def test_each_provider_gets_its_own() -> None:
    [claude] = tools_of(anthropic_bodies.CLAUDE, provider_options_json=EXAMPLES)
    assert claude == {
        "name": "find",
        "input_schema": {"type": "object"},
        "input_examples": [{"q": 1.0}],
        "defer_loading": True,
    }
    [gpt] = tools_of(openai_bodies.GPT_4O, provider_options_json=EXAMPLES)
    assert gpt == {"type": "function", "function": {"name": "find", "defer_loading": True}}
    [compatible] = tools_of(openai_bodies.COMPATIBLE, provider_options_json=EXAMPLES)
    assert compatible == {"type": "function", "function": {"name": "find"}}
    [flat] = tools_of(RESPONSES, provider_options_json=EXAMPLES)
    assert flat["defer_loading"] is True


@for_each("member", ["name", "Input_Schema", "cache-control", "TYPE"])
def test_members_with_a_field_of_their_own_are_refused(member: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tools_of(anthropic_bodies.CLAUDE, provider_options_json={"anthropic": json.dumps({member: "x"})})
    assert [violation.field for violation in refused.value.violations] == ["tools[0].provider_options_json[anthropic]"]
