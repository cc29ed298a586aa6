"""The PROXY header: read as it was written, and refused if it is none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.proxy_protocol import MAX_BYTES, SIGNATURE, Malformed, Relayed, read_header, write_header
from tests.rows import for_each


@given(st.ip_addresses().map(lambda address: address.compressed), st.integers(0, 65535), st.booleans(), st.binary())
def test_header_is_read_as_it_was_written(host: str, port: int, exposed: bool, body: bytes) -> None:
    header = write_header(host.partition("%")[0], port, exposed=exposed)
    assert read_header(header + body) == Relayed(host.partition("%")[0], port, exposed, len(header))
    assert all(read_header(header[:end]) is None for end in range(len(header)))


@given(st.binary(max_size=MAX_BYTES))
def test_bytes_behind_the_signature_are_a_header_or_malformed(rest: bytes) -> None:
    with contextlib.suppress(Malformed):
        read_header(SIGNATURE + rest)


MALFORMED = {
    "another signature": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a local connection": SIGNATURE + b"\x20\x00\x00\x00",
    "another family": SIGNATURE + b"\x21\x31\x00\x0c" + bytes(12),
    "too short for its addresses": SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    "too long": SIGNATURE + b"\x21\x11\xff\xff",
}


@for_each("header", MALFORMED.values(), ids=MALFORMED)
def test_malformed_header(header: bytes) -> None:
    with pytest.raises(Malformed):
        read_header(header)
