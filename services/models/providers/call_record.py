"""Record of a call that a provider has answered, whatever the verb: in its response, and in the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from proto import models_pb2
from services.models.providers.base import Target
from services.models.providers.usage import usage_fields
from services.models.transport.failures import UPSTREAM_HOST
from services.shared.call import Call


class Response(Protocol):
    """A response, as far as all verbs have the same fields in it."""

    response_id: str
    source: models_pb2.ModelSource
    registered_model: str

    @property
    def attempts(self) -> RepeatedCompositeFieldContainer[models_pb2.Attempt]: ...

    @property
    def timing(self) -> models_pb2.Timing: ...


def log_target(call: Call, target: Target) -> None:
    """Adds the target to the call's log line."""
    call.log_fields["provider"] = target.provider
    call.log_fields["upstream_model"] = target.model
    call.log_fields.pop("registered_model", None)
    call.log_fields.pop(UPSTREAM_HOST, None)
    if target.registered_model:
        call.log_fields["registered_model"] = target.registered_model
        call.log_fields[UPSTREAM_HOST] = urlsplit(target.endpoint).netloc


def log_usage(call: Call, usage: models_pb2.TokenUsage) -> None:
    """Adds the usage to the call's log line, also that of an interrupted answer."""
    call.log_fields.update(usage_fields(usage))


def describe_call(
    response: Response, verb: str, target: Target, call: Call, attempts: Sequence[models_pb2.Attempt]
) -> None:
    """Sets the source, the attempts, the duration, and an id that begins with the verb and is also in the log; the rest
    of it is the call's id in the ledger."""
    response.response_id = call.log_fields["response_id"] = f"{verb}-{call.call_id}"
    response.attempts.extend(attempts)
    response.timing.total.CopyFrom(duration(call.elapsed_seconds()))
    response.source = target.source
    if target.registered_model:
        response.registered_model = target.registered_model


def duration(seconds: float) -> Duration:
    """The seconds as a protobuf Duration."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
