"""Rows of a table that all prove one thing: one test goes through them, which costs less than a test for each."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

Test = Callable[..., Any]


@contextlib.contextmanager
def row(*names: object) -> Iterator[None]:
    """A block about one row: what fails in it says which one it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in the row: {', '.join(map(str, names))}")
        raise


def for_each(
    names: str | Sequence[str],
    values: Collection[Any],
    *,
    ids: Collection[object] | Callable[[Any], object] | None = None,
) -> Callable[[Test], Test]:
    """Calls a test with each of these arguments in turn, within the same fixtures; the first that fails is named.

    It is written as `pytest.mark.parametrize` is, which makes a test of each.
    """
    arguments = [names] if isinstance(names, str) else list(names)
    rows = [dict(zip(arguments, [value] if isinstance(names, str) else value, strict=True)) for value in values]
    labels = _labels(rows, ids)

    def goes_through(test: Test) -> Test:
        def each(**fixtures: Any) -> None:
            for label, members in zip(labels, rows, strict=True):
                with row(label):
                    test(**fixtures, **members)

        async def each_awaited(**fixtures: Any) -> None:
            for label, members in zip(labels, rows, strict=True):
                with row(label):
                    await test(**fixtures, **members)

        one: Any = each_awaited if inspect.iscoroutinefunction(test) else each
        one.__name__, one.__qualname__, one.__module__, one.__doc__ = (
            *(test.__name__, test.__qualname__, test.__module__),
            test.__doc__,
        )
        asked = inspect.signature(test)
        left = [parameter for name, parameter in asked.parameters.items() if name not in arguments]
        one.__signature__ = asked.replace(parameters=left)
        return one  # type: ignore[no-any-return]

    return goes_through


def _labels(rows: list[dict[str, Any]], ids: Collection[object] | Callable[[Any], object] | None) -> list[str]:
    if callable(ids):
        return [" - ".join(str(ids(value)) for value in members.values()) for members in rows]
    if ids is not None:
        return [str(label) for label in ids]
    return [", ".join(f"{name}={value!r:.200}" for name, value in members.items()) for members in rows]
