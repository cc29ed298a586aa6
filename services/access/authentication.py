"""Authentication: the identity of a caller, from the API key or token in the metadata of its call, else from the client
certificate of its connection.

Keys are looked up in the snapshot, so that a revoked one is refused as soon as the snapshot has the news; nothing waits
for the database. The same key is only looked up again when the snapshot has changed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import grpc

from services.access.bound_callers import (
    CERTIFICATE_NOT_BOUND,
    BoundCaller,
    identify_certificate,
    identify_token,
)
from services.access.key_text import ID_PLACE, PREFIX, hash_of, read_id
from services.access.keys import DISABLED, REVOKED
from services.access.last_used import LastUsed
from services.access.snapshot import Entry, SnapshotKeeper
from services.shared.errors import PermissionDenied, Unauthenticated, Unavailable
from services.shared.identity import Callers, Identity, IdentitySigner, check_scope
from services.shared.metadata import API_KEY_KEY, CREDENTIAL_KEYS, IDENTITY_KEY, Metadata

if TYPE_CHECKING:
    # Import libraries that a gateway without client certificates and issuers does not need.
    from services.access.certificates import Certificate
    from services.access.issuers.tokens import TokenVerifier

Caller: TypeAlias = "Entry | BoundCaller"
ReadCertificate: TypeAlias = "Callable[[grpc.aio.ServicerContext], Certificate | None]"

SIGNED_SECONDS = 5.0
"""Time for which a signed identity is used again; services accept it for a minute."""

MAX_BOUND = 1000
MAX_RECALLED = 4096

_NO_HASH = bytes(32)
"""A hash that keys with an unknown id are compared with, so that the time tells nothing."""


class _Recalled(NamedTuple):
    """A key that a caller was admitted with."""

    entry: Entry
    seq: int
    """The state of the snapshot in which it was found."""
    until: float
    """The time from which its secret is not accepted any more."""


class Authenticator(Callers):
    """The check of who calls the gateway: by key, token or certificate, and not by what a service behind it accepts.

    A key or token wins over the certificate of the connection, which may belong to a machine or a proxy that many
    callers share; and where the key is wrong, the certificate does not make up for it.
    """

    are_direct = True

    def __init__(
        self,
        keeper: SnapshotKeeper,
        signer: IdentitySigner,
        last_used: LastUsed,
        max_staleness: float,
        tokens: TokenVerifier | None = None,
        read_certificate: ReadCertificate | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._keeper = keeper
        self._last_used = last_used
        self._max_staleness = max_staleness
        self._tokens = tokens
        self._read_certificate = read_certificate
        self._now = now
        self._bound: dict[Certificate, tuple[int, BoundCaller]] = {}
        """The callers of certificates, with the state of the snapshot that they were derived from."""
        self._recalled: dict[bytes, _Recalled] = {}
        """The keys of earlier calls, which any address may use, by the digests of what was sent."""
        self._digest_key = secrets.token_bytes(32)
        self._sign = signer.sign
        self.require(signer)

    async def identify(
        self, metadata: Metadata, scope: str, peer: str = "", context: grpc.aio.ServicerContext | None = None
    ) -> Identity:
        """The identity of a caller. Raises Unauthenticated, Unavailable AUTH_UNAVAILABLE or PermissionDenied."""
        return (await self.admit(metadata, scope, peer, context)).identity

    async def admit(
        self, metadata: Metadata, scope: str, peer: str, context: grpc.aio.ServicerContext | None
    ) -> Caller:
        """A caller with its identity. Raises as `identify` does."""
        if entry := self._recall(metadata):
            check_scope(entry.identity, scope)
            self._last_used.note(entry.key.id)
            return entry
        credentials = set(_credentials(metadata))
        certificate = None if credentials else self._certificate_of(context)
        caller = self._find_bound(certificate) if certificate else await self._find(credentials, peer)
        check_scope(caller.identity, scope)
        if isinstance(caller, Entry):
            self._remember(metadata, caller)
            self._last_used.note(caller.key.id)
        return caller

    def _recall(self, metadata: Metadata) -> Entry | None:
        """The key of an earlier call that has sent the same, as long as nothing has changed for it."""
        sent = _only_field(metadata)
        known = self._recalled.get(self._digest(sent)) if sent else None
        if known is None or known.seq != self._keeper.snapshot.seq:
            return None
        if self._now() >= known.until or self._keeper.age_seconds() > self._max_staleness:
            return None
        return known.entry

    def _remember(self, metadata: Metadata, entry: Entry) -> None:
        """Remembers a key that was found, unless its callers' addresses must be looked at."""
        sent = _only_field(metadata)
        if not sent or entry.key.cidrs:
            return
        until = entry.expires_at
        if self._now() < entry.previous_until < until:
            # The secret may be the previous one.
            until = entry.previous_until
        if len(self._recalled) >= MAX_RECALLED:
            self._recalled.clear()
        self._recalled[self._digest(sent)] = _Recalled(entry, self._keeper.snapshot.seq, until)

    def _digest(self, sent: str) -> bytes:
        # So that secrets are not in memory for longer than their calls.
        return hashlib.blake2b(sent.encode(), key=self._digest_key, digest_size=16).digest()

    def _certificate_of(self, context: grpc.aio.ServicerContext | None) -> Certificate | None:
        return self._read_certificate(context) if self._read_certificate and context else None

    def _find_bound(self, certificate: Certificate) -> BoundCaller:
        self._check_staleness()
        if self._now() >= certificate.expires_at:
            # TLS has looked at it when the connection was made, which may be long ago.
            raise Unauthenticated(
                "the client certificate of the connection has expired; connect with a new one",
                reason="CERTIFICATE_EXPIRED",
            )
        snapshot = self._keeper.snapshot
        seq, kept = self._bound.get(certificate, (-1, None))
        if kept and seq == snapshot.seq:
            return kept
        try:
            caller = identify_certificate(certificate, snapshot)
        except Unauthenticated as error:
            if error.reason == CERTIFICATE_NOT_BOUND and not self._keeper.is_current:
                # It may have been bound meanwhile.
                raise _unavailable() from None
            raise
        if len(self._bound) >= MAX_BOUND:
            self._bound.clear()
        self._bound[certificate] = snapshot.seq, caller
        return caller

    async def _find(self, credentials: Collection[str], peer: str) -> Caller:
        credential = _only(credentials)
        if self._tokens and credential.count(".") == 2:
            verified = await self._tokens.verify(credential)
            self._check_staleness()
            return identify_token(verified, self._keeper.snapshot)
        entry = self._find_key(credential)
        if not entry.accepts(address_of(peer)):
            raise PermissionDenied(
                "the key is not accepted from your network; ask for one that is",
                reason="NETWORK_NOT_ALLOWED",
                metadata={"key_id": entry.key.id},
                logged={"key_id": entry.key.id},
            )
        return entry

    def _check_staleness(self) -> None:
        if self._keeper.age_seconds() > self._max_staleness:
            raise _unavailable()

    def signed(self, caller: Caller) -> Metadata:
        """The metadata that say to services who calls."""
        until, value = caller.signed
        now = self._now()
        if not until - SIGNED_SECONDS <= now < until:
            value = self._sign(caller.identity.message)
            caller.signed = now + SIGNED_SECONDS, value
        return ((IDENTITY_KEY, value),)

    def _find_key(self, text: str) -> Entry:
        digest, entry = hash_of(text), self._keeper.snapshot.keys.get(text[ID_PLACE])
        is_right = hmac.compare_digest(digest, entry.hash if entry else _NO_HASH)
        is_previous = hmac.compare_digest(digest, (entry and entry.previous_hash) or _NO_HASH)
        if not entry or not (is_right or is_previous):
            raise self._not_found(text)
        self._check_staleness()
        self._check_state(entry, is_previous=not is_right)
        return entry

    def _not_found(self, text: str) -> Unauthenticated | Unavailable:
        """The error of a text that is the secret of no key."""
        # Only now: of a key that was found, the form and the checksum are right.
        if read_id(text) is None:
            return _invalid(
                "this is no API key, or it has a typo: a whole one is `gk_`, 12 characters, `_` and 49 more"
            )
        if self._keeper.age_seconds() > self._max_staleness or not self._keeper.is_current:
            # It may have been made meanwhile.
            return _unavailable()
        return _invalid("there is no such API key")

    def _check_state(self, entry: Entry, *, is_previous: bool = False) -> None:
        """Raises Unauthenticated for a key that is not accepted although its secret is right."""
        key = entry.key
        if key.state == REVOKED:
            raise _refused("KEY_REVOKED", "the API key was revoked; ask for another", key.id)
        if is_previous and self._now() >= entry.previous_until:
            raise _refused("KEY_EXPIRED", "the API key has a new secret, and this is the old one", key.id)
        if self._now() >= entry.expires_at:
            raise _refused("KEY_EXPIRED", "the API key has expired; ask for a new one", key.id)
        if key.state == DISABLED:
            raise _refused("KEY_DISABLED", "the API key is disabled", key.id)
        if blocked := entry.blocked_by():
            raise _refused("KEY_DISABLED", f"the {blocked} of the API key is disabled", key.id)


def _only(credentials: Collection[str]) -> str:
    """The key or token that a caller has sent. Raises Unauthenticated."""
    if not credentials:
        raise Unauthenticated(
            "the call has no API key; send `authorization: Bearer gk_…`, in the SDK with api_key= or GENAI_API_KEY",
            reason="KEY_MISSING",
        )
    if len(credentials) > 1:
        raise _invalid("the call has several API keys; send one")
    return next(iter(credentials))


def _only_field(metadata: Metadata) -> str:
    """The only field that may hold a credential; "" if there are none or several."""
    sent: str | bytes = ""
    for key, value in metadata:
        if key in CREDENTIAL_KEYS:
            if sent:
                return ""
            sent = value
    return sent if isinstance(sent, str) else ""


def _credentials(metadata: Metadata) -> Iterator[str]:
    for key, value in metadata:
        if key not in CREDENTIAL_KEYS or not isinstance(value, str):
            continue
        if key == API_KEY_KEY:
            yield value.strip()
            continue
        scheme, _, credential = value.strip().partition(" ")
        # Some clients send the key without a scheme.
        yield scheme if scheme.startswith(f"{PREFIX}_") else credential.strip() if scheme.lower() == "bearer" else ""


def address_of(peer: str) -> str:
    """The IP address in grpc's name of a peer: `ipv4:10.0.0.1:50000` or `ipv6:[::1]:50000`."""
    return peer.partition(":")[2].rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")


def _invalid(message: str) -> Unauthenticated:
    return Unauthenticated(message, reason="KEY_INVALID")


def _refused(reason: str, message: str, key_id: str) -> Unauthenticated:
    return Unauthenticated(message, reason=reason, metadata={"key_id": key_id}, logged={"key_id": key_id})


def _unavailable() -> Unavailable:
    return Unavailable(
        "whether you may call cannot be found out now; try again", reason="AUTH_UNAVAILABLE", retry_after=1.0
    )
