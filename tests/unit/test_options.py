"""Reserved members of provider options, in any spelling."""

from __future__ import annotations

import json

import pytest

from docs.features import endpoint_target, vendor_target
from proto.models_pb2 import (
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    ProviderTool,
    RegisterModelRequest,
    ToolDefinition,
)
from services.models.access.credentials import Credentials
from services.models.custom_models.registration import build_registered_model
from services.models.providers.base import Conversation
from services.models.providers.encoding import encode
from services.models.validation.extra_body import reserved_in, reserved_members_in
from services.models.validation.limits import MAX_OPTIONS
from services.models.validation.request import check_chat_request
from services.shared.errors import InvalidRequest
from tests.rows import for_each, row

HELLO = ChatMessage(role="user", content="Hello")

TARGETS = {
    "openai": vendor_target("openai", "gpt-4o"),
    "openai-compatible": endpoint_target("openai-compatible"),
    "vllm": endpoint_target("vllm"),
    "anthropic": vendor_target("anthropic", "claude-haiku-4-5"),
}

# Go's encoding/json matches without case and knows these two letters; Java's strings know the two that are an i; some
# readers take names without what separates words, and to C a name ends at its NUL.
SPELLINGS = [
    ('"Model"', "model"),
    ('"MODEL"', "model"),
    ('"\\u006dodel"', "model"),
    ('"\\u004dodel"', "model"),
    ('"mode\\u006c\\u0000x"', "model"),
    ('"model_"', "model"),
    ('" model"', "model"),
    ('"STREAM"', "stream"),
    ('"\u017ftream"', "stream"),
    ('"bac\u212aground"', "background"),
    ('"\u0131nput"', "input"),
    ('"\u0130nput"', "input"),
    ('"N"', "n"),
    ('"previousResponseId"', "previous_response_id"),
    ('"previous-response-id"', "previous_response_id"),
    ('"temperature":1,"Messages"', "messages"),
    ('"user":1,"user":2,"System"', "system"),
]
OTHERS = [
    "stream_options",
    "models",
    "response_format",
    "modell",
    "nn",
    "top_k",
    "model.name2",
    "tools",
    "x\0model",
    "",
]

every_spelling = for_each(("written", "meant"), SPELLINGS)


def encoded(options: str, provider: str = "openai", *others: ChatMessage) -> None:
    request = ChatRequest(model="m", messages=[HELLO, *others], provider_options_json={provider: options})
    encode(Conversation(request, request.messages), TARGETS[provider], stream=False)


def refused(options: str, provider: str = "openai", *others: ChatMessage) -> list[tuple[str, str]]:
    """The fields that are refused, and why."""
    with pytest.raises(InvalidRequest) as raised:
        encoded(options, provider, *others)
    return [(violation.field, violation.description) for violation in raised.value.violations]


@for_each("provider", ["openai", "openai-compatible", "vllm", "anthropic"])
def test_dialects_refuse_what_would_change_the_question(provider: str) -> None:
    for name in ("model", "messages", "system", "stream", "n", "input", "instructions", "conversation", "background"):
        ((field, _),) = refused(json.dumps({name: 1}), provider)
        assert field == f"provider_options_json[{provider}]"


def test_other_members_are_allowed() -> None:
    encoded(json.dumps(dict.fromkeys(OTHERS, 1)))


def test_reserved_options_are_told_with_the_other_problems_of_a_request() -> None:
    video = ChatMessage(role="user", parts=[ContentPart(media=Media(file_id="file_1", mime_type="video/mp4"))])
    told = refused('{"model": 1, "n": 2}', "openai-compatible", video)
    assert [field for field, _ in told] == [
        "messages[1].parts[0].media.file_id",
        "provider_options_json[openai-compatible]",
    ]


def test_options_of_another_provider_are_not_looked_at() -> None:
    request = ChatRequest(model="m", messages=[HELLO], provider_options_json={"vllm": '{"model": 1}'})
    assert b'"model":1' not in encode(Conversation(request, [HELLO]), TARGETS["openai"], stream=False).request.body


def test_members_within_objects_may_be_reserved() -> None:
    reserved = frozenset({"contents", "config.candidateCount", "config.audio.voice"})
    for options, found in (
        ('{"config": {"candidateCount": 2}}', ["config.candidateCount"]),
        ('{"Config": {"candidate_count": 2}}', ["config.candidateCount"]),
        ('{"config": {}, "CONFIG": {"candidateCount": 2}}', ["config.candidateCount"]),
        ('{"config": {"audio": {"Voice": "x"}}, "contents": []}', ["contents", "config.audio.voice"]),
        ('{"config": {"topK": 2, "audio": null}, "candidateCount": 2}', []),
        ('{"config": 5, "other": {"contents": 1}}', []),
    ):
        with row(options):
            assert reserved_members_in(options, reserved) == found


def test_each_of_several_sets_is_compared() -> None:
    names = ["Audio", "x", "MODALITIES"]
    assert reserved_in(names, frozenset({"modalities", "audio"})) == ["audio", "modalities"]
    assert reserved_in(names, frozenset({"audio", "type"})) == ["audio"]


@every_spelling
def test_request_may_not_set_them(written: str, meant: str) -> None:
    assert refused(f"{{{written}:1}}") == [
        ("provider_options_json[openai]", f"must not set {meant}: the request itself says them")
    ]


@every_spelling
def test_registration_may_not_set_them(written: str, meant: str) -> None:
    request = RegisterModelRequest(
        name="m", endpoint="http://127.0.0.1/v1", adapter_type="vllm", default_options_json=f"{{{written}:1}}"
    )
    with pytest.raises(InvalidRequest) as raised:
        build_registered_model(request, Credentials())
    (violation,) = raised.value.violations
    assert violation.field == "default_options_json"
    assert violation.description == f"must not set {meant}: each request says them itself"


@for_each("name", ["type", "Type", "TYPE", "\\u0074ype", "t_ype", "type\\u0000"])
def test_tool_of_a_provider_has_its_type_from_the_field(name: str) -> None:
    tool = ToolDefinition(provider_tool=ProviderTool(type="x", config_json=f'{{"{name}":"y"}}'))
    with pytest.raises(InvalidRequest) as raised:
        check_chat_request(ChatRequest(model="m", messages=[HELLO], tools=[tool]))
    assert [violation.field for violation in raised.value.violations] == ["tools[0].provider_tool.config_json"]


def test_options_of_too_many_providers_are_refused() -> None:
    options = {f"p{number}": "[]" for number in range(MAX_OPTIONS + 1)}
    with pytest.raises(InvalidRequest) as raised:
        check_chat_request(ChatRequest(model="m", messages=[HELLO], provider_options_json=options))
    assert raised.value.violations[0].field == "provider_options_json"
    assert len(raised.value.violations) == MAX_OPTIONS + 1


@for_each("number", ["1" * 5000, "1e400", "-0.0"])
def test_number_of_an_option_may_have_any_length(number: str) -> None:
    options = {"anthropic": f'{{"max_tokens":{number}}}'}
    request = ChatRequest(model="m", messages=[HELLO], provider_options_json=options)
    check_chat_request(request)
    body = encode(Conversation(request, [HELLO]), TARGETS["anthropic"], stream=False)
    assert f'"max_tokens":{number}'.encode() in body.request.body
