"""Calls before they are made: their checks, deadlines, metadata and request ids, the same for both clients."""

from __future__ import annotations

import functools
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypedDict

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from genai_platform.api_key import ApiKey
from genai_platform.channel import MAX_MESSAGE_BYTES
from genai_platform.errors import REQUEST_ID_KEY, GenAIError, InvalidRequest, Pairs, translate_error
from genai_platform.retries import MAX_RETRIES, Attempts, RetryBudget, check_max_retries
from genai_platform.target import GatewayTarget
from genai_platform.traces import TRACEPARENT, trace_fields
from genai_platform.v1 import models_pb2

CREDENTIAL_KEYS = frozenset({"authorization", "x-api-key"})

GENERATION_SECONDS = 600.0
DEFAULT_SECONDS = 30.0

READS = ("Get", "List")
"""The beginnings of the names of calls that change nothing."""

Metadata = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]

_KEY = re.compile(r"[0-9a-z_.-]+")
_TEXT = re.compile(r"[ -~]*")


class CallOptions(TypedDict, total=False):
    """The options of every call."""

    timeout: float | None
    """The deadline of the whole call, in seconds above 0."""
    metadata: Metadata | None
    """gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs."""


class PreparedCall(NamedTuple):
    """A call that was checked and is ready to be made."""

    path: str
    limit: str
    """The deadline in words, with its origin."""
    metadata: Pairs
    request_id: str
    address: str
    secure: bool
    attempts: Attempts

    def __repr__(self) -> str:
        # Without the metadata, which have the caller's key.
        return f"PreparedCall({self.path!r}, request_id={self.request_id!r})"

    def translate(self, error: grpc.RpcError) -> GenAIError:
        """The GenAIError for an error of grpc during this call."""
        return translate_error(
            error, address=self.address, secure=self.secure, limit=self.limit, request_id=self.request_id
        )

    def pause_or_raise(self, error: grpc.RpcError) -> float:
        """The pause in seconds before the next attempt; raises the GenAIError if there is to be none."""
        translated = self.translate(error)
        pause = self.attempts.pause_after(translated)
        if pause is None:
            raise translated from None
        return pause


class CallRules:
    """The defaults of one client: its target, deadline, metadata, API key and retries."""

    def __init__(
        self,
        target: GatewayTarget,
        timeout: float | None,
        metadata: Metadata | None,
        api_key: ApiKey | None = None,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        self._target = target
        self._api_key = api_key
        self._max_retries = check_max_retries(max_retries)
        self._budget = RetryBudget()
        self._seconds = None if timeout is None else check_seconds(timeout)
        self._metadata = check_metadata(metadata)

    def prepare(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Message,
        timeout: float | None,
        metadata: Metadata | None,
        max_retries: int | None = None,
    ) -> PreparedCall:
        """Checks a call and adds the client's defaults.

        Raises TypeError for a request of another type, ValueError for a timeout or metadata that cannot be sent, and
        InvalidRequest for a request that is larger than the services accept.
        """
        check_type(service, name, request)
        check_size(request)
        given = check_metadata(metadata)
        keys = {key for key, _ in given}
        pairs = (*(pair for pair in self._metadata if pair[0] not in keys), *given)
        request_id = next((str(value) for key, value in pairs if key == REQUEST_ID_KEY), "")
        if not request_id:
            # Made by the client, so that a call without any response can be found in the server's logs too.
            request_id = uuid.uuid4().hex
            pairs = (*pairs, (REQUEST_ID_KEY, request_id))
        if self._api_key and not any(key in CREDENTIAL_KEYS for key, _ in pairs):
            pairs = (*pairs, self._api_key.pair())
        if not any(key == TRACEPARENT for key, _ in pairs):
            pairs = (*pairs, *trace_fields())
        seconds, origin = self._deadline(service.methods_by_name[name], timeout)
        path = f"/{service.full_name}/{name}"
        is_read = name.startswith(READS)
        retries = self._max_retries if max_retries is None else max_retries
        attempts = Attempts(seconds, is_read=is_read, max_retries=retries, budget=self._budget)
        return PreparedCall(
            path, f"{seconds:g} s, {origin}", pairs, request_id, self._target.address, self._target.secure, attempts
        )

    def _deadline(self, method: MethodDescriptor, timeout: float | None) -> tuple[float, str]:
        """The deadline of a call in seconds, and its origin."""
        if timeout is not None:
            return check_seconds(timeout), "the timeout of this call"
        if self._seconds is not None:
            return self._seconds, "the timeout of this client"
        seconds = GENERATION_SECONDS if _asks_provider(method) else DEFAULT_SECONDS
        return seconds, "the SDK's limit for calls without a timeout"


@functools.cache
def _asks_provider(method: MethodDescriptor) -> bool:
    # The stubs that protoc writes have no types for extensions.
    return bool(method.GetOptions().Extensions[models_pb2.asks_provider])  # type: ignore[index]


def check_type(service: ServiceDescriptor, name: str, request: Message) -> None:
    expected = service.methods_by_name[name].input_type
    if not isinstance(request, Message) or request.DESCRIPTOR.full_name != expected.full_name:
        raise TypeError(f"{name} takes a {expected.name}, not a {type(request).__name__}")


def check_size(request: Message) -> None:
    size = request.ByteSize()
    if size > MAX_MESSAGE_BYTES:
        raise InvalidRequest(
            f"the request has {size / 2**20:.1f} MiB and may have {MAX_MESSAGE_BYTES >> 20} MiB; send media by URL or "
            "file id, or fewer messages",
            reason="REQUEST_TOO_LARGE",
        )


def check_seconds(timeout: float) -> float:
    # grpc reads 0 as no deadline at all.
    if not (timeout > 0 and math.isfinite(timeout)):
        raise ValueError(f"timeout must be a number of seconds above 0, not {timeout!r}; every call has a deadline")
    return float(timeout)


def check_metadata(metadata: Metadata | None) -> Pairs:
    """The metadata in grpc's form. Raises ValueError naming the wrong key, and never a value, which may be a secret."""
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
    return tuple(_check_pair(key.lower(), value) for key, value in pairs)


def _check_pair(key: str, value: str | bytes) -> tuple[str, str | bytes]:
    if not _KEY.fullmatch(key):
        raise ValueError(f"metadata key {key!r} may only have letters, digits and the characters _ - .")
    if key.endswith("-bin"):
        if not isinstance(value, bytes):
            raise ValueError(f"the value of metadata key {key!r} must be bytes, because the key ends in -bin")
    elif not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise ValueError(f"the value of metadata key {key!r} must be printable ASCII text; use a key ending in -bin")
    return key, value
