"""Response parser: the bytes of one connection become the responses to its requests, one after the other.

llhttp, by httptools, parses what arrives (RFC 9112). This module decides which bytes belong to the awaited response,
how many bytes a head, chunk heads and trailers may have, and whether another response may follow. It has no sockets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto

import httptools

MAX_HEAD_BYTES = 64 * 1024
"""Limit for all bytes outside of a body: the head and anything before it, chunk heads and extensions, trailers."""

CHUNK_OVERHEAD = 8
"""Bytes of chunk heads that are allowed in addition for each byte of a body: a chunk of one byte has five."""

MAX_FIELDS = 1000


class TransportError(Exception):
    """The base class of errors that end an exchange early."""


class ProtocolError(TransportError):
    """Bytes that break the protocol have arrived."""


class Phase(Enum):
    """The progress of an exchange."""

    IDLE = auto()
    HEAD = auto()
    """A request was sent, and the head of its response has not arrived."""
    BODY = auto()
    COMPLETE = auto()
    """All of the response has arrived."""
    BROKEN = auto()


UNFINISHED = (Phase.HEAD, Phase.BODY)
"""Phases in which more of a response is to come."""


class Headers(Mapping[str, str]):
    """The fields of a head. Names are found in any case, and repeated fields are joined by commas."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower().encode("latin-1")].decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower().encode("latin-1") in self._fields

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class ResponseParser:
    """Parses the responses of one connection. `expect` begins each; `close` ends the last."""

    __slots__ = (
        "_delivered",
        "_ends_with_connection",
        "_fields_seen",
        "_keeps_alive",
        "_llhttp",
        "_pieces",
        "fields",
        "is_last",
        "phase",
        "received",
        "status",
        "waiting",
    )

    def __init__(self) -> None:
        self._llhttp = httptools.HttpResponseParser(self)
        # Some servers violate these rules; a response is not ambiguous without them.
        self._llhttp.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self.expect()
        self.phase = Phase.IDLE

    def expect(self) -> None:
        """Begins a response: a request is about to be sent."""
        self.phase = Phase.HEAD
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.received = 0
        """The bytes of this response that have arrived, those outside of its body included."""
        self.waiting = 0
        """The bytes of the body that have arrived and were not taken."""
        self.is_last = False
        """Whether no other response may follow on the connection."""
        self._delivered = 0
        self._fields_seen = 0
        self._pieces: list[bytes] = []
        self._ends_with_connection = False
        self._keeps_alive = False

    @property
    def is_reusable(self) -> bool:
        """Whether the response is complete, and another one may follow on the connection."""
        return self.phase is Phase.COMPLETE and self._keeps_alive and not self.is_last

    def feed(self, data: memoryview) -> bool:
        """Takes the next bytes. Returns whether they bring a head, some of the body, or its end.

        Raises ProtocolError, also for more than MAX_FIELDS fields and for too many bytes outside of a body.
        """
        phase, waiting = self.phase, self.waiting
        self.received += len(data)
        try:
            self._llhttp.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise ProtocolError from None
        if self.received > MAX_HEAD_BYTES + (1 + CHUNK_OVERHEAD) * self._delivered:
            raise ProtocolError
        return self.phase is not phase or self.waiting != waiting

    def take(self) -> bytes:
        """The bytes of the body that have arrived and were not taken yet."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.waiting = 0
        return data

    def end(self) -> bool:
        """Ends the bytes of the server. Returns whether this is the proper end of the response."""
        if self.phase is not Phase.BODY or not self._ends_with_connection:
            return False
        self.phase = Phase.COMPLETE
        return True

    def fail(self) -> bool:
        """Ends the use of the connection: no further byte is valid. Returns whether a response was running."""
        self.is_last = True
        if self.phase not in UNFINISHED:
            return False
        self.phase = Phase.BROKEN
        return True

    def close(self) -> None:
        """Releases llhttp after the last byte, because the two objects refer to each other."""
        del self._llhttp

    # ---------------------------------------------------------------------------------- what llhttp calls

    def on_message_begin(self) -> None:
        if self.phase is Phase.HEAD:
            self.fields = {}
        else:
            self.is_last = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is not Phase.HEAD:
            return
        self._fields_seen += 1
        if self._fields_seen > MAX_FIELDS:
            # Ends the feeding, as an error of llhttp's own.
            raise ProtocolError
        name = name.lower()
        earlier = self.fields.get(name)
        self.fields[name] = value if earlier is None else earlier + b", " + value

    def on_headers_complete(self) -> None:
        status = self._llhttp.get_status_code()
        if self.phase is not Phase.HEAD or (status < 200 and status != 101):
            return
        self.status = status
        length, coding = self.fields.get(b"content-length"), self.fields.get(b"transfer-encoding")
        # A transfer coding overrides a length, and no other response may follow (RFC 9112, 6.3).
        self.is_last = self.is_last or (length is not None and coding is not None)
        self._ends_with_connection = length is None if coding is None else not coding.lower().endswith(b"chunked")
        self.phase = Phase.BODY

    def on_body(self, data: bytes) -> None:
        if self.phase is not Phase.BODY:
            return
        self._pieces.append(data)
        self.waiting += len(data)
        self._delivered += len(data)

    def on_message_complete(self) -> None:
        if self.phase is not Phase.BODY:
            return
        self.phase = Phase.COMPLETE
        self._keeps_alive = self._llhttp.should_keep_alive()
