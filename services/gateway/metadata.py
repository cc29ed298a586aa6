"""Metadata that the gateway forwards, in both directions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from services.shared.error_details import DETAILS_KEY
from services.shared.errors import InvalidRequest
from services.shared.metadata import INTERNAL_PREFIX, REQUEST_ID_KEY, Metadata, belongs_to_hop, check_metadata

BINARY_SUFFIX = "-bin"

# github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Header-Name" and "ASCII-Value".
_KEY = re.compile(r"[0-9a-z_.-]+")
_TEXT = re.compile(r"[\x20-\x7e]*")


def forwarded(received: Metadata, withheld: Collection[str] = ()) -> Metadata:
    """The caller's metadata for the backend, without a request id and the fields to withhold, such as its credential.

    Raises LimitExceeded METADATA_TOO_LARGE, and InvalidRequest METADATA_INVALID for a field that grpc cannot send: it
    would neither send nor fail the call.
    """
    check_metadata(received)
    fields = tuple(field for field in received if not _ends_here(field[0]) and field[0] not in withheld)
    for key, value in fields:
        if not _is_sendable(key, value):
            raise _invalid(key)
    return fields


def returned(received: Iterable[tuple[str, str | bytes]]) -> Metadata:
    """The backend's metadata for the caller: those that are not the gateway's own and that grpc can send."""
    return tuple(
        (key, value)
        for key, value in received
        if key == DETAILS_KEY or (not _is_for_gateway(key) and _is_sendable(key, value))
    )


def _is_for_gateway(key: str) -> bool:
    return belongs_to_hop(key) or key.startswith(INTERNAL_PREFIX)


def _ends_here(key: str) -> bool:
    return key == REQUEST_ID_KEY or _is_for_gateway(key)


def _is_sendable(key: str, value: str | bytes) -> bool:
    """Whether grpc sends a field: the key has lower-case letters, digits and `_.-`; the value is binary or ASCII."""
    if not _KEY.fullmatch(key):
        return False
    if key.endswith(BINARY_SUFFIX):
        # The bare suffix is a text key to grpc's core and a binary one to its Python half.
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
