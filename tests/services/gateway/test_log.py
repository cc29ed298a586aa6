"""One line for each call, with the id that the backend logs too."""

from __future__ import annotations

import grpc
import pytest

from tests.services.gateway.gateways import MODELS, gateway, serving, stream, unary


class Seen:
    """Remembers the request ids that a backend is given."""

    def __init__(self) -> None:
        self.ids: list[list[str]] = []

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.ids.append([value for key, value in context.invocation_metadata() if key == "x-request-id"])
        return request * 2

    async def stream(self, request: bytes, context: grpc.aio.ServicerContext) -> None:
        await self.unary(request, context)
        for _ in range(3):
            await context.write(request)


async def test_unary_call_writes_one_line() -> None:
    seen = Seen()
    async with serving(MODELS, {"Chat": unary(seen.unary)}) as models, gateway(models.address) as front:
        await front.unary()(b"12345", metadata=(("x-request-id", "mine"),))
        (entry,) = front.calls()
    duration = entry.pop("duration_ms")
    assert 0 < duration < 10_000
    assert entry.pop("ts")
    assert entry == {
        "level": "info",
        "service": "gateway",
        "event": "rpc",
        "method": "ModelService/Chat",
        "code": "OK",
        "request_id": "mine",
        "replica": models.address,
        "request_bytes": 5,
        "response_bytes": 10,
    }
    assert seen.ids == [["mine"]]


async def test_stream_writes_one_line_with_the_number_of_its_messages() -> None:
    seen = Seen()
    async with serving(MODELS, {"ChatStream": stream(seen.stream)}) as models, gateway(models.address) as front:
        assert len([message async for message in front.stream()(b"x")]) == 3
        (entry,) = front.calls()
    assert (entry["method"], entry["code"], entry["messages"]) == ("ModelService/ChatStream", "OK", 3)
    assert seen.ids == [[entry["request_id"]]]


@pytest.mark.parametrize("given", [(), ("",), ("x" * 129,)], ids=["none", "empty", "too long"])
async def test_gateway_makes_the_request_id_that_the_caller_did_not(given: tuple[str, ...]) -> None:
    seen = Seen()
    async with serving(MODELS, {"Chat": unary(seen.unary)}) as models, gateway(models.address) as front:
        for _ in range(2):
            await front.unary()(b"", metadata=tuple(("x-request-id", value) for value in given))
        logged = [[entry["request_id"]] for entry in front.calls()]
    assert seen.ids == logged
    assert len({ids[0] for ids in logged} - set(given)) == 2


async def test_error_of_the_gateway_carries_the_request_id() -> None:
    async with gateway() as front:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await front.unary()(b"", metadata=(("x-request-id", "mine"),))
        (entry,) = front.calls()
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "mine"
    assert (entry["request_id"], entry["code"], entry["reason"]) == ("mine", "UNAVAILABLE", "BACKEND_UNAVAILABLE")


async def test_name_of_an_unknown_method_is_cut_in_the_log() -> None:
    async with gateway() as front:
        for path in (f"/{MODELS}/{'x' * 1000}", f"/other/{'x' * 1000}"):
            with pytest.raises(grpc.aio.AioRpcError):
                await front.channel.unary_unary(path)(b"")
        assert all(len(entry["method"]) < 150 for entry in front.calls())
