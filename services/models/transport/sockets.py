"""Sockets to servers: each counts as one of the connections that the quota allows."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence

from services.models.transport.request_head import Origin
from services.models.transport.resolver import AddressInfo
from services.shared.descriptors import shortage_from
from services.shared.errors import LimitExceeded
from services.shared.fair_quota import FairQuota

SETTING = "MODELS_MAX_CONNECTIONS"
RETRY_SECONDS = 1.0


class SocketFactory:
    """Opens the sockets of one attempt to connect, which may be several at a time for a name with several addresses.

    `connections` counts those of all servers. A server gets as many as are left free: alone, half of them.
    """

    def __init__(self, connections: FairQuota, origin: Origin) -> None:
        self._quota = connections
        self._origin = origin
        self._refusal: LimitExceeded | None = None

    def __call__(self, address: AddressInfo) -> socket.socket:
        """Raises OSError, as a connection that fails does, so that another address may be tried."""
        family, kind, protocol, _, _ = address
        if not self._quota.try_take(self._origin):
            self._refusal = connections_exhausted(self._quota)
            raise OSError
        try:
            return _Socket(family, kind, protocol, self._give_back)
        except OSError as error:
            self._give_back()
            self._refusal = shortage_from(error) or self._refusal
            raise

    def explain(self, error: OSError, addresses: Sequence[AddressInfo]) -> LimitExceeded | None:
        """The error for an attempt that failed for a lack of our own resources; None if the server failed."""
        if error.errno == errno.EADDRNOTAVAIL and all(address[0] == socket.AF_INET6 for address in addresses):
            # A machine without IPv6 raises this, too.
            return self._refusal
        return self._refusal or shortage_from(error)

    def _give_back(self) -> None:
        self._quota.release(self._origin)


def connections_exhausted(connections: FairQuota) -> LimitExceeded:
    """The error for a server that can have no further connection."""
    return LimitExceeded(
        f"too many requests wait for this endpoint already: of {connections.limit} connections in all, none may have"
        f" more than are left free; try again later, or ask the operator to raise {SETTING} or the limit of open files",
        reason="UPSTREAM_CONNECTIONS_EXHAUSTED",
        retry_after=RETRY_SECONDS,
        metadata={"setting": SETTING},
    )


class _Socket(socket.socket):
    """A socket with a callback for its end."""

    def __init__(self, family: int, kind: int, protocol: int, on_close: Callable[[], None]) -> None:
        super().__init__(family, kind, protocol)
        self._on_close: Callable[[], None] | None = on_close

    def close(self) -> None:
        super().close()
        self._report_close()

    def detach(self) -> int:
        # What uvloop does with a socket that it closes itself.
        descriptor = super().detach()
        self._report_close()
        return descriptor

    def _report_close(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close:
            on_close()
