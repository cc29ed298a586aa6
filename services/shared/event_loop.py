"""The event loop of a process: uvloop where it is installed, because it takes less CPU, else asyncio's own.

GENAI_EVENT_LOOP chooses one by name.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Coroutine
from typing import Any

from services.shared.errors import StartupError

VARIABLE = "GENAI_EVENT_LOOP"
ASYNCIO = "asyncio"
UVLOOP = "uvloop"

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def choose_loop() -> LoopFactory:
    """The factory of the event loop. Raises StartupError if the chosen loop is not installed.

    The settings refuse an unknown name, together with other mistakes in them.
    """
    chosen = os.environ.get(VARIABLE, "").strip()
    is_installed = importlib.util.find_spec(UVLOOP) is not None
    if chosen == UVLOOP and not is_installed:
        raise StartupError(f"{VARIABLE}: uvloop is not installed; install it, or choose asyncio")
    if chosen == ASYNCIO or not is_installed:
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def run_on_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a process's main coroutine to its end. Raises as `choose_loop` does."""
    with asyncio.Runner(loop_factory=choose_loop()) as runner:
        runner.run(main())
