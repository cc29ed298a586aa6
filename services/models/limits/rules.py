"""Rules: the limits that an operator sets, and the facts of a call by which they are matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import msgspec

from services.shared.errors import InvalidRequest

ScopeKind: TypeAlias = Literal["org", "team", "project", "key", "user", "end_user"]
Resource: TypeAlias = Literal["requests", "tokens", "concurrent", "nano_usd"]
Window: TypeAlias = Literal["min", "hour", "day", "week", "month", "total", ""]
Action: TypeAlias = Literal["refuse", "warn"]

EACH = "*"
"""The scope id of a rule that gives each member of its scope a limit of its own."""

RATE_WINDOWS = {"min": 60_000_000, "hour": 3_600_000_000}
"""The windows of rates, in microseconds."""

BUDGET_WINDOWS = ("day", "week", "month", "total")

WINDOWS: dict[Resource, tuple[Window, ...]] = {
    "requests": ("min", "hour", "day", "week", "month", "total"),
    "tokens": ("min", "hour", "day", "week", "month", "total"),
    "concurrent": ("",),
    "nano_usd": ("day", "week", "month", "total"),
}
"""The windows that a limit of each resource may have."""

MAX_AMOUNT = 2**60
"""The largest amount: twice as much is still a number of the stores."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit. Raises InvalidRequest, naming the field, when it cannot be kept.

    Its counters go by its id, the member of its scope and the window, so that an edited amount keeps what is spent.
    """

    id: str
    scope_kind: ScopeKind
    scope_id: str
    """The member of the scope that it limits, or `*` for each; without a meaning for `org`."""
    resource: Resource
    window: Window
    amount: int
    model_glob: str = "*"
    """A pattern that the name of the model matches, as it was asked for or as `provider/model`."""
    burst: int | None = None
    """Units that a rate allows at once; by default the whole amount."""
    soft_percents: tuple[int, ...] = ()
    """Shares of a budget whose crossing is told once in each window."""
    action: Action = "refuse"
    """`warn` counts, and refuses nothing."""

    def __post_init__(self) -> None:
        _require(bool(self.id), "id", "is required")
        _require(self.scope_kind in get_args(ScopeKind), "scope_kind", f"must be one of {_list(ScopeKind)}")
        _require(bool(self.scope_id) or self.scope_kind == "org", "scope_id", f"is required; {EACH} stands for each")
        _require(self.resource in WINDOWS, "resource", f"must be one of {_list(Resource)}")
        windows = WINDOWS[self.resource]
        _require(self.window in windows, "window", f"of {self.resource} must be {' or '.join(windows) or 'empty'}")
        _require(0 <= self.amount <= MAX_AMOUNT, "amount", f"must be from 0 to {MAX_AMOUNT}")
        _require(self.burst is None or 0 < self.burst <= MAX_AMOUNT, "burst", f"must be from 1 to {MAX_AMOUNT}")
        _require(self.burst is None or self.is_rate, "burst", "is for limits per min or hour only")
        _require(all(0 < percent <= 100 for percent in self.soft_percents), "soft_percents", "must be from 1 to 100")
        _require(self.action in get_args(Action), "action", f"must be one of {_list(Action)}")

    @property
    def is_rate(self) -> bool:
        return self.window in RATE_WINDOWS

    @property
    def is_budget(self) -> bool:
        return self.window in BUDGET_WINDOWS


class Facts(msgspec.Struct, frozen=True, gc=False):
    """The facts of a call that rules are matched by. An empty one matches no rule of its scope."""

    team: str = ""
    project: str = ""
    key: str = ""
    user: str = ""
    end_user: str = ""
    models: tuple[str, ...] = ()
    """The names of its model: as it was asked for, and as `provider/model`."""

    def member(self, kind: ScopeKind) -> str:
        """The member of a scope that makes the call; "" if there is none."""
        return "" if kind == "org" else str(getattr(self, kind))

    def with_models(self, *models: str) -> Facts:
        return msgspec.structs.replace(self, models=models)


def _require(holds: bool, field: str, problem: str) -> None:
    if not holds:
        raise InvalidRequest.field(field, problem)


def _list(words: object) -> str:
    return ", ".join(get_args(words))
