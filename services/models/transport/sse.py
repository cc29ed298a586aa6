"""Server-sent events, decoded from bytes that arrive in pieces of any size.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream, without the fields that only
browsers need: `id` and `retry` are skipped, and data stays bytes, because a parser of JSON checks its encoding.
"""

from __future__ import annotations

from typing import NamedTuple

from services.shared import errors, json_text

MAX_EVENT_BYTES = 24 * 1024 * 1024
"""Limit for the bytes of one event: of all its lines, each with one byte for its end."""
MAX_EVENT_LINES = 2**15
"""Limit for the lines of one event: a short line takes ten times as much memory as it has bytes."""
MAX_EMPTY_BYTES = 4 * 1024 * 1024
"""Limit for the bytes of one stream that are not events: comments, blank lines and others."""
LARGE_EVENT = f"an event of more than {MAX_EVENT_BYTES} bytes"
ERROR = "error"
"""The end of an error event's name, and usually all of it."""
CR, LF = 0x0D, 0x0A
"""Line ends as numbers: to search bytes for a number takes an eighth of the time that a search for bytes takes."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(NamedTuple):
    name: str
    """The event's type, or "" when the server gave none."""
    data: bytes


class EventStream:
    """Decodes one stream. It is on the path of every token: most reads bring one short event, and cost one split."""

    __slots__ = ("_after_carriage_return", "_at_start", "_empty_bytes", "_held", "held_bytes")

    def __init__(self) -> None:
        self._empty_bytes = 0
        self._held = bytearray()
        self.held_bytes = 0
        """Of an event that has begun and not ended, what has come."""
        self._at_start = True
        self._after_carriage_return = False

    def feed(self, data: bytes) -> list[Event]:
        """Takes the next bytes and returns the events that they complete.

        Raises Internal (UPSTREAM_PROTOCOL_ERROR) when one event is larger than MAX_EVENT_BYTES, or has more lines than
        MAX_EVENT_LINES, and when there was more than MAX_EMPTY_BYTES between the events.
        """
        if self._at_start:
            data = self._skip_byte_order_mark(data)
        if self._after_carriage_return or CR in data:
            data = self._normalize_line_ends(data)
        events: list[Event] = []
        if self.held_bytes:
            end = self._extend_held(data)
            if not end:
                return events
            events += self._end_held()
            data = data[end:]
        blocks = data.split(b"\n\n")
        if rest := blocks.pop():
            self._hold(rest)
        if len(data) > MAX_EVENT_LINES:
            for block in blocks:
                _check_size(block)
        empty_bytes = 0
        for block in blocks:
            # Nearly every event is one line of data.
            if block.startswith(b"data: ") and LF not in block:
                events.append(Event("", block[6:]))
            elif block.startswith(b"event: ") and (event := _parse_named(block)):
                events.append(event)
            elif block and not _is_comment(block) and (parsed := _parse(block)):
                events += parsed
            else:
                empty_bytes += len(block) + 2
        if empty_bytes:
            self._count_empty(empty_bytes)
        return events

    def end(self) -> list[Event]:
        """Ends the stream, and returns a last event that has no blank line after it, if there is one.

        Browsers drop such an event. Here the reader of its data checks whether it is complete. Raises as `feed` does.
        """
        return self._end_held(b"\n" if self._held.endswith(b"\n") else b"") if self._held else []

    def _count_empty(self, size: int) -> None:
        self._empty_bytes += size
        if self._empty_bytes > MAX_EMPTY_BYTES:
            raise too_large(f"more than {MAX_EMPTY_BYTES} bytes that are no events")

    def _hold(self, data: bytes) -> None:
        # Appended to one buffer: a list of small pieces would be larger than the event.
        self._held += data
        self.held_bytes = len(self._held)
        if self.held_bytes > MAX_EVENT_BYTES:
            raise too_large(LARGE_EVENT)

    def _extend_held(self, data: bytes) -> int:
        """Adds bytes to the event in progress, up to the end of its last line. Returns the index in `data` after its
        empty line, or 0 if that has not arrived."""
        if data.startswith(b"\n") and self._held.endswith(b"\n"):
            return 1
        end = data.find(b"\n\n") + 1
        self._hold(data[:end] if end else data)
        return end + 1 if end else 0

    def _end_held(self, line_end: bytes = b"\n") -> list[Event]:
        """The event in progress, which has ended, without the end of its last line. It may be large, so it is copied
        once only."""
        held, self._held, self.held_bytes = self._held, bytearray(), 0
        if line_end:
            del held[-1:]
        if held.startswith(b"data: ") and b"\n" not in held:
            del held[:6]
            return [Event("", bytes(held))]
        _check_size(held)
        events = _parse(bytes(held))
        if not events:
            self._count_empty(len(held) + 2)
        return events

    def _skip_byte_order_mark(self, data: bytes) -> bytes:
        start = bytes(self._held) + data
        self._held.clear()
        self.held_bytes = 0
        if len(start) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(start):
            self._hold(start)
            return b""
        self._at_start = False
        return start.removeprefix(BYTE_ORDER_MARK)

    def _normalize_line_ends(self, data: bytes) -> bytes:
        """Makes every line end LF. A CR at the end of a read ends its line at once; an LF that follows is dropped."""
        if not data:
            return data
        if self._after_carriage_return:
            data = data.removeprefix(b"\n")
            if not data:
                self._after_carriage_return = False
                return data
        self._after_carriage_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _check_size(block: bytes | bytearray) -> None:
    if len(block) >= MAX_EVENT_BYTES:
        raise too_large(LARGE_EVENT)
    if block.count(b"\n") >= MAX_EVENT_LINES:
        raise too_large(f"an event of more than {MAX_EVENT_LINES} lines")


def _is_comment(block: bytes) -> bool:
    return block.startswith(b":") and b"\n" not in block


def _parse_named(block: bytes) -> Event | None:
    """The event in a block that begins with its name, if the rest is one line of data, as it nearly always is."""
    start, _, rest = block.partition(b"\n")
    if rest.startswith(b"data: ") and LF not in rest:
        return Event(start[7:].decode("utf-8", "replace"), rest[6:])
    return None


def _parse(block: bytes) -> list[Event]:
    """Returns the event in the lines before an empty line, or none when they have no data.

    Errors may have no data field: they are an event's name alone, a field of that name, as llama.cpp has sent it, or an
    object without a field, when a proxy forwards the body of a backend's error.
    """
    name = ""
    lines: list[Event] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(Event(name, value))
        elif field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"error":
            return [Event(ERROR, value)]
    if len(lines) > 1 and _are_events(lines):
        return lines
    if lines:
        return [Event(name, b"\n".join([line.data for line in lines]))]
    if block.startswith(b"{") and b'"error"' in block:
        return [Event("", block)]
    return [Event(ERROR, b"")] if name == ERROR else []


def _are_events(lines: list[Event]) -> bool:
    """Whether each line of data is an event of its own, because the server leaves out blank lines: together, they would
    not be valid JSON."""
    if not all(line.data.endswith((b"}", b"]")) and line.data.startswith((b"{", b"[DONE]")) for line in lines):
        return False
    return json_text.is_object(lines[0].data.decode("utf-8", "replace"))


def too_large(what: str) -> errors.Internal:
    """The error for an event or a stream above its limit."""
    return errors.Internal(f"the provider sent {what}; ask for a shorter answer", reason="UPSTREAM_PROTOCOL_ERROR")
