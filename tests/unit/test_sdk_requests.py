"""What people write, and the ChatRequest that it becomes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from genai_platform import (
    ChatConfig,
    ChatMessage,
    ChatRequest,
    CreateSessionRequest,
    GetPromptRequest,
    ListModelsRequest,
    ParameterPolicy,
    RegisterModelRequest,
    Session,
    SessionOptions,
    Timeouts,
    ToolDefinition,
    WindowPolicy,
)
from genai_platform.requests import TurnFields, build_chat_request, read_call
from genai_platform.session_requests import build_turn
from tests.rows import for_each

HELLO = ChatMessage(role="user", content="Hello!")


def test_a_text_is_one_message_of_the_user() -> None:
    assert build_chat_request("Hello!", {"model": "m"}) == ChatRequest(model="m", messages=[HELLO])


def test_a_list_of_messages_and_dicts_is_the_conversation() -> None:
    given: list[Any] = [{"role": "user", "content": "Hello!"}, ChatMessage(role="assistant", content="Hi.")]
    expected = ChatRequest(messages=[HELLO, ChatMessage(role="assistant", content="Hi.")])
    assert build_chat_request(given, {}) == expected
    assert build_chat_request(None, {"messages": given}) == expected
    assert build_chat_request(expected.messages, {}) == expected


def test_system_is_put_before_the_conversation() -> None:
    built = build_chat_request("Hello!", {"system": "Be brief."})
    assert list(built.messages) == [ChatMessage(role="system", content="Be brief."), HELLO]


def test_a_dict_may_hold_every_field_of_a_message() -> None:
    call = {"id": "c1", "name": "f", "arguments_json": "{}"}
    message = build_chat_request([{"role": "assistant", "tool_calls": [call]}], {}).messages[0]
    assert message.tool_calls[0].id == "c1"


def test_fields_of_the_config_may_be_given_flat_and_zero_is_kept() -> None:
    built = build_chat_request("Hello!", {"temperature": 0, "max_tokens": 50, "stop_sequences": ["."], "seed": None})
    assert built.config == ChatConfig(temperature=0, max_tokens=50, stop_sequences=["."])
    assert built.config.HasField("temperature")
    assert not built.config.HasField("seed")


def test_a_flat_field_wins_over_the_config_which_is_not_changed() -> None:
    config = ChatConfig(temperature=1, top_p=0.5, stop_sequences=["a"])
    built = build_chat_request("Hello!", {"config": config, "temperature": 0.2, "stop_sequences": ["b"]})
    assert built.config == ChatConfig(temperature=0.2, top_p=0.5, stop_sequences=["b"])
    assert config.temperature == 1


def test_messages_may_be_given_as_dicts_everywhere() -> None:
    built = build_chat_request("Hello!", {"tools": [{"name": "f"}], "config": {"top_k": 3}, "tags": {"a": "b"}})
    assert built.tools[0] == ToolDefinition(name="f")
    assert built.config.top_k == 3
    assert dict(built.tags) == {"a": "b"}


def test_an_enum_is_taken_by_number_and_by_name() -> None:
    for policy in (ParameterPolicy.PARAMETER_POLICY_STRICT, "PARAMETER_POLICY_STRICT"):
        assert build_chat_request("Hello!", {"parameter_policy": policy}).parameter_policy == 2


def test_a_request_is_sent_as_it_is() -> None:
    request = ChatRequest(model="m")
    assert build_chat_request(request, {}) is request


@for_each(
    ("given", "fields", "text"),
    [
        (ChatRequest(model="m"), {"temperature": 1.0}, "sent as it is: set temperature in it"),
        ("Hello!", {"modle": "m"}, r"^modle: no such field; did you mean model\?$"),
        ("Hello!", {"messages": [HELLO]}, "given twice"),
        (
            "Hello!",
            {"timeouts": {"first_tok": 3}},
            "timeouts.first_tok: no such field; Timeouts has connect, first_out",
        ),
        ("Hello!", {"cache": {"ttl": 3}}, "cache.ttl: no such field; AnswerCache has max_age"),
        (17, {}, "not 17"),
        (b"Hello!", {}, "not a bytes"),
        (["Hello!"], {}, r"messages\[0\]: must be a ChatMessage or a dict of its fields, not a str"),
        ([HELLO, {"role": "user", "text": "x"}], {}, r"messages\[1\].text: no such field; did you mean content\?"),
        ([{"role": "user", "content": [3]}], {}, r"messages\[0\].parts\[0\]: must be a ContentPart or a dict .* not 3"),
    ],
)
def test_what_cannot_be_a_chat_is_a_type_error_that_says_so(given: Any, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        build_chat_request(given, fields)


def test_request_is_written_as_keywords_or_whole_with_its_first_field_by_position() -> None:
    expected = RegisterModelRequest(name="m", endpoints=["http://a", "http://b"])
    fields = {"endpoints": ("http://a", "http://b"), "credential": None, "timeout": 3}
    assert read_call(RegisterModelRequest, "m", fields) == (expected, {"timeout": 3})
    assert read_call(RegisterModelRequest, None, {"name": "m", **fields}) == (expected, {"timeout": 3})
    assert read_call(RegisterModelRequest, expected, {"metadata": {"a": "b"}}) == (expected, {"metadata": {"a": "b"}})


def test_metadata_is_the_field_of_a_request_that_has_one() -> None:
    request, options = read_call(CreateSessionRequest, None, {"metadata": {"a": "b"}, "ttl": 60})
    assert request == CreateSessionRequest(metadata={"a": "b"}, ttl=timedelta(seconds=60))
    assert options == {}
    assert read_call(CreateSessionRequest, request, {"metadata": {"c": "d"}})[1] == {"metadata": {"c": "d"}}


@for_each(
    ("given", "fields", "text"),
    [
        (
            RegisterModelRequest(name="m"),
            {"endpoint": "a"},
            "a RegisterModelRequest is sent as it is: set endpoint in it",
        ),
        (None, {"name": "m", "url": "http://a"}, r"url: no such field; did you mean endpoint\?"),
        (None, {"api_key": "k"}, r'api_key: no such field; did you mean credential=\{"env_var": …\}\?'),
        (GetPromptRequest(), {}, "must be a RegisterModelRequest, or its fields as keywords, not a GetPromptRequest"),
        (3, {}, "must be a RegisterModelRequest, or its fields as keywords, not 3"),
        ("m", {"name": "m"}, "name is given twice"),
        (None, {"endpoints": "http://a"}, "endpoints: must be a list of texts, not one text; put it into brackets"),
    ],
)
def test_what_cannot_be_the_request_is_a_type_error(given: Any, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        read_call(RegisterModelRequest, given, fields)


def test_listing_has_no_field_by_position() -> None:
    with pytest.raises(TypeError, match="must be a ListModelsRequest, or its fields as keywords, not a str"):
        read_call(ListModelsRequest, "openai", {})


def test_a_turn_is_what_is_said_over_what_the_conversation_was_opened_with() -> None:
    session = Session(session_id="s", user_id="u")
    opened: TurnFields = {"model": "m", "temperature": 0, "session": {"window": {"max_messages": 4}}}
    turn = build_turn(session, opened, "Hello!", None, "r", {"max_tokens": 5, "model": None})
    assert turn == ChatRequest(
        model="m",
        messages=[HELLO],
        config=ChatConfig(temperature=0, max_tokens=5),
        session_id="s",
        session=SessionOptions(window=WindowPolicy(max_messages=4), user_id="u"),
        request_id="r",
    )


def test_config_of_a_turn_takes_the_place_of_the_settings_it_was_opened_with() -> None:
    opened: TurnFields = {"temperature": 0, "config": {"seed": 1}}
    turn = build_turn(Session(session_id="s"), opened, "Hello!", "Be brief.", None, {"config": {"top_p": 0.5}})
    assert turn.config == ChatConfig(top_p=0.5)
    assert list(turn.messages) == [ChatMessage(role="system", content="Be brief."), HELLO]
    assert not turn.HasField("session")


def test_timeouts_may_be_seconds() -> None:
    clocks = {"connect": 1, "first_output": 0.5, "total": timedelta(minutes=1)}
    request = build_chat_request("Hi", {"timeouts": clocks})
    assert request.timeouts == Timeouts(
        connect=timedelta(seconds=1), first_output=timedelta(seconds=0.5), total=timedelta(minutes=1)
    )
