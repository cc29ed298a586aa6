"""The one place where faults of the storage become errors of the family.

    locked, or no free connection      Unavailable STORAGE_BUSY
    full                               LimitExceeded STORAGE_FULL
    read-only                          PreconditionFailed STORAGE_READ_ONLY
    corrupt                            DataLoss STORAGE_CORRUPT
    a statement took too long          DeadlineExceeded STORAGE_TIMEOUT
    not there, or lost on the way      Unavailable STORAGE_UNAVAILABLE

Everything else (a broken constraint, a wrong statement) is a fault of the program and stays as it is.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.shared import errors
from services.shared.logs import Log

POOL_SECONDS = 5.0
"""How long a transaction waits for a free connection."""

BUSY_RETRY_SECONDS = 0.5
UNAVAILABLE_RETRY_SECONDS = 1.0


def _busy() -> errors.PlatformError:
    return errors.Unavailable("the storage is busy; try again", reason="STORAGE_BUSY", retry_after=BUSY_RETRY_SECONDS)


def _full() -> errors.PlatformError:
    return errors.LimitExceeded("the storage is full; its operator must make room", reason="STORAGE_FULL")


def _read_only() -> errors.PlatformError:
    return errors.PreconditionFailed(
        "the storage cannot be written; its operator must change its permissions", reason="STORAGE_READ_ONLY"
    )


def _corrupt() -> errors.PlatformError:
    return errors.DataLoss(
        "the storage is corrupt or no database; its operator must restore it", reason="STORAGE_CORRUPT"
    )


def _slow() -> errors.PlatformError:
    return errors.DeadlineExceeded("the storage took too long; try again, or ask for less", reason="STORAGE_TIMEOUT")


def _unavailable() -> errors.PlatformError:
    return errors.Unavailable(
        "the storage cannot be reached; try again", reason="STORAGE_UNAVAILABLE", retry_after=UNAVAILABLE_RETRY_SECONDS
    )


# sqlite.org/rescode.html
SQLITE_FAULTS: dict[int, Callable[[], errors.PlatformError]] = {
    sqlite3.SQLITE_BUSY: _busy,
    sqlite3.SQLITE_LOCKED: _busy,
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_IOERR_WRITE: _full,
    sqlite3.SQLITE_READONLY: _read_only,
    sqlite3.SQLITE_CORRUPT: _corrupt,
    sqlite3.SQLITE_NOTADB: _corrupt,
    sqlite3.SQLITE_IOERR: _unavailable,
    sqlite3.SQLITE_CANTOPEN: _unavailable,
    sqlite3.SQLITE_PERM: _unavailable,
}

# postgresql.org/docs/current/errcodes-appendix.html; a code of two characters stands for its class.
POSTGRESQL_FAULTS: dict[str, Callable[[], errors.PlatformError]] = {
    "55P03": _busy,
    "40001": _busy,
    "40P01": _busy,
    "53100": _full,
    "25006": _read_only,
    "42501": _read_only,
    "57014": _slow,
    "XX001": _corrupt,
    "XX002": _corrupt,
    "08": _unavailable,
    "53": _unavailable,
    "57": _unavailable,
}


@contextlib.contextmanager
def translated(log: Log) -> Iterator[None]:
    """Raises what the storage did wrong inside the block as an error of the family, and logs its code."""
    try:
        yield
    except PoolTimeoutError:
        log.warning("storage error", code="POOL_TIMEOUT")
        raise _busy() from None
    except DBAPIError as error:
        code, translation = _classify(error)
        if translation is None:
            raise
        log.warning("storage error", code=code, reason=translation.reason)
        raise translation from error


def _classify(error: DBAPIError) -> tuple[str, errors.PlatformError | None]:
    fault = error.orig
    if isinstance(fault, sqlite3.Error):
        return _classify_sqlite(fault)
    state = getattr(fault, "sqlstate", None)
    if state is None:
        # psycopg reports a server that it cannot reach, or lost, without a code.
        lost = error.connection_invalidated or type(fault).__name__ == "OperationalError"
        return "CONNECTION_LOST", _unavailable() if lost else None
    make = POSTGRESQL_FAULTS.get(state) or POSTGRESQL_FAULTS.get(state[:2])
    return state, make() if make else None


def _classify_sqlite(fault: sqlite3.Error) -> tuple[str, errors.PlatformError | None]:
    code = getattr(fault, "sqlite_errorcode", None)
    if code is None:
        return "UNKNOWN", None
    # The low byte is the primary code; what is above it says more.
    make = SQLITE_FAULTS.get(code) or SQLITE_FAULTS.get(code & 0xFF)
    return str(fault.sqlite_errorname), make() if make else None
