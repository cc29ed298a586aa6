"""An answer as it grows."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from proto import models_pb2
from proto.models_pb2 import ChatChunk, ContentPart, ProviderState, ToolCall, ToolCallDelta
from services.models.providers.answers.answer import Answer
from tests.rows import for_each


def test_pieces_that_arrive_together_leave_together() -> None:
    answer = Answer()
    answer.add(0, "reasoning", "Hm")
    answer.add(0, "reasoning", "m.")
    answer.add(1, "text", "Hel")
    answer.add(1, "text", "lo")
    assert answer.drain_chunks() == [ChatChunk(reasoning="Hmm."), ChatChunk(token="Hello", index=1)]
    answer.add(1, "text", "!")
    assert answer.drain_chunks() == [ChatChunk(token="!", index=2)]
    assert answer.drain_chunks() == []


def test_tool_call_is_announced_before_its_arguments() -> None:
    answer = Answer()
    first = answer.open_tool_call(5, "a", "find")
    second = answer.open_tool_call(5, "b", "stop")
    answer.add_arguments(first, '{"n"')
    answer.add_arguments(second, "{")
    answer.add_arguments(first, ": 1}")
    answer.add_arguments(second, "}")
    assert [chunk.tool_call_delta for chunk in answer.drain_chunks()] == [
        ToolCallDelta(index=0, id="a", name="find"),
        ToolCallDelta(index=1, id="b", name="stop"),
        ToolCallDelta(index=0, arguments_json='{"n"'),
        ToolCallDelta(index=1, arguments_json="{"),
        ToolCallDelta(index=0, arguments_json=": 1}"),
        ToolCallDelta(index=1, arguments_json="}"),
    ]
    assert (answer.text_of(first), answer.text_of(second)) == ('{"n": 1}', "{}")


def test_call_without_arguments_has_an_empty_object() -> None:
    answer = Answer()
    answer.open_tool_call(0, "a", "stop")
    answer.complete()
    assert answer.drain_chunks()[-1].tool_call_delta == ToolCallDelta(index=0, arguments_json="{}")
    assert answer.response().tool_calls[0].arguments_json == "{}"


def test_missing_and_repeated_ids_are_replaced() -> None:
    answer = Answer()
    answer.provider_response_id = "resp"
    for call_id in ("a", "a", ""):
        answer.open_tool_call(0, call_id, "find")
    answer.complete()
    kept, *made = [call.id for call in answer.response().tool_calls]
    assert kept == "a"
    assert len({kept, *made}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", call_id) for call_id in made)


def test_ids_are_unique_even_without_one_of_the_provider() -> None:
    ids = set()
    for _ in range(2):
        answer = Answer()
        answer.open_tool_call(0, "", "find")
        answer.complete()
        ids.add(answer.response().tool_calls[0].id)
    assert len(ids) == 2


def test_call_whose_key_is_taken_comes_behind_all_other_calls() -> None:
    answer = Answer()
    assert [answer.open_tool_call(key, "", "find") for key in (7, 3, 3, 3, 20, 7)] == [7, 3, 8, 9, 20, 21]


def test_empty_pieces_begin_nothing() -> None:
    answer = Answer()
    answer.add(0, "text", "")
    answer.add(1, "reasoning", "")
    answer.complete()
    assert answer.drain_chunks() == []
    assert answer.response().message == models_pb2.ChatMessage(role="assistant")


def test_message_has_parts_only_where_the_short_form_says_less() -> None:
    answer = Answer()
    answer.add(0, "text", "So.")
    answer.open_tool_call(1, "a", "find")
    answer.complete()
    call = ToolCall(id="a", name="find", arguments_json="{}")
    assert answer.response().message == models_pb2.ChatMessage(role="assistant", content="So.", tool_calls=[call])


def test_text_after_a_tool_call_keeps_its_place() -> None:
    answer = Answer()
    answer.open_tool_call(0, "a", "find")
    answer.add(1, "text", "So.")
    answer.complete()
    call = ToolCall(id="a", name="find", arguments_json="{}")
    message = answer.response().message
    assert list(message.parts) == [ContentPart(tool_call=call), ContentPart(text="So.")]
    assert (message.content, list(message.tool_calls)) == ("So.", [call])


def test_blocks_are_in_the_order_of_their_keys_not_of_their_arrival() -> None:
    answer = Answer()
    answer.add(1, "text", "Said.")
    answer.add(0, "reasoning", "Thought.")
    answer.complete()
    assert [part.WhichOneof("kind") for part in answer.response().message.parts] == ["reasoning", "text"]


def test_state_ends_its_block_as_a_completed_part() -> None:
    state = ProviderState(provider="p", data=b"{}")
    answer = Answer()
    answer.state_owner = "p"
    answer.add(0, "reasoning", "Hm.")
    answer.attach_state(0, ProviderState(data=b"{}"))
    answer.attach_state(1, ProviderState(data=b"{}"), redacted=True)
    answer.attach_state(2, ProviderState(data=b"{}"))
    parts = [
        ContentPart(reasoning=models_pb2.Reasoning(text="Hm."), provider_state=state),
        ContentPart(reasoning=models_pb2.Reasoning(redacted=True), provider_state=state),
        ContentPart(provider_state=state),
    ]
    assert answer.drain_chunks() == [
        ChatChunk(reasoning="Hm."),
        *(ChatChunk(completed_part=part, index=index) for index, part in enumerate(parts, start=1)),
    ]
    answer.complete()
    assert list(answer.response().message.parts) == parts


def test_cited_text_is_a_part_with_its_sources() -> None:
    answer = Answer()
    answer.add(0, "text", "Found.")
    answer.cite(0, '[{"url":"u"}]')
    answer.cite(1, '[{"url":"of a text that never came"}]')
    answer.complete()
    assert list(answer.response().message.parts) == [ContentPart(text="Found.", citations_json='[{"url":"u"}]')]


def test_warnings_of_an_answer_are_the_responses() -> None:
    answer = Answer()
    answer.warnings.append(models_pb2.Notice(code="ANSWER_REFUSED"))
    answer.complete()
    assert [warning.code for warning in answer.response().warnings] == ["ANSWER_REFUSED"]


def test_refusal_comes_whole() -> None:
    answer = Answer()
    answer.add(0, "refusal", "I would ")
    answer.add(0, "refusal", "rather not.")
    answer.finish("stop", "stop")
    assert answer.drain_chunks() == []
    answer.complete()
    assert answer.drain_chunks() == [ChatChunk(completed_part=ContentPart(refusal="I would rather not."))]
    response = answer.response()
    assert (response.text, response.finish_reason, response.raw_finish_reason) == ("", "refusal", "stop")


@for_each("reason", ["length", "content_filter", "other"])
def test_only_stop_is_told_more_precisely(reason: str) -> None:
    answer = Answer()
    answer.open_tool_call(0, "a", "find")
    answer.add(1, "refusal", "No.")
    answer.finish(reason, "word")
    answer.complete()
    assert answer.response().finish_reason == reason


def test_answer_without_a_finish_reason_ended_for_another_one() -> None:
    answer = Answer()
    answer.complete()
    assert answer.response().finish_reason == "other"


def test_last_chunk_has_everything() -> None:
    answer = Answer()
    answer.add(0, "text", "Hi")
    answer.usage = models_pb2.TokenUsage(prompt_tokens=1)
    answer.finish("stop", "stop")
    answer.complete()
    answer.drain_chunks()
    assert answer.last_chunk() == ChatChunk(
        index=1, finish_reason="stop", usage=models_pb2.TokenUsage(prompt_tokens=1), response=answer.response()
    )


def test_closed_block_says_what_it_holds() -> None:
    answer = Answer()
    answer.add(0, "reasoning", "Hm \ud83d")
    assert answer.close(0) == "Hm \ufffd"
    assert answer.close(7) == ""


@given(st.text(alphabet="ab\U0001f600\U0001f9ee\ufffd"), st.lists(st.integers(0, 20)))
def test_characters_cut_in_half_are_whole_again(text: str, positions: list[int]) -> None:
    """Any split of the text's UTF-16 code units, which is what JSON escapes are."""
    units = text.encode("utf-16-le")
    cuts = sorted({0, len(units), *(2 * position for position in positions if 2 * position <= len(units))})
    answer = Answer()
    tokens = ""
    for start, end in itertools.pairwise(cuts):
        answer.add(0, "text", units[start:end].decode("utf-16-le", "surrogatepass"))
        tokens += "".join(chunk.token for chunk in answer.drain_chunks())
    answer.complete()
    assert tokens == answer.response().text == text


@given(st.lists(st.text(alphabet="a\ud83d\ude00\U0001f600", max_size=4)))
def test_halves_without_a_partner_never_reach_a_chunk(pieces: list[str]) -> None:
    answer = Answer()
    tokens = ""
    for piece in pieces:
        answer.add(0, "text", piece)
        tokens += "".join(chunk.token for chunk in answer.drain_chunks())
    answer.complete()
    tokens += "".join(chunk.token for chunk in answer.drain_chunks())
    expected = "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert tokens == answer.response().text == expected


def test_estimate_counts_all_that_was_written() -> None:
    answer = Answer()
    answer.add(0, "reasoning", "1234")
    answer.add(1, "text", "12345")
    answer.add_arguments(answer.open_tool_call(2, "a", "find"), "{}")
    assert answer.estimated_completion_tokens() == 3
