"""Lookup of host names: the IP addresses behind a host:port, asked of the system in a thread."""

from __future__ import annotations

import functools
import ipaddress
import socket

from services.shared.fair_threads import start_thread


def is_name(address: str) -> bool:
    """Whether the host of a host:port is a name, and no IP address."""
    host, _ = _split(address)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


async def look_up(address: str) -> frozenset[str]:
    """The IP addresses of a host:port, each with the port. Raises OSError, and LimitExceeded without a thread."""
    host, port = _split(address)
    return await start_thread(functools.partial(_look_up, host, port))


def _look_up(host: str, port: int) -> frozenset[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("it is no host name") from None
    return frozenset(
        _joined(*socket.getnameinfo(entry[4], socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)) for entry in found
    )


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _joined(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
