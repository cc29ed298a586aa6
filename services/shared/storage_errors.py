"""Storage errors: maps the faults of the databases to PlatformErrors, here and nowhere else.

    locked, or no free connection      Unavailable STORAGE_BUSY
    full                               LimitExceeded STORAGE_FULL
    read-only                          PreconditionFailed STORAGE_READ_ONLY
    corrupt                            DataLoss STORAGE_CORRUPT
    a statement took too long          DeadlineExceeded STORAGE_TIMEOUT
    others changed the same            Conflict STORAGE_CONFLICT
    unavailable, or lost meanwhile     Unavailable STORAGE_UNAVAILABLE
    no descriptor left to connect      LimitExceeded DESCRIPTORS_EXHAUSTED
    lost during a commit               Unavailable COMMIT_UNKNOWN

After each of them nothing of the transaction is stored; only after COMMIT_UNKNOWN that is not certain.

All other errors (a violated constraint, a wrong statement) are programming errors and are raised unchanged.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.shared import errors
from services.shared.descriptors import descriptor_shortage
from services.shared.logs import Log

BUSY_RETRY_SECONDS = 0.5
UNAVAILABLE_RETRY_SECONDS = 1.0

REPETITIONS = {"STORAGE_CONFLICT": 3, "STORAGE_UNAVAILABLE": 1}
"""Repetitions of a transaction by `retried`, by the reason of the error."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def busy() -> errors.PlatformError:
    """The error for a lock or a connection that others hold."""
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


def unavailable() -> errors.PlatformError:
    """The error for an unavailable storage."""
    return errors.Unavailable(
        "the storage cannot be reached; try again", reason="STORAGE_UNAVAILABLE", retry_after=UNAVAILABLE_RETRY_SECONDS
    )


def _conflict() -> errors.PlatformError:
    return errors.Conflict(
        "others changed the same at the same time; try again", reason="STORAGE_CONFLICT", retry_after=BUSY_RETRY_SECONDS
    )


def _commit_unknown() -> errors.PlatformError:
    return errors.Unavailable(
        "the storage was lost while it stored this, which may be stored or not; read again before you repeat it, "
        "or repeat it with the same request_id",
        reason="COMMIT_UNKNOWN",
        retry_after=UNAVAILABLE_RETRY_SECONDS,
    )


# sqlite.org/rescode.html
SQLITE_FAULTS: dict[int, Callable[[], errors.PlatformError]] = {
    sqlite3.SQLITE_BUSY: busy,
    sqlite3.SQLITE_LOCKED: busy,
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_IOERR_WRITE: _full,
    sqlite3.SQLITE_READONLY: _read_only,
    sqlite3.SQLITE_CORRUPT: _corrupt,
    sqlite3.SQLITE_NOTADB: _corrupt,
    sqlite3.SQLITE_IOERR: unavailable,
    sqlite3.SQLITE_CANTOPEN: unavailable,
    sqlite3.SQLITE_PERM: unavailable,
}

# postgresql.org/docs/current/errcodes-appendix.html; a code of two characters stands for its class.
POSTGRESQL_FAULTS: dict[str, Callable[[], errors.PlatformError]] = {
    "55P03": busy,
    "40001": _conflict,
    "40P01": _conflict,
    "53100": _full,
    "25006": _read_only,
    "25P03": unavailable,
    "42501": _read_only,
    "57014": _slow,
    "XX001": _corrupt,
    "XX002": _corrupt,
    "08": unavailable,
    "53": unavailable,
    "57": unavailable,
    "58": unavailable,
}


@contextlib.contextmanager
def translated(log: Log) -> Iterator[None]:
    """Raises faults of the storage inside the block as PlatformErrors, and logs their codes."""
    try:
        yield
    except PoolTimeoutError:
        log.warning("storage error", code="POOL_TIMEOUT")
        raise busy() from None
    except DBAPIError as error:
        code, translation = _classify(error)
        if translation is None:
            raise
        log.warning("storage error", code=code, reason=translation.reason)
        raise translation from error


@contextlib.contextmanager
def translated_commit(log: Log) -> Iterator[None]:
    """Like `translated`, for a block that only commits: a lost connection then becomes COMMIT_UNKNOWN."""
    try:
        with translated(log):
            yield
    except (errors.Unavailable, errors.LimitExceeded) as error:
        if is_lost(error.__cause__) or error.reason == "DESCRIPTORS_EXHAUSTED":
            raise _commit_unknown() from error.__cause__
        raise


def is_lost(error: BaseException | None) -> bool:
    """Whether a driver's error means that the storage is unavailable or was lost."""
    if not isinstance(error, DBAPIError):
        return False
    _, translation = _classify(error)
    return translation is not None and translation.reason == "STORAGE_UNAVAILABLE"


def retried(
    transaction: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """Decorates a coroutine function that is one transaction: repeats it when the storage has rolled it back.

    It is repeated three times after a conflict with others, and once after a connection was lost before the commit was
    sent. It is not repeated when the storage is unavailable or may have committed.
    """

    @functools.wraps(transaction)
    async def run(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        repetitions = dict(REPETITIONS)
        while True:
            try:
                return await transaction(*arguments, **keywords)
            except errors.PlatformError as error:
                reason = error.reason if _was_rolled_back(error.__cause__) else ""
                if not repetitions.get(reason):
                    raise
                repetitions[reason] -= 1

    return run


def _was_rolled_back(error: BaseException | None) -> bool:
    """Whether a driver's error came after the transaction had begun, and not while connecting."""
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or _classify(error)[0] != "CONNECTION_LOST"


def _classify(error: DBAPIError) -> tuple[str, errors.PlatformError | None]:
    code, translation = _translate(error)
    if translation is not None and translation.reason == "STORAGE_UNAVAILABLE":
        # Drivers raise the same error when the process has no descriptor left.
        return code, descriptor_shortage() or translation
    return code, translation


def _translate(error: DBAPIError) -> tuple[str, errors.PlatformError | None]:
    fault = error.orig
    if isinstance(fault, sqlite3.Error):
        return _classify_sqlite(fault)
    state = getattr(fault, "sqlstate", None)
    if state is None:
        # psycopg has no code for an unreachable or lost server. Its classes are compared by name, to avoid its import.
        kinds = {kind.__name__ for kind in type(fault).__mro__}
        lost = error.connection_invalidated or "OperationalError" in kinds
        return "CONNECTION_LOST", unavailable() if lost else None
    make = POSTGRESQL_FAULTS.get(state) or POSTGRESQL_FAULTS.get(state[:2])
    return state, make() if make else None


def _classify_sqlite(fault: sqlite3.Error) -> tuple[str, errors.PlatformError | None]:
    code = getattr(fault, "sqlite_errorcode", None)
    if code is None:
        return "UNKNOWN", None
    # The low byte is the primary result code; the full code is more specific.
    make = SQLITE_FAULTS.get(code) or SQLITE_FAULTS.get(code & 0xFF)
    return str(fault.sqlite_errorname), make() if make else None
