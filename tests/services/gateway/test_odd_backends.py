"""A backend that does not keep to gRPC's protocol: its caller gets an error that says so, never UNKNOWN or INTERNAL."""

from __future__ import annotations

import grpc
import pytest

from tests.rows import row
from tests.services.gateway.gateways import Gateway, error_of, gateway
from tests.services.gateway.raw_backend import GRPC, Answer, head, message, raw_backend, reset, trailers
from tests.support.errors import reason_in

SMALL, LARGE = b"small", b"l" * 1024 * 1024

OK = (b"grpc-status", b"0")


async def end_of(front: Gateway, kind: str, request: bytes) -> grpc.aio.AioRpcError:
    return await error_of((front.unary() if kind == "unary" else front.stream())(request, timeout=20))


BROKEN = {
    "status that is no number": [head(), message(b"m"), trailers((b"grpc-status", b"abc"))],
    "status that nobody knows": [head(), trailers((b"grpc-status", b"99"))],
    "no status": [head(), message(b"m"), trailers((b"x-a", b"1"))],
    "no trailers": [head(), message(b"m", end=True)],
    "details that are not base64": [head(), trailers((b"grpc-status", b"5"), (b"grpc-status-details-bin", b"!!!"))],
    "a page of HTML": [head((b":status", b"200"), (b"content-type", b"text/html")), message(b"<html>", end=True)],
    "a reset": [head(), message(b"m"), reset(2)],
    "a reset at once": [reset(0)],
    "an error without details": [head(), trailers((b"grpc-status", b"2"), (b"grpc-message", b"secret"))],
}


async def test_answer_that_cannot_be_read_is_a_lost_backend() -> None:
    for request_size in [SMALL, LARGE]:
        for case in BROKEN:
            with row(request_size, case):
                async with raw_backend(*BROKEN[case]) as address, gateway(address) as front:
                    for kind in ("unary", "stream"):
                        error = await end_of(front, kind, request_size)
                        assert error.code() is grpc.StatusCode.UNAVAILABLE
                        assert reason_in(error.trailing_metadata()) == "BACKEND_LOST"
                        assert "secret" not in (error.details() or "")


@pytest.mark.parametrize("request_size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("answers", [[head(), trailers(OK)], [trailers(*GRPC, OK)]], ids=["with head", "without"])
async def test_unary_call_that_ends_well_without_a_message_is_a_lost_backend(
    answers: list[Answer], request_size: bytes
) -> None:
    async with raw_backend(*answers) as address, gateway(address) as front:
        error = await end_of(front, "unary", request_size)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details() == f"the Model Service at {address} has ended the call without an answer"
    assert reason_in(error.trailing_metadata()) == "BACKEND_LOST"


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_status_of_a_backend_that_refuses_a_request_before_it_has_it_passes(kind: str) -> None:
    answer = trailers(*GRPC, (b"grpc-status", b"8"), (b"grpc-message", b"too large"))
    async with raw_backend(answer, early=True) as address, gateway(address) as front:
        error = await end_of(front, kind, LARGE)
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too large")
