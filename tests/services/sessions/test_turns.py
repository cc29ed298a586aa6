"""Turns of a session."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from proto import sessions_pb2, turns_pb2
from proto.models_pb2 import WindowPolicy
from services.sessions.store import TURN_LEASE_SECONDS
from tests.rows import row
from tests.services.session_service import Service, said
from tests.support.databases import on_postgresql_too
from tests.support.errors import Failure, failure_of

ABORTED = grpc.StatusCode.ABORTED


@pytest.fixture
async def service(service: Service) -> Service:
    await service.create(user_id="ann")
    return service


async def begin(service: Service, turn_id: str = "t", **fields: Any) -> turns_pb2.BeginTurnResponse:
    request = turns_pb2.BeginTurnRequest(**{"session_id": "s", "turn_id": turn_id, **fields})
    response: turns_pb2.BeginTurnResponse = await service.turns.BeginTurn(request)
    return response


async def extend(service: Service, turn_id: str = "t") -> None:
    await service.turns.ExtendTurn(turns_pb2.ExtendTurnRequest(session_id="s", turn_id=turn_id))


async def end(service: Service, turn_id: str = "t", session_id: str = "s") -> None:
    await service.turns.EndTurn(turns_pb2.EndTurnRequest(session_id=session_id, turn_id=turn_id))


def told(failure: Failure) -> tuple[grpc.StatusCode, str]:
    return failure.code, failure.reason


async def test_turn_begins_with_the_history(service: Service) -> None:
    await service.append(said("user", "a"), said("assistant", "b"), said("user", "c"))
    begun = await begin(service, window=WindowPolicy(max_messages=1))
    request = sessions_pb2.GetContextRequest(session_id="s", window=WindowPolicy(max_messages=1))
    assert begun.context == await service.call("GetContext", request)
    assert begun.lease == Duration(seconds=int(TURN_LEASE_SECONDS))


async def test_a_second_turn_is_refused_until_the_first_has_ended(service: Service) -> None:
    await begin(service)
    for _ in range(2):
        assert told(await failure_of(begin(service, "other"))) == (ABORTED, "SESSION_BUSY")
    await end(service)
    await begin(service, "other")


async def test_the_same_turn_begins_again(service: Service) -> None:
    await begin(service)
    await begin(service)


@on_postgresql_too
async def test_one_of_many_concurrent_turns_begins(service: Service) -> None:
    async def attempt(number: int) -> str:
        try:
            await begin(service, f"{number}")
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    assert sorted(await asyncio.gather(*map(attempt, range(32)))) == ["ABORTED"] * 31 + ["OK"]


async def test_an_append_of_the_turn_ends_it(service: Service) -> None:
    await begin(service)
    await service.append("a", turn_id="t")
    await begin(service, "other")


async def test_append_without_a_turn_does_not_end_the_turn(service: Service) -> None:
    await begin(service)
    await service.append("a")
    assert told(await failure_of(begin(service, "other"))) == (ABORTED, "SESSION_BUSY")


async def test_append_of_another_turn_is_refused(service: Service) -> None:
    await begin(service)
    assert told(await failure_of(service.append("a", turn_id="other"))) == (ABORTED, "TURN_LOST")
    assert await service.sequences() == []


async def test_repeated_append_of_a_turn_returns_the_first_result(service: Service) -> None:
    await begin(service)
    first = await service.append("a", turn_id="t", request_id="t", expected_next_sequence=1)
    again = await service.append("a", turn_id="t", request_id="t", expected_next_sequence=1)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.next_sequence == first.next_sequence == 2


async def test_a_turn_lasts_for_its_lease(service: Service) -> None:
    await begin(service)
    service.clock.advance(TURN_LEASE_SECONDS - 1)
    assert told(await failure_of(begin(service, "other"))) == (ABORTED, "SESSION_BUSY")
    service.clock.advance(1)
    await begin(service, "other")
    assert told(await failure_of(extend(service))) == (ABORTED, "TURN_LOST")
    assert told(await failure_of(service.append("a", turn_id="t"))) == (ABORTED, "TURN_LOST")
    await end(service)
    await service.append("a", turn_id="other")


async def test_an_extended_turn_lasts_for_another_lease(service: Service) -> None:
    await begin(service)
    for _ in range(3):
        service.clock.advance(TURN_LEASE_SECONDS - 1)
        await extend(service)
    assert told(await failure_of(begin(service, "other"))) == (ABORTED, "SESSION_BUSY")


async def test_turn_with_an_expired_lease_is_appended_if_no_other_has_begun(service: Service) -> None:
    await begin(service)
    service.clock.advance(TURN_LEASE_SECONDS * 10)
    assert (await service.append("a", turn_id="t")).next_sequence == 2


async def test_truncation_ends_the_turn(service: Service) -> None:
    await service.append("a")
    await begin(service)
    request = sessions_pb2.TruncateMessagesRequest(session_id="s", from_sequence=1)
    await service.call("TruncateMessages", request)
    await service.append("b")
    assert told(await failure_of(service.append("answer", turn_id="t", expected_next_sequence=2))) == (
        ABORTED,
        "TURN_LOST",
    )
    await begin(service, "other")


async def test_turn_returns_its_user_and_stays_in_the_session(service: Service) -> None:
    """Whoever named no user goes on by naming the one that it was found to be."""
    begun = await begin(service)
    assert begun.user_id == "ann"
    await service.create("s", user_id="bob")
    assert (await failure_of(extend(service))).reason == "SESSION_AMBIGUOUS"
    mine = {"session_id": "s", "user_id": "ann", "turn_id": "t"}
    await service.turns.ExtendTurn(turns_pb2.ExtendTurnRequest(**mine))
    await service.append("a", user_id="ann", turn_id="t")
    await begin(service, "u", user_id="bob")
    await service.turns.EndTurn(turns_pb2.EndTurnRequest(session_id="s", user_id="ann", turn_id="u"))
    assert told(await failure_of(begin(service, "v", user_id="bob"))) == (ABORTED, "SESSION_BUSY")


@on_postgresql_too
async def test_recreated_session_has_no_turn(service: Service) -> None:
    await begin(service)
    await service.call("DeleteSession", sessions_pb2.DeleteSessionRequest(session_id="s"))
    await end(service)
    assert (await failure_of(extend(service))).reason == "SESSION_NOT_FOUND"
    await service.create()
    assert told(await failure_of(service.append("a", turn_id="t"))) == (ABORTED, "TURN_LOST")


async def test_refused_turn_has_no_lease(service: Service) -> None:
    for fields, reason in [
        ({"session_id": "none"}, "SESSION_NOT_FOUND"),
        ({"user_id": "bob"}, "SESSION_NOT_FOUND"),
        ({"expected_next_sequence": 7}, "SEQUENCE_CONFLICT"),
        ({"turn_id": ""}, "INVALID_REQUEST"),
        ({"turn_id": "t" * 65}, "INVALID_REQUEST"),
        ({"window": WindowPolicy(max_messages=-1)}, "INVALID_REQUEST"),
    ]:
        with row(fields, reason):
            assert (await failure_of(begin(service, **fields))).reason == reason
            await begin(service, "other")
            await end(service, "other")


async def test_turn_does_not_count_as_a_use(service: Service) -> None:
    """A session lives on after it was written to; that somebody began to answer is nothing that was said."""
    before = await service.call("GetSession", sessions_pb2.GetSessionRequest(session_id="s"))
    await begin(service)
    await extend(service)
    await end(service)
    assert before == await service.call("GetSession", sessions_pb2.GetSessionRequest(session_id="s"))


async def test_a_context_that_expects_another_sequence_conflicts(service: Service) -> None:
    request = sessions_pb2.GetContextRequest(session_id="s", expected_next_sequence=2)
    assert told(await service.fail("GetContext", request)) == (ABORTED, "SEQUENCE_CONFLICT")
    await service.append("a")
    await service.call("GetContext", request)
