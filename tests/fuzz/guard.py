"""Keeps a service that is fuzzed on this machine, there to the ports of its own run, and within some memory.

The service imports it before all else. A mutated endpoint may name any host and any port: nothing outside is resolved
or connected to, and no other program of this machine either.
"""

import errno
import ipaddress
import os
import resource
import socket
import sys

_PORTS = frozenset(int(port) for port in os.environ["FUZZ_PORTS"].split(","))


def _is_loopback(host: object) -> bool:
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _is_address(host: object) -> bool:
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return False
    return True


def _stay_here(event: str, arguments: tuple) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host, port = arguments[1][:2]
        if not (_is_loopback(host) and port in _PORTS):
            # Not "refused": of its own port a service would take that for the loss of it.
            raise OSError(errno.ENETUNREACH, "outside of this run")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
        if host not in (None, "localhost", b"localhost") and not _is_address(host):
            raise socket.gaierror(socket.EAI_NONAME, "no name is resolved here")


sys.addaudithook(_stay_here)
# What is wrong with a service must not take the machine with it.
resource.setrlimit(resource.RLIMIT_AS, (int(os.environ["FUZZ_MEMORY_BYTES"]),) * 2)
