"""The watch over the event loop logs blocked loops, and ends a stuck process."""

from __future__ import annotations

import asyncio
import sys
import time

from services.shared.logs import open_log
from services.shared.loop_watch import BEAT_SECONDS, LoopWatch
from tests.services.log_file import LogFile

STUCK = """
import asyncio, time
from services.shared.logs import open_log
from services.shared.loop_watch import LoopWatch

async def main():
    with LoopWatch(open_log("test"), stuck_checks=3):
        await asyncio.sleep(0.2)
        time.sleep(60)

asyncio.run(main())
"""


def compute(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


async def test_blocked_loop_is_logged_with_its_stack() -> None:
    log = LogFile()
    with LoopWatch(open_log("test", file=log)):
        await asyncio.sleep(2 * BEAT_SECONDS)
        compute(0.5)
        await log.written(1)
    [entry] = log.entries()
    assert (entry["event"], entry["level"]) == ("event loop held", "warning")
    assert entry["milliseconds"] >= 300
    assert any(place.endswith(" compute") for place in entry["where"])


async def test_process_without_cpu_time_is_not_logged() -> None:
    log = LogFile()
    with LoopWatch(open_log("test", file=log)):
        await asyncio.sleep(2 * BEAT_SECONDS)
        # Nothing is computed, as in a process that has to wait for the machine.
        time.sleep(0.5)
        await asyncio.sleep(4 * BEAT_SECONDS)
    assert log.entries() == []


async def test_process_whose_loop_is_stuck_ends() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STUCK, stderr=asyncio.subprocess.PIPE)
    _, log = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 70
    assert b'"event":"event loop stuck"' in log
