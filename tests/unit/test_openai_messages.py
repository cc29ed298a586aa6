"""ChatMessages → the messages of a chat completion."""

from __future__ import annotations

import json
from typing import Any

from proto import models_pb2
from proto.models_pb2 import ChatMessage, ContentPart, Media, ToolCall, ToolResult
from services.models.providers.base import Target
from services.models.providers.facts import ModelFacts
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from tests.rows import for_each
from tests.unit.openai_bodies import (
    COMPATIBLE,
    EVERY_TARGET,
    HELLO,
    NAMES,
    ON_VLLM,
    encode,
    own_target,
    refused,
    sent_messages,
    told,
)

FOUND = ChatMessage(role="tool", tool_call_id="a", content="found")


def test_text_passes_untouched() -> None:
    text = '\u2028 \U0001f600 \\ " </s> \t\r\n\x00 ünï'
    assert sent_messages(ChatMessage(role="user", content=text))[0]["content"] == text


def test_parts_of_an_assistant_turn_are_the_truth() -> None:
    call = ToolCall(id="a", name="find", arguments_json="{}")
    message = ChatMessage(
        role="assistant",
        content="So.",
        parts=[ContentPart(text="So"), ContentPart(text="."), ContentPart(tool_call=call)],
    )
    assert sent_messages(message, FOUND)[0] == {
        "role": "assistant",
        "content": "So.",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
    }


REFUSAL = ChatMessage(role="assistant", parts=[ContentPart(text="Well. "), ContentPart(refusal="No.")])


def test_reasoning_and_foreign_state_are_left_out_and_named() -> None:
    state = models_pb2.ProviderState(provider="anthropic", data=b"{}")
    body = encode(
        messages=[
            HELLO,
            ChatMessage(
                role="assistant",
                parts=[
                    ContentPart(reasoning=models_pb2.Reasoning(text="Hm."), provider_state=state),
                    ContentPart(provider_state=state),
                    ContentPart(text="Hi."),
                ],
            ),
        ]
    )
    assert json.loads(body.request.body)["messages"][1] == {"role": "assistant", "content": "Hi."}
    assert told(body) == [
        ("REASONING_DROPPED", "messages[1].parts[0]"),
        ("PROVIDER_STATE_DROPPED", "messages[1].parts[1]"),
    ]


def test_state_of_a_part_that_is_sent_is_left_out_and_named() -> None:
    state = models_pb2.ProviderState(provider="openai", data=b"{}")
    call = ToolCall(id="a", name="find", arguments_json="{}")
    parts = [ContentPart(text="Hi.", provider_state=state), ContentPart(tool_call=call, provider_state=state)]
    body = encode(messages=[HELLO, ChatMessage(role="assistant", parts=parts), FOUND])
    sent = json.loads(body.request.body)["messages"][1]
    assert (sent["content"], [call["id"] for call in sent["tool_calls"]]) == ("Hi.", ["a"])
    assert told(body) == [("PROVIDER_STATE_DROPPED", f"messages[1].parts[{index}]") for index in (0, 1)]


@for_each("target", EVERY_TARGET, ids=NAMES)
def test_container_in_which_another_provider_ran_code_is_no_loss(target: Target) -> None:
    container = models_pb2.ProviderState(provider="anthropic", data=b'{"container":{"id":"c_1"}}')
    parts = [ContentPart(text="Hi."), ContentPart(provider_state=container)]
    assert sent_messages(ChatMessage(role="assistant", parts=parts), HELLO, target=target)[0] == {
        "role": "assistant",
        "content": "Hi.",
    }


@for_each("data", [b'{"container":{},"type":"ran"}', b'{"container":', b'{ "text":"a"}'])
def test_state_that_is_more_than_a_container_is_named(data: bytes) -> None:
    kept = models_pb2.ProviderState(provider="anthropic", data=data)
    parts = [ContentPart(provider_state=kept), ContentPart(text="Hi.")]
    body = encode(messages=[ChatMessage(role="assistant", parts=parts), HELLO])
    assert told(body) == [("PROVIDER_STATE_DROPPED", "messages[0].parts[0]")]


PLAIN_CALL = b'{"type":"function_call","id":"fc_1","status":"completed","call_id":"a","name":"find","arguments":"{}"}'
RICH_CALL = b'{"type":"function_call","id":"fc_1","call_id":"a","name":"find","arguments":"{}","namespace":"files"}'
PLAIN_ANSWER = (
    b'{"type":"message","id":"msg_1","role":"assistant",'
    b'"content":[{"type":"output_text","text":"Hi.","annotations":[]}]}'
)
PHASED_ANSWER = (
    b'{"type":"message","role":"assistant","phase":"commentary","content":[{"type":"output_text","text":"Hi."}]}'
)


@for_each(
    ("provider", "answer", "call", "lost"),
    [
        ("openai", PLAIN_ANSWER, PLAIN_CALL, []),
        ("openai", PHASED_ANSWER, RICH_CALL, [0, 1]),
        ("openai", b"[]", b'"function_call"', [0, 1]),
        ("openai", b'{"type":["message"]}', b"", [0, 1]),
        ("others", PLAIN_ANSWER, PLAIN_CALL, [0, 1]),
    ],
    ids=["plain", "more than our form says", "no items", "unreadable", "another provider's"],
)
def test_own_state_that_says_no_more_than_its_part_is_no_loss(
    provider: str, answer: bytes, call: bytes, lost: list[int]
) -> None:
    called = ToolCall(id="a", name="find", arguments_json="{}")
    parts = [
        ContentPart(text="Hi.", provider_state=models_pb2.ProviderState(provider=provider, data=answer)),
        ContentPart(tool_call=called, provider_state=models_pb2.ProviderState(provider=provider, data=call)),
    ]
    body = encode(messages=[HELLO, ChatMessage(role="assistant", parts=parts), FOUND])
    assert told(body) == [("PROVIDER_STATE_DROPPED", f"messages[1].parts[{index}]") for index in lost]


@for_each("target", EVERY_TARGET, ids=NAMES)
def test_name_on_what_a_tool_answered_is_left_out_and_named(target: Target) -> None:
    body = encode(target, [HELLO, ChatMessage(role="tool", tool_call_id="a", content="found", name="find")])
    assert json.loads(body.request.body)["messages"][1] == {"role": "tool", "tool_call_id": "a", "content": "found"}
    assert told(body) == [("NAME_DROPPED", "messages[1].name")]


def test_cache_marks_and_citations_are_not_sent() -> None:
    """OpenAI caches by itself, and citations are the provider's word, not the model's."""
    cited = ContentPart(text="Hi.", citations_json="[1]", cache=models_pb2.PromptCache())
    assert sent_messages(ChatMessage(role="assistant", parts=[cited])) == [{"role": "assistant", "content": "Hi."}]


def test_answer_to_go_on_with_is_refused_where_the_model_does_not() -> None:
    no_prefill = own_target(OPENAI_COMPATIBLE, ModelFacts(prefill=False))
    answer = ChatMessage(role="assistant", content="The answer is")
    assert refused(no_prefill, HELLO, answer) == ["messages[1]"]
    assert len(sent_messages(HELLO, answer, HELLO, target=no_prefill)) == 3
    assert len(sent_messages(HELLO, answer, target=COMPATIBLE)) == 2


BEGINNING = ChatMessage(role="assistant", content="The answer is")
CONTINUED = {"continue_final_message": True, "add_generation_prompt": False}


def continuation(target: Target, *messages: ChatMessage, **fields: Any) -> Any:
    """What is sent beside the messages."""
    sent = json.loads(encode(target, messages, **fields).request.body)
    return {name: value for name, value in sent.items() if name not in ("model", "messages")}


@for_each(
    "answer",
    [
        BEGINNING,
        ChatMessage(role="assistant", parts=[ContentPart(text="The answer "), ContentPart(text="is")]),
        ChatMessage(role="assistant", parts=[ContentPart(refusal="I would")]),
        ChatMessage(role="assistant", parts=[ContentPart(reasoning=models_pb2.Reasoning(text="Hm.")), *REFUSAL.parts]),
    ],
    ids=["short form", "parts", "refusal", "reasoning before it"],
)
def test_vllm_is_told_to_go_on_with_an_answer(answer: ChatMessage) -> None:
    """By itself it would begin another."""
    assert continuation(ON_VLLM, HELLO, answer) == CONTINUED


CALL = ToolCall(id="a", name="find", arguments_json="{}")


@for_each(
    "messages",
    [
        [HELLO],
        [HELLO, BEGINNING, HELLO],
        [HELLO, ChatMessage(role="assistant")],
        [HELLO, ChatMessage(role="assistant", parts=[ContentPart(reasoning=models_pb2.Reasoning(text="Hm."))])],
        [HELLO, ChatMessage(role="assistant", content="Let me see.", tool_calls=[CALL])],
        [HELLO, ChatMessage(role="assistant", tool_calls=[CALL])],
        [HELLO, ChatMessage(role="assistant", tool_calls=[CALL]), ChatMessage(role="tool", parts=[])],
    ],
    ids=["question", "turn after it", "nothing said", "only a thought", "text and call", "call", "result"],
)
def test_turn_that_is_no_beginning_of_an_answer_is_not_gone_on_with(messages: list[ChatMessage]) -> None:
    assert continuation(ON_VLLM, *messages) == {}


def test_callers_options_decide_whether_an_answer_is_gone_on_with() -> None:
    options = {"vllm": '{"continue_final_message": false, "add_generation_prompt": true}'}
    assert continuation(ON_VLLM, HELLO, BEGINNING, provider_options_json=options) == {
        "continue_final_message": False,
        "add_generation_prompt": True,
    }


# ---------------------------------------------------------------------------------------------------- tool results

IMAGE = Media(data=b"PNG", mime_type="image/png")
CHART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,UE5H"}}


def result(call_id: str, *content: ContentPart, **fields: Any) -> ContentPart:
    return ContentPart(tool_result=ToolResult(tool_call_id=call_id, content=content, **fields))


def test_tool_results_as_parts_are_messages_of_their_own() -> None:
    message = ChatMessage(
        role="tool",
        tool_call_id="c",
        parts=[
            result("a", ContentPart(text="4"), ContentPart(text="2")),
            result("b"),
            ContentPart(text="pla"),
            result("d", ContentPart(text="last")),
            ContentPart(text="in"),
        ],
    )
    assert sent_messages(message) == [
        {"role": "tool", "tool_call_id": "a", "content": "42"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "tool", "tool_call_id": "c", "content": "plain"},
        {"role": "tool", "tool_call_id": "d", "content": "last"},
    ]


def test_mark_of_a_tool_that_failed_is_left_out_and_named() -> None:
    message = ChatMessage(role="tool", parts=[result("a", ContentPart(text="out of paper"), is_error=True)])
    body = encode(messages=[message])
    assert json.loads(body.request.body)["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "out of paper"}
    ]
    assert told(body) == [("ERROR_MARK_DROPPED", "messages[0].parts[0].tool_result.is_error")]


@for_each("target", EVERY_TARGET, ids=NAMES)
def test_media_of_tool_results_follow_all_results_of_the_turn(target: Target) -> None:
    """Between a turn's results nothing else may stand."""
    body = encode(
        target,
        [
            ChatMessage(
                role="tool",
                parts=[
                    result("a", ContentPart(text="see "), ContentPart(media=IMAGE), ContentPart(text="chart")),
                    result("b", ContentPart(media=IMAGE), ContentPart(media=IMAGE)),
                ],
            ),
            ChatMessage(role="tool", tool_call_id="c", parts=[ContentPart(text="done"), ContentPart(media=IMAGE)]),
            ChatMessage(role="tool", tool_call_id="d", content="nothing"),
            HELLO,
        ],
    )
    assert json.loads(body.request.body)["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "see chart"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
        {"role": "tool", "tool_call_id": "d", "content": "nothing"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From the result of tool call a:"},
                CHART,
                {"type": "text", "text": "From the result of tool call b:"},
                CHART,
                CHART,
                {"type": "text", "text": "From the result of tool call c:"},
                CHART,
            ],
        },
        {"role": "user", "content": "Hello"},
    ]
    places = [
        "messages[0].parts[0].tool_result.content[1]",
        "messages[0].parts[1].tool_result.content[0]",
        "messages[0].parts[1].tool_result.content[1]",
        "messages[1].parts[1]",
    ]
    assert told(body) == [("TOOL_RESULT_MEDIA_MOVED", place) for place in places]


def test_moved_media_are_refused_where_they_are_not_taken() -> None:
    page = Media(data=b"%PDF", mime_type="application/pdf")
    message = ChatMessage(role="tool", parts=[result("a", ContentPart(media=page))])
    assert refused(ON_VLLM, message) == ["messages[0].parts[0].tool_result.content[0].media"]
