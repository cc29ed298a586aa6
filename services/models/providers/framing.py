"""Framing of a response's body: it is cut into events by its content, and not by its content type.

A body that begins as JSON is one document, or one on each line; any other body is server-sent events. Proxies forward a
backend's JSON with the content type of a stream, and servers send streams as `application/json`, or without a type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from services.models.providers.answers.answer import Answer
from services.models.providers.base import Decoder, Dialect
from services.models.providers.errors.faults import Fault
from services.models.transport.sse import BYTE_ORDER_MARK, MAX_EMPTY_BYTES, Event, EventStream, too_large
from services.shared import json_text

BLANKS = b" \t\r\n"
DOCUMENT_STARTS = (b"{", b"[")

MAX_BLANK_BYTES = 4096
"""Limit for blanks before a document, on its line; a body with more of them is read as events."""

MAX_FIRST_LINE_BYTES = 64 * 1024
"""Size of the first document on a line of its own, which is a piece of an answer."""

MAX_DOCUMENT_BYTES = 32 * 1024 * 1024

MAX_EVENTS = 2**19
"""Events of one answer. An event without content takes nine bytes to send, and three microseconds to read."""

SLICE_BYTES = 64 * 1024
"""Size of a slice in which a whole body is cut into events."""


class Framing:
    """Cuts one body into events. `feed` takes its next bytes and returns the events that they complete; it raises as
    `EventStream.feed` does."""

    def __init__(self) -> None:
        self._start = b""
        self._blank_bytes = 0
        self._frames: EventStream | JsonDocuments | None = None
        self.feed: Callable[[bytes], list[Event]] = self._begin

    @property
    def held_bytes(self) -> int:
        """Bytes of an event that has begun and not ended."""
        return self._frames.held_bytes if self._frames else len(self._start)

    @property
    def document(self) -> bytes | None:
        """The bytes so far, if they are one document."""
        return self._frames.document if isinstance(self._frames, JsonDocuments) else None

    def end(self) -> list[Event]:
        """Ends the body, and returns the event of the last bytes, whose end nothing else marks."""
        return self._frames.end() if self._frames else []

    def _begin(self, data: bytes) -> list[Event]:
        self._start += data
        text = _without_blanks(self._start)
        blanks = self._start[: len(self._start) - len(text)]
        line = blanks[max(blanks.rfind(b"\n"), blanks.rfind(b"\r")) + 1 :]
        is_open = not text or BYTE_ORDER_MARK.startswith(self._start)
        if is_open and len(line) <= MAX_BLANK_BYTES:
            self._forget_lines(len(blanks) - len(line), line)
            return []
        is_document = text.startswith(DOCUMENT_STARTS) and len(line) <= MAX_BLANK_BYTES
        self._frames = JsonDocuments() if is_document else EventStream()
        self.feed = self._frames.feed
        return self.feed(self._start)

    def _forget_lines(self, size: int, line: bytes) -> None:
        """Counts blank lines, and does not store them, because a server may send any number of them."""
        if not size:
            return
        self._blank_bytes += size
        if self._blank_bytes > MAX_EMPTY_BYTES:
            raise too_large(f"more than {MAX_EMPTY_BYTES} bytes that are no answer")
        self._start = b"\n" + line


class JsonDocuments:
    """One document, or one on each line. Only the beginning of a second line distinguishes the two."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._first_line_end = -1
        self._are_lines: bool | None = None

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    @property
    def document(self) -> bytes | None:
        """The bytes so far, if they are one document."""
        return None if self._are_lines else bytes(self._held)

    def feed(self, data: bytes) -> list[Event]:
        """Takes the next bytes and returns the documents that they complete, if each is on a line of its own.

        Raises Internal (UPSTREAM_PROTOCOL_ERROR) for one of more than MAX_DOCUMENT_BYTES.
        """
        if not self._held:
            data = _without_blanks(data)
        self._held += data
        if len(self._held) > MAX_DOCUMENT_BYTES:
            raise too_large(f"an answer of more than {MAX_DOCUMENT_BYTES} bytes")
        begins_line = not self._are_lines
        if self._are_lines is None:
            self._look_for_lines(len(self._held) - len(data))
        # A long line that continues is not searched again.
        if not self._are_lines or not (begins_line or b"\n" in data):
            return []
        *lines, self._held = self._held.split(b"\n")
        return _events(lines)

    def end(self) -> list[Event]:
        """Returns the document on the last line, if nothing ends that line."""
        return _events([self._held]) if self._are_lines else []

    def _look_for_lines(self, new: int) -> None:
        """Checks the first line once more than blanks follow it: if it is not an object, all lines are one document."""
        if self._first_line_end < 0:
            self._first_line_end = self._held.find(b"\n", new)
        end = self._first_line_end
        if end < 0 or not self._held[max(end, new) :].strip():
            return
        first = self._held[:end] if end <= MAX_FIRST_LINE_BYTES else b""
        self._are_lines = json_text.is_object(first.decode(errors="replace"))


def read_body(dialect: Dialect, body: bytes) -> Answer:
    """The answer in a whole body. Raises Fault for a body that is no answer: without content and finish reason."""
    if body.startswith(DOCUMENT_STARTS) and b"\n" not in body:
        # The short way, for nearly all bodies; the long way gives the same.
        return _read_document(dialect, body)
    framing, decoder = Framing(), dialect.decoder()
    count = 0
    # In slices, because events of two bytes each take a hundred times as much memory.
    for start in range(0, len(body), SLICE_BYTES):
        events = framing.feed(body[start : start + SLICE_BYTES])
        decoder.feed(events)
        count += len(events)
        if count > MAX_EVENTS:
            raise Fault("OUTPUT_LIMIT")
        if decoder.ended:
            break
    rest = framing.end()
    if not count and not rest:
        return _read_document(dialect, framing.document or body)
    feed_rest(decoder, rest)
    if not decoder.finished:
        raise Fault("UPSTREAM_STREAM_TRUNCATED")
    return decoder.answer


def _read_document(dialect: Dialect, document: bytes) -> Answer:
    answer = dialect.read(document)
    if not answer.has_begun and not answer.raw_finish_reason:
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return answer


def feed_rest(decoder: Decoder, events: Sequence[Event]) -> None:
    """Feeds the last events, which the end of the body has ended. Raises Fault, also for one that was cut."""
    try:
        if not decoder.ended:
            decoder.feed(events)
    except Fault as fault:
        if fault.reason != "UPSTREAM_PROTOCOL_ERROR":
            raise
        raise Fault("UPSTREAM_STREAM_TRUNCATED") from None
    except RecursionError:
        # Nested so deep that it could only just be read, and cannot be written again.
        raise Fault("UPSTREAM_PROTOCOL_ERROR") from None


def _without_blanks(start: bytes) -> bytes:
    return start.removeprefix(BYTE_ORDER_MARK).lstrip(BLANKS)


def _events(lines: Iterable[bytearray]) -> list[Event]:
    return [Event("", bytes(line)) for line in map(bytearray.strip, lines) if line]
