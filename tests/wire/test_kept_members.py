"""What a server of Chat Completions adds to its answers goes back to it as it wrote it, and to nobody else."""

# JSON is easier to read in text that is put together with %.
# ruff: noqa: UP031

from __future__ import annotations

import json
from typing import Any

import pytest

from docs.features import endpoint_target, vendor_target
from proto.models_pb2 import ChatMessage, ChatRequest, ChatResponse, ContentPart, ProviderState, Reasoning, ToolCall
from services.models.providers.base import Conversation, Target
from services.models.providers.encoding import prepare
from services.models.transport.sse import Event
from services.shared.errors import InvalidRequest
from tests.rows import for_each

USER = ChatMessage(role="user", content="Weather?")
SERVERS = {
    "openai": vendor_target("openai", "gpt-4o"),
    "openai-compatible": endpoint_target("openai-compatible"),
    "vllm": endpoint_target("vllm"),
}
every_server = for_each("server", SERVERS)

SIGNED = '{"google": {"thought_signature":"CiQB\\u00e9+/==", "n": 1.50}}'
DETAILS = '[{"type":"reasoning.text","text":"I must look.","index":0,"signature":"c2ln"},{"type":"reasoning.encrypted","data":"b3Bh","index":1}]'  # noqa: E501

# A message as a server writes it, and as it may write it in pieces.
MESSAGES: dict[str, tuple[str, list[str]]] = {
    "a signature on a call": (
        '{"content":null,"tool_calls":[{"id":"c1","type":"function","extra_content":%s,'
        '"function":{"name":"weather","arguments":"{}"}}]}' % SIGNED,
        [
            '{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"weather","arguments":""}}]}',
            '{"tool_calls":[{"index":0,"extra_content":%s,"function":{"arguments":"{}"}}]}' % SIGNED,
        ],
    ),
    "a signature on a call whose arguments have begun": (
        '{"content":null,"tool_calls":[{"id":"c1","type":"function","extra_content":%s,'
        '"function":{"name":"weather","arguments":"{}"}}]}' % SIGNED,
        [
            '{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"weather","arguments":"{"}}]}',
            '{"tool_calls":[{"index":0,"extra_content":%s,"function":{"arguments":"}"}}]}' % SIGNED,
        ],
    ),
    "a signature on one of two calls": (
        '{"content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"a","arguments":"{}"},'
        '"extra_content":%s},{"id":"c2","type":"function","function":{"name":"b","arguments":"{}"}}]}' % SIGNED,
        [
            '{"tool_calls":[{"index":0,"id":"c1","extra_content":%s,"function":{"name":"a","arguments":"{}"}},'
            '{"index":1,"id":"c2","function":{"name":"b","arguments":"{}"}}]}' % SIGNED
        ],
    ),
    "a member of the function": (
        '{"content":null,"tool_calls":[{"id":"c1","type":"function",'
        '"function":{"name":"weather","arguments":"{}","thought_signature":"c2ln"}}]}',
        [
            '{"tool_calls":[{"index":0,"id":"c1","function":{"name":"weather","thought_signature":"c2ln"}}]}',
            '{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}',
        ],
    ),
    **{
        name: (
            '{"content":"Hm","%s":"I must look."}' % name,
            ['{"content":null,"%s":"I must "}' % name, '{"%s":"look."}' % name, '{"content":"Hm"}'],
        )
        for name in ("reasoning_content", "reasoning", "reasoning_text")
    },
    "reasoning under two names": (
        '{"content":"Hm","reasoning":"I must look.","reasoning_content":"I must look."}',
        ['{"reasoning":"I must look.","reasoning_content":"I must look."}', '{"content":"Hm"}'],
    ),
    "a summary beside the reasoning": (
        '{"content":"Hm","reasoning":"Short.","reasoning_content":"I must look."}',
        [
            '{"reasoning":"Sho","reasoning_content":"I must "}',
            '{"reasoning":"rt.","reasoning_content":"look."}',
            '{"content":"Hm"}',
        ],
    ),
    "details of the reasoning": (
        '{"content":"Hm","reasoning":"I must look.","reasoning_details":%s}' % DETAILS,
        [
            '{"reasoning":"I must ","reasoning_details":[{"type":"reasoning.text","text":"I must ","index":0}]}',
            '{"reasoning":"look.","reasoning_details":[{"type":"reasoning.text","text":"look.","index":0}]}',
            '{"reasoning_details":[{"type":"reasoning.text","index":0,"signature":"c2ln"}]}',
            '{"content":"Hm","reasoning_details":[{"type":"reasoning.encrypted","data":"b3Bh","index":1}]}',
        ],
    ),
    "details alone": (
        '{"content":null,"reasoning_details":[{"type":"reasoning.encrypted","data":"b3Bh"}],'
        '"tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{}"}}]}',
        [
            '{"reasoning_details":[{"type":"reasoning.encrypted","data":"b3Bh"}]}',
            '{"tool_calls":[{"index":0,"id":"c1","function":{"name":"weather","arguments":"{}"}}]}',
        ],
    ),
    "an empty reasoning before a call": (
        '{"content":null,"reasoning_content":"",'
        '"tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{}"}}]}',
        [
            '{"content":null,"reasoning_content":""}',
            '{"tool_calls":[{"index":0,"id":"c1","function":{"name":"weather","arguments":"{}"}}]}',
        ],
    ),
    "a signature of the text": (
        '{"content":"Hm","extra_content":%s}' % SIGNED,
        ['{"content":"H"}', '{"content":"m","extra_content":%s}' % SIGNED],
    ),
    "a text that comes with all that came before it": (
        '{"content":"Hm","reasoning_details":[{"type":"reasoning.text","index":0,"text":"I must look."}]}',
        [
            '{"reasoning_details":[{"type":"reasoning.text","index":0,"text":"I "}]}',
            '{"reasoning_details":[{"type":"reasoning.text","index":0,"text":"I must "}]}',
            '{"content":"Hm","reasoning_details":[{"type":"reasoning.text","index":0,"text":"I must look."}]}',
        ],
    ),
    "a text whose next piece begins as it does": (
        '{"content":"Hm","reasoning_details":[{"type":"reasoning.text","index":0,"text":"HaHaHa, what a joke."}]}',
        [
            '{"reasoning_details":[{"type":"reasoning.text","index":0,"text":"Ha"}]}',
            '{"content":"Hm","reasoning_details":[{"type":"reasoning.text","index":0,"text":"HaHa, what a joke."}]}',
        ],
    ),
    "thoughts within the content": (
        '{"content":[{"type":"thinking","thinking":[{"type":"text","text":"I must look."}],"signature":"c2ln"},'
        '{"type":"text","text":"Hm"}]}',
        [
            '{"content":[{"type":"thinking","thinking":[{"type":"text","text":"I must "}],"signature":null}]}',
            '{"content":[{"type":"thinking","thinking":[{"type":"text","text":"look."}],"signature":"c2ln"}]}',
            '{"content":[{"type":"text","text":"H"}]}',
            '{"content":"m"}',
        ],
    ),
    "several thoughts within the content, before a call": (
        '{"content":[{"type":"thinking","thinking":[{"type":"text","text":"One."}]},'
        '{"type":"thinking","thinking":[{"type":"text","text":"Two."}]}],'
        '"tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{}"}}]}',
        [
            '{"content":[{"type":"thinking","thinking":[{"type":"text","text":"One."}]},'
            '{"type":"thinking","thinking":[{"type":"text","text":"Two."}]}]}',
            '{"tool_calls":[{"index":0,"id":"c1","function":{"name":"weather","arguments":"{}"}}]}',
        ],
    ),
    "a list without indices": (
        '{"content":"Hm","thinking_blocks":[{"n":1},{"n":2}]}',
        ['{"content":"H","thinking_blocks":[{"n":1}]}', '{"content":"m","thinking_blocks":[{"n":2}]}'],
    ),
    "images": (
        '{"content":"Hm","images":[{"type":"image_url","image_url":{"url":"data:image\\/png;base64,AA=="},"index":0},'
        '{"type":"image_url","image_url":{"url":"data:image/png;base64,BB=="},"index":0}]}',
        [
            '{"content":"Hm","images":[{"type":"image_url","image_url":{"url":"data:image\\/png;base64,AA=="},"index":0}]}',
            '{"content":"","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,BB=="},"index":0}]}',
        ],
    ),
    "an object in pieces": (
        '{"content":"Hm","extra":{"a":{"b":"one two"},"c":2e0}}',
        ['{"content":"H","extra":{"a":{"b":"one "}}}', '{"content":"m","extra":{"a":{"b":"two"},"c":2e0}}'],
    ),
}
every_message = for_each("case", MESSAGES)


def whole(target: Target, message: str) -> ChatResponse:
    body = '{"id":"r","model":"m","choices":[{"index":0,"message":%s,"finish_reason":"stop"}]}' % message
    answer = target.dialect.read(body.encode())
    answer.state_owner = target.state_owner
    answer.complete()
    return answer.response()


def streamed(target: Target, deltas: list[str]) -> ChatResponse:
    decoder = target.dialect.decoder()
    decoder.answer.state_owner = target.state_owner
    for delta in [*deltas, "{}"]:
        reason = '"stop"' if delta == "{}" else "null"
        data = '{"id":"r","model":"m","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}' % (delta, reason)
        decoder.feed([Event("", data.encode())])
    decoder.answer.complete()
    return decoder.answer.response()


def sent_back(target: Target, message: ChatMessage) -> tuple[dict[str, Any], str, list[str]]:
    """The assistant's message in the next request, the request's text, and the codes of what is told."""
    results = [ChatMessage(role="tool", tool_call_id=call.id, content="2 C") for call in message.tool_calls]
    request = ChatRequest(model="m", messages=[USER, message, *results, USER])
    conversation = Conversation(request, request.messages)
    _, body = prepare(conversation, target, stream=False)
    told = json.loads(body.request.body)
    return told["messages"][1], body.request.body.decode(), [notice.code for notice in body.notices]


@every_server
@every_message
def test_goes_back_as_it_came(server: str, case: str) -> None:
    target, (message, deltas) = SERVERS[server], MESSAGES[case]
    answer = whole(target, message)
    assert streamed(target, deltas) == answer
    assert [notice.code for notice in answer.warnings] == ["IMAGES_IN_STATE"] * (case == "images")
    returned, text, told = sent_back(target, answer.message)
    assert told == []
    assert returned == {"role": "assistant", **json.loads(message)}
    assert (SIGNED in text) == (SIGNED in message)


@every_message
def test_never_reaches_another_server(case: str) -> None:
    answer = whole(SERVERS["vllm"], MESSAGES[case][0])
    _, text, told = sent_back(SERVERS["openai-compatible"], answer.message)
    assert not any(
        secret in text for secret in ("c2ln", "b3Bh", "CiQB", "I must", "Short.", "thinking_blocks", "2e0", "AA==")
    )
    assert set(told) <= {"REASONING_DROPPED", "PROVIDER_STATE_DROPPED"}
    assert bool(told)


def test_empty_members_make_no_parts() -> None:
    message = '{"content":"Hi","reasoning_content":"","reasoning_details":[],"provider_fields":{},"prefix":null}'
    assert not whole(SERVERS["vllm"], message).message.parts


@for_each("name", ["role", "Role", "content", "tool_calls", "tool-calls", "name"])
@for_each("place", ["message", "reasoning", "call", "function", "unknown"])
def test_members_of_the_protocol_are_refused_as_state(name: str, place: str) -> None:
    """Anybody may have written it: it must not make the message somebody else's."""
    if place in ("call", "function") and name not in ("name", "role"):
        name = {"call": "function", "function": "Arguments"}[place]
    elif place == "call":
        name = "id"
    elif place == "function":
        name = "name"
    held = json.dumps({"chat_completion": {place: [name] if place == "reasoning" else {name: "user"}}})
    target = SERVERS["vllm"]
    state = ProviderState(provider=target.state_owner, data=held.replace(" ", "").encode())
    part = ContentPart(tool_call=ToolCall(id="c1", name="a", arguments_json="{}"), provider_state=state)
    message = ChatMessage(role="assistant", parts=[part])
    with pytest.raises(InvalidRequest) as refused:
        sent_back(target, message)
    assert [violation.field for violation in refused.value.violations] == ["messages[1].parts[0].provider_state.data"]


@for_each("model", ["deepseek-v4-pro", "kimi-k2-thinking", "zai-org/GLM-4.6", "MiniMax-M2"])
def test_models_that_want_reasoning_get_it_or_a_stand_in(model: str) -> None:
    target = endpoint_target("openai-compatible", model)
    call = ContentPart(tool_call=ToolCall(id="c1", name="a", arguments_json="{}"))
    thought = ContentPart(reasoning=Reasoning(text="Hm."))
    assert sent_back(target, ChatMessage(role="assistant", parts=[thought, call]))[0]["reasoning_content"] == "Hm."
    assert sent_back(target, ChatMessage(role="assistant", parts=[call]))[0]["reasoning_content"] == " "
    assert "reasoning_content" not in sent_back(target, ChatMessage(role="assistant", content="Hi."))[0]
    claude = whole_of_claude()
    assert sent_back(target, ChatMessage(role="assistant", parts=[claude, call]))[0]["reasoning_content"] == " "


def whole_of_claude() -> ContentPart:
    owner = vendor_target("anthropic", "claude-opus-5").state_owner
    return ContentPart(
        reasoning=Reasoning(text="secret"), provider_state=ProviderState(provider=owner, data=b'{"type":"thinking"}')
    )


@for_each("thought", ['{"type":"text","text":"x"}', '{"type":"image_url"}', '"thinking"', "{}"])
def test_other_parts_than_thoughts_are_refused_as_state(thought: str) -> None:
    target = SERVERS["vllm"]
    held = f'{{"chat_completion":{{"thoughts":[{thought}]}}}}'.encode()
    part = ContentPart(text="a", provider_state=ProviderState(provider=target.state_owner, data=held))
    with pytest.raises(InvalidRequest):
        sent_back(target, ChatMessage(role="assistant", parts=[part]))
