"""The authors of changes, as the audit log names them."""

from __future__ import annotations

from proto.identity_pb2 import CallerIdentity
from services.access.audit import Actor
from services.access.authentication import address_of
from services.shared.call import Call
from services.shared.identity import NOBODY

_KINDS = {
    CallerIdentity.METHOD_API_KEY: "key",
    CallerIdentity.METHOD_JWT: "jwt",
    CallerIdentity.METHOD_MTLS: "mtls",
}


def actor_of(call: Call, reason: str = "") -> Actor:
    """The author of a change by a call."""
    identity = call.identity or NOBODY
    kind = _KINDS.get(identity.message.method, "")
    return Actor(kind, identity.key_id, address_of(call.caller), call.request_id, reason)
