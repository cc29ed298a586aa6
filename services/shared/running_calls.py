"""The running calls of a process that ask a provider: they can be listed, and ended."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.shared.call import Call


class RunningCalls:
    """The calls that run, by their ids."""

    def __init__(self) -> None:
        self._calls: dict[str, tuple[int, Call]] = {}
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def call(self, call: Call) -> Iterator[None]:
        """Lists a call, for the length of a block."""
        self._calls[call.call_id] = next(self._numbers), call
        try:
            yield
        finally:
            del self._calls[call.call_id]

    def after(self, number: int) -> list[tuple[int, Call]]:
        """The calls that began after the one with a number, with their own numbers, oldest first."""
        return [entry for entry in self._calls.values() if entry[0] > number]

    def find(self, call_id: str) -> Call | None:
        """The call with an id, if it runs."""
        entry = self._calls.get(call_id)
        return entry[1] if entry else None


PROCESS_CALLS = RunningCalls()
"""The calls of this process."""
