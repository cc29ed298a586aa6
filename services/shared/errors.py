"""The error classes that services raise. They know nothing of gRPC: `rpc.py` maps them to statuses.

    PlatformError
    ├── InvalidRequest       the caller must change the request
    ├── Unauthenticated      who calls is not known
    ├── PermissionDenied     the caller may not do this
    ├── NotFound             the named thing does not exist
    ├── AlreadyExists        the thing to create exists
    ├── Conflict             another writer was first: read again, then decide
    ├── PreconditionFailed   the operator must change something first
    ├── LimitExceeded        a quota or size limit
    ├── Unavailable          try again later
    ├── DeadlineExceeded     the time given was too short
    ├── Cancelled            somebody else has ended the call
    ├── Unimplemented        declared in the contract, not served yet
    ├── DataLoss             stored data cannot be read
    └── Internal             a fault of the platform, or of a provider that broke its own protocol

A message is a sentence for people that says what to do next. It never contains a key or a prompt; it contains a
provider's text only as `provider_messages` has cleaned it, and then the metadata contain it too.
`reason` is the stable word that programs act on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

PROVIDER_MESSAGE = "provider_message"
"""Metadata key of the provider's text about a request that it refused."""


ATTEMPTS = "attempts"
"""Metadata key of the attempts of a chat that failed: a JSON array of objects."""


class FieldViolation(NamedTuple):
    """A violation: the path of a wrong field in the request (`messages[2].role`), and a description of the problem."""

    field: str
    description: str


class QuotaViolation(NamedTuple):
    """A limit that a call was over, as google.rpc.QuotaFailure has it."""

    subject: str
    """The scope of the limit, such as `project:search`."""
    description: str
    quota_id: str
    metric: str
    """The resource that is limited."""
    window: str
    value: int
    """The amount of the limit."""


class PlatformError(Exception):
    """The base class of all errors.

    `retry_after` is in seconds, and set only where waiting that long may help.
    `metadata` are short facts for programs (provider, HTTP status); values are strings.
    `logged` are facts for the operator, written to the log only.
    `quotas` are the limits that the call was over, the one that the message speaks of first.
    """

    default_reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        logged: Mapping[str, str] | None = None,
        quotas: Sequence[QuotaViolation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.logged = dict(logged or {})
        self.quotas = tuple(quotas)


class InvalidRequest(PlatformError):
    default_reason = "INVALID_REQUEST"

    @classmethod
    def field(cls, field: str, description: str, *, reason: str | None = None) -> InvalidRequest:
        """An error about exactly one field."""
        return cls(f"{field}: {description}", reason=reason, violations=[FieldViolation(field, description)])


class Unauthenticated(PlatformError):
    default_reason = "UNAUTHENTICATED"


class PermissionDenied(PlatformError):
    default_reason = "PERMISSION_DENIED"


class NotFound(PlatformError):
    default_reason = "NOT_FOUND"


class AlreadyExists(PlatformError):
    default_reason = "ALREADY_EXISTS"


class Conflict(PlatformError):
    default_reason = "CONFLICT"


class PreconditionFailed(PlatformError):
    default_reason = "FAILED_PRECONDITION"


class LimitExceeded(PlatformError):
    default_reason = "LIMIT_EXCEEDED"


class Unavailable(PlatformError):
    default_reason = "UNAVAILABLE"


class DeadlineExceeded(PlatformError):
    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(PlatformError):
    default_reason = "CANCELLED"


class Unimplemented(PlatformError):
    default_reason = "UNIMPLEMENTED"

    @classmethod
    def feature(cls, name: str) -> Unimplemented:
        """An error for a field or call, by its name in the contract, that is not implemented yet."""
        return cls(f"{name} is not implemented yet", metadata={"feature": name})


class DataLoss(PlatformError):
    default_reason = "DATA_LOSS"


class Internal(PlatformError):
    default_reason = "INTERNAL"


class StartupError(Exception):
    """A failed start of the process. The message is the one line that the operator sees; the exit code is 78."""
