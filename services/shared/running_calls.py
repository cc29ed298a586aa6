"""The running calls of a process that ask a provider: they can be listed, and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.shared.call import Call


class Running:
    """A context manager for one call that is listed."""

    __slots__ = ("_call", "_calls")

    def __init__(self, calls: dict[str, Call], call: Call) -> None:
        self._calls = calls
        self._call = call

    def __enter__(self) -> None:
        self._calls[self._call.call_id] = self._call

    def __exit__(self, *_: object) -> None:
        del self._calls[self._call.call_id]


class RunningCalls:
    """The calls that run, by their ids."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    def call(self, call: Call) -> Running:
        """Lists a call, for the length of a block."""
        return Running(self._calls, call)

    def after(self, call_id: str) -> list[Call]:
        """The calls behind an id in the order of their ids, which is that of their beginnings."""
        return [self._calls[each] for each in sorted(each for each in self._calls if each > call_id)]

    def find(self, call_id: str) -> Call | None:
        """The call with an id, if it runs."""
        return self._calls.get(call_id)


PROCESS_CALLS = RunningCalls()
"""The calls of this process."""
