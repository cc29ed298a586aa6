"""Received metadata fields: grpc creates at most `FLOOD_FIELDS` objects for those of a call.

grpc's size limit of a header block takes effect when the client has acknowledged it. Until then a block may have half a
million fields, and to create an object for each of them would block the event loop for a second. Surplus fields share
one object instead, and the call is refused.
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
"""The message that grpc logs, with a traceback, for each field value that is not UTF-8."""

_count: ContextVar[int | None] = ContextVar("count of received fields", default=None)
"""Fields of the call that is being received; None elsewhere."""


@contextmanager
def limited() -> Iterator[None]:
    """Limits the fields in tasks that start within the block to receive a call. `lift_limit` ends the limit."""
    before = _count.set(0)
    try:
        yield
    finally:
        _count.reset(before)


def lift_limit() -> None:
    """Ends the limit in this context: its call has been received."""
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


# grpc calls this for each field. Its own function creates a named tuple, which is slower.
cygrpc._Metadatum = _make_field
# To log thousands of fields would block the event loop as well.
cygrpc._LOGGER.exception = _log_exception
