"""Limits on the wire: two processes of the Model Service on one store, and the rules in the callers' identities."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2, models_pb2_grpc
from proto.identity_pb2 import CallerIdentity, LimitRule
from services.shared import metric_names as names
from services.shared.identity import IdentitySigner
from services.shared.metadata import IDENTITY_KEY
from tests.scripted_upstream import Ending, ScriptedUpstream, answer, event_stream, json_answer, no_answer
from tests.services.model_service import chat_request, completion, piece, vendor_variables
from tests.support.admin import Scrape, port_of
from tests.support.databases import provide_behind
from tests.support.errors import explain, failure_of
from tests.support.processes import running

KEY = "k" * 32
SIGNER = IdentitySigner([KEY.encode()])

REQUESTS = {"id": "requests", "scope_kind": "project", "scope_id": "*", "resource": "requests", "window": "hour"}
BUDGET = {"id": "budget", "scope_kind": "team", "scope_id": "*", "resource": "nano_usd", "window": "month"}
SOFT = {"id": "soft", "scope_kind": "project", "scope_id": "*", "resource": "tokens", "window": "month"}
SLOTS = {"id": "slots", "scope_kind": "key", "scope_id": "*", "resource": "concurrent"}

ANSWER = json_answer(completion())

PATIENT = """
from services.models.limits import limiter, loading, time_limits
time_limits.COMMAND_SECONDS = time_limits.CONNECT_SECONDS = loading.LOAD_SECONDS = limiter.SETTLE_SECONDS = 30
"""
"""Run in each process before its program, which waits for the store and the ledger then: their limits of time are for
servers that are away, and not for a busy machine."""


def caller(project: str, *limits: dict[str, Any]) -> Sequence[tuple[str, bytes]]:
    """The metadata of calls of a project with these limits."""
    identity = CallerIdentity(
        key_id=f"key of {project}",
        project_id=project,
        team_id=f"team of {project}",
        scopes=["generate"],
        limits=[LimitRule(**limit) for limit in limits],
    )
    return [(IDENTITY_KEY, SIGNER.sign(identity))]


Stub = models_pb2_grpc.ModelServiceStub


class Replicas(list[Stub]):
    """Stubs of processes, and their admin ports."""

    def __init__(self, stubs: Sequence[Stub], ports: Sequence[int]) -> None:
        super().__init__(stubs)
        self._ports = ports

    async def sum(self, name: str, **labels: str) -> float:
        """The sum of a metric over the processes."""
        scrapes = [await asyncio.to_thread(Scrape.of, port) for port in self._ports]
        return sum(scrape.sum(name, **labels) for scrape in scrapes)


@contextlib.asynccontextmanager
async def replicas(directory: Path, upstream: ScriptedUpstream, url: str, **settings: str) -> AsyncIterator[Replicas]:
    """Two processes of the Model Service, as their callers see them."""
    for service in ("models", "calls", "ledger", "limits"):
        provide_behind(url, service)
    every = {
        **vendor_variables(upstream.url),
        "MODELS_DATABASE_URL": url,
        "MODELS_MAX_ATTEMPTS": "1",
        "AUTH_MODE": "required",
        "GENAI_INTERNAL_KEYS": KEY,
        "LIMITS_REPLICAS": "2",
        "MODELS_ADMIN_PORT": "0",
        **settings,
    }
    async with contextlib.AsyncExitStack() as stack:
        processes = [
            await asyncio.to_thread(stack.enter_context, running("models", directory / name, before=PATIENT, **every))
            for name in ("one", "other")
        ]
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(process.address)) for process in processes
        ]
        yield Replicas([Stub(channel) for channel in channels], [port_of(process) for process in processes])


@pytest.fixture(params=["postgresql", "redis"])
async def stubs(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: ScriptedUpstream, postgresql_url: str
) -> AsyncIterator[Replicas]:
    settings = {}
    if request.param == "redis":
        settings = {"LIMITS_STORE": "redis", "LIMITS_REDIS_URL": request.getfixturevalue("redis_url")}
    async with replicas(tmp_path, upstream, postgresql_url, **settings) as both:
        yield both


async def outcomes(stubs: Sequence[Stub], count: int, metadata: Any, **fields: Any) -> list[Any]:
    """The ends of chats that are sent to the replicas by turns, all at once."""
    calls = [stubs[number % 2].Chat(chat_request(**fields), metadata=metadata) for number in range(count)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, models_pb2.ChatResponse | grpc.aio.AioRpcError) for end in ends)
    return ends


def refusals(ends: Sequence[Any]) -> list[Any]:
    return [explain(end) for end in ends if isinstance(end, grpc.aio.AioRpcError)]


async def test_limits_hold_over_two_processes(stubs: Replicas, upstream: ScriptedUpstream) -> None:
    await a_rate_holds(stubs, upstream)
    await a_budget_holds(stubs, upstream)
    await slots_come_back(stubs, upstream)
    assert await stubs.sum(names.LIMIT_REFUSALS, team="team of fast", resource="requests") == 7
    assert await stubs.sum(names.LIMIT_STORE_DEGRADED) == 0
    assert await stubs.sum(names.BUDGET_SPENT_RATIO, rule="budget") >= 0.8
    assert await stubs.sum(f"{names.LIMIT_DECISION}_count") > 13


async def a_rate_holds(stubs: Replicas, upstream: ScriptedUpstream) -> None:
    upstream.default = ANSWER
    ends = await outcomes(stubs, 12, caller("fast", REQUESTS | {"amount": 5}))
    assert len(refusals(ends)) == 7
    refusal = refusals(ends)[0]
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert 0 < refusal.retry_seconds <= 720
    assert refusal.metadata["scope"] == "project:fast"
    [quota] = refusal.quotas
    assert (quota.quota_id, quota.subject, quota.quota_value) == ("requests", "project:fast", 5)
    assert (quota.quota_metric, dict(quota.quota_dimensions)) == ("requests", {"window": "hour"})
    assert len(upstream.requests) == 5
    # Another project has the same limit for itself, and is told of it.
    call = stubs[0].Chat(chat_request(), metadata=caller("calm", REQUESTS | {"amount": 5}))
    await call
    trailers = dict(await call.trailing_metadata())
    assert trailers["ratelimit"] == '"requests";q=5;r=4;t=720'


async def a_budget_holds(stubs: Replicas, upstream: ScriptedUpstream) -> None:
    upstream.default = ANSWER
    first = await stubs[0].Chat(chat_request(), metadata=caller("spender"))
    cost = first.usage.cost_nano_usd
    assert cost > 0
    limit = BUDGET | {"amount": 10 * cost}
    config = models_pb2.ChatConfig(max_tokens=1)
    # The ledger of this process knows at once what the chat before the limit has cost.
    await stubs[0].Chat(chat_request(config=config), metadata=caller("spender", limit))
    spent = 2 * cost
    for _ in range(20):
        ends = await outcomes(stubs, 4, caller("spender", limit), config=config)
        spent += cost * (4 - len(refusals(ends)))
        if len(refusals(ends)) == 4:
            break
    # What runs may cost more than its estimate; nothing is admitted beyond what is left.
    assert 9 * cost <= spent <= 10 * cost + 4 * cost
    refusal = refusals(ends)[0]
    assert (refusal.reason, refusal.retry_seconds) == ("BUDGET_EXHAUSTED", None)
    assert int(refusal.metadata["spent_nano_usd"]) == spent


async def slots_come_back(stubs: Replicas, upstream: ScriptedUpstream) -> None:
    upstream.default = event_stream(piece("a"), ending=Ending.STALL)
    who = caller("crowd", SLOTS | {"amount": 4})
    for _ in range(6):
        streams = [await opened(stubs[number % 2], who) for number in range(4)]
        refusal = await failure_of(stubs[0].Chat(chat_request(), metadata=who))
        assert (refusal.reason, refusal.retry_seconds) == ("CONCURRENCY_LIMITED", 1)
        for stream in streams:
            stream.cancel()


async def opened(stub: Stub, who: Any) -> Any:
    """A stream, as soon as there is a slot for it: the end of a cancelled call is not heard of by its caller."""
    async with asyncio.timeout(20):
        while True:
            stream = stub.ChatStream(chat_request(), metadata=who)
            with contextlib.suppress(grpc.aio.AioRpcError):
                assert (await stream.read()).token == "a"
                return stream
            assert await stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await asyncio.sleep(0.05)


async def test_soft_percents_are_told_once_over_processes_and_restarts(
    tmp_path: Path, upstream: ScriptedUpstream, postgresql_url: str
) -> None:
    upstream.default = ANSWER
    who = caller("warned", SOFT | {"amount": 1000, "soft_percents": [50, 80]})
    config = models_pb2.ChatConfig(max_tokens=1)
    async with ScriptedUpstream(default=answer(b"", status=204)) as receiver:
        hook = {"ALERT_WEBHOOK_URL": f"{receiver.url}/hook", "ALERT_WEBHOOK_KEY": "signs"}
        # The first replicas have passed half of the budget, the next ones pass the rest.
        for passed in (1, 2):
            async with replicas(tmp_path, upstream, postgresql_url, **hook) as stubs:
                while len(receiver.requests) < passed:
                    assert not refusals(await outcomes(stubs, 4, who, config=config))
                await asyncio.gather(*[stub.Chat(chat_request(config=config), metadata=who) for stub in stubs])
    told = [request.json() for request in receiver.requests]
    assert [event["percent"] for event in told] == [50, 80]
    assert [event["used"] // 10 >= event["percent"] for event in told] == [True, True]
    assert {(event["limit_id"], event["scope"]) for event in told} == {("soft", "project:warned")}
    for request in receiver.requests:
        signature = hmac.new(b"signs", request.body, hashlib.sha256).hexdigest()
        assert request.headers["x-genai-signature"] == f"sha256={signature}"
        assert b"Hello" not in request.body


async def test_a_receiver_that_hangs_holds_no_chat(
    tmp_path: Path, upstream: ScriptedUpstream, postgresql_url: str
) -> None:
    upstream.default = ANSWER
    who = caller("hasty", SOFT | {"amount": 2000, "soft_percents": [1]}, SLOTS | {"amount": 4})
    config = models_pb2.ChatConfig(max_tokens=1)
    async with (
        ScriptedUpstream(default=no_answer()) as receiver,
        replicas(tmp_path, upstream, postgresql_url, ALERT_WEBHOOK_URL=receiver.url) as stubs,
        # Less than the time that the receiver has to answer.
        asyncio.timeout(4.5),
    ):
        assert not refusals(await outcomes(stubs, 4, who, config=config))
        await receiver.received(1)
        assert not refusals(await outcomes(stubs, 4, who, config=config))
