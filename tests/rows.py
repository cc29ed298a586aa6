"""Rows of a table that all prove one thing: one test goes through them, which costs less than a test for each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def row(*names: object) -> Iterator[None]:
    """A block about one row: what fails in it says which one it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in the row: {', '.join(map(str, names))}")
        raise
