"""Bodies are cut into events by what they are, however their bytes arrive."""

from __future__ import annotations

import pytest

from services.models.providers.errors.faults import Fault
from services.models.providers.framing import (
    MAX_BLANK_BYTES,
    MAX_DOCUMENT_BYTES,
    MAX_FIRST_LINE_BYTES,
    Framing,
    feed_rest,
)
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.transport.sse import MAX_EMPTY_BYTES, Event
from services.shared import errors
from tests.rows import for_each

MARK = b"\xef\xbb\xbf"
A, B = Event("", b'{"a": 1}'), Event("", b'{"b": 2}')

EXAMPLES: list[tuple[bytes, list[Event], bytes | None]] = [
    (b"", [], None),
    (b"\r\n \t", [], None),
    (b'data: {"a": 1}\n\n', [A], None),
    (MARK + b'\n\ndata: {"a": 1}', [A], None),
    (b'{"a": 1}', [], b'{"a": 1}'),
    (MARK + b' \r\n{"a": 1}\n \n', [], b'{"a": 1}\n \n'),
    (b'{\n"a": 1\n}\n', [], b'{\n"a": 1\n}\n'),
    (b'{"a": {}\n, "b": {}}', [], b'{"a": {}\n, "b": {}}'),
    (b'[{"a": 1},\n{"b": 2}]', [], b'[{"a": 1},\n{"b": 2}]'),
    (b'{"a": 1}\n{"b": 2}\n', [A, B], None),
    (b'\n{"a": 1}\r\n\r\n \r\n{"b": 2}', [A, B], None),
    (b'{"a": 1}\n{"b', [A, Event("", b'{"b')], None),
    (b"\n" + MARK + b'{"a": 1}', [], None),
    (b"\n" * 3 * MAX_BLANK_BYTES + b'{"a": 1}', [], b'{"a": 1}'),
    (b" " * (MAX_BLANK_BYTES + 1) + b'{"a": 1}', [], None),
    (MARK[:2] + b'{"a": 1}', [], None),
]


def framed(pieces: list[bytes]) -> tuple[list[Event], bytes | None]:
    framing = Framing()
    events = [event for piece in pieces for event in framing.feed(piece)]
    return [*events, *framing.end()], framing.document


@for_each(("data", "events", "document"), EXAMPLES)
def test_body_is_what_it_is_however_it_is_cut(data: bytes, events: list[Event], document: bytes | None) -> None:
    assert framed([data]) == (events, document)
    assert framed([data[at : at + 1] for at in range(len(data))]) == (events, document)
    for at in range(min(len(data), 40)):
        assert framed([data[:at], data[at:]]) == (events, document)


def test_line_is_there_with_the_read_that_ends_it() -> None:
    framing = Framing()
    framing.feed(b'{"a": 1}\n{')
    assert framing.feed(b'"b": 2}\n') == [B]


def test_first_line_that_is_too_large_for_a_piece_is_in_a_document() -> None:
    data = b'{"a": "%b"}\n{"b": 2}' % (b"x" * MAX_FIRST_LINE_BYTES)
    assert framed([data]) == ([], data)


def test_blanks_and_documents_have_a_bound() -> None:
    for start, size in ((b"", MAX_EMPTY_BYTES), (b"{", MAX_DOCUMENT_BYTES)):
        pieces = [start + b" ", *[b"\n" * 100_000] * (size // 100_000 + 2)]
        with pytest.raises(errors.Internal):
            framed(pieces)


def test_last_event_that_is_nested_too_deep_is_no_error_of_ours() -> None:
    """Between what is shallow enough to be kept and what is too deep to be read lies what can be read, not written."""
    faults = []
    for depth in range(600, 1000, 20):
        nested = '{"a":' * depth + "1" + "}" * depth
        event = Event("", f'{{"citations":{nested},"choices":[{{"delta":{{"content":"Yes"}}}}]}}'.encode())
        try:
            feed_rest(OPENAI_COMPATIBLE.decoder(), [event])
        except Fault as fault:
            faults.append(fault.reason)
    assert faults
    assert set(faults) <= {"UPSTREAM_PROTOCOL_ERROR", "UPSTREAM_STREAM_TRUNCATED"}
