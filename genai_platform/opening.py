"""Asynchronous calls that are awaited, or entered with `async with`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Opened = TypeVar("Opened")


class AsyncOpening(Generic[Opened]):
    """A call to `await`, or to enter with `async with`; once, like every coroutine.

    It holds the call's coroutine, so that Python warns ("was never awaited") about a call that was forgotten.
    """

    def __init__(self, call: Coroutine[Any, Any, Opened]) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Opened]:
        return self._call.__await__()

    async def __aenter__(self) -> Opened:
        return await self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Does nothing: leaving the block closes and deletes nothing."""


def opening(
    function: Callable[Parameters, Coroutine[Any, Any, Opened]],
) -> Callable[Parameters, AsyncOpening[Opened]]:
    """Decorates a coroutine function: its calls can be entered with `async with` too."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> AsyncOpening[Opened]:
        return AsyncOpening(function(*args, **kwargs))

    return call
