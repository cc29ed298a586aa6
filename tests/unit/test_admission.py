"""Admission: a bounded number of running calls, shared by their callers."""

from __future__ import annotations

import contextlib

import pytest

from services.shared.admission import CALLER, Admission
from services.shared.errors import LimitExceeded


async def test_a_busy_caller_leaves_calls_for_another() -> None:
    admission = Admission(8)
    with contextlib.ExitStack() as running:
        for _ in range(4):
            running.enter_context(admission.call("greedy"))
        with pytest.raises(LimitExceeded) as refused, admission.call("greedy"):
            pass
        assert refused.value.reason == "TOO_MANY_CALLS"
        assert refused.value.retry_after
        with admission.call("modest"):
            pass
    with admission.call("greedy"):
        pass


async def test_failed_call_is_released() -> None:
    admission = Admission(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.call("one"):
            _ = 1 // 0


async def test_caller_is_known_inside_its_call() -> None:
    admission = Admission(8)
    with admission.call("one"):
        assert CALLER.get() == "one"
        with admission.call("another"):
            assert CALLER.get() == "another"
        assert CALLER.get() == "one"
    assert CALLER.get() == ""
