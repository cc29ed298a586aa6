"""The features that docs/features.md and tests/wire/bodies are about, each as the request that has it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration

from proto.models_pb2 import (
    PARAMETER_POLICY_PASSTHROUGH,
    TOOL_CHOICE_MODE_AUTO,
    TOOL_CHOICE_MODE_NONE,
    TOOL_CHOICE_MODE_REQUIRED,
    ChatConfig,
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    PromptCache,
    ProviderState,
    ProviderTool,
    Reasoning,
    ReasoningConfig,
    ResponseFormat,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)
from services.models.catalog.vendors import VENDORS

SCHEMA = '{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]}'
SIMPLE_SCHEMA = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}'

MAP = (
    '{"type":"object","properties":{"n":{"type":"object","additionalProperties":{"type":"integer"}}},"required":["n"]}'
)
OTHER_WORDS = (
    '{"type":"OBJECT","properties":{"a":{"type":"list"},"b":{"type":"any"},"c":{"type":"str","required":true}}}'
)
ALTERNATIVES = (
    '{"anyOf":[{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]},'
    '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}]}'
)

USER = ChatMessage(role="user", content="Hello")
SYSTEM = ChatMessage(role="system", content="Be brief.")

IMAGE = ContentPart(media=Media(data=b"\x89PNG", mime_type="image/png"))
PDF = ContentPart(media=Media(data=b"%PDF", mime_type="application/pdf"))

FIND = ToolDefinition(name="find", description="Finds.", parameters_json=SIMPLE_SCHEMA)
CALL = ToolCall(id="call-1", name="find", arguments_json='{"n":1}')
OTHER_CALL = ToolCall(id="call-2", name="find", arguments_json='{"n":2}')
DOTTED_CALL = ToolCall(id="call-1", name="files.find", arguments_json='{"n":1}')
CUT_CALL = ToolCall(id="call-1", name="find", arguments_json='{"n":')
CALLED = ChatMessage(role="assistant", tool_calls=[CALL])
FOUND = ChatMessage(role="tool", tool_call_id="call-1", content="found")

# Opaque to the platform; written as the vendors' SDKs type them.
OPENAI_REASONING = b'{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gAAA"}'
OPENAI_CALL = (
    b'{"id":"fc_1","type":"function_call","status":"completed","call_id":"call-1","name":"find",'
    b'"arguments":"{\\"n\\":1}"}'
)
ANTHROPIC_THINKING = b'{"type":"thinking","thinking":"Hm.","signature":"c2ln"}'
ANTHROPIC_REDACTED = b'{"type":"redacted_thinking","data":"b3Bh"}'

# What the servers of these pages give, in the platform's own wrapping.
OWNER = f"openai-compatible:{hashlib.sha256(b'http://127.0.0.1:8000/v1').hexdigest()[:12]}"
SERVERS_REASONING = b'{"chat_completion":{"reasoning":["reasoning_content"]}}'
SERVERS_SIGNATURE = b'{"chat_completion":{"call":{"extra_content":{"google":{"thought_signature":"c2ln"}}}}}'

OPTIONS = {
    **{vendor.adapter.dialect.name: vendor.shown.options for vendor in VENDORS.values() if vendor.shown.options},
    "vllm": '{"min_p":0.05}',
    "openai-compatible": '{"min_p":0.05}',
}


SOUND = dict.fromkeys(
    ("openai", "vllm", "openai-compatible"),
    '{"modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"}}',
)


class Feature(NamedTuple):
    group: str
    name: str
    request: ChatRequest
    without: ChatRequest
    """The same without the feature: where both are sent alike, it is not sent."""


def features() -> Iterator[Feature]:
    yield from _messages()
    yield from _media()
    yield from _tools()
    yield from _reasoning()
    yield from _forms()
    yield from _parameters()
    yield from _caching()


def _messages() -> Iterator[Feature]:
    yield from _rows(
        "Messages",
        text=ChatRequest(),
        several_texts=_user(ContentPart(text="Look. "), ContentPart(text="Closely.")),
        system=ChatRequest(messages=[SYSTEM, USER]),
        developer=ChatRequest(messages=[ChatMessage(role="developer", content="Be brief."), USER]),
        system_in_mid_conversation=ChatRequest(
            messages=[USER, ChatMessage(role="assistant", content="Hi."), SYSTEM, USER]
        ),
        system_behind_the_question=ChatRequest(messages=[USER, SYSTEM]),
        a_name_of_the_speaker=ChatRequest(messages=[ChatMessage(role="user", content="Hello", name="ada")]),
        the_beginning_of_the_answer=ChatRequest(messages=[USER, ChatMessage(role="assistant", content="Well,")]),
        the_beginning_of_the_answer_with_white_space_behind_it=ChatRequest(
            messages=[USER, ChatMessage(role="assistant", content="Well, ")]
        ),
        an_empty_answer_in_the_history=ChatRequest(messages=[USER, ChatMessage(role="assistant"), USER]),
        a_refusal_in_the_history=ChatRequest(messages=[USER, _assistant(ContentPart(refusal="No.")), USER]),
    )


def _media() -> Iterator[Feature]:
    picture = _looked(ContentPart(media=Media(url="https://a.example/a.png")))
    yield from _rows(
        "Media",
        {"image_detail": picture, "PDF_with_a_name": _looked(PDF), "document_citations": _looked(PDF)},
        image_bytes=_looked(IMAGE),
        image_bytes_called_jpg=_looked(ContentPart(media=Media(data=b"\xff\xd8", mime_type="image/jpg"))),
        image_URL=picture,
        image_file_id=_looked(ContentPart(media=Media(file_id="file-1", mime_type="image/png"))),
        image_detail=_looked(ContentPart(media=Media(url="https://a.example/a.png", detail="low"))),
        PDF_bytes=_looked(PDF),
        PDF_with_a_name=_looked(
            ContentPart(media=Media(data=b"%PDF", mime_type="application/pdf", filename="bill.pdf"))
        ),
        PDF_URL=_looked(ContentPart(media=Media(url="https://a.example/a.pdf", mime_type="application/pdf"))),
        PDF_file_id=_looked(ContentPart(media=Media(file_id="file-1", mime_type="application/pdf"))),
        document_citations=_looked(
            ContentPart(media=Media(data=b"%PDF", mime_type="application/pdf", enable_citations=True))
        ),
        text_document=_looked(ContentPart(media=Media(data=b"a,b", mime_type="text/csv", filename="rows.csv"))),
        several_in_order=_looked(IMAGE, ContentPart(text="Then:"), PDF, ContentPart(text="Compare.")),
        audio=_looked(ContentPart(media=Media(data=b"RIFF", mime_type="audio/wav"))),
        video=_looked(ContentPart(media=Media(url="https://a.example/a.mp4", mime_type="video/mp4"))),
    )


def _tools() -> Iterator[Feature]:
    required, none, auto = TOOL_CHOICE_MODE_REQUIRED, TOOL_CHOICE_MODE_NONE, TOOL_CHOICE_MODE_AUTO
    strict = ToolDefinition(name="find", parameters_json=SCHEMA, strict=True)
    of_openai = ProviderTool(type="web_search", config_json='{"search_context_size":"low"}')
    custom = ProviderTool(type="custom", config_json='{"description":"Asks."}')
    namespace = ProviderTool(type="namespace", config_json='{"description":"All of files.","tools":[]}')
    mcp = ProviderTool(type="mcp", config_json='{"server_url":"https://wiki.example/mcp"}')
    of_anthropic = ProviderTool(type="web_search_20260318", config_json='{"max_uses":2}')
    yield from _rows(
        "Tools",
        tools=ChatRequest(tools=[FIND]),
        tools_without_arguments=ChatRequest(tools=[ToolDefinition(name="stop")]),
        tools_without_a_type=ChatRequest(tools=[ToolDefinition(name="stop", parameters_json="{}")]),
        tools_with_types_in_other_words=ChatRequest(tools=[ToolDefinition(name="find", parameters_json=OTHER_WORDS)]),
        tools_of_alternatives=ChatRequest(tools=[ToolDefinition(name="find", parameters_json=ALTERNATIVES)]),
        strict_tools=ChatRequest(tools=[strict]),
        strict_tools_with_a_map=ChatRequest(tools=[ToolDefinition(name="find", parameters_json=MAP, strict=True)]),
        names_with_a_dot=ChatRequest(
            messages=[USER, ChatMessage(role="assistant", tool_calls=[DOTTED_CALL]), FOUND],
            tools=[ToolDefinition(name="files.find", parameters_json=SIMPLE_SCHEMA)],
            tool_choice=ToolChoice(tool_name="files.find"),
        ),
        names_of_65_letters=ChatRequest(tools=[ToolDefinition(name="a" * 65)]),
        a_call_left_to_the_model=ChatRequest(tools=[FIND], tool_choice=ToolChoice(mode=auto)),
        a_call_required=ChatRequest(tools=[FIND], tool_choice=ToolChoice(mode=required)),
        a_call_forbidden=ChatRequest(tools=[FIND], tool_choice=ToolChoice(mode=none)),
        a_named_tool=ChatRequest(tools=[FIND], tool_choice=ToolChoice(tool_name="find")),
        no_parallel_calls=ChatRequest(tools=[FIND], config=ChatConfig(parallel_tool_calls=False)),
        a_named_tool_called_once=ChatRequest(
            tools=[FIND], tool_choice=ToolChoice(tool_name="find"), config=ChatConfig(parallel_tool_calls=False)
        ),
        calls_behind_a_text=ChatRequest(
            messages=[USER, ChatMessage(role="assistant", content="Let me see.", tool_calls=[CALL]), FOUND],
            tools=[FIND],
        ),
        calls_behind_white_space=ChatRequest(
            messages=[USER, ChatMessage(role="assistant", content="\n\n", tool_calls=[CALL]), FOUND], tools=[FIND]
        ),
        parallel_calls=ChatRequest(
            messages=[
                USER,
                ChatMessage(role="assistant", tool_calls=[CALL, OTHER_CALL]),
                FOUND,
                ChatMessage(role="tool", tool_call_id="call-2", content="found too"),
                ChatMessage(role="user", content="And?"),
            ],
            tools=[FIND],
        ),
        a_call_without_a_result=ChatRequest(messages=[USER, CALLED, USER], tools=[FIND]),
        a_result_behind_a_question=ChatRequest(messages=[USER, CALLED, USER, FOUND], tools=[FIND]),
        a_result_behind_an_answer=ChatRequest(
            messages=[USER, CALLED, USER, ChatMessage(role="assistant", content="Hi."), FOUND], tools=[FIND]
        ),
        a_call_answered_twice=ChatRequest(messages=[USER, CALLED, FOUND, FOUND], tools=[FIND]),
        arguments_that_are_no_object=ChatRequest(
            messages=[USER, ChatMessage(role="assistant", tool_calls=[CUT_CALL]), FOUND], tools=[FIND]
        ),
        results=_answered(ContentPart(text="found")),
        results_that_failed=_answered(ContentPart(text="gone"), is_error=True),
        results_with_an_image=_answered(IMAGE),
        results_with_media_in_order=_answered(ContentPart(text="Before:"), IMAGE, ContentPart(text="After:"), PDF),
        tools_of_OpenAI=ChatRequest(tools=[ToolDefinition(provider_tool=of_openai)]),
        tools_of_Anthropic=ChatRequest(tools=[ToolDefinition(provider_tool=of_anthropic)]),
        a_custom_tool_of_OpenAI_by_name=ChatRequest(tools=[ToolDefinition(name="query", provider_tool=custom)]),
        a_namespace_of_OpenAI_by_name=ChatRequest(tools=[ToolDefinition(name="files", provider_tool=namespace)]),
        an_MCP_server_of_OpenAI_by_name=ChatRequest(tools=[ToolDefinition(name="wiki", provider_tool=mcp)]),
    )


def _reasoning() -> Iterator[Feature]:
    high = ReasoningConfig(effort="high")
    another = ContentPart(
        reasoning=Reasoning(text="Hm."), provider_state=ProviderState(provider="another", data=b'{"type":"thinking"}')
    )
    yield from _rows(
        "Reasoning",
        effort=ChatRequest(reasoning=high),
        no_effort=ChatRequest(reasoning=ReasoningConfig(effort="none")),
        a_budget=ChatRequest(reasoning=ReasoningConfig(budget_tokens=2048), config=ChatConfig(max_tokens=4096)),
        its_text=ChatRequest(reasoning=ReasoningConfig(effort="high", include_text=True)),
        with_tools=ChatRequest(reasoning=high, tools=[FIND]),
        of_OpenAI_over_a_tool_call=_resumed(
            ContentPart(reasoning=Reasoning(redacted=True), provider_state=_state("openai", OPENAI_REASONING)),
            ContentPart(tool_call=CALL, provider_state=_state("openai", OPENAI_CALL)),
        ),
        of_Anthropic_over_a_tool_call=_resumed(
            ContentPart(reasoning=Reasoning(text="Hm."), provider_state=_state("anthropic", ANTHROPIC_THINKING)),
            ContentPart(reasoning=Reasoning(redacted=True), provider_state=_state("anthropic", ANTHROPIC_REDACTED)),
            ContentPart(text="Let me see."),
            ContentPart(tool_call=CALL),
        ),
        of_an_OpenAI_compatible_server_over_a_tool_call=_resumed(
            ContentPart(reasoning=Reasoning(text="Hm."), provider_state=_state(OWNER, SERVERS_REASONING)),
            ContentPart(tool_call=CALL, provider_state=_state(OWNER, SERVERS_SIGNATURE)),
        ),
        of_another_provider_in_the_history=ChatRequest(
            messages=[USER, _assistant(another, ContentPart(text="Hi.")), USER]
        ),
    )


def _forms() -> Iterator[Feature]:
    simple = ResponseFormat(type="json_schema", schema_json=SIMPLE_SCHEMA)
    yield from _rows(
        "Form of the answer",
        JSON=ChatRequest(response_format=ResponseFormat(type="json_object")),
        a_JSON_Schema=ChatRequest(response_format=simple),
        a_JSON_Schema_with_a_name=ChatRequest(
            response_format=ResponseFormat(type="json_schema", schema_json=SIMPLE_SCHEMA, name="count", strict=True)
        ),
        a_strict_JSON_Schema_with_bounds=ChatRequest(
            response_format=ResponseFormat(type="json_schema", schema_json=SCHEMA, strict=True)
        ),
        a_strict_JSON_Schema_with_a_map=ChatRequest(
            response_format=ResponseFormat(type="json_schema", schema_json=MAP, strict=True)
        ),
        a_JSON_Schema_of_a_list=ChatRequest(
            response_format=ResponseFormat(type="json_schema", schema_json='{"type":"array","items":{"type":"string"}}')
        ),
        a_JSON_Schema_beside_tools=ChatRequest(response_format=simple, tools=[FIND]),
    )


def _parameters() -> Iterator[Feature]:
    all_of_them = ChatConfig(
        temperature=0.5,
        max_tokens=100,
        top_p=0.9,
        stop_sequences=["END", "STOP"],
        seed=1,
        top_k=5,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
    )
    zeros = ChatConfig(temperature=0, seed=0, frequency_penalty=0, presence_penalty=0)
    yield from _rows(
        "Parameters",
        temperature=ChatRequest(config=ChatConfig(temperature=0.5)),
        temperature_above_1=ChatRequest(config=ChatConfig(temperature=1.5)),
        temperature_with_top_p=ChatRequest(config=ChatConfig(temperature=0.5, top_p=0.9)),
        top_k=ChatRequest(config=ChatConfig(top_k=5)),
        max_tokens=ChatRequest(config=ChatConfig(max_tokens=100)),
        stop_sequences=ChatRequest(config=ChatConfig(stop_sequences=["END"])),
        seed=ChatRequest(config=ChatConfig(seed=1)),
        penalties=ChatRequest(config=ChatConfig(frequency_penalty=0.5, presence_penalty=0.5)),
        logprobs=ChatRequest(config=ChatConfig(logprobs=True)),
        logprobs_of_the_likeliest_tokens=ChatRequest(config=ChatConfig(logprobs=True, top_logprobs=5)),
        zeros=ChatRequest(config=zeros),
        all_sampling_at_once=ChatRequest(config=all_of_them),
        all_sampling_passed_through=ChatRequest(config=all_of_them, parameter_policy=PARAMETER_POLICY_PASSTHROUGH),
        an_end_user=ChatRequest(end_user_id="user-1"),
        an_end_user_with_a_long_id=ChatRequest(end_user_id="u" * 257),
        sound_as_the_answer=ChatRequest(provider_options_json=SOUND),
        options_of_the_provider=ChatRequest(provider_options_json=OPTIONS),
    )


def _caching() -> Iterator[Feature]:
    hour, five_minutes = (PromptCache(ttl=Duration(seconds=seconds)) for seconds in (3600, 300))
    marked = ToolDefinition(name="find", parameters_json=SIMPLE_SCHEMA, cache=PromptCache())
    whole = ToolResult(tool_call_id="call-1", content=[ContentPart(text="found")])
    within = ToolResult(tool_call_id="call-1", content=[ContentPart(text="found", cache=PromptCache())])
    yield from _rows(
        "Prompt caching",
        marks=_looked(ContentPart(text="Long.", cache=PromptCache())),
        marks_with_lifetimes=ChatRequest(
            messages=[
                ChatMessage(role="system", parts=[ContentPart(text="Be brief.", cache=hour)]),
                ChatMessage(
                    role="user",
                    parts=[ContentPart(media=PDF.media, cache=five_minutes), ContentPart(text="Sum it up.")],
                ),
            ]
        ),
        marks_on_tools=ChatRequest(messages=[USER, CALLED, FOUND], tools=[marked]),
        marks_on_results=ChatRequest(
            messages=[
                USER,
                CALLED,
                ChatMessage(role="tool", parts=[ContentPart(tool_result=whole, cache=PromptCache())]),
            ],
            tools=[FIND],
        ),
        marks_within_results=ChatRequest(
            messages=[USER, CALLED, ChatMessage(role="tool", parts=[ContentPart(tool_result=within)])], tools=[FIND]
        ),
        a_key=ChatRequest(prompt_cache_key="support"),
    )


def _rows(
    group: str, without: Mapping[str, ChatRequest] | None = None, /, **requests: ChatRequest
) -> Iterator[Feature]:
    """The features of a group by name; a request without messages says hello.

    `without` has the requests without the feature, by its name, where more than the messages must be the same.
    """
    for name, request in requests.items():
        if not request.messages:
            request.messages.append(USER)
        bare = (without or {}).get(name) or _without(request)
        yield Feature(group, name.replace("_", " "), request, bare)


def _without(request: ChatRequest) -> ChatRequest:
    """The messages and the tools that they call, without marks and names."""
    bare = ChatRequest(messages=request.messages)
    if any(message.role == "tool" for message in request.messages):
        bare.tools.extend(request.tools)
    for tool in bare.tools:
        tool.ClearField("cache")
    for message in bare.messages:
        message.name = ""
        for part in message.parts:
            part.ClearField("cache")
            for piece in part.tool_result.content:
                piece.ClearField("cache")
    return bare


def _user(*parts: ContentPart) -> ChatRequest:
    return ChatRequest(messages=[ChatMessage(role="user", parts=parts)])


def _looked(*parts: ContentPart) -> ChatRequest:
    return _user(ContentPart(text="Look."), *parts)


def _assistant(*parts: ContentPart) -> ChatMessage:
    return ChatMessage(role="assistant", parts=parts)


def _answered(*content: ContentPart, is_error: bool = False) -> ChatRequest:
    """A tool was called, and answered `content`."""
    result = ToolResult(tool_call_id="call-1", content=content, is_error=is_error)
    return ChatRequest(
        messages=[USER, CALLED, ChatMessage(role="tool", parts=[ContentPart(tool_result=result)])], tools=[FIND]
    )


def _resumed(*parts: ContentPart) -> ChatRequest:
    """The model reasoned and called a tool, and is to go on."""
    return ChatRequest(
        messages=[USER, _assistant(*parts), FOUND], tools=[FIND], reasoning=ReasoningConfig(effort="high")
    )


def _state(provider: str, data: bytes) -> ProviderState:
    return ProviderState(provider=provider, data=data)
