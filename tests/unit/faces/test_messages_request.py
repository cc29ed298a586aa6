"""A body of Messages → the request that it is, and what is wrong in one by its path in the body."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from proto import models_pb2
from services.models.faces.messages.face import MESSAGES, AskedMessage
from services.models.faces.state_envelope import Bond, seal
from services.models.validation.request import check_chat_request
from services.shared.errors import InvalidRequest, PlatformError
from tests.rows import for_each
from tests.unit.faces.messages_answers import HELLO, ask, read_message

USER = {"role": "user", "content": "Hello"}


def user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "assistant", "content": list(blocks)}]}


def read(**members: Any) -> Any:
    """The request as a dict, without what every one has."""
    request = ask(**members).request
    check_chat_request(request)
    found = MessageToDict(request, preserving_proto_field_name=True)
    del found["model"], found["config"]["max_tokens"]
    if not found["config"]:
        del found["config"]
    if found["messages"] == [USER]:
        del found["messages"]
    return found


CLAUDE_CODE = {
    "model": "claude-gpt",
    "max_tokens": 32000,
    "stream": True,
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})},
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cch=00000;"},
        {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "Work.", "cache_control": {"type": "ephemeral", "scope": "global"}},
    ],
    "tools": [
        {
            "name": f"Tool{number}",
            "description": "Does.",
            "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"},
            **({"eager_input_streaming": True} if number == 1 else {}),
        }
        for number in range(24)
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>"}, {"type": "text", "text": "Do."}]},
        {"role": "system", "content": "Mind the gap."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "Tool1", "input": {"path": "a"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Go on."},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "done",
                    "is_error": False,
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
    ],
}


def test_all_of_claude_codes_body() -> None:
    asked = MESSAGES.read(json.dumps(CLAUDE_CODE).encode())
    request = asked.request
    check_chat_request(request)
    assert asked.streams
    assert [message.role for message in request.messages] == [
        *("system", "system", "user", "system", "assistant", "tool", "user")
    ]
    note, system, *_, result, rest = request.messages
    assert note.content.startswith("x-anthropic-billing-header")
    assert [part.cache.ttl.seconds for part in system.parts] == [3600, 0]
    assert [part.HasField("cache") for part in system.parts] == [True, True]
    assert result.parts[0].tool_result == models_pb2.ToolResult(
        tool_call_id="toolu_1", content=[models_pb2.ContentPart(text="done")]
    )
    assert result.parts[0].HasField("cache")
    assert rest.content == "Go on."
    assert request.reasoning == models_pb2.ReasoningConfig(effort="high")
    assert len(request.end_user_id) > 128
    options = json.loads(request.provider_options_json["anthropic"])
    assert options == {"context_management": CLAUDE_CODE["context_management"]}
    assert len(request.tools) == 24
    assert request.tools[1].provider_options_json == {"anthropic": '{"eager_input_streaming":true}'}
    assert not request.tools[0].provider_options_json
    assert asked.path_of("messages[5].parts[0].tool_result.tool_call_id") == "messages[3].content[1].tool_use_id"
    assert asked.path_of("messages[6].content") == "messages[3].content[0].text"
    assert asked.path_of("messages[1].parts[0].cache.ttl") == "system[1].cache_control.ttl"


def test_schemas_arguments_and_blocks_keep_their_bytes() -> None:
    thinking = '{"type": "thinking",  "thinking":"Hm \\u00e9","signature":"c2ln","later":1.0}'
    body = (
        '{"model":"m","max_tokens":1,"later":{ "n": 1.0},"tools":[{"name":"f","input_schema":{"type": "object" ,'
        '"x":1e2},"input_examples":[{ }]}],"messages":[{"role":"user","content":"x"},{"role":"assistant","content":['
        + thinking
        + ',{"type":"tool_use","id":"a","name":"f","input":{"n": 1.50 }}]}]}'
    )
    request = MESSAGES.read(body.encode()).request
    assert request.tools[0].parameters_json == '{"type": "object" ,"x":1e2}'
    assert request.tools[0].provider_options_json["anthropic"] == '{"input_examples":[{ }]}'
    assert request.provider_options_json["anthropic"] == '{"later":{ "n": 1.0}}'
    assert request.messages[1].parts[0].provider_state.data == thinking.encode()
    assert request.messages[1].parts[1].tool_call.arguments_json == '{"n": 1.50 }'


PNG = base64.b64encode(b"png").decode()
MEDIA = [
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"data": PNG, "mime_type": "image/png"},
    ),
    (
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a"}},
        {"url": "https://x.test/a", "mime_type": "image/png"},
    ),
    ({"type": "image", "source": {"type": "file", "file_id": "f"}}, {"file_id": "f", "mime_type": "image/png"}),
    (
        {
            "type": "document",
            "title": "T",
            "citations": {"enabled": True},
            "source": {"type": "text", "media_type": "text/plain", "data": "png"},
        },
        {"data": PNG, "mime_type": "text/plain", "filename": "T", "enable_citations": True},
    ),
    (
        {"type": "document", "source": {"type": "url", "url": "https://x.test/a"}},
        {"url": "https://x.test/a", "mime_type": "application/pdf"},
    ),
    ({"type": "document", "title": None, "source": {"type": "file", "file_id": "f"}}, {"file_id": "f"}),
]


@for_each(("block", "media"), MEDIA)
def test_media(block: dict[str, Any], media: dict[str, Any]) -> None:
    within = {"type": "tool_result", "tool_use_id": "a", "content": [block], "is_error": True}
    [said, result] = (read(**user(given))["messages"][0]["parts"][0] for given in (block, within))
    assert said == {"media": media}
    assert result == {"tool_result": {"tool_call_id": "a", "content": [{"media": media}], "is_error": True}}


@for_each(
    ("members", "found"),
    [
        ({"temperature": 0, "top_p": 0.5, "top_k": 3}, {"config": {"temperature": 0.0, "top_p": 0.5, "top_k": 3}}),
        ({"stop_sequences": ["a"], "temperature": None}, {"config": {"stop_sequences": ["a"]}}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"reasoning": {"budget_tokens": 2048}}),
        ({"thinking": {"type": "disabled"}}, {"reasoning": {"effort": "none"}}),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}},
            {"reasoning": {"effort": "max", "include_text": False}},
        ),
        ({"output_config": {"effort": "low", "format": None}}, {"reasoning": {"effort": "low"}}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {"response_format": {"type": "json_schema", "schema_json": '{"type": "object"}', "strict": True}},
        ),
        (
            {"output_format": {"type": "json_schema", "schema": {}}},
            {"response_format": {"type": "json_schema", "schema_json": "{}", "strict": True}},
        ),
        ({"metadata": {"user_id": None}, "tools": [], "system": "", "service_tier": None}, {}),
        ({"system": "Be."}, {"messages": [{"role": "system", "content": "Be."}, USER]}),
    ],
)
def test_members(members: dict[str, Any], found: dict[str, Any]) -> None:
    assert read(**members) == found


@for_each(
    ("members", "options"),
    [
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, {"output_config": {"effort": "low"}}),
        (
            {"output_config": {"effort": "low", "task_budget": {"total": 9}}, "metadata": {"x": 1}},
            {"output_config": {"task_budget": {"total": 9}}, "metadata": {"x": 1}},
        ),
        (
            {"container": "c", "speed": "fast", "mcp_servers": []},
            {"container": "c", "speed": "fast", "mcp_servers": []},
        ),
    ],
)
def test_what_has_no_field_goes_to_anthropic_alone(members: dict[str, Any], options: dict[str, Any]) -> None:
    request = ask(**members).request
    assert list(request.provider_options_json) == ["anthropic"]
    assert json.loads(request.provider_options_json["anthropic"]) == options


def test_tools_and_choices() -> None:
    tools = [
        {"name": "f", "type": "custom", "input_schema": {}, "strict": True, "cache_control": {"type": "ephemeral"}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        {"type": "mcp_toolset", "mcp_server_name": "m"},
    ]
    found = read(tools=tools, tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True})
    assert found == {
        "tools": [
            {"name": "f", "parameters_json": "{}", "strict": True, "cache": {}},
            {"name": "web_search", "provider_tool": {"type": "web_search_20250305", "config_json": '{"max_uses":5}'}},
            {"provider_tool": {"type": "mcp_toolset", "config_json": '{"mcp_server_name":"m"}'}},
        ],
        "tool_choice": {"tool_name": "f"},
        "config": {"parallel_tool_calls": False},
    }
    for word, mode in {"auto": "AUTO", "any": "REQUIRED", "none": "NONE"}.items():
        choice = read(tools=tools, tool_choice={"type": word})["tool_choice"]
        assert choice == {"mode": f"TOOL_CHOICE_MODE_{mode}"}


def test_calls_of_code_and_unknown_blocks_are_kept_as_they_are() -> None:
    by_code = {"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "code_execution", "id": "c"}}
    direct = {"type": "tool_use", "id": "b", "name": "f", "input": {}, "caller": {"type": "direct"}}
    later = {"type": "new_tool_result", "tool_use_id": "a"}
    parts = read_message({"role": "assistant", "content": [by_code, direct, later]}).parts
    assert [json.loads(part.provider_state.data or "0") for part in parts] == [by_code, 0, later]
    assert [part.WhichOneof("kind") for part in parts] == ["tool_call", "tool_call", None]


def test_a_state_goes_with_a_part_that_the_client_has_left_out() -> None:
    sealed = {
        "type": "redacted_thinking",
        "data": seal(models_pb2.ProviderState(provider="openai", data=b"{}"), Bond.NAMED, "t7"),
    }
    message = read_message({"role": "assistant", "content": [{"type": "text", "text": "x"}, sealed]})
    assert message == models_pb2.ChatMessage(role="assistant", content="x")


def test_half_characters_and_names_of_tools_in_results_are_read() -> None:
    asked = MESSAGES.read(rb'{"model":"m","messages":[{"role":"user","content":"a\ud83d \ud83d\ude00"}]}')
    assert asked.request.messages[0].content == "a\N{REPLACEMENT CHARACTER} \N{GRINNING FACE}"
    result = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_reference", "tool_name": "f"}]}
    [message] = ask(**user(result)).request.messages
    assert message.parts[0].tool_result.content[0].text == "f"


def test_counting_takes_the_same_bodies() -> None:
    body = {name: value for name, value in HELLO.items() if name != "max_tokens"} | {"tools": []}
    asked = MESSAGES.read(json.dumps(body).encode())
    check_chat_request(asked.request)
    assert MESSAGES.counted(1234) == b'{"input_tokens":1234}'


def test_the_platforms_own_member_and_the_paths_model() -> None:
    asked = MESSAGES.read(b'{"genai":{ "session_id":"s"},"messages":[]}', "gpt-6")
    assert (asked.platform, asked.request.model) == (b'{ "session_id":"s"}', "gpt-6")
    assert not asked.request.provider_options_json


def problems(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as refused:
        MESSAGES.read(body)
    return [tuple(violation) for violation in refused.value.violations] or [("", refused.value.message)]


def wrong_paths(asked: AskedMessage) -> list[str]:
    with pytest.raises(InvalidRequest) as refused:
        check_chat_request(asked.request)
    return [asked.path_of(violation.field) for violation in refused.value.violations]


CUT = "was cut or changed; send it as it was given, or leave the block out"
BAD = [
    (user({"text": "x"}), "messages[0].content[0].type", "is required"),
    (user("x"), "messages[0].content[0]", "must be an object, not a string"),
    (user({"type": "text", "text": 1}), "messages[0].content[0].text", "must be a string, not an integer"),
    (
        user({"type": "audio"}),
        "messages[0].content[0].type",
        "must be text, image, document or tool_result here",
    ),
    (user({"type": "image"}), "messages[0].content[0].source", "is required"),
    (
        user({"type": "image", "source": {"type": "text", "data": "x"}}),
        "messages[0].content[0].source.type",
        "must be base64, url or file",
    ),
    (
        user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "?"}}),
        "messages[0].content[0].source.data",
        "is not base64",
    ),
    (
        user({"type": "document", "source": {"type": "url"}}),
        "messages[0].content[0].source.url",
        "is required",
    ),
    (
        user({"type": "document", "context": "c", "source": {"type": "text", "data": "x"}}),
        "messages[0].content[0].context",
        "has no place here; send it as a text before the document",
    ),
    (
        user({"type": "search_result"}),
        "messages[0].content[0].type",
        "search_result goes to Anthropic's own models only, and as it is; send its content as text",
    ),
    (
        user({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "2h"}}),
        "messages[0].content[0].cache_control.ttl",
        "must be 5m or 1h",
    ),
    (user({"type": "tool_result"}), "messages[0].content[0].tool_use_id", "is required"),
    (
        assistant({"type": "tool_result", "tool_use_id": "a"}),
        "messages[1].content[0].type",
        "must not be tool_result in an assistant's message",
    ),
    (
        assistant({"type": "tool_use", "id": "a", "name": "f", "input": []}),
        "messages[1].content[0].input",
        "must be an object",
    ),
    (assistant({"type": "thinking", "thinking": "x", "signature": "gs1.?"}), "messages[1].content[0].signature", CUT),
    (assistant({"type": "redacted_thinking", "data": "gs1a.A"}), "messages[1].content[0].data", CUT),
    ({"messages": [{"role": "developer", "content": "x"}]}, "messages[0].role", "must be user, assistant or system"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "is required"),
    ({"messages": {}}, "messages", "must be a list, not an object"),
    ({"messages": None}, "messages", "is required"),
    ({"system": [{"type": "image"}]}, "system[0].type", "must be text in a system message"),
    ({"max_tokens": "9"}, "max_tokens", "must be an integer, not a string"),
    ({"max_tokens": 2**31}, "max_tokens", "is out of range"),
    ({"temperature": "hot"}, "temperature", "must be a number, not a string"),
    ({"stop_sequences": "x"}, "stop_sequences", "must be a list, not a string"),
    ({"stream": 1}, "stream", "must be true or false, not an integer"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "must be the number of tokens to think with"),
    ({"thinking": {"type": "much"}}, "thinking.type", "must be adaptive, enabled or disabled"),
    (
        {"thinking": {"type": "adaptive", "display": "full"}},
        "thinking.display",
        "must be summarized or omitted",
    ),
    ({"output_config": {"format": {"type": "text", "schema": {}}}}, "output_config.format.type", "must be json_schema"),
    ({"output_config": {"effort": 1}}, "output_config.effort", "must be a string, not an integer"),
    ({"metadata": {"user_id": 1}}, "metadata.user_id", "must be a string, not an integer"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema", "is required"),
    ({"tools": [1]}, "tools[0]", "must be an object, not an integer"),
    ({"tool_choice": {"type": "must"}}, "tool_choice.type", "must be auto, any, tool or none"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name", "is required"),
    ({"n": 2}, "n", "is no member of a request to Messages"),
    ({"previous_response_id": "r"}, "previous_response_id", "is no member of a request to Messages"),
]


@for_each(("members", "path", "problem"), BAD)
def test_bad_bodies(members: dict[str, Any], path: str, problem: str) -> None:
    assert problems(json.dumps(HELLO | members).encode()) == [(path, problem)]


def test_all_problems_at_once() -> None:
    body = HELLO | {"stream": 1, "top_k": "x"} | user({"type": "text"}, {"type": "image"})
    assert [path for path, _ in problems(json.dumps(body).encode())] == [
        "stream",
        "messages[0].content[0].text",
        "messages[0].content[1].source",
        "top_k",
    ]


@for_each(
    "body",
    [b"", b"[]", b"null", b"{", b'{"a":\xff}', b'"x"', b'{"messages":' + b"[" * 100_000, b'{"messages":[],"x":"\xff"}'],
)
def test_what_is_no_body(body: bytes) -> None:
    [(path, problem)] = problems(body)
    assert path == ""
    assert problem.startswith("the body ")


TEXT = {"type": "text", "text": "x"}


@for_each(
    ("members", "path"),
    [
        ({"messages": [USER] * 10_001}, "messages"),
        (user(*[TEXT] * 2001), "messages[0].content"),
        ({"messages": [{"role": "user", "content": [TEXT] * 2000}] * 11}, "messages[10].content"),
        (user({"type": "tool_result", "tool_use_id": "a", "content": [TEXT] * 2001}), "messages[0].content[0].content"),
        ({"tools": [{}] * 1025}, "tools"),
    ],
    ids=["messages", "blocks", "blocks in all", "blocks of a result", "tools"],
)
def test_what_is_too_much_is_not_read(members: dict[str, Any], path: str) -> None:
    assert [found for found, _ in problems(json.dumps(HELLO | members).encode())] == [path]


LATE = [
    (user(), "messages[0].content"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
    ({"messages": []}, "messages"),
    (user({"type": "text", "text": ""}), "messages[0]"),
    (
        user({"type": "image", "source": {"type": "url", "url": "ftp://x"}}),
        "messages[0].content[0].source.url",
    ),
    (
        user({"type": "image", "source": {"type": "base64", "media_type": "x", "data": PNG}}),
        "messages[0].content[0].source.media_type",
    ),
    (
        user(
            {
                "type": "tool_result",
                "tool_use_id": "a",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image", "source": {"type": "file", "file_id": "a\n"}},
                ],
            }
        ),
        "messages[0].content[0].content[1].source.file_id",
    ),
    (user({"type": "tool_result", "tool_use_id": ""}), "messages[0].content[0].tool_use_id"),
    (assistant({"type": "tool_use", "id": "", "name": "f", "input": {}}), "messages[1].content[0].id"),
    ({"temperature": 3}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"stop_sequences": ["a", ""]}, "stop_sequences[1]"),
    ({"metadata": {"user_id": "x" * 1025}}, "metadata.user_id"),
    ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "f", "type": "a b"}]}, "tools[0].type"),
    ({"tool_choice": {"type": "any"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool", "name": "f"}}, "tool_choice.name"),
    ({"output_config": {"effort": "VERY"}}, "output_config.effort"),
    ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
    ({"output_config": {"format": {"type": "json_schema", "schema": 1}}}, "output_config.format.schema"),
    ({"model": "a b"}, "model"),
    ({"later": "x" * 300_000}, ""),
]


@for_each(("members", "path"), LATE)
def test_problems_that_the_platform_finds_have_their_path_in_the_body(members: dict[str, Any], path: str) -> None:
    assert wrong_paths(ask(**members)) == [path]


def test_fields_without_a_place_have_no_path() -> None:
    for field in ("messages[9].content", "session_id", "provider_headers[x]", "messages", "x"):
        assert ask().path_of(field) == ("messages" if field == "messages" else "")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
MEMBERS = (
    "model messages system tools tool_choice thinking output_config metadata stop_sequences stream max_tokens role"
    " content type text source data url id name input tool_use_id cache_control signature input_schema later"
)
KINDS = (
    "user assistant system text image document tool_result tool_use thinking redacted_thinking base64 url file custom"
    " adaptive enabled tool auto gs1. gs1a.AAAA"
)
NAMES, WORDS = st.sampled_from(MEMBERS.split()), st.sampled_from(KINDS.split())
LIKELY: st.SearchStrategy[Any] = st.recursive(
    JSON | WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=20
)
BLOCKS = st.lists(st.dictionaries(NAMES, LIKELY, max_size=6), max_size=4)
MESSAGES_OF = st.lists(st.fixed_dictionaries({"role": WORDS, "content": BLOCKS | LIKELY}), max_size=4)


@settings(max_examples=60)
@given(LIKELY | st.dictionaries(NAMES, LIKELY) | st.fixed_dictionaries({"messages": MESSAGES_OF, "tools": LIKELY}))
def test_no_json_makes_it_fail_otherwise(value: Any) -> None:
    try:
        asked = MESSAGES.read(json.dumps(value).encode())
        check_chat_request(asked.request)
    except PlatformError:
        return


@given(st.binary() | st.binary().map(lambda data: b'{"messages":' + data))
def test_no_bytes_make_it_fail_otherwise(body: bytes) -> None:
    try:
        MESSAGES.read(body)
    except InvalidRequest:
        return
