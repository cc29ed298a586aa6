"""What an answer of Messages holds beside its texts and calls → the next request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto import models_pb2
from proto.models_pb2 import ChatMessage, ContentPart, ToolCall
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.anthropic_bodies import CLAUDE, HELLO, NO_PREFILL, assistant, body_of, encode, model, state, text, told

FOUND = ChatMessage(role="tool", tool_call_id="a", content="found")


def test_state_goes_back_byte_for_byte_and_in_place() -> None:
    thinking = '{"type": "thinking",  "thinking":"Hm \\u00e9","signature":"c2ln"}'
    redacted = '{"type":"redacted_thinking","data":"b3BhcXVl"}'
    unknown = '{"type":"a_new_tool_result","n":12345678901234567890123,"r":1.0}'
    cited = '{"type":"text","text":"Found.","citations":[{"type":"char_location"}]}'
    message = ChatMessage(
        role="assistant",
        content="So.Found.",
        parts=[
            ContentPart(reasoning=models_pb2.Reasoning(text="Hm é"), provider_state=state(thinking)),
            ContentPart(reasoning=models_pb2.Reasoning(redacted=True), provider_state=state(redacted)),
            ContentPart(text="So."),
            ContentPart(provider_state=state(unknown)),
            ContentPart(text="Found.", provider_state=state(cited)),
            ContentPart(tool_call=ToolCall(id="a", name="find", arguments_json="{ }")),
        ],
    )
    body = encode(messages=[HELLO, message, FOUND])
    blocks = [
        thinking,
        redacted,
        '{"type":"text","text":"So."}',
        unknown,
        cited,
        '{"type":"tool_use","id":"a","name":"find","input":{ }}',
    ]
    assert f'{{"role":"assistant","content":[{",".join(blocks)}]}}'.encode() in body.request.body
    assert body.notices == []


def test_reasoning_of_others_is_left_out_and_named() -> None:
    message = ChatMessage(
        role="assistant",
        parts=[
            ContentPart(reasoning=models_pb2.Reasoning(text="Hm.")),
            ContentPart(reasoning=models_pb2.Reasoning(redacted=True), provider_state=state("{}", "openai")),
            ContentPart(refusal="No."),
        ],
    )
    body = encode(messages=[HELLO, message])
    assert json.loads(body.request.body)["messages"][1] == {"role": "assistant", "content": [text("No.")]}
    assert told(body) == [("REASONING_DROPPED", f"messages[1].parts[{index}]") for index in (0, 1)]


def test_call_of_another_providers_own_tool_is_left_out_and_named() -> None:
    call = ContentPart(provider_state=state('{"type":"web_search_call"}', "openai"), cache=models_pb2.PromptCache())
    body = encode(messages=[HELLO, assistant(call, ContentPart(text="Found."))])
    assert json.loads(body.request.body)["messages"][1]["content"] == [text("Found.")]
    assert told(body) == [
        ("PARAMETER_DROPPED", "messages[1].parts[0].cache"),
        ("PROVIDER_STATE_DROPPED", "messages[1].parts[0]"),
    ]


def test_state_of_others_beside_what_can_be_sent_is_left_out_and_named() -> None:
    call = ToolCall(id="a", name="find", arguments_json="{}")
    message = assistant(
        ContentPart(text="So.", provider_state=state("{}", "openai")),
        ContentPart(tool_call=call, provider_state=state("{}", "gemini")),
    )
    body = encode(messages=[HELLO, message, FOUND])
    assert [block["type"] for block in json.loads(body.request.body)["messages"][1]["content"]] == ["text", "tool_use"]
    assert told(body) == [("PROVIDER_STATE_DROPPED", f"messages[1].parts[{index}]") for index in (0, 1)]


CONTAINER = '{"container":{"id":"%s"}}'


def test_newest_container_is_named_and_is_no_block() -> None:
    code = ContentPart(provider_state=state('{"type":"server_tool_use"}'))
    older, newest = (ContentPart(provider_state=state(CONTAINER % name)) for name in ("older", "newest"))
    nameless = ContentPart(provider_state=state('{"container":{"id":null}}'))
    said = ContentPart(text="So.")
    answers = [assistant(code, older), assistant(said, newest), assistant(said, nameless)]
    body = body_of(CLAUDE, [HELLO, *(message for answer in answers for message in (answer, HELLO))])
    assert body["container"] == "newest"
    assert [block["type"] for turn in body["messages"] for block in turn["content"]] == [
        *("text", "server_tool_use"),
        *("text", "text", "text", "text", "text"),
    ]


MADE = assistant(ContentPart(text="So."), ContentPart(provider_state=state(CONTAINER % "made")))


@for_each(
    ("option", "container"),
    [
        ({"skills": ["s"]}, {"id": "made", "skills": ["s"]}),
        ({"id": "other", "skills": ["s"]}, {"id": "other", "skills": ["s"]}),
        ("other", "other"),
        (None, None),
    ],
)
def test_container_that_an_option_names_wins(option: Any, container: Any) -> None:
    """What an option says beside it, such as skills, is no other container."""
    options = {"anthropic": json.dumps({"container": option}), "openai": '{"container": {"skills": ["none"]}}'}
    body = body_of(CLAUDE, [HELLO, MADE, HELLO], provider_options_json=options)
    assert body["container"] == container


@for_each("options", [{}, {"anthropic": '{"top_k": 1}'}, {"anthropic": '{"container": "other"}'}])
def test_container_stands_in_what_a_registration_says_of_it(options: dict[str, str]) -> None:
    target = model(default_options_json='{"container": {"skills": ["s"]}}')
    container = body_of(target, [HELLO, MADE, HELLO], provider_options_json=options)["container"]
    assert container == ("other" if "other" in str(options) else {"id": "made", "skills": ["s"]})


def test_container_of_others_is_left_out_without_a_word() -> None:
    """Nothing of the conversation is lost with it."""
    made = assistant(ContentPart(text="So."), ContentPart(provider_state=state(CONTAINER % "made", "my-servers")))
    assert "container" not in body_of(CLAUDE, [HELLO, made, HELLO])


def test_container_takes_no_mark() -> None:
    marked = ContentPart(provider_state=state(CONTAINER % "made"), cache=models_pb2.PromptCache())
    body = encode(messages=[HELLO, assistant(ContentPart(text="So."), marked), HELLO])
    assert told(body) == [("PARAMETER_DROPPED", "messages[1].parts[1].cache")]


def test_block_that_has_a_container_is_a_block() -> None:
    block = '{"container":{"id":"c"},"type":"server_tool_use"}'
    body = encode(messages=[HELLO, assistant(ContentPart(provider_state=state(block))), HELLO])
    assert f'"content":[{block}]'.encode() in body.request.body
    assert "container" not in json.loads(body.request.body)


# ------------------------------------------------------------------------------------------- answers to go on with


def test_conversation_that_ends_with_the_assistant_is_refused_where_the_model_does_not_go_on() -> None:
    start = ChatMessage(role="assistant", content="The answer is")
    assert body_of(CLAUDE, [HELLO, start])["messages"][-1]["role"] == "assistant"
    with pytest.raises(InvalidRequest) as raised:
        encode(NO_PREFILL, [HELLO, start, ChatMessage(role="assistant")])
    assert [violation.field for violation in raised.value.violations] == ["messages[1]"]


def test_paused_answer_goes_back_for_the_model_to_go_on() -> None:
    """Also where it takes no prefill: its own tools are still at work."""
    call = '{"type":"server_tool_use","id":"s","name":"web_search","input":{}}'
    paused = assistant(ContentPart(text="Let me see."), ContentPart(provider_state=state(call)))
    assert body_of(NO_PREFILL, [HELLO, paused])["messages"][-1]["role"] == "assistant"


@for_each(
    "last",
    [
        '{"type":"mcp_tool_use","id":"m","name":"find","input":{}}',
        '{"type":"web_search_tool_result","tool_use_id":"s","content":[]}',
        '{"type":"bash_code_execution_tool_result","tool_use_id":"s","content":{}}',
    ],
)
def test_answer_that_ends_with_the_providers_own_tools_is_paused(last: str) -> None:
    paused = assistant(ContentPart(text="Let me see."), ContentPart(provider_state=state(last)))
    assert body_of(NO_PREFILL, [HELLO, paused])["messages"][-1]["role"] == "assistant"


@for_each(
    "last",
    [
        '{"type":"thinking","thinking":"Hm","signature":"c2ln"}',
        '{"type":"redacted_thinking","data":"b3Bh"}',
        '{"type":"text","text":"","citations":[{}]}',
        '{"type":"tool_use","id":"a","name":"find","input":{},"toolset_name":"browser"}',
    ],
)
def test_answer_that_ends_with_what_the_model_said_is_not_paused(last: str) -> None:
    with pytest.raises(InvalidRequest):
        encode(NO_PREFILL, [HELLO, assistant(ContentPart(provider_state=state(last)))])
