"""Work on large messages leaves the event loop to others."""

from __future__ import annotations

import threading

import pytest

from services.shared.beside_loop import LARGE_BYTES, run_beside_if_large


@pytest.mark.parametrize(("size", "is_beside"), [(LARGE_BYTES - 1, False), (LARGE_BYTES, True)])
async def test_only_work_on_a_large_message_runs_in_another_thread(size: int, is_beside: bool) -> None:
    assert (await run_beside_if_large(size, threading.get_ident) != threading.get_ident()) is is_beside


@pytest.mark.parametrize("size", [0, LARGE_BYTES])
async def test_work_gets_its_arguments_and_its_error_comes_back(size: int) -> None:
    assert await run_beside_if_large(size, int, "z", base=36) == 35
    with pytest.raises(ValueError, match="base 10"):
        await run_beside_if_large(size, int, "z")
