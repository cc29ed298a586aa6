"""Resolver: a name server that does not answer holds up nobody but those who ask for its names."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import threading
from collections.abc import Awaitable, Iterator
from contextvars import copy_context
from typing import Any, TypeVar

import pytest

from services.models.transport import resolver as module
from services.models.transport.connector import MAX_RESOLVED, Connector
from services.models.transport.egress import EndpointPolicy
from services.models.transport.request_head import Origin
from services.models.transport.resolver import MAX_ADDRESSES, THREADS, ResolveError, Resolver
from services.shared.admission import CALLER
from services.shared.errors import LimitExceeded
from services.shared.fair_quota import FairQuota

WAIT_SECONDS = 10.0
ADDRESS = "10.0.0.1"

Result = TypeVar("Result")


class NameServer:
    """The system's: names below `hangs.example` are answered when it is released, others at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._noted = threading.Condition()
        self.addresses = [ADDRESS]
        self._released = threading.Event()

    def getaddrinfo(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        with self._noted:
            self.asked.append(host)
            self._noted.notify_all()
        if host.endswith("hangs.example"):
            assert self._released.wait(WAIT_SECONDS)
        if host.endswith("unknown.example"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.addresses
        ]

    async def was_asked(self, count: int) -> None:
        """Waits until it has been asked so often."""

        def wait() -> bool:
            with self._noted:
                return self._noted.wait_for(lambda: len(self.asked) >= count, WAIT_SECONDS)

        assert await asyncio.to_thread(wait)

    def release(self) -> None:
        self._released.set()


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    name_server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", name_server.getaddrinfo)
    yield name_server
    name_server.release()


def ask_as(caller: str, question: Awaitable[Result]) -> asyncio.Task[Result]:
    async def ask() -> Result:
        return await question

    context = copy_context()
    context.run(CALLER.set, caller)
    return asyncio.create_task(ask(), context=context)


def hosts(found: Any) -> list[tuple[str, int]]:
    return [address[4][:2] for address in found]


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7", "::1", "2001:db8::7"])
async def test_addresses_need_no_thread(name_server: NameServer, host: str) -> None:
    assert hosts(await Resolver().resolve(host, 8000)) == [(host, 8000)]
    assert name_server.asked == []


async def test_name_that_is_asked_for_often_is_resolved_once_at_a_time(name_server: NameServer) -> None:
    names = Resolver()
    asking = [ask_as(f"caller {number}", names.resolve("hangs.example", 8000 + number)) for number in range(100)]
    await name_server.was_asked(1)
    name_server.release()
    found = await asyncio.gather(*asking)
    assert [hosts(addresses) for addresses in found] == [[(ADDRESS, 8000 + number)] for number in range(100)]
    assert name_server.asked == ["hangs.example"]


async def test_a_callers_names_that_hang_leave_threads_to_other_callers(name_server: NameServer) -> None:
    names = Resolver()
    hanging = [ask_as("greedy", names.resolve(f"{number}.hangs.example", 80)) for number in range(200)]
    await name_server.was_asked(THREADS // 2)
    assert hosts(await ask_as("modest", names.resolve("good.example", 80))) == [(ADDRESS, 80)]
    # Whoever leaves leaves a thread behind that counts on.
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    again = ask_as("greedy", names.resolve("good.example", 80))
    assert hosts(await ask_as("modest", names.resolve("fine.example", 80))) == [(ADDRESS, 80)]
    assert not again.done()
    name_server.release()
    assert hosts(await again) == [(ADDRESS, 80)]
    assert len(name_server.asked) == THREADS // 2 + 3


async def test_name_that_gets_no_thread_is_told_that_the_server_is_busy(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TURN_SECONDS", 0.01)
    names = Resolver()
    hanging = [ask_as("greedy", names.resolve(f"{number}.hangs.example", 80)) for number in range(THREADS // 2)]
    await name_server.was_asked(THREADS // 2)
    with pytest.raises(LimitExceeded) as refused:
        await ask_as("greedy", names.resolve("good.example", 80))
    assert refused.value.reason == "SERVER_BUSY"
    assert refused.value.retry_after
    # A registration is no reason to resolve it now.
    assert await ask_as("greedy", EndpointPolicy().registration_refusal("http://good.example", "endpoint")) is None
    name_server.release()
    await asyncio.wait(hanging)
    assert await ask_as("greedy", names.resolve("good.example", 80))


async def test_this_machine_and_the_operators_servers_wait_for_no_turn(name_server: NameServer) -> None:
    policy = EndpointPolicy(trusted_urls=["https://vendor.example/v1"])
    hanging = [
        ask_as(f"caller {number}", policy.resolve(f"{number}.hangs.example", 80)) for number in range(2 * THREADS)
    ]
    await name_server.was_asked(THREADS)
    for host in ("localhost", "vendor.example"):
        assert hosts(await policy.resolve(host, 443)) == [(ADDRESS, 443)]
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)


async def test_name_that_hung_can_be_asked_for_again_when_the_resolver_has_given_up(name_server: NameServer) -> None:
    names = Resolver()
    abandoned = ask_as("one", names.resolve("hangs.example", 80))
    await name_server.was_asked(1)
    abandoned.cancel()
    name_server.release()
    assert hosts(await names.resolve("hangs.example", 80)) == [(ADDRESS, 80)]


async def test_unknown_names_and_names_that_cannot_be_are_told_and_not_remembered(name_server: NameServer) -> None:
    names = Resolver()
    for _ in range(2):
        with pytest.raises(ResolveError):
            await names.resolve("unknown.example", 80)
    name_server.addresses = []
    with pytest.raises(ResolveError):
        await names.resolve("empty.example", 80)
    assert name_server.asked == ["unknown.example"] * 2 + ["empty.example"]


async def test_label_beyond_what_a_name_can_be_is_no_name() -> None:
    with pytest.raises(ResolveError):
        await Resolver().resolve(f"{'ä' * 80}.example", 80)


async def test_of_a_name_with_thousands_of_addresses_a_few_of_each_family_are_kept(name_server: NameServer) -> None:
    name_server.addresses = [f"10.{n >> 8}.{n & 255}.1" for n in range(2000)] + [
        f"2001:db8::{n:x}" for n in range(2000)
    ]
    found = [host for host, _ in hosts(await Resolver().resolve("many.example", 80))]
    assert found == name_server.addresses[:MAX_ADDRESSES] + name_server.addresses[2000 : 2000 + MAX_ADDRESSES]


async def test_resolver_without_a_descriptor_is_not_taken_for_a_name_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    thread_starts = Resolver()
    with pytest.raises(ResolveError):
        await thread_starts.resolve("some.example", 80)
    lowest = os.dup(2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(LimitExceeded) as refused:
            await thread_starts.resolve("some.example", 80)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(lowest)
    assert refused.value.reason == "DESCRIPTORS_EXHAUSTED"


async def test_addresses_are_remembered_of_a_bounded_number_of_servers(name_server: NameServer) -> None:
    connector = Connector(EndpointPolicy(), FairQuota(10))
    for number in range(2 * MAX_RESOLVED):
        await connector.route(Origin(False, f"{number}.example", 80))
    assert len(connector._routes) == MAX_RESOLVED
    name_server.asked.clear()
    await connector.route(Origin(False, f"{2 * MAX_RESOLVED - 1}.example", 80))
    assert name_server.asked == []
