"""Trust: the operator calls from this machine alone; strangers come through something that is exposed."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from services.shared.rpc import Call

Thing = TypeVar("Thing")


class TrustPolicy:
    """Which callers are strangers: all of them where this service is `exposed`, and those that the gateway marks."""

    def __init__(self, *, exposed: bool) -> None:
        self._exposed = exposed

    def is_stranger(self, call: Call) -> bool:
        return self._exposed or call.came_exposed


class ByTrust(NamedTuple, Generic[Thing]):
    """A thing that exists twice: for what the operator has set up, and for what strangers have registered."""

    operators: Thing
    strangers: Thing

    def of(self, untrusted: bool) -> Thing:
        return self.strangers if untrusted else self.operators
