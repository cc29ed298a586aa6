"""kill -9 of Model Services under load: the ledger has every call once, with what its caller was told.

A few rounds for each database; `python -m tests.faults.ledger --rounds 200` makes as many as it is told.
"""

from __future__ import annotations

from pathlib import Path

from tests.faults.ledger import kill_and_count


async def test_a_process_on_sqlite_is_killed(tmp_path: Path) -> None:
    sums = await kill_and_count(tmp_path, rounds=2, seed=1)
    assert [each for each in sums if not each.holds] == []


async def test_one_of_two_processes_on_the_same_files_is_killed(tmp_path: Path, postgresql_url: str) -> None:
    sums = await kill_and_count(tmp_path, rounds=1, seed=2, processes=2, url=postgresql_url)
    assert [each for each in sums if not each.holds] == []
