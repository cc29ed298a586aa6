"""The one place where faults of the storage become errors of the family.

    locked, or no free connection      Unavailable STORAGE_BUSY
    full                               LimitExceeded STORAGE_FULL
    read-only                          PreconditionFailed STORAGE_READ_ONLY
    corrupt                            DataLoss STORAGE_CORRUPT
    a statement took too long          DeadlineExceeded STORAGE_TIMEOUT
    others changed the same            Conflict STORAGE_CONFLICT
    not there, or lost on the way      Unavailable STORAGE_UNAVAILABLE
    no descriptor left to reach it by  LimitExceeded DESCRIPTORS_EXHAUSTED
    lost during a commit               Unavailable COMMIT_UNKNOWN

After each of them nothing of the transaction is stored; only after the last that is not known.

Everything else (a broken constraint, a wrong statement) is a fault of the program and stays as it is.
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
"""How often `retried` runs a transaction again, by the reason of what undid it."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def busy() -> errors.PlatformError:
    """Somebody else holds what is needed."""
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
    """The storage is away."""
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
    """Raises what the storage did wrong inside the block as an error of the family, and logs its code."""
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
    """As `translated`, for a block that commits and does nothing else."""
    try:
        with translated(log):
            yield
    except (errors.Unavailable, errors.LimitExceeded) as error:
        if is_lost(error.__cause__) or error.reason == "DESCRIPTORS_EXHAUSTED":
            raise _commit_unknown() from error.__cause__
        raise


def is_lost(error: BaseException | None) -> bool:
    """Whether a driver's error says that the storage is not there, or no longer."""
    if not isinstance(error, DBAPIError):
        return False
    _, translation = _classify(error)
    return translation is not None and translation.reason == "STORAGE_UNAVAILABLE"


def retried(
    transaction: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """Runs a coroutine function that is one transaction again when the storage has undone it for no fault of its own.

    That is three times when others changed the same at the same time, and once when a connection was lost before the
    commit was sent. When the storage is away, or may have committed, nothing is repeated.
    """

    @functools.wraps(transaction)
    async def run(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        repetitions = dict(REPETITIONS)
        while True:
            try:
                return await transaction(*arguments, **keywords)
            except errors.PlatformError as error:
                reason = error.reason if _was_undone(error.__cause__) else ""
                if not repetitions.get(reason):
                    raise
                repetitions[reason] -= 1

    return run


def _was_undone(error: BaseException | None) -> bool:
    """Whether a driver's error came after the transaction had begun: not when there was no connection to begin on."""
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or _classify(error)[0] != "CONNECTION_LOST"


def _classify(error: DBAPIError) -> tuple[str, errors.PlatformError | None]:
    code, translation = _translate(error)
    if translation is not None and translation.reason == "STORAGE_UNAVAILABLE":
        # So drivers put it, too, when it is the process that may not open another file.
        return code, descriptor_shortage() or translation
    return code, translation


def _translate(error: DBAPIError) -> tuple[str, errors.PlatformError | None]:
    fault = error.orig
    if isinstance(fault, sqlite3.Error):
        return _classify_sqlite(fault)
    state = getattr(fault, "sqlstate", None)
    if state is None:
        # psycopg, which is not imported where it is not used, has no code for a server that it cannot reach, or lost.
        kinds = {kind.__name__ for kind in type(fault).__mro__}
        lost = error.connection_invalidated or "OperationalError" in kinds
        return "CONNECTION_LOST", unavailable() if lost else None
    make = POSTGRESQL_FAULTS.get(state) or POSTGRESQL_FAULTS.get(state[:2])
    return state, make() if make else None


def _classify_sqlite(fault: sqlite3.Error) -> tuple[str, errors.PlatformError | None]:
    code = getattr(fault, "sqlite_errorcode", None)
    if code is None:
        return "UNKNOWN", None
    # The low byte is the primary code; what is above it says more.
    make = SQLITE_FAULTS.get(code) or SQLITE_FAULTS.get(code & 0xFF)
    return str(fault.sqlite_errorname), make() if make else None
