"""The memory of answers that are not small: a fair quota, which leaves memory for other callers."""

from __future__ import annotations

from services.shared.admission import CALLER
from services.shared.errors import LimitExceeded
from services.shared.fair_quota import FairQuota

HELD_BYTES = 160 * 1024 * 1024
"""Bytes of all answers that are being gathered and read. Two threads read large ones at a time, and hold several times
their size meanwhile."""

FREE_BYTES = 16 * 1024
"""Bytes of each answer that are not counted: thousands of such answers may be held at a time, each in several forms."""

STEP_BYTES = 64 * 1024
RETRY_SECONDS = 1.0


class HeldAnswers:
    """All answers of a process."""

    def __init__(self, limit: int = HELD_BYTES) -> None:
        self._quota = FairQuota(limit)

    def begin(self) -> HeldAnswer:
        """The memory of a new answer, for the current caller."""
        return HeldAnswer(self._quota, CALLER.get())


class HeldAnswer:
    """The memory of one answer, for the length of a block."""

    __slots__ = ("_caller", "_counted", "_quota")

    def __init__(self, quota: FairQuota, caller: str) -> None:
        self._quota = quota
        self._caller = caller
        self._counted = 0

    def __enter__(self) -> HeldAnswer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._counted:
            self._quota.release(self._caller, self._counted)

    def grow(self, size: int) -> None:
        """Sets the size of the answer in bytes. Raises LimitExceeded SERVER_BUSY if the quota does not allow it."""
        missing = size - FREE_BYTES - self._counted
        if missing <= 0:
            return
        step = max(missing, STEP_BYTES)
        if not self._quota.try_take(self._caller, step):
            raise LimitExceeded(
                "the server is busy: it holds too many large answers; try again later",
                reason="SERVER_BUSY",
                retry_after=RETRY_SECONDS,
            )
        self._counted += step


PROCESS_ANSWERS = HeldAnswers()
