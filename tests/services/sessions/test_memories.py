"""Memories of users, and their deletion."""

from __future__ import annotations

import asyncio

import grpc

from proto import sessions_pb2 as pb
from tests.rows import row
from tests.services.session_service import Service
from tests.support.databases import on_postgresql_too


async def put(service: Service, key: str, value: str = "1", user: str = "ann") -> pb.Memory:
    memory: pb.Memory = await service.call("PutMemory", pb.PutMemoryRequest(user_id=user, key=key, value_json=value))
    return memory


async def list_keys(service: Service, page_size: int = 0, **fields: str) -> list[list[str]]:
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        request = pb.ListMemoriesRequest(**{"user_id": "ann", **fields}, page_size=page_size, page_token=token)
        page = await service.call("ListMemories", request)
        pages.append([memory.key for memory in page.memories])
        token = page.next_page_token
    return pages


@on_postgresql_too
async def test_a_value_is_kept_byte_for_byte(service: Service) -> None:
    for value in ['{"a":  1.0, "b": [null, true]}', '"\\u0000 🙂"', "-0.0e+5", "[" * 50 + "]" * 50, "1" * 5000]:
        with row(value[:20]):
            stored = await put(service, "k", value)
            page = await service.call("ListMemories", pb.ListMemoriesRequest(user_id="ann"))
            assert list(page.memories) == [stored]
            assert stored.value_json == value


async def test_value_replaces_the_earlier_one(service: Service) -> None:
    first = await put(service, "k", "1")
    second = await put(service, "k", "2")
    page = await service.call("ListMemories", pb.ListMemoriesRequest(user_id="ann"))
    assert list(page.memories) == [second]
    assert second.update_time.ToMicroseconds() > first.update_time.ToMicroseconds()


@on_postgresql_too
async def test_concurrent_writes_of_one_key_store_it_once(service: Service) -> None:
    await asyncio.gather(*(put(service, "k", str(number)) for number in range(16)))
    assert await list_keys(service) == [["k"]]


@on_postgresql_too
async def test_values_are_listed_in_the_order_of_code_points_page_by_page(service: Service) -> None:
    for key in ("b", "ä", "B", "a/1", "a"):
        await put(service, key)
    await put(service, "other", user="bob")
    assert await list_keys(service, page_size=2) == [["B", "a"], ["a/1", "b"], ["ä"]]


@on_postgresql_too
async def test_list_of_keys_with_a_prefix(service: Service) -> None:
    for key in ("a%b", "a_b", "axb", "A%b", "a%", "ä%b"):
        await put(service, key)
    assert await list_keys(service, key_prefix="a%") == [["a%", "a%b"]]
    assert await list_keys(service, key_prefix="a_") == [["a_b"]]
    assert await list_keys(service, key_prefix="ä") == [["ä%b"]]


async def test_a_page_of_values_ends_before_it_is_too_large_for_a_client(service: Service) -> None:
    value = '"' + "x" * (256 * 1024 - 2) + '"'
    for number in range(13):
        await put(service, f"{number:02}", value)
    assert [len(page) for page in await list_keys(service)] == [11, 2]


async def test_deleted_value_is_gone(service: Service) -> None:
    await put(service, "k")
    await put(service, "k", user="bob")
    request = pb.DeleteMemoryRequest(user_id="ann", key="k")
    await service.call("DeleteMemory", request)
    failure = await service.fail("DeleteMemory", request)
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "MEMORY_NOT_FOUND")
    assert await list_keys(service, user_id="bob") == [["k"]]


async def test_data_of_one_user_is_deleted(service: Service) -> None:
    for name, user in (("1", "ann"), ("2", "ann"), ("3", "bob"), ("4", "")):
        await service.create(name, user_id=user)
        await service.append("hello", session_id=name, request_id="r")
    for key in ("a", "b", "c"):
        await put(service, key)
    await put(service, "a", user="bob")
    request = pb.DeleteUserDataRequest(user_id="ann")
    answer = await service.call("DeleteUserData", request)
    assert (answer.deleted_sessions, answer.deleted_memories) == (2, 3)
    assert await list_keys(service) == [[]]
    assert await list_keys(service, user_id="bob") == [["a"]]
    listed = await service.call("ListSessions", pb.ListSessionsRequest())
    assert [session.session_id for session in listed.sessions] == ["4", "3"]
    again = await service.call("DeleteUserData", request)
    assert (again.deleted_sessions, again.deleted_memories) == (0, 0)
