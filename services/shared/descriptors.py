"""File descriptors: every connection and open file takes one, and their number is limited.

The limit is raised at the start as far as possible, and connections are bounded so that files can still be opened. When
descriptors run out all the same, the log says so, and the error has a reason of its own instead of blaming a provider.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import sys
import time
from typing import NamedTuple

from services.shared.errors import LimitExceeded
from services.shared.logs import Log

WANTED_DESCRIPTORS = 65_536
"""Value to which the limit is raised."""

RECOMMENDED_DESCRIPTORS = 4096
"""Limit below which the log recommends more."""

RESERVED_DESCRIPTORS = 96
"""Descriptors that are not for connections: of database files, DNS queries and wake-ups."""

CHECK_SECONDS = 5.0
SHORT_SHARE = 0.95
"""Share in use from which on the log warns."""

LOG_SECONDS = 10.0
"""Time between two log lines about the same shortage."""

RETRY_SECONDS = 5.0


class _Shortage(NamedTuple):
    reason: str
    message: str


_DESCRIPTORS = _Shortage(
    "DESCRIPTORS_EXHAUSTED",
    "this service has as many files and connections open as it may; try again later, or ask its operator to raise the"
    " limit of open files (ulimit -n)",
)
_SYSTEM = _Shortage(
    "SYSTEM_EXHAUSTED", "the machine of this service has no memory, thread or port left for this; try again later"
)
_SHORTAGES = {
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: _DESCRIPTORS,
    errno.ENOMEM: _SYSTEM,
    errno.ENOBUFS: _SYSTEM,
    errno.EADDRNOTAVAIL: _SYSTEM,
}


class _Watch:
    """Logs shortages, each at most once in `LOG_SECONDS`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._silent_until: dict[tuple[str, str], float] = {}

    def report(self, event: str, errno: str = "") -> None:
        now = time.monotonic()
        if now < self._silent_until.get((event, errno), now):
            return
        self._silent_until[event, errno] = now + LOG_SECONDS
        facts = {"errno": errno} if errno else {}
        self._log.error(event, descriptors=count_open_descriptors(), limit=limit(), **facts)

    def check(self) -> None:
        """Checks now and every `CHECK_SECONDS`, because grpc does not report connections that it cannot accept."""
        if count_open_descriptors() >= SHORT_SHARE * limit():
            self.report("descriptors run short")
        asyncio.get_running_loop().call_later(CHECK_SECONDS, self.check)


_watch: _Watch | None = None


def open_standard_streams() -> None:
    """Opens those that were closed, as by `>&-`: a database's file would take the place of one, and what gRPC's core
    prints would go into it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest descriptor that is free: its own.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def raise_descriptor_limit(log: Log) -> None:
    """Raises the limit of open files, and logs shortages for as long as the running loop lives."""
    global _watch
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems allow less than their hard limit.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if limit() < RECOMMENDED_DESCRIPTORS:
        log.warning(
            "few files may be open; raise the hard limit (ulimit -Hn)",
            limit=limit(),
            recommended=RECOMMENDED_DESCRIPTORS,
        )
    _watch = _Watch(log)
    _watch.check()


def limit() -> int:
    """The number of descriptors that the process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def connection_limit() -> int:
    """The number of descriptors for connections, inbound and outbound together."""
    return max(limit() - RESERVED_DESCRIPTORS, RESERVED_DESCRIPTORS // 2)


def count_open_descriptors() -> int:
    """The approximate number of open descriptors: the system assigns the lowest free number."""
    try:
        number = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return limit() if error.errno in _SHORTAGES else 0
    os.close(number)
    return number


def descriptor_shortage() -> LimitExceeded | None:
    """The error to raise if no descriptor is left now, else None; logs the shortage."""
    return shortage_error(errno.EMFILE) if count_open_descriptors() >= limit() else None


def shortage_from(error: OSError) -> LimitExceeded | None:
    """The error to raise for an OSError that means a local shortage, None for others; logs the shortage."""
    return shortage_error(error.errno) if error.errno in _SHORTAGES else None


def shortage_error(number: int) -> LimitExceeded:
    """The error to raise for a shortage with this errno; logs it."""
    if _watch:
        _watch.report("out of system resources", errno.errorcode[number])
    shortage = _SHORTAGES[number]
    return LimitExceeded(shortage.message, reason=shortage.reason, retry_after=RETRY_SECONDS)
