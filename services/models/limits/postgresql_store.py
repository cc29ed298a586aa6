"""The limit store in PostgreSQL: each decision is one call of a function of the database.

The tables and functions are those of the newest script in `migrations`. A commit is not waited for until it is on disk:
a crash of the server loses the last tenths of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from services.models.limits import time_limits
from services.models.limits.charges import Charge
from services.models.limits.rules import MAX_AMOUNT
from services.models.limits.store import (
    KEPT,
    LEASE,
    Holding,
    Outcome,
    Reading,
    Settlement,
    State,
    StoreUnavailable,
    outcome_of,
)
from services.models.limits.time_limits import TimeLimit, within

if TYPE_CHECKING:
    from psycopg import AsyncConnection

CONNECTIONS = 4
"""Connections of a process; a decision has one for a fraction of a millisecond."""

PURGE_SECONDS = 10.0

Connect = Callable[[], Awaitable["AsyncConnection"]]

_STATES = tuple(State)

_ADMIT = (
    "SELECT limit_admit(%s, %s, %s::text[], %s::bigint[], %s::bigint[], %s::int[],"
    " %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[])"
)
_SETTLE = "SELECT limit_settle(%s, %s, %s::text[], %s::bigint[], %s::text[], %s::bigint[])"
_LOAD = "INSERT INTO limit_counter VALUES (%s, %s, 0, 0, %s, 4611686018427387904) ON CONFLICT DO NOTHING RETURNING 1"
_RENEW = "SELECT limit_renew(%s::text[], %s)"
_PURGE = "SELECT limit_purge(%s)"
_PING = "SELECT limit_time()"


class PostgreSQLStore:
    """The limits of all replicas, in a PostgreSQL database. `connect` opens a connection in autocommit mode."""

    largest_amount = MAX_AMOUNT
    immediate = None

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._free: list[AsyncConnection] = []
        self._connecting = 0
        """The connections that are being opened."""
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._upkeep = asyncio.Semaphore(1)
        """A place of its own for what must not wait behind a crowd of calls, nor hold them up."""

    async def admit(self, call_id: str, charges: Sequence[Charge]) -> Outcome:
        rates = [charge for charge in charges if charge.kind == "rate"]
        counters = charges[len(rates) :]
        now, *values = await self._ask(
            _ADMIT,
            call_id,
            LEASE,
            _texts(charge.key for charge in rates),
            _numbers(charge.cost for charge in rates),
            _numbers(charge.tolerance for charge in rates),
            _numbers(charge.is_enforced | charge.is_settled << 1 for charge in rates),
            _texts(charge.key for charge in counters),
            _numbers(charge.units for charge in counters),
            _numbers(charge.rule.amount for charge in counters),
            _numbers(charge.span.start for charge in counters),
            _numbers(charge.span.end for charge in counters),
            _numbers(charge.is_enforced | (charge.kind == "budget") << 1 for charge in counters),
        )
        readings = [Reading(_STATES[values[i]], *values[i + 1 : i + 4]) for i in range(0, len(values), 4)]
        return outcome_of(charges, now, readings)

    async def load(self, key: str, spent: int, end: int) -> None:
        await self._ask(_LOAD, key, spent, end)

    async def settle(self, settlement: Settlement) -> None:
        rates = sorted(settlement.rates, key=attrgetter("key"))
        counters = sorted(settlement.counters, key=attrgetter("key"))
        await self._ask(
            _SETTLE,
            settlement.id,
            settlement.was_admitted,
            _texts(change.key for change in rates),
            _numbers(change.microseconds for change in rates),
            _texts(change.key for change in counters),
            _numbers(change.spent for change in counters),
        )

    async def renew(self, holdings: Sequence[Holding]) -> None:
        await self._ask(_RENEW, _texts(holding.id for holding in holdings), LEASE, places=self._upkeep)

    async def ping(self) -> None:
        await self._ask(_PING)

    async def purge(self) -> None:
        await self._ask(_PURGE, KEPT, seconds=PURGE_SECONDS, places=self._upkeep)

    async def close(self) -> None:
        for connection in self._free:
            await connection.close()
        self._free.clear()

    async def _ask(
        self,
        statement: str,
        *values: object,
        seconds: float | None = None,
        places: asyncio.Semaphore | None = None,
    ) -> Any:
        """The value that a statement returns; None if it returns no row."""
        import psycopg

        seconds, places = seconds or time_limits.COMMAND_SECONDS, places or self._places
        try:
            await self._take_place(places, seconds)
            try:
                if self._free:
                    return await self._run(self._free.pop(), statement, values, seconds)
                # The server has to plan all statements of a new connection.
                return await self._run(await self._open(), statement, values, seconds + time_limits.CONNECT_SECONDS)
            finally:
                places.release()
        except (psycopg.Error, OSError) as error:
            raise StoreUnavailable(_first_line(error)) from error

    async def _take_place(self, places: asyncio.Semaphore, seconds: float) -> None:
        if not places.locked():
            await places.acquire()
            return
        # Others may be waiting for their connections.
        async with within(seconds + (time_limits.CONNECT_SECONDS if self._connecting else 0)):
            await places.acquire()

    async def _open(self) -> AsyncConnection:
        self._connecting += 1
        try:
            async with within(time_limits.CONNECT_SECONDS):
                return await self._connect()
        finally:
            self._connecting -= 1

    async def _run(
        self, connection: AsyncConnection, statement: str, values: Sequence[object], seconds: float
    ) -> object:
        # To cancel a statement by psycopg would ask the server, which may be silent.
        limit = TimeLimit(seconds, lambda: _sever(connection))
        try:
            cursor = await connection.execute(statement, values, prepare=True)
            row = await cursor.fetchone()
        except BaseException:
            await connection.close()
            await self._close_free()
            raise
        finally:
            limit.cancel()
        self._free.append(connection)
        return row[0] if row else None

    async def _close_free(self) -> None:
        """Closes the connections that are not used: they are likely to have been lost with another one."""
        free, self._free = self._free, []
        for connection in free:
            await connection.close()


def _sever(connection: AsyncConnection) -> None:
    """Ends the connection of a statement, which fails then."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def _numbers(values: Iterable[int]) -> str:
    """An array of numbers in PostgreSQL's text form, which does not depend on their size as psycopg's own types do."""
    return f"{{{','.join(str(int(value)) for value in values)}}}"


def _texts(values: Iterable[str]) -> str:
    quoted = (f'"{value}"' if _is_plain(value) else _quoted(value) for value in values)
    return f"{{{','.join(quoted)}}}"


def _is_plain(value: str) -> bool:
    return '"' not in value and "\\" not in value


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
