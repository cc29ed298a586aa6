"""What UsageService tells of usage, and to whom; the calls that run, and their end from outside."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import usage_pb2
from proto.identity_pb2 import CallerIdentity, LimitRule
from services.shared.identity import Callers, IdentitySigner
from services.shared.metadata import IDENTITY_KEY
from tests.rows import for_each
from tests.scripted_upstream import Ending, ScriptedUpstream, event_stream, json_answer
from tests.services.model_service import STRANGER, ModelService, chat_request, completion, model_service, piece
from tests.services.recent_days import recent_days
from tests.support.errors import failure_of, stream_failure

SIGNER = IdentitySigner([b"k" * 32])
SCOPES = ("generate", "usage.read")


def caller(project: str, key: str, *scopes: str, **fields: Any) -> list[tuple[str, bytes]]:
    """The metadata of calls with a key of a project."""
    identity = CallerIdentity(
        key_id=key, project_id=project, team_id=f"team of {project}", scopes=scopes or SCOPES, **fields
    )
    return [(IDENTITY_KEY, SIGNER.sign(identity))]


RED, BLUE = ("red", "key-red"), ("blue", "key-blue")


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    """A service that asks who calls, and has answered two chats of one project and one of another."""
    callers = Callers()
    callers.require(SIGNER)
    async with model_service(tmp_path, upstream, callers=callers, USAGE_TAG_KEYS="customer,feature") as service:
        for who, customer in ((RED, "acme"), (RED, "zeta"), (BLUE, "acme")):
            await chat(service, upstream, *who, tags={"customer": customer})
        yield service


async def chat(service: ModelService, upstream: ScriptedUpstream, project: str, key: str, **fields: Any) -> None:
    upstream.play(json_answer(completion()))
    await service.stub.Chat(chat_request(**fields), metadata=caller(project, key))


async def list_usage(service: ModelService, *who: str, **fields: Any) -> usage_pb2.ListUsageResponse:
    return await service.usage.ListUsage(usage_pb2.ListUsageRequest(**fields), metadata=caller(*who))


def calls_of(response: usage_pb2.ListUsageResponse, column: str) -> dict[str, int]:
    return {getattr(row, column): row.sums.calls for row in response.rows}


async def test_a_key_sees_its_own_project_and_an_administrator_all(service: ModelService) -> None:
    assert calls_of(await list_usage(service, *RED, group_by=["project"]), "project_id") == {"red": 2}
    everything = await list_usage(service, "ops", "key-ops", "usage.read", "admin", group_by=["project"])
    assert calls_of(everything, "project_id") == {"blue": 1, "red": 2}
    one = {"project_id": "blue"}
    chosen = await list_usage(service, "ops", "key-ops", "usage.read", "admin", group_by=["key"], filter=one)
    assert calls_of(chosen, "key_id") == {"key-blue": 1}
    request = usage_pb2.ListUsageRequest(filter=usage_pb2.UsageFilter(**one))
    failure = await failure_of(service.usage.ListUsage(request, metadata=caller(*RED)))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")


async def test_sums_have_what_was_used_up_to_now(service: ModelService) -> None:
    [row] = (await list_usage(service, *RED)).rows
    sums = row.sums
    assert (sums.calls, sums.failed_calls, sums.prompt_tokens, sums.completion_tokens) == (2, 0, 18, 8)
    assert sums.cost_nano_usd == 2 * (9 * 2500 + 4 * 10000)
    assert sums.unpriced_calls == 0
    rows = (await list_usage(service, *RED, group_by=["day", "provider", "model"])).rows
    assert {row.day for row in rows} <= recent_days()
    assert {(row.provider, row.model) for row in rows} == {("openai", "gpt-4o")}


async def test_tags_that_are_counted(service: ModelService) -> None:
    found = await list_usage(service, *RED, group_by=["tag"], tag_key="customer")
    assert calls_of(found, "tag_value") == {"acme": 1, "zeta": 1}
    assert not (await list_usage(service, *RED, group_by=["tag"], tag_key="feature")).rows


async def test_pages(service: ModelService) -> None:
    admin = ("ops", "key-ops", "usage.read", "admin")
    fields: dict[str, Any] = {"group_by": ["project", "tag"], "tag_key": "customer", "page_size": 1}
    found, token = [], ""
    while token or not found:
        page = await list_usage(service, *admin, **fields, page_token=token)
        [row] = page.rows
        found.append((row.project_id, row.tag_value))
        token = page.next_page_token
    assert found == [("blue", "acme"), ("red", "acme"), ("red", "zeta")]


@for_each(
    ("fields", "field"),
    [
        ({"from_day": "2026-13-01"}, "from_day"),
        ({"to_day": "20261101"}, "to_day"),
        ({"from_day": "2026-02-02", "to_day": "2026-02-01"}, "from_day"),
        ({"group_by": ["month"]}, "group_by[0]"),
        ({"group_by": ["day", "day"]}, "group_by[1]"),
        ({"group_by": ["tag"]}, "tag_key"),
        ({"tag_key": "colour"}, "tag_key"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"filter": {"model": "a\0b"}}, "filter.model"),
    ],
)
async def test_wrong_fields_are_named(service: ModelService, fields: dict[str, Any], field: str) -> None:
    request = usage_pb2.ListUsageRequest(**fields)
    failure = await failure_of(service.usage.ListUsage(request, metadata=caller(*RED)))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_exports_have_the_rows_of_the_list(service: ModelService, upstream: ScriptedUpstream) -> None:
    await chat(service, upstream, *RED, tags={"customer": '=1+1,"x"'})
    texts = {}
    for export_format in ("csv", "jsonl"):
        request = usage_pb2.ExportUsageRequest(group_by=["tag"], tag_key="customer", format=export_format)
        pieces = service.usage.ExportUsage(request, metadata=caller(*RED))
        texts[export_format] = b"".join([piece.data async for piece in pieces]).decode()
    table = list(csv.DictReader(io.StringIO(texts["csv"])))
    lines = [json.loads(line) for line in texts["jsonl"].splitlines()]
    assert [(line["tag_value"], line["calls"]) for line in lines] == [('=1+1,"x"', 1), ("acme", 1), ("zeta", 1)]
    assert [row["tag_value"] for row in table] == ['\'=1+1,"x"', "acme", "zeta"]
    assert [row["cost_nano_usd"] for row in table] == [str(line["cost_nano_usd"]) for line in lines]
    wrong = usage_pb2.ExportUsageRequest(format="xml")
    _, failure = await stream_failure(service.usage.ExportUsage(wrong, metadata=caller(*RED)))
    assert list(failure.fields) == ["format"]


async def test_my_usage_is_that_of_my_key_with_my_limits(service: ModelService) -> None:
    limits = [
        LimitRule(id="money", scope_kind="project", scope_id="*", resource="nano_usd", window="month", amount=10**9),
        LimitRule(id="rate", scope_kind="key", scope_id="key-red", resource="requests", window="min", amount=60),
        LimitRule(id="claude", scope_kind="org", model_glob="claude*", resource="tokens", window="day", amount=1),
        LimitRule(id="total", scope_kind="team", scope_id="*", resource="tokens", window="total", amount=100),
        LimitRule(id="slots", scope_kind="key", resource="concurrent", amount=2),
    ]
    # A caller with nothing but the right to generate.
    mine = await service.usage.GetMyUsage(
        usage_pb2.GetMyUsageRequest(), metadata=caller("red", "key-red", "generate", limits=limits)
    )
    assert (mine.key_id, mine.project_id, mine.today.calls, mine.this_month.calls) == ("key-red", "red", 2, 2)
    used = {use.limit.id: use.used if use.HasField("used") else None for use in mine.limits}
    assert used == {"money": mine.today.cost_nano_usd, "rate": 2, "claude": 0, "total": 26, "slots": None}
    assert [use.limit.id for use in mine.limits if not use.HasField("window_end")] == ["total", "slots"]


async def test_my_usage_tells_what_is_left_and_until_when(service: ModelService, upstream: ScriptedUpstream) -> None:
    limits = [
        LimitRule(id="day", scope_kind="project", scope_id="*", resource="tokens", window="day", amount=2000),
        LimitRule(id="rate", scope_kind="key", scope_id="*", resource="requests", window="min", amount=60),
        LimitRule(id="gpt", scope_kind="key", scope_id="*", resource="requests", window="month", model_glob="gpt*"),
        LimitRule(id="slots", scope_kind="key", scope_id="*", resource="concurrent", amount=2),
    ]
    limits[2].amount = 10
    who = caller("red", "key-red", "generate", limits=limits)

    async def mine() -> dict[str, usage_pb2.LimitUse]:
        answer = await service.usage.GetMyUsage(usage_pb2.GetMyUsageRequest(), metadata=who)
        return {use.limit.id: use for use in answer.limits}

    def left(uses: dict[str, usage_pb2.LimitUse]) -> dict[str, int | None]:
        return {name: use.remaining if use.HasField("remaining") else None for name, use in uses.items()}

    # No call has asked for the budgets yet.
    assert left(await mine()) == {"day": None, "rate": 60, "gpt": None, "slots": 2}
    upstream.play(event_stream(piece("a"), ending=Ending.STALL))
    stream = service.stub.ChatStream(chat_request(), metadata=who)
    assert (await stream.read()).token == "a"
    began = datetime.now(UTC)
    uses = await mine()
    reserved = left(uses)["day"]
    assert reserved is not None
    assert reserved < 2000
    assert left(uses) == {"day": reserved, "rate": 59, "gpt": 7, "slots": 1}
    # To ask takes nothing.
    assert left(await mine()) == left(uses)
    assert uses["day"].resets_at == uses["day"].window_end
    resets = uses["rate"].resets_at.ToDatetime(UTC)
    assert 0 < (resets - began).total_seconds() <= 1.5
    assert not uses["slots"].HasField("resets_at")
    stream.cancel()


async def test_lists_need_their_scope(service: ModelService) -> None:
    failure = await failure_of(
        service.usage.ListUsage(usage_pb2.ListUsageRequest(), metadata=caller("red", "key-red", "generate"))
    )
    assert (failure.code, failure.metadata["scope"]) == (grpc.StatusCode.PERMISSION_DENIED, "usage.read")


async def test_strangers_without_a_key_see_nothing_and_end_nothing(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream) as service:
        upstream.play(json_answer(completion()))
        await service.stub.Chat(chat_request())
        assert len((await service.usage.ListUsage(usage_pb2.ListUsageRequest())).rows) == 1
        calls = (
            service.usage.GetMyUsage(usage_pb2.GetMyUsageRequest(), metadata=STRANGER),
            service.usage.ListUsage(usage_pb2.ListUsageRequest(), metadata=STRANGER),
            service.usage.ListCalls(usage_pb2.ListCallsRequest(), metadata=STRANGER),
            service.usage.CancelCall(usage_pb2.CancelCallRequest(call_id="c"), metadata=STRANGER),
        )
        reasons = [(await failure_of(call)).reason for call in calls]
        export = service.usage.ExportUsage(usage_pb2.ExportUsageRequest(), metadata=STRANGER)
        _, failure = await stream_failure(export)
        assert [*reasons, failure.reason] == ["USAGE_NOT_SHOWN"] * 5


# ---------------------------------------------------------------------------------------------- running calls


@contextlib.asynccontextmanager
async def running_stream(service: ModelService, upstream: ScriptedUpstream) -> AsyncIterator[Any]:
    """A stream of the project `red` that has sent one chunk."""
    upstream.play(event_stream(piece("Hello, you."), asyncio.Event()))
    stream = service.stub.ChatStream(chat_request(), metadata=caller(*RED))
    await anext(aiter(stream))
    yield stream
    stream.cancel()


async def running_calls(service: ModelService, *who: str) -> list[usage_pb2.RunningCall]:
    response = await service.usage.ListCalls(usage_pb2.ListCallsRequest(), metadata=caller(*who))
    return list(response.calls)


async def test_running_calls_are_listed_to_their_project(service: ModelService, upstream: ScriptedUpstream) -> None:
    async with running_stream(service, upstream):
        [call] = await running_calls(service, *RED)
        assert (call.method, call.model, call.provider) == ("ModelService/ChatStream", "gpt-4o", "openai")
        assert (call.chunks, call.key_id, call.project_id) == (1, "key-red", "red")
        assert call.age.ToMilliseconds() > 0
        assert await running_calls(service, *BLUE) == []
        assert len(await running_calls(service, "ops", "key-ops", "usage.read", "admin")) == 1


async def test_a_call_is_ended_from_outside(service: ModelService, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async with running_stream(service, upstream) as stream:
        [call] = await running_calls(service, *RED)
        request = usage_pb2.CancelCallRequest(call_id=call.call_id)
        foreign = await failure_of(service.usage.CancelCall(request, metadata=caller(*BLUE)))
        assert (foreign.code, foreign.reason) == (grpc.StatusCode.NOT_FOUND, "CALL_NOT_FOUND")
        asked_at = asyncio.get_running_loop().time()
        await service.usage.CancelCall(request, metadata=caller(*RED))
        assert await upstream.requests[-1].closed_by_peer() - asked_at < 1
        _, failure = await stream_failure(stream)
    assert (failure.code, failure.reason) == (grpc.StatusCode.CANCELLED, "CALL_CANCELLED")
    assert await running_calls(service, *RED) == []
    [row] = (await list_usage(service, *RED)).rows
    assert (row.sums.calls, row.sums.failed_calls) == (3, 1)


async def test_a_whole_answer_is_ended_from_outside(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(completion(), before=[asyncio.Event()]))
    answer = asyncio.ensure_future(failure_of(service.stub.Chat(chat_request(), metadata=caller(*RED))))
    await upstream.received(4)
    [call] = await running_calls(service, *RED)
    asked_at = asyncio.get_running_loop().time()
    await service.usage.CancelCall(usage_pb2.CancelCallRequest(call_id=call.call_id), metadata=caller(*RED))
    assert await upstream.requests[-1].closed_by_peer() - asked_at < 1
    assert (await answer).reason == "CALL_CANCELLED"
    [row] = (await list_usage(service, *RED)).rows
    assert (row.sums.failed_calls, row.sums.unpriced_calls) == (1, 0)


async def test_a_call_must_be_named(service: ModelService) -> None:
    failure = await failure_of(service.usage.CancelCall(usage_pb2.CancelCallRequest(), metadata=caller(*RED)))
    assert list(failure.fields) == ["call_id"]
