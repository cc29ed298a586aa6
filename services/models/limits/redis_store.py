"""The limit store in Redis: each decision is one Lua script, and those of one turn of the event loop travel together.

It needs the extra `redis`. All keys share a hash tag, because a script sees one slot of a cluster only. The server
should keep all it has (`maxmemory-policy noeviction`): a budget that it drops is loaded again, but a rate is forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from services.models.limits import scripts, time_limits
from services.models.limits.charges import Charge
from services.models.limits.store import (
    KEPT_SECONDS,
    LEASE,
    Holding,
    Outcome,
    Reading,
    Settlement,
    State,
    StoreUnavailable,
    outcome_of,
)
from services.models.limits.time_limits import within
from services.models.limits.windows import FOREVER

CONNECTIONS = 16

PREFIX = "{genai-limits}:"

RENEWED_AT_ONCE = 500
"""Reservations that one script renews: others wait for it."""

KEPT_MILLISECONDS = KEPT_SECONDS * 1000

_STATES = tuple(State)


class _Script(NamedTuple):
    text: str
    digest: str


def _script(text: str) -> _Script:
    # Redis names scripts by this hash.
    return _Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class _Command(NamedTuple):
    """A script with its arguments, and the future of its result."""

    script: _Script
    keys: Sequence[str]
    values: Sequence[str | int]
    result: asyncio.Future[Any]


class RedisStore:
    """The limits of all replicas, in a Redis server."""

    largest_amount = 9 * 10**15
    immediate = None

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=time_limits.COMMAND_SECONDS,
            socket_connect_timeout=time_limits.CONNECT_SECONDS,
            # The time limit of a command is our own.
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis(connection_pool=pool)
        self._is_connected = False
        self._waiting: list[_Command] = []
        self._batches: set[asyncio.Task[None]] = set()
        self._admit = _script(scripts.ADMIT)
        self._settle = _script(scripts.SETTLE)
        self._load = _script(scripts.LOAD)
        self._renew = _script(scripts.RENEW)

    async def admit(self, call_id: str, charges: Sequence[Charge]) -> Outcome:
        keys, is_settled = [_mark(call_id)], any(charge.is_settled for charge in charges)
        values: list[str | int] = [call_id, LEASE, KEPT_MILLISECONDS, int(is_settled)]
        for charge in charges:
            values += charge.kind, int(charge.is_enforced)
            if charge.kind == "rate":
                keys.append(_rate(charge.key))
                values += charge.cost, charge.tolerance
            else:
                keys += _counter(charge.key), _live(charge.key)
                values += charge.units, charge.rule.amount, charge.span.start, charge.span.end
        now, *found = await self._run(self._admit, keys, values)
        readings = [Reading(_STATES[found[i]], *found[i + 1 : i + 4]) for i in range(0, len(found), 4)]
        return outcome_of(charges, now, readings)

    async def load(self, key: str, spent: int, end: int) -> None:
        ends = 0 if end == FOREVER else end // 1000
        await self._run(self._load, [_counter(key)], [spent, ends, KEPT_MILLISECONDS])

    async def settle(self, settlement: Settlement) -> None:
        keys = [_mark(settlement.id), _late_mark(settlement.id)]
        values: list[str | int] = [settlement.id, int(settlement.was_admitted), KEPT_MILLISECONDS]
        for rate in settlement.rates:
            keys.append(_rate(rate.key))
            values += "rate", rate.microseconds
        for change in settlement.counters:
            keys += _counter(change.key), _live(change.key)
            values += "counter", change.held, change.spent
        await self._run(self._settle, keys, values)

    async def renew(self, holdings: Sequence[Holding]) -> None:
        members = [(_live(key), f"{holding.id}:{units}") for holding in holdings for key, units in holding.counters]
        batches = [members[start : start + RENEWED_AT_ONCE] for start in range(0, len(members), RENEWED_AT_ONCE)]
        await asyncio.gather(*map(self._renew_batch, batches))

    async def _renew_batch(self, members: Sequence[tuple[str, str]]) -> None:
        await self._run(self._renew, [key for key, _ in members], [LEASE, *(member for _, member in members)])

    async def ping(self) -> None:
        try:
            async with within(time_limits.CONNECT_SECONDS + time_limits.COMMAND_SECONDS):
                await self._redis.ping()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(_first_line(error)) from error

    async def purge(self) -> None:
        """Does nothing: every key has its expiry."""

    async def close(self) -> None:
        if self._batches:
            await asyncio.wait(self._batches)
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _run(self, script: _Script, keys: Sequence[str], values: Sequence[str | int]) -> Any:
        """The result of a script, which is sent with all others of this turn of the event loop."""
        loop = asyncio.get_running_loop()
        command = _Command(script, keys, values, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append(command)
        return await command.result

    def _send(self) -> None:
        commands, self._waiting = self._waiting, []
        batch = asyncio.get_running_loop().create_task(self._run_batch(commands))
        self._batches.add(batch)
        batch.add_done_callback(self._batches.discard)

    async def _run_batch(self, commands: Sequence[_Command]) -> None:
        # The first one after a failure must connect.
        seconds = time_limits.COMMAND_SECONDS + (0 if self._is_connected else time_limits.CONNECT_SECONDS)
        try:
            async with within(seconds):
                results = await self._execute(commands)
            self._is_connected = True
        except (RedisError, OSError) as error:
            self._is_connected = False
            results = [error] * len(commands)
        for command, result in zip(commands, results, strict=True):
            if command.result.done():
                continue
            if isinstance(result, BaseException):
                command.result.set_exception(StoreUnavailable(_first_line(result)))
            else:
                command.result.set_result(result)

    async def _execute(self, commands: Sequence[_Command]) -> list[Any]:
        results = await self._pipeline(commands, by_digest=True)
        unknown = [index for index, result in enumerate(results) if isinstance(result, NoScriptError)]
        if unknown:
            # A server that was started anew learns them from their texts.
            again = await self._pipeline([commands[index] for index in unknown], by_digest=False)
            for index, result in zip(unknown, again, strict=True):
                results[index] = result
        return results

    async def _pipeline(self, commands: Sequence[_Command], *, by_digest: bool) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for script, keys, values, _ in commands:
                head = ("EVALSHA", script.digest) if by_digest else ("EVAL", script.text)
                pipeline.execute_command(*head, len(keys), *keys, *values)
            return await pipeline.execute(raise_on_error=False)


def _mark(call_id: str) -> str:
    return f"{PREFIX}call:{call_id}"


def _late_mark(call_id: str) -> str:
    return f"{PREFIX}late:{call_id}"


def _rate(key: str) -> str:
    return f"{PREFIX}rate:{key}"


def _counter(key: str) -> str:
    return f"{PREFIX}counter:{key}"


def _live(key: str) -> str:
    return f"{PREFIX}live:{key}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
