"""Bounds of sessions and memories; and few large sessions are read at a time."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest
from sqlalchemy import func, select

from proto import sessions_pb2 as pb
from proto import turns_pb2
from services.sessions import appends, memories, rows, store, tables
from services.sessions.owners import Owner
from tests.rows import row
from tests.services.session_service import Service, said
from tests.support.databases import on_postgresql_too
from tests.support.errors import Failure, failure_of

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
async def service(service: Service) -> Service:
    await service.create()
    return service


def told(failure: Failure) -> tuple[grpc.StatusCode, str]:
    return failure.code, failure.reason


async def truncate(service: Service, from_sequence: int) -> None:
    await service.call("TruncateMessages", pb.TruncateMessagesRequest(session_id="s", from_sequence=from_sequence))


async def begin(service: Service, messages: int, size: int = 0) -> None:
    request = turns_pb2.BeginTurnRequest(session_id="s", turn_id="t", append_messages=messages, append_bytes=size)
    await service.turns.BeginTurn(request)


async def test_session_is_full_of_messages_until_it_is_truncated(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_SESSION_MESSAGES", 3)
    await service.append("a", "b")
    refused = await failure_of(service.append("c", "d"))
    assert told(refused) == (EXHAUSTED, "SESSION_FULL")
    assert "go on in a new session, or truncate this one" in refused.message
    await service.append("c")
    assert told(await failure_of(begin(service, 1))) == (EXHAUSTED, "SESSION_FULL")
    await truncate(service, 2)
    await begin(service, 2)
    assert told(await failure_of(begin(service, 3))) == (EXHAUSTED, "SESSION_FULL")
    await service.append("b", "c")
    assert await service.sequences() == [1, 2, 3]


@on_postgresql_too
async def test_session_is_full_of_bytes_until_it_is_truncated(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = said("user", "x" * 100).ByteSize()
    monkeypatch.setattr(rows, "MAX_SESSION_BYTES", 3 * size)
    await service.append("x" * 100, request_id="r")
    await service.append("x" * 100, request_id="r")
    await service.append("x" * 100, "x" * 100)
    assert told(await failure_of(service.append(""))) == (EXHAUSTED, "SESSION_FULL")
    await truncate(service, 3)
    await begin(service, 2, size)
    assert told(await failure_of(begin(service, 2, size + 1))) == (EXHAUSTED, "SESSION_FULL")
    await service.append("x" * 100)
    await truncate(service, 1)
    await service.append("x" * 100, "x" * 100, "x" * 100)
    async with service.database.read() as connection:
        assert await connection.scalar(select(tables.sessions.c.message_bytes)) == 3 * size


async def test_a_turn_that_could_never_be_appended_does_not_begin(service: Service) -> None:
    for messages, size, field in [
        (-1, 0, "append_messages"),
        (1, -1, "append_bytes"),
        (1001, 0, "messages"),
        (1, 2**40, "messages"),
    ]:
        with row(messages, size, field):
            refused = await failure_of(begin(service, messages, size))
            assert (refused.code, list(refused.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


@on_postgresql_too
async def test_oldest_request_ids_are_deleted(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appends, "REMEMBERED_REQUESTS", 3)
    for number in range(20):
        await service.append("x", request_id=f"{number}")
    for number in (19, 18, 17):
        assert (await service.append("x", request_id=f"{number}")).duplicate
    assert not (await service.append("x", request_id="0")).duplicate
    async with service.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(tables.appends)) <= 6


async def test_number_of_values_is_limited_and_each_can_be_replaced(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(key: str, user_id: str = "ann") -> pb.PutMemoryRequest:
        return pb.PutMemoryRequest(user_id=user_id, key=key, value_json="1")

    monkeypatch.setattr(memories, "MAX_MEMORIES", 2)
    for request in (put("a"), put("b"), put("b"), put("c", "bob")):
        await service.call("PutMemory", request)
    assert told(await service.fail("PutMemory", put("c"))) == (EXHAUSTED, "MEMORY_FULL")
    await service.call("DeleteMemory", pb.DeleteMemoryRequest(user_id="ann", key="a"))
    await service.call("PutMemory", put("c"))


@on_postgresql_too
async def test_data_of_a_user_is_deleted_in_batches(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PURGE_BATCH", 3)
    monkeypatch.setattr(store, "PURGE_MESSAGES", 4)
    for number in range(7):
        await service.create(f"{number}", user_id="ann")
        await service.append("a", "b", session_id=f"{number}")
    await service.create("other", user_id="bob")
    removed = await service.call("DeleteUserData", pb.DeleteUserDataRequest(user_id="ann"))
    assert removed.deleted_sessions == 7
    left = await service.call("ListSessions", pb.ListSessionsRequest())
    assert sorted(session.session_id for session in left.sessions) == ["other", "s"]


@pytest.mark.parametrize("limit", ["LARGE_BYTES", "LARGE_MESSAGES"])
async def test_few_large_sessions_are_read_at_a_time(
    service: Service, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    await service.append("hello")
    await service.create("small")
    monkeypatch.setattr(store, limit, 1)
    async with contextlib.AsyncExitStack() as reading:
        for _ in range(store.LARGE_READS):
            await reading.enter_async_context(service.store.history("s", Owner("", "")))
        waiting = asyncio.create_task(service.call("GetContext", pb.GetContextRequest(session_id="s")))
        assert (await service.call("GetContext", pb.GetContextRequest(session_id="small"))).next_sequence == 1
        assert not waiting.done()
    assert (await waiting).next_sequence == 2


async def test_append_of_many_large_messages_is_returned_unchanged(service: Service) -> None:
    """It is stored by several statements."""
    messages = [said("user", f"{number}" * size) for number, size in enumerate([1] * 250 + [700_000] * 4 + [1])]
    await service.append(*messages)
    answer = await service.call("GetContext", pb.GetContextRequest(session_id="s"))
    assert [entry.message for entry in answer.messages] == messages
    assert [entry.sequence for entry in answer.messages] == list(range(1, 256))


async def test_append_can_omit_its_messages_from_the_response(service: Service) -> None:
    for duplicate in (False, True):
        answer = await service.append("a", "b", request_id="r", omit_messages=True)
        assert (list(answer.messages), answer.next_sequence, answer.duplicate) == ([], 3, duplicate)
