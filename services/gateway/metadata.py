"""Which metadata the next hop can be sent."""

from __future__ import annotations

import re

from services.shared.errors import InvalidRequest

BINARY_SUFFIX = "-bin"

# github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Header-Name" and "ASCII-Value".
_KEY = re.compile(r"[0-9a-z_.-]+")
_TEXT = re.compile(r"[\x20-\x7e]*")


def can_be_sent(key: str, value: str | bytes) -> bool:
    """Whether grpc takes it: a key of lower-case letters, digits and `_.-`, and plain ASCII but for binary values."""
    if not _KEY.fullmatch(key):
        return False
    return key.endswith(BINARY_SUFFIX) or (isinstance(value, str) and bool(_TEXT.fullmatch(value)))


def check_metadatum(key: str, value: str | bytes) -> None:
    """Raises InvalidRequest METADATA_INVALID for what cannot be sent."""
    if can_be_sent(key, value):
        return
    shown = key if _KEY.fullmatch(key) else "a key"
    raise InvalidRequest(
        f"metadata {shown[:128]}: must be plain ASCII; send other values under a key that ends in {BINARY_SUFFIX}",
        reason="METADATA_INVALID",
    )
