"""Creating, reading, listing and removing sessions."""

from __future__ import annotations

import shutil
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import Connection, inspect, select, text

from proto import sessions_pb2 as pb
from services.sessions import store, tables
from services.sessions.main import MIGRATIONS
from services.shared.database import Database
from tests.rows import row
from tests.services.session_service import START, Service, said, served
from tests.services.storage.notes import quiet_log
from tests.support.databases import on_postgresql_too

NOT_FOUND = grpc.StatusCode.NOT_FOUND


async def list_ids(service: Service, page_size: int = 0, **fields: str) -> list[list[str]]:
    """The ids of all sessions, page by page."""
    pages: list[list[str]] = []
    token = ""
    while True:
        request = pb.ListSessionsRequest(page_size=page_size, page_token=token, **fields)
        page = await service.call("ListSessions", request)
        pages.append([session.session_id for session in page.sessions])
        token = page.next_page_token
        if not token:
            return pages


@on_postgresql_too
async def test_a_session_comes_back_as_it_was_created(service: Service) -> None:
    created = await service.create(
        "chat:1.a_b-c", user_id="zoë", title="Über uns 🙂", metadata={"k": "v", "ключ": ""}, ttl=Duration(seconds=60)
    )
    assert created == await service.call("GetSession", pb.GetSessionRequest(session_id="chat:1.a_b-c"))
    assert created.create_time == created.update_time
    assert created.create_time.ToMicroseconds() == START + 1
    assert created.expire_time.ToMicroseconds() == START + 1 + 60_000_000
    assert (created.message_count, created.next_sequence) == (0, 1)
    assert (created.user_id, created.title) == ("zoë", "Über uns 🙂")
    assert dict(created.metadata) == {"k": "v", "ключ": ""}


async def test_an_empty_request_makes_a_session_with_an_id_of_its_own(service: Service) -> None:
    first, second = await service.create(""), await service.create("")
    assert first.session_id
    assert first.session_id != second.session_id
    assert not first.HasField("expire_time")


@on_postgresql_too
async def test_id_of_a_session_is_unique(service: Service) -> None:
    await service.create("mine", title="first")
    failure = await service.fail("CreateSession", pb.CreateSessionRequest(session_id="mine", title="second"))
    assert (failure.code, failure.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
    assert (await service.call("GetSession", pb.GetSessionRequest(session_id="mine"))).title == "first"


async def test_session_of_another_user_is_not_found(service: Service) -> None:
    for name, request_type, fields in [
        ("GetSession", pb.GetSessionRequest, {}),
        ("DeleteSession", pb.DeleteSessionRequest, {}),
        ("AppendMessages", pb.AppendMessagesRequest, {"messages": [{"role": "user"}]}),
        ("ListMessages", pb.ListMessagesRequest, {}),
        ("GetContext", pb.GetContextRequest, {}),
        ("TruncateMessages", pb.TruncateMessagesRequest, {"from_sequence": 1}),
    ]:
        with row(name):
            await service.create("s", user_id="ann")
            theirs = await service.fail(name, request_type(session_id="s", user_id="bob", **fields))
            await service.call(name, request_type(session_id="s", **fields))
            await service.call("DeleteUserData", pb.DeleteUserDataRequest(user_id="ann"))
            none = await service.fail(name, request_type(session_id="s", user_id="bob", **fields))
            assert theirs._replace(request_id="") == none._replace(request_id="")
            assert (theirs.code, theirs.reason) == (NOT_FOUND, "SESSION_NOT_FOUND")


@on_postgresql_too
async def test_each_user_has_ids_of_their_own(service: Service) -> None:
    """Nobody learns of another's session by making one of the same id, and nobody's messages come into another's."""
    for user in ("ann", "bob"):
        created = await service.create("main", user_id=user)
        assert (created.user_id, created.next_sequence) == (user, 1)
        await service.append(f"{user}'s", session_id="main", user_id=user)
    for user in ("ann", "bob"):
        answer = await service.call("ListMessages", pb.ListMessagesRequest(session_id="main", user_id=user))
        assert [entry.message.content for entry in answer.messages] == [f"{user}'s"]
        failure = await service.fail("CreateSession", pb.CreateSessionRequest(session_id="main", user_id=user))
        assert (failure.code, failure.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
    await service.call("DeleteSession", pb.DeleteSessionRequest(session_id="main", user_id="ann"))
    assert await list_ids(service, user_id="ann") == [[]]
    assert await list_ids(service, user_id="bob") == [["main"]]


async def test_id_of_another_user_is_free(service: Service) -> None:
    await service.create("hers", user_id="ann", ttl=Duration(seconds=60))
    answers = []
    for name in ("hers", "free"):
        answer = await service.create(name, user_id="bob")
        for field in ("session_id", "create_time", "update_time"):
            answer.ClearField(field)
        answers.append(answer)
    assert answers[0] == answers[1]


async def test_call_without_a_user_finds_the_only_session_or_the_one_without_a_user(service: Service) -> None:
    whose = pb.GetSessionRequest(session_id="main")
    await service.create("main", user_id="ann")
    failure = await service.fail("CreateSession", pb.CreateSessionRequest(session_id="main"))
    assert failure.reason == "SESSION_EXISTS"
    assert (await service.call("GetSession", whose)).user_id == "ann"
    await service.create("main", user_id="bob")
    failure = await service.fail("GetSession", whose)
    assert (failure.code, failure.reason, list(failure.fields)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "SESSION_AMBIGUOUS",
        ["user_id"],
    )
    for user in ("ann", "bob"):
        await service.call("DeleteUserData", pb.DeleteUserDataRequest(user_id=user))
    await service.create("main")
    await service.create("main", user_id="ann")
    assert (await service.call("GetSession", whose)).user_id == ""


@on_postgresql_too
async def test_sessions_of_one_id_used_at_the_same_instant_are_listed_once_each(service: Service) -> None:
    for user in ("ann", "bob", "cid"):
        service.clock.now = START
        await service.create("main", user_id=user)
    assert await list_ids(service, page_size=1) == [["main"]] * 3


async def test_data_of_the_first_schema_are_migrated(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "sessions" / "migrations"
    folder.mkdir(parents=True)
    for script in sorted(MIGRATIONS.glob("000[12]_*.py")):
        shutil.copy(script, folder)
    database = await Database.open(database_url, folder, quiet_log(), announced=False)
    message = said("user", "hello").SerializeToString()
    session = "('s', 'ann', '', :labels, 1, 1, NULL, NULL, 3, NULL, NULL)"
    async with database.write() as connection:
        await connection.execute(text(f"INSERT INTO sessions VALUES {session}"), {"labels": b"{}"})
        for sequence in (1, 2):
            row = {"sequence": sequence, "message": message}
            await connection.execute(text("INSERT INTO messages VALUES ('s', :sequence, :message, 1)"), row)
        await connection.execute(text("INSERT INTO memories VALUES ('ann', 'k', :value, 1)"), {"value": b"7"})
    await database.close()

    async with served(database_url) as service:
        assert await service.sequences("s") == [1, 2]
        assert (await service.append("more", session_id="s", user_id="ann")).next_sequence == 4
        await service.create("s", user_id="bob")
        memories = (await service.call("ListMemories", pb.ListMemoriesRequest(user_id="ann"))).memories
        assert [(memory.key, memory.value_json) for memory in memories] == [("k", "7")]
        async with service.database.read() as connection:
            sizes = await connection.scalars(
                select(tables.sessions.c.message_bytes).order_by(tables.sessions.c.user_id)
            )
            assert sizes.all() == [2 * len(message) + said("user", "more").ByteSize(), 0]
        await service.call("DeleteSession", pb.DeleteSessionRequest(session_id="s", user_id="ann"))
        async with service.database.read() as connection:
            assert (await connection.execute(select(tables.messages))).all() == []


async def test_users_find_only_their_own_sessions(service: Service) -> None:
    await service.create("owned", user_id="ann")
    await service.create("nobodys")
    assert (await service.call("GetSession", pb.GetSessionRequest(session_id="owned", user_id="ann"))).user_id == "ann"
    failure = await service.fail("GetSession", pb.GetSessionRequest(session_id="nobodys", user_id="ann"))
    assert failure.code is NOT_FOUND


@on_postgresql_too
async def test_deleted_session_is_gone_with_its_messages(service: Service) -> None:
    await service.create("s")
    await service.append("a secret")
    await service.call("DeleteSession", pb.DeleteSessionRequest(session_id="s"))
    for name, request in (
        ("GetSession", pb.GetSessionRequest(session_id="s")),
        ("ListMessages", pb.ListMessagesRequest(session_id="s")),
        ("DeleteSession", pb.DeleteSessionRequest(session_id="s")),
    ):
        assert (await service.fail(name, request)).reason == "SESSION_NOT_FOUND"
    await service.create("s")
    assert await service.sequences() == []


@on_postgresql_too
async def test_sessions_are_listed_by_their_last_use_page_by_page(service: Service) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await service.create(name)
    await service.append("hello", session_id="b")
    assert await list_ids(service, page_size=2) == [["b", "e"], ["d", "c"], ["a"]]
    assert await list_ids(service) == [["b", "e", "d", "c", "a"]]


async def test_sessions_used_at_the_same_instant_are_listed_once_each(service: Service) -> None:
    for name in ("a", "b", "c", "d", "e"):
        service.clock.now = START
        await service.create(name)
    assert await list_ids(service, page_size=2) == [["e", "d"], ["c", "b"], ["a"]]


async def test_a_list_can_be_of_one_user(service: Service) -> None:
    for name, user in (("1", "ann"), ("2", "bob"), ("3", "ann"), ("4", "")):
        await service.create(name, user_id=user)
    assert await list_ids(service, user_id="ann") == [["3", "1"]]
    assert await list_ids(service, user_id="nobody") == [[]]


async def test_a_page_ends_before_it_is_too_large_for_a_client(service: Service) -> None:
    """A gRPC client takes 4 MiB unless it is told otherwise."""
    metadata = {f"key {number}": "€" * 1024 for number in range(64)}
    for number in range(20):
        await service.create(f"{number:02}", metadata=metadata)
    pages = await list_ids(service, page_size=1000)
    assert [len(page) for page in pages] == [15, 5]


async def test_token_of_another_query_is_refused(service: Service) -> None:
    for name in ("a", "b", "c"):
        await service.create(name, user_id="ann")
    token = (await service.call("ListSessions", pb.ListSessionsRequest(page_size=1))).next_page_token
    failure = await service.fail("ListSessions", pb.ListSessionsRequest(user_id="ann", page_token=token))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])
    failure = await service.fail("ListMessages", pb.ListMessagesRequest(session_id="a", page_token=token))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])
    other_size = pb.ListSessionsRequest(page_size=2, page_token=token)
    assert len((await service.call("ListSessions", other_size)).sessions) == 2


async def test_expired_session_is_invisible(service: Service) -> None:
    await service.create("short", user_id="ann", ttl=Duration(seconds=10))
    await service.append("hello", session_id="short")
    service.clock.advance(9)
    await service.call("GetSession", pb.GetSessionRequest(session_id="short"))
    service.clock.advance(1)
    for name, request in (
        ("GetSession", pb.GetSessionRequest(session_id="short")),
        ("ListMessages", pb.ListMessagesRequest(session_id="short")),
        ("AppendMessages", pb.AppendMessagesRequest(session_id="short", messages=[{"role": "user"}])),
        ("DeleteSession", pb.DeleteSessionRequest(session_id="short")),
    ):
        assert (await service.fail(name, request)).reason == "SESSION_NOT_FOUND"
    assert await list_ids(service) == [[]]
    assert await list_ids(service, user_id="ann") == [[]]
    await service.create("short")
    assert await service.sequences("short") == []


async def test_each_write_renews_the_time_to_live(service: Service) -> None:
    created = await service.create("s", ttl=Duration(seconds=10))
    service.clock.advance(9)
    await service.append("still here")
    service.clock.advance(9)
    session = await service.call("GetSession", pb.GetSessionRequest(session_id="s"))
    assert session.expire_time.ToMicroseconds() == session.update_time.ToMicroseconds() + 10_000_000
    assert session.update_time.ToMicroseconds() > created.update_time.ToMicroseconds()
    assert session.create_time == created.create_time


async def test_clock_that_is_set_back_ages_no_session(service: Service) -> None:
    created = await service.create("s")
    service.clock.advance(-3600)
    await service.append("hello")
    session = await service.call("GetSession", pb.GetSessionRequest(session_id="s"))
    assert session.update_time == created.update_time


@on_postgresql_too
async def test_only_expired_sessions_are_purged(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PURGE_BATCH", 3)
    for number in range(5):
        await service.create(f"{number}", ttl=Duration(seconds=1))
    await service.create("long", ttl=Duration(seconds=100))
    await service.create("for-ever")
    service.clock.advance(2)
    assert [await service.store.purge_expired() for _ in range(3)] == [3, 2, 0]
    assert await list_ids(service) == [["for-ever", "long"]]


@on_postgresql_too
async def test_migrations_create_the_tables_of_the_program(service: Service) -> None:
    def describe(connection: Connection) -> dict[str, tuple[set[str], list[str]]]:
        inspector = inspect(connection)
        return {
            name: (
                {column["name"] for column in inspector.get_columns(name)},
                inspector.get_pk_constraint(name)["constrained_columns"],
            )
            for name in inspector.get_table_names()
        }

    async with service.database.read() as connection:
        found = await connection.run_sync(describe)
    found.pop("sessions_schema")
    assert found == {
        table.name: ({column.name for column in table.columns}, [column.name for column in table.primary_key])
        for table in tables.metadata.tables.values()
    }
