"""The limits of callers: known again from one identity to the next, and never more than there is room for."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from proto.identity_pb2 import CallerIdentity, LimitRule
from services.models.chat import limits as chat_limits
from services.models.chat.limits import ChatLimits
from services.models.limits.budget_alerts import BudgetAlerts
from services.models.limits.charges import Estimate
from services.models.limits.estimate import Estimator
from services.models.limits.limiter import Limiter, LimiterSettings
from services.models.limits.memory_store import MemoryStore
from services.models.limits.metrics import LimitMeter
from services.models.limits.spent_source import NothingSpent
from services.models.limits.windows import Calendar
from services.shared.identity import Identity
from services.shared.logs import LineWriter, Log
from tests.services.log_file import LogFile


def limits() -> ChatLimits:
    log = Log(LineWriter(LogFile()), "models", "info")
    limiter = Limiter(MemoryStore(), LimiterSettings(Calendar(ZoneInfo("UTC"))), NothingSpent(), log)
    return ChatLimits(limiter, Estimator(), LimitMeter("memory"), BudgetAlerts(log))


def identity(key: str, scope_kind: str, amount: int) -> Identity:
    rule = LimitRule(id="slots", scope_kind=scope_kind, scope_id="*", resource="concurrent", amount=amount)
    return Identity.of(CallerIdentity(key_id=key, project_id="p", limits=[rule]))


async def test_a_caller_is_known_again_by_its_next_identity() -> None:
    known = limits()
    first = known.of(identity("a", "key", 1))
    assert known.of(identity("a", "key", 1)) is first
    assert known.of(identity("b", "key", 1)) is not first
    assert known.of(identity("a", "key", 2)) is not first


async def test_end_users_are_told_apart_where_a_limit_is_of_such() -> None:
    known = limits()
    assert known.of(identity("a", "end_user", 1)).by_end_user
    assert not known.of(identity("a", "key", 1)).by_end_user
    caller = known.of(identity("a", "end_user", 1))
    calls = [known.fitting_calls((caller, user, "m", "openai", "m")) for user in ("ann", "bob", "ann")]
    assert calls[0] is calls[2] is not calls[1]
    taken = [each.take(Estimate(1, 1)) is not None for each in calls if each]
    assert taken == [True, True, False]


async def test_no_more_kinds_of_calls_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_limits, "MAX_FITTING", 10)
    known = limits()
    caller = known.of(identity("a", "key", 1))
    for number in range(25):
        assert known.fitting_calls((caller, "", f"m{number}", "openai", "m"))
    assert len(known._fitting) <= 10
