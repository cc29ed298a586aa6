"""Prompt-cache marks in both of OpenAI's dialects."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.duration_pb2 import Duration

from proto.models_pb2 import (
    PARAMETER_POLICY_STRICT,
    ChatMessage,
    ChatRequest,
    ContentPart,
    PromptCache,
    ToolDefinition,
    ToolResult,
)
from services.models.catalog.vendors import openai
from services.models.providers.base import Conversation, Dialect, Encoded, Target
from services.models.providers.encoding import encode
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.providers.openai.select import OPENAI
from tests.rows import for_each

MARK = PromptCache()
EXPLICIT = {"mode": "explicit"}

both_dialects = for_each("dialect", [OPENAI, OPENAI_RESPONSES], ids=["chat", "responses"])


def encoded(dialect: Dialect, *messages: ChatMessage, model: str = "gpt-5.6", **fields: Any) -> Encoded:
    target = Target(dialect, "openai", model, "https://api.openai.com/v1", {}, openai.VENDOR.facts(model))
    request = ChatRequest(model=model, messages=messages, **fields)
    return encode(Conversation(request, request.messages), target, stream=False)


def sent(body: Encoded) -> list[dict[str, Any]]:
    members = json.loads(body.request.body)
    items: list[dict[str, Any]] = members.get("messages") or members["input"]
    return items


def told(body: Encoded) -> list[tuple[str, str]]:
    return [(notice.code, notice.field) for notice in body.notices]


@both_dialects
@for_each(
    ("seconds", "lifetime", "codes"),
    [
        (1800, "30m", []),
        (43_200, "12h", []),
        (300, "30m", ["PARAMETER_CHANGED"]),
        (86_400, "12h", ["PARAMETER_CHANGED"]),
    ],
)
def test_lifetime_is_the_nearest_that_there_is(dialect: Dialect, seconds: int, lifetime: str, codes: list[str]) -> None:
    mark = PromptCache(ttl=Duration(seconds=seconds))
    body = encoded(dialect, ChatMessage(role="user", parts=[ContentPart(text="Long.", cache=mark)]))
    assert sent(body)[0]["content"][0]["prompt_cache_breakpoint"] == {**EXPLICIT, "ttl": lifetime}
    assert told(body) == [(code, "messages[0].parts[0].cache.ttl") for code in codes]


@both_dialects
def test_mark_on_an_empty_text_is_left_out_with_it_and_named(dialect: Dialect) -> None:
    parts = [ContentPart(text="Long.", cache=MARK), ContentPart(text="", cache=MARK)]
    body = encoded(dialect, ChatMessage(role="user", parts=parts))
    assert [part["text"] for part in sent(body)[0]["content"]] == ["Long."]
    assert told(body) == [("PARAMETER_DROPPED", "messages[0].parts[1].cache")]


@both_dialects
@for_each(
    "message",
    [
        ChatMessage(role="assistant", parts=[ContentPart(text="Hi.", cache=MARK)]),
        ChatMessage(role="tool", parts=[ContentPart(tool_result=ToolResult(tool_call_id="a"), cache=MARK)]),
    ],
    ids=["an answer", "a result as a whole"],
)
def test_mark_where_none_can_be_is_told(dialect: Dialect, message: ChatMessage) -> None:
    body = encoded(dialect, ChatMessage(role="user", content="Hello"), message)
    assert told(body) == [("PARAMETER_DROPPED", "messages[1].parts[0].cache")]
    assert b"prompt_cache_breakpoint" not in body.request.body


@both_dialects
def test_mark_on_a_tool_is_told(dialect: Dialect) -> None:
    tools = [ToolDefinition(name="find"), ToolDefinition(name="keep", cache=MARK)]
    hello = ChatMessage(role="user", content="Hello")
    body = encoded(dialect, hello, tools=tools)
    assert told(body) == [("PARAMETER_DROPPED", "tools[1].cache")]
    assert b"cache" not in body.request.body
    assert told(encoded(dialect, hello, tools=tools, model="gpt-4o")) == []


@both_dialects
def test_model_that_caches_by_itself_is_sent_no_mark(dialect: Dialect) -> None:
    """Nothing is lost, so nothing is told, and STRICT refuses nothing."""
    message = ChatMessage(role="user", parts=[ContentPart(text="Long.", cache=MARK)])
    body = encoded(dialect, message, model="gpt-4o", parameter_policy=PARAMETER_POLICY_STRICT)
    assert sent(body)[0]["content"] == "Long."
    assert told(body) == []
