"""The identity of a caller: signed where the caller is authenticated, and checked by every service behind that."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar

import grpc
import msgspec
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError

from proto import models_pb2
from proto.identity_pb2 import CallerIdentity, LimitRule
from services.shared.errors import PermissionDenied, Unauthenticated
from services.shared.metadata import IDENTITY_KEY, Metadata

VALID_SECONDS = 60.0
EARLY_SECONDS = 60.0
"""Difference of clocks up to which an identity may seem to have been signed in the future."""

MIN_KEY_BYTES = 32
"""Bytes that a key has at least, so that nobody can guess it."""

MAX_KNOWN = 4096
"""Signed identities that are remembered: the gateway sends each for some seconds."""

ANY_SCOPE = "any"
"""The scope of methods that every authenticated caller may call."""

_DIGEST = hashlib.sha256
_DIGEST_BYTES = _DIGEST().digest_size
_PURPOSE = b"genai caller identity 1\0"
"""Beginning of all that is signed here, so that a signature of something else is none of an identity."""


class Identity(msgspec.Struct, frozen=True):
    """The identity of an authenticated caller. What calls read of it is read from the message once."""

    message: CallerIdentity
    key_id: str
    team_id: str
    project_id: str
    user_id: str
    capture: str
    scopes: frozenset[str]
    model_globs: tuple[str, ...]
    limits: tuple[LimitRule, ...]
    tags: dict[str, str]
    required_tags: tuple[str, ...]
    logged: dict[str, str]
    """The fields of the log lines of its calls."""

    @classmethod
    def of(cls, message: CallerIdentity) -> Identity:
        return cls(
            message,
            message.key_id,
            message.team_id,
            message.project_id,
            message.user_id,
            message.capture,
            frozenset(message.scopes),
            tuple(message.model_globs),
            tuple(message.limits),
            dict(message.tags),
            tuple(message.required_tags),
            {"key_id": message.key_id, "team": message.team_id, "project": message.project_id},
        )


NOBODY = Identity.of(CallerIdentity())
"""The identity of callers where nobody is asked."""


class IdentitySigner:
    """Signs identities with the first of its keys, and accepts those that any of them has signed.

    So a key is replaced without a stop: add the new one at the end everywhere, then put it first, then leave the old
    one out.
    """

    def __init__(self, keys: Sequence[bytes], now: Callable[[], float] = time.time) -> None:
        assert keys, "there is a key"
        self._keys = tuple(keys)
        self._now = now
        self._known: dict[bytes, tuple[Identity, float]] = {}
        """Identities that were found to be signed, with the times at which they were, by their values."""

    def sign(self, identity: CallerIdentity) -> bytes:
        """The value of the metadata field for an identity, which is dated now."""
        signed = CallerIdentity()
        signed.CopyFrom(identity)
        signed.issued_at.FromMicroseconds(int(self._now() * 1e6))
        data = signed.SerializeToString()
        return _signature(self._keys[0], data) + data

    def read(self, value: bytes) -> Identity:
        """The identity in a value, for equal values the same object.

        Raises Unauthenticated IDENTITY_INVALID for one that none of the keys has signed, or that is not of this minute.
        """
        known = self._known.get(value)
        if known is None:
            known = self._verify(value)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[value] = known
        identity, issued_at = known
        age = self._now() - issued_at
        if not -EARLY_SECONDS <= age <= VALID_SECONDS:
            raise _invalid(f"it is {age:.0f} s old; the clocks of the machines may differ")
        return identity

    def _verify(self, value: bytes) -> tuple[Identity, float]:
        signature, data = value[:_DIGEST_BYTES], value[_DIGEST_BYTES:]
        if not any(hmac.compare_digest(_signature(key, data), signature) for key in self._keys):
            raise _invalid("no key of this service has signed it; GENAI_INTERNAL_KEYS must be the same everywhere")
        try:
            message = CallerIdentity.FromString(data)
        except DecodeError:
            raise _invalid("it cannot be read") from None
        return Identity.of(message), message.issued_at.ToMicroseconds() / 1e6


class Callers:
    """The check of who calls, which every method of a service passes. Without `require`, nobody is asked."""

    are_direct = False
    """Whether callers connect by themselves, and not through a gateway: what they say of their address is not to be
    trusted then."""

    def __init__(self) -> None:
        self._signer: IdentitySigner | None = None

    @property
    def are_required(self) -> bool:
        """Whether every call needs an identity."""
        return self._signer is not None

    def require(self, signer: IdentitySigner | None) -> None:
        """Lets every call need an identity that the signer accepts; none, for None."""
        self._signer = signer

    async def identify(
        self, metadata: Metadata, scope: str, peer: str = "", context: grpc.aio.ServicerContext | None = None
    ) -> Identity | None:
        """The identity of a caller at the address `peer`, whose connection `context` knows; None where nobody is asked.

        Raises Unauthenticated KEY_MISSING or IDENTITY_INVALID, and PermissionDenied SCOPE_MISSING for a caller without
        the scope.
        """
        signer = self._signer
        if signer is None:
            return None
        fields = dict(metadata)
        value = fields.get(IDENTITY_KEY)
        if value is None:
            raise Unauthenticated(
                "the call does not say who calls; send it to the gateway, with an API key", reason="KEY_MISSING"
            )
        if not isinstance(value, bytes) or (len(fields) < len(metadata) and _count(metadata, IDENTITY_KEY) > 1):
            raise _invalid("there must be exactly one")
        identity = signer.read(value)
        check_scope(identity, scope)
        return identity

    def onward(self, identity: Identity | None) -> Metadata:
        """The metadata by which a service hands a caller's identity on to another service."""
        if self._signer is None or identity is None:
            return ()
        return ((IDENTITY_KEY, self._signer.sign(identity.message)),)


PROCESS_CALLERS = Callers()

IDENTITY: ContextVar[Identity | None] = ContextVar("identity", default=None)
"""The identity of the running call's caller."""


def check_scope(identity: Identity, scope: str) -> None:
    """Raises PermissionDenied SCOPE_MISSING for a caller without a scope. A method without one is nobody's."""
    if scope == ANY_SCOPE or (scope and scope in identity.scopes):
        return
    raise PermissionDenied(
        f"the key has no scope `{scope}`, which this call needs; ask for a key with it",
        reason="SCOPE_MISSING",
        metadata={"scope": scope, "key_id": identity.key_id},
        logged={"scope": scope, "key_id": identity.key_id},
    )


def scope_of(method: MethodDescriptor) -> str:
    """The scope that callers of a method need."""
    # The stubs that protoc writes have no types for extensions.
    return str(method.GetOptions().Extensions[models_pb2.scope])  # type: ignore[index]


def _count(metadata: Metadata, wanted: str) -> int:
    return sum(key == wanted for key, _ in metadata)


def _signature(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + data, _DIGEST)


def _invalid(why: str) -> Unauthenticated:
    # The reason why is for the operator: callers cannot send identities.
    text = "the identity that came with the call is not valid"
    return Unauthenticated(text, reason="IDENTITY_INVALID", logged={"identity": why})
