"""The Model Service's client of several Session Services: which calls go on to another one, and which do not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest

from proto import sessions_pb2
from services.models.sessions.client import SERVICE, SessionClient
from services.shared.call_ends import refuse_call
from services.shared.errors import Unavailable
from services.shared.logs import open_log
from tests.rows import row
from tests.services.gateway.gateways import refusing_address, serving, unary
from tests.services.log_file import LogFile

Handler = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


class SessionService:
    """A Session Service that counts its calls and ends each in one way."""

    def __init__(self, behaviour: Handler) -> None:
        self.calls = 0
        self._behaviour = behaviour

    async def _get_context(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.calls += 1
        return await self._behaviour(request, context)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        async with serving(SERVICE, {"GetContext": unary(self._get_context)}) as backend:
            yield backend.address


async def answer(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return sessions_pb2.GetContextResponse().SerializeToString()


async def refuse(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
    await refuse_call(context)


async def fail(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
    raise AssertionError("abort raises")


async def get_context(client: SessionClient) -> None:
    await client.get_context(sessions_pb2.GetContextRequest(session_id="s"), "id")


@contextlib.asynccontextmanager
async def calling(*addresses: str) -> AsyncIterator[SessionClient]:
    client = SessionClient(",".join(addresses), open_log("models", file=LogFile()))
    yield client
    await client.close()


async def test_call_that_has_not_begun_goes_to_another_session_service() -> None:
    stopping, other = SessionService(refuse), SessionService(answer)
    async with stopping.served() as first, other.served() as second:
        with refusing_address() as refused:
            async with calling(refused, first, second) as client:
                for number in range(1, 9):
                    await get_context(client)
                    assert other.calls == number
        assert stopping.calls


async def test_call_that_may_have_begun_goes_to_no_other_one() -> None:
    failing, other = SessionService(fail), SessionService(answer)
    failures: list[str] = []
    async with failing.served() as first, other.served() as second, calling(first, second) as client:
        for _ in range(8):
            try:
                await get_context(client)
            except Unavailable as error:
                failures.append(error.reason)
    assert failures == ["SESSIONS_UNAVAILABLE"] * failing.calls
    assert failing.calls in range(1, 8)
    assert failing.calls + other.calls == 8


async def test_session_services_that_all_stop_are_unavailable() -> None:
    """Not SERVER_STOPPING: a gateway would take that for the Model Service's own refusal of the chat."""
    for count in (1, 2):
        with row(count):
            async with contextlib.AsyncExitStack() as stack:
                services = [SessionService(refuse) for _ in range(count)]
                addresses = [await stack.enter_async_context(service.served()) for service in services]
                client = await stack.enter_async_context(calling(*addresses))
                with pytest.raises(Unavailable) as raised:
                    await get_context(client)
                assert (raised.value.reason, raised.value.metadata) == ("SESSIONS_UNAVAILABLE", {"backend": "sessions"})
                assert [service.calls for service in services] == [1] * count
