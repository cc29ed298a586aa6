"""The errors of calls. Every one is a grpc.RpcError too, so that code written against plain gRPC keeps working.

    GenAIError
    ├── InvalidRequest       INVALID_ARGUMENT, OUT_OF_RANGE: the request must change
    ├── NotFound             NOT_FOUND: the named thing does not exist
    ├── AlreadyExists        ALREADY_EXISTS: the thing to create exists
    ├── Conflict             ABORTED: another client changed it first; read again, then decide
    ├── FailedPrecondition   FAILED_PRECONDITION: the operator must change something first
    ├── RateLimited          RESOURCE_EXHAUSTED: a rate, quota or size limit
    ├── Unavailable          UNAVAILABLE: try again later
    ├── Timeout              DEADLINE_EXCEEDED: no answer in time; also a TimeoutError
    ├── Cancelled            CANCELLED: the call, its stream or its client was closed
    ├── Unauthenticated      UNAUTHENTICATED: the caller is not known
    ├── PermissionDenied     PERMISSION_DENIED: the caller may not do this
    ├── Unimplemented        UNIMPLEMENTED: the server does not serve this call or field
    └── ServerError          INTERNAL, UNKNOWN, DATA_LOSS: a fault of the server
        └── ParseError       the answer does not follow the schema given to `parse`

The server's facts come as google.rpc.ErrorInfo, RetryInfo, BadRequest and QuotaFailure in the trailers
(google.aip.dev/193).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from genai_platform.v1.models_pb2 import Attempt, ChatResponse

DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"

# grpc has no status of its own for a connection that could not be made; the details begin with one of these.
CONNECT_FAILURES = ("failed to connect to all addresses", "errors resolving", "DNS resolution failed")

TLS_FAILURES = (
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", "its certificate is not valid yet; is this machine's clock right?"),
    (
        "Hostname Verification",
        "its certificate is for another host name; write the name in the target that the certificate is for",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate is from an authority that is not trusted; name its authority's file with ca_file, or in "
        "GENAI_TLS_CA_FILE",
    ),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS; write the target without https://"),
    ("handshake failed", "it speaks no version of TLS that is safe"),
)
"""Words in grpc's details of a TLS connection that could not be made, and what is told instead."""

CLOSED = ("Socket closed", "recvmsg:Connection reset", "Broken pipe")
"""The same of a connection that the server has closed before it has answered anything."""

GATEWAY_LOST = "GATEWAY_LOST"
GATEWAY_UNREACHABLE = "GATEWAY_UNREACHABLE"

NO_GATEWAY = "no gateway answers"
"""The beginning of what is told where nothing listens, or too early; a connection that TLS refuses stays refused."""
RECONNECT_SECONDS = 0.5
"""As long as the channel waits, at most, before it connects anew."""

RESETS = ("CANCELLED", "Stream removed (RST_STREAM")
"""Beginnings of the details of a call that the server's grpc has reset: it stops, or too many calls wait there."""

Pairs = tuple[tuple[str, str | bytes], ...]


class FieldViolation(NamedTuple):
    """One wrong field, by its path in the request (`messages[2].role`), and a description of the problem."""

    field: str
    description: str


class QuotaViolation(NamedTuple):
    """A limit that has refused a call."""

    limit_id: str
    subject: str
    """The scope of the limit, such as `project:search`."""
    resource: str
    window: str
    amount: int
    description: str


class GenAIError(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    """The base of all errors of a call.

    `message`      a sentence for people that says what to do next
    `reason`       a stable word for programs, such as MODEL_NOT_FOUND; the status code's name when the server gave none
    `metadata`     short facts for programs
    `retry_after`  seconds to wait before trying again, where that may help, and where nothing was generated; None
                   otherwise
    `violations`   the wrong fields of the request
    `quotas`       the limits that have refused the call, the tightest first
    `request_id`   the call's id in the server's logs
    `provider_message`  the provider's words about a request that it refused, at most 1 KiB; "" where it said nothing
                        that may be passed on
    `attempts`     the requests to models' servers that a failed chat has made, in order, as in ChatResponse

    The error of grpc is its `__context__`.
    """

    status_code = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        violations: Sequence[FieldViolation] = (),
        quotas: Sequence[QuotaViolation] = (),
        request_id: str = "",
        initial_metadata: Pairs = (),
        trailing_metadata: Pairs = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or (code or self.status_code).name
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after
        self.violations = tuple(violations)
        self.quotas = tuple(quotas)
        self.request_id = request_id
        self._code = code or self.status_code
        self._initial_metadata = initial_metadata
        self._trailing_metadata = trailing_metadata

    @property
    def provider_message(self) -> str:
        return self.metadata.get("provider_message", "")

    @property
    def attempts(self) -> list[Attempt]:
        return list(_read_attempts(self.metadata.get("attempts", "[]")))

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self.message

    def initial_metadata(self) -> Pairs:
        return self._initial_metadata

    def trailing_metadata(self) -> Pairs:
        return self._trailing_metadata

    def __str__(self) -> str:
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{' '.join(self.message.split())} [{self.reason}{request}]"


class InvalidRequest(GenAIError):
    status_code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(GenAIError):
    status_code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(GenAIError):
    status_code = grpc.StatusCode.ALREADY_EXISTS


class Conflict(GenAIError):
    status_code = grpc.StatusCode.ABORTED


class FailedPrecondition(GenAIError):
    status_code = grpc.StatusCode.FAILED_PRECONDITION


class RateLimited(GenAIError):
    status_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(GenAIError):
    status_code = grpc.StatusCode.UNAVAILABLE


class Timeout(GenAIError, TimeoutError):
    status_code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(GenAIError):
    status_code = grpc.StatusCode.CANCELLED


class Unauthenticated(GenAIError):
    status_code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(GenAIError):
    status_code = grpc.StatusCode.PERMISSION_DENIED


class Unimplemented(GenAIError):
    status_code = grpc.StatusCode.UNIMPLEMENTED


class ServerError(GenAIError):
    status_code = grpc.StatusCode.INTERNAL


class ParseError(ServerError):
    """An answer that `parse` could not read. The call itself succeeded: `response` is its complete answer.

    `reason` is ANSWER_REFUSED, ANSWER_FILTERED, ANSWER_CUT_OFF, ANSWER_CALLS_TOOLS, ANSWER_PAUSED or ANSWER_INVALID.
    For the last one `__cause__` is the error of the model class or of json. Only that one may quote the answer.
    """

    status_code = grpc.StatusCode.UNKNOWN

    def __init__(self, message: str, *, reason: str = "", response: ChatResponse | None = None) -> None:
        self.response = response or ChatResponse()
        facts = {"finish_reason": self.response.finish_reason, "response_id": self.response.response_id}
        super().__init__(message, reason=reason, metadata=facts)


ERROR_TYPES: dict[grpc.StatusCode, type[GenAIError]] = {
    **{error_type.status_code: error_type for error_type in GenAIError.__subclasses__()},
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNKNOWN: ServerError,
    grpc.StatusCode.DATA_LOSS: ServerError,
}


def translate_error(error: grpc.RpcError, *, address: str, secure: bool, limit: str, request_id: str) -> GenAIError:
    """The GenAIError for an error of grpc, during a call to `address`, in TLS if `secure`, with a deadline that `limit`
    describes."""
    code: grpc.StatusCode = error.code()
    trailers = _pairs(error.trailing_metadata())
    details = _read_details(trailers)
    text = error.details() or ""
    reason = details.info.reason
    if not reason and code is grpc.StatusCode.CANCELLED and text.startswith(RESETS):
        code = grpc.StatusCode.UNAVAILABLE
        text, reason = f"{address} has ended the call without a status: it is stopping, or far too busy", "CALL_RESET"
    elif not reason:
        text, reason = _explain(code, text, address, secure, limit)
    retry_after = details.retry_after
    if reason == GATEWAY_UNREACHABLE and text.startswith(NO_GATEWAY):
        retry_after = RECONNECT_SECONDS
    return ERROR_TYPES[code](
        text or f"the call failed with {code.name}",
        code=code,
        reason=reason,
        metadata=details.info.metadata,
        retry_after=retry_after,
        violations=details.violations,
        quotas=details.quotas,
        request_id=next((str(value) for key, value in trailers if key == REQUEST_ID_KEY), request_id),
        initial_metadata=_pairs(error.initial_metadata()),
        trailing_metadata=trailers,
    )


def _explain(code: grpc.StatusCode, text: str, address: str, secure: bool, limit: str) -> tuple[str, str]:
    """The message and reason of an error without our details: made by grpc itself, or by a foreign server."""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer within {limit}; allow more with timeout=", ""
    if code is not grpc.StatusCode.UNAVAILABLE:
        return text, ""
    if not text.startswith(CONNECT_FAILURES):
        return (
            f"{address} was lost before its answer was whole; what has come of it is incomplete: {text}",
            GATEWAY_LOST,
        )
    return _explain_no_connection(text, address, secure), GATEWAY_UNREACHABLE


def _explain_no_connection(text: str, address: str, secure: bool) -> str:
    for words, told in TLS_FAILURES:
        if words in text:
            return f"no TLS connection to {address}: {told}"
    if "Handshake read failed" in text:
        return (
            f"{NO_GATEWAY} at {address} in TLS, as the connection is closed during the handshake; see whether the"
            " gateway runs, and whether it requires a client certificate (client_cert_file, client_key_file)"
        )
    if secure and any(words in text for words in CLOSED):
        return (
            f"no TLS connection to {address}: it refuses this client; it requires a client certificate"
            " (client_cert_file, client_key_file), or does not trust the one that is set, or that has expired"
        )
    if any(words in text for words in CLOSED):
        return (
            f"{NO_GATEWAY} at {address}, which closes connections at once; write https:// before it if TLS is"
            " spoken there, or start the services (genai serve)"
        )
    return f"{NO_GATEWAY} at {address}; start the services (genai serve) or set GENAI_GATEWAY_URL"


class _Details(NamedTuple):
    info: error_details_pb2.ErrorInfo
    retry_after: float | None
    violations: tuple[FieldViolation, ...]
    quotas: tuple[QuotaViolation, ...]


def _read_details(trailers: Pairs) -> _Details:
    status = status_pb2.Status()
    try:
        for key, value in trailers:
            if key == DETAILS_KEY:
                status.ParseFromString(value)
    except DecodeError:
        status.Clear()
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.BadRequest()
    quota = error_details_pb2.QuotaFailure()
    for detail in status.details:
        for message in (info, retry, request, quota):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    retry_after = retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None
    violations = tuple(FieldViolation(entry.field, entry.description) for entry in request.field_violations)
    return _Details(info, retry_after, violations, tuple(map(_read_quota, quota.violations)))


def _read_quota(entry: error_details_pb2.QuotaFailure.Violation) -> QuotaViolation:
    window = entry.quota_dimensions.get("window", "")
    return QuotaViolation(
        entry.quota_id, entry.subject, entry.quota_metric, window, entry.quota_value, entry.description
    )


def _read_attempts(text: str) -> Iterator[Attempt]:
    """The attempts in the metadata of an error: a JSON array."""
    with contextlib.suppress(TypeError, ValueError, json_format.ParseError):
        for entry in json.loads(text):
            yield json_format.ParseDict(entry, Attempt(), ignore_unknown_fields=True)


def _pairs(metadata: Iterable[tuple[str, str | bytes]] | None) -> Pairs:
    return tuple((key, value) for key, value in metadata or ())
