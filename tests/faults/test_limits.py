"""Slots of calls that are cancelled, crash or expire come back; `python -m tests.faults.limits` ends a thousand."""

from __future__ import annotations

from pathlib import Path

from tests.faults.limits import end_in_every_way


async def test_slots_come_back_from_calls_of_processes_that_die(tmp_path: Path, postgresql_url: str) -> None:
    sums = await end_in_every_way(tmp_path, calls=30, slots=12, MODELS_DATABASE_URL=postgresql_url)
    assert [each for each in sums if not each.holds] == []
