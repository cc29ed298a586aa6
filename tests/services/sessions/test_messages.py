"""Appending and listing messages."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from sqlalchemy import update

from proto import models_pb2 as models
from proto import sessions_pb2 as pb
from services.sessions.tables import messages
from tests.services.session_service import Service, said
from tests.support.databases import on_postgresql_too
from tests.support.errors import failure_of


@pytest.fixture
async def service(service: Service) -> Service:
    await service.create()
    return service


def rich_message() -> models.ChatMessage:
    """A message with something in every corner."""
    state = models.ProviderState(provider="anthropic", model="m", data=bytes(range(256)))
    return models.ChatMessage(
        role="assistant",
        content="naïve \0 🙂 text",
        name="speaker",
        tool_calls=[models.ToolCall(id="1", name="f", arguments_json='{"a":  1.0,')],
        parts=[
            models.ContentPart(reasoning=models.Reasoning(text="hm", redacted=True), provider_state=state),
            models.ContentPart(media=models.Media(data=b"\x89PNG\0", mime_type="image/png")),
            models.ContentPart(refusal="no"),
        ],
    )


@on_postgresql_too
async def test_messages_come_back_byte_for_byte(service: Service) -> None:
    await service.append(rich_message(), said("user"))
    page = await service.call("ListMessages", pb.ListMessagesRequest(session_id="s"))
    assert [entry.message for entry in page.messages] == [rich_message(), said("user")]
    assert page.messages[0].message.SerializeToString() == rich_message().SerializeToString()


async def test_fields_of_a_newer_contract_are_kept(service: Service) -> None:
    newer = models.ChatMessage.FromString(said("user", "x").SerializeToString() + b"\xfa\x3f\x03new")
    await service.append(newer)
    page = await service.call("ListMessages", pb.ListMessagesRequest(session_id="s"))
    assert page.messages[0].message.SerializeToString() == newer.SerializeToString()


async def test_append_returns_the_sequences(service: Service) -> None:
    first = await service.append("a", "b")
    assert [entry.sequence for entry in first.messages] == [1, 2]
    assert [entry.message.content for entry in first.messages] == ["a", "b"]
    assert (first.next_sequence, first.duplicate) == (3, False)
    assert (await service.append("c")).next_sequence == 4
    session = await service.call("GetSession", pb.GetSessionRequest(session_id="s"))
    assert (session.message_count, session.next_sequence) == (3, 4)


async def test_an_append_with_one_bad_message_appends_none(service: Service) -> None:
    request = pb.AppendMessagesRequest(session_id="s", messages=[said("user"), said("robot")])
    assert list((await service.fail("AppendMessages", request)).fields) == ["messages[1].role"]
    assert await service.sequences() == []


@on_postgresql_too
async def test_append_of_a_thousand_messages(service: Service) -> None:
    appended = await service.append(*["x"] * 1000)
    assert appended.next_sequence == 1001
    assert await service.sequences() == list(range(1, 1001))


@on_postgresql_too
async def test_64_concurrent_writers_leave_no_gap_and_no_duplicate(service: Service) -> None:
    answers = await asyncio.gather(*(service.append(str(number)) for number in range(64)))
    assert sorted(answer.messages[0].sequence for answer in answers) == list(range(1, 65))
    page = await service.call("ListMessages", pb.ListMessagesRequest(session_id="s", page_size=100))
    stored = {entry.sequence: entry.message.content for entry in page.messages}
    assert stored == {answer.messages[0].sequence: answer.messages[0].message.content for answer in answers}


@on_postgresql_too
async def test_writers_of_different_sessions_are_independent(service: Service) -> None:
    for number in range(8):
        await service.create(f"s{number}")
    await asyncio.gather(*(service.append("x", "y", session_id=f"s{number % 8}") for number in range(64)))
    for number in range(8):
        assert await service.sequences(f"s{number}") == list(range(1, 17))


async def test_repeated_request_appends_nothing_and_returns_the_first_result(service: Service) -> None:
    first = await service.append("a", "b", request_id="r")
    await service.append("c")
    again = await service.append("a", "b", request_id="r")
    assert again.duplicate
    assert not first.duplicate
    assert again.messages == first.messages
    assert again.next_sequence == first.next_sequence
    assert await service.sequences() == [1, 2, 3]


@on_postgresql_too
async def test_a_request_repeated_at_the_same_time_appends_once(service: Service) -> None:
    answers = await asyncio.gather(*(service.append("a", request_id="r") for _ in range(10)))
    assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 9
    assert {answer.messages[0].sequence for answer in answers} == {1}
    assert await service.sequences() == [1]


@pytest.mark.parametrize("contents", [("other",), ("a", "b"), ("a" * 2,)])
async def test_a_request_id_used_with_other_messages_is_refused(service: Service, contents: tuple[str, ...]) -> None:
    await service.append("a", request_id="r")
    refused = await failure_of(service.append(*contents, request_id="r"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await service.sequences() == [1]


async def test_a_request_id_belongs_to_its_session(service: Service) -> None:
    await service.create("other")
    await service.append("a", request_id="r")
    assert not (await service.append("b", session_id="other", request_id="r")).duplicate


async def test_an_append_that_expects_another_sequence_conflicts(service: Service) -> None:
    await service.append("a", expected_next_sequence=1)
    refused = await failure_of(service.append("b", expected_next_sequence=1))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "SEQUENCE_CONFLICT")
    assert refused.metadata == {"next_sequence": "2", "expected_next_sequence": "1"}
    assert await service.sequences() == [1]


@on_postgresql_too
async def test_one_of_many_appends_with_the_same_expected_sequence_succeeds(service: Service) -> None:
    async def attempt() -> str:
        try:
            await service.append("mine", expected_next_sequence=1)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    outcomes = await asyncio.gather(*(attempt() for _ in range(16)))
    assert sorted(outcomes) == ["ABORTED"] * 15 + ["OK"]


async def test_a_repeated_request_does_not_conflict_with_itself(service: Service) -> None:
    await service.append("a", request_id="r", expected_next_sequence=1)
    assert (await service.append("a", request_id="r", expected_next_sequence=1)).duplicate


@on_postgresql_too
async def test_cancelled_append_is_complete_or_absent_and_blocks_no_other(service: Service) -> None:
    for number in range(20):
        request = pb.AppendMessagesRequest(session_id="s", messages=[said("user", "x")] * 3)
        call = service.stub.AppendMessages(request)
        await asyncio.sleep(number * 0.0005)
        call.cancel()
    sequences = await service.sequences()
    assert len(sequences) % 3 == 0
    assert (await service.append("next")).messages[0].sequence >= len(sequences) + 1
    final = await service.sequences()
    assert final == list(range(1, len(final) + 1))


@pytest.mark.parametrize(
    ("descending", "expected"), [(False, [[1, 2, 3], [4, 5, 6], [7]]), (True, [[7, 6, 5], [4, 3, 2], [1]])]
)
async def test_messages_are_listed_page_by_page(service: Service, descending: bool, expected: list[list[int]]) -> None:
    await service.append(*"abcdefg")
    pages: list[list[int]] = []
    token = ""
    while not pages or token:
        page = await service.call(
            "ListMessages", pb.ListMessagesRequest(session_id="s", page_size=3, page_token=token, descending=descending)
        )
        pages.append([entry.sequence for entry in page.messages])
        token = page.next_page_token
    assert pages == expected


async def test_a_page_of_messages_ends_before_it_is_too_large_for_a_client(service: Service) -> None:
    """A gRPC client takes 4 MiB unless it is told otherwise; only a message that is larger by itself is too large."""
    for size in (5_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000):
        await service.append("x" * size)
    first = await service.call("ListMessages", pb.ListMessagesRequest(session_id="s", descending=True))
    assert [entry.sequence for entry in first.messages] == [5, 4, 3]
    assert first.ByteSize() < 4 * 1024 * 1024
    request = pb.ListMessagesRequest(session_id="s", descending=True, page_token=first.next_page_token)
    second = await service.call("ListMessages", request)
    assert [entry.sequence for entry in second.messages] == [2]
    assert second.next_page_token


async def test_later_pages_contain_messages_that_were_appended_meanwhile(service: Service) -> None:
    await service.append("a", "b", "c")
    page = await service.call("ListMessages", pb.ListMessagesRequest(session_id="s", page_size=2))
    await service.append("d")
    request = pb.ListMessagesRequest(session_id="s", page_token=page.next_page_token)
    rest = await service.call("ListMessages", request)
    assert [entry.sequence for entry in rest.messages] == [3, 4]


async def test_a_token_of_the_other_direction_is_refused(service: Service) -> None:
    await service.append("a", "b")
    page = await service.call("ListMessages", pb.ListMessagesRequest(session_id="s", page_size=1))
    request = pb.ListMessagesRequest(session_id="s", page_token=page.next_page_token, descending=True)
    assert list((await service.fail("ListMessages", request)).fields) == ["page_token"]


@on_postgresql_too
async def test_truncated_sequences_are_used_again(service: Service) -> None:
    await service.append(*"abcde")
    answer = await service.call("TruncateMessages", pb.TruncateMessagesRequest(session_id="s", from_sequence=4))
    assert (answer.removed_count, answer.next_sequence) == (2, 4)
    assert (await service.append("f")).messages[0].sequence == 4
    assert await service.sequences() == [1, 2, 3, 4]


async def test_a_message_that_cannot_be_read_is_an_error_until_it_is_truncated(service: Service) -> None:
    await service.append("one", "two")
    async with service.database.write() as connection:
        await connection.execute(update(messages).where(messages.c.sequence == 2).values(message=b"\xff"))
    for call, request in (
        ("ListMessages", pb.ListMessagesRequest(session_id="s")),
        ("GetContext", pb.GetContextRequest(session_id="s")),
    ):
        failure = await service.fail(call, request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "MESSAGE_CORRUPT")
    await service.call("TruncateMessages", pb.TruncateMessagesRequest(session_id="s", from_sequence=2))
    assert await service.sequences() == [1]


async def test_truncating_after_the_end_deletes_nothing(service: Service) -> None:
    await service.append("a")
    before = await service.call("GetSession", pb.GetSessionRequest(session_id="s"))
    for sequence in (2, 1000):
        request = pb.TruncateMessagesRequest(session_id="s", from_sequence=sequence)
        answer = await service.call("TruncateMessages", request)
        assert (answer.removed_count, answer.next_sequence) == (0, 2)
    assert before == await service.call("GetSession", pb.GetSessionRequest(session_id="s"))
