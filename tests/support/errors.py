"""Errors as callers see them: a status and the details in its trailers."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from services.shared.error_details import DETAILS_KEY, ERROR_DOMAIN
from services.shared.metadata import REQUEST_ID_KEY


class Failure(NamedTuple):
    """A non-OK status, as its caller sees it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: dict[str, str]
    """Field violations: the field's path and what is wrong."""
    retry_seconds: float | None
    request_id: str
    quotas: list[error_details_pb2.QuotaFailure.Violation]
    """The limits that have refused the call."""


async def failure_of(call: Awaitable[Any]) -> Failure:
    """The error in which a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return explain(caught.value)


async def stream_failure(call: Any) -> tuple[list[Any], Failure]:
    """What a stream delivered, and the error in which it ended."""
    chunks: list[Any] = []
    try:
        async for chunk in call:
            chunks.append(chunk)  # noqa: PERF401 what came before the error counts
    except grpc.aio.AioRpcError as error:
        return chunks, explain(error)
    pytest.fail("the stream ended as if the answer were whole")


def explain(error: grpc.aio.AioRpcError) -> Failure:
    """Reads an error's details, and checks what every error of the services has."""
    trailers = dict(error.trailing_metadata())
    assert trailers[REQUEST_ID_KEY]
    status = status_pb2.Status.FromString(trailers[DETAILS_KEY])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info, bad_request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    quota = error_details_pb2.QuotaFailure()
    found = {
        type(message)
        for detail in status.details
        for message in (info, bad_request, retry, quota)
        if detail.Unpack(message)
    }
    assert info.domain == ERROR_DOMAIN
    assert info.reason.replace("_", "").isalnum()
    assert info.reason == info.reason.upper()
    return Failure(
        error.code(),
        error.details(),
        info.reason,
        dict(info.metadata),
        {violation.field: violation.description for violation in bad_request.field_violations},
        retry.retry_delay.ToTimedelta().total_seconds() if error_details_pb2.RetryInfo in found else None,
        trailers[REQUEST_ID_KEY],
        list(quota.violations),
    )


def reason_in(trailers: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The reason that a call's trailers name, "" when they name none."""
    info = error_details_pb2.ErrorInfo()
    details = dict(trailers or ()).get(DETAILS_KEY, b"")
    for detail in status_pb2.Status.FromString(details).details:
        detail.Unpack(info)
    return info.reason
