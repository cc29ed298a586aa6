"""The gathering of a list of which each replica has its own part: all are asked, and their answers are joined."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import grpc
from google.protobuf.descriptor import MethodDescriptor

from proto import models_pb2, usage_pb2
from services.shared.metadata import Metadata
from services.shared.paging import cut_page
from services.shared.replicas import Replica

GATHER_SECONDS = 2.0
"""Time for the part of one replica: a list without it is worth more than one that comes late."""

GATHER_SHARE = 0.8
"""Share of the caller's remaining time for it, so that the list comes before the caller's deadline."""

_OF_OUTAGES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


def is_of_all_replicas(method: MethodDescriptor) -> bool:
    """Whether calls of the method are for a list of which each replica has its own part."""
    # The stubs that protoc writes have no types for extensions.
    return bool(method.GetOptions().Extensions[models_pb2.of_all_replicas])  # type: ignore[index]


def gather_timeout(remaining: float | None) -> float:
    """The time limit for the part of each replica, in seconds, by the caller's remaining time."""
    return GATHER_SECONDS if remaining is None else min(GATHER_SECONDS, remaining * GATHER_SHARE)


class Answer(NamedTuple):
    """The answer of one replica."""

    data: bytes
    trailers: Metadata


class Gathered(NamedTuple):
    """The answers of all replicas to one call."""

    answers: Sequence[Answer]
    unreached: Sequence[str]
    """The addresses of the replicas without one."""


async def gather(replicas: Iterable[Replica], ask: Callable[[Replica], Awaitable[Answer]]) -> Gathered:
    """Asks all replicas at once. When none answers, raises the error of one, rather of the request than of an
    outage."""
    answers: list[Answer] = []
    errors: dict[str, grpc.aio.AioRpcError] = {}

    async def try_one(replica: Replica) -> None:
        try:
            answers.append(await ask(replica))
        except grpc.aio.AioRpcError as error:
            errors[replica.address] = error

    await asyncio.gather(*map(try_one, replicas))
    if not answers:
        raise min(errors.values(), key=lambda error: error.code() in _OF_OUTAGES)
    return Gathered(answers, tuple(errors))


def join_calls(data: bytes, gathered: Gathered) -> bytes:
    """The answer to the ListCallsRequest in `data`, from those of the replicas. Raises DecodeError."""
    request = usage_pb2.ListCallsRequest.FromString(data)
    pages = [usage_pb2.ListCallsResponse.FromString(answer.data) for answer in gathered.answers]
    # One process may be reached at two addresses.
    calls = {call.call_id: call for page in pages for call in page.calls}
    # What a replica has behind its page is not known, so the joined one ends there at the latest.
    ends = [page.calls[-1].call_id for page in pages if page.next_page_token and page.calls]
    known = sorted(call_id for call_id in calls if not ends or call_id <= min(ends))
    page = cut_page(((call_id, calls[call_id]) for call_id in known), request, goes_on=bool(ends))
    return usage_pb2.ListCallsResponse(
        calls=page.entries, next_page_token=page.next_page_token, unreached_replicas=len(gathered.unreached)
    ).SerializeToString()
