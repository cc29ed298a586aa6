"""Trust in callers: the operator calls from this machine, or with the key of an administrator; strangers call through
an exposed service or gateway."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from services.shared.call import Call

ADMIN = "admin"
"""The scope of administrators."""

Value_co = TypeVar("Value_co", covariant=True)


class TrustPolicy:
    """The policy for strangers: all callers of an `exposed` service, and those through an exposed gateway, unless their
    key says that they are administrators."""

    def __init__(self, *, exposed: bool) -> None:
        self._exposed = exposed

    def is_stranger(self, call: Call) -> bool:
        if call.identity and ADMIN in call.identity.scopes:
            return False
        return self._exposed or call.from_exposed_gateway


class ByTrust(NamedTuple, Generic[Value_co]):
    """A pair of values: for models of the operator, and for models that strangers have registered."""

    operators: Value_co
    strangers: Value_co

    def of(self, untrusted: bool) -> Value_co:
        return self.strangers if untrusted else self.operators
