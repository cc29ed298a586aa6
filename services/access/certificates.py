"""Client certificates, which TLS has verified: the names in them, by which bindings know their callers.

Imports cryptography, which a gateway without client certificates does not need. grpc tells the names as well, but cuts
each off at a NUL character, so that a certificate for one name could pass for another.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import grpc
from cryptography import x509

from services.access.validation import CERTIFICATE_CLAIMS, CERTIFICATE_ISSUER, MAX_TEXT
from services.shared.characters import has_invisible

PEM_PROPERTY = "x509_pem_cert"
"""grpc's name for the certificate of a peer (grpc_security_constants.h)."""

MAX_KEPT = 1000
"""Certificates that are not parsed again; to parse one costs some 40 µs."""

MAX_SHOWN = 256


class Certificate(NamedTuple):
    """The contents of a client certificate."""

    names: tuple[tuple[str, tuple[str, ...]], ...]
    """The URIs and the DNS names of its subjectAltName and its common names, by the claims `uri`, `dns` and `cn`."""
    expires_at: float
    """Seconds since the epoch."""

    @property
    def issuer(self) -> str:
        """The issuer in the bindings of all certificates."""
        return CERTIFICATE_ISSUER

    @property
    def subject(self) -> str:
        """The first URI (SPIFFE has exactly one), else the first DNS name, else the common name; "" without any."""
        return next((name for _, names in self.names for name in names), "")

    def values(self, claim: str) -> Sequence[str]:
        return dict(self.names).get(claim, ())

    def describe(self) -> str:
        """The names for people, with a claim before each."""
        shown = ", ".join(f"{claim} {name}" for claim, names in self.names for name in names)
        return shown[:MAX_SHOWN] or "no URI, DNS name or common name"


def read_certificate(context: grpc.aio.ServicerContext) -> Certificate | None:
    """The client certificate of a call's connection, None without one. It costs 10 µs."""
    found: Sequence[bytes] = context.auth_context().get(PEM_PROPERTY, ())
    return parse_certificate(found[0]) if found else None


@functools.lru_cache(MAX_KEPT)
def parse_certificate(pem: bytes) -> Certificate:
    """The contents of a certificate. Of one that cannot be parsed no name counts."""
    try:
        parsed = x509.load_pem_x509_certificate(pem)
        names = tuple((claim, _usable(_names(parsed, claim))) for claim in CERTIFICATE_CLAIMS)
        return Certificate(names, parsed.not_valid_after_utc.timestamp())
    except ValueError:
        return Certificate((), float("inf"))


def _names(certificate: x509.Certificate, claim: str) -> Iterable[str | bytes]:
    if claim == "cn":
        return [name.value for name in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return alternative.get_values_for_type(x509.UniformResourceIdentifier if claim == "uri" else x509.DNSName)


def _usable(names: Iterable[str | bytes]) -> tuple[str, ...]:
    """The names that bindings can have: of at most 256 characters, none of them invisible."""
    return tuple(
        name
        for name in names
        if isinstance(name, str) and 0 < len(name) <= MAX_TEXT and not has_invisible(name, joiners=True)
    )
