"""The one family of errors that services raise. Imports nothing of gRPC: the mapping to statuses is in `rpc.py`.

    PlatformError
    ├── InvalidRequest       the caller must change the request
    ├── NotFound             the named thing does not exist
    ├── AlreadyExists        the thing to create exists
    ├── Conflict             somebody else was first: read again, then decide
    ├── PreconditionFailed   the operator must change something first
    ├── LimitExceeded        a quota or size limit
    ├── Unavailable          try again later
    ├── DeadlineExceeded     the time given was too short
    ├── Unimplemented        declared in the contract, not served yet
    ├── DataLoss             stored data cannot be read
    └── Internal             a fault of the platform, or of a provider that broke its own protocol

A message is a sentence for people that says what to do next. It never contains a key or a prompt of ours; a provider's
words are in it only where `provider_words` has made them fit to be told, and then in the metadata too.
`reason` is the stable word that programs act on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

PROVIDER_MESSAGE = "provider_message"
"""The name in the metadata of what a provider says of a request that it refuses."""


class FieldViolation(NamedTuple):
    """One field that is wrong, by its path in the request (`messages[2].role`), and what is wrong with it."""

    field: str
    description: str


class PlatformError(Exception):
    """The base of the family.

    `retry_after` is in seconds: set only where waiting that long may help.
    `metadata` are short facts for programs (provider, HTTP status); values are strings.
    `logged` are facts for the log alone: what is the operator's to know.
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
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.logged = dict(logged or {})


class InvalidRequest(PlatformError):
    default_reason = "INVALID_REQUEST"

    @classmethod
    def field(cls, field: str, description: str, *, reason: str | None = None) -> InvalidRequest:
        """An error about exactly one field."""
        return cls(f"{field}: {description}", reason=reason, violations=[FieldViolation(field, description)])


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


class Unimplemented(PlatformError):
    default_reason = "UNIMPLEMENTED"

    @classmethod
    def feature(cls, name: str) -> Unimplemented:
        """An error for a field or call, by its name in the contract, that does nothing yet."""
        return cls(f"{name} is not implemented yet", metadata={"feature": name})


class DataLoss(PlatformError):
    default_reason = "DATA_LOSS"


class Internal(PlatformError):
    default_reason = "INTERNAL"


class StartupError(Exception):
    """The process cannot start. The message is the one line that the operator sees; the exit code is 78."""
