"""An answer in the events of Messages: each ending, and what Anthropic's own client makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.models.faces.state_envelope import open_envelope
from services.shared.errors import Unavailable
from tests.rows import for_each
from tests.unit.faces.messages_answers import (
    ABOUT,
    ask,
    call,
    chunks_of,
    client,
    events,
    grown,
    joined,
    kept,
    streamed,
    text,
    thought,
)

USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 5,
    "output_tokens": 7,
}


def start(number: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": number, "content_block": block}


def delta(number: int, kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": number, "delta": {"type": kind, **members}}


def stop(number: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": number}


def ended(reason: str, **members: Any) -> list[dict[str, Any]]:
    told = {"stop_reason": reason, "stop_sequence": None, **members}
    return [{"type": "message_delta", "delta": told, "usage": USAGE}, {"type": "message_stop"}]


def test_a_text() -> None:
    written = streamed(chunks_of(grown(text("Hel"), text('lo "you"\n\N{SNOWMAN}'))))
    assert events(written) == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_0123456789abcdef",
                "type": "message",
                "role": "assistant",
                "model": "claude-gpt",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": dict.fromkeys(USAGE, 0),
            },
        },
        start(0, type="text", text=""),
        delta(0, "text_delta", text="Hel"),
        delta(0, "text_delta", text='lo "you"\n\N{SNOWMAN}'),
        stop(0),
        *ended("end_turn"),
    ]


def test_thoughts_of_nobodys_and_calls() -> None:
    steps = thought("Hm."), text("So"), call(2, "a", '{"q":', "1}"), call(3, "b")
    written = streamed(chunks_of(grown(*steps)))
    assert events(written)[1:] == [
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm."),
        delta(0, "signature_delta", signature="gs1."),
        stop(0),
        start(1, type="text", text=""),
        delta(1, "text_delta", text="So"),
        stop(1),
        start(2, type="tool_use", id="a", name="find", input={}),
        delta(2, "input_json_delta", partial_json='{"q":'),
        delta(2, "input_json_delta", partial_json="1}"),
        stop(2),
        start(3, type="tool_use", id="b", name="find", input={}),
        delta(3, "input_json_delta", partial_json="{}"),
        stop(3),
        *ended("tool_use"),
    ]


def test_calls_in_turns_come_one_after_another() -> None:
    def pieces(*of_calls: tuple[int, str]) -> Any:
        return lambda answer: [(answer.add_arguments(key, piece), answer.flush()) for key, piece in of_calls]

    steps = call(1, "a"), call(2, "b"), text("between", 3), pieces((2, '{"y":'), (1, '{"x":'), (1, "1}"), (2, "2}"))
    message = joined(streamed(chunks_of(grown(*steps, text("behind", 4)))))
    assert [block.to_dict() for block in message.content] == [
        {"type": "tool_use", "id": "a", "name": "find", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "find", "input": {"y": 2}},
        {"type": "text", "text": "betweenbehind"},
    ]


def test_a_call_that_is_cut_off_ends_with_what_it_has() -> None:
    steps = call(1, "a", '{"q": "x'), call(2, "b", "{}")
    written = events(streamed(chunks_of(grown(*steps, finish=("length", "max_tokens")))))
    assert delta(0, "input_json_delta", partial_json='{"q": "x') in written
    assert [event["index"] for event in written if event["type"] == "content_block_stop"] == [0, 1]
    assert written[-2]["delta"]["stop_reason"] == "max_tokens"


def test_an_empty_answer() -> None:
    written = streamed(chunks_of(grown()))
    assert [event["type"] for event in events(written)] == ["message_start", "message_delta", "message_stop"]
    assert joined(written).content == []


NATIVE = [
    kept(0, b'{"type":"redacted_thinking",\n"data":"b3BhcXVl"}', redacted=True),
    thought("Hm.", 1),
    kept(1, b'{"type":"thinking","thinking":"Hm.","signature":"c2ln"}'),
    kept(2, b'{"type":"thinking","thinking":"","signature":"aGlk"}', redacted=True),
    kept(3, b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}'),
    text("Found.", 4),
    lambda answer: answer.cite(4, '[{"type":"char_location","cited_text":"x"}]'),
    kept(4, b'{"type":"text","text":"Found.","citations":[{"type":"char_location","cited_text":"x"}]}'),
    kept(5, b'{"container":{"id":"c1","expires_at":"2026-12-01T00:00:00Z"}}'),
]


def test_state_of_anthropics_is_in_its_own_blocks() -> None:
    written = streamed(chunks_of(grown(*NATIVE, owner="anthropic", finish=("pause", "pause_turn"))))
    container = {"id": "c1", "expires_at": "2026-12-01T00:00:00Z"}
    assert events(written)[1:] == [
        start(0, type="redacted_thinking", data="b3BhcXVl"),
        stop(0),
        start(1, type="thinking", thinking="", signature=""),
        delta(1, "thinking_delta", thinking="Hm."),
        delta(1, "signature_delta", signature="c2ln"),
        stop(1),
        start(2, type="thinking", thinking="", signature=""),
        delta(2, "signature_delta", signature="aGlk"),
        stop(2),
        start(3, type="server_tool_use", id="s", name="web_search", input={"query": "x"}),
        stop(3),
        start(4, type="text", text=""),
        delta(4, "text_delta", text="Found."),
        delta(4, "citations_delta", citation={"type": "char_location", "cited_text": "x"}),
        stop(4),
        *ended("pause_turn", container=container),
    ]


def test_state_of_others_is_in_envelopes() -> None:
    steps = (
        thought("Hm."),
        kept(0, b'{"type":"reasoning"}'),
        text("So."),
        kept(1, b'{"type":"message"}'),
        call(2, "a", "{}"),
        kept(2, b'{"type":"function_call"}'),
        kept(3, b'{"type":"web_search_call"}'),
        kept(4, b'{"type":"reasoning","n":2}', redacted=True),
    )
    message = joined(streamed(chunks_of(grown(*steps))))
    sealed = [block.signature if block.type == "thinking" else getattr(block, "data", "") for block in message.content]
    assert [block.type for block in message.content] == [
        "thinking",
        *("text", "redacted_thinking"),
        *("tool_use", "redacted_thinking"),
        *("redacted_thinking", "redacted_thinking"),
    ]
    opened = [open_envelope(envelope) for envelope in sealed if envelope]
    assert [(found.provider, json.loads(found.data)["type"]) for found in opened if found] == [
        ("openai", "reasoning"),
        ("openai", "message"),
        ("openai", "function_call"),
        ("openai", "web_search_call"),
        ("openai", "reasoning"),
    ]


@for_each(
    ("finish", "reason"),
    [
        (("stop", "stop"), "end_turn"),
        (("stop", "stop_sequence"), "stop_sequence"),
        (("length", "length"), "max_tokens"),
        (("length", "model_context_window_exceeded"), "model_context_window_exceeded"),
        (("content_filter", "content_filter"), "refusal"),
        (("pause", "pause_turn"), "pause_turn"),
        (("pause", "compaction"), "compaction"),
        (("other", "new_word"), "end_turn"),
    ],
)
def test_stop_reasons(finish: tuple[str, str], reason: str) -> None:
    assert joined(streamed(chunks_of(grown(text("x"), finish=finish)))).stop_reason == reason


def test_a_call_is_never_the_end_of_a_turn() -> None:
    for finish in (("other", "odd"), ("stop", "end_turn"), ("tool_calls", "tool_calls")):
        assert joined(streamed(chunks_of(grown(call(1, "a", "{}"), finish=finish)))).stop_reason == "tool_use"


def test_a_refusal_in_the_models_words_is_text() -> None:
    answer = grown(lambda answer: answer.add(1, "refusal", "I will not."))
    message = joined(streamed(chunks_of(answer)))
    assert message.stop_reason == "refusal"
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "I will not."}]


def test_a_refusal_of_the_provider_has_its_explanation() -> None:
    explained = [text("Wel"), lambda answer: answer.add(2**30, "refusal", "Harmful.")]
    message = joined(streamed(chunks_of(grown(*explained, owner="anthropic", finish=("refusal", "refusal")))))
    assert message.stop_details is not None
    assert (message.stop_reason, message.stop_details.explanation) == ("refusal", "Harmful.")
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Wel"}]


def test_errors_before_and_in_the_middle() -> None:
    import anthropic

    error = Unavailable("busy", reason="UPSTREAM_OVERLOADED")
    for begun in ([], chunks_of(grown(text("Hello")))[:1]):
        encoder = ask(stream=True).encoder(ABOUT)
        written = encoder.begin() + b"".join(map(encoder.feed, begun)) + encoder.fail(error, "req-1")
        assert events(written)[-1] == {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "busy"},
            "request_id": "req-1",
        }
        with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
            joined(written)


def test_the_beginning_comes_once_and_pings_at_any_time() -> None:
    encoder = ask(stream=True).encoder(ABOUT)
    answer = chunks_of(grown(text("Hi")))
    written = encoder.begin() + encoder.heartbeat + encoder.begin() + b"".join(map(encoder.feed, answer))
    assert [event["type"] for event in events(written)].count("message_start") == 1
    assert encoder.begin() == b""
    assert joined(encoder.heartbeat + written).content[0].to_dict() == {"type": "text", "text": "Hi"}


NEEDED = {
    "message_start": "message.id message.type message.role message.model message.content message.stop_reason"
    " message.stop_sequence message.usage.input_tokens message.usage.output_tokens",
    "content_block_start": "index content_block.type",
    "content_block_delta": "index delta.type",
    "content_block_stop": "index",
    "message_delta": "delta.stop_reason delta.stop_sequence usage.input_tokens usage.output_tokens"
    " usage.cache_creation_input_tokens usage.cache_read_input_tokens",
    "message_stop": "type",
}
NEEDED_OF_BLOCKS = {"text": ["text"], "thinking": ["thinking", "signature"], "tool_use": ["id", "name", "input"]}
NEEDED_OF_DELTAS = {
    "text_delta": ["text"],
    "thinking_delta": ["thinking"],
    "signature_delta": ["signature"],
    "input_json_delta": ["partial_json"],
}


def test_every_member_is_there_without_which_a_client_fails() -> None:
    written = events(streamed(chunks_of(grown(thought("Hm."), text("So"), call(2, "a", "{}")))))
    assert {event["type"] for event in written} == NEEDED.keys()
    for event in written:
        for path in NEEDED[event["type"]].split():
            value: Any = event
            for name in path.split("."):
                value = value[name]
        block, piece = event.get("content_block"), event.get("delta", {})
        assert block is None or block.keys() >= set(NEEDED_OF_BLOCKS[block["type"]])
        assert piece.keys() >= set(NEEDED_OF_DELTAS.get(piece.get("type", ""), []))


def test_raw_events_are_read_by_the_client() -> None:
    written = streamed(chunks_of(grown(text("Hi"))))
    raw = client(written).messages.create(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    assert [event.type for event in raw] == [event["type"] for event in events(written)]
