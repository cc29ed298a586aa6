"""The google.rpc details of an error: what programs read of it, within what fits into trailers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from services.shared.errors import PROVIDER_MESSAGE, PlatformError

DETAILS_KEY = "grpc-status-details-bin"
ERROR_DOMAIN = "genai-platform"

# gRPC peers refuse trailers above about 8 KiB, and then the caller sees that instead of the error.
MAX_DETAILS_BYTES = 4096
MAX_TEXT_BYTES = 1024
MAX_METADATA_BYTES = 256
MAX_PROVIDER_MESSAGE_BYTES = 1024
MAX_REST_BYTES = 256
"""Of what comes behind the metadata at least, and of what is wrapped around them all."""
MAX_VIOLATIONS = 20


def pack_details(code: int, error: PlatformError) -> bytes:
    """The google.rpc.Status of an error that becomes the status `code`."""
    status = status_pb2.Status(code=code, message=clip_text(error.message))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN)
    info.metadata.update(_bounded(error.metadata, MAX_DETAILS_BYTES - status.ByteSize() - MAX_REST_BYTES))
    status.details.add().Pack(info)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.violations:
        status.details.add().Pack(_bad_request(error, MAX_DETAILS_BYTES - status.ByteSize() - 128))
    data: bytes = status.SerializeToString()
    return data


def _bounded(metadata: Mapping[str, str], room: int) -> Iterator[tuple[str, str]]:
    """As many of the metadata as there is room for, in bytes."""
    for key, value in metadata.items():
        limit = MAX_PROVIDER_MESSAGE_BYTES if key == PROVIDER_MESSAGE else MAX_METADATA_BYTES
        text = value.encode("utf-8", "replace")[:limit]
        # Each pair has a length of its own, and one of each half.
        room -= len(key) + len(text) + 10
        if room < 0:
            return
        yield key, text.decode("utf-8", "ignore")


def _bad_request(error: PlatformError, room: int) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for violation in error.violations[:MAX_VIOLATIONS]:
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field[:256], description=violation.description[:512]
        )
        room -= entry.ByteSize() + 4
        if room < 0:
            break
        bad_request.field_violations.append(entry)
    return bad_request


def clip_text(message: str) -> str:
    """As much of a message as fits into trailers, where what is not plain ASCII is percent-encoded."""
    room = MAX_TEXT_BYTES
    for end, character in enumerate(message):
        plain = " " <= character <= "~" and character != "%"
        room -= 1 if plain else 3 * len(character.encode())
        if room < 0:
            return message[:end]
    return message
