"""Trust: the operator calls from this machine alone; strangers come through something that is exposed."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from services.shared.rpc import Call

Thing_co = TypeVar("Thing_co", covariant=True)


class TrustPolicy:
    """Which callers are strangers: all of them where this service is `exposed`, and those that the gateway marks."""

    def __init__(self, *, exposed: bool) -> None:
        self._exposed = exposed

    def is_stranger(self, call: Call) -> bool:
        return self._exposed or call.from_exposed_gateway


class ByTrust(NamedTuple, Generic[Thing_co]):
    """A thing that exists twice: for what the operator has set up, and for what strangers have registered."""

    operators: Thing_co
    strangers: Thing_co

    def of(self, untrusted: bool) -> Thing_co:
        return self.strangers if untrusted else self.operators
