"""Histories that providers refuse are mended, alike for all, and each mending is told."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

from docs.features import endpoint_target, vendor_target
from proto.models_pb2 import (
    ChatMessage,
    ChatRequest,
    ContentPart,
    ProviderState,
    Reasoning,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)
from services.models.providers.base import HISTORY_FIELD, Conversation, Encoded, Target
from services.models.providers.encoding import encode
from services.models.providers.history.tool_turns import CAME_LATE, NOT_RUN
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.transport.sse import Event
from tests.rows import for_each
from tests.wire.dialects import Call, Sample
from tests.wire.dialects import encode as encode_json
from tests.wire.speeches.chat_completions import OpenAISpeech
from tests.wire.speeches.messages import AnthropicSpeech

GPT = vendor_target("openai", "gpt-4o")
TARGETS = {
    "openai": GPT,
    "responses": dataclasses.replace(vendor_target("openai", "gpt-5.6"), dialect=OPENAI_RESPONSES),
    "anthropic": vendor_target("anthropic", "claude-haiku-4-5"),
    "openai-compatible": endpoint_target("openai-compatible"),
    "vllm": endpoint_target("vllm"),
}
every_target = for_each("name", TARGETS)

USER = ChatMessage(role="user", content="Weather?")
LATER = ChatMessage(role="user", content="Never mind.")


def calling(*ids: str, content: str = "", arguments: str = "{}", tool: str = "weather") -> ChatMessage:
    calls = [ToolCall(id=call_id, name=tool, arguments_json=arguments) for call_id in ids]
    return ChatMessage(role="assistant", content=content, tool_calls=calls)


def in_parts(message: ChatMessage) -> ChatMessage:
    return ChatMessage(role="assistant", parts=[ContentPart(tool_call=call) for call in message.tool_calls])


def result(*ids: str) -> ChatMessage:
    if len(ids) == 1:
        return ChatMessage(role="tool", tool_call_id=ids[0], content=f"of {ids[0]}")
    results = [ToolResult(tool_call_id=call_id, content=[ContentPart(text=f"of {call_id}")]) for call_id in ids]
    return ChatMessage(role="tool", parts=[ContentPart(tool_result=one) for one in results])


def encoded(target: Target, messages: Sequence[ChatMessage], *, stream: bool = False, **fields: Any) -> Encoded:
    request = ChatRequest(model="m", messages=messages, **fields)
    return encode(Conversation(request, request.messages), target, stream=stream)


def told(body: Encoded) -> list[tuple[str, str]]:
    return [(notice.code, notice.field) for notice in body.notices]


def story(body: Encoded) -> list[str]:
    """Who says what in a body of any dialect: calls and results by their ids."""
    sent = json.loads(body.request.body)
    return [word for message in sent.get("messages") or sent["input"] for word in _words(message)]


def _words(message: Any) -> list[str]:
    kind, content = message.get("type"), message.get("content")
    if kind == "function_call":
        return [f"call {message['call_id']}"]
    if kind == "function_call_output":
        return [f"result {message['call_id']}: {message['output']}"]
    if message["role"] == "tool":
        return [f"result {message['tool_call_id']}: {content}"]
    words = []
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
        if block["type"] == "tool_use":
            words.append(f"call {block['id']}")
        elif block["type"] == "tool_result":
            parts = block["content"]
            text = parts if isinstance(parts, str) else "".join(part["text"] for part in parts)
            words.append(f"result {block['tool_use_id']}: {text}")
        elif block["text"]:
            words.append(f"{message['role']}: {block['text']}")
    return words + [f"call {call['id']}" for call in message.get("tool_calls", [])]


ADDED, MOVED, JOINED = "TOOL_RESULT_ADDED", "TOOL_RESULT_MOVED", "TOOL_RESULTS_JOINED"

# The messages, the story that is sent, and what is told.
RESULTS: dict[str, tuple[list[ChatMessage], list[str], list[tuple[str, str]]]] = {
    "none": (
        [USER, calling("a"), LATER],
        ["user: Weather?", "call a", f"result a: {NOT_RUN}", "user: Never mind."],
        [(ADDED, "messages[1]")],
    ),
    "none at the end": (
        [USER, calling("a")],
        ["user: Weather?", "call a", f"result a: {NOT_RUN}"],
        [(ADDED, "messages[1]")],
    ),
    "one of two": (
        [USER, calling("a", "b"), result("b"), LATER],
        ["user: Weather?", "call a", "call b", "result b: of b", f"result a: {NOT_RUN}", "user: Never mind."],
        [(ADDED, "messages[1]")],
    ),
    "behind a question": (
        [USER, calling("a"), LATER, result("a")],
        ["user: Weather?", "call a", "result a: of a", "user: Never mind."],
        [(MOVED, "messages[3]")],
    ),
    "before its call": (
        [USER, result("a"), calling("a"), LATER],
        ["user: Weather?", "call a", "result a: of a", "user: Never mind."],
        [(MOVED, "messages[1]")],
    ),
    "of two turns in one message": (
        [USER, calling("a"), LATER, calling("b"), result("a", "b")],
        ["user: Weather?", "call a", "result a: of a", "user: Never mind.", "call b", "result b: of b"],
        [(MOVED, "messages[4]")],
    ),
    "behind an answer": (
        [USER, calling("a"), LATER, ChatMessage(role="assistant", content="Well."), result("a")],
        [
            *("user: Weather?", "call a", "result a: of a", "user: Never mind.", "assistant: Well."),
            f"user: {CAME_LATE}",
        ],
        [(MOVED, "messages[4]"), ("USER_MESSAGE_ADDED", "messages[4]")],
    ),
    "told twice": (
        [USER, calling("a", "b"), result("a"), result("b"), result("a"), LATER],
        ["user: Weather?", "call a", "call b", "result a: of a\nof a", "result b: of b", "user: Never mind."],
        [(JOINED, "messages[4]")],
    ),
    "told twice in one message": (
        [USER, calling("a"), result("a", "a"), LATER],
        ["user: Weather?", "call a", "result a: of a\nof a", "user: Never mind."],
        [(JOINED, "messages[2]")],
    ),
    "told again in a later turn": (
        [USER, calling("a"), result("a"), LATER, result("a")],
        ["user: Weather?", "call a", "result a: of a\nof a", "user: Never mind."],
        [(MOVED, "messages[4]"), (JOINED, "messages[4]")],
    ),
    "of one id in two turns": (
        [USER, calling("a"), result("a"), LATER, calling("a"), LATER],
        [
            *("user: Weather?", "call a", "result a: of a", "user: Never mind."),
            *("call a", f"result a: {NOT_RUN}", "user: Never mind."),
        ],
        [(ADDED, "messages[4]")],
    ),
    "in order": (
        [USER, calling("a", "b"), result("b"), result("a"), LATER],
        ["user: Weather?", "call a", "call b", "result b: of b", "result a: of a", "user: Never mind."],
        [],
    ),
}


@every_target
@for_each("case", RESULTS)
@for_each("form", ["short", "parts"])
def test_results_are_behind_their_calls(name: str, case: str, form: str) -> None:
    messages, expected, notices = RESULTS[case]
    if form == "parts":
        messages = [in_parts(message) if message.tool_calls else message for message in messages]
    body = encoded(TARGETS[name], messages)
    if name == "anthropic" and case == "of one id in two turns":
        # Messages takes no id twice.
        assert [re.sub("(call|result) [^:]*", r"\1", word) for word in story(body)] == [
            re.sub("(call|result) [^:]*", r"\1", word) for word in expected
        ]
    else:
        assert story(body) == expected
    assert told(body) == notices


@every_target
def test_history_of_a_session_is_mended_as_well(name: str) -> None:
    request = ChatRequest(model="m", session_id="s", messages=[LATER])
    messages = [USER, calling("a"), *request.messages]
    body = encode(Conversation(request, messages, (HISTORY_FIELD, HISTORY_FIELD)), TARGETS[name], stream=False)
    assert story(body) == ["user: Weather?", "call a", f"result a: {NOT_RUN}", "user: Never mind."]
    assert told(body) == [(ADDED, HISTORY_FIELD)]


NOTHING = ChatMessage(role="assistant")
BLANK = ChatMessage(role="assistant", content=" \n")
THOUGHT = ChatMessage(
    role="assistant",
    parts=[ContentPart(reasoning=Reasoning(text="Hm."), provider_state=ProviderState(provider="x", data=b"{}"))],
)


@every_target
@for_each("empty", [NOTHING, BLANK, THOUGHT], ids=["nothing", "white space", "a thought"])
def test_empty_answer_is_filled_or_left_out(name: str, empty: ChatMessage) -> None:
    between = encoded(TARGETS[name], [USER, empty, LATER])
    assert story(between) == ["user: Weather?", "assistant: (no answer)", "user: Never mind."]
    assert told(between)[0] == ("EMPTY_MESSAGE_FILLED", "messages[1]")
    last = encoded(TARGETS[name], [USER, empty])
    assert story(last) == ["user: Weather?"]
    assert told(last) == [("EMPTY_MESSAGE_DROPPED", "messages[1]")]


HALF = '{"city": "Os'


@every_target
@for_each("arguments", [HALF, "[1]", "null", "Oslo", '"Oslo"'])
@for_each("form", ["short", "parts"])
def test_arguments_are_objects_where_they_are_parsed(name: str, arguments: str, form: str) -> None:
    call = calling("a", arguments=arguments)
    body = encoded(TARGETS[name], [USER, call if form == "short" else in_parts(call), result("a")])
    place = "tool_calls[0]" if form == "short" else "parts[0]"
    takes_any = name in ("openai", "responses")
    assert told(body) == ([] if takes_any else [("TOOL_ARGUMENTS_WRAPPED", f"messages[1].{place}")])
    assert _arguments(body) == (arguments if takes_any else {"arguments": arguments})


@every_target
@for_each("arguments", ["", "  "])
def test_blank_arguments_are_none(name: str, arguments: str) -> None:
    if name in ("openai", "responses") and arguments:
        return
    assert _arguments(encoded(TARGETS[name], [USER, calling("a", arguments=arguments), result("a")])) in ({}, "{}")


def _arguments(body: Encoded) -> Any:
    """What the only call is called with; text where that is no object."""
    sent = json.loads(body.request.body)
    call = (sent.get("messages") or sent["input"])[1]
    if "tool_calls" in call:
        call = call["tool_calls"][0]["function"]
    elif call.get("content"):
        return call["content"][0]["input"]
    try:
        read = json.loads(call["arguments"])
    except ValueError:
        return call["arguments"]
    return read if isinstance(read, dict) else call["arguments"]


@for_each("model", ["mistral-large-latest", "mistralai/Ministral-8B-Instruct-2410", "devstral-small"])
@for_each("adapter", ["openai-compatible", "vllm"])
@for_each("call_id", ["call_0123456789abcdef01234567", "toolu_01", "functions.weather:0", "abc"])
def test_ids_are_what_mistral_takes(model: str, adapter: str, call_id: str) -> None:
    target = endpoint_target(adapter, model)
    sent = json.loads(encoded(target, [USER, calling(call_id), result(call_id)]).request.body)["messages"]
    assert re.fullmatch("[A-Za-z0-9]{9}", sent[1]["tool_calls"][0]["id"])
    assert sent[2]["tool_call_id"] == sent[1]["tool_calls"][0]["id"]
    kept = json.loads(encoded(target, [USER, calling("a1B2c3D4e"), result("a1B2c3D4e")]).request.body)["messages"]
    assert kept[1]["tool_calls"][0]["id"] == "a1B2c3D4e"


# --------------------------------------------------------------------------------------------------- names of tools

GEMINI = endpoint_target("openai-compatible", "gemini-3-pro-preview")
NAMES = {
    "openai": ("[A-Za-z0-9_-]{1,64}", ["files.read", "a" * 65, "find"]),
    "responses": ("[A-Za-z0-9_-]{1,64}", ["files.read", "a" * 65, "find"]),
    "anthropic": ("[A-Za-z0-9_-]{1,128}", ["files.read", "find:all", "a" * 65, "a" * 128]),
    "gemini": ("[A-Za-z_][A-Za-z0-9_.:-]{0,63}", ["files.read", "9lives", "a" * 65, "-x"]),
    "openai-compatible": (".*", ["files.read", "9lives", "a" * 128]),
}


@for_each("name", NAMES)
def test_names_of_tools_are_what_the_provider_takes(name: str) -> None:
    pattern, given = NAMES[name]
    target = GEMINI if name == "gemini" else TARGETS[name]
    for tool in given:
        tools = [ToolDefinition(name=tool), ToolDefinition(name="other")]
        messages = [USER, calling("a", tool=tool), result("a"), LATER]
        body = encoded(target, messages, tools=tools, tool_choice=ToolChoice(tool_name=tool))
        sent = json.dumps(json.loads(body.request.body))
        fits = bool(re.fullmatch(pattern, tool))
        (used,) = {found for found in re.findall(r'"name": "([^"]*)"', sent) if found != "other"}
        assert re.fullmatch(pattern, used)
        assert (used == tool) == fits
        assert sent.count(f'"{used}"') == 3
        assert told(body) == ([] if fits else [("TOOL_NAME_CHANGED", "tools[0].name")])
        assert body.tool_names == ({} if fits else {used: tool})


@for_each("name", ["openai", "anthropic"])
def test_answers_call_tools_by_the_callers_names(name: str) -> None:
    target = TARGETS[name]
    speech = AnthropicSpeech() if name == "anthropic" else OpenAISpeech()
    body = encoded(target, [USER], tools=[ToolDefinition(name="files.read")])
    (used,) = body.tool_names
    sample = Sample(reasoning=["Hm."], calls=[Call("a", used, ["{}"])])
    whole, decoder = target.dialect.read(encode_json(speech.body(sample))), target.dialect.decoder()
    whole.tool_names = decoder.answer.tool_names = body.tool_names
    events = [line for text in speech.events(sample) for line in text.splitlines() if line.startswith("data:")]
    decoder.feed([Event("", line.removeprefix("data:").strip().encode()) for line in events])
    for answer in (whole, decoder.answer):
        answer.complete()
        chunks = answer.drain_chunks()
        assert [c.tool_call_delta.name for c in chunks if c.tool_call_delta.name] == ["files.read"]
        response = answer.response()
        assert [call.name for call in response.tool_calls] == ["files.read"]
        assert [part.tool_call.name for part in response.message.parts if part.HasField("tool_call")] == ["files.read"]


def test_beginning_of_an_answer_ends_in_no_white_space() -> None:
    for beginning in (
        ChatMessage(role="assistant", content="The answer is \n"),
        ChatMessage(role="assistant", parts=[ContentPart(text="The answer"), ContentPart(text=" is \n")]),
    ):
        body = encoded(TARGETS["anthropic"], [USER, beginning])
        assert json.loads(body.request.body)["messages"][-1]["content"][-1]["text"].endswith("is")
        assert told(body) == [("PREFILL_TRIMMED", "messages[1]")]
        assert told(encoded(GPT, [USER, beginning])) == []
        assert told(encoded(TARGETS["anthropic"], [USER, beginning, LATER])) == []
