"""Notes for Anthropic's billing reach Anthropic, and no other server."""

from __future__ import annotations

import json
from dataclasses import replace

from proto.models_pb2 import ChatMessage, ContentPart
from services.models.providers.base import Target
from tests.rows import for_each
from tests.unit import anthropic_bodies, openai_bodies

TEXT = "x-anthropic-billing-header: cc_version=2.1.197.9d5; cc_entrypoint=cli; cch=00000;"
NOTE = ChatMessage(role="system", parts=[ContentPart(text=TEXT)])
RULE = ChatMessage(role="system", content="Be brief.")
HELLO = ChatMessage(role="user", content="Hello")


def test_anthropic_reads_them() -> None:
    body = anthropic_bodies.encode(messages=[NOTE, RULE, HELLO])
    assert [block["text"] for block in json.loads(body.request.body)["system"]] == [TEXT, "Be brief."]
    assert body.notices == []


@for_each("target", openai_bodies.EVERY_TARGET, ids=openai_bodies.NAMES)
def test_no_other_server_does(target: Target) -> None:
    body = openai_bodies.encode(target, [NOTE, RULE, HELLO])
    assert json.loads(body.request.body)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert openai_bodies.told(body) == [("BILLING_NOTE_DROPPED", "messages[0]")]


@for_each(
    "message",
    [
        ChatMessage(role="system", content=f"{TEXT}\nBe brief."),
        ChatMessage(role="system", parts=[ContentPart(text=TEXT), ContentPart(text="Be brief.")]),
        ChatMessage(role="user", content=TEXT),
        ChatMessage(role="system", content=f"Mind {TEXT}"),
    ],
)
def test_messages_that_say_more_stay(message: ChatMessage) -> None:
    body = openai_bodies.encode(messages=[message, HELLO])
    assert TEXT in body.request.body.decode()
    assert body.notices == []


def test_a_later_message_keeps_its_path() -> None:
    other = replace(anthropic_bodies.CLAUDE, state_owner="anthropic:1f")
    body = anthropic_bodies.encode(other, [NOTE, ChatMessage(role="user", content="Hi", name="ann")])
    assert anthropic_bodies.told(body) == [
        ("BILLING_NOTE_DROPPED", "messages[0]"),
        ("NAME_DROPPED", "messages[1].name"),
    ]
