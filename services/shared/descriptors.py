"""File descriptors: every connection and every open file takes one, and a process may have only so many.

The limit is raised at the start as far as a process may raise it, and connections are bounded so that a file can always
be opened. Where a descriptor is missing all the same, the log says so, and nobody else is blamed for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import time
from typing import NamedTuple

from services.shared.errors import LimitExceeded
from services.shared.logs import Log

ENOUGH = 65_536
"""As high as the limit is raised."""

FEW = 4096
"""With fewer, the log recommends more."""

OWN = 96
"""What a service keeps for itself beside its connections: database files, questions to name servers, wake-ups."""

LOOK_SECONDS = 5.0
SHORT = 0.95
"""The share in use from which on the log is told."""

TELL_SECONDS = 10.0
"""Between two lines of the log that say the same."""

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
    """Tells the log of shortages, of each at most once in `TELL_SECONDS`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._silent_until: dict[tuple[str, str], float] = {}

    def tell(self, event: str, errno: str = "") -> None:
        now = time.monotonic()
        if now < self._silent_until.get((event, errno), now):
            return
        self._silent_until[event, errno] = now + TELL_SECONDS
        facts = {"errno": errno} if errno else {}
        self._log.error(event, descriptors=count_open(), limit=limit(), **facts)

    def look(self) -> None:
        """Looks now, and again every `LOOK_SECONDS`: of a connection that grpc cannot accept it tells nobody."""
        if count_open() >= SHORT * limit():
            self.tell("descriptors run short")
        asyncio.get_running_loop().call_later(LOOK_SECONDS, self.look)


_watch: _Watch | None = None


def raise_descriptor_limit(log: Log) -> None:
    """Raises the limit of open files, and has the log told when they run short, as long as the running loop lives."""
    global _watch
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems allow less than they say.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if limit() < FEW:
        log.warning("few files may be open; raise the hard limit (ulimit -Hn)", limit=limit(), recommended=FEW)
    _watch = _Watch(log)
    _watch.look()


def limit() -> int:
    """How many descriptors the process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ENOUGH if soft == resource.RLIM_INFINITY else soft


def for_connections() -> int:
    """How many of them are for connections, in and out."""
    return max(limit() - OWN, OWN // 2)


def count_open() -> int:
    """How many there are, about: the system gives the lowest number that is free."""
    try:
        number = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return limit() if error.errno in _SHORTAGES else 0
    os.close(number)
    return number


def find_exhaustion() -> LimitExceeded | None:
    """What to raise if there is no descriptor left at this moment; tells the log."""
    return lack_of(errno.EMFILE) if count_open() >= limit() else None


def find_shortage(error: OSError) -> LimitExceeded | None:
    """What to raise for an error that says that something of our own is missing, None for others; tells the log."""
    return lack_of(error.errno) if error.errno in _SHORTAGES else None


def lack_of(number: int) -> LimitExceeded:
    """What to raise when the system has refused something with this number; tells the log."""
    if _watch:
        _watch.tell("out of system resources", errno.errorcode[number])
    shortage = _SHORTAGES[number]
    return LimitExceeded(shortage.message, reason=shortage.reason, retry_after=RETRY_SECONDS)
