"""The decoder of server-sent events: any cut of the same bytes gives the same events."""

from __future__ import annotations

import itertools
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.models.transport import sse
from services.models.transport.sse import Event, EventStream
from services.shared import errors
from tests.rows import for_each, row

EXAMPLES: list[tuple[str, bytes, list[Event]]] = [
    ("nothing", b"", []),
    ("one event", b"data: a\n\n", [Event("", b"a")]),
    ("events of one read", b"data: a\n\ndata: b\n\ndata: c\n\n", [Event("", b"a"), Event("", b"b"), Event("", b"c")]),
    ("named", b"event: ping\ndata: {}\n\n", [Event("ping", b"{}")]),
    ("name after data", b"data: {}\nevent: ping\n\n", [Event("ping", b"{}")]),
    ("last name counts", b"event: a\nevent: b\ndata: 1\n\n", [Event("b", b"1")]),
    ("name is not kept for the next event", b"event: a\ndata: 1\n\ndata: 2\n\n", [Event("a", b"1"), Event("", b"2")]),
    ("name without data is no event", b"event: a\n\ndata: 1\n\n", [Event("", b"1")]),
    ("lines of data", b"data: a\ndata: b\ndata:\n\n", [Event("", b"a\nb\n")]),
    ("empty data", b"data:\n\n", [Event("", b"")]),
    ("field without colon", b"data\n\n", [Event("", b"")]),
    ("no space", b"data:a\n\n", [Event("", b"a")]),
    ("only the first space goes", b"data:  a \n\n", [Event("", b" a ")]),
    ("colons in data", b"data: a:b: c\n\n", [Event("", b"a:b: c")]),
    ("comments", b": hello\n\n:\ndata: a\n: in between\n\n", [Event("", b"a")]),
    ("other fields", b"id: 1\nretry: 2\nfoo: 3\nDATA: 4\ndata: a\n\n", [Event("", b"a")]),
    ("an id", b"id: message 7\ndata: a\n\n", [Event("", b"a")]),
    ("field name with a space before it", b" data: a\n\n", []),
    ("empty lines", b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [Event("", b"a"), Event("", b"b")]),
    ("CRLF", b"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [Event("x", b"a"), Event("", b"b")]),
    ("CR", b"event: x\rdata: a\r\rdata: b\r\r", [Event("x", b"a"), Event("", b"b")]),
    (
        "mixed line ends",
        b"data: a\r\n\ndata: b\r\r\ndata: c\n\r\n",
        [Event("", b"a"), Event("", b"b"), Event("", b"c")],
    ),
    ("byte order mark", b"\xef\xbb\xbfdata: a\n\n", [Event("", b"a")]),
    ("only one byte order mark", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [Event("", b"b")]),
    ("byte order mark in data", b"data: \xef\xbb\xbf\n\n", [Event("", b"\xef\xbb\xbf")]),
    ("half a byte order mark", b"\xef\xbb\n\ndata: a\n\n", [Event("", b"a")]),
    ("any bytes in data", b"data: \xff\x00\xf0\x9f\n\n", [Event("", b"\xff\x00\xf0\x9f")]),
    ("unfinished", b"data: a\n\ndata: b\n", [Event("", b"a")]),
    (
        "line ends of other standards",
        "data: a\u2028b\x0b\x0c\x85\n\n".encode(),
        [Event("", "a\u2028b\x0b\x0c\x85".encode())],
    ),
]


def decode(pieces: list[bytes]) -> tuple[list[Event], list[Event]]:
    """The events, and the one that only the end ends."""
    stream = EventStream()
    events = [event for piece in pieces for event in stream.feed(piece)]
    return events, stream.end()


def by_the_standard(data: bytes) -> list[Event]:
    """The standard's own algorithm, line by line, with the whole stream at hand."""
    events = []
    name = b""
    values: list[bytes] = []
    *lines, _ = re.split(rb"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf"))
    for line in lines:
        if line == b"":
            if values:
                events.append(Event(name.decode("utf-8", "replace"), b"\n".join(values)))
            name, values = b"", []
            continue
        found = re.fullmatch(rb"([^:]*)(?:: ?(.*))?", line, re.DOTALL)
        assert found
        field, value = found[1], found[2] or b""
        if field == b"event":
            name = value
        elif field == b"data":
            values.append(value)
    return events


def cut(data: bytes, positions: list[int]) -> list[bytes]:
    places = [0, *sorted(positions), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@for_each(("data", "events"), [case[1:] for case in EXAMPLES], ids=[case[0] for case in EXAMPLES])
def test_events_of_a_stream_however_it_is_cut(data: bytes, events: list[Event]) -> None:
    assert by_the_standard(data) == events
    whole = decode([data])
    assert whole[0] == events
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            assert decode(cut(data, [first, second])) == whole
    assert decode([data[position : position + 1] for position in range(len(data))]) == whole


TOKENS = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"data",
    b"data:",
    b"data: ",
    b"event: ",
    b":",
    b" ",
    b"id: ",
    b"{}",
    b"\xef\xbb\xbf",
]


@given(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=4)).map(b"".join), st.data())
def test_any_bytes_cut_anywhere_decode_as_the_standard_says(data: bytes, draw: st.DataObject) -> None:
    positions = draw.draw(st.lists(st.integers(0, len(data)), max_size=6))
    whole = decode([data])
    assert whole[0] == by_the_standard(data)
    assert decode(cut(data, positions)) == whole
    assert decode([data[position : position + 1] for position in range(len(data))]) == whole


@for_each("line_end", [b"\n", b"\r\n", b"\r"])
def test_event_is_there_with_the_read_that_ends_it(line_end: bytes) -> None:
    stream = EventStream()
    assert stream.feed(b"data: a" + line_end + line_end) == [Event("", b"a")]
    assert stream.feed(b"data: b" + line_end) == []
    assert stream.feed(line_end) == [Event("", b"b")]


@for_each("line_end", ["\n", "\r\n", "\r"])
@for_each(
    ("rest", "last"),
    [
        ("", []),
        ("\n", []),
        (": comment", []),
        (": comment\n", []),
        ("d", []),
        ("event: x\n", []),
        ("data: [DONE]", [Event("", b"[DONE]")]),
        ("data: [DONE]\n", [Event("", b"[DONE]")]),
        ("data: a\ndata:", [Event("", b"a\n")]),
        (": comment\nevent: x\ndata: a\n", [Event("x", b"a")]),
    ],
)
def test_event_whose_blank_line_is_missing_comes_at_the_end(rest: str, last: list[Event], line_end: str) -> None:
    """Browsers drop it."""
    data = f"data: a\n\n{rest}".replace("\n", line_end).encode()
    for at in range(len(data) + 1):
        assert decode([data[:at], data[at:]]) == ([Event("", b"a")], last)


def test_lines_that_are_each_an_event_may_hold_bytes_that_are_no_text() -> None:
    events = [Event("", b'{"a": "\xff"}'), Event("", b"{}")]
    assert decode([b'data: {"a": "\xff"}\ndata: {}\n\n']) == (events, [])


@for_each(
    ("block", "event"),
    [
        (b"event: error", Event("error", b"")),
        (b"event: error\ndata", Event("error", b"")),
        (b"data: not JSON\nevent: error", Event("error", b"not JSON")),
        (b'error: {"code": 500}', Event("error", b'{"code": 500}')),
        (b'{"error": "no data in front of it"}', Event("", b'{"error": "no data in front of it"}')),
    ],
)
def test_errors_are_told_in_every_dress(block: bytes, event: Event) -> None:
    assert decode([b"data: a\n\n", block, b"\n\n"])[0] == [Event("", b"a"), event]


MAX_EVENT_BYTES, MAX_EVENT_LINES, MAX_EMPTY_BYTES = 20_000, 100, 100_000


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds themselves are met by tests/wire/test_endless_answers.py."""
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", MAX_EVENT_BYTES)
    monkeypatch.setattr(sse, "MAX_EVENT_LINES", MAX_EVENT_LINES)
    monkeypatch.setattr(sse, "MAX_EMPTY_BYTES", MAX_EMPTY_BYTES)


def in_reads(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_largest_event_passes_in_small_reads(small_bounds: None) -> None:
    data = b"data: " + b"x" * (MAX_EVENT_BYTES - 7)
    assert decode([*in_reads(data, 100), b"\n", b"\n"])[0] == [Event("", data[6:])]


@pytest.mark.parametrize("size", [100, 6000, 1_000_000], ids=["small reads", "large reads", "one read"])
def test_larger_event_is_refused(small_bounds: None, size: int) -> None:
    for start in (b"data: ", b": ", b"data: a\ndata: "):
        data = b"data: before\n\n" + start + b"x" * MAX_EVENT_BYTES + b"\n\n"
        with row(start), pytest.raises(errors.Internal) as caught:
            decode(in_reads(data, size))
        assert caught.value.reason == "UPSTREAM_PROTOCOL_ERROR"


def test_many_events_may_be_larger_together(small_bounds: None) -> None:
    data = (b"data: " + b"x" * 1000 + b"\n\n") * 300
    assert len(decode([data])[0]) == 300


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["small reads", "one read"])
def test_event_of_too_many_lines_is_refused(small_bounds: None, size: int) -> None:
    for line in (b"data", b":", b"data: a", b"event: a"):
        data = (line + b"\n") * MAX_EVENT_LINES + b"\n"
        with row(line):
            decode(in_reads(data, size))
            with pytest.raises(errors.Internal):
                decode(in_reads(line + b"\n" + data, size))


def test_what_is_no_event_has_a_bound_in_all(small_bounds: None) -> None:
    """However often an event comes between."""
    for empty in (b"\n\n", b":\n\n", b": " + b"x" * 1000 + b"\n\n", b"event: a\n\n", b"id: 1\r\n\r\n"):
        stream = EventStream()
        block = (empty * (2000 // len(empty) + 1)) + b"data: a\n\n"
        size = len(block.replace(b"\r", b"")) - len(b"data: a\n\n")
        with row(empty):
            for _ in range(MAX_EMPTY_BYTES // size):
                assert stream.feed(block) == [Event("", b"a")]
            with pytest.raises(errors.Internal):
                stream.feed(block + block)


def test_event_that_comes_by_the_byte_is_held_in_its_own_size() -> None:
    stream, count = EventStream(), 20_000
    tracemalloc.start()
    try:
        for number in range(count):
            stream.feed(b"%d" % (number % 10 + 10))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert stream.held_bytes == 2 * count
    assert held < 2 * stream.held_bytes
