"""Who asks: the operator, alone on this machine, or a stranger, whom something that is exposed has let through."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Thing = TypeVar("Thing")


class ByTrust(NamedTuple, Generic[Thing]):
    """What there is twice: for what the operator has set up, and for what strangers have registered."""

    operators: Thing
    strangers: Thing

    def of(self, untrusted: bool) -> Thing:
        return self.strangers if untrusted else self.operators
