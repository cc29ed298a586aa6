"""An agent's loop through the face of Responses and the dialects of all vendors: what it asks, is answered and sends
back arrives whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from proto.models_pb2 import ChatChunk, ChatMessage, ChatResponse, ContentPart, ProviderState, TokenUsage
from services.models.faces.responses.face import RESPONSES, AskedResponse
from services.models.providers.answers.answer import Answer
from services.models.providers.base import Conversation, Target
from services.models.providers.encoding import prepare
from services.models.providers.errors.faults import Fault
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.transport.sse import EventStream
from services.models.validation.request import check_chat_request
from services.shared.errors import Unavailable
from tests.rows import for_each, row
from tests.unit.anthropic_bodies import ADAPTIVE
from tests.unit.faces.responses_answers import ABOUT, TOOLS, Scripted, asked, events_of, every_answer, streamed, whole
from tests.unit.openai_bodies import COMPATIBLE, GPT_5

CODEX: dict[str, Any] = {
    "model": "gpt-5.2-codex",
    "stream": True,
    "instructions": "You are Codex.",
    "tools": [
        {
            "type": "function",
            "name": "exec_command",
            "description": "Runs.",
            "strict": False,
            "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}},
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        },
        {
            "type": "namespace",
            "name": "mcp__files",
            "description": "Files.",
            "tools": [{"type": "function", "name": "read", "parameters": {"type": "object"}}],
        },
        {"type": "web_search"},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f",
    "client_metadata": {"x": "y"},
}
QUESTION = {"type": "message", "id": "m1", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]}


def read(*items: Any, **members: Any) -> AskedResponse:
    body = {**CODEX, **members, "input": [QUESTION, *items]}
    request = RESPONSES.read(json.dumps(body).encode())
    check_chat_request(request.request)
    return request


def upstream(asked_for: AskedResponse, target: Target) -> Any:
    """The body that a target is sent."""
    request = asked_for.request
    return json.loads(prepare(Conversation(request, request.messages), target, stream=True)[1].request.body)


def kept_by_client(chunks: list[ChatChunk], asked_for: AskedResponse) -> list[Any]:
    """What Codex keeps of an answer: the items that are done."""
    events = events_of(streamed(chunks, asked_for))
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def results_of(items: list[Any]) -> list[Any]:
    outputs = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
    return [
        {"type": outputs[item["type"]], "call_id": item["call_id"], "output": "done"}
        for item in items
        if item["type"] in outputs
    ]


def test_a_loop_with_claude() -> None:
    first = read()
    body = upstream(first, ADAPTIVE)
    assert [tool["name"] for tool in body["tools"]] == ["exec_command", "apply_patch", "mcp__files__read"]
    thinking = b'{"type":"thinking","thinking":"Hm.","signature":"xyz"}'
    answer = Scripted("anthropic").say(0, "reasoning", "Hm.").keep(0, thinking).say(1, "text", "Let me.")
    answer.call(2, "t1", "mcp__files__read", '{"p":1}').call(3, "t2", "apply_patch", '{"input":"*** x"}')
    items = kept_by_client(answer.ended(), first)
    assert [item.get("name") for item in items] == [None, None, "read", "apply_patch"]
    body = upstream(read(*items, *results_of(items)), ADAPTIVE)
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                json.loads(thinking),
                {"type": "text", "text": "Let me."},
                {"type": "tool_use", "id": "t1", "name": "mcp__files__read", "input": {"p": 1}},
                {"type": "tool_use", "id": "t2", "name": "apply_patch", "input": {"input": "*** x"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": name, "content": "done"} for name in ("t1", "t2")],
        },
    ]


def test_a_loop_with_openai() -> None:
    first = read()
    body = upstream(first, GPT_5)
    assert body["tools"] == CODEX["tools"]
    assert body["client_metadata"] == CODEX["client_metadata"]
    assert (body["store"], body["include"]) == (False, CODEX["include"])
    assert body["reasoning"] == CODEX["reasoning"]
    thought = b'{"type":"reasoning","id":"rs_9","summary":[],"encrypted_content":"abc"}'
    called = (
        b'{"type":"function_call","id":"fc_9","status":"completed","call_id":"c1","namespace":"mcp__files",'
        b'"name":"read","arguments":"{}"}'
    )
    patched = b'{"type":"custom_tool_call","id":"ctc_9","call_id":"c2","name":"apply_patch","input":"*** x"}'
    answer = Scripted().keep(0, thought, redacted=True).call(1, "c1", "read", "{}").keep(1, called)
    answer.call(2, "c2", "apply_patch", "*** x").keep(2, patched)
    items = kept_by_client(answer.ended(), first)
    body = upstream(read(*items, *results_of(items)), GPT_5)
    without_ids = [{**json.loads(item)} for item in (called, patched)]
    for item in without_ids:
        del item["id"]
    assert body["input"][2:] == [
        json.loads(thought),
        *without_ids,
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
    ]


def test_a_loop_with_a_local_model() -> None:
    first = read()
    answer = Scripted("mine").call(0, "c1", "mcp__files__read", "{}").call(1, "c2", "apply_patch", '{"input":"*** x"}')
    items = kept_by_client(answer.ended(), first)
    body = upstream(read(*items, *results_of(items)), COMPATIBLE)
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in body["messages"][2]["tool_calls"]]
    assert calls == [("mcp__files__read", "{}"), ("apply_patch", '{"input":"*** x"}')]
    assert [message["content"] for message in body["messages"][3:]] == ["done", "done"]
    assert not body.keys() & {"client_metadata", "include", "reasoning", "store"}


@for_each("target", [GPT_5, ADAPTIVE, COMPATIBLE], ids=lambda target: target.provider)
def test_a_conversation_goes_on_with_any_vendor_wherever_it_began(target: Target) -> None:
    for name, chunks in every_answer():
        items = events_of(streamed(chunks))[-1]["response"]["output"]
        with row(name):
            body = upstream(read(*items, *results_of(items), QUESTION, tools=TOOLS), target)
            response = chunks[-1].response
            said = [part.text for part in response.message.parts] or [response.text]
            sent = json.dumps(body)
            assert all(told in sent for told in (*said, *(call.id for call in response.tool_calls)))


# ------------------------------------------------------------------------------------------------------ round trips


def read_back(items: list[Any]) -> list[ChatMessage]:
    return list(RESPONSES.read(json.dumps({"model": "m", "input": items}).encode()).request.messages)


def plain(message: ChatMessage) -> list[str]:
    """The parts of a message as text, without what no client could give back."""
    parts = message.parts or [
        *([ContentPart(text=message.content)] if message.content else []),
        *(ContentPart(tool_call=call) for call in message.tool_calls),
    ]
    written = []
    for part in parts:
        copy = ContentPart()
        copy.CopyFrom(part)
        copy.citations_json = ""
        written.append(text_format.MessageToString(copy))
    return written


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
STATES = st.builds(
    ProviderState,
    provider=st.sampled_from(["anthropic", "adapter:1"]),
    model=TEXTS,
    data=st.sampled_from([b'{"type":"thinking"}', b'{"chat_completion":{}}']),
)
KINDS = st.tuples(st.sampled_from(["text", "reasoning", "call", "refusal", "opaque"]), TEXTS, st.none() | STATES)


def answer_of(parts: list[tuple[str, str, ProviderState | None]]) -> list[ChatChunk]:
    """The answer of these parts, as an Answer gives it; texts of one kind in a row need state between them."""
    answer = Scripted()
    for key, (kind, text, state) in enumerate(parts):
        if kind == "call":
            answer.call(key, f"c{key}", "find", json.dumps({"a": text}))
        elif kind != "opaque":
            answer.say(key, kind, text[:1], text[1:])
        if state is not None or kind == "opaque":
            answer.state_owner = "anthropic"
            answer.keep(key, state.data if state else b'{"type":"server_tool_use"}')
    return answer.ended()


@given(st.lists(KINDS, max_size=6))
def test_what_a_client_keeps_of_an_answer_is_the_answer(
    parts: list[tuple[str, str, ProviderState | None]],
) -> None:
    # Neighbours of one kind become one where nothing stands between them.
    parts = [part for index, part in enumerate(parts) if not is_joined(parts, index)]
    chunks = answer_of(parts)
    response: ChatResponse = chunks[-1].response
    items = events_of(streamed(chunks))[-1]["response"]
    assert items["output"] == json.loads(whole(chunks))["output"] or has_late_refusal(parts)
    messages = read_back(json.loads(whole(chunks))["output"])
    given_back = [part for message in messages for part in plain(message)]
    assert given_back == plain(response.message)


def is_joined(parts: list[tuple[str, str, ProviderState | None]], index: int) -> bool:
    kind = parts[index][0]
    return index > 0 and kind in ("text", "reasoning") and parts[index - 1][0] == kind


def has_late_refusal(parts: list[tuple[str, str, ProviderState | None]]) -> bool:
    """Whether a refusal without state, which comes at the end of a stream, is not the last part."""
    return any(kind == "refusal" and state is None for kind, _, state in parts)


def decoded(written: bytes) -> ChatResponse:
    """The answer in a stream as the dialect of OpenAI's Responses reads it."""
    decoder = OPENAI_RESPONSES.decoder()
    decoder.feed(EventStream().feed(written))
    assert decoder.finished
    return completed(decoder.answer)


def completed(answer: Answer) -> ChatResponse:
    answer.complete()
    return answer.response()


def test_the_providers_dialect_reads_what_the_face_writes() -> None:
    for name, chunks in every_answer():
        wanted: ChatResponse = chunks[-1].response
        for read_so in (decoded(streamed(chunks)), completed(OPENAI_RESPONSES.read(whole(chunks)))):
            with row(name):
                assert read_so.text == wanted.text
                assert [call.id for call in read_so.tool_calls] == [call.id for call in wanted.tool_calls]
                assert read_so.usage == wanted.usage
                silent = wanted.finish_reason == "refusal" and not has_refusal(wanted)
                assert read_so.finish_reason == ("content_filter" if silent else wanted.finish_reason)


def has_refusal(response: ChatResponse) -> bool:
    return any(part.refusal for part in response.message.parts)


def test_the_providers_dialect_takes_no_failure_for_an_answer() -> None:
    encoder = asked().encoder(ABOUT)
    written = encoder.feed(ChatChunk(token="Hel")) + encoder.fail(Unavailable("broken off"), "r1")
    with pytest.raises(Fault):
        decoded(written)


def test_usage_that_is_not_known_is_null() -> None:
    chunks = Scripted().say(0, "text", "x").ended()
    chunks[-1].response.ClearField("usage")
    assert json.loads(asked().whole(chunks[-1].response, ABOUT))["usage"] is None
    chunks[-1].response.usage.CopyFrom(TokenUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3))
    usage = json.loads(asked().whole(chunks[-1].response, ABOUT))["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] == 0
