"""Projects of sessions: keys of one user, tokens of another project, and the plans of the queries."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from sqlalchemy import Engine, event

from proto import sessions_pb2 as pb
from proto import turns_pb2
from tests.services.session_service import Service, said, served
from tests.support.callers import caller, require
from tests.support.databases import on_postgresql_too


@pytest.fixture
async def guarded(default_database_url: str, patient_storage: None) -> AsyncIterator[Service]:
    """A service that asks who calls."""
    async with served(default_database_url, callers=require()) as service:
        yield service


NAMES_A_SESSION = {
    "GetSession": pb.GetSessionRequest,
    "DeleteSession": pb.DeleteSessionRequest,
    "AppendMessages": lambda **place: pb.AppendMessagesRequest(**place, messages=[said("user", "x")]),
    "ListMessages": pb.ListMessagesRequest,
    "GetContext": pb.GetContextRequest,
    "TruncateMessages": lambda **place: pb.TruncateMessagesRequest(**place, from_sequence=1),
    "BeginTurn": lambda **place: turns_pb2.BeginTurnRequest(**place, turn_id="t"),
    "ExtendTurn": lambda **place: turns_pb2.ExtendTurnRequest(**place, turn_id="t"),
}


async def test_a_key_of_a_user_means_that_user(guarded: Service) -> None:
    project, anns = guarded.by(caller("p")), guarded.by(caller("p", user_id="ann"))
    assert (await anns.create("own")).user_id == "ann"
    await project.create("bobs", user_id="bob")
    await project.create("nobodys")
    await project.call("PutMemory", pb.PutMemoryRequest(user_id="bob", key="k", value_json="1"))
    await anns.call("PutMemory", pb.PutMemoryRequest(key="k", value_json="2"))
    listed = await anns.call("ListSessions", pb.ListSessionsRequest())
    assert [session.session_id for session in listed.sessions] == ["own"]
    [memory] = (await anns.call("ListMemories", pb.ListMemoriesRequest())).memories
    assert (memory.user_id, memory.value_json) == ("ann", "2")
    for name, request in NAMES_A_SESSION.items():
        for session_id in ("bobs", "nobodys"):
            assert (await anns.fail(name, request(session_id=session_id))).reason == "SESSION_NOT_FOUND", name
    deleted = await anns.call("DeleteUserData", pb.DeleteUserDataRequest())
    assert (deleted.deleted_sessions, deleted.deleted_memories) == (1, 1)
    left = await project.call("ListSessions", pb.ListSessionsRequest())
    assert {session.session_id for session in left.sessions} == {"bobs", "nobodys"}


async def test_a_key_of_a_user_names_no_other_one(guarded: Service) -> None:
    anns = guarded.by(caller("p", user_id="ann"))
    await guarded.by(caller("p")).create("s", user_id="bob")
    requests: dict[str, Any] = {
        **{name: request(session_id="s", user_id="bob") for name, request in NAMES_A_SESSION.items()},
        "CreateSession": pb.CreateSessionRequest(user_id="bob"),
        "ListSessions": pb.ListSessionsRequest(user_id="bob"),
        "PutMemory": pb.PutMemoryRequest(user_id="bob", key="k", value_json="1"),
        "ListMemories": pb.ListMemoriesRequest(user_id="bob"),
        "DeleteMemory": pb.DeleteMemoryRequest(user_id="bob", key="k"),
        "DeleteUserData": pb.DeleteUserDataRequest(user_id="bob"),
    }
    for name, request in requests.items():
        failure = await anns.fail(name, request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND"), name


async def test_page_tokens_are_those_of_a_project_and_user(guarded: Service) -> None:
    callers = [caller("p"), caller("q"), caller("p", user_id="ann"), caller("p", user_id="bob")]
    tokens = []
    for each in callers:
        for number in range(2):
            await guarded.by(each).create(f"{each.user_id}{number}")
        page = await guarded.by(each).call("ListSessions", pb.ListSessionsRequest(page_size=1))
        tokens.append(page.next_page_token)
    for each, own in zip(callers, tokens, strict=True):
        for token in tokens:
            request = pb.ListSessionsRequest(page_token=token)
            if token == own:
                assert (await guarded.by(each).call("ListSessions", request)).sessions
            else:
                failure = await guarded.by(each).fail("ListSessions", request)
                assert (failure.code, [*failure.fields]) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


SLOW = ("SCAN sessions", "SCAN memories", "TEMP B-TREE", "Seq Scan on", "Sort")
"""Steps of a plan that read a whole table, or all rows of an owner before the first of a page."""


@contextlib.contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The queries that are executed in the block, with their values."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and " FROM " in statement.replace("\n", " "):
            found.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@on_postgresql_too
async def test_queries_search_indexes_and_sort_nothing(guarded: Service, database_kind: str) -> None:
    with statements() as found:
        for project in ("p", "q"):
            service = guarded.by(caller(project))
            for number in range(4):
                await service.create(f"{number}", user_id="ann")
                await service.append("Hello!", session_id=f"{number}", request_id="r")
                memory = pb.PutMemoryRequest(user_id="ann", key=f"{number}", value_json="1")
                await service.call("PutMemory", memory)
            for user_id in ("", "ann"):
                request = pb.ListSessionsRequest(page_size=2, user_id=user_id)
                request.page_token = (await service.call("ListSessions", request)).next_page_token
                await service.call("ListSessions", request)
            listing = pb.ListMemoriesRequest(user_id="ann", page_size=2)
            listing.page_token = (await service.call("ListMemories", listing)).next_page_token
            await service.call("ListMemories", listing)
            await service.call("DeleteMemory", pb.DeleteMemoryRequest(user_id="ann", key="1"))
            await service.call("DeleteUserData", pb.DeleteUserDataRequest(user_id="ann"))
    about = [(statement, values) for statement, values in found if "sessions" in statement or "memories" in statement]
    assert len(about) > 20
    explain = "EXPLAIN QUERY PLAN " if database_kind == "sqlite" else "EXPLAIN "
    async with guarded.database.read() as connection:
        if database_kind == "postgresql":
            # A table of few rows is read whole otherwise.
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            await connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        for statement, values in about:
            rows = (await connection.exec_driver_sql(explain + statement, values)).all()
            plan = "\n".join(str(row[-1]) for row in rows)
            for slow in SLOW:
                assert slow not in plan, (statement, plan)
            if "project_id = " in statement:
                assert re.search(r"SEARCH .*\(project_id=\?|Index Cond: .*project_id", plan), (statement, plan)
