"""Replicas: the processes that serve one service, with a channel to each, their health, and the choice for each call.

A call goes to the healthy replica with the fewest running calls, of those without a backlog if there are any. Without
a healthy one it goes to one that is connected, whose own error is better than ours, else to any.

The health is that of an open watch. Beside it each replica is checked every few seconds, because a watch does not
notice a process that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from enum import IntEnum
from operator import attrgetter
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.shared.backlog import ROOM
from services.shared.channels import host_and_port, is_in_tls, open_channel, split_addresses
from services.shared.errors import LimitExceeded
from services.shared.health import NOT_SERVING, SERVING, UNKNOWN
from services.shared.host_lookup import is_name, look_up
from services.shared.logs import Log
from services.shared.tls import TlsContents, TlsFiles
from services.shared.tls_refusals import describe_refusal

REWATCH_SECONDS = 0.1

CHECK_SECONDS = 2.0
CHECK_DEADLINE_SECONDS = 3.0
"""A process that hangs gets no further call after both together."""

LOOKUP_SECONDS = 5.0
"""Interval between two lookups of a name while all is well."""

LOOKUP_AGAIN_SECONDS = 1.0
"""The same while no replica of the name is healthy, and after one was lost. Also the wait for names at the start."""

FILES_SECONDS = 2.0
"""Interval of the check whether the files of TLS have changed."""

RETIRED_SECONDS = 3600.0
"""Time limit for the calls of a replica that its name no longer resolves to."""


class Standing(IntEnum):
    """The standing of a replica in the choice for a call: a higher one is better."""

    AWAY = 0
    CONNECTED = 1
    HEALTHY = 2


class Replica:
    """One process that serves the service, by its IP address and port."""

    def __init__(self, address: str, authority: str, tls: TlsContents | None = None) -> None:
        self.address = address
        self.authority = authority
        self.tls = tls
        """The contents of the files that its channel was opened with; None for an unencrypted one."""
        self.channel = open_channel(address, authority, tls)
        self.methods: dict[str, Any] = {}
        """The channel's callables by method path, for the caller of `pick` to keep."""
        self.running_calls = 0
        """Counted by the caller of `pick`."""
        self.standing = Standing.AWAY
        self.last_turn = 0
        self.reported = Standing.AWAY
        """The standing by its watch alone."""
        self.responds = True
        """Set while it answers the checks in time."""
        self.has_backlog = False
        """Set while it reports more calls than it has time for."""
        self.refusal = ""
        """Why no TLS connection could be made the last time."""
        self.following: list[asyncio.Task[NoReturn]] = []


class Replicas:
    """The replicas of one service, at all addresses of a setting, whose names may resolve to several each."""

    def __init__(self, name: str, service: str, addresses: str, log: Log, tls: TlsFiles | None = None) -> None:
        """`name` is that of the service in the log, `service` the full one in the contract. `tls` is needed for https://
        addresses."""
        self.addresses = addresses
        self.changed = asyncio.Event()
        """Set when `is_healthy` may have changed; its one reader clears it."""
        self.on_backlog: Callable[[bool], None] = lambda _: None
        """Called with whether every replica that calls would go to has a backlog, when that may have changed."""
        self._name = name
        self._request = health_pb2.HealthCheckRequest(service=service)
        self._room_request = health_pb2.HealthCheckRequest(service=service + ROOM)
        self._log = log
        self._tls = tls
        self._refused_files: TlsContents | None = None
        """The changed files that a replica has refused, so that it is logged once."""
        entries = split_addresses(addresses)
        self._names = tuple(entry for entry in entries if is_name(host_and_port(entry)))
        self._found = {entry: frozenset([host_and_port(entry)]) for entry in entries if entry not in self._names}
        self._replicas: dict[str, Replica] = {}
        self._best: tuple[Replica, ...] = ()
        self._turns = 0
        self._started: asyncio.Future[None] | None = None
        self._names_with_losses: set[str] = set()
        self._unresolved: set[str] = set()
        self._lookups: list[asyncio.Task[NoReturn]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._update_replicas()

    @property
    def is_healthy(self) -> bool:
        """Whether at least one replica is healthy."""
        return any(replica.standing is Standing.HEALTHY for replica in self._best)

    def __len__(self) -> int:
        return len(self._replicas)

    def all(self) -> Collection[Replica]:
        """All replicas, whatever their standing."""
        return tuple(self._replicas.values())

    async def start(self) -> None:
        """Follows the health of all replicas, and what their names resolve to, until `close`.

        Waits for names that are not resolved yet, for a second at most. Further calls of it do nothing more.
        """
        if self._started is None:
            self._started = asyncio.ensure_future(self._start())
        await asyncio.shield(self._started)

    async def close(self) -> None:
        """Ends all calls."""
        if self._started:
            await self._started
        for task in (*self._lookups, *self._closing):
            task.cancel()
        for replica in self._replicas.values():
            _stop_following(replica)
        await asyncio.gather(*(replica.channel.close() for replica in self._replicas.values()))
        await asyncio.gather(*self._closing, return_exceptions=True)

    def pick(self) -> Replica | None:
        """The replica for a call; None when no name has been resolved."""
        best = self._best
        return best[0] if len(best) == 1 else self._choose(best)

    def pick_other(self, tried: Collection[str]) -> Replica | None:
        """The replica for a call that those at the addresses `tried` have not begun; None when there is no other."""
        return self._choose(_best_of(replica for replica in self._replicas.values() if replica.address not in tried))

    def _choose(self, candidates: tuple[Replica, ...]) -> Replica | None:
        if not candidates:
            return None
        chosen = min(candidates, key=_BY_LOAD)
        self._turns += 1
        chosen.last_turn = self._turns
        return chosen

    async def _start(self) -> None:
        for replica in self._replicas.values():
            self._follow(replica)
        first = {name: asyncio.create_task(self._look_up(name)) for name in self._names}
        self._lookups = [asyncio.create_task(self._follow_name(name, lookup)) for name, lookup in first.items()]
        if self._tls:
            self._lookups.append(asyncio.create_task(self._follow_files(self._tls)))
        if first:
            await asyncio.wait(first.values(), timeout=LOOKUP_AGAIN_SECONDS)

    async def _follow_name(self, name: str, first: asyncio.Task[None]) -> NoReturn:
        """Looks a name up now and then, and soon again when that may bring other replicas."""
        await first
        while True:
            waited = 0.0
            while waited < LOOKUP_SECONDS and not (waited and self._needs_lookup(name)):
                await asyncio.sleep(LOOKUP_AGAIN_SECONDS)
                waited += LOOKUP_AGAIN_SECONDS
            self._names_with_losses.discard(name)
            await self._look_up(name)

    async def _look_up(self, name: str) -> None:
        try:
            found = await look_up(host_and_port(name))
        except (OSError, LimitExceeded) as error:
            # What it resolved to before still holds: the name server may be away, and the replicas are not.
            if name not in self._unresolved:
                self._log.warning("backend name not resolved", backend=self._name, address=name, error=str(error))
            self._unresolved.add(name)
            return
        self._unresolved.discard(name)
        if found != self._found.get(name):
            self._log.info("backend name resolved", backend=self._name, address=name, found=" ".join(sorted(found)))
            self._found[name] = found
            self._update_replicas()

    def _needs_lookup(self, name: str) -> bool:
        replicas = (self._replicas[address] for address in self._found.get(name, ()))
        return name in self._names_with_losses or not any(each.standing is Standing.HEALTHY for each in replicas)

    def _update_replicas(self) -> None:
        authorities = {address: entry for entry, found in self._found.items() for address in found}
        for address in self._replicas.keys() - authorities.keys():
            self._retire(self._replicas.pop(address))
        for address in sorted(authorities.keys() - self._replicas.keys()):
            self._open(address, authorities[address])
        self._rank()

    def _open(self, address: str, entry: str) -> None:
        contents = None
        if is_in_tls(entry):
            assert self._tls, "https:// addresses need it"
            contents = self._tls.refresh()
        replica = self._replicas[address] = Replica(address, host_and_port(entry), contents)
        if self._started:
            self._follow(replica)

    async def _follow_files(self, tls: TlsFiles) -> NoReturn:
        """Opens the channels in TLS anew when its files have changed."""
        while True:
            await asyncio.sleep(FILES_SECONDS)
            contents = tls.refresh()
            outdated = [each for each in self._replicas.values() if each.tls and each.tls is not contents]
            await asyncio.gather(*(self._renew_channel(replica, contents) for replica in outdated))

    async def _renew_channel(self, old: Replica, contents: TlsContents) -> None:
        """Opens another channel to a replica. The old one stays until the new one is connected, and keeps its calls."""
        new = Replica(old.address, old.authority, contents)
        try:
            check = health_pb2_grpc.HealthStub(new.channel).Check(self._request, timeout=CHECK_DEADLINE_SECONDS)
            if await check.code() in _NOT_CONNECTED:
                self._log_refused_files(old, contents, await check.details() or "")
            elif self._replicas.get(old.address) is old:
                # Until its own watch says something else.
                new.reported = new.standing = old.standing
                new.has_backlog = old.has_backlog
                self._replicas[old.address] = new
                self._follow(new)
                self._retire(old)
                self._rank()
                self._log.info("backend connected with changed TLS files", backend=self._name, address=new.address)
        finally:
            if self._replicas.get(old.address) is not new:
                await new.channel.close()

    def _log_refused_files(self, replica: Replica, contents: TlsContents, details: str) -> None:
        problem = describe_refusal(details, in_tls=True)
        if problem and contents is not self._refused_files:
            self._refused_files = contents
            self._log.warning(
                "changed TLS files are refused; the open connection stays in use",
                backend=self._name,
                address=replica.address,
                problem=problem,
            )

    def _retire(self, replica: Replica) -> None:
        _stop_following(replica)
        closing = asyncio.create_task(replica.channel.close(RETIRED_SECONDS))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _follow(self, replica: Replica) -> None:
        replica.following = [
            asyncio.create_task(self._watch_health(replica)),
            asyncio.create_task(self._watch_room(replica)),
            asyncio.create_task(self._check(replica)),
        ]

    async def _watch_health(self, replica: Replica) -> NoReturn:
        while True:
            try:
                async for status in _watch(replica, self._request):
                    replica.reported = Standing.HEALTHY if status == SERVING else Standing.CONNECTED
                    self._update_standing(replica)
            except grpc.aio.AioRpcError as error:
                self._log.debug("health watch ended", backend=self._name, code=error.code().name)
                replica.reported = Standing.AWAY
                self._update_standing(replica)
            await asyncio.sleep(REWATCH_SECONDS)

    async def _watch_room(self, replica: Replica) -> NoReturn:
        while True:
            try:
                async for status in _watch(replica, self._room_request):
                    # A replica of an older version does not know the name, and has room.
                    self._note_backlog(replica, status == NOT_SERVING)
            except grpc.aio.AioRpcError as error:
                self._log.debug("room watch ended", backend=self._name, code=error.code().name)
            finally:
                self._note_backlog(replica, False)
            await asyncio.sleep(REWATCH_SECONDS)

    def _note_backlog(self, replica: Replica, has_backlog: bool) -> None:
        replica.has_backlog = has_backlog
        self._tell_backlog()

    def _tell_backlog(self) -> None:
        self.on_backlog(bool(self._best) and all(replica.has_backlog for replica in self._best))

    async def _check(self, replica: Replica) -> NoReturn:
        stub = health_pb2_grpc.HealthStub(replica.channel)
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            check = stub.Check(self._request, timeout=CHECK_DEADLINE_SECONDS)
            replica.responds = await check.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
            self._log_refusal(replica, await check.details() or "")
            self._update_standing(replica)

    def _log_refusal(self, replica: Replica, details: str) -> None:
        """Logs why a connection cannot be made, when it is for another reason than the last time."""
        refusal = describe_refusal(details, in_tls=replica.tls is not None)
        if refusal and refusal != replica.refusal:
            self._log.warning(
                "backend connection refused", backend=self._name, address=replica.address, problem=refusal
            )
        replica.refusal = refusal

    def _update_standing(self, replica: Replica) -> None:
        before, replica.standing = replica.standing, replica.reported if replica.responds else Standing.AWAY
        if replica.standing is before:
            return
        is_healthy = replica.standing is Standing.HEALTHY
        if is_healthy or before is Standing.HEALTHY:
            self._log.info("backend health", backend=self._name, address=replica.address, serving=is_healthy)
        if not is_healthy:
            self._names_with_losses |= {name for name, found in self._found.items() if replica.address in found}
        self._rank()

    def _rank(self) -> None:
        self._best = _best_of(self._replicas.values())
        self.changed.set()
        self._tell_backlog()


_NOT_CONNECTED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})

_BY_LOAD = attrgetter("has_backlog", "running_calls", "last_turn")


def _best_of(replicas: Iterable[Replica]) -> tuple[Replica, ...]:
    """Those whose standing is the highest."""
    found = tuple(replicas)
    highest = max((replica.standing for replica in found), default=Standing.AWAY)
    return tuple(replica for replica in found if replica.standing is highest)


async def _watch(replica: Replica, request: health_pb2.HealthCheckRequest) -> AsyncIterator[int]:
    """The statuses that a replica reports under a name. Raises AioRpcError when it is lost."""
    answers = health_pb2_grpc.HealthStub(replica.channel).Watch(request, wait_for_ready=True)
    try:
        async for answer in answers:
            # None stands for a message that is none of the health service.
            yield UNKNOWN if answer is None else answer.status
    finally:
        answers.cancel()


def _stop_following(replica: Replica) -> None:
    for task in replica.following:
        task.cancel()
