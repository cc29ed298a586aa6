"""What the log says of changes that are not seen for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from services.shared import watches
from services.shared.logs import open_log
from services.shared.watches import Watches
from tests.services.log_file import LogFile


async def test_loss_of_the_changes_and_their_return_are_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "RECONNECT_SECONDS", 0.001)
    file, starts = LogFile(), iter([None, ConnectionError(), ConnectionError(), None])
    seen, at_rest = asyncio.Event(), asyncio.Event()

    async def changes() -> AsyncGenerator[None, None]:
        fault = next(starts, at_rest)
        if fault is at_rest:
            await at_rest.wait()
        if isinstance(fault, ConnectionError):
            raise fault
        yield
        yield

    async def refresh() -> None:
        seen.set()

    watching = Watches(changes, open_log("test", file=file))
    watching.add(refresh)
    await seen.wait()
    await file.written(2)
    await watching.close()
    assert [entry["event"] for entry in file.entries()] == ["changes of others are not seen", "changes are seen again"]
