"""Failures of an exchange as PlatformErrors: with a reason, advice, and for the log the host and the cause."""

from __future__ import annotations

import errno
import ssl

from services.models.transport.connection import ReadTimeout
from services.models.transport.decompression import DecompressionError
from services.models.transport.request_head import Origin
from services.models.transport.resolver import ResolveError
from services.models.transport.response_parser import ProtocolError, TransportError
from services.models.transport.tunnel import AUTHENTICATION_REQUIRED, ProxyError
from services.shared import errors

UPSTREAM_HOST = "upstream_host"
"""The log field of the host and port that a connection leads to, or was to lead to."""
CAUSE = "cause"
"""The log field of the reason why a connection broke or could not be opened."""
PROXY = "proxy"
"""The log field of the host and port of a proxy that failed."""

CAUSES = {
    errno.ECONNREFUSED: "it refused the connection",
    errno.ECONNRESET: "it broke the connection",
    errno.EHOSTUNREACH: "no way leads to its host",
    errno.ENETUNREACH: "no way leads to its network",
}
"""Causes of a failed connection, by the system's errno."""

OTHER_HOST = "its certificate is for another host; write its address with the name in the certificate"
TLS_CAUSES = {
    9: "its certificate is not valid yet; check the clock of this machine",
    10: "its certificate has expired; the server needs a new one",
    62: OTHER_HOST,
    64: OTHER_HOST,
}
"""Causes of a refused certificate, by OpenSSL's number (x509_vfy.h)."""
UNTRUSTED = (
    "its certificate is not trusted; if its authority is your own, or your company's, name the authority's PEM file in"
    " MODELS_CA_FILE"
)


def connect_error(fault: OSError | TransportError, origin: Origin, *, discreet: bool) -> errors.PlatformError:
    """The error for a connection that could not be opened; without the reason if it is `discreet`."""
    discreet_error = unreachable("nothing that could be talked to is there") if discreet else None
    return with_log_fields(discreet_error or _connect_error(fault), origin, fault)


def _connect_error(fault: OSError | TransportError) -> errors.PlatformError:
    match fault:
        case ProxyError():
            return proxy_error(fault)
        case ssl.SSLError():
            return _tls_error(fault)
        case TimeoutError():
            return unreachable("it did not accept a connection in time")
        case ResolveError():
            return unreachable("its name cannot be resolved")
        case OSError():
            return unreachable(CAUSES.get(fault.errno or 0, "the connection was refused or broke"))
        case _:
            return unreachable("the connection broke")


def _tls_error(fault: ssl.SSLError) -> errors.PreconditionFailed:
    if isinstance(fault, ssl.SSLCertVerificationError):
        why = TLS_CAUSES.get(fault.verify_code, UNTRUSTED)
    else:
        why = "it does not speak TLS there, or no version of it that is safe; check the scheme and port of its address"
    return errors.PreconditionFailed(f"no secure connection to the provider: {why}", reason="UPSTREAM_TLS")


def proxy_error(fault: ProxyError) -> errors.PlatformError:
    """The error for a proxy that cannot be reached, or that refuses."""
    variable, status = fault.proxy.variable, fault.status
    metadata = {"setting": variable}
    if status is None:
        return errors.Unavailable(
            f"the proxy in {variable} cannot be reached, or is none; check its address",
            reason="PROXY_UNREACHABLE",
            metadata=metadata,
        )
    metadata["http_status"] = str(status)
    if status >= 500:
        return errors.Unavailable(
            f"the proxy in {variable} could not connect to the provider (HTTP status {status}); try again, check the"
            " provider's address, or name its host in NO_PROXY to go past the proxy",
            reason="PROXY_REFUSED",
            metadata=metadata,
        )
    if status == AUTHENTICATION_REQUIRED:
        what = "wants another user and password; put them into its URL, percent-encoded"
    else:
        what = (
            f"does not let the provider's host through (HTTP status {status}); allow it there, or name it in NO_PROXY"
        )
    return errors.PreconditionFailed(f"the proxy in {variable} {what}", reason="PROXY_REFUSED", metadata=metadata)


def head_error(fault: TransportError, origin: Origin) -> errors.PlatformError:
    """The error for a response whose head did not arrive."""
    return with_log_fields(_head_error(fault), origin, fault)


def _head_error(fault: TransportError) -> errors.PlatformError:
    match fault:
        case ProxyError():
            return proxy_error(fault)
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
        case ProxyError():
            return proxy_error(fault)
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
    """The error for a server that cannot be connected to."""
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
    if isinstance(cause, ProxyError):
        error.logged[PROXY] = cause.proxy.origin.authority
    return error


def _cause(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
