"""Address ranges: which IP addresses are public, private, or guarded because no model is served there.

Sources: the IANA special-purpose registries (iana.org/assignments/iana-ipv4-special-registry and
iana-ipv6-special-registry), and the metadata services of the clouds: AWS 169.254.169.254, 169.254.170.2 and
fd00:ec2::/32, Google fd20:ce::254, Azure 168.63.129.16, Oracle 192.0.0.192 and fd00:c1::a9fe:a9fe, Alibaba
100.100.100.200.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Kind(Enum):
    """Kind of an address range."""

    PUBLIC = auto()
    PRIVATE = auto()
    """This machine, and the networks that are routed only inside an organisation."""
    GUARDED = auto()
    """Link-local addresses and metadata services, which hand out secrets, and addresses that no host has."""


class Range(NamedTuple):
    network: Network
    kind: Kind


_NETWORKS: dict[Kind, tuple[str, ...]] = {
    Kind.PRIVATE: (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "198.18.0.0/15",
        "::1/128",
        "fc00::/7",
    ),
    Kind.GUARDED: (
        # Link-local, and metadata services elsewhere.
        "169.254.0.0/16",
        "fe80::/10",
        "168.63.129.16/32",
        "100.100.100.200/32",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
        "fd00:c1::a9fe:a9fe/128",
        # Unspecified, multicast, broadcast, reserved, documentation.
        "0.0.0.0/8",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001:db8::/32",
        # A NAT64 prefix whose IPv4 address may stand anywhere.
        "64:ff9b:1::/48",
        # All of IPv6 that is not assigned to public hosts (2000::/3).
        "::/3",
        "4000::/2",
        "8000::/1",
    ),
    # It is the IPv4 address in it that counts.
    Kind.PUBLIC: ("64:ff9b::/96",),
}

_RANGES = sorted(
    (Range(ipaddress.ip_network(network), kind) for kind, networks in _NETWORKS.items() for network in networks),
    key=lambda entry: entry.network.prefixlen,
    reverse=True,
)
"""All ranges, the narrowest first: an address belongs to the first range that contains it."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP_MARK = 0x5EFE
_ISATAP_MASK = 0xFDFF_FFFF  # The bit for "globally unique" may be set.


def range_of(address: Address) -> Range | None:
    """The special range that an address belongs to; None for an ordinary public address."""
    return next((entry for entry in _RANGES if address in entry.network), None)


def addresses_reached(address: Address) -> Iterator[Address]:
    """The addresses that a connection to `address` may come out at: itself, and the IPv4 addresses inside it."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
        return
    yield address
    last = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in _NAT64 or (int(address) >> 32) & _ISATAP_MASK == _ISATAP_MARK:
        yield last
