"""Bodies of Chat Completions on their way to OpenAI's own Chat Completions: what goes in comes out."""

from __future__ import annotations

import json
from typing import Any

from proto import models_pb2
from services.models.faces.chat_completions.face import CHAT_COMPLETIONS, AskedCompletion
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.encoding import encode
from services.models.validation.request import check_chat_request
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.faces.completions import QUESTION, asked
from tests.unit.openai_bodies import COMPATIBLE, GPT_4O, ON_VLLM

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
MESSAGES = [
    {"role": "system", "content": "s"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "a"},
            IMAGE,
            {"type": "image_url", "image_url": {"url": "https://h/x"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,iVBORw==", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_id": "f"}},
        ],
        "name": "n",
    },
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "r"},
    {"role": "assistant", "content": "x", "refusal": "no"},
    QUESTION,
]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": False}
BODY: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": MESSAGES,
    "temperature": 0,
    "top_p": 0.5,
    "max_tokens": 5,
    "stop": ["x"],
    "seed": 7,
    "frequency_penalty": 1,
    "presence_penalty": -1,
    "logprobs": True,
    "top_logprobs": 2,
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
    "safety_identifier": "u",
    "prompt_cache_key": "k",
    "metadata": {"a": "b"},
    "store": True,
    "logit_bias": {"5": 1},
    "service_tier": "flex",
    "prediction": {"type": "content", "content": "x"},
    "verbosity": "low",
    "web_search_options": {},
    "prompt_cache_retention": "24h",
}


def encoded(read: AskedCompletion, target: Target) -> Encoded:
    contents = check_chat_request(read.request)
    return encode(Conversation(read.request, read.request.messages, contents=contents), target, stream=read.streams)


def refusal_of(members: dict[str, Any]) -> dict[str, Any]:
    """The error of a body that is refused while it is read, checked or encoded."""
    read = None
    try:
        read = asked(**members)
        encoded(read, GPT_4O)
    except InvalidRequest as error:
        refused: dict[str, Any] = json.loads(CHAT_COMPLETIONS.refusal(error, "id", read).body)["error"]
        return refused
    raise AssertionError("the body was taken")


def test_a_body_of_everything_reaches_openai_as_it_was() -> None:
    sent = encoded(asked(**BODY), GPT_4O)
    assert json.loads(sent.request.body) == BODY
    assert sent.notices == []


@for_each("target", [ON_VLLM, COMPATIBLE], ids=lambda target: target.dialect.name)
def test_members_of_other_servers_reach_them(target: Target) -> None:
    own = {"min_p": 0.1, "guided_choice": ["a"], "chat_template_kwargs": {"enable_thinking": False}}
    sent = json.loads(encoded(asked(**own), target).request.body)
    assert {name: sent[name] for name in own} == own


@for_each(
    ("members", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"messages": [QUESTION, {"role": "tool", "content": "a"}]}, "messages[1].tool_call_id"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://h"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "system", "content": [IMAGE]}]}, "messages[0].content[0].image_url"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [CALL | {"id": ""}]}]},
            "messages[0].tool_calls[0].id",
        ),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": 7}}]},
            "tools[0].function.parameters",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema",
        ),
        ({"user": "u" * 2000}, "user"),
        ({"metadata": json.loads("[" * 80 + "]" * 80)}, "metadata"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aaaa"}}]}]},
            "messages[0].content[0].input_audio.format",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "input_audio", "input_audio": {"data": "aaaa", "format": "wav"}}],
                    }
                ]
            },
            "messages[0].content[0].input_audio",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_refusals_of_every_stage_name_members_of_the_body(members: dict[str, Any], param: str) -> None:
    refused = refusal_of(members)
    assert refused["param"] == param
    assert refused["message"].startswith(f"{param}: ")


def test_what_other_vendors_made_is_left_out_with_a_notice() -> None:
    state = models_pb2.ProviderState(provider="anthropic", model="m", data=b'{"type":"thinking"}')
    read = asked(messages=[QUESTION, {"role": "assistant", "content": "a", "reasoning_content": "t"}, QUESTION])
    read.request.messages[1].parts[0].provider_state.CopyFrom(state)
    sent = encoded(read, GPT_4O)
    (notice,) = sent.notices
    assert (notice.code, read.path_of(notice.field)) == ("REASONING_DROPPED", "messages[1].reasoning_content")
