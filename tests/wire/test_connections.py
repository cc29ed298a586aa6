"""Connections to providers are bounded so that one slow server leaves room for others, and what is missing on our side
is never said to be the provider's fault."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Hashable, Iterator, Sequence
from typing import Any

import pytest

from proto import models_pb2
from services.models.health.probes import ModelProbe
from services.models.health.results import UNKNOWN
from services.models.transport.base import HttpResponse, HttpTimeouts
from services.models.transport.client import HttpClient, open_probing_client
from services.models.transport.connector import Network
from services.models.transport.egress import EndpointPolicy
from services.models.transport.proxies import Proxies
from services.models.transport.tls_trust import TlsTrust
from services.shared import errors
from services.shared.fair_quota import FairQuota
from tests.scripted_upstream import ScriptedUpstream, json_answer, no_answer
from tests.support.descriptors import no_descriptor_left

LIMIT = 12
ONE_SERVERS = LIMIT // 2
OK = json_answer({})
WAIT_SECONDS = 10.0


@contextlib.asynccontextmanager
async def transporting(**options: Any) -> AsyncIterator[HttpClient]:
    transport = HttpClient(**{"connections": FairQuota(LIMIT), **options})
    try:
        yield transport
    finally:
        await transport.close()


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=OK) as upstream:
        yield upstream


@pytest.fixture
async def silent() -> AsyncIterator[ScriptedUpstream]:
    """A server that takes requests and never answers."""
    async with ScriptedUpstream(default=no_answer()) as upstream:
        yield upstream


@pytest.fixture
def full() -> Iterator[str]:
    """The URL of a server that never accepts: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as waiting:
        for _ in range(2):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


async def post(transport: HttpClient, url: str) -> HttpResponse:
    return await transport.post(f"{url}/v1/chat", {}, b"{}")


async def crowd(
    transport: HttpClient, url: str, count: int, waiting: int = ONE_SERVERS
) -> tuple[list[asyncio.Task[HttpResponse]], set[str]]:
    """Makes calls that get no answer, all but `waiting` of which are refused. Returns those that wait, and the reasons
    of the others."""
    tasks = [asyncio.create_task(post(transport, url)) for _ in range(count)]
    left = await all_but(waiting, tasks)
    refused = [task.exception() for task in tasks if task not in left]
    reasons = set()
    for error in refused:
        assert isinstance(error, errors.LimitExceeded)
        assert error.retry_after
        reasons.add(error.reason)
    return left, reasons


async def all_but(waiting: int, tasks: Sequence[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Waits until all but so many tasks have ended, no more and no fewer, and returns those."""
    async with asyncio.timeout(WAIT_SECONDS):
        while len(left := [task for task in tasks if not task.done()]) > waiting:
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
    for _ in range(20):
        await asyncio.sleep(0)
    left = [task for task in tasks if not task.done()]
    assert len(left) == waiting
    return left


async def cancel(tasks: list[asyncio.Task[HttpResponse]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


# ------------------------------------------------------------------------------------------------------ in numbers


@pytest.mark.parametrize("accepts", [True, False])
async def test_calls_that_wait_at_one_server_leave_room_for_others(
    upstream: ScriptedUpstream, silent: ScriptedUpstream, full: str, accepts: bool
) -> None:
    slow = silent.url if accepts else full
    async with transporting() as transport:
        waiting, reasons = await crowd(transport, slow, 50)
        assert reasons == {"UPSTREAM_CONNECTIONS_EXHAUSTED"}
        for _ in range(20):
            assert (await post(transport, upstream.url)).status == 200
        await cancel(waiting)
        # All of them were closed, and can be had again.
        waiting, _ = await crowd(transport, slow, 50)
        await cancel(waiting)


async def test_several_slow_servers_leave_room_for_another(upstream: ScriptedUpstream) -> None:
    async with transporting() as transport, contextlib.AsyncExitStack() as servers:
        waiting = []
        for share in (6, 3, 2):
            slow = await servers.enter_async_context(ScriptedUpstream(default=no_answer()))
            waiting += (await crowd(transport, slow.url, LIMIT, share))[0]
        assert (await post(transport, upstream.url)).status == 200
        await cancel(waiting)


@pytest.mark.parametrize("ending", ["refused", "answered", "not allowed"])
async def test_calls_that_are_over_hold_no_place(upstream: ScriptedUpstream, ending: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    urls = {"refused": f"http://127.0.0.1:{port}", "answered": upstream.url, "not allowed": "http://169.254.169.254"}
    async with transporting() as transport:
        for _ in range(3 * LIMIT):
            with contextlib.suppress(errors.Unavailable, errors.PreconditionFailed):
                await post(transport, urls[ending])
        assert transport._pool._quota.free >= LIMIT - 1


async def test_unused_connections_are_given_up_where_another_server_needs_them(silent: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    async with ScriptedUpstream(default=json_answer({}, before=[gate])) as upstream, transporting() as transport:
        first = [asyncio.create_task(post(transport, upstream.url)) for _ in range(ONE_SERVERS)]
        await upstream.received(ONE_SERVERS)
        gate.set()
        await asyncio.gather(*first)
        assert transport._pool._quota.free == LIMIT - ONE_SERVERS
        waiting, _ = await crowd(transport, silent.url, 50)
        # As many as were needed.
        assert sum(len(idle) for idle in transport._pool._idle.values()) == 1
        await cancel(waiting)


async def test_server_that_can_have_no_more_takes_no_unused_connection_from_others(
    upstream: ScriptedUpstream, silent: ScriptedUpstream
) -> None:
    async with transporting() as transport:
        waiting, _ = await crowd(transport, silent.url, LIMIT)
        await post(transport, upstream.url)
        await crowd(transport, silent.url, 50, 0)
        await post(transport, upstream.url)
        assert len(upstream.connections) == 1
        await cancel(waiting)


class Counted(FairQuota):
    most = 0
    """As many were taken at a time."""

    def try_take(self, holder: Hashable, amount: int = 1) -> bool:
        taken = super().try_take(holder, amount)
        self.most = max(self.most, self.limit - self.free)
        return taken


async def test_name_with_many_addresses_has_no_more_sockets_than_a_server_may_have(
    monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    port = int(full.rpartition(":")[2])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 16
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr("services.models.transport.connector.SECOND_ADDRESS_SECONDS", 0.001)
    places = Counted(LIMIT)
    async with transporting(timeouts=HttpTimeouts(connect=0.3), connections=places) as transport:
        with pytest.raises(errors.PlatformError):
            await post(transport, f"http://many.example:{port}")
        assert places.most == ONE_SERVERS
        assert places.free == LIMIT


# ---------------------------------------------------------------------------------------------- what is missing here


async def test_process_without_a_descriptor_says_so(upstream: ScriptedUpstream) -> None:
    async with transporting() as transport:
        with no_descriptor_left(), pytest.raises(errors.LimitExceeded) as refused:
            await post(transport, upstream.url)
        assert refused.value.reason == "DESCRIPTORS_EXHAUSTED"
        assert refused.value.retry_after
        assert (await post(transport, upstream.url)).status == 200


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EMFILE, "DESCRIPTORS_EXHAUSTED"),
        (errno.ENFILE, "DESCRIPTORS_EXHAUSTED"),
        (errno.ENOMEM, "SYSTEM_EXHAUSTED"),
        (errno.ENOBUFS, "SYSTEM_EXHAUSTED"),
        (errno.EADDRNOTAVAIL, "SYSTEM_EXHAUSTED"),
        (errno.ECONNREFUSED, "UPSTREAM_UNREACHABLE"),
        (errno.ENETUNREACH, "UPSTREAM_UNREACHABLE"),
        (errno.EHOSTUNREACH, "UPSTREAM_UNREACHABLE"),
        (errno.ETIMEDOUT, "UPSTREAM_UNREACHABLE"),
    ],
)
@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["10.0.0.1", "10.0.0.2"]])
async def test_errors_of_the_system_are_the_providers_or_ours(
    monkeypatch: pytest.MonkeyPatch, number: int, reason: str, addresses: list[str]
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    async def fail(_: socket.socket, address: Any) -> None:
        raise OSError(number, f"Connect call failed {address}")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fail)
    async with transporting() as transport:
        with pytest.raises(errors.PlatformError) as refused:
            await post(transport, "http://some.example")
    assert refused.value.reason == reason
    assert "10.0.0" not in refused.value.message


async def test_machine_without_ipv6_has_not_run_out_of_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: socket.socket, address: Any) -> None:
        raise OSError(errno.EADDRNOTAVAIL, f"Connect call failed {address}")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fail)
    async with transporting() as transport:
        with pytest.raises(errors.Unavailable) as refused:
            await post(transport, "http://[::1]:8000")
    assert refused.value.reason == "UPSTREAM_UNREACHABLE"


async def test_trust_that_could_not_be_loaded_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trust = TlsTrust()
    async with transporting(network=Network(Proxies(), trust)) as transport:
        with no_descriptor_left(), pytest.raises(errors.LimitExceeded) as refused:
            await post(transport, "https://127.0.0.1:1")
        assert refused.value.reason == "DESCRIPTORS_EXHAUSTED"
        context = await trust.context()
        assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()


# ------------------------------------------------------------------------------------------------------------ probes


def probe(url: str) -> ModelProbe:
    return ModelProbe(models_pb2.RegisteredModel(name="m", endpoint=f"{url}/v1", adapter_type="openai-compatible"))


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = open_probing_client(EndpointPolicy())
    yield client
    await client.close()


async def test_probe_without_a_descriptor_says_nothing_of_the_server(
    upstream: ScriptedUpstream, client: HttpClient
) -> None:
    with no_descriptor_left():
        found = await probe(upstream.url).ask(client)
    assert (found.status, found.reason) == (UNKNOWN, "DESCRIPTORS_EXHAUSTED")


async def test_probes_at_one_server_leave_room_for_others(
    monkeypatch: pytest.MonkeyPatch, upstream: ScriptedUpstream, silent: ScriptedUpstream
) -> None:
    monkeypatch.setattr("services.shared.descriptors.limit", lambda: 336)
    client = open_probing_client(EndpointPolicy())
    asking = [asyncio.create_task(probe(silent.url).ask(client)) for _ in range(50)]
    waiting = await all_but(7, asking)
    found = [task.result() for task in asking if task.done()]
    assert {(finding.status, finding.reason) for finding in found} == {(UNKNOWN, "UPSTREAM_CONNECTIONS_EXHAUSTED")}
    upstream.default = json_answer({"data": [{"id": ""}]})
    assert (await probe(upstream.url).ask(client)).status != UNKNOWN
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await client.close()
