"""An answer in one message, the same that its stream becomes; and what a client gives back of it is what it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.models_pb2 import ChatResponse, ContentPart, TokenUsage
from services.models.faces.messages.face import MESSAGES
from services.models.providers.answers.answer import Answer
from services.models.providers.state.member_state import KeptMembers, wrap_members
from services.shared.errors import InvalidRequest, LimitExceeded, NotFound, PlatformError, PreconditionFailed
from tests.rows import for_each
from tests.unit.faces.messages_answers import (
    ABOUT,
    HELLO,
    Grow,
    ask,
    call,
    chunks_of,
    client,
    given_back,
    grown,
    joined,
    kept,
    parsed,
    parts_of,
    read_message,
    streamed,
    text,
    thought,
    whole,
)


def test_a_whole_answer() -> None:
    answer = grown(thought("Hm."), text("So"), call(2, "a", '{"q": 1.0}'))
    assert whole(answer.response()) == (
        b'{"id":"msg_0123456789abcdef","type":"message","role":"assistant","model":"claude-gpt","content":['
        b'{"type":"thinking","thinking":"Hm.","signature":"gs1."},{"type":"text","text":"So"},'
        b'{"type":"tool_use","id":"a","name":"find","input":{"q": 1.0}}],"stop_reason":"tool_use",'
        b'"stop_sequence":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":3,'
        b'"cache_read_input_tokens":5,"output_tokens":7}}'
    )


MEMBERS_OF_MESSAGES = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}


def test_every_member_is_there_without_which_a_client_fails() -> None:
    written = json.loads(whole(grown(thought("Hm."), text("So"), call(2, "a", "{}")).response()))
    assert written.keys() >= MEMBERS_OF_MESSAGES
    assert written["usage"].keys() >= {"input_tokens", "output_tokens"}
    assert [block.keys() for block in written["content"]] == [
        {"type", "thinking", "signature"},
        {"type", "text"},
        {"type", "id", "name", "input"},
    ]


def test_the_model_is_named_as_it_was_asked_for_or_by_itself() -> None:
    response = grown(text("x")).response()
    assert parsed(whole(response)).model == "claude-gpt"
    nameless = MESSAGES.read(json.dumps(HELLO | {"model": None}).encode())
    assert json.loads(nameless.whole(response, ABOUT))["model"] == "m"


def test_details_of_usage() -> None:
    usage = TokenUsage(
        prompt_tokens=100,
        completion_tokens=9,
        cached_prompt_tokens=40,
        cache_write_tokens=30,
        long_cache_write_tokens=20,
        reasoning_tokens=4,
    )
    found = parsed(whole(ChatResponse(text="x", finish_reason="stop", usage=usage))).usage
    assert (found.input_tokens, found.cache_read_input_tokens, found.cache_creation_input_tokens) == (30, 40, 30)
    assert found.cache_creation is not None
    assert (found.cache_creation.ephemeral_5m_input_tokens, found.cache_creation.ephemeral_1h_input_tokens) == (10, 20)
    assert found.output_tokens_details is not None
    assert found.output_tokens_details.thinking_tokens == 4


def test_a_stop_sequence() -> None:
    response = ChatResponse(finish_reason="stop", raw_finish_reason="stop", stop_sequence="END")
    message = parsed(whole(response))
    assert (message.stop_reason, message.stop_sequence, message.content) == ("stop_sequence", "END", [])


def test_arguments_that_are_no_object_go_into_one() -> None:
    message = parsed(whole(grown(call(1, "a", '{"q": "x'), finish=("length", "length")).response()))
    assert [block.to_dict() for block in message.content] == [
        {"type": "tool_use", "id": "a", "name": "find", "input": {"arguments": '{"q": "x'}}
    ]


def test_a_container_and_the_explanation_of_a_refusal_have_members_of_their_own() -> None:
    steps: list[Grow] = [
        text("Wel"),
        lambda answer: answer.add(2**30, "refusal", "Harmful."),
        kept(2**30 + 1, b'{"container":{"id":"c1","expires_at":"2026-12-01T00:00:00Z"}}'),
    ]
    message = parsed(whole(grown(*steps, owner="anthropic", finish=("refusal", "refusal")).response()))
    assert message.container is not None
    assert message.stop_details is not None
    assert (message.container.id, message.stop_details.explanation) == ("c1", "Harmful.")
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Wel"}]


# ------------------------------------------------------------------------------------------------------- round trips

MEMBERS = wrap_members(KeptMembers(reasoning=["reasoning_content"]))


@for_each(
    ("owner", "steps"),
    [
        ("openai", [thought("Hm."), kept(0, b'{"type":"reasoning","encrypted_content":"gAAA"}'), text("So.")]),
        ("openai", [kept(0, b'{"type":"reasoning"}', redacted=True), call(2, "a", "{}"), kept(2, b'{"x":1}')]),
        ("openai", [text("So."), kept(1, b'{"type":"message","phase":"commentary"}'), call(2, "a", "{}")]),
        ("openai", [kept(0, b'{"type":"web_search"}'), text("So."), kept(1, b'{"x":1}'), thought("Hm", 2)]),
        # Chat Completions tells at its end what it wants back of its thoughts and of each call.
        ("vllm:1f", [thought("Hm."), text("So"), call(2, "a", "{}"), call(3, "b", "{}"), kept(0, MEMBERS)]),
        ("vllm:1f", [thought("Hm."), call(2, "a", "{}"), call(3, "b", "{}"), kept(2, b'{"x":1}'), kept(3, MEMBERS)]),
        ("anthropic:1f", [thought("Hm."), kept(0, b'{"type":"thinking","thinking":"Hm."}'), text("So")]),
        (
            "anthropic",
            [
                thought("Hm."),
                kept(0, b'{"type":"thinking","thinking":"Hm.","signature":"c2ln"}'),
                kept(1, b'{"type":"redacted_thinking","data":"b3A="}', redacted=True),
                call(2, "a", "{}"),
            ],
        ),
    ],
)
def test_clients_give_back_what_the_answer_was(owner: str, steps: list[Grow]) -> None:
    response = grown(*steps, owner=owner).response()
    written = streamed(chunks_of(grown(*steps, owner=owner)))
    for message in (parsed(whole(response)), joined(written)):
        assert parts_of(read_message(given_back(message))) == parts_of(response.message)


TEXTS = st.text(min_size=1).filter(lambda piece: "\ud800" not in piece and piece.isprintable())
STATES = st.sampled_from([b'{"type":"reasoning"}', b'{"type":"message","n":[1]}', MEMBERS])


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[Grow], str]:
    """Steps in which an answer grows block by block; some blocks get their state at their end, some at the very end."""
    steps: list[Grow] = []
    late: list[Grow] = []
    before = ""
    for key in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["text", "thought", "call", "hidden", "alone"]))
        state = draw(st.none() | STATES)
        if kind == before and kind in ("text", "thought"):
            # Without state between them, two of them are one block in the stream.
            continue
        before = kind
        if kind == "text":
            steps += [text(piece, key) for piece in draw(st.lists(TEXTS, min_size=1, max_size=3))]
        elif kind == "thought":
            steps += [thought(piece, key) for piece in draw(st.lists(TEXTS, min_size=1, max_size=3))]
        elif kind == "call":
            pieces = draw(st.sampled_from([["{}"], ['{"a":', "1}"], ['{"a":"', "x", '"}'], []]))
            steps.append(call(key, f"call-{key}", *pieces))
        else:
            steps.append(kept(key, draw(STATES), redacted=kind == "hidden"))
        if state is not None and kind == "call":
            draw(st.sampled_from([steps, late])).append(kept(key, state))
        elif state is not None and kind in ("text", "thought"):
            steps.append(kept(key, state))
    return steps + late, draw(st.sampled_from(["openai", "vllm:1f"]))


@settings(max_examples=50)
@given(answers())
def test_whole_and_streamed_answers_are_given_back_alike(answer: tuple[list[Grow], str]) -> None:
    steps, owner = answer
    response = grown(*steps, owner=owner).response()
    for message in (parsed(whole(response)), joined(streamed(chunks_of(grown(*steps, owner=owner))))):
        found = read_message(given_back(message)) if message.content else response.message
        assert parts_of(found) == without_end(parts_of(response.message))


def without_end(parts: list[ContentPart]) -> list[ContentPart]:
    """The parts without the state behind the last text of an answer that calls nothing, which has no place there."""
    if any(part.HasField("tool_call") for part in parts) or not any(part.text for part in parts):
        return parts
    while parts[-1].WhichOneof("kind") is None or parts[-1].reasoning.redacted:
        parts.pop()
    if parts[-1].text:
        parts[-1].ClearField("provider_state")
    return parts


def test_an_answer_ends_with_its_text() -> None:
    """Claude Code takes the last block for the result."""
    steps = text("So."), kept(1, b'{"type":"message"}'), kept(2, b'{"type":"web_search"}')
    response = grown(*steps).response()
    for message in (parsed(whole(response)), joined(streamed(chunks_of(grown(*steps))))):
        assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "So."}]


def test_blocks_in_another_order_keep_their_state() -> None:
    """Claude Code puts calls behind what has come after them."""
    late = thought("Hm."), text("So"), call(2, "a", "{}"), call(3, "b", "{}"), kept(3, b'{"x":1}'), kept(0, MEMBERS)
    message = given_back(joined(streamed(chunks_of(grown(*late)))))
    message["content"].sort(key=lambda block: block["type"] == "tool_use")
    assert parts_of(read_message(message)) == parts_of(grown(*late).response().message)


def test_nothing_but_whole_answers_grows_without_bound() -> None:
    """Calls in turns wait, but each piece is looked at once."""

    def turns(answer: Answer) -> None:
        for key in range(50):
            answer.open_tool_call(key, f"c{key}", "find")
        for _ in range(40):
            for key in range(50):
                answer.add_arguments(key, " ")
                answer.flush()
        for key in range(50):
            answer.add_arguments(key, "{}")
            answer.flush()

    message = joined(streamed(chunks_of(grown(turns))))
    assert [block.type for block in message.content] == ["tool_use"] * 50


# ------------------------------------------------------------------------------------------------------------ errors


@for_each(
    ("error", "status", "kind", "message"),
    [
        (
            InvalidRequest("too many", reason="CONTEXT_LENGTH_EXCEEDED"),
            400,
            "invalid_request_error",
            "prompt is too long: too many",
        ),
        (
            InvalidRequest("prompt is too long: 9 tokens > 8 maximum", reason="CONTEXT_TOO_LARGE"),
            400,
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
        ),
        (
            NotFound("no model x; did you mean y?", reason="MODEL_NOT_FOUND"),
            404,
            "not_found_error",
            "model: claude-gpt",
        ),
        (
            InvalidRequest.field("messages[0].content", "is empty"),
            400,
            "invalid_request_error",
            "messages[0].content: is empty",
        ),
        (
            InvalidRequest.field("config.max_tokens", "must be at least 1"),
            400,
            "invalid_request_error",
            "max_tokens: must be at least 1",
        ),
        (
            InvalidRequest.field("session_id", "is wrong"),
            400,
            "invalid_request_error",
            "session_id: is wrong",
        ),
        (PreconditionFailed("no key", reason="PROVIDER_NOT_CONFIGURED"), 503, "api_error", "no key"),
    ],
)
def test_errors_in_anthropics_words(error: PlatformError, status: int, kind: str, message: str) -> None:
    import anthropic

    refusal = MESSAGES.refusal(error, "req-1", ask())
    assert refusal.status == status
    assert json.loads(refusal.body) == {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "req-1",
    }
    with pytest.raises(anthropic.APIStatusError) as raised:
        client(refusal.body, content_type="application/json", status=status).messages.create(**HELLO)  # type: ignore[call-overload]
    assert (raised.value.status_code, raised.value.body) == (status, json.loads(refusal.body))


def test_waiting_is_told_in_headers_and_a_body_that_was_not_read_has_its_paths_already() -> None:
    error = LimitExceeded("slower", reason="UPSTREAM_RATE_LIMITED", retry_after=1.2)
    assert MESSAGES.refusal(error, "req-1").headers == [("retry-after", "2"), ("retry-after-ms", "1200")]
    with pytest.raises(InvalidRequest) as refused:
        ask(system=[{"type": "image"}])
    told = json.loads(MESSAGES.refusal(refused.value, "req-1").body)["error"]["message"]
    assert told == "system[0].type: must be text in a system message"
