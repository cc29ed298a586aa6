"""Certificates in PEM files: whether they can be used, and until when."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from services.shared.errors import StartupError

BEGIN_OF_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
END_OF_CERTIFICATE = "-----END CERTIFICATE-----"

HAS_EXPIRED, NOT_YET_VALID = 10, 9
"""Codes of failed verifications (X509_V_ERR_* in openssl/x509_vfy.h)."""

UNSUPPORTED_KEYS = {
    "Ed25519": bytes.fromhex("06032b6570"),
    "Ed448": bytes.fromhex("06032b6571"),
    "the curve P-521": bytes.fromhex("06052b81040023"),
}
"""Kinds of keys that gRPC's core does not verify, by their object identifiers in DER (RFC 8410, RFC 5480)."""

_MISMATCHES = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"})


class PemFile(NamedTuple):
    """A PEM file, and the variable that names it."""

    variable: str
    path: Path

    def read(self) -> bytes:
        """The file's content. Raises StartupError."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise _unreadable(self, error) from None


def check_authorities(file: PemFile) -> None:
    """Raises StartupError for a file that holds no certificates of authorities."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file.path)
    except ssl.SSLError:
        raise StartupError(
            f"{file.variable}: {file.path} holds no certificates; it must be a PEM file of authorities"
        ) from None
    except OSError as error:
        raise _unreadable(file, error) from None


def check_pair(certificate: PemFile, key: PemFile, *, of_server: bool) -> float:
    """The time at which a certificate expires, in seconds since 1970, for a server or a client that has its key.

    Raises StartupError for files that cannot be read, a key that belongs to another certificate, and a certificate that
    is not valid now.
    """
    # A handshake with a peer that trusts just this certificate, as Python's ssl reads the dates of a peer's only.
    peer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if of_server else ssl.PROTOCOL_TLS_SERVER)
    peer.check_hostname = False
    peer.verify_mode = ssl.CERT_REQUIRED
    peer.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    first = _read_first_certificate(certificate)
    _trust(peer, first, certificate)
    _check_kind_of_key(first, certificate)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if of_server else ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname = False
    own.verify_mode = ssl.CERT_NONE
    _load_pair(own, certificate, key)
    if not of_server:
        # The peer is the server then, which needs a certificate, too.
        _load_pair(peer, certificate, key)
    try:
        expires = _shake_hands(peer, own, peer_is_server=not of_server)
    except ssl.SSLCertVerificationError as error:
        raise StartupError(f"{certificate.variable}: the certificate in {certificate.path} {_words(error)}") from None
    except ssl.SSLError as error:
        raise StartupError(
            f"{certificate.variable}: the certificate in {certificate.path} cannot be used: {error.reason}"
        ) from None
    return float(ssl.cert_time_to_seconds(expires))


def _read_first_certificate(file: PemFile) -> bytes:
    """The DER form of the first certificate in a file, which is that of the key."""
    _, begin, rest = file.read().decode("ascii", "ignore").partition(BEGIN_OF_CERTIFICATE)
    content, end, _ = rest.partition(END_OF_CERTIFICATE)
    try:
        return ssl.PEM_cert_to_DER_cert(f"{begin}{content}{end}")
    except ValueError:
        raise _no_certificate(file) from None


def _trust(context: ssl.SSLContext, certificate: bytes, file: PemFile) -> None:
    try:
        context.load_verify_locations(cadata=certificate)
    except ssl.SSLError:
        raise _no_certificate(file) from None


def _check_kind_of_key(certificate: bytes, file: PemFile) -> None:
    for kind, identifier in UNSUPPORTED_KEYS.items():
        if identifier in certificate:
            raise StartupError(
                f"{file.variable}: gRPC does not take certificates with {kind}, as in {file.path}; use RSA with 2048"
                " bits or more, or the curve P-256 or P-384"
            )


def _load_pair(context: ssl.SSLContext, certificate: PemFile, key: PemFile) -> None:
    key.read()
    try:
        # Without a password OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate.path, key.path, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            problem = f"does not belong to the certificate in {certificate.path}"
        elif error.reason:
            problem = f"cannot be used with the certificate: {error.reason.replace('_', ' ').lower()}"
        else:
            problem = "holds no private key that can be read; it must be a PEM file without a passphrase"
        raise StartupError(f"{key.variable}: {key.path} {problem}") from None
    except OSError as error:
        raise _unreadable(certificate, error) from None


def _shake_hands(peer: ssl.SSLContext, own: ssl.SSLContext, *, peer_is_server: bool) -> str:
    """The end of the certificate's validity, as the peer reads it. Raises ssl.SSLError."""
    to_peer, to_own = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        own.wrap_bio(to_own, to_peer, server_side=not peer_is_server),
        peer.wrap_bio(to_peer, to_own, server_side=peer_is_server),
    )
    waiting = list(sides)
    while waiting:
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    seen = sides[1].getpeercert()
    assert seen, "verified, and so not empty"
    return str(seen["notAfter"])


def _words(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == HAS_EXPIRED:
        return "has expired"
    if error.verify_code == NOT_YET_VALID:
        return "is not valid yet"
    return f"cannot be used: {error.verify_message}"


def _unreadable(file: PemFile, error: OSError) -> StartupError:
    return StartupError(f"{file.variable}: {file.path} cannot be read: {(error.strerror or 'unknown error').lower()}")


def _no_certificate(file: PemFile) -> StartupError:
    return StartupError(
        f"{file.variable}: {file.path} holds no certificate; it must be a PEM file with the certificate, and after it"
        " those that it was signed with"
    )
