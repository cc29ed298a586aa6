"""The PROXY protocol, version 2: the first bytes of a relayed connection say who has connected to the relay.

https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt, section 2.2.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

_FIXED = struct.Struct("!12sBBH")
"""The signature, version and command, family and transport, and the bytes that follow."""
_PROXIED = 0x21
_TCP_4, _TCP_6 = 0x11, 0x21
_ADDRESS_BYTES = {_TCP_4: 4, _TCP_6: 16}
_TLV = struct.Struct("!BH")
_EXPOSED = 0xE0
"""A type for own use (2.2.7): its relay can be reached by others than this machine's user."""

MAX_BYTES = _FIXED.size + 512


class Relayed(NamedTuple):
    """The word of a relay about a connection."""

    host: str
    port: int
    exposed: bool
    """Whether the relay can be reached by others than the user of its machine."""
    size: int
    """The bytes of the header."""


class Malformed(ValueError):
    """The header is no PROXY header of a TCP connection."""


def write_header(host: str, port: int, *, exposed: bool) -> bytes:
    """The header for a connection of a client at `host`, an IP address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    family = _TCP_4 if address.version == 4 else _TCP_6
    ends = address.packed + bytes(len(address.packed)) + struct.pack("!HH", port, 0)
    extensions = _TLV.pack(_EXPOSED, 1) + b"\x01" if exposed else b""
    return _FIXED.pack(SIGNATURE, _PROXIED, family, len(ends) + len(extensions)) + ends + extensions


def read_header(data: bytes) -> Relayed | None:
    """The header at the start of `data`; None if more bytes are needed. Raises Malformed."""
    if len(data) < _FIXED.size:
        if not SIGNATURE.startswith(data[:12]):
            raise Malformed
        return None
    signature, command, family, size = _FIXED.unpack_from(data)
    width = _ADDRESS_BYTES.get(family)
    if signature != SIGNATURE or command != _PROXIED or width is None or size > MAX_BYTES - _FIXED.size:
        raise Malformed
    end = _FIXED.size + size
    if size < 2 * width + 4:
        raise Malformed
    if len(data) < end:
        return None
    start = _FIXED.size
    host = ipaddress.ip_address(data[start : start + width]).compressed
    (port,) = struct.unpack_from("!H", data, start + 2 * width)
    return Relayed(host, port, _is_exposed(data[start + 2 * width + 4 : end]), end)


def _is_exposed(extensions: bytes) -> bool:
    while len(extensions) >= _TLV.size:
        kind, size = _TLV.unpack_from(extensions)
        value, extensions = extensions[_TLV.size : _TLV.size + size], extensions[_TLV.size + size :]
        if kind == _EXPOSED:
            return value == b"\x01"
    return False
