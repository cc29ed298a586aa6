"""Limits of requests: violations are found quickly, and time grows with the size of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from proto import models_pb2, sessions_pb2
from proto.models_pb2 import (
    ChatConfig,
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    PromptCache,
    PromptRef,
    ProviderState,
    Reasoning,
    ResponseFormat,
    ToolCall,
    ToolDefinition,
    ToolResult,
)
from services.models.access.credentials import Credentials
from services.models.chat.system_prompt import fill
from services.models.custom_models.registration import build_registered_model
from services.models.prompts.record import Resolved
from services.models.prompts.requests import check_list, check_reference
from services.models.prompts.version import build_version
from services.models.providers.anthropic.dialect import ANTHROPIC
from services.models.providers.base import Conversation, Target
from services.models.providers.encoding import encode
from services.models.providers.facts import ModelFacts
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.providers.openai.select import OPENAI
from services.models.providers.requests.policy import MAX_NOTICES
from services.models.sessions.history import with_history
from services.models.validation.limits import (
    MAX_EFFORTS,
    MAX_MESSAGES,
    MAX_OPTIONS,
    MAX_PARTS,
    MAX_PARTS_IN_ALL,
    MAX_PROMPT_TAGS,
    MAX_STOP_SEQUENCES,
    MAX_TAGS,
    MAX_TOOLS,
    MAX_VARIABLES,
)
from services.models.validation.request import check_chat_request
from services.models.validation.work import FEW_BYTES, Contents, message_work, work_to_check
from services.shared.errors import InvalidRequest, PlatformError
from services.shared.offload import LARGE_BYTES
from tests.rows import for_each
from tests.timing import cpu_seconds, is_in_proportion

HELLO = ChatMessage(role="user", content="Hello")


def ask(*messages: ChatMessage, **fields: Any) -> ChatRequest:
    return ChatRequest(**({"model": "gpt-4o", "messages": messages or [HELLO]} | fields))


def texts(count: int, role: str = "user") -> ChatMessage:
    return ChatMessage(role=role, tool_call_id="a" * (role == "tool"), parts=[ContentPart(text="x")] * count)


def calls(count: int) -> list[ToolCall]:
    return [ToolCall(id=str(number), name="find") for number in range(count)]


def result(count: int) -> ContentPart:
    return ContentPart(tool_result=ToolResult(tool_call_id="a", content=[ContentPart(text="x")] * count))


def in_messages(count: int, each: Callable[[int], ChatMessage]) -> list[ChatMessage]:
    """So many parts, in messages that have no more than they may."""
    full, rest = divmod(count, MAX_PARTS // 2)
    return [*[each(MAX_PARTS // 2)] * full, *([each(rest)] if rest else [])]


def define_model(request: models_pb2.RegisterModelRequest) -> None:
    build_registered_model(request, Credentials(), by_stranger=False)


def violations_of(check: Callable[..., object], *arguments: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as raised:
        check(*arguments)
    return dict(raised.value.violations)


# ------------------------------------------------------------------------------------------------------------ counts

TOO_MANY: dict[str, tuple[Callable[[int], ChatRequest], int, str]] = {
    "messages": (lambda count: ask(*[HELLO] * count), MAX_MESSAGES, "messages"),
    "parts of a message": (lambda count: ask(texts(count)), MAX_PARTS, "messages[0].parts"),
    "calls of a message": (
        lambda count: ask(ChatMessage(role="assistant", tool_calls=calls(count))),
        MAX_PARTS,
        "messages[0].tool_calls",
    ),
    "content of a result": (
        lambda count: ask(ChatMessage(role="tool", parts=[result(count)])),
        MAX_PARTS,
        "messages[0].parts[0].tool_result.content",
    ),
    "parts of all messages": (lambda count: ask(*in_messages(count, texts)), MAX_PARTS_IN_ALL, "messages"),
    "calls of all messages": (
        lambda count: ask(*in_messages(count, lambda some: ChatMessage(role="assistant", tool_calls=calls(some)))),
        MAX_PARTS_IN_ALL,
        "messages",
    ),
    "content of all results": (
        lambda count: ask(*in_messages(count, lambda some: ChatMessage(role="tool", parts=[result(some - 1)]))),
        MAX_PARTS_IN_ALL,
        "messages",
    ),
    "tools": (
        lambda count: ask(tools=[ToolDefinition(name=f"t{number}") for number in range(count)]),
        MAX_TOOLS,
        "tools",
    ),
    "stop sequences": (
        lambda count: ask(config=ChatConfig(stop_sequences=["x"] * count)),
        MAX_STOP_SEQUENCES,
        "config.stop_sequences",
    ),
    "tags": (lambda count: ask(tags={str(number): "" for number in range(count)}), MAX_TAGS, "tags"),
    "options": (
        lambda count: ask(provider_options_json={str(number): "{}" for number in range(count)}),
        MAX_OPTIONS,
        "provider_options_json",
    ),
}


@for_each(("make", "limit", "field"), TOO_MANY.values(), ids=TOO_MANY)
def test_as_many_as_the_limit_are_fine_and_one_more_is_refused_by_its_field(
    make: Callable[[int], ChatRequest], limit: int, field: str
) -> None:
    check_chat_request(make(limit))
    assert f"more than {limit} " in violations_of(check_chat_request, make(limit + 1))[field]


def test_variables_have_a_limit_in_prompts_and_in_references() -> None:
    def content(count: int) -> str:
        return "".join(f"{{{{v{number}}}}}" for number in range(count))

    build_version(models_pb2.RegisterPromptRequest(name="a", content=content(MAX_VARIABLES)))
    more = models_pb2.RegisterPromptRequest(name="a", content=content(MAX_VARIABLES + 1))
    assert violations_of(build_version, more) == {"content": f"has more than {MAX_VARIABLES} variables"}
    values = {f"v{number}": "" for number in range(MAX_VARIABLES + 1)}
    assert violations_of(check_reference, PromptRef(name="a", variables=values)) == {
        "prompt.variables": f"holds more than {MAX_VARIABLES} entries"
    }


def test_search_terms_for_prompts_have_a_limit() -> None:
    tags = ["x"] * MAX_PROMPT_TAGS
    check_list(models_pb2.ListPromptsRequest(query="x" * 128, label="y" * 128, tags=tags))
    more = models_pb2.ListPromptsRequest(query="x" * 129, label="y" * 129, tags=[*tags, "x"])
    assert list(violations_of(check_list, more)) == ["query", "label", "tags"]


CAPABILITIES: dict[str, tuple[dict[str, Any], str]] = {
    "parameters again and again": ({"unsupported_parameters": ["seed"] * 1000}, "unsupported_parameters"),
    "very many efforts": ({"reasoning_efforts": ["low"] * (MAX_EFFORTS + 1)}, "reasoning_efforts"),
    "a long effort": ({"reasoning_efforts": ["low", "x" * 33]}, "reasoning_efforts[1]"),
    "an unknown state": ({"lifecycle": {"state": 99}}, "lifecycle.state"),
    "a negative state": ({"lifecycle": {"state": -(2**31)}}, "lifecycle.state"),
    "a day in other digits": ({"as_of": "٢٠٢٦-٠١-٠١"}, "as_of"),
    "no day of a deprecation": ({"lifecycle": {"deprecation_date": "soon"}}, "lifecycle.deprecation_date"),
    "no day of a shutdown": ({"lifecycle": {"shutdown_date": "2026-1-1"}}, "lifecycle.shutdown_date"),
    "no tokens": ({"context_window": -(2**31)}, "context_window"),
    "a negative price": ({"prices": {"cache_write_nano_usd": -1}}, "prices.cache_write_nano_usd"),
    "an unseen source": ({"source": "card\u202e"}, "source"),
}


def register(**fields: Any) -> models_pb2.RegisterModelRequest:
    known = {"name": "mine", "endpoint": "http://127.0.0.1:9/v1", "adapter_type": "openai"}
    return models_pb2.RegisterModelRequest(**(known | fields))


@for_each(("capabilities", "field"), CAPABILITIES.values(), ids=CAPABILITIES)
def test_capabilities_that_none_can_have(capabilities: dict[str, Any], field: str) -> None:
    request = register(capabilities=models_pb2.ModelCapabilities(**capabilities))
    assert list(violations_of(define_model, request)) == [f"capabilities.{field}"]


# ------------------------------------------------------------------------------------------------------------- values

UNSEEN = ("\x00", "\x1f", "\x7f", "\x85", "\x9b", "\u200b", "\u200d", "\u202e", "\u2028", "\u2066", "\ufeff")


@for_each("character", UNSEEN, ids=ascii)
def test_names_have_no_invisible_characters(character: str) -> None:
    text = f"a{character}b"
    assert list(violations_of(check_chat_request, ask(model=text))) == ["model"]
    assert list(violations_of(check_chat_request, ask(prompt_cache_key=text))) == ["prompt_cache_key"]
    assert violations_of(check_chat_request, ask(tags={"t": text}))["tags[t]"].startswith("contains control or unseen")
    assert list(violations_of(check_chat_request, ask(tags={text: "t"}))) == ["tags[a?b]"]
    for field in ("provider", "upstream_model"):
        assert list(violations_of(define_model, register(**{field: text}))) == [field]
    assert list(violations_of(define_model, register(aliases=[text]))) == ["aliases[0]"]


def test_content_has_any_characters_and_names_of_people_may_have_joiners() -> None:
    text = "".join(UNSEEN)
    check_chat_request(ask(ChatMessage(role="user", content=text), ChatMessage(role="user", parts=[{"text": text}])))
    persian = "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"
    metadata = models_pb2.PromptMetadata(author=persian, reviewed_by=persian)
    build_version(models_pb2.RegisterPromptRequest(name="a", content="x", metadata=metadata))
    named = Media(data=b"x", mime_type="image/png", filename=persian)
    check_chat_request(ask(ChatMessage(role="user", parts=[ContentPart(media=named)])))
    metadata.author = "a\u202eb"
    request = models_pb2.RegisterPromptRequest(name="a", content="x", metadata=metadata)
    assert list(violations_of(build_version, request)) == ["metadata.author"]


NO_DURATIONS = [
    Duration(nanos=10**9),
    Duration(nanos=-(10**9)),
    Duration(nanos=2**31 - 1),
    Duration(nanos=-(2**31)),
    Duration(seconds=2, nanos=-1),
    Duration(seconds=-1, nanos=1),
    Duration(seconds=1, nanos=2**31 - 1),
    Duration(seconds=2**63 - 1, nanos=999_999_999),
    Duration(seconds=-(2**63)),
]


@for_each("ttl", NO_DURATIONS, ids=lambda ttl: f"{ttl.seconds} s {ttl.nanos} ns")
def test_invalid_duration_is_refused_in_every_field(ttl: Duration) -> None:
    cache = PromptCache(ttl=ttl)
    tool = ToolDefinition(name="find", cache=cache)
    part = ContentPart(text="x", cache=cache)
    message = ChatMessage(role="user", parts=[part])
    inner = ToolResult(tool_call_id="a", content=[part])
    answer = ChatMessage(role="tool", parts=[ContentPart(tool_result=inner)])
    for request, field in (
        (ask(tools=[tool]), "tools[0].cache.ttl"),
        (ask(message), "messages[0].parts[0].cache.ttl"),
        (ask(answer), "messages[0].parts[0].tool_result.content[0].cache.ttl"),
    ):
        assert violations_of(check_chat_request, request) == {field: "is not a valid duration"}
    defaults = models_pb2.PromptDefaults(tools=[tool])
    prompt = models_pb2.RegisterPromptRequest(name="a", content="x", defaults=defaults)
    assert list(violations_of(build_version, prompt)) == ["defaults.tools[0].cache.ttl"]


# -------------------------------------------------------------------------------------------------------------- costs


def test_search_for_violations_stops_at_the_limit() -> None:
    request = ask(*[ChatMessage(role="robot")] * MAX_MESSAGES)
    assert len(violations_of(check_chat_request, request)) == 20
    assert cpu_seconds(lambda: violations_of(check_chat_request, request)) < 0.01


LARGE: dict[str, ChatRequest] = {
    "parts": ask(*in_messages(FEW_BYTES // 4, lambda some: texts(some, "assistant"))),
    "calls": ask(*in_messages(FEW_BYTES // 8, lambda some: ChatMessage(role="assistant", tool_calls=calls(some)))),
    "content of results": ask(ChatMessage(role="tool", parts=[result(MAX_PARTS)] * 9)),
    "messages": ask(*[HELLO] * MAX_MESSAGES),
    "text": ask(ChatMessage(role="user", content="x" * LARGE_BYTES)),
    "schemas": ask(tools=[ToolDefinition(name="find", parameters_json="x" * (LARGE_BYTES // 8))]),
    "a schema": ask(response_format=ResponseFormat(schema_json="x" * (LARGE_BYTES // 8))),
    "options": ask(provider_options_json={"openai": "x" * (LARGE_BYTES // 8)}),
}


@for_each("request_", LARGE.values(), ids=LARGE)
def test_work_counts_expensive_fields_and_not_only_bytes(request_: ChatRequest) -> None:
    assert work_to_check(request_) >= LARGE_BYTES
    if request_.messages[0].parts or request_.messages[0].tool_calls:
        conversation = Conversation(request_, request_.messages, contents=check_chat_request(request_))
        assert conversation.work() >= LARGE_BYTES


def test_what_is_checked_on_the_loop_takes_no_longer_than_others_can_wait() -> None:
    """CPU time; as many parts as there can be in what is too small for a thread, with room of a factor of three."""
    request = ask(texts(FEW_BYTES // 6, "assistant"))
    assert work_to_check(request) <= FEW_BYTES
    assert cpu_seconds(lambda: check_chat_request(request), tries=3) < 0.02


@for_each("kind", ["text", "reasoning", "tool_call"])
def test_opaque_state_is_work_as_json_is(kind: str) -> None:
    part = ContentPart(provider_state=ProviderState(provider="own", data=b"x" * (LARGE_BYTES // 8)))
    if kind == "text":
        part.text = "x"
    else:
        getattr(part, kind).SetInParent()
    request = ask(ChatMessage(role="assistant", parts=[part]))
    assert Conversation(request, request.messages, contents=Contents(parts=1)).work() >= LARGE_BYTES


def test_ordinary_request_is_no_large_work() -> None:
    conversation = [HELLO, ChatMessage(role="assistant", content="x" * 4000)] * 50
    request = ask(*conversation, tools=[ToolDefinition(name="find", parameters_json="{}" + " " * 4000)])
    assert work_to_check(request) < LARGE_BYTES
    assert work_to_check(ask()) == ask().ByteSize()


def test_parts_of_history_and_request_are_counted_together() -> None:
    request = ask(texts(3))
    stored = [sessions_pb2.SessionMessage(message=message) for message in (HELLO, texts(4), texts(5))]
    asked = Conversation(request, request.messages, contents=check_chat_request(request))
    whole = with_history(asked, sessions_pb2.GetContextResponse(messages=stored))
    assert (asked.contents.parts, whole.contents.parts) == (3, 12)


def test_work_is_estimated_without_counting_everything() -> None:
    message = ChatMessage(role="tool", parts=[ContentPart(tool_result=ToolResult())] * 200_000)
    assert message_work([message] * 1000, 10_000) >= LARGE_BYTES
    assert cpu_seconds(lambda: message_work([message] * 1000, 10_000)) < 0.01


FACTS = ModelFacts(default_max_tokens=9)
TARGETS = [
    Target(dialect, "p", "m", "", {}, FACTS, state_owner=owner)
    for dialect, owner in ((OPENAI, "openai"), (OPENAI_RESPONSES, "openai"), (ANTHROPIC, "anthropic"))
]
STATE = {
    "openai": b'{"type":"reasoning","summary":[]}',
    "anthropic": b'{"type":"thinking","thinking":"x","signature":"y"}',
}


def thoughts(count: int, owner: str) -> ChatMessage:
    kept = ProviderState(provider=owner, data=STATE[owner])
    thought = ContentPart(reasoning=Reasoning(text="x"), provider_state=kept)
    return ChatMessage(role="assistant", parts=[*[thought] * count, ContentPart(text="x")])


GROWING: dict[str, Callable[[int, str], list[ChatMessage]]] = {
    "messages": lambda count, owner: [HELLO] * count,
    "turns": lambda count, owner: [HELLO, ChatMessage(role="assistant", content="x")] * (count // 2),
    "systems": lambda count, owner: [HELLO, ChatMessage(role="system", content="x")] * (count // 2),
    "parts": lambda count, owner: [texts(count)],
    "marked parts": lambda count, owner: [
        ChatMessage(role="user", parts=[ContentPart(text="x", cache=PromptCache())] * count)
    ],
    "blank parts": lambda count, owner: [
        HELLO,
        ChatMessage(role="user", parts=[ContentPart(text=" "), ContentPart(text="x")] * (count // 2)),
    ],
    "media": lambda count, owner: [
        ChatMessage(role="user", parts=[ContentPart(media=Media(url="https://x/y.png"))] * count)
    ],
    "calls and results": lambda count, owner: [
        HELLO,
        ChatMessage(role="assistant", tool_calls=calls(count // 2)),
        *(ChatMessage(role="tool", tool_call_id=str(number), content="x") for number in range(count // 2)),
    ],
    "calls of one id": lambda count, owner: [
        HELLO,
        *[ChatMessage(role="assistant", tool_calls=[ToolCall(id=" ", name="f")])] * count,
    ],
    "results in one message": lambda count, owner: [
        HELLO,
        ChatMessage(role="assistant", tool_calls=calls(count // 2)),
        ChatMessage(
            role="tool",
            parts=[ContentPart(tool_result=ToolResult(tool_call_id=str(number))) for number in range(count // 2)],
        ),
    ],
    "content of a result": lambda count, owner: [HELLO, ChatMessage(role="tool", parts=[result(count)])],
    "thoughts": lambda count, owner: [HELLO, thoughts(count, owner)],
    "names": lambda count, owner: [ChatMessage(role="user", content="x", name="ada")] * count,
}


@for_each("target", TARGETS, ids=["openai", "openai_responses", "anthropic"])
@for_each("kind", GROWING)
def test_checking_and_encoding_take_time_in_proportion(kind: str, target: Target) -> None:
    def work(count: int) -> Callable[[], object]:
        request = ask(*GROWING[kind](count, target.state_owner))
        check_chat_request(request)

        def both() -> object:
            check_chat_request(request)
            try:
                return encode(Conversation(request, request.messages), target, stream=False)
            except PlatformError:
                return None

        return both

    assert is_in_proportion(work(MAX_PARTS // 8), work(MAX_PARTS // 2), 10)


def test_warnings_of_a_kind_have_a_limit_and_say_so() -> None:
    request = ask(*[ChatMessage(role="user", content="x", name="ada")] * 1000)
    body = encode(Conversation(request, request.messages), TARGETS[2], stream=False)
    assert [warning.code for warning in body.notices] == [*["NAME_DROPPED"] * MAX_NOTICES, "WARNINGS_NOT_LISTED"]
    assert str(1000 - MAX_NOTICES) in body.notices[-1].message


def test_prompt_with_a_place_in_every_word_is_filled_in_proportion() -> None:
    def work(count: int) -> Callable[[], object]:
        prompt = models_pb2.Prompt(name="a", content="{{a}}" * count, variables=["a"])
        return lambda: fill(Resolved(prompt, ""), {"a": "x"})

    assert is_in_proportion(work(20_000), work(80_000), 10)
