"""The fields of metadata that grpc makes of a header block, all at once on the event loop: of a flood, only the first.

grpc's limit of a block holds when the client has acknowledged it. Until then a block may have half a million fields,
and an object for each of them would hold the loop for a second. Here those of a flood share one, which nobody reads:
a call with so many is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from grpc._cython import cygrpc

Field = tuple[str, str | bytes]

FLOOD_FIELDS = 4096

_SURPLUS: Field = ("", "")

_NOT_UTF_8 = "Invalid encoding on %s"
"""What grpc logs, with a traceback, of each field whose value is not UTF-8, and then reads it as it is."""

_count: ContextVar[int | None] = ContextVar("count of received fields", default=None)
"""Of the call that is being received; None elsewhere."""


@contextmanager
def limited() -> Iterator[None]:
    """Tasks that begin within this receive a call each, and `lift_limit` when they have."""
    before = _count.set(0)
    try:
        yield
    finally:
        _count.reset(before)


def lift_limit() -> None:
    """Says that the call of this context has been received."""
    _count.set(None)


def _make_field(key: str, value: str | bytes) -> Field:
    count = _count.get()
    if count is None:
        return key, value
    if count >= FLOOD_FIELDS:
        return _SURPLUS
    _count.set(count + 1)
    return key, value


def _log_exception(message: str, *args: object) -> None:
    if message != _NOT_UTF_8:
        cygrpc._LOGGER.error(message, *args, exc_info=True)


# What grpc calls for each field. Its own makes a named tuple, of which nobody here reads a name.
cygrpc._Metadatum = _make_field
# To log thousands of fields would hold the event loop as well.
cygrpc._LOGGER.exception = _log_exception
