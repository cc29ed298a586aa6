"""Every bad input is INVALID_ARGUMENT and names its field."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from proto import sessions_pb2 as pb
from services.sessions import contexts
from services.shared.page_tokens import write_page_token
from tests.rows import row
from tests.services.session_service import Service

USER = [{"role": "user"}]
TINY: dict[str, Any] = {"text": "x"}


@pytest.fixture
async def service(service: Service) -> Service:
    await service.create()
    return service


def with_parts(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": parts}


def with_result(*content: dict[str, Any]) -> dict[str, Any]:
    return {"tool_result": {"tool_call_id": "1", "content": content}}


BAD_REQUESTS: list[tuple[Any, str]] = [
    (pb.CreateSessionRequest(session_id="white space"), "session_id"),
    (pb.CreateSessionRequest(session_id="new\n"), "session_id"),
    (pb.CreateSessionRequest(session_id="ünïcode"), "session_id"),
    (pb.CreateSessionRequest(session_id="x" * 129), "session_id"),
    (pb.CreateSessionRequest(user_id="x" * 257), "user_id"),
    (pb.CreateSessionRequest(user_id="a\0b"), "user_id"),
    (pb.CreateSessionRequest(title="x" * 513), "title"),
    (pb.CreateSessionRequest(title="\0"), "title"),
    (pb.CreateSessionRequest(metadata={str(n): "" for n in range(65)}), "metadata"),
    (pb.CreateSessionRequest(metadata={"": "x"}), "metadata"),
    (pb.CreateSessionRequest(metadata={"x" * 65: ""}), "metadata"),
    (pb.CreateSessionRequest(metadata={"k": "x" * 1025}), "metadata[k]"),
    (pb.CreateSessionRequest(metadata={"k": "\0"}), "metadata[k]"),
    (pb.CreateSessionRequest(ttl=Duration()), "ttl"),
    (pb.CreateSessionRequest(ttl=Duration(seconds=-1)), "ttl"),
    (pb.CreateSessionRequest(ttl=Duration(nanos=-1)), "ttl"),
    (pb.CreateSessionRequest(ttl=Duration(seconds=1, nanos=-1)), "ttl"),
    (pb.CreateSessionRequest(ttl=Duration(nanos=2_000_000_000)), "ttl"),
    (pb.CreateSessionRequest(ttl=Duration(seconds=2**62)), "ttl"),
    (pb.GetSessionRequest(), "session_id"),
    (pb.GetSessionRequest(session_id="../etc/passwd"), "session_id"),
    (pb.GetSessionRequest(session_id="s", user_id="\0"), "user_id"),
    (pb.ListSessionsRequest(page_size=-1), "page_size"),
    (pb.ListSessionsRequest(page_token="?"), "page_token"),
    (pb.ListSessionsRequest(page_token="WzFd"), "page_token"),
    (pb.ListSessionsRequest(page_token="é" * 5000), "page_token"),
    (pb.ListSessionsRequest(page_token="A" * 3_000_000), "page_token"),
    (pb.ListSessionsRequest(user_id="x" * 257), "user_id"),
    (pb.DeleteSessionRequest(), "session_id"),
    (pb.AppendMessagesRequest(messages=USER), "session_id"),
    (pb.AppendMessagesRequest(session_id="s"), "messages"),
    (pb.AppendMessagesRequest(session_id="s", messages=USER * 1001), "messages"),
    (pb.AppendMessagesRequest(session_id="s", messages=[*USER, {}]), "messages[1].role"),
    (pb.AppendMessagesRequest(session_id="s", messages=[{"role": "User"}]), "messages[0].role"),
    (pb.AppendMessagesRequest(session_id="s", messages=[*USER, with_parts(*[TINY] * 2001)]), "messages[1].parts"),
    (
        pb.AppendMessagesRequest(session_id="s", messages=[{"role": "assistant", "tool_calls": [{}] * 2001}]),
        "messages[0].tool_calls",
    ),
    (
        pb.AppendMessagesRequest(session_id="s", messages=[with_parts(TINY, with_result(*[TINY] * 2001))]),
        "messages[0].parts[1].tool_result.content",
    ),
    (
        pb.AppendMessagesRequest(session_id="s", messages=[with_parts(with_result(with_result(*[TINY] * 2001)))]),
        "messages[0].parts[0].tool_result.content[0].tool_result.content",
    ),
    (
        pb.AppendMessagesRequest(session_id="s", messages=[with_parts(*[TINY] * 2000)] * 11 + [with_parts(TINY)]),
        "messages",
    ),
    (
        pb.AppendMessagesRequest(session_id="s", messages=[{"role": "user", "content": "x" * 1024 * 1024}] * 30),
        "messages",
    ),
    (pb.AppendMessagesRequest(session_id="s", messages=USER, request_id="x" * 65), "request_id"),
    (pb.AppendMessagesRequest(session_id="s", messages=USER, request_id="\0"), "request_id"),
    (pb.AppendMessagesRequest(session_id="s", messages=USER, expected_next_sequence=0), "expected_next_sequence"),
    (pb.ListMessagesRequest(), "session_id"),
    (pb.ListMessagesRequest(session_id="s", page_size=-5), "page_size"),
    (pb.ListMessagesRequest(session_id="s", page_token="AAAA"), "page_token"),
    (pb.GetContextRequest(), "session_id"),
    (pb.GetContextRequest(session_id="s", window={"max_messages": -1}), "window.max_messages"),
    (pb.GetContextRequest(session_id="s", window={"max_tokens": -1}), "window.max_tokens"),
    (pb.TruncateMessagesRequest(session_id="s"), "from_sequence"),
    (pb.TruncateMessagesRequest(session_id="s", from_sequence=-1), "from_sequence"),
    (pb.TruncateMessagesRequest(from_sequence=1), "session_id"),
    (pb.PutMemoryRequest(key="k", value_json="1"), "user_id"),
    (pb.PutMemoryRequest(user_id="u", value_json="1"), "key"),
    (pb.PutMemoryRequest(user_id="u", key="x" * 257, value_json="1"), "key"),
    (pb.PutMemoryRequest(user_id="u", key="\0", value_json="1"), "key"),
    (pb.PutMemoryRequest(user_id="u", key="k"), "value_json"),
    (pb.PutMemoryRequest(user_id="u", key="k", value_json="{'a': 1}"), "value_json"),
    (pb.PutMemoryRequest(user_id="u", key="k", value_json="NaN"), "value_json"),
    (pb.PutMemoryRequest(user_id="u", key="k", value_json='"\0"'), "value_json"),
    (pb.PutMemoryRequest(user_id="u", key="k", value_json="[" * 100_000), "value_json"),
    (pb.PutMemoryRequest(user_id="u", key="k", value_json='"\\ud83'), "value_json"),
    (pb.PutMemoryRequest(user_id="u", key="k", value_json="[1] 2"), "value_json"),
    (pb.PutMemoryRequest(user_id="u", key="k", value_json=f'"{"x" * 256 * 1024}"'), "value_json"),
    (pb.ListMemoriesRequest(), "user_id"),
    (pb.ListMemoriesRequest(user_id="u", key_prefix="\0"), "key_prefix"),
    (pb.ListMemoriesRequest(user_id="u", page_size=-1), "page_size"),
    (pb.ListMemoriesRequest(user_id="u", page_token="AAAA"), "page_token"),
    (pb.DeleteMemoryRequest(key="k"), "user_id"),
    (pb.DeleteMemoryRequest(user_id="u"), "key"),
    (pb.DeleteUserDataRequest(), "user_id"),
]


async def test_every_bad_request_names_its_field_and_changes_nothing(service: Service) -> None:
    before = await service.call("ListSessions", pb.ListSessionsRequest())
    for request, field in BAD_REQUESTS:
        name = type(request).__name__.removesuffix("Request")
        failure = await service.fail(name, request)
        seen = (name, failure.code, failure.reason, list(failure.fields))
        assert seen == (name, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", [field])
    assert await service.call("ListSessions", pb.ListSessionsRequest()) == before


async def test_the_longest_allowed_values_are_taken(service: Service) -> None:
    await service.create(
        "x" * 128,
        user_id="ü" * 256,
        title="ü" * 512,
        metadata={f"{n:064}": "ü" * 1024 for n in range(64)},
        ttl=Duration(seconds=100 * 365 * 24 * 3600),
    )
    await service.append("x", request_id="ü" * 64)
    value = '"' + "x" * (256 * 1024 - 2) + '"'
    await service.call("PutMemory", pb.PutMemoryRequest(user_id="ü" * 256, key="ü" * 256, value_json=value))


async def test_json_of_any_kind_is_kept_as_it_is(service: Service) -> None:
    for value in ['"\\ud83d"', '"\\\\ud83d\\uDE00"', "1" * 5000, "1e999", " [1, null] ", "[" * 900 + "]" * 900]:
        with row(value[:20]):
            await service.call("PutMemory", pb.PutMemoryRequest(user_id="u", key="k", value_json=value))
            memories = await service.call("ListMemories", pb.ListMemoriesRequest(user_id="u"))
            assert [memory.value_json for memory in memories.memories] == [value]


async def test_as_many_parts_as_allowed_are_taken(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    full = [*[with_parts(*[TINY] * 2000)] * 9, with_parts(with_result(*[TINY] * 2000), *[TINY] * 1999)]
    request = pb.AppendMessagesRequest(session_id="s", messages=full)
    assert (await service.call("AppendMessages", request)).next_sequence == 11
    monkeypatch.setattr(contexts, "MAX_CONTEXT_PARTS", 22_000)
    assert len((await service.call("GetContext", pb.GetContextRequest(session_id="s"))).messages) == 10
    await service.append({"role": "user", "parts": [TINY]})
    failure = await service.fail("GetContext", pb.GetContextRequest(session_id="s"))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CONTEXT_TOO_LARGE")
    window = pb.GetContextRequest(session_id="s", window={"max_messages": 1})
    assert (await service.call("GetContext", window)).dropped_messages == 11


async def test_a_page_size_above_the_largest_is_the_largest(service: Service) -> None:
    await service.append(*["x"] * 1000)
    await service.append("x")
    page = await service.call("ListMessages", pb.ListMessagesRequest(session_id="s", page_size=2**31 - 1))
    assert len(page.messages) == 1000
    page = await service.call("ListMessages", pb.ListMessagesRequest(session_id="s"))
    assert len(page.messages) == 50


async def test_a_forged_token_is_refused(service: Service) -> None:
    for name, request_, position in [
        ("ListMessages", pb.ListMessagesRequest(session_id="s"), 2**63),
        ("ListMessages", pb.ListMessagesRequest(session_id="s"), -1),
        ("ListMessages", pb.ListMessagesRequest(session_id="s"), "1; DROP TABLE messages"),
        ("ListSessions", pb.ListSessionsRequest(), [1]),
        ("ListSessions", pb.ListSessionsRequest(), [1, "a"]),
        ("ListSessions", pb.ListSessionsRequest(), [1, "a\0b", "u"]),
        ("ListSessions", pb.ListSessionsRequest(), [1, "a", "u\0"]),
        ("ListSessions", pb.ListSessionsRequest(), [2**70, "a", "u"]),
        ("ListMemories", pb.ListMemoriesRequest(user_id="u"), 5),
        ("ListMemories", pb.ListMemoriesRequest(user_id="u"), "\0"),
    ]:
        with row(name, position):
            forged = type(request_)()
            forged.CopyFrom(request_)
            forged.page_token = write_page_token(request_, position)
            failure = await service.fail(name, forged)
            assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


async def test_strange_text_is_only_text(service: Service) -> None:
    for text in ["'; DROP TABLE sessions; --", '" OR 1=1 --', "%", "\\", "\u2028", "\x1b[2J", "𝒳" * 50]:
        with row(text):
            await service.create("other", user_id=text, title=text, metadata={text: text})
            listed = await service.call("ListSessions", pb.ListSessionsRequest(user_id=text))
            assert [(session.session_id, session.title, dict(session.metadata)) for session in listed.sessions] == [
                ("other", text, {text: text})
            ]
            await service.call("PutMemory", pb.PutMemoryRequest(user_id=text, key=text, value_json="1"))
            memories = await service.call("ListMemories", pb.ListMemoriesRequest(user_id=text, key_prefix=text))
            assert [memory.key for memory in memories.memories] == [text]
            removed = await service.call("DeleteUserData", pb.DeleteUserDataRequest(user_id=text))
            assert (removed.deleted_sessions, removed.deleted_memories) == (1, 1)
            await service.call("GetSession", pb.GetSessionRequest(session_id="s"))
