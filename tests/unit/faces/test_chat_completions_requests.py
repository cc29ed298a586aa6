"""Bodies of Chat Completions → requests: everything carried, everything wrong named by its path."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from proto import models_pb2
from services.models.faces.base import About
from services.models.faces.chat_completions.face import CHAT_COMPLETIONS
from services.models.faces.responses.face import RESPONSES
from services.models.validation.request import check_chat_request
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.faces.completions import MODEL, QUESTION, asked

PNG = base64.b64encode(b"\x89PNG").decode()
SCHEMA = '{"type": "object",  "properties": {"a": {"const": 1.0}}}'


def only(**fields: Any) -> models_pb2.ChatRequest:
    """A request with one question and these fields."""
    messages = [models_pb2.ChatMessage(role="user", content="Hi")]
    return models_pb2.ChatRequest(**{"model": MODEL, "messages": messages, **fields})


def part(text: str) -> models_pb2.ContentPart:
    """A part in the text form of protobuf."""
    return text_format.Parse(text, models_pb2.ContentPart())


@for_each(
    ("members", "fields"),
    [
        ({}, {}),
        ({"temperature": None, "tools": None, "n": 1, "stop": None, "stream": None}, {}),
        ({"max_tokens": 5}, {"config": {"max_tokens": 5}}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"config": {"max_tokens": 6}}),
        ({"temperature": 0, "top_p": 0.5, "seed": -7}, {"config": {"temperature": 0, "top_p": 0.5, "seed": -7}}),
        ({"top_k": 3, "frequency_penalty": 1}, {"config": {"top_k": 3, "frequency_penalty": 1}}),
        ({"presence_penalty": -1}, {"config": {"presence_penalty": -1}}),
        ({"logprobs": True, "top_logprobs": 2}, {"config": {"logprobs": True, "top_logprobs": 2}}),
        ({"stop": "x"}, {"config": {"stop_sequences": ["x"]}}),
        ({"stop": ["x", "y"]}, {"config": {"stop_sequences": ["x", "y"]}}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"effort": "high", "exclude": True}}, {"reasoning": {"effort": "high", "include_text": False}}),
        ({"reasoning": {"max_tokens": 2000}}, {"reasoning": {"budget_tokens": 2000}}),
        ({"reasoning": {"enabled": False}}, {"reasoning": {"effort": "none"}}),
        ({"user": "u", "safety_identifier": "s"}, {"end_user_id": "s"}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        ({"user": "u"}, {"end_user_id": "u"}),
        ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": False}, {}),
        ({"response_format": {"type": "text"}}, {"response_format": {"type": "text"}}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
    ],
)
def test_members_become_fields(members: dict[str, Any], fields: dict[str, Any]) -> None:
    read = asked(**members)
    assert read.request == only(**fields)
    assert (read.streams, read.platform) == (False, b"")


def test_members_that_the_contract_has_no_place_for_are_options_byte_for_byte() -> None:
    body = (
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"logit_bias": {"50256":-1e2},"store":true,"x":null}'
    )
    options = CHAT_COMPLETIONS.read(body).request.provider_options_json
    assert dict(options) == dict.fromkeys(
        ["openai", "openai-compatible", "vllm"], '{"logit_bias":{"50256":-1e2},"store":true}'
    )


def test_body_of_responses_is_read_as_such_and_answered_as_a_completion() -> None:
    """As Cursor's agents send it."""
    tool = {"type": "custom", "name": "edit", "format": {"type": "text"}}
    body = json.dumps({"model": "m", "input": "Hi", "tools": [tool], "stream": True, "max_output_tokens": 9}).encode()
    completion = CHAT_COMPLETIONS.read(body)
    assert completion.request == RESPONSES.read(body).request
    assert completion.streams
    assert completion.path_of("config.max_tokens") == "max_output_tokens"
    call = models_pb2.ToolCall(id="c1", name="edit", arguments_json='{"input":"x"}')
    response = models_pb2.ChatResponse(tool_calls=[call], finish_reason="tool_calls")
    response.message.CopyFrom(models_pb2.ChatMessage(role="assistant", tool_calls=[call]))
    answer = json.loads(completion.whole(response, About("1", 1)))
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["tool_calls"][0]["type"] == "custom"


def test_the_platforms_own_member_is_handed_on_as_it_is_written() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"genai":{"prompt":{"name": "a"}}}'
    assert CHAT_COMPLETIONS.read(body).platform == b'{"prompt":{"name": "a"}}'


def test_a_model_in_the_path_is_the_one_that_is_asked() -> None:
    read = CHAT_COMPLETIONS.read(b'{"model":"other","messages":[{"role":"user","content":"Hi"}]}', "deployed")
    assert read.request.model == "deployed"


@for_each(
    ("message", "wanted"),
    [
        ({"role": "system", "content": "s", "name": "n"}, 'role: "system" content: "s" name: "n"'),
        ({"role": "developer", "content": "s"}, 'role: "developer" content: "s"'),
        ({"role": "assistant", "content": None}, 'role: "assistant"'),
        ({"role": "tool", "tool_call_id": "1", "content": "r"}, 'role: "tool" tool_call_id: "1" content: "r"'),
        (
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r"}]},
            'role: "tool" tool_call_id: "1" parts { text: "r" }',
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [call := {"id": "1", "type": "function"}]}
            | {"tool_calls": [call | {"function": {"name": "f", "arguments": '{"a": 1}'}}]},
            'role: "assistant" tool_calls { id: "1" name: "f" arguments_json: "{\\"a\\": 1}" }',
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "c", "input": "ab"}}],
            },
            'role: "assistant" tool_calls { id: "1" name: "c" arguments_json: "ab" }',
        ),
        (
            {"role": "assistant", "refusal": "no", "content": None, "audio": None, "annotations": [], "parsed": {}},
            'role: "assistant" parts { refusal: "no" }',
        ),
        (
            {"role": "assistant", "content": "a", "reasoning_content": "t", "tool_calls": None},
            'role: "assistant" parts { reasoning { text: "t" } } parts { text: "a" }',
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]},
            'role: "assistant" parts { reasoning { text: "t" } }',
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, {"type": "text", "text": "a"}]},
            'role: "assistant" parts { refusal: "no" } parts { text: "a" }',
        ),
        (
            {"role": "user", "content": "Hi", "cache_control": {"type": "ephemeral"}},
            'role: "user" parts { text: "Hi" cache { } }',
        ),
    ],
)
def test_messages(message: dict[str, Any], wanted: str) -> None:
    assert asked(messages=[message]).request.messages == [text_format.Parse(wanted, models_pb2.ChatMessage())]


@for_each(
    ("entry", "wanted"),
    [
        ({"type": "text", "text": "a", "cache_control": {"ttl": "1h"}}, 'text: "a" cache { ttl { seconds: 3600 } }'),
        ({"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}, 'text: "a" cache { }'),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
            'media { data: "\\x89PNG" mime_type: "image/png" detail: "low" }',
        ),
        ({"type": "image_url", "image_url": "https://h/a.png?x=1"}, 'media { url: "https://h/a.png?x=1" }'),
        (
            {"type": "image_url", "image_url": {"url": "https://h/a"}},
            'media { url: "https://h/a" mime_type: "image/jpeg" }',
        ),
        (
            {"type": "input_audio", "input_audio": {"data": PNG, "format": "mp3"}},
            'media { data: "\\x89PNG" mime_type: "audio/mpeg" }',
        ),
        (
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG}", "filename": "a.pdf"}},
            'media { data: "\\x89PNG" mime_type: "application/pdf" filename: "a.pdf" }',
        ),
        (
            {"type": "file", "file": {"file_data": PNG.rstrip("=") + "\n", "filename": "a.csv"}},
            'media { data: "\\x89PNG" mime_type: "text/csv" filename: "a.csv" }',
        ),
        ({"type": "file", "file": {"file_id": "f"}}, 'media { file_id: "f" }'),
        (
            {"type": "video_url", "video_url": {"url": "https://h/v"}},
            'media { url: "https://h/v" mime_type: "video/mp4" }',
        ),
    ],
)
def test_parts_of_content(entry: dict[str, Any], wanted: str) -> None:
    assert asked(messages=[{"role": "user", "content": [entry]}]).request.messages[0].parts == [part(wanted)]


def test_functions_of_the_form_before_tools_are_calls_and_their_results() -> None:
    called = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    request = asked(messages=[QUESTION, called, {"role": "function", "name": "f", "content": "r"}]).request
    (call,) = request.messages[1].tool_calls
    assert (call.name, request.messages[2].role, request.messages[2].tool_call_id) == ("f", "tool", call.id)
    check_chat_request(request)


def test_tools_keep_their_schemas_byte_for_byte() -> None:
    nested = f'{{"type":"function","function":{{"name":"f","description":"d","parameters":{SCHEMA},"strict":true}}}}'
    flat = f'{{"type":"function","name":"g","parameters":{SCHEMA},"cache_control":{{"type":"ephemeral"}}}}'
    body = f'{{"model":"m","messages":[{json.dumps(QUESTION)}],"tools":[{nested},{flat}],"parallel_tool_calls":true}}'
    request = CHAT_COMPLETIONS.read(body.encode()).request
    first, second = request.tools
    assert first == models_pb2.ToolDefinition(name="f", description="d", parameters_json=SCHEMA, strict=True)
    assert (second.name, second.parameters_json, second.HasField("cache")) == ("g", SCHEMA, True)
    assert request.config.parallel_tool_calls


def test_tools_that_are_no_functions_are_the_providers() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
    custom = {"type": "custom", "custom": {"name": "c", "description": "d", "format": grammar}}
    search = {"type": "web_search", "filters": {"a": 1}}
    first, second = asked(tools=[custom, search]).request.tools
    assert (first.name, first.provider_tool.type) == ("c", "custom")
    assert json.loads(first.provider_tool.config_json) == {
        "description": "d",
        "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
    }
    assert (second.provider_tool.type, second.provider_tool.config_json) == ("web_search", '{"filters":{"a": 1}}')


def functions(*names: str) -> list[Any]:
    return [{"type": "function", "function": {"name": name}} for name in names]


def test_tool_choices() -> None:
    tools = functions("f", "g")
    for choice, wanted in [
        ("required", models_pb2.ToolChoice(mode=models_pb2.TOOL_CHOICE_MODE_REQUIRED)),
        ("none", models_pb2.ToolChoice(mode=models_pb2.TOOL_CHOICE_MODE_NONE)),
        ({"type": "function", "function": {"name": "g"}}, models_pb2.ToolChoice(tool_name="g")),
        ({"type": "function", "name": "g"}, models_pb2.ToolChoice(tool_name="g")),
    ]:
        assert asked(tools=tools, tool_choice=choice).request.tool_choice == wanted


def test_tools_that_are_not_allowed_are_left_out() -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": functions("g")}}
    read = asked(tools=functions("f", "g"), tool_choice=allowed)
    assert [tool.name for tool in read.request.tools] == ["g"]
    assert read.request.tool_choice.mode == models_pb2.TOOL_CHOICE_MODE_REQUIRED
    assert read.path_of("tools[0].name") == "tools[1].function.name"


def test_schemas_of_answers_keep_their_bytes_and_get_the_description_of_their_format() -> None:
    for description, wanted in [(None, SCHEMA), ("d", '{"description":"d",' + SCHEMA[1:])]:
        written = json.dumps({"name": "n", "strict": True, "description": description})[:-1] + f',"schema":{SCHEMA}}}'
        body = f'{{"messages":[],"response_format":{{"type":"json_schema","json_schema":{written}}}}}'
        read = CHAT_COMPLETIONS.read(body.encode()).request.response_format
        assert (read.type, read.name, read.schema_json, read.strict) == ("json_schema", "n", wanted, True)


# ----------------------------------------------------------------------------------------------------------- errors


@for_each(
    ("body", "field", "told"),
    [
        (b"", "", "the body is not valid JSON in UTF-8"),
        (b"[]", "", "the body must be an object, not a list"),
        (b'{"messages":[]} x', "", "the body is not valid JSON in UTF-8"),
        (b'{"messages":[],"user":"\xff"}', "", "the body is not valid JSON in UTF-8"),
        (b'{"messages":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "", "the body is nested too deep"),
        (b"{}", "messages", "is required"),
        (b'{"messages":{}}', "messages", "must be a list, not an object"),
        (b'{"messages":[1]}', "messages[0]", "must be an object, not an integer"),
        (b'{"messages":[{"content":"a"}]}', "messages[0].role", "is required"),
        (b'{"messages":[{"role":"user","content":5}]}', "messages[0].content", "must be a string or a list"),
        (b'{"messages":[{"role":"user","content":[{}]}]}', "messages[0].content[0].type", "is required"),
        (
            b'{"messages":[{"role":"user","content":[{"type":"film"}]}]}',
            "messages[0].content[0].type",
            "must be one of text, refusal, audio_url, file, image_url, input_audio, video_url",
        ),
        (
            b'{"messages":[{"role":"user","content":[{"type":"text"}]}]}',
            "messages[0].content[0].text",
            "is required",
        ),
        (
            b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png,a"}}]}]}',
            "messages[0].content[0].image_url.url",
            "must be an http or https URL, or a data URL in base64",
        ),
        (
            b'{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"%","format":"wav"}}]}]}',
            "messages[0].content[0].input_audio.data",
            "is not base64",
        ),
        (
            b'{"messages":[{"role":"user","content":[{"type":"file","file":{}}]}]}',
            "messages[0].content[0].file",
            "needs file_data or file_id",
        ),
        (b'{"messages":[],"temperature":"hot"}', "temperature", "must be a number, not a string"),
        (b'{"messages":[],"max_tokens":1.5}', "max_tokens", "must be an integer, not a number"),
        (b'{"messages":[],"max_tokens":99999999999}', "max_tokens", "is out of range"),
        (b'{"messages":[],"seed":1' + b"0" * 400 + b"}", "seed", "is out of range"),
        (b'{"messages":[],"temperature":1e999}', "temperature", "is out of range"),
        (b'{"messages":[],"stop":[1]}', "stop[0]", "must be a string, not an integer"),
        (b'{"messages":[],"n":2}', "n", "must be 1"),
        (b'{"messages":[],"functions":[]}', "functions", "is no longer a member; use tools"),
        (b'{"messages":[],"background":true}', "background", "is no member of a request to Chat Completions"),
        (b'{"input":"Hi","messages":[]}', "input", "is a member of requests to Responses"),
        (b'{"model":"m","input":[{"type":"message","role":"nobody","content":"Hi"}]}', "input[0].role", "must be"),
        (b'{"messages":[],"tools":[{"type":"function"}]}', "tools[0].function", "is required"),
        (b'{"messages":[],"tools":[{"type":"function","function":{}}]}', "tools[0].function.name", "is required"),
        (b'{"messages":[],"tool_choice":"always"}', "tool_choice", "must be none, auto or required"),
        (b'{"messages":[],"tool_choice":{"type":"allowed_tools"}}', "tool_choice.allowed_tools", "is required"),
        (b'{"messages":[],"response_format":{}}', "response_format.type", "is required"),
        (
            b'{"messages":[],"response_format":{"type":"json_schema"}}',
            "response_format.json_schema",
            "is required",
        ),
        (
            b'{"messages":[{"role":"assistant","audio":{"id":"a"}}]}',
            "messages[0].audio",
            "is an answer that is stored at OpenAI",
        ),
        (
            b'{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}]}',
            "messages[0].tool_calls[0].function",
            "is required",
        ),
        (
            b'{"messages":[{"role":"user","content":"a","cache_control":{"ttl":"1y"}}]}',
            "messages[0].cache_control.ttl",
            "must be one of 5m, 30m, 1h, 12h, 24h",
        ),
        (b'{"messages":[],"stream_options":{"include_usage":1}}', "stream_options.include_usage", "must be true or"),
        (b'{"messages":[],"x":"' + b"a" * 300_000 + b'"}', "", "the body has members beyond the protocol"),
        (b'{"messages":[],' + b'"a":0,' * 200_000 + b'"b":0}', "", "the body has members beside messages"),
        (b'{"messages":[' + b'{"role":""},' * 200_000 + b'{"role":""}]}', "messages", "hold more than 10000 messages"),
        (
            b'{"messages":[{"role":"user","content":[' + b'{"type":""},' * 200_000 + b'{"type":""}]}]}',
            "messages",
            "hold more than 10000 messages, or 20000 parts",
        ),
        (b'{"messages":[],"tools":[' + b"0," * 2_000_000 + b"0]}", "tools", "hold JSON of more than 4194304"),
        (b'{"messages":[],"tools":[' + b"{}," * 3000 + b"{}]}", "tools", "holds more than 1024 tools"),
    ],
    ids=lambda value: value[:40],
)
def test_wrong_members_are_named_by_their_paths(body: bytes, field: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        CHAT_COMPLETIONS.read(body)
    error = raised.value
    fields = {violation.field: violation.description for violation in error.violations}
    if field:
        assert fields[field].startswith(told)
    else:
        assert error.message.startswith(told)
        assert not error.violations


def test_all_wrong_members_are_told_at_once() -> None:
    with pytest.raises(InvalidRequest) as raised:
        asked(n=3, max_tokens=2**40, tools=[{"type": "function"}])
    assert [violation.field for violation in raised.value.violations] == ["n", "tools[0].function", "max_tokens"]
    assert raised.value.reason == "PARAMETER_UNSUPPORTED"
    assert raised.value.message.endswith("(and 2 more)")


def test_halves_of_characters_are_replaced() -> None:
    body = rb'{"messages":[{"role":"user","content":"a\ud83d b\ud83d\ude00 \\ud83d"}]}'
    assert CHAT_COMPLETIONS.read(body).request.messages[0].content == "a� b😀 \\ud83d"


# ------------------------------------------------------------------------------------------------------------ paths


@for_each(
    ("field", "path"),
    [
        ("model", "model"),
        ("messages", "messages"),
        ("messages[0].role", "messages[0].role"),
        ("messages[0]", "messages[0]"),
        ("messages[0].parts", "messages[0].content"),
        ("messages[0].parts[1].media", "messages[0].content[1].image_url"),
        ("messages[0].parts[1].media.url", "messages[0].content[1].image_url.url"),
        ("messages[0].parts[1].media.mime_type", "messages[0].content[1].image_url"),
        ("messages[0].parts[0].text", "messages[0].content[0].text"),
        ("messages[0].parts[0].cache.ttl", "messages[0].content[0].cache_control.ttl"),
        ("messages[0].parts[9].text", "messages[0]"),
        ("messages[1].parts[0].reasoning", "messages[1].reasoning_content"),
        ("messages[1].parts[1]", "messages[1].content"),
        ("messages[1].parts[2].tool_call.id", "messages[1].tool_calls[0].id"),
        ("messages[1].parts[2].tool_call.arguments_json", "messages[1].tool_calls[0].function.arguments"),
        ("messages[2].tool_calls[0].name", "messages[2].tool_calls[0].function.name"),
        ("config.max_tokens", "max_completion_tokens"),
        ("config.temperature", "temperature"),
        ("config.stop_sequences[0]", "stop[0]"),
        ("config.stop_sequences", "stop"),
        ("tools[0].parameters_json", "tools[0].function.parameters"),
        ("tools[0].parameters_json.properties.a", "tools[0].function.parameters.properties.a"),
        ("tools[1].name", "tools[1].name"),
        ("tools[2].provider_tool.config_json", "tools[2]"),
        ("tool_choice.tool_name", "tool_choice"),
        ("response_format.schema_json", "response_format.json_schema.schema"),
        ("response_format.schema_json.a", "response_format.json_schema.schema.a"),
        ("reasoning.effort", "reasoning_effort"),
        ("end_user_id", "user"),
        ("provider_options_json[openai]", "logit_bias"),
        ("session_id", "genai.session_id"),
        ("prompt.variables[a]", "genai.prompt.variables[a]"),
        ("session_id.messages[0].role", "genai.session_id.messages[0].role"),
        ("nothing", ""),
    ],
)
def test_fields_of_the_contract_have_paths_in_the_body(field: str, path: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    content = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "https://h/a"}]
    read = asked(
        messages=[
            {"role": "user", "content": content},
            {"role": "assistant", "content": "a", "reasoning_content": "t", "tool_calls": [call]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        max_completion_tokens=1,
        reasoning_effort="low",
        stop="x",
        tools=[*functions("f"), {"type": "function", "name": "g"}, {"type": "web_search"}],
        user="u",
        logit_bias={},
        genai={},
    )
    assert read.path_of(field) == path


# ---------------------------------------------------------------------------------------------------- hostile bodies

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(
    [
        *(
            "role",
            "content",
            "type",
            "text",
            "image_url",
            "url",
            "tool_calls",
            "function",
            "name",
            "arguments",
            "custom",
        ),
        *("reasoning_details", "reasoning", "file", "refusal", "cache_control", "id", "data", "format", "mode"),
        *("tool_call_id", "parameters", "json_schema", "schema", "tools", "allowed_tools"),
    ]
)
MEMBERS = ["tools", "tool_choice", "response_format", "stop", "reasoning", "n", "genai", "x", "stream"]
NEARLY = st.recursive(
    st.none() | st.integers() | st.sampled_from(["user", "assistant", "tool", "text", "image_url", "file", "gs1", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=24,
)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {"messages": st.lists(NEARLY, max_size=3) | JSON},
        optional=dict.fromkeys(MEMBERS, JSON | NEARLY),
    )
)
def test_any_json_is_read_or_refused(body: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidRequest):
        check_chat_request(CHAT_COMPLETIONS.read(json.dumps(body).encode()).request)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        CHAT_COMPLETIONS.read(body)
