"""Thoughts that nobody signed go back to the server that they came from, which refuses a conversation without them
(DeepSeek's: "The `content[].thinking` in the thinking mode must be passed back to the API"); Claude takes none such."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from proto.models_pb2 import ChatMessage
from services.models.catalog.vendors import anthropic
from tests.scripted_upstream import answer, event_stream, json_answer
from tests.wire.adapters import ANTHROPIC_LIKE, JSON, Adapter, Subject, Verb, both_verbs
from tests.wire.dialects import Call, Sample, encode

SAMPLE = Sample(reasoning=["H", "m."], calls=[Call("toolu_1", "find", ['{"n": 1}'])])


@pytest.fixture
def adapter() -> Adapter:
    return ANTHROPIC_LIKE[-1]


def answer_of(subject: Subject, verb: Verb) -> Any:
    if verb == "chat_stream":
        return event_stream(*(step for step in subject.speech.events(SAMPLE) if "signature_delta" not in step))
    body = subject.speech.body(SAMPLE)
    body["content"][0]["signature"] = ""
    return answer(encode(body), headers=JSON)


@both_verbs
@pytest.mark.parametrize(
    ("model", "kinds"), [("deepseek-v4", ["thinking", "tool_use"]), ("claude-opus-5", ["tool_use"])]
)
async def test_thoughts_go_back_where_they_are_taken(
    subject: Subject, verb: Verb, model: str, kinds: list[str]
) -> None:
    subject.target = dataclasses.replace(subject.target, model=model, facts=anthropic.VENDOR.facts(model))
    subject.upstream.play(answer_of(subject, verb))
    first = (await subject.ask(verb)).response
    assert first is not None
    result = ChatMessage(role="tool", tool_call_id=first.tool_calls[0].id, content="1")
    subject.upstream.play(json_answer(subject.speech.body(Sample(text=["Hi"]))))
    second = (
        await subject.ask("chat", messages=[ChatMessage(role="user", content="Q"), first.message, result])
    ).response

    assert second is not None
    blocks = subject.upstream.requests[-1].json()["messages"][1]["content"]
    assert [block["type"] for block in blocks] == kinds
    assert (blocks[0].get("thinking") == "Hm.") == ("thinking" in kinds)
    assert [notice.code for notice in second.warnings] == ([] if "thinking" in kinds else ["REASONING_DROPPED"])
