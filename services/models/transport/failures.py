"""Failures of an exchange as errors of the platform: the reason, what to do, and for the log the host and the cause."""

from __future__ import annotations

import errno
import ssl

from services.models.transport.connection import ReadTimeout
from services.models.transport.decompression import DecompressionError
from services.models.transport.request_head import Origin
from services.models.transport.resolver import ResolveError
from services.models.transport.response_parser import ProtocolError, TransportError
from services.shared import errors

UPSTREAM_HOST = "upstream_host"
"""The log field of the host and port that a connection leads to, or was to lead to."""
CAUSE = "cause"
"""The log field of why a connection broke or could not be opened."""

CAUSES = {
    errno.ECONNREFUSED: "it refused the connection",
    errno.ECONNRESET: "it broke the connection",
    errno.EHOSTUNREACH: "no way leads to its host",
    errno.ENETUNREACH: "no way leads to its network",
}
"""Why there is no connection, by the system's number for it."""

TLS_CAUSES = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    62: "its certificate is for another host",
}
"""The same of a certificate, by OpenSSL's number (x509_vfy.h)."""


def connect_error(fault: OSError, origin: Origin, *, discreet: bool) -> errors.PlatformError:
    """The error for a connection that could not be opened. A discreet one does not say why."""
    discreet_error = unreachable("nothing that could be talked to is there") if discreet else None
    return with_log_fields(discreet_error or _connect_error(fault), origin, fault)


def _connect_error(fault: OSError) -> errors.PlatformError:
    match fault:
        case ssl.SSLError():
            why = TLS_CAUSES.get(getattr(fault, "verify_code", 0), "its certificate is not trusted")
            return errors.PreconditionFailed(
                f"no secure connection to the provider: {why}, or it does not speak TLS there", reason="UPSTREAM_TLS"
            )
        case TimeoutError():
            return unreachable("it did not accept a connection in time")
        case ResolveError():
            return unreachable("its name cannot be resolved")
        case _:
            return unreachable(CAUSES.get(fault.errno or 0, "the connection was refused or broke"))


def head_error(fault: TransportError, origin: Origin) -> errors.PlatformError:
    """The error for a response of which the head did not arrive."""
    return with_log_fields(_head_error(fault), origin, fault)


def _head_error(fault: TransportError) -> errors.PlatformError:
    match fault:
        case ReadTimeout():
            return errors.Unavailable(
                "the provider did not begin to answer in time; try again later", reason="UPSTREAM_TIMEOUT"
            )
        case ProtocolError():
            return protocol_error("the provider's answer is not HTTP")
        case _:
            return unreachable("the connection closed before an answer")


def body_error(fault: TransportError | DecompressionError) -> errors.PlatformError:
    """The error for a response that broke off, or that cannot be read."""
    error = _body_error(fault)
    error.logged[CAUSE] = _cause(fault)
    return error


def _body_error(fault: TransportError | DecompressionError) -> errors.PlatformError:
    match fault:
        case DecompressionError():
            return protocol_error("the provider's answer cannot be unpacked")
        case ReadTimeout():
            return errors.Unavailable(
                "the provider fell silent in the middle of its answer; try again", reason="UPSTREAM_IDLE"
            )
        case ProtocolError():
            return protocol_error("the provider's answer is not HTTP")
        case _:
            return errors.Unavailable(
                "the provider's answer broke off; try again", reason="UPSTREAM_STREAM_INTERRUPTED"
            )


def check_status(status: int) -> None:
    """Raises PreconditionFailed (UPSTREAM_REDIRECT) for a redirect, which is not followed, and Internal for a status
    that is not final."""
    if 300 <= status < 400:
        raise errors.PreconditionFailed(
            "the provider redirects to another address; nothing was sent there: change its address in the settings",
            reason="UPSTREAM_REDIRECT",
            metadata={"http_status": str(status)},
        )
    if status < 200:
        raise protocol_error("the provider answered with a status that is not final")


def unsendable() -> errors.PreconditionFailed:
    """The error for a URL or a header that cannot be written into a request."""
    return errors.PreconditionFailed(
        "the request to the provider cannot be written: look for line breaks or foreign characters in its address and "
        "its key",
        reason="UPSTREAM_REQUEST_INVALID",
    )


def unreachable(what_happened: str) -> errors.Unavailable:
    """The error for a server that no connection leads to."""
    return errors.Unavailable(
        f"the provider cannot be reached: {what_happened}; try again, or check its address",
        reason="UPSTREAM_UNREACHABLE",
    )


def protocol_error(what_happened: str) -> errors.Internal:
    """The error for a response that breaks the protocol."""
    return errors.Internal(what_happened, reason="UPSTREAM_PROTOCOL_ERROR")


def with_log_fields(error: errors.PlatformError, origin: Origin, cause: BaseException) -> errors.PlatformError:
    """The error, with the log fields of the host and of the cause."""
    error.logged |= {UPSTREAM_HOST: f"{origin.host}:{origin.port}", CAUSE: _cause(cause)}
    return error


def _cause(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
