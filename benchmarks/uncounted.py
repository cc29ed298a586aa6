"""A service without its ledger and its metrics, to measure what they cost: `python -m benchmarks.uncounted NAME`."""

from __future__ import annotations

import runpy
import sys

from services.shared import metrics


class _Uncounted(metrics.Batch):
    def __init__(self, count: object) -> None:
        self.note = _do_nothing

    def __len__(self) -> int:
        return 0


def _do_nothing(*_: object, **__: object) -> None:
    """Stands in for what is left out."""


async def _do_nothing_later(*_: object, **__: object) -> None:
    """The same where it is awaited."""


def main() -> None:
    service = sys.argv.pop()
    # Before the modules that make batches are imported.
    metrics.Batch = _Uncounted  # type: ignore[misc]
    if service == "models":
        from services.models.chat import ending
        from services.models.chat.account import Account
        from services.models.chat.metrics import ChatMeter

        # Read for the ledger and the metrics alone.
        ending.counts_of = _do_nothing  # type: ignore[assignment]
        for name in ("note_chunk", "succeed", "fail"):
            setattr(ChatMeter, name, _do_nothing)
        for name in ("begin", "void"):
            setattr(Account, name, _do_nothing)
        Account.close = _do_nothing_later  # type: ignore[method-assign]
    runpy.run_path(f"services/{service}/main.py", run_name="__main__")


if __name__ == "__main__":
    main()
