"""Bodies of Messages with what only Messages has, held against the request types of the vendor's own SDK."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from google.protobuf.duration_pb2 import Duration

from proto.models_pb2 import (
    ChatConfig,
    ChatMessage,
    ContentPart,
    Media,
    PromptCache,
    ProviderTool,
    ReasoningConfig,
    ResponseFormat,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)
from services.models.providers.base import Target
from tests.rows import row
from tests.unit.anthropic_bodies import (
    ADAPTIVE,
    ADAPTIVE_OR_BUDGET,
    ALWAYS_REASONING,
    CLAUDE,
    HELLO,
    OLD,
    UNFORCED,
    WITH_BUDGET,
    WITH_SYSTEM_TURNS,
    encode,
    state,
)
from tests.wire.vendor_types import validated

MARK = PromptCache()
AN_HOUR = PromptCache(ttl=Duration(seconds=3600))
A_MINUTE = PromptCache(ttl=Duration(seconds=60))
IMAGE = Media(data=b"\x89PNG", mime_type="image/png")
CALL = ToolCall(id="a", name="find", arguments_json='{"n": 1}')

SEARCH = '{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}'
FOUND = (
    '{"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"web_search_result","title":"X",'
    '"url":"https://x.test","encrypted_content":"ZQ=="}]}'
)
CITED = (
    '{"type":"text","text":"It is.","citations":[{"type":"web_search_result_location","cited_text":"x",'
    '"url":"https://x.test","title":"X","encrypted_index":"ZQ=="}]}'
)
FROM_CODE = '{"type":"tool_use","id":"a","name":"find","input":{},"caller":{"type":"direct"},"toolset_name":null}'

CONTAINER = '{"container":{"id":"container_1","expires_at":"2026-12-22T10:00:00Z"}}'

CONVERSATIONS: dict[str, list[ChatMessage]] = {
    "media": [
        ChatMessage(
            role="user",
            parts=[
                ContentPart(media=IMAGE, cache=MARK),
                ContentPart(media=Media(url="https://x.test/a.webp")),
                ContentPart(media=Media(file_id="file_1", mime_type="image/gif")),
                ContentPart(
                    media=Media(data=b"%PDF", mime_type="application/pdf", filename="a.pdf", enable_citations=True)
                ),
                ContentPart(media=Media(data=b"Text", mime_type="text/plain", enable_citations=False), cache=AN_HOUR),
                ContentPart(media=Media(url="https://x.test/a.pdf")),
                ContentPart(media=Media(file_id="file_1", filename="b.pdf")),
            ],
        )
    ],
    "marks": [
        ChatMessage(role="system", parts=[ContentPart(text="Be brief.", cache=AN_HOUR)]),
        HELLO,
        ChatMessage(role="assistant", parts=[ContentPart(text="So."), ContentPart(tool_call=CALL, cache=A_MINUTE)]),
        ChatMessage(
            role="tool",
            parts=[
                ContentPart(
                    tool_result=ToolResult(
                        tool_call_id="a", content=[ContentPart(text="found"), ContentPart(media=IMAGE)], is_error=True
                    ),
                    cache=MARK,
                )
            ],
        ),
    ],
    "system turns": [
        ChatMessage(role="system", content="Be brief."),
        HELLO,
        ChatMessage(role="system", parts=[ContentPart(text="Be kind.", cache=MARK), ContentPart(text="Be slow.")]),
        ChatMessage(role="assistant", content="So."),
        ChatMessage(role="developer", content="Be wary."),
        HELLO,
    ],
    "state": [
        HELLO,
        ChatMessage(
            role="assistant",
            parts=[
                ContentPart(provider_state=state(SEARCH)),
                ContentPart(provider_state=state(FOUND), cache=MARK),
                ContentPart(text="It is.", provider_state=state(CITED)),
                ContentPart(tool_call=CALL, provider_state=state(FROM_CODE)),
                ContentPart(provider_state=state(CONTAINER)),
            ],
        ),
        ChatMessage(role="tool", tool_call_id="a", content="found"),
    ],
}

FIND = ToolDefinition(name="find", description="Finds.", parameters_json='{"type": "object"}', strict=True)
SCHEMA = ResponseFormat(type="json_schema", schema_json='{"type": "object", "properties": {"n": {"maximum": 3}}}')

MARKED = ToolDefinition(name="search", parameters_json='{"type": "object"}', cache=AN_HOUR)
MARKED_SEARCH = ToolDefinition(provider_tool=ProviderTool(type="web_search_20260318"), cache=MARK)

SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "the provider's tools": {
        "tools": [
            ToolDefinition(
                provider_tool=ProviderTool(
                    type="web_search_20260318", config_json='{"max_uses": 2, "allowed_domains": ["x.test"]}'
                )
            ),
            *(
                ToolDefinition(provider_tool=ProviderTool(type=kind))
                for kind in (
                    "web_fetch_20260318",
                    "code_execution_20260521",
                    "bash_20250124",
                    "text_editor_20250728",
                    "memory_20250818",
                    "tool_search_tool_regex_20251119",
                    "computer_toolset_20260801",
                )
            ),
            FIND,
        ]
    },
    "marked tools": {"tools": [MARKED, MARKED_SEARCH]},
    "JSON": {"response_format": ResponseFormat(type="json_object")},
    "JSON beside tools": {"response_format": ResponseFormat(type="json_object"), "tools": [FIND, MARKED]},
    "a schema": {"response_format": SCHEMA},
    "a schema beside tools": {"response_format": SCHEMA, "tools": [FIND]},
    "an effort and a schema": {
        "reasoning": ReasoningConfig(effort="max", include_text=True),
        "response_format": SCHEMA,
    },
    "a budget": {
        "reasoning": ReasoningConfig(budget_tokens=5000, include_text=False),
        "config": ChatConfig(max_tokens=4000, stop_sequences=["END"]),
    },
    "no reasoning": {"reasoning": ReasoningConfig(effort="none")},
    "a forced call": {
        "reasoning": ReasoningConfig(effort="low"),
        "tools": [FIND],
        "tool_choice": ToolChoice(tool_name="find"),
        "config": ChatConfig(parallel_tool_calls=False),
    },
}

MODELS: dict[str, Target] = {
    "unknown": CLAUDE,
    "old": OLD,
    "with a budget": WITH_BUDGET,
    "adaptive": ADAPTIVE,
    "both": ADAPTIVE_OR_BUDGET,
    "always reasoning": ALWAYS_REASONING,
    "unforced": UNFORCED,
    "with system turns": WITH_SYSTEM_TURNS,
}


def test_bodies_are_of_the_vendors_type() -> None:
    """Also that nothing is in one which the type does not know: validation drops such members."""
    asked = [*((name, "nothing") for name in CONVERSATIONS), *(("marks", name) for name in SETTINGS)]
    for (target, model), (conversation, settings) in itertools.product(MODELS.items(), asked):
        with row(target, conversation, settings):
            encoded = encode(model, CONVERSATIONS[conversation], **SETTINGS[settings])
            body = msgspec.json.decode(encoded.request.body)
            assert validated("anthropic", body) == body
