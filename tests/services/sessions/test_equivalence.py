"""SQLite, PostgreSQL and a model in plain Python give the same answers to the same random operations."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proto import sessions_pb2 as pb
from proto import turns_pb2
from proto.models_pb2 import ChatMessage, ToolCall, WindowPolicy
from tests.services.session_service import START, Service, said, served
from tests.services.sessions.session_model import Outcome, SessionModel
from tests.support.callers import caller, require
from tests.support.errors import failure_of
from tests.support.postgresql import PostgreSQLServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

Operation = tuple[str, dict[str, Any]]

SESSIONS = st.sampled_from(["x", "x", "x", "y"])
USERS = st.sampled_from(["ann", "bob"])
WHOSE = st.sampled_from(["", "", "", "ann", "bob"])
KINDS = st.lists(
    st.sampled_from(["user", "user", "assistant", "call a", "call b", "answer a", "answer b"]), min_size=1, max_size=5
)
TURNS = st.sampled_from(["t", "u"])
KEYS = st.text("ab/", min_size=1, max_size=3)
SIZES = st.integers(1, 5)


def operation(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


FIRST = operation("create", session=st.just("x"), user=st.just("ann"), ttl=st.sampled_from([None, 10.0]))
OPERATIONS = st.one_of(
    operation("create", session=SESSIONS, user=st.sampled_from(["", "ann", "bob"]), ttl=st.sampled_from([None, 10.0])),
    operation("get", session=SESSIONS, user=WHOSE),
    operation("delete", session=SESSIONS, user=WHOSE),
    operation(
        "append",
        session=SESSIONS,
        user=WHOSE,
        kinds=KINDS,
        request=st.sampled_from(["", "", "p", "q"]),
        expected=st.sampled_from([None, None, 1, 3]),
        turn=st.sampled_from(["", "", "t"]),
    ),
    operation(
        "append",
        session=SESSIONS,
        user=st.just(""),
        kinds=KINDS,
        request=st.just(""),
        expected=st.none(),
        turn=st.just(""),
    ),
    operation("truncate", session=SESSIONS, user=WHOSE, sequence=st.integers(1, 12)),
    operation("list_messages", session=SESSIONS, user=WHOSE, size=SIZES, descending=st.booleans()),
    operation("context", session=SESSIONS, user=WHOSE, limit=st.none() | st.integers(0, 12)),
    operation("begin", session=SESSIONS, user=WHOSE, turn=TURNS),
    operation("extend", session=SESSIONS, user=WHOSE, turn=TURNS),
    operation("end", session=SESSIONS, user=WHOSE, turn=TURNS),
    operation("advance", seconds=st.sampled_from([4.0, 11.0])),
    operation("put", user=USERS, key=KEYS, value=st.integers(0, 9).map(str)),
    operation("list_memories", user=USERS, prefix=st.sampled_from(["", "a", "a/"]), size=SIZES),
    operation("forget", user=USERS, key=KEYS),
    operation("delete_user", user=USERS),
)


class Subject:
    """The operations of `SessionModel` on a real service, for sessions and users that no other example has."""

    def __init__(self, service: Service, example: str = "") -> None:
        self._service = service
        self._example = example or uuid.uuid4().hex

    async def do(self, name: str, arguments: dict[str, Any]) -> Outcome:
        try:
            return await getattr(self, name)(**arguments)
        except grpc.aio.AioRpcError as error:
            return (await failure_of(_raising(error))).reason

    async def advance(self, seconds: float) -> Outcome:
        self._service.clock.advance(seconds)

    async def create(self, session: str, user: str, ttl: float | None) -> Outcome:
        request = pb.CreateSessionRequest(session_id=self._id(session), user_id=self._user(user))
        if ttl is not None:
            request.ttl.CopyFrom(Duration(seconds=int(ttl)))
        return (await self._service.call("CreateSession", request)).next_sequence

    async def get(self, session: str, user: str) -> Outcome:
        found = await self._service.call("GetSession", pb.GetSessionRequest(**self._place(session, user)))
        return found.user_id.removesuffix(self._example), found.next_sequence

    async def delete(self, session: str, user: str) -> Outcome:
        await self._service.call("DeleteSession", pb.DeleteSessionRequest(**self._place(session, user)))

    async def append(
        self, session: str, user: str, kinds: list[str], request: str, expected: int | None, turn: str
    ) -> Outcome:
        append = pb.AppendMessagesRequest(
            **self._place(session, user),
            messages=map(message_of, kinds),
            request_id=request,
            expected_next_sequence=expected,
            turn_id=turn,
        )
        answer = await self._service.call("AppendMessages", append)
        assert [entry.message for entry in answer.messages] == [message_of(kind) for kind in kinds]
        return answer.messages[0].sequence, answer.next_sequence, answer.duplicate

    async def truncate(self, session: str, user: str, sequence: int) -> Outcome:
        request = pb.TruncateMessagesRequest(**self._place(session, user), from_sequence=sequence)
        answer = await self._service.call("TruncateMessages", request)
        return answer.removed_count, answer.next_sequence

    async def list_messages(self, session: str, user: str, size: int, descending: bool) -> Outcome:
        request = pb.ListMessagesRequest(**self._place(session, user), page_size=size, descending=descending)
        return [
            [(entry.sequence, kind_of(entry.message)) for entry in page.messages]
            async for page in self._pages("ListMessages", request)
        ]

    async def context(self, session: str, user: str, limit: int | None) -> Outcome:
        window = None if limit is None else WindowPolicy(max_messages=limit)
        request = pb.GetContextRequest(**self._place(session, user), window=window)
        return read_context(await self._service.call("GetContext", request))

    async def begin(self, session: str, user: str, turn: str) -> Outcome:
        request = turns_pb2.BeginTurnRequest(**self._place(session, user), turn_id=turn)
        return (await self._service.call("BeginTurn", request)).context.next_sequence

    async def extend(self, session: str, user: str, turn: str) -> Outcome:
        request = turns_pb2.ExtendTurnRequest(**self._place(session, user), turn_id=turn)
        await self._service.call("ExtendTurn", request)

    async def end(self, session: str, user: str, turn: str) -> Outcome:
        request = turns_pb2.EndTurnRequest(**self._place(session, user), turn_id=turn)
        await self._service.call("EndTurn", request)

    async def put(self, user: str, key: str, value: str) -> Outcome:
        request = pb.PutMemoryRequest(user_id=self._user(user), key=key, value_json=json.dumps(value))
        return json.loads((await self._service.call("PutMemory", request)).value_json)

    async def list_memories(self, user: str, prefix: str, size: int) -> Outcome:
        request = pb.ListMemoriesRequest(user_id=self._user(user), key_prefix=prefix, page_size=size)
        return [
            [(memory.key, json.loads(memory.value_json)) for memory in page.memories]
            async for page in self._pages("ListMemories", request)
        ]

    async def forget(self, user: str, key: str) -> Outcome:
        await self._service.call("DeleteMemory", pb.DeleteMemoryRequest(user_id=self._user(user), key=key))

    async def delete_user(self, user: str) -> Outcome:
        answer = await self._service.call("DeleteUserData", pb.DeleteUserDataRequest(user_id=self._user(user)))
        return answer.deleted_sessions, answer.deleted_memories

    async def _pages(self, method: str, request: Any) -> AsyncIterator[Any]:
        while True:
            page = await self._service.call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _place(self, session: str, user: str) -> dict[str, str]:
        return {"session_id": self._id(session), "user_id": self._user(user)}

    def _id(self, session: str) -> str:
        return f"{session}{self._example}"

    def _user(self, user: str) -> str:
        return f"{user}{self._example}" if user else ""


def message_of(kind: str) -> ChatMessage:
    verb, _, name = kind.partition(" ")
    if verb == "call":
        return said("assistant", tool_calls=[ToolCall(id=name, name="f")])
    return said("tool", tool_call_id=name) if verb == "answer" else said(kind)


def kind_of(message: ChatMessage) -> str:
    if message.tool_calls:
        return f"call {message.tool_calls[0].id}"
    return f"answer {message.tool_call_id}" if message.role == "tool" else message.role


def read_context(context: pb.GetContextResponse) -> Outcome:
    entries = [(entry.sequence, kind_of(entry.message)) for entry in context.messages]
    assert context.dropped_messages == context.next_sequence - 1 - len(entries)
    return entries, context.next_sequence


async def _raising(error: grpc.aio.AioRpcError) -> None:
    raise error


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgreSQLServer
) -> AsyncIterator[tuple[Service, Service]]:
    """One service for each database."""
    async with (
        served(f"sqlite:///{tmp_path_factory.mktemp('sessions')}/sessions.db") as first,
        served(postgresql_server.new_url()) as second,
    ):
        yield first, second


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@example(
    first=("create", {"session": "x", "user": "ann", "ttl": 10.0}),
    operations=[("advance", {"seconds": 11.0}), ("delete_user", {"user": "ann"})],
)
@given(FIRST, st.lists(OPERATIONS, min_size=1, max_size=25))
async def test_every_database_answers_as_the_model_does(
    services: tuple[Service, Service], first: Operation, operations: list[Operation]
) -> None:
    model = SessionModel()
    subjects = [Subject(service) for service in services]
    for service in services:
        service.clock.now = START
    for name, arguments in [first, *operations]:
        wanted = model.do(name, arguments)
        for subject in subjects:
            assert await subject.do(name, arguments) == wanted, (name, arguments)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services_of_projects(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgreSQLServer
) -> AsyncIterator[tuple[Service, Service]]:
    """The same, for callers who say who they are."""
    async with (
        served(f"sqlite:///{tmp_path_factory.mktemp('projects')}/sessions.db", callers=require()) as first,
        served(postgresql_server.new_url(), callers=require()) as second,
    ):
        yield first, second


PROJECTS = ("", "p", "q")


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PROJECTS), OPERATIONS), min_size=1, max_size=30))
async def test_every_project_gets_what_it_would_get_alone(
    services_of_projects: tuple[Service, Service], operations: list[tuple[str, Operation]]
) -> None:
    example_id = uuid.uuid4().hex
    models = {project: SessionModel() for project in PROJECTS}
    subjects = {
        project: [Subject(service.by(caller(project)), example_id) for service in services_of_projects]
        for project in PROJECTS
    }
    for service in services_of_projects:
        service.clock.now = START
    first = [(project, ("create", {"session": "x", "user": "ann", "ttl": None})) for project in PROJECTS]
    for project, (name, arguments) in [*first, *operations]:
        if name == "advance":
            for other in models.keys() - {project}:
                models[other].do(name, arguments)
        wanted = models[project].do(name, arguments)
        for subject in subjects[project]:
            assert await subject.do(name, arguments) == wanted, (project, name, arguments)
