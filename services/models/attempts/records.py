"""Records of attempts: in a response, and in the metadata of an error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration

from proto import models_pb2
from services.models.providers.base import Target
from services.models.providers.call_record import duration
from services.models.providers.client import PHASE
from services.shared.errors import PlatformError


def success(target: Target, latency: float, waited: float) -> models_pb2.Attempt:
    """The record of an attempt that gave the answer. Times are in seconds."""
    return _sent(target, "ok", latency, waited)


def failure(
    target: Target, error: PlatformError, usage: models_pb2.TokenUsage | None, latency: float, waited: float
) -> models_pb2.Attempt:
    """The record of an attempt that failed, and of what it had used by then. Times are in seconds."""
    if PHASE not in error.metadata:
        return unsent(target.model, error)
    record = _sent(target, error.reason, latency, waited)
    if status := error.metadata.get("http_status"):
        record.http_status = int(status)
    if usage is not None:
        record.usage.CopyFrom(usage)
    return record


def unsent(model: str, error: PlatformError) -> models_pb2.Attempt:
    """The record of a model to which nothing was sent."""
    return models_pb2.Attempt(model=model, provider=error.metadata.get("provider", ""), outcome=error.reason)


def _sent(target: Target, outcome: str, latency: float, waited: float) -> models_pb2.Attempt:
    return models_pb2.Attempt(
        model=target.model,
        provider=target.provider,
        outcome=outcome,
        latency=duration(latency),
        waited=duration(waited) if waited else None,
    )


def attempts_json(records: Sequence[models_pb2.Attempt]) -> str:
    """The records as a JSON array of objects, with times in milliseconds, for the metadata of an error."""
    return json.dumps([dict(_members(record)) for record in records], separators=(",", ":"))


def _members(record: models_pb2.Attempt) -> Iterator[tuple[str, Any]]:
    yield "model", record.model
    if record.provider:
        yield "provider", record.provider
    yield "outcome", record.outcome
    if record.HasField("http_status"):
        yield "http_status", record.http_status
    if record.HasField("waited"):
        yield "waited_ms", _milliseconds(record.waited)
    if record.HasField("latency"):
        yield "latency_ms", _milliseconds(record.latency)
    if record.HasField("usage"):
        yield "prompt_tokens", record.usage.prompt_tokens
        yield "completion_tokens", record.usage.completion_tokens
        if record.usage.HasField("cost_nano_usd"):
            yield "cost_nano_usd", record.usage.cost_nano_usd


def _milliseconds(time: Duration) -> float:
    return time.ToMicroseconds() / 1000
