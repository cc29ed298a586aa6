"""Trust in callers. Where keys are asked for, the operator is whose key is an administrator's, and strangers are all
others; elsewhere strangers are those who call through an exposed service or gateway."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from services.shared.call import Call
from services.shared.errors import PermissionDenied

ADMIN = "admin"
"""The scope of administrators."""

Value_co = TypeVar("Value_co", covariant=True)


class TrustPolicy:
    """The policy for strangers: callers whose key has not the scope of administrators; without keys, the callers of an
    `exposed` service and those through an exposed gateway."""

    def __init__(self, *, exposed: bool) -> None:
        self._exposed = exposed

    def is_stranger(self, call: Call) -> bool:
        if call.identity:
            return ADMIN not in call.identity.scopes
        return self._exposed or call.from_exposed_gateway


def check_may_set_rates(call: Call, field: str) -> None:
    """Raises PermissionDenied SCOPE_MISSING for a key that is no administrator's: its rates would be charged to limits
    that it shares with others. Where nobody is asked who calls, there are none."""
    identity = call.identity
    if identity is None or ADMIN in identity.scopes:
        return
    raise PermissionDenied(
        f"`{field}` takes a key with the scope `{ADMIN}`; register the model without it, or ask an administrator to",
        reason="SCOPE_MISSING",
        metadata={"scope": ADMIN, "key_id": identity.key_id, "field": field},
        logged={"scope": ADMIN, "key_id": identity.key_id},
    )


class ByTrust(NamedTuple, Generic[Value_co]):
    """A pair of values: for models of the operator, and for models that strangers have registered."""

    operators: Value_co
    strangers: Value_co

    def of(self, untrusted: bool) -> Value_co:
        return self.strangers if untrusted else self.operators
