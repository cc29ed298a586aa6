"""Text of Python that no request can carry: mended where it is text, refused by its field where it names something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_platform.building import build
from genai_platform.errors import InvalidRequest
from genai_platform.parsing import build_parse_request
from genai_platform.prompt_requests import build_get_request, build_registration, build_rendering
from genai_platform.requests import build_chat_request
from genai_platform.session_requests import build_creation, to_json
from proto.models_pb2 import ChatMessage, ChatRequest
from proto.sessions_pb2 import PutMemoryRequest
from tests.rows import for_each

HALF = "bad \udc97"
MENDED = "bad \ufffd"


def chat(given: Any = "Hi", **fields: Any) -> ChatRequest:
    return build_chat_request(given, fields)


TEXTS: dict[str, Callable[[], str]] = {
    "a question": lambda: chat(HALF).messages[0].content,
    "a system message": lambda: chat(system=HALF).messages[0].content,
    "a message in a list": lambda: chat([{"role": "user", "content": HALF}]).messages[0].content,
    "a part": lambda: chat([{"role": "user", "parts": [{"text": HALF}]}]).messages[0].parts[0].text,
    "arguments": lambda: (
        chat([{"tool_calls": [{"id": "a", "name": "f", "arguments_json": HALF}]}])
        .messages[0]
        .tool_calls[0]
        .arguments_json
    ),
    "a tool": lambda: chat(tools=[{"name": "f", "description": HALF}]).tools[0].description,
    "a schema": lambda: chat(response_format={"type": "json_schema", "schema_json": HALF}).response_format.schema_json,
    "a variable": lambda: chat(prompt={"name": "p", "variables": {"a": HALF}}).prompt.variables["a"],
    "options": lambda: chat(provider_options_json={"openai": HALF}).provider_options_json["openai"],
    "a stop sequence": lambda: chat(stop_sequences=[HALF]).config.stop_sequences[0],
    "a stop sequence in a config": lambda: chat(config={"stop_sequences": (HALF,)}).config.stop_sequences[0],
    "a stop sequence of an iterator": lambda: chat(stop_sequences=(text for text in [HALF])).config.stop_sequences[0],
    "a title": lambda: build_creation(None, None, HALF, None, None).title,
    "a fact of a session": lambda: build_creation(None, None, None, {"a": HALF}, None).metadata["a"],
    "a memory": lambda: build(PutMemoryRequest, key="k", value_json=to_json(HALF)).value_json.strip('"'),
    "a prompt": lambda: (
        build_registration(
            "p", HALF, labels=(), author=None, reviewed_by=None, tags=(), message=None, defaults=None
        ).content
    ),
    "a variable of a rendering": lambda: build_rendering("p", {"a": HALF}, None, None).prompt.variables["a"],
}


@for_each("text", TEXTS)
def test_half_of_a_pair_is_replaced_in_text(text: str) -> None:
    assert TEXTS[text]() == MENDED


NAMES: dict[str, Callable[[], Any]] = {
    "model": lambda: chat(model=HALF),
    "session_id": lambda: build_creation(HALF, None, None, None, None),
    "user_id": lambda: build_creation(None, HALF, None, None, None),
    "end_user_id": lambda: chat(end_user_id=HALF),
    "tools[0].name": lambda: chat(tools=[{"name": HALF}]),
    "messages[1].name": lambda: chat([{"content": "a"}, {"name": HALF}]),
    "messages[0].tool_calls[0].id": lambda: chat([{"tool_calls": [{"id": HALF}]}]),
    "tags": lambda: chat(tags={HALF: "a"}),
    "fallback_models[0]": lambda: chat(fallback_models=[HALF]),
    "key": lambda: build(PutMemoryRequest, key=HALF),
    "name": lambda: build_get_request(HALF, None, None),
    "prompt.name": lambda: build_rendering(HALF, None, None, None),
}


@for_each("field", NAMES)
def test_name_is_refused_by_its_field(field: str) -> None:
    """Two names must not become one."""
    with pytest.raises(InvalidRequest) as caught:
        NAMES[field]()
    assert [violation.field for violation in caught.value.violations] == [field]
    assert caught.value.message.startswith(f"{field}: ")
    assert "\udc97" not in str(caught.value)


def test_schema_of_an_answer_is_mended() -> None:
    request = build_parse_request("Hi", {}, {"type": "object", "description": HALF}, True)
    assert MENDED in request.response_format.schema_json


def test_halves_that_belong_together_are_joined() -> None:
    assert build(ChatMessage, content="\ud83d\ude00 \ud83d").content == "\U0001f600 \ufffd"


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_sent(text: str) -> None:
    sent = build(ChatMessage, content=text).content
    assert sent == text or any("\ud800" <= character <= "\udfff" for character in text)
