"""Resolver: looks names up in threads of its own, so that a name server that does not answer delays no other name.

Python cannot end a thread that waits in the system's resolver. So a name has one thread for all callers that wait for
it, and a caller's names have only a part of the threads, which they use until the system's resolver returns.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from services.shared import descriptors
from services.shared.fair_threads import FairThreads, PerLoop, start_thread

THREADS = 32
MAX_WAITING_NAMES = 1024
"""Limit for the names that wait for a thread."""

TURN_SECONDS = 1.0
"""The time that a name waits for a thread before its caller gets SERVER_BUSY."""

MAX_ADDRESSES = 16
"""Limit for the addresses of one name in each family; a name server can send thousands."""

LOCALHOST = "localhost"

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""An address in the form that `socket.getaddrinfo` returns."""

_Question = Callable[[], Sequence[AddressInfo]]


class ResolveError(OSError):
    """A host that has no address."""


class Resolver:
    """Resolves names, and remembers none. Belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = FairThreads("for names to be resolved", THREADS, MAX_WAITING_NAMES)
        self._asking: dict[str, asyncio.Future[Sequence[AddressInfo]]] = {}

    async def resolve(self, host: str, port: int, *, queued: bool = True) -> Sequence[AddressInfo]:
        """The addresses of a host, the best first.

        Without `queued`, for the operator's own hosts, the name does not queue behind those of callers.
        Raises ResolveError, and LimitExceeded SERVER_BUSY, DESCRIPTORS_EXHAUSTED or SYSTEM_EXHAUSTED.
        """
        addresses = _read_literal(host) or await self._look_up(host, queued and host != LOCALHOST)
        return [(family, kind, proto, name, (at[0], port, *at[2:])) for family, kind, proto, name, at in addresses]

    async def _look_up(self, host: str, queued: bool) -> Sequence[AddressInfo]:
        if host not in self._asking:
            if queued:
                await self._ask_in_turn(host)
            else:
                self._ask(host, start_thread)
        return await asyncio.shield(self._asking[host])

    async def _ask_in_turn(self, host: str) -> None:
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._threads.acquire_turn()
        except TimeoutError:
            raise self._threads.busy_error() from None
        if host in self._asking:
            # Another caller's turn for the same name came first.
            self._threads.release_turn()
        else:
            self._ask(host, self._threads.start)

    def _ask(self, host: str, start: Callable[[_Question], asyncio.Future[Sequence[AddressInfo]]]) -> None:
        asking = self._asking[host] = start(functools.partial(_get_addresses, host))
        asking.add_done_callback(functools.partial(self._forget, host))

    def _forget(self, host: str, asking: asyncio.Future[Sequence[AddressInfo]]) -> None:
        del self._asking[host]
        # Retrieves the exception: all callers that waited for the name may have left.
        asking.exception()


_resolvers = PerLoop(Resolver)


async def resolve(host: str, port: int, *, queued: bool = True) -> Sequence[AddressInfo]:
    """`Resolver.resolve` of the running loop's shared resolver."""
    return await _resolvers.get().resolve(host, port, queued=queued)


def _read_literal(host: str) -> Sequence[AddressInfo]:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ()
    if isinstance(address, ipaddress.IPv4Address):
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, 0))]
    if address.scope_id:
        # Only the system knows the number of an interface.
        return ()
    return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, 0, 0, 0))]


def _get_addresses(host: str) -> Sequence[AddressInfo]:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # If no descriptor is left, the system's resolver reports the same error as for an unknown name.
        raise descriptors.descriptor_shortage() or ResolveError from None
    counts: Counter[int] = Counter()
    kept = []
    for entry in found:
        counts[entry[0]] += 1
        if counts[entry[0]] <= MAX_ADDRESSES:
            kept.append(entry)
    if not kept:
        raise ResolveError
    return kept
