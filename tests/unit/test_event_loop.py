"""The event loop of a process."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.rows import for_each

TELL = """
import asyncio
from services.shared.event_loop import run_on_loop

async def tell():
    print(type(asyncio.get_running_loop()).__module__.partition(".")[0])

run_on_loop(tell)
"""

# As on a system that uvloop is not made for.
WITHOUT_UVLOOP = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "uvloop" else find(name, *rest)
"""


def run(arguments: list[str], chosen: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "GENAI_EVENT_LOOP"}
    if chosen is not None:
        environment["GENAI_EVENT_LOOP"] = chosen
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@for_each(
    ("before", "chosen", "loop"),
    [
        ("", None, "uvloop"),
        ("", "", "uvloop"),
        ("", "uvloop", "uvloop"),
        ("", "asyncio", "asyncio"),
        (WITHOUT_UVLOOP, None, "asyncio"),
        (WITHOUT_UVLOOP, "asyncio", "asyncio"),
    ],
)
def test_process_runs_on_the_chosen_loop(before: str, chosen: str | None, loop: str) -> None:
    ended = run(["-c", before + TELL], chosen)
    assert (ended.stdout.strip(), ended.returncode) == (loop, 0), ended.stderr


def test_loop_that_is_not_installed_is_an_error() -> None:
    ended = run(["-c", WITHOUT_UVLOOP + TELL], "uvloop")
    assert "GENAI_EVENT_LOOP: uvloop is not installed; install it, or choose asyncio" in ended.stderr


def test_unknown_loop_is_refused_by_its_variable() -> None:
    ended = run(["-m", "services.gateway.main"], "trio")
    assert ended.returncode == 78
    assert "GENAI_EVENT_LOOP: input should be 'uvloop' or 'asyncio'" in ended.stderr
