"""What the providers' own lists of models say.

The SDKs are imported by the tests that need them: they take seconds to load.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from services.models.catalog.lifecycle import ACTIVE, DEPRECATED, UNKNOWN
from services.models.catalog.listings import ListedModel, ListUnavailable
from services.models.catalog.vendor import Vendor
from services.models.catalog.vendors import anthropic, openai
from tests.rows import for_each

OPENAI, ANTHROPIC = openai.VENDOR, anthropic.VENDOR


def openai_list(*entries: Any) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def models(vendor: Vendor, body: bytes) -> list[ListedModel]:
    listing = vendor.adapter.listing
    return listing.models(listing.read(body))


def next_page(page: dict[str, Any]) -> str:
    return ANTHROPIC.adapter.listing.read(json.dumps(page).encode()).next_page


def supported(flag: bool) -> dict[str, Any]:
    return {"supported": flag}


def claude(**fields: Any) -> dict[str, Any]:
    """A model as Anthropic lists it."""
    entry = {
        "type": "model",
        "id": "claude-opus-5-5",
        "display_name": "Claude Opus 5.5",
        "created_at": "2026-09-22T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
        "capabilities": {
            "batch": supported(True),
            "citations": supported(True),
            "code_execution": supported(True),
            "context_management": supported(True),
            "effort": {
                **supported(True),
                "low": supported(True),
                "medium": supported(True),
                "high": supported(True),
                "max": supported(True),
                "xhigh": supported(False),
            },
            "image_input": supported(True),
            "pdf_input": supported(True),
            "server_tools": {**supported(True), "code_execution": supported(True), "web_search": supported(True)},
            "structured_outputs": supported(True),
            "thinking": {
                **supported(True),
                "types": {
                    "adaptive": supported(True),
                    "between_tools": supported(False),
                    "disabled": supported(False),
                    "enabled": supported(False),
                },
            },
        },
    }
    return entry | fields


def read_claude(**fields: Any) -> ListedModel:
    (model,) = models(ANTHROPIC, json.dumps({"data": [claude(**fields)]}).encode())
    return model


def test_openai_tells_ids_and_the_day_of_the_shutdown() -> None:
    from openai.types import Model

    entry = {"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "system", "shutdown_date": "2027-01-14"}
    assert Model.model_validate(entry).shutdown_date
    body = openai_list(entry, {**entry, "id": "gpt-5.2", "shutdown_date": None}, {"id": "mine"})
    assert models(OPENAI, body) == [
        ListedModel("gpt-4o", shutdown=datetime.date(2027, 1, 14)),
        ListedModel("gpt-5.2"),
        ListedModel("mine"),
    ]


@for_each(
    "model_id",
    [
        "text-embedding-3-small",
        "tts-1-hd",
        "gpt-4o-mini-tts",
        "whisper-1",
        "dall-e-3",
        "gpt-image-2",
        "gpt-realtime-mini",
        "gpt-4o-transcribe",
        "omni-moderation-latest",
        "sora-2",
        "gpt-3.5-turbo-instruct",
        "babbage-002",
        "davinci-002",
        "a name with spaces",
        "x" * 129,
        "",
        7,
        None,
    ],
)
def test_models_that_do_not_chat_are_left_out(model_id: Any) -> None:
    assert models(OPENAI, openai_list({"id": model_id})) == []


def test_anthropic_tells_limits_capabilities_and_the_lifecycle() -> None:
    from anthropic.types import ModelInfo

    assert ModelInfo.model_validate(claude()).capabilities
    assert read_claude() == ListedModel(
        "claude-opus-5-5",
        context_window=1_000_000,
        max_output_tokens=128_000,
        state=ACTIVE,
        images=True,
        documents=True,
        json_schema=True,
        reasons=True,
        takes_budget=False,
        adaptive=True,
        efforts=("low", "medium", "high", "max"),
    )


def test_anthropic_tells_when_a_model_retires() -> None:
    told = read_claude(lifecycle="deprecated", deprecated_at="2026-09-30T12:00:00Z", retires_at="2026-11-30T00:00:00Z")
    assert (told.state, told.deprecated, told.shutdown) == (
        DEPRECATED,
        datetime.date(2026, 9, 30),
        datetime.date(2026, 11, 30),
    )


def test_thinking_that_can_be_turned_off_is_an_effort_of_its_own() -> None:
    capabilities = claude()["capabilities"]
    capabilities["thinking"]["types"]["disabled"] = supported(True)
    assert read_claude(capabilities=capabilities).efforts == ("none", "low", "medium", "high", "max")
    capabilities["effort"] = dict.fromkeys(("low", "medium", "high", "max"), supported(False)) | supported(False)
    assert read_claude(capabilities=capabilities).efforts == ()


@for_each("capabilities", [None, [], {}, {"thinking": True, "effort": {"supported": "yes"}}, "x"])
def test_what_is_not_said_or_of_another_type_is_not_told(capabilities: Any) -> None:
    told = read_claude(
        capabilities=capabilities, max_tokens="many", max_input_tokens=-1, retires_at="soon", lifecycle=["active"]
    )
    assert told == ListedModel("claude-opus-5-5", state=UNKNOWN)


def test_page_says_where_to_go_on() -> None:
    page = {"data": [], "has_more": True, "last_id": "claude-b", "first_id": "claude-a"}
    assert next_page(page) == "claude-b"
    for end in ({"has_more": False}, {"has_more": "true"}, {"last_id": None}):
        assert next_page(page | end) == ""


@for_each("body", [b"", b"{}", b"[]", b'{"data": {}}', b"<html>", b'{"data": [', b"\xff"])
def test_answer_that_is_no_list_says_so(body: bytes) -> None:
    with pytest.raises(ListUnavailable):
        models(OPENAI, body)
