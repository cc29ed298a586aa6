"""The memory of exchanges that are not small: fair quotas, which leave memory for other callers and other providers."""

from __future__ import annotations

from services.shared.admission import CALLER
from services.shared.errors import LimitExceeded
from services.shared.fair_quota import FairQuota

HELD_BYTES = 160 * 1024 * 1024
"""Bytes of all answers that are being gathered and read. Two threads read large ones at a time, and hold several times
their size meanwhile."""

FREE_BYTES = 16 * 1024
"""Bytes of each answer that are not counted: thousands of such answers may be held at a time, each in several forms."""

EXCHANGED_BYTES = 400 * 1024 * 1024
"""Bytes of all answers, and of all larger requests whose answers are awaited: a provider that answers nothing more
holds at most half of them."""

STEP_BYTES = 64 * 1024
RETRY_SECONDS = 1.0


class HeldExchanges:
    """All exchanges of a process."""

    def __init__(self, answer_limit: int = HELD_BYTES, limit: int = EXCHANGED_BYTES) -> None:
        self._answers = FairQuota(answer_limit)
        self._exchanges = FairQuota(limit)

    def begin(self, provider: str) -> HeldExchange:
        """The memory of a new exchange with a provider, for the current caller."""
        return HeldExchange(self._answers, CALLER.get(), self._exchanges, provider)


class HeldExchange:
    """The memory of one exchange, for the length of a block: of its request and of its answer."""

    __slots__ = ("_answer", "_answers", "_caller", "_exchanges", "_provider", "_request")

    def __init__(self, answers: FairQuota, caller: str, exchanges: FairQuota, provider: str) -> None:
        self._answers = answers
        self._caller = caller
        self._exchanges = exchanges
        self._provider = provider
        self._answer = 0
        self._request = 0

    def __enter__(self) -> HeldExchange:
        return self

    def __exit__(self, *_: object) -> None:
        if self._answer:
            self._answers.release(self._caller, self._answer)
        if held := self._answer + self._request:
            self._exchanges.release(self._provider, held)

    def take_request(self, size: int) -> None:
        """Counts a request of `size` bytes. Raises LimitExceeded PROVIDER_BUSY if the quota does not allow it."""
        if not self._exchanges.try_take(self._provider, size):
            raise self._provider_busy()
        self._request += size

    def grow(self, size: int) -> None:
        """Sets the size of the answer in bytes.

        Raises LimitExceeded SERVER_BUSY if the caller's quota does not allow it, PROVIDER_BUSY if the provider's does
        not.
        """
        missing = size - FREE_BYTES - self._answer
        if missing <= 0:
            return
        step = max(missing, STEP_BYTES)
        if not self._answers.try_take(self._caller, step):
            raise LimitExceeded(
                "the server is busy: it holds too many large answers; try again later",
                reason="SERVER_BUSY",
                retry_after=RETRY_SECONDS,
            )
        if not self._exchanges.try_take(self._provider, step):
            self._answers.release(self._caller, step)
            raise self._provider_busy()
        self._answer += step

    def _provider_busy(self) -> LimitExceeded:
        return LimitExceeded(
            f"requests to {self._provider} and its answers hold as much memory as is left for other providers; "
            "try again later",
            reason="PROVIDER_BUSY",
            retry_after=RETRY_SECONDS,
            metadata={"provider": self._provider},
        )


PROCESS_EXCHANGES = HeldExchanges()
