"""Which metadata the next hop can be sent."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.shared.error_details import DETAILS_KEY
from services.shared.errors import InvalidRequest
from services.shared.metadata import INTERNAL_PREFIX, REQUEST_ID_KEY, Metadata, belongs_to_hop, check_metadata

BINARY_SUFFIX = "-bin"

# github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Header-Name" and "ASCII-Value".
_KEY = re.compile(r"[0-9a-z_.-]+")
_TEXT = re.compile(r"[\x20-\x7e]*")


def sent_on(received: Metadata) -> Metadata:
    """What of a caller's metadata goes on to the backend, without a request id.

    Raises LimitExceeded METADATA_TOO_LARGE, and InvalidRequest METADATA_INVALID for what cannot be sent: grpc would
    neither send nor fail the call.
    """
    check_metadata(received)
    passed = tuple(field for field in received if not _stays_here(field[0]))
    for key, value in passed:
        if not _can_be_sent(key, value):
            raise _invalid(key)
    return passed


def returned(received: Iterable[tuple[str, str | bytes]]) -> Metadata:
    """What a backend returned, as far as it can be returned to the caller."""
    return tuple(
        (key, value)
        for key, value in received
        if key == DETAILS_KEY or (not _is_for_gateway(key) and _can_be_sent(key, value))
    )


def _is_for_gateway(key: str) -> bool:
    return belongs_to_hop(key) or key.startswith(INTERNAL_PREFIX)


def _stays_here(key: str) -> bool:
    return key == REQUEST_ID_KEY or _is_for_gateway(key)


def _can_be_sent(key: str, value: str | bytes) -> bool:
    """Whether grpc takes it: a key of lower-case letters, digits and `_.-`, and plain ASCII but for binary values."""
    if not _KEY.fullmatch(key):
        return False
    if key.endswith(BINARY_SUFFIX):
        # A key that is nothing else is of text to grpc's core and of bytes to its Python half.
        return key != BINARY_SUFFIX
    return isinstance(value, str) and bool(_TEXT.fullmatch(value))


def _invalid(key: str) -> InvalidRequest:
    if not _KEY.fullmatch(key) or key == BINARY_SUFFIX:
        return InvalidRequest(
            f"metadata key {key[:128]!a}: must be of a-z, 0-9, `_`, `.` and `-`, and more than {BINARY_SUFFIX}",
            reason="METADATA_INVALID",
        )
    return InvalidRequest(
        f"metadata {key[:128]}: must be plain ASCII; send other values under a key that ends in {BINARY_SUFFIX}",
        reason="METADATA_INVALID",
    )
