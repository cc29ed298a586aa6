"""The metadata of calls: the platform's own keys, the keys of a single hop, and the size limits."""

from __future__ import annotations

from contextvars import ContextVar
from itertools import chain

from services.shared.errors import LimitExceeded
from services.shared.received_fields import FLOOD_FIELDS, Field

Metadata = tuple[Field, ...]

REQUEST_ID_KEY = "x-request-id"

# Keys from the gateway to the services. The gateway drops keys with this prefix that callers send.
INTERNAL_PREFIX = "x-genai-"
CALLER_KEY = "x-genai-caller"
EXPOSED_KEY = "x-genai-exposed"
IDENTITY_KEY = "x-genai-caller-bin"

# Keys in which callers send the gateway an API key.
AUTHORIZATION_KEY = "authorization"
API_KEY_KEY = "x-api-key"
CREDENTIAL_KEYS = frozenset({AUTHORIZATION_KEY, API_KEY_KEY})

MAX_FIELDS = 256
MAX_BYTES = 16 * 1024
"""Size of all names and values together. Keys of a hop and of the platform are not counted, so that the limit is the
same with and without the gateway."""

MAX_BLOCK_BYTES = 32 * 1024
"""Size from which on grpc itself refuses a header block; it adds 32 bytes for each field."""

SIZE_OPTIONS = [("grpc.max_metadata_size", MAX_BLOCK_BYTES), ("grpc.absolute_max_metadata_size", MAX_BLOCK_BYTES)]

RECEIVED: ContextVar[Metadata] = ContextVar("received", default=())
"""The metadata of the running call; grpc would build them again at each `invocation_metadata()`."""

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
    """Whether a key is valid for one hop only: the next sender sets it itself, or it has no meaning there."""
    return key in _HOP_KEYS or key.startswith(_HOP_PREFIXES)


def check_metadata(received: Metadata) -> None:
    """Raises LimitExceeded METADATA_TOO_LARGE for more than `MAX_FIELDS` or `MAX_BYTES`."""
    if len(received) <= MAX_FIELDS and _size(received) <= MAX_BYTES:
        return
    if is_flood(received):
        raise _too_large(f"{len(received)} fields of metadata")
    counted = tuple(field for field in received if not _is_uncounted(field[0]))
    size = _size(counted)
    if len(counted) > MAX_FIELDS or size > MAX_BYTES:
        raise _too_large(f"{len(counted)} fields of metadata of {size} bytes")


def is_flood(received: Metadata) -> bool:
    """Whether metadata had too many fields, and were therefore cut off by `received_fields`."""
    return len(received) > FLOOD_FIELDS


def _too_large(size: str) -> LimitExceeded:
    text = f"the call has {size}; at most {MAX_FIELDS} of {MAX_BYTES} are taken"
    return LimitExceeded(text, reason="METADATA_TOO_LARGE")


def _size(metadata: Metadata) -> int:
    return sum(map(len, chain.from_iterable(metadata)))


def _is_uncounted(key: str) -> bool:
    return key == REQUEST_ID_KEY or key.startswith(INTERNAL_PREFIX) or belongs_to_hop(key)
