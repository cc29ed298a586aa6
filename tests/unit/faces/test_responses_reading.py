"""Bodies of OpenAI's Responses API: what becomes of each member, and what is said of a wrong one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from proto.models_pb2 import (
    ChatConfig,
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    ProviderState,
    ProviderTool,
    Reasoning,
    ReasoningConfig,
    ResponseFormat,
    ToolCall,
    ToolChoice,
    ToolDefinition,
)
from services.models.faces.responses.face import RESPONSES, AskedResponse
from services.models.faces.state_envelope import Bond, seal
from services.models.validation.request import check_chat_request
from services.shared.errors import InvalidRequest, PlatformError
from tests.rows import for_each, row

HELLO = ChatMessage(role="user", content="Hello")
FOREIGN = ProviderState(provider="anthropic", model="c", data=b'{"type":"thinking"}')


def read(**members: Any) -> AskedResponse:
    return RESPONSES.read(json.dumps({"model": "gpt", "input": "Hello", **members}).encode())


def request_of(**members: Any) -> ChatRequest:
    request: ChatRequest = read(**members).request
    check_chat_request(request)
    return request


def messages_of(*items: Any) -> list[ChatMessage]:
    return list(request_of(input=list(items)).messages)


def same(actual: Any, expected: Any) -> None:
    assert text_format.MessageToString(actual) == text_format.MessageToString(expected)


def own(data: bytes) -> ProviderState:
    return ProviderState(provider="openai", data=data)


def test_a_text_is_a_message_behind_the_instructions() -> None:
    request = request_of(instructions="Be brief.")
    same(request, ChatRequest(model="gpt", messages=[ChatMessage(role="system", content="Be brief."), HELLO]))


MEMBERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "temperature": ({"temperature": 0}, {"config": ChatConfig(temperature=0)}),
    "top_p": ({"top_p": 0.5}, {"config": ChatConfig(top_p=0.5)}),
    "length": ({"max_output_tokens": 9}, {"config": ChatConfig(max_tokens=9)}),
    "effort": ({"reasoning": {"effort": "low"}}, {"reasoning": ReasoningConfig(effort="low")}),
    "summary": ({"reasoning": {"summary": "auto"}}, {"reasoning": ReasoningConfig(include_text=True)}),
    "logprobs": (
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        {"config": ChatConfig(logprobs=True, top_logprobs=2)},
    ),
    "end user": ({"safety_identifier": "u"}, {"end_user_id": "u"}),
    "end user of old": ({"user": "u"}, {"end_user_id": "u"}),
    "cache key": ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
    "JSON": ({"text": {"format": {"type": "json_object"}}}, {"response_format": ResponseFormat(type="json_object")}),
    "schema": (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}},
        {
            "response_format": ResponseFormat(
                type="json_schema", name="n", schema_json='{"type": "object"}', strict=True
            )
        },
    ),
    "schema with a description": (
        {"text": {"format": {"type": "json_schema", "schema": {"type": "object"}, "description": "An answer."}}},
        {
            "response_format": ResponseFormat(
                type="json_schema", schema_json='{"description":"An answer.","type": "object"}'
            )
        },
    ),
    "nothing": (
        {
            "background": False,
            "conversation": None,
            "include": ["reasoning.encrypted_content"],
            "instructions": None,
            "metadata": None,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": None,
            "store": True,
            "stream": False,
            "stream_options": {"include_obfuscation": False},
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "truncation": "disabled",
        },
        {},
    ),
}


@for_each(("members", "fields"), MEMBERS.values(), ids=MEMBERS.keys())
def test_members_that_the_contract_has(members: dict[str, Any], fields: dict[str, Any]) -> None:
    request = request_of(**members)
    if "parallel_tool_calls" in members:
        request.ClearField("config")
    same(request, ChatRequest(model="gpt", messages=[HELLO], **fields))


def test_members_that_it_has_not_go_to_those_who_know_them_byte_for_byte() -> None:
    body = b'{"model":"gpt","input":"x","truncation":"auto","include":["a"],"reasoning":{"summary":"detailed","effort":'
    body += b'"low"},"text":{"verbosity":"low"},"metadata":{"a": 1.50},"min_p": 0.10,"client_metadata":{"b":  2}}'
    options = RESPONSES.read(body).request.provider_options_json
    assert json.loads(options["openai"]) == {
        "truncation": "auto",
        "include": ["a"],
        "reasoning": {"summary": "detailed"},
        "text": {"verbosity": "low"},
        "metadata": {"a": 1.5},
        "min_p": 0.1,
        "client_metadata": {"b": 2},
    }
    assert '{"a": 1.50}' in options["openai"]
    assert '{"b":  2}' in options["openai"]
    assert options["vllm"] == options["openai-compatible"] == '{"min_p":0.10}'


def test_the_platforms_own_member_is_kept_as_it_is() -> None:
    body = b'{"model":"gpt","input":"x","stream":true,"genai":{"session_id" :"s"}}'
    asked = RESPONSES.read(body)
    assert (asked.platform, asked.streams) == (b'{"session_id" :"s"}', True)
    assert not asked.request.provider_options_json


def test_the_model_of_the_path_wins() -> None:
    assert RESPONSES.read(b'{"input":"x"}', "mine").request.model == "mine"


# ---------------------------------------------------------------------------------------------------------- items

PIXEL = base64.b64encode(b"png").decode()


def test_content_of_every_kind() -> None:
    (message,) = messages_of(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "low"},
                {"type": "input_image", "image_url": "http://a.test/x", "detail": "original"},
                {"type": "input_image", "file_id": "f1"},
                {"type": "input_file", "file_data": f"data:text/csv;base64,{PIXEL}", "filename": "a.csv"},
                {"type": "input_file", "file_data": PIXEL, "filename": "a.pdf"},
                {"type": "input_file", "file_url": "http://a.test/a.pdf"},
                {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}},
            ],
        }
    )
    parts = [
        ContentPart(text="See"),
        ContentPart(media=Media(data=b"png", mime_type="image/png", detail="low")),
        ContentPart(media=Media(url="http://a.test/x", mime_type="image/png", detail="high")),
        ContentPart(media=Media(file_id="f1", mime_type="image/png")),
        ContentPart(media=Media(data=b"png", mime_type="text/csv", filename="a.csv")),
        ContentPart(media=Media(data=b"png", mime_type="application/pdf", filename="a.pdf")),
        ContentPart(media=Media(url="http://a.test/a.pdf")),
        ContentPart(media=Media(data=b"png", mime_type="audio/wav")),
    ]
    same(message, ChatMessage(role="user", parts=parts))


def test_items_of_the_model_in_a_row_are_one_message() -> None:
    messages = messages_of(
        {"role": "user", "content": "Hello"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "find", "arguments": '{"a": 1.0}'},
        {"type": "function_call", "call_id": "c2", "name": "find", "arguments": "{}", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "assistant", "content": "Done"},
        {"role": "developer", "content": "Stop"},
    )
    calls = [ToolCall(id=f"c{n}", name="find", arguments_json=a) for n, a in ((1, '{"a": 1.0}'), (2, "{}"))]
    said = [ContentPart(text="Let me"), *(ContentPart(tool_call=call) for call in calls)]
    expected = [
        HELLO,
        ChatMessage(role="assistant", parts=said),
        ChatMessage(role="tool", tool_call_id="c1", content="one"),
        ChatMessage(role="tool", tool_call_id="c2", parts=[ContentPart(text="two")]),
        ChatMessage(role="assistant", content="Done"),
        ChatMessage(role="developer", content="Stop"),
    ]
    for message, wanted in zip(messages, expected, strict=True):
        same(message, wanted)


def test_what_openai_wants_back_is_kept_as_it_came() -> None:
    thought = b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"abc","content":null}'
    said = b'{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"Hi"}]}'
    called = b'{"type":"function_call","call_id":"c1","namespace":"files","name":"read","arguments":"{ }"}'
    custom = b'{"type":"custom_tool_call","call_id":"c2","name":"patch","input":"*** x"}'
    search = b'{"type":"web_search_call","id":"ws_1","action": {"type":"search"}}'
    body = b'{"model":"gpt","input":[%b]}' % b",".join([thought, said, called, custom, search])
    (message,) = RESPONSES.read(body).request.messages
    parts = [
        ContentPart(reasoning=Reasoning(redacted=True), provider_state=own(thought)),
        ContentPart(text="Hi", provider_state=own(said)),
        ContentPart(tool_call=ToolCall(id="c1", name="files__read", arguments_json="{ }"), provider_state=own(called)),
        ContentPart(tool_call=ToolCall(id="c2", name="patch", arguments_json="*** x"), provider_state=own(custom)),
        ContentPart(provider_state=own(search)),
    ]
    same(message, ChatMessage(role="assistant", parts=parts))


def test_a_large_item_of_many_parts_is_kept_once_for_its_text_and_once_for_its_refusal() -> None:
    content = [{"type": "output_text", "text": "x"}, {"type": "refusal", "refusal": "no"}] * 500
    item = {"type": "message", "role": "assistant", "phase": "final", "content": content}
    body = json.dumps({"model": "m", "input": [item]}).encode()
    request = RESPONSES.read(body).request
    assert [part.text or part.refusal for part in request.messages[0].parts] == ["x" * 500, "no" * 500]
    assert request.ByteSize() < 3 * len(body)


def test_ids_that_were_made_here_and_notes_of_clients_do_not_go_to_openai() -> None:
    item = b'{"type":"message","id":"msg_gs0a_1","role":"assistant","phase":"final","content":"Hi"%b}'
    note = b',"internal_chat_message_metadata_passthrough":{"a":1}'
    for more in (b"", note):
        body = b'{"model":"gpt","input":[%b]}' % (item % more)
        (part,) = RESPONSES.read(body).request.messages[0].parts
        assert part.provider_state.data == b'{"type":"message","role":"assistant","phase":"final","content":"Hi"}'
    plain = {"type": "message", "id": "msg_gs0a_1", "role": "assistant", "content": "Hi"}
    (message,) = messages_of(plain | {"internal_chat_message_metadata_passthrough": {"a": 1}})
    same(message, ChatMessage(role="assistant", content="Hi"))


def test_state_of_other_providers_goes_back_to_its_part() -> None:
    def sealed(bond: Bond, more: str = "", text: str = "") -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": text}] if text else []
        return {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": seal(FOREIGN, bond) + more}

    call = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}
    (message,) = messages_of(
        sealed(Bond.THOUGHT, text="Hm."),
        sealed(Bond.THOUGHT),
        sealed(Bond.ALONE),
        {"role": "assistant", "content": "Hi"},
        sealed(Bond.BEFORE),
        call,
        {**call, "call_id": "c2"},
        sealed(Bond.BEFORE, ".c1"),
        sealed(Bond.BEFORE, ".gone"),
    )
    find = ToolCall(id="c1", name="find", arguments_json="{}")
    parts = [
        ContentPart(reasoning=Reasoning(text="Hm."), provider_state=FOREIGN),
        ContentPart(reasoning=Reasoning(redacted=True), provider_state=FOREIGN),
        ContentPart(provider_state=FOREIGN),
        ContentPart(text="Hi", provider_state=FOREIGN),
        ContentPart(tool_call=find, provider_state=FOREIGN),
        ContentPart(tool_call=ToolCall(id="c2", name="find", arguments_json="{}")),
    ]
    same(message, ChatMessage(role="assistant", parts=parts))


# ---------------------------------------------------------------------------------------------------------- tools


def test_tools() -> None:
    tools = [
        {"type": "function", "name": "find", "description": "d", "parameters": {"a": 1.0}, "strict": False},
        {"type": "function", "name": "later", "parameters": None, "strict": None, "defer_loading": True},
        {"type": "custom", "name": "patch", "format": {"type": "text"}},
        {"type": "namespace", "name": "files", "description": "d", "tools": [{"type": "function", "name": "find"}]},
        {"type": "web_search"},
        {"type": "mcp", "server_label": "s", "server_url": "http://s"},
    ]
    config = '{"name":"files","description":"d","tools":[{"type": "function", "name": "find"}]}'
    expected = [
        ToolDefinition(name="find", description="d", parameters_json='{"a": 1.0}', strict=False),
        ToolDefinition(name="later", provider_options_json={"openai": '{"defer_loading":true}'}),
        ToolDefinition(
            name="patch", provider_tool=ProviderTool(type="custom", config_json='{"format":{"type": "text"}}')
        ),
        ToolDefinition(provider_tool=ProviderTool(type="namespace", config_json=config)),
        ToolDefinition(provider_tool=ProviderTool(type="web_search")),
        ToolDefinition(
            provider_tool=ProviderTool(type="mcp", config_json='{"server_label":"s","server_url":"http://s"}')
        ),
    ]
    for tool, wanted in zip(request_of(tools=tools).tools, expected, strict=True):
        same(tool, wanted)


def test_tools_among_the_items_are_tools() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "late"}]}
    asked = read(input=[{"role": "user", "content": "x"}, more], tools=[{"type": "function", "name": "find"}])
    assert [tool.name for tool in asked.request.tools] == ["find", "late"]
    assert asked.path_of("tools[1].parameters_json") == "input[1].tools[0].parameters"


FIND = {"type": "function", "name": "find"}


@for_each(
    ("given", "choice"),
    [
        ("auto", ToolChoice(mode="TOOL_CHOICE_MODE_AUTO")),
        ("none", ToolChoice(mode="TOOL_CHOICE_MODE_NONE")),
        ("required", ToolChoice(mode="TOOL_CHOICE_MODE_REQUIRED")),
        ({"type": "function", "name": "find"}, ToolChoice(tool_name="find")),
        ({"type": "custom", "name": "find"}, ToolChoice(tool_name="find")),
        ({"type": "web_search"}, ToolChoice(tool_name="web_search")),
        ({"type": "mcp", "server_label": "s"}, ToolChoice(tool_name="s")),
        ({"type": "allowed_tools", "mode": "auto", "tools": [FIND]}, ToolChoice(mode="TOOL_CHOICE_MODE_AUTO")),
    ],
)
def test_tool_choices(given: Any, choice: ToolChoice) -> None:
    tools = [FIND, {"type": "web_search"}, {"type": "mcp", "server_label": "s"}]
    same(request_of(tools=tools, tool_choice=given).tool_choice, choice)


def test_tools_that_are_not_allowed_are_left_out() -> None:
    inner = {"type": "function", "name": "read"}
    files = {"type": "namespace", "name": "files", "tools": [inner]}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}, inner]}
    asked = read(tools=[FIND, files, {"type": "web_search"}], tool_choice=allowed)
    assert [tool.provider_tool.type for tool in asked.request.tools] == ["namespace", "web_search"]
    assert asked.path_of("tools[1]") == "tools[2]"


# ----------------------------------------------------------------------------------------------------- wrong bodies

ITEM: dict[str, Any] = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
USER = {"role": "user", "content": "x"}


def item(**members: Any) -> dict[str, Any]:
    return {"input": [USER, members]}


def part(**members: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [members]}]}


def tool(**members: Any) -> dict[str, Any]:
    return {"tools": [{"type": "web_search"}, members]}


STORED = "nothing is stored here"
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "is required"),
    ({"model": 3}, "model", "must be a string, not an integer"),
    ({"input": None}, "input", "is required"),
    ({"input": {}}, "input", "must be a list, not an object"),
    ({"input": 3}, "input", "must be a list, not an integer"),
    ({"input": [3]}, "input[0]", "must be an object, not an integer"),
    ({"instructions": ["x"]}, "instructions", "must be a string, not a list"),
    ({"stream": "yes"}, "stream", "must be true or false, not a string"),
    ({"temperature": "hot"}, "temperature", "must be a number, not a string"),
    ({"max_output_tokens": 1.5}, "max_output_tokens", "must be an integer, not a number"),
    ({"max_output_tokens": 2**31}, "max_output_tokens", "is out of range"),
    ({"max_output_tokens": 2**70}, "max_output_tokens", "is out of range"),
    ({"include": "x"}, "include", "must be a list, not a string"),
    ({"include": [1]}, "include[0]", "must be a string, not an integer"),
    ({"reasoning": "low"}, "reasoning", "must be an object, not a string"),
    ({"reasoning": {"effort": 1}}, "reasoning.effort", "must be a string, not an integer"),
    ({"text": {"format": {"name": "x"}}}, "text.format.type", "is required"),
    ({"text": {"format": {"type": 1}}}, "text.format.type", "must be a string, not an integer"),
    ({"previous_response_id": "resp_1"}, "previous_response_id", STORED),
    ({"conversation": {"id": "c"}}, "conversation", STORED),
    ({"background": True}, "background", STORED),
    ({"prompt": {"id": "p"}}, "prompt", "stored at OpenAI"),
    ({"messages": []}, "messages", "no member"),
    ({"n": 2}, "n", "no member"),
    ({"Model": "x"}, "Model", "no member"),
    ({"extra": "x" * 300_000}, "extra", "longer than"),
    (item(type="item_reference", id="i"), "input[1].type", STORED),
    (item(type="computer_call_output", call_id="c", output={}), "input[1].type", "only OpenAI itself"),
    (item(id="x"), "input[1].type", "is required"),
    (item(role="robot", content="x"), "input[1].role", "must be user, assistant, system or developer"),
    (item(role="user"), "input[1].content", "is required"),
    (item(role="user", content=3), "input[1].content", "must be a list, not an integer"),
    (item(**ITEM | {"call_id": None}), "input[1].call_id", "is required"),
    (item(**ITEM | {"name": ""}), "input[1].name", "is required"),
    (item(**ITEM | {"arguments": None}), "input[1].arguments", "is required"),
    (item(**ITEM | {"arguments": {}}), "input[1].arguments", "must be a string, not an object"),
    (item(type="custom_tool_call", call_id="c", name="f"), "input[1].input", "is required"),
    (item(type="function_call_output", output="x"), "input[1].call_id", "is required"),
    (item(type="function_call_output", call_id="c"), "input[1].output", "is required"),
    (item(type="reasoning", summary="x"), "input[1].summary", "must be a list, not a string"),
    (item(type="reasoning", encrypted_content="gs1.x"), "input[1].encrypted_content", "is not what this server gave"),
    (part(type="input_text"), "input[0].content[0].text", "is required"),
    (part(type="video"), "input[0].content[0].type", "must be input_text, input_image"),
    (part(), "input[0].content[0].type", "is required"),
    (part(type="input_image"), "input[0].content[0].image_url", "is required"),
    (part(type="input_image", image_url="data:image/png,x"), "input[0].content[0].image_url", "Base64"),
    (part(type="input_image", image_url="data:image/png;base64,?"), "input[0].content[0].image_url", "Base64"),
    (part(type="input_image", image_url="data:text/plain;base64,eA=="), "input[0].content[0].image_url", "an image"),
    (part(type="input_image", image_url={"url": "x"}), "input[0].content[0].image_url", "must be a string"),
    (part(type="input_file"), "input[0].content[0].file_data", "is required"),
    (part(type="input_file", file_data=""), "input[0].content[0].file_data", "is required"),
    (part(type="input_audio", input_audio={"format": "ogg"}), "input[0].content[0].input_audio.format", "mp3 or wav"),
    ({"tools": {}}, "tools", "must be a list, not an object"),
    (tool(), "tools[1].type", "is required"),
    (tool(type="function"), "tools[1].name", "is required"),
    (tool(type="function", name="f", strict=1), "tools[1].strict", "must be true or false, not an integer"),
    (tool(type="custom"), "tools[1].name", "is required"),
    (tool(type="namespace"), "tools[1].name", "is required"),
    (tool(type="namespace", name="n", tools=[{"type": "mcp"}]), "tools[1].tools[0].type", "function or custom"),
    (tool(type="namespace", name="n", tools=[{"type": "function"}]), "tools[1].tools[0].name", "is required"),
    ({"tool_choice": "any"}, "tool_choice", "must be auto, none or required, or an object"),
    ({"tool_choice": {}}, "tool_choice.type", "is required"),
    ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.mode", "must be auto, none or required"),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [FIND]}},
        "tool_choice.tools",
        "name 1 tools that are not among the tools",
    ),
]


@for_each(("members", "path", "sentence"), WRONG)
def test_a_wrong_member_is_named_by_its_path(members: dict[str, Any], path: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(**members)
    (violation,) = raised.value.violations
    assert violation.field == path
    assert sentence in violation.description
    refusal = json.loads(RESPONSES.refusal(raised.value, "r1").body)["error"]
    assert refusal["param"] == path
    assert refusal["code"] == ("unsupported_parameter" if is_of_openai_only(sentence) else None)


def is_of_openai_only(sentence: str) -> bool:
    """Whether a sentence is about a member that is right in OpenAI's own API."""
    return sentence in (STORED, "stored at OpenAI", "only OpenAI itself")


def test_bodies_that_would_take_long_are_refused_at_once() -> None:
    for name, entry, count, sentence in (
        ("extra", "0", 300_000, "beside input and tools of more than"),
        ("input", "{}", 100_000, "holds more than 20000 items"),
        ("tools", "{}", 2000, "holds more than 1024 tools"),
        ("tools", "0", 2_000_000, "hold JSON of more than"),
    ):
        body = f'{{"model":"m","input":"x","{name}":[{",".join([entry] * count)}]}}'.encode()
        with row(name), pytest.raises(InvalidRequest, match=sentence):
            RESPONSES.read(body)


def test_names_of_tools_are_used_once() -> None:
    namespace = {"type": "namespace", "name": "a", "tools": [{"type": "function", "name": "b"}]}
    with pytest.raises(InvalidRequest) as raised:
        read(tools=[namespace, {"type": "function", "name": "a__b"}, {"type": "custom", "name": "a__b"}])
    assert [violation.field for violation in raised.value.violations] == ["tools[1].name", "tools[2].name"]


FIELDS = {
    "model": "model",
    "messages": "input",
    "messages[0].content": "instructions",
    "messages[1].parts[1].media.url": "input[0].content[1]",
    "messages[2].parts[0].tool_call.name": "input[1].name",
    "messages[3].content": "input[2].output",
    "messages[9].content": "input",
    "config.max_tokens": "max_output_tokens",
    "config.stop_sequences[0]": "",
    "tools[0].parameters_json": "tools[0].parameters",
    "tools[0].provider_tool": "tools[0]",
    "tools[7].name": "tools",
    "tool_choice.tool_name": "tool_choice",
    "response_format.schema_json": "text.format.schema",
    "reasoning.effort": "reasoning.effort",
    "end_user_id": "user",
    "provider_options_json[openai]": "",
    "session_id": "",
}


def test_fields_have_the_paths_of_the_body() -> None:
    asked = read(
        instructions="x",
        user="u",
        tools=[{"type": "function", "name": "f"}],
        input=[
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "http://a/b"}],
            },
            ITEM,
            {"type": "function_call_output", "call_id": "c", "output": "x"},
        ],
    )
    for field, path in FIELDS.items():
        with row(field):
            assert asked.path_of(field) == path


HOSTILE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff",
    b'{"input":"\xff","model":"m"}',
    b'{"model":"m","input":[{"role":"user","content":"\\ud800"}]}',
    b'{"model":"m","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"model":"m","input":"x","temperature":1e999}',
    b'{"model":"m","input":"x","max_output_tokens":' + b"9" * 5000 + b"}",
    b'{"model":"m","input":"x","input":[],"tools":[{"type":"function","name":"a","name":3}]}',
    b'{"model":"m","input":[{"type":"web_search_call","type":"message","role":"user","content":"x"}]}',
]


@for_each("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bodies_are_read_or_refused(body: bytes) -> None:
    read_or_refused(body)


def read_or_refused(body: bytes) -> None:
    try:
        request = RESPONSES.read(body).request
        check_chat_request(request)
    except PlatformError as error:
        RESPONSES.refusal(error, "r1")


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
MEMBERS_WITHIN = (
    "type role content text input output summary name call_id arguments tools namespace encrypted_content format"
    " image_url file_data schema strict effort"
)
KINDS = (
    "message reasoning function_call function_call_output custom_tool_call item_reference input_text input_image"
    " input_file user assistant function custom namespace gs1. gs1b.x data:"
)
VALUES = st.recursive(
    LEAVES | st.sampled_from(KINDS.split()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS_WITHIN.split()), inner, max_size=6)
    ),
    max_leaves=24,
)
NAMES = (
    "background conversation include input instructions max_output_tokens metadata reasoning text tools tool_choice"
    " top_logprobs temperature user prompt truncation extra genai stream"
)


@given(st.dictionaries(st.sampled_from(NAMES.split()), VALUES, max_size=6))
def test_no_json_raises_anything_but_an_error_of_the_platform(members: dict[str, Any]) -> None:
    read_or_refused(json.dumps({"model": "m", "input": "x", **members}).encode())


PIECES = [
    b'"',
    b"\\",
    b"\\x",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"1e999",
    b"\xff",
    b"\\ud800",
    b",",
    b":",
    b'"type":3,',
    b"{}",
]
BODY = json.dumps(
    {
        "model": "m",
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}]},
            {"type": "reasoning", "summary": [], "encrypted_content": seal(FOREIGN)},
            {"type": "message", "role": "assistant", "phase": "x", "content": [{"type": "output_text", "text": "x"}]},
            ITEM | {"namespace": "n"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
        ],
        "tools": [{"type": "namespace", "name": "n", "tools": [FIND]}, FIND, {"type": "custom", "name": "p"}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "tool_choice": {"type": "function", "name": "find"},
    }
).encode()


@given(
    st.lists(st.tuples(st.integers(0, len(BODY)), st.integers(0, 9), st.sampled_from(PIECES)), min_size=1, max_size=3)
)
def test_no_broken_body_raises_anything_but_an_error_of_the_platform(
    changes: list[tuple[int, int, bytes]],
) -> None:
    body = bytearray(BODY)
    for start, length, piece in changes:
        body[start : start + length] = piece
    read_or_refused(bytes(body))
