"""The metadata of calls: what the platform tells in them, what belongs to one hop, and how much is taken."""

from __future__ import annotations

from contextvars import ContextVar
from itertools import chain

from services.shared.errors import LimitExceeded
from services.shared.received_fields import FLOOD_FIELDS, Field

Metadata = tuple[Field, ...]

REQUEST_ID_KEY = "x-request-id"

# What the gateway tells the services; from callers it takes no key that begins so.
INTERNAL_PREFIX = "x-genai-"
CALLER_KEY = "x-genai-caller"
EXPOSED_KEY = "x-genai-exposed"

MAX_FIELDS = 256
MAX_BYTES = 16 * 1024
"""Of all names and values together. What belongs to a hop, and what the platform tells, is not counted: so a call has
as much room through the gateway as without it."""

MAX_BLOCK_BYTES = 32 * 1024
"""From which size on grpc itself refuses a block, in which it counts 32 bytes more for each field."""

SIZE_OPTIONS = [("grpc.max_metadata_size", MAX_BLOCK_BYTES), ("grpc.absolute_max_metadata_size", MAX_BLOCK_BYTES)]

RECEIVED: ContextVar[Metadata] = ContextVar("received", default=())
"""The metadata of the call that runs, which grpc otherwise puts together anew whenever it is asked for them."""

# RFC 9110, 7.6.1 (of a connection); RFC 9113, 8.2.2; github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
_HOP_KEYS = frozenset(
    {
        *("connection", "content-length", "content-type", "host", "http2-settings", "keep-alive", "te", "trailer"),
        *("transfer-encoding", "upgrade", "user-agent"),
        # Between grpc's load balancers and servers.
        *("lb-token", "lb-cost-bin", "endpoint-load-metrics-bin"),
    }
)
_HOP_PREFIXES = ("grpc-", "proxy-", ":")


def belongs_to_hop(key: str) -> bool:
    """Whether whoever writes the next hop writes this itself, or it has no meaning there."""
    return key in _HOP_KEYS or key.startswith(_HOP_PREFIXES)


def check_metadata(received: Metadata) -> None:
    """Raises LimitExceeded METADATA_TOO_LARGE for more than `MAX_FIELDS` or `MAX_BYTES`."""
    if len(received) <= MAX_FIELDS and _size(received) <= MAX_BYTES:
        return
    if is_flood(received):
        raise _too_large(f"{len(received)} fields of metadata")
    counted = tuple(field for field in received if not _is_free(field[0]))
    size = _size(counted)
    if len(counted) > MAX_FIELDS or size > MAX_BYTES:
        raise _too_large(f"{len(counted)} fields of metadata of {size} bytes")


def is_flood(received: Metadata) -> bool:
    """Whether there are so many fields that not all of them are there."""
    return len(received) > FLOOD_FIELDS


def _too_large(what: str) -> LimitExceeded:
    text = f"the call has {what}; at most {MAX_FIELDS} of {MAX_BYTES} are taken"
    return LimitExceeded(text, reason="METADATA_TOO_LARGE")


def _size(metadata: Metadata) -> int:
    return sum(map(len, chain.from_iterable(metadata)))


def _is_free(key: str) -> bool:
    return key == REQUEST_ID_KEY or key.startswith(INTERNAL_PREFIX) or belongs_to_hop(key)
