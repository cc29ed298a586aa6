"""Certificates in PEM files: whether they can be used, and until when."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from services.shared.errors import StartupError

END_OF_CERTIFICATE = "-----END CERTIFICATE-----"

HAS_EXPIRED, NOT_YET_VALID = 10, 9
"""Codes of failed verifications (X509_V_ERR_* in openssl/x509_vfy.h)."""

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
    _trust_first_certificate(peer, certificate)
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


def _trust_first_certificate(context: ssl.SSLContext, file: PemFile) -> None:
    first, end, _ = file.read().decode("ascii", "ignore").partition(END_OF_CERTIFICATE)
    try:
        context.load_verify_locations(cadata=f"{first}{end}\n")
    except (ssl.SSLError, ValueError):
        raise StartupError(
            f"{file.variable}: {file.path} holds no certificate; it must be a PEM file with the certificate, and after"
            " it those that it was signed with"
        ) from None


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
