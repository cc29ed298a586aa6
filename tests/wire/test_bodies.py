"""What is sent for every feature, held against the files in tests/wire/bodies and the vendors' own SDKs.

The SDKs are imported by the tests that need them: they take seconds to load.
"""

from __future__ import annotations

from typing import Any

from proto.models_pb2 import ChatMessage, ChatRequest, ContentPart, ToolResult
from tests.rows import for_each, row
from tests.wire.adapters import speech_of
from tests.wire.body_corpus import FOLDER, README, Case, cases, columns, files, readme, texts
from tests.wire.vendor_types import OF_THE_OLDER_VERSION, validated

CASES = {case.name: case for case in cases()}

VENDORS = {
    "anthropic_budgets": "anthropic",
    "anthropic_old": "anthropic",
    "openai_reasoning": "openai",
    "openai_marks": "openai",
}
"""Of columns that are not called as their vendor."""

SERVERS_OWN_MEMBERS = {
    "vllm": {
        "top_k",
        "min_p",
        "thinking_token_budget",
        "include_reasoning",
        "chat_template_kwargs",
        "continue_final_message",
        "add_generation_prompt",
    },
    "compatible": {"top_k", "min_p"},
}
"""What self-hosted servers take beside what OpenAI does."""

SERVERS_OWN_PARTS = {"video_url"}

PASSED_ON = "parameters/all_sampling_passed_through"
OF_NO_TYPE = {
    # What a caller wants sent as it is, and another provider's tools, are for the provider to judge.
    *(f"{column}/{PASSED_ON}" for column in ("openai", "openai_reasoning", "openai_responses")),
    *(f"{column}/{PASSED_ON}" for column in ("anthropic", "anthropic_budgets", "anthropic_old")),
    "openai_responses/tools/tools_of_anthropic",
    # What this server added to its answer goes back to it.
    "compatible/reasoning/of_an_openai_compatible_server_over_a_tool_call",
    # The type wants the id that the message had when OpenAI wrote it, which nobody has of another provider's refusal.
    "openai_responses/messages/a_refusal_in_the_history",
}

every_column = for_each("column", [column.name for column in columns()])


def vendor_of(case: Case) -> str:
    return VENDORS.get(case.column.name, case.column.name)


def is_refused(body: Any) -> bool:
    return set(body) == {"refused"}


def cases_of(column: str) -> list[Case]:
    return [case for case in CASES.values() if case.column.name == column]


def test_bodies_are_those_in_their_files() -> None:
    """Their members in their order, too: what is cached by its beginning must begin alike."""
    for file, text in texts().items():
        with row(file.relative_to(FOLDER)):
            assert text == file.read_text(encoding="utf-8")


def test_every_feature_has_its_file_and_every_file_its_feature() -> None:
    assert texts().keys() == files()
    assert len({case.name for case in cases()}) == len(list(cases()))


def test_every_column_names_its_source() -> None:
    assert readme() == README.read_text(encoding="utf-8")
    for column in columns():
        assert column.source.startswith("https://"), column.name


@every_column
def test_stream_is_asked_for_with_the_same_body(column: str) -> None:
    for case in cases_of(column):
        body = case.body()
        streamed = {} if is_refused(body) else speech_of(case.column.target.dialect).stream_members
        assert case.body(stream=True) == body | streamed, case.name


def in_parts(message: ChatMessage) -> ChatMessage:
    """The same message without its short form."""
    if message.parts:
        return message
    text = [ContentPart(text=message.content)] if message.content else []
    if message.role == "tool":
        result = ToolResult(tool_call_id=message.tool_call_id, content=text)
        return ChatMessage(role="tool", parts=[ContentPart(tool_result=result)])
    calls = [ContentPart(tool_call=call) for call in message.tool_calls]
    return ChatMessage(role=message.role, name=message.name, parts=[*text, *calls])


@every_column
def test_parts_say_the_same_as_the_short_form(column: str) -> None:
    for case in cases_of(column):
        request = ChatRequest()
        request.CopyFrom(case.feature.request)
        del request.messages[:]
        request.messages.extend(in_parts(message) for message in case.feature.request.messages)
        told_in_parts = Case(case.column, case.feature._replace(request=request))
        assert told_in_parts.body() == case.body(), case.name


# --------------------------------------------------------------------------------------------------- vendors' types


def without_the_servers_own(body: dict[str, Any], vendor: str) -> dict[str, Any]:
    """What is left of a body for OpenAI's type."""
    own = SERVERS_OWN_MEMBERS.get(vendor)
    if own is None:
        return {name: value for name, value in body.items() if (vendor, name) not in OF_THE_OLDER_VERSION}
    left = {name: value for name, value in body.items() if name not in own}
    left["messages"] = [
        message | {"content": [part for part in message["content"] if part["type"] not in SERVERS_OWN_PARTS]}
        if isinstance(message["content"], list)
        else message
        for message in body["messages"]
    ]
    return left


@every_column
def test_body_is_of_the_vendors_type(column: str) -> None:
    """Also that nothing is in it which the type does not know: validation drops such members."""
    for case in cases_of(column):
        body, vendor = case.body(), vendor_of(case)
        sdk_type = speech_of(case.column.target.dialect).sdk_type
        if is_refused(body) or not sdk_type:
            continue
        ours = without_the_servers_own(body, vendor)
        with row(case.name):
            assert (known_of(sdk_type, ours) == ours) == (case.name not in OF_NO_TYPE)


def known_of(sdk_type: str, body: dict[str, Any]) -> Any:
    """What the type knows of a body; None where the body is not of the type at all."""
    try:
        return validated(sdk_type, body)
    except ValueError:
        return None


@for_each(("column", "member"), [("openai", "messages"), ("openai_responses", "tools"), ("anthropic", "max_tokens")])
def test_types_would_notice(column: str, member: str) -> None:
    body = CASES[f"{column}/tools/tools"].body()
    assert known_of(column, body) == body
    body[member] = {"odd": True}
    assert known_of(column, body) != body
