"""The file of a log, whose lines can be waited for."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable
from typing import Any

CALL_SECONDS = 30.0


class LogFile(io.BytesIO):
    """What a log has written so far, from whatever thread."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def write(self, data: Any) -> int:
        with self._changed:
            size = super().write(data)
            self._changed.notify_all()
            return size

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    async def calls(self, count: int) -> list[dict[str, Any]]:
        """Waits until this many calls have been logged, and returns their entries."""

        def found() -> list[dict[str, Any]]:
            return [entry for entry in self.entries() if entry["event"] == "rpc"]

        await self._wait(lambda: len(found()) >= count, CALL_SECONDS, "the calls were not logged")
        return found()

    async def written(self, count: int) -> None:
        """Waits until it has this many lines."""
        await self._wait(lambda: len(self.entries()) >= count, CALL_SECONDS, f"fewer than {count} lines")

    async def wait_for(self, words: str, seconds: float) -> None:
        """Waits until these words stand in it."""
        await self._wait(lambda: words.encode() in self.getvalue(), seconds, f"never: {words}")

    async def _wait(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(condition, seconds), otherwise

        await asyncio.to_thread(wait)
