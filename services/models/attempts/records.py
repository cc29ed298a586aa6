"""Records of attempts: in a response, and in the metadata of an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf import json_format

from proto import models_pb2
from services.models.providers.base import Target
from services.models.providers.call_record import duration
from services.models.providers.client import PHASE
from services.models.providers.host_disclosure import shown_host
from services.shared.errors import PlatformError

MAX_JSON_BYTES = 1000
"""Bytes of the records in an error, which travel in HTTP/2 headers."""


class Sent(NamedTuple):
    """An attempt that was sent. Times are in seconds."""

    target: Target
    latency: float
    waited: float
    by_stranger: bool
    """Whether a stranger has called, who may not know every host."""

    def record(self, outcome: str) -> models_pb2.Attempt:
        return models_pb2.Attempt(
            model=self.target.model,
            provider=self.target.provider,
            outcome=outcome,
            latency=duration(self.latency),
            waited=duration(self.waited) if self.waited else None,
            host=shown_host(self.target, to_stranger=self.by_stranger),
        )


def success(sent: Sent) -> models_pb2.Attempt:
    """The record of an attempt that gave the answer."""
    return sent.record("ok")


def failure(sent: Sent, error: PlatformError, usage: models_pb2.TokenUsage | None) -> models_pb2.Attempt:
    """The record of an attempt that failed, and of what it had used by then."""
    if PHASE not in error.metadata:
        return unsent(sent.target.model, error)
    record = sent.record(error.reason)
    if status := error.metadata.get("http_status"):
        record.http_status = int(status)
    if usage is not None:
        record.usage.CopyFrom(usage)
    return record


def unsent(model: str, error: PlatformError) -> models_pb2.Attempt:
    """The record of a model to which nothing was sent."""
    return models_pb2.Attempt(model=model, provider=error.metadata.get("provider", ""), outcome=error.reason)


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
