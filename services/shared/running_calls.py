"""The running calls of a process that ask a provider: they can be listed, and ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.shared.call import Call


class RunningCalls:
    """The calls that run, by their ids."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    @contextlib.contextmanager
    def call(self, call: Call) -> Iterator[None]:
        """Lists a call, for the length of a block."""
        self._calls[call.call_id] = call
        try:
            yield
        finally:
            del self._calls[call.call_id]

    def after(self, call_id: str) -> list[Call]:
        """The calls behind an id in the order of their ids, which is that of their beginnings."""
        return [self._calls[each] for each in sorted(each for each in self._calls if each > call_id)]

    def find(self, call_id: str) -> Call | None:
        """The call with an id, if it runs."""
        return self._calls.get(call_id)


PROCESS_CALLS = RunningCalls()
"""The calls of this process."""
