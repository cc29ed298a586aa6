"""Metadata of calls: how much is taken, directly and through the gateway, and what of it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import grpc
import pytest

from proto import models_pb2
from services.models.main import SERVICE
from services.shared.call import Call
from services.shared.lanes import MethodHandlers
from services.shared.metadata import MAX_BLOCK_BYTES, MAX_BYTES, MAX_FIELDS
from services.shared.received_fields import FLOOD_FIELDS
from services.shared.rpc import service_handler
from services.shared.server import Server, running
from tests.services.gateway.gateways import MODELS, gateway, serving, unary
from tests.services.model_service import LOG
from tests.support.errors import reason_in
from tests.support.http2 import Answers, Ended, Field, call_with

OK = Ended("status 0")


async def ended(address: str, fields: Sequence[Field]) -> Ended:
    """How a call of ListModels ends that has these fields beside its own."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(call_with(f"/{MODELS}/ListModels".encode(), b"", *fields))
    answers = Answers(reader, writer)
    assert await answers.read([1], 10)
    writer.close()
    await writer.wait_closed()
    return answers.ended[1]


class Servicer:
    """Whose methods answer with nothing."""

    def __getattr__(self, name: str) -> object:
        if name == "ChatStream":
            return self.stream

        async def answer(_: object, __: Call) -> models_pb2.ListModelsResponse:
            return models_pb2.ListModelsResponse()

        return answer

    async def stream(self, _: object, __: Call) -> AsyncIterator[models_pb2.ChatChunk]:
        yield models_pb2.ChatChunk()


@contextlib.asynccontextmanager
async def both_ways() -> AsyncIterator[tuple[str, str]]:
    """The addresses of a service and of a gateway in front of it."""
    server = Server([service_handler(Servicer(), SERVICE, LOG)], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server), gateway(address) as front:
        yield address, front.address


def fields_of(count: int, size: int) -> list[Field]:
    """So many fields, whose names and values have so many bytes together."""
    fields = [(b"k%d" % number, b"") for number in range(count)]
    named = sum(len(name) for name, _ in fields)
    return [(fields[0][0], b"v" * (size - named)), *fields[1:]]


# What is not counted: it belongs to a hop, or to the platform.
UNCOUNTED = [(b"user-agent", b"u" * 100), (b"x-request-id", b"r" * 100), (b"x-genai-other", b"o"), (b"host", b"h" * 99)]


@pytest.mark.parametrize("fields", [fields_of(MAX_FIELDS, 2000), fields_of(1, MAX_BYTES), fields_of(256, MAX_BYTES)])
async def test_as_much_metadata_as_is_allowed_passes_directly_and_through_the_gateway(fields: list[Field]) -> None:
    async with both_ways() as addresses:
        for address in addresses:
            assert await ended(address, [*UNCOUNTED, *fields]) == OK


@pytest.mark.parametrize(
    "fields", [fields_of(MAX_FIELDS + 1, 2000), fields_of(1, MAX_BYTES + 1), [(b"k", b"")] * 600, fields_of(2, 20_000)]
)
async def test_more_metadata_is_refused_in_the_same_words(fields: list[Field]) -> None:
    size = sum(len(name) + len(value) for name, value in fields)
    words = f"the call has {len(fields)} fields of metadata of {size} bytes; at most 256 of 16384 are taken"
    async with both_ways() as addresses:
        for address in addresses:
            assert await ended(address, [*UNCOUNTED, *fields]) == Ended("status 8", words)


async def test_too_much_metadata_has_a_reason_for_programs() -> None:
    async with both_ways() as addresses:
        for address in addresses:
            async with grpc.aio.insecure_channel(address) as channel:
                method = channel.unary_unary(f"/{MODELS}/ListModels")
                call = method(b"", metadata=(("x-large", "v" * (MAX_BYTES + 1)),))
                assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert reason_in(await call.trailing_metadata()) == "METADATA_TOO_LARGE"
                call = method(b"", metadata=(("x-larger", "v" * MAX_BLOCK_BYTES),))
                assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


UNSENDABLE = {
    "control character": ((b"x-bad", b"a\x01b"), "metadata x-bad: must be plain ASCII"),
    "line break": ((b"x-bad", b"a\nb: c"), "metadata x-bad: must be plain ASCII"),
    "UTF-8": ((b"x-bad", "ü".encode()), "metadata x-bad: must be plain ASCII"),
    "no UTF-8": ((b"x-bad", b"\xff\xfe"), "metadata x-bad: must be plain ASCII"),
    "DEL": ((b"x-bad", b"\x7f"), "metadata x-bad: must be plain ASCII"),
    "nothing but -bin": ((b"-bin", b"AAAA"), "metadata key '-bin': must be of a-z"),
}


@pytest.mark.parametrize("case", UNSENDABLE)
async def test_metadata_that_the_next_hop_cannot_be_sent_is_refused_by_its_key(case: str) -> None:
    field, words = UNSENDABLE[case]
    async with gateway() as front:
        how, message = await ended(front.address, [(b"x-good", b"1"), field])
    assert how == "status 3"
    assert message.startswith(words)


HOP = {
    b"connection": b"close",
    b"content-length": b"5",
    b"grpc-previous-rpc-attempts": b"3",
    b"grpc-trace-bin": b"AAAA",
    b"host": b"evil",
    b"http2-settings": b"AA",
    b"keep-alive": b"timeout=5",
    b"lb-token": b"x",
    b"proxy-authorization": b"Basic eA==",
    b"proxy-connection": b"close",
    b"trailer": b"x",
    b"transfer-encoding": b"chunked",
    b"upgrade": b"h2c",
}


async def test_fields_of_the_hop_stay_at_the_gateway() -> None:
    received: set[str] = set()

    async def remember(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        received.update(key for key, _ in context.invocation_metadata())
        return request

    async with serving(MODELS, {"ListModels": unary(remember)}) as models, gateway(models.address) as front:
        assert await ended(front.address, [*HOP.items(), (b"x-kept", b"1"), (b"x-kept-bin", b"/////w")]) == OK
    assert received == {"user-agent", "x-kept", "x-kept-bin", "x-request-id", "x-genai-caller"}


async def test_of_a_flood_of_fields_only_the_first_are_made() -> None:
    """Before it has heard of any limit, a client may send so many that an object for each would hold the loop."""
    seen: list[Sequence[tuple[str, str | bytes]]] = []

    class Recorder(MethodHandlers):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            seen.append(details.invocation_metadata)
            return handler.service(details)

    handler = service_handler(Servicer(), SERVICE, LOG)
    server = Server([Recorder(handler.handlers)], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server):
        # grpc itself refuses one in thirty of such blocks, at random.
        while not seen:
            assert (await ended(address, [(b"k%d" % number, b"") for number in range(15_000)])).how == "status 8"
    flood = seen[0]
    assert len(flood) >= 15_000
    assert {key for key, _ in flood} >= {"k0", "k4000"}
    assert set(flood[FLOOD_FIELDS:]) == {("", "")}


async def test_fields_that_are_not_utf8_are_not_logged_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    server = Server([service_handler(Servicer(), SERVICE, LOG)], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server):
        assert await ended(address, [(b"k%d" % number, b"\xff") for number in range(5)]) == OK
    assert [record.getMessage() for record in caplog.records if "cygrpc" in record.name] == []
