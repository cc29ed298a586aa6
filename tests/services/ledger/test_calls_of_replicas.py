"""Two Model Services behind one gateway: a call is listed, and ended, in whichever of them it runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto import access_pb2, models_pb2_grpc, usage_pb2, usage_pb2_grpc
from services.access.first_key import add_admin_key
from services.gateway import gathering
from services.gateway.gathering import Answer, Gathered, gather_timeout, is_of_all_replicas, join_calls
from services.gateway.routes import MODEL_SERVICE, SESSION_SERVICE, USAGE_SERVICE
from services.shared.page_tokens import read_page_token
from services.shared.paging import cut_page
from tests.scripted_upstream import ScriptedUpstream, event_stream
from tests.services.access.gateways import KEY, AccessGateway, access_gateway
from tests.services.gateway.gateways import gateway
from tests.services.model_service import chat_request, piece, vendor_variables
from tests.support.databases import provide_behind
from tests.support.errors import failure_of, stream_failure
from tests.support.processes import Service, running


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas that are waited for: the limit of their time is for those that hang, and not for a busy machine."""
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 30.0)


@contextlib.contextmanager
def two_replicas(directory: Path, upstream: ScriptedUpstream, **settings: str) -> Iterator[tuple[Service, Service]]:
    """Two Model Services, each with its own files, whose streams go on for good."""
    variables = vendor_variables(upstream.url) | settings
    upstream.play(*(event_stream(piece("Hello."), asyncio.Event()) for _ in range(3)))
    with (
        running("models", directory / "one", **variables) as one,
        running("models", directory / "other", **variables) as other,
    ):
        yield one, other


async def begin(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> Any:
    """A stream of which the first chunk has come."""
    stream = models_pb2_grpc.ModelServiceStub(channel).ChatStream(chat_request(), metadata=metadata)
    await anext(aiter(stream))
    return stream


@pytest.mark.usefixtures("patience")
async def test_a_call_is_ended_in_the_replica_that_runs_it(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    with two_replicas(tmp_path, upstream) as replicas:
        async with gateway(",".join(replica.address for replica in replicas)) as front:
            usage = usage_pb2_grpc.UsageServiceStub(front.channel)
            for replica in replicas:
                async with grpc.aio.insecure_channel(replica.address) as channel:
                    stream = await begin(channel)
                    [call] = (await usage.ListCalls(usage_pb2.ListCallsRequest())).calls
                    request = usage_pb2.CancelCallRequest(call_id=call.call_id)
                    await usage.CancelCall(request)
                    assert (await stream_failure(stream))[1].reason == "CALL_CANCELLED"
                    assert (await failure_of(usage.CancelCall(request))).reason == "CALL_NOT_FOUND"


@pytest.mark.usefixtures("patience")
async def test_a_list_without_a_replica_says_so(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    with two_replicas(tmp_path, upstream) as (one, other):
        async with gateway(f"{one.address},{other.address}") as front:
            usage = usage_pb2_grpc.UsageServiceStub(front.channel)
            streams = [await begin(front.channel), await begin(front.channel)]
            whole = await usage.ListCalls(usage_pb2.ListCallsRequest())
            assert (len(whole.calls), whole.unreached_replicas) == (2, 0)
            one.send(signal.SIGSTOP)
            part = await usage.ListCalls(usage_pb2.ListCallsRequest(), timeout=4)
            assert (len(part.calls), part.unreached_replicas) == (1, 1)
            one.send(signal.SIGCONT)
            one.kill()
            part = await usage.ListCalls(usage_pb2.ListCallsRequest())
            assert (len(part.calls), part.unreached_replicas) == (1, 1)
            other.kill()
            failure = await failure_of(usage.ListCalls(usage_pb2.ListCallsRequest()))
            assert failure.code is grpc.StatusCode.UNAVAILABLE
            for stream in streams:
                stream.cancel()


@contextlib.asynccontextmanager
async def asking_gateway(directory: Path, addresses: str) -> AsyncIterator[AccessGateway]:
    """A gateway that asks for keys, with its first one."""
    url = f"sqlite:///{directory}/access.db"
    provide_behind(url, "access")
    async with access_gateway(url, addresses) as front:
        front.admin = (await add_admin_key(front.access.database, "first")).secret
        await front.access.keeper.update()
        yield front


@pytest.mark.usefixtures("patience")
async def test_a_project_sees_its_own_calls_of_all_replicas(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    required = {"AUTH_MODE": "required", "GENAI_INTERNAL_KEYS": KEY.decode()}
    with two_replicas(tmp_path, upstream, **required) as replicas:
        async with asking_gateway(tmp_path, ",".join(each.address for each in replicas)) as front:
            keys = {}
            for project in ("red", "blue"):
                made = access_pb2.Project(id=project, team_id="default")
                await front.call(access_pb2.CreateProjectRequest(project=made))
                keys[project] = (await front.new_key(project_id=project, scopes=["generate", "usage.read"]))[1]
            _, silent = await front.new_key(project_id="red", scopes=["generate"])
            # One after the other, they go to the replica with fewer calls.
            streams = [await begin(front.channel, ("x-api-key", keys[each])) for each in ("red", "blue", "red")]
            for page_size in (0, 1):
                first, second, third = await all_pages(front.channel, front.admin, page_size)
                assert [call.project_id for call in (first, second, third)] == ["red", "blue", "red"]
                for project, calls in (("red", [first, third]), ("blue", [second])):
                    found = await all_pages(front.channel, keys[project], page_size)
                    assert [call.call_id for call in found] == [call.call_id for call in calls]
            usage = usage_pb2_grpc.UsageServiceStub(front.channel)
            refused = await failure_of(usage.ListCalls(usage_pb2.ListCallsRequest(), metadata=[("x-api-key", silent)]))
            assert refused.reason == "SCOPE_MISSING"
            page = usage_pb2.ListCallsRequest(page_size=1)
            page.page_token = (await usage.ListCalls(page, metadata=[("x-api-key", keys["red"])])).next_page_token
            foreign = await failure_of(usage.ListCalls(page, metadata=[("x-api-key", keys["blue"])]))
            assert foreign.code is grpc.StatusCode.INVALID_ARGUMENT
            assert "another question" in foreign.message
            for stream in streams:
                stream.cancel()


async def all_pages(channel: grpc.aio.Channel, key: str, page_size: int) -> Sequence[usage_pb2.RunningCall]:
    request, found = usage_pb2.ListCallsRequest(page_size=page_size), []
    while True:
        page = await usage_pb2_grpc.UsageServiceStub(channel).ListCalls(request, metadata=[("x-api-key", key)])
        assert not page.unreached_replicas
        found.extend(page.calls)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


Parts = st.lists(st.sets(st.integers(0, 99).map(lambda number: f"{number:02}")), min_size=1, max_size=4)


@given(parts=Parts, size=st.integers(1, 5))
def test_joined_pages_have_each_call_once_and_in_order(parts: Sequence[set[str]], size: int) -> None:
    """Whatever each replica has, and however much of it fits in a page. Some are reached at two addresses."""
    request, found = usage_pb2.ListCallsRequest(page_size=size), []
    while True:
        after = read_page_token(request, str) or ""
        answers = [_page(sorted(call_id for call_id in part if call_id > after), request) for part in parts]
        joined = usage_pb2.ListCallsResponse.FromString(
            join_calls(request.SerializeToString(), Gathered([Answer(each, ()) for each in answers], ["gone"]))
        )
        assert len(joined.calls) <= size
        assert joined.unreached_replicas == 1
        found += [call.call_id for call in joined.calls]
        if not joined.next_page_token:
            break
        assert joined.calls
        request.page_token = joined.next_page_token
    assert found == sorted(set().union(*parts))


def _page(call_ids: Sequence[str], request: usage_pb2.ListCallsRequest) -> bytes:
    page = cut_page(((call_id, usage_pb2.RunningCall(call_id=call_id)) for call_id in call_ids), request)
    return usage_pb2.ListCallsResponse(calls=page.entries, next_page_token=page.next_page_token).SerializeToString()


def test_the_parts_come_before_the_callers_deadline() -> None:
    assert [gather_timeout(seconds) for seconds in (None, 30.0, 1.0)] == [2.0, 2.0, 0.8]


def test_lists_of_all_replicas_are_those_that_can_be_joined() -> None:
    methods = [method for service in (MODEL_SERVICE, SESSION_SERVICE, USAGE_SERVICE) for method in service.methods]
    assert [method.name for method in methods if is_of_all_replicas(method)] == ["ListCalls"]
    assert not any(is_of_all_replicas(method) and method.server_streaming for method in methods)
