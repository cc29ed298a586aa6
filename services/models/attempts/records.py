"""Records of attempts: in a response, and in the metadata of an error."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import json_format

from proto import models_pb2
from services.models.providers.base import Target
from services.models.providers.call_record import duration
from services.models.providers.client import PHASE
from services.shared.errors import PlatformError

MAX_JSON_BYTES = 1000
"""Bytes of the records in an error, which travel in HTTP/2 headers."""


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
    """The records as a JSON array of Attempts, for the metadata of an error: as many as fit into `MAX_JSON_BYTES`."""
    texts: list[str] = []
    free_bytes = MAX_JSON_BYTES
    for record in records:
        text = json_format.MessageToJson(record, preserving_proto_field_name=True, indent=None)
        free_bytes -= len(text) + len(",")
        if free_bytes < 0:
            break
        texts.append(text)
    return f"[{','.join(texts)}]"
