"""The google.rpc details of an error, for programs, bounded so that they fit into trailers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from services.shared.errors import ATTEMPTS, PROVIDER_MESSAGE, PlatformError

DETAILS_KEY = "grpc-status-details-bin"
ERROR_DOMAIN = "genai-platform"

# gRPC peers refuse trailers above about 8 KiB; the caller would then see that refusal instead of the error.
MAX_DETAILS_BYTES = 4096
MAX_TEXT_BYTES = 1024
MAX_METADATA_BYTES = 256
MAX_LONG_METADATA_BYTES = 1024
MAX_REST_BYTES = 256
"""Reserved for the details after the metadata and for the encoding around them."""
MAX_VIOLATIONS = 20


def pack_details(code: int, error: PlatformError) -> bytes:
    """The serialized google.rpc.Status of an error with the status `code`."""
    status = status_pb2.Status(code=code, message=clip_text(error.message))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN)
    info.metadata.update(_bounded(error.metadata, MAX_DETAILS_BYTES - status.ByteSize() - MAX_REST_BYTES))
    status.details.add().Pack(info)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.quotas:
        status.details.add().Pack(_quota_failure(error, MAX_DETAILS_BYTES - status.ByteSize() - 128))
    if error.violations:
        status.details.add().Pack(_bad_request(error, MAX_DETAILS_BYTES - status.ByteSize() - 128))
    data: bytes = status.SerializeToString()
    return data


def read_reason(details: bytes) -> str:
    """The reason in details that `pack_details` has made; "" if there is none, also in those of another program."""
    info = error_details_pb2.ErrorInfo()
    try:
        status = status_pb2.Status.FromString(details)
    except DecodeError:
        return ""
    for detail in status.details:
        detail.Unpack(info)
    reason: str = info.reason
    return reason


def _bounded(metadata: Mapping[str, str], free_bytes: int) -> Iterator[tuple[str, str]]:
    """The first metadata that fit into `free_bytes`."""
    for key, value in metadata.items():
        limit = MAX_LONG_METADATA_BYTES if key in (PROVIDER_MESSAGE, ATTEMPTS) else MAX_METADATA_BYTES
        text = value.encode("utf-8", "replace")[:limit]
        # The encoding has a length prefix for the pair, the key and the value.
        free_bytes -= len(key) + len(text) + 10
        if free_bytes < 0:
            return
        yield key, text.decode("utf-8", "ignore")


def _bad_request(error: PlatformError, free_bytes: int) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for violation in error.violations[:MAX_VIOLATIONS]:
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field[:256], description=violation.description[:512]
        )
        free_bytes -= entry.ByteSize() + 4
        if free_bytes < 0:
            break
        bad_request.field_violations.append(entry)
    return bad_request


def _quota_failure(error: PlatformError, free_bytes: int) -> error_details_pb2.QuotaFailure:
    failure = error_details_pb2.QuotaFailure()
    for quota in error.quotas[:MAX_VIOLATIONS]:
        entry = error_details_pb2.QuotaFailure.Violation(
            subject=quota.subject[:256],
            description=quota.description[:512],
            quota_metric=quota.metric,
            quota_id=quota.quota_id[:256],
            quota_dimensions={"window": quota.window} if quota.window else {},
            quota_value=quota.value,
        )
        free_bytes -= entry.ByteSize() + 4
        if free_bytes < 0:
            break
        failure.violations.append(entry)
    return failure


def clip_text(message: str) -> str:
    """The beginning of a message that fits into trailers, where all but plain ASCII is percent-encoded."""
    free_bytes = MAX_TEXT_BYTES
    for end, character in enumerate(message):
        plain = " " <= character <= "~" and character != "%"
        free_bytes -= 1 if plain else 3 * len(character.encode())
        if free_bytes < 0:
            return message[:end]
    return message
