"""ChatRequest → the body of a response."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from proto.models_pb2 import (
    PARAMETER_POLICY_PASSTHROUGH,
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
    ToolResult,
)
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.facts import ModelFacts, ReasoningFacts
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from tests.rows import for_each

URL = "https://api.openai.com/v1"
REASONING_FACTS = ModelFacts(
    can_reason=True,
    reasoning=ReasoningFacts(
        ("low", "medium", "high"), on_by_default=True, excludes=frozenset({"temperature", "top_p", "stop_sequences"})
    ),
)
REASONS = Target(OPENAI_RESPONSES, "openai", "gpt-6-luna", URL, {}, REASONING_FACTS, state_owner="openai")
PLAIN = dataclasses.replace(REASONS, model="gpt-4o", facts=ModelFacts(can_reason=False))

HELLO = ChatMessage(role="user", content="Hello")
SENT_HELLO = {"role": "user", "content": "Hello"}
FIND = ToolDefinition(name="find", description="Finds.", parameters_json='{ "type": "object", "properties": {} }')
CALL = ToolCall(id="call-a", name="find", arguments_json='{ "n": 12345678901234567890 }')
SENT_CALL = {
    "type": "function_call",
    "call_id": "call-a",
    "name": "find",
    "arguments": '{ "n": 12345678901234567890 }',
}
STATE = b'{ "type":"reasoning","id":"rs_1", "summary":[],"encrypted_content":"gAAA\\/" }'


def encode(
    target: Target = PLAIN, messages: Sequence[ChatMessage] = (HELLO,), *, stream: bool = False, **fields: Any
) -> Encoded:
    request = ChatRequest(model="any", **fields)
    return target.dialect.encode(Conversation(request, messages), target, stream=stream)


def body_of(*arguments: Any, **fields: Any) -> Any:
    body = encode(*arguments, **fields)
    assert body.notices == []
    return json.loads(body.request.body)


def sent_items(*messages: ChatMessage) -> Any:
    return body_of(PLAIN, messages)["input"]


def told(body: Encoded) -> list[tuple[str, str]]:
    return [(warning.code, warning.field) for warning in body.notices]


def state(data: bytes = STATE, provider: str = "openai") -> ProviderState:
    return ProviderState(provider=provider, model="gpt-6-luna", data=data)


# ------------------------------------------------------------------------------------------------------- messages


def test_reasoning_of_a_model_that_may_reason_is_asked_for_encrypted() -> None:
    unknown = dataclasses.replace(PLAIN, facts=ModelFacts())
    for target in (REASONS, unknown):
        assert body_of(target)["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body_of(PLAIN)


def test_names_of_speakers_are_left_out_and_named() -> None:
    body = encode(PLAIN, [ChatMessage(role="user", name="ann", content="Hello")])
    assert json.loads(body.request.body)["input"] == [{"role": "user", "content": "Hello"}]
    assert told(body) == [("NAME_DROPPED", "messages[0].name")]


def test_developer_is_system_where_that_role_is_not_known() -> None:
    target = dataclasses.replace(PLAIN, facts=ModelFacts(can_reason=False, developer_role=False))
    assert body_of(target, [ChatMessage(role="developer", content="Be kind.")])["input"][0]["role"] == "system"


def test_text_after_a_call_stays_after_it() -> None:
    parts = [ContentPart(text="a"), ContentPart(tool_call=CALL), ContentPart(text="b")]
    sent = sent_items(ChatMessage(role="assistant", parts=parts))
    assert sent == [
        {"type": "message", "role": "assistant", "content": "a"},
        SENT_CALL,
        {"type": "message", "role": "assistant", "content": "b"},
    ]


def test_call_without_arguments_has_an_empty_object() -> None:
    message = ChatMessage(role="assistant", tool_calls=[ToolCall(id="a", name="stop")])
    assert sent_items(message)[0]["arguments"] == "{}"


EMPTY_ANSWERS = [
    ChatMessage(role="assistant"),
    ChatMessage(role="assistant", parts=[ContentPart(text="")]),
    ChatMessage(role="assistant", parts=[ContentPart(text=""), ContentPart(text="")]),
]


@for_each("answer", EMPTY_ANSWERS, ids=["short form", "an empty part", "empty parts"])
def test_answer_that_says_nothing_is_no_item_unless_there_is_nothing_else(answer: ChatMessage) -> None:
    assert sent_items(HELLO, answer, HELLO) == [SENT_HELLO, SENT_HELLO]
    assert sent_items(answer) == [{"type": "message", "role": "assistant", "content": ""}]


# --------------------------------------------------------------------------------------------------------- media


def test_detail_of_a_document_is_sent() -> None:
    page = ContentPart(media=Media(file_id="file-1", mime_type="application/pdf", detail="low"))
    [item] = body_of(PLAIN, [ChatMessage(role="user", parts=[page])])["input"]
    assert item["content"] == [{"type": "input_file", "file_id": "file-1", "detail": "low"}]


def test_citations_of_a_document_are_left_out_and_named_where_they_are_wanted() -> None:
    def body_with(**fields: Any) -> Encoded:
        pages = [ContentPart(media=Media(file_id="file-1", **fields))]
        result = ContentPart(tool_result=ToolResult(tool_call_id="a", content=pages))
        return encode(PLAIN, [ChatMessage(role="user", parts=pages), ChatMessage(role="tool", parts=[result])])

    wanted = body_with(enable_citations=True)
    assert told(wanted) == [
        ("PARAMETER_DROPPED", "messages[0].parts[0].media.enable_citations"),
        ("PARAMETER_DROPPED", "messages[1].parts[0].tool_result.content[0].media.enable_citations"),
    ]
    assert wanted.request.body == body_with(enable_citations=False).request.body == body_with().request.body
    assert told(body_with(enable_citations=False)) == []


def test_parts_that_are_no_results_answer_the_call_of_their_message() -> None:
    parts = [ContentPart(text="a"), ContentPart(media=Media(file_id="file-1")), ContentPart(text="b")]
    sent = sent_items(ChatMessage(role="tool", tool_call_id="call-a", parts=parts))
    assert [item["call_id"] for item in sent] == ["call-a"]
    assert [part["type"] for part in sent[0]["output"]] == ["input_text", "input_file", "input_text"]


def test_failed_tool_is_told_as_unmarked() -> None:
    result = ToolResult(tool_call_id="a", content=[ContentPart(text="no such file")], is_error=True)
    body = encode(PLAIN, [ChatMessage(role="tool", parts=[ContentPart(tool_result=result)])])
    assert told(body) == [("ERROR_MARK_DROPPED", "messages[0].parts[0].tool_result.is_error")]


# --------------------------------------------------------------------------------------------------------- state


def test_own_state_goes_back_byte_for_byte_in_place() -> None:
    parts = [
        ContentPart(reasoning=Reasoning(redacted=True), provider_state=state()),
        ContentPart(text="Hi."),
        ContentPart(provider_state=state(b'{"type":"web_search_call"}')),
        ContentPart(tool_call=CALL),
    ]
    body = encode(REASONS, [HELLO, ChatMessage(role="assistant", parts=parts)])
    assert body.notices == []
    assert STATE in body.request.body
    assert [item.get("type", item.get("role")) for item in json.loads(body.request.body)["input"]] == [
        "user",
        "reasoning",
        "message",
        "web_search_call",
        "function_call",
    ]


def test_item_that_was_kept_with_each_of_its_parts_is_sent_once() -> None:
    item = b'{"type":"message","role":"assistant","content":[{"type":"output_text"},{"type":"refusal"}]}'
    parts = [
        ContentPart(text="a", provider_state=state(item)),
        ContentPart(refusal="No.", provider_state=state(item)),
        ContentPart(text="b"),
    ]
    sent = body_of(REASONS, [ChatMessage(role="assistant", parts=parts)])["input"]
    assert sent == [json.loads(item), {"type": "message", "role": "assistant", "content": "b"}]


CUSTOM_CALL = b'{"type":"custom_tool_call","id":"ctc_1","call_id":"call-a","name":"query","input":"SELECT 1"}'
CALL_OF_A_PROGRAM = (
    b'{"type":"function_call","call_id":"call-a","name":"find","arguments":"{}",'
    b'"caller":{"type":"program","caller_id":"prog_1"}}'
)
RESULTS = {
    "short form": ChatMessage(role="tool", tool_call_id="call-a", content="found"),
    "part": ChatMessage(
        role="tool",
        parts=[ContentPart(tool_result=ToolResult(tool_call_id="call-a", content=[ContentPart(text="found")]))],
    ),
}


@for_each("result", RESULTS.values(), ids=RESULTS)
@for_each(
    ("item", "members"),
    [
        (CUSTOM_CALL, {"type": "custom_tool_call_output"}),
        (
            CALL_OF_A_PROGRAM,
            {"type": "function_call_output", "caller": {"type": "program", "caller_id": "prog_1"}},
        ),
        (b'{"type":"function_call","call_id":"call-a","caller":null}', {"type": "function_call_output"}),
    ],
    ids=["custom tool", "called by a program", "called by the model"],
)
def test_result_is_of_the_kind_that_its_call_wants(item: bytes, members: dict[str, Any], result: ChatMessage) -> None:
    called = ChatMessage(role="assistant", parts=[ContentPart(tool_call=CALL, provider_state=state(item))])
    sent = body_of(REASONS, [called, result])["input"]
    assert sent == [json.loads(item), {"call_id": "call-a", "output": "found", **members}]


def test_result_of_a_call_that_others_made_answers_a_function() -> None:
    foreign = state(CUSTOM_CALL, "others")
    called = ChatMessage(role="assistant", parts=[ContentPart(tool_call=CALL, provider_state=foreign)])
    sent = json.loads(encode(REASONS, [called, RESULTS["part"]]).request.body)["input"]
    assert [item["type"] for item in sent] == ["function_call", "function_call_output"]


def test_foreign_state_is_left_out_and_told() -> None:
    foreign = state(b'{"secret":1}', "anthropic")
    parts = [
        ContentPart(reasoning=Reasoning(text="Hm."), provider_state=foreign),
        ContentPart(provider_state=foreign),
        ContentPart(text="Hi.", provider_state=foreign),
        ContentPart(tool_call=CALL, provider_state=foreign),
    ]
    body = encode(REASONS, [ChatMessage(role="assistant", parts=parts)])
    assert json.loads(body.request.body)["input"] == [
        {"type": "message", "role": "assistant", "content": "Hi."},
        SENT_CALL,
    ]
    assert told(body) == [
        ("REASONING_DROPPED", "messages[0].parts[0]"),
        ("PROVIDER_STATE_DROPPED", "messages[0].parts[1]"),
        ("PROVIDER_STATE_DROPPED", "messages[0].parts[2]"),
        ("PROVIDER_STATE_DROPPED", "messages[0].parts[3]"),
    ]


def test_container_in_which_another_provider_ran_code_is_no_loss() -> None:
    container = ContentPart(provider_state=state(b'{"container":{"id":"c_1"}}', "anthropic"))
    answer = ChatMessage(role="assistant", parts=[ContentPart(text="Hi."), container])
    assert body_of(REASONS, [answer, HELLO])["input"] == [
        {"type": "message", "role": "assistant", "content": "Hi."},
        SENT_HELLO,
    ]


THOUGHT = ContentPart(reasoning=Reasoning(text="Hm."), provider_state=state())
SEARCH = ContentPart(provider_state=state(b'{"type":"web_search_call","id":"ws_1"}'))
PLAIN_MESSAGE = b'{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"Hi."}]}'
PLAIN_CALL = b'{"type":"function_call","id":"fc_1","status":"completed","call_id":"call-a","name":"find"}'
RICH_CALL = b'{"type":"function_call","id":"fc_1","call_id":"call-a","name":"find","namespace":"files"}'


def answered_with(*parts: ContentPart) -> list[ChatMessage]:
    """A conversation that goes on behind this answer."""
    return [HELLO, ChatMessage(role="assistant", parts=parts), RESULTS["short form"]]


def test_reasoning_is_not_sent_to_a_model_that_does_not_reason_and_what_followed_goes_in_our_own_form() -> None:
    """OpenAI refuses the reasoning there, and elsewhere what came behind it without it."""
    answer = answered_with(
        THOUGHT,
        ContentPart(text="Hi.", provider_state=state(PLAIN_MESSAGE)),
        ContentPart(tool_call=CALL, provider_state=state(PLAIN_CALL)),
    )
    body = encode(PLAIN, answer)
    output = {"type": "function_call_output", "call_id": "call-a", "output": "found"}
    assert json.loads(body.request.body)["input"] == [
        SENT_HELLO,
        {"type": "message", "role": "assistant", "content": "Hi."},
        SENT_CALL,
        output,
    ]
    assert told(body) == [("REASONING_DROPPED", "messages[1].parts[0]")]


def test_what_our_own_form_does_not_tell_of_an_item_behind_reasoning_is_told_as_lost() -> None:
    custom = ContentPart(tool_call=CALL, provider_state=state(CUSTOM_CALL))
    rich = ContentPart(tool_call=CALL, provider_state=state(RICH_CALL))
    for part in (custom, rich):
        body = encode(PLAIN, answered_with(THOUGHT, SEARCH, part))
        assert json.loads(body.request.body)["input"][1:] == [
            SENT_CALL,
            {"type": "function_call_output", "call_id": "call-a", "output": "found"},
        ]
        assert told(body) == [
            ("REASONING_DROPPED", "messages[1].parts[0]"),
            ("PROVIDER_STATE_DROPPED", "messages[1].parts[1]"),
            ("PROVIDER_STATE_DROPPED", "messages[1].parts[2]"),
        ]


def test_state_without_reasoning_goes_back_to_a_model_that_does_not_reason() -> None:
    sent = body_of(PLAIN, answered_with(SEARCH, ContentPart(tool_call=CALL, provider_state=state(CUSTOM_CALL))))
    assert [item.get("type", "message") for item in sent["input"]] == [
        "message",
        "web_search_call",
        "custom_tool_call",
        "custom_tool_call_output",
    ]


def test_passthrough_sends_reasoning_to_a_model_that_does_not_reason() -> None:
    answer = answered_with(THOUGHT, ContentPart(tool_call=CALL, provider_state=state(PLAIN_CALL)))
    body = encode(PLAIN, answer, parameter_policy=PARAMETER_POLICY_PASSTHROUGH)
    assert STATE in body.request.body
    assert PLAIN_CALL in body.request.body
    assert told(body) == []


@for_each(
    ("parts", "left_out"),
    [
        ([THOUGHT], [0]),
        ([THOUGHT, THOUGHT], [0, 1]),
        ([THOUGHT, ContentPart(text="")], [0]),
        ([ContentPart(text="Hi."), THOUGHT], [1]),
        ([THOUGHT, SEARCH, THOUGHT], [2]),
        ([THOUGHT, ContentPart(tool_call=CALL), THOUGHT], [2]),
    ],
    ids=["alone", "several", "an empty text behind it", "behind a text", "behind a search", "behind a call"],
)
def test_reasoning_that_nothing_follows_is_left_out_and_told(parts: list[ContentPart], left_out: list[int]) -> None:
    """An answer that was cut short within its reasoning would make OpenAI refuse every later turn."""
    body = encode(REASONS, [HELLO, ChatMessage(role="assistant", parts=parts), HELLO])
    kept = [part for index, part in enumerate(parts) if part.HasField("reasoning") and index not in left_out]
    assert body.request.body.count(STATE) == len(kept)
    assert told(body) == [("REASONING_DROPPED", f"messages[1].parts[{index}]") for index in left_out]


@for_each(
    "part",
    [
        SEARCH,
        ContentPart(text="Hi."),
        ContentPart(refusal="No."),
        ContentPart(tool_call=CALL),
        ContentPart(tool_call=CALL, provider_state=state(PLAIN_CALL)),
    ],
    ids=["a search", "a text", "a refusal", "a call", "a kept call"],
)
def test_reasoning_that_something_follows_goes_back(part: ContentPart) -> None:
    items = body_of(REASONS, [HELLO, ChatMessage(role="assistant", parts=[THOUGHT, part]), HELLO])["input"]
    assert [item.get("type") for item in items[:2]] == [None, "reasoning"]


# ---------------------------------------------------------------------------------------------------- parameters


def test_too_short_a_length_is_raised_to_the_least() -> None:
    body = encode(PLAIN, config=ChatConfig(max_tokens=1))
    assert json.loads(body.request.body)["max_output_tokens"] == 16
    assert told(body) == [("PARAMETER_CHANGED", "config.max_tokens")]


def test_passthrough_sends_what_is_given() -> None:
    config = ChatConfig(seed=7, max_tokens=1, stop_sequences=["END"])
    sent = body_of(
        PLAIN,
        config=config,
        reasoning=ReasoningConfig(effort="max", include_text=True),
        parameter_policy=PARAMETER_POLICY_PASSTHROUGH,
    )
    assert (sent["seed"], sent["max_output_tokens"], sent["stop_sequences"]) == (7, 1, ["END"])
    assert sent["reasoning"] == {"effort": "max", "summary": "auto"}


def test_what_a_model_refuses_while_it_reasons_is_not_sent() -> None:
    body = encode(REASONS, config=ChatConfig(temperature=0.5, top_p=1, stop_sequences=["END"]))
    assert json.loads(body.request.body).keys() == {"model", "input", "store", "include"}
    assert told(body) == [("PARAMETER_DROPPED", f"config.{name}") for name in ("temperature", "stop_sequences")]
    sent = body_of(PLAIN, config=ChatConfig(temperature=0.5, top_p=1))
    assert (sent["temperature"], sent["top_p"]) == (0.5, 1)


@for_each(
    ("wanted", "sent", "notices"),
    [
        (ReasoningConfig(effort="high"), {"effort": "high"}, []),
        (ReasoningConfig(include_text=True), {"summary": "auto"}, []),
        (ReasoningConfig(include_text=False), None, []),
        (
            ReasoningConfig(effort="max", include_text=True),
            {"effort": "high", "summary": "auto"},
            [("PARAMETER_CHANGED", "reasoning.effort")],
        ),
        (
            ReasoningConfig(effort="odd"),
            None,
            [("PARAMETER_DROPPED", "reasoning.effort")],
        ),
        (ReasoningConfig(budget_tokens=1024), {"effort": "low"}, [("PARAMETER_CHANGED", "reasoning.budget_tokens")]),
        (ReasoningConfig(budget_tokens=90_000), {"effort": "high"}, [("PARAMETER_CHANGED", "reasoning.budget_tokens")]),
        (
            ReasoningConfig(effort="low", budget_tokens=90_000),
            {"effort": "low"},
            [("PARAMETER_DROPPED", "reasoning.budget_tokens")],
        ),
    ],
)
def test_reasoning(wanted: ReasoningConfig, sent: dict[str, str] | None, notices: list[tuple[str, str]]) -> None:
    body = encode(REASONS, reasoning=wanted)
    assert json.loads(body.request.body).get("reasoning") == sent
    assert told(body) == notices


def test_model_that_does_not_reason_is_asked_nothing_about_it() -> None:
    body = encode(PLAIN, reasoning=ReasoningConfig(effort="low", budget_tokens=2000, include_text=True))
    assert "reasoning" not in json.loads(body.request.body)
    assert [field for _, field in told(body)] == [
        "reasoning.effort",
        "reasoning.budget_tokens",
        "reasoning.include_text",
    ]
    assert told(encode(PLAIN, reasoning=ReasoningConfig(effort="none", include_text=False))) == []


# --------------------------------------------------------------------------------------------- tools and formats


def test_tool_without_arguments_may_be_strict() -> None:
    tool = body_of(PLAIN, tools=[ToolDefinition(name="stop", strict=True)])["tools"][0]
    assert tool["parameters"] == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def test_openais_own_tools_are_passed_through() -> None:
    search = ToolDefinition(
        provider_tool=ProviderTool(type="web_search", config_json='{ "filters": {"allowed_domains":["a.test"]} }')
    )
    body = encode(PLAIN, tools=[search])
    assert json.loads(body.request.body)["tools"] == [
        {"filters": {"allowed_domains": ["a.test"]}, "type": "web_search"}
    ]
    assert b'{"allowed_domains":["a.test"]}' in body.request.body


@for_each(
    ("choice", "sent"),
    [
        (ToolChoice(mode="TOOL_CHOICE_MODE_AUTO"), "auto"),
        (ToolChoice(mode="TOOL_CHOICE_MODE_NONE"), "none"),
        (ToolChoice(mode="TOOL_CHOICE_MODE_REQUIRED"), "required"),
        (ToolChoice(tool_name="find"), {"type": "function", "name": "find"}),
        (ToolChoice(tool_name="file_search"), {"type": "file_search"}),
    ],
)
def test_choice_of_tools(choice: ToolChoice, sent: Any) -> None:
    tools = [FIND, ToolDefinition(provider_tool=ProviderTool(type="file_search"))]
    assert body_of(PLAIN, tools=tools, tool_choice=choice)["tool_choice"] == sent


@for_each(
    ("tool", "sent", "choice"),
    [
        (
            ProviderTool(type="custom", config_json='{"description":"Asks."}'),
            {"type": "custom", "name": "query", "description": "Asks."},
            {"type": "custom", "name": "query"},
        ),
        (
            ProviderTool(type="custom", config_json='{"name":"other"}'),
            {"type": "custom", "name": "other"},
            {"type": "custom", "name": "other"},
        ),
        (
            ProviderTool(type="mcp", config_json='{"server_label":"wiki","server_url":"https://a.test"}'),
            {"type": "mcp", "server_label": "wiki", "server_url": "https://a.test"},
            {"type": "mcp", "server_label": "wiki"},
        ),
        (
            ProviderTool(type="mcp", config_json='{"server_url":"https://a.test"}'),
            {"type": "mcp", "server_label": "query", "server_url": "https://a.test"},
            {"type": "mcp", "server_label": "query"},
        ),
        (
            ProviderTool(type="namespace", config_json='{"description":"All.","tools":[]}'),
            {"type": "namespace", "name": "query", "description": "All.", "tools": []},
            {"type": "namespace", "name": "query"},
        ),
        (
            ProviderTool(type="a_new_tool"),
            {"type": "a_new_tool", "name": "query"},
            {"type": "a_new_tool", "name": "query"},
        ),
    ],
    ids=["custom", "custom by another name", "MCP", "MCP by its name", "namespace", "not known yet"],
)
def test_choice_of_a_tool_of_which_there_can_be_several(tool: ProviderTool, sent: Any, choice: Any) -> None:
    body = body_of(
        PLAIN,
        tools=[ToolDefinition(name="query", provider_tool=tool)],
        tool_choice=ToolChoice(tool_name="query"),
    )
    assert (body["tools"], body["tool_choice"]) == ([sent], choice)


NAMELESS = (
    "apply_patch code_interpreter computer computer_use_preview file_search image_generation local_shell "
    "programmatic_tool_calling shell tool_search web_search web_search_2025_08_26 web_search_preview "
    "web_search_preview_2025_03_11"
)
"""The types of tools of which OpenAI has one each (`ToolParam` of openai 3.54)."""


@for_each("kind", NAMELESS.split())
def test_name_of_a_tool_of_openais_is_not_sent(kind: str) -> None:
    body = encode(PLAIN, tools=[ToolDefinition(name="query", provider_tool=ProviderTool(type=kind))])
    assert json.loads(body.request.body)["tools"] == [{"type": kind}]
    assert told(body) == [("NAME_DROPPED", "tools[0].name")]


@for_each(("name", "told"), [("query", [("NAME_DROPPED", "tools[0].name")]), ("shell", []), ("", [])])
def test_name_of_a_tool_that_has_none_is_told(name: str, told: list[tuple[str, str]]) -> None:
    tool = ToolDefinition(name=name, provider_tool=ProviderTool(type="shell"))
    body = encode(PLAIN, tools=[tool], tool_choice=ToolChoice(tool_name=name) if name else None)
    sent = json.loads(body.request.body)
    assert sent["tools"] == [{"type": "shell"}]
    assert sent.get("tool_choice") == ({"type": "shell"} if name else None)
    assert [(notice.code, notice.field) for notice in body.notices] == told


def test_options_for_openai_are_merged_member_by_member() -> None:
    options = {"openai": '{"text": {"verbosity": "low"}, "service_tier": "flex"}', "anthropic": '{"x": 1}'}
    wanted = ResponseFormat(type="json_object")
    sent = body_of(PLAIN, response_format=wanted, provider_options_json=options)
    assert sent["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert sent["service_tier"] == "flex"
    assert "x" not in sent


@for_each(
    ("options", "sent"),
    [
        ('{"reasoning_effort": "high"}', {"effort": "high", "summary": "auto"}),
        ('{"reasoning_effort": null}', {"effort": None, "summary": "auto"}),
        (
            '{"reasoning": {"context": "all_turns"}, "reasoning_effort": "high"}',
            {"effort": "high", "summary": "auto", "context": "all_turns"},
        ),
        ('{"reasoning": null, "reasoning_effort": "high"}', {"effort": "high"}),
        ('{"reasoning": {"effort": "high"}}', {"effort": "high", "summary": "auto"}),
    ],
)
def test_effort_of_the_options_is_a_part_of_reasoning(options: str, sent: dict[str, Any]) -> None:
    """Callers do not choose between the two dialects, of which each has a spelling of its own."""
    wanted = ReasoningConfig(effort="low", include_text=True)
    body = body_of(REASONS, reasoning=wanted, provider_options_json={"openai": options})
    assert body["reasoning"] == sent
    assert "reasoning_effort" not in body


def test_effort_of_the_options_needs_no_other_reasoning() -> None:
    sent = body_of(REASONS, provider_options_json={"openai": '{"reasoning_effort": "high"}'})
    assert sent["reasoning"] == {"effort": "high"}


def test_what_options_include_is_asked_for_beside_what_we_need() -> None:
    """The reasoning of the next turn hangs on ours."""
    include = '{"include": ["file_search_call.results", "reasoning.encrypted_content"]}'
    sent = body_of(REASONS, provider_options_json={"openai": include})
    assert sent["include"] == ["reasoning.encrypted_content", "file_search_call.results"]


def test_tools_of_the_options_stand_behind_those_of_the_request() -> None:
    tool = '{ "type":"web_search", "size": 1.50 }'
    body = encode(PLAIN, tools=[FIND], provider_options_json={"openai": f'{{"tools": [{tool}, {tool}]}}'})
    assert [sent["type"] for sent in json.loads(body.request.body)["tools"]] == ["function", "web_search"]
    assert tool.encode() in body.request.body
    assert b'"parameters":{ "type": "object", "properties": {} }' in body.request.body
